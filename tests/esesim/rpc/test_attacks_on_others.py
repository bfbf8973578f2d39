"""Attacks on what belongs to others, floods, and what is out of proportion; see `test_attacks`."""

from __future__ import annotations

import logging
import socket
import struct
import threading
from collections.abc import Iterator

import pytest
from attrs import evolve

from eseback.constants import INFORMATION_STORE
from eseback.rpc import (
    BACKUP_INTERFACE,
    BACKUP_SYNTAX,
    ENDPOINT_MAPPER,
    MANAGEMENT,
    NDR32,
    NULL_HANDLE,
    AuthLevel,
    AuthType,
    BindAccepted,
    BindRejected,
    ContextOffer,
    Credentials,
    FaultReceived,
    FaultStatus,
    Initiator,
    Limits,
    RejectReason,
    ResponseReceived,
)
from eseback.rpc.backup_calls import encode_arguments
from eseback.rpc.bulk import encode_read_request
from esesim.rpc import Authentication, User, Users
from esesim.server import SimulatedServer
from tests.eseback.rpc.joined import (
    FIRST,
    LAST,
    MPX,
    WHOLE,
    bind_pdu,
    context_bytes,
    pdu,
    request_pdu,
)
from tests.esesim.rpc.attacked import (
    HUGE,
    NODES,
    OPNUM,
    READ,
    attacked,
    call,
    logged,
    opened,
)
from tests.esesim.rpc.wire import RawClient, bound, eventually, served
from tests.esesim.support.servers import SERVER, small_server


@pytest.fixture
def simulated() -> Iterator[SimulatedServer]:
    with small_server(2) as server:
        yield server


# ---- what belongs to others


