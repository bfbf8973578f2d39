"""Servers with one realistic bug each: the simulator with a part exchanged.

``eseconform check --server inproc:NAME`` has to find every one, by the rule that it breaks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from attrs import evolve, frozen

from eseback.constants import BackupType
from eseback.errors import JetErr
from eseback.formats import names
from eseback.formats.fields import BkInfo
from eseback.order import BackupState
from esesim.engine.backup import Backup
from esesim.engine.copies import DatabaseCopy
from esesim.engine.errors import JetError
from esesim.engine.instance import Instance
from esesim.engine.ranges import LogRanges
from esesim.exchange import StorageGroup
from esesim.server import SimulatedServer


class BrokenServer(SimulatedServer):
    """A server whose instances back up with another class."""

    backup: ClassVar[type[Backup]] = Backup

    def _start(self, group: StorageGroup, stores: Sequence[str]) -> None:
        super()._start(group, stores)
        instance = group.instance
        if instance is not None and type(instance.backup) is Backup:
            veto = instance.backup.truncation_veto
            instance.backup = self.backup(instance)
            instance.backup.truncation_veto = veto


# --- order and locks


class _LetsDatabaseIn(Backup):
    def open_file(self, path: str) -> tuple[int, int]:
        edbs = {database.edb.casefold() for database in self._instance.databases.values()}
        if self.state is not BackupState.LOGS or path.casefold() not in edbs:
            return super().open_file(path)
        self.state = BackupState.DATABASES
        opened = super().open_file(path)
        self.state = BackupState.LOG_OPEN
        return opened


class OpensDatabaseAfterLogs(BrokenServer):
    """Looks for a mounted database before it looks at the phase."""

    backup = _LetsDatabaseIn


class _EndsOnSecondSetup(Backup):
    def begin(self, kind: BackupType) -> None:
        if self.is_running:
            super().end(False)
            raise JetError(JetErr.BACKUP_IN_PROGRESS, "a backup runs")
        super().begin(kind)


class SecondSetupEndsFirst(BrokenServer):
    """Cleans up after a refused Setup, and takes the running backup for its own."""

    backup = _EndsOnSecondSetup


class ForgetsMountLock(BrokenServer):
    """Doesn't ask whether a backup runs when a store is mounted or dismounted."""

    def mount(self, group: str, store: str) -> None:
        """See SimulatedServer."""
        backup = self.group(group).running.backup
        state, backup.state = backup.state, BackupState.PREPARED
        try:
            super().mount(group, store)
        finally:
            backup.state = state

    def dismount(self, group: str, store: str) -> None:
        """See SimulatedServer."""
        backup = self.group(group).running.backup
        state, backup.state = backup.state, BackupState.PREPARED
        try:
            super().dismount(group, store)
        finally:
            backup.state = state


class KeepsGroupOfLostClient(BrokenServer):
    """Forgets the context of a lost client, and not its backup."""

    def connection_lost(self, context: int) -> None:
        """See SimulatedServer."""
        for session in list(self._sessions):
            session._contexts.pop(context, None)


# --- what is read


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


# --- logs


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


# --- truncation and chains


class _OneTooMany(Backup):
    def truncate(self) -> None:
        super().truncate()
        instance = self._instance
        left = instance.files.closed_generations()
        if self.truncation_veto is None and len(left) > 1:
            instance.volume.delete(instance.files.closed(left[0]))


class TruncatesOneTooMany(BrokenServer):
    """Takes the end of the range to delete for its last member."""

    backup = _OneTooMany


class _NoVeto(Backup):
    @property
    def truncation_veto(self) -> str | None:
        """Nothing holds a truncation back."""
        return None

    @truncation_veto.setter
    def truncation_veto(self, reason: str | None) -> None:
        pass


class IgnoresDismountedStore(BrokenServer):
    """Computes the range to delete from the mounted databases alone, whatever else there is."""

    backup = _NoVeto


class _IgnoresLeftOut(Backup):
    def _prepare_ranges(self, run: object) -> LogRanges:
        ranges = super()._prepare_ranges(run)  # type: ignore[arg-type]
        checkpoint = self._checkpoint_file().lgpos_checkpoint.generation
        return evolve(ranges, delete_mac=min(checkpoint, self._instance.log.generation))


class IgnoresLeftOutDatabases(BrokenServer):
    """Forgets that databases outside of a full backup need logs since their own."""

    backup = _IgnoresLeftOut


class _MarksEarly(Backup):
    def truncate(self) -> None:
        super().truncate()
        if self._run is not None:
            self._update_headers(self._run)


