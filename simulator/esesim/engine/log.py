"""The log stream of an instance: append, flush, roll.

A stream is a chain of generations of one fixed size. ``Exx.log`` is the generation being written;
when it is full it becomes ``Exxnnnnn.log`` and the next one, prepared as ``Exxtmp.log``, takes its
name. Generations are chained by the creation time of the predecessor and by the stream's signature
(ESE source _log/logstream.cxx; libesedb has no log reader).

A position in the stream is one integer, ``generation << 32 | byte in the file``, so that positions
compare as they are; :func:`position_of` makes the on-disk LGPOS of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from attrs import evolve

from eseback.data import frozen
from eseback.errors import JetErr
from eseback.formats import logblock, names
from eseback.formats.fields import LgPos, LogTime, Signature
from eseback.formats.logheader import AttachInfo, LogHeader

from ..volume import Volume, VolumeFile
from .errors import JetError
from .logrecord import RECORD_HEAD, LogType, mark

SECTOR: Final = 512
HEADER_BYTES: Final = 4096
_END_ROOM: Final = RECORD_HEAD.size
# Flush when so much waits, so that a long transaction needs no memory for its log.
_BUFFER_BYTES: Final = 32 * 1024
# ESE keeps 16 generations in reserve below its limit (ESE source, old engine).
GENERATIONS_KEPT_BACK: Final = 16


class Clock(Protocol):
    """Injected time: seconds since 1970, and waiting."""

    def now(self) -> int:
        """Seconds since 1970-01-01 UTC."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


@frozen
class LogFiles:
    """Where the log files of a stream are on the volume and how they are named.

    ``folder`` is the directory as a person knows it (Windows path), for :meth:`shown`.
    """

    volume: Volume
    directory: str
    base: str
    digits: int = 5
    folder: str = ""

    def path(self, name: str) -> str:
        """Volume path of a file in the log directory."""
        return f"{self.directory}/{name}" if self.directory else name

    def shown(self, path: str) -> str:
        """The Windows path of a file in this directory, given its volume path."""
        return f"{self.folder}\\{path.rpartition('/')[2]}" if self.folder else path

    @property
    def current(self) -> str:
        """Volume path of ``Exx.log``."""
        return self.path(names.current_log_name(self.base))

    @property
    def prepared(self) -> str:
        """Volume path of ``Exxtmp.log``."""
        return self.path(names.temp_log_name(self.base))

    def closed(self, generation: int) -> str:
        """Volume path of a closed generation."""
        return self.path(names.log_name(self.base, generation, self.digits))

    def closed_generations(self) -> list[int]:
        """The closed generations on disk, ascending."""
        found = (names.parse_log_name(name, self.base) for name in self._list())
        return sorted(generation for generation in found if generation is not None)

    def _list(self) -> Sequence[str]:
        return self.volume.list(self.directory)


