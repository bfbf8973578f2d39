"""Virtual databases of a server: announced, read anywhere, kept, refused, through public calls.

A backup reads a file from its beginning. To look at the far end of a large one, tests set the
position of the engine's copy; what is read there passes through everything else as ever.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from attrs import evolve

from eseback.constants import BackupType
from eseback.errors import EseBackupError
from eseback.formats.checksum import header_is_good, page_is_good
from eseback.formats.dbheader import DatabaseHeader
from eseback.formats.trailer import Trailer
from esesim import DirectoryVolume, MemoryVolume, SimulatedServer, Volume, load_topology
from esesim.engine.config import InstanceConfig
from esesim.engine.database import Database
from esesim.engine.schema import BALLAST
from esesim.engine.virtual import ballast_problems
from esesim.server import DirectoryServer, create_directory_server
from esesim.server.snapshot import Snapshot
from esesim.topology import TopologyError, completed
from esesim.windows_path import to_volume_path
from tests.esesim.support.profiles import recovered_rows
from tests.esesim.support.restores import databases_of, make_free, restore
from tests.esesim.support.servers import back_up, prepare, small_topology
from tests.support.virtual import GIB, MIB, TIB, rule_of

pytestmark = pytest.mark.uncovered

PROFILES: Final = ("exchange-2003-rtm", "exchange-2003-sp1", "exchange-2007")
MEMORY_MAX_MIB: Final = 64


def virtual_server(
    size: int, profile: str = PROFILES[1], *, volume: Volume | None = None, **options: object
) -> SimulatedServer:
    """One group whose only store is virtual."""
    topology = small_topology(profile=profile, **options)  # type: ignore[arg-type]
    (group,) = topology.groups
    (store,) = group.stores
    group = evolve(group, stores=(evolve(store, size=size),))
    return SimulatedServer(evolve(topology, groups=(group,)), volume=volume)


def database_of(server: SimulatedServer) -> Database:
    (database,) = server.groups[0].running.databases.values()
    return database


class OpenCopy:
    """A full backup of a server's only store that has its .edb open."""

    def __init__(self, server: SimulatedServer) -> None:
        self.api = server.session()
        prepared = prepare(self.api)
        self.context = prepared.context
        self.api.backup_setup(self.context, prepared.instances["G1"], BackupType.FULL)
        (opened,) = self.api.backup_open_file(self.context, prepared.streams["G1"][0])
        self.size, self.handle = opened.size, opened.handle
        self.database = database_of(server)

    def read(self, count: int) -> bytes:
        buffer = bytearray(count)
        return bytes(buffer[: self.api.backup_read_file(self.context, self.handle, buffer)])

    def go_to(self, pgno: int) -> None:
        """The next read begins at this page."""
        assert self.database.copy is not None
        self.database.copy.position = (pgno + 1) * self.database.page_size


def config_of_server(server: SimulatedServer) -> InstanceConfig:
    return server.groups[0].running.config


