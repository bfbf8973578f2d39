"""Files of which a part is made by a rule while it is read, so that it takes no room.

A :class:`Generated` says what stands in a stretch of a file as long as nobody writes there. What is
written is kept, in whole units; outside the stretch the file is like any other. How a kind of
content is found again when a file is opened later says :func:`register`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Protocol

from esesim.volume.base import Lent, Readable, VolumeError, Writable
from esesim.volume.sparse import SparseBytes

_GROUP_SHIFT: Final = 8  # units are looked up in groups, so that a long read asks seldom


class Generated(Protocol):
    """Bytes ``start`` to ``end`` of a file, by rule; both are multiples of ``unit``.

    Nothing about it ever changes, so that copies of a file share it; several threads may ask.
    """

    kind: str
    start: int
    end: int
    unit: int

    def fill(self, offset: int, buffer: memoryview) -> None:
        """Fill ``buffer`` with the bytes from ``offset`` of the file on; whole units of both."""

    def recipe(self) -> dict[str, int]:
        """The numbers that make it again, see :func:`register`."""


_kinds: dict[str, Callable[[Mapping[str, int]], Generated]] = {}


def register(kind: str, revive: Callable[[Mapping[str, int]], Generated]) -> None:
    """Files on disk name the kind of their content; ``revive`` makes it from its recipe."""
    _kinds[kind] = revive


def revived(kind: str, recipe: Mapping[str, int]) -> Generated:
    """The content that a file names. Raises VolumeError for a kind that nobody registered."""
    revive = _kinds.get(kind)
    if revive is None:
        raise VolumeError(f"nothing here makes content of the kind {kind!r}: import esesim.engine")
    return revive(recipe)


class GeneratedBytes:
    """The bytes of such a file in memory; used as :class:`SparseBytes` is."""

    __slots__ = ("_end", "_groups", "_plain", "_source")

    def __init__(self, source: Generated, size: int) -> None:
        self._source = source
        self._end = source.end
        self._plain = SparseBytes(size)
        self._groups: dict[int, dict[int, bytes]] = {}
        if size < source.end:
            raise ValueError(f"a file of {size} bytes has no room up to {source.end}")

    @property
    def size(self) -> int:
        """Current size."""
        return self._plain.size

    def copy(self) -> GeneratedBytes:
        """The same bytes; what was not written costs nothing."""
        other = GeneratedBytes.__new__(GeneratedBytes)
        other._source, other._end = self._source, self._end
        other._plain = self._plain.copy()
        other._groups = {number: units.copy() for number, units in self._groups.items()}
        return other

    def memory_used(self) -> int:
        """Bytes that are kept; the source's own tables, shared by all files, do not count."""
        units = sum(map(len, self._groups.values()))
        return self._plain.memory_used() + units * self._source.unit

    def generated(self, offset: int, size: int) -> bool:
        """Whether all of these bytes are as the rule makes them."""
        if offset < self._source.start or offset + size > self._end:
            return False
        return not any(self._written(offset, offset + size))

    def read_into(self, offset: int, buffer: Writable) -> int:
        """Fill ``buffer`` from ``offset`` on; the number of bytes, less only at the end."""
        count = len(buffer)
        if offset + count > self._plain.size:
            count = max(self._plain.size - offset, 0)
        out = memoryview(buffer)
        for begin, end, by_rule in self._pieces(offset, offset + count):
            part = out[begin - offset : end - offset]
            if by_rule:
                self._read_units(begin, end, part)
            else:
                self._plain.read_into(begin, part)
        return count

    def read(self, offset: int, size: int) -> bytes:
        """Up to ``size`` bytes from ``offset`` on."""
        buffer = bytearray(max(min(size, self._plain.size - offset), 0))
        self.read_into(offset, buffer)
        return bytes(buffer)

    def lend(self, offset: int, size: int) -> Lent | None:
        """Views of bytes that were written; None where the rule has a part in them."""
        if offset < self._end and offset + size > self._source.start:
            return None
        return self._plain.lend(offset, size)

    @property
    def lender(self) -> SparseBytes:
        """What holds the bytes that were written outside the stretch that is made by rule."""
        return self._plain

    def write(self, offset: int, data: Readable) -> None:
        """Write all of ``data`` at ``offset``; grows as needed."""
        source = memoryview(data)
        for begin, end, by_rule in self._pieces(offset, offset + len(source)):
            part = source[begin - offset : end - offset]
            if by_rule:
                self._write_units(begin, end, part)
            else:
                self._plain.write(begin, part)
        if source and offset + len(source) > self._plain.size:
            self._plain.resize(offset + len(source))

    def resize(self, size: int) -> None:
        """Cut off, or grow by zeros."""
        if size < self._end:
            unit = self._source.unit
            end = max(size - size % unit, self._source.start)
            rest = self.read(end, size - end) if size > end else b""
            self._end = end
            for index in self._written_from(end):
                del self._groups[index >> _GROUP_SHIFT][index]
            self._plain.resize(size)
            self._plain.write(end, rest)
        else:
            self._plain.resize(size)

    def _pieces(self, begin: int, end: int) -> list[tuple[int, int, bool]]:
        """A range cut where the stretch begins and ends, with whether a piece lies in it."""
        start, stop = self._source.start, self._end
        if start <= begin and end <= stop:
            return [(begin, end, True)] if end > begin else []
        cuts = (
            (begin, min(end, start), False),
            (max(begin, start), min(end, stop), True),
            (max(begin, stop), end, False),
        )
        return [(first, last, by_rule) for first, last, by_rule in cuts if last > first]

    def _read_units(self, begin: int, end: int, out: memoryview) -> None:
        unit, source = self._source.unit, self._source
        if begin % unit or end % unit:
            first, last = begin - begin % unit, end + -end % unit
            whole = memoryview(bytearray(last - first))
            self._read_units(first, last, whole)
            out[:] = whole[begin - first : end - first]
            return
        written = self._written(begin, end)
        if len(written) * unit != end - begin:
            source.fill(begin, out)
        for index in written:
            offset = index * unit - begin
            out[offset : offset + unit] = self._groups[index >> _GROUP_SHIFT][index]

    def _write_units(self, begin: int, end: int, data: memoryview) -> None:
        unit = self._source.unit
        for index in range(begin // unit, -(-end // unit)):
            first, last = max(index * unit, begin), min((index + 1) * unit, end)
            part = bytes(data[first - begin : last - begin])
            if last - first < unit:
                whole = bytearray(self.read(index * unit, unit))
                whole[first - index * unit : last - index * unit] = part
                part = bytes(whole)
            self._groups.setdefault(index >> _GROUP_SHIFT, {})[index] = part

    def _written(self, begin: int, end: int) -> list[int]:
        """The units of a range that were written, unordered."""
        groups = self._groups
        if not groups:
            return []
        unit = self._source.unit
        first, last = begin // unit, -(-end // unit)
        return [
            index
            for number in range(first >> _GROUP_SHIFT, (last - 1 >> _GROUP_SHIFT) + 1)
            if (units := groups.get(number)) is not None
            for index in units
            if first <= index < last
        ]

    def _written_from(self, offset: int) -> list[int]:
        first = offset // self._source.unit
        return [index for units in self._groups.values() for index in units if index >= first]
