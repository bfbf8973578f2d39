"""Soft recovery: redo, undo, databases clean again.

It runs when an instance starts on logs that a crash left (ESE source logredo.cxx). It needs the
current log and begins at the checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from eseback.data import frozen
from eseback.errors import JetErr
from eseback.formats.chkfile import Checkpoint
from eseback.formats.dbheader import DatabaseHeader, DbState
from eseback.formats.fields import LgPos
from eseback.formats.logblock import LogEnd
from eseback.formats.logheader import AttachInfo

from .attach import AttachRecord, DetachRecord
from .errors import JetError
from .log import lsn_of, position_of
from .logfile import (
    LogFile,
    check_chain,
    check_signature,
    check_size,
    read_header,
    read_log,
)
from .logrecord import LogType, mark
from .pagefile import mend_torn_pages
from .recovery import check_generations, make_target, open_log_at_end, redo_log, undo_and_close
from .replay import Replay

if TYPE_CHECKING:
    from .instance import Instance


def soft_recover(instance: Instance) -> int:
    """Bring the databases of a crashed instance to a clean state; returns the last transaction.

    Afterwards ``instance.log`` is open for appending and no database is attached. Raises -501
    -509 -513 -515 -528 -530..-533 -536 -541 -543 -544 -545 -551 -566 -567 -1018 -1216 -1852.
    """
    try:
        return _SoftRecovery(instance).run()
    except JetError as error:
        instance.event(454, error=int(error.err))
        raise


class _SoftRecovery:
    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._replay = Replay(
            self._attach_record, self._detach, dirty_max=instance.config.cache_pages
        )
        # Databases that can't take the log's changes, and what to refuse them with at the end. What
        # is detached later in the log needs none of it: it may be in the middle of a restore.
        self._unfit: dict[int, Callable[[], JetError]] = {}
        self._mended: set[str] = set()
        self._first_generation = 0

    def run(self) -> int:
        instance = self._instance
        finish_roll(instance)
        self._read_checkpoint()
        instance.event(300)
        try:
            last = self._redo()
            self._check_complete(last)
        except BaseException:
            self._let_go()
            raise
        recovered = list(self._replay.targets)
        open_log_at_end(instance, last)
        instance.log.append(mark(LogType.RECOVERY_UNDO))
        undo_and_close(instance, self._replay)
        instance.log.append(mark(LogType.RECOVERY_QUIT))
        instance.log.flush()
        instance.event(302)
        if recovered and last.header.file_size != instance.config.log_file_size:
            instance.log.close()
            raise _other_size(instance, last, JetErr.LOG_FILE_SIZE_MISMATCH_DATABASES_CONSISTENT)
        return self._replay.last_transaction

    def _let_go(self) -> None:
        """Close the files of a recovery that failed; what it has written stays as it is."""
        instance = self._instance
        for target in self._replay.targets.values():
            target.close_stream()
        for database in instance.databases.values():
            database.close()
        instance.databases.clear()

    # -- logs

    def _read_checkpoint(self) -> None:
        instance = self._instance
        files, volume = instance.files, instance.volume
        if not volume.exists(instance.checkpoint_path):
            generations = files.closed_generations()
            oldest = files.closed(generations[0]) if generations else files.current
            header = read_header(volume, oldest)
            instance.checkpoint = Checkpoint(
                lgpos_checkpoint=position_of(header.generation << 32 | 4096),
                sign_log=header.sign_log,
            )
            return
        instance.checkpoint = instance.read_checkpoint()

    def _redo(self) -> LogFile:
        """Redo from the checkpoint's generation to the end of the current log; returns that."""
        instance = self._instance
        files, volume = instance.files, instance.volume
        generation = instance.checkpoint.lgpos_checkpoint.generation
        self._first_generation = generation
        current = read_log(volume, files.current)
        if current.header.sign_log != instance.checkpoint.sign_log:
            raise JetError(
                JetErr.BAD_CHECKPOINT_SIGNATURE,
                f"{instance.checkpoint_path} belongs to another log stream",
            )
        previous: LogFile | None = None
        while generation < current.generation:
            path = files.closed(generation)
            if not volume.exists(path):
                raise instance.refusal(
                    JetErr.MISSING_PREVIOUS_LOG_FILE
                    if previous is None
                    else JetErr.MISSING_LOG_FILE,
                    f"{path} is missing between the checkpoint and {files.current}",
                    event=450,
                    file=files.shown(path),
                )
            log = read_log(volume, path)
            self._check_closed(log)
            self._redo_file(log, previous)
            previous = log
            generation += 1
        self._check_current(current)
        self._redo_file(current, previous)
        return current

    def _check_closed(self, log: LogFile) -> None:
        """A log with others behind it has an end: where it stops short, they can't be redone."""
        if log.reason is LogEnd.CORRUPT:
            raise self._damage(log)
        if not log.ended:
            raise JetError(
                JetErr.REDO_ABRUPT_ENDED,
                f"{log.path} ends at byte {log.end} ({log.reason.value}), yet later logs are there",
            )
        check_size(log)

    def _check_current(self, log: LogFile) -> None:
        """The end of the current log may be torn: that write was never acknowledged."""
        instance = self._instance
        if log.reason is LogEnd.CORRUPT:
            raise self._damage(log)
        if log.reason is LogEnd.TORN:
            instance.event(462, file=instance.files.shown(log.path), position=log.end)
        check_size(log)

    def _damage(self, log: LogFile) -> JetError:
        shown = self._instance.files.shown(log.path)
        return self._instance.refusal(
            JetErr.LOG_FILE_CORRUPT,
            f"{shown}: {log.reason.value} at byte {log.end}",
            event=465,
            file=shown,
            position=log.end,
        )

    def _redo_file(self, log: LogFile, previous: LogFile | None) -> None:
        if previous is None:
            if log.generation != self._first_generation:
                raise JetError(
                    JetErr.LOG_GENERATION_MISMATCH,
                    f"{log.path} holds generation {log.generation}, not {self._first_generation}",
                )
            for info in log.header.attachments:
                self._attach(info.dbid, _Attachment.of_header(info))
        else:
            check_signature(previous.header, log.header, log.path, JetErr.BAD_LOG_SIGNATURE)
            check_chain(previous.header, log.header, log.path, JetErr.INVALID_LOG_SEQUENCE)
        redo_log(self._replay, log)
        self._instance.event(301, file=self._instance.files.shown(log.path))

    # -- databases

    def _attach_record(self, dbid: int, body: bytes, lsn: int) -> None:
        self._attach(dbid, _Attachment(AttachRecord.unpack(body), position_of(lsn), lsn))

    def _attach(self, dbid: int, attachment: _Attachment) -> None:
        instance, record = self._instance, attachment.record
        path = instance.config.resolve(record.edb)
        if not instance.volume.exists(path):
            self._unfit[dbid] = partial(_mismatch, record.edb, "that file is missing")
            return
        try:
            database = instance.open_database(dbid, record.edb, record.stm)
        except JetError as error:
            self._unfit[dbid] = partial(JetError, error.err, error.detail)
            return
        try:
            fits = self._check_attach(dbid, database.header, attachment)
        except BaseException:
            database.close()
            raise
        if not fits:
            database.close()
            return
        if database.header.state == DbState.DIRTY_SHUTDOWN:
            self._mend(dbid, path)
        else:
            database.mark_attached(instance.checkpoint.sign_log, attachment.lsn, instance.clock)
        instance.databases[dbid] = database
        self._replay.targets[dbid] = make_target(instance, database)

    def _check_attach(self, dbid: int, header: DatabaseHeader, attachment: _Attachment) -> bool:
        """Whether the log's changes from here on belong onto this file and are not there yet."""
        instance, edb = self._instance, attachment.record.edb
        if header.sign_db != attachment.record.signature:
            self._check_no_other(header, attachment)
            # Another file under the same name: the log's changes don't belong to it.
            self._unfit[dbid] = partial(_mismatch, edb, "that file is another database")
            return False
        if header.state != DbState.DIRTY_SHUTDOWN:
            if header.lgpos_consistent > attachment.position:
                return False  # Detached later: it has all of this already.
            if not attachment.continues(header):
                self._unfit[dbid] = partial(
                    JetError,
                    JetErr.CONSISTENT_TIME_MISMATCH,
                    f"{edb} was last consistent at {header.lgpos_consistent}, "
                    f"{header.logtime_consistent}; the log has it attached in another state",
                )
                return False
            return True
        # Only images have it: as they were sent, or in the middle of a hard recovery, which must go
        # on with the logs of its set.
        if header.bkinfo_full_cur.gen_low:
            self._unfit[dbid] = partial(
                instance.refusal,
                JetErr.SOFT_RECOVERY_ON_BACKUP_DATABASE,
                f"{edb} is a backup image: restore it with hard recovery",
                event=619,
                database=edb,
            )
            return False
        if header.lgpos_attach > attachment.position:
            return False
        if header.gen_min_required < self._first_generation:
            self._unfit[dbid] = partial(
                instance.refusal,
                JetErr.REQUIRED_LOG_FILES_MISSING,
                f"{edb} needs logs from generation {header.gen_min_required}; replay starts at "
                f"{self._first_generation}",
                event=452,
                database=edb,
                low=header.gen_min_required,
                high=header.gen_max_required,
                found=self._first_generation,
            )
            return False
        return True

    def _check_no_other(self, header: DatabaseHeader, attachment: _Attachment) -> None:
        # ASSUMED(bad-db-signature): a database of the same log stream that was not shut down, and
        # lies where the log has another one attached, is refused at once with -531; any other
        # foreign file counts as missing at the end of recovery (-1216).
        stream = self._instance.checkpoint.sign_log
        if header.state == DbState.DIRTY_SHUTDOWN and header.sign_log == stream:
            raise JetError(
                JetErr.BAD_DB_SIGNATURE,
                f"{attachment.record.edb} is another database of this log stream",
            )

    def _mend(self, dbid: int, path: str) -> None:
        """Put torn pages back, once it is known that this is the file that the crash tore."""
        if path in self._mended:
            return
        self._mended.add(path)
        instance = self._instance
        side, size = instance.side_path(dbid), instance.config.page_size
        mend_torn_pages(instance.volume, path, side, size, instance.marks)

    def _detach(self, dbid: int, body: bytes) -> None:
        """An older copy of the file, which did not have this yet, becomes what the file was then.

        The file itself was clean before the record was written, so redo never attached it.
        """
        self._unfit.pop(dbid, None)
        target = self._replay.targets.pop(dbid, None)
        if target is None:
            return
        target.sync_stream()
        target.close_stream()
        record = DetachRecord.unpack(body)
        target.database.pages.flush()
        target.database.mark_clean(record.lgpos_consistent, record.logtime_consistent)
        self._instance.databases.pop(dbid).close()

    def _check_complete(self, last: LogFile) -> None:
        instance, targets = self._instance, self._replay.targets
        for problem in self._unfit.values():
            raise problem()
        for target in targets.values():
            check_generations(instance, target.database, last.generation)
        if not targets and last.header.file_size != instance.config.log_file_size:
            raise _other_size(instance, last, JetErr.LOG_FILE_SIZE_MISMATCH)


