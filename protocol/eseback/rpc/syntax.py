"""Syntax identifiers: interfaces, transfer syntaxes, and the one that carries feature bits.

A presentation syntax is a UUID with a version (C706 12.6.3.1 `p_syntax_id_t`).
"""

from __future__ import annotations

import struct
import uuid
from typing import Final

from eseback.data import frozen
from eseback.rpc.errors import RemoteProtocolError
from eseback.rpc.status import BindFeature

__all__ = [
    "NDR32",
    "NDR64",
    "NULL_SYNTAX",
    "SYNTAX_SIZE",
    "SyntaxId",
    "feature_bits",
    "feature_syntax",
]

SYNTAX_SIZE: Final = 20
# One number of 32 bits, the major version in its lower half; so in big-endian order the minor
# version comes first.
_VERSION: Final = {True: struct.Struct("<I"), False: struct.Struct(">I")}
_FEATURE_PREFIX: Final = bytes.fromhex("2c1cb76c12984045")  # 6CB71C2C-9812-4540, first 8 octets


@frozen
class SyntaxId:
    """An interface or a transfer syntax: UUID, major and minor version."""

    uuid: uuid.UUID
    major: int
    minor: int = 0

    def __str__(self) -> str:
        return f"{self.uuid} v{self.major}.{self.minor}"

    def pack(self) -> bytes:
        """20 bytes, little-endian."""
        return self.uuid.bytes_le + _VERSION[True].pack(self.major | self.minor << 16)

    @classmethod
    def unpack(cls, data: bytes | memoryview, little: bool) -> SyntaxId:
        """From exactly 20 bytes in either byte order."""
        raw = bytes(data)
        if len(raw) != SYNTAX_SIZE:
            raise RemoteProtocolError(f"a syntax identifier of {len(raw)} bytes, expected 20")
        version: int = _VERSION[little].unpack_from(raw, 16)[0]
        identifier = uuid.UUID(bytes_le=raw[:16]) if little else uuid.UUID(bytes=raw[:16])
        return cls(identifier, version & 0xFFFF, version >> 16)

    def serves(self, wanted: SyntaxId) -> bool:
        """Whether a server with this interface can serve a client that wants the other one.

        Same UUID and major version, minor at least the client's (C706 6.2.3.2).
        """
        return (
            self.uuid == wanted.uuid and self.major == wanted.major and self.minor >= wanted.minor
        )


NDR32: Final = SyntaxId(uuid.UUID("8a885d04-1ceb-11c9-9fe8-08002b104860"), 2)
NDR64: Final = SyntaxId(uuid.UUID("71710533-beba-4937-8319-b5dbef9ccc36"), 1)
NULL_SYNTAX: Final = SyntaxId(uuid.UUID(int=0), 0)


def feature_syntax(features: BindFeature) -> SyntaxId:
    """The pretended transfer syntax by which a client offers features (MS-RPCE 3.3.1.5.3)."""
    octets = _FEATURE_PREFIX + int(features).to_bytes(8, "little")
    return SyntaxId(uuid.UUID(bytes_le=octets), 1)


def feature_bits(syntax: SyntaxId) -> BindFeature | None:
    """Features that a transfer syntax offers; None if it is a real transfer syntax."""
    octets = syntax.uuid.bytes_le
    if not octets.startswith(_FEATURE_PREFIX) or (syntax.major, syntax.minor) != (1, 0):
        return None
    # Only the first of the eight octets has bits with a meaning, and of those two.
    return BindFeature(octets[8] & 3)
