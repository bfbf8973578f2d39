"""Reading a virtual database through a session, beside copying the same bytes from memory.

The pages are made while they are read. The yardstick copies as much, read at a time as much, from a
stretch of the same database that lies in memory, so large that it is no processor's cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent

import pytest
from attrs import evolve

from benchmarks.conftest import Measure
from benchmarks.servers import MIB, RunningBackup, quiet_topology, running_backup
from benchmarks.table import Goal, GoalKind
from esesim import SimulatedServer
from esesim.topology import PROFILES

GIB = 1 << 30
STRETCH = 128 * MIB
FORMATS = (
    ("4 KiB pages, XOR", "exchange-2003-rtm"),
    ("4 KiB pages, ECC", "exchange-2003-sp1"),
    ("8 KiB pages, ECC", "exchange-2007"),
)


@contextmanager
def virtual_backup(profile: str, size: int) -> Iterator[RunningBackup]:
    """A running backup of a server whose only store is virtual."""
    topology = quiet_topology(messages=40, log_size=MIB)
    (group,) = topology.groups
    (store,) = group.stores
    stm = store.stm if PROFILES[profile].streaming else ""
    topology = evolve(
        topology,
        server=evolve(topology.server, profile=profile),
        groups=(evolve(group, stores=(evolve(store, size=size, stm=stm),)),),
    )
    with SimulatedServer(topology) as server, running_backup(server) as backup:
        yield backup


def filled(backup: RunningBackup, handle: int, size: int) -> memoryview:
    """The next ``size`` bytes of the open database, in memory."""
    stretch = memoryview(bytearray(size))
    assert backup.api.backup_read_file(backup.context, handle, stretch) == size
    return stretch


@pytest.mark.parametrize(
    ("chunk", "ratio_min"), [(4 * MIB, 0.5), (MIB // 4, 0.2)], ids=["4 MiB", "256 KiB"]
)
@pytest.mark.parametrize(("name", "profile"), FORMATS)
def bench_read_virtual_database(
    measure: Measure, name: str, profile: str, chunk: int, ratio_min: float
) -> None:
    buffer = memoryview(bytearray(chunk))
    with virtual_backup(profile, 1024 * GIB) as backup:
        (opened,) = backup.api.backup_open_file(backup.context, backup.streams[0])
        stretch = filled(backup, opened.handle, STRETCH)
        read, context, handle = backup.api.backup_read_file, backup.context, opened.handle

        def subject() -> None:
            for _ in range(STRETCH // chunk):
                assert read(context, handle, buffer) == chunk

        def yardstick() -> None:
            for offset in range(0, STRETCH, chunk):
                buffer[:] = stretch[offset : offset + chunk]

        measure(
            f"virtual database, {name}, {'4 MiB' if chunk > MIB else '256 KiB'} at a time",
            subject,
            goal=Goal(GoalKind.SPEED_RATIO_MIN, ratio_min),
            yardstick_name="memoryview copy of the same bytes",
            yardstick=yardstick,
            amount=STRETCH / 1e6,
            unit="MB",
        )


def bench_read_64_gib(measure: Measure) -> None:
    size, chunk = 64 * GIB, 4 * MIB
    buffer = memoryview(bytearray(chunk))
    with virtual_backup("exchange-2003-sp1", size) as backup:
        api, context = backup.api, backup.context

        def subject() -> None:
            (opened,) = api.backup_open_file(context, backup.streams[0])
            done = 0
            while count := api.backup_read_file(context, opened.handle, buffer):
                done += count
            assert done == opened.size == size + 4096
            api.backup_close_file(context, opened.handle)

        (opened,) = api.backup_open_file(context, backup.streams[0])
        stretch = filled(backup, opened.handle, STRETCH)
        api.backup_close_file(context, opened.handle)

        def yardstick() -> None:
            for _ in range(size // STRETCH):
                for offset in range(0, STRETCH, chunk):
                    buffer[:] = stretch[offset : offset + chunk]

        measure(
            "virtual database of 64 GiB, read whole",
            subject,
            goal=Goal(GoalKind.SPEED_RATIO_MIN, 0.5),
            yardstick_name="memoryview copy of as many bytes",
            yardstick=yardstick,
            amount=size / 1e9,
            unit="GB",
            rounds=1,
        )


PROGRAM = dedent("""
    from benchmarks.bench_virtual import GIB, MIB, virtual_backup
    with virtual_backup("exchange-2003-sp1", 1024 * GIB) as backup:
        (opened,) = backup.api.backup_open_file(backup.context, backup.streams[0])
        buffer = bytearray(4 * MIB)
        for _ in range(512):
            assert backup.api.backup_read_file(backup.context, opened.handle, buffer) == 4 * MIB
""")


def bench_memory_of_a_tebibyte(measure: Measure, tmp_path: Path) -> None:
    measure.memory(
        "virtual database of 1 TiB: backup, first 2 GiB read", PROGRAM, tmp_path, limit=64
    )
