"""Reading the log files of a stream back, and holding them to the rules that chain them."""

from __future__ import annotations

from attrs import frozen

from eseback.errors import JetErr
from eseback.formats import logblock
from eseback.formats.errors import FormatError
from eseback.formats.logheader import LogHeader

from ..volume import Volume
from .errors import JetError
from .log import HEADER_BYTES


@frozen
class LogFile:
    """One generation as read: ``blocks`` are (start, end) of the records in ``data``.

    ``end`` is where the next block would start, ``reason`` why there is none.
    """

    path: str
    header: LogHeader
    data: bytes
    blocks: tuple[tuple[int, int], ...]
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


def read_log(volume: Volume, path: str) -> LogFile:
    """Read a log file. Raises -501 for a header that can't be read, -1811 where it is missing."""
    if not volume.exists(path):
        raise JetError(JetErr.FILE_NOT_FOUND, f"there is no {path}")
    file = volume.open(path)
    data = file.read(0, file.size)
    file.close()
    try:
        header = LogHeader.unpack(data[:HEADER_BYTES])
    except FormatError as error:
        raise JetError(JetErr.LOG_FILE_CORRUPT, f"{path}: {error}") from error
    spans, reason, end = logblock.record_spans(data, header.generation)
    return LogFile(path, header, data, tuple(spans), end, reason)


def check_chain(previous: LogHeader, following: LogHeader, path: str, error: JetErr) -> None:
    """The next generation continues the previous one; else ``error``."""
    if (
        following.generation != previous.generation + 1
        or following.previous_created != previous.created
    ):
        raise JetError(
            error,
            f"{path} (generation {following.generation}, predecessor made "
            f"{following.previous_created}) doesn't follow generation {previous.generation} "
            f"made {previous.created}",
        )


def check_signature(expected: LogHeader, found: LogHeader, path: str, error: JetErr) -> None:
    """Both belong to the same stream; else ``error``."""
    if expected.sign_log != found.sign_log:
        raise JetError(error, f"{path} has the signature of another log stream")
