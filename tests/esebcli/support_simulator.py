"""Jobs on simulated servers: servers that were prepared once, and what is on them afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import frozen

from eseback.api import BackupApi
from eseback.formats.names import parse_log_name
from esebcli.job import BackupJob, BackupRequest, JobResult
from esebcli.manifest import Kind
from esebcli.restore import RestoreJob, RestoreRequest, RestoreResult
from esesim.engine.inspect import check_file, read_rows
from esesim.exchange import GroupState
from esesim.journal import Rows, differences
from esesim.server import SimulatedServer
from esesim.topology import Topology, load_topology
from esesim.volume import MemoryVolume
from esesim.windows_path import to_volume_path

FIRST = "First Storage Group"
TruthRows = Mapping[str, Rows]


@frozen
class Frozen:
    """A server that was shut down, to be started again as often as needed, each time the same."""

    topology: Topology
    volume: MemoryVolume
    state: Mapping[str, GroupState]

    @classmethod
    def of(cls, server: SimulatedServer) -> Frozen:
        """Shut a server down and keep it."""
        state = server.state()
        server.close()
        assert isinstance(server.volume, MemoryVolume)
        return cls(server.topology, server.volume, state)

    def start(self) -> SimulatedServer:
        """The server, running again."""
        return SimulatedServer(self.topology, volume=self.volume.snapshot(), resume=self.state)


def topology_of(text: str) -> Topology:
    """A topology from TOML text or a packaged name."""
    return load_topology(text)


def save(
    server: SimulatedServer,
    folder: Path,
    kind: Kind = Kind.FULL,
    *,
    api: BackupApi | None = None,
    groups: tuple[str, ...] = (FIRST,),
    parallel: int = 1,
    **more: Any,
) -> JobResult:
    """Run a job on a simulated server, over ``api`` if it is given."""
    request = BackupRequest(
        server.topology.server.name, groups, kind, folder, parallel=parallel, **more
    )
    return BackupJob((lambda: api) if api else server.session, request).run()


def logs_on(server: SimulatedServer, group: str = FIRST) -> set[int]:
    """The generations of the closed logs on a server."""
    spec = server.group(group).spec
    names = server.volume.list(to_volume_path(spec.log_path))
    found = {parse_log_name(name, spec.base) for name in names}
    return {generation for generation in found if generation is not None}


def is_busy(server: SimulatedServer, group: str = FIRST) -> bool:
    """Whether a backup of the group runs."""
    return server.group(group).running.backup.is_running


def free(server: SimulatedServer, group: str = FIRST, *stores: str) -> None:
    """Dismount stores of a group (all, where none is named) and let a restore overwrite them."""
    for store in server.group(group).spec.stores:
        if not stores or store.name in stores:
            if server.group(group).is_mounted(store.name):
                server.dismount(group, store.name)
            server.set_overwritable(group, store.name, True)


def restore(
    server: SimulatedServer, *sets: Path, api: BackupApi | None = None, **more: Any
) -> RestoreResult:
    """Restore sets to a simulated server, over ``api`` if it is given."""
    request = RestoreRequest(sets, **{"parallel": 1, "mount": False, **more})
    connect = (lambda: api) if api else server.session
    return RestoreJob(connect, request, files=server.files).run()


def truth(server: SimulatedServer, group: str = FIRST, generation: int | None = None) -> TruthRows:
    """What users had committed when a generation was closed, by the .edb of each store."""
    stores = server.group(group).spec.stores
    return {store.edb: server.journal.rows(store.edb, generation) for store in stores}


def on_disk(server: SimulatedServer, group: str = FIRST) -> TruthRows:
    """The rows in the files of the dismounted stores of a group; their pages are checked, too."""
    found = {}
    for store in server.group(group).spec.stores:
        paths = to_volume_path(store.edb), to_volume_path(store.stm) if store.stm else None
        assert check_file(server.volume, *paths) == []
        found[store.edb] = read_rows(server.volume, *paths)
    return found


def unlike(expected: TruthRows, found: TruthRows) -> list[str]:
    """How rows differ, in words."""
    assert expected.keys() == found.keys() and any(rows["Msg"] for rows in expected.values())
    return [text for edb in expected for text in differences(expected[edb], found[edb])]
