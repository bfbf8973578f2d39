"""Storage groups: mounting, the instances of a server process, and limits."""

from __future__ import annotations

import pytest
from attrs import evolve

from eseback.constants import BackupType, InstanceEnd
from eseback.errors import EseBackupError
from eseback.jeterr import JetErr
from esesim.engine.errors import JetError
from esesim.exchange import InstanceSlots
from esesim.server import SimulatedServer
from esesim.windows_path import to_volume_path
from tests.esesim.support.servers import back_up, prepare, small_server, small_topology


def mounted(server: SimulatedServer) -> list[str]:
    """The mounted stores of the first group; its instance runs while there are any."""
    group = server.groups[0]
    assert (group.instance is not None) == bool(group.mounted)
    return list(group.mounted)


def test_the_instance_runs_while_a_store_is_mounted() -> None:
    server = small_server(stores=2)
    assert mounted(server) == ["G1S1", "G1S2"]
    server.dismount("g1", "g1s1")
    assert mounted(server) == ["G1S2"]
    server.dismount("G1", "G1S2")
    assert mounted(server) == []
    server.run_workload("G1", 5)
    server.mount("G1", "G1S1")
    assert mounted(server) == ["G1S1"]
    server.mount("G1", "G1S1")
    server.dismount("G1", "G1S2")
    assert mounted(server) == ["G1S1"]


def test_mounting_is_locked_from_setup_to_instance_end() -> None:
    server = small_server(groups=2, stores=2, steps_per_call=1, dismounted=("G1S2",))
    api = server.session()
    prepared = prepare(api)
    api.backup_setup(prepared.context, prepared.instances["G1"], BackupType.FULL)
    for change, store in ((server.mount, "G1S2"), (server.dismount, "G1S1")):
        with pytest.raises(EseBackupError) as caught:
            change("G1", store)
        assert caught.value.jet == JetErr.BACKUP_IN_PROGRESS
    assert server.groups[0].mounted == ("G1S1",)
    server.dismount("G2", "G2S1")
    api.backup_instance_end(prepared.context, InstanceEnd.ERROR)
    server.mount("G1", "G1S2")
    server.dismount("G1", "G1S1")


def test_a_refused_dismount_changes_nothing() -> None:
    server = small_server(steps_per_call=3)
    server.run_workload("G1", 100)
    api = server.session()
    prepared = prepare(api)
    api.backup_setup(prepared.context, prepared.instances["G1"], BackupType.FULL)
    before = (server.groups[0].running.log.tail, server.groups[0].rng.getstate())
    with pytest.raises(EseBackupError):
        server.dismount("G1", "G1S1")
    assert (server.groups[0].running.log.tail, server.groups[0].rng.getstate()) == before


def test_unknown_names_say_which_are_known() -> None:
    server = small_server(groups=2)
    with pytest.raises(LookupError, match=r"no storage group 'G9'; the server has 'G1', 'G2'"):
        server.run_workload("G9", 1)
    with pytest.raises(LookupError, match=r"no store 'X' in 'G1'; it has 'G1S1'"):
        server.mount("G1", "X")
    with pytest.raises(LookupError, match="has none"):
        small_server(groups=0).dismount("G1", "X")


def test_a_store_mounted_later_is_made_and_filled() -> None:
    server = small_server(stores=2, dismounted=("G1S2",), messages=25)
    edb = server.groups[0].spec.stores[1].edb
    assert not server.journal.rows(edb)["Msg"]
    server.mount("G1", "G1S2")
    rows = server.journal.rows(edb)
    assert (len(rows["Msg"]), len(rows["Folder"])) == (25, 4)


def test_a_new_store_blocks_incrementals_only_while_it_is_mounted() -> None:
    server = small_server(stores=2, dismounted=("G1S2",))
    back_up(server.session(), "G1")
    server.mount("G1", "G1S2")
    with pytest.raises(EseBackupError) as caught:
        back_up(server.session(), "G1", BackupType.LOGS_ONLY)
    assert caught.value.hresult == 0xC8000230
    server.dismount("G1", "G1S2")
    back_up(server.session(), "G1", BackupType.LOGS_ONLY)


