"""Known misbehaviour: on where a topology asks for it, absent everywhere else."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from eseback.constants import BackupType, InstanceEnd
from eseback.errors import EseBackupError
from eseback.grade import Grade
from eseback.jeterr import JetErr
from esesim.engine.quirk import Quirk
from esesim.server import SimulatedServer
from esesim.topology import PROFILES, QUIRKS, ServerSpec, TopologyError, completed, quirks_of
from tests.esesim.support.profiles import group_topology, recovered_rows
from tests.esesim.support.servers import back_up, prepare, read_file

pytestmark = pytest.mark.uncovered

SWITCH = pytest.mark.parametrize("on", [False, True])
LOGS = BackupType.LOGS_ONLY


def server_with(quirk: Quirk, on: bool, profile: str = "") -> SimulatedServer:
    info = QUIRKS[quirk.value]
    quirks = (info.id,) if on else ()
    topology = group_topology(profile=profile or info.profiles[0], quirks=quirks)
    return SimulatedServer(topology)


def ids(server: SimulatedServer) -> Sequence[int]:
    return [event.id for event in server.events]


def test_every_quirk_has_its_data() -> None:
    assert {info.quirk for info in QUIRKS.values()} == set(Quirk)
    assert len(QUIRKS) >= 5
    for name, info in QUIRKS.items():
        assert name == info.quirk.value == info.id
        assert info.title and info.source and info.profiles
        assert info.grade is not Grade.ASSUMED, "a quirk that nobody reported is none"
        assert set(info.profiles) <= set(PROFILES)
    for profile, facts in PROFILES.items():
        assert all(profile in QUIRKS[quirk.value].profiles for quirk in facts.quirks)
        found = quirks_of(ServerSpec(profile=profile))
        assert found == facts.quirks
    assert not PROFILES["exchange-2003-sp1"].quirks, "all are off by default"


@pytest.mark.parametrize(
    ("profile", "quirks", "message"),
    [
        ("exchange-2003-sp1", ("short-red",), r"quirks\[0\]: 'short-red' is unknown; choose from"),
        (
            "exchange-2003-sp1",
            ("short-reads", "kb828092-incremental-after-copy"),
            r"quirks\[1\]: .* is not known of Exchange Server 2003 SP1.*; it is of exchange-2000",
        ),
        ("exchange-2007", ("short-reads", "short-reads"), r"quirks\[1\]: .* already used by"),
    ],
)
def test_quirks_of_a_topology_are_checked(
    profile: str, quirks: tuple[str, ...], message: str
) -> None:
    with pytest.raises(TopologyError, match=message):
        completed(group_topology(profile=profile, quirks=quirks))


@SWITCH
def test_incremental_after_copy(on: bool) -> None:
    """KB 828092, in the order of the article: full, three incrementals, copy, incremental."""
    server = server_with(Quirk.INCREMENTAL_AFTER_COPY, on)

    def back_up_later(kind: BackupType, *, truncate: bool = True) -> dict[str, bytes]:
        server.run_workload("G1", 160)
        return back_up(server.session(), "G1", kind, truncate=truncate)

    sets = [back_up_later(BackupType.FULL)]
    sets += [back_up_later(LOGS) for _ in range(3)]
    back_up_later(BackupType.FULL, truncate=False)
    if not on:
        sets.append(back_up_later(LOGS))
        ((found, expected),) = recovered_rows(server, sets).values()
        assert found == expected
        return
    with pytest.raises(EseBackupError) as caught:
        back_up_later(LOGS)
    assert caught.value.call == "backup_get_log_and_patch_files"
    assert caught.value.jet == JetErr.FILE_NOT_FOUND
    assert ids(server)[-2:] == [459, 214]
    # A full backup mends it, as the incrementals before the copy showed.
    back_up_later(BackupType.FULL)
    back_up_later(LOGS)


@SWITCH
def test_pre_extension(on: bool) -> None:
    server = server_with(Quirk.PRE_EXTENSION, on)
    api = server.session()
    prepared = prepare(api)
    edb, stm = server.groups[0].spec.stores[0].streams
    api.backup_setup(prepared.context, prepared.instances["G1"], BackupType.FULL)
    # Without growth there is nothing wrong.
    read_file(api, prepared.context, edb)
    (opened,) = api.backup_open_file(prepared.context, edb)
    database = server.groups[0].running.find(edb)
    assert database is not None
    last = database.pages.last_pgno
    while database.pages.last_pgno == last:
        server.run_workload("G1", 50)
    buffer = bytearray(1 << 22)
    if on:
        with pytest.raises(EseBackupError) as caught:
            api.backup_read_file(prepared.context, opened.handle, buffer)
        assert caught.value.jet == JetErr.FILE_IO_BEYOND_EOF
        event = next(event for event in server.events if event.id == 217)
        assert event.values["error"] == -4001
    else:
        assert api.backup_read_file(prepared.context, opened.handle, buffer) == opened.size
        api.backup_close_file(prepared.context, opened.handle)
    read_file(api, prepared.context, stm)
    api.backup_get_log_and_patch_files(prepared.context)
    api.backup_truncate_logs(prepared.context)
    api.backup_instance_end(prepared.context, InstanceEnd.SUCCESS)
    assert (database.header.bkinfo_full_prev.gen_high > 0) != on


@SWITCH
def test_log_file_not_copied(on: bool) -> None:
    server = server_with(Quirk.LOG_FILE_NOT_COPIED, on)
    server.run_workload("G1", 100)
    api = server.session()
    prepared = prepare(api)
    context = prepared.context
    api.backup_setup(context, prepared.instances["G1"], BackupType.FULL)
    logs = api.backup_get_log_and_patch_files(context)
    before = server.groups[0].running.files.closed_generations()
    for log in logs[:-1]:
        read_file(api, context, log)
    (opened,) = api.backup_open_file(context, logs[-1])
    api.backup_read_file(context, opened.handle, bytearray(opened.size - 4096))
    api.backup_close_file(context, opened.handle)
    if on:
        with pytest.raises(EseBackupError) as caught:
            api.backup_truncate_logs(context)
        assert caught.value.jet == JetErr.LOG_FILE_NOT_COPIED
        assert ids(server)[-1] == 520
        assert server.groups[0].running.files.closed_generations() == before
    else:
        api.backup_truncate_logs(context)
        assert 520 not in ids(server)
    # Read to the end, everything is as it should be.
    read_file(api, context, logs[-1])
    api.backup_truncate_logs(context)
    api.backup_instance_end(context, InstanceEnd.SUCCESS)
    assert ids(server)[-1] == 213


@SWITCH
def test_transient_read_errors(on: bool) -> None:
    server = server_with(Quirk.TRANSIENT_READS, on)
    before = server.groups[0].clock.milliseconds
    files = back_up(server.session(), "G1")
    events = [event for event in server.events if event.id == 493]
    assert [event.values["count"] for event in events] == ([2] if on else [])
    waited = server.groups[0].clock.milliseconds - before
    with server_with(Quirk.TRANSIENT_READS, False) as other:
        start = other.groups[0].clock.milliseconds
        plain = back_up(other.session(), "G1")
        assert waited - (other.groups[0].clock.milliseconds - start) == (300 if on else 0)
    assert files.keys() == plain.keys()
    ((found, expected),) = recovered_rows(server, [files]).values()
    assert found == expected


@pytest.mark.parametrize(
    ("profile", "allowed", "remote", "refused"),
    [
        ("exchange-2007-sp1", False, True, True),
        ("exchange-2007-sp1", True, True, False),
        ("exchange-2007-sp1", False, False, False),
        ("exchange-2007", False, True, False),
        ("exchange-2003-sp1", False, True, False),
    ],
)
def test_remote_streaming(profile: str, allowed: bool, remote: bool, refused: bool) -> None:
    topology = group_topology(profile=profile, remote_streaming=allowed)
    with SimulatedServer(topology) as server:
        api = server.session(remote=remote)
        if not refused:
            assert back_up(api, "G1")
            return
        with pytest.raises(EseBackupError) as caught:
            prepare(api)
        assert caught.value.name == "ERROR_ACCESS_DENIED"
        assert "not enabled" in str(caught.value)


@SWITCH
def test_blocked_data_connection(on: bool) -> None:
    server = server_with(Quirk.DATA_CONNECTION_BLOCKED, on)
    api = server.session()
    if not on:
        assert back_up(api, "G1")
        return
    prepared = prepare(api)
    context = prepared.context
    api.backup_setup(context, prepared.instances["G1"], BackupType.FULL)
    (opened,) = api.backup_open_file(context, prepared.streams["G1"][0])
    for _ in range(2):
        with pytest.raises(EseBackupError) as caught:
            api.backup_read_file(context, opened.handle, bytearray(65536))
        assert caught.value.hresult == 0xC7FF1004
    # Only data moves over that connection: everything else works.
    api.backup_close_file(context, opened.handle)
    api.backup_get_log_and_patch_files(context)
    api.backup_instance_end(context, InstanceEnd.ERROR)


@SWITCH
def test_short_reads(on: bool) -> None:
    server = server_with(Quirk.SHORT_READS, on)
    api = server.session()
    prepared = prepare(api)
    context = prepared.context
    api.backup_setup(context, prepared.instances["G1"], BackupType.FULL)
    (opened,) = api.backup_open_file(context, prepared.streams["G1"][0])
    counts = []
    buffer = bytearray(65536)
    while count := api.backup_read_file(context, opened.handle, buffer):
        counts.append(count)
    assert sum(counts) == opened.size
    assert counts[0] == (32768 if on else 65536)
    assert api.backup_read_file(context, opened.handle, buffer) == 0
    api.backup_close_file(context, opened.handle)
    # Sizes that are cut to pieces, down to a page and below, give the same bytes.
    sizes = (size for _ in range(1 << 20) for size in (1, 4095, 12288, 65528))
    read_file(api, context, prepared.streams["G1"][0], sizes)
    api.backup_end(context)
