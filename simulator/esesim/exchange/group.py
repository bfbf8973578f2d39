"""A storage group: its stores, and the engine instance that runs while one of them is mounted.

One lock guards everything of a group; groups share nothing, so that they can be worked on by
several threads at once and give the same files as one after the other.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol

from eseback.constants import DatabaseFlags
from eseback.errors import JetErr
from eseback.structures import DatabaseBackupInfo, InstanceBackupInfo

from ..engine.condition import write_problem
from ..engine.errors import JetError
from ..engine.event import Event
from ..engine.instance import Instance
from ..topology import GroupSpec, StoreSpec, Topology
from ..volume import Volume
from ..windows_path import to_volume_path
from .clock import MILLISECONDS_PER_CALL, MILLISECONDS_PER_STEP, LogicalClock
from .configs import instance_config
from .icons import ICONS, INSTANCE_ICON_KINDS
from .identity import database_guid, instance_id
from .instances import InstanceSlots
from .pace import Pace
from .state import GroupState
from .tidying import delete_files, remove_stream


class GroupWorkload(Protocol):
    """What the users of a group do; see :class:`esesim.workload.Workload`."""

    def populate(self, edb: str) -> None:
        """Fill a new database."""

    def step(self) -> None:
        """One small piece of work."""

    def settle(self) -> None:
        """End what is under way."""

    def restart(self, instance: Instance) -> None:
        """Go on with a new instance."""

    def forget(self, edb: str) -> None:
        """A database has other rows than before."""


WorkloadFactory = Callable[[Instance, GroupSpec, random.Random], GroupWorkload]


def _never(_streams: Sequence[str]) -> bool:
    return False


class StorageGroup:
    """One storage group of the server.

    ``backup_owner`` is the context whose backup runs, None without one: a group has at most one
    backup at a time, and calls of other contexts must not reach it. Hold ``lock`` for everything
    but constants; methods take it themselves unless they say otherwise.
    """

    def __init__(
        self,
        position: int,
        topology: Topology,
        volume: Volume,
        slots: InstanceSlots,
        make_workload: WorkloadFactory,
    ) -> None:
        self.spec: GroupSpec = topology.groups[position]
        self.name = self.spec.name
        self.id = instance_id(position)
        self.lock = threading.RLock()
        self.clock = LogicalClock()
        # A stream of its own for each group: what one does must not show in another.
        self.rng = random.Random(f"{topology.server.seed}/{self.name}")
        self.events: list[Event] = []
        self.marks: Counter[str] = Counter()
        self.steps_per_call = self.spec.workload.steps_per_call
        self.pace: Pace | None = None  # in place of steps_per_call, where users keep to a clock
        self.instance: Instance | None = None
        self.backup_owner: object | None = None
        self._topology = topology
        self._volume = volume
        self._slots = slots
        self._make_workload = make_workload
        self._workload: GroupWorkload | None = None
        self._stores = {store.name.casefold(): store for store in self.spec.stores}
        self._mounted: set[str] = set()
        self._overwritable = {store.name for store in self.spec.stores if store.overwritable}
        # Whether files are held for a restore; the server says.
        self.being_restored: Callable[[Sequence[str]], bool] = _never
        self._disk_full = False
        self._disk_failed = False
        self._frozen = False
        self._surrogate = False

    # -- stores

    @property
    def running(self) -> Instance:
        """The running instance. Raises -1029 when no store is mounted."""
        if self.instance is None:
            raise JetError(JetErr.NOT_INITIALIZED, f"no store of {self.name} is mounted")
        return self.instance

    def mount(self, *store_names: str) -> None:
        """Mount stores; files are made and filled for one that never was mounted.

        The first mount starts the instance, with soft recovery after a crash. Raises LookupError
        for an unknown store, JetError as the engine does (-505 while a backup runs), -506 for a
        store that is being restored.
        """
        wanted = [self.store(name) for name in store_names]
        with self.lock:
            wanted = [store for store in wanted if store.name not in self._mounted]
            if not wanted:
                return
            for store in wanted:
                self._check_not_restored(store)
            was_running = self.instance is not None
            instance = self._started()
            created = []
            try:
                self._check_writable(instance)
                for store in wanted:
                    if self._volume.exists(to_volume_path(store.edb)):
                        instance.attach(store.edb, store.stm or None)
                    else:
                        instance.create_database(store.edb, store.stm or None, size=store.size)
                        created.append(store.edb)
                    self._mounted.add(store.name)
            finally:
                # Also when one of several failed: the others are mounted and in use.
                self._note_mounts()
                if not was_running and self.instance is not None:
                    self._resume_work(self.instance)
            for edb in created:
                self._work().populate(edb)

    def _check_not_restored(self, store: StoreSpec) -> None:
        # ASSUMED(mount-during-restore): a store that a restore has added is not mounted before that
        # restore has succeeded or its context is closed, JET_errRestoreInProgress.
        if self.being_restored(store.streams):
            raise JetError(JetErr.RESTORE_IN_PROGRESS, f"{store.name} is being restored")

    def _check_writable(self, instance: Instance) -> None:
        problem = write_problem(instance)
        # What runs out later is told to those who write; a mount needs but a few records.
        if problem is not None and problem.err != JetErr.LOG_SEQUENCE_END:
            raise problem

    def dismount(self, store_name: str) -> None:
        """Dismount a store; with the last one the instance terminates.

        Raises LookupError for an unknown store, JetError as the engine does (-505 in a backup).
        """
        store = self.store(store_name)
        with self.lock:
            if store.name not in self._mounted:
                return
            instance = self.running
            if not instance.is_backed_up:
                self._work().settle()
            instance.detach(store.edb)
            self._mounted.discard(store.name)
            self._note_mounts()

    def stop(self) -> None:
        """Dismount everything; a running backup is broken off (event 226)."""
        with self.lock:
            instance = self.instance
            if instance is not None:
                self._work().settle()
                instance.terminate(stop_backup=True)
                self._mounted.clear()
                self._note_mounts()
            self.backup_owner = None

    def destroy_store(self, store_name: str) -> None:
        """Delete the files of a dismounted store.

        Raises LookupError for an unknown store, JetError -1202 while it is mounted, -506 while it
        is being restored.
        """
        store = self.store(store_name)
        with self.lock:
            if store.name in self._mounted:
                raise JetError(JetErr.DATABASE_IN_USE, f"{store.name} is mounted; dismount it")
            self._check_not_restored(store)
            delete_files(self._volume, store.streams)

    def destroy(self) -> None:
        """A disaster: dismount all stores, delete databases, logs and checkpoint.

        Raises JetError -506 while a store is being restored.
        """
        with self.lock:
            for store in self.spec.stores:
                self._check_not_restored(store)
            self.stop()
            for store in self.spec.stores:
                delete_files(self._volume, store.streams)
            remove_stream(self._volume, self.spec.base, self.spec.log_path, self.spec.system_path)

    def set_log_disk(self, *, full: bool | None = None, failed: bool | None = None) -> None:
        """What happens to the disk with the logs: it is full, it cannot be written; None: as is."""
        with self.lock:
            self._disk_full = self._disk_full if full is None else full
            self._disk_failed = self._disk_failed if failed is None else failed
            self._note_condition()

    def set_frozen(self, frozen: bool) -> None:
        """A snapshot freezes the group, its users wait; or it goes on."""
        with self.lock:
            self._frozen = frozen
            self._note_condition()

    def set_surrogate(self, running: bool) -> None:
        """Another computer begins, or ends, a backup of the group's replica."""
        with self.lock:
            self._surrogate = running
            self._note_condition()

    def _note_condition(self) -> None:
        if self.instance is not None:
            condition = self.instance.condition
            condition.log_disk_full, condition.log_write_failed = self._disk_full, self._disk_failed
            condition.frozen, condition.surrogate = self._frozen, self._surrogate

    def dismount_if_failed(self) -> None:
        """Dismount everything once the engine has given up (-614). The caller holds the lock.

        The engine has broken off the backup already (event 226).
        """
        instance = self.instance
        if instance is not None and instance.condition.failure is not None:
            self.stop()

    def die(self) -> None:
        """The process died: nothing runs any more, and nothing was written on the way out."""
        with self.lock:
            self.instance = None
            self.backup_owner = None
            self._mounted.clear()
            self._slots.release(self.name)

    def state(self) -> GroupState:
        """What is to be remembered beyond the files."""
        with self.lock:
            return GroupState(
                self.clock.milliseconds, self.rng.getstate(), self.mounted, self.overwritable
            )

    def resume(self, state: GroupState) -> None:
        """Go on as remembered; before anything is mounted."""
        with self.lock:
            self.clock.milliseconds = state.milliseconds
            self.rng.setstate(state.random)
            if state.overwritable is not None:
                self._overwritable = {self.store(name).name for name in state.overwritable}

    @property
    def mounted(self) -> tuple[str, ...]:
        """The names of the mounted stores, in the order of the topology."""
        return tuple(store.name for store in self.spec.stores if store.name in self._mounted)

    def is_mounted(self, store_name: str) -> bool:
        """Whether the store is mounted. Raises LookupError for an unknown one."""
        return self.store(store_name).name in self._mounted

    @property
    def overwritable(self) -> tuple[str, ...]:
        """The stores that a restore may overwrite, in the order of the topology."""
        return tuple(store.name for store in self.spec.stores if store.name in self._overwritable)

    def is_overwritable(self, store_name: str) -> bool:
        """Whether a restore may overwrite the store. Raises LookupError for an unknown one."""
        return self.store(store_name).name in self._overwritable

    def set_overwritable(self, store_name: str, value: bool) -> None:
        """Allow or forbid restores to overwrite a store. Raises LookupError for an unknown one."""
        name = self.store(store_name).name
        with self.lock:
            if value:
                self._overwritable.add(name)
            else:
                self._overwritable.discard(name)

    def store(self, name: str) -> StoreSpec:
        """A store by its display name, in any case. Raises LookupError naming the known ones."""
        try:
            return self._stores[name.casefold()]
        except KeyError:
            known = ", ".join(repr(store.name) for store in self.spec.stores) or "none"
            raise LookupError(f"no store {name!r} in {self.name!r}; it has {known}") from None

    def _started(self) -> Instance:
        if self.instance is None:
            self._slots.reserve(self.name, storage_group=not self.spec.recovery)
            instance = Instance(
                self._volume,
                instance_config(self._topology, self.spec),
                self.clock,
                self.rng,
                events=self.events.append,
                marks=self.marks,
            )
            try:
                instance.start()
            except BaseException:
                self._slots.release(self.name)
                raise
            self.instance = instance
            self._note_condition()
        return self.instance

    def forget_mail(self, store: StoreSpec) -> None:
        """The files of a store were replaced: its users look anew at what is in it."""
        with self.lock:
            if self._workload is not None:
                self._workload.forget(store.edb)

    def _resume_work(self, instance: Instance) -> None:
        if self._workload is None:
            self._workload = self._make_workload(instance, self.spec, self.rng)
        else:
            self._workload.restart(instance)

    def _work(self) -> GroupWorkload:
        assert self._workload is not None, "made with the first instance"
        return self._workload

    def _note_mounts(self) -> None:
        """Stores were mounted or dismounted: an instance without any does not run."""
        instance = self.instance
        if instance is None:
            return
        dismounted = [s.name for s in self.spec.stores if s.name not in self._mounted]
        if self._mounted and dismounted and not self.spec.truncate_with_dismounted:
            # ASSUMED(no-truncation-with-dismounted-store): the documentation of the engine names
            # detached databases as the case in which its caller skips truncation; so Exchange does
            # here, unless the topology's truncate_with_dismounted says otherwise.
            instance.backup.truncation_veto = f"{dismounted[0]} is dismounted"
        elif instance.has_backup:
            instance.backup.truncation_veto = None
        if not self._mounted:
            if instance.running:
                instance.terminate()
            self.instance = None
            self._slots.release(self.name)

    # -- what calls do

    def enter_call(self) -> None:
        """A call of a backup arrives: time passes, users work. The caller holds the lock."""
        self.clock.milliseconds += MILLISECONDS_PER_CALL
        if self.steps_per_call or self.pace is not None:
            self.work()

    def work(self) -> None:
        """What users do at the boundary of a call. The caller holds the lock."""
        steps = self.steps_per_call if self.pace is None else self.pace.due()
        if steps:
            self.run_workload(steps)

    def catch_up(self) -> None:
        """The steps that users owe by the clock, for a call that belongs to no backup."""
        if self.pace is not None:
            with self.lock:
                self.work()

    def set_pace(self, pace: Pace | None) -> None:
        """Let users keep to a clock, or (None) take so many steps at each call."""
        with self.lock:
            self.pace = pace

    def run_workload(self, steps: int) -> None:
        """Let the users of the group take ``steps`` steps; nothing while no store is mounted.

        The recovery storage group has no users.
        """
        with self.lock:
            if self.instance is None or self.spec.recovery or self._frozen:
                return
            work = self._work()
            for _ in range(steps):
                self.clock.milliseconds += MILLISECONDS_PER_STEP
                work.step()
            self.dismount_if_failed()

    def describe(self) -> InstanceBackupInfo | None:
        """What a client sees of the group; None while it has no running instance."""
        with self.lock:
            if self.instance is None:
                return None
            icons = self._topology.server.icons
            # ASSUMED(dismounted-store-listed): a dismounted store beside mounted ones is listed,
            # without the flag that says mounted.
            return InstanceBackupInfo(
                instance_id=self.id,
                instance_name=self.name,
                icon_index=INSTANCE_ICON_KINDS.index("group") if icons else 0,
                databases=tuple(self._describe_store(store) for store in self.spec.stores),
                icons=tuple(ICONS[kind] for kind in INSTANCE_ICON_KINDS) if icons else (),
            )

    def _describe_store(self, store: StoreSpec) -> DatabaseBackupInfo:
        server = self._topology.server
        return DatabaseBackupInfo(
            display_name=store.name,
            streams=store.streams,
            guid=database_guid(server.seed, server.name, self.name, store.name),
            icon_index=INSTANCE_ICON_KINDS.index(store.icon) if server.icons else 0,
            flags=DatabaseFlags.MOUNTED if store.name in self._mounted else DatabaseFlags.UNMOUNTED,
        )
