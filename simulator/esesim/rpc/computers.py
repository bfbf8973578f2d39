"""Several computers behind one endpoint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias, cast

from eseback.api import BackupApi

from ..server import SimulatedServer

if TYPE_CHECKING:
    from .control import Control

Computer: TypeAlias = "SimulatedServer | Control"


class Computers:
    """Simulated servers, or what administers them, with different names.

    Raises ValueError where two have the same.
    """

    def __init__(self, servers: Sequence[Computer]) -> None:
        self._servers = {_name(server).casefold(): server for server in servers}
        if len(self._servers) != len(servers) or not servers:
            raise ValueError("each computer needs a name of its own")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the computers, in order."""
        return tuple(map(_name, self._servers.values()))

    def session(self, remote: bool = False) -> BackupApi:
        """A client's session with all of them."""
        sessions = {name: server.session(remote=remote) for name, server in self._servers.items()}
        if len(sessions) == 1:
            return next(iter(sessions.values()))
        from .routed import Routed

        return cast("BackupApi", Routed(sessions))

    def connection_lost(self, context: int) -> None:
        """A client left this context behind."""
        for server in self._servers.values():
            server.connection_lost(context)

    def close(self) -> None:
        """Shut all of them down."""
        for server in self._servers.values():
            server.close()


def _name(computer: Computer) -> str:
    if isinstance(computer, SimulatedServer):
        return computer.topology.server.name
    return computer.name
