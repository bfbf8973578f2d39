"""Receiving a large signed response in place, and checking its signatures where its bytes lie.

As `eseback.rpc.scatter`, with a trailer and a signature after each fragment's piece of the stub.
The signatures are checked in order once all is there; until then nothing of it may be used. What
is sealed cannot be received like this.
"""

from __future__ import annotations

from typing import Final

from eseback.rpc.errors import LocalProtocolError
from eseback.rpc.fragment import capacity_of, pack_call
from eseback.rpc.header import REQUEST_SIZE
from eseback.rpc.scatter import ScatterRead
from eseback.rpc.security import BODY_ALIGNMENT, TRAILER_SIZE, Security, SecurityTrailer
from eseback.rpc.status import PduType, PfcFlag

__all__ = ["SignedLayout", "SignedRead"]

_FIRST, _LAST = int(PfcFlag.FIRST_FRAG), int(PfcFlag.LAST_FRAG)
_RESPONSE: Final = int(PduType.RESPONSE)
_CALL_ID: Final = 12  # offset in a header
_HINT: Final = 16  # offset of alloc_hint, 4 bytes: only a hint, and servers count differently


class SignedLayout:
    """Where the bytes of a response of one shape go; made once and used for every such response.

    head, tail: what its stub is expected to begin and end with. payload: bytes between them. It
    owns the memory for everything but the payload, so one response at a time can use it.
    """

    __slots__ = (
        "_context_id",
        "_slices",
        "_views",
        "ends",
        "fragments",
        "frame",
        "head",
        "headers",
        "memory",
        "order",
        "security",
        "tail",
        "total",
        "trailers",
    )

    def __init__(
        self,
        head: bytes,
        payload: int,
        tail: bytes,
        context_id: int,
        fragment_max: int,
        security: Security,
    ) -> None:
        self.security, self._context_id = security, context_id
        # What is expected around the payload, signatures aside, and where it is received.
        self.frame = bytearray()
        self.headers: list[int] = []  # offsets in the frame
        self.trailers: list[int] = []
        self.ends: list[int] = []  # offsets in the stream at which each header is complete
        self.fragments: list[slice] = []  # their buffers in the order
        self._views: list[slice | None] = []  # in the frame, for each buffer; None for the others
        self._slices: list[tuple[int, slice]] = []  # the payload's place in the order, and its part
        self.head: list[slice] = []  # places in the frame
        self.tail: list[slice] = []
        self.total = 0
        size, start = len(head) + payload + len(tail), 0
        capacity = capacity_of(fragment_max, security)
        while not self.fragments or start < size:
            end = min(start + capacity, size)
            first = len(self._views)
            self._open(start, end, size)
            self._place(start, end, head, payload, tail)
            self._close(end - start)
            self.fragments.append(slice(first, len(self._views)))
            start = end
        self.memory = bytearray(len(self.frame))
        whole, signature = memoryview(self.memory), security.signature_size
        self.order = [
            memoryview(bytearray(signature)) if view is None else whole[view]
            for view in self._views
        ]

    def _open(self, start: int, end: int, size: int) -> None:
        flags = (_FIRST if not start else 0) | (_LAST if end == size else 0)
        signature = self.security.signature_size
        after = -(end - start) % BODY_ALIGNMENT + TRAILER_SIZE + signature
        length = REQUEST_SIZE + end - start + after
        # The hint is what is still to come, as a server of ours has it where it signs.
        hint = size - start
        self.headers.append(len(self.frame))
        self.ends.append(self.total + REQUEST_SIZE)
        self.total += length
        self._expect(pack_call(_RESPONSE, flags, length, 0, hint, self._context_id, 0, signature))

    def _place(self, start: int, end: int, head: bytes, payload: int, tail: bytes) -> None:
        """Places of the stub's bytes from start to end."""
        first, last = len(head), len(head) + payload
        if start < first:
            self.head.append(self._expect(head[start:end]))
        low, high = max(start, first), min(end, last)
        if low < high:
            self._slices.append((len(self._views), slice(low - first, high - first)))
            self._views.append(None)
        if end > last:
            self.tail.append(self._expect(tail[max(start, last) - last : end - last]))

    def _close(self, size: int) -> None:
        security = self.security
        pad = -size % BODY_ALIGNMENT
        if pad:
            self._expect(bytes(pad))
        self.trailers.append(len(self.frame))
        self._expect(
            SecurityTrailer(security.auth_type, security.level, pad, security.context_id).pack()
        )
        self._views.append(None)

    def _expect(self, data: bytes) -> slice:
        """So much more of what is expected; its place in the frame."""
        start = len(self.frame)
        self.frame += data
        place = slice(start, len(self.frame))
        self._views.append(place)
        return place

    def begin(self, call_id: int, payload: memoryview) -> list[memoryview]:
        """All buffers in stream order, for the response to a call."""
        number = call_id.to_bytes(4, "little")
        for start in self.headers:
            self.frame[start + _CALL_ID : start + _CALL_ID + len(number)] = number
        order = self.order.copy()
        for index, part in self._slices:
            order[index] = payload[part]
        return order

    def has_header(self, number: int) -> bool:
        """Whether a header that was received is the expected one, its hint aside."""
        start = self.headers[number]
        return self._has(start, start + _HINT) and self._has(
            start + _HINT + 4, start + REQUEST_SIZE
        )

    def has_trailers(self) -> bool:
        """Whether all trailers are those expected."""
        return all(self._has(start, start + TRAILER_SIZE) for start in self.trailers)

    def _has(self, start: int, end: int) -> bool:
        return self.memory[start:end] == self.frame[start:end]


