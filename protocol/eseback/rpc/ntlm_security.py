"""Signing and sealing with the keys of an NTLM session (MS-NLMP 3.4).

Only with extended session security and keys of 128 bits, which every system since Windows 2000
has. NTLM always signs a whole PDU: header, stub with padding, and trailer, whether header signing
was agreed on or not (as Windows does; Samba's tests of the raw protocol show it).

What is only signed is hashed where it lies and never copied; sealing is RC4, which has to write
somewhere else.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from collections.abc import Iterable, Sequence
from typing import Final

from eseback.rpc.ciphers import arc4
from eseback.rpc.errors import AuthenticationFailed, RemoteProtocolError
from eseback.rpc.ntlm_messages import NtlmFlag
from eseback.rpc.security import Buffer
from eseback.rpc.status import AuthLevel, FaultStatus

__all__ = ["SIGNATURE_SIZE", "NtlmSecurity", "check_flags"]

SIGNATURE_SIZE: Final = 16
_VERSION: Final = b"\1\0\0\0"  # of NTLMSSP_MESSAGE_SIGNATURE (MS-NLMP 2.2.2.9.2)
_CHECKSUM_SIZE: Final = 8
_SEQUENCE: Final = struct.Struct("<I")
_SEQUENCE_MASK: Final = 0xFFFFFFFF
_MAGIC: Final = b"session key to %s %s key magic constant\0"


# ASSUMED(strong-sessions): NTLM sessions that sign or seal need extended session security and keys
# of 128 bits, as Windows has asked for by default since Windows 7, though 2003 did with less.
def check_flags(flags: NtlmFlag, level: int) -> None:
    """Whether what was agreed on is enough for a level; raises AuthenticationFailed."""
    if level < AuthLevel.CALL:
        return
    needed = NtlmFlag.EXTENDED_SESSION_SECURITY | NtlmFlag.SIGN | NtlmFlag.KEY_128
    if level >= AuthLevel.PRIVACY:
        needed |= NtlmFlag.SEAL
    missing = needed & ~flags
    if missing:
        raise AuthenticationFailed(f"not agreed on, but needed at level {level}: {missing!r}")


class _Direction:
    """What one side sends: its keys, its RC4 stream, and how much of both was used."""

    __slots__ = ("_inner", "_key", "_outer", "_wraps", "cipher", "sequence")

    def __init__(self, session_key: bytes, way: bytes, wraps: bool) -> None:
        signing = hashlib.md5(session_key + _MAGIC % (way, b"signing")).digest()
        self._key = hashlib.md5(session_key + _MAGIC % (way, b"sealing")).digest()
        # HMAC (RFC 2104) with its two halves begun: Python's own begins them for each message.
        block = signing.ljust(hashlib.md5().block_size, b"\0")
        self._inner = hashlib.md5(bytes(byte ^ 0x36 for byte in block))
        self._outer = hashlib.md5(bytes(byte ^ 0x5C for byte in block))
        self._wraps = wraps  # with a key exchange, the checksums are encrypted as well
        self.cipher = arc4(self._key)
        self.sequence = 0

    def sign(self, header: Buffer, body: Iterable[Buffer], trailer: Buffer) -> bytes:
        """Signature of the next message."""
        number = _SEQUENCE.pack(self.sequence)
        self.sequence = self.sequence + 1 & _SEQUENCE_MASK
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(number)
        inner.update(header)
        for part in body:
            inner.update(part)
        inner.update(trailer)
        outer.update(inner.digest())
        checksum = outer.digest()[:_CHECKSUM_SIZE]
        if self._wraps:
            checksum = self.cipher(checksum)
        return _VERSION + checksum + number

    def restart(self) -> None:
        """Begin the RC4 stream again; the sequence number goes on."""
        self.cipher = arc4(self._key)


class NtlmSecurity:
    """An established NTLM session, of either side. See `eseback.rpc.security.Security`.

    auth_type: NTLM, or SPNEGO that has chosen NTLM. flags: agreed on. session_key: the exported
    one. Raises AuthenticationFailed where the flags are not enough for the level.
    """

    signature_size = SIGNATURE_SIZE

    def __init__(
        self,
        auth_type: int,
        level: int,
        context_id: int,
        flags: NtlmFlag,
        session_key: bytes,
        *,
        is_client: bool,
    ) -> None:
        level = int(AuthLevel.PACKET) if level == AuthLevel.CALL else level
        check_flags(flags, level)
        self.auth_type, self.level, self.context_id = auth_type, level, context_id
        self.flags = flags
        self._seals = level >= AuthLevel.PRIVACY
        wraps = bool(flags & NtlmFlag.KEY_EXCHANGE)
        ways = (b"client-to-server", b"server-to-client")
        self._out, self._in = (
            _Direction(session_key, way, wraps) for way in (ways if is_client else ways[::-1])
        )

    def __repr__(self) -> str:  # never the keys
        return f"NtlmSecurity(level={self.level}, flags={self.flags!r})"

    # ---- fragments

    def protect(
        self, header: Buffer, body: Sequence[Buffer], trailer: Buffer
    ) -> tuple[Sequence[Buffer], bytes]:
        """See Security."""
        if not self._seals:
            return body, self._out.sign(header, body, trailer)
        clear = b"".join(body)
        # The order matters: both draw on one RC4 stream, the message first.
        sealed = self._out.cipher(clear)
        return (sealed,), self._out.sign(header, (clear,), trailer)

    def unprotect(self, header: Buffer, body: Buffer, trailer: Buffer, signature: Buffer) -> Buffer:
        """See Security."""
        clear = self._in.cipher(body) if self._seals else body
        self._check(header, (clear,), trailer, signature)
        return clear

    def verify(
        self, header: Buffer, body: Sequence[Buffer], trailer: Buffer, signature: Buffer
    ) -> None:
        """See Security."""
        self._check(header, body, trailer, signature)

    # ---- anything else: what SPNEGO signs

    def sign(self, data: bytes) -> bytes:
        """Signature of a message of ours that is not sealed."""
        return self._out.sign(data, (), b"")

    def check(self, data: bytes, signature: bytes) -> None:
        """Check the peer's signature of such a message. Raises RemoteProtocolError."""
        self._check(data, (), b"", signature)

    def skip(self, sent: int, received: int) -> None:
        """So many messages were signed on the way here, by somebody else, and their RC4 streams
        were begun again since.
        """
        self._out.sequence += sent
        self._in.sequence += received

    def restart_out(self) -> None:
        """Begin our RC4 stream again, as SPNEGO has it after its own signature."""
        self._out.restart()

    def restart_in(self) -> None:
        """The same for the peer's."""
        self._in.restart()

    def _check(
        self, header: Buffer, body: Iterable[Buffer], trailer: Buffer, signature: Buffer
    ) -> None:
        number = self._in.sequence
        if not hmac.compare_digest(self._in.sign(header, body, trailer), signature):
            raise RemoteProtocolError(
                f"the signature of message {number} is wrong", FaultStatus.ACCESS_DENIED
            )
