"""Small but well-formed database images, streaming files and logs, built with eseback.formats."""

from __future__ import annotations

import random
from typing import Final

from attrs import evolve, frozen

from eseback.formats.checksum import seal_page
from eseback.formats.dbheader import DatabaseHeader, DbAttribute, DbFlag, DbState
from eseback.formats.fields import BkInfo, FileType, LgPos, LogTime, Signature
from eseback.formats.logblock import END_OF_LOG, RECORD_HEADER, seal_block
from eseback.formats.logheader import SECTOR_SIZE, LogHeader
from eseback.formats.names import log_name
from eseback.formats.trailer import Trailer

PAGE_SIZE: Final = 4096
LOG_SECTORS: Final = 24
LOG_SIZE: Final = LOG_SECTORS * SECTOR_SIZE
_EPOCH: Final = 1_000_000_000
_NOP_TYPE: Final = 0


def moment(seconds: int) -> LogTime:
    """A moment some seconds after the beginning of the tests' time."""
    return LogTime.from_unix(_EPOCH + seconds)


@frozen
class LogStream:
    """The logs of one group: their signature and base name decide everything but the records."""

    signature: Signature
    base: str = "E00"
    digits: int = 5
    started: int = 0  # seconds after the beginning of the tests' time

    @classmethod
    def numbered(cls, number: int, base: str = "E00", digits: int = 5) -> LogStream:
        """A stream with a signature of its own for each number."""
        return cls(Signature(0x1000 + number, moment(number)), base, digits)

    def created(self, generation: int) -> LogTime:
        """When a log was made; all zero before the first one."""
        return moment(self.started + 60 * generation) if generation > 0 else LogTime()

    def name(self, generation: int) -> str:
        """File name of a closed log."""
        return log_name(self.base, generation, self.digits)

    def log(self, generation: int, *, records: int = 3, previous: LogTime | None = None) -> bytes:
        """A closed log. ``previous``: a wrong creation time of the log before it."""
        header = LogHeader(
            generation=generation,
            created=self.created(generation),
            previous_created=self.created(generation - 1) if previous is None else previous,
            sign_log=self.signature,
            file_sectors=LOG_SECTORS,
        )
        body = bytes(range(100))
        record = RECORD_HEADER.pack(_NOP_TYPE, 1, RECORD_HEADER.size + len(body), 7) + body
        blocks = [seal_block(record * (index + 1), generation) for index in range(records)]
        blocks.append(seal_block(record + END_OF_LOG, generation))
        return b"".join((header.pack(), *blocks)).ljust(LOG_SIZE, b"\0")


@frozen
class Image:
    """What a backup of a database returns."""

    stream: LogStream
    gen_low: int
    gen_high: int
    pages: int = 8
    seed: int = 1
    has_streaming: bool = True
    page_size: int = PAGE_SIZE
    ecc: bool = True
    has_trailer: bool = True

    @property
    def sign_db(self) -> Signature:
        """Signature of the database."""
        return Signature(0x2000 + self.seed, moment(self.seed))

    @property
    def sign_slv(self) -> Signature:
        """Signature that .edb and .stm share."""
        return (
            Signature(0x3000 + self.seed, moment(self.seed)) if self.has_streaming else Signature()
        )

    @property
    def bkinfo(self) -> BkInfo:
        """The backup that the image is of, as the header knows it."""
        return BkInfo(LgPos(self.gen_high, 9, 22), moment(9000), self.gen_low, 0)

    def header(self) -> DatabaseHeader:
        """The header snapshot."""
        return DatabaseHeader(
            sign_db=self.sign_db,
            sign_log=self.stream.signature,
            state=DbState.DIRTY_SHUTDOWN,
            revision=0xB if self.ecc else 9,
            page_size=self.page_size,
            bkinfo_full_cur=self.bkinfo,
            flags=DbFlag.SLV_EXISTS if self.has_streaming else DbFlag.NONE,
            sign_slv=self.sign_slv,
            gen_min_required=self.gen_low,
            gen_max_required=self.gen_high,
        )

    def trailer(self) -> Trailer:
        """The trailer: like the header, with the log that was current at the end."""
        info = self.bkinfo
        return Trailer(
            bkinfo=BkInfo(info.mark, info.time, self.gen_low, self.gen_high),
            sign_db=self.sign_db,
            sign_log=self.stream.signature,
        )

    def page(self, pgno: int) -> bytes:
        """A page with random contents; the third one was never used."""
        if pgno == 3:
            return bytes(self.page_size)
        page = bytearray(random.Random(f"{self.seed}/{pgno}").randbytes(self.page_size))
        seal_page(page, pgno, self.ecc)
        return bytes(page)

    def edb(self) -> bytes:
        """The whole saved .edb."""
        header = self.header().pack()
        pages = [self.page(pgno) for pgno in range(1, self.pages + 1)]
        trailer = self.trailer().pack(self.page_size) if self.has_trailer else b""
        return b"".join((header, header, *pages, trailer))

    def pat(self, *pgnos: int) -> bytes:
        """A patch file with images of pages, in the format of Exchange 2000."""
        old = evolve(self, ecc=False)
        pages = [old.page(pgno) for pgno in pgnos]
        return b"".join((self.trailer().pack(self.page_size), *pages))

    def stm(self) -> bytes:
        """The whole saved .stm: raw pages behind the header."""
        header = DatabaseHeader(
            sign_db=self.sign_db,
            sign_log=self.stream.signature,
            state=DbState.DIRTY_SHUTDOWN,
            revision=0xB,
            page_size=self.page_size,
            attribute=DbAttribute.STREAMING_FILE,
            sign_slv=self.sign_slv,
            file_type=FileType.STREAMING_FILE,
        ).pack()
        raw = random.Random(self.seed).randbytes(3 * self.page_size)
        return header + header + raw
