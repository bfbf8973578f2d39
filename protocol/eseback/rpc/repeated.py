"""Calls that are byte for byte the one before, but for their number.

In a backup nearly every call is: the same context, the same file, as many bytes as last time. So
both ends keep what they have worked out for it. A server knows such a request by comparing bytes
and has the answer's surroundings ready; a client has the request ready, and knows the answer by one
comparison. Whatever is not exactly so is dealt with in the usual way. Only what is whole, in one
fragment and without protection ever gets here, because nothing else is remembered.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from eseback.rpc.fragment import Buffer
from eseback.rpc.layout import Layout
from eseback.rpc.scatter import ScatterLayout, ScatterRead

__all__ = ["RepeatedCall", "RepeatedRequest"]

_BEFORE: Final = slice(0, 12)  # the header up to the call's number
_ID: Final = slice(12, 16)
_BEHIND: Final = slice(16, None)
_CONTEXT_ID: Final = slice(20, 22)


class RepeatedRequest:
    """At the server: a request that was answered, and how the same answer to it looks.

    data: the request; `before` and `behind` are what stands around its number. head, tail: the
    answer's stub around `size` bytes of data. total: bytes of the whole answer.
    """

    __slots__ = ("_layout", "_order", "before", "behind", "size", "total")

    def __init__(self, data: bytes, head: bytes, size: int, tail: bytes, fragment_max: int) -> None:
        self.before, self.behind = data[_BEFORE], data[_BEHIND]
        context_id = int.from_bytes(data[_CONTEXT_ID], "little")
        self._layout = Layout((len(head), size, len(tail)), context_id, fragment_max)
        self._layout.surround(head, tail)
        self._order = self._layout.order
        self.size = size
        self.total = self._layout.total

    def answer(self, data: bytes, payload: Sequence[memoryview]) -> Sequence[Buffer]:
        """Buffers of the answer to the request `data`, good until the next one; payload: `size`
        bytes in any number of pieces.
        """
        layout = self._layout
        layout.number_as(data[_ID])
        if len(payload) == 1:
            return layout.placed(self._order, payload[0])
        return layout.woven(payload)


class RepeatedCall:
    """At the client: a call that is ready to be made, as often as wanted, one at a time.

    Made by `ClientConnection.call_again`. request: its bytes, with any number. scatter: where its
    answer goes, and what it will be: then `memory` is as `expected`. key: what the caller knows it
    by. Nothing of the caller's memory is kept.
    """

    __slots__ = (
        "_before",
        "_behind",
        "_layout",
        "_scatter",
        "call_id",
        "expected",
        "key",
        "memory",
    )

    def __init__(self, key: object, request: bytes, scatter: ScatterLayout) -> None:
        self.key = key
        self.call_id = 0
        self._before, self._behind = request[_BEFORE], request[_BEHIND]
        self._scatter = scatter
        self._layout = scatter.layout
        self.memory, self.expected = scatter.memory, scatter.layout.frame

    def start(self, call_id: int, payload: memoryview) -> tuple[bytes, list[memoryview]]:
        """The request under that number, and where its answer belongs; its data goes to `payload`.

        What is received at first is told to `ClientConnection.is_answered`.
        """
        self.call_id = call_id
        number = call_id.to_bytes(4, "little")
        layout = self._layout
        layout.number_as(number)
        return self._before + number + self._behind, layout.placed(self._scatter.order, payload)

    @property
    def total(self) -> int:
        """Bytes of the answer."""
        return self._layout.total

    def slowly(self, payload: memoryview) -> ScatterRead:
        """The usual way to receive the answer, for one that comes in several pieces or is another;
        what was received already has to be reported to it first.
        """
        return ScatterRead(self.call_id, self._scatter, payload)
