"""Whose file a path is: the stores of a server, found by path or by the GUID of their database."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from eseback.data import frozen
from eseback.formats import names

from ..topology import StoreSpec, Topology
from ..windows_path import path_key, to_volume_path
from .group import StorageGroup
from .identity import database_guid


@frozen
class Place:
    """A store and its storage group."""

    group: StorageGroup
    store: StoreSpec

    @property
    def label(self) -> str:
        """As people say it: ``Group/Store``."""
        return f"{self.group.name}/{self.store.name}"


class FileOwners:
    """Finds stores. What it knows of a server never changes."""

    def __init__(self, topology: Topology, groups: Sequence[StorageGroup]) -> None:
        self._groups = groups
        self._by_path: dict[str, Place] = {}
        self._by_guid: dict[UUID, Place] = {}
        seed, server = topology.server.seed, topology.server.name
        # ASSUMED(recovery-redirect): a database that a store of the recovery storage group stands
        # for is restored there and not over its original, as Exchange 2003 does; a client that
        # wants the original names its files with AddDatabaseNS.
        for group in sorted(groups, key=lambda group: group.spec.recovery):
            for store in group.spec.stores:
                place = Place(group, store)
                self._by_path.update((_key(stream), place) for stream in store.streams)
                origin = topology.origin_of(store) or (group.spec, store)
                guid = database_guid(seed, server, origin[0].name, origin[1].name)
                self._by_guid[guid] = place

    def by_guid(self, guid: UUID) -> Place | None:
        """Where a database is restored to, by the GUID that backups give it."""
        return self._by_guid.get(guid)

    def by_path(self, path: str) -> Place | None:
        """The store that a Windows path is a stream of."""
        return self._by_path.get(_key(path))

    def group_of_folder(self, folder: str) -> StorageGroup | None:
        """The storage group that has its logs or its checkpoint in a folder."""
        return self._group_at(_key(folder))

    def group_of_file(self, path: str) -> StorageGroup | None:
        """The storage group in whose folder of logs or of the checkpoint a file lies."""
        return self._group_at(_key(path).rpartition("/")[0])

    def _group_at(self, key: str) -> StorageGroup | None:
        return next((group for group in self._groups if key in _folders(group)), None)

    def in_use(self, path: str) -> str | None:
        """Who has a file open, in words; None if nobody: mounted stores and running log streams."""
        place = self.by_path(path)
        if place is not None:
            return f"{place.label} is mounted" if place.group.is_mounted(place.store.name) else None
        folder, _, name = _key(path).rpartition("/")
        for group in self._groups:
            if group.instance is not None and folder in _folders(group):
                base = group.spec.base
                held = names.current_log_name, names.temp_log_name, names.checkpoint_name
                if name in [path_key(name_of(base)) for name_of in held]:
                    return f"{group.name} is running"
        return None


def _folders(group: StorageGroup) -> tuple[str, str]:
    return _key(group.spec.log_path), _key(group.spec.system_path)


def _key(path: str) -> str:
    return path_key(to_volume_path(path))
