"""All kinds of backup through the calls of a session, each held against what it must restore."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from eseback.api import BackupApi
from eseback.constants import BackupType, InstanceEnd
from eseback.errors import EseBackupError
from eseback.formats.dbheader import DatabaseHeader
from eseback.formats.fields import NO_BACKUP
from eseback.formats.names import parse_log_name
from eseback.jeterr import JetErr
from esesim.engine.errors import JetError
from esesim.server import SimulatedServer
from tests.esesim.support.profiles import group_topology, recovered_rows
from tests.esesim.support.servers import back_up, prepare, read_file

pytestmark = pytest.mark.uncovered

FULL, LOGS, ALL_LOGS = BackupType.FULL, BackupType.LOGS_ONLY, BackupType.FULL_WITH_ALL_LOGS
Files = dict[str, bytes]


def server_with(stores: int = 1, *, steps: int = 120, **options: object) -> SimulatedServer:
    """A server whose users work during every call, and have worked before."""
    server = SimulatedServer(group_topology(stores, steps_per_call=1, **options))  # type: ignore[arg-type]
    server.run_workload("G1", steps)
    return server


def later(server: SimulatedServer, kind: BackupType, *, truncate: bool = True) -> Files:
    """A backup after some more work."""
    server.run_workload("G1", 80)
    return back_up(server.session(), "G1", kind, truncate=truncate)


def back_up_stores(
    api: BackupApi, server: SimulatedServer, stores: Sequence[str], *, truncate: bool = True
) -> Files:
    """A full backup of some of the stores."""
    prepared = prepare(api)
    context = prepared.context
    api.backup_setup(context, prepared.instances["G1"], FULL)
    names = [path for name in stores for path in server.group("G1").store(name).streams]
    files = {name: read_file(api, context, name) for name in names}
    for name in api.backup_get_log_and_patch_files(context):
        files[name] = read_file(api, context, name)
    if truncate:
        api.backup_truncate_logs(context)
    api.backup_instance_end(context, InstanceEnd.SUCCESS)
    api.backup_end(context)
    return files


def numbers(files: Files | Sequence[str]) -> list[int]:
    found = (parse_log_name(name.rpartition("\\")[2], "E00") for name in files)
    return [number for number in found if number is not None]


def on_disk(server: SimulatedServer) -> list[int]:
    return server.groups[0].running.files.closed_generations()


def header(server: SimulatedServer, store: str = "G1S1") -> DatabaseHeader:
    database = server.groups[0].running.find(server.groups[0].store(store).edb)
    assert database is not None
    return database.header


def assert_recovers(
    server: SimulatedServer, sets: Sequence[Files], stores: Sequence[str] | None = None
) -> None:
    for name, (found, expected) in recovered_rows(server, sets, stores=stores).items():
        assert found == expected, name
        assert found["Msg"]


# -- the four of the administrator


def test_full_and_incrementals() -> None:
    server = server_with(2, steps=300)
    sets = [later(server, FULL)]
    first = on_disk(server)[0]
    assert header(server).bkinfo_full_prev.gen_high == numbers(sets[0])[-1]
    for _ in range(3):
        oldest = on_disk(server)[0]
        sets.append(later(server, LOGS))
        assert numbers(sets[-1])[0] == oldest
        assert header(server).bkinfo_inc_prev.gen_high == numbers(sets[-1])[-1]
    assert on_disk(server)[0] > first + 2, "incrementals take their logs away"
    assert_recovers(server, sets)
    with pytest.raises(JetError) as caught:
        recovered_rows(server, [sets[0], sets[3]])
    assert caught.value.err == JetErr.MISSING_RESTORE_LOG_FILES


def test_full_and_the_last_differential() -> None:
    server = server_with(2)
    full = later(server, FULL)
    before, oldest = header(server).bkinfo_inc_prev, on_disk(server)[0]
    for _ in range(2):
        last = later(server, LOGS, truncate=False)
        assert on_disk(server)[0] == oldest
        assert header(server).bkinfo_inc_prev == before == NO_BACKUP
    assert_recovers(server, [full, last])


def test_copy_stands_alone_and_disturbs_no_chain() -> None:
    server = server_with()
    sets = [later(server, FULL), later(server, LOGS)]
    marks, oldest = header(server), on_disk(server)[0]
    copy = later(server, FULL, truncate=False)
    assert on_disk(server)[0] == oldest
    now = header(server)
    assert (now.bkinfo_full_prev, now.bkinfo_inc_prev) == (
        marks.bkinfo_full_prev,
        marks.bkinfo_inc_prev,
    )
    sets.append(later(server, LOGS))
    assert_recovers(server, [copy])
    assert_recovers(server, sets)


def test_logs_only_without_a_full_backup_is_refused() -> None:
    server = server_with(2, dismounted=("G1S2",))
    for truncate in (True, False):
        with pytest.raises(EseBackupError) as caught:
            later(server, LOGS, truncate=truncate)
        assert (caught.value.call, caught.value.hresult) == ("backup_setup", 0xC8000230)
    assert {event.values["database"] for event in server.events if event.id == 206} == {
        server.groups[0].spec.stores[0].edb
    }


# -- full with all logs


def test_full_with_all_logs_lists_from_the_oldest_log_on() -> None:
    """What this kind means is inferred from its name: the list begins at the oldest log."""
    server = server_with()
    first = later(server, FULL, truncate=False)
    server.run_workload("G1", 150)
    oldest = on_disk(server)[0]
    saved = later(server, ALL_LOGS)
    assert numbers(saved) == list(range(oldest, numbers(saved)[-1] + 1))
    assert numbers(saved)[0] < numbers(later(server, FULL))[0]
    assert header(server).bkinfo_full_prev.gen_low > 0
    assert_recovers(server, [saved])
    # Its logs carry any image on that was made since the oldest of them.
    databases = {name: data for name, data in first.items() if not name.endswith(".log")}
    logs = {name: data for name, data in saved.items() if name.endswith(".log")}
    assert_recovers(server, [databases | logs])


# -- parts of a group


def test_partial_backup_restores_what_it_has_and_keeps_the_logs_of_the_rest() -> None:
    server = server_with(2)
    oldest = on_disk(server)[0]
    saved = back_up_stores(server.session(), server, ["G1S2"])
    assert on_disk(server)[0] == oldest, "G1S1 has never been backed up: nothing may go"
    assert 225 in [event.id for event in server.events]
    assert header(server, "G1S1").bkinfo_full_prev == NO_BACKUP
    assert header(server, "G1S2").bkinfo_full_prev.gen_high == numbers(saved)[-1]
    assert_recovers(server, [saved], ["G1S2"])
    with pytest.raises(EseBackupError) as caught:
        later(server, LOGS)
    assert caught.value.jet == JetErr.MISSING_FULL_BACKUP
    server.run_workload("G1", 100)
    rest = back_up_stores(server.session(), server, ["G1S1"])
    # G1S2 still needs what came after its own backup.
    assert on_disk(server)[0] == header(server, "G1S2").bkinfo_full_prev.gen_high
    assert_recovers(server, [rest], ["G1S1"])
    incremental = later(server, LOGS)
    assert_recovers(server, [rest, incremental], ["G1S1"])
    assert_recovers(server, [saved, incremental], ["G1S2"])


def test_database_without_its_streaming_file_counts_for_the_engine_alone() -> None:
    """The engine looks at the .edb; what the client forgot shows when it restores."""
    server = server_with()
    api = server.session()
    prepared = prepare(api)
    context = prepared.context
    edb, stm = server.groups[0].spec.stores[0].streams
    api.backup_setup(context, prepared.instances["G1"], FULL)
    files = {edb: read_file(api, context, edb)}
    for name in api.backup_get_log_and_patch_files(context):
        files[name] = read_file(api, context, name)
    api.backup_instance_end(context, InstanceEnd.SUCCESS)
    assert stm not in files
    with pytest.raises(JetError) as caught:
        recovered_rows(server, [files])
    assert caught.value.err == JetErr.DATABASE_STREAMING_FILE_MISMATCH


# -- circular logging


def test_circular_logging_keeps_what_a_running_backup_needs() -> None:
    server = server_with(circular_logging=True, steps=300)
    api = server.session()
    prepared = prepare(api)
    context = prepared.context
    api.backup_setup(context, prepared.instances["G1"], FULL)
    low = server.groups[0].running.backup.lowest_log_needed
    assert low is not None
    files = {name: read_file(api, context, name) for name in prepared.streams["G1"]}
    server.run_workload("G1", 300)
    assert on_disk(server)[0] <= low
    checkpoint = server.groups[0].running.checkpoint.lgpos_checkpoint.generation
    assert checkpoint > low + 1, "without the backup, logs would be gone"
    listed = api.backup_get_log_and_patch_files(context)
    assert numbers(listed)[0] == low
    for name in listed:
        files[name] = read_file(api, context, name)
    api.backup_truncate_logs(context)
    api.backup_instance_end(context, InstanceEnd.SUCCESS)
    assert_recovers(server, [files])
    server.run_workload("G1", 300)
    assert on_disk(server)[0] > low, "and afterwards they go"


# -- the two lists


@pytest.mark.parametrize("kind", [FULL, LOGS])
def test_truncate_list_asked_for_first(kind: BackupType) -> None:
    server = server_with()
    later(server, FULL)
    server.run_workload("G1", 150)
    api = server.session()
    prepared = prepare(api)
    context = prepared.context
    api.backup_setup(context, prepared.instances["G1"], kind)
    current = server.groups[0].running.log.generation
    before = on_disk(server)
    doomed = api.backup_get_truncate_log_files(context)
    # It closes the log like the other list, and ends the phase of the databases.
    assert server.groups[0].running.log.generation >= current + 1
    listed = api.backup_get_log_and_patch_files(context)
    assert numbers(listed)[-1] >= current
    assert set(numbers(doomed)) <= set(before) | set(numbers(listed))
    assert numbers(doomed) == before[: len(doomed)]
    server.run_workload("G1", 100)
    assert api.backup_get_truncate_log_files(context) == doomed
    assert api.backup_get_log_and_patch_files(context) == listed
    for name in listed:
        read_file(api, context, name)
    api.backup_truncate_logs(context)
    assert on_disk(server)[0] == before[len(doomed)]
    api.backup_instance_end(context, InstanceEnd.SUCCESS)
    if kind is LOGS:
        assert doomed, "an incremental that may delete nothing proves little"
        return
    api.backup_setup(context, prepared.instances["G1"], FULL)
    api.backup_get_truncate_log_files(context)
    with pytest.raises(EseBackupError) as caught:
        api.backup_open_file(context, prepared.streams["G1"][0])
    assert caught.value.jet == JetErr.INVALID_BACKUP_SEQUENCE


# -- what no client may ask for


def test_snapshot_and_unknown_kinds_are_refused_with_errors_of_their_own() -> None:
    server = server_with()
    api = server.session()
    prepared = prepare(api)
    context = prepared.context
    with pytest.raises(EseBackupError) as caught:
        api.snapshot_start(context, "", 0)
    assert caught.value.name == "hrNyi"
    # The engine's own bits for snapshots and surrogates are no kinds of this API.
    for kind in (0, 4, 0x10, 0x20, -1):
        with pytest.raises(EseBackupError) as caught:
            api.backup_setup(context, prepared.instances["G1"], kind)  # type: ignore[arg-type]
        assert caught.value.jet == JetErr.INVALID_PARAMETER
    assert server.events == ()
    assert back_up(api, "G1")
