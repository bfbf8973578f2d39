"""Pages of saved databases: which have a wrong checksum, however they are shared out.

What is found of one range of pages can be added to what is found of another, in any order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from attrs import frozen

from eseback.formats.checksum import bad_pgnos, repair_page

_NAMED_MAX: Final = 3


@frozen
class PageRange:
    """Whole pages one after the other in a file: where they are, and the number of the first."""

    offset: int
    size: int
    first_pgno: int
    page_size: int


Share = Callable[[PageRange], bool]
"""Asks somebody else to check pages; False if nobody is free. The answer comes in its own time."""


@frozen
class BadPages:
    """Pages with a wrong checksum: how many, the first few, how many have a single wrong bit."""

    count: int = 0
    first: tuple[int, ...] = ()
    repairable: int = 0

    def __add__(self, other: BadPages) -> BadPages:
        first = sorted((*self.first, *other.first))[:_NAMED_MAX]
        return BadPages(self.count + other.count, tuple(first), self.repairable + other.repairable)

    def __str__(self) -> str:
        text = f"wrong checksum of {self.count} page(s): {name_first(self.first, self.count)}"
        return f"{text} ({self.repairable} with a single wrong bit)" if self.repairable else text


def check_pages(data: memoryview, pages: PageRange) -> BadPages:
    """Check the checksums of pages; ``data`` is all of them."""
    first: list[int] = []
    count = repairable = 0
    size = pages.page_size
    for pgno in bad_pgnos(data, pages.first_pgno, size):
        count += 1
        if len(first) < _NAMED_MAX:
            first.append(pgno)
        offset = (pgno - pages.first_pgno) * size
        repairable += repair_page(data[offset : offset + size], pgno) is not None
    return BadPages(count, tuple(first), repairable)


def name_first(things: Iterable[object], count: int) -> str:
    """The first few of ``count`` things, and a hint that there are more."""
    named = [str(thing) for thing in things][:_NAMED_MAX]
    return ", ".join([*named, "..."] if count > _NAMED_MAX else named)
