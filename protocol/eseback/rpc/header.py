"""The 16 bytes that every connection-oriented PDU starts with (C706 12.6.3.1).

Byte order follows the sender's data representation; both are read, little-endian is written.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from eseback.rpc.errors import RemoteProtocolError

__all__ = [
    "COMMON_SIZE",
    "DREP_LITTLE",
    "FRAGMENT_MAX",
    "FRAGMENT_MIN",
    "REQUEST_SIZE",
    "Frame",
    "VersionError",
    "call_id_of",
    "frame_length",
    "pack_common",
    "parse_frame",
]

COMMON_SIZE: Final = 16
REQUEST_SIZE: Final = 24  # of a request or response, without object UUID
FRAGMENT_MIN: Final = 1432  # MustRecvFragSize, C706 12.6.3.2: what every receiver takes
FRAGMENT_MAX: Final = 65528  # the largest multiple of 8 that the 16-bit length field can say

RPC_VERSION: Final = 5
MINOR_VERSIONS: Final = (0, 1)
DREP_LITTLE: Final = b"\x10\0\0\0"

_COMMON: Final = {True: struct.Struct("<BBBB4sHHI"), False: struct.Struct(">BBBB4sHHI")}
_LITTLE: Final = _COMMON[True]
_LENGTH: Final = {True: struct.Struct("<H"), False: struct.Struct(">H")}
# Integer order in the high half of the first octet, ASCII in the low one, IEEE floats, two
# reserved octets (C706 14.1). EBCDIC and other floats are refused: nothing of ours needs them.
_LITTLE_BY_DREP: Final = {DREP_LITTLE: True, bytes(4): False}


class VersionError(RemoteProtocolError):
    """The peer speaks another version of the protocol."""


class Frame(NamedTuple):
    """One PDU with its common header checked; `data` is the whole PDU."""

    ptype: int
    flags: int
    little: bool
    auth_length: int
    call_id: int
    data: memoryview


def pack_common(
    ptype: int, flags: int, frag_length: int, call_id: int, auth_length: int = 0
) -> bytes:
    """The common header of a PDU of ours."""
    return _LITTLE.pack(
        RPC_VERSION, 0, ptype, flags, DREP_LITTLE, frag_length, auth_length, call_id
    )


def call_id_of(data: bytes | memoryview) -> int:
    """The call identifier of a header that is otherwise wrong, so that it can be answered."""
    little = data[4] & 0xF0 != 0
    call_id: int = _COMMON[little].unpack_from(data)[7]
    return call_id


def frame_length(data: bytes | bytearray | memoryview, start: int, limit: int) -> int:
    """Length of the PDU whose first 16 bytes start at `start`, checked before any of the rest.

    limit: the most this side receives. Raises VersionError and RemoteProtocolError.
    """
    if data[start] != RPC_VERSION or data[start + 1] not in MINOR_VERSIONS:
        raise VersionError(f"protocol version {data[start]}.{data[start + 1]}, expected 5.0 or 5.1")
    drep = bytes(data[start + 4 : start + 8])
    little = _LITTLE_BY_DREP.get(drep)
    if little is None:
        raise RemoteProtocolError(f"data representation {drep.hex()} is not supported")
    length: int = _LENGTH[little].unpack_from(data, start + 8)[0]
    if length < COMMON_SIZE:
        raise RemoteProtocolError(f"a PDU of {length} bytes is shorter than its header")
    if length > limit:
        raise RemoteProtocolError(f"a PDU of {length} bytes, the limit is {limit}")
    return length


def parse_frame(data: memoryview) -> Frame:
    """Split the common header off a whole PDU whose length `frame_length` has checked."""
    little = data[4] == DREP_LITTLE[0]
    _, _, ptype, flags, _, length, auth_length, call_id = _COMMON[little].unpack_from(data)
    if auth_length and auth_length + 8 + COMMON_SIZE > length:
        raise RemoteProtocolError(
            f"{auth_length} bytes of authentication do not fit into a PDU of {length} bytes"
        )
    return Frame(ptype, flags, little, auth_length, call_id, data)
