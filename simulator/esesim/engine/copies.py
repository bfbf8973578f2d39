"""What a backup reads: a database, its streaming file or a log, as one run of bytes.

Each kind hands out whole pages in order into the caller's buffer, verified as ESE verifies them
(ESE source backup.cxx, ErrBKReadFile; checksums of the .stm in the .edb's map). Reads don't stop
the server's work: pages changed after they were copied are repaired by the logs of the backup.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

from attrs import evolve

from eseback.errors import JetErr
from eseback.formats.fields import BkInfo
from eseback.formats.logblock import BLOCK_HEADER_SIZE, LogEnd, block_size, read_block
from eseback.formats.trailer import Trailer

from ..volume import Lent
from .errors import JetError
from .logfile import read_log
from .page import Page
from .patchfile import PatchFile
from .quirk import Quirk

if TYPE_CHECKING:
    from .database import Database
    from .instance import Instance
    from .lookahead import LookAhead

HEADER_PAGES: Final = 2
_RETRIES: Final = 16
_TRANSIENT_TRIES: Final = 2
_RETRY_SECONDS: Final = 0.1
_LOOKED_AT: Final = 8  # pages of a read
_READ_QUIRKS: Final = frozenset({Quirk.PRE_EXTENSION, Quirk.TRANSIENT_READS})


class Copy(Protocol):
    """A file that a backup has open. ``size`` and ``position`` in bytes."""

    path: str
    size: int
    position: int
    first_read_min: int

    def read(self, buffer: memoryview) -> int:
        """Fill as much of ``buffer`` (whole pages) as there is; 0 at the end."""

    def lend(self, size: int) -> Lent | None:
        """What ``read`` would put into a buffer of ``size`` bytes, without copying it.

        None where it has to be copied: then nothing has happened.
        """

    def look_ahead(self, size: int, count: int) -> LookAhead | None:
        """The next reads of ``size`` bytes (whole pages), at most ``count``; None if they cannot be
        told beforehand.
        """

    def close(self) -> None:
        """Let go of the file."""


class DatabaseCopy:
    """A fuzzy copy of an .edb: header snapshot twice, pages as the file has them, trailer.

    The snapshot is taken at open: it carries bkinfoFullCur with genHigh 0, and nothing but the
    trailer tells up to which generation the pages reach.
    """

    def __init__(
        self,
        instance: Instance,
        database: Database,
        bkinfo: BkInfo,
        *,
        patches: PatchFile | None = None,
    ) -> None:
        self.path = database.edb
        self.database = database
        self.position = 0
        self.is_open = True
        self.page_size = size = database.page_size
        self.first_read_min = (HEADER_PAGES + 1) * size
        self.last_pgno = database.pages.last_pgno
        self._instance = instance
        self._is_stale = False
        may_lend = instance.config.quirks.isdisjoint(_READ_QUIRKS)
        pages_end = (HEADER_PAGES + self.last_pgno) * size
        self._lendable = range(HEADER_PAGES * size, pages_end if may_lend else 0)
        self._bkinfo = bkinfo
        self._patches = patches
        self._head = evolve(
            database.header, dbtime=database.dbtime, bkinfo_full_cur=evolve(bkinfo, gen_high=0)
        ).pack(size)
        self.size = (HEADER_PAGES + self.last_pgno + (patches is None)) * size
        database.copy = self

    @property
    def copied_pgno(self) -> int:
        """The last page that was handed out."""
        return self.position // self.page_size - HEADER_PAGES

    def is_between(self, target: int, source: int) -> bool:
        """Whether ``target`` has been handed out while ``source`` will still be."""
        return target <= self.copied_pgno < source <= self.last_pgno

    def misses(self, target: int, source: int) -> bool:
        """Whether the copy has ``target`` without the rows it has just taken, and never will have.

        They are on ``source``, which is copied later, when they have gone.
        """
        copied = target <= self.copied_pgno or target > self.last_pgno
        return copied and self.copied_pgno < source <= self.last_pgno

    def patch(self, page: Page) -> None:
        """Put a page that took moved rows into the patch file."""
        assert self._patches is not None, "only an era that doesn't log moves patches"
        self._patches.add(page)

    def read(self, buffer: memoryview) -> int:
        """See :class:`Copy`. Raises -1018 after the retries for a bad page."""
        size = self.page_size
        wanted = min(len(buffer), self.size - self.position)
        done = 0
        while done < wanted and self.position < HEADER_PAGES * size:
            buffer[done : done + size] = self._head
            done += size
            self.position += size
        pages = min(wanted - done, (HEADER_PAGES + self.last_pgno) * size - self.position)
        if pages > 0:
            self._read_pages(buffer[done : done + pages])
            done += pages
            self.position += pages
        if done < wanted:
            buffer[done : done + size] = self._make_trailer()
            done += size
            self.position += size
        return done

    def lend(self, size: int) -> Lent | None:
        """See :class:`Copy`. Headers and trailer are copied."""
        position = self.position
        end = position + size
        if position not in self._lendable or end > self._lendable.stop:
            return None
        pages, page_size = self.database.pages, self.page_size
        first, count = position // page_size - 1, size // page_size
        lent = pages.lend(first, count)
        if lent is not None:
            if pages.dirty and not self._is_stale:
                self._note_stale(first, count)
            self.position = end
        return lent

    def look_ahead(self, size: int, count: int) -> LookAhead | None:
        """See :class:`Copy`."""
        position, lendable = self.position, self._lendable
        if position not in lendable:
            return None
        from .lookahead import LookAhead

        pages = self.database.pages
        dirty = () if self._is_stale else pages.dirty  # one stale page is noted once
        count = min(count, (lendable.stop - position) // size)
        return LookAhead(self, pages.file, pages.known_good, dirty, self.page_size, size, count)

    def _read_pages(self, part: memoryview) -> None:
        first = self.position // self.page_size - 1
        pages = self.database.pages
        count = len(part) // self.page_size
        self._note_stale(first, count)
        # Page n stands one page behind its number: both headers come first.
        quirks = self._instance.config.quirks
        if Quirk.PRE_EXTENSION in quirks:
            self._check_not_extended(first + count - 1)
        pages.file.read_into(self.position, part)
        bad = pages.first_bad_page(first, part)
        flaky = Quirk.TRANSIENT_READS in quirks and first == 1
        if bad is None and not flaky:
            return
        failures = iter(range(1, _TRANSIENT_TRIES) if flaky else ())

        def attempt() -> int | None:
            pages.file.read_into(self.position, part)
            return pages.first_bad_page(first, part) or next(failures, None)

        _read_again(self._instance, self.path, bad or first, attempt)

    def _note_stale(self, first: int, count: int) -> None:
        """Mark that the copy has become fuzzy. Once is enough, and to look at every page of a long
        read would cost as much as the read.
        """
        if not self._is_stale and self.database.pages.is_stale(first, min(count, _LOOKED_AT)):
            self._is_stale = True
            self._instance.marks["stale_page_copied"] += 1

    def _check_not_extended(self, last: int) -> None:
        # ASSUMED(kb889528-mechanism): the article names the error and that pre-extending files
        # brings it about; here the last read of a database that has grown meanwhile fails.
        if last >= self.last_pgno < self.database.pages.last_pgno:
            raise JetError(
                JetErr.FILE_IO_BEYOND_EOF, f"{self.path} was extended while it was backed up"
            )

    def _make_trailer(self) -> bytes:
        header = self.database.header
        return Trailer(
            bkinfo=evolve(self._bkinfo, gen_high=self._instance.log.generation),
            sign_db=header.sign_db,
            sign_log=header.sign_log,
        ).pack(self.page_size)

    def close(self) -> None:
        """See :class:`Copy`."""
        self.is_open = False
        if self.database.copy is self:
            self.database.copy = None


class StreamCopy:
    """A copy of a .stm: its headers and pages as the file has them."""

    def __init__(self, instance: Instance, database: Database) -> None:
        streaming = database.streaming
        assert streaming is not None, "only a database with a .stm is asked for it"
        self.path = streaming.path if database.stm is None else database.stm
        self.database = database
        self.position = 0
        self.is_open = True
        self.size = streaming.file.size
        self.first_read_min = 0
        self._page_size = database.page_size
        self._streaming = streaming
        self._instance = instance

    def read(self, buffer: memoryview) -> int:
        """See :class:`Copy`. Raises -1018 for a page that isn't what the map says."""
        wanted = min(len(buffer), self.size - self.position)
        if wanted <= 0:
            return 0
        part = buffer[:wanted]
        first = self.position // self._page_size - 1
        file = self._streaming.file
        file.read_into(self.position, part)
        bad = self._streaming.first_bad_page(first, part)
        if bad is not None:

            def attempt() -> int | None:
                file.read_into(self.position, part)
                return self._streaming.first_bad_page(first, part)

            _read_again(self._instance, self.path, bad, attempt, event=478)
        self.position += wanted
        return wanted

    def lend(self, size: int) -> Lent | None:
        """See :class:`Copy`. Pages are verified while they are copied."""
        position, page_size = self.position, self._page_size
        first = max(position // page_size - 1, 1)
        end = (position + size) // page_size - 1
        if position + size > self.size or not self._streaming.known_good.covers(first, end - first):
            return None
        lent = self._streaming.file.lend(position, size)
        if lent is not None:
            self.position += size
        return lent

    def look_ahead(self, size: int, count: int) -> LookAhead | None:
        """See :class:`Copy`. Where pages have been, there are no headers any more."""
        if self.position < 2 * self._page_size:
            return None
        from .lookahead import LookAhead

        known = self._streaming.known_good
        return LookAhead(self, self._streaming.file, known, (), self._page_size, size, count)

    def close(self) -> None:
        """See :class:`Copy`."""
        self.is_open = False


class LogCopy:
    """A closed log, or any other plain file in the log phase; records verified while they pass."""

    def __init__(
        self, instance: Instance, path: str, volume_path: str, generation: int | None
    ) -> None:
        self.path = path
        self.generation = generation
        self.position = 0
        self._file = instance.volume.open(volume_path)
        self.size = self._file.size
        self.first_read_min = 2 * 4096 if generation is not None else 0
        self._instance = instance
        self._volume_path = volume_path
        self._bad_from: int | None = None
        self._blocks: list[tuple[int, int]] = []  # to be passed yet, the next one last
        self._header_generation = 0

    def _scan(self) -> None:
        """Find the blocks, and the offset from which the log is damaged if it is."""
        try:
            log = read_log(self._instance.volume, self._volume_path)
        except JetError:
            self._bad_from = 0
            return
        # A log that is cut off behind a whole block lacks its end mark: its last read fails.
        if log.reason is not LogEnd.END_RECORD:
            self._bad_from = min(log.end, self.size - 1)
        self._header_generation = log.generation
        self._blocks = [
            (start - BLOCK_HEADER_SIZE, start - BLOCK_HEADER_SIZE + block_size(end - start))
            for start, end in reversed(log.blocks)
        ]

    def _verify(self, end: int) -> None:
        """Verify what a read up to ``end`` passes, as it is now and not as it was at the open."""
        if self.position == 0:
            self._scan()
        while self._blocks and self._blocks[-1][0] < end:
            start, stop = self._blocks.pop()
            data = self._file.read(start, stop - start)
            if read_block(data, 0, self._header_generation) is None:
                self._bad_from = start
                break
        if self._bad_from is not None and end > self._bad_from:
            raise JetError(
                JetErr.LOG_READ_VERIFY_FAILURE,
                f"{self.path} is damaged at byte {self._bad_from}",
            )

    def read(self, buffer: memoryview) -> int:
        """See :class:`Copy`. Raises -612 where a checksum is wrong."""
        wanted = min(len(buffer), self.size - self.position)
        if wanted <= 0:
            return 0
        if self.generation is not None:
            self._verify(self.position + wanted)
        self._file.read_into(self.position, buffer[:wanted])
        self.position += wanted
        return wanted

    def look_ahead(self, size: int, count: int) -> LookAhead | None:
        """See :class:`Copy`. Each read verifies what it passes."""
        return None

    def lend(self, size: int) -> Lent | None:
        """See :class:`Copy`. Raises what ``read`` does."""
        lent = self._file.lend(self.position, min(size, self.size - self.position))
        if lent:
            count = sum(map(len, lent))
            if self.generation is not None:
                self._verify(self.position + count)
            self.position += count
        return lent

    def close(self) -> None:
        """See :class:`Copy`."""
        self._file.close()


def _read_again(
    instance: Instance,
    path: str,
    bad: int,
    attempt: Callable[[], int | None],
    *,
    event: int = 474,
) -> None:
    """16 more tries, 100 ms x n apart on the injected clock, then -1018."""
    offset = (bad + 1) * instance.config.page_size
    for number in range(1, _RETRIES + 1):
        instance.clock.sleep(_RETRY_SECONDS * number)
        if attempt() is None:
            instance.event(493, file=path, offset=offset, count=number)
            return
    error = int(JetErr.READ_VERIFY_FAILURE)
    instance.event(event, file=path, offset=offset, error=error)
    raise JetError(JetErr.READ_VERIFY_FAILURE, f"page {bad} of {path} fails its checksum")
