"""Several computers behind one endpoint: calls go to the one that they name.

A call that names no computer goes to the first one; so does a call that names an unknown one, and
is refused there. A context belongs to the computer that gave it out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar, cast

from eseback.api import BackupApi

from ..layer import ApiLayer
from ..server import SimulatedServer
from ..session import Session

if TYPE_CHECKING:
    from .control import Control
    from .controlled import ControlledSession

R = TypeVar("R")
Computer: TypeAlias = "SimulatedServer | Control"
_NAMES: Final = ("server", "computer")


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
        return cast("BackupApi", Routed(sessions))

    def connection_lost(self, context: int) -> None:
        """A client left this context behind."""
        for server in self._servers.values():
            server.connection_lost(context)

    def close(self) -> None:
        """Shut all of them down."""
        for server in self._servers.values():
            server.close()


class Routed(ApiLayer):
    """One session for each computer."""

    def __init__(self, sessions: Mapping[str, Session | ControlledSession]) -> None:
        self._sessions = sessions
        self._first = next(iter(sessions.values()))
        super().__init__(self._first)

    @property
    def members(self) -> tuple[Session | ControlledSession, ...]:
        """The sessions, in the order of the computers."""
        return tuple(self._sessions.values())

    def around(self, method: str, function: Callable[..., R], arguments: Mapping[str, Any]) -> R:
        """Make the call on the session that it concerns."""
        chosen = self._choose(arguments)
        if chosen is self._first:
            return function(**arguments)
        return cast("R", getattr(chosen, method)(**arguments))

    def _choose(self, arguments: Mapping[str, Any]) -> Session | ControlledSession:
        for key in _NAMES:
            name = arguments.get(key)
            if isinstance(name, str):
                return self._sessions.get(name.casefold(), self._first)
        context = arguments.get("context")
        if isinstance(context, int):
            for session in self._sessions.values():
                if session.holds(context):
                    return session
        return self._first


def _name(computer: Computer) -> str:
    if isinstance(computer, SimulatedServer):
        return computer.topology.server.name
    return computer.name
