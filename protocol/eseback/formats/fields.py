"""The small structures that ESE's headers are made of.

Layouts: ESE source inc/daedef.hxx and inc/log.hxx; all little endian. Each structure has ``SIZE``,
``pack()`` and ``unpack(buffer, offset)``, and a constant that is all zeros.
"""

from __future__ import annotations

import datetime
import struct
from enum import IntEnum
from typing import ClassVar, Final, Self

from eseback.data import frozen
from eseback.formats.checksum import Readable
from eseback.formats.errors import FormatError

_LOG_TIME = struct.Struct("<8B")
_LG_POS = struct.Struct("<HHi")
_SIGNATURE = struct.Struct("<I8s16s")
_BK_INFO = struct.Struct("<8s8sII")
_COMPUTER_NAME_SIZE: Final = 16
_EPOCH_YEAR: Final = 1900


class FileType(IntEnum):
    """Type of an ESE file, at offset 667 of each header; 0 in files from before that field."""

    UNKNOWN = 0
    DATABASE = 1
    STREAMING_FILE = 2
    LOG = 3
    CHECKPOINT = 4
    TEMPORARY_DATABASE = 5


@frozen(order=True)
class LogTime:
    """LOGTIME: a moment to the second. Fields in descending order so that times compare.

    ``years`` counts from 1900 and ``month`` from 1; all zero is "never". ``flags`` are the two
    filler bytes (newer engines: byte 0 bit 0 "is UTC", byte 1 bit 0 "is of a snapshot").
    """

    SIZE: ClassVar[int] = 8

    years: int = 0
    month: int = 0
    day: int = 0
    hours: int = 0
    minutes: int = 0
    seconds: int = 0
    flags: tuple[int, int] = (0, 0)

    @classmethod
    def from_unix(cls, seconds: int) -> Self:
        """The moment ``seconds`` after 1970 in UTC."""
        moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
        return cls(
            moment.year - _EPOCH_YEAR,
            moment.month,
            moment.day,
            moment.hour,
            moment.minute,
            moment.second,
        )

    def to_datetime(self) -> datetime.datetime | None:
        """The moment, taken as UTC; None for "never". ``FormatError``: no such moment."""
        if self == NO_TIME:
            return None
        try:
            return datetime.datetime(
                self.years + _EPOCH_YEAR,
                self.month,
                self.day,
                self.hours,
                self.minutes,
                self.seconds,
                tzinfo=datetime.UTC,
            )
        except ValueError as error:
            raise FormatError(f"no such time: {self}: {error}") from None

    def pack(self) -> bytes:
        """Eight bytes: second, minute, hour, day, month, years since 1900, two filler bytes."""
        return _LOG_TIME.pack(
            self.seconds, self.minutes, self.hours, self.day, self.month, self.years, *self.flags
        )

    @classmethod
    def unpack(cls, buffer: Readable, offset: int = 0) -> Self:
        """The time at ``offset``; any bytes are taken as they are."""
        seconds, minutes, hours, day, month, years, *flags = _LOG_TIME.unpack_from(buffer, offset)
        return cls(years, month, day, hours, minutes, seconds, (flags[0], flags[1]))


@frozen(order=True)
class LgPos:
    """LGPOS: a position in the log stream: generation, sector of that file, byte of that sector."""

    SIZE: ClassVar[int] = 8

    generation: int = 0
    sector: int = 0
    byte: int = 0

    def pack(self) -> bytes:
        """Eight bytes: u16 byte, u16 sector, i32 generation."""
        return _LG_POS.pack(self.byte, self.sector, self.generation)

    @classmethod
    def unpack(cls, buffer: Readable, offset: int = 0) -> Self:
        """The position at ``offset``."""
        byte, sector, generation = _LG_POS.unpack_from(buffer, offset)
        return cls(generation, sector, byte)

    def __str__(self) -> str:
        """As eseutil prints it: hexadecimal generation, sector, byte."""
        return f"({self.generation:X},{self.sector:X},{self.byte:X})"


@frozen
class Signature:
    """SIGNATURE: identity of a log stream, a database or a pair of .edb and .stm.

    ``computer`` has up to 15 characters; Exchange leaves it empty.
    """

    SIZE: ClassVar[int] = 28

    random: int = 0
    created: LogTime = LogTime()
    computer: str = ""

    def pack(self) -> bytes:
        """28 bytes: u32 random, LOGTIME, name padded with NULs. ``FormatError``: no such name."""
        try:
            name = self.computer.encode("latin-1")
        except UnicodeEncodeError as error:
            raise FormatError(f"computer name {self.computer!r}: {error}") from None
        if len(name) >= _COMPUTER_NAME_SIZE:
            raise FormatError(f"computer name {self.computer!r} has more than 15 characters")
        return _SIGNATURE.pack(self.random, self.created.pack(), name)

    @classmethod
    def unpack(cls, buffer: Readable, offset: int = 0) -> Self:
        """The signature at ``offset``."""
        random, created, name = _SIGNATURE.unpack_from(buffer, offset)
        return cls(random, LogTime.unpack(created), name.split(b"\0", 1)[0].decode("latin-1"))


@frozen
class BkInfo:
    """BKINFO: one backup: where the log stood, when, and the generations that belong to it."""

    SIZE: ClassVar[int] = 24

    mark: LgPos = LgPos()
    time: LogTime = LogTime()
    gen_low: int = 0
    gen_high: int = 0

    def pack(self) -> bytes:
        """24 bytes: LGPOS, LOGTIME, u32 lowest and u32 highest generation."""
        return _BK_INFO.pack(self.mark.pack(), self.time.pack(), self.gen_low, self.gen_high)

    @classmethod
    def unpack(cls, buffer: Readable, offset: int = 0) -> Self:
        """The backup information at ``offset``."""
        mark, time, gen_low, gen_high = _BK_INFO.unpack_from(buffer, offset)
        return cls(LgPos.unpack(mark), LogTime.unpack(time), gen_low, gen_high)


NO_TIME: Final = LogTime()
NO_POSITION: Final = LgPos()
NO_SIGNATURE: Final = Signature()
NO_BACKUP: Final = BkInfo()
