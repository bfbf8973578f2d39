"""The server's side of NTLM: one challenge, and a judgement of the answer (MS-NLMP 3.2.5).

This is an acceptor of our own, on pyspnego's algorithms, because pyspnego's

* packs the AV pairs of a client anew before it checks the proof over them, and so rejects clients
  that end them in another way than it does itself (Impacket; MS-NLMP 3.3.2 has the proof made over
  the bytes that were sent);
* takes its users from one file for the whole process, named by an environment variable;
* makes the MIC of a message over what it would have sent itself, not over what it received.

Only NTLMv2 is taken, from users that are known. An unknown user costs as much time as a wrong
password, and neither is told which of the two it was.
"""

from __future__ import annotations

import hmac
import secrets
import struct
import time
from collections.abc import Callable
from typing import Final, Protocol

from attrs import field

from eseback.data import frozen
from eseback.rpc.ciphers import arc4
from eseback.rpc.errors import AuthenticationFailed
from eseback.rpc.ntlm_messages import Authenticate, AvId, Challenge, NtlmFlag, parse_negotiate

__all__ = ["Account", "AccountFinder", "NtlmAcceptor", "NtlmResult"]

_OFFERED: Final = (
    NtlmFlag.UNICODE
    | NtlmFlag.SIGN
    | NtlmFlag.SEAL
    | NtlmFlag.ALWAYS_SIGN
    | NtlmFlag.EXTENDED_SESSION_SECURITY
    | NtlmFlag.VERSION
    | NtlmFlag.KEY_128
    | NtlmFlag.KEY_EXCHANGE
    | NtlmFlag.KEY_56
)
_ALWAYS: Final = (
    NtlmFlag.REQUEST_TARGET | NtlmFlag.NTLM | NtlmFlag.TARGET_TYPE_SERVER | NtlmFlag.TARGET_INFO
)
_KEY_SIZE: Final = 16
_FILETIME_1970: Final = 116_444_736_000_000_000  # in units of 100 ns since 1601


class Account(Protocol):
    """Somebody who may come in."""

    @property
    def nt_hash(self) -> bytes:
        """MD4 of the password, `eseback.rpc.ciphers.nt_hash`."""
        ...


AccountFinder = Callable[[str, str], Account | None]
"""Finds an account by domain and name, as a client wrote them; None if there is no such one."""


@frozen
class NtlmResult:
    """A client that has proved who it is. session_key: the exported one."""

    account: Account
    flags: NtlmFlag
    session_key: bytes = field(repr=False)


class NtlmAcceptor:
    """One authentication. name: what the server calls itself, NetBIOS.

    now: seconds since 1970, for the challenge. Both steps raise AuthenticationFailed.
    """

    def __init__(
        self, find: AccountFinder, name: str, now: Callable[[], float] = time.time
    ) -> None:
        self._find = find
        self._name = name
        self._now = now
        self._negotiate = b""
        self._challenge = b""
        self._nonce = b""
        self._flags = NtlmFlag(0)

    def challenge(self, negotiate: bytes) -> bytes:
        """The answer to a client's first message."""
        asked = parse_negotiate(negotiate)
        if not asked & NtlmFlag.UNICODE:
            raise AuthenticationFailed("a client that does not know Unicode")
        self._flags = asked & _OFFERED | _ALWAYS
        self._nonce = secrets.token_bytes(8)
        self._negotiate = negotiate
        name = self._name.encode("utf-16-le")
        stamp = int(self._now() * 10_000_000) + _FILETIME_1970
        pairs = (
            (AvId.DOMAIN_NAME, name),
            (AvId.COMPUTER_NAME, name),
            (AvId.DNS_COMPUTER_NAME, self._name.lower().encode("utf-16-le")),
            (AvId.TIMESTAMP, struct.pack("<Q", stamp)),
        )
        self._challenge = Challenge(self._flags, self._nonce, self._name, pairs).pack()
        return self._challenge

    # ASSUMED(ntlm-v2-only): the server takes NTLMv2 and nothing older, and no anonymous clients, as
    # if the policy "LAN Manager authentication level" were 5.
    def authenticate(self, message: bytes) -> NtlmResult:
        """Judge a client's second and last message."""
        answer = Authenticate.parse(message)
        who = f"{answer.domain}\\{answer.user}"
        account = self._find(answer.domain, answer.user)
        key = secrets.token_bytes(_KEY_SIZE) if account is None else account.nt_hash
        response_key = _hmac(key, (answer.user.upper() + answer.domain).encode("utf-16-le"))
        proof = _hmac(response_key, self._nonce + answer.blob)
        if not hmac.compare_digest(proof, answer.proof) or account is None:
            what = "a wrong password" if account is not None else "an unknown user"
            raise AuthenticationFailed(f"{who!r}: {what}")
        flags = answer.flags & self._flags
        session_key = _hmac(response_key, proof)
        if flags & NtlmFlag.KEY_EXCHANGE and flags & (NtlmFlag.SIGN | NtlmFlag.SEAL):
            if len(answer.session_key) != _KEY_SIZE:
                raise AuthenticationFailed(f"{who!r}: a session key of another size")
            session_key = arc4(session_key)(answer.session_key)
        if answer.has_mic:
            self._check_mic(answer, session_key, who)
        return NtlmResult(account, flags, session_key)

    def _check_mic(self, answer: Authenticate, session_key: bytes, who: str) -> None:
        """The MIC binds the three messages together: nobody has taken a flag out of them."""
        expected = _hmac(session_key, self._negotiate + self._challenge + answer.without_mic)
        if not answer.mic_start or not hmac.compare_digest(expected, answer.mic):
            raise AuthenticationFailed(f"{who!r}: messages were changed on their way")


def _hmac(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, "md5")
