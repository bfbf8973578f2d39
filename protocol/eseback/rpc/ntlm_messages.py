"""The three messages of NTLM, and the structures within them (MS-NLMP 2.2).

Only what an acceptor needs: the first and the third are parsed, the second is packed. Every field
is checked against the message; parsing raises AuthenticationFailed. Names are always Unicode.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from enum import IntEnum, IntFlag
from typing import Final, Self

from attrs import field

from eseback.data import frozen
from eseback.rpc.errors import AuthenticationFailed

__all__ = [
    "SIGNATURE",
    "Authenticate",
    "AvFlag",
    "AvId",
    "Challenge",
    "NtlmFlag",
    "parse_av_pairs",
    "parse_negotiate",
]

SIGNATURE: Final = b"NTLMSSP\0"
_NEGOTIATE, _CHALLENGE, _AUTHENTICATE = 1, 2, 3

_HEAD: Final = struct.Struct("<8sI")
_FIELD: Final = struct.Struct("<HHI")  # length, room, offset: MS-NLMP 2.2.2.10 and its siblings
_U32: Final = struct.Struct("<I")
_PAIR: Final = struct.Struct("<HH")
_NAME_MAX: Final = 512  # bytes of a name: a user's has 256 characters at most (MS-SAMR 3.1.1.6)

_AUTHENTICATE_SIZE: Final = 64  # without version and MIC, which old clients leave out
_MIC_SIZE: Final = 16
_BLOB_FIXED: Final = 28  # of an NTLMv2 response after its proof: MS-NLMP 2.2.2.7
_PROOF_SIZE: Final = 16

# Windows Server 2003: 5.2, build 3790, NTLMSSP revision 15. Nobody acts on it (MS-NLMP 2.2.2.10).
_VERSION: Final = struct.pack("<BBHHBB", 5, 2, 3790, 0, 0, 15)


class NtlmFlag(IntFlag):
    """NegotiateFlags (MS-NLMP 2.2.2.5), those that this side knows."""

    UNICODE = 0x00000001
    REQUEST_TARGET = 0x00000004
    SIGN = 0x00000010
    SEAL = 0x00000020
    NTLM = 0x00000200
    ALWAYS_SIGN = 0x00008000
    TARGET_TYPE_SERVER = 0x00020000
    EXTENDED_SESSION_SECURITY = 0x00080000
    TARGET_INFO = 0x00800000
    VERSION = 0x02000000
    KEY_128 = 0x20000000
    KEY_EXCHANGE = 0x40000000
    KEY_56 = 0x80000000


class AvId(IntEnum):
    """Identifiers of the pairs in a TargetInfo (MS-NLMP 2.2.2.1)."""

    EOL = 0
    COMPUTER_NAME = 1
    DOMAIN_NAME = 2
    DNS_COMPUTER_NAME = 3
    FLAGS = 6
    TIMESTAMP = 7


class AvFlag(IntFlag):
    """Bits of the pair FLAGS."""

    MIC_PROVIDED = 2


def _check_head(message: bytes, kind: int, size_min: int) -> None:
    if len(message) < size_min or _HEAD.unpack_from(message) != (SIGNATURE, kind):
        raise AuthenticationFailed(f"{len(message)} bytes that are no NTLM message {kind}")


def parse_negotiate(message: bytes) -> NtlmFlag:
    """What a client can do; its domain and workstation, if it names them, mean nothing here."""
    _check_head(message, _NEGOTIATE, 16)
    flags: int = _U32.unpack_from(message, 12)[0]
    return NtlmFlag(flags) & _KNOWN


_KNOWN: Final = NtlmFlag(sum(NtlmFlag))


@frozen
class Challenge:
    """CHALLENGE_MESSAGE (MS-NLMP 2.2.1.2). target: the server's name; info: AV pairs, in order."""

    flags: NtlmFlag
    nonce: bytes
    target: str
    info: tuple[tuple[AvId, bytes], ...]

    def pack(self) -> bytes:
        """The whole message."""
        pairs = b"".join(_PAIR.pack(kind, len(value)) + value for kind, value in self.info)
        pairs += _PAIR.pack(AvId.EOL, 0)
        target = self.target.encode("utf-16-le")
        start = 56
        return b"".join(
            (
                _HEAD.pack(SIGNATURE, _CHALLENGE),
                _FIELD.pack(len(target), len(target), start),
                _U32.pack(self.flags),
                self.nonce,
                bytes(8),
                _FIELD.pack(len(pairs), len(pairs), start + len(target)),
                _VERSION,
                target,
                pairs,
            )
        )


