"""Bytes of a file in memory: sparse, shared copy-on-write between copies."""

from __future__ import annotations

from typing import Final

from esesim.volume.base import Lent, Readable, Writable

_SHIFT: Final = 18
# Large enough that long reads cost little more than copying, small enough to be copied on a write.
CHUNK: Final = 1 << _SHIFT
_OFFSET_MASK: Final = CHUNK - 1
_SMALLEST: Final = 512
_ZEROS: Final = memoryview(bytes(CHUNK))
_NOTHING: Final = memoryview(b"")


class SparseBytes:
    """A size and the chunks of 256 KiB that were written.

    A chunk that isn't there is zeros. One that is there may be shorter, the rest of it
    is zeros too, so a small file takes little. Bytes behind ``size`` are always zero.
    ``changes`` counts writes and resizes: while it stays, what was lent is what would be lent now.
    """

    __slots__ = ("_chunks", "_lent", "_owned", "changes", "size")

    def __init__(self, size: int = 0) -> None:
        self.size = size
        self.changes = 0
        self._chunks: dict[int, bytearray] = {}
        # Chunks that no copy shares and nobody was lent, so that they may be changed in place.
        self._owned: set[int] = set()
        # Of each chunk that was lent and is as it was then.
        self._lent: dict[int, memoryview] = {}

    def copy(self) -> SparseBytes:
        """The same bytes; chunks are shared until one side changes them."""
        other = SparseBytes(self.size)
        other._chunks = self._chunks.copy()
        self._owned = set()
        return other

    def memory_used(self) -> int:
        """Bytes that the chunks take, shared ones included."""
        return sum(map(len, self._chunks.values()))

    def read_into(self, offset: int, buffer: Writable) -> int:
        """Fill ``buffer`` from ``offset`` on; the number of bytes, less only at the end."""
        count = len(buffer)
        if offset + count > self.size:
            count = max(self.size - offset, 0)
        index = offset >> _SHIFT
        start = offset & _OFFSET_MASK
        chunks = self._chunks
        chunk = chunks.get(index)
        if chunk is not None and start + count <= len(chunk):
            buffer[:count] = memoryview(chunk)[start : start + count]
            return count
        target = memoryview(buffer)
        position = 0
        while position < count:
            take = min(CHUNK - start, count - position)
            end = position + take
            chunk = chunks.get(index)
            if chunk is None:
                target[position:end] = _ZEROS[:take]
            elif take == CHUNK == len(chunk):
                target[position:end] = chunk
            elif start + take <= len(chunk):
                target[position:end] = memoryview(chunk)[start : start + take]
            else:
                there = max(len(chunk) - start, 0)
                target[position : position + there] = memoryview(chunk)[start : start + there]
                target[position + there : end] = _ZEROS[: take - there]
            position = end
            start = 0
            index += 1
        return count

    def read(self, offset: int, size: int) -> bytes:
        """Up to ``size`` bytes from ``offset`` on."""
        count = max(min(size, self.size - offset), 0)
        start = offset & _OFFSET_MASK
        chunk = self._chunks.get(offset >> _SHIFT)
        if chunk is not None and start + count <= len(chunk):
            return bytes(memoryview(chunk)[start : start + count])
        buffer = bytearray(count)
        self.read_into(offset, buffer)
        return bytes(buffer)

    @property
    def lender(self) -> SparseBytes:
        """Itself."""
        return self

    def lend(self, offset: int, size: int) -> Lent:
        """Views of up to ``size`` bytes from ``offset`` on, which stay as they are.

        A chunk that was lent is no longer changed in place, like one that a copy shares.
        """
        start = offset & _OFFSET_MASK
        views, end = self._lent, offset + size
        view = views.get(offset >> _SHIFT)
        if view is not None and 0 < size <= len(view) - start and end <= self.size:
            return [view[start : start + size]]
        lent = []
        end = min(end, self.size)
        while offset < end:
            index, start = offset >> _SHIFT, offset & _OFFSET_MASK
            view = views.get(index)
            if view is None:
                view = self._lend_chunk(index)
            take = min(CHUNK - start, end - offset)
            there = len(view) - start
            if take == there:
                lent.append(view[start:] if start else view)
            else:
                if there > 0:
                    lent.append(view[start : start + min(there, take)])
                if there < take:
                    lent.append(_ZEROS[: take - max(there, 0)])
            offset += take
        return lent

    def _lend_chunk(self, index: int) -> memoryview:
        """A chunk, which is not changed in place from now on."""
        chunk = self._chunks.get(index)
        if chunk is None:
            return _NOTHING
        self._owned.discard(index)
        view = self._lent[index] = memoryview(chunk).toreadonly()
        return view

    def generated(self, offset: int, size: int) -> bool:
        """Nothing is made by rule here."""
        return False

    def write(self, offset: int, data: Readable) -> None:
        """Write all of ``data`` at ``offset``; grows as needed."""
        self.changes += 1
        source = memoryview(data)
        count = len(source)
        index = offset >> _SHIFT
        start = offset & _OFFSET_MASK
        position = 0
        while position < count:
            take = min(CHUNK - start, count - position)
            if take == CHUNK:
                self._put(index, bytearray(source[position : position + take]))
            else:
                chunk = self._chunk_to_change(index, start + take)
                chunk[start : start + take] = source[position : position + take]
            position += take
            start = 0
            index += 1
        if count:
            self.size = max(self.size, offset + count)

    def _chunk_to_change(self, index: int, length: int) -> bytearray:
        """The chunk, not shared and at least ``length`` long."""
        chunk = self._chunks.get(index)
        if chunk is None:
            chunk = self._put(index, bytearray(_rounded(length)))
        elif index not in self._owned:
            chunk = self._put(index, bytearray(chunk))
        if len(chunk) < length:
            chunk.extend(_ZEROS[: _rounded(length) - len(chunk)])
        return chunk

    def _put(self, index: int, chunk: bytearray) -> bytearray:
        """A chunk that is ours alone, in the place of the one that was there."""
        self._chunks[index] = chunk
        self._owned.add(index)
        self._lent.pop(index, None)
        return chunk

    def resize(self, size: int) -> None:
        """Cut off, or grow by zeros."""
        self.changes += 1
        if size < self.size:
            last, rest = size >> _SHIFT, size & _OFFSET_MASK
            for index in [index for index in self._chunks if index > last]:
                del self._chunks[index]
                self._lent.pop(index, None)
            chunk = self._chunks.get(last)
            if chunk is not None and len(chunk) > rest:
                self._put(last, bytearray(memoryview(chunk)[:rest]))
        self.size = size


def _rounded(length: int) -> int:
    """The next power of two, so that a file that grows bit by bit is seldom moved."""
    return max(_SMALLEST, 1 << (length - 1).bit_length())
