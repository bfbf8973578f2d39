"""Fixtures of the client's tests."""

from __future__ import annotations

import pytest

from tests.esebcli.support_cli import Run, runner
from tests.esebcli.support_fake import FakeServer, two_groups
from tests.esebcli.support_restore import RestoringServer, restoring


@pytest.fixture
def server() -> FakeServer:
    """A fresh scripted server with two storage groups."""
    return two_groups()


@pytest.fixture
def restorer() -> RestoringServer:
    """The same server with the restore calls."""
    return restoring()


@pytest.fixture
def run(
    server: FakeServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Run:
    """Run a command against the scripted server."""
    return runner(server, capsys, monkeypatch)
