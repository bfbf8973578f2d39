"""Servers of a version, backups of theirs, what those recover to, and golden manifests.

python -m tests.esesim.support.profiles      write the golden manifests anew
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from attrs import evolve

from eseback.constants import BackupType
from eseback.formats.names import parse_log_name
from esesim.engine.hardrecovery import RestoredDatabase, hard_recover
from esesim.engine.inspect import Rows, read_rows
from esesim.exchange.clock import LogicalClock
from esesim.server import SimulatedServer
from esesim.topology import PROFILES, GroupSpec, Topology
from esesim.volume import MemoryVolume
from esesim.windows_path import to_volume_path
from tests.esesim.support.servers import back_up, small_topology
from tests.support.files import put

GOLDEN: Final = Path(__file__).resolve().parent.parent / "golden"
Manifest = dict[str, dict[str, dict[str, Any]]]


def group_topology(stores: int = 1, *, groups: int = 1, **options: Any) -> Topology:
    """A small topology; options of a storage group go to each, the others to the topology."""
    of_group = {key: options.pop(key) for key in list(options) if hasattr(GroupSpec(""), key)}
    topology = small_topology(groups, stores, **options)
    return evolve(topology, groups=tuple(evolve(group, **of_group) for group in topology.groups))


def recovered_rows(
    server: SimulatedServer,
    sets: Sequence[Mapping[str, bytes]],
    *,
    group: str = "G1",
    stores: Sequence[str] | None = None,
) -> dict[str, tuple[Rows, Rows]]:
    """Hard recovery of sets, the full one first: found and expected rows by store.

    ``stores``: those that the full set has; None for all of the group.
    """
    spec = server.group(group).spec
    config = server.group(group).running.config
    volume = MemoryVolume()
    volume.make_directory(to_volume_path(spec.log_path))
    generations = []
    for files in sets:
        for path, data in files.items():
            put(volume, path, data)
            generations.append(parse_log_name(path.rpartition("\\")[2], spec.base))
    numbers = [number for number in generations if number is not None]
    chosen = [store for store in spec.stores if stores is None or store.name in stores]
    report = hard_recover(
        volume,
        [RestoredDatabase(store.edb, store.edb, store.stm or None) for store in chosen],
        config=evolve(config, name="Restore", quirks=frozenset()),
        gen_low=min(numbers),
        gen_high=max(numbers),
        clock=LogicalClock(),
    )
    rows = {}
    for store in chosen:
        stm = to_volume_path(store.stm) if store.stm else None
        found = read_rows(volume, to_volume_path(store.edb), stm)
        rows[store.name] = found, server.journal.rows(store.edb, report.generation_last)
    return rows


def make_manifest(profile: str) -> Manifest:
    """Names, sizes and CRC-32 of the files of a full and an incremental backup under load."""
    topology = group_topology(2, profile=profile, steps_per_call=2, messages=12, seed=2003)
    with SimulatedServer(topology) as server:
        server.run_workload("G1", 80)
        sets = {"full": back_up(server.session(), "G1")}
        server.run_workload("G1", 40)
        sets["incremental"] = back_up(server.session(), "G1", BackupType.LOGS_ONLY)
    return {
        kind: {
            name: {"size": len(data), "crc32": f"{zlib.crc32(data):08x}"}
            for name, data in files.items()
        }
        for kind, files in sets.items()
    }


def golden_path(profile: str) -> Path:
    """Where the manifest of a version is kept."""
    return GOLDEN / f"{profile}.json"


def write_golden_files() -> None:
    """Make every manifest anew: after a change of the files that is meant."""
    GOLDEN.mkdir(exist_ok=True)
    for profile in PROFILES:
        text = json.dumps(make_manifest(profile), indent=1) + "\n"
        golden_path(profile).write_text(text, "utf-8")


if __name__ == "__main__":
    write_golden_files()
