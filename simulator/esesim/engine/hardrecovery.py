"""Hard recovery: a backup set becomes clean databases (JetExternalRestore; ESE logutil.cxx)."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from itertools import count

from attrs import evolve, frozen

from eseback.errors import JetErr
from eseback.formats.dbheader import DatabaseHeader, DbState
from eseback.formats.errors import FormatError
from eseback.formats.fields import NO_BACKUP, Signature
from eseback.formats.logblock import LogEnd
from eseback.formats.logheader import LogHeader
from eseback.formats.trailer import Trailer

from ..volume import Volume
from .attach import AttachRecord
from .config import InstanceConfig
from .database import Database, read_header, streaming_file_problem
from .errors import JetError
from .event import EventSink
from .instance import Instance
from .log import Clock
from .logfile import LogFile, check_chain, check_signature, read_log
from .logrecord import LogType, mark
from .page import Page
from .patchfile import patch_name, read_patches
from .recovery import (
    check_generations,
    make_target,
    open_log_at_end,
    redo_log,
    start_log,
    undo_and_close,
)
from .replay import Replay, ReplayCounts


@frozen
class RestoredDatabase:
    """One line of the restore map: the name at backup time and where the image lies now.

    All are Windows paths as the instance's ``resolve`` takes them.
    """

    source_edb: str
    edb: str
    stm: str | None = None


@frozen
class RecoveryReport:
    """What a hard recovery did: generations replayed and the counts of the replay."""

    generation_first: int
    generation_last: int
    counts: ReplayCounts


def hard_recover(
    volume: Volume,
    databases: Sequence[RestoredDatabase],
    *,
    config: InstanceConfig,
    gen_low: int,
    gen_high: int,
    clock: Clock,
    events: EventSink | None = None,
    marks: Counter[str] | None = None,
) -> RecoveryReport:
    """Recover backup images with the logs ``gen_low``..``gen_high`` of ``config.log_path``.

    Logs above ``gen_high`` in that folder, ``Exx.log`` among them, must follow without a gap and
    are replayed too. The databases are clean afterwards and their bkinfo is zero: the next backup
    must be a full one.
    Raises -501 -513 -535 -539 -540 -543 -552..-557 -561 -565..-567 -570 -571 -573 -574 -610 -611
    -615 -1206 -1811.
    """
    instance = Instance(volume, config, clock, random.Random(gen_low), events=events, marks=marks)
    recovery = _HardRecovery(instance, databases, gen_low, gen_high)
    try:
        return recovery.run()
    except BaseException:
        recovery.let_go()
        raise


class _HardRecovery:
    def __init__(
        self,
        instance: Instance,
        databases: Sequence[RestoredDatabase],
        gen_low: int,
        gen_high: int,
    ) -> None:
        self._instance = instance
        self._gen_low = gen_low
        self._gen_high = gen_high
        self._map = {entry.source_edb.casefold(): entry for entry in databases}
        self._replay = Replay(self._attach_record, self._replay_detach)
        self._opened: dict[str, Database] = {}

    def run(self) -> RecoveryReport:
        # All logs are looked at before any image is changed, so that a refusal costs nothing.
        logs = self._read_set()
        logs += self._following(logs[-1])
        for entry in self._map.values():
            self._prepare_database(entry, logs[0].header)
        for info in logs[0].header.attachments:
            self._attach(info.dbid, info.names[0], info.sign_db)
        for log in logs:
            redo_log(self._replay, log)
        last = logs[-1]
        self._check_complete(last.generation)
        instance = self._instance
        instance.databases = {dbid: t.database for dbid, t in self._replay.targets.items()}
        if last.path == instance.files.current:
            open_log_at_end(instance, last)
        else:
            start_log(instance, last.header)
        instance.log.append(mark(LogType.RECOVERY_UNDO))
        undo_and_close(
            instance,
            self._replay,
            bkinfo_full_prev=NO_BACKUP,
            bkinfo_full_cur=NO_BACKUP,
            bkinfo_inc_prev=NO_BACKUP,
            bkinfo_snapshot_cur=NO_BACKUP,
        )
        instance.log.append(mark(LogType.RECOVERY_QUIT))
        instance.log.close()
        return RecoveryReport(self._gen_low, last.generation, self._replay.counts)

    def let_go(self) -> None:
        """Close the files of a recovery that failed; what it has changed stays as it is."""
        for target in self._replay.targets.values():
            if target.streaming is not None:
                target.streaming.close()
        for database in self._opened.values():
            database.close()

    # -- logs

    def _read_set(self) -> list[LogFile]:
        """The set's own logs, each following its predecessor."""
        files = self._instance.files
        logs: list[LogFile] = []
        for generation in range(self._gen_low, self._gen_high + 1):
            path = files.closed(generation)
            if not files.volume.exists(path):
                raise JetError(
                    JetErr.MISSING_RESTORE_LOG_FILES, f"{path} of the backup set is missing"
                )
            log = read_log(files.volume, path)
            if log.generation != generation:
                raise JetError(
                    JetErr.LOG_GENERATION_MISMATCH,
                    f"{path} holds generation {log.generation}, not {generation}",
                )
            if logs:
                check_signature(
                    logs[-1].header, log.header, path, JetErr.GIVEN_LOG_FILE_HAS_BAD_SIGNATURE
                )
                check_chain(
                    logs[-1].header, log.header, path, JetErr.GIVEN_LOG_FILE_IS_NOT_CONTIGUOUS
                )
            if not log.ended:
                raise JetError(
                    JetErr.LOG_TORN_WRITE_DURING_HARD_RESTORE
                    if log.reason is LogEnd.TORN
                    else JetErr.LOG_CORRUPT_DURING_HARD_RESTORE,
                    f"{path}: {log.reason.value}",
                )
            logs.append(log)
        if not logs:
            raise JetError(
                JetErr.MISSING_RESTORE_LOG_FILES,
                f"a restore needs at least one log; {self._gen_low}..{self._gen_high} is none",
            )
        return logs

    def _following(self, last: LogFile) -> list[LogFile]:
        """Later logs that follow without a gap, the current one included if it is there."""
        files = self._instance.files
        generations = [g for g in files.closed_generations() if g > last.generation]
        found: list[LogFile] = []
        for generation in generations:
            path = files.closed(generation)
            if generation != last.generation + 1:
                raise JetError(
                    JetErr.MISSING_CURRENT_LOG_FILES,
                    f"generation {last.generation + 1} is missing, {path} is there",
                )
            log = read_log(files.volume, path)
            self._check_existing(last, log)
            if not log.ended:
                raise JetError(
                    JetErr.LOG_TORN_WRITE_DURING_HARD_RECOVERY
                    if log.reason is LogEnd.TORN
                    else JetErr.LOG_CORRUPT_DURING_HARD_RECOVERY,
                    f"{path}: {log.reason.value}",
                )
            found.append(log)
            last = log
        if files.volume.exists(files.current):
            found.append(self._read_current(last))
        return found

    def _read_current(self, last: LogFile) -> LogFile:
        """``Exx.log``, which must follow the last closed log: recovery goes on writing to it.

        Its last block may be torn, as a crash leaves it.
        """
        files = self._instance.files
        log = read_log(files.volume, files.current)
        if log.generation > last.generation + 1:
            raise JetError(
                JetErr.MISSING_CURRENT_LOG_FILES,
                f"generation {last.generation + 1} is missing, {log.path} is generation "
                f"{log.generation}",
            )
        self._check_existing(last, log)
        if log.reason is LogEnd.CORRUPT:
            raise JetError(
                JetErr.LOG_CORRUPT_DURING_HARD_RECOVERY,
                f"{log.path}: damage before its last good block",
            )
        return log

    def _check_existing(self, last: LogFile, log: LogFile) -> None:
        check_signature(
            last.header, log.header, log.path, JetErr.EXISTING_LOG_FILE_HAS_BAD_SIGNATURE
        )
        check_chain(last.header, log.header, log.path, JetErr.EXISTING_LOG_FILE_IS_NOT_CONTIGUOUS)

    # -- databases

    def _prepare_database(self, entry: RestoredDatabase, log: LogHeader) -> None:
        """Check the image against the set and give its header the set's highest generation."""
        instance = self._instance
        path = instance.config.resolve(entry.edb)
        size = instance.config.page_size
        volume = instance.volume
        if not volume.exists(path):
            raise JetError(JetErr.FILE_NOT_FOUND, f"there is no {entry.edb}")
        if volume.size(path) % size:
            raise JetError(
                JetErr.BAD_BACKUP_DATABASE_SIZE,
                f"{entry.edb} has {volume.size(path)} bytes, no multiple of {size}",
            )
        header = read_header(volume, path, size)
        if header.state == DbState.DIRTY_SHUTDOWN and header.bkinfo_full_cur.gen_low == 0:
            raise JetError(JetErr.RESTORE_OF_NON_BACKUP_DATABASE, f"{entry.edb} is no backup image")
        if header.state != DbState.DIRTY_SHUTDOWN:
            raise JetError(
                JetErr.RESTORE_OF_NON_BACKUP_DATABASE,
                f"{entry.edb} is in state {header.state.name}: no backup image",
            )
        if header.sign_log != log.sign_log:
            raise JetError(
                JetErr.DATABASE_LOG_SET_MISMATCH, f"{entry.edb} belongs to another log stream"
            )
        patched = instance.config.patch_files
        has_trailer = header.bkinfo_full_cur.gen_high == 0 and not patched
        patches: dict[int, list[Page]] = {}
        if patched:
            page, patches = read_patches(volume, self._patch_path(entry), size)
            self._check_trailer(entry, page, header)
        elif has_trailer:
            file = volume.open(path)
            page = file.read(file.size - size, size)
            file.close()
            self._check_trailer(entry, page, header)
        database = instance.open_database(header.dbid, entry.edb, entry.stm)
        problem = streaming_file_problem(volume, database)
        if problem is not None:
            database.close()
            raise JetError(JetErr.DATABASE_STREAMING_FILE_MISMATCH, problem)
        database.pages.patches = patches
        gen_high = self._gen_high
        database.write_header(
            bkinfo_full_cur=evolve(header.bkinfo_full_cur, gen_high=gen_high),
            gen_max_required=max(header.gen_max_required, gen_high),
        )
        if has_trailer:
            # Last of all: a restore that failed before can be tried again.
            database.pages.file.write(volume.size(path) - size, bytes(size))
            database.pages.file.sync()
        self._opened[entry.source_edb.casefold()] = database

    def _patch_path(self, entry: RestoredDatabase) -> str:
        """Where the patch file of a database lies at a restore: in the folder of the logs."""
        name = patch_name(entry.source_edb).rpartition("\\")[2]
        return self._instance.files.path(name)

    def _check_trailer(self, entry: RestoredDatabase, page: bytes, header: DatabaseHeader) -> None:
        """Hold the trailer, or the header of the patch file, against header and set."""
        try:
            trailer = Trailer.unpack(page)
        except FormatError as error:
            raise JetError(JetErr.BAD_PATCH_PAGE, f"trailer of {entry.edb}: {error}") from error
        current = header.bkinfo_full_cur
        if (
            trailer.sign_db != header.sign_db
            or trailer.sign_log != header.sign_log
            or trailer.bkinfo.mark != current.mark
        ):
            raise JetError(
                JetErr.DATABASE_PATCH_FILE_MISMATCH,
                f"header and trailer of {entry.edb} are from different backups",
            )
        if trailer.bkinfo.gen_low < self._gen_low:
            raise JetError(
                JetErr.STARTING_RESTORE_LOG_TOO_HIGH,
                f"{entry.edb} needs logs from generation {trailer.bkinfo.gen_low}; the set starts "
                f"at {self._gen_low}",
            )
        if trailer.bkinfo.gen_high > self._gen_high:
            raise JetError(
                JetErr.ENDING_RESTORE_LOG_TOO_LOW,
                f"{entry.edb} needs logs up to generation {trailer.bkinfo.gen_high}; the set ends "
                f"at {self._gen_high}",
            )

    def _attach_record(self, dbid: int, body: bytes, lsn: int) -> None:
        record = AttachRecord.unpack(body)
        self._attach(dbid, record.edb, record.signature)

    def _attach(self, dbid: int, source_edb: str, signature: Signature) -> None:
        database = self._opened.get(source_edb.casefold())
        # Of another signature: a database that had the name before this one was made.
        if database is not None and database.header.sign_db == signature:
            database.dbid = dbid
            self._replay.targets[dbid] = make_target(self._instance, database)

    def _replay_detach(self, dbid: int) -> None:
        target = self._replay.targets.pop(dbid, None)
        if target is not None and target.streaming is not None:
            target.streaming.sync()
            target.streaming.close()

    def _check_complete(self, last_generation: int) -> None:
        targets = self._replay.targets
        attached = [target.database for target in targets.values()]
        for database in self._opened.values():
            check_generations(database, last_generation)
            if database not in attached:
                # Detached within the logs: everything is replayed, but nothing held it open. Its
                # number may be another's by now.
                database.dbid = next(dbid for dbid in count(1) if dbid not in targets)
                targets[database.dbid] = make_target(self._instance, database)
