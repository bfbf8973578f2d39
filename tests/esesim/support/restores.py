"""The calls of a whole restore of one storage group, in both ways in which files travel."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import pytest
from attrs import evolve, frozen

from eseback.api import BackupApi
from eseback.constants import INFORMATION_STORE, BackupType, RestoreClose, RestoreComplete
from eseback.errors import EseBackupError
from eseback.formats.names import parse_log_name
from eseback.structures import DatabaseBackupInfo
from esesim.engine.inspect import Rows, read_rows
from esesim.exchange import GroupState
from esesim.journal import differences
from esesim.server import SimulatedServer
from esesim.topology import StoreSpec, Topology
from esesim.volume import MemoryVolume
from esesim.windows_path import to_volume_path
from tests.esesim.support.servers import SERVER, back_up, small_topology

CHUNK = 60_000
STEPS = 100
NONE, ATTACH = RestoreComplete.NONE, RestoreComplete.ATTACH_DBS
NOWAIT, KEEP = RestoreComplete.NOWAIT, RestoreComplete.KEEP_LOG_FILES


def databases_of(api: BackupApi, group: str) -> tuple[DatabaseBackupInfo, ...]:
    """The databases of a running group, as Prepare tells them."""
    context, instances = api.backup_prepare(SERVER, INFORMATION_STORE)
    api.backup_end(context)
    (databases,) = [info.databases for info in instances if info.instance_name == group]
    return databases


def make_free(server: SimulatedServer, group: str, *stores: str) -> None:
    """Dismount stores (all of the group if none is named) and let restores overwrite them."""
    for store in stores or [spec.name for spec in server.group(group).spec.stores]:
        server.dismount(group, store)
        server.set_overwritable(group, store, True)


def open_restore(api: BackupApi, group: str, folder: str | None = None) -> int:
    """RestoreOpen."""
    return api.restore_open(SERVER, INFORMATION_STORE, group, folder)


def send_file(
    server: SimulatedServer, api: BackupApi, context: int, name: str, data: bytes
) -> None:
    """One file, as the server wants it: in chunks over a handle, or with file I/O."""
    opened = api.restore_open_file(context, name)
    if opened.handle is None:
        with server.files.create(name) as file:
            file.write(data)
        return
    for start in range(0, len(data), CHUNK):
        api.restore_write_file(context, opened.handle, data[start : start + CHUNK])
    api.restore_close_file(context, opened.handle)


def send_logs(
    server: SimulatedServer, api: BackupApi, context: int, files: Mapping[str, bytes]
) -> None:
    """The logs and patch files of a set, into the folder of the restore."""
    folder = api.restore_get_environment(context).restore_log_path
    for name, data in files.items():
        if name.lower().endswith((".log", ".pat")):
            send_file(server, api, context, f"{folder}\\{name.rpartition(chr(92))[2]}", data)


def send_set(
    server: SimulatedServer,
    api: BackupApi,
    context: int,
    databases: Sequence[DatabaseBackupInfo],
    files: Mapping[str, bytes],
    destinations: Mapping[str, Sequence[str]] | None = None,
) -> None:
    """AddDatabase for each database of a set, its files, then the logs.

    ``destinations``: by display name, for AddDatabaseNS.
    """
    for database in databases:
        if database.streams[0] not in files:
            continue
        if destinations is None:
            targets: Sequence[str] = api.restore_add_database(
                context, database.display_name, database.guid, database.streams
            )
        else:
            targets = destinations[database.display_name]
            api.restore_add_database_ns(
                context, database.display_name, database.guid, database.streams, targets
            )
        for source, target in zip(database.streams, targets, strict=True):
            send_file(server, api, context, target, files[source])
    send_logs(server, api, context, files)


def complete(
    api: BackupApi,
    context: int,
    flags: RestoreComplete = ATTACH,
    target: str | None = None,
    folder: str | None = None,
) -> None:
    """Save and Complete, in the restore's own folder unless another one is given."""
    api.restore_save_environment(context)
    path = folder or api.restore_get_environment(context).restore_log_path
    api.restore_complete(context, path, path, target, flags)


