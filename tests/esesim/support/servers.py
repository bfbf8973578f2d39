"""Small servers and the calls of a whole backup, for tests of what lies above the engine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from attrs import frozen

from eseback.api import BackupApi
from eseback.constants import INFORMATION_STORE, BackupType, InstanceEnd
from esesim.server import SimulatedServer
from esesim.topology import GroupSpec, ServerSpec, StoreSpec, Topology, WorkloadSpec

SERVER = "EXCHSRV1"


def small_topology(
    groups: int = 1,
    stores: int = 1,
    *,
    steps_per_call: int = 0,
    messages: int = 10,
    dismounted: Sequence[str] = (),
    seed: int = 7,
    **server: object,
) -> Topology:
    """Groups ``G1``, ``G2``... with stores ``G1S1``, ``G1S2``..., small logs and little mail."""
    return Topology(
        server=ServerSpec(name=SERVER, seed=seed, **server),  # type: ignore[arg-type]
        groups=tuple(
            GroupSpec(
                name=f"G{g}",
                log_size=64 * 1024,
                stores=tuple(
                    StoreSpec(name=f"G{g}S{s}", mounted=f"G{g}S{s}" not in dismounted)
                    for s in range(1, stores + 1)
                ),
                workload=WorkloadSpec(messages=messages, steps_per_call=steps_per_call),
            )
            for g in range(1, groups + 1)
        ),
    )


def small_server(groups: int = 1, stores: int = 1, **options: object) -> SimulatedServer:
    """A running server of :func:`small_topology`."""
    return SimulatedServer(small_topology(groups, stores, **options))  # type: ignore[arg-type]


@frozen
class Prepared:
    """A context and what Prepare told: instance numbers by group name, streams by group name."""

    context: int
    instances: dict[str, int]
    streams: dict[str, tuple[str, ...]]


def prepare(api: BackupApi) -> Prepared:
    """A new context for the information store of the small server."""
    context, instances = api.backup_prepare(SERVER, INFORMATION_STORE)
    return Prepared(
        context,
        {info.instance_name: info.instance_id for info in instances},
        {
            info.instance_name: tuple(
                stream
                for database in info.databases
                if database.mounted
                for stream in database.streams
            )
            for info in instances
        },
    )


def read_file(api: BackupApi, context: int, name: str, sizes: Iterator[int] | int = 65536) -> bytes:
    """Open, read to the end and close a file; ``sizes`` are those of the reads."""
    (opened,) = api.backup_open_file(context, name)
    data = bytearray()
    while True:
        buffer = bytearray(sizes if isinstance(sizes, int) else next(sizes))
        count = api.backup_read_file(context, opened.handle, buffer)
        if not count:
            break
        data += buffer[:count]
    api.backup_close_file(context, opened.handle)
    assert len(data) == opened.size
    return bytes(data)


def back_up(
    api: BackupApi,
    group: str,
    kind: BackupType = BackupType.FULL,
    *,
    truncate: bool = True,
    size: int = 65536,
) -> dict[str, bytes]:
    """A whole backup of one group in a context of its own; returns the files by name."""
    prepared = prepare(api)
    context = prepared.context
    files: dict[str, bytes] = {}
    api.backup_setup(context, prepared.instances[group], kind)
    if kind is not BackupType.LOGS_ONLY:
        for stream in prepared.streams[group]:
            files[stream] = read_file(api, context, stream, size)
    for log in api.backup_get_log_and_patch_files(context):
        files[log] = read_file(api, context, log, size)
    if truncate:
        api.backup_get_truncate_log_files(context)
        api.backup_truncate_logs(context)
    api.backup_instance_end(context, InstanceEnd.SUCCESS)
    api.backup_end(context)
    return files


def volume_bytes(server: SimulatedServer, *directories: str) -> dict[str, bytes]:
    """Every file in these directories of the server's volume, by path."""
    found = {}
    for directory in directories:
        for name in server.volume.list(directory):
            file = server.volume.open(f"{directory}/{name}")
            found[f"{directory}/{name}"] = file.read(0, file.size)
            file.close()
    return found
