"""Attacks with a name, over sockets: each costs its client the connection, or nothing at all.

What holds for all of them: the server logs no error of its own, another client is served as ever,
and once the attacker is gone nothing of it is left. What random bytes do is in `tools/rpcfuzz`.
"""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest

from eseback.rpc import (
    BACKUP_INTERFACE,
    FaultStatus,
    Limits,
)
from eseback.rpc.bulk import encode_read_request
from eseback.rpc.ndr_arrays import NAME_MAX
from esesim.server import SimulatedServer
from tests.eseback.rpc.joined import (
    FIRST,
    MPX,
    WHOLE,
    bind_pdu,
    pdu,
    request_pdu,
)
from tests.esesim.rpc.attacked import (
    HUGE,
    NODES,
    OPNUM,
    READ,
    attacked,
    is_backed_up,
    logged,
    opened,
)
from tests.esesim.rpc.wire import RawClient, bound, eventually
from tests.esesim.support.servers import small_server


@pytest.fixture
def simulated() -> Iterator[SimulatedServer]:
    with small_server(2) as server:
        yield server


def trickle(client: RawClient, data: bytes, seconds: float) -> float:
    """Send byte by byte until the server hangs up; gives how long it took that."""
    client.socket.settimeout(0.01)
    started = time.monotonic()
    for position in range(len(data)):
        try:
            client.socket.sendall(data[position : position + 1])
            if not client.socket.recv(1):
                break
        except TimeoutError:
            pass
        except OSError:
            break
        if time.monotonic() - started > seconds:
            break
    return time.monotonic() - started


# ---- slow ones


def test_slow_loris_in_the_handshake(
    simulated: SimulatedServer, caplog: pytest.LogCaptureFixture
) -> None:
    """A bind that keeps coming, byte by byte, is late all the same."""
    with (
        attacked(simulated, caplog, handshake_seconds=0.2) as server,
        RawClient(server) as client,
    ):
        assert trickle(client, bind_pdu() * 9, 8) < 4
        assert logged(caplog, "connection closed: handshake for more than 0.2 s")


def test_slow_loris_in_a_request(
    simulated: SimulatedServer, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        attacked(simulated, caplog, stall_seconds=0.2) as server,
        bound(server, BACKUP_INTERFACE) as client,
    ):
        assert trickle(client, request_pdu(bytes(1000)), 8) < 4
        assert logged(caplog, "connection closed: receiving for more than 0.2 s")


