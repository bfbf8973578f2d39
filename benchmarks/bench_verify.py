"""`esebcli verify` of a whole set, hashes included, beside zlib.crc32 over the same files.

Both read the files, from the system's cache: the yardstick is what `crc32 FILE...` would be.
The databases are the hard case: no page of them is unused. What is asked of one process is a share
of what zlib.crc32 does in C; of two, that they take hardly more than half the time, start included.
"""

from __future__ import annotations

import hashlib
import os
import random
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from attrs import evolve

from benchmarks.conftest import Measure
from benchmarks.servers import MIB, quiet_topology
from benchmarks.table import Goal, GoalKind
from eseback.formats.checksum import seal_page
from eseback.formats.dbheader import HEADER_COPIES, DatabaseHeader
from esebcli import BackupJob, BackupRequest, Kind, verify_sets
from esebcli.manifest import MANIFEST_NAME, FileKind, Manifest, decode, encode
from esesim import SimulatedServer

READ_SIZE = 64 << 10
SPEED_UP_MIN = 1.7


def saved_set(folder: Path, profile: str, size: int) -> list[Path]:
    """A full backup whose database has grown to so many bytes; returns the files saved."""
    topology = quiet_topology(messages=400, log_size=MIB)
    groups = topology.groups
    if profile.startswith("exchange-2007"):  # has no streaming files
        groups = tuple(evolve(g, stores=tuple(evolve(s, stm="") for s in g.stores)) for g in groups)
    topology = evolve(topology, server=evolve(topology.server, profile=profile), groups=groups)
    with SimulatedServer(topology) as server:
        names = [group.name for group in topology.groups]
        request = BackupRequest(topology.server.name, names, Kind.FULL, folder)
        assert BackupJob(server.session, request).run().ok
    for path in folder.rglob("*.edb"):
        grow(path, size)
    manifest = decode((folder / MANIFEST_NAME).read_bytes())
    (folder / MANIFEST_NAME).write_bytes(encode(with_sizes_of(manifest, folder)))
    return [folder / g.folder / file.name for g in manifest.groups for file in g.files]


def grow(path: Path, size: int) -> None:
    """Fill the unused pages of a saved database, and put used ones in front of its trailer."""
    data = path.read_bytes()
    header = DatabaseHeader.read(data)
    page_size, ecc = header.page_size, header.revision >= 0xB
    trailer, unused = data[-page_size:], bytes(page_size)
    contents = bytearray(random.Random(path.name).randbytes(page_size))
    with path.open("wb") as file:
        file.write(data[: HEADER_COPIES * page_size])
        for pgno in range(1, size // page_size - HEADER_COPIES):
            start = (pgno - 1 + HEADER_COPIES) * page_size
            page = data[start : start + page_size] if start < len(data) - page_size else unused
            if page == unused:
                contents[40:48] = pgno.to_bytes(8, "little")
                seal_page(contents, pgno, ecc)
                page = bytes(contents)
            file.write(page)
        file.write(trailer)


def with_sizes_of(manifest: Manifest, folder: Path) -> Manifest:
    """The manifest with sizes and hashes of the databases as they are now."""
    groups = []
    for group in manifest.groups:
        files = []
        for file in group.files:
            if file.kind is FileKind.DATABASE:
                data = (folder / group.folder / file.name).read_bytes()
                file = evolve(file, size=len(data), sha256=hashlib.sha256(data).hexdigest())
            files.append(file)
        groups.append(evolve(group, files=tuple(files)))
    return evolve(manifest, groups=tuple(groups))


@pytest.mark.parametrize(
    ("name", "profile", "ratio_min"),
    [
        ("XOR, 4 KiB pages (2003)", "exchange-2003-rtm", 0.12),
        ("XOR and ECC, 4 KiB pages (2003 SP1)", "exchange-2003-sp1", 0.07),
        ("XOR and ECC, 8 KiB pages (2007)", "exchange-2007", 0.07),
    ],
)
def bench_verify(
    measure: Measure, tmp_path: Path, name: str, profile: str, ratio_min: float
) -> None:
    files = saved_set(tmp_path / "set", profile, 40 * MIB)
    buffer = memoryview(bytearray(READ_SIZE))

    def verify() -> None:
        assert verify_sets([tmp_path / "set"]).ok

    def crc_of_all() -> None:
        for path in files:
            crc = 0
            with path.open("rb", buffering=0) as file:
                while count := file.readinto(buffer):
                    crc = zlib.crc32(buffer[:count], crc)

    measure(
        f"verify of a set: {name}",
        verify,
        goal=Goal(GoalKind.SPEED_RATIO_MIN, ratio_min),
        yardstick_name="read and zlib.crc32",
        yardstick=crc_of_all,
        amount=sum(path.stat().st_size for path in files) / 1e6,
        unit="MB",
    )


@contextmanager
def two_cores() -> Iterator[None]:
    """Let this process and its children use two cores; the benchmark is skipped without them."""
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("cores can't be chosen on this system")
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
    try:
        cores = sorted(os.sched_getaffinity(0))[-2:]
        if len(cores) < 2:
            pytest.skip("there is only one core")
        os.sched_setaffinity(0, cores)
        yield
    finally:
        os.sched_setaffinity(0, before)


@pytest.mark.benchmark(timer=time.perf_counter)
def bench_verify_with_two_processes(measure: Measure, tmp_path: Path) -> None:
    """On the wall, since it is about two cores: no good on a machine that does something else."""
    files = saved_set(tmp_path / "set", "exchange-2003-sp1", 400 * MIB)

    def verify(jobs: int) -> None:
        assert verify_sets([tmp_path / "set"], jobs=jobs).ok

    with two_cores():
        measure(
            "verify of a set with two processes, on the wall",
            lambda: verify(2),
            goal=Goal(GoalKind.SPEED_RATIO_MIN, SPEED_UP_MIN),
            yardstick_name="one process",
            yardstick=lambda: verify(1),
            amount=sum(path.stat().st_size for path in files) / 1e6,
            unit="MB",
            rounds=5,
            clock=time.perf_counter,
        )
