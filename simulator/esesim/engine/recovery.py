"""Soft recovery: redo, undo, databases clean again.

*Soft* recovery runs when an instance starts on logs that a crash left (ESE source logredo.cxx). It
needs the current log and begins at the checkpoint. What hard recovery needs too stands here as
functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import evolve

from eseback.errors import JetErr
from eseback.formats.chkfile import Checkpoint
from eseback.formats.dbheader import DbState
from eseback.formats.errors import FormatError
from eseback.formats.fields import LogTime
from eseback.formats.logblock import LogEnd
from eseback.formats.logheader import LogHeader

from .attach import AttachRecord
from .database import Database
from .errors import JetError
from .log import LogStream, lsn_of, position_of
from .logfile import LogFile, check_chain, check_signature, read_log
from .logrecord import LogType, mark
from .pagefile import mend_torn_pages
from .replay import Replay, Target

if TYPE_CHECKING:
    from .instance import Instance


def soft_recover(instance: Instance) -> int:
    """Bring the databases of a crashed instance to a clean state; returns the last transaction.

    Afterwards ``instance.log`` is open for appending and no database is attached. Raises -501
    -509 -515 -528 -530 -532 -533 -543 -544 -566 -567 -1216.
    """
    return _SoftRecovery(instance).run()


class _SoftRecovery:
    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._replay = Replay(self._attach_record, self._detach)
        self._missing: dict[int, str] = {}
        self._mended: set[str] = set()
        self._first_generation = 0

    def run(self) -> int:
        instance = self._instance
        finish_roll(instance)
        self._read_checkpoint()
        instance.event(300)
        last = self._redo()
        self._check_complete(last.generation)
        open_log_at_end(instance, last)
        instance.log.append(mark(LogType.RECOVERY_UNDO))
        undo_and_close(instance, self._replay)
        instance.log.append(mark(LogType.RECOVERY_QUIT))
        instance.log.flush()
        instance.event(302)
        return self._replay.last_transaction

    def _read_checkpoint(self) -> None:
        instance = self._instance
        generations = instance.files.closed_generations()
        path = instance.checkpoint_path
        if not instance.volume.exists(path):
            oldest = generations[0] if generations else 0
            header = read_log(
                instance.volume,
                instance.files.closed(oldest) if oldest else instance.files.current,
            ).header
            instance.checkpoint = Checkpoint(
                lgpos_checkpoint=position_of(header.generation << 32 | 4096),
                sign_log=header.sign_log,
            )
            return
        file = instance.volume.open(path)
        data = file.read(0, file.size)
        file.close()
        try:
            instance.checkpoint = Checkpoint.unpack(data)
        except FormatError as error:
            raise JetError(JetErr.CHECKPOINT_CORRUPT, f"{path}: {error}") from error

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
                raise JetError(
                    JetErr.MISSING_PREVIOUS_LOG_FILE
                    if previous is None
                    else JetErr.MISSING_LOG_FILE,
                    f"{path} is missing between the checkpoint and {files.current}",
                )
            log = read_log(volume, path)
            if not log.ended:
                raise JetError(JetErr.LOG_FILE_CORRUPT, f"{path}: {log.reason.value}")
            self._redo_file(log, previous)
            previous = log
            generation += 1
        if current.reason is LogEnd.CORRUPT:
            raise JetError(
                JetErr.LOG_FILE_CORRUPT, f"{current.path}: damage before its last good block"
            )
        self._redo_file(current, previous)
        return current

    def _redo_file(self, log: LogFile, previous: LogFile | None) -> None:
        if previous is None:
            if log.generation != self._first_generation:
                raise JetError(
                    JetErr.LOG_GENERATION_MISMATCH,
                    f"{log.path} holds generation {log.generation}, not {self._first_generation}",
                )
            for info in log.header.attachments:
                stm = info.names[1] if len(info.names) > 1 else None
                record = AttachRecord(info.sign_db, info.names[0], stm)
                self._attach(info.dbid, record, lsn_of(info.lgpos_attach))
        else:
            check_signature(previous.header, log.header, log.path, JetErr.BAD_LOG_SIGNATURE)
            check_chain(previous.header, log.header, log.path, JetErr.INVALID_LOG_SEQUENCE)
        redo_log(self._replay, log)
        self._instance.event(301, file=log.path)

    def _attach_record(self, dbid: int, body: bytes, lsn: int) -> None:
        self._attach(dbid, AttachRecord.unpack(body), lsn)

    def _attach(self, dbid: int, record: AttachRecord, lsn: int) -> None:
        instance = self._instance
        resolve, volume = instance.config.resolve, instance.volume
        path = resolve(record.edb)
        if not volume.exists(path):
            self._missing[dbid] = record.edb
            return
        database = instance.open_database(dbid, record.edb, record.stm)
        header = database.header
        position = position_of(lsn)
        if header.sign_db != record.signature:
            # Another file under the same name: the log's changes don't belong to it.
            self._missing[dbid] = record.edb
            database.close()
            return
        if header.state == DbState.DIRTY_SHUTDOWN:
            if header.bkinfo_full_cur.gen_low and not header.bkinfo_full_cur.gen_high:
                database.close()
                instance.event(619, database=record.edb)
                raise JetError(
                    JetErr.SOFT_RECOVERY_ON_BACKUP_DATABASE,
                    f"{record.edb} is a backup image: restore it with hard recovery",
                )
            if header.lgpos_attach > position:
                database.close()
                return
            if header.gen_min_required < self._first_generation:
                database.close()
                raise JetError(
                    JetErr.REQUIRED_LOG_FILES_MISSING,
                    f"{record.edb} needs logs from generation {header.gen_min_required}; "
                    f"replay starts at {self._first_generation}",
                )
            self._mend(dbid, path)
        elif header.lgpos_consistent > position:
            database.close()
            return
        else:
            database.mark_attached(instance.checkpoint.sign_log, lsn, instance.clock)
        instance.databases[dbid] = database
        self._replay.targets[dbid] = make_target(instance, database)

    def _mend(self, dbid: int, path: str) -> None:
        """Put torn pages back, once it is known that this is the file that the crash tore."""
        if path in self._mended:
            return
        self._mended.add(path)
        instance = self._instance
        side, size = instance.side_path(dbid), instance.config.page_size
        mend_torn_pages(instance.volume, path, side, size, instance.marks)

    def _detach(self, dbid: int) -> None:
        self._missing.pop(dbid, None)
        target = self._replay.targets.pop(dbid, None)
        if target is not None:
            # The header was clean before this record was written, so nothing waits here.
            self._instance.databases.pop(dbid).close()

    def _check_complete(self, last_generation: int) -> None:
        for edb in self._missing.values():
            raise JetError(
                JetErr.ATTACHED_DATABASE_MISMATCH,
                f"the log has changes of {edb}, but that file is missing or another one",
            )
        for target in self._replay.targets.values():
            check_generations(target.database, last_generation)


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


def redo_log(replay: Replay, log: LogFile) -> None:
    """Redo every record of one generation."""
    replay.redo_blocks(log.data, log.blocks, log.generation << 32)
    replay.counts.generations += 1
    replay.write_back()


def make_target(instance: Instance, database: Database) -> Target:
    """A database as the goal of a replay."""
    stm = None
    if database.stm_path is not None and instance.volume.exists(database.stm_path):
        stm = instance.volume.open(database.stm_path)
    return Target(database, stm)


def check_generations(database: Database, last_generation: int) -> None:
    """All logs whose changes may be in the file have been replayed; else -543."""
    needed = database.header.gen_max_required
    if needed > last_generation:
        raise JetError(
            JetErr.REQUIRED_LOG_FILES_MISSING,
            f"{database.edb} needs logs up to generation {needed}; the last one replayed is "
            f"{last_generation}",
        )


def open_log_at_end(instance: Instance, last: LogFile) -> None:
    """Go on writing behind the last good block of the current log."""
    files, volume = instance.files, instance.volume
    size = last.header.file_sectors * 512
    if last.ended:
        # The crash came between the end mark and the renames.
        start_log(instance, last.header)
        return
    file = volume.open(files.current)
    tail = file.read(last.end, size - last.end)
    if tail.strip(b"\0"):
        instance.marks["torn_log"] += 1
    # What lies behind the end must never be taken for a block again.
    file.resize(last.end)
    file.resize(size)
    file.sync()
    file.close()
    instance.log = LogStream(
        files,
        last.header,
        instance.clock,
        attachments=instance.attachments,
        rolled=instance.rolled,
        generation_max=instance.config.generation_max,
        block_start=last.end,
    )


def start_log(instance: Instance, previous: LogHeader) -> None:
    """Open the generation that follows ``previous`` as current log."""
    header = evolve(
        previous,
        generation=previous.generation + 1,
        created=LogTime.from_unix(instance.clock.now()),
        previous_created=previous.created,
        attachments=instance.attachments(),
    )
    instance.log = LogStream.create(
        instance.files,
        header,
        instance.clock,
        attachments=instance.attachments,
        rolled=instance.rolled,
        generation_max=instance.config.generation_max,
    )
    instance.rolled(header.generation)


def undo_and_close(instance: Instance, replay: Replay, **changes: Any) -> None:
    """Undo what is open, write everything, leave the databases clean and closed."""
    for target in replay.targets.values():
        target.database.log = instance.log
        if target.streaming is not None:
            target.streaming.sync()
    replay.undo(instance.log)
    for dbid, target in list(replay.targets.items()):
        database = target.database
        database.flush()
        database.mark_clean(instance.log.tail, instance.clock, **changes)
        instance.databases.pop(dbid, None)
        instance.log.append(mark(LogType.DETACH_DB, dbid))
        if target.streaming is not None:
            target.streaming.close()
        database.close()
    replay.targets.clear()
    instance.log.flush()