def test_slow_loris_behind_other_calls(
    simulated: SimulatedServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Calls that are complete do not buy time for one that is not."""
    with (
        attacked(simulated, caplog, stall_seconds=0.3) as server,
        RawClient(server) as client,
    ):
        client.socket.sendall(bind_pdu(flags=WHOLE | MPX))
        client.socket.sendall(request_pdu(bytes(8), flags=FIRST, call_id=2, hint=999))
        started = time.monotonic()
        for call_id in range(3, 800):
            try:
                client.socket.sendall(request_pdu(NODES, call_id=call_id))
                client.socket.recv(1 << 16)
            except OSError:
                break
            time.sleep(0.01)
        assert time.monotonic() - started < 4
        assert client.is_closed()
        assert logged(caplog, "receiving for more than 0.3 s")


@pytest.mark.parametrize(
    "kept_alive",
    [pdu(18, b"", call_id=9), pdu(19, b"", call_id=9), request_pdu(flags=0, call_id=2)],
    ids=["cancels", "orphans", "empty fragments"],
)
def test_idle_is_without_a_call_whatever_else_comes(
    simulated: SimulatedServer, caplog: pytest.LogCaptureFixture, kept_alive: bytes
) -> None:
    with (
        attacked(simulated, caplog, idle_seconds=0.2) as server,
        bound(server, BACKUP_INTERFACE) as client,
        bound(server, BACKUP_INTERFACE) as busy,
    ):
        client.socket.sendall(request_pdu(flags=FIRST, call_id=2))
        started = time.monotonic()
        for _ in range(1000):
            try:
                client.socket.sendall(kept_alive)
            except OSError:
                break
            assert isinstance(busy.call(0, OPNUM["get_nodes"], NODES), bytes)
            time.sleep(0.005)
        assert time.monotonic() - started < 4
        assert client.is_closed()
        assert logged(caplog, "idle for more than 0.2 s")


# ---- half-open ones


def test_connections_that_say_nothing_and_go(
    simulated: SimulatedServer, caplog: pytest.LogCaptureFixture
) -> None:
    """With an end of the stream, with a reset, before a bind, within one, and after it."""
    with attacked(simulated, caplog) as server:
        for said in (b"", bind_pdu()[:20], bind_pdu(), bind_pdu() + request_pdu(NODES)[:30]):
            for is_reset in (False, True):
                with RawClient(server) as client:
                    client.socket.sendall(said)
                    if is_reset:
                        reset(client)
        with RawClient(server) as client:
            client.socket.shutdown(socket.SHUT_WR)
            assert client.is_closed()


def reset(client: RawClient) -> None:
    """Make the socket hang up with a reset, as the system does for a client that crashed."""
    linger = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


def test_a_reset_in_the_middle_of_an_answer(
    simulated: SimulatedServer, caplog: pytest.LogCaptureFixture
) -> None:
    with attacked(simulated, caplog) as server:
        for _ in range(3):
            with bound(server, BACKUP_INTERFACE) as client:
                handle, file = opened(client, simulated)
                request = encode_read_request(handle, file, 1 << 22)
                client.socket.sendall(request_pdu(request, call_id=9, opnum=READ))
                assert client.socket.recv(100)
                assert is_backed_up(simulated)
                reset(client)
            assert eventually(lambda: not is_backed_up(simulated), seconds=1)


def test_a_client_that_takes_nothing_holds_up_nobody(
    simulated: SimulatedServer, caplog: pytest.LogCaptureFixture
) -> None:
    """It asks for more than all buffers between hold; another one is served meanwhile."""
    with (
        attacked(simulated, caplog, stall_seconds=0.5) as server,
        bound(server, BACKUP_INTERFACE) as client,
        bound(server, BACKUP_INTERFACE) as other,
    ):
        opened(client, simulated)
        with suppress(OSError):
            client.socket.settimeout(0.2)
            client.socket.sendall(request_pdu(NODES, call_id=9) * 20_000)
        assert isinstance(other.call(0, OPNUM["get_nodes"], NODES), bytes)
        assert logged(caplog, "sending for more than 0.5 s")
        assert eventually(lambda: not is_backed_up(simulated))


# ---- giant ones


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (pdu(0, b"", length=0xFFFF), FaultStatus.PROTOCOL_ERROR),
        (pdu(0, b"", length=0xFFFF, little=False), FaultStatus.PROTOCOL_ERROR),
        (pdu(0, bytes(30), auth_length=0xFFFF), FaultStatus.PROTOCOL_ERROR),
        (request_pdu(flags=FIRST, hint=HUGE), FaultStatus.ACCESS_DENIED),
        (pdu(14, bytes(8) + b"\xff\0\0\0"), FaultStatus.PROTOCOL_ERROR),
    ],
    ids=["fragment", "fragment, big-endian", "verifier", "hint", "contexts"],
)
def test_giant_lengths_cost_the_connection(
    simulated: SimulatedServer, caplog: pytest.LogCaptureFixture, sent: bytes, status: int
) -> None:
    """At once: nothing of what they announce is waited for, nor is memory for it taken."""
    limits = Limits(fragment_max=5840)
    with attacked(simulated, caplog, call=limits) as server:
        with bound(server, BACKUP_INTERFACE) as client:
            client.socket.sendall(sent)
            data = client.socket.recv(100)
            assert data[2] == 3 and struct.unpack_from("<I", data, 24)[0] == status
            assert client.is_closed()
        assert logged(caplog, "connection closed: ")


@pytest.mark.parametrize(
    ("method", "stub"),
    [
        ("get_nodes", struct.pack("<IIII", 1, HUGE, 0, HUGE) + b"x\0"),
        ("get_registered", struct.pack("<III", HUGE, 0, HUGE)),
        ("restore_write_file", bytes(24) + struct.pack("<qII", 1, HUGE, HUGE) + b"data"),
        ("restore_add_database", bytes(20) + struct.pack("<III4x", 1, 0, 1) + b"\xff" * 64),
        ("snapshot_start", bytes(20) + struct.pack("<II", HUGE, HUGE)),
    ],
)
def test_giant_counts_cost_a_fault(
    simulated: SimulatedServer, caplog: pytest.LogCaptureFixture, method: str, stub: bytes
) -> None:
    with attacked(simulated, caplog) as server, bound(server, BACKUP_INTERFACE) as client:
        assert client.call(0, OPNUM[method], stub) == FaultStatus.BAD_STUB_DATA
        assert isinstance(client.call(0, OPNUM["get_nodes"], NODES), bytes)
        assert (
            "do not fit" in caplog.text or "bytes wanted" in caplog.text or "there" in caplog.text
        )


def test_giant_names_are_neither_kept_nor_repeated(
    simulated: SimulatedServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Lone surrogates: each is twelve bytes long where an error quotes it."""
    with attacked(simulated, caplog) as server, bound(server, BACKUP_INTERFACE) as client:
        for size in (NAME_MAX, NAME_MAX + 1, 2_000_000):
            count = struct.pack("<IIII", 1, size + 1, 0, size + 1)
            answer = client.call(0, OPNUM["get_nodes"], count + b"\0\xd8" * size + b"\0\0")
            if size <= NAME_MAX:
                assert isinstance(answer, bytes) and len(answer) < 10_000
            else:
                assert answer == FaultStatus.BAD_STUB_DATA


# ---- fragments that never end


@pytest.mark.parametrize("size", [1, 1400])
def test_fragments_that_never_end(
    simulated: SimulatedServer, caplog: pytest.LogCaptureFixture, size: int
) -> None:
    limits = Limits(fragment_max=1432, call_max=20_000)
    with attacked(simulated, caplog, call=limits) as server:
        with bound(server, BACKUP_INTERFACE) as client:
            client.socket.sendall(request_pdu(flags=FIRST))
            more = request_pdu(bytes(size), flags=0)
            with suppress(OSError):
                client.socket.sendall(more * 20_010 if size == 1 else more * 20)
            assert client.is_closed()
        assert logged(caplog, "connection closed: a call of more than 20000 bytes")


def test_fragments_that_never_end_of_many_clients(
    simulated: SimulatedServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Each keeps to its own limit; together they meet that of the server, which holds."""
    with attacked(simulated, caplog, memory=300_000) as server, ExitStack() as stack:
        clients = [stack.enter_context(bound(server, BACKUP_INTERFACE)) for _ in range(8)]
        for client in clients:
            client.socket.sendall(request_pdu(bytes(60_000), flags=FIRST))
            assert eventually(lambda: server.memory.used <= 300_000)
        assert eventually(lambda: "the server's memory is used up" in caplog.text)
        assert 200_000 < server.memory.used <= 300_000
        with bound(server, BACKUP_INTERFACE) as other:
            assert isinstance(other.call(0, OPNUM["get_nodes"], NODES), bytes)
