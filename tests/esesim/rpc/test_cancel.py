"""Calls that are cancelled, given up or sent in bundles, on a real socket.

A call runs to its end whatever happens to its client: a backup call takes no harm from that, and
half a call could. So a cancel changes nothing, and an orphan only saves what is still to be sent.
"""

from __future__ import annotations

import socket
import threading
import uuid
from collections.abc import Iterator, Sequence

import pytest

from eseback.rpc import (
    NDR32,
    BindAccepted,
    BindFeature,
    Buffer,
    ContextOffer,
    FaultStatus,
    Limits,
    RequestReceived,
    ResponseReceived,
    SyntaxId,
    make_interface,
)
from esesim.rpc import Client, RpcServer, ServerLimits, Service
from tests.eseback.rpc.joined import CANCEL, FIRST, LAST, pdu
from tests.esesim.rpc.wire import PATIENCE, RawClient, bound, eventually

WORK = make_interface("work", SyntaxId(uuid.UUID("00000000-aaaa-bbbb-cccc-dddddddddddd"), 1), ())
ECHO, WAIT, OPEN = range(3)
CO_CANCEL, ORPHANED = 18, 19


class Work:
    """An operation that answers at once, one that waits for the test, one that opens a context."""

    def __init__(self) -> None:
        self.stubs: list[bytes] = []  # of echo, in the order in which they were carried out
        self.entered, self.go_on = threading.Event(), threading.Event()
        self.gone: list[str] = []

    def service(self) -> Service:
        return Service(WORK, {ECHO: self._echo, WAIT: self._wait, OPEN: self._open})

    def _echo(self, _: Client, request: RequestReceived) -> Sequence[Buffer]:
        self.stubs.append(bytes(request.stub))
        return (request.stub,)

    def _wait(self, _: Client, __: RequestReceived) -> Sequence[Buffer]:
        self.entered.set()
        assert self.go_on.wait(PATIENCE)
        return (b"done",)

    def _open(self, client: Client, _: RequestReceived) -> Sequence[Buffer]:
        return (client.group.open_context(WORK.syntax, "context", self.gone.append),)


@pytest.fixture
def work() -> Work:
    return Work()


@pytest.fixture
def server(work: Work) -> Iterator[RpcServer]:
    limits = ServerLimits(call=Limits(call_max=1 << 20, outstanding_max=4))
    with RpcServer([work.service()], limits=limits) as found:
        yield found
        work.go_on.set()


@pytest.fixture
def client(server: RpcServer) -> Iterator[RawClient]:
    """A client with whom concurrent calls were agreed on."""
    with RawClient(server) as found:
        offers = [ContextOffer(0, WORK.syntax, (NDR32,))]
        features = BindFeature.KEEP_CONNECTION_ON_ORPHAN
        bind = found.core.bind(offers, concurrent=True, features=features)
        found.socket.sendall(b"".join(bind))
        event = found.event()
        assert isinstance(event, BindAccepted) and event.features == features
        assert found.core.concurrent
        yield found


def send(client: RawClient, opnum: int, stub: bytes = b"") -> int:
    """Start a call; gives its id."""
    call_id, buffers = client.core.request(0, opnum, [stub])
    client.socket.sendall(b"".join(buffers))
    return call_id


def fragment(call_id: int, flags: int, stub: bytes) -> bytes:
    """A fragment of a call of echo, written by hand."""
    return pdu(0, len(stub).to_bytes(4, "little") + bytes(4) + stub, flags=flags, call_id=call_id)


def answered(client: RawClient) -> tuple[int, bytes]:
    """Call id and stub of the next response."""
    event = client.event()
    assert isinstance(event, ResponseReceived), event
    return event.call_id, bytes(event.stub)


def raw_answer(client: RawClient) -> tuple[int, int, bytes]:
    """Type, call id and stub of the next PDU, for calls that the client's core does not know."""
    header = client.socket.recv(24, socket.MSG_WAITALL)
    size = int.from_bytes(header[8:10], "little")
    body = client.socket.recv(size - 24, socket.MSG_WAITALL) if size > 24 else b""
    return header[2], int.from_bytes(header[12:16], "little"), body


# ---- cancelled


def test_a_running_call_that_is_cancelled_is_answered(client: RawClient, work: Work) -> None:
    waiting = send(client, WAIT)
    assert work.entered.wait(PATIENCE)
    client.socket.sendall(b"".join(client.core.cancel(waiting)) * 3)
    work.go_on.set()
    assert answered(client) == (waiting, b"done")
    assert client.call(0, ECHO, b"next") == b"next"


def test_a_cancel_that_meets_the_answer_on_its_way_is_ignored(client: RawClient) -> None:
    first = send(client, ECHO, b"one")
    assert answered(client) == (first, b"one")
    for call_id in (first, 4711):
        for kind in (CO_CANCEL, ORPHANED):
            client.socket.sendall(pdu(kind, b"", call_id=call_id))
    assert client.call(0, ECHO, b"two") == b"two"


