"""The administration interface over a socket: what each operation does, and what it refuses."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from eseback.constants import BackupType
from eseback.errors import JetErr
from eseback.rpc import BindAccepted, FaultStatus
from eseback.rpc.admin import ADMIN_INTERFACE, ADMIN_OPERATIONS, ALL_GENERATIONS
from esesim.exchange.clock import MILLISECONDS_PER_STEP
from esesim.exchange.pace import DEBT_SECONDS_MAX, STEPS_AT_A_CALL_MAX, Pace
from esesim.rpc import serve
from esesim.rpc.adminclient import AdminClient, AdminUnavailable
from esesim.rpc.adminservice import PAGE_CHARACTERS_MAX, ROWS_MAX, page
from esesim.rpc.control import E_INVALIDARG, E_NOTIMPL, STEPS_MAX
from esesim.server import SimulatedServer, create_directory_server
from tests.esesim.rpc.administered import DISMOUNTED, Desk, administered
from tests.esesim.rpc.wire import RawClient, bound, connected, eventually
from tests.esesim.support.servers import SERVER, back_up, prepare, small_server, small_topology


@pytest.fixture
def server() -> SimulatedServer:
    return small_server(groups=2, stores=2, dismounted=(DISMOUNTED,))


@pytest.fixture
def desk(server: SimulatedServer) -> Iterator[Desk]:
    with administered(server) as desk:
        yield desk


def test_without_it_the_interface_does_not_exist() -> None:
    with serve(small_server()) as server:
        with RawClient(server) as client:
            answer = client.bind(ADMIN_INTERFACE)
            assert isinstance(answer, BindAccepted)
            assert not answer.accepted, "it is not offered"
        with pytest.raises(AdminUnavailable, match="esesim serve --admin"):
            AdminClient("rpc:{}:{}".format(*server.address))


def test_a_server_that_is_not_there() -> None:
    with serve(small_server(), admin=True) as server:
        address = "rpc:{}:{}".format(*server.address)
    with pytest.raises(AdminUnavailable, match="refused"):
        AdminClient(address)


def test_state(desk: Desk) -> None:
    computer = desk.computer()
    assert (computer["computer"], computer["instances"], computer["instances_max"]) == (
        SERVER,
        2,
        16,
    )
    assert (computer["in_memory"], computer["restores"], computer["rate"]) == (True, 0, None)
    group = desk.group("G1")
    assert (group["running"], group["backup"], group["file_open"]) == (True, None, False)
    assert [(s["store"], s["mounted"]) for s in group["stores"]] == [
        ("G1S1", True),
        ("G1S2", False),
    ]
    with connected(desk.server) as api:
        prepared = prepare(api)
        api.backup_setup(prepared.context, prepared.instances["G1"], BackupType.FULL)
        assert desk.group("G1")["backup"] == "databases"
        api.backup_open_file(prepared.context, prepared.streams["G1"][0])
        group = desk.group("G1")
        assert (group["backup"], group["file_open"]) == ("database_open", True)
        assert desk.group("G2")["backup"] is None
    assert eventually(lambda: desk.group("G1")["backup"] is None), "the client has gone"


def test_mount_and_dismount(desk: Desk, server: SimulatedServer) -> None:
    desk.do("mount", "g1", DISMOUNTED.lower())
    assert server.group("G1").is_mounted(DISMOUNTED)
    desk.do("dismount", "G1", "G1S1")
    assert not desk.store("G1S1")["mounted"] and desk.store(DISMOUNTED)["mounted"]
    desk.do("dismount", "G1", DISMOUNTED)
    assert not desk.group("G1")["running"]
    assert desk.computer()["instances"] == 1


def test_overwrite_flag(desk: Desk, server: SimulatedServer) -> None:
    desk.do("set_overwritable", "G1", DISMOUNTED, 1)
    assert (
        server.group("G1").overwritable == (DISMOUNTED,) and desk.store(DISMOUNTED)["overwritable"]
    )
    desk.do("set_overwritable", "G1", DISMOUNTED, 0)
    assert not server.group("G1").overwritable


def test_workload_is_the_servers_own(desk: Desk, server: SimulatedServer) -> None:
    twin = small_server(groups=2, stores=2, dismounted=(DISMOUNTED,))
    desk.do("run_workload", "G1", 150)
    twin.run_workload("G1", 150)
    assert server.state() == twin.state(), "as many steps, whatever the slices"
    edb = server.group("G1").store("G1S1").edb
    assert server.journal.rows(edb) == twin.journal.rows(edb)
    assert desk.refused("run_workload", "G1", STEPS_MAX + 1).hresult == E_INVALIDARG


def test_destroy(desk: Desk, server: SimulatedServer) -> None:
    refusal = desk.refused("destroy_store", "G1", "G1S1")
    assert (refusal.jet, "dismount it" in refusal.detail) == (JetErr.DATABASE_IN_USE, True)
    desk.do("dismount", "G1", "G1S1")
    edb = desk.store("G1S1")["files"][0]
    assert server.files.exists(edb)
    desk.do("destroy_store", "G1", "G1S1")
    assert not server.files.exists(edb)
    desk.do("destroy_group", "G2")
    assert not server.files.exists(desk.store("G2S1")["files"][0])
    assert not desk.group("G2")["running"]


def test_what_does_not_exist_is_told_with_what_does(desk: Desk) -> None:
    refusal = desk.refused("mount", "G9", "x")
    assert (refusal.hresult, "'G1', 'G2'" in refusal.detail) == (E_INVALIDARG, True)
    assert "'G1S1', 'G1S2'" in desk.refused("mount", "G1", "x").detail
    assert desk.refused("restore_snapshot", 3).detail == "there is no snapshot 3; there are: none"
    with pytest.raises(Exception, match=f"no computer 'other' .* {SERVER}"):
        desk.client.call("reset", "other")


def test_ledger_follows_backups(desk: Desk, server: SimulatedServer) -> None:
    def entry() -> dict[str, Any]:
        return next(row for row in desk.rows("get_ledger") if row["store"] == "G1S1")

    before = entry()
    assert (before["full_backup"], before["restorable_to"]) == (None, None)
    assert before["commits_after"] == before["commits"]
    desk.do("run_workload", "G1", 100)
    with connected(desk.server) as api:
        back_up(api, "G1")
        full = entry()
        desk.do("run_workload", "G1", 100)
        back_up(api, "G1", BackupType.LOGS_ONLY)
    generation = full["restorable_to"]
    assert isinstance(generation, int) and full["full_backup"][1] == generation
    assert full["commits_after"] == 0
    increment = entry()
    last = increment["restorable_to"]
    assert isinstance(last, int) and last > generation
    low, high = increment["incremental_backup"]
    assert low <= generation + 1 and high == last
    header = next(iter(server.group("G1").running.databases.values())).header
    assert header.bkinfo_inc_prev.gen_high == last
    dismounted = next(row for row in desk.rows("get_ledger") if row["store"] == DISMOUNTED)
    assert (dismounted["commits"], dismounted["full_backup"]) == (0, None)


def test_journal_is_what_was_committed(desk: Desk, server: SimulatedServer) -> None:
    generation = desk.group("G1")["generation"]
    desk.do("run_workload", "G1", 100)
    edb = server.group("G1").store("G1S1").edb
    for wanted in (generation, ALL_GENERATIONS):
        told = {
            (row["table"], row["key"]): row["row"]
            for row in desk.rows("get_journal", "G1", "G1S1", wanted)
        }
        rows = server.journal.rows(edb, None if wanted == ALL_GENERATIONS else wanted)
        assert told.keys() == {(t, k.hex()) for t, found in rows.items() for k in found}
        for table, found in rows.items():
            for key, row in found.items():
                for name, value in row.items():
                    shown = told[table, key.hex()][name]
                    if isinstance(value, bytes):
                        value = {"bytes": len(value), "sha256": hashlib.sha256(value).hexdigest()}
                    assert shown == value, name


def test_pages() -> None:
    rows = [str(number) for number in range(2500)]
    following, end, found = page(rows[10:], 10, 9999)
    assert (following, end, found) == (10 + ROWS_MAX, 2500, tuple(rows[10 : 10 + ROWS_MAX]))
    assert page(rows, 0, 0) == (0, 2500, ())
    long = ["x" * (PAGE_CHARACTERS_MAX + 1)] * 3
    assert page(long, 0, 10) == (1, 3, (long[0],)), "one at least, however long"
    assert page(["a", None, "b", None], 4, 1) == (6, 8, ("a",)), "others' rows are passed over"


def test_rows_are_fetched_page_by_page(desk: Desk) -> None:
    desk.do("run_workload", "G1", 50)
    whole = [row["key"] for row in desk.rows("get_journal", "G1", "G1S1", ALL_GENERATIONS)]
    pieces, first, end = [], 0, 1
    while first < end:
        arguments = ("G1", "G1S1", ALL_GENERATIONS, first, 5)
        first, end, rows = desk.do("get_journal", *arguments)
        assert len(rows) <= 5
        pieces += rows
    assert len(pieces) == len(whole) == end > 14
    assert desk.do("get_journal", "G1", "G1S1", ALL_GENERATIONS, 10**6, 7) == (end, end, ())


def test_several_computers() -> None:
    topology = small_topology()
    named = SimulatedServer(topology)
    other = SimulatedServer(evolve(topology, server=evolve(topology.server, name="OTHER")))
    with administered(named, other) as desk:
        names = [row["name"] for row in desk.client.rows("get_computers")]
        assert names == [SERVER, "OTHER"]
        desk.client.call("dismount", "other", "G1", "G1S1")
        assert named.group("G1").mounted == ("G1S1",) and other.group("G1").mounted == ()
        with connected(desk.server) as api:
            prepare(api)
            # A crash of the other computer is nothing to a client that has never called it.
            desk.client.call("crash", "OTHER", 1)
            prepare(api)


def test_a_directory_has_no_states_to_go_back_to(tmp_path: Path) -> None:
    with (
        create_directory_server("minimal", tmp_path / "server") as server,
        administered(server) as desk,
    ):
        group = desk.rows("get_state")[1]
        desk.do("dismount", group["group"], group["stores"][0]["store"])
        for operation in (("crash", 0), ("reset",), ("take_snapshot",)):
            refusal = desk.refused(*operation)
            assert (refusal.hresult, "in memory" in refusal.detail) == (E_NOTIMPL, True)


def test_nonsense_in_a_stub_is_a_fault(desk: Desk) -> None:
    with bound(desk.server, ADMIN_INTERFACE) as client:
        opnum = ADMIN_OPERATIONS["mount"].opnum
        assert client.call(0, opnum, b"\1") == FaultStatus.BAD_STUB_DATA
        assert client.call(0, len(ADMIN_OPERATIONS)) == FaultStatus.OP_RANGE


class _Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_pace_owes_by_the_clock() -> None:
    clock = _Clock()
    pace = Pace(10, clock)
    assert pace.due() == 0
    clock.now += 0.25
    assert pace.due() == 2
    clock.now += 0.25
    assert pace.due() == 3, "what was left of the first time counts"
    clock.now += 3600
    taken = [pace.due() for _ in range(20)]
    assert max(taken) == STEPS_AT_A_CALL_MAX, "a bounded slice"
    assert sum(taken) == 10 * DEBT_SECONDS_MAX, "and no more than a minute's"
    clock.now -= 50
    assert pace.due() == 0
    with pytest.raises(ValueError, match="no rate"):
        Pace(-1, clock)


def test_rate_in_place_of_the_topologys_steps() -> None:
    clock = _Clock()
    server = small_server(steps_per_call=3)
    edb = server.group("G1").store("G1S1").edb
    api = server.session()

    def steps_of(call: Callable[[], object]) -> int:
        before = server.group("G1").clock.milliseconds
        call()
        return (server.group("G1").clock.milliseconds - before) // MILLISECONDS_PER_STEP

    prepared = prepare(api)
    api.backup_setup(prepared.context, prepared.instances["G1"], BackupType.FULL)
    (opened,) = api.backup_open_file(prepared.context, edb)
    buffer = bytearray(4096)
    assert steps_of(lambda: api.backup_read_file(prepared.context, opened.handle, buffer)) == 3
    server.set_rate(2, clock)
    clock.now += 4
    assert steps_of(lambda: api.backup_read_file(prepared.context, opened.handle, buffer)) == 8
    assert steps_of(lambda: api.backup_read_file(prepared.context, opened.handle, buffer)) == 0
    clock.now += 1
    assert steps_of(lambda: prepare(api)) == 2, "also where the call belongs to no backup"
    server.set_rate(None, clock)
    assert steps_of(lambda: api.backup_read_file(prepared.context, opened.handle, buffer)) == 3


def test_rate_over_the_wire() -> None:
    server = small_server(steps_per_call=3)
    with administered(server, rate=0) as desk:
        assert desk.computer()["rate"] == 0
        edb = server.group("G1").store("G1S1").edb
        before = server.journal.commits(edb)
        with connected(desk.server) as api:
            back_up(api, "G1")
        assert server.journal.commits(edb) == before, "users rest"
        desk.do("set_rate", 2_500)
        assert desk.computer()["rate"] == 2.5
        assert server.group("G1").pace is not None
        desk.do("set_rate", 0xFFFFFFFF)
        assert (desk.computer()["rate"], server.group("G1").pace) == (None, None)