def restore(
    server: SimulatedServer,
    group: str,
    databases: Sequence[DatabaseBackupInfo],
    sets: Sequence[Mapping[str, bytes]],
    *,
    flags: RestoreComplete = ATTACH,
    target: str | None = None,
    folder: str | None = None,
) -> None:
    """A whole restore in a session of its own; the first set is the full one."""
    api = server.session()
    context = open_restore(api, group, folder)
    send_set(server, api, context, databases, sets[0])
    for further in sets[1:]:
        send_logs(server, api, context, further)
    complete(api, context, flags, target)
    api.restore_close(context, RestoreClose.NORMAL)


def refused(call: Callable[[], object], error: int | str) -> EseBackupError:
    """The error of a call that must fail, by JET number or by name."""
    with pytest.raises(EseBackupError) as caught:
        call()
    found = caught.value
    assert error in (found.jet, found.name), found
    return found


def rows_of(server: SimulatedServer, streams: Sequence[str]) -> Rows:
    """The rows of a database that nobody has open."""
    stm = to_volume_path(streams[1]) if len(streams) > 1 else None
    return read_rows(server.volume, to_volume_path(streams[0]), stm)


def store_rows(server: SimulatedServer, store: StoreSpec) -> Rows:
    """The rows of a dismounted store."""
    return rows_of(server, store.streams)


def assert_rows(expected: Rows, found: Rows) -> None:
    """Two sets of rows are the same."""
    assert expected == found, differences(expected, found)


@frozen
class BackedUp:
    """A server that was backed up fully, worked on, and backed up incrementally.

    ``server()`` is a new one on the same files, at work beyond both backups. By group: what Prepare
    told, the files of the sets, and by store the rows that the sets stand for.
    """

    topology: Topology
    volume: MemoryVolume
    state: Mapping[str, GroupState]
    databases: Mapping[str, tuple[DatabaseBackupInfo, ...]]
    full: Mapping[str, Mapping[str, bytes]]
    incremental: Mapping[str, Mapping[str, bytes]]
    rows_full: Mapping[str, Rows]
    rows_incremental: Mapping[str, Rows]

    def server(self, **options: Any) -> SimulatedServer:
        """The server, everything mounted; ``options`` of the server replace the topology's."""
        topology = evolve(self.topology, server=evolve(self.topology.server, **options))
        return SimulatedServer(topology, volume=self.volume.snapshot(), resume=self.state)

    def free_server(self, *groups: str, **options: Any) -> SimulatedServer:
        """The same with all stores of groups (G1 by default) dismounted and overwritable."""
        server = self.server(**options)
        for group in groups or ("G1",):
            make_free(server, group)
        return server


@cache
def backed_up(groups: int = 1, stores: int = 2, **options: Any) -> BackedUp:
    """See :class:`BackedUp`; ``options`` as of small_topology. Made once."""
    topology = small_topology(groups, stores, **{"messages": 12, **options})
    with SimulatedServer(topology) as server:
        names = [group.name for group in server.groups if not group.spec.recovery]
        api = server.session()
        databases = {name: databases_of(api, name) for name in names}
        full, incremental = {}, {}
        for name in names:
            server.run_workload(name, STEPS)
            full[name] = back_up(api, name)
        for name in names:
            server.run_workload(name, STEPS)
            incremental[name] = back_up(api, name, BackupType.LOGS_ONLY)
        for name in names:
            server.run_workload(name, STEPS)
        state = server.state()
        rows_full, rows_incremental = _rows_of(server, full), _rows_of(server, incremental)
    assert isinstance(server.volume, MemoryVolume)
    return BackedUp(
        topology,
        server.volume,
        state,
        databases,
        full,
        incremental,
        rows_full,
        rows_incremental,
    )


def _rows_of(server: SimulatedServer, sets: Mapping[str, Mapping[str, bytes]]) -> dict[str, Rows]:
    """The truth that sets stand for, by store: what was committed in their logs and before."""
    found = {}
    for name, files in sets.items():
        spec = server.group(name).spec
        generations = (parse_log_name(path.rpartition("\\")[2], spec.base) for path in files)
        last = max(number for number in generations if number is not None)
        found.update({s.name: server.journal.rows(s.edb, last) for s in spec.stores})
    return found