def test_a_request_that_is_cancelled_before_it_is_complete_runs(
    client: RawClient, work: Work
) -> None:
    for data in (
        fragment(90, FIRST, b"12345678"),
        pdu(CO_CANCEL, b"", call_id=90),
        fragment(90, CANCEL, b"abcdefgh"),
        fragment(90, LAST, b"!"),
    ):
        client.socket.sendall(data)
    assert raw_answer(client) == (2, 90, b"12345678abcdefgh!")
    assert work.stubs == [b"12345678abcdefgh!"]


# ---- given up


def test_a_request_that_is_given_up_is_not_carried_out(
    client: RawClient, server: RpcServer, work: Work
) -> None:
    """What had come of it is let go of at once, and the call id is free again."""
    for _ in range(20):
        client.socket.sendall(fragment(90, FIRST, bytes(60_000)))
        assert eventually(lambda: server.memory.used >= 60_000)
        client.socket.sendall(pdu(ORPHANED, b"", call_id=90))
        assert eventually(lambda: server.memory.used == 0)
    client.socket.sendall(fragment(90, FIRST, b"again ") + fragment(90, LAST, b"whole"))
    assert raw_answer(client) == (2, 90, b"again whole")
    assert work.stubs == [b"again whole"]


def test_the_answer_to_a_running_call_that_is_given_up_is_lost(
    client: RawClient, work: Work
) -> None:
    """It comes, since the server reads nothing while a call runs; the client passes over it."""
    waiting = send(client, WAIT)
    assert work.entered.wait(PATIENCE)
    client.socket.sendall(b"".join(client.core.orphan(waiting)))
    later = send(client, ECHO, b"later")
    work.go_on.set()
    assert answered(client) == (later, b"later")


def test_fragments_of_a_call_that_was_given_up_end_the_connection(client: RawClient) -> None:
    client.socket.sendall(fragment(90, FIRST, bytes(8)) + pdu(ORPHANED, b"", call_id=90))
    client.socket.sendall(fragment(90, LAST, bytes(8)))
    assert raw_answer(client)[:2] == (3, 90)
    assert client.is_closed()


def test_a_client_that_goes_while_its_call_runs(server: RpcServer, work: Work) -> None:
    """The call comes to its end first; then its contexts are run down, once."""
    with bound(server, WORK) as client:
        assert client.call(0, OPEN)
        send(client, WAIT)
        assert work.entered.wait(PATIENCE)
    assert server.connections == 1 and work.gone == []
    work.go_on.set()
    assert eventually(lambda: server.connections == 0)
    assert work.gone == ["context"]
    assert (server.memory.used, len(server.associations)) == (0, 0)


# ---- several at a time


def test_calls_in_one_bundle_are_answered_in_their_order(client: RawClient, work: Work) -> None:
    calls = [client.core.request(0, ECHO, [b"%d" % n]) for n in range(4)]
    client.socket.sendall(b"".join(b"".join(buffers) for _, buffers in calls))
    assert [answered(client) for _ in calls] == [
        (call_id, b"%d" % n) for n, (call_id, _) in enumerate(calls)
    ]
    assert work.stubs == [b"0", b"1", b"2", b"3"]


def test_calls_whose_fragments_alternate(client: RawClient) -> None:
    """The one that is complete first is answered first."""
    client.socket.sendall(
        fragment(90, FIRST, b"a1 ")
        + fragment(91, FIRST, b"b1 ")
        + fragment(90, 0, b"a2 ")
        + fragment(91, LAST, b"b2")
        + fragment(92, FIRST | LAST, b"c")
        + fragment(90, LAST, b"a3")
    )
    assert [raw_answer(client) for _ in range(3)] == [
        (2, 91, b"b1 b2"),
        (2, 92, b"c"),
        (2, 90, b"a1 a2 a3"),
    ]


def test_only_so_many_calls_at_a_time(client: RawClient) -> None:
    """One more is refused and the others live on."""
    client.socket.sendall(b"".join(fragment(n, FIRST, b"%d." % n) for n in range(90, 95)))
    kind, call_id, rest = raw_answer(client)
    assert (kind, call_id) == (3, 94)
    assert int.from_bytes(rest[:4], "little") == FaultStatus.SERVER_TOO_BUSY
    client.socket.sendall(b"".join(fragment(n, LAST, b"end") for n in range(90, 95)))
    assert [raw_answer(client) for _ in range(4)] == [(2, n, b"%d.end" % n) for n in range(90, 94)]


def test_fragments_may_alternate_only_where_it_was_agreed_on(server: RpcServer, work: Work) -> None:
    with bound(server, WORK) as client:
        client.socket.sendall(fragment(90, FIRST, b"a") + fragment(91, FIRST, b"b"))
        assert raw_answer(client)[:2] == (3, 90)
        assert client.is_closed()
    assert work.stubs == []
