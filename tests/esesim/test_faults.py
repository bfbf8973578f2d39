"""Faults: rules hit what they name, count what they did, and hurt as they say."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from eseback.constants import BackupType, InstanceEnd
from eseback.errors import ROW_BY_NAME, ConnectionLost, EseBackupError
from esesim.faults import FaultAction, FaultInjector, FaultPlan, FaultRule, When
from esesim.server import SimulatedServer
from tests.esesim.support.servers import back_up, prepare, read_file, small_server

HRESULT, BAD_PAGE, BAD_LOG, DROP = FaultAction
DISK_IO = -1022


def injector(
    *rules: FaultRule, server: SimulatedServer | None = None
) -> tuple[SimulatedServer, FaultPlan, FaultInjector]:
    server = server or small_server(groups=2)
    plan = FaultPlan(rules)
    return server, plan, FaultInjector(server.session(), plan, server)


def counts(plan: FaultPlan) -> list[tuple[int, int]]:
    return [(count.matched, count.fired) for count in plan.counts]


def failing(call: Callable[[], object]) -> EseBackupError:
    with pytest.raises(EseBackupError) as caught:
        call()
    return caught.value


def test_the_nth_call_fails_and_the_server_does_not_notice() -> None:
    _, plan, api = injector(FaultRule(HRESULT, "backup_read_file", nth=3, jet=DISK_IO))
    prepared = prepare(api)
    api.backup_setup(prepared.context, prepared.instances["G1"], BackupType.FULL)
    (opened,) = api.backup_open_file(prepared.context, prepared.streams["G1"][0])
    buffer = bytearray(8192)

    def read() -> int:
        return api.backup_read_file(prepared.context, opened.handle, buffer)

    assert [read(), read()] == [8192, 8192]
    error = failing(read)
    assert (error.jet, error.call) == (DISK_IO, "backup_read_file")
    assert error.hresult == ROW_BY_NAME["hrDiskIO"].hresult
    assert counts(plan) == [(3, 1)]
    rest = 0
    while count := read():
        rest += count
    assert rest + 2 * 8192 == opened.size
    matched, fired = counts(plan)[0]
    assert (matched > 10, fired) == (True, 1)
    assert plan.unfired == ()


def test_an_error_after_the_effect_is_a_lost_acknowledgement() -> None:
    rule = FaultRule(HRESULT, "HrESEBackupSetup", when=When.AFTER, hresult=0x80004005)
    server, plan, api = injector(rule)
    prepared = prepare(api)
    error = failing(
        lambda: api.backup_setup(prepared.context, prepared.instances["G1"], BackupType.FULL)
    )
    assert error.hresult == 0x80004005
    assert server.groups[0].backup_owner is not None
    assert (
        failing(
            lambda: api.backup_setup(prepared.context, prepared.instances["G1"], BackupType.FULL)
        ).jet
        == -505
    )
    assert counts(plan) == [(1, 1)], "a call that failed by itself has no acknowledgement to lose"


@pytest.mark.parametrize(
    ("nth", "times", "failed"), [(1, 1, 1), (2, 2, 2), (3, None, 3), (6, 1, 0)]
)
def test_which_matches_are_hit(nth: int, times: int | None, failed: int) -> None:
    rule = FaultRule(HRESULT, "get_nodes", nth=nth, times=times, jet=-1)
    _, plan, api = injector(rule)
    outcomes = []
    for _ in range(5):
        try:
            api.get_nodes(None)
            outcomes.append(True)
        except EseBackupError:
            outcomes.append(False)
    assert outcomes.count(False) == failed
    assert outcomes[: nth - 1] == [True] * min(nth - 1, 5)
    assert counts(plan) == [(5, failed)]
    assert plan.unfired == (() if failed else (rule,))


def test_filters_by_group_and_file() -> None:
    rules = (
        FaultRule(HRESULT, "backup_setup", group="G2", jet=DISK_IO),
        FaultRule(HRESULT, "backup_open_file", file="g1s1.EDB", jet=DISK_IO),
        FaultRule(HRESULT, "backup_read_file", file="*.stm", group="G1", jet=DISK_IO),
        FaultRule(HRESULT, "backup_close_file", file="E0?*.log", nth=99, jet=DISK_IO),
        FaultRule(HRESULT, group="G1", nth=1000, jet=DISK_IO),
    )
    _, plan, api = injector(*rules)
    prepared = prepare(api)
    context = prepared.context
    edb, stm = prepared.streams["G1"]
    kind = BackupType.FULL
    failing(lambda: api.backup_setup(context, prepared.instances["G2"], kind))
    api.backup_setup(context, prepared.instances["G1"], kind)
    failing(lambda: api.backup_open_file(context, edb))
    read_file(api, context, edb)
    failing(lambda: read_file(api, context, stm))
    api.backup_end(context)
    back_up(api, "G1")
    seen = counts(plan)
    assert [fired for _, fired in seen] == [1, 1, 1, 0, 0]
    assert seen[0][0] == 1
    assert seen[1][0] == 3
    assert seen[3][0] > 0
    assert seen[4][0] > seen[3][0]


def test_a_bad_page_drops_only_its_database() -> None:
    server = small_server(stores=2)
    rule = FaultRule(BAD_PAGE, "backup_open_file", file="G1S1.edb")
    _, plan, api = injector(rule, server=server)
    prepared = prepare(api)
    context = prepared.context
    api.backup_setup(context, prepared.instances["G1"], BackupType.FULL)
    bad, bad_stm, good, good_stm = prepared.streams["G1"]
    (opened,) = api.backup_open_file(context, bad)
    error = failing(lambda: read_to_end(api, context, opened.handle))
    assert (error.jet, counts(plan)) == (-1018, [(1, 1)])
    assert failing(lambda: api.backup_close_file(context, opened.handle)).jet == -1003
    for name in (bad_stm, good, good_stm):
        assert read_file(api, context, name)
    for log in api.backup_get_log_and_patch_files(context):
        assert read_file(api, context, log)
    api.backup_instance_end(context, InstanceEnd.SUCCESS)
    assert {217, 474} <= {event.id for event in server.events}
    server.run_workload("G1", 200)


def read_to_end(api: FaultInjector, context: int, handle: int) -> None:
    while api.backup_read_file(context, handle, bytearray(65536)):
        pass


@pytest.mark.parametrize("page", [None, 1, 20])
def test_a_bad_page_is_where_it_was_asked_for(page: int | None) -> None:
    server = small_server()
    rule = FaultRule(BAD_PAGE, "backup_open_file", file="*.edb", page=page)
    _, _, api = injector(rule, server=server)
    prepared = prepare(api)
    context = prepared.context
    api.backup_setup(context, prepared.instances["G1"], BackupType.FULL)
    (opened,) = api.backup_open_file(context, prepared.streams["G1"][0])
    pgno = page or 24
    buffer = bytearray((pgno + 1) * 4096)
    if len(buffer) >= 3 * 4096:
        assert api.backup_read_file(context, opened.handle, buffer) == len(buffer)
        buffer = bytearray(4096)
    else:
        buffer = bytearray(3 * 4096)
    error = failing(lambda: api.backup_read_file(context, opened.handle, buffer))
    assert error.jet == -1018
    assert f"page {pgno} " in error.detail


def test_a_bad_page_of_the_streaming_file() -> None:
    server = small_server(messages=40)
    _, _, api = injector(FaultRule(BAD_PAGE, "backup_open_file", file="*.stm"), server=server)
    error = failing(lambda: back_up(api, "G1"))
    assert error.jet == -1018
    assert 478 in {event.id for event in server.events}


def test_pages_that_cannot_be_damaged() -> None:
    server = small_server()
    edb, stm = server.groups[0].spec.stores[0].edb, server.groups[0].spec.stores[0].stm
    for name, page in ((edb, 0), (edb, 10**6), (stm, 10**6)):
        with pytest.raises(ValueError, match=f"page {page} of"):
            server.damage_page(name, page)
    with pytest.raises(LookupError, match="no file of a mounted store"):
        server.damage_page("C:\\other.edb")
    with pytest.raises(LookupError, match="belongs to no storage group"):
        server.damage_log("C:\\E0000001.log")
    server.dismount("G1", "G1S1")
    with pytest.raises(LookupError, match="no file of a mounted store"):
        server.damage_page(edb)


def test_a_bad_log_ends_the_backup_and_frees_the_group() -> None:
    server = small_server()
    _, plan, api = injector(FaultRule(BAD_LOG, "backup_open_file", file="E00*.log"), server=server)
    prepared = prepare(api)
    context = prepared.context
    api.backup_setup(context, prepared.instances["G1"], BackupType.FULL)
    logs = api.backup_get_log_and_patch_files(context)
    (opened,) = api.backup_open_file(context, logs[0])
    assert failing(lambda: read_to_end(api, context, opened.handle)).jet == -612
    assert counts(plan) == [(1, 1)]
    assert failing(lambda: api.backup_get_log_and_patch_files(context)).jet == -520
    server.dismount("G1", "G1S1")
    assert [event.id for event in server.events][-2:] == [218, 214]


def test_a_dropped_connection_is_lost_for_good() -> None:
    server, plan, api = injector(FaultRule(DROP, "backup_read_file", nth=2))
    prepared = prepare(api)
    idle = prepare(api).context
    context = prepared.context
    api.backup_setup(context, prepared.instances["G1"], BackupType.FULL)
    (opened,) = api.backup_open_file(context, prepared.streams["G1"][0])
    api.backup_read_file(context, opened.handle, bytearray(65536))
    for call in (
        lambda: api.backup_read_file(context, opened.handle, bytearray(1)),
        lambda: api.backup_end(context),
        lambda: api.backup_end(idle),
        lambda: prepare(api),
    ):
        assert isinstance(failing(call), ConnectionLost)
    assert counts(plan) == [(2, 1)]
    assert server.events[-1].id == 215
    other = server.session()
    assert failing(lambda: other.backup_end(idle)).name == "hrInvalidHandle"
    back_up(other, "G1")


def test_a_drop_after_the_effect() -> None:
    server, _, api = injector(FaultRule(DROP, "backup_truncate_logs", when=When.AFTER))
    server.run_workload("G1", 300)
    before = len(server.groups[0].running.files.closed_generations())
    with pytest.raises(ConnectionLost):
        back_up(api, "G1")
    assert len(server.groups[0].running.files.closed_generations()) < before
    assert [event.id for event in server.events][-2:] == [224, 215]


def test_several_rules_at_one_call_all_count() -> None:
    rules = [FaultRule(HRESULT, "get_nodes", jet=-1), FaultRule(HRESULT, "get_nodes", jet=-2)]
    _, plan, api = injector(*rules)
    assert failing(lambda: api.get_nodes(None)).jet == -1
    assert counts(plan) == [(1, 1), (1, 0)], "the second had no chance to do what it says"


@pytest.mark.parametrize(
    ("action", "options", "reason"),
    [
        (HRESULT, {"call": "backup_setup"}, "hresult or jet"),
        (DROP, {"call": "backup_setup", "jet": -1}, "hresult or jet"),
        (DROP, {"call": "backup_destroy"}, "no call of the API"),
        (DROP, {"nth": 0}, "count from 1"),
        (DROP, {"times": 0}, "count from 1"),
        (BAD_PAGE, {"call": "backup_setup"}, "concerns a file"),
        (BAD_LOG, {}, "concerns a file"),
        (DROP, {"call": "backup_setup", "file": "*.edb"}, "no file is known"),
    ],
)
def test_rules_that_could_never_work(
    action: FaultAction, options: dict[str, object], reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        FaultRule(action, **options)  # type: ignore[arg-type]