def test_a_group_of_another_computer_cannot_be_joined(
    simulated: SimulatedServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor can its handles be used where the group's number was guessed on the same computer."""
    with attacked(simulated, caplog) as server, bound(server, BACKUP_INTERFACE) as owner:
        handle, file = opened(owner, simulated)
        group = owner.core.assoc_group_id
        thief = RawClient(server)
        thief.socket.close()
        try:
            thief.socket = socket.create_connection(server.address, 5, ("127.0.0.2", 0))
        except OSError:
            pytest.skip("this computer has one loopback address only")
        with thief:
            assert thief.bind(BACKUP_INTERFACE, group=group) == BindRejected(
                RejectReason.NOT_SPECIFIED, ((5, 0),)
            )
            assert thief.is_closed()
        assert logged(caplog, f"association group 0x{group:08X} does not exist")
        assert isinstance(owner.call(0, READ, encode_read_request(handle, file, 10)), bytes)


def test_handles_are_worth_nothing_after_rundown(
    simulated: SimulatedServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither in a new group, nor in one that claims the number of the old one."""
    with attacked(simulated, caplog) as server:
        with bound(server, BACKUP_INTERFACE) as first:
            handle, file = opened(first, simulated)
            group = first.core.assoc_group_id
        assert eventually(lambda: server.connections == 1)
        with bound(server, BACKUP_INTERFACE) as second:
            request = encode_read_request(handle, file, 10)
            assert second.call(0, READ, request) == FaultStatus.CONTEXT_MISMATCH
            for method in ("backup_end", "backup_truncate_logs", "backup_get_dependency_info"):
                stub = bytes(encode_arguments(method, (handle,)))
                assert second.call(0, OPNUM[method], stub) == FaultStatus.CONTEXT_MISMATCH
        with RawClient(server) as third:
            assert isinstance(third.bind(BACKUP_INTERFACE, group=group), BindRejected)


def test_handles_of_another_interface(
    simulated: SimulatedServer, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        attacked(simulated, caplog) as server,
        bound(server, BACKUP_INTERFACE, ENDPOINT_MAPPER) as client,
    ):
        handle, _ = opened(client, simulated)
        free = bytes(ENDPOINT_MAPPER.operations[4].request.encode((handle,)))
        assert client.call(1, 4, free) == FaultStatus.CONTEXT_MISMATCH
        assert call(client, "backup_end", handle) == NULL_HANDLE


# ---- presentation contexts


def test_a_context_that_was_never_bound(
    simulated: SimulatedServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Thousands of such calls, all at once: each gets its fault, and the log has one line."""
    with attacked(simulated, caplog) as server, bound(server, BACKUP_INTERFACE) as client:
        client.core.contexts[7] = BACKUP_SYNTAX  # as if the server had accepted it
        assert client.call(7, 0) == FaultStatus.UNKNOWN_INTERFACE
        count = 2000
        flood = threading.Thread(
            target=client.socket.sendall, args=(request_pdu(context_id=9, call_id=3) * count,)
        )
        flood.start()
        left = 32 * count
        while left:
            left -= len(client.socket.recv(min(left, 65536)))
        flood.join()
        assert isinstance(client.call(0, OPNUM["get_nodes"], NODES), bytes)
        assert caplog.text.count("UNKNOWN_INTERFACE") == 1


def test_thousands_of_presentation_contexts(
    simulated: SimulatedServer, caplog: pytest.LogCaptureFixture
) -> None:
    with attacked(simulated, caplog) as server:
        with RawClient(server) as client:
            client.socket.sendall(bind_pdu(*(context_bytes(number) for number in range(255))))
            answer = client.socket.recv(100)
            assert (answer[2], answer[16]) == (13, RejectReason.LOCAL_LIMIT_EXCEEDED)
            assert client.is_closed()
        with bound(server, BACKUP_INTERFACE) as client:
            known = bind_pdu(*(context_bytes(number) for number in range(64)), ptype=14)
            for _ in range(20):  # as often as it likes, as long as they are the same
                client.socket.sendall(known)
                assert client.socket.recv(4096)[2] == 15
            client.socket.sendall(bind_pdu(context_bytes(64), ptype=14))
            assert client.socket.recv(4096)[2] == 3
            assert client.is_closed()
        assert eventually(lambda: caplog.text.count("more than 64 presentation contexts") == 2)


# ---- floods


def test_refused_calls_that_never_end(
    simulated: SimulatedServer, caplog: pytest.LogCaptureFixture
) -> None:
    with attacked(simulated, caplog) as server:
        with RawClient(server) as client:
            client.socket.sendall(bind_pdu(flags=WHOLE | MPX))
            flood = [request_pdu(flags=FIRST, context_id=9, call_id=n) for n in range(2, 40)]
            client.socket.sendall(b"".join(flood))
            assert client.is_closed()
        assert logged(caplog, "too many refused calls that never end")


@pytest.mark.parametrize("ptype", [18, 19], ids=["cancels", "orphans"])
def test_floods_of_cancels_and_orphans(
    simulated: SimulatedServer, caplog: pytest.LogCaptureFixture, ptype: int
) -> None:
    """For calls that were never made; between them calls are answered as ever."""
    flood = b"".join(pdu(ptype, b"", call_id=call_id) for call_id in range(1000, 6000))
    with attacked(simulated, caplog) as server, bound(server, BACKUP_INTERFACE) as client:
        for _ in range(2):
            client.socket.sendall(flood)
            assert isinstance(client.call(0, OPNUM["get_nodes"], NODES), bytes)


def test_more_calls_at_a_time_than_allowed(
    simulated: SimulatedServer, caplog: pytest.LogCaptureFixture
) -> None:
    """The one too many is refused as too busy; the others are completed and answered."""
    limits = Limits(outstanding_max=3)
    with attacked(simulated, caplog, call=limits) as server, RawClient(server) as client:
        offer = ContextOffer(0, BACKUP_SYNTAX, (NDR32,))
        client.socket.sendall(b"".join(client.core.bind([offer], concurrent=True)))
        assert isinstance(client.event(), BindAccepted)
        calls = [client.core.request(0, OPNUM["get_nodes"], [NODES])[0] for _ in range(4)]
        for call_id in calls:
            client.socket.sendall(request_pdu(NODES[:8], flags=FIRST, call_id=call_id))
        refused = client.event()
        assert refused == FaultReceived(calls[3], FaultStatus.SERVER_TOO_BUSY, False)
        for call_id in reversed(calls):
            client.socket.sendall(request_pdu(NODES[8:], flags=LAST, call_id=call_id))
        answers = [client.event() for _ in range(3)]
        assert all(isinstance(answer, ResponseReceived) for answer in answers)
        assert [answer.call_id for answer in answers] == calls[2::-1]  # type: ignore[union-attr]
        assert "is answered SERVER_TOO_BUSY" in caplog.text


def test_connection_churn(simulated: SimulatedServer, caplog: pytest.LogCaptureFixture) -> None:
    """Five hundred connections that go again at once, half of them bound."""
    with attacked(simulated, caplog) as server:
        for number in range(500):
            with socket.create_connection(server.address, 5) as sock:
                if number % 2:
                    sock.sendall(bind_pdu())


# ---- with authentication (what else there is about tokens is in `test_authentication`)


@pytest.mark.parametrize("auth_type", [AuthType.NTLM, AuthType.SPNEGO])
def test_tokens_out_of_proportion_and_out_of_order(
    simulated: SimulatedServer, caplog: pytest.LogCaptureFixture, auth_type: AuthType
) -> None:
    caplog.set_level(logging.INFO, "esesim.rpc")
    users = Authentication(Users([User.make("", "backup", "secret", may_back_up=True)]))
    initiator = Initiator(Credentials("backup", "secret", auth_type))
    first = initiator.first()
    offer = ContextOffer(0, BACKUP_SYNTAX, (NDR32,))
    with served(simulated, authentication=users) as server:
        giant = evolve(first, token=first.token + bytes(60_000))
        for token in (giant, evolve(first, token=b""), evolve(first, token=first.token[:-9])):
            with RawClient(server) as client:
                client.socket.sendall(b"".join(client.core.bind([offer], token=token)))
                assert isinstance(client.event(), BindRejected | BindAccepted)
                # Nobody is in yet, whatever was answered.
                client.socket.sendall(request_pdu(NODES, call_id=5))
                assert client.is_closed()
        with RawClient(server) as client:  # the first token once more, in place of the last
            client.socket.sendall(b"".join(client.core.bind([offer], token=first)))
            assert isinstance(client.event(), BindAccepted)
            client.socket.sendall(b"".join(client.core.auth3(first)))
            assert client.call(0, OPNUM["get_nodes"], NODES) == FaultStatus.ACCESS_DENIED
            assert client.is_closed()
        assert eventually(lambda: (server.connections, server.memory.used) == (0, 0))
        assert not any(record.levelno >= logging.ERROR for record in caplog.records), caplog.text


def test_a_mechanism_list_that_was_changed(
    simulated: SimulatedServer, caplog: pytest.LogCaptureFixture
) -> None:
    """The mechListMIC is wrong: that is answered like a wrong password."""
    caplog.set_level(logging.INFO, "esesim.rpc")
    users = Authentication(Users([User.make("", "backup", "secret", may_back_up=True)]))
    initiator = Initiator(Credentials("backup", "secret", AuthType.SPNEGO, AuthLevel.INTEGRITY))
    offer = ContextOffer(0, BACKUP_SYNTAX, (NDR32,))
    with served(simulated, authentication=users) as server, RawClient(server) as client:
        client.socket.sendall(b"".join(client.core.bind([offer], token=initiator.first())))
        answer = client.event()
        assert isinstance(answer, BindAccepted) and answer.token is not None
        last = initiator.step(answer.token.token)
        assert last is not None
        wrong = evolve(last, token=last.token[:-1] + bytes((last.token[-1] ^ 1,)))
        client.socket.sendall(b"".join(client.core.alter([offer], wrong)))
        refused = client.event()
        assert isinstance(refused, FaultReceived) and refused.status == FaultStatus.ACCESS_DENIED
        assert client.is_closed()
        assert logged(caplog, "authentication failed: ")


# ---- the interfaces that every server has


def test_abuse_of_the_endpoint_mapper(
    simulated: SimulatedServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Sizes out of all proportion; and handles, of which there are as many as the limit allows."""
    lookup, find = ENDPOINT_MAPPER.operations[2], ENDPOINT_MAPPER.operations[3]
    with (
        attacked(simulated, caplog, handles=3) as server,
        bound(server, ENDPOINT_MAPPER, BACKUP_INTERFACE, MANAGEMENT) as client,
    ):
        everything = bytes(lookup.request.encode((0, None, None, 1, NULL_HANDLE, HUGE)))
        stub = client.call(0, 2, everything)
        assert isinstance(stub, bytes) and len(stub) < 1000
        for size in (0, 1, 100, 60_000):
            for filler in (b"\0", b"\xff"):
                stub = client.call(
                    0, 3, bytes(find.request.encode((None, filler * size, NULL_HANDLE, 1)))
                )
                assert stub == FaultStatus.BAD_STUB_DATA or isinstance(stub, bytes)
        for asked in (0, HUGE):
            stub = client.call(2, 4, struct.pack("<II", 10, asked))
            assert isinstance(stub, bytes) and len(stub) < 5000
            assert isinstance(client.call(2, 1, struct.pack("<I", asked)), bytes)
        for _ in range(3):
            client.call(
                1, OPNUM["backup_prepare"], bytes(encode_arguments("backup_prepare", _PREPARE))
            )
        prepare = bytes(encode_arguments("backup_prepare", _PREPARE))
        assert client.call(1, OPNUM["backup_prepare"], prepare) == FaultStatus.SERVER_TOO_BUSY
        assert client.call(2, 3) == struct.pack("<I", 5)
        assert not server.is_stopping
        assert "is answered SERVER_TOO_BUSY" in caplog.text


_PREPARE = (SERVER, INFORMATION_STORE)
