"""The pages of one database file: cache, lazy flush, verification.

Changes are made on cached pages and reach the file later, so the file lags behind the log; that lag
is what makes an online backup fuzzy. A page that this process sealed and wrote, or once verified,
is known good until a fault touches the file. A page with ECC of which one bit is wrong is repaired
whenever it is read (ESE source checksumu.cxx); the file keeps the wrong bit until the page is
written for another reason, so it is not known good.

ESE leaves torn page writes to the disk. A simulated crash tears them on purpose, so each batch of
pages goes to a side file first.
# ASSUMED(torn-page-side-file): pages are written to a side file in the system folder before they
# are written in place, so that a page torn by a crash can be put back before redo.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Final

from eseback.errors import JetErr
from eseback.formats.checksum import bad_pgnos, first_bad_pgno, page_is_good, repair_page

from ..volume import Lent, Volume
from .errors import JetError
from .goodpages import GoodPages
from .page import Page

_SIDE_HEAD: Final = struct.Struct("<4sII16s")
_SIDE_MAGIC: Final = b"ESFL"
_BATCH_PAGES: Final = 64


class PageFile:
    """Pages 1..last of an .edb, addressed by pgno; pages 0 and -1 are the header and its copy.

    ``dirty`` holds the pages that are newer than the file, the oldest change first. ``repaired`` is
    told the number of each page that was read with one wrong bit.
    """

    def __init__(
        self,
        volume: Volume,
        path: str,
        *,
        page_size: int,
        ecc: bool,
        side_path: str | None,
        cache_pages: int = 2048,
        repaired: Callable[[int], None] | None = None,
    ) -> None:
        self.path = path
        self.page_size = page_size
        self.ecc = ecc
        self.file = volume.open(path)
        self.pages: dict[int, Page] = {}
        self.dirty: dict[int, Page] = {}
        self.known_good = GoodPages()
        # Pages of a patch file, by number: what a restore of Exchange 2000 takes moved rows from.
        self.patches: dict[int, list[Page]] = {}
        self._volume = volume
        self._side_path = side_path
        self._cache_pages = cache_pages
        self._repaired = repaired

    @property
    def last_pgno(self) -> int:
        """The last page that the file has room for."""
        return self.file.size // self.page_size - 2

    def get(self, pgno: int) -> Page:
        """The page, from the cache or the file. Raises -1018 for a damaged page."""
        page = self.pages.get(pgno)
        if page is None:
            page = self.pages[pgno] = self._load(pgno)
        return page

    def _load(self, pgno: int) -> Page:
        data = self.file.read((pgno + 1) * self.page_size, self.page_size)
        if len(data) < self.page_size:
            raise JetError(
                JetErr.READ_VERIFY_FAILURE, f"page {pgno} lies beyond the end of {self.path}"
            )
        if page_is_good(data, pgno):
            self.known_good.add(pgno)
            return Page.from_bytes(data, pgno)
        repaired = self._repair(data, pgno)
        if repaired is None:
            raise JetError(
                JetErr.READ_VERIFY_FAILURE, f"page {pgno} of {self.path} fails its checksum"
            )
        return Page.from_bytes(repaired, pgno)

    def _repair(self, image: bytes | memoryview, pgno: int) -> bytes | None:
        """A bad page with its one wrong bit put right; None if more is wrong or there is no ECC."""
        # ASSUMED(ecc-without-retry): a page with one wrong bit is repaired at the first read; a
        # backup reads again only pages that their ECC cannot repair.
        repaired = repair_page(image, pgno) if self.ecc else None
        if repaired is not None and self._repaired is not None:
            self._repaired(pgno)
        return repaired

    def put(self, page: Page, lsn: int) -> None:
        """The page becomes this one, changed by the record at ``lsn``."""
        old = self.dirty.get(page.pgno)
        self.pages[page.pgno] = page
        if old is None:
            page.recovery_position = lsn
        else:
            page.recovery_position = old.recovery_position
        self.dirty[page.pgno] = page

    def touch(self, page: Page, lsn: int) -> None:
        """The record at ``lsn`` changed the page."""
        if page.recovery_position is None:
            page.recovery_position = lsn
            self.dirty[page.pgno] = page

    def extend(self, last_pgno: int) -> None:
        """The file grows so that it holds ``last_pgno``; new pages are zero (uninitialised)."""
        size = (last_pgno + 2) * self.page_size
        if self.file.size < size:
            self.file.resize(size)

    @property
    def oldest_change(self) -> int | None:
        """Position of the oldest record whose change may not be in the file."""
        for page in self.dirty.values():
            return page.recovery_position
        return None

    def flush(self, count: int | None = None) -> int:
        """Write the ``count`` pages that have been dirty longest (all: None); returns how many.

        The caller has flushed the log first (write-ahead order).
        """
        written = 0
        while self.dirty and (count is None or written < count):
            size = _BATCH_PAGES if count is None else min(_BATCH_PAGES, count - written)
            batch = list(islice(self.dirty.values(), size))
            self._write(batch)
            for page in batch:
                page.recovery_position = None
                del self.dirty[page.pgno]
            written += len(batch)
        return written

    def flush_together(self, pages: Sequence[Page]) -> None:
        """Write these pages in one batch: after a crash all of them are there, or none."""
        self._write(pages)
        for page in pages:
            page.recovery_position = None
            self.dirty.pop(page.pgno, None)

    def _write(self, batch: Sequence[Page]) -> None:
        size, ecc = self.page_size, self.ecc
        images = [page.to_bytes(size, ecc=ecc) for page in batch]
        if self._side_path is not None:
            write_side_file(
                self._volume, self._side_path, size, [page.pgno for page in batch], images
            )
        file = self.file
        for page, image in zip(batch, images, strict=True):
            file.write((page.pgno + 1) * size, image)
            self.known_good.add(page.pgno)
        file.sync()

    def drop_side_file(self) -> None:
        """Remove the side file: everything is in place and synced."""
        if self._side_path is not None:
            drop_side_file(self._volume, self._side_path)

    def trim_cache(self) -> None:
        """Forget clean pages above the cache's size. Only between operations."""
        excess = len(self.pages) - self._cache_pages
        if excess <= 0:
            return
        clean = (pgno for pgno, page in self.pages.items() if page.recovery_position is None)
        for pgno in list(islice(clean, excess + self._cache_pages // 4)):
            del self.pages[pgno]

    def first_bad_page(self, first: int, buffer: memoryview) -> int | None:
        """The first damaged page among those just read from ``first`` on, None if all are good.

        One that an ECC can repair is repaired in ``buffer``, and good. A page that is generated is
        good: it was sealed a moment ago.
        """
        size, known, generated = self.page_size, self.known_good, self.file.generated
        count = len(buffer) // size
        if known.covers(first, count) or generated((first + 1) * size, count * size):
            return None
        for begin, end in self._unknown(first, first + count):
            run = buffer[(begin - first) * size : (end - first) * size]
            for pgno in bad_pgnos(run, begin, size):
                known.add(begin, pgno - begin)
                begin = pgno + 1
                image = run[(pgno - end) * size :][:size]
                repaired = self._repair(image, pgno)
                if repaired is None:
                    return pgno
                image[:] = repaired
            known.add(begin, end - begin)
        return None

    def _unknown(self, first: int, end: int) -> Iterator[tuple[int, int]]:
        """Runs of pages, none of which is known to be good, within a range."""
        size, known, generated = self.page_size, self.known_good, self.file.generated
        begin = first
        for pgno in range(first, end):
            if known.covers(pgno, 1) or generated((pgno + 1) * size, size):
                if begin < pgno:
                    yield begin, pgno
                begin = pgno + 1
        if begin < end:
            yield begin, end

    def lend(self, first: int, count: int) -> Lent | None:
        """So many pages from ``first`` on as they lie in the file, all of them good.

        None where they have to be copied: for a volume that can't lend them, or because one is
        damaged, and may have to be repaired.
        """
        size = self.page_size
        lent = self.file.lend((first + 1) * size, count * size)
        if lent is None or self.known_good.covers(first, count):
            return lent
        pgno = first
        for part in lent:
            if len(part) % size or first_bad_pgno(part, pgno, size) is not None:
                return None
            pgno += len(part) // size
        self.known_good.add(first, count)
        return lent

    def is_stale(self, first: int, count: int) -> bool:
        """Whether the file has an old state of any of these pages."""
        return not self.dirty.keys().isdisjoint(range(first, first + count))

    def distrust(self) -> None:
        """A fault touched the file: verify every page again."""
        self.known_good.clear()
        for pgno in [p for p, page in self.pages.items() if page.recovery_position is None]:
            del self.pages[pgno]

    def close(self) -> None:
        """Let go of the file; what is dirty is lost."""
        self.file.close()


def write_side_file(
    volume: Volume,
    path: str,
    page_size: int,
    pgnos: Sequence[int],
    images: Sequence[bytes | bytearray],
) -> None:
    """Write a batch of sealed pages to the side file and sync it."""
    file = volume.open(path) if volume.exists(path) else volume.create(path)
    body = b"".join(images)
    head = _SIDE_HEAD.pack(_SIDE_MAGIC, page_size, len(pgnos), _digest(body))
    numbers = struct.pack(f"<{len(pgnos)}I", *pgnos)
    file.write(0, (head + numbers).ljust(page_size, b"\0") + body)
    file.sync()
    file.close()


def drop_side_file(volume: Volume, path: str) -> None:
    """Remove a side file, if there is one, durably.

    Were it to come back after a loss of power, another database that has its name by then would get
    these pages.
    """
    if volume.exists(path):
        volume.delete(path)
        volume.sync_directory(path.rpartition("/")[0])


def mend_torn_pages(
    volume: Volume, path: str, side_path: str, page_size: int, marks: Counter[str]
) -> int:
    """Finish the last batch of ``path`` from the side file after a crash; returns pages written.

    A whole side file means that writing in place had begun and may be unfinished; a torn one, that
    it had not. Every page that differs is put back, also one whose checksum is right: the checksum
    of an ESE page is linear, and a page that lost the sector with four of its tags can pass it.
    """
    if not volume.exists(side_path):
        return 0
    side = volume.open(side_path)
    data = side.read(0, (_BATCH_PAGES + 1) * page_size)
    side.close()
    if len(data) < page_size or data[:4] != _SIDE_MAGIC:
        return 0
    _, size, count, digest = _SIDE_HEAD.unpack_from(data)
    body = data[page_size : (count + 1) * page_size]
    if size != page_size or count > _BATCH_PAGES or digest != _digest(body):
        return 0
    file = volume.open(path)
    mended = 0
    for number, pgno in enumerate(struct.unpack_from(f"<{count}I", data, _SIDE_HEAD.size)):
        image = body[number * page_size : (number + 1) * page_size]
        offset = (pgno + 1) * page_size
        here = file.read(offset, page_size)
        if here != image:
            file.write(offset, image)
            mended += 1
            marks["lost_page" if page_is_good(here, pgno) else "torn_page"] += 1
    file.sync()
    file.close()
    return mended


def _digest(body: bytes) -> bytes:
    import hashlib  # takes some milliseconds, and only a batch of pages needs it

    return hashlib.blake2b(body, digest_size=16).digest()
