"""Whole restores through the documented calls: what is mounted afterwards is what was backed up."""

from __future__ import annotations

import pytest

from eseback.constants import BackupType, RestoreClose, RestoreComplete
from eseback.errors import EseBackupError, JetErr
from esesim.volume import MemoryVolume
from tests.esesim.support.restores import (
    ATTACH,
    KEEP,
    NONE,
    NOWAIT,
    assert_rows,
    backed_up,
    complete,
    make_free,
    open_restore,
    restore,
    send_logs,
    send_set,
    store_rows,
)
from tests.esesim.support.servers import back_up

pytestmark = pytest.mark.uncovered

G1 = "G1"
WAYS = ("handle", "file_level")
VERSIONS = ("exchange-2000-rtm", "exchange-2003-rtm", "exchange-2003-sp1", "exchange-2007")


@pytest.mark.parametrize("way", WAYS)
def test_a_disaster_and_a_full_set(way: str) -> None:
    scene = backed_up()
    with scene.server(restore_files=way) as server:
        server.destroy_group(G1)
        make_free(server, G1)
        restore(server, G1, scene.databases[G1], [scene.full[G1]])
        group = server.group(G1)
        assert group.mounted == ("G1S1", "G1S2")
        # The truth starts anew, with what came back.
        for store in group.spec.stores:
            assert_rows(scene.rows_full[store.name], server.journal.rows(store.edb))
        server.run_workload(G1, 40)
        server.terminate(G1)
        for store in group.spec.stores:
            assert_rows(server.journal.rows(store.edb), store_rows(server, store))


@pytest.mark.parametrize("profile", VERSIONS)
def test_a_chain_in_every_era(profile: str) -> None:
    scene = backed_up(stores=1, profile=profile, steps_per_call=1)
    with scene.free_server() as server:
        restore(
            server, G1, scene.databases[G1], [scene.full[G1], scene.incremental[G1]], flags=NONE
        )
        store = server.group(G1).spec.stores[0]
        assert not server.group(G1).is_mounted(store.name)
        assert_rows(scene.rows_incremental[store.name], store_rows(server, store))


def test_a_chain_brings_the_rows_of_its_last_set() -> None:
    scene = backed_up()
    with scene.free_server() as server:
        restore(server, G1, scene.databases[G1], [scene.full[G1], scene.incremental[G1]])
        for store in server.group(G1).spec.stores:
            assert scene.rows_full[store.name] != scene.rows_incremental[store.name]
            assert_rows(scene.rows_incremental[store.name], server.journal.rows(store.edb))


def test_one_store_of_a_group_comes_back_beside_the_other() -> None:
    scene = backed_up()
    with scene.server() as server:
        make_free(server, G1, "G1S1")
        first, second = server.group(G1).spec.stores
        at_work = server.journal.rows(second.edb)
        full = {n: d for n, d in scene.full[G1].items() if n not in second.streams}
        restore(server, G1, scene.databases[G1], [full])
        assert server.group(G1).mounted == (first.name, second.name)
        assert_rows(scene.rows_full[first.name], server.journal.rows(first.edb))
        assert_rows(at_work, server.journal.rows(second.edb))
        server.run_workload(G1, 60)


def test_after_a_restore_only_a_full_backup_is_possible() -> None:
    scene = backed_up(stores=1)
    with scene.free_server() as server:
        restore(server, G1, scene.databases[G1], [scene.full[G1]])
        with pytest.raises(EseBackupError) as refused:
            back_up(server.session(), G1, BackupType.LOGS_ONLY)
        assert refused.value.jet == JetErr.MISSING_FULL_BACKUP
        assert back_up(server.session(), G1)
        assert back_up(server.session(), G1, BackupType.LOGS_ONLY)


def test_the_backup_of_a_restored_server_can_be_restored() -> None:
    scene = backed_up(stores=1)
    with scene.server() as server:
        server.destroy_group(G1)
        make_free(server, G1)
        restore(server, G1, scene.databases[G1], [scene.full[G1]])
        server.run_workload(G1, 50)
        again = back_up(server.session(), G1)
        store = server.group(G1).spec.stores[0]
        expected = server.journal.rows(store.edb)
        server.destroy_group(G1)
        restore(server, G1, scene.databases[G1], [again])
        assert_rows(expected, server.journal.rows(store.edb))


def test_several_media_sets_with_reopen_between_them() -> None:
    """Each set in a process of its own, as tapes are changed; nothing but restore.env is kept."""
    scene = backed_up()
    with scene.free_server() as server:
        api = server.session()
        context = open_restore(api, G1, "D:\\restore")
        send_set(server, api, context, scene.databases[G1], scene.full[G1])
        api.restore_save_environment(context)
        api.restore_close(context, RestoreClose.NORMAL)

        later = server.session()
        context = later.restore_reopen("EXCHSRV1", None, "D:\\restore")
        known = later.restore_get_environment(context)
        assert [database.display_name for database in known.databases] == ["G1S1", "G1S2"]
        send_logs(server, later, context, scene.incremental[G1])
        longer = later.restore_get_environment(context)
        assert longer.gen_low == known.gen_low
        assert longer.gen_high > known.gen_high
        complete(later, context)
        later.restore_close(context, RestoreClose.NORMAL)
        for store in server.group(G1).spec.stores:
            assert_rows(scene.rows_incremental[store.name], server.journal.rows(store.edb))


def test_what_is_left_in_the_folder() -> None:
    scene = backed_up(stores=1)
    logs = sorted(name.rpartition("\\")[2] for name in scene.full[G1] if name.endswith(".log"))
    for flags, left in ((ATTACH, []), (ATTACH | KEEP, [*logs, "restore.env"])):
        with scene.free_server() as server:
            restore(server, G1, scene.databases[G1], [scene.full[G1]], flags=flags, folder="D:\\r")
            assert server.volume.list("D/r") == left


@pytest.mark.parametrize("flags", [ATTACH, ATTACH | NOWAIT])
def test_the_same_calls_give_the_same_bytes(flags: RestoreComplete) -> None:
    scene = backed_up()
    contents = []
    for _ in range(2):
        with scene.free_server() as server:
            restore(server, G1, scene.databases[G1], [scene.full[G1]], flags=flags)
            server.run_workload(G1, 20)
            volume = server.volume
            assert isinstance(volume, MemoryVolume)
            events = [(event.id, event.text, event.time) for event in server.events]
        contents.append((_all_bytes(volume), events))
    assert contents[0] == contents[1]


def _all_bytes(volume: MemoryVolume) -> dict[str, bytes]:
    found = {}
    for directory in ("C/Program Files/Exchsrvr/mdbdata",):
        for name in volume.list(directory):
            file = volume.open(f"{directory}/{name}")
            found[name] = file.read(0, file.size)
    return found
