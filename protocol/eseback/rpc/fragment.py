"""Calls on their way out: a stub cut into request or response fragments.

The stub is a sequence of buffers and stays one: the result is a list for `sendmsg`, headers
between views of the caller's own memory, and no payload byte is copied. With a security context
that signs or seals, each fragment's bytes are handed to it instead, which cannot be done in place.
Layout: C706 12.6.4.9 (request), 12.6.4.10 (response).
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Iterable, Sequence
from typing import Final

from eseback.rpc.errors import LocalProtocolError
from eseback.rpc.header import DREP_LITTLE, REQUEST_SIZE
from eseback.rpc.security import (
    BODY_ALIGNMENT,
    TRAILER_SIZE,
    Buffer,
    Security,
    SecurityTrailer,
    protects_calls,
)
from eseback.rpc.status import PduType, PfcFlag

__all__ = ["Buffer", "capacity_of", "cut", "fragment_request", "fragment_response", "pack_call"]

OBJECT_SIZE: Final = 16
_FIRST: Final = int(PfcFlag.FIRST_FRAG)
_LAST: Final = int(PfcFlag.LAST_FRAG)
_OBJECT: Final = int(PfcFlag.OBJECT_UUID)
_REQUEST: Final = int(PduType.REQUEST)
_RESPONSE: Final = int(PduType.RESPONSE)

# Common header, alloc_hint, context id; then the operation number of a request, or a response's
# cancel count with a reserved octet, always 0 here.
_CALL: Final = struct.Struct("<BBBB4sHHIIHH")


def pack_call(
    ptype: int,
    flags: int,
    frag_length: int,
    call_id: int,
    alloc_hint: int,
    context_id: int,
    opnum: int = 0,
    auth_length: int = 0,
) -> bytes:
    """The 24 bytes before a fragment's stub."""
    return _CALL.pack(
        5,
        0,
        ptype,
        flags,
        DREP_LITTLE,
        frag_length,
        auth_length,
        call_id,
        alloc_hint,
        context_id,
        opnum,
    )


def capacity_of(fragment_max: int, security: Security | None = None, overhead: int = 0) -> int:
    """Stub bytes that fit into a fragment; all fragments but the last carry exactly as many.

    overhead: bytes of the header beyond the usual 24.
    """
    if security is None or not protects_calls(security):
        return (fragment_max - REQUEST_SIZE - overhead) & ~7
    room = fragment_max - REQUEST_SIZE - overhead - TRAILER_SIZE - security.signature_size
    return room & ~(BODY_ALIGNMENT - 1)


def cut(buffers: Iterable[Buffer], capacity: int) -> list[list[Buffer]]:
    """The buffers, or views of them, in pieces of `capacity` bytes; the last may be shorter.

    There is always at least one piece; it is empty if the buffers are.
    """
    piece: list[Buffer] = []
    pieces = [piece]
    room = capacity
    for buffer in buffers:
        size = len(buffer)
        if size <= room:
            if size:
                piece.append(buffer)
                room -= size
            continue
        view, position = memoryview(buffer), 0
        while position < size:
            if not room:
                piece = []
                pieces.append(piece)
                room = capacity
            end = position + room
            if end > size:
                end = size
            piece.append(view[position:end])
            room -= end - position
            position = end
    return pieces


