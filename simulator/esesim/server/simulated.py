"""A simulated server in this process: what tests, the harness and the command line start."""

from __future__ import annotations

import random
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Self

from attrs import evolve

from eseback.errors import EseBackupError

from ..engine.errors import JetError
from ..engine.event import Event
from ..engine.inspect import database_rows, read_rows
from ..engine.instance import Instance
from ..exchange import GroupState, InformationStore, StorageGroup
from ..exchange.damage import damage_closed_file, damage_log, damage_page
from ..exchange.pace import Pace
from ..exchange.serverfiles import ServerFiles
from ..journal import CommitJournal
from ..topology import PROFILES, GroupSpec, StoreSpec, Topology, completed
from ..volume import CrashReport, MemoryVolume, Volume
from ..windows_path import to_volume_path
from ..workload import Workload

if TYPE_CHECKING:
    from ..exchange.restore import Restore
    from ..session import Session


class ServerStartError(ValueError):
    """A server cannot start on the files it found; the message gives group and JET error."""


@contextmanager
def _errors_of(call: str) -> Iterator[None]:
    """JET errors of an administrator's call, as a client's would be told."""
    try:
        yield
    except JetError as error:
        raise EseBackupError.from_jet(error.err, call, error.detail) from error


class SimulatedServer:
    """An Exchange server: starts at once, ends with :meth:`close` (or a ``with`` block).

    ``volume`` holds its files (a new MemoryVolume by default; files found on it are used as they
    are), ``seed`` replaces the topology's, ``resume`` is what :meth:`state` gave when those files
    were left. ``journal`` records what users committed: the truth to hold backups against.
    Everything may be called from any thread.

    Raises TopologyError for a topology that cannot be used, ServerStartError for files.
    """

    def __init__(
        self,
        topology: Topology,
        *,
        volume: Volume | None = None,
        seed: int | None = None,
        resume: Mapping[str, GroupState] | None = None,
    ) -> None:
        if seed is not None:
            topology = evolve(topology, server=evolve(topology.server, seed=seed))
        self.topology = completed(topology)
        self.volume: Volume = MemoryVolume() if volume is None else volume
        self.journal = CommitJournal()
        self._store = InformationStore(
            self.topology,
            self.volume,
            self._make_workload,
            mount=self._start,
            restored=self._note_restored,
        )
        self.files = ServerFiles(self.volume, self._store.owners)
        """File-level access to the server's disks, by Windows paths."""
        self._sessions: weakref.WeakSet[Session] = weakref.WeakSet()
        for group in self.groups:
            stores: Sequence[str] = [s.name for s in group.spec.stores if s.mounted]
            state = (resume or {}).get(group.name)
            if state is not None:
                group.resume(state)
                stores = state.mounted
            try:
                self._start(group, stores)
            except JetError as error:
                raise ServerStartError(f"{group.name} cannot start: {error}") from error
            group.set_log_disk(full=group.spec.log_disk_full, failed=group.spec.log_write_failed)

    @property
    def groups(self) -> tuple[StorageGroup, ...]:
        """The storage groups, in the order of the topology."""
        return self._store.groups

    @property
    def events(self) -> tuple[Event, ...]:
        """The event log, group by group, each in order."""
        return self._store.events

    def state(self) -> dict[str, GroupState]:
        """What is to be remembered of each group beyond its files, by name."""
        return {group.name: group.state() for group in self.groups}

    def group(self, name: str) -> StorageGroup:
        """A storage group by its name. Raises LookupError naming the known ones."""
        return self._store.group(name)

    # -- clients

    def session(self, *, remote: bool = False) -> Session:
        """A client's connection, with contexts of its own; ``remote``: from another computer."""
        from ..session import Session  # with the order of the calls: a server is up without

        session = Session(self._store, remote=remote)
        self._sessions.add(session)
        return session

    def connection_lost(self, context: int) -> None:
        """The client that holds this context is gone; its backup ends (event 215)."""
        for session in list(self._sessions):
            if session.holds(context):
                session.connection_lost(context)

    @property
    def sessions(self) -> tuple[Session, ...]:
        """The sessions of all clients that are connected now."""
        return tuple(self._sessions)

    def disconnect_clients(self) -> None:
        """All clients are gone: contexts end, backups are broken off (event 215)."""
        for session in self.sessions:
            session.connection_lost()

    # -- administration

    def run_workload(self, group: str, steps: int) -> None:
        """Let the users of a group take ``steps`` steps. Raises LookupError for no such group."""
        self.group(group).run_workload(steps)

    def set_rate(self, steps_per_second: float | None, clock: Callable[[], float]) -> None:
        """Let the users of each group take so many steps a second by ``clock`` (in seconds).

        None: so many at each call as the topology says. Raises ValueError for a rate below 0.
        """
        for group in self.groups:
            group.set_pace(None if steps_per_second is None else Pace(steps_per_second, clock))

    def catch_up(self) -> None:
        """Let the users of every group take a slice of the steps that they owe by the clock."""
        for group in self.groups:
            group.catch_up()

    @property
    def instances(self) -> tuple[int, int]:
        """How many instances of the engine there are, and how many there may be."""
        return self._store.slots.in_use, PROFILES[self.topology.server.profile].instances_max

    def mount(self, group: str, store: str) -> None:
        """Mount a store. Raises LookupError, EseBackupError (-505 while a backup runs, -506 while
        the store is being restored).
        """
        found = self.group(group)
        self._store.restores.settle(found)
        with _errors_of("mount"):
            self._start(found, [store])

    def dismount(self, group: str, store: str) -> None:
        """Dismount a store. Raises EseBackupError (-505 while a backup runs), LookupError."""
        with _errors_of("dismount"):
            self.group(group).dismount(store)

    def set_overwritable(self, group: str, store: str, value: bool) -> None:
        """Set or take away "this database can be overwritten by a restore". Raises LookupError."""
        self.group(group).set_overwritable(store, value)

    def destroy_store(self, group: str, store: str) -> None:
        """Delete the files of a dismounted store.

        Raises LookupError, EseBackupError (-1202 mounted, -506 being restored).
        """
        with _errors_of("destroy_store"):
            self.group(group).destroy_store(store)

    def destroy_group(self, group: str) -> None:
        """A disaster: a group's stores are dismounted, databases, logs and checkpoint are deleted.

        Raises LookupError, EseBackupError (-506 while a store is being restored).
        """
        with _errors_of("destroy_group"):
            self.group(group).destroy()

    @property
    def restores(self) -> tuple[Restore, ...]:
        """The restores that a context stands for now, in the order in which they were opened."""
        return tuple(self._store.restores.in_progress())

    def finish_recoveries(self) -> None:
        """Carry recoveries that no client waits for to their end."""
        self._store.restores.settle()

    def stop_backup(self, group: str) -> None:
        """JetStopBackup: the client of a running backup is told at its next call (-801)."""
        found = self.group(group)
        with found.lock:
            if found.instance is not None:
                found.instance.backup.stop()

    def terminate(self, group: str) -> None:
        """Dismount all stores of a group, whatever runs: a backup is broken off (event 226)."""
        self.group(group).stop()

    def set_log_disk_full(self, group: str, full: bool) -> None:
        """Fill up the disk with the logs of a group, or make room: -529 while it is full."""
        self.group(group).set_log_disk(full=full)

    def set_log_write_failed(self, group: str, failed: bool) -> None:
        """Break the disk with the logs of a group, or mend it: -510 while it is broken."""
        self.group(group).set_log_disk(failed=failed)

    def prepare_snapshot(self) -> int:
        """JetOSSnapshotPrepare: the number of a new snapshot. Raises EseBackupError (-2401)."""
        with _errors_of("prepare_snapshot"):
            return self._store.snapshots.prepare()

    def freeze_snapshot(self, snapshot: int) -> None:
        """JetOSSnapshotFreeze: users wait, no backup begins.

        Raises EseBackupError: -2401 out of order, -2403 while a backup or recovery runs, -2404.
        """
        with _errors_of("freeze_snapshot"):
            self._store.snapshots.freeze(snapshot)

    def thaw_snapshot(self, snapshot: int) -> None:
        """JetOSSnapshotThaw. Raises EseBackupError: -2401, -2402 when it took too long, -2404."""
        with _errors_of("thaw_snapshot"):
            self._store.snapshots.thaw(snapshot)

    def set_surrogate_backup(self, group: str, running: bool) -> None:
        """Another computer backs up the replica of a group, or has ended: -617 meanwhile.

        Raises LookupError, ValueError for a version without replicas.
        """
        profile = PROFILES[self.topology.server.profile]
        if not profile.replicas:
            raise ValueError(f"{profile.title} has no replicas that another computer could back up")
        self.group(group).set_surrogate(running)

    def crash(self, seed: int = 0) -> CrashReport:
        """Lose power, start again: what was not synced is lost or torn, as ``seed`` decides.

        Contexts end without a word; the stores that were mounted come back through soft recovery.
        Raises TypeError on a volume that cannot crash.
        """
        if not isinstance(self.volume, MemoryVolume):
            raise TypeError("only a MemoryVolume can lose power")
        mounted = [(group, group.mounted) for group in self.groups]
        self._store.restores.die()
        self._store.snapshots.die()
        for group in self.groups:
            group.die()
        self.disconnect_clients()
        report = self.volume.crash(random.Random(seed))
        for group, stores in mounted:
            self._start(group, stores)
        return report

    def damage_page(self, file_name: str, page: int | None = None) -> None:
        """Make a page of a database (Windows path) fail its checksum: mounted, or being restored.

        None chooses a page that the workload does not read. Raises LookupError, ValueError.
        """
        place = self._store.owners.by_path(file_name)
        if place is not None and place.group.is_mounted(place.store.name):
            damage_page(place.group, self.volume, file_name, page)
        elif self._store.restores.claimed([file_name]):
            damage_closed_file(self.volume, file_name, page, self._store.page_size)
        else:
            raise LookupError(f"{file_name} is no file of a mounted store, nor being restored")

    def damage_log(self, file_name: str) -> None:
        """Make a record of a log (Windows path) fail its checksum: of a group, or of a restore.

        Raises LookupError.
        """
        group = self._store.owners.group_of_file(file_name)
        if group is not None:
            with group.lock:
                damage_log(self.volume, file_name)
        elif self._store.restores.has_file(file_name):
            damage_log(self.volume, file_name)
        else:
            raise LookupError(f"{file_name} belongs to no storage group and to no restore")

    def close(self) -> None:
        """Shut down: backups are broken off, stores dismounted, databases clean."""
        self._store.restores.settle()
        for group in self.groups:
            group.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # -- the parts

    def _start(self, group: StorageGroup, stores: Sequence[str]) -> None:
        """Mount stores. Databases found on the volume enter the journal as they are."""
        with group.lock:
            for store in (group.store(name) for name in stores):
                if not self.volume.exists(to_volume_path(store.edb)):
                    # It will be made anew: what was in it before has gone with its files.
                    self.journal.forget(store.edb)
            group.mount(*stores)
            known = self.journal.databases()
            databases = () if group.instance is None else group.instance.databases.values()
            for database in databases:
                if database.edb.casefold() not in known:
                    self.journal.restart(database.edb, database_rows(database))

    def _note_restored(self, group: StorageGroup, store: StoreSpec) -> None:
        """A store has other files than before: its truth starts anew with what is in them."""
        stm = to_volume_path(store.stm) if store.stm else None
        self.journal.restart(store.edb, read_rows(self.volume, to_volume_path(store.edb), stm))
        group.forget_mail(store)

    def _make_workload(self, instance: Instance, spec: GroupSpec, rng: random.Random) -> Workload:
        return Workload(instance, spec.workload, rng, self.journal)
