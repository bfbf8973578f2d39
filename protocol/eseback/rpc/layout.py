"""Where the bytes of a response go: what is made once for all responses of one shape.

A large response is payload with a few bytes around it: a header before each fragment, and the
stub's own first and last bytes. Both ends know where they stand as soon as the sizes are known. So
a server changes only the call's number in bytes that lie ready, and a client can say beforehand
what it will receive into which place (`eseback.rpc.scatter`). The payload stays where it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from eseback.rpc.fragment import capacity_of, pack_call
from eseback.rpc.header import REQUEST_SIZE
from eseback.rpc.security import Buffer
from eseback.rpc.status import PduType, PfcFlag

__all__ = ["ONE_FRAGMENT", "Layout", "Shape"]

_RESPONSE: Final = int(PduType.RESPONSE)
_FIRST, _LAST = int(PfcFlag.FIRST_FRAG), int(PfcFlag.LAST_FRAG)
_ENDS_AND_PAYLOAD: Final = 3  # buffers of a stub whose payload is in one piece
_CALL_ID: Final = 12  # offset in a header
ONE_FRAGMENT: Final = 3  # buffers of a response with all of its payload in one fragment

Shape = tuple[int, int, int]
"""Bytes of a stub: before the payload, of the payload, after it."""


class Layout:
    """The layout of responses of one shape in one presentation context, without protection.

    `frame` is everything but the payload, in the order of the stream; `order` are views of it, with
    empty ones in the places of the payload's parts. `headers` are the offsets of headers in it.
    `ends` are the offsets in the stream at which each header is complete. `parts` are the slices of
    the payload for the odd places of the order; `between` is the frame cut at the calls' numbers.
    """

    __slots__ = (
        "_ends_now",
        "_head",
        "_tail",
        "_woven",
        "_woven_parts",
        "_woven_sizes",
        "between",
        "ends",
        "frame",
        "headers",
        "order",
        "parts",
        "shape",
        "total",
    )

    def __init__(self, shape: Shape, context_id: int, fragment_max: int) -> None:
        head, payload, tail = shape
        size = head + payload + tail
        capacity = capacity_of(fragment_max)
        sizes = [capacity] * (size // capacity)
        if size % capacity or not sizes:
            sizes.append(size % capacity)
        self.shape = shape
        self.total = size + REQUEST_SIZE * len(sizes)
        self.headers: list[int] = []
        self.ends = [
            REQUEST_SIZE + (REQUEST_SIZE + capacity) * number for number in range(len(sizes))
        ]
        self.parts: list[slice] = []
        # Where they stand in the frame, nearly always in one piece, and from which byte of them.
        self._head: list[tuple[slice, int]] = []
        self._tail: list[tuple[slice, int]] = []
        frame, start = bytearray(), 0
        cuts: list[int] = []  # offsets in the frame at which parts of the payload come in between
        last = len(sizes) - 1
        for number, length in enumerate(sizes):
            flags = (_FIRST if number == 0 else 0) | (_LAST if number == last else 0)
            self.headers.append(len(frame))
            frame += pack_call(_RESPONSE, flags, REQUEST_SIZE + length, 0, size, context_id)
            end = start + length
            before = max(min(end, head) - start, 0)
            if before:
                self._head.append((slice(len(frame), len(frame) + before), start))
            frame += bytes(before)
            low, high = max(start - head, 0), min(end - head, payload)
            if low < high:
                self.parts.append(slice(low, high))
                cuts.append(len(frame))
            behind = max(end - max(start, head + payload), 0)
            if behind:
                at = max(start - head - payload, 0)
                self._tail.append((slice(len(frame), len(frame) + behind), at))
            frame += bytes(behind)
            start = end
        self.frame = frame
        self.order = self.over(frame, cuts)
        self._ends_now: tuple[Buffer, Buffer] | None = None
        # Of payloads in pieces of certain sizes: the buffers, and of which piece which part is one.
        self._woven_sizes: tuple[int, ...] | None = None
        self._woven: list[Buffer] = []
        self._woven_parts: list[tuple[int, int, slice]] = []
        self.between = self._between_numbers()

    def over(self, memory: bytearray, cuts: Sequence[int] | None = None) -> list[memoryview]:
        """`order` for other memory of the same size."""
        if cuts is None:
            cuts, at = [], 0
            for place in range(0, len(self.order) - 1, 2):
                at += len(self.order[place])
                cuts.append(at)
        view = memoryview(memory)
        order, start = [], 0
        for cut in cuts:
            order += [view[start:cut], memoryview(b"")]
            start = cut
        order.append(view[start:])
        return order

    def number(self, call_id: int) -> None:
        """Write a call's number into the frame's headers."""
        self.number_as(call_id.to_bytes(4, "little"))

    def number_as(self, call_id: bytes) -> None:
        """The same with the number as it stands in a header."""
        self.frame[:] = call_id.join(self.between)

    def _between_numbers(self) -> list[bytes]:
        """The frame without the numbers, which are all that differs from call to call."""
        starts = [at + _CALL_ID for at in self.headers]
        edges = [0, *(edge for start in starts for edge in (start, start + 4)), len(self.frame)]
        return [bytes(self.frame[edges[i] : edges[i + 1]]) for i in range(0, len(edges), 2)]

    def surround(self, head: Buffer, tail: Buffer) -> None:
        """Write the stub's first and last bytes into the frame."""
        if self._ends_now == (head, tail):
            return
        frame = self.frame
        for place, start in self._head:
            frame[place] = head[start : start + place.stop - place.start]
        for place, start in self._tail:
            frame[place] = tail[start : start + place.stop - place.start]
        self._ends_now = bytes(head), bytes(tail)
        self.between = self._between_numbers()

    def filled(self, call_id: int, stub: Sequence[Buffer]) -> list[Buffer]:
        """A response as buffers to send, good until the next one; the stub's first and last buffer
        are its first and last bytes.
        """
        self.surround(stub[0], stub[-1])
        self.number(call_id)
        if len(stub) > _ENDS_AND_PAYLOAD:
            return self.woven(stub[1:-1])
        return [*self.placed(self.order, stub[1])]

    def head_of(self, memory: Buffer) -> bytes:
        """The stub's first bytes in memory that is laid out like the frame."""
        return b"".join([memory[place] for place, _ in self._head])

    def tail_of(self, memory: Buffer) -> bytes:
        """The stub's last bytes in such memory."""
        return b"".join([memory[place] for place, _ in self._tail])

    def placed(self, order: list[memoryview], payload: Buffer) -> list[memoryview]:
        """All buffers in the order of the stream; payload: in one piece."""
        out = order.copy()
        out[1::2] = map(memoryview(payload).__getitem__, self.parts)
        return out

    def woven(self, payload: Sequence[Buffer]) -> list[Buffer]:
        """The same for the frame, with the payload in any number of pieces."""
        pieces = [memoryview(piece) for piece in payload]
        sizes = tuple(map(len, pieces))
        if sizes != self._woven_sizes:
            self._weave(sizes)
        out = self._woven.copy()
        for place, number, part in self._woven_parts:
            out[place] = pieces[number][part]
        return out

    def _weave(self, sizes: tuple[int, ...]) -> None:
        """Find the places of pieces of such sizes: as a rule many payloads are cut alike."""
        woven: list[Buffer] = []
        self._woven_parts = []
        number = start = 0  # of the piece that is used next
        for place, part in enumerate(self.parts):
            woven.append(self.order[2 * place])
            wanted = part.stop - part.start
            while wanted:
                take = min(wanted, sizes[number] - start)
                if take:
                    self._woven_parts.append((len(woven), number, slice(start, start + take)))
                    woven.append(b"")
                start, wanted = start + take, wanted - take
                if start == sizes[number]:
                    number, start = number + 1, 0
        self._woven, self._woven_sizes = [*woven, self.order[-1]], sizes
