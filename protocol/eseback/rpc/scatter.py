"""Receiving a large response straight into the memory it is meant for.

The headers of a response can be predicted, because the server cuts it into fragments of the size
that was negotiated. So the transport can be told into which buffers to receive: a few bytes of
header here, a piece of payload there (`recvmsg_into`). Each header is held against its prediction
as soon as it is complete. A response that only ends sooner (a short read at the end of a file, an
error) is still in place. At the first header that differs otherwise (a server that cuts
differently, a fault) the bytes are put back in the order in which they came and parsed as any
others: a wrong guess costs a copy, never the response.
"""

from __future__ import annotations

from typing import Final

from eseback.rpc.errors import LocalProtocolError
from eseback.rpc.header import REQUEST_SIZE
from eseback.rpc.layout import Layout, Shape
from eseback.rpc.status import PfcFlag

__all__ = ["ScatterLayout", "ScatterRead"]

_FLAGS: Final = 3
_LENGTH: Final = slice(8, 10)
_HINT: Final = slice(16, 20)  # alloc_hint: only a hint, and servers count differently
_LAST: Final = int(PfcFlag.LAST_FRAG)


class ScatterLayout:
    """A layout with memory to receive into; one response at a time can use it.

    head, tail: what the stub is expected to begin and to end with.
    """

    __slots__ = ("head", "layout", "memory", "order", "tail")

    def __init__(
        self, head: bytes, payload: int, tail: bytes, context_id: int, fragment_max: int
    ) -> None:
        shape: Shape = (len(head), payload, len(tail))
        self.head, self.tail = head, tail
        self.layout = Layout(shape, context_id, fragment_max)
        self.layout.surround(head, tail)
        self.memory = bytearray(len(self.layout.frame))
        self.order = self.layout.over(self.memory)


class ScatterRead:
    """A response that is being received in place. Made by `ClientConnection.expect`.

    The transport receives into `buffers()` and reports with `received()`, until `complete` or no
    longer `predicted`; then `ClientConnection.finish` takes it. `exact`: it is complete, and all
    that stands around the payload is what was expected. `filled`: how many bytes of the payload's
    memory belong to the stub; in one that ended sooner its last bytes are among them, and its tail
    is empty.
    """

    __slots__ = (
        "_arrived",
        "_checked",
        "_end",
        "_order",
        "_scatter",
        "_waiting",
        "call_id",
        "complete",
        "exact",
        "filled",
        "predicted",
    )

    def __init__(self, call_id: int, scatter: ScatterLayout, payload: memoryview) -> None:
        layout = scatter.layout
        self.call_id = call_id
        self.complete = self.exact = False
        self.predicted = True
        self.filled = len(payload)
        self._scatter = scatter
        layout.number(call_id)
        self._order = self._waiting = layout.placed(scatter.order, payload)
        self._arrived = 0  # bytes
        self._checked = 0  # headers
        self._end = layout.total  # bytes of all of it, as far as is known

    def buffers(self) -> list[memoryview]:
        """Where the bytes that are still to come belong, in order."""
        return self._waiting

    def received(self, count: int) -> None:
        """So many bytes were received into `buffers()`; at least one."""
        scatter, layout = self._scatter, self._scatter.layout
        arrived = self._arrived + count
        if count <= 0 or arrived > layout.total or not self.predicted:
            raise LocalProtocolError(
                f"{count} bytes received, {layout.total - self._arrived} were expected"
            )
        self._arrived = arrived
        if arrived == layout.total:
            self.exact = scatter.memory == layout.frame
        if not self.exact and self._end == layout.total and not self._check_headers():
            self.predicted = False
            return
        if arrived < self._end:
            self._waiting = _after(self._waiting, count)
            return
        self._waiting = []
        self.predicted = self.complete = arrived == self._end

    def _check_headers(self) -> bool:
        """Whether those that are complete now are what was expected, or the last is the end."""
        memory, layout = self._scatter.memory, self._scatter.layout
        frame, ends = layout.frame, layout.ends
        number = self._checked
        while number < len(ends) and ends[number] <= self._arrived:
            start = layout.headers[number]
            actual = memory[start : start + REQUEST_SIZE]
            expected = frame[start : start + REQUEST_SIZE]
            if actual != expected:
                actual[_HINT] = expected[_HINT]
                if actual != expected:
                    return self._ends_here(number, actual, expected)
            number += 1
        self._checked = number
        return True

    def _ends_here(self, number: int, actual: bytearray, expected: bytearray) -> bool:
        """Whether a header differs only because it is that of the last fragment, and a shorter one:
        then all bytes are in place, those behind the data too.
        """
        length = int.from_bytes(actual[_LENGTH], "little")
        if not actual[_FLAGS] & _LAST or length > int.from_bytes(expected[_LENGTH], "little"):
            return False
        expected[_FLAGS] |= _LAST
        expected[_LENGTH] = actual[_LENGTH]
        begin = self._scatter.layout.ends[number] - REQUEST_SIZE
        stub = begin + length - REQUEST_SIZE * (number + 1)
        filled = stub - len(self._scatter.head)
        if actual != expected or length < REQUEST_SIZE or not 0 <= filled <= self.filled:
            return False
        self._end, self.filled = begin + length, filled
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
        scatter = self._scatter
        return scatter.head if self.exact else scatter.layout.head_of(scatter.memory)

    def tail(self) -> bytes:
        """Stub bytes after the payload."""
        scatter = self._scatter
        if self._end < scatter.layout.total:
            return b""
        return scatter.tail if self.exact else scatter.layout.tail_of(scatter.memory)


def _after(buffers: list[memoryview], count: int) -> list[memoryview]:
    """The buffers without their first `count` bytes, fewer than they have."""
    for number, buffer in enumerate(buffers):
        if count < len(buffer):
            rest = buffers[number:]
            rest[0] = buffer[count:]
            return rest
        count -= len(buffer)
    raise AssertionError("fewer bytes left than were received")
