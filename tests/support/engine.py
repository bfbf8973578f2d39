"""A storage group's engine for tests: instance, workload, backups and their recovery.

Nothing here judges: it builds situations. Files of a backup go into a volume of their own, under
the names they had, so that a recovery needs no map of names.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence

from attrs import define, evolve, field, frozen

from eseback.constants import BackupType
from eseback.formats.names import parse_log_name
from esesim.engine.config import InstanceConfig
from esesim.engine.database import Database
from esesim.engine.event import Event
from esesim.engine.hardrecovery import RecoveryReport, RestoredDatabase, hard_recover
from esesim.engine.inspect import Rows, read_rows
from esesim.engine.instance import Instance
from esesim.journal import CommitJournal
from esesim.topology import WorkloadSpec
from esesim.volume import MemoryVolume, Volume
from esesim.windows_path import to_volume_path
from esesim.workload import Workload

FOLDER = "C:\\mdbdata"
CONFIG = InstanceConfig(
    name="First Storage Group",
    base="E00",
    system_path=FOLDER,
    log_path=FOLDER,
    log_file_size=64 * 1024,
    initial_pages=150,
    resolve=to_volume_path,
)
SPEC = WorkloadSpec(messages=40, rollback_percent=15, long_percent=10)


class StepClock:
    """A second passes whenever somebody looks; sleeping is noted."""

    def __init__(self, start: int = 1_100_000_000) -> None:
        self.time = start
        self.slept: list[float] = []

    def now(self) -> int:
        self.time += 1
        return self.time

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


@frozen
class SavedFile:
    """A file as a backup delivered it: Windows path and bytes."""

    path: str
    data: bytes


@frozen
class SavedSet:
    """What one backup delivered."""

    databases: tuple[SavedFile, ...]
    logs: tuple[SavedFile, ...]

    @property
    def generations(self) -> list[int]:
        """The generations of the logs."""
        found = [parse_log_name(log.path.rpartition("\\")[2], "E00") for log in self.logs]
        return [generation for generation in found if generation is not None]


@define
class Rig:
    """An instance with databases under a workload. ``work`` runs between any two calls."""

    volume: Volume = field(factory=MemoryVolume)
    seed: int = 1
    config: InstanceConfig = CONFIG
    spec: WorkloadSpec = SPEC
    names: Sequence[str] = ("priv1",)
    steps: int = 0
    # Work per backup is bounded: every log that is read makes new ones meanwhile.
    steps_per_backup_max: int = 150
    marks: Counter[str] = field(factory=Counter)
    events: list[Event] = field(factory=list)
    journal: CommitJournal = field(factory=CommitJournal)
    clock: StepClock = field(factory=StepClock)
    instance: Instance = field(init=False)
    workload: Workload = field(init=False)
    _budget: int = field(init=False, default=0)

    def __attrs_post_init__(self) -> None:
        self.instance = self.boot()
        rng = random.Random(f"{self.seed}/workload")
        self.workload = Workload(self.instance, self.spec, rng, self.journal)

    def boot(self) -> Instance:
        """Start an instance on the volume (soft recovery included)."""
        self.instance = Instance(
            self.volume,
            self.config,
            self.clock,
            random.Random(self.seed),
            events=self.events.append,
            marks=self.marks,
        )
        self.instance.start()
        return self.instance

    def edb(self, name: str = "priv1") -> str:
        """Windows path of a database."""
        return f"{FOLDER}\\{name}.edb"

    def stm(self, name: str = "priv1") -> str | None:
        """Windows path of its streaming file."""
        return f"{FOLDER}\\{name}.stm" if self.config.has_streaming else None

    def create(self) -> Rig:
        """Make and fill the databases."""
        for name in self.names:
            self.instance.create_database(self.edb(name), self.stm(name))
            self.workload.populate(self.edb(name))
        return self

    def attach(self) -> None:
        """Attach the databases after a restart and let the workload go on."""
        for name in self.names:
            self.instance.attach(self.edb(name), self.stm(name))
        self.workload.restart(self.instance)

    def database(self, name: str = "priv1") -> Database:
        """An attached database."""
        found = self.instance.find(self.edb(name))
        assert found is not None
        return found

    def work(self, steps: int | None = None) -> None:
        """Run the workload: ``steps`` of it, or what is due between two calls of a backup."""
        if steps is None:
            steps = min(self.steps, self._budget)
            self._budget -= steps
        for _ in range(steps):
            self.workload.step()

    def checkpoint_now(self) -> None:
        """Write everything that waits and move the checkpoint as far as it goes."""
        for database in self.instance.databases.values():
            database.flush()
        self.instance.update_checkpoint()

    # -- backup

    def read_file(self, path: str, chunk: int = 65536) -> SavedFile:
        """Open, read to the end, close, with the workload between any two calls."""
        backup = self.instance.backup
        handle, size = backup.open_file(path)
        data = bytearray()
        buffer = memoryview(bytearray(chunk))
        while True:
            self.work()
            count = backup.read_file(handle, buffer)
            if not count:
                break
            data += buffer[:count]
        assert len(data) == size, f"{path}: {len(data)} bytes of {size}"
        backup.close_file(handle)
        self.work()
        return SavedFile(path, bytes(data))

    def back_up(
        self,
        kind: BackupType = BackupType.FULL,
        *,
        truncate: bool = True,
        names: Sequence[str] | None = None,
        chunk: int = 65536,
        before_list: Callable[[], None] | None = None,
    ) -> SavedSet:
        """One backup by the book; ``names`` are the databases of a partial one."""
        self._budget = self.steps_per_backup_max
        backup = self.instance.backup
        backup.begin(kind)
        self.work()
        databases: list[SavedFile] = []
        if kind != BackupType.LOGS_ONLY:
            for name in self.names if names is None else names:
                for path in (self.edb(name), self.stm(name)):
                    if path is not None:
                        databases.append(self.read_file(path, chunk))
        if before_list is not None:
            before_list()
        return self.finish(databases, truncate=truncate, chunk=chunk)

    def finish(
        self, databases: Sequence[SavedFile], *, truncate: bool = True, chunk: int = 65536
    ) -> SavedSet:
        """The second half of a backup whose databases have been read: logs, truncation, end."""
        backup = self.instance.backup
        listed = backup.log_list()
        self.work()
        logs = [self.read_file(path, chunk) for path in listed]
        if truncate:
            backup.truncate()
            self.work()
        backup.end(True)
        return SavedSet(tuple(databases), tuple(logs))

    # -- recovery

    def lay_out(self, sets: Sequence[SavedSet], volume: Volume | None = None) -> Volume:
        """The files of sets in a volume of their own; of two with one name the later one stays."""
        volume = MemoryVolume() if volume is None else volume
        volume.make_directory(to_volume_path(FOLDER))
        for saved in sets:
            for item in (*saved.databases, *saved.logs):
                file = volume.create(to_volume_path(item.path))
                file.write(0, item.data)
                file.sync()
                file.close()
        return volume

    def recover(
        self,
        sets: Sequence[SavedSet],
        *,
        names: Sequence[str] | None = None,
        volume: Volume | None = None,
    ) -> Recovered:
        """Hard recovery of a full set and the sets after it, in a volume of its own.

        ``volume`` is one that :meth:`lay_out` has filled, for tests that change it before.
        """
        if volume is None:
            volume = self.lay_out(sets)
        chosen = self.names if names is None else names
        report = hard_recover(
            volume,
            [RestoredDatabase(self.edb(n), self.edb(n), self.stm(n)) for n in chosen],
            config=evolve(self.config, name="Restore"),
            gen_low=sets[0].generations[0],
            gen_high=sets[-1].generations[-1],
            clock=StepClock(),
        )
        return Recovered(volume, report, self)


@frozen
class Recovered:
    """The outcome of a recovery."""

    volume: Volume
    report: RecoveryReport
    rig: Rig

    def paths(self, name: str = "priv1") -> tuple[str, str | None]:
        """Volume paths of a database and its streaming file."""
        stm = self.rig.stm(name)
        return to_volume_path(self.rig.edb(name)), None if stm is None else to_volume_path(stm)

    def rows(self, name: str = "priv1") -> Rows:
        """What is in a recovered database."""
        return read_rows(self.volume, *self.paths(name))

    def expected(self, name: str = "priv1") -> Rows:
        """What had been committed when the last log was closed."""
        return self.rig.journal.rows(self.rig.edb(name), self.report.generation_last)