@frozen
class _Attachment:
    """A database that the log says is attached, since ``position``; ``lsn`` is the same place."""

    record: AttachRecord
    position: LgPos
    lsn: int

    @classmethod
    def of_header(cls, info: AttachInfo) -> _Attachment:
        """What the header of the first log to be redone says; when it was clean it doesn't say."""
        stm = info.names[1] if len(info.names) > 1 else None
        record = AttachRecord(info.sign_db, info.names[0], stm)
        return cls(record, info.lgpos_attach, lsn_of(info.lgpos_attach))

    def continues(self, header: DatabaseHeader) -> bool:
        """Whether a clean database is in the state in which the log attached it.

        One that was attached before the first log to be redone can't be clean: it is an older copy.
        """
        return (
            header.lgpos_consistent == self.record.lgpos_consistent
            and header.logtime_consistent == self.record.logtime_consistent
        )


def _mismatch(edb: str, why: str) -> JetError:
    return JetError(JetErr.ATTACHED_DATABASE_MISMATCH, f"the log has changes of {edb}, but {why}")


def _other_size(instance: Instance, log: LogFile, err: JetErr) -> JetError:
    return JetError(
        err,
        f"{log.path} has {log.header.file_size} bytes; {instance.config.name} is set to log files "
        f"of {instance.config.log_file_size}",
    )


def finish_roll(instance: Instance) -> None:
    """Complete a roll that a crash interrupted between its two renames. Raises -528."""
    files, volume = instance.files, instance.volume
    if volume.exists(files.current):
        return
    closed = files.closed_generations()
    if volume.exists(files.prepared):
        previous = read_log(volume, files.closed(closed[-1]))
        following = read_log(volume, files.prepared)
        check_chain(previous.header, following.header, files.prepared, JetErr.INVALID_LOG_SEQUENCE)
        volume.rename(files.prepared, files.current)
        volume.sync_directory(files.directory)
        return
    raise JetError(
        JetErr.MISSING_LOG_FILE, f"{files.current} is missing although older logs are there"
    )
