"""Reading the log files of a stream back, and holding them to the rules that chain them."""

from __future__ import annotations

from collections.abc import Iterator

from eseback.data import frozen
from eseback.errors import JetErr
from eseback.formats import logblock
from eseback.formats.errors import FormatError
from eseback.formats.logheader import LogHeader

from ..volume import Volume
from .errors import JetError
from .log import HEADER_BYTES
from .logrecord import RECORD_HEAD


@frozen
class LogSummary:
    """What is known of a generation without its records.

    ``end`` is where the next block would start, ``reason`` why there is none.
    """

    path: str
    header: LogHeader
    end: int
    reason: logblock.LogEnd

    @property
    def ended(self) -> bool:
        """Whether the end-of-log mark was there, as in every generation but the current one."""
        return self.reason is logblock.LogEnd.END_RECORD

    @property
    def generation(self) -> int:
        """lGeneration of the header."""
        return self.header.generation


@frozen
class LogFile(LogSummary):
    """One generation as read: ``blocks`` are (start, end) of the records in ``data``."""

    data: bytes
    blocks: tuple[tuple[int, int], ...]

    @property
    def summary(self) -> LogSummary:
        """The same without the bytes, for those who keep many."""
        return LogSummary(self.path, self.header, self.end, self.reason)

    def record_types(self) -> Iterator[int]:
        """The type of each record, in order; ends where a record's length makes no sense."""
        for start, end in self.blocks:
            offset = start
            while offset < end:
                kind, _, size, _ = RECORD_HEAD.unpack_from(self.data, offset)
                yield kind
                if size < RECORD_HEAD.size:
                    return
                offset += size


def read_header(volume: Volume, path: str) -> LogHeader:
    """The header of a log file. Raises -501 where it can't be read."""
    file = volume.open(path)
    data = file.read(0, HEADER_BYTES)
    file.close()
    return _unpack(data, path)


def _unpack(data: bytes, path: str) -> LogHeader:
    try:
        return LogHeader.unpack(data[:HEADER_BYTES])
    except FormatError as error:
        raise JetError(JetErr.LOG_FILE_CORRUPT, f"{path}: {error}", path) from error


def _content(volume: Volume, path: str) -> bytes:
    """All bytes of a file, copied once: a volume in memory copies twice what it hands out."""
    file = volume.open(path)
    size = file.size
    lent = file.lend(0, size)
    data = file.read(0, size) if lent is None else b"".join(lent)
    file.close()
    return data


def read_log(volume: Volume, path: str) -> LogFile:
    """Read a log file. Raises -501 for a header that can't be read, -1811 where it is missing."""
    if not volume.exists(path):
        raise JetError(JetErr.FILE_NOT_FOUND, f"there is no {path}")
    data = _content(volume, path)
    header = _unpack(data, path)
    spans, reason, end = logblock.record_spans(data, header.generation)
    return LogFile(path, header, end, reason, data, tuple(spans))


def read_again(volume: Volume, summary: LogSummary) -> LogFile:
    """Read a log file that :func:`read_log` has verified before.

    Raises -1811 where it is missing now, -501 where it isn't the same any more.
    """
    if not volume.exists(summary.path):
        raise JetError(JetErr.FILE_NOT_FOUND, f"{summary.path} has vanished since it was checked")
    data = _content(volume, summary.path)
    spans = logblock.known_spans(data, summary.end)
    if spans is None or _unpack(data, summary.path) != summary.header:
        raise JetError(JetErr.LOG_FILE_CORRUPT, f"{summary.path} has changed since it was checked")
    return LogFile(summary.path, summary.header, summary.end, summary.reason, data, tuple(spans))


def follows(previous: LogHeader, following: LogHeader) -> bool:
    """Whether a generation continues the one before it."""
    return (
        following.generation == previous.generation + 1
        and following.previous_created == previous.created
    )


def check_chain(previous: LogHeader, following: LogHeader, path: str, error: JetErr) -> None:
    """The next generation continues the previous one; else ``error``."""
    if not follows(previous, following):
        raise JetError(
            error,
            f"{path} (generation {following.generation}, predecessor made "
            f"{following.previous_created}) doesn't follow generation {previous.generation} "
            f"made {previous.created}",
        )


def differs_in_signature(expected: LogHeader, found: LogHeader) -> bool:
    """Whether the two belong to different streams."""
    return expected.sign_log != found.sign_log


def check_signature(expected: LogHeader, found: LogHeader, path: str, error: JetErr) -> None:
    """Both belong to the same stream; else ``error``."""
    if differs_in_signature(expected, found):
        raise JetError(error, f"{path} has the signature of another log stream")


def check_size(log: LogFile) -> None:
    """The file is as long as its header says. Raises -541: also where only unused bytes lack."""
    if len(log.data) != log.header.file_size:
        raise JetError(
            JetErr.LOG_FILE_SIZE_MISMATCH,
            f"{log.path} has {len(log.data)} bytes; its header says {log.header.file_size}",
        )