@pytest.mark.parametrize("profile", PROFILES)
def test_a_tebibyte_is_announced_and_read_anywhere(profile: str) -> None:
    with virtual_server(TIB, profile, steps_per_call=1) as server:
        copy = OpenCopy(server)
        size = copy.database.page_size
        rule = rule_of(TIB, config_of_server(server))
        last = TIB // size - 2
        assert copy.size == (2 + last + 1) * size == TIB + size

        head = copy.read(2 * size)
        assert head[:size] == head[size:]
        header = DatabaseHeader.unpack(head[:size])
        assert header.page_size == size
        assert header.bkinfo_full_cur.gen_low
        pgno = 1
        while pgno * size < 3 * MIB:
            # As real products read, and on to the next whole page.
            data = copy.read(65_528) + copy.read(8)
            for place in range(65_536 // size):
                assert page_is_good(data[place * size : (place + 1) * size], pgno + place)
            pgno += 65_536 // size

        far = 1 << 26
        for first in (rule.first_pgno, 65_536 - 3, far - 5, far + 100_003, rule.end_pgno - 9):
            copy.go_to(first)
            data = copy.read(8 * size)
            for place in range(8):
                page = data[place * size : (place + 1) * size]
                assert page_is_good(page, first + place)
                assert page == database_page(copy.database, first + place)

        copy.go_to(last - 1)
        end = copy.read(1 * MIB)
        assert len(end) == 3 * size
        assert header_is_good(end[-size:])
        assert Trailer.unpack(end[-size:]).bkinfo.mark == header.bkinfo_full_cur.mark
        assert copy.read(size) == b""


def database_page(database: Database, pgno: int) -> bytes:
    """A page as the rule of its kind makes it alone."""
    page = database.pages.get(pgno)
    return bytes(page.to_bytes(database.page_size, ecc=database.pages.ecc))


PROGRAM: Final = """
import resource, sys
from tests.esesim.test_virtual_backup import OpenCopy, virtual_server, TIB, MIB
with virtual_server(TIB, sys.argv[1], steps_per_call=1) as server:
    copy = OpenCopy(server)
    for _ in range(64):
        assert len(copy.read(4 * MIB)) == 4 * MIB
    for pgno in (1 << 24, 1 << 26, copy.database.pages.last_pgno - 40_000):
        copy.go_to(pgno)
        for _ in range(8):
            assert len(copy.read(4 * MIB)) == 4 * MIB
with open("/proc/self/status") as status:
    peak = next(line for line in status if line.startswith("VmHWM"))
print(int(peak.split()[1]) // 1024)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
@pytest.mark.parametrize("profile", PROFILES)
def test_backup_of_a_tebibyte_takes_little_memory(profile: str) -> None:
    """All of the process: interpreter, modules, server, the client's buffers."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, profile],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    # What the test's own imports take (pytest, hypothesis) is not the server's.
    bare = subprocess.run(
        [sys.executable, "-c", BARE],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert int(done.stdout) - int(bare.stdout) < MEMORY_MAX_MIB


BARE: Final = PROGRAM.split("with virtual_server")[0] + PROGRAM[PROGRAM.index("with open") :]


@pytest.mark.parametrize("profile", PROFILES)
def test_backup_under_load_is_restorable(profile: str) -> None:
    with virtual_server(12 * MIB, profile, steps_per_call=2, messages=30) as server:
        server.run_workload("G1", 100)
        full = back_up(server.session(), "G1", size=65_528)
        server.run_workload("G1", 60)
        later = back_up(server.session(), "G1", BackupType.LOGS_ONLY)
        found, expected = recovered_rows(server, [full, later])["G1S1"]
    assert found == expected
    assert len(found["Msg"]) > 25


@pytest.mark.parametrize("way", ["handle", "file_level"])
@pytest.mark.parametrize("kind", ["memory", "directory"])
def test_set_is_restored_over_a_virtual_store(kind: str, way: str, tmp_path: Path) -> None:
    """What comes back is a real file: all of it is there, generated once."""
    volume = MemoryVolume() if kind == "memory" else DirectoryVolume(tmp_path, fsync=False)
    size = 12 * MIB
    with virtual_server(size, messages=30, restore_files=way, volume=volume) as server:
        databases = databases_of(server.session(), "G1")
        full = back_up(server.session(), "G1")
        edb = server.groups[0].spec.stores[0].edb
        rows = server.journal.rows(edb)
        rule = rule_of(size, config_of_server(server))
        server.run_workload("G1", 50)
        make_free(server, "G1")
        restore(server, "G1", databases, [full])
        assert server.journal.rows(edb) == rows
        database = database_of(server)
        assert not database.pages.file.generated((rule.first_pgno + 1) * 4096, 4096)
        assert list(ballast_problems(database.tables[BALLAST], rule)) == []
        server.run_workload("G1", 50)
        assert back_up(server.session(), "G1")


def test_snapshots_of_a_server_share_what_is_generated() -> None:
    with virtual_server(TIB) as server:
        copy = Snapshot(server).restore()
        for each in (server, copy):
            each.run_workload("G1", 40)
        path = to_volume_path(database_of(server).edb)
        files = [each.volume.open(path) for each in (server, copy)]
        for offset in (0, 1 << 39, TIB - 4 * MIB):
            assert files[0].read(offset, 4 * MIB) == files[1].read(offset, 4 * MIB)
        copy.close()


def test_damaged_page_among_generated_ones_is_found() -> None:
    with virtual_server(12 * MIB) as server:
        copy = OpenCopy(server)
        server.damage_page(copy.database.edb, 1000)
        copy.read(3 * 4096)
        with pytest.raises(EseBackupError) as caught:
            while copy.read(MIB):
                pass
        assert caught.value.jet == -1018
        assert [event.id for event in server.events if event.id == 474]


def test_server_comes_back_from_a_crash_during_a_backup() -> None:
    with virtual_server(64 * GIB, steps_per_call=2) as server:
        copy = OpenCopy(server)
        for _ in range(20):
            copy.read(256 * 1024)
        server.crash(seed=3)
        assert database_of(server).pages.last_pgno == 64 * GIB // 4096 - 2
        copy = OpenCopy(server)
        assert copy.size == 64 * GIB + 4096
        copy.go_to(1 << 22)
        assert page_is_good(copy.read(4096), 1 << 22)


VIRTUAL: Final = """
[[group]]
name = "G1"
log_size = "64 KiB"
[[group.store]]
name = "S1"
size = {size}
"""


def test_a_directory_holds_a_tebibyte(tmp_path: Path) -> None:
    topology = tmp_path / "virtual.toml"
    topology.write_text(VIRTUAL.format(size='"1 TiB"'))
    directory = tmp_path / "server"
    with create_directory_server(topology, directory) as server:
        server.run_workload("G1", 100)
    rows = server.journal.rows(server.groups[0].spec.stores[0].edb)
    used = sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
    assert used < 8 * MIB
    with DirectoryServer(directory) as again:
        database = database_of(again)
        assert database.pages.last_pgno == TIB // 4096 - 2
        assert again.journal.rows(database.edb) == rows
        table = database.tables[BALLAST]
        number = 2 * rule_of(TIB, config_of_server(again)).end_pgno - 1
        assert table.primary.last_key() == table.key({"Id": number})
        copy = OpenCopy(again)
        copy.go_to(1 << 27)
        assert page_is_good(copy.read(4096), 1 << 27)


@pytest.mark.parametrize(
    ("size", "profile", "says"),
    [
        ('"2 MiB"', PROFILES[1], "2097152 bytes; use a multiple of 4096 from 4 MiB to 4 TiB"),
        ('"8 TiB"', PROFILES[1], "4 TiB"),
        ("8388609", PROFILES[1], "multiple of 4096"),
        ('"4 MiB"', PROFILES[2], "multiple of 8192 from 8 MiB"),
        ('"1 PB"', PROFILES[1], "is no size"),
    ],
)
def test_sizes_that_cannot_be_are_refused(size: str, profile: str, says: str) -> None:
    text = f'[server]\nprofile = "{profile}"\n' + VIRTUAL.format(size=size)
    with pytest.raises(TopologyError, match=r"group\[0\].store\[0\].size") as caught:
        load_topology(text)
    assert says in str(caught.value)


def test_size_is_read_from_a_topology() -> None:
    topology = load_topology(VIRTUAL.format(size='"64 GiB"'))
    assert topology.groups[0].stores[0].size == 64 * GIB
    assert completed(topology) == topology
