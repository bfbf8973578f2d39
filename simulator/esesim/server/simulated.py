"""A simulated server in this process: what tests, the harness and the command line start."""

from __future__ import annotations

import random
import weakref
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

from attrs import evolve

from eseback.errors import EseBackupError

from ..engine.errors import JetError
from ..engine.event import Event
from ..engine.inspect import database_rows
from ..engine.instance import Instance
from ..exchange import GroupState, InformationStore, StorageGroup
from ..exchange.damage import damage_log, damage_page, has_file
from ..journal import Change, CommitJournal
from ..session import Session
from ..topology import GroupSpec, Topology, completed
from ..volume import CrashReport, MemoryVolume, Volume
from ..workload import Workload


class ServerStartError(ValueError):
    """A server cannot start on the files it found; the message gives group and JET error."""


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
        self._store = InformationStore(self.topology, self.volume, self._make_workload)
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
        session = Session(self._store, remote=remote)
        self._sessions.add(session)
        return session

    def connection_lost(self, context: int) -> None:
        """The client that holds this context is gone; its backup ends (event 215)."""
        for session in list(self._sessions):
            if session.holds(context):
                session.connection_lost(context)

    # -- administration

    def run_workload(self, group: str, steps: int) -> None:
        """Let the users of a group take ``steps`` steps. Raises LookupError for no such group."""
        self.group(group).run_workload(steps)

    def mount(self, group: str, store: str) -> None:
        """Mount a store. Raises EseBackupError (-505 while a backup runs), LookupError."""
        try:
            self._start(self.group(group), [store])
        except JetError as error:
            raise EseBackupError.from_jet(error.err, "mount", error.detail) from error

    def dismount(self, group: str, store: str) -> None:
        """Dismount a store. Raises EseBackupError (-505 while a backup runs), LookupError."""
        try:
            self.group(group).dismount(store)
        except JetError as error:
            raise EseBackupError.from_jet(error.err, "dismount", error.detail) from error

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

    def crash(self, seed: int = 0) -> CrashReport:
        """Lose power, start again: what was not synced is lost or torn, as ``seed`` decides.

        Contexts end without a word; the stores that were mounted come back through soft recovery.
        Raises TypeError on a volume that cannot crash.
        """
        if not isinstance(self.volume, MemoryVolume):
            raise TypeError("only a MemoryVolume can lose power")
        mounted = [(group, group.mounted) for group in self.groups]
        for group in self.groups:
            group.die()
        for session in list(self._sessions):
            session.connection_lost()
        report = self.volume.crash(random.Random(seed))
        for group, stores in mounted:
            self._start(group, stores)
        return report

    def damage_page(self, file_name: str, page: int | None = None) -> None:
        """Make a page of a mounted database (Windows path) fail its checksum.

        None chooses a page that the workload does not read. Raises LookupError, ValueError.
        """
        damage_page(self._group_of(file_name), self.volume, file_name, page)

    def damage_log(self, file_name: str) -> None:
        """Make a record of a log (Windows path) fail its checksum. Raises LookupError."""
        damage_log(self._group_of(file_name), self.volume, file_name)

    def close(self) -> None:
        """Shut down: backups are broken off, stores dismounted, databases clean."""
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
            group.mount(*stores)
            known = self.journal.databases()
            databases = () if group.instance is None else group.instance.databases.values()
            for database in databases:
                if database.edb.casefold() not in known:
                    changes = (
                        Change(table, key, row)
                        for table, rows in database_rows(database).items()
                        for key, row in rows.items()
                    )
                    self.journal.record(database.edb, 0, changes)

    def _make_workload(self, instance: Instance, spec: GroupSpec, rng: random.Random) -> Workload:
        return Workload(instance, spec.workload, rng, self.journal)

    def _group_of(self, file_name: str) -> StorageGroup:
        for group in self.groups:
            if has_file(group, file_name):
                return group
        raise LookupError(f"{file_name} belongs to no storage group")
