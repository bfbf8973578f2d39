"""Hard recovery: a backup set becomes clean databases (JetExternalRestore; ESE logutil.cxx).

First everything is checked, and nothing changed: the logs of the set, those to be played forward,
the images. Then the images are made ready, the logs redone one after the other, and what is open at
their end is undone. Each step can be broken off by a loss of power and begun again from the start.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import count

from eseback.data import frozen
from eseback.errors import JetErr
from eseback.formats.fields import NO_BACKUP, Signature

from ..volume import Volume
from .attach import AttachRecord, RestoreRecord
from .config import InstanceConfig
from .database import Database
from .errors import JetError
from .event import EventSink
from .instance import Instance
from .log import Clock
from .logfile import LogFile, LogSummary, read_again
from .logrecord import LogType, mark
from .recovery import (
    check_generations,
    make_target,
    open_log_at_end,
    redo_log,
    start_log,
    undo_and_close,
)
from .replay import Replay, ReplayCounts
from .restoredimage import (
    Image,
    ImageRules,
    RestoredDatabase,
    check_image,
    finish_image,
    is_fresh,
    prepare_image,
)
from .restorelogs import LogPlan, RestoreLogs

__all__ = ["HardRecovery", "Progress", "RecoveryReport", "RestoredDatabase", "hard_recover"]

Progress = Callable[[int, int], None]
"""Told after each generation: how many are replayed, and of how many."""


@frozen
class RecoveryReport:
    """What a hard recovery did: generations replayed and the counts of the replay.

    ``generation_last`` is the last one that a server wrote, not the recovery itself.
    """

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
    backup_log_path: str | None = None,
    target_log_path: str | None = None,
    target_gen_max: int | None = None,
    clock: Clock,
    events: EventSink | None = None,
    marks: Counter[str] | None = None,
    progress: Progress | None = None,
) -> RecoveryReport:
    """Recover backup images with the logs ``gen_low``..``gen_high`` and those that follow them.

    ``config`` is the instance that recovers; into its log folder goes the log of the undo.
    ``backup_log_path`` is where the set's logs lie (default: that folder too). The logs above
    ``gen_high``, ``Exx.log`` among them, come from ``target_log_path``: the folder of the group
    that the databases go back to (default: that folder too). If that group runs, it has closed its
    log before, and ``target_gen_max`` is the last closed generation. All paths are Windows paths.

    The databases are clean afterwards and their bkinfo is zero: the next backup must be a full one.
    A recovery that failed, or that a loss of power broke off, can be called again.
    Raises -501 -513 -535 -538..-541 -543 -552..-557 -561 -565..-567 -570 -571 -573 -574 -610 -611
    -615 -1003 -1018 -1206 -1811 -1852.
    """
    instance = Instance(volume, config, clock, random.Random(gen_low), events=events, marks=marks)
    return instance.external_restore(
        databases,
        gen_low=gen_low,
        gen_high=gen_high,
        backup_log_path=backup_log_path,
        target_log_path=target_log_path,
        target_gen_max=target_gen_max,
        progress=progress,
    )


class HardRecovery:
    """One run of a hard recovery on an instance that isn't started."""

    def __init__(
        self,
        instance: Instance,
        databases: Sequence[RestoredDatabase],
        logs: RestoreLogs,
        progress: Progress | None,
    ) -> None:
        self._instance = instance
        self._map = {entry.source_edb.casefold(): entry for entry in databases}
        self._logs = logs
        self._progress = progress
        self._replay = Replay(
            self._attach_record, self._replay_detach, dirty_max=instance.config.cache_pages
        )
        self._opened: dict[str, Database] = {}
        # Of all databases of the log, also those that are not restored.
        self._dbids_in_use: set[int] = set()

    def run(self) -> RecoveryReport:
        """See :func:`hard_recover`."""
        instance, logs = self._instance, self._logs
        instance.event(204, restore_folder=logs.set.folder, log_folder=logs.running.folder)
        try:
            report = self._run()
        except JetError as error:
            instance.event(454, error=int(error.err))
            raise
        finally:
            self._let_go()
            instance.event(205)
        return report

    def _run(self) -> RecoveryReport:
        instance = self._instance
        for folder in (instance.config.system_path, instance.config.log_path):
            instance.volume.make_directory(instance.config.resolve(folder))
        # All is looked at before anything is changed, so that a refusal costs nothing.
        fresh = any(is_fresh(instance, entry) for entry in self._map.values())
        plan = self._logs.check(self._map, fresh=fresh)
        images = self._check_images(plan)
        self._delete_stale(plan)
        for image in images:
            if image.is_recovered:
                finish_image(instance, image)
            else:
                self._opened[image.entry.source_edb.casefold()] = prepare_image(
                    instance, image, self._logs.gen_high
                )
        instance.event(300)
        self._redo(plan)
        last = plan.all[-1]
        self._check_complete(last.generation)
        self._open_log(plan)
        self._undo()
        instance.event(302)
        return RecoveryReport(self._logs.gen_low, plan.server[-1].generation, self._replay.counts)

    def _let_go(self) -> None:
        """Close what is open; what a recovery that failed has changed stays as it is."""
        for target in self._replay.targets.values():
            target.close_stream()
        for database in self._opened.values():
            database.close()

    # -- before

    def _check_images(self, plan: LogPlan) -> list[Image]:
        rules = ImageRules(
            files=self._logs.set,
            gen_low=self._logs.gen_low,
            gen_high=self._logs.gen_high,
            log=plan.server[0].header,
            own_first=plan.own[0].generation if plan.own else None,
        )
        return [check_image(self._instance, entry, rules) for entry in self._map.values()]

    def _delete_stale(self, plan: LogPlan) -> None:
        """Logs that don't belong to the restore go, the newest first: no gap is ever left."""
        volume = self._instance.volume
        for path in reversed(plan.stale):
            volume.delete(path)
            volume.sync_directory(path.rpartition("/")[0])

    # -- redo

    def _redo(self, plan: LogPlan) -> None:
        instance, logs = self._instance, plan.all
        for info in logs[0].header.attachments:
            self._attach(info.dbid, info.names[0], info.sign_db)
        for number, summary in enumerate(logs, 1):
            log = self._read_again(summary)
            if log.generation > self._logs.gen_high:
                self._require(log.generation)
            redo_log(self._replay, log)
            instance.event(301, file=self._logs.shown(summary.path))
            if self._progress is not None:
                self._progress(number, len(logs))

    def _read_again(self, summary: LogSummary) -> LogFile:
        """The records of a log that was whole when it was checked; -557 if it has gone since."""
        try:
            return read_again(self._instance.volume, summary)
        except JetError as error:
            if error.err != JetErr.FILE_NOT_FOUND:
                raise
            raise JetError(JetErr.MISSING_RESTORE_LOG_FILES, error.detail) from error

    def _require(self, generation: int) -> None:
        """Headers say that a log is needed before pages have its changes.

        So a recovery that was broken off in the middle of playing forward can't end earlier.
        """
        for database in self._opened.values():
            if database.header.gen_max_required < generation:
                database.write_header(gen_max_required=generation)

    def _attach_record(self, dbid: int, body: bytes, lsn: int) -> None:
        record = AttachRecord.unpack(body)
        self._attach(dbid, record.edb, record.signature)

    def _attach(self, dbid: int, source_edb: str, signature: Signature) -> None:
        self._dbids_in_use.add(dbid)
        database = self._opened.get(source_edb.casefold())
        # Of another signature: a database that had the name before this one was made.
        if database is not None and database.header.sign_db == signature:
            database.dbid = dbid
            self._replay.targets[dbid] = make_target(self._instance, database)

    def _replay_detach(self, dbid: int, _body: bytes) -> None:
        self._dbids_in_use.discard(dbid)
        target = self._replay.targets.pop(dbid, None)
        if target is not None:
            target.sync_stream()
            target.close_stream()

    def _check_complete(self, last_generation: int) -> None:
        targets = self._replay.targets
        attached = [target.database for target in targets.values()]
        for database in self._opened.values():
            check_generations(self._instance, database, last_generation)
            if database not in attached:
                # Detached within the logs: everything is replayed, but nothing held it open. Its
                # number may be another's by now.
                database.dbid = next(n for n in count(1) if n not in self._dbids_in_use)
                self._dbids_in_use.add(database.dbid)
                targets[database.dbid] = make_target(self._instance, database)

    # -- undo

    def _open_log(self, plan: LogPlan) -> None:
        """Begin a generation of the recovery's own, or go on with the one of an earlier try."""
        instance = self._instance
        instance.databases = {dbid: t.database for dbid, t in self._replay.targets.items()}
        last = plan.all[-1]
        if last.path != instance.files.current:
            start_log(instance, last.header)
        else:
            open_log_at_end(instance, last)
            if not plan.own and instance.log.generation == last.generation:
                instance.log.roll()
        numbers = {name: database.dbid for name, database in self._opened.items()}
        record = RestoreRecord({name: numbers.get(name, 0) for name in self._map})
        instance.log.append(mark(LogType.EXT_RESTORE, body=record.pack()))
        instance.log.flush()

    def _undo(self) -> None:
        instance = self._instance
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
