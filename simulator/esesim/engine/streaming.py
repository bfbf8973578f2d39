"""The streaming file (.stm) of a database: raw message bodies in 4 KiB pages.

The file's pages carry no checksum of their own. Two trees in the .edb describe them (ESE calls the
concept SLV; page flags 0x100 and 0x200): the *avail* tree holds the extents the file has, the
*owner map* holds an entry for every page in use, with the checksum of its contents. A page not in
the map is free. Both are logged like any other rows, the contents as records of their own, so
recovery can rebuild a stale .stm and a damaged one is found.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Final

from eseback.errors import JetErr
from eseback.formats.dbheader import DatabaseHeader

from ..volume import Volume
from .btree import Tree
from .errors import JetError
from .goodpages import GoodPages
from .logrecord import stream_write
from .streamrun import StreamRun, pack_runs, unpack_runs

if TYPE_CHECKING:
    from .database import Database
    from .transaction import Transaction

_KEY: Final = struct.Struct(">I")
_EXTENT: Final = struct.Struct("<I")
# ASSUMED(stm-map-entry): an owner-map entry is the CRC-32 of the page and the bytes used in it; the
# real layout and checksum are not public.
_ENTRY: Final = struct.Struct("<IH")
_EXTENT_PAGES: Final = 32


def page_checksum(data: bytes | memoryview) -> int:
    """The checksum of a page of the streaming file, as it stands in the owner map."""
    return zlib.crc32(data)


class StreamingFile:
    """The .stm of one database; page n lies at (n + 1) pages from the start, behind two headers."""

    def __init__(
        self, volume: Volume, path: str, page_size: int, avail: Tree, owner_map: Tree
    ) -> None:
        self.path = path
        self.page_size = page_size
        self.file = volume.open(path)
        self._avail = avail
        self._map = owner_map
        # Pages that this process wrote or has verified since the file was opened.
        self.known_good = GoodPages()
        self._free: list[int] | None = None
        self._dirty = False

    def header(self) -> DatabaseHeader:
        """The file's own header (attrib 1)."""
        return DatabaseHeader.unpack(self.file.read(0, self.page_size))

    def store(self, database: Database, tx: Transaction, data: bytes) -> bytes:
        """Write ``data`` to free pages; returns the runs for the row."""
        size = self.page_size
        pages = [self._take_free(database) for _ in range(max(1, -(-len(data) // size)))]
        runs: list[StreamRun] = []
        for number, pgno in enumerate(pages):
            part = data[number * size : (number + 1) * size]
            page = part.ljust(size, b"\0")
            database.log.append(stream_write(database.dbid, tx.begin(), pgno, part))
            self.write_page(pgno, page)
            tx.insert(
                database, self._map, _KEY.pack(pgno), _ENTRY.pack(page_checksum(page), len(part))
            )
            if runs and runs[-1].pgno + runs[-1].cpg == pgno:
                last = runs.pop()
                runs.append(StreamRun(last.pgno, last.cpg + 1, last.size + len(part)))
            else:
                runs.append(StreamRun(pgno, 1, len(part)))
        tx.on_rollback(partial(self._release, pages))
        return pack_runs(runs)

    def free(self, database: Database, tx: Transaction, runs: bytes) -> None:
        """Give the pages of a row's stream back; they are reused only after the commit."""
        self._free_pages()
        pages = list(_run_pages(runs))
        for pgno in pages:
            tx.delete(database, self._map, _KEY.pack(pgno))
        tx.on_commit(partial(self._release, pages))

    def fetch(self, runs: bytes) -> bytes:
        """The bytes of a row's stream. Raises -1018 where a page isn't what the map says."""
        size = sum(run.size for run in unpack_runs(runs))
        parts = []
        for pgno in _run_pages(runs):
            page = self.file.read((pgno + 1) * self.page_size, self.page_size)
            if not self.matches(pgno, page):
                raise JetError(
                    JetErr.READ_VERIFY_FAILURE,
                    f"page {pgno} of {self.path} isn't what the streaming map says",
                )
            parts.append(page)
        return b"".join(parts)[:size]

    def matches(self, pgno: int, page: bytes | memoryview) -> bool:
        """Whether the page agrees with the owner map (free pages always do)."""
        entry = self._map.find(_KEY.pack(pgno))
        return entry is None or _ENTRY.unpack(entry)[0] == page_checksum(page)

    def first_bad_page(self, first: int, buffer: memoryview) -> int | None:
        """The first damaged page among those just read from ``first`` on (-1: the headers)."""
        size, end = self.page_size, first + len(buffer) // self.page_size
        begin = max(first, 1)
        if self.known_good.covers(begin, end - begin):
            return None
        for pgno in range(begin, end):
            if not self.matches(pgno, buffer[(pgno - first) * size : (pgno - first + 1) * size]):
                return pgno
        self.known_good.add(begin, end - begin)
        return None

    def distrust(self) -> None:
        """A fault touched the file: verify every page again."""
        self.known_good.clear()

    def used_pages(self) -> Iterator[tuple[int, int]]:
        """(page, checksum) of every page in use, ascending."""
        for key, data in self._map.scan():
            yield _KEY.unpack(key)[0], _ENTRY.unpack(data)[0]

    def write_page(self, pgno: int, page: bytes) -> None:
        """Put a page's contents into the file; not synced."""
        self.file.write((pgno + 1) * self.page_size, page)
        self.known_good.add(pgno)
        self._dirty = True

    def sync(self) -> None:
        """Make what was written durable."""
        if self._dirty:
            self.file.sync()
            self._dirty = False

    @property
    def last_pgno(self) -> int:
        """The last page that the file has room for."""
        return self.file.size // self.page_size - 2

    def close(self) -> None:
        """Let go of the file."""
        self.file.close()

    def _take_free(self, database: Database) -> int:
        if not self._free_pages():
            self._grow(database)
        return self._free_pages().pop()

    def _free_pages(self) -> list[int]:
        """Free pages, the lowest last. Looked up once, before anything is freed: a page that an
        open transaction has freed belongs to its row again after a rollback.
        """
        if self._free is None:
            used = {pgno for pgno, _ in self.used_pages()}
            self._free = sorted((pgno for pgno in self._owned() if pgno not in used), reverse=True)
        return self._free

    def _owned(self) -> Iterator[int]:
        for key, data in self._avail.scan():
            (last,) = _KEY.unpack(key)
            (count,) = _EXTENT.unpack(data)
            yield from range(last - count + 1, last + 1)

    def _grow(self, database: Database) -> None:
        key = self._avail.last_key()
        last = (0 if key is None else _KEY.unpack(key)[0]) + _EXTENT_PAGES
        self.extend(last)
        # Growth belongs to nobody's transaction: it stays when the one that needed it rolls back.
        self._avail.insert(0, _KEY.pack(last), _EXTENT.pack(_EXTENT_PAGES))
        self._release(list(range(last - _EXTENT_PAGES + 1, last + 1)))
        database.note_growth()

    def extend(self, last_pgno: int) -> None:
        """The file has room for ``last_pgno``."""
        size = (last_pgno + 2) * self.page_size
        if self.file.size < size:
            self.file.resize(size)

    def _release(self, pages: list[int]) -> None:
        # Descending, so that pop() takes the lowest.
        self._free = sorted({*self._free_pages(), *pages}, reverse=True)


def _run_pages(runs: bytes) -> Iterator[int]:
    for run in unpack_runs(runs):
        yield from range(run.pgno, run.pgno + run.cpg)
