"""The client's core, against bytes that a server sends."""

from __future__ import annotations

import struct
import uuid
from collections.abc import Callable

import pytest

from eseback.rpc import (
    BACKUP_SYNTAX,
    NDR32,
    NEED_DATA,
    BindAccepted,
    BindFeature,
    BindRejected,
    ClientConnection,
    ClientState,
    ConnectionClosed,
    ContextOffer,
    FaultReceived,
    Limits,
    LocalProtocolError,
    RemoteProtocolError,
    ResponseReceived,
    ServerShutDown,
)
from eseback.rpc.pdu import Bind, BindAck, BindNak, ContextReply, Fault
from eseback.rpc.syntax import NDR64, feature_syntax
from tests.eseback.rpc.joined import (
    FIRST,
    GROUP,
    LAST,
    MPX,
    OFFER,
    WHOLE,
    connected,
    pdu,
    raw,
    response_pdu,
)
from tests.eseback.rpc.test_pdu import frame

YES = ContextReply(0, 0, NDR32)


def binding(features: BindFeature = BindFeature.NONE) -> ClientConnection:
    client = ClientConnection(Limits(fragment_max=5840))
    client.bind((OFFER,), concurrent=True, features=features)
    return client


def ack(*replies: ContextReply, **changes: int) -> bytes:
    fields = {"call_id": 1, "max_xmit_frag": 5840, "max_recv_frag": 5840, "assoc_group_id": GROUP}
    fields |= changes
    return BindAck(replies=replies or (YES,), secondary_address=b"135", **fields).pack()  # type: ignore[arg-type]


def open_client(flags: int = WHOLE) -> ClientConnection:
    client = binding()
    client.receive_data(ack(flags=flags))
    assert isinstance(client.next_event(), BindAccepted)
    return client


def broken(client: ClientConnection, *data: bytes) -> None:
    for item in data:
        client.receive_data(item)
    with pytest.raises(RemoteProtocolError) as caught:
        while client.next_event() is not NEED_DATA:
            pass
    assert caught.value.answer == ()
    assert client.state is ClientState.CLOSED
    with pytest.raises(LocalProtocolError, match="closed"):
        client.next_event()


def test_the_bind_that_is_sent() -> None:
    client = ClientConnection(Limits(fragment_max=4280))
    data = raw(client.bind((OFFER,), assoc_group_id=7, concurrent=True, features=BindFeature(3)))
    sent = Bind.parse(frame(data))
    assert sent.contexts == (
        OFFER,
        ContextOffer(1, BACKUP_SYNTAX, (feature_syntax(BindFeature(3)),)),
    )
    assert (sent.max_xmit_frag, sent.max_recv_frag, sent.assoc_group_id) == (4280, 4280, 7)
    assert sent.flags == WHOLE | MPX


def test_bind_accepted() -> None:
    client = binding(BindFeature(3))
    client.receive_data(ack(YES, ContextReply(3, 2), flags=WHOLE | MPX, max_recv_frag=4287))
    event = client.next_event()
    assert isinstance(event, BindAccepted)
    assert (event.accepted, event.assoc_group_id, event.secondary_address) == (
        frozenset({0}),
        GROUP,
        "135",
    )
    assert event.fragment_max == client.fragment_max == 4280
    assert event.features == client.features == BindFeature.KEEP_CONNECTION_ON_ORPHAN
    assert client.concurrent
    assert client.contexts == {0: BACKUP_SYNTAX}


def test_a_context_that_was_not_accepted_cannot_be_used() -> None:
    client = binding()
    client.receive_data(ack(ContextReply(2, 1)))
    event = client.next_event()
    assert isinstance(event, BindAccepted)
    assert not event.accepted
    with pytest.raises(LocalProtocolError, match="was not accepted"):
        client.request(0, 0, [])


def test_bind_rejected() -> None:
    client = binding()
    client.receive_data(BindNak(1, 2).pack())
    assert client.next_event() == BindRejected(2, ((5, 0),))
    assert client.state is ClientState.CLOSED


@pytest.mark.parametrize(
    "answer",
    [
        ack(call_id=2),
        ack(YES, YES),
        ack(ContextReply(0, 0, NDR64)),
        ack(ContextReply(3, 1)),
        ack(ContextReply(4)),
        ack(max_xmit_frag=1431),
        ack(max_recv_frag=1400),
        ack(assoc_group_id=0),
        BindAck(1, (YES,), 5840, 5840, GROUP, alter=True).pack(),
        BindNak(9, 0).pack(),
        Fault(1, 0, 5).pack(),
        response_pdu(call_id=1),
        pdu(12, bytes(9)),
        pdu(12, b"", version=(5, 9)),
    ],
)
def test_a_bind_answer_that_is_no_good(answer: bytes) -> None:
    broken(binding(), answer)


def test_concurrent_calls_that_were_not_asked_for() -> None:
    client = ClientConnection(Limits(fragment_max=5840))
    client.bind((OFFER,))
    client.receive_data(ack(flags=WHOLE | MPX))
    client.next_event()
    assert not client.concurrent