def position_of(lsn: int) -> LgPos:
    """The LGPOS of a position in the stream."""
    offset = lsn & 0xFFFFFFFF
    return LgPos(generation=lsn >> 32, sector=offset // SECTOR, byte=offset % SECTOR)


def lsn_of(position: LgPos) -> int:
    """The position in the stream of an LGPOS."""
    return position.generation << 32 | position.sector * SECTOR + position.byte


class LogStream:
    """The writing end of a stream. Not thread safe: the instance's lock guards it."""

    def __init__(
        self,
        files: LogFiles,
        header: LogHeader,
        clock: Clock,
        *,
        attachments: Callable[[], tuple[AttachInfo, ...]],
        rolled: Callable[[int], None],
        generation_max: int = 0xFFFFF - GENERATIONS_KEPT_BACK,
        block_start: int = HEADER_BYTES,
    ) -> None:
        self.files = files
        self.header = header
        self._clock = clock
        self._attachments = attachments
        self._rolled = rolled
        self._generation_max = generation_max
        self._file: VolumeFile = files.volume.open(files.current)
        self._file_size = header.file_sectors * SECTOR
        self._parts: list[bytes] = []
        self._buffered = 0
        self._start_block(block_start)

    @classmethod
    def create(
        cls,
        files: LogFiles,
        template: LogHeader,
        clock: Clock,
        *,
        attachments: Callable[[], tuple[AttachInfo, ...]],
        rolled: Callable[[int], None],
        generation_max: int = 0xFFFFF - GENERATIONS_KEPT_BACK,
    ) -> LogStream:
        """Open the generation of ``template`` as ``Exx.log``; one that is there is closed first."""
        replace_current(files, template)
        return cls(
            files,
            template,
            clock,
            attachments=attachments,
            rolled=rolled,
            generation_max=generation_max,
        )

    @property
    def generation(self) -> int:
        """The generation being written."""
        return self.header.generation

    @property
    def signature(self) -> Signature:
        """signLog."""
        return self.header.sign_log

    @property
    def tail(self) -> int:
        """The position that the next record will get if no roll comes between."""
        return self._records_lsn + self._buffered

    @property
    def is_used_up(self) -> bool:
        """Whether the current generation is the last one allowed."""
        return self.header.generation >= self._generation_max

    @property
    def is_flushed(self) -> bool:
        """Whether every record appended is on disk."""
        return not self._parts

    def append(self, record: bytes) -> int:
        """Add a record; returns its position. Rolls to the next generation when it must."""
        size = len(record)
        if size > self._room:
            self.flush()
            if size > self._room:
                self.roll()
                if size > self._room:
                    raise JetError(
                        JetErr.LOG_BUFFER_TOO_SMALL,
                        f"a log record of {size} bytes doesn't fit into a log file of "
                        f"{self._file_size} bytes; raise the group's log_size",
                    )
        lsn = self._records_lsn + self._buffered
        self._parts.append(record)
        self._buffered += size
        self._room -= size
        if self._buffered >= _BUFFER_BYTES:
            self.flush()
        return lsn

    def flush(self) -> None:
        """Write and sync what waits. What was appended before is durable afterwards."""
        if not self._parts:
            return
        block = logblock.seal_block(b"".join(self._parts), self.header.generation)
        self._parts.clear()
        self._buffered = 0
        self._file.write(self._block_start, block)
        self._file.sync()
        self._start_block(self._block_start + len(block))

    def roll(self) -> None:
        """Close the current generation and open the next. Raises -519 where there is none."""
        if self.is_used_up:
            raise JetError(
                JetErr.LOG_SEQUENCE_END,
                f"generation {self.generation:#x} of {self.files.base} is the last one allowed",
            )
        # The end mark always has room: append keeps it back.
        self._parts.append(mark(LogType.END))
        self._buffered += _END_ROOM
        self.flush()
        self._file.close()
        old = self.header
        self.header = evolve(
            old,
            generation=old.generation + 1,
            created=LogTime.from_unix(self._clock.now()),
            previous_created=old.created,
            attachments=self._attachments(),
        )
        replace_current(self.files, self.header)
        self._file = self.files.volume.open(self.files.current)
        self._start_block(HEADER_BYTES)
        self._rolled(self.header.generation)

    def close(self) -> None:
        """Flush and let go of the file."""
        self.flush()
        self._file.close()

    def _start_block(self, offset: int) -> None:
        self._block_start = offset
        self._records_lsn = self.header.generation << 32 | offset + logblock.BLOCK_HEADER_SIZE
        # One sector is kept back: after a flush the end mark needs a block of its own.
        self._room = self._file_size - offset - logblock.BLOCK_HEADER_SIZE - SECTOR


def replace_current(files: LogFiles, header: LogHeader) -> None:
    """Close ``Exx.log``, if there is one, and open the generation of ``header`` in its place.

    The new file is complete and durable before anything is renamed, so that a crash between the two
    renames leaves all that the recovery needs.
    """
    volume = files.volume
    file = volume.create(files.prepared, header.file_sectors * SECTOR)
    file.write(0, header.pack())
    file.sync()
    file.close()
    volume.sync_directory(files.directory)
    if volume.exists(files.current):
        volume.rename(files.current, files.closed(header.generation - 1))
    volume.rename(files.prepared, files.current)
    volume.sync_directory(files.directory)
