"""The external backup of an instance: BACKUP_CONTEXT of ESE (backup.cxx).

Order is not decided here but in ``eseback.order``: each call asks the table for its cell. What this
module adds is what the calls *do*: header snapshots, log ranges, deletion, header updates, events.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, NoReturn

from attrs import evolve

from eseback.constants import BackupType
from eseback.errors import JetErr
from eseback.formats import names
from eseback.formats.chkfile import Checkpoint
from eseback.formats.fields import NO_BACKUP, BkInfo, LogTime
from eseback.order import (
    BACKUP_ORDER,
    BACKUP_ORDER_2000,
    BackupCall,
    BackupCell,
    BackupState,
    backup_cell,
    setup_call,
)

from ..volume import Lent, VolumeError
from .backuprun import BackupRun
from .condition import begin_problem, other_backup
from .copies import Copy, DatabaseCopy, LogCopy, StreamCopy
from .database import Database
from .errors import JetError
from .log import position_of
from .logrecord import LogType, mark
from .patchfile import PatchFile, patch_name
from .quirk import Quirk
from .ranges import LogRanges, compute_ranges, first_missing

if TYPE_CHECKING:
    from .instance import Instance
    from .lookahead import LookAhead

FIRST_HANDLE: Final = 1


class Backup:
    """The one backup of an instance. ``state`` is PREPARED while none runs."""

    def __init__(self, instance: Instance) -> None:
        self.state = BackupState.PREPARED
        # Exchange skips truncation while a store of the group is dismounted; the engine, which
        # doesn't know of such stores, asks. A text says why, None allows it.
        self.truncation_veto: str | None = None
        self._instance = instance
        self._order = BACKUP_ORDER_2000 if instance.config.any_failure_cancels else BACKUP_ORDER
        self._run: BackupRun | None = None
        self._file: Copy | None = None
        self._handle = FIRST_HANDLE - 1
        self._readable: BackupState | None = None  # a state in which reads are allowed

    @property
    def is_running(self) -> bool:
        """Whether databases are locked against attach and detach."""
        return self.state.running

    @property
    def lowest_log_needed(self) -> int | None:
        """The first generation that a running full backup will copy."""
        run = self._run
        return run.copy_mic if run is not None and run.is_full else None

    # -- begin and end

    def begin(self, kind: BackupType) -> None:
        """JetBeginExternalBackup. Raises -505 -510 -516 -519 -523 -526 -529 -560 -614."""
        call = setup_call(kind)
        problem = begin_problem(self._instance, kind)
        if problem is not None:
            raise problem
        self._check(call)
        problem = other_backup(self._instance)
        if problem is not None:
            raise problem
        run = BackupRun(kind, self._mark_now(), 0)
        if run.is_full:
            run.copy_mic = self._checkpoint_file().lgpos_checkpoint.generation
        else:
            self._check_full_exists()
            run.in_session = set(self._instance.databases)
        self._run = run
        self._enter(call)

    def end(self, success: bool) -> None:
        """JetEndExternalBackup. Success: headers remember the backup. Raises -520, -800, -801."""
        call = BackupCall.INSTANCE_END_SUCCESS if success else BackupCall.INSTANCE_END_ERROR
        cell = self._cell(call)
        run = self._run
        if success and cell.ok and run is not None:
            self._update_headers(run)
        self._enter(call)
        if cell.error is not None:
            raise JetError(cell.error, f"backup of {self._instance.config.name}")

    def stop(self) -> None:
        """JetStopBackup: the next call of the client is told."""
        self._enter(BackupCall.STOP_BY_SERVER)

    def abandon_by_server(self) -> None:
        """The instance terminates."""
        self._enter(BackupCall.TERMINATE)

    def connection_lost(self) -> None:
        """The client is gone; its backup with it."""
        self._enter(BackupCall.CONNECTION_LOST)

    # -- files

    def open_file(self, path: str) -> tuple[int, int]:
        """JetOpenFile: handle and size in bytes. Raises -520 -521 -569 -801 -1003 -1011 -1203."""
        if not path:
            self._refuse(BackupCall.ARGUMENT_ERROR, "the file name is empty")
        call, database, generation = self._classify(path)
        self._check(call, path, file=path)
        run = self._running()
        instance = self._instance
        if database is not None:
            self._file = self._open_database(run, database, path)
        else:
            self._file = LogCopy(instance, path, instance.config.resolve(path), generation)
        self._handle += 1
        self._enter(call, file=path, size=self._file.size)
        return self._handle, self._file.size

    def read_file(self, handle: int, buffer: memoryview) -> int:
        """JetReadFile: fills whole pages of ``buffer``; 0 at the end. Raises -612 -1003 -1018."""
        file = self._file
        if handle != self._handle or file is None or not self.state.file_open:
            self._refuse(
                BackupCall.READ if handle == self._handle else BackupCall.READ_BAD_HANDLE,
                f"no file is open under handle {handle}",
            )
        cell = self._cell(BackupCall.READ)
        if cell.error is not None:
            raise JetError(cell.error, file.path)
        page_size = self._instance.config.page_size
        if len(buffer) % page_size or (file.position == 0 and len(buffer) < file.first_read_min):
            self._refuse(
                BackupCall.ARGUMENT_ERROR,
                f"a read of {len(buffer)} bytes: whole pages of {page_size} are read, at first at "
                f"least {file.first_read_min}",
            )
        try:
            return file.read(buffer)
        except JetError as error:
            self._read_failed(file, error)
            raise

    def lend_file(self, handle: int, size: int) -> Lent | None:
        """What :meth:`read_file` would put into a buffer of ``size`` bytes, without copying it.

        None where it has to be copied, or is to be refused: then nothing has happened, and
        :meth:`read_file` is to be called. Raises what that does.
        """
        file, state = self._file, self.state
        if file is None or handle != self._handle or size % self._instance.config.page_size:
            return None
        if state is not self._readable:  # looked up once for a file, not for every read
            if not state.file_open or self._cell(BackupCall.READ).error is not None:
                return None
            self._readable = state
        if file.position == 0 and size < file.first_read_min:
            return None
        try:
            return file.lend(size)
        except JetError as error:
            self._read_failed(file, error)
            raise

    def look_ahead(self, handle: int, size: int, count: int) -> LookAhead | None:
        """What :meth:`lend_file` will give the next times, where that is certain; else None."""
        file = self._file
        if file is None or handle != self._handle or self.state is not self._readable:
            return None
        return None if size % self._instance.config.page_size else file.look_ahead(size, count)

    def close_file(self, handle: int) -> None:
        """JetCloseFile. What was not read to its end does not count as copied. Raises -1003."""
        call = BackupCall.CLOSE if handle == self._handle else BackupCall.CLOSE_BAD_HANDLE
        self._check(call, f"no file is open under handle {handle}")
        self._note_closed(self._running())
        self._enter(call)

    # -- logs

    def log_list(self) -> list[str]:
        """The logs to copy. The first call closes the current log. Raises -520 -521 -569 -801."""
        logs = self._names(self._list(BackupCall.LOG_LIST).copied)
        return logs + [patches.name for patches in self._running().patches.values()]

    def truncate_list(self) -> list[str]:
        """The logs that a truncation would delete."""
        return self._names(self._list(BackupCall.TRUNCATE_LIST).deleted)

    def truncate(self) -> None:
        """JetTruncateLog: delete them, oldest first. Raises -520 -521 -616 -801 -1032."""
        self._check(BackupCall.TRUNCATE, "logs can be deleted once they have been listed")
        run = self._running()
        instance = self._instance
        ranges = run.ranges
        assert ranges is not None, "the order table lets nobody truncate before the list"
        if Quirk.LOG_FILE_NOT_COPIED in instance.config.quirks:
            self._check_all_copied(run, ranges)
        run.truncated = True
        self._enter(BackupCall.TRUNCATE)
        if self.truncation_veto is not None or not ranges.deleted:
            instance.event(225)
            return
        paths = [instance.files.closed(generation) for generation in ranges.deleted]
        present = [path for path in paths if instance.volume.exists(path)]
        if len(present) < len(paths):
            instance.event(227, count=len(paths) - len(present))
        listed = self._names(ranges.deleted)
        instance.event(224, first=listed[0], last=listed[-1])
        try:
            for path in present:
                instance.volume.delete(path)
        except (OSError, VolumeError) as error:
            # The oldest ones are gone, so the rest is still contiguous; the backup goes on.
            self._enter(BackupCall.TRUNCATE_FAILED)
            raise JetError(JetErr.FILE_ACCESS_DENIED, f"cannot delete {path}: {error}") from error
        finally:
            instance.volume.sync_directory(instance.files.directory)

    def _check_all_copied(self, run: BackupRun, ranges: LogRanges) -> None:
        unread = [name for name in ranges.copied if name not in run.read_generations]
        if unread:
            self._enter(BackupCall.TRUNCATE_FAILED)
            self._instance.event(520)
            raise JetError(
                JetErr.LOG_FILE_NOT_COPIED, f"{self._names(unread)[0]} was not read to its end"
            )

    def _list(self, call: BackupCall) -> LogRanges:
        self._check(call)
        run = self._running()
        if run.ranges is None:
            try:
                run.ranges = self._prepare_ranges(run)
            except JetError as error:
                self._enter(
                    BackupCall.LOG_LIST_FAILED,
                    skip=() if error.file else (459,),
                    file=error.file,
                    error=int(error.err),
                )
                raise
        ranges = run.ranges
        assert ranges is not None, "computed just now or before"
        copied = self._names(ranges.copied)
        self._enter(call, first=copied[0], last=copied[-1])
        return ranges

    def _prepare_ranges(self, run: BackupRun) -> LogRanges:
        instance = self._instance
        kind = LogType.FULL_BACKUP if run.is_full else LogType.INC_BACKUP
        lsn = instance.log.append(mark(kind))
        now = LogTime.from_unix(instance.clock.now())
        run.inc_mark = BkInfo(position_of(lsn), now, 0, 0)
        instance.log.roll()
        if not self.is_running:
            raise JetError(
                JetErr.CHECKPOINT_DEPTH_TOO_DEEP,
                f"the backup held back more generations than {instance.config.name} may have",
            )
        generations = instance.files.closed_generations()
        if not generations:
            raise JetError(JetErr.FILE_NOT_FOUND, f"{instance.config.name} has no closed log")
        oldest = generations[0]
        databases = list(instance.databases.values())
        if not run.is_full:
            broken = first_missing(oldest, [(d.edb, d.header) for d in databases])
            if broken is not None:
                needed, edb = broken
                raise JetError(
                    self._missing_file,
                    f"{edb} was backed up to generation {needed - 1}; the oldest log is {oldest}",
                    file=self._names([needed])[0],
                )
        everything = run.kind == BackupType.FULL_WITH_ALL_LOGS
        ranges = compute_ranges(
            oldest=oldest,
            current=instance.log.generation,
            checkpoint=self._checkpoint_file().lgpos_checkpoint.generation,
            full_from=(oldest if everything else run.copy_mic) if run.is_full else None,
            left_out=[d.header for d in databases if d.dbid not in run.copied],
        )
        for patches in run.patches.values():
            patches.finish(evolve(run.mark, gen_low=ranges.copy_mic), ranges.copy_mac - 1)
        for generation in ranges.copied:
            if not instance.volume.exists(instance.files.closed(generation)):
                name = self._names([generation])[0]
                raise JetError(self._missing_file, f"{name} is to be backed up but missing", name)
        return ranges

    @property
    def _missing_file(self) -> JetErr:
        """-569, or what the version has for it."""
        error = self._cell(BackupCall.LOG_LIST_FAILED).error
        assert error is not None, "the cell of a failure"
        return error

    def _names(self, generations: Iterable[int]) -> list[str]:
        config = self._instance.config
        return [
            f"{config.log_path}\\"
            + names.log_name(config.base, generation, config.generation_digits)
            for generation in generations
        ]

    # -- the parts

    def _classify(self, path: str) -> tuple[BackupCall, Database | None, int | None]:
        """Is it a mounted database (or its .stm), an existing file, or neither?"""
        instance = self._instance
        wanted = path.casefold()
        for database in instance.databases.values():
            if wanted in (database.edb.casefold(), (database.stm or database.edb).casefold()):
                return BackupCall.OPEN_DATABASE, database, None
        if self.state in (BackupState.DATABASES, BackupState.DATABASE_OPEN):
            return BackupCall.OPEN_UNKNOWN, None, None
        generation = None
        if wanted.endswith(".log"):
            name = path.rpartition("\\")[2]
            generation = names.parse_log_name(name, instance.config.base)
            if generation is None and name.casefold() != f"{instance.config.base}.log".casefold():
                self._refuse(BackupCall.ARGUMENT_ERROR, f"{path} is no log of this instance")
        try:
            exists = instance.volume.exists(instance.config.resolve(path))
        except (ValueError, OSError):
            exists = False
        return BackupCall.OPEN_LOG if exists else BackupCall.OPEN_UNKNOWN, None, generation

    def _open_database(self, run: BackupRun, database: Database, path: str) -> Copy:
        if database.stm is not None and path.casefold() == database.stm.casefold():
            return StreamCopy(self._instance, database)
        run.in_session.add(database.dbid)
        bkinfo = evolve(run.mark, gen_low=run.copy_mic)
        return DatabaseCopy(
            self._instance, database, bkinfo, patches=self._patch_file(run, database)
        )

    def _patch_file(self, run: BackupRun, database: Database) -> PatchFile | None:
        """The patch file of a database, begun anew; None for an era without them."""
        instance = self._instance
        if not instance.config.patch_files:
            return None
        name = patch_name(database.edb)
        path = instance.config.resolve(name)
        run.patches[database.dbid] = PatchFile(instance.volume, name, path, database)
        return run.patches[database.dbid]

    def _read_failed(self, file: Copy, error: JetError) -> None:
        of_database = isinstance(file, DatabaseCopy | StreamCopy)
        call = BackupCall.READ_DATABASE_FAILED if of_database else BackupCall.READ_LOG_FAILED
        run = self._running()
        if isinstance(file, DatabaseCopy | StreamCopy):
            # Either file: without the other one it is no backup of the database.
            run.in_session.discard(file.database.dbid)
            run.copied.pop(file.database.dbid, None)
        self._enter(call, file=file.path, error=int(error.err), read=file.position, size=file.size)

    def _note_closed(self, run: BackupRun) -> None:
        file = self._file
        assert file is not None, "the order table lets nobody close what is not open"
        complete = file.position >= file.size
        if complete and isinstance(file, LogCopy):
            if file.generation is not None:
                run.read_generations.add(file.generation)
        elif complete:
            self._instance.event(221, file=file.path)
            if isinstance(file, DatabaseCopy):
                run.copied[file.database.dbid] = file.database
        else:
            self._instance.event(222, file=file.path, read=file.position, size=file.size)

    def _update_headers(self, run: BackupRun) -> None:
        """bkinfo of the databases in this backup, as far as it says anything (event 219)."""
        ranges = run.ranges
        if ranges is None:
            return
        low, high = ranges.copy_mic, ranges.copy_mac - 1
        source = run.mark if run.is_full else run.inc_mark
        changes = self._marks(run, evolve(source, gen_low=low, gen_high=high))
        for dbid, database in self._instance.databases.items():
            counts = dbid in (run.copied if run.is_full else run.in_session)
            if not changes or not counts:
                continue
            try:
                database.write_header(**changes)
            except (OSError, VolumeError):
                # The backup is complete all the same; the next incremental will miss the mark.
                self._instance.event(219, error=int(JetErr.DISK_IO))

    def _marks(self, run: BackupRun, info: BkInfo) -> dict[str, BkInfo]:
        """What a successful backup changes in the header of a database (ESE source backup.cxx).

        Without a truncation nothing at all, before Exchange 2007.
        """
        config = self._instance.config
        if run.truncated:
            if not run.is_full:
                return {"bkinfo_inc_prev": info}
            changes = {
                "bkinfo_full_prev": info,
                "bkinfo_inc_prev": NO_BACKUP,
                "bkinfo_snapshot_cur": NO_BACKUP,
            }
            return changes | ({"bkinfo_diff_prev": NO_BACKUP} if config.copy_marks else {})
        if config.copy_marks:
            return {"bkinfo_copy_prev" if run.is_full else "bkinfo_diff_prev": info}
        # ASSUMED(kb828092-mechanism): the article says in which order of backups the incremental
        # fails, not why; here the copy wipes out what the incrementals before it had noted.
        if run.is_full and Quirk.INCREMENTAL_AFTER_COPY in config.quirks:
            return {"bkinfo_inc_prev": NO_BACKUP}
        return {}

    def _check_full_exists(self) -> None:
        for database in self._instance.databases.values():
            if database.header.bkinfo_full_prev.gen_low == 0:
                self._instance.event(206, database=database.edb)
                raise JetError(
                    JetErr.MISSING_FULL_BACKUP, f"{database.edb} has never been fully backed up"
                )

    def _mark_now(self) -> BkInfo:
        instance = self._instance
        now = LogTime.from_unix(instance.clock.now())
        return BkInfo(position_of(instance.log.tail), now, 0, 0)

    def _checkpoint_file(self) -> Checkpoint:
        """The checkpoint as it stands in the file. Raises -542, -533, -532."""
        instance = self._instance
        path = instance.checkpoint_path
        if not instance.volume.exists(path):
            raise JetError(JetErr.CHECKPOINT_FILE_NOT_FOUND, f"there is no {path}")
        checkpoint = instance.read_checkpoint()
        if checkpoint.sign_log != instance.log.signature:
            raise JetError(JetErr.BAD_CHECKPOINT_SIGNATURE, f"{path} belongs to another log stream")
        return checkpoint

    # -- the order table

    def _cell(self, call: BackupCall) -> BackupCell:
        """What the table of this version says that a call does now."""
        return backup_cell(self.state, call, self._order)

    def _running(self) -> BackupRun:
        run = self._run
        assert run is not None, "the order table has said that a backup runs"
        return run

    def _check(self, call: BackupCall, detail: str = "", file: str = "") -> None:
        """Raise what the table says this call returns now, with all that comes of it."""
        cell = self._cell(call)
        if cell.error is None:
            return
        self._enter(call, file=file, error=int(cell.error))
        raise JetError(cell.error, detail or f"{call.value} while {self.state.value}")

    def _refuse(self, call: BackupCall, detail: str) -> NoReturn:
        """A call that can only fail."""
        self._check(call, detail)
        raise JetError(JetErr.INVALID_PARAMETER, detail)

    def _enter(self, call: BackupCall, *, skip: tuple[int, ...] = (), **values: object) -> None:
        """The call has happened: events, next state and clean-up of its cell."""
        cell = self._cell(call)
        for number in cell.events:
            if number not in skip:
                self._instance.event(number, **values)
        # A context ends with its client; the engine can be backed up again.
        ended = cell.next_state is BackupState.ENDED
        self.state = BackupState.PREPARED if ended else cell.next_state
        if self._file is not None and not self.state.file_open:
            self._file.close()
            self._file = None
        if cell.backup_ended and self._run is not None:
            for patches in self._run.patches.values():
                patches.delete()
            self._run = None
