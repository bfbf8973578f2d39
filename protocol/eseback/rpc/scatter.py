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
from eseback.rpc.header import REQUEST_SIZE
from eseback.rpc.layout import Layout, Shape

__all__ = ["ScatterLayout", "ScatterRead"]

_HINT: Final = slice(16, 20)  # alloc_hint: only a hint, and servers count differently


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
    that stands around the payload is what was expected.
    """

    __slots__ = (
        "_arrived",
        "_checked",
        "_order",
        "_scatter",
        "_waiting",
        "call_id",
        "complete",
        "exact",
        "predicted",
    )

    def __init__(self, call_id: int, scatter: ScatterLayout, payload: memoryview) -> None:
        self.call_id = call_id
        self.complete = self.exact = False
        self.predicted = True
        self._scatter = scatter
        scatter.layout.number(call_id)
        self._order = self._waiting = scatter.layout.placed(scatter.order, payload)
        self._arrived = 0  # bytes
        self._checked = 0  # headers

    def buffers(self) -> list[memoryview]:
        """Where the bytes that are still to come belong, in order."""
        return self._waiting

    def received(self, count: int) -> None:
        """So many bytes were received into `buffers()`; at least one."""
        layout = self._scatter.layout
        arrived = self._arrived + count
        if count <= 0 or arrived > layout.total or not self.predicted:
            raise LocalProtocolError(
                f"{count} bytes received, {layout.total - self._arrived} were expected"
            )
        self._arrived = arrived
        if arrived == layout.total:
            self._waiting = []
            self.exact = self._scatter.memory == layout.frame
            self.predicted = self.complete = self.exact or self._matches(len(layout.ends))
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
        memory, frame = self._scatter.memory, self._scatter.layout.frame
        for start in self._scatter.layout.headers[self._checked : count]:
            actual = memory[start : start + REQUEST_SIZE]
            expected = frame[start : start + REQUEST_SIZE]
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
        scatter = self._scatter
        return scatter.head if self.exact else scatter.layout.head_of(scatter.memory)

    def tail(self) -> bytes:
        """Stub bytes after the payload."""
        scatter = self._scatter
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
