"""Restores that a loss of power breaks off, one step after the other; the rest of the group lives.

What the property test finds by chance (`test_restore_crash.py`) is gone through here in order.
"""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from eseback.constants import RecoverStatus
from eseback.errors import EseBackupError, JetErr
from esesim.inproc import open_transport
from esesim.server import SimulatedServer, create_directory_server
from esesim.volume import MemoryVolume, PowerLoss
from esesim.windows_path import to_volume_path
from tests.esesim.support.restores import (
    ATTACH,
    assert_rows,
    backed_up,
    complete,
    make_free,
    open_restore,
    send_file,
    send_set,
    store_rows,
)
from tests.esesim.support.servers import SERVER

pytestmark = pytest.mark.uncovered

G1 = "G1"
FOLDER = "D:\\restore"
NEVER = 10**9


def memory(server: SimulatedServer) -> MemoryVolume:
    assert isinstance(server.volume, MemoryVolume)
    return server.volume


def one_store_only() -> dict[str, bytes]:
    """The full set with the first store alone."""
    scene = backed_up()
    second = scene.databases[G1][1].streams
    return {name: data for name, data in scene.full[G1].items() if name not in second}


@pytest.mark.parametrize("size", [None, 600_000, 5000, 10, 0])
def test_the_other_store_comes_back_after_a_crash(size: int | None) -> None:
    """The log still has the store attached before it was dismounted; now an image, or a part of
    one, lies in its place."""
    scene = backed_up()
    with scene.server() as server:
        make_free(server, G1, "G1S1")
        server.run_workload(G1, 20)
        api = server.session()
        context = open_restore(api, G1, FOLDER)
        info = scene.databases[G1][0]
        api.restore_add_database(context, info.display_name, info.guid, info.streams)
        send_file(server, api, context, info.streams[0], scene.full[G1][info.streams[0]][:size])
        for seed in range(3):
            server.crash(seed)
            assert server.group(G1).mounted == ("G1S2",)
        second = server.group(G1).store("G1S2")
        server.dismount(G1, "G1S2")
        assert_rows(server.journal.rows(second.edb), store_rows(server, second))
        assert 619 not in [event.id for event in server.events]


def test_power_is_lost_at_every_step_of_complete() -> None:
    """The store beside it is mounted. Whatever step it was: what is done again ends well."""
    marks: Counter[str] = Counter()
    scene = backed_up()
    for after in range(1, 10_000):
        with scene.server() as server:
            make_free(server, G1, "G1S1")
            api = server.session()
            context = open_restore(api, G1, FOLDER)
            send_set(server, api, context, scene.databases[G1], one_store_only())
            api.restore_save_environment(context)
            memory(server).fail_after_writes(after)
            try:
                complete(api, context, ATTACH)
            except PowerLoss:
                server.crash(after)
                marks[take_up(server)] += 1
            else:
                memory(server).fail_after_writes(NEVER)
                marks["no crash"] += 1
            assert set(server.group(G1).mounted) == {"G1S1", "G1S2"}
            store = server.group(G1).store("G1S1")
            assert_rows(scene.rows_full["G1S1"], server.journal.rows(store.edb))
        if marks["no crash"]:
            break
    assert marks["recovered again"] > 50
    assert marks["only tidied up"]
    assert marks["mounted by hand"]


def take_up(server: SimulatedServer) -> str:
    """What a client does after the crash; returns what was left to do."""
    if server.group(G1).is_mounted("G1S1"):
        return "all was done"
    api = server.session()
    try:
        context = api.restore_reopen(SERVER, None, FOLDER)
    except EseBackupError as error:
        assert error.jet == JetErr.FILE_NOT_FOUND
        server.mount(G1, "G1S1")
        return "mounted by hand"
    status = api.restore_get_environment(context).status_last_recover
    before = [event.id for event in server.events].count(204)
    complete(api, context, ATTACH)
    again = [event.id for event in server.events].count(204) - before
    assert again == (status is not RecoverStatus.ENDED)
    return "recovered again" if again else "only tidied up"


def test_pages_of_one_database_never_reach_another() -> None:
    """The side file of a database that was detached does not come back with a loss of power."""
    with backed_up().server() as server:
        server.run_workload(G1, 60)
        config = server.group(G1).running.config
        folder = to_volume_path(config.system_path)

        def side_files(volume: MemoryVolume) -> list[str]:
            return [name for name in volume.list(folder) if name.endswith(".tmp")]

        before = side_files(memory(server))
        assert len(before) == 2
        server.dismount(G1, "G1S1")
        for seed in range(30):
            volume = memory(server).snapshot()
            volume.crash(random.Random(seed))
            assert len(side_files(volume)) <= 1
        server.dismount(G1, "G1S2")
        # What an earlier crash left there is not taken for another database's.
        with server.files.create(f"{config.system_path}\\E00fl3.tmp") as file:
            file.write(b"stale")
        server.mount(G1, "G1S1")
        assert "E00fl3.tmp" not in side_files(memory(server))


def test_a_client_writes_files_through_its_transport(tmp_path: Path) -> None:
    """`inproc:` gives file access to servers in memory and in directories."""
    create_directory_server("minimal", tmp_path / "server").close()
    for spec in ("minimal", str(tmp_path / "server")):
        transport = open_transport(spec)
        with transport.files.create("D:\\restore\\E0000001.log") as file:
            file.write(b"log")
        assert transport.files.read("d:\\restore\\e0000001.LOG") == b"log"
        transport.close()