class SignedRead(ScatterRead):
    """A signed response that is being received in place."""

    __slots__ = ("_layout",)

    def __init__(self, call_id: int, layout: SignedLayout, payload: memoryview) -> None:
        self.call_id = call_id
        self.complete = self.exact = False
        self.predicted = True
        self.filled = len(payload)
        self._layout = layout
        self._order = self._waiting = layout.begin(call_id, payload)
        self._arrived = 0  # bytes
        self._checked = 0  # headers

    def received(self, count: int) -> None:
        """See ScatterRead."""
        layout = self._layout
        arrived = self._arrived + count
        if count <= 0 or arrived > layout.total or not self.predicted:
            raise LocalProtocolError(
                f"{count} bytes received, {layout.total - self._arrived} were expected"
            )
        self._arrived = arrived
        if arrived == layout.total:
            self._waiting = []
            self.exact = layout.memory == layout.frame
            self.predicted = self.exact or (
                all(map(layout.has_header, range(self._checked, len(layout.ends))))
                and layout.has_trailers()
            )
            self.complete = self.predicted
            return
        self._waiting = _after(self._waiting, count)
        while self._checked < len(layout.ends) and layout.ends[self._checked] <= arrived:
            if not layout.has_header(self._checked):
                self.predicted = False
                return
            self._checked += 1

    def check(self) -> None:
        """Check the signatures of a response that is complete. Raises RemoteProtocolError."""
        order, verify = self._order, self._layout.security.verify
        for fragment in self._layout.fragments:
            header, *body, trailer, signature = order[fragment]
            verify(header, body, trailer, signature)

    def head(self) -> bytes:
        """See ScatterRead."""
        return b"".join(self._layout.memory[place] for place in self._layout.head)

    def tail(self) -> bytes:
        """See ScatterRead."""
        return b"".join(self._layout.memory[place] for place in self._layout.tail)


def _after(buffers: list[memoryview], count: int) -> list[memoryview]:
    """The buffers without their first `count` bytes, fewer than they have."""
    for number, buffer in enumerate(buffers):
        if count < len(buffer):
            return [buffer[count:], *buffers[number + 1 :]]
        count -= len(buffer)
    raise AssertionError("fewer bytes left than were received")
