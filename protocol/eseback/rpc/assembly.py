"""Calls on their way in: fragments put together again, within limits.

A call in one fragment, which is what nearly all are, is never copied: its stub is a view of the
received bytes.
"""

from __future__ import annotations

import struct
import uuid
from typing import Final

from eseback.rpc.errors import RemoteProtocolError
from eseback.rpc.header import COMMON_SIZE, REQUEST_SIZE, Frame
from eseback.rpc.security import Security, protects_calls, split_body
from eseback.rpc.status import AuthLevel, FaultStatus, PfcFlag

__all__ = ["CallHeader", "PartialCall", "call_header", "check_size", "clear_stub"]

_CALL: Final = {True: struct.Struct("<IHH"), False: struct.Struct(">IHH")}
_OBJECT: Final = int(PfcFlag.OBJECT_UUID)
# Looking a member up in its enumeration costs as much as a call (CPython 3.11).
_CALL_LEVEL, _PACKET = int(AuthLevel.CALL), int(AuthLevel.PACKET)


class CallHeader:
    """What stands between the common header and the stub: hint, context, operation, object.

    `opnum` has no meaning in a response. `start` is where the stub begins.
    """

    __slots__ = ("alloc_hint", "context_id", "object_uuid", "opnum", "start")

    def __init__(
        self, alloc_hint: int, context_id: int, opnum: int, object_uuid: uuid.UUID | None
    ) -> None:
        self.alloc_hint = alloc_hint
        self.context_id = context_id
        self.opnum = opnum
        self.object_uuid = object_uuid
        self.start = REQUEST_SIZE if object_uuid is None else REQUEST_SIZE + 16


def call_header(frame: Frame, request: bool) -> CallHeader:
    """Header of a request or response fragment."""
    data = frame.data
    if len(data) < REQUEST_SIZE:
        raise RemoteProtocolError(f"a call fragment of {len(data)} bytes, at least {REQUEST_SIZE}")
    hint, context_id, opnum = _CALL[frame.little].unpack_from(data, COMMON_SIZE)
    object_uuid = None
    if request and frame.flags & _OBJECT:
        raw = bytes(data[REQUEST_SIZE : REQUEST_SIZE + 16])
        if len(raw) != 16:
            raise RemoteProtocolError("a request with an object UUID that ends before it")
        object_uuid = uuid.UUID(bytes_le=raw) if frame.little else uuid.UUID(bytes=raw)
    return CallHeader(hint, context_id, opnum, object_uuid)


def clear_stub(frame: Frame, start: int, security: Security | None) -> memoryview:
    """Stub of a fragment, its signature checked and its padding taken off.

    security: the context that the fragment has to be protected with, None for none. Raises
    RemoteProtocolError with ACCESS_DENIED for protection that is missing, wrong or unasked.
    """
    if not frame.auth_length:
        if protects_calls(security):
            raise RemoteProtocolError(
                "an unprotected fragment on a protected connection", FaultStatus.ACCESS_DENIED
            )
        return frame.data[start:]
    trailer, body, packed, signature = split_body(frame, start)
    level = _PACKET if trailer.level == _CALL_LEVEL else trailer.level
    if security is None or (trailer.auth_type, level, trailer.context_id) != (
        security.auth_type,
        security.level,
        security.context_id,
    ):
        raise RemoteProtocolError(
            f"a fragment protected by provider {trailer.auth_type} at level {trailer.level}, "
            f"context {trailer.context_id}, which was not agreed on",
            FaultStatus.ACCESS_DENIED,
        )
    stub_size = len(body) - trailer.pad_length
    if not protects_calls(security):
        return body[:stub_size]  # at CONNECT the signature means nothing
    clear = security.unprotect(frame.data[:start], body, packed, signature)
    return memoryview(clear)[:stub_size]


def check_size(size: int, size_max: int) -> None:
    """Whether a call may be so long; raises RemoteProtocolError."""
    if size > size_max:
        raise RemoteProtocolError(
            f"a call of more than {size_max} bytes", FaultStatus.ACCESS_DENIED
        )


class PartialCall:
    """A call of several fragments, of which the last has not arrived yet."""

    __slots__ = ("cancelled", "data", "header", "little", "maybe", "size_max")

    def __init__(self, frame: Frame, header: CallHeader, stub: memoryview, size_max: int) -> None:
        self.header = header
        self.little = frame.little
        self.size_max = size_max
        self.cancelled = False
        self.maybe = bool(frame.flags & PfcFlag.MAYBE)
        # One growing buffer: a list of views would let a peer that sends single bytes take a
        # hundred times the memory that the limit allows.
        self.data = bytearray()
        self._append(stub)

    def add(self, frame: Frame, header: CallHeader, stub: memoryview) -> None:
        """A later fragment; it must belong to the call in every respect."""
        first = self.header
        if frame.little != self.little:
            raise RemoteProtocolError("the byte order changed within a call")
        if header.context_id != first.context_id or header.opnum != first.opnum:
            raise RemoteProtocolError("context or operation changed within a call")
        self._append(stub)

    def _append(self, stub: memoryview) -> None:
        check_size(len(self.data) + len(stub), self.size_max)
        self.data += stub
