"""The client's side of an authentication: the server's tokens in, ours and a security context out.

No I/O. The tokens are pyspnego's; the session that comes out of them is `NtlmSecurity`, which is
faster than pyspnego's own and never copies what is only signed.
"""

from __future__ import annotations

import struct
from typing import Any, Final

from attrs import field

from eseback.data import frozen
from eseback.rpc.ciphers import nt_hash
from eseback.rpc.errors import AuthenticationFailed, LocalProtocolError, MissingLibraryError
from eseback.rpc.ntlm_messages import NtlmFlag
from eseback.rpc.ntlm_security import NtlmSecurity
from eseback.rpc.security import AuthToken
from eseback.rpc.spnego_tokens import NegTokenResp
from eseback.rpc.status import AuthLevel, AuthType

__all__ = ["Credentials", "Initiator"]

_CONTEXT_ID: Final = 1
_FLAGS: Final = struct.Struct("<60xI")  # of an AUTHENTICATE_MESSAGE, MS-NLMP 2.2.1.3
_PROTOCOLS: Final = {AuthType.NTLM: "ntlm", AuthType.SPNEGO: "negotiate"}


@frozen
class Credentials:
    """Who the client is, and how much protection it wants.

    user: `DOMAIN\\name`, `name@domain` or `name`. auth_type: NTLM or SPNEGO. level: CONNECT to
    PRIVACY. Raises LocalProtocolError.
    """

    user: str
    password: str = field(repr=False)
    auth_type: AuthType = AuthType.NTLM
    level: AuthLevel = AuthLevel.PRIVACY

    def __attrs_post_init__(self) -> None:
        if not self.user.rpartition("\\")[2]:
            raise LocalProtocolError("a user without a name")
        if self.auth_type not in _PROTOCOLS:
            raise LocalProtocolError(f"security provider {self.auth_type} is not supported")
        if self.level < AuthLevel.CONNECT:
            raise LocalProtocolError("a level without authentication")


class Initiator:
    """One authentication with a server. Raises MissingLibraryError.

    `first` gives the token for the bind, `step` is given each token of the server's. Once it
    `is_done`, nothing is waited for, and `security` gives the session.
    """

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._context = _new_context(credentials)
        self._authenticate = b""
        self._is_mic_sent = self._is_mic_received = False

    def first(self) -> AuthToken:
        """The first token."""
        return self._packed(self._run(None))

    def step(self, token: bytes) -> AuthToken | None:
        """Our answer to a token of the server's, None after the last one.

        Raises AuthenticationFailed for a token that is no good.
        """
        wrapped = self._credentials.auth_type == AuthType.SPNEGO
        if wrapped:
            self._is_mic_received = bool(NegTokenResp.parse(token).mic)
        answer = self._run(token)
        if not answer:
            return None
        self._authenticate = answer
        if wrapped:
            inner = NegTokenResp.parse(answer)
            self._authenticate, self._is_mic_sent = inner.token, bool(inner.mic)
        return self._packed(answer)

    @property
    def is_done(self) -> bool:
        """Whether the server has nothing more to say."""
        return bool(self._context.complete)

    def security(self) -> NtlmSecurity:
        """The session, once it is done. Raises AuthenticationFailed where the server agreed to
        less than was asked for.
        """
        if not self.is_done or len(self._authenticate) < _FLAGS.size:
            raise LocalProtocolError("the authentication has not ended")
        credentials = self._credentials
        security = NtlmSecurity(
            credentials.auth_type,
            credentials.level,
            _CONTEXT_ID,
            NtlmFlag(_FLAGS.unpack_from(self._authenticate)[0]),
            self._context.session_key,
            is_client=True,
        )
        security.skip(int(self._is_mic_sent), int(self._is_mic_received))
        return security

    def _packed(self, token: bytes | None) -> AuthToken:
        credentials = self._credentials
        return AuthToken(credentials.auth_type, credentials.level, _CONTEXT_ID, token or b"")

    def _run(self, token: bytes | None) -> bytes | None:
        try:
            answer: bytes | None = self._context.step(token)
        except Exception as error:
            # Whatever it trips over is in the server's token: its parsers raise errors of any kind.
            raise AuthenticationFailed(f"the server's token is no good: {error}") from None
        return answer


def _new_context(credentials: Credentials) -> Any:
    """pyspnego's context, in its own Python implementation on every system: Windows' would not tell
    the session's keys. A hash instead of the password keeps it from trying Kerberos with it.
    """
    try:
        import spnego
    except ImportError:
        raise MissingLibraryError from None
    own = spnego.NegotiateOptions.use_ntlm
    if credentials.auth_type == AuthType.SPNEGO:
        own = spnego.NegotiateOptions.use_negotiate
    wanted = spnego.ContextReq.integrity | spnego.ContextReq.sequence_detect
    if credentials.level >= AuthLevel.PRIVACY:
        wanted |= spnego.ContextReq.confidentiality
    return spnego.client(
        spnego.NTLMHash(credentials.user, nt_hash=nt_hash(credentials.password).hex()),
        protocol=_PROTOCOLS[credentials.auth_type],
        context_req=wanted,
        options=own,
    )
