"""Servers in directories: made, left and taken up again, by one process at a time."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from eseback.constants import BackupType
from esesim.inproc import open_transport
from esesim.server import (
    DirectoryServer,
    ServerDirectoryError,
    ServerStartError,
    SimulatedServer,
    create_directory_server,
    read_directory,
)
from esesim.topology import TopologyError
from tests.esesim.support.servers import back_up

GROUP = "First Storage Group"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    path = tmp_path / "server"
    create_directory_server("minimal", path).close()
    return path


def test_a_chain_of_backups_over_several_processes(directory: Path) -> None:
    clocks = []
    for kind in (BackupType.FULL, BackupType.LOGS_ONLY, BackupType.LOGS_ONLY):
        with DirectoryServer(directory) as server:
            clocks.append(server.groups[0].clock.milliseconds)
            server.run_workload(GROUP, 100)
            assert back_up(server.session(), GROUP, kind)
    assert clocks[0] < clocks[1] < clocks[2], "time does not start again"
    events = [event.id for event in read_directory(directory).events]
    assert [number for number in events if number in (210, 211, 213)] == [
        210,
        213,
        211,
        213,
        211,
        213,
    ]


def test_what_was_dismounted_stays_so(directory: Path) -> None:
    with DirectoryServer(directory) as server:
        server.dismount(GROUP, server.groups[0].spec.stores[0].name)
    with DirectoryServer(directory) as server:
        assert server.groups[0].mounted == ()
        server.mount(GROUP, server.groups[0].spec.stores[0].name)
    with DirectoryServer(directory) as server:
        assert len(server.groups[0].mounted) == 1


def test_one_process_at_a_time(directory: Path) -> None:
    with DirectoryServer(directory):
        with pytest.raises(ServerDirectoryError, match=r"in use by process \d+; if that is gone"):
            DirectoryServer(directory)
        # The one that was refused did not take the marker away.
        with pytest.raises(ServerDirectoryError, match="in use"):
            DirectoryServer(directory)
    DirectoryServer(directory).close()


def test_a_start_that_fails_leaves_the_directory_free(directory: Path) -> None:
    (chk,) = directory.rglob("*.chk")
    saved = chk.read_bytes()
    chk.write_bytes(bytes(len(saved)))
    with pytest.raises(ServerStartError, match=r"^First Storage Group cannot start: CHECK"):
        DirectoryServer(directory)
    chk.write_bytes(saved)
    DirectoryServer(directory).close()


def test_closing_twice_writes_events_once(directory: Path) -> None:
    server = DirectoryServer(directory)
    back_up(server.session(), GROUP)
    server.close()
    server.close()
    events = read_directory(directory).events
    assert [event.id for event in events].count(213) == 1


def test_a_killed_process_is_recovered_from(directory: Path) -> None:
    server = DirectoryServer(directory)
    server.run_workload(GROUP, 60)
    copy = directory.with_name("copy")
    shutil.copytree(directory, copy)
    server.close()
    (copy / "in-use").unlink()
    with DirectoryServer(copy) as again:
        ids = [event.id for event in again.events]
        assert ids[0] == 300
        assert 302 in ids
        again.run_workload(GROUP, 60)


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        ("state.json", "{", "state.json is damaged"),
        ("state.json", '{"First Storage Group": {}}', "delete it"),
        ("state.json", "[]", "state.json is damaged"),
        ("events.jsonl", "{}\n", "events.jsonl, line 1 is damaged"),
        ("events.jsonl", "no\n", "events.jsonl, line 1 is damaged"),
    ],
)
def test_damaged_files(directory: Path, file: str, content: str, reason: str) -> None:
    (directory / file).write_text(content, "utf-8")
    with pytest.raises(ServerDirectoryError, match=reason):
        DirectoryServer(directory)
    assert not (directory / "in-use").exists()


def test_directories_that_will_not_do(tmp_path: Path, directory: Path) -> None:
    with pytest.raises(ServerDirectoryError, match="is not empty; give a new directory"):
        create_directory_server("minimal", directory)
    with pytest.raises(ServerDirectoryError, match="esesim init demo"):
        read_directory(tmp_path)
    with pytest.raises(TopologyError):
        create_directory_server("nothing", tmp_path / "new")
    assert not (tmp_path / "new").exists()
    (tmp_path / "file").touch()
    with pytest.raises(ServerDirectoryError, match="file"):
        create_directory_server("minimal", tmp_path / "file" / "below")


def test_transport_for_clients(directory: Path, tmp_path: Path) -> None:
    topology = tmp_path / "t.toml"
    topology.write_text('[[group]]\nname = "G"\nlog_size = "64 KiB"\n[[group.store]]\nname = "S"\n')
    for spec, kind, name in (
        ("minimal", SimulatedServer, GROUP),
        ("inproc:minimal", SimulatedServer, GROUP),
        (str(topology), SimulatedServer, "G"),
        (f"inproc:{directory}", DirectoryServer, GROUP),
    ):
        transport = open_transport(spec)
        assert type(transport) is kind
        assert back_up(transport.session(), name)
        transport.close()
    for spec in ("nothing", "inproc:", "demo.toml"):
        with pytest.raises(ValueError, match=r"demo"):
            open_transport(spec)
