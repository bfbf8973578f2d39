"""What is done to a case before it is tried.

A case is a tuple of messages, each what one side sends at once: PDUs one behind the other, or a
stub. Some mutations know the layout of a PDU (C706 12.6), the others know nothing.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

Case: TypeAlias = tuple[bytes, ...]

MESSAGES_MAX: Final = 40
BYTES_MAX: Final = 1 << 18
_COMMON: Final = 16
_EXTREMES: Final = (
    *(0, 1, 2, 3, 4, 7, 8, 15, 16, 23, 24, 25, 0x7F, 0x80, 0xFF, 0x100, 1431, 1432, 4280),
    *(0x7FFF, 0x8000, 0xFFF8, 0xFFFF, 0x10000, 0x400000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF),
)
# Offset and size of the fields that decide most: those of the common header, then those that follow
# it in a request, response, fault or bind.
_FIELDS: Final = (
    *((0, 1), (1, 1), (2, 1), (3, 1), (4, 1), (5, 1), (8, 2), (10, 2), (12, 4)),
    *((16, 2), (18, 2), (16, 4), (20, 2), (20, 4), (22, 2), (24, 1), (24, 4), (28, 2), (30, 1)),
)
_PDU_TYPES: Final = (0, 2, 3, 11, 12, 13, 14, 15, 16, 17, 18, 19)


def split_pdus(message: bytes) -> list[bytes]:
    """The PDUs of a message, as far as it has any; what is left is the last piece."""
    pieces = []
    position = 0
    while len(message) - position >= _COMMON:
        order = "<" if message[position + 4] & 0xF0 else ">"
        (size,) = struct.unpack_from(order + "H", message, position + 8)
        if size < _COMMON or position + size > len(message):
            break
        pieces.append(message[position : position + size])
        position += size
    if position < len(message):
        pieces.append(message[position:])
    return pieces


def with_length(pdu: bytes) -> bytes:
    """A PDU whose length field says how long it is, so that the rest of it is looked at."""
    if not _COMMON <= len(pdu) <= 0xFFFF:
        return pdu
    order = "<" if pdu[4] & 0xF0 else ">"
    return pdu[:8] + struct.pack(order + "H", len(pdu)) + pdu[10:]


# ---- one message, as bytes


def _flip(rng: random.Random, data: bytearray) -> None:
    for _ in range(rng.choice((1, 1, 2, 4, 8))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _overwrite(rng: random.Random, data: bytearray) -> None:
    data[rng.randrange(len(data))] = rng.randrange(256)


def _extreme(rng: random.Random, data: bytearray) -> None:
    """A number, mostly where one stands, to a value at some edge."""
    size = rng.choice((1, 2, 4, 4, 8))
    if len(data) < size:
        return
    at = rng.randrange(0, len(data) - size + 1)
    _put(rng, data, at - at % rng.choice((1, size)), size)


def _put(rng: random.Random, data: bytearray, at: int, size: int) -> None:
    value = rng.choice(_EXTREMES) + rng.choice((0, 0, 0, 1, -1))
    mask = (1 << 8 * size) - 1
    data[at : at + size] = (value & mask).to_bytes(size, rng.choice(("little", "little", "big")))


def _cut(rng: random.Random, data: bytearray) -> None:
    start = rng.randrange(len(data))
    del data[start : start + _some(rng)]


def _repeat(rng: random.Random, data: bytearray) -> None:
    start = rng.randrange(len(data))
    piece = data[start : start + _some(rng)]
    at = rng.randrange(len(data) + 1)
    data[at:at] = piece * rng.choice((1, 1, 1, 2, 16))


def _insert(rng: random.Random, data: bytearray) -> None:
    at = rng.randrange(len(data) + 1)
    filler = rng.choice((bytes(_some(rng)), b"\xff" * _some(rng), rng.randbytes(_some(rng))))
    data[at:at] = filler


def _truncate(rng: random.Random, data: bytearray) -> None:
    del data[rng.randrange(len(data)) :]


def _some(rng: random.Random) -> int:
    return rng.choice((1, 1, 2, 4, 8, 16, rng.randrange(1, 64), rng.randrange(1, 2048)))


_BYTES: Final[Sequence[Callable[[random.Random, bytearray], None]]] = (
    *(_flip, _overwrite, _extreme, _extreme),
    *(_cut, _repeat, _insert, _truncate),
)


# ---- one PDU


def _header_field(rng: random.Random, pdu: bytes) -> bytes:
    at, size = rng.choice(_FIELDS)
    if at + size > len(pdu):
        return pdu
    data = bytearray(pdu)
    _put(rng, data, at, size)
    return bytes(data)


def _type(rng: random.Random, pdu: bytes) -> bytes:
    return pdu[:2] + bytes((rng.choice(_PDU_TYPES),)) + pdu[3:]


def _flags(rng: random.Random, pdu: bytes) -> bytes:
    return pdu[:3] + bytes((pdu[3] ^ 1 << rng.randrange(8),)) + pdu[4:]


def _call_id(rng: random.Random, pdu: bytes) -> bytes:
    return pdu[:12] + struct.pack("<I", rng.randrange(5)) + pdu[16:]


def _other_byte_order(rng: random.Random, pdu: bytes) -> bytes:
    """The header in the other byte order; the rest is left as it is, and wrong."""
    drep = bytes(4) if pdu[4] & 0xF0 else b"\x10\0\0\0"
    return pdu[:4] + drep + pdu[9:7:-1] + pdu[11:9:-1] + pdu[15:11:-1] + pdu[16:]


def _fragments(rng: random.Random, pdu: bytes) -> bytes:
    """A call in one fragment as one in several."""
    if len(pdu) < 32 or pdu[2] not in (0, 2) or pdu[3] & 3 != 3:
        return pdu
    header, stub = pdu[:24], pdu[24:]
    step = 8 * rng.randrange(1, max(2, len(stub) // 8 + 1))
    pieces = [stub[at : at + step] for at in range(0, len(stub), step)][:64]
    out = []
    for number, piece in enumerate(pieces):
        flags = pdu[3] & ~3 | (number == 0) | (number == len(pieces) - 1) << 1
        out.append(with_length(header[:3] + bytes((flags,)) + header[4:] + piece))
    return b"".join(out)


_PDUS: Final[Sequence[Callable[[random.Random, bytes], bytes]]] = (
    *(_header_field, _header_field, _header_field),
    *(_type, _flags, _call_id, _other_byte_order, _fragments),
)


# ---- a case


def _mutate_message(rng: random.Random, message: bytes, framed: bool) -> bytes:
    if not message:
        return rng.randbytes(_some(rng))
    if not framed or rng.random() < 0.1:
        data = bytearray(message)
        rng.choice(_BYTES)(rng, data)
        return bytes(data)
    pdus = split_pdus(message)
    at = rng.randrange(len(pdus))
    if len(pdus[at]) >= _COMMON and rng.random() < 0.5:
        pdus[at] = rng.choice(_PDUS)(rng, pdus[at])
    else:
        data = bytearray(pdus[at])
        rng.choice(_BYTES)(rng, data)
        # Mostly the length is put right: behind a wrong one nothing is looked at any more.
        pdus[at] = with_length(bytes(data)) if rng.random() < 0.8 else bytes(data)
    return b"".join(pdus)


def _mutate_order(rng: random.Random, messages: list[bytes], other: Case) -> None:
    """Messages left out, repeated, exchanged, joined, split, or taken from another case."""
    at = rng.randrange(len(messages))
    how = rng.randrange(6)
    if how == 0 and len(messages) > 1:
        del messages[at]
    elif how == 1:
        messages[at:at] = [messages[at]] * rng.choice((1, 1, 2, 20))
    elif how == 2:
        to = rng.randrange(len(messages))
        messages[at], messages[to] = messages[to], messages[at]
    elif how == 3 and at + 1 < len(messages):
        messages[at : at + 2] = [messages[at] + messages[at + 1]]
    elif how == 4 and len(messages[at]) > 1:
        cut = rng.randrange(1, len(messages[at]))
        messages[at : at + 1] = [messages[at][:cut], messages[at][cut:]]
    elif other:
        start = rng.randrange(len(other))
        messages[at:at] = other[start : start + rng.randrange(1, 4)]


def mutate(rng: random.Random, case: Case, other: Case, *, framed: bool = True) -> Case:
    """A few mutations of a case. framed: its messages are PDUs; else the first one is kept, which
    says what the others are."""
    messages = list(case) or [b""]
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        if framed and rng.random() < 0.25:
            _mutate_order(rng, messages, other)
        else:
            at = rng.randrange(len(messages)) if framed else len(messages) - 1
            messages[at] = _mutate_message(rng, messages[at], framed)
    room, kept = BYTES_MAX, []
    for message in messages[:MESSAGES_MAX]:
        kept.append(message[:room])
        room -= len(kept[-1])
    return tuple(kept)
