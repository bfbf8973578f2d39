"""A small real server, and a client that can bring about every call of the backup order table.

What the table calls failures by circumstance are provoked for real: damaged pages and logs, missing
logs, logs that cannot be deleted. One prepared volume serves all: a stage starts on a snapshot.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from unittest import mock

from attrs import frozen

from eseback.constants import INFORMATION_STORE, BackupType, InstanceEnd
from eseback.order import BACKUP_START, BackupCall, BackupState, backup_cell
from esesim.engine.instance import Instance
from esesim.engine.logfile import read_log
from esesim.exchange import GroupState, StorageGroup
from esesim.server import SimulatedServer
from esesim.session import Session
from esesim.topology import GroupSpec, ServerSpec, StoreSpec, Topology, WorkloadSpec
from esesim.volume import MemoryVolume
from esesim.windows_path import to_volume_path

SERVER = "EXCHSRV1"
GROUP, OTHER_GROUP = "G1", "G2"
"""Groups: the one that walks are about; one that has a store `other`, which is not mounted."""
MAIN, SPARE, NEW, OTHER = "main", "spare", "new", "other"
"""Stores: always mounted; at first dismounted; never backed up and mounted for a moment only; the
one of the other group."""
STRANGE_HANDLE = 999_999
SMALL_READ = 3 * 4096  # the least that the engine takes as first read of a database
LARGE_READ = 128 * 1024  # reaches every damage that is done here
LAG = 2  # generations that the checkpoint is behind
GENERATIONS_MAX = 24  # walks leave logs behind; beyond this many, a fresh start is quicker


def _group(name: str, *stores: str) -> GroupSpec:
    return GroupSpec(
        name=name,
        log_size=64 * 1024,
        stores=tuple(StoreSpec(name=store) for store in stores),
        truncate_with_dismounted=True,
        workload=WorkloadSpec(messages=2, steps_per_call=0),
    )


TOPOLOGY = Topology(
    server=ServerSpec(name=SERVER, seed=11),
    groups=(_group(GROUP, MAIN, SPARE, NEW), _group(OTHER_GROUP, OTHER)),
)


def shortest_paths() -> dict[BackupState, tuple[tuple[BackupCall, ...], ...]]:
    """All shortest ways from a new context into each state, by calls that succeed."""
    paths: dict[BackupState, tuple[tuple[BackupCall, ...], ...]] = {BACKUP_START: ((),)}
    border = [BACKUP_START]
    while border:
        found: dict[BackupState, list[tuple[BackupCall, ...]]] = {}
        for state in border:
            for call in BackupCall:
                cell = backup_cell(state, call)
                if cell.ok and cell.possible and not cell.misuse and cell.next_state not in paths:
                    ways = [(*path, call) for path in paths[state]]
                    found.setdefault(cell.next_state, []).extend(ways)
        paths.update((state, tuple(ways)) for state, ways in found.items())
        border = list(found)
    return paths


@frozen
class _Prepared:
    """Files to start from, and a log with a record to damage far behind its first page."""

    volume: MemoryVolume
    state: dict[str, GroupState]
    log: str
    record: int


@cache
def _prepared() -> _Prepared:
    """A server that has been backed up fully, and then worked on until a log was full."""
    with SimulatedServer(TOPOLOGY) as server:
        group = server.group(GROUP)
        server.dismount(GROUP, NEW)
        while group.running.log.generation < 4:
            server.run_workload(GROUP, 5)
        _back_up_fully(server, group, MAIN, SPARE)
        _back_up_fully(server, server.group(OTHER_GROUP), OTHER)
        server.dismount(OTHER_GROUP, OTHER)
        kept = group.running.log.generation
        while group.running.log.generation < kept + 2:
            server.run_workload(GROUP, 5)
        server.dismount(GROUP, SPARE)
        state = server.state()
        instance = group.running
    full = read_log(server.volume, instance.files.closed(kept + 1))
    record = next(start for start, _ in full.blocks if start > 2 * SMALL_READ)
    assert isinstance(server.volume, MemoryVolume)
    name = full.path.rpartition("/")[2]
    return _Prepared(server.volume, state, f"{group.spec.log_path}\\{name}", record + 1)


def _back_up_fully(server: SimulatedServer, group: StorageGroup, *stores: str) -> None:
    """Logs that the lagging checkpoint needs stay behind."""
    api = server.session()
    context, _ = api.backup_prepare(SERVER, INFORMATION_STORE)
    api.backup_setup(context, group.id, BackupType.FULL)
    buffer = bytearray(1 << 20)
    for store in stores:
        (opened,) = api.backup_open_file(context, group.store(store).edb)
        while api.backup_read_file(context, opened.handle, buffer):
            pass
        api.backup_close_file(context, opened.handle)
    api.backup_get_log_and_patch_files(context)
    api.backup_truncate_logs(context)
    api.backup_instance_end(context, InstanceEnd.SUCCESS)
    api.backup_end(context)


class Stage:
    """A server whose store `main` is mounted and whose checkpoint lags. May be used for many walks.

    ``worn``: it lost something that later walks need; `renew` before the next one.
    """

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Start again from the prepared files."""
        prepared = _prepared()
        self.volume = prepared.volume.snapshot()
        self.server = SimulatedServer(TOPOLOGY, volume=self.volume, resume=prepared.state)
        self.group: StorageGroup = self.server.group(GROUP)
        self.log = prepared.log
        self.record = prepared.record
        self.worn = False
        self._let_checkpoint_lag()

    @property
    def instance(self) -> Instance:
        """The running engine."""
        return self.group.running

    def mount(self) -> None:
        """Mount the spare store. Where nothing keeps it from being free, it is made free first."""
        if self.group.is_mounted(SPARE):
            self.server.dismount(GROUP, SPARE)
        self.server.mount(GROUP, SPARE)

    def dismount(self) -> None:
        """Dismount a store: the spare one, or `main` where that can only be refused."""
        if self.group.backup_owner is not None:
            self.server.dismount(GROUP, MAIN)
            return
        if not self.group.is_mounted(SPARE):
            self.server.mount(GROUP, SPARE)
        self.server.dismount(GROUP, SPARE)

    def restart(self) -> None:
        """The instance terminates, whatever runs, and starts again."""
        self.group.stop()
        self.server.mount(GROUP, MAIN)
        self._let_checkpoint_lag()

    def tidy(self) -> None:
        """Stores as at first, for the next walk."""
        if self.worn or self.instance.log.generation > GENERATIONS_MAX:
            self.renew()
        elif self.group.is_mounted(SPARE):
            self.server.dismount(GROUP, SPARE)

    def _let_checkpoint_lag(self) -> None:
        for _ in range(LAG):
            self.instance.log.roll()


