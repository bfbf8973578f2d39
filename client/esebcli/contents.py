"""What a saved file says about itself, checked as its bytes pass.

The same checks run while a backup is written and when it is verified later. Each one is fed the
bytes of one file in order, in pieces of any size, and ends with :class:`FileFacts`: the headers
that were found, and what is wrong with the file taken alone. How files belong together is in
:mod:`esebcli.consistency`.

A saved database is: header, its copy, pages 1 to n, trailer. Every page has a checksum that
covers its number; an all-zero page was never used and is good. The pages of a streaming file have
none (their checksums are rows of the database), so only its header can be checked here. (ESE
source backup.cxx, checksum.cxx; libesedb format document.)

Exchange 2000 RTM and SP1 write no trailer. What it would say is the header of a patch file, which
also holds images of pages that took moved rows after they had been copied.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, Protocol

from attrs import frozen

from eseback.formats.checksum import page_is_good
from eseback.formats.dbheader import HEADER_COPIES, DatabaseHeader, DbAttribute
from eseback.formats.errors import FormatError
from eseback.formats.logblock import verify_log
from eseback.formats.logheader import LOG_HEADER_SIZE, LogHeader
from eseback.formats.trailer import Trailer
from esebcli.findings import Finding, Layer
from esebcli.loglists import parse_listed_log
from esebcli.manifest import FileKind
from esebcli.pages import BadPages, PageRange, Share, check_pages, name_first

_HEAD_SIZE: Final = 16384  # both copies of the header, at any page size
_LOG_SIZE_MAX: Final = 0xFFFF * 512  # sectors in a log are counted in 16 bits
_PATCH_PAGE_SIZE: Final = 4096  # Exchange 2000 has no other


class Depth(Enum):
    """How closely a file is looked at."""

    HEADERS = "headers"  # headers and trailers
    PAGES = "pages"  # every page of a database, every block of a log as well


@frozen
class FileFacts:
    """What is known of one saved file. A header is None where there is none or it is damaged.

    ``patch`` is the header of a patch file. ``without_trailer``: a database whose last page is an
    ordinary one, as Exchange 2000 RTM and SP1 deliver it.
    """

    name: str
    kind: FileKind
    size: int
    findings: tuple[Finding, ...] = ()
    header: DatabaseHeader | None = None
    trailer: Trailer | None = None
    log: LogHeader | None = None
    patch: Trailer | None = None
    without_trailer: bool = False


class FileCheck(Protocol):
    """Looks at one file."""

    def feed(self, data: memoryview) -> None:
        """The next bytes of the file."""
        ...

    def finish(self) -> FileFacts:
        """After the last byte: what was found."""
        ...


def check_for(kind: FileKind, name: str, size: int, depth: Depth) -> FileCheck:
    """A check for a file of ``size`` bytes. ``name`` is its file name, for logs what it must be."""
    if kind is FileKind.DATABASE:
        return DatabaseCheck(name, size, depth)
    if kind is FileKind.STREAMING:
        return StreamingCheck(name, size)
    if kind is FileKind.LOG:
        return LogCheck(name, size, depth)
    return PatchCheck(name, size, depth)


class _Findings:
    def __init__(self, name: str) -> None:
        self._name = name
        self.all: list[Finding] = []

    def add(self, layer: Layer, text: str) -> None:
        self.all.append(Finding(layer, text, self._name))


class _Head:
    """Collects the first bytes of a file."""

    def __init__(self, size: int) -> None:
        self._missing = size
        self.data = bytearray()

    def take(self, data: memoryview) -> memoryview:
        """Keep what is still missing; returns the rest."""
        taken = data[: self._missing]
        self.data += taken
        self._missing -= len(taken)
        return data[len(taken) :]

    def is_full(self) -> bool:
        """Whether nothing is missing any more."""
        return self._missing == 0


def _read_header(
    head: bytearray, attribute: DbAttribute, findings: _Findings
) -> DatabaseHeader | None:
    """The header of an .edb or .stm; both copies have to be good and equal."""
    try:
        header = DatabaseHeader.read(head)
    except FormatError as error:
        findings.add(Layer.HEADER, error.reason)
        return None
    size = header.page_size
    if head[:size] != head[size : HEADER_COPIES * size]:
        findings.add(Layer.HEADER, "the two copies of the header differ")
    if header.attribute is not attribute:
        findings.add(Layer.HEADER, f"it is the header of a {header.attribute.name.lower()}")
    return header


class DatabaseCheck:
    """An .edb as it comes from a backup: header, copy, pages, trailer.

    With ``share`` others may check its pages; what they find is handed to :meth:`add_bad`.
    """

    def __init__(self, name: str, size: int, depth: Depth, share: Share | None = None) -> None:
        self._name = name
        self._size = size
        self._depth = depth
        self._head = _Head(min(size, _HEAD_SIZE))
        self._findings = _Findings(name)
        self._header: DatabaseHeader | None = None
        self._trailer: Trailer | None = None
        self._without_trailer = False
        self._page_size = 0  # 0: not known, the pages can't be found
        self._carry = b""  # start of a page whose rest has not arrived yet
        self._index = 0  # page in the file, counted from 0, that starts with the carry
        self._last_index = 0
        self._share = share
        self._bad = BadPages()

    def feed(self, data: memoryview) -> None:
        """The next bytes of the file."""
        if not self._head.is_full():
            data = self._head.take(data)
            if self._head.is_full():
                self._begin()
                self._feed_pages(memoryview(bytes(self._head.data)))
        if data:
            self._feed_pages(data)

    def _begin(self) -> None:
        self._header = _read_header(self._head.data, DbAttribute.DATABASE, self._findings)
        if self._header is None:
            return
        page_size = self._header.page_size
        pages, rest = divmod(self._size, page_size)
        if rest:
            self._findings.add(
                Layer.FILE, f"its size {self._size} is no multiple of the page size {page_size}"
            )
        elif pages < HEADER_COPIES + 2:
            self._findings.add(Layer.FILE, f"{pages} pages are too few for a database")
        else:
            self._page_size = page_size
            self._last_index = pages - 1

    def _feed_pages(self, data: memoryview) -> None:
        size = self._page_size
        if not size:
            return
        if self._carry:
            data = memoryview(self._carry + bytes(data))
        whole = len(data) // size
        if self._depth is Depth.PAGES:
            self._check_pages(data, min(self._index + whole, self._last_index))
        if self._index + whole > self._last_index:
            start = (self._last_index - self._index) * size
            self._read_last(data[start : start + size])
        self._index += whole
        self._carry = bytes(data[whole * size :])

    def _check_pages(self, data: memoryview, end: int) -> None:
        """Check the pages that start in ``data`` before page ``end`` of the file."""
        size = self._page_size
        first = max(self._index, HEADER_COPIES)
        if first >= end:
            return
        pages = PageRange(first * size, (end - first) * size, first + 1 - HEADER_COPIES, size)
        if self._share is None or not self._share(pages):
            start = (first - self._index) * size
            self._bad += check_pages(data[start : start + pages.size], pages)

    def add_bad(self, found: BadPages) -> None:
        """What somebody else found in pages that were shared out."""
        self._bad += found

    def _read_last(self, page: memoryview) -> None:
        # A trailer has no page number. Without that rule the last page of a database in the old
        # format would pass for one: both have the same kind of checksum.
        if any(page[4:8]) or not Trailer.is_good(page):
            self._without_trailer = page_is_good(page, self._last_index + 1 - HEADER_COPIES)
            if not self._without_trailer:
                self._findings.add(Layer.TRAILER, "checksum of the trailer page is wrong")
            return
        try:
            self._trailer = Trailer.unpack(page)
        except FormatError as error:
            self._findings.add(Layer.TRAILER, error.reason)

    def finish(self) -> FileFacts:
        """After the last byte: what was found."""
        if not self._head.is_full() or not self._size:
            self._findings.add(Layer.FILE, "it is empty or cut off")
        if self._bad.count:
            self._findings.add(Layer.PAGE, str(self._bad))
        return FileFacts(
            self._name,
            FileKind.DATABASE,
            self._size,
            tuple(self._findings.all),
            header=self._header,
            trailer=self._trailer,
            without_trailer=self._without_trailer,
        )


class PatchCheck:
    """A patch file of Exchange 2000: a header like a trailer, then page images in any order.

    Nothing outside says which pages are in it, so each is held against the number that it carries
    at offset 4, where pages of that format have it.
    """

    def __init__(self, name: str, size: int, depth: Depth) -> None:
        self._name = name
        self._size = size
        self._depth = depth
        self._findings = _Findings(name)
        self._header: Trailer | None = None
        self._carry = b""  # start of a page whose rest has not arrived yet
        self._offset = 0  # of the carry
        self._bad: list[int] = []

    def feed(self, data: memoryview) -> None:
        """The next bytes of the file."""
        size = _PATCH_PAGE_SIZE
        if self._carry:
            data = memoryview(self._carry + bytes(data))
        whole = len(data) // size * size
        for start in range(0, whole, size):
            self._take(data[start : start + size], self._offset + start)
        self._offset += whole
        self._carry = bytes(data[whole:])

    def _take(self, page: memoryview, offset: int) -> None:
        if offset == 0:
            try:
                self._header = Trailer.unpack(page)
            except FormatError:
                self._findings.add(Layer.HEADER, "checksum of the patch file's header is wrong")
        elif self._depth is Depth.PAGES:
            pgno = int.from_bytes(page[4:8], "little")
            if not pgno or not page_is_good(page, pgno):
                self._bad.append(offset)

    def finish(self) -> FileFacts:
        """After the last byte: what was found."""
        if self._size < _PATCH_PAGE_SIZE:
            self._findings.add(Layer.FILE, "it is empty or cut off")
        elif self._size % _PATCH_PAGE_SIZE:
            self._findings.add(
                Layer.FILE,
                f"its size {self._size} is no multiple of the page size {_PATCH_PAGE_SIZE}",
            )
        if self._bad:
            places = name_first(self._bad, len(self._bad))
            text = f"wrong checksum of {len(self._bad)} page(s), at byte {places}"
            self._findings.add(Layer.PAGE, text)
        return FileFacts(
            self._name, FileKind.PATCH, self._size, tuple(self._findings.all), patch=self._header
        )


class StreamingCheck:
    """An .stm: only its header can be checked without the database."""

    def __init__(self, name: str, size: int) -> None:
        self._name = name
        self._size = size
        self._head = _Head(min(size, _HEAD_SIZE))

    def feed(self, data: memoryview) -> None:
        """The next bytes of the file."""
        if not self._head.is_full():
            self._head.take(data)

    def finish(self) -> FileFacts:
        """After the last byte: what was found."""
        findings = _Findings(self._name)
        header = _read_header(self._head.data, DbAttribute.STREAMING_FILE, findings)
        if header is not None and self._size % header.page_size:
            findings.add(
                Layer.FILE,
                f"its size {self._size} is no multiple of the page size {header.page_size}",
            )
        return FileFacts(
            self._name, FileKind.STREAMING, self._size, tuple(findings.all), header=header
        )


class LogCheck:
    """A closed log: header, name, and with ``Depth.PAGES`` every block of records."""

    def __init__(self, name: str, size: int, depth: Depth) -> None:
        self._name = name
        self._size = size
        self._depth = depth
        wanted = size if depth is Depth.PAGES else LOG_HEADER_SIZE
        self._head = _Head(min(size, wanted) if size <= _LOG_SIZE_MAX else 0)

    def feed(self, data: memoryview) -> None:
        """The next bytes of the file."""
        if not self._head.is_full():
            self._head.take(data)

    def finish(self) -> FileFacts:
        """After the last byte: what was found."""
        findings = _Findings(self._name)
        header = None
        if self._size > _LOG_SIZE_MAX:
            findings.add(Layer.FILE, f"its size {self._size} is too large for a log")
        else:
            header = self._read(findings)
        return FileFacts(self._name, FileKind.LOG, self._size, tuple(findings.all), log=header)

    def _read(self, findings: _Findings) -> LogHeader | None:
        try:
            header = LogHeader.unpack(self._head.data)
        except FormatError as error:
            findings.add(Layer.HEADER, error.reason)
            return None
        named = parse_listed_log(self._name)
        if named is not None and named[1] != header.generation:
            findings.add(
                Layer.HEADER, f"its header says generation {header.generation}, its name {named[1]}"
            )
        if header.file_size != self._size:
            findings.add(
                Layer.FILE, f"its size is {self._size}, its header says {header.file_size}"
            )
        elif self._depth is Depth.PAGES:
            for text in verify_log(self._head.data):
                findings.add(Layer.LOG, text)
        return header
