"""The server process (store.exe): all storage groups of one Exchange server, and its services."""

from __future__ import annotations

from collections.abc import Iterator

from eseback.constants import INFORMATION_STORE

from ..engine.event import Event
from ..topology import PROFILES, Topology, quirks_of
from ..volume import Volume
from .group import StorageGroup, WorkloadFactory
from .instances import InstanceSlots


class InformationStore:
    """Everything that runs on one server. ``topology`` is complete (see topology.completed)."""

    def __init__(self, topology: Topology, volume: Volume, make_workload: WorkloadFactory) -> None:
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

    def group(self, name: str) -> StorageGroup:
        """A group by its name, in any case. Raises LookupError naming the known ones."""
        try:
            return self._by_name[name.casefold()]
        except KeyError:
            known = ", ".join(repr(group.name) for group in self.groups) or "none"
            raise LookupError(f"no storage group {name!r}; the server has {known}") from None

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
        return self.groups if annotation == INFORMATION_STORE else ()

    @property
    def events(self) -> tuple[Event, ...]:
        """The event log, group by group: how groups interleave in time says nothing."""
        return tuple(self._events())

    def _events(self) -> Iterator[Event]:
        for group in self.groups:
            yield from group.events
