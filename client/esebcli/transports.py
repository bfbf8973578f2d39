"""How ``--server inproc:demo.toml`` becomes something to talk to.

A server's address is ``SCHEME:REST``. The scheme ``rpc`` is our own; any other is looked up in the
entry-point group ``esebcli.transports``, in which other distributions (the simulator is one)
register a function that is given REST and returns a :class:`Transport`. This package therefore
needs no knowledge of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import Final, Protocol, cast, runtime_checkable

from eseback.api import BackupApi
from esebcli.errors import UserError

ENTRY_POINT_GROUP: Final = "esebcli.transports"
_OWN: Final = {"rpc": EntryPoint("rpc", "esebcli.rpc:open_transport", ENTRY_POINT_GROUP)}


@runtime_checkable
class Transport(Protocol):
    """A server that can be reached."""

    def session(self) -> BackupApi:
        """A connection of its own; may be called from any thread, once per storage group."""
        ...

    def close(self) -> None:
        """Let go of the server; sessions must not be used afterwards."""
        ...


OpenTransport = Callable[[str], Transport]
"""What an entry point names. It takes the address without its scheme; where that is of no use it
raises ``OSError`` or ``ValueError`` with a text for the user."""


def schemes() -> list[str]:
    """The schemes that are known, sorted: our own and those that are registered."""
    return sorted({*_OWN, *(point.name for point in entry_points(group=ENTRY_POINT_GROUP))})


def open_transport(address: str) -> Transport:
    """Connect to ``SCHEME:REST``.

    Raises:
        UserError: no scheme, an unknown one, one that can't be loaded, or the transport refuses.
    """
    scheme, colon, rest = address.partition(":")
    if not colon or not scheme:
        raise UserError(
            f"--server {address!r} has no scheme: write SCHEME:ADDRESS ({_known_schemes()})"
        )
    opener = _load(scheme)
    try:
        transport = opener(rest)
    except (OSError, ValueError) as error:
        raise UserError(f"--server {_shown(address)}: {error}") from error
    if not isinstance(transport, Transport):
        raise UserError(
            f"--server {_shown(address)}: the transport {scheme!r} returned a "
            f"{type(transport).__name__} without session() and close()"
        )
    return transport


def _shown(address: str) -> str:
    """An address for a message, without a password that somebody has written into it."""
    return re.sub(r"\b(password=).*", r"\1***", address)


def _load(scheme: str) -> OpenTransport:
    own = _OWN.get(scheme)
    points: list[EntryPoint] = [own] if own else []
    points = points or list(entry_points(group=ENTRY_POINT_GROUP, name=scheme))
    if not points:
        raise UserError(f"no transport {scheme!r} is installed ({_known_schemes()})")
    values = sorted({point.value for point in points})
    if len(values) > 1:
        raise UserError(f"transport {scheme!r} is registered more than once: {', '.join(values)}")
    try:
        return cast("OpenTransport", points[0].load())
    except (ImportError, AttributeError) as error:
        raise UserError(f"transport {scheme!r} ({values[0]}) can't be loaded: {error}") from error


def _known_schemes() -> str:
    return "known: " + ", ".join(schemes())