@frozen
class Authenticate:
    """AUTHENTICATE_MESSAGE (MS-NLMP 2.2.1.3), with an NTLMv2 response.

    proof: NTProofStr. blob: what it is made over, exactly as received. session_key: the encrypted
    one. mic_start: where the MIC stands, 0 without one.
    """

    raw: bytes = field(repr=False)
    domain: str
    user: str
    proof: bytes = field(repr=False)
    blob: bytes = field(repr=False)
    session_key: bytes = field(repr=False)
    flags: NtlmFlag
    mic_start: int

    @classmethod
    def parse(cls, message: bytes) -> Self:
        """From its bytes."""
        _check_head(message, _AUTHENTICATE, _AUTHENTICATE_SIZE)
        fields = [_FIELD.unpack_from(message, 12 + 8 * number) for number in range(6)]
        values = []
        for size, _, start in fields:
            if size and (start < _AUTHENTICATE_SIZE or start + size > len(message)):
                raise AuthenticationFailed(f"a field of {size} bytes at {start} is not within")
            values.append(message[start : start + size])
        _, response, domain, user, _, session_key = values
        flags: int = _U32.unpack_from(message, 60)[0]
        if not flags & NtlmFlag.UNICODE:
            raise AuthenticationFailed("names that are not Unicode")
        if not user:
            raise AuthenticationFailed("an anonymous client")
        if len(response) < _PROOF_SIZE + _BLOB_FIXED:
            raise AuthenticationFailed("no NTLMv2 response: NTLM and LM are not taken any more")
        payload = min(start for size, _, start in fields if size)
        return cls(
            message,
            _text(domain),
            _text(user),
            response[:_PROOF_SIZE],
            response[_PROOF_SIZE:],
            session_key,
            NtlmFlag(flags) & _KNOWN,
            _mic_start(payload),
        )

    @property
    def mic(self) -> bytes:
        """The message integrity code."""
        return self.raw[self.mic_start : self.mic_start + _MIC_SIZE]

    @property
    def without_mic(self) -> bytes:
        """The message with zeros in place of its MIC, over which that was made."""
        start, end = self.mic_start, self.mic_start + _MIC_SIZE
        return self.raw[:start] + bytes(_MIC_SIZE) + self.raw[end:]

    @property
    def has_mic(self) -> bool:
        """Whether the client says that there is a MIC (it says so under its proof)."""
        flags = parse_av_pairs(self.blob[_BLOB_FIXED:]).get(AvId.FLAGS, b"")
        return len(flags) == _U32.size and bool(_U32.unpack(flags)[0] & AvFlag.MIC_PROVIDED)


def _mic_start(payload: int) -> int:
    """Offset of the MIC: after the version, or in its place where a client leaves that out."""
    if payload >= _AUTHENTICATE_SIZE + len(_VERSION) + _MIC_SIZE:
        return _AUTHENTICATE_SIZE + len(_VERSION)
    return _AUTHENTICATE_SIZE if payload >= _AUTHENTICATE_SIZE + _MIC_SIZE else 0


def _text(data: bytes) -> str:
    if len(data) > _NAME_MAX:
        raise AuthenticationFailed(f"a name of {len(data)} bytes")
    try:
        return data.decode("utf-16-le")
    except UnicodeDecodeError:
        raise AuthenticationFailed("a name that is not UTF-16") from None


def parse_av_pairs(data: bytes) -> Mapping[int, bytes]:
    """AV pairs by identifier, up to the one that ends them; what follows it is not looked at."""
    found: dict[int, bytes] = {}
    position = 0
    while True:
        if position + _PAIR.size > len(data):
            raise AuthenticationFailed("AV pairs without an end")
        kind, size = _PAIR.unpack_from(data, position)
        if kind == AvId.EOL:
            return found
        position += _PAIR.size
        if position + size > len(data):
            raise AuthenticationFailed(f"an AV pair of {size} bytes that does not fit")
        found[kind] = data[position : position + size]
        position += size
