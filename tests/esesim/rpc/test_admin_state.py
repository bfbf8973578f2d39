"""Crash, reset, snapshots: beside running backups, and what clients see of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from eseback.constants import INFORMATION_STORE, BackupType, RestoreClose
from eseback.errors import ConnectionLost, EseBackupError, JetErr
from esebcli.rpcapi import RpcApi
from esesim.rpc.control import ERROR_NOT_ENOUGH_QUOTA, SNAPSHOTS_MAX, Control
from esesim.rpc.controlgate import ERROR_TIMEOUT, Gate
from esesim.server import SimulatedServer
from tests.esesim.rpc.administered import Desk, administered
from tests.esesim.rpc.wire import connected, eventually
from tests.esesim.support.servers import SERVER, back_up, prepare, small_server

INVALID_HANDLE = "hrInvalidHandle"


@pytest.fixture
def server() -> SimulatedServer:
    return small_server(groups=2, steps_per_call=1)


@pytest.fixture
def desk(server: SimulatedServer) -> Iterator[Desk]:
    with administered(server) as desk:
        yield desk


def begin(api: RpcApi, group: str = "G1") -> tuple[int, int]:
    """Start a backup and read a little; gives context and file handle."""
    prepared = prepare(api)
    api.backup_setup(prepared.context, prepared.instances[group], BackupType.FULL)
    (opened,) = api.backup_open_file(prepared.context, prepared.streams[group][0])
    assert api.backup_read_file(prepared.context, opened.handle, bytearray(65536)) == 65536
    return prepared.context, opened.handle


def error_of(call: Callable[[], object]) -> EseBackupError:
    with pytest.raises(EseBackupError) as caught:
        call()
    return caught.value


def test_the_same_snapshot_gives_the_same_bytes(desk: Desk) -> None:
    desk.do("run_workload", "G1", 60)
    (number,) = desk.do("take_snapshot")
    with connected(desk.server) as api:
        first = back_up(api, "G1")
        for _ in range(2):
            desk.do("run_workload", "G1", 30)
            desk.do("restore_snapshot", number)
            assert back_up(api, "G1") == first, "after whatever happened"
        desk.do("run_workload", "G1", 30)
        assert back_up(api, "G1") != first
    assert desk.computer()["snapshots"] == [number]


def test_reset_is_the_beginning(desk: Desk, server: SimulatedServer) -> None:
    fresh = small_server(groups=2, steps_per_call=1)
    with connected(desk.server) as api:
        first = back_up(api, "G1")
        desk.do("run_workload", "G2", 50)
        desk.do("dismount", "G2", "G2S1")
        desk.do("set_faults", '{"fault":[{"action":"drop","call":"backup_end"}]}')
        desk.do("set_transcript", 1)
        desk.do("set_rate", 7_000)
        (number,) = desk.do("take_snapshot")
        desk.do("reset")
        computer = desk.computer()
        assert (computer["fault_rules"], computer["recording"]) == (0, False)
        assert (computer["rate"], computer["snapshots"]) == (None, [number])
        assert desk.rows("get_transcript", 0) == []
        assert desk.store("G2S1")["mounted"]
        assert back_up(api, "G1") == first == back_up(fresh.session(), "G1")


def test_contexts_of_before_are_unknown(desk: Desk) -> None:
    (number,) = desk.do("take_snapshot")
    with connected(desk.server) as api:
        for name, *arguments in (("reset",), ("restore_snapshot", number)):
            context, handle = begin(api)
            restore = api.restore_open(SERVER, INFORMATION_STORE, "G2", None)
            desk.do(name, *arguments)
            buffer = bytearray(4096)
            for call in (
                partial(api.backup_read_file, context, handle, buffer),
                partial(api.backup_end, context),
                partial(api.restore_close, restore, RestoreClose.NORMAL),
            ):
                assert error_of(call).name == INVALID_HANDLE
            assert (desk.group()["backup"], desk.computer()["restores"]) == (None, 0)
            back_up(api, "G1")


def test_a_snapshot_of_a_running_backup_holds_no_client(desk: Desk) -> None:
    with connected(desk.server) as api:
        context, handle = begin(api)
        restore = api.restore_open(SERVER, INFORMATION_STORE, "G2", None)
        (number,) = desk.do("take_snapshot")
        assert api.backup_read_file(context, handle, bytearray(4096)), "the client notices nothing"
        api.backup_end(context)
        api.restore_close(restore, RestoreClose.NORMAL)
        desk.do("restore_snapshot", number)
        assert (desk.group()["backup"], desk.computer()["restores"]) == (None, 0)
        assert desk.computer()["instances"] == 2
        assert [event["id"] for event in desk.rows("get_events")][-1] == 215
        begin(api)


def test_snapshots_are_limited_and_can_be_forgotten(desk: Desk) -> None:
    numbers = [desk.do("take_snapshot")[0] for _ in range(SNAPSHOTS_MAX)]
    refusal = desk.refused("take_snapshot")
    assert (refusal.hresult, "delete one" in refusal.detail) == (ERROR_NOT_ENOUGH_QUOTA, True)
    desk.do("delete_snapshot", numbers[0])
    assert "no snapshot" in desk.refused("restore_snapshot", numbers[0]).detail
    assert desk.do("take_snapshot")[0] not in numbers


def test_crash_breaks_connections(desk: Desk, server: SimulatedServer) -> None:
    with connected(desk.server) as api, connected(desk.server) as idle:
        context, handle = begin(api)
        prepare(idle)
        before = desk.server.connections
        desk.do("crash", 3)
        buffer = bytearray(4096)
        with pytest.raises(ConnectionLost):
            api.backup_read_file(context, handle, buffer)
        with pytest.raises(ConnectionLost):
            prepare(idle)
        assert eventually(lambda: desk.server.connections == before - 2), "closed by the server"
    assert desk.group()["running"] and desk.group()["backup"] is None
    assert {300, 302} <= {event["id"] for event in desk.rows("get_events")}, "soft recovery"
    with connected(desk.server) as api:
        back_up(api, "G1")


def test_dismount_is_refused_while_a_backup_runs_and_the_killed_client_lets_go(desk: Desk) -> None:
    with connected(desk.server) as api:
        begin(api)
        refusal = desk.refused("dismount", "G1", "G1S1")
        assert refusal.jet == JetErr.BACKUP_IN_PROGRESS
    assert eventually(lambda: desk.group()["backup"] is None, 1.0)
    desk.do("dismount", "G1", "G1S1")


@pytest.mark.parametrize("operation", ["reset", "crash", "take_snapshot", "restore_snapshot"])
def test_beside_backups_of_others(desk: Desk, operation: str) -> None:
    """Whatever an administrator does meanwhile: calls succeed, or fail as they have to."""
    (number,) = desk.do("take_snapshot")
    arguments = {"crash": (1,), "restore_snapshot": (number,)}.get(operation, ())
    stop, wrong, calls = threading.Event(), list[BaseException](), [0, 0]

    def work(place: int) -> None:
        group = f"G{place + 1}"
        while not stop.is_set():
            try:
                with connected(desk.server) as api:
                    back_up(api, group)
                    calls[place] += 1
            except ConnectionLost as error:
                if operation != "crash":
                    wrong.append(error)
            except EseBackupError as error:
                if error.name != INVALID_HANDLE or operation == "take_snapshot":
                    wrong.append(error)
            except BaseException as error:
                wrong.append(error)

    threads = [threading.Thread(target=work, args=(place,)) for place in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(4):
        desk.do(operation, *arguments)
        desk.do("run_workload", "G1", 5)
        if operation == "take_snapshot":
            desk.do("delete_snapshot", desk.computer()["snapshots"][-1])
    stop.set()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive(), "a deadlock"
    assert wrong == []
    assert eventually(lambda: desk.group()["backup"] is None and desk.group("G2")["backup"] is None)
    with connected(desk.server) as api:
        back_up(api, "G1")
        back_up(api, "G2")


def test_the_gate_lets_nobody_in_who_is_not_alone() -> None:
    gate = Gate(patience=0.05)
    gate.enter()
    with pytest.raises(EseBackupError) as caught, gate.alone():
        raise AssertionError("a call is under way")
    assert caught.value.hresult == ERROR_TIMEOUT
    gate.enter()  # it is open again
    gate.leave()
    gate.leave()
    order: list[str] = []

    def call() -> None:
        with gate.passing():
            order.append("call")

    with gate.alone():
        thread = threading.Thread(target=call)
        thread.start()
        thread.join(0.05)
        order.append("alone")
    thread.join(5)
    assert order == ["alone", "call"]


def test_a_control_shuts_its_computer_down(server: SimulatedServer) -> None:
    control = Control(server)
    control.restore_snapshot(control.take_snapshot())
    assert control.server is not server
    control.close()
    assert all(group.instance is None for group in control.server.groups)
