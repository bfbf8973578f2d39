"""Where security sits in a PDU, and what a security provider has to offer.

A protected PDU ends with a trailer of 8 bytes (`sec_trailer`, MS-RPCE 2.2.2.11) and a token: the
authentication token while a connection is set up, the signature ("verifier") of each fragment
afterwards. This module has the layout; the cryptography is a `Security` object that the layer
above hands to a connection once the exchange of tokens has ended.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol, TypeAlias

from eseback.data import frozen
from eseback.rpc.errors import RemoteProtocolError
from eseback.rpc.header import COMMON_SIZE, REQUEST_SIZE, Frame
from eseback.rpc.status import AuthLevel

__all__ = [
    "BODY_ALIGNMENT",
    "TRAILER_SIZE",
    "AuthToken",
    "Buffer",
    "Security",
    "SecurityTrailer",
    "protects_calls",
    "split_body",
    "token_of",
]

Buffer: TypeAlias = bytes | bytearray | memoryview

TRAILER_SIZE: Final = 8
# The trailer starts at a multiple of 16 from the start of the stub; 4 has to be taken from older
# peers (MS-RPCE 2.2.2.11).
BODY_ALIGNMENT: Final = 16
_ALIGNMENT_MIN: Final = 4

_TRAILER: Final = {True: struct.Struct("<BBBBI"), False: struct.Struct(">BBBBI")}
_LITTLE: Final = _TRAILER[True]
# Looking a member up in its enumeration costs as much as a call (CPython 3.11).
_CALL: Final = int(AuthLevel.CALL)


class SecurityTrailer(NamedTuple):
    """`sec_trailer`: security provider, level, bytes of padding before it, security context."""

    auth_type: int
    level: int
    pad_length: int
    context_id: int

    def pack(self) -> bytes:
        """8 bytes, little-endian."""
        return _LITTLE.pack(self.auth_type, self.level, self.pad_length, 0, self.context_id)


@frozen
class AuthToken:
    """One step of an authentication: provider, level, security context, and its opaque bytes."""

    auth_type: int
    level: int
    context_id: int
    token: bytes

    def trailer(self, pad_length: int) -> bytes:
        """Trailer and token, as they end a PDU that sets up a connection."""
        trailer = SecurityTrailer(self.auth_type, self.level, pad_length, self.context_id)
        return trailer.pack() + self.token


class Security(Protocol):
    """An established security context: what a provider does to each fragment.

    `header` is everything before the stub (common header, request or response header, object
    UUID), `body` the stub with its padding, `trailer` the 8 bytes of `SecurityTrailer`. All three
    are signed where header signing was agreed on (and always by NTLM), the body alone otherwise;
    at PRIVACY the body is sealed as well. Which of it is done is the object's own business.
    """

    auth_type: int
    level: int
    context_id: int
    signature_size: int

    def protect(
        self, header: Buffer, body: Sequence[Buffer], trailer: Buffer
    ) -> tuple[Sequence[Buffer], bytes]:
        """Body as it travels (of the same length in all) and the signature (`signature_size`
        bytes). What is not sealed is given back as it is, not copied.
        """
        ...

    def unprotect(self, header: Buffer, body: Buffer, trailer: Buffer, signature: Buffer) -> Buffer:
        """Body in clear; raises RemoteProtocolError when the signature is wrong."""
        ...

    def verify(
        self, header: Buffer, body: Sequence[Buffer], trailer: Buffer, signature: Buffer
    ) -> None:
        """The same for a body in pieces that is not sealed."""
        ...


def protects_calls(security: Security | None) -> bool:
    """Whether each fragment of a call carries a signature; at CONNECT none does."""
    return security is not None and security.level >= _CALL


def _trailer_of(frame: Frame, body_start: int) -> tuple[SecurityTrailer, int]:
    """Trailer of a PDU that has one, and where it starts; both checked against the PDU."""
    start = len(frame.data) - frame.auth_length - TRAILER_SIZE
    if start < body_start:
        raise RemoteProtocolError("the security trailer overlaps the PDU's own fields")
    auth_type, level, pad, _, context_id = _TRAILER[frame.little].unpack_from(frame.data, start)
    return SecurityTrailer(auth_type, level, pad, context_id), start


def token_of(frame: Frame, body_end: int, may_be_empty: bool = False) -> AuthToken | None:
    """Authentication token of a PDU that sets up a connection; None if it has none.

    body_end: where the PDU's own fields end; up to there and the trailer only padding may stand.
    A pad length without any padding is forgiven, as Windows does, where it would fit.
    may_be_empty: there may be a trailer with no token after it.
    """
    size = len(frame.data)
    if not frame.auth_length and not (may_be_empty and size - body_end >= TRAILER_SIZE):
        if body_end != size:
            raise RemoteProtocolError(f"{size - body_end} bytes follow the last field")
        return None
    trailer, start = _trailer_of(frame, body_end)
    gap = start - body_end
    room = size - REQUEST_SIZE - TRAILER_SIZE - frame.auth_length
    if trailer.pad_length > max(room, 0) or gap not in (0, trailer.pad_length):
        raise RemoteProtocolError(
            f"authentication padding of {trailer.pad_length} bytes announced, {gap} found"
        )
    token = bytes(frame.data[start + TRAILER_SIZE :])
    return AuthToken(trailer.auth_type, trailer.level, trailer.context_id, token)


def split_body(
    frame: Frame, body_start: int
) -> tuple[SecurityTrailer, memoryview, memoryview, memoryview]:
    """Trailer, body with padding, trailer bytes and signature of a protected fragment."""
    trailer, start = _trailer_of(frame, body_start)
    if (start - COMMON_SIZE) % _ALIGNMENT_MIN:
        raise RemoteProtocolError(f"the security trailer at offset {start} is not aligned")
    if trailer.pad_length > start - body_start:
        raise RemoteProtocolError(
            f"{trailer.pad_length} bytes of padding in a body of {start - body_start}"
        )
    data = frame.data
    end = start + TRAILER_SIZE
    return trailer, data[body_start:start], data[start:end], data[end:]
