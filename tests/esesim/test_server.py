"""A whole server: determinism, parallel clients, crashes, and rows that are what was committed."""

from __future__ import annotations

import io
import threading

import pytest

from eseback.constants import BackupType
from eseback.errors import EseBackupError
from esesim.engine.inspect import check_file, read_rows
from esesim.journal import differences
from esesim.server import SimulatedServer
from esesim.topology import load_topology
from esesim.transcript import Recorder
from esesim.volume import DirectoryVolume, MemoryVolume, PowerLoss
from esesim.windows_path import to_volume_path
from tests.esesim.support.servers import (
    back_up,
    prepare,
    small_server,
    small_topology,
    volume_bytes,
)

DIRECTORIES = ("C/Program Files/Exchsrvr/mdbdata", "C/Program Files/Exchsrvr/G2")


def one_group(server: SimulatedServer, group: str, sink: io.StringIO) -> None:
    api = Recorder(server.session(), sink)
    back_up(api, group, size=40_000)
    server.run_workload(group, 50)
    back_up(api, group, BackupType.LOGS_ONLY, size=65_528)


def finished(parallel: bool) -> tuple[dict[str, bytes], list[str], list[object]]:
    """Files, transcripts and events after the same work in two groups."""
    server = small_server(groups=2, stores=2, steps_per_call=2)
    sinks = {name: io.StringIO() for name in ("G1", "G2")}
    threads = [
        threading.Thread(target=one_group, args=(server, name, sink))
        for name, sink in sinks.items()
    ]
    for thread in threads:
        thread.start()
        if not parallel:
            thread.join()
    for thread in threads:
        thread.join()
    server.close()
    files = volume_bytes(server, *DIRECTORIES)
    assert len(files) > 20
    return files, [sink.getvalue() for sink in sinks.values()], list(server.events)


def test_parallel_and_serial_leave_the_same_bytes() -> None:
    assert finished(parallel=False) == finished(parallel=True)


def test_memory_and_directory_hold_the_same_files(tmp_path: object) -> None:
    volumes = (MemoryVolume(), DirectoryVolume(tmp_path))  # type: ignore[arg-type]
    found = []
    for volume in volumes:
        with SimulatedServer(small_topology(steps_per_call=1), volume=volume) as server:
            back_up(server.session(), "G1")
        found.append(volume_bytes(server, DIRECTORIES[0]))
    assert found[0] == found[1]


def test_another_seed_gives_other_files() -> None:
    contents = []
    for seed in (1, 2):
        with SimulatedServer(small_topology(), seed=seed) as server:
            assert server.topology.server.seed == seed
        contents.append(volume_bytes(server, DIRECTORIES[0]))
    assert contents[0].keys() == contents[1].keys()
    assert contents[0] != contents[1]


def check_rows(server: SimulatedServer) -> int:
    """Databases of a closed server hold exactly what was committed; returns the messages."""
    messages = 0
    for group in server.groups:
        for store in group.spec.stores:
            paths = to_volume_path(store.edb), to_volume_path(store.stm)
            expected = server.journal.rows(store.edb)
            assert differences(expected, read_rows(server.volume, *paths)) == []
            assert check_file(server.volume, *paths) == []
            messages += len(expected["Msg"])
    return messages


def test_rows_are_what_was_committed() -> None:
    with SimulatedServer(load_topology("demo")) as server:
        for group in server.groups:
            group.run_workload(150)
    assert check_rows(server) > 400


@pytest.mark.parametrize("seed", range(4))
def test_after_a_crash_every_commit_is_there(seed: int) -> None:
    server = small_server(groups=2, stores=2, steps_per_call=3, dismounted=("G2S2",), seed=seed)
    api = server.session()
    prepared = prepare(api)
    api.backup_setup(prepared.context, prepared.instances["G1"], BackupType.FULL)
    volume = server.volume
    assert isinstance(volume, MemoryVolume)
    volume.fail_after_writes(20 + 37 * seed)
    with pytest.raises(PowerLoss):
        for _ in range(500):
            server.run_workload("G1", 1)
            server.run_workload("G2", 1)
    server.crash(seed)
    assert [group.mounted for group in server.groups] == [("G1S1", "G1S2"), ("G2S1",)]
    assert 302 in [event.id for event in server.groups[0].events]
    with pytest.raises(EseBackupError) as caught:
        api.backup_end(prepared.context)
    assert caught.value.name == "hrInvalidHandle"
    server.run_workload("G1", 100)
    server.run_workload("G2", 100)
    back_up(server.session(), "G1")
    server.mount("G2", "G2S2")
    server.close()
    assert check_rows(server) > 20


def test_only_memory_can_lose_power(tmp_path: object) -> None:
    volume = DirectoryVolume(tmp_path)  # type: ignore[arg-type]
    with (
        SimulatedServer(small_topology(), volume=volume) as server,
        pytest.raises(TypeError, match="MemoryVolume"),
    ):
        server.crash()


def test_closing_breaks_off_a_backup_and_leaves_clean_databases() -> None:
    server = small_server(steps_per_call=2)
    api = server.session()
    prepared = prepare(api)
    api.backup_setup(prepared.context, prepared.instances["G1"], BackupType.FULL)
    api.backup_open_file(prepared.context, prepared.streams["G1"][0])
    server.close()
    server.close()
    assert 226 in [event.id for event in server.events]
    check_rows(server)
    with pytest.raises(EseBackupError) as caught:
        api.backup_read_file(prepared.context, 1, bytearray(1))
    assert caught.value.jet == -520


def test_going_on_gives_what_not_stopping_would_have_given() -> None:
    """Clock and random stream resume; only what stopping itself writes differs."""
    topology = small_topology(messages=30)
    server = SimulatedServer(topology)
    server.run_workload("G1", 40)
    mounted = server.state()["G1"].mounted
    server.close()
    state = server.state()["G1"]
    assert state.mounted == ()
    remembered = type(state).from_json({**state.to_json(), "mounted": list(mounted)})
    again = SimulatedServer(topology, volume=server.volume, resume={"G1": remembered})
    group = again.groups[0]
    assert group.mounted == ("G1S1",)
    assert (group.clock.milliseconds, group.rng.getstate()) == (state.milliseconds, state.random)
    edb = group.spec.stores[0].edb
    assert again.journal.rows(edb) == server.journal.rows(edb)
    again.run_workload("G1", 40)
    again.close()
    assert again.journal.rows(edb) != server.journal.rows(edb)
    check_rows(again)


def test_workload_runs_before_each_call_of_the_group() -> None:
    counts = {}
    for steps in (0, 1, 5):
        server = small_server(groups=2, steps_per_call=steps)
        before = [group.clock.milliseconds for group in server.groups]
        api = server.session()
        prepared = prepare(api)
        api.backup_setup(prepared.context, prepared.instances["G1"], BackupType.FULL)
        for _ in range(9):
            api.backup_get_dependency_info(prepared.context)
        passed = [
            group.clock.milliseconds - b for group, b in zip(server.groups, before, strict=True)
        ]
        assert passed[1] == 0, "calls of one group are nothing to the other"
        counts[steps] = passed[0]
    assert counts == {0: 10 * 20, 1: 10 * (20 + 250), 5: 10 * (20 + 5 * 250)}
