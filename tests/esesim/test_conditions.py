"""What the outside does to a storage group: full and broken disks, options, stops, -614."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from eseback.constants import BackupType, InstanceEnd
from eseback.errors import EseBackupError
from eseback.jeterr import JetErr
from esesim.server import SimulatedServer
from esesim.session import Session
from esesim.topology import Topology, TopologyError, completed, load_topology
from tests.esesim.support.profiles import group_topology, recovered_rows
from tests.esesim.support.servers import back_up, prepare, read_file

pytestmark = pytest.mark.uncovered

FULL, LOGS = BackupType.FULL, BackupType.LOGS_ONLY


def server_with(stores: int = 1, **options: Any) -> SimulatedServer:
    return SimulatedServer(group_topology(stores, **options))


def set_up(server: SimulatedServer, kind: BackupType = FULL) -> tuple[Session, int]:
    """A session and a context whose backup of the group runs."""
    api = server.session()
    prepared = prepare(api)
    api.backup_setup(prepared.context, prepared.instances["G1"], kind)
    return api, prepared.context


def refused(call: Callable[[], object], error: int) -> EseBackupError:
    with pytest.raises(EseBackupError) as caught:
        call()
    assert caught.value.jet == error
    assert caught.value.detail
    return caught.value


def ids(server: SimulatedServer) -> list[int]:
    return [event.id for event in server.events]


# -- options of a topology


def test_options_stand_in_the_file() -> None:
    topology = load_topology(
        '[server]\nprofile = "exchange-2003-sp1"\nquirks = ["short-reads"]\n'
        '[[group]]\nname = "G"\ncircular_logging = true\ngeneration_first = 255\n'
        "generation_max = 4096\ncheckpoint_depth_max = 12\nlog_disk_full = true\n"
        '[[group.store]]\nname = "S"\n'
    )
    (group,) = topology.groups
    assert (group.generation_first, group.generation_max) == (255, 4096)
    assert (group.checkpoint_depth_max, group.log_disk_full) == (12, True)
    assert topology.server.quirks == ("short-reads",)
    assert completed(topology) == topology


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"generation_first": 0}, "generation_first: 0 is out of range; use 1 to 1048558"),
        ({"generation_max": 0x100000}, "generation_max: 1048576 is out of range"),
        ({"generation_max": 5, "generation_first": 5}, "generation_first: 5 .* use 1 to 4"),
        ({"checkpoint_depth_max": -1}, "checkpoint_depth_max: -1 is out of range"),
        ({"log_disk_full": True, "log_write_failed": True}, "log_write_failed: .* choose one"),
        ({"logging": False, "circular_logging": True}, "circular_logging: needs logging"),
    ],
)
def test_options_that_cannot_be(options: dict[str, Any], message: str) -> None:
    with pytest.raises(TopologyError, match=rf"group\[0\]\.{message}"):
        completed(group_topology(**options))


def test_log_numbers_in_names_are_hexadecimal() -> None:
    server = server_with(generation_first=0xFE)
    while server.groups[0].running.log.generation < 0x10A:
        server.run_workload("G1", 5)
    names = [name for name in back_up(server.session(), "G1") if name.endswith(".log")]
    numbers = [int(name[-9:-4], 16) for name in names]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert names[-1].endswith("\\E000010A.log")


def test_without_logging_there_is_no_backup() -> None:
    server = server_with(logging=False)
    for kind in BackupType:
        refused(partial(set_up, server, kind), JetErr.LOGGING_DISABLED)
    server.run_workload("G1", 20)
    server.dismount("G1", "G1S1")


def test_circular_logging_allows_full_backups_only() -> None:
    server = server_with(circular_logging=True, steps_per_call=2)
    server.run_workload("G1", 500)
    files = server.groups[0].running.files
    assert files.closed_generations()[0] > 1, "logs behind the checkpoint are gone"
    saved = back_up(server.session(), "G1")
    ((found, expected),) = recovered_rows(server, [saved]).values()
    assert found == expected
    assert refused(lambda: set_up(server, LOGS), JetErr.INVALID_BACKUP).hresult == 0xC800020E


def test_generations_that_are_used_up() -> None:
    server = server_with(generation_first=0xFFFEF - 8)
    back_up(server.session(), "G1", truncate=False)
    api, context = set_up(server)
    group = server.groups[0]
    while not group.running.log.is_used_up:
        server.run_workload("G1", 10)
    error = refused(lambda: api.backup_get_log_and_patch_files(context), JetErr.LOG_SEQUENCE_END)
    assert error.hresult == 0xC8000207
    assert ids(server)[-1] == 214
    for kind in (FULL, LOGS):
        refused(partial(set_up, server, kind), JetErr.LOG_SEQUENCE_END)


# -- the disk with the logs


@pytest.mark.parametrize(
    ("switch", "option", "error"),
    [
        (SimulatedServer.set_log_disk_full, "log_disk_full", JetErr.LOG_DISK_FULL),
        (SimulatedServer.set_log_write_failed, "log_write_failed", JetErr.LOG_WRITE_FAIL),
    ],
)
def test_bad_log_disks(
    switch: Callable[[SimulatedServer, str, bool], None], option: str, error: JetErr
) -> None:
    server = SimulatedServer(group_topology(2, dismounted=("G1S2",), **{option: True}))
    group = server.groups[0]
    refused(lambda: set_up(server), error)
    refused(lambda: server.mount("G1", "G1S2"), error)
    tail = group.running.log.tail
    server.run_workload("G1", 50)
    server.dismount("G1", "G1S1")
    assert group.mounted == ()
    # It is the disk that is bad, not the instance: a restart changes nothing.
    refused(lambda: server.mount("G1", "G1S1"), error)
    assert (group.instance, group._slots.in_use) == (None, 0)
    switch(server, "G1", False)
    server.mount("G1", "G1S1")
    server.mount("G1", "G1S2")
    server.run_workload("G1", 50)
    assert group.running.log.tail > tail
    assert back_up(server.session(), "G1")
    switch(server, "G1", True)
    refused(lambda: set_up(server), error)


def test_backup_under_way_when_the_log_disk_fills_up() -> None:
    server = server_with(steps_per_call=2)
    api, context = set_up(server)
    server.set_log_disk_full("G1", True)
    store = server.groups[0].spec.stores[0]
    files = {name: read_file(api, context, name) for name in store.streams}
    for name in api.backup_get_log_and_patch_files(context):
        files[name] = read_file(api, context, name)
    api.backup_instance_end(context, InstanceEnd.SUCCESS)
    ((found, expected),) = recovered_rows(server, [files]).values()
    assert found == expected


def test_unknown_groups_are_named() -> None:
    server = server_with()
    calls: list[Callable[[], None]] = [
        lambda: server.set_log_disk_full("X", True),
        lambda: server.set_log_write_failed("X", True),
        lambda: server.stop_backup("X"),
        lambda: server.terminate("X"),
    ]
    for call in calls:
        with pytest.raises(LookupError, match="no storage group 'X'; the server has 'G1'"):
            call()


# -- a backup that is stopped


def test_stop_is_told_at_the_next_call_and_end_says_why() -> None:
    server = server_with()
    api, context = set_up(server)
    server.stop_backup("g1")
    refused(lambda: api.backup_get_log_and_patch_files(context), JetErr.BACKUP_ABORT_BY_SERVER)
    with pytest.raises(EseBackupError) as caught:
        server.dismount("G1", "G1S1")
    assert caught.value.jet == JetErr.BACKUP_IN_PROGRESS
    refused(
        lambda: api.backup_instance_end(context, InstanceEnd.SUCCESS),
        JetErr.BACKUP_ABORT_BY_SERVER,
    )
    assert ids(server) == [210, 226]
    assert back_up(server.session(), "G1")


def test_stop_without_a_backup_stops_nothing() -> None:
    server = server_with(2, dismounted=("G1S1", "G1S2"))
    server.stop_backup("G1")
    server.mount("G1", "G1S1")
    server.stop_backup("G1")
    assert back_up(server.session(), "G1")


@pytest.mark.parametrize("kind", [FULL, LOGS])
def test_termination_breaks_a_backup_off(kind: BackupType) -> None:
    server = server_with(2)
    back_up(server.session(), "G1")
    before = len(server.events)
    api, context = set_up(server, kind)
    server.terminate("G1")
    assert ids(server)[before:] == [210 if kind is FULL else 211, 226]
    assert server.groups[0].mounted == ()
    refused_end = (InstanceEnd.SUCCESS, InstanceEnd.ERROR)
    for flags in refused_end:
        with pytest.raises(EseBackupError) as caught:
            api.backup_instance_end(context, flags)
        assert caught.value.jet == JetErr.NO_BACKUP
    assert prepare(api).instances == {}, "no mounted store, no instance"
    server.mount("G1", "G1S1")
    server.mount("G1", "G1S2")
    assert back_up(api, "G1", LOGS), "nothing of what the full backup noted is lost"


# -- a backup that holds back too many generations


def deep_topology(**options: Any) -> Topology:
    return group_topology(2, checkpoint_depth_max=6, **options)


def test_a_hung_backup_brings_the_group_down() -> None:
    server = SimulatedServer(deep_topology())
    api, context = set_up(server)
    group = server.groups[0]
    edb = group.spec.stores[0].edb
    (opened,) = api.backup_open_file(context, edb)
    server.run_workload("G1", 5000)
    assert ids(server)[-1] == 226
    assert (group.mounted, group.instance) == ((), None)
    with pytest.raises(EseBackupError) as caught:
        api.backup_read_file(context, opened.handle, bytearray(65536))
    assert caught.value.jet == JetErr.NO_BACKUP
    api.backup_end(context)
    # What was committed is there after the stores are mounted again.
    for store in group.spec.stores:
        server.mount("G1", store.name)
    ((found, expected), _) = recovered_rows(server, [back_up(server.session(), "G1")]).values()
    assert found == expected


@pytest.mark.parametrize(
    "call", ["read", "list", "truncate list", "truncate", "success", "error", "end", "open", "info"]
)
def test_users_bring_the_group_down_within_a_call(call: str) -> None:
    server = SimulatedServer(deep_topology(steps_per_call=3))
    group = server.groups[0]
    api, context = set_up(server)
    edb = group.spec.stores[0].edb
    (opened,) = api.backup_open_file(context, edb)
    if call != "read":
        api.backup_close_file(context, opened.handle)
    group.steps_per_call = 3000
    calls: dict[str, Callable[[], object]] = {
        "read": lambda: api.backup_read_file(context, opened.handle, bytearray(65536)),
        "list": lambda: api.backup_get_log_and_patch_files(context),
        "truncate list": lambda: api.backup_get_truncate_log_files(context),
        "truncate": lambda: api.backup_truncate_logs(context),
        "success": lambda: api.backup_instance_end(context, InstanceEnd.SUCCESS),
        "error": lambda: api.backup_instance_end(context, InstanceEnd.ERROR),
        "open": lambda: api.backup_open_file(context, edb),
        "end": lambda: api.backup_end(context),
        "info": lambda: api.backup_get_dependency_info(context),
    }
    if call in ("end", "info"):
        calls[call]()
    else:
        with pytest.raises(EseBackupError) as caught:
            calls[call]()
        assert caught.value.jet == JetErr.NO_BACKUP
    assert ids(server)[-1] == 226
    assert group.mounted == ()
    assert group.backup_owner is None


def test_the_log_list_itself_goes_too_deep() -> None:
    server = SimulatedServer(deep_topology())
    group = server.groups[0]
    api, context = set_up(server)
    low = group.running.backup.lowest_log_needed
    assert low is not None
    while group.running.log.generation < low + 6:
        server.run_workload("G1", 1)
    error = refused(
        lambda: api.backup_get_log_and_patch_files(context), JetErr.CHECKPOINT_DEPTH_TOO_DEEP
    )
    assert error.hresult == 0xC8000266
    assert ids(server)[-1] == 226
    assert group.mounted == ()
    server.mount("G1", "G1S1")
    assert back_up(server.session(), "G1")


def test_incrementals_hold_nothing_back() -> None:
    server = SimulatedServer(deep_topology())
    back_up(server.session(), "G1")
    api, context = set_up(server, LOGS)
    server.run_workload("G1", 1500)
    assert server.groups[0].running.log.generation > 12
    assert api.backup_get_log_and_patch_files(context)
    api.backup_instance_end(context, InstanceEnd.SUCCESS)


def test_a_restart_gives_no_generations_back() -> None:
    server = server_with(generation_max=6)
    while not server.groups[0].running.log.is_used_up:
        server.run_workload("G1", 10)
    with pytest.raises(EseBackupError) as caught:
        set_up(server)
    assert caught.value.jet == JetErr.LOG_SEQUENCE_END
    topology = server.topology
    volume = server.volume
    server.terminate("G1")
    with SimulatedServer(topology, volume=volume) as again:
        refused(lambda: set_up(again), JetErr.LOG_SEQUENCE_END)


def test_a_second_client_is_told_of_the_disk_before_the_backup_that_runs() -> None:
    # The order in which the engine asks (ESE source backup.cxx, ErrBKBeginExternalBackup).
    server = server_with()
    set_up(server)
    server.set_log_disk_full("G1", True)
    refused(lambda: set_up(server), -529)
    server.set_log_disk_full("G1", False)
    refused(lambda: set_up(server), -505)
