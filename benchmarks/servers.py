"""Servers to measure: one store, and users that rest unless a benchmark asks them to work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from attrs import evolve, frozen

from eseback.api import BackupApi
from eseback.constants import INFORMATION_STORE, BackupType, InstanceEnd
from esesim import SimulatedServer, Topology, load_topology

MIB = 1 << 20


def quiet_topology(
    *, messages: int, body_size_max: int = 12 * 1024, log_size: int = 64 * 1024
) -> Topology:
    """The packaged `minimal`, with more mail and without users that work between two calls."""
    topology = load_topology("minimal")
    groups = [
        evolve(
            group,
            log_size=log_size,
            workload=evolve(
                group.workload, messages=messages, steps_per_call=0, body_size_max=body_size_max
            ),
        )
        for group in topology.groups
    ]
    return evolve(topology, groups=tuple(groups))


def write_out(server: SimulatedServer) -> None:
    """Have all pages written to the databases' files, as a dismount does.

    A new server still has nearly all of them in its cache, and a read would give a file of zeros:
    the same few kilobytes of memory again and again.
    """
    for group in server.topology.groups:
        for store in group.stores:
            server.dismount(group.name, store.name)
            server.mount(group.name, store.name)


@frozen
class RunningBackup:
    """A full backup of a server's only group, its databases yet unread."""

    api: BackupApi
    context: int
    streams: tuple[str, ...]
    """Windows paths of the .edb and the .stm."""


@contextmanager
def running_backup(server: SimulatedServer) -> Iterator[RunningBackup]:
    """A full backup of the only group, broken off at the end."""
    api = server.session()
    context, (instance,) = api.backup_prepare(server.topology.server.name, INFORMATION_STORE)
    api.backup_setup(context, instance.instance_id, BackupType.FULL)
    try:
        yield RunningBackup(api, context, instance.databases[0].streams)
    finally:
        api.backup_instance_end(context, InstanceEnd.ERROR)
        api.backup_end(context)
