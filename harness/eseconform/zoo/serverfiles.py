"""Broken servers of the zoo: what is read, and which logs there are to read.

See :mod:`eseconform.zoo.servers`.
"""

from __future__ import annotations

from eseback.errors import JetErr
from eseback.formats import names
from eseback.order import BackupState
from eseconform.zoo.brokenserver import BrokenServer
from esesim.engine.backup import Backup
from esesim.engine.copies import DatabaseCopy, LogCopy
from esesim.engine.errors import JetError
from esesim.engine.instance import Instance


class _WithoutTrailer(Backup):
    def open_file(self, path: str) -> tuple[int, int]:
        handle, size = super().open_file(path)
        file = self._file
        if isinstance(file, DatabaseCopy):
            file.size -= file.page_size
            size = file.size
        return handle, size


class LeavesOutTrailer(BrokenServer):
    """Sends a database as long as its file is, without the trailer page."""

    backup = _WithoutTrailer


class _SizeOnDisk(Backup):
    def open_file(self, path: str) -> tuple[int, int]:
        handle, size = super().open_file(path)
        file = self._file
        return handle, size - file.page_size if isinstance(file, DatabaseCopy) else size


class PromisesSizeOnDisk(BrokenServer):
    """Promises the size of the file on disk, and sends the trailer page too."""

    backup = _SizeOnDisk


class _ErrorAtEnd(Backup):
    def read_file(self, handle: int, buffer: memoryview) -> int:
        file = self._file
        at_end = file is not None and file.position >= file.size
        count = super().read_file(handle, buffer)
        if at_end and len(self._ended) and self._ended[-1] == handle:
            raise JetError(JetErr.FILE_IO_BEYOND_EOF, "the file was read to its end")
        if at_end:
            self._ended.append(handle)
        return count

    def __init__(self, instance: Instance) -> None:
        super().__init__(instance)
        self._ended: list[int] = []


class EndOfFileIsError(BrokenServer):
    """Says once that a file is at its end, and fails a read after that."""

    backup = _ErrorAtEnd


class _OldPages(Backup):
    """Remembers a page for ever once it was read; page numbers from 1."""

    def __init__(self, instance: Instance) -> None:
        super().__init__(instance)
        self._cache: dict[tuple[str, int], bytes] = {}

    def read_file(self, handle: int, buffer: memoryview) -> int:
        file = self._file
        start = file.position if file is not None else 0
        count = super().read_file(handle, buffer)
        if isinstance(file, DatabaseCopy):
            size = file.page_size
            end = (file.last_pgno + 2) * size
            for place in range(0, count, size):
                offset = start + place
                if 2 * size <= offset < end:
                    fresh = bytes(buffer[place : place + size])
                    buffer[place : place + size] = self._cache.setdefault(
                        (file.path, offset), fresh
                    )
        return count


class ServesStalePages(BrokenServer):
    """Reads through a cache that the writer doesn't invalidate, so that pages of an earlier backup
    come again, older than any log of this one.
    """

    backup = _OldPages


def _never_bad(first: int, buffer: memoryview) -> int | None:
    return None


class _Unverified(Backup):
    def read_file(self, handle: int, buffer: memoryview) -> int:
        file = self._file
        if isinstance(file, DatabaseCopy):
            pages = file.database.pages
            verify = pages.first_bad_page
            pages.first_bad_page = _never_bad  # type: ignore[method-assign]
            try:
                return super().read_file(handle, buffer)
            finally:
                pages.first_bad_page = verify  # type: ignore[method-assign]
        return super().read_file(handle, buffer)


class SendsDamagedPages(BrokenServer):
    """Sends pages as they come from disk and leaves checksums to the restore."""

    backup = _Unverified


class _WithCurrentLog(Backup):
    def log_list(self) -> list[str]:
        config = self._instance.config
        return [*super().log_list(), f"{config.log_path}\\{names.current_log_name(config.base)}"]


class ListsCurrentLog(BrokenServer):
    """Lists every log that there is, the one that is being written too."""

    backup = _WithCurrentLog


class _RollsTwice(Backup):
    def log_list(self) -> list[str]:
        if self.state is BackupState.DATABASES:
            self._instance.log.roll()
        return super().log_list()


class RollsTwice(BrokenServer):
    """Closes the current log when the databases are done, and again for the list."""

    backup = _RollsTwice


class _LateCheckpoint(Backup):
    def log_list(self) -> list[str]:
        run = self._run
        if run is not None and run.is_full and run.ranges is None:
            run.copy_mic = self._checkpoint_file().lgpos_checkpoint.generation
        return super().log_list()


class ListsFromLateCheckpoint(BrokenServer):
    """Takes the first log to copy from the checkpoint at the list and not from that at Setup."""

    backup = _LateCheckpoint


class _ListsAnew(Backup):
    def log_list(self) -> list[str]:
        run = self._run
        if run is not None and self.state is BackupState.LOGS:
            run.ranges = None
        return super().log_list()


class ListsAnew(BrokenServer):
    """Looks each time anew which logs there are to list."""

    backup = _ListsAnew


class _HalfLogs(Backup):
    def read_file(self, handle: int, buffer: memoryview) -> int:
        file = self._file
        count = super().read_file(handle, buffer)
        if isinstance(file, LogCopy):
            half = count // 2
            buffer[half:count] = bytes(count - half)
        return count


class SendsHalfLogs(BrokenServer):
    """Fills the first half of every buffer with the log, and counts the whole of it."""

    backup = _HalfLogs


class _SkipsOne(Backup):
    def log_list(self) -> list[str]:
        listed = super().log_list()
        run = self._run
        if run is not None and not run.is_full and len(listed) > 2:
            del listed[-2]
        return listed


class SkipsLogOfIncremental(BrokenServer):
    """Leaves out the last log but one of an incremental, if there are many."""

    backup = _SkipsOne
