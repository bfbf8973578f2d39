"""Connections, association groups, limits and nonsense: what a server on a real socket does."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eseback.calls import CALL_BY_METHOD
from eseback.constants import INFORMATION_STORE, BackupType
from eseback.errors import ConnectionLost, EseBackupError
from eseback.rpc import (
    BACKUP_INTERFACE,
    MANAGEMENT,
    NULL_HANDLE,
    BindRejected,
    FaultStatus,
    Limits,
    RejectReason,
)
from eseback.rpc.backup_calls import decode_result, encode_arguments
from eseback.rpc.bulk import decode_read, encode_read_request
from esesim.faults import FaultAction, FaultInjector, FaultPlan, FaultRule
from esesim.rpc import (
    BackupService,
    NotLoopbackError,
    RpcServer,
    ServerLimits,
)
from esesim.server import SimulatedServer
from tests.eseback.rpc.joined import pdu
from tests.esesim.rpc.wire import RawClient, bound, connected, eventually, served
from tests.esesim.support.servers import SERVER, prepare, small_server

READ = CALL_BY_METHOD["backup_read_file"].opnum or 0


@pytest.fixture
def simulated() -> Iterator[SimulatedServer]:
    with small_server(2) as server:
        yield server


def call(client: RawClient, method: str, *arguments: object) -> Any:
    """A call of the backup interface, bound as context 0."""
    stub = client.call(
        0, CALL_BY_METHOD[method].opnum or 0, bytes(encode_arguments(method, arguments))
    )
    assert isinstance(stub, bytes), f"fault 0x{stub:08X}"
    return decode_result(method, stub)


def running_backup(client: RawClient, simulated: SimulatedServer) -> bytes:
    """The context handle of a backup of G1."""
    handle, _ = call(client, "backup_prepare", SERVER, INFORMATION_STORE)
    call(client, "backup_setup", handle, simulated.group("G1").id, BackupType.FULL)
    assert isinstance(handle, bytes)
    return handle


def lost(simulated: SimulatedServer) -> int:
    return sum(event.id == 215 for event in simulated.group("G1").events)


# ---- association groups and rundown

KILLED = """
import os, sys, time
from esebcli.rpc import open_transport
from eseback.constants import INFORMATION_STORE, BackupType
api = open_transport(sys.argv[1]).session()
context, instances = api.backup_prepare("EXCHSRV1", INFORMATION_STORE)
api.backup_setup(context, instances[0].instance_id, BackupType.FULL)
print("running", flush=True)
time.sleep(60)
"""


def test_a_killed_client_frees_its_group_within_a_second(simulated: SimulatedServer) -> None:
    with served(simulated) as server, connected(server) as other:
        host, port = server.address
        with subprocess.Popen(
            [sys.executable, "-c", KILLED, f"{host}:{port}"], stdout=subprocess.PIPE, text=True
        ) as client:
            assert client.stdout is not None and client.stdout.readline() == "running\n"
            mine = prepare(other)
            with pytest.raises(EseBackupError, match="-505"):
                other.backup_setup(mine.context, mine.instances["G1"], BackupType.FULL)
            client.kill()
            assert eventually(lambda: lost(simulated) == 1, seconds=1)
        other.backup_setup(mine.context, mine.instances["G1"], BackupType.FULL)


def test_handles_belong_to_the_group_of_connections(simulated: SimulatedServer) -> None:
    with served(simulated) as server, bound(server, BACKUP_INTERFACE) as first:
        handle = running_backup(first, simulated)
        group = first.core.assoc_group_id
        with bound(server, BACKUP_INTERFACE, group=group) as second:
            assert call(second, "backup_get_log_and_patch_files", handle)
            first.socket.close()
            assert eventually(lambda: server.connections == 1)
            assert call(second, "backup_get_log_and_patch_files", handle)
            assert lost(simulated) == 0
        assert eventually(lambda: lost(simulated) == 1, seconds=1)
        assert eventually(lambda: len(server.associations) == 0)


def test_handles_of_others_and_replayed_ones_are_worth_nothing(simulated: SimulatedServer) -> None:
    with (
        served(simulated) as server,
        bound(server, BACKUP_INTERFACE) as owner,
        bound(server, BACKUP_INTERFACE) as thief,
    ):
        handle = running_backup(owner, simulated)
        for wrong in (handle, NULL_HANDLE, bytes(range(20))):
            stub = encode_read_request(wrong, 1, 4096)
            assert thief.call(0, READ, stub) == FaultStatus.CONTEXT_MISMATCH
        assert call(owner, "backup_end", handle) == NULL_HANDLE
        assert owner.call(0, READ, stub) == FaultStatus.CONTEXT_MISMATCH
        replayed = bytes(encode_arguments("backup_end", (handle,)))
        end = CALL_BY_METHOD["backup_end"].opnum or 0
        assert owner.call(0, end, replayed) == FaultStatus.CONTEXT_MISMATCH


def test_an_unknown_group_cannot_be_joined(simulated: SimulatedServer) -> None:
    with served(simulated) as server, RawClient(server) as client:
        event = client.bind(BACKUP_INTERFACE, group=0xDEAD)
        assert event == BindRejected(RejectReason.NOT_SPECIFIED, ((5, 0),))
        assert client.is_closed()


def test_a_dropped_connection_is_dropped(simulated: SimulatedServer) -> None:
    plan = FaultPlan((FaultRule(FaultAction.DROP, call="backup_open_file"),))
    service = BackupService(
        lambda remote: FaultInjector(simulated.session(remote=remote), plan, simulated),
        simulated.connection_lost,
        1 << 20,
    ).service()
    with RpcServer([service]) as server, connected(server) as api:
        mine = prepare(api)
        api.backup_setup(mine.context, mine.instances["G1"], BackupType.FULL)
        with pytest.raises(ConnectionLost):
            api.backup_open_file(mine.context, mine.streams["G1"][0])
        assert eventually(lambda: lost(simulated) == 1)


# ---- limits


def test_too_many_connections(simulated: SimulatedServer) -> None:
    with (
        served(simulated, limits=ServerLimits(connections=2)) as server,
        bound(server, BACKUP_INTERFACE) as first,
        bound(server, BACKUP_INTERFACE),
    ):
        with RawClient(server) as third:
            assert third.is_closed()
        first.socket.close()
        assert eventually(lambda: server.connections == 1)
        bound(server, BACKUP_INTERFACE).socket.close()


def test_a_client_that_never_binds_is_cut(simulated: SimulatedServer) -> None:
    limits = ServerLimits(handshake_seconds=0.1)
    with served(simulated, limits=limits) as server, RawClient(server) as client:
        assert client.is_closed()
        assert eventually(lambda: server.connections == 0)


def test_idle_cuts_a_client_unless_it_holds_a_context(simulated: SimulatedServer) -> None:
    limits = ServerLimits(idle_seconds=0.5)
    with (
        served(simulated, limits=limits) as server,
        bound(server, BACKUP_INTERFACE) as holder,
        bound(server, BACKUP_INTERFACE) as idler,
    ):
        handle = running_backup(holder, simulated)
        assert idler.is_closed()
        time.sleep(1.2)
        assert call(holder, "backup_end", handle) == NULL_HANDLE
        assert holder.is_closed()


def test_a_request_that_never_ends_is_cut_context_or_not(simulated: SimulatedServer) -> None:
    limits = ServerLimits(stall_seconds=0.2)
    with (
        served(simulated, limits=limits) as server,
        bound(server, BACKUP_INTERFACE) as client,
    ):
        running_backup(client, simulated)
        request = pdu(0, bytes(100), call_id=9)
        for byte in request[:40]:
            client.socket.sendall(bytes((byte,)))
            time.sleep(0.002)
        assert client.is_closed()
        assert eventually(lambda: lost(simulated) == 1)


def test_an_answer_that_nobody_takes_is_cut(simulated: SimulatedServer) -> None:
    limits = ServerLimits(stall_seconds=0.2)
    with served(simulated, limits=limits) as server, bound(server, BACKUP_INTERFACE) as client:
        running_backup(client, simulated)
        _, buffers = client.core.request(0, 0, [encode_arguments("get_nodes", (None,))])
        request = b"".join(buffers)
        # Their answers are more than all buffers on the way can take.
        with suppress(OSError):
            client.socket.sendall(request * 30_000)
        assert eventually(lambda: server.connections == 0)
        assert eventually(lambda: lost(simulated) == 1)


def test_a_request_that_is_too_long(simulated: SimulatedServer) -> None:
    limits = ServerLimits(call=Limits(call_max=10_000))
    with served(simulated, limits=limits) as server, bound(server, BACKUP_INTERFACE) as client:
        assert client.call(0, READ, bytes(20_000)) == FaultStatus.ACCESS_DENIED


def test_long_reads_come_short(simulated: SimulatedServer) -> None:
    limits = ServerLimits(read_max=20_480)
    with served(simulated, limits=limits) as server, bound(server, BACKUP_INTERFACE) as client:
        handle = running_backup(client, simulated)
        name = simulated.group("G1").spec.stores[0].edb
        (opened,) = call(client, "backup_open_file", handle, name, 1, 1)
        stub = client.call(0, READ, encode_read_request(handle, opened.handle, 0xFFFFFFFF))
        assert isinstance(stub, bytes)
        assert len(decode_read(stub, 0xFFFFFFFF)) == 20_480


def test_contexts_are_limited(simulated: SimulatedServer) -> None:
    limits = ServerLimits(handles=3)
    with served(simulated, limits=limits) as server, connected(server) as api:
        contexts = [prepare(api).context for _ in range(3)]
        with pytest.raises(EseBackupError, match="SERVER_TOO_BUSY"):
            prepare(api)
        api.backup_end(contexts[0])
        prepare(api)


def test_memory_is_limited(simulated: SimulatedServer) -> None:
    """Buffers of reads are refused with a fault; requests that never end cost the connection."""
    limits = ServerLimits(memory=200_000)
    with served(simulated, limits=limits) as server:
        with bound(server, BACKUP_INTERFACE) as client:
            handle = running_backup(client, simulated)
            request = encode_read_request(handle, 1, 300_000)
            assert client.call(0, READ, request) == FaultStatus.REMOTE_NO_MEMORY
            request = encode_read_request(handle, 1, 100_000)
            assert isinstance(client.call(0, READ, request), bytes)
            assert server.memory.used == 100_000
            with bound(server, BACKUP_INTERFACE) as hungry:
                first = pdu(0, bytes(8 + 60_000), flags=1, call_id=9)
                rest = pdu(0, bytes(8 + 60_000), flags=0, call_id=9)
                hungry.socket.sendall(first + rest)
                assert hungry.is_closed()
            assert call(client, "backup_get_log_and_patch_files", handle)
        assert eventually(lambda: server.memory.used == 0)


# ---- nonsense


@given(st.lists(st.binary(min_size=1, max_size=200), max_size=4))
def test_hostile_bytes(hostile: RpcServer, pieces: list[bytes]) -> None:
    """Whatever comes: the connection lives or is closed, and others are served."""
    with RawClient(hostile) as client:
        try:
            for piece in pieces:
                client.socket.sendall(piece)
            client.socket.shutdown(socket.SHUT_WR)
        except OSError:
            return
        assert client.is_closed()


@given(st.binary(max_size=300), st.integers(0, 0xFFFF), st.integers(0, 255))
def test_hostile_requests(hostile: RpcServer, stub: bytes, opnum: int, flags: int) -> None:
    """Any stub for any operation gets an answer, a fault or a closed connection."""
    with bound(hostile, BACKUP_INTERFACE, MANAGEMENT) as client:
        body = len(stub).to_bytes(4, "little") + b"\0\0" + opnum.to_bytes(2, "little") + stub
        client.socket.sendall(pdu(0, body, flags=flags, call_id=7))
        client.socket.sendall(pdu(0, bytes(6) + (opnum % 40).to_bytes(2, "little") + stub))
        client.socket.shutdown(socket.SHUT_WR)
        assert client.is_closed()


@pytest.fixture(scope="module")
def hostile() -> Iterator[RpcServer]:
    """One server for all of them, which still serves at the end, and has nothing left of them."""
    with small_server() as simulated, served(simulated) as server:
        yield server
        assert eventually(lambda: server.connections == 0)
        assert (server.memory.used, len(server.associations)) == (0, 0)
        with connected(server) as api:
            prepare(api)


def test_two_hundred_idle_connections(simulated: SimulatedServer) -> None:
    with served(simulated) as server:
        clients = [bound(server, BACKUP_INTERFACE) for _ in range(200)]
        with connected(server) as api:
            prepare(api)
        assert server.connections >= 200
        for client in clients:
            client.socket.close()
        assert eventually(lambda: server.connections == 0)


# ---- starting and stopping


def test_only_loopback(simulated: SimulatedServer) -> None:
    service = BackupService(lambda _: simulated.session(), simulated.connection_lost, 1)
    for host in ("0.0.0.0", "::", "192.0.2.1"):
        with pytest.raises(NotLoopbackError, match="authentication"):
            RpcServer([service.service()], host)


def test_a_running_call_ends_before_the_server_does(simulated: SimulatedServer) -> None:
    entered = threading.Event()

    class Slow(FaultInjector):
        def backup_get_log_and_patch_files(self, context: int) -> tuple[str, ...]:
            entered.set()
            time.sleep(0.3)
            return super().backup_get_log_and_patch_files(context)

    service = BackupService(
        lambda _: Slow(simulated.session(), FaultPlan(()), simulated),
        simulated.connection_lost,
        1 << 20,
    ).service()
    found: list[object] = []
    with RpcServer([service]) as server, connected(server) as api, connected(server) as idle:
        mine = prepare(api)
        api.backup_setup(mine.context, mine.instances["G1"], BackupType.FULL)
        thread = threading.Thread(
            target=lambda: found.append(api.backup_get_log_and_patch_files(mine.context))
        )
        thread.start()
        assert entered.wait(5)
        server.stop()
        thread.join(5)
        assert found and found[0]
        assert lost(simulated) == 1
        with pytest.raises(ConnectionLost):
            idle.get_nodes(None)
        with pytest.raises(OSError):
            RawClient(server)
    assert server.connections == 0


def test_a_call_that_does_not_end_is_not_waited_for(simulated: SimulatedServer) -> None:
    go_on = threading.Event()

    class Stuck(FaultInjector):
        def backup_get_log_and_patch_files(self, context: int) -> tuple[str, ...]:
            go_on.wait(10)
            return super().backup_get_log_and_patch_files(context)

    service = BackupService(
        lambda _: Stuck(simulated.session(), FaultPlan(()), simulated),
        simulated.connection_lost,
        1 << 20,
    ).service()
    limits = ServerLimits(stop_seconds=0.1)
    with RpcServer([service], limits=limits) as server, connected(server) as api:
        mine = prepare(api)
        errors: list[BaseException] = []

        def ask() -> None:
            try:
                api.backup_get_log_and_patch_files(mine.context)
            except ConnectionLost as error:
                errors.append(error)

        thread = threading.Thread(target=ask)
        thread.start()
        time.sleep(0.1)
        started = time.monotonic()
        server.stop()
        assert time.monotonic() - started < 3
        go_on.set()
        thread.join(5)
        assert errors
        assert eventually(lambda: server.connections == 0)