def fragment_response(
    call_id: int,
    context_id: int,
    stub: Sequence[Buffer],
    fragment_max: int,
    security: Security | None = None,
) -> list[Buffer]:
    """All fragments of a response.

    Every header has the size of the whole response as allocation hint, so the headers between the
    first and the last are one and the same object.
    """
    size = sum(map(len, stub))
    if security is not None and protects_calls(security):
        return _protected(_RESPONSE, call_id, context_id, 0, stub, fragment_max, security, None)
    capacity = capacity_of(fragment_max)
    if size <= capacity:
        header = _CALL.pack(
            5,
            0,
            _RESPONSE,
            3,
            DREP_LITTLE,
            REQUEST_SIZE + size,
            0,
            call_id,
            size,
            context_id,
            0,
        )
        return [header, *stub]
    pieces = cut(stub, capacity)
    last = len(pieces) - 1
    full, rest = REQUEST_SIZE + capacity, REQUEST_SIZE + size - capacity * last
    pack = _CALL.pack
    out: list[Buffer] = [
        pack(5, 0, _RESPONSE, _FIRST, DREP_LITTLE, full, 0, call_id, size, context_id, 0)
    ]
    out += pieces[0]
    if last > 1:
        middle = pack(5, 0, _RESPONSE, 0, DREP_LITTLE, full, 0, call_id, size, context_id, 0)
        for index in range(1, last):
            out.append(middle)
            out += pieces[index]
    out.append(pack(5, 0, _RESPONSE, _LAST, DREP_LITTLE, rest, 0, call_id, size, context_id, 0))
    out += pieces[last]
    return out


def fragment_request(
    call_id: int,
    context_id: int,
    opnum: int,
    stub: Sequence[Buffer],
    fragment_max: int,
    security: Security | None = None,
    object_uuid: uuid.UUID | None = None,
    maybe: bool = False,
) -> list[Buffer]:
    """All fragments of a request. The allocation hint is what is still to come."""
    size = sum(map(len, stub))
    if security is None and object_uuid is None and not maybe:
        length = REQUEST_SIZE + size
        if length <= fragment_max:
            header = _CALL.pack(
                5, 0, 0, 3, DREP_LITTLE, length, 0, call_id, size, context_id, opnum
            )
            return [header, *stub]
    extra = int(PfcFlag.MAYBE) if maybe else 0
    if security is not None and protects_calls(security):
        return _protected(
            _REQUEST, call_id, context_id, opnum, stub, fragment_max, security, object_uuid, extra
        )
    identity = b""
    if object_uuid is not None:
        identity, extra = object_uuid.bytes_le, extra | _OBJECT
    start = REQUEST_SIZE + len(identity)
    capacity = capacity_of(fragment_max, None, len(identity))
    out: list[Buffer] = []
    flags, left = _FIRST | extra, size
    for piece in cut(stub, capacity):
        here = min(left, capacity)
        if here == left:
            flags |= _LAST
        out.append(
            pack_call(_REQUEST, flags, start + here, call_id, left, context_id, opnum) + identity
        )
        out += piece
        left -= here
        flags = extra
    return out


def _protected(
    ptype: int,
    call_id: int,
    context_id: int,
    opnum: int,
    stub: Sequence[Buffer],
    fragment_max: int,
    security: Security,
    object_uuid: uuid.UUID | None,
    extra: int = 0,
) -> list[Buffer]:
    """Fragments, each with padding, security trailer and signature of its own."""
    identity = b""
    if object_uuid is not None:
        identity, extra = object_uuid.bytes_le, extra | _OBJECT
    pieces = cut(stub, capacity_of(fragment_max, security, len(identity)))
    last, size = len(pieces) - 1, security.signature_size
    fixed = REQUEST_SIZE + len(identity) + TRAILER_SIZE + size
    left = sum(map(len, stub))
    out: list[Buffer] = []
    for number, piece in enumerate(pieces):
        stub_size = sum(map(len, piece))
        pad = -stub_size % BODY_ALIGNMENT
        flags = extra | (_FIRST if number == 0 else 0) | (_LAST if number == last else 0)
        length = fixed + stub_size + pad
        header = pack_call(ptype, flags, length, call_id, left, context_id, opnum, size) + identity
        trailer = SecurityTrailer(
            security.auth_type, security.level, pad, security.context_id
        ).pack()
        body: Sequence[Buffer] = (*piece, bytes(pad)) if pad else piece
        sealed, signature = security.protect(header, body, trailer)
        if len(signature) != size or sum(map(len, sealed)) != stub_size + pad:
            raise LocalProtocolError(
                f"the security context gave {len(signature)} bytes of signature for {size}"
            )
        out += [header, *sealed, trailer + signature]
        left -= stub_size
    return out
