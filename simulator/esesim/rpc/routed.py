"""Several computers behind one endpoint: calls go to the one that they name.

A call that names no computer goes to the first one; so does a call that names an unknown one, and
is refused there. A context belongs to the computer that gave it out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from ..layer import ApiLayer
from ..session import Session

if TYPE_CHECKING:
    from .controlled import ControlledSession

R = TypeVar("R")
_NAMES: Final = ("server", "computer")


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
