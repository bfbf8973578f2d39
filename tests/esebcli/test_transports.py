"""Transports are found by entry points; what is wrong with one is said in a line."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint, EntryPoints

import pytest

from eseback.api import BackupApi
from esebcli import transports
from esebcli.errors import UserError
from esebcli.transports import ENTRY_POINT_GROUP, open_transport, schemes
from tests.esebcli.support_fake import two_groups

HERE = "tests.esebcli.test_transports"


class Connected:
    """A transport to a scripted server."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.closed = False

    def session(self) -> BackupApi:
        return two_groups().api

    def close(self) -> None:
        self.closed = True


def refuses(address: str) -> Connected:
    raise ValueError(f"no topology {address}")


def unreachable(address: str) -> Connected:
    raise ConnectionRefusedError(111, "Connection refused")


def returns_nothing(address: str) -> None:
    return None


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Replace what is installed by `scheme=value` pairs."""

    def install(*pairs: tuple[str, str]) -> None:
        points = EntryPoints(EntryPoint(name, value, ENTRY_POINT_GROUP) for name, value in pairs)
        monkeypatch.setattr(transports, "entry_points", points.select)

    return install


def test_the_rest_of_the_address_is_handed_over(register: Callable[..., None]) -> None:
    register(("fake", f"{HERE}:Connected"), ("other", "nowhere:x"))
    transport = open_transport("fake:C:\\with:colons")
    assert isinstance(transport, Connected) and transport.address == "C:\\with:colons"
    assert isinstance(transport.session(), BackupApi) or transport.session() is not None
    assert schemes() == ["fake", "other", "rpc"]


@pytest.mark.parametrize(
    ("pairs", "address", "message"),
    [
        ([("a", "x:y")], "demo.toml", r"has no scheme: .* \(known: a, rpc\)"),
        ([("a", "x:y")], ":demo.toml", "has no scheme"),
        ([], "demo", r"has no scheme: .* \(known: rpc\)"),
        ([("a", "x:y"), ("b", "x:y")], "smb:host", r"no transport 'smb' .* \(known: a, b, rpc\)"),
        ([("a", "x:y"), ("a", "z:y")], "a:1", "registered more than once: x:y, z:y"),
        ([("a", "no.such.module:y")], "a:1", "can't be loaded: No module"),
        ([("a", f"{HERE}:nothing_here")], "a:1", "can't be loaded"),
        ([("a", f"{HERE}:refuses")], "a:t.toml", "--server a:t.toml: no topology t.toml"),
        ([("a", f"{HERE}:unreachable")], "a:1", "Connection refused"),
        ([("a", f"{HERE}:returns_nothing")], "a:1", "returned a NoneType without session"),
    ],
)
def test_errors_say_what_to_do(
    register: Callable[..., None], pairs: list[tuple[str, str]], address: str, message: str
) -> None:
    register(*pairs)
    with pytest.raises(UserError, match=message):
        open_transport(address)


def test_the_same_point_registered_twice_is_one(register: Callable[..., None]) -> None:
    """An editable install beside a wheel lists everything twice."""
    register(("fake", f"{HERE}:Connected"), ("fake", f"{HERE}:Connected"))
    assert isinstance(open_transport("fake:x"), Connected)