class MarksAtTruncation(BrokenServer):
    """Writes the headers when the logs are truncated and not when the backup is ended."""

    backup = _MarksEarly


class _AllowsLogsOnly(Backup):
    def _check_full_exists(self) -> None:
        pass


class LogsOnlyWithoutFull(BrokenServer):
    """Lets a backup of logs begin when there is no full one to join."""

    backup = _AllowsLogsOnly


class _CopyCounts(Backup):
    def _marks(self, run: object, info: BkInfo) -> dict[str, BkInfo]:
        run.truncated = True  # type: ignore[attr-defined]
        return super()._marks(run, info)  # type: ignore[arg-type]


class CopyCountsAsFull(BrokenServer):
    """Notes every full backup in the headers, also a copy, which truncated nothing."""

    backup = _CopyCounts


class _TruncatesAtEnd(Backup):
    def end(self, success: bool) -> None:
        if success and self.state is BackupState.LOGS and self._run and not self._run.truncated:
            super().truncate()
        super().end(success)


class TruncatesAtEnd(BrokenServer):
    """Deletes the logs at InstanceEnd(SUCCESS) when the client has not done it."""

    backup = _TruncatesAtEnd


@frozen
class ServerMutant:
    """A broken server of the zoo.

    Attributes:
        name: for ``--server inproc:NAME``.
        server: the class.
        rule: id of the rule that it breaks.
        check: id of the check that finds it first.
        explanation: one sentence for somebody who reads the report.
    """

    name: str
    server: type[SimulatedServer]
    rule: str
    check: str

    @property
    def explanation(self) -> str:
        """What is wrong with it: the first sentence of its class."""
        return " ".join((self.server.__doc__ or "").split())

    @property
    def spec(self) -> str:
        """What to give to ``--server``."""
        return f"inproc:{self.name}"


_ORDER, _READ, _LOG, _TRN, _CHN = (
    f"ESE-SRV-{group}-00" for group in ("ORD", "READ", "LOG", "TRN", "CHN")
)

SERVER_MUTANTS: Final[tuple[ServerMutant, ...]] = (
    ServerMutant("opens_database_after_logs", OpensDatabaseAfterLogs, f"{_ORDER}4", "order-logs"),
    ServerMutant("second_setup_ends_first", SecondSetupEndsFirst, f"{_ORDER}3", "two-clients"),
    ServerMutant("forgets_mount_lock", ForgetsMountLock, "ESE-SRV-LCK-001", "mount-lock"),
    ServerMutant(
        "keeps_group_of_lost_client", KeepsGroupOfLostClient, "ESE-SRV-LCK-003", "freed-by-hang-up"
    ),
    ServerMutant("leaves_out_trailer", LeavesOutTrailer, f"{_READ}2", "pages"),
    ServerMutant("promises_size_on_disk", PromisesSizeOnDisk, f"{_READ}1", "sizes"),
    ServerMutant("end_of_file_is_error", EndOfFileIsError, f"{_READ}4", "ends"),
    ServerMutant("serves_stale_pages", ServesStalePages, "ESE-SRV-DATA-001", "full-restores"),
    ServerMutant("sends_damaged_pages", SendsDamagedPages, f"{_READ}3", "damaged-page"),
    ServerMutant("lists_current_log", ListsCurrentLog, f"{_LOG}3", "list-closed"),
    ServerMutant("rolls_twice", RollsTwice, f"{_LOG}2", "list-rolls-once"),
    ServerMutant("lists_from_late_checkpoint", ListsFromLateCheckpoint, f"{_LOG}5", "list-begins"),
    ServerMutant("truncates_one_too_many", TruncatesOneTooMany, f"{_TRN}1", "truncates-named"),
    ServerMutant(
        "ignores_dismounted_store", IgnoresDismountedStore, f"{_TRN}4", "truncates-dismounted"
    ),
    ServerMutant(
        "ignores_left_out_databases", IgnoresLeftOutDatabases, f"{_TRN}3", "truncates-left-out"
    ),
    ServerMutant("truncates_at_end", TruncatesAtEnd, f"{_TRN}5", "keeps-logs"),
    ServerMutant("marks_at_truncation", MarksAtTruncation, f"{_CHN}1", "truncated-in-vain"),
    ServerMutant("logs_only_without_full", LogsOnlyWithoutFull, f"{_CHN}2", "no-full"),
    ServerMutant("copy_counts_as_full", CopyCountsAsFull, f"{_CHN}4", "copy-marks"),
)
