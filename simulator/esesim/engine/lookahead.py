"""What the next reads of an open file will give, found out for several of them at once.

A backup reads a file from front to back, as many bytes each time. Where the bytes are lent, and not
copied, most of what a read costs is the way to them: so that way is gone once for many reads. What
was found holds only while nothing has changed, and each read makes sure of that.
"""

from __future__ import annotations

from collections.abc import Sized
from typing import Protocol

from ..volume import Lent, VolumeFile
from .goodpages import GoodPages


class OpenCopy(Protocol):
    """A file that a backup has open."""

    position: int
    size: int
    is_open: bool


class LookAhead:
    """Reads of `size` bytes each that are to come; `lent` is what they give, in order."""

    __slots__ = (
        "_changes",
        "_copy",
        "_dirty",
        "_position",
        "_size",
        "_source",
        "lent",
    )

    def __init__(
        self,
        copy: OpenCopy,
        file: VolumeFile,
        known: GoodPages,
        dirty: Sized,
        page_size: int,
        size: int,
        count: int,
    ) -> None:
        """At most `count` reads, fewer where a page has to be verified or bytes are to be copied.

        known: pages that need not be verified; to damage one changes the file. dirty: as long as it
        is empty, no page of the file is older than the one in memory.
        """
        self._copy, self._dirty, self._size = copy, dirty, size
        self._position = position = copy.position
        self._source = source = file.lender
        self._changes = -1 if source is None else source.changes
        self.lent: list[Lent] = []
        pages = size // page_size
        for start in range(position, copy.size - size + 1, size)[:count]:
            if source is None or not known.covers(start // page_size - 1, pages):
                break
            lent = file.lend(start, size)
            if lent is None:
                break
            self.lent.append(lent)

    def take(self) -> bool:
        """Make the next of these reads; False, and nothing has happened, if anything has changed.

        To be asked no more often than something was found.
        """
        copy, source, position = self._copy, self._source, self._position
        if (
            source is None
            or source.changes != self._changes
            or copy.position != position
            or self._dirty
            or not copy.is_open
        ):
            return False
        copy.position = self._position = position + self._size
        return True
