"""Versions of Exchange: what their files look like, what they allow, what they do differently."""

from __future__ import annotations

import json
from typing import Any

import pytest
from attrs import evolve

from eseback.constants import BackupType, InstanceEnd
from eseback.errors import EseBackupError
from eseback.formats.dbheader import DatabaseHeader
from eseback.formats.fields import NO_BACKUP
from eseback.formats.logheader import LogHeader
from eseback.formats.trailer import Trailer
from eseback.jeterr import JetErr
from esesim.engine.errors import JetError
from esesim.server import SimulatedServer
from esesim.topology import PROFILES, StoreSpec, Topology, TopologyError, completed
from esesim.windows_path import to_volume_path
from tests.esesim.support.profiles import (
    golden_path,
    group_topology,
    make_manifest,
    recovered_rows,
)
from tests.esesim.support.servers import back_up, prepare, read_file, small_topology

pytestmark = pytest.mark.uncovered

EVERY = pytest.mark.parametrize("profile", PROFILES)
OF_2000 = ("exchange-2000-rtm", "exchange-2000-sp1", "exchange-2000-sp2")
PATCHING = OF_2000[:2]
LOGS = BackupType.LOGS_ONLY


def server_of(profile: str, stores: int = 1, **options: Any) -> SimulatedServer:
    return SimulatedServer(group_topology(stores, profile=profile, **options))


def header_of(image: bytes) -> DatabaseHeader:
    return DatabaseHeader.read(image[:16384])


# -- files


@EVERY
def test_golden_files(profile: str) -> None:
    """Changed on purpose? python -m tests.esesim.support.profiles, and look at the difference."""
    expected = json.loads(golden_path(profile).read_text("utf-8"))
    assert make_manifest(profile) == expected


def test_golden_files_tell_the_versions_apart() -> None:
    texts = {profile: golden_path(profile).read_text("utf-8") for profile in PROFILES}
    same = {("exchange-2000-rtm", "exchange-2000-sp1"), ("exchange-2007", "exchange-2007-sp1")}
    for one in PROFILES:
        for other in PROFILES:
            alike = one == other or (one, other) in same or (other, one) in same
            assert (texts[one] == texts[other]) == alike, (one, other)


@EVERY
def test_files_of_a_full_backup(profile: str) -> None:
    facts = PROFILES[profile]
    server = server_of(profile)
    files = back_up(server.session(), "G1", truncate=False)
    store = server.groups[0].spec.stores[0]
    image = files[store.edb]
    header = header_of(image)
    assert (header.page_size, header.revision) == (facts.page_size, facts.database_revision)
    assert (store.stm in files) == facts.streaming == bool(header.flags & 4)
    on_disk = server.volume.size(to_volume_path(store.edb))
    trailers = 0 if facts.patch_files else 1
    assert len(image) == on_disk + trailers * facts.page_size
    if trailers:
        assert Trailer.unpack(image[-facts.page_size :]).sign_db == header.sign_db
    logs = [name for name in files if name.lower().endswith(".log")]
    assert all(len(name.rpartition("\\")[2]) == 7 + facts.generation_digits for name in logs)
    log = LogHeader.unpack(files[logs[0]][:4096])
    assert (log.page_size, log.update) == (facts.page_size, facts.log_update)
    assert [name[-4:] for name in files if name.endswith(".pat")] == [".pat"] * facts.patch_files
    # Flag 0x2000 of page 4, the root of the catalog, tells a checksum with ECC.
    page = image[5 * facts.page_size : 6 * facts.page_size]
    assert bool(int.from_bytes(page[36:40], "little") & 0x2000) == facts.page_ecc


@EVERY
def test_backups_of_every_version_recover(profile: str) -> None:
    server = server_of(profile, stores=2, steps_per_call=2, messages=20)
    server.run_workload("G1", 60)
    sets = [back_up(server.session(), "G1")]
    server.run_workload("G1", 30)
    sets.append(back_up(server.session(), "G1", LOGS))
    for found, expected in recovered_rows(server, sets).values():
        assert found == expected
        assert len(found["Msg"]) >= 10


@pytest.mark.parametrize("profile", PATCHING)
def test_patch_files_are_listed_with_the_logs_and_needed(profile: str) -> None:
    server = server_of(profile)
    files = back_up(server.session(), "G1", truncate=False)
    (patch,) = [name for name in files if name.endswith(".pat")]
    assert list(files)[-1] == patch
    assert patch == server.groups[0].spec.stores[0].edb[:-4] + ".pat"
    assert not server.volume.exists(to_volume_path(patch)), "gone with the backup"
    (pair,) = recovered_rows(server, [files]).values()
    assert pair[0] == pair[1]
    del files[patch]
    with pytest.raises(JetError) as caught:
        recovered_rows(server, [files])
    assert caught.value.err == JetErr.PATCH_FILE_MISSING


