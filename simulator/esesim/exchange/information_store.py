"""The server process (store.exe): all storage groups of one Exchange server, and its services."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence

from eseback.constants import INFORMATION_STORE

from ..engine.event import Event
from ..topology import PROFILES, StoreSpec, Topology, quirks_of
from ..volume import Volume
from .group import StorageGroup, WorkloadFactory
from .instances import InstanceSlots
from .owners import FileOwners
from .restores import Restores
from .snapshots import Snapshots

Mounting = Callable[[StorageGroup, Sequence[str]], None]
RestoredStore = Callable[[StorageGroup, StoreSpec], None]


def _mount(group: StorageGroup, stores: Sequence[str]) -> None:
    group.mount(*stores)


def _nobody_asks(_group: StorageGroup, _store: StoreSpec) -> None:
    """Nobody keeps a record of what is in the stores."""


class InformationStore:
    """Everything that runs on one server. ``topology`` is complete (see topology.completed).

    ``mount`` mounts stores after a restore, ``restored`` is told of each store whose files are new
    (with its group's lock held, before it is mounted).
    """

    def __init__(
        self,
        topology: Topology,
        volume: Volume,
        make_workload: WorkloadFactory,
        *,
        mount: Mounting = _mount,
        restored: RestoredStore = _nobody_asks,
    ) -> None:
        profile = PROFILES[topology.server.profile]
        self.topology = topology
        self.volume = volume
        self.quirks = quirks_of(topology.server)
        self.page_size = profile.page_size
        self.slots = InstanceSlots(profile.instances_max, profile.groups_max)
        self.groups: tuple[StorageGroup, ...] = tuple(
            StorageGroup(position, topology, volume, self.slots, make_workload)
            for position in range(len(topology.groups))
        )
        self._by_id = {group.id: group for group in self.groups}
        self._by_name = {group.name.casefold(): group for group in self.groups}
        self.mount = mount
        self.restored = restored
        self.owners = FileOwners(topology, self.groups)
        self.restores = Restores(self)
        for group in self.groups:
            group.being_restored = self.restores.claimed
        self.snapshots = Snapshots(self.groups, self._recovers)
        self._recovery_locks: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    def group(self, name: str) -> StorageGroup:
        """A group by its name, in any case. Raises LookupError naming the known ones."""
        group = self.find_group(name)
        if group is None:
            known = ", ".join(repr(group.name) for group in self.groups) or "none"
            raise LookupError(f"no storage group {name!r}; the server has {known}")
        return group

    def find_group(self, name: str) -> StorageGroup | None:
        """A group by its name, in any case, or None."""
        return self._by_name.get(name.casefold())

    def _recovers(self, group: StorageGroup) -> bool:
        for restore in self.restores.in_progress():
            with restore.lock:
                if restore.concerns(group):
                    return True
        return False

    def recovery_lock(self, source_instance: str) -> threading.Lock:
        """What the recovery of a storage group's backup holds: one at a time."""
        with self._lock:
            return self._recovery_locks.setdefault(source_instance.casefold(), threading.Lock())

    def running_group(self, instance_id: object) -> StorageGroup | None:
        """The group of a running instance by the number that Prepare gave it, or None."""
        group = self._by_id.get(instance_id) if isinstance(instance_id, int) else None
        return group if group is not None and group.instance is not None else None

    def is_server(self, name: str) -> bool:
        """Whether this is the name of the computer that runs here."""
        return name.casefold() == self.topology.server.name.casefold()

    def groups_of(self, annotation: str) -> tuple[StorageGroup, ...] | None:
        """The groups that a service backs up; None if no such service runs here.

        Only the information store has storage groups; the other services have no instance here.
        """
        if all(service.annotation != annotation for service in self.topology.services):
            return None
        if annotation != INFORMATION_STORE:
            return ()
        # ASSUMED(recovery-group-no-backup): the recovery storage group is not offered for backup.
        return tuple(group for group in self.groups if not group.spec.recovery)

    @property
    def events(self) -> tuple[Event, ...]:
        """The event log, group by group: how groups interleave in time says nothing."""
        return tuple(self._events())

    def _events(self) -> Iterator[Event]:
        for group in self.groups:
            yield from group.events
        yield from self.restores.events
