"""Calls that are byte for byte the one before, but for their number.

In a backup nearly every call is: the same context, the same file, as many bytes as last time. So
both ends keep what they have worked out for it. A server knows such a request by comparing bytes
and has the answer's surroundings ready; a client has the request ready, and knows the answer by one
comparison. Whatever is not exactly so is dealt with in the usual way. Only what is whole, in one
fragment and without protection ever gets here, because nothing else is remembered.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from eseback.rpc.fragment import Buffer
from eseback.rpc.layout import ONE_FRAGMENT, Layout
from eseback.rpc.scatter import ScatterLayout, ScatterRead

__all__ = ["ForeseenCall", "RepeatedCall", "RepeatedRequest"]

_BEFORE: Final = slice(0, 12)  # the header up to the call's number
_ID: Final = slice(12, 16)
_BEHIND: Final = slice(16, None)
_CONTEXT_ID: Final = slice(20, 22)


class RepeatedRequest:
    """At the server: a request that was answered, and how the same answer to it looks.

    data: the request; `before` and `behind` are what stands around its number. head, tail: the
    answer's stub around `size` bytes of data. total: bytes of the whole answer.
    """

    __slots__ = (
        "_between",
        "_frame",
        "_layout",
        "_order",
        "_parts",
        "before",
        "behind",
        "size",
        "total",
    )

    def __init__(self, data: bytes, head: bytes, size: int, tail: bytes, fragment_max: int) -> None:
        self.before, self.behind = data[_BEFORE], data[_BEHIND]
        context_id = int.from_bytes(data[_CONTEXT_ID], "little")
        layout = self._layout = Layout((len(head), size, len(tail)), context_id, fragment_max)
        layout.surround(head, tail)
        self._frame, self._parts, self._between = layout.frame, layout.parts, layout.between
        self._order = layout.order
        self.size = size
        self.total = layout.total

    def matches(self, data: bytes) -> bool:
        """Whether `data` is this request, whatever its number."""
        return data[_BEHIND] == self.behind and data[_BEFORE] == self.before

    def answer(self, data: bytes, payload: Sequence[memoryview]) -> Sequence[Buffer] | None:
        """Buffers of the answer to the request `data`, good until the next one; payload: in any
        number of pieces. None if it has not `size` bytes.
        """
        self._frame[:] = data[_ID].join(self._between)
        return self.around(payload)

    def around(self, payload: Sequence[memoryview]) -> Sequence[Buffer] | None:
        """The same for a request that is still to come: `number` makes it the answer to that."""
        if len(payload) == 1:
            piece = payload[0]
            if len(piece) != self.size:
                return None
            order = self._order
            if len(order) == ONE_FRAGMENT:
                return [order[0], piece, order[2]]
            order = order.copy()
            order[1::2] = map(piece.__getitem__, self._parts)
            return order
        if sum(map(len, payload)) != self.size:
            return None
        return self._layout.woven(payload)

    def number(self, data: bytes) -> None:
        """Let the buffers that were made before be the answer to the request `data`."""
        self._frame[:] = data[_ID].join(self._between)


class ForeseenCall(NamedTuple):
    """A call, and the answer that it probably gets: `size` bytes of data between head and tail."""

    context_id: int
    opnum: int
    stub: bytes
    head: bytes
    size: int
    tail: bytes


class RepeatedCall:
    """At the client: a call that is ready to be made, as often as wanted, one at a time.

    Made by `ClientConnection.call_again`. `request` is what stands before and behind its number;
    its answer goes to `order` with `parts` of the data in the odd places. If it is the foreseen one
    it comes in `total` bytes and leaves `memory` as is `expected`: `between`, joined by the number.
    Nothing of the caller's memory is kept.
    """

    __slots__ = (
        "_scatter",
        "between",
        "call",
        "call_id",
        "expected",
        "memory",
        "order",
        "parts",
        "request",
        "total",
    )

    def __init__(self, call: ForeseenCall, request: bytes, scatter: ScatterLayout) -> None:
        layout = scatter.layout
        self.call = call
        self.call_id = 0
        self.memory, self.expected = scatter.memory, b""
        self.total = layout.total
        self.request = request[_BEFORE], request[_BEHIND]
        self.order, self.parts, self.between = scatter.order, layout.parts, layout.between
        self._scatter = scatter

    def slowly(self, payload: memoryview) -> ScatterRead:
        """The usual way to receive the answer, for one that comes in several pieces or is another;
        what was received already has to be reported to it first.
        """
        return ScatterRead(self.call_id, self._scatter, payload)
