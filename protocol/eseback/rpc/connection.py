"""What both ends of a connection share: limits, and PDUs cut out of the byte stream."""

from __future__ import annotations

import struct
from typing import Final

from eseback.rpc.errors import LocalProtocolError
from eseback.rpc.fragment import Buffer
from eseback.rpc.header import COMMON_SIZE, REQUEST_SIZE, Frame, frame_length, parse_frame
from eseback.rpc.limits import Limits

__all__ = ["WHOLE_REQUEST", "WHOLE_RESPONSE", "Inbox", "Limits"]

# First eight bytes of a call in one fragment: version 5.0, type, both flags, little-endian.
WHOLE_REQUEST: Final = b"\x05\x00\x00\x03\x10\x00\x00\x00"
WHOLE_RESPONSE: Final = b"\x05\x00\x02\x03\x10\x00\x00\x00"
_SIMPLE: Final = struct.Struct("<8sHHI4xHH")  # the allocation hint is skipped


class Inbox:
    """Received bytes that are not taken as PDUs yet; at most one incomplete PDU stays behind."""

    __slots__ = ("_buffer", "_chunk", "_position", "closed")

    def __init__(self) -> None:
        self._chunk = memoryview(b"")
        self._position = 0
        self._buffer = bytearray()
        self.closed = False

    def __len__(self) -> int:
        return len(self._buffer) + len(self._chunk) - self._position

    def add(self, data: Buffer) -> None:
        """More bytes; none say that the peer has closed.

        `bytes` are kept without a copy, anything else is copied, because it may be reused.
        """
        if self.closed:
            raise LocalProtocolError("data after the end of the connection")
        if not data:
            self.closed = True
        elif self._buffer:
            self._buffer += data
        elif self._position < len(self._chunk):
            self._buffer += self._chunk[self._position :]
            self._buffer += data
            self._chunk = memoryview(b"")
            self._position = 0
        else:
            self._chunk = memoryview(data if isinstance(data, bytes) else bytes(data))
            self._position = 0

    def header(self) -> memoryview | None:
        """The next 16 bytes, to answer a PDU that is no good; None if there are fewer."""
        if len(self) < COMMON_SIZE:
            return None
        if self._buffer:
            return memoryview(bytes(self._buffer[:COMMON_SIZE]))
        return self._chunk[self._position : self._position + COMMON_SIZE]

    def take(self, limit: int) -> Frame | None:
        """The next PDU of at most `limit` bytes; None while it is incomplete.

        Raises RemoteProtocolError as soon as its header is no good; nothing is taken then.
        """
        buffer = self._buffer
        if buffer:
            if len(buffer) < COMMON_SIZE:
                return None
            length = frame_length(buffer, 0, limit)
            if len(buffer) < length:
                return None
            frame = parse_frame(memoryview(bytes(memoryview(buffer)[:length])))
            del buffer[:length]
            return frame
        chunk, start = self._chunk, self._position
        if len(chunk) - start < COMMON_SIZE:
            return None
        end = start + frame_length(chunk, start, limit)
        if len(chunk) < end:
            return None
        frame = parse_frame(chunk[start:end])
        self._position = end
        return frame

    def take_simple(self, kind: bytes, limit: int) -> tuple[int, int, int, memoryview] | None:
        """Call id, context, operation and stub of the commonest PDU of all, without detours.

        That is a whole call or answer in one fragment of at most `limit` bytes, of version 5.0,
        without protection. kind: its first eight bytes. None for any other, which `take` takes.
        """
        chunk, start = self._chunk, self._position
        if len(chunk) - start < REQUEST_SIZE or self._buffer:
            return None
        prefix, length, auth_length, call_id, context_id, opnum = _SIMPLE.unpack_from(chunk, start)
        end = start + length
        if prefix != kind or auth_length or not REQUEST_SIZE <= length <= limit or end > len(chunk):
            return None
        self._position = end
        return call_id, context_id, opnum, chunk[start + REQUEST_SIZE : end]

    def whole(self, data: bytes, kind: bytes, limit: int) -> tuple[int, int, int] | None:
        """What `take_simple` would give of `data`, if it is one such PDU and nothing else is held.

        Without the stub, which is the rest from REQUEST_SIZE on. Nothing is taken or kept: data
        that is anything else has to be added.
        """
        if len(data) < REQUEST_SIZE or self._buffer or self._position < len(self._chunk):
            return None
        prefix, length, auth_length, call_id, context_id, opnum = _SIMPLE.unpack_from(data)
        if prefix != kind or auth_length or length != len(data) or length > limit or self.closed:
            return None
        return call_id, context_id, opnum