def test_features_that_were_not_offered() -> None:
    broken(binding(BindFeature(1)), ack(YES, ContextReply(3, 3)))


def test_a_request() -> None:
    client = open_client()
    call_id, buffers = client.request(0, 6, [b"st", b"ub"])
    assert raw(buffers).hex(" ") == (
        "05 00 00 03 10 00 00 00 1c 00 00 00 02 00 00 00 04 00 00 00 00 00 06 00 73 74 75 62"
    )
    client.receive_data(response_pdu(b"answer", call_id=call_id))
    event = client.next_event()
    assert isinstance(event, ResponseReceived)
    assert (event.call_id, bytes(event.stub), event.little) == (call_id, b"answer", True)
    assert client.outstanding == 0


def test_a_request_with_object_and_maybe() -> None:
    client = open_client()
    identity = uuid.uuid4()
    _, buffers = client.request(0, 6, [b"x"], object_uuid=identity, maybe=True)
    data = raw(buffers)
    assert data[3] == 0xC3
    assert data[24:] == identity.bytes_le + b"x"
    assert client.outstanding == 0


def test_request_fragments() -> None:
    client = open_client()
    client.fragment_max = 1432
    call_id, buffers = client.request(0, 6, [bytes(1000), bytes(2000)])
    data, seen = raw(buffers), []
    while data:
        flags, length, hint = data[3], *struct.unpack_from("<H", data, 8), data[16:20]
        seen.append((flags, length, *struct.unpack("<I", hint)))
        data = data[length:]
    assert seen == [(FIRST, 1432, 3000), (0, 1432, 1592), (LAST, 208, 184)]
    assert call_id == 2


def test_response_fragments_and_big_endian() -> None:
    client = open_client()
    call_id, _ = client.request(0, 0, [])
    for stub, flags in ((b"one ", FIRST), (b"two ", 0), (b"three", LAST)):
        client.receive_data(response_pdu(stub, flags=flags, call_id=call_id, little=False))
    event = client.next_event()
    assert isinstance(event, ResponseReceived)
    assert (bytes(event.stub), event.little) == (b"one two three", False)


def test_faults() -> None:
    client = open_client()
    for executed in (True, False):
        call_id, _ = client.request(0, 0, [])
        client.receive_data(response_pdu(b"half", flags=FIRST, call_id=call_id))
        client.receive_data(Fault(call_id, 0, 0x1C00001A, executed).pack())
        assert client.next_event() == FaultReceived(call_id, 0x1C00001A, executed)
        assert client.outstanding == client.buffered == 0


@pytest.mark.parametrize(
    "data",
    [
        [response_pdu(call_id=99)],
        [response_pdu(call_id=2, context_id=1)],
        [response_pdu(call_id=2, flags=0)],
        [response_pdu(call_id=2, flags=LAST)],
        [response_pdu(call_id=2, flags=FIRST)] * 2,
        [response_pdu(call_id=2, flags=FIRST), response_pdu(call_id=2, flags=WHOLE)],
        [response_pdu(call_id=2, flags=FIRST), response_pdu(call_id=2, flags=LAST, little=False)],
        [response_pdu(bytes(5817), call_id=2)],
        [pdu(2, bytes(7), call_id=2)],
        [Fault(99, 0, 5).pack()],
        [pdu(0, bytes(8), call_id=2)],
        [pdu(11, bytes(12), call_id=2)],
        [ack()],
        [pdu(2, b"", call_id=2, length=15)],
        [pdu(2, b"", call_id=2, drep=b"\x20\0\0\0")],
    ],
)
def test_answers_that_are_no_good(data: list[bytes]) -> None:
    client = open_client()
    client.request(0, 0, [])
    broken(client, *data)


def test_a_response_that_is_too_large() -> None:
    for data in (
        [response_pdu(bytes(1001), call_id=2)],
        [
            response_pdu(bytes(600), call_id=2, flags=FIRST),
            response_pdu(bytes(401), call_id=2, flags=LAST),
        ],
    ):
        client = ClientConnection(Limits(fragment_max=5840, call_max=1000))
        client.bind((OFFER,))
        client.receive_data(ack())
        client.next_event()
        client.request(0, 0, [])
        broken(client, *data)


def test_concurrent_calls_are_answered_in_any_order() -> None:
    client = open_client(WHOLE | MPX)
    first, second = (client.request(0, 0, [])[0] for _ in range(2))
    for data in (
        response_pdu(b"2a", call_id=second, flags=FIRST),
        response_pdu(b"1", call_id=first),
        response_pdu(b"2b", call_id=second, flags=LAST),
    ):
        client.receive_data(data)
    seen = []
    while isinstance(event := client.next_event(), ResponseReceived):
        seen.append((event.call_id, bytes(event.stub)))
    assert seen == [(first, b"1"), (second, b"2a2b")]


def test_no_second_call_unless_agreed() -> None:
    client = open_client()
    client.request(0, 0, [])
    with pytest.raises(LocalProtocolError, match="concurrent calls were not agreed on"):
        client.request(0, 0, [])
    assert client.outstanding == 1


