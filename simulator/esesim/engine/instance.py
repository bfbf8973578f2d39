"""One instance of the engine: a storage group's log stream, checkpoint and databases."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from attrs import evolve

from eseback.errors import JetErr
from eseback.events import EVENTS
from eseback.formats import names
from eseback.formats.chkfile import Checkpoint
from eseback.formats.dbheader import DbState
from eseback.formats.errors import FormatError
from eseback.formats.fields import LgPos, LogTime, Signature
from eseback.formats.logheader import AttachInfo, DbmsParam, LogHeader

from ..volume import Volume
from .attach import AttachRecord, DetachRecord
from .condition import Condition, too_deep, write_problem
from .config import DATABASES_MAX, InstanceConfig
from .create import create_database_files
from .database import Database, streaming_file_problem
from .errors import JetError
from .event import Event, EventSink
from .log import SECTOR, Clock, LogFiles, LogStream, position_of
from .logrecord import LogType, mark
from .pagefile import drop_side_file
from .transaction import Transaction, TransactionTable

if TYPE_CHECKING:
    from .backup import Backup
    from .hardrecovery import Progress, RecoveryReport
    from .restoredimage import RestoredDatabase


class Instance:
    """A running engine. One thread at a time: the group's lock lies with the caller.

    ``marks`` counts hard situations that really arose, for tests that must not be vacuous.
    """

    def __init__(
        self,
        volume: Volume,
        config: InstanceConfig,
        clock: Clock,
        rng: random.Random,
        *,
        events: EventSink | None = None,
        marks: Counter[str] | None = None,
    ) -> None:
        self.volume = volume
        self.config = config
        self.clock = clock
        self.rng = rng
        self.marks: Counter[str] = Counter() if marks is None else marks
        self.files = self.log_files(config.log_path)
        self.databases: dict[int, Database] = {}
        self.running = False
        self.condition = Condition()
        self.log: LogStream
        self.transactions: TransactionTable
        self.checkpoint: Checkpoint
        self._events = events
        self._slices = 0

    @cached_property
    def backup(self) -> Backup:
        """The one backup of the instance, whether it runs or not; made when first asked for."""
        from .backup import Backup  # a server is to be up soon

        return Backup(self)

    @property
    def has_backup(self) -> bool:
        """Whether anybody has asked for it; else none has ever run."""
        return "backup" in vars(self)

    @property
    def is_backed_up(self) -> bool:
        """Whether a backup runs."""
        return self.has_backup and self.backup.is_running

    # -- start and stop

    def start(self) -> None:
        """JetInit: recover what a crash left, or begin a new log stream.

        Raises the errors of soft recovery: see :func:`soft_recover`.
        """
        for path in (self.config.system_path, self.config.log_path):
            self.volume.make_directory(self.config.resolve(path))
        if self.has_logs():
            from .softrecovery import soft_recover

            last_transaction = soft_recover(self)
        else:
            self._begin_stream()
            last_transaction = 0
        self._remove_side_files()
        self.transactions = TransactionTable(self.log, last_transaction + 1)
        self.running = True
        self.log.append(mark(LogType.INIT))
        self.log.flush()
        self.update_checkpoint()

    def terminate(self, *, stop_backup: bool = False) -> None:
        """JetTerm: detach everything. -505 while a backup runs, unless ``stop_backup``."""
        if self.is_backed_up:
            if not stop_backup:
                raise JetError(JetErr.BACKUP_IN_PROGRESS, f"a backup of {self.config.name} runs")
            self.backup.abandon_by_server()
        for database in list(self.databases.values()):
            self.detach(database.edb)
        self.log.append(mark(LogType.TERM))
        self.log.flush()
        self.update_checkpoint()
        self.log.close()
        self.running = False

    def external_restore(
        self,
        databases: Sequence[RestoredDatabase],
        *,
        gen_low: int,
        gen_high: int,
        backup_log_path: str | None = None,
        target_log_path: str | None = None,
        target_gen_max: int | None = None,
        progress: Progress | None = None,
    ) -> RecoveryReport:
        """JetExternalRestore: see :func:`hard_recover`. -1850 once the instance is initialised."""
        from .hardrecovery import HardRecovery
        from .restorelogs import RestoreLogs

        if self.running:
            raise JetError(
                JetErr.AFTER_INITIALIZATION,
                f"{self.config.name} is initialised; a restore needs an instance of its own",
            )
        logs = RestoreLogs(
            self,
            gen_low,
            gen_high,
            backup_log_path=backup_log_path,
            target_log_path=target_log_path,
            target_gen_max=target_gen_max,
        )
        return HardRecovery(self, databases, logs, progress).run()

    def roll_log(self) -> int:
        """Close the current log, for a restore that plays forward to here; returns its generation.

        Raises -519 where there is no next one, -1029 for an instance that isn't running.
        """
        if not self.running:
            raise JetError(JetErr.NOT_INITIALIZED, f"{self.config.name} is not started")
        self.log.roll()
        return self.log.generation - 1

    def log_files(self, folder: str) -> LogFiles:
        """The logs of this instance's base name in a folder (Windows path)."""
        config = self.config
        return LogFiles(
            self.volume, config.resolve(folder), config.base, config.generation_digits, folder
        )

    def has_logs(self) -> bool:
        """Whether there is a log stream on disk."""
        files = self.files
        return self.volume.exists(files.current) or bool(files.closed_generations())

    def _begin_stream(self) -> None:
        config, now = self.config, LogTime.from_unix(self.clock.now())
        signature = Signature(self.rng.getrandbits(32), now, config.computer)
        self.log = LogStream.create(
            self.files,
            self.log_header(config.generation_first, signature),
            self.clock,
            attachments=self.attachments,
            rolled=self.rolled,
            generation_max=config.generation_max,
        )
        self.checkpoint = Checkpoint(
            lgpos_checkpoint=position_of(self.log.tail), sign_log=signature
        )
        for name in names.reserve_log_names(config.base, config.generation_digits):
            path = self.files.path(name)
            if not self.volume.exists(path):
                self.volume.create(path, config.log_file_size).close()

    def log_header(self, generation: int, signature: Signature) -> LogHeader:
        """The header of a generation without predecessor."""
        config = self.config
        return LogHeader(
            generation=generation,
            file_sectors=config.log_file_size // SECTOR,
            page_size=config.page_size,
            created=LogTime.from_unix(self.clock.now()),
            major=config.log_major,
            minor=config.log_minor,
            update=config.log_update,
            sign_log=signature,
            parameters=DbmsParam(
                system_path=config.system_path,
                log_path=config.log_path,
                circular=config.circular,
                log_file_sectors=config.log_file_size // SECTOR,
            ),
        )

    # -- databases

    def create_database(self, edb: str, stm: str | None = None, *, size: int = 0) -> Database:
        """Make a database and attach it. Raises -505, -1805, -1201 for an existing file.

        Its tables are empty, but for Ballast in a virtual one, which has ``size`` bytes.
        """
        # Refused before anything is made: no files are left behind.
        self._check_no_backup()
        dbid = self._free_dbid()
        create_database_files(self, edb, stm, size)
        self.log.append(mark(LogType.CREATE_DB, dbid, body=edb.encode("utf-16-le")))
        return self.attach(edb, stm)

    def attach(self, edb: str, stm: str | None = None) -> Database:
        """Attach a clean database. Raises -505 -540 -544 -550 -1206 -1222 -1805 -1811 +1007."""
        self._check_no_backup()
        if self.find(edb) is not None:
            raise JetError(JetErr.WRN_DATABASE_ATTACHED, f"{edb} is attached already")
        if not self.volume.exists(self.config.resolve(edb)):
            raise JetError(JetErr.FILE_NOT_FOUND, f"there is no {edb}")
        database = self.open_database(self._free_dbid(), edb, stm)
        self._check_attachable(database)
        header = database.header
        record = AttachRecord(
            header.sign_db, edb, stm, header.lgpos_consistent, header.logtime_consistent
        ).pack()
        lsn = self.log.append(mark(LogType.ATTACH_DB, database.dbid, body=record))
        self.log.flush()
        # The header names the log before any page of this attachment can be written.
        database.mark_attached(self.log.signature, lsn, self.clock)
        database.open_tables(self.log)
        self.databases[database.dbid] = database
        return database

    def detach(self, edb: str) -> None:
        """Write everything, leave the database clean. Raises -505, -1203; rolls back nothing."""
        self._check_no_backup()
        database = self.find(edb)
        if database is None:
            raise JetError(JetErr.DATABASE_NOT_FOUND, f"{edb} is not attached")
        if self.transactions.open:
            raise JetError(
                JetErr.DATABASE_IN_USE, f"transactions are open while {edb} is to be detached"
            )
        database.flush()
        if database.streaming is not None:
            database.streaming.sync()
        self.log.flush()
        del self.databases[database.dbid]
        self.log.append(self.end_attachment(database))
        self.log.flush()
        database.close()

    def end_attachment(self, database: Database, **changes: Any) -> bytes:
        """Mark a database clean whose pages are all written; returns the record that says so."""
        at, time = position_of(self.log.tail), LogTime.from_unix(self.clock.now())
        database.mark_clean(at, time, **changes)
        return mark(LogType.DETACH_DB, database.dbid, body=DetachRecord(at, time).pack())

    def find(self, edb: str) -> Database | None:
        """The attached database of that name."""
        wanted = edb.casefold()
        for database in self.databases.values():
            if database.edb.casefold() == wanted:
                return database
        return None

    def open_database(
        self, dbid: int, edb: str, stm: str | None, *, side_path: str | None = None
    ) -> Database:
        """Open the files of a database, attached or to be recovered."""
        config = self.config
        return Database(
            self.volume,
            dbid=dbid,
            edb=edb,
            stm=stm,
            edb_path=config.resolve(edb),
            stm_path=None if stm is None else config.resolve(stm),
            side_path=side_path or self.side_path(dbid),
            page_size=config.page_size,
            marks=self.marks,
            cache_pages=config.cache_pages,
            moves_unlogged=config.patch_files,
            repaired=partial(self._page_repaired, edb),
        )

    def _page_repaired(self, edb: str, pgno: int) -> None:
        self.event(399, file=edb, offset=(pgno + 1) * self.config.page_size)

    def side_path(self, dbid: int) -> str:
        """Where pages of a database go before they are written in place."""
        return f"{self.config.resolve(self.config.system_path)}/{self.config.base}fl{dbid}.tmp"

    def _remove_side_files(self) -> None:
        """What a crash left of them has done its service; databases get other numbers now."""
        for dbid in range(1, DATABASES_MAX + 1):
            drop_side_file(self.volume, self.side_path(dbid))

    def restore_side_path(self, sign_db: Signature) -> str:
        """The same for an image of a restore.

        Its name follows from the database alone: a try that was broken off may be followed by one
        with other images beside it.
        """
        system = self.config.resolve(self.config.system_path)
        return f"{system}/{self.config.base}rs{sign_db.random:08x}.tmp"

    def _free_dbid(self) -> int:
        for dbid in range(1, DATABASES_MAX + 1):
            if dbid not in self.databases:
                return dbid
        raise JetError(
            JetErr.TOO_MANY_ATTACHED_DATABASES,
            f"{self.config.name} has {DATABASES_MAX} databases attached already",
        )

    def _check_attachable(self, database: Database) -> None:
        header = database.header
        if header.state == DbState.DIRTY_SHUTDOWN:
            image = header.bkinfo_full_cur.gen_low != 0 and header.bkinfo_full_cur.gen_high == 0
            database.close()
            if image:
                self.event(619, database=database.edb)
            raise JetError(
                JetErr.SOFT_RECOVERY_ON_BACKUP_DATABASE
                if image
                else JetErr.DATABASE_DIRTY_SHUTDOWN,
                f"{database.edb} "
                + ("is a backup image: recover it first" if image else "was not shut down cleanly"),
            )
        problem = streaming_file_problem(
            self.volume, header, database.edb, database.stm, database.stm_path
        )
        if problem is not None:
            database.close()
            raise JetError(JetErr.DATABASE_STREAMING_FILE_MISMATCH, problem)
        for other in self.databases.values():
            if other.header.sign_db == header.sign_db:
                database.close()
                raise JetError(
                    JetErr.DATABASE_SIGN_IN_USE, f"{other.edb} has the signature of {database.edb}"
                )

    def _check_no_backup(self) -> None:
        if self.is_backed_up:
            raise JetError(JetErr.BACKUP_IN_PROGRESS, f"a backup of {self.config.name} runs")

    # -- transactions, background work, checkpoint

    def begin(self) -> Transaction:
        """A new transaction. Raises -510 -519 -529 -614 while nothing can be written."""
        problem = write_problem(self)
        if problem is not None:
            raise problem
        return self.transactions.start()

    def background(self) -> None:
        """One small slice of the lazy writer: a few pages, now and then the checkpoint."""
        config = self.config
        for database in self.databases.values():
            database.flush(config.flush_per_slice)
            database.pages.trim_cache()
        self._slices += 1
        lag = self.log.generation - self.checkpoint.lgpos_checkpoint.generation
        if lag > config.checkpoint_lag:
            for database in self.databases.values():
                database.flush(64)
        if self._slices % 16 == 0 or lag > config.checkpoint_lag:
            self.update_checkpoint()

    def update_checkpoint(self) -> None:
        """Move the checkpoint to the oldest change that only the log has, headers first."""
        oldest = self.log.tail
        for database in self.databases.values():
            if database.streaming is not None:
                database.streaming.sync()
            change = database.pages.oldest_change
            if change is not None:
                oldest = min(oldest, change)
        begin = self.transactions.oldest_begin
        if begin is not None:
            oldest = min(oldest, begin)
        if self.checkpoint.lgpos_checkpoint > position_of(oldest):
            return
        # What the checkpoint passes must not lie in the log's buffer alone: a crash would lose the
        # dbtimes that the headers promise.
        self.log.flush()
        for database in self.databases.values():
            attached = database.header.lgpos_attach.generation
            database.write_header(gen_min_required=max(oldest >> 32, attached))
        self.write_checkpoint(position_of(oldest))
        if self.config.circular:
            self._recycle_logs(oldest >> 32)

    def _recycle_logs(self, generation: int) -> None:
        """Circular logging: logs below the checkpoint go, but none that a backup will copy."""
        needed = self.backup.lowest_log_needed if self.has_backup else None
        end = generation if needed is None else min(generation, needed)
        for closed in self.files.closed_generations():
            if closed < end:
                self.volume.delete(self.files.closed(closed))

    def read_checkpoint(self) -> Checkpoint:
        """The checkpoint as it stands in the file. Raises -533 where both copies are damaged."""
        path = self.checkpoint_path
        file = self.volume.open(path)
        data = file.read(0, file.size)
        file.close()
        try:
            return Checkpoint.unpack(data)
        except FormatError as error:
            raise JetError(JetErr.CHECKPOINT_CORRUPT, f"{path}: {error}") from error

    def write_checkpoint(self, position: LgPos, **changes: Any) -> None:
        """Write the checkpoint file: two copies, one after the other."""
        self.checkpoint = evolve(
            self.checkpoint, lgpos_checkpoint=position, attachments=self.attachments(), **changes
        )
        path, volume = self.checkpoint_path, self.volume
        image = self.checkpoint.pack()
        if not volume.exists(path):
            # The first one appears whole or not at all.
            file = volume.create(f"{path}.new")
            file.write(0, image)
            file.sync()
            file.close()
            volume.rename(f"{path}.new", path)
            volume.sync_directory(path.rpartition("/")[0])
            return
        file = volume.open(path)
        half = len(image) // 2
        for copy in range(2):
            file.write(copy * half, image[copy * half : (copy + 1) * half])
            file.sync()
        file.close()

    @property
    def checkpoint_path(self) -> str:
        """Volume path of ``Exx.chk``."""
        system = self.config.resolve(self.config.system_path)
        return f"{system}/{names.checkpoint_name(self.config.base)}"

    def attachments(self) -> tuple[AttachInfo, ...]:
        """What is attached now, for a log header or the checkpoint file."""
        return tuple(
            AttachInfo(
                dbid=database.dbid,
                dbtime=database.dbtime,
                objid_last=database.header.objid_last,
                lgpos_attach=database.header.lgpos_attach,
                lgpos_consistent=database.header.lgpos_consistent,
                sign_db=database.header.sign_db,
                names=(database.edb,) if database.stm is None else (database.edb, database.stm),
            )
            for database in self.databases.values()
        )

    def rolled(self, generation: int) -> None:
        """The log has a new generation: headers say so before any page changed in it is written."""
        if self.running and self.transactions.open:
            self.marks["transaction_open_across_roll"] += 1
        for database in self.databases.values():
            database.write_header(gen_max_required=generation)
        if too_deep(self, generation):
            self.condition.failure = JetErr.CHECKPOINT_DEPTH_TOO_DEEP
            self.backup.abandon_by_server()

    def refusal(self, err: JetErr, detail: str, *, event: int, **values: object) -> JetError:
        """Write to the event log why something is refused; returns the error to raise."""
        self.event(event, **values)
        return JetError(err, detail)

    def event(self, number: int, **values: object) -> None:
        """Write to the event log; ``values`` fill the row's text."""
        if self._events is None:
            return
        row = EVENTS[number]
        used = {name: values[name] for name in row.fields}
        text = row.render(**used)
        self._events(Event(number, row.source, self.config.name, text, self.clock.now(), used))
