"""How far the authentication of one connection has come, at the server.

Only the order of the steps is judged here; the tokens are a security provider's business, in the
layer above. One security context serves a connection: without "security context multiplexing"
(MS-RPCE 3.3.1.5.4) a client must not ask for a second one.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from eseback.rpc.assembly import call_header
from eseback.rpc.errors import LocalProtocolError, RemoteProtocolError
from eseback.rpc.header import Frame
from eseback.rpc.pdu import Bind
from eseback.rpc.security import AuthToken, Security, protects_calls
from eseback.rpc.server_calls import BrokenCall
from eseback.rpc.status import AuthLevel, AuthType, FaultStatus, RejectReason

__all__ = ["BindRefused", "ServerAuth"]


class BindRefused(RemoteProtocolError):
    """A bind that is answered with a bind_nak for a reason of its own."""

    def __init__(self, message: str, reason: RejectReason) -> None:
        super().__init__(message)
        self.reason = reason


class _Step(Enum):
    NONE = "none"
    PENDING = "pending"
    DONE = "done"
    REFUSED = "refused"


class ServerAuth:
    """State of the authentication. security: the context, once it is established."""

    __slots__ = ("_offer", "_step", "_types", "header_signing", "is_open", "security")

    def __init__(self, auth_types: Iterable[int]) -> None:
        self.security: Security | None = None
        self.header_signing = False
        self.is_open = True  # calls may come as they are: nothing is pending, nothing is signed
        self._types = frozenset(auth_types)
        self._step = _Step.NONE
        self._offer: AuthToken | None = None

    def note_bind(self, bind: Bind) -> None:
        """Judge what a bind asks for; raises BindRefused."""
        if bind.token is not None:
            self._check_offer(bind.token)

    def _check_offer(self, token: AuthToken) -> None:
        if not AuthLevel.CONNECT <= token.level <= AuthLevel.PRIVACY:
            raise BindRefused(f"authentication at level {token.level}", RejectReason.NOT_SPECIFIED)
        if token.auth_type not in self._types:
            raise BindRefused(
                f"security provider {token.auth_type} is not offered",
                RejectReason.AUTHENTICATION_TYPE_NOT_RECOGNIZED,
            )

    def check_alter(self, token: AuthToken | None) -> None:
        """An alter_context may start an authentication or go on with the one that was started."""
        if token is None:
            return
        if self._step is _Step.NONE:
            try:
                self._check_offer(token)
            except BindRefused as error:
                raise RemoteProtocolError(str(error), FaultStatus.ACCESS_DENIED) from None
            return
        self._check_next(token)

    def check_auth3(self, token: AuthToken) -> None:
        """An auth3 ends an authentication that is under way."""
        if self._step is _Step.NONE:
            raise RemoteProtocolError("an auth3 without an authentication under way")
        self._check_next(token)

    def _check_next(self, token: AuthToken) -> None:
        offer = self._offer
        if self._step is not _Step.PENDING or offer is None:
            raise RemoteProtocolError("the authentication has ended already")
        if token.auth_type != offer.auth_type and token.auth_type != AuthType.NONE:
            raise RemoteProtocolError(
                f"security provider {token.auth_type} after {offer.auth_type}",
                FaultStatus.SEC_PKG_ERROR,
            )
        if (token.auth_type, token.level, token.context_id) != (
            offer.auth_type,
            offer.level,
            offer.context_id,
        ):
            raise RemoteProtocolError(
                "provider, level or context changed within an authentication",
                FaultStatus.ACCESS_DENIED,
            )

    def answer(
        self, bind: Bind, token: bytes, security: Security | None, more: bool
    ) -> AuthToken | None:
        """Take over what the provider decided, and give the token that goes into the answer.

        The answer to an alter_context that needs no token has a trailer all the same, with nothing
        after it: so does Windows.
        """
        offer = bind.token
        if offer is None:
            if token or security is not None or more:
                raise LocalProtocolError("the client did not ask for authentication")
            return None
        if (security is not None) == more:
            raise LocalProtocolError("either a finished security context or more to come")
        if security is not None:
            self._check_fits(offer, security)
        self._offer = offer
        self._enter(_Step.PENDING if more else _Step.DONE, security)
        if not token and not bind.alter:
            return None
        return AuthToken(offer.auth_type, offer.level, offer.context_id, token)

    def finish(self, security: Security) -> None:
        """The last token was good."""
        assert self._offer is not None
        self._check_fits(self._offer, security)
        self._enter(_Step.DONE, security)

    def refuse(self) -> None:
        """The last token was no good."""
        self._enter(_Step.REFUSED, None)

    def _enter(self, step: _Step, security: Security | None) -> None:
        self._step = step
        self.security = security
        self.is_open = step is _Step.DONE and not protects_calls(security)

    def check_request(self, frame: Frame) -> None:
        """Whether a call may come now; raises BrokenCall."""
        if self._step is _Step.PENDING:
            raise BrokenCall("a call before the authentication has ended", frame.call_id, 0)
        if self._step is _Step.REFUSED:
            context_id = call_header(frame, request=True).context_id
            raise BrokenCall(
                "a call after a failed authentication",
                frame.call_id,
                context_id,
                FaultStatus.ACCESS_DENIED,
                executed=True,
            )

    @staticmethod
    def _check_fits(offer: AuthToken, security: Security) -> None:
        level = AuthLevel.PACKET if offer.level == AuthLevel.CALL else offer.level
        if (security.auth_type, security.level, security.context_id) != (
            offer.auth_type,
            level,
            offer.context_id,
        ):
            raise LocalProtocolError("the security context is not the one that was asked for")
