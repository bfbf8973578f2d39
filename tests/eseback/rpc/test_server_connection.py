"""The server's core, PDU by PDU; what it answers is what Windows was seen to answer."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest

from eseback.rpc import (
    BACKUP_SYNTAX,
    MANAGEMENT,
    NDR32,
    NEED_DATA,
    BindFeature,
    BindRequested,
    CallRefused,
    ConnectionClosed,
    Limits,
    LocalProtocolError,
    RejectReason,
    RemoteProtocolError,
    RequestReceived,
    ServerConnection,
    ServerState,
    SyntaxId,
)
from eseback.rpc.pdu import BindAck
from eseback.rpc.syntax import NDR64, NULL_SYNTAX, feature_syntax
from tests.eseback.rpc.joined import (
    CANCEL as SIGN,
)
from tests.eseback.rpc.joined import (
    FIRST,
    GROUP,
    LAST,
    MAYBE,
    MPX,
    NOT_EXECUTED,
    OBJECT,
    SERVED,
    WHOLE,
    bind_pdu,
    bound_server,
    context_bytes,
    fault_fields,
    nak_fields,
    pdu,
    raw,
    request_pdu,
)
from tests.eseback.rpc.test_pdu import frame

PROTO, ACCESS, UNKNOWN_IF, BUSY = 0x1C01000B, 5, 0x1C010003, 0x1C010014
OTHER = SyntaxId(uuid.UUID(int=5), 1)


def fresh(**options: int) -> ServerConnection:
    return ServerConnection(SERVED, Limits(fragment_max=options.get("fragment_max", 5840)))


def bind(server: ServerConnection, data: bytes) -> BindAck:
    server.receive_data(data)
    event = server.next_event()
    assert isinstance(event, BindRequested)
    return BindAck.parse(frame(raw(server.accept(event.assoc_group_id or GROUP))))


def broken(server: ServerConnection, *data: bytes) -> bytes:
    """Answer to something illegal; the connection must be over afterwards."""
    for item in data:
        server.receive_data(item)
    with pytest.raises(RemoteProtocolError) as caught:
        while server.next_event() is not NEED_DATA:
            pass
    assert server.state is ServerState.CLOSED
    with pytest.raises(LocalProtocolError):
        server.next_event()
    return raw(caught.value.answer)


# ---- bind


def test_bind_answer() -> None:
    server = ServerConnection(SERVED, Limits(fragment_max=5840), secondary_address="50123")
    ack = bind(server, bind_pdu(call_id=9))
    assert (ack.call_id, ack.assoc_group_id, ack.secondary_address) == (9, GROUP, b"50123")
    assert [(r.result, r.reason, r.transfer) for r in ack.replies] == [(0, 0, NDR32)] * 2
    assert server.contexts == {0: BACKUP_SYNTAX, 1: MANAGEMENT.syntax}
    assert (server.state, server.assoc_group_id) == (ServerState.OPEN, GROUP)


def test_bind_big_endian_is_answered_little_endian() -> None:
    ack = bind(fresh(), bind_pdu(little=False, call_id=0x01020304))
    assert ack.call_id == 0x01020304
    assert ack.replies[0].transfer == NDR32


@pytest.mark.parametrize(
    ("xmit", "recv", "own", "both"),
    [
        (5840, 5840, 65528, 5840),
        (0xFFFF, 0xFFFF, 5840, 5840),
        (0xFFFF, 0xFFFF, 65528, 65528),
        (3199, 0xFFFF, 5840, 3192),
        (0xFFFF, 3199, 5840, 3192),
        (0, 0xFFFF, 5840, 2048),
        (0xFFFF, 0, 5840, 2048),
        (1431, 3199, 5840, 2048),
        (0, 0, 1432, 1432),
        (1439, 3199, 5840, 1432),
        (1432, 1432, 65528, 1432),
        (5840, 5840, 1432, 1432),
    ],
)
def test_fragment_size(xmit: int, recv: int, own: int, both: int) -> None:
    server = fresh(fragment_max=own)
    ack = bind(server, bind_pdu(xmit=xmit, recv=recv))
    assert (ack.max_xmit_frag, ack.max_recv_frag, server.fragment_max) == (both, both, both)
    again = bind(server, bind_pdu(ptype=14, xmit=1500, recv=1500, group=0x999))
    assert (again.max_xmit_frag, again.max_recv_frag) == (both, both)
    assert again.assoc_group_id == GROUP


@pytest.mark.parametrize("flags", [0, FIRST, LAST, 8, NOT_EXECUTED, MAYBE, OBJECT])
def test_odd_flags_of_a_bind_change_nothing(flags: int) -> None:
    server = fresh()
    assert bind(server, bind_pdu(flags=flags)).flags == WHOLE
    assert not server.concurrent
    assert bind(server, bind_pdu(ptype=14, flags=flags)).flags == WHOLE


def test_header_signing_is_agreed_on_with_or_without_authentication() -> None:
    server = fresh()
    assert bind(server, bind_pdu()).flags == WHOLE
    assert not server.header_signing
    assert bind(server, bind_pdu(ptype=14, flags=WHOLE | SIGN)).flags == WHOLE | SIGN
    assert server.header_signing


def test_features_stand_first_and_once() -> None:
    """What follows them in the list is ignored; after another transfer syntax they are none."""
    none, both = (feature_syntax(BindFeature(bits)) for bits in (0, 3))
    contexts = (
        context_bytes(1, OTHER, (both, none, NDR32)),
        context_bytes(2, BACKUP_SYNTAX, (NDR32, both)),
        context_bytes(3, BACKUP_SYNTAX, (NULL_SYNTAX, both)),
    )
    ack = bind(fresh(), bind_pdu(*contexts))
    assert [(r.result, r.reason) for r in ack.replies] == [(3, 2), (0, 0), (2, 2)]
    twice = bind_pdu(context_bytes(1, OTHER, (both,)), context_bytes(2, OTHER, (none,)))
    assert nak_fields(broken(fresh(), twice)) == (1, 0)


def test_concurrent_calls_are_agreed_on() -> None:
    server = fresh()
    assert bind(server, bind_pdu(flags=0xFF)).flags == WHOLE | MPX | SIGN
    assert server.concurrent
    shy = ServerConnection(SERVED, concurrent=False)
    assert bind(shy, bind_pdu(flags=WHOLE | MPX)).flags == WHOLE
    assert not shy.concurrent


def test_each_context_is_judged_by_itself() -> None:
    contexts = (
        context_bytes(5, BACKUP_SYNTAX, (NDR64, NDR32)),
        context_bytes(6, BACKUP_SYNTAX, (NDR64,)),
        context_bytes(7, OTHER, (NDR32,)),
        context_bytes(8, OTHER, (feature_syntax(BindFeature(3)),)),
        context_bytes(9, SyntaxId(BACKUP_SYNTAX.uuid, 1, 1)),
        context_bytes(10, SyntaxId(BACKUP_SYNTAX.uuid, 2)),
    )
    server = fresh()
    ack = bind(server, bind_pdu(*contexts))
    assert [(r.result, r.reason) for r in ack.replies] == [
        (0, 0),
        (2, 2),
        (2, 1),
        (3, 2),  # of both features only one is ours
        (2, 1),  # the client wants a newer minor version
        (2, 1),
    ]
    assert [r.transfer for r in ack.replies] == [NDR32] + [NULL_SYNTAX] * 5
    assert server.contexts == {5: BACKUP_SYNTAX}
    assert server.features == BindFeature.KEEP_CONNECTION_ON_ORPHAN


def test_group_is_the_layer_above_s_business() -> None:
    server = fresh()
    server.receive_data(bind_pdu(group=0x77))
    event = server.next_event()
    assert isinstance(event, BindRequested)
    assert event.assoc_group_id == 0x77
    assert nak_fields(raw(server.reject())) == (1, RejectReason.NOT_SPECIFIED)
    assert server.state is ServerState.CLOSED


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (pdu(11, bytes(12), call_id=4), 0),  # no contexts
        (bind_pdu(context_bytes(0, transfers=()), call_id=4), 0),
        (bind_pdu(context_bytes(0), context_bytes(0, MANAGEMENT.syntax), call_id=4), 0),
        (bind_pdu(*(context_bytes(i) for i in range(65)), call_id=4), 2),
        (pdu(11, bytes(9), call_id=4), 0),  # no contexts, and no padding after their number
        (pdu(11, bytes(8), call_id=4), 4),
        (pdu(11, bytes(8) + b"\x01", call_id=4), 4),
        (pdu(11, bytes(8) + b"\x02" + bytes(3), call_id=4), 4),
        (pdu(11, bytes(12), call_id=4, version=(4, 0)), 4),
        (pdu(11, bytes(12), call_id=4, version=(5, 2)), 4),
        (pdu(11, bytes(12), call_id=4, drep=b"\x11\0\0\0"), 4),
        (pdu(11, bytes(12), call_id=4, drep=b"\x10\x01\0\0"), 4),
        (pdu(11, bytes(12), call_id=4, drep=b"\x10\0\x01\0"), 4),
        (pdu(11, bytes(12), call_id=4, drep=b"\x10\0\0\x01"), 4),
        (pdu(11, bytes(12), call_id=4, length=15), 4),
        (pdu(11, bytes(12), call_id=4, length=5841), 4),
        (pdu(11, bytes(12), call_id=4, auth_length=5), 4),
        (request_pdu(call_id=4), 4),
        (bind_pdu(ptype=14, call_id=4), 4),
        (pdu(1, b"", call_id=4), 4),
    ],
)
def test_a_bind_that_is_no_good(data: bytes, reason: int) -> None:
    assert nak_fields(broken(fresh(), data)) == (4, reason)


def test_minor_version_one_is_taken() -> None:
    data = bytearray(bind_pdu())
    data[1] = 1
    assert bind(fresh(), bytes(data)).replies[0].result == 0


def test_a_second_bind() -> None:
    assert nak_fields(broken(bound_server(), bind_pdu(call_id=8))) == (8, 0)


# ---- alter_context


def test_alter_context_adds() -> None:
    server = fresh()
    bind(server, bind_pdu(context_bytes(0)))
    ack = bind(server, bind_pdu(context_bytes(4, MANAGEMENT.syntax), ptype=14, call_id=5))
    assert (ack.call_id, ack.alter, ack.secondary_address) == (5, True, b"")
    assert ack.replies[0].result == 0
    assert server.contexts == {0: BACKUP_SYNTAX, 4: MANAGEMENT.syntax}


def test_alter_context_may_repeat_and_be_refused() -> None:
    server = bound_server()
    ack = bind(
        server,
        bind_pdu(
            context_bytes(0, transfers=(NULL_SYNTAX, NDR32)),
            context_bytes(9, OTHER),
            context_bytes(1, MANAGEMENT.syntax, transfers=(NULL_SYNTAX, OTHER)),
            context_bytes(1, MANAGEMENT.syntax, transfers=(NDR64, NDR32)),
            ptype=14,
        ),
    )
    assert [(r.result, r.reason) for r in ack.replies] == [(0, 0), (2, 1), (2, 2), (0, 0)]
    assert server.contexts == {0: BACKUP_SYNTAX, 1: MANAGEMENT.syntax}
    server.receive_data(request_pdu(context_id=9))
    refused = server.next_event()
    assert isinstance(refused, CallRefused)
    assert fault_fields(raw(refused.answer)) == (WHOLE | NOT_EXECUTED, 2, 0, UNKNOWN_IF)
    server.receive_data(request_pdu(call_id=3))
    assert isinstance(server.next_event(), RequestReceived)


@pytest.mark.parametrize(
    "data",
    [
        pdu(14, bytes(12), call_id=6),
        bind_pdu(context_bytes(0, transfers=()), ptype=14, call_id=6),
        bind_pdu(context_bytes(0, MANAGEMENT.syntax), ptype=14, call_id=6),
        bind_pdu(context_bytes(0, transfers=(NDR64,)), ptype=14, call_id=6),
        bind_pdu(*(context_bytes(i) for i in range(10, 74)), ptype=14, call_id=6),
        pdu(14, bytes(13), call_id=6),
        pdu(14, bytes(8), call_id=6),
        pdu(2, bytes(8), call_id=6),
        pdu(17, b"", call_id=6),
        pdu(12, bytes(20), call_id=6),
        pdu(4, b"", call_id=6),
        pdu(16, bytes(20), call_id=6),
    ],
)
def test_illegal_on_an_open_connection(data: bytes) -> None:
    answer = broken(bound_server(), data)
    assert fault_fields(answer) == (WHOLE | NOT_EXECUTED, 6, 0, PROTO)


def test_alter_context_can_be_rejected() -> None:
    server = bound_server()
    server.receive_data(bind_pdu(ptype=14, call_id=6))
    server.next_event()
    assert fault_fields(raw(server.reject())) == (WHOLE | NOT_EXECUTED, 6, 0, ACCESS)
    assert server.state is ServerState.CLOSED


# ---- the end, and what the caller may not do


def test_end_of_stream() -> None:
    for data, mid_call in ((b"", False), (request_pdu()[:-1], True), (request_pdu(flags=1), True)):
        server = bound_server()
        if data:
            server.receive_data(data)
        assert server.next_event() is NEED_DATA
        server.receive_data(b"")
        assert server.next_event() == ConnectionClosed(mid_call)
        assert server.state is ServerState.CLOSED
        with pytest.raises(LocalProtocolError, match="after the end"):
            server.receive_data(b"x")


def test_calls_that_still_run_at_the_end() -> None:
    server = bound_server()
    server.receive_data(request_pdu())
    server.next_event()
    server.receive_data(b"")
    assert server.next_event() == ConnectionClosed(True)
    with pytest.raises(LocalProtocolError, match="closed"):
        server.send_response(2, [])


def test_shutdown() -> None:
    server = bound_server()
    assert raw(server.send_shutdown()).hex() == "05001103100000001000000000000000"


WRONG_WHEN_OPEN: list[Callable[[ServerConnection], object]] = [
    lambda s: s.accept(GROUP),
    lambda s: s.reject(),
    lambda s: s.refuse_security(),
    lambda s: s.send_response(99, []),
    lambda s: s.send_fault(99, 5),
]


@pytest.mark.parametrize("act", WRONG_WHEN_OPEN)
def test_what_the_caller_may_not_do_changes_nothing(
    act: Callable[[ServerConnection], object],
) -> None:
    server = bound_server()
    with pytest.raises(LocalProtocolError):
        act(server)
    server.receive_data(request_pdu(b"still works"))
    assert isinstance(server.next_event(), RequestReceived)


def test_a_bind_has_to_be_answered_first() -> None:
    server = fresh()
    server.receive_data(bind_pdu() + request_pdu())
    assert isinstance(server.next_event(), BindRequested)
    with pytest.raises(LocalProtocolError, match="binding"):
        server.next_event()
    with pytest.raises(LocalProtocolError, match="group"):
        server.accept(0)
    with pytest.raises(LocalProtocolError, match="did not ask for authentication"):
        server.accept(GROUP, b"token", more=True)
    assert not server.contexts
    server.accept(GROUP)
    assert isinstance(server.next_event(), RequestReceived)


def test_an_alter_context_cannot_change_the_group() -> None:
    server = bound_server()
    server.receive_data(bind_pdu(ptype=14))
    server.next_event()
    with pytest.raises(LocalProtocolError, match="group"):
        server.accept(GROUP + 1)
    assert server.accept(GROUP)


@pytest.mark.parametrize("size", [1431, 1433, 1424, 65529, 65536])
def test_fragment_limits_are_checked(size: int) -> None:
    with pytest.raises(LocalProtocolError, match="fragment size"):
        Limits(fragment_max=size)
