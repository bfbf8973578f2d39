"""Which pages of a file are known to be good, so that nobody verifies them again."""

from __future__ import annotations

from typing import Final

_SHIFT: Final = 12
_CHUNK: Final = 1 << _SHIFT
_MASK: Final = _CHUNK - 1


class GoodPages:
    """A set of page numbers, in chunks: a file may have more pages than fit in memory as bytes."""

    __slots__ = ("_chunks",)

    def __init__(self) -> None:
        self._chunks: dict[int, bytearray] = {}

    def covers(self, first: int, count: int) -> bool:
        """Whether all of these pages are in the set."""
        chunk = self._chunks.get(first >> _SHIFT)
        if chunk is None:
            return not count
        start = first & _MASK
        end = start + count
        if end <= _CHUNK:
            return chunk.count(1, start, end) == count
        here = _CHUNK - start
        return chunk.count(1, start) == here and self.covers(first + here, count - here)

    def add(self, first: int, count: int = 1) -> None:
        """Put pages into the set."""
        while count > 0:
            start = first & _MASK
            here = min(count, _CHUNK - start)
            chunk = self._chunks.get(first >> _SHIFT)
            if chunk is None:
                chunk = self._chunks[first >> _SHIFT] = bytearray(_CHUNK)
            chunk[start : start + here] = b"\1" * here
            first += here
            count -= here

    def clear(self) -> None:
        """Nothing is known any more."""
        self._chunks.clear()
