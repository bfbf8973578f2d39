"""Receiving a large response straight into the memory it is meant for.

The headers of a response can be predicted, because the server cuts it into fragments of the size
that was negotiated. So the transport can be told into which buffers to receive: a few bytes of
header here, a piece of payload there (`recvmsg_into`). Each header is held against its prediction
as soon as it is complete. At the first one that differs (a short read at the end of a file, an
error, a server that cuts differently, a fault) the bytes are put back in the order in which they
came and parsed as any others: a wrong guess costs a copy, never the response.
"""

from __future__ import annotations

from typing import Final

from eseback.rpc.errors import LocalProtocolError
from eseback.rpc.fragment import capacity_of, pack_call
from eseback.rpc.header import REQUEST_SIZE
from eseback.rpc.status import PduType, PfcFlag

__all__ = ["ScatterLayout", "ScatterRead"]

_RESPONSE: Final = int(PduType.RESPONSE)
_FIRST, _LAST = int(PfcFlag.FIRST_FRAG), int(PfcFlag.LAST_FRAG)
_CALL_ID: Final = 12  # offset in a header
_HINT: Final = slice(16, 20)  # alloc_hint: only a hint, and servers count differently


class ScatterLayout:
    """Where the bytes of a response of one shape go; made once and used for every such response.

    head, payload, tail: bytes of its stub. It owns the memory for everything but the payload, so
    one response at a time can use it.
    """

    __slots__ = (
        "_context_id",
        "_last",
        "_order",
        "_pieces",
        "_slices",
        "ends",
        "full",
        "head",
        "headers",
        "size",
        "tail",
        "total",
    )

    def __init__(self, head: int, payload: int, tail: int, fragment_max: int) -> None:
        self.size = head + payload + tail
        capacity = capacity_of(fragment_max)
        sizes = [capacity] * (self.size // capacity)
        if self.size % capacity or not sizes:
            sizes.append(self.size % capacity)
        self.head, self.tail = bytearray(head), bytearray(tail)
        self.headers = bytearray(REQUEST_SIZE * len(sizes))
        self.full, self._last = REQUEST_SIZE + sizes[0], REQUEST_SIZE + sizes[-1]
        self.total = self.size + len(self.headers)
        # Stream offsets at which each header is complete.
        self.ends = [REQUEST_SIZE + self.full * number for number in range(len(sizes))]
        self._context_id = -1
        self._pieces: list[bytes] = []
        # All buffers in stream order; those at the places in _slices are parts of the payload.
        self._order: list[memoryview] = []
        self._slices: list[tuple[int, slice]] = []
        slots = memoryview(self.headers)
        start = 0
        for number, size in enumerate(sizes):
            self._order.append(slots[REQUEST_SIZE * number : REQUEST_SIZE * (number + 1)])
            self._place(start, start + size, head, head + payload)
            start += size

    def _place(self, start: int, end: int, payload_start: int, payload_end: int) -> None:
        """Places of the stub's bytes from start to end."""
        if start < payload_start:
            self._order.append(memoryview(self.head)[start : min(end, payload_start)])
        low, high = max(start, payload_start), min(end, payload_end)
        if low < high:
            part = slice(low - payload_start, high - payload_start)
            self._slices.append((len(self._order), part))
            self._order.append(memoryview(b""))
        if end > payload_end:
            low = max(start, payload_end)
            self._order.append(memoryview(self.tail)[low - payload_end : end - payload_end])

    def buffers(self, payload: memoryview) -> list[memoryview]:
        """All buffers in stream order."""
        order = self._order.copy()
        for index, part in self._slices:
            order[index] = payload[part]
        return order

    def expected(self, call_id: int, context_id: int) -> bytes:
        """All headers, with the whole stub's size as hint in each."""
        if context_id != self._context_id:
            self._pieces = self._between_call_ids(context_id)
            self._context_id = context_id
        return call_id.to_bytes(4, "little").join(self._pieces)

    def _between_call_ids(self, context_id: int) -> list[bytes]:
        """The headers without their call ids, which are all that differs from call to call."""
        headers = []
        last = len(self.ends) - 1
        for number in range(last + 1):
            flags = (_FIRST if number == 0 else 0) | (_LAST if number == last else 0)
            length = self._last if number == last else self.full
            headers.append(pack_call(_RESPONSE, flags, length, 0, self.size, context_id))
        joined = b"".join(headers)
        starts = range(_CALL_ID, len(joined), REQUEST_SIZE)
        edges = [0, *(edge for start in starts for edge in (start, start + 4)), len(joined)]
        return [joined[edges[i] : edges[i + 1]] for i in range(0, len(edges), 2)]


class ScatterRead:
    """A response that is being received in place. Made by `ClientConnection.expect`.

    The transport receives into `buffers()` and reports with `received()`, until `complete` or no
    longer `predicted`; then `ClientConnection.finish` takes it.
    """

    __slots__ = (
        "_arrived",
        "_checked",
        "_expected",
        "_layout",
        "_order",
        "_waiting",
        "call_id",
        "complete",
        "predicted",
    )

    def __init__(
        self, call_id: int, context_id: int, layout: ScatterLayout, payload: memoryview
    ) -> None:
        self.call_id = call_id
        self.complete = False
        self.predicted = True
        self._layout = layout
        self._expected = layout.expected(call_id, context_id)
        self._order = self._waiting = layout.buffers(payload)
        self._arrived = 0  # bytes
        self._checked = 0  # headers

    def buffers(self) -> list[memoryview]:
        """Where the bytes that are still to come belong, in order."""
        return self._waiting

    def received(self, count: int) -> None:
        """So many bytes were received into `buffers()`; at least one."""
        layout = self._layout
        arrived = self._arrived + count
        if count <= 0 or arrived > layout.total or not self.predicted:
            raise LocalProtocolError(
                f"{count} bytes received, {layout.total - self._arrived} were expected"
            )
        self._arrived = arrived
        if arrived == layout.total:
            self._waiting = []
            self.predicted = layout.headers == self._expected or self._matches(len(layout.ends))
            self.complete = self.predicted
            return
        self._waiting = _after(self._waiting, count)
        number, ends = self._checked, layout.ends
        while number < len(ends) and ends[number] <= arrived:
            number += 1
        if number > self._checked:
            self.predicted = self._matches(number)
            self._checked = number

    def _matches(self, count: int) -> bool:
        """Whether the headers before `count` that were not looked at are those expected."""
        for start in range(REQUEST_SIZE * self._checked, REQUEST_SIZE * count, REQUEST_SIZE):
            actual = self._layout.headers[start : start + REQUEST_SIZE]
            expected = self._expected[start : start + REQUEST_SIZE]
            if actual != expected:
                actual[_HINT] = expected[_HINT]
                if actual != expected:
                    return False
        return True

    def linear(self) -> bytes:
        """All bytes received so far, in the order in which they came."""
        left, parts = self._arrived, []
        for buffer in self._order:
            parts.append(buffer[:left])
            left -= len(buffer)
            if left <= 0:
                break
        return b"".join(parts)

    def head(self) -> bytes:
        """Stub bytes before the payload."""
        return bytes(self._layout.head)

    def tail(self) -> bytes:
        """Stub bytes after the payload."""
        return bytes(self._layout.tail)


def _after(buffers: list[memoryview], count: int) -> list[memoryview]:
    """The buffers without their first `count` bytes, fewer than they have."""
    for number, buffer in enumerate(buffers):
        if count < len(buffer):
            rest = buffers[number:]
            rest[0] = buffer[count:]
            return rest
        count -= len(buffer)
    raise AssertionError("fewer bytes left than were received")
