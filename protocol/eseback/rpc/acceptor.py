"""The server's side of an authentication: a client's tokens in, answers and a security context out.

No I/O. One object goes with one security context: `open_acceptor` makes it for the first token of
a bind, and `Acceptor.step` is given that token and those of alter_context and auth3.
"""

from __future__ import annotations

from typing import Final, Protocol

from eseback.data import frozen
from eseback.rpc.errors import AuthenticationFailed, RemoteProtocolError
from eseback.rpc.ntlm_acceptor import Account, AccountFinder, NtlmAcceptor, NtlmResult
from eseback.rpc.ntlm_messages import SIGNATURE, NtlmFlag
from eseback.rpc.ntlm_security import NtlmSecurity
from eseback.rpc.security import AuthToken, Security
from eseback.rpc.spnego_tokens import NTLM_MECH, NegState, NegTokenInit, NegTokenResp
from eseback.rpc.status import AuthType

__all__ = ["ACCEPTED_TYPES", "Acceptor", "Step", "open_acceptor"]

ACCEPTED_TYPES: Final = (AuthType.SPNEGO, AuthType.NTLM)
"""Security providers that `open_acceptor` knows."""

# ASSUMED(token-size): an authentication token of more than 16 KiB is refused unread; NTLM needs
# less than 3 KiB, and Kerberos, which needs more, is not offered.
_TOKEN_MAX: Final = 1 << 14


@frozen
class Step:
    """What came of a token. token: the answer, may be empty.

    account, security: both there as soon as the client has proved who it is, both None before.
    """

    token: bytes
    account: Account | None = None
    security: Security | None = None


class Acceptor(Protocol):
    """The authentication of one client."""

    def step(self, token: bytes) -> Step:
        """Take the client's next token. Raises AuthenticationFailed; there is no next one then."""
        ...


def open_acceptor(offer: AuthToken, find: AccountFinder, name: str) -> Acceptor:
    """Begin the authentication that a client's first token asks for; to be given that token next.

    name: what the server calls itself. Raises AuthenticationFailed, MissingLibraryError.
    """
    if offer.auth_type == AuthType.NTLM:
        return _Limited(_Ntlm(offer, find, name))
    if offer.auth_type == AuthType.SPNEGO:
        return _Limited(_Spnego(offer, find, name))
    raise AuthenticationFailed(f"security provider {offer.auth_type} is not offered")


class _Limited:
    """Nothing is looked at that is too long, or comes after the end."""

    def __init__(self, acceptor: Acceptor) -> None:
        self._acceptor: Acceptor | None = acceptor

    def step(self, token: bytes) -> Step:
        acceptor, self._acceptor = self._acceptor, None
        if acceptor is None:
            raise AuthenticationFailed("the authentication has ended already")
        if len(token) > _TOKEN_MAX:
            raise AuthenticationFailed(f"a token of {len(token)} bytes")
        step = acceptor.step(token)
        if step.security is None:
            self._acceptor = acceptor
        return step


class _Ntlm:
    """NTLM itself: challenge, then judgement."""

    def __init__(self, offer: AuthToken, find: AccountFinder, name: str) -> None:
        self._offer = offer
        self._ntlm = NtlmAcceptor(find, name)
        self._is_challenged = False

    def step(self, token: bytes) -> Step:
        if not self._is_challenged:
            self._is_challenged = True
            return Step(self._ntlm.challenge(token))
        result = self._ntlm.authenticate(token)
        return Step(b"", result.account, _security(self._offer, result))


class _Spnego:
    """NTLM within SPNEGO (RFC 4178, MS-SPNG).

    A mechListMIC shows that nobody took a better mechanism out of the client's list. It is checked
    where it is sent, and asked for where the client would have liked another mechanism better. It
    cannot be had where no integrity was agreed on (RFC 4178 5), as at the level CONNECT with some
    clients; there the negotiation is complete without one.
    """

    def __init__(self, offer: AuthToken, find: AccountFinder, name: str) -> None:
        self._offer = offer
        self._ntlm = NtlmAcceptor(find, name)
        self._init: NegTokenInit | None = None
        self._bare: _Ntlm | None = None
        self._is_challenged = False
        self._find, self._name = find, name

    def step(self, token: bytes) -> Step:
        if self._init is None and self._bare is None and token.startswith(SIGNATURE):
            # Windows leaves SPNEGO's wrapping out where a client knows NTLM only.
            self._bare = _Ntlm(self._offer, self._find, self._name)
        if self._bare is not None:
            return self._bare.step(token)
        if self._init is None:
            self._init = NegTokenInit.parse(token)
            return self._begin(self._init)
        answer = NegTokenResp.parse(token)
        if answer.state is NegState.REJECT or not answer.token:
            raise AuthenticationFailed("the client broke the negotiation off")
        if not self._is_challenged:
            return self._challenge(answer.token, NegState.ACCEPT_INCOMPLETE, b"")
        return self._end(self._init, answer)

    def _begin(self, init: NegTokenInit) -> Step:
        if NTLM_MECH not in init.mechs:
            raise AuthenticationFailed("a client that offers SPNEGO without NTLM")
        if self._is_first_choice(init) and init.token:
            return self._challenge(init.token, NegState.ACCEPT_INCOMPLETE, NTLM_MECH)
        # The token is for a mechanism that this side does not have.
        state = NegState.ACCEPT_INCOMPLETE if self._is_first_choice(init) else NegState.REQUEST_MIC
        return Step(NegTokenResp(state, NTLM_MECH).pack())

    def _challenge(self, negotiate: bytes, state: NegState, mech: bytes) -> Step:
        self._is_challenged = True
        return Step(NegTokenResp(state, mech, self._ntlm.challenge(negotiate)).pack())

    def _end(self, init: NegTokenInit, answer: NegTokenResp) -> Step:
        result = self._ntlm.authenticate(answer.token)
        security = _security(self._offer, result)
        # Very old clients send their token twice (MS-SPNG 3.1.5.1, note on Windows 2000).
        mic = answer.mic if answer.mic != answer.token else b""
        signs = bool(result.flags & NtlmFlag.SIGN)
        if signs and not mic and not self._is_first_choice(init):
            raise AuthenticationFailed("no mechListMIC, though NTLM was not the first choice")
        if not (signs and mic):
            return Step(NegTokenResp(NegState.ACCEPT_COMPLETED).pack(), result.account, security)
        # Each side begins its RC4 stream again after its MIC; sequence numbers go on
        # (MS-SPNG 3.3.5.1).
        try:
            security.check(init.mech_list, mic)
        except RemoteProtocolError as error:  # to be answered like any other failure
            raise AuthenticationFailed(f"the mechListMIC: {error}") from None
        security.restart_in()
        reply = NegTokenResp(NegState.ACCEPT_COMPLETED, mic=security.sign(init.mech_list))
        security.restart_out()
        return Step(reply.pack(), result.account, security)

    @staticmethod
    def _is_first_choice(init: NegTokenInit) -> bool:
        return init.mechs[0] == NTLM_MECH


def _security(offer: AuthToken, result: NtlmResult) -> NtlmSecurity:
    return NtlmSecurity(
        offer.auth_type,
        offer.level,
        offer.context_id,
        result.flags,
        result.session_key,
        is_client=False,
    )
