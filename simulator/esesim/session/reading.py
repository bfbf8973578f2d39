"""Reads of any size and alignment on top of an engine that reads whole pages.

The engine wants a multiple of the page and, as the first read of a file, a minimum of pages (ESE
source backup.cxx, JetReadFile). Real products read 65 528 bytes at a time, so the layer between
must buffer. What fills whole pages goes straight into the caller's buffer; only an odd rest passes
through a small buffer kept here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from eseback.api import WriteableBuffer

from ..volume import Lent

if TYPE_CHECKING:
    from ..engine.lookahead import LookAhead


def nothing_to_lend(_: int) -> None:
    """What is lent where everything has to be copied."""


def nothing_ahead(_: int, __: int) -> None:
    """What is known of the next reads where each has to be made to know."""


class UnusableBuffer(TypeError):
    """Nothing can be read into what the caller gave."""


def writable(buffer: WriteableBuffer) -> memoryview:
    """The caller's buffer as bytes. Raises UnusableBuffer for one that can take none."""
    if type(buffer) is bytearray and buffer:
        return memoryview(buffer)
    try:
        view = memoryview(buffer)
    except TypeError:
        raise UnusableBuffer("the buffer is none") from None
    if view.readonly or not view.nbytes or not view.c_contiguous:
        raise UnusableBuffer("the buffer is empty, read-only or in pieces")
    return view if view.ndim == 1 and view.itemsize == 1 else view.cast("B")


class SectionReader:
    """One open file of a backup, read from front to back.

    ``read_pages`` is the engine's read: it fills a buffer as far as it can and returns the number
    of bytes, 0 at the end. ``lend_pages`` gives what would be read where that needs no copy, else
    None; ``pages_ahead`` tells what it will give the next times. ``first_read_min`` is the least
    that the first read must ask for.
    """

    __slots__ = (
        "_carry",
        "_carry_first",
        "_end",
        "_least",
        "_lend_pages",
        "_page_size",
        "_pages_ahead",
        "_read_pages",
        "_start",
    )

    def __init__(
        self,
        read_pages: Callable[[memoryview], int],
        page_size: int,
        first_read_min: int,
        lend_pages: Callable[[int], Lent | None] = nothing_to_lend,
        pages_ahead: Callable[[int, int], LookAhead | None] = nothing_ahead,
    ) -> None:
        self._read_pages = read_pages
        self._lend_pages = lend_pages
        self._pages_ahead = pages_ahead
        self._page_size = page_size
        self._least = first_read_min
        self._carry_first = memoryview(bytearray(first_read_min))
        self._carry = self._carry_first[:page_size]
        self._start = 0  # unread bytes of the carry buffer
        self._end = 0

    def __getstate__(self) -> tuple[object, ...]:
        """For copies of a whole server: views can't be copied, what lies under them can."""
        carry = bytes(self._carry_first)
        calls = self._read_pages, self._lend_pages, self._pages_ahead
        return calls, self._page_size, carry, self._least, self._start, self._end

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        calls, page_size, carry, self._least, self._start, self._end = state
        self._read_pages, self._lend_pages, self._pages_ahead = calls
        self._page_size = page_size
        self._carry_first = memoryview(bytearray(carry))
        self._carry = self._carry_first[:page_size]

    def lend(self, size: int) -> Lent | None:
        """What a read of so many bytes would give, where that needs no copy; else None, and
        nothing has happened.
        """
        if self._start != self._end or size < self._least:
            return None
        lent = self._lend_pages(size)
        if lent:
            self._least = self._page_size
        return lent

    def look_ahead(self, size: int, count: int) -> LookAhead | None:
        """What the next reads of so many bytes will give, at most ``count``, where that is certain
        as long as nothing changes; else None.
        """
        return None if self._start != self._end else self._pages_ahead(size, count)

    def read(self, out: memoryview) -> int:
        """Fill ``out`` and return the bytes placed: fewer only at the end of the file, then 0.

        An error of the engine passes through; bytes placed before it in the same read are lost,
        as the file is.
        """
        wanted = len(out)
        placed = 0
        start, end = self._start, self._end
        if start == end:
            if wanted >= self._least and not wanted % self._page_size:
                # The common case: whole pages, nothing left over. Short only at the end.
                self._least = self._page_size
                return self._read_pages(out)
        elif start + wanted <= end:
            self._start = start + wanted
            out[:] = self._carry_first[start : start + wanted]
            return wanted
        else:
            placed = self._take(out)
        while placed < wanted:
            room = wanted - placed
            whole = room - room % self._page_size
            if whole >= self._least:
                got = self._read_pages(out[placed : placed + whole] if placed else out[:whole])
                if not got:
                    break
                placed += got
                self._least = self._page_size
            else:
                carry = self._carry if self._least == self._page_size else self._carry_first
                self._start = self._end = 0  # an error must not leave old bytes behind
                self._end = self._read_pages(carry)
                if not self._end:
                    break
                placed += self._take(out[placed:])
                self._least = self._page_size
        return placed

    def _take(self, out: memoryview) -> int:
        size = min(self._end - self._start, len(out))
        out[:size] = self._carry_first[self._start : self._start + size]
        self._start += size
        return size
