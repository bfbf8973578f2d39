"""Which computer and which groups, where nobody said so."""

from __future__ import annotations

import pytest

from eseback.constants import INFORMATION_STORE, SITE_REPLICATION
from eseback.errors import ConnectionLost
from esebcli.discovery import find_computer, find_groups
from esebcli.errors import JobError, UserError
from tests.esebcli.support_fake import SERVER, FakeServer


def test_the_computer_that_offers_the_service(server: FakeServer) -> None:
    assert find_computer(server.api, INFORMATION_STORE) == SERVER


@pytest.mark.parametrize(
    ("computers", "answering", "annotation", "message"),
    [
        (("A", "B"), ("A", "B"), INFORMATION_STORE, "one of these .*: A, B"),
        (("A", "B"), (), INFORMATION_STORE, r"no computer offers .*\(known: A, B\)"),
        ((), (), INFORMATION_STORE, r"\(known: none\)"),
        (("A",), ("A",), SITE_REPLICATION, "Site Replication"),
    ],
)
def test_none_or_several(
    server: FakeServer,
    computers: tuple[str, ...],
    answering: tuple[str, ...],
    annotation: str,
    message: str,
) -> None:
    server.computers, server.answering = computers, answering
    with pytest.raises(UserError, match=message):
        find_computer(server.api, annotation)


def test_a_lost_connection_is_no_computer_that_does_not_answer(server: FakeServer) -> None:
    server.fail("get_registered", ConnectionLost(call="get_registered"))
    with pytest.raises(ConnectionLost):
        find_computer(server.api, INFORMATION_STORE)


def test_groups_that_run(server: FakeServer) -> None:
    groups = find_groups(server.api, SERVER, INFORMATION_STORE)
    assert groups == ("First Storage Group", "Second")
    assert server.methods() == ["backup_prepare", "backup_end"]
    server.groups = ()
    with pytest.raises(JobError, match="no storage group"):
        find_groups(server.api, SERVER, INFORMATION_STORE)