@pytest.mark.parametrize("switched_on", [False, True])
def test_truncation_waits_for_dismounted_stores(switched_on: bool) -> None:
    topology = small_topology(stores=2, dismounted=("G1S2",))
    (group,) = topology.groups
    group = evolve(group, truncate_with_dismounted=switched_on)
    with SimulatedServer(evolve(topology, groups=(group,))) as server:
        server.run_workload("G1", 600)
        before = server.groups[0].running.files.closed_generations()
        back_up(server.session(), "G1")
        after = server.groups[0].running.files.closed_generations()
        assert (after[0] > before[0]) == switched_on
        assert (224 in [event.id for event in server.events]) == switched_on
        server.mount("G1", "G1S2")
        back_up(server.session(), "G1")
        assert server.groups[0].running.files.closed_generations()[0] > before[0]


def test_slots_for_instances() -> None:
    slots = InstanceSlots(16, 4)
    for number in range(16):
        slots.reserve(f"I{number}", storage_group=number < 3)
    assert slots.in_use == 16
    with pytest.raises(JetError, match="has 16 instances") as caught:
        slots.reserve("I16", storage_group=True)
    assert caught.value.err == -1214
    slots.release("I9")
    slots.release("I9")
    with pytest.raises(JetError) as caught:
        slots.reserve("I3", storage_group=False)
    assert caught.value.err == JetErr.INSTANCE_NAME_IN_USE
    slots.reserve("I16", storage_group=True)
    slots.release("I10")
    with pytest.raises(JetError, match="4 storage groups run already") as caught:
        slots.reserve("I17", storage_group=True)
    assert caught.value.err == -1214
    slots.reserve("I17", storage_group=False)


def test_groups_share_the_slots_of_the_process_with_restores() -> None:
    server = small_server(groups=4, dismounted=("G4S1",))
    slots = server.groups[0]._slots
    assert slots.in_use == 3
    for number in range(13):
        slots.reserve(f"restore {number}", storage_group=False)
    with pytest.raises(EseBackupError) as caught:
        server.mount("G4", "G4S1")
    assert caught.value.jet == -1214
    server.dismount("G1", "G1S1")
    server.mount("G4", "G4S1")
    with pytest.raises(EseBackupError):
        server.mount("G1", "G1S1")


def test_a_mount_that_fails_leaves_no_instance_behind() -> None:
    server = small_server(dismounted=("G1S1",))
    group = server.groups[0]
    edb = group.spec.stores[0].edb
    server.mount("G1", "G1S1")
    server.dismount("G1", "G1S1")
    file = server.volume.open(to_volume_path(edb))
    file.write(0, bytes(8192))
    file.close()
    with pytest.raises(EseBackupError) as caught:
        server.mount("G1", "G1S1")
    assert caught.value.jet == JetErr.DATABASE_CORRUPTED
    assert (group.instance, group.mounted, group._slots.in_use) == (None, (), 0)


def test_a_store_that_fails_does_not_keep_the_others_from_work() -> None:
    server = small_server(stores=2, dismounted=("G1S1", "G1S2"))
    group = server.groups[0]
    broken = to_volume_path(group.spec.stores[1].edb)
    server.volume.make_directory(broken.rpartition("/")[0])
    server.volume.create(broken, 8192).close()
    with pytest.raises(JetError, match="DATABASE_CORRUPTED"):
        group.mount("G1S1", "G1S2")
    assert mounted(server) == ["G1S1"]
    tail = group.running.log.tail
    server.run_workload("G1", 20)
    assert group.running.log.tail > tail


def test_xor_pages_of_2003() -> None:
    topology = small_topology(profile="exchange-2003-rtm")
    with SimulatedServer(topology) as server:
        files = back_up(server.session(), "G1")
    edb = next(data for name, data in files.items() if name.endswith(".edb"))
    # Page 4, the root of the catalog: flag 0x2000 marks the newer checksum.
    flags = int.from_bytes(edb[5 * 4096 + 36 : 5 * 4096 + 40], "little")
    assert not flags & 0x2000
    assert edb[5 * 4096 + 4 : 5 * 4096 + 8] == (4).to_bytes(4, "little")