def test_outstanding_calls_are_limited() -> None:
    client = open_client(WHOLE | MPX)
    for _ in range(client.limits.outstanding_max):
        client.request(0, 0, [])
    with pytest.raises(LocalProtocolError, match="16 calls are running"):
        client.request(0, 0, [])


def test_orphaned_answers_are_thrown_away() -> None:
    client = open_client()
    lost, _ = client.request(0, 0, [])
    client.receive_data(response_pdu(b"half", call_id=lost, flags=FIRST))
    assert client.next_event() is NEED_DATA
    assert raw(client.orphan(lost)).hex() == f"050013031000000010000000{lost:02x}000000"
    assert client.buffered == 0
    call_id, _ = client.request(0, 0, [])
    client.receive_data(response_pdu(b"rest", call_id=lost, flags=LAST))
    client.receive_data(response_pdu(b"wanted", call_id=call_id))
    event = client.next_event()
    assert isinstance(event, ResponseReceived)
    assert bytes(event.stub) == b"wanted"
    again, _ = client.request(0, 0, [])
    client.orphan(again)
    last, _ = client.request(0, 0, [])
    client.receive_data(response_pdu(b"whole", call_id=again) + response_pdu(call_id=last))
    assert isinstance(event := client.next_event(), ResponseReceived)
    assert event.call_id == last


def test_all_fragments_of_an_orphaned_answer_are_thrown_away() -> None:
    client = open_client()
    lost, _ = client.request(0, 0, [])
    client.orphan(lost)
    for flags in (FIRST, 0, LAST):
        client.receive_data(response_pdu(b"late", call_id=lost, flags=flags))
        assert client.next_event() is NEED_DATA
    broken(client, response_pdu(b"twice", call_id=lost))


def test_cancel() -> None:
    client = open_client()
    call_id, _ = client.request(0, 0, [])
    assert raw(client.cancel(call_id))[2] == 18
    client.receive_data(response_pdu(call_id=call_id))
    assert isinstance(client.next_event(), ResponseReceived)


def test_alter_context() -> None:
    client = open_client()
    offer = ContextOffer(4, NDR64, (NDR32,))
    sent = Bind.parse(frame(raw(client.alter((offer,)))))
    assert (sent.alter, sent.contexts, sent.assoc_group_id) == (True, (offer,), GROUP)
    answer = BindAck(sent.call_id, (YES,), 1432, 1432, 99, alter=True)
    client.receive_data(answer.pack())
    event = client.next_event()
    assert isinstance(event, BindAccepted)
    assert event.alter
    assert (client.fragment_max, client.assoc_group_id) == (5840, GROUP)
    assert set(client.contexts) == {0, 4}


def test_alter_context_refused_by_a_fault() -> None:
    client = open_client()
    client.alter((OFFER,))
    client.receive_data(Fault(2, 0, 5, executed=False).pack())
    assert client.next_event() == FaultReceived(2, 5, False)
    assert client.state is ClientState.CLOSED


def test_shutdown_and_end() -> None:
    client = open_client()
    client.receive_data(pdu(17, b"", call_id=0))
    assert client.next_event() == ServerShutDown()
    client.receive_data(b"")
    assert client.next_event() == ConnectionClosed(False)
    client = open_client()
    client.request(0, 0, [])
    client.receive_data(b"")
    assert client.next_event() == ConnectionClosed(True)
    client = binding()
    client.receive_data(b"")
    assert client.next_event() == ConnectionClosed(True)


def test_call_ids_wrap() -> None:
    client = open_client()
    client._last_call_id = 0xFFFFFFFE
    ids = []
    for _ in range(2):
        call_id, _ = client.request(0, 0, [])
        ids.append(call_id)
        client.receive_data(response_pdu(call_id=call_id))
        client.next_event()
    assert ids == [0xFFFFFFFF, 1]


WRONG: list[Callable[[ClientConnection], object]] = [
    lambda c: c.bind((OFFER,)),
    lambda c: c.alter(()),
    lambda c: c.alter((OFFER, OFFER)),
    lambda c: c.request(5, 0, []),
    lambda c: c.cancel(99),
    lambda c: c.orphan(99),
    lambda c: c.expect(99, b"", memoryview(bytearray(4)), b""),
]


@pytest.mark.parametrize("act", WRONG)
def test_what_the_caller_may_not_do_changes_nothing(
    act: Callable[[ClientConnection], object],
) -> None:
    client, server = connected()
    with pytest.raises(LocalProtocolError):
        act(client)
    call_id, buffers = client.request(0, 0, [b"still works"])
    server.receive_data(raw(buffers))
    server.next_event()
    client.receive_data(raw(server.send_response(call_id, [])))
    assert isinstance(client.next_event(), ResponseReceived)


def test_nothing_can_be_called_before_the_bind() -> None:
    client = ClientConnection()
    with pytest.raises(LocalProtocolError, match="unbound"):
        client.request(0, 0, [])
    with pytest.raises(LocalProtocolError, match="unbound"):
        client.alter((OFFER,))
    with pytest.raises(LocalProtocolError, match="each with an id of its own"):
        client.bind(())
    assert client.state is ClientState.UNBOUND