def test_files_of_a_new_group() -> None:
    for profile, reserved, size, folder in (
        ("exchange-2003-sp1", "res1.log", 5 << 20, "Exchsrvr/mdbdata"),
        ("exchange-2007", "E00res00001.jrs", 1 << 20, "Mailbox/G1"),
    ):
        topology = group_topology(profile=profile, log_size=0)
        with SimulatedServer(topology) as server:
            directory = to_volume_path(server.groups[0].spec.log_path)
            names = server.volume.list(directory)
            assert directory.endswith(folder)
            assert reserved in names
            assert server.volume.size(f"{directory}/E00.log") == size
            assert server.volume.size(f"{directory}/{reserved}") == size
            assert any(name.endswith(".stm") for name in names) == PROFILES[profile].streaming


# -- what headers remember


@EVERY
def test_copies_and_differentials_are_noted_from_2007_on(profile: str) -> None:
    server = server_of(profile)
    back_up(server.session(), "G1")
    (database,) = server.groups[0].running.databases.values()
    full = database.header
    assert full.bkinfo_full_prev.gen_high > 0
    back_up(server.session(), "G1", truncate=False)
    back_up(server.session(), "G1", LOGS, truncate=False)
    header = database.header
    assert (header.bkinfo_full_prev, header.bkinfo_inc_prev) == (full.bkinfo_full_prev, NO_BACKUP)
    noted = (header.bkinfo_copy_prev, header.bkinfo_diff_prev)
    if PROFILES[profile].copy_marks:
        assert noted[0].gen_high == full.bkinfo_full_prev.gen_high + 1
        assert noted[1].gen_high == noted[0].gen_high + 1
        assert noted[1].mark > noted[0].mark
    else:
        assert noted == (NO_BACKUP, NO_BACKUP)
        assert header == evolve(full, gen_max_required=header.gen_max_required)
    back_up(server.session(), "G1", LOGS)
    back_up(server.session(), "G1")
    assert database.header.bkinfo_diff_prev == NO_BACKUP
    assert database.header.bkinfo_copy_prev == noted[0]


# -- what an error ends


def state_after(server: SimulatedServer, error: int, *, damage: bool) -> bool:
    """Open what is not there, or read a damaged page; whether the backup goes on."""
    api = server.session()
    prepared = prepare(api)
    context = prepared.context
    edb = server.groups[0].spec.stores[0].edb
    api.backup_setup(context, prepared.instances["G1"], BackupType.FULL)
    if damage:
        server.damage_page(edb)
    with pytest.raises(EseBackupError) as caught:
        read_file(api, context, edb if damage else "C:\\x.edb")
    assert caught.value.jet == error
    try:
        api.backup_get_log_and_patch_files(context)
    except EseBackupError as error_after:
        assert error_after.jet == JetErr.NO_BACKUP
        server.dismount("G1", "G1S1")
        return False
    return True


@EVERY
def test_an_error_with_a_database_ends_backups_of_2000_only(profile: str) -> None:
    goes_on = profile not in OF_2000
    server = server_of(profile)
    assert state_after(server, JetErr.DATABASE_NOT_FOUND, damage=False) == goes_on
    ids = [event.id for event in server.events]
    assert ids[1:] == ([217, 223] if goes_on else [217, 214])
    server = server_of(profile)
    assert state_after(server, JetErr.READ_VERIFY_FAILURE, damage=True) == goes_on
    ids = [event.id for event in server.events]
    assert ids[1:] == [220, 474, 217, 222, 223 if goes_on else 214]


