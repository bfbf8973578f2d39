"""Who a connection's client is, and which calls that opens to it.

With users, a call needs a client that has proved who it is, at the level that the server asks for
at least; all but the interfaces that are open to everybody. What a client without the backup
privilege is answered, a service says itself (`registry.Service.without_privilege`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, cast

from eseback.data import frozen
from eseback.rpc import AuthLevel, AuthToken, FaultStatus, Security

from .callfault import CallFault
from .registry import Handler, Service

if TYPE_CHECKING:
    from eseback.rpc import Acceptor, Step

    from .users import User, Users

_NOBODY: Final = AuthLevel.NONE


# ASSUMED(strangers-get-faults): a call of a client that has not proved who it is, or not at the
# level that is asked for, gets the fault ACCESS_DENIED; the standard interfaces are open to it.
@frozen
class Authentication:
    """What a server asks of its clients.

    least: level that a call needs, NONE for calls of anybody (who has the privilege then, as on a
    server without users). name: what the server calls itself, for its clients' eyes.
    """

    users: Users
    least: AuthLevel = AuthLevel.CONNECT
    name: str = "ESESIM"

    @property
    def keeps_strangers_out(self) -> bool:
        """Whether calls of nobody in particular are denied."""
        return self.least > _NOBODY


class ClientAuthentication:
    """How far the client of one connection has come."""

    __slots__ = ("_acceptor", "_is_pending", "_level", "_user", "_wanted")

    def __init__(self, wanted: Authentication | None) -> None:
        self._wanted = wanted
        self._acceptor: Acceptor | None = None
        self._is_pending = False
        self._user: User | None = None
        self._level: int = _NOBODY

    @property
    def is_pending(self) -> bool:
        """Whether the client has begun to prove who it is, and has not ended."""
        return self._is_pending

    @property
    def who(self) -> str:
        """The client's name, for the log; empty for somebody unknown."""
        return str(self._user or "")

    @property
    def types(self) -> tuple[int, ...]:
        """Security providers that the client may choose from."""
        if self._wanted is None:
            return ()
        # The providers cost time to load, which a server without users need not take.
        from eseback.rpc import ACCEPTED_TYPES

        return tuple(map(int, ACCEPTED_TYPES))

    def step(self, token: AuthToken) -> Step:
        """Take the client's next token. Raises AuthenticationFailed."""
        assert self._wanted is not None
        if self._acceptor is None:
            from eseback.rpc import open_acceptor

            self._acceptor = open_acceptor(token, self._wanted.users.find, self._wanted.name)
            self._is_pending = True
        step = self._acceptor.step(token.token)
        if step.security is not None:
            self._is_pending = False
        return step

    def let_in(self, step: Step) -> Security:
        """The connection has taken a finished step over."""
        assert step.security is not None
        self._user = cast("User", step.account)
        self._level = step.security.level
        return step.security

    def refuse(self) -> None:
        """It came to nothing."""
        self._is_pending = False

    def handlers(self, service: Service) -> Mapping[int, Handler]:
        """What carries calls out for this client. Raises CallFault where they are not for it."""
        if service.is_open or self._wanted is None:
            return service.handlers
        if self._level < self._wanted.least:
            raise CallFault(FaultStatus.ACCESS_DENIED)
        if self._has_privilege(service):
            return service.handlers
        if service.without_privilege is None:
            raise CallFault(FaultStatus.ACCESS_DENIED)
        return service.without_privilege

    def _has_privilege(self, service: Service) -> bool:
        user = self._user
        if service.is_admin:
            return user is not None and user.may_administer
        return user is None or user.may_back_up
