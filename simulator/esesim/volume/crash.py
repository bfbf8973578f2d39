"""What a loss of power does to bytes that were written but not synced.

Each file keeps its newest bytes and, per write since its last sync, what stood there before. A loss
of power takes the last of these writes back, and may tear the one before them: some of its sectors
are new, some old. Directories keep an ordered list of changes, of which the last are taken back.
"""

from __future__ import annotations

import random
from typing import Final, TypeAlias

from eseback.data import define, frozen
from esesim.volume.base import Readable
from esesim.volume.generated import GeneratedBytes
from esesim.volume.sparse import SparseBytes

Content: TypeAlias = SparseBytes | GeneratedBytes

# ASSUMED(crash-prefix): of the writes to one file that were not synced, a loss of power keeps a
# prefix, tears at most the next one at sector boundaries and drops the rest; different files fare
# independently.
# ASSUMED(crash-metadata): changes of directories survive in order, as with a journaling file
# system; syncing a file makes those up to its own last one durable, a torn write has its full
# length.


_TORN_SHARE: Final = 0.5


class PowerLoss(Exception):
    """The volume has no power: the planned failure has come. Only ``crash()`` brings it back.

    Not a ``VolumeError``: no caller can handle it, as no program survives the real thing.
    """


@frozen
class CrashReport:
    """What ``crash()`` did: counts of pending writes (resizes are writes) and directory changes."""

    kept: int
    torn: int
    lost: int
    names_kept: int
    names_lost: int
    torn_paths: tuple[str, ...]


@frozen
class _PendingWrite:
    offset: int
    count: int
    old_size: int
    before: bytes

    def sectors(self, size: int) -> int:
        """How many sectors of ``size`` bytes it touches."""
        return (self.offset + self.count - 1) // size - self.offset // size + 1


@frozen
class _PendingResize:
    old_size: int
    before: Content | None


@define(eq=False)
class CrashableBytes:
    """The bytes of a file, of which those written since the last sync can be lost."""

    content: Content
    pending: list[_PendingWrite | _PendingResize]

    @classmethod
    def empty(cls, size: int) -> CrashableBytes:
        """``size`` zeros, nothing pending."""
        return cls(SparseBytes(size), [])

    def copy(self) -> CrashableBytes:
        """The same state; what each copy loses in a crash is its own affair."""
        pending = [
            _PendingResize(change.old_size, change.before and change.before.copy())
            if isinstance(change, _PendingResize)
            else change
            for change in self.pending
        ]
        return CrashableBytes(self.content.copy(), pending)

    def write(self, offset: int, data: Readable) -> None:
        """Write and remember what stood there before."""
        content = self.content
        count = len(data)
        if count:
            before = content.read(offset, count)
            self.pending.append(_PendingWrite(offset, count, content.size, before))
            content.write(offset, data)

    def resize(self, size: int) -> None:
        """Cut off or grow, and remember the size and what was cut off."""
        content = self.content
        if size != content.size:
            before = content.copy() if size < content.size else None
            self.pending.append(_PendingResize(content.size, before))
            content.resize(size)

    def sync(self) -> None:
        """From now on nothing that was written until here can be lost."""
        self.pending.clear()

    def crash(self, rng: random.Random, sector: int) -> tuple[int, int, int]:
        """Lose power: numbers of changes kept, torn and lost."""
        total = len(self.pending)
        keep = rng.randint(0, total)
        lost = self.pending[keep:]
        self.pending.clear()
        if not lost:
            return keep, 0, 0
        for change in reversed(lost[1:]):
            self._take_back(change)
        first = lost[0]
        if (
            isinstance(first, _PendingWrite)
            and first.sectors(sector) > 1
            and rng.random() < _TORN_SHARE
        ):
            self._tear(first, rng, sector)
            return keep, 1, len(lost) - 1
        self._take_back(first)
        return keep, 0, len(lost)

    def _take_back(self, change: _PendingWrite | _PendingResize) -> None:
        if isinstance(change, _PendingWrite):
            self.content.write(change.offset, change.before)
            self.content.resize(change.old_size)
        elif change.before is not None:
            self.content = change.before
        else:
            self.content.resize(change.old_size)

    def _tear(self, write: _PendingWrite, rng: random.Random, sector: int) -> None:
        """Take back some sectors of a write, at least one, and not all of them."""
        first = write.offset // sector
        count = write.sectors(sector)
        old = rng.getrandbits(count)
        if old in (0, (1 << count) - 1):
            old ^= 1 << rng.randrange(count)
        before = write.before.ljust(write.count, b"\0")
        for number in range(count):
            if old >> number & 1:
                start = max((first + number) * sector - write.offset, 0)
                end = (first + number + 1) * sector - write.offset
                self.content.write(write.offset + start, before[start:end])