@EVERY
def test_a_missing_file_has_another_error_in_2000(profile: str) -> None:
    error = JetErr.FILE_NOT_FOUND if profile in OF_2000 else JetErr.MISSING_FILE_TO_BACKUP
    server = server_of(profile)
    api = server.session()
    prepared = prepare(api)
    api.backup_setup(prepared.context, prepared.instances["G1"], BackupType.FULL)
    (log, *_) = api.backup_get_log_and_patch_files(prepared.context)
    with pytest.raises(EseBackupError) as caught:
        api.backup_open_file(prepared.context, log[:-5] + "F.log")
    assert caught.value.jet == error
    # The log that an incremental needs next is gone: noticed when the logs are listed.
    back_up(server.session(), "G1")
    server.run_workload("G1", 200)
    files = server.groups[0].running.files
    for generation in files.closed_generations():
        server.volume.delete(files.closed(generation))
    context = prepare(api)
    api.backup_setup(context.context, context.instances["G1"], LOGS)
    with pytest.raises(EseBackupError) as caught:
        api.backup_get_log_and_patch_files(context.context)
    assert caught.value.jet == error
    assert [event.id for event in server.events][-2:] == [459, 214]
    with pytest.raises(EseBackupError) as caught:
        api.backup_instance_end(context.context, InstanceEnd.SUCCESS)
    assert caught.value.jet == JetErr.NO_BACKUP


# -- limits


def groups_of(count: int, profile: str, *, mounted: int | None = None) -> Topology:
    up = count if mounted is None else mounted
    topology = small_topology(count, 1, profile=profile, messages=1)
    return evolve(
        topology,
        groups=tuple(
            evolve(g, stores=tuple(evolve(s, mounted=n < up) for s in g.stores))
            for n, g in enumerate(topology.groups)
        ),
    )


@pytest.mark.parametrize(
    ("profile", "most"), [("exchange-2000-rtm", 4), ("exchange-2003-sp1", 4), ("exchange-2007", 50)]
)
def test_storage_groups_of_a_version(profile: str, most: int) -> None:
    with pytest.raises(TopologyError, match=f"{most + 1} storage groups, but .* at most {most}"):
        completed(groups_of(most + 1, profile))
    with SimulatedServer(groups_of(most, profile)) as server:
        _, instances = server.session().backup_prepare("EXCHSRV1", "Microsoft Information Store")
        assert len(instances) == most
        # The limit is the process's too, whatever a topology says.
        with pytest.raises(JetError) as caught:
            server.groups[0]._slots.reserve("one more", storage_group=True)
        assert caught.value.err == JetErr.TOO_MANY_INSTANCES


def test_the_last_group_of_2007_is_backed_up() -> None:
    with SimulatedServer(groups_of(50, "exchange-2007", mounted=1)) as server:
        server.mount("G50", "G50S1")
        files = back_up(server.session(), "G50")
        assert any(name.endswith("\\E3100000001.log") for name in files)


@pytest.mark.parametrize(("profile", "most"), [("exchange-2003-sp1", 16), ("exchange-2007", 62)])
def test_instances_of_a_process(profile: str, most: int) -> None:
    with SimulatedServer(groups_of(4, profile, mounted=3)) as server:
        slots = server.groups[0]._slots
        for number in range(most - 3):
            slots.reserve(f"restore {number}", storage_group=False)
        with pytest.raises(EseBackupError) as caught:
            server.mount("G4", "G4S1")
        assert caught.value.jet == JetErr.TOO_MANY_INSTANCES
        slots.release("restore 0")
        server.mount("G4", "G4S1")


@EVERY
def test_stores_of_a_group(profile: str) -> None:
    with pytest.raises(TopologyError, match=r"group\[0\].store: 6 stores, but .* at most 5"):
        completed(group_topology(6, profile=profile))
    with SimulatedServer(group_topology(5, profile=profile, messages=1)) as server:
        instance = server.groups[0].running
        extra = [StoreSpec(f"extra {n}", f"C:\\extra{n}.edb") for n in (6, 7)]
        # The engine has one slot more than the product; the one after that is none.
        instance.create_database(extra[0].edb)
        with pytest.raises(JetError) as caught:
            instance.create_database(extra[1].edb)
        assert caught.value.err == JetErr.TOO_MANY_ATTACHED_DATABASES


def test_only_versions_with_streaming_files_take_them() -> None:
    store = StoreSpec("S", stm="C:\\s.stm")
    topology = group_topology(profile="exchange-2007")
    (group,) = topology.groups
    with pytest.raises(TopologyError, match=r"store\[0\].stm: .* has no streaming files"):
        completed(evolve(topology, groups=(evolve(group, stores=(store,)),)))


@pytest.mark.parametrize(
    ("profile", "depth", "last"),
    [
        ("exchange-2000-sp2", 256, 0xFFFEF),
        ("exchange-2003-rtm", 1008, 0xFFFEF),
        ("exchange-2007", 1008, 0x7FFFF800),
    ],
)
def test_limits_of_the_log_stream(profile: str, depth: int, last: int) -> None:
    with server_of(profile) as server:
        config = server.groups[0].running.config
        assert (config.checkpoint_depth_max, config.generation_max) == (depth, last)