class Client:
    """A client with one context on a session of its own; its calls are about ``group``."""

    def __init__(self, stage: Stage, group: str = GROUP) -> None:
        self.stage = stage
        self.group = stage.server.group(group)
        self.api: Session = stage.server.session()
        self.context, _ = self.api.backup_prepare(SERVER, INFORMATION_STORE)
        self.handle = STRANGE_HANDLE
        self.logs: tuple[str, ...] = ()  # as last listed

    @property
    def state(self) -> BackupState:
        """Where the server says that the context stands."""
        held = self.api._contexts.get(self.context)
        return BackupState.ENDED if held is None else held.state

    def call(self, call: BackupCall, variant: int = 0) -> None:
        """Bring a call about. Raises what the server raises."""
        VARIANTS[call][variant](self)

    @property
    def store(self) -> StoreSpec:
        """The store whose files are asked for: the first of the group."""
        return self.group.spec.stores[0]

    @property
    def log(self) -> str:
        """A log that is there: the long one, while no truncation has taken it."""
        volume, files = self.stage.volume, self.group.running.files
        if self.group is self.stage.group and volume.exists(to_volume_path(self.stage.log)):
            return self.stage.log
        closed = files.closed_generations()
        path = files.closed(closed[-1]) if closed else files.current
        return f"{self.group.spec.log_path}\\{path.rpartition('/')[2]}"

    def leave(self) -> None:
        """End the context if it is still there."""
        if self.state is not BackupState.ENDED:
            self.api.backup_end(self.context)

    # -- calls with their arguments

    def setup(self, kind: BackupType) -> None:
        """Setup of the one group."""
        self.api.backup_setup(self.context, self.group.id, kind)

    def open(self, name: str) -> None:
        """Open a file and keep its handle."""
        (opened,) = self.api.backup_open_file(self.context, name)
        self.handle = opened.handle

    def read(self, size: int = SMALL_READ) -> None:
        """Read from the file that was opened last."""
        self.api.backup_read_file(self.context, self.handle, bytearray(size))

    def read_strange_handle(self) -> None:
        """Read with a handle that was never given out."""
        self.api.backup_read_file(self.context, STRANGE_HANDLE, bytearray(SMALL_READ))

    def log_list(self) -> None:
        """GetLogAndPatchFiles: there is always a log to copy."""
        self.logs = self.api.backup_get_log_and_patch_files(self.context)
        assert self.logs

    def truncate_list(self) -> None:
        """GetTruncateLogFiles: the list may be empty."""
        self.api.backup_get_truncate_log_files(self.context)

    def dependency_info(self) -> None:
        """GetDependencyInfo: Exchange has none."""
        assert not self.api.backup_get_dependency_info(self.context).annotations

    def end(self, flags: InstanceEnd) -> None:
        """InstanceEnd."""
        self.api.backup_instance_end(self.context, flags)

    def truncate(self) -> None:
        """TruncateLogs; logs that are gone are missing to later walks."""
        files = self.group.running.files
        before = files.closed_generations()
        self.api.backup_truncate_logs(self.context)
        self.stage.worn |= files.closed_generations() != before

    # -- failures by circumstance; what was broken is whole again afterwards

    def setup_refused(self) -> None:
        """A logs-only Setup while a store is mounted that has never been backed up."""
        self.stage.server.mount(GROUP, NEW)
        try:
            self.setup(BackupType.LOGS_ONLY)
        finally:
            self.stage.server.dismount(GROUP, NEW)

    def read_bad_page(self) -> None:
        """A read over a page that fails its checksum."""
        edb = self.store.edb
        self.stage.server.damage_page(edb)
        try:
            self.read(LARGE_READ)
        finally:
            self.stage.server.damage_page(edb)  # twice inverted is as before

    def read_bad_log(self) -> None:
        """A read over a record that was damaged after the log was opened."""
        stage = self.stage
        file = stage.volume.open(stage.instance.config.resolve(stage.log))
        whole = file.read(stage.record, 1)
        file.write(stage.record, bytes([whole[0] ^ 0xFF]))
        try:
            self.read(LARGE_READ)
        finally:
            file.write(stage.record, whole)
            file.close()

    def without_a_log(self, call: Callable[[int], object]) -> None:
        """A list while a log of the range is not there."""
        instance = self.stage.instance
        missing = instance.files.closed(instance.checkpoint.lgpos_checkpoint.generation + 1)
        self.stage.volume.rename(missing, f"{missing}.away")
        try:
            call(self.context)
        finally:
            self.stage.volume.rename(f"{missing}.away", missing)

    def truncate_held_logs(self) -> None:
        """A truncation while another program holds the logs open."""
        # Where a truncation has taken the logs before, somebody has copied the oldest one back.
        (oldest, *_) = self.api.backup_get_truncate_log_files(self.context)
        path = self.stage.instance.config.resolve(oldest)
        if not self.stage.volume.exists(path):
            self.stage.volume.create(path).close()
        held = PermissionError(13, "the file is in use by another process")
        with mock.patch.object(self.stage.volume, "delete", side_effect=held) as delete:
            try:
                self.truncate()
            finally:
                delete.assert_called_once_with(path)


VARIANTS: dict[BackupCall, tuple[Callable[[Client], None], ...]] = {
    BackupCall.SETUP_FULL: (
        lambda c: c.setup(BackupType.FULL),
        lambda c: c.setup(BackupType.FULL_WITH_ALL_LOGS),
    ),
    BackupCall.SETUP_LOGS_ONLY: (lambda c: c.setup(BackupType.LOGS_ONLY),),
    BackupCall.OPEN_DATABASE: (
        lambda c: c.open(c.store.edb),
        lambda c: c.open(c.store.stm.upper()),
    ),
    BackupCall.OPEN_LOG: (lambda c: c.open(c.log),),
    BackupCall.OPEN_UNKNOWN: (
        lambda c: c.open(f"{c.group.spec.log_path}\\nothing.edb"),
        lambda c: c.open(f"{c.group.spec.log_path}\\E00FFFFF.log"),
        lambda c: c.open("\\\\?\\C:\\outside\\..\\any.dat"),
    ),
    BackupCall.READ: (lambda c: c.read(), lambda c: c.read(1)),
    BackupCall.READ_BAD_HANDLE: (lambda c: c.read_strange_handle(),),
    BackupCall.CLOSE: (lambda c: c.api.backup_close_file(c.context, c.handle),),
    BackupCall.CLOSE_BAD_HANDLE: (lambda c: c.api.backup_close_file(c.context, STRANGE_HANDLE),),
    BackupCall.LOG_LIST: (lambda c: c.log_list(),),
    BackupCall.TRUNCATE_LIST: (lambda c: c.truncate_list(),),
    BackupCall.TRUNCATE: (lambda c: c.truncate(),),
    BackupCall.INSTANCE_END_SUCCESS: (lambda c: c.end(InstanceEnd.SUCCESS),),
    BackupCall.INSTANCE_END_ERROR: (lambda c: c.end(InstanceEnd.ERROR),),
    BackupCall.END: (lambda c: c.api.backup_end(c.context),),
    BackupCall.DEPENDENCY_INFO: (lambda c: c.dependency_info(),),
    BackupCall.ARGUMENT_ERROR: (
        lambda c: c.open(""),
        lambda c: c.read(0),
    ),
    BackupCall.CONTROL_ARGUMENT_ERROR: (
        lambda c: c.end(7),  # type: ignore[arg-type]
        lambda c: c.setup(9),  # type: ignore[arg-type]
        lambda c: c.api.backup_setup(c.context, -1, BackupType.FULL),
    ),
    BackupCall.SETUP_REFUSED: (lambda c: c.setup_refused(),),
    BackupCall.READ_DATABASE_FAILED: (lambda c: c.read_bad_page(),),
    BackupCall.READ_LOG_FAILED: (lambda c: c.read_bad_log(),),
    BackupCall.LOG_LIST_FAILED: (
        lambda c: c.without_a_log(c.api.backup_get_log_and_patch_files),
        lambda c: c.without_a_log(c.api.backup_get_truncate_log_files),
    ),
    BackupCall.TRUNCATE_FAILED: (lambda c: c.truncate_held_logs(),),
    BackupCall.STOP_BY_SERVER: (lambda c: c.group.running.backup.stop(),),
    BackupCall.TERMINATE: (lambda c: c.stage.restart(),),
    BackupCall.CONNECTION_LOST: (
        lambda c: c.stage.server.connection_lost(c.context),
        lambda c: c.api.connection_lost(),
    ),
    BackupCall.MOUNT: (lambda c: c.stage.mount(),),
    BackupCall.DISMOUNT: (lambda c: c.stage.dismount(),),
}
"""How each call of the table is brought about; the first way is the usual one."""
