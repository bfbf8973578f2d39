"""Calls at the server's core, fragment by fragment; faults are those that Windows sends."""

from __future__ import annotations

import struct
import uuid

import pytest

from eseback.rpc import (
    MANAGEMENT,
    NEED_DATA,
    CallCancelled,
    CallOrphaned,
    CallRefused,
    Limits,
    LocalProtocolError,
    RequestReceived,
)
from tests.eseback.rpc.joined import (
    CANCEL,
    FIRST,
    LAST,
    MAYBE,
    MPX,
    NOT_EXECUTED,
    OBJECT,
    WHOLE,
    bind_pdu,
    bound_server,
    fault_fields,
    pdu,
    raw,
    request_pdu,
)
from tests.eseback.rpc.test_server_connection import ACCESS, BUSY, PROTO, bind, broken, fresh

# ---- requests


def test_a_request() -> None:
    server = bound_server()
    server.receive_data(
        request_pdu(b"stub", call_id=7, context_id=1, opnum=0x0102, hint=0xFFFFFFFF)
    )
    event = server.next_event()
    assert isinstance(event, RequestReceived)
    assert event._replace(stub=b"") == RequestReceived(
        7, 1, MANAGEMENT.syntax, 0x0102, memoryview(b""), True, None, False, False
    )
    assert bytes(event.stub) == b"stub"
    assert server.next_event() is NEED_DATA
    assert raw(server.send_response(7, [b"an", b"swer"])).hex(" ") == (
        "05 00 02 03 10 00 00 00 1e 00 00 00 07 00 00 00 06 00 00 00 01 00 00 00 61 6e 73 77 65 72"
    )


def test_a_request_with_object_and_big_endian() -> None:
    server = bound_server()
    identity = uuid.uuid4()
    little = request_pdu(b"x", flags=WHOLE | OBJECT, object_uuid=identity.bytes_le)
    big = request_pdu(
        b"x", flags=WHOLE | OBJECT, object_uuid=identity.bytes, little=False, call_id=3, opnum=6
    )
    for data, is_little in ((little, True), (big, False)):
        server.receive_data(data)
        event = server.next_event()
        assert isinstance(event, RequestReceived)
        assert (event.object_uuid, event.little, bytes(event.stub)) == (identity, is_little, b"x")
        server.send_response(event.call_id, [])


def test_a_request_that_comes_in_two_pieces() -> None:
    data = request_pdu(b"some stub")
    for cut in range(1, len(data)):
        server = bound_server()
        server.receive_data(data[:cut])
        assert server.next_event() is NEED_DATA
        assert server.buffered == cut
        server.receive_data(data[cut:] + request_pdu(b"next", call_id=3)[:5])
        event = server.next_event()
        assert isinstance(event, RequestReceived)
        assert bytes(event.stub) == b"some stub"
        assert server.buffered == 5


def test_fragments_are_put_together() -> None:
    server = bound_server()
    server.receive_data(request_pdu(b"one ", flags=FIRST, hint=13))
    server.receive_data(request_pdu(b"", flags=0))
    server.receive_data(request_pdu(b"two ", flags=CANCEL))
    assert server.next_event() is NEED_DATA
    assert server.buffered == 8
    server.receive_data(request_pdu(b"three", flags=LAST))
    event = server.next_event()
    assert isinstance(event, RequestReceived)
    assert bytes(event.stub) == b"one two three"
    assert event.cancelled
    assert server.buffered == 0


def test_op_range_fault_of_the_layer_above() -> None:
    server = bound_server()
    server.receive_data(request_pdu(context_id=1, opnum=0xFFFF))
    server.next_event()
    fault = raw(server.send_fault(2, 0x1C010002))
    assert fault_fields(fault) == (WHOLE | NOT_EXECUTED, 2, 1, 0x1C010002)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        # neither first nor only: there is nothing to continue
        ([request_pdu(flags=0, context_id=1)], (WHOLE, 2, 0, PROTO)),
        ([request_pdu(flags=LAST, context_id=1)], (WHOLE, 2, 0, PROTO)),
        # two first fragments: the fault names the call that was under way
        ([request_pdu(flags=FIRST)] * 2, (WHOLE, 2, 0, PROTO)),
        ([request_pdu(flags=FIRST | 8)] * 2, (WHOLE, 2, 0, PROTO)),
        ([request_pdu(flags=FIRST), request_pdu(flags=FIRST, call_id=51)], (WHOLE, 2, 0, PROTO)),
        (
            [request_pdu(flags=FIRST, context_id=1), request_pdu(flags=LAST, call_id=3)],
            (WHOLE, 2, 1, PROTO),
        ),
        # a fragment that does not belong to its call
        (
            [request_pdu(flags=FIRST), request_pdu(flags=LAST, opnum=1)],
            (WHOLE | NOT_EXECUTED, 2, 0, PROTO),
        ),
        (
            [request_pdu(flags=FIRST), request_pdu(flags=LAST, context_id=1)],
            (WHOLE | NOT_EXECUTED, 2, 1, PROTO),
        ),
        (
            [request_pdu(flags=FIRST), request_pdu(flags=LAST, little=False)],
            (WHOLE | NOT_EXECUTED, 2, 0, PROTO),
        ),
        ([request_pdu(flags=FIRST | CANCEL)], (WHOLE | NOT_EXECUTED, 2, 0, 0x6BD)),
        # too large: said at the start, said at the end, and not said at all
        ([request_pdu(flags=FIRST, hint=1001)], (WHOLE, 2, 0, ACCESS)),
        ([request_pdu(bytes(1001), flags=WHOLE)], (WHOLE, 2, 0, ACCESS)),
        (
            [request_pdu(bytes(600), flags=FIRST), request_pdu(bytes(401), flags=LAST)],
            (WHOLE, 2, 0, ACCESS),
        ),
        # longer than any fragment may be; less than its header
        ([pdu(0, bytes(8 + 5817), call_id=2)], (WHOLE, 2, 0, PROTO)),
        ([pdu(0, bytes(7), call_id=2)], (WHOLE | NOT_EXECUTED, 2, 0, PROTO)),
        ([request_pdu(b"short", flags=WHOLE | OBJECT)], (WHOLE | NOT_EXECUTED, 2, 0, PROTO)),
        # authentication that nobody agreed on
        (
            [pdu(0, bytes(8) + struct.pack("<BBBBI", 10, 5, 0, 0, 0) + b"x" * 16, call_id=2,
                 auth_length=16)],
            (WHOLE, 2, 0, ACCESS),
        ),
    ],
)  # fmt: skip
def test_requests_that_end_the_connection(
    data: list[bytes], expected: tuple[int, int, int, int]
) -> None:
    server = bound_server(Limits(fragment_max=5840, call_max=1000))
    assert fault_fields(broken(server, *data)) == expected


def test_the_hint_of_a_whole_call_means_nothing() -> None:
    server = bound_server(Limits(fragment_max=5840, call_max=1000))
    server.receive_data(request_pdu(bytes(1000), hint=0xFFFFFFFF))
    assert isinstance(server.next_event(), RequestReceived)


def test_fragments_up_to_our_own_limit_are_taken() -> None:
    """Also where less was negotiated, as Windows does."""
    server = fresh()
    bind(server, bind_pdu(xmit=2048, recv=2048))
    server.receive_data(request_pdu(bytes(5840 - 24)))
    assert isinstance(server.next_event(), RequestReceived)


def test_one_call_at_a_time_without_multiplexing() -> None:
    server = bound_server()
    server.receive_data(request_pdu() + request_pdu(call_id=3))
    assert isinstance(server.next_event(), RequestReceived)
    assert fault_fields(broken(server)) == (WHOLE | NOT_EXECUTED, 3, 0, PROTO)


def test_a_pipelined_call_waits_if_the_first_is_answered_in_time() -> None:
    server = bound_server()
    server.receive_data(request_pdu() + request_pdu(call_id=3))
    assert isinstance(server.next_event(), RequestReceived)
    server.send_response(2, [])
    assert isinstance(server.next_event(), RequestReceived)


def test_multiplexed_calls_interleave() -> None:
    server = bound_server(flags=WHOLE | MPX)
    for data in (
        request_pdu(b"a1", flags=FIRST, call_id=10),
        request_pdu(b"b1", flags=FIRST, call_id=11, context_id=1),
        request_pdu(b"whole", call_id=12),
        request_pdu(b"b2", flags=LAST, call_id=11, context_id=1),
        request_pdu(b"a2", flags=LAST, call_id=10),
    ):
        server.receive_data(data)
    seen = []
    while isinstance(event := server.next_event(), RequestReceived):
        seen.append((event.call_id, bytes(event.stub)))
    assert seen == [(12, b"whole"), (11, b"b1b2"), (10, b"a1a2")]
    assert server.outstanding == 3
    contexts = [raw(server.send_response(call_id, []))[20] for call_id in (10, 11, 12)]
    assert contexts == [0, 1, 0]


@pytest.mark.parametrize(
    ("before", "context_id"),
    [([], 1), ([request_pdu(flags=FIRST, call_id=10)], 0)],
    ids=["the only call", "beside another"],
)
def test_a_later_fragment_alone_among_multiplexed_calls(
    before: list[bytes], context_id: int
) -> None:
    server = bound_server(flags=WHOLE | MPX)
    later = request_pdu(flags=LAST, call_id=11, context_id=1)
    assert fault_fields(broken(server, *before, later)) == (WHOLE, 11, context_id, PROTO)


def test_a_running_call_id_cannot_be_used_again() -> None:
    server = bound_server(flags=WHOLE | MPX)
    server.receive_data(request_pdu())
    server.next_event()
    assert fault_fields(broken(server, request_pdu())) == (WHOLE | NOT_EXECUTED, 2, 0, PROTO)


def test_too_many_calls_are_refused_and_the_rest_goes_on() -> None:
    server = bound_server(Limits(fragment_max=5840, outstanding_max=2), WHOLE | MPX)
    server.receive_data(request_pdu(call_id=10))
    server.receive_data(request_pdu(call_id=11, flags=FIRST))
    server.receive_data(request_pdu(call_id=12, flags=FIRST))
    server.receive_data(request_pdu(call_id=12, flags=0))
    server.receive_data(request_pdu(call_id=12, flags=LAST))
    server.receive_data(request_pdu(call_id=11, flags=LAST))
    assert isinstance(server.next_event(), RequestReceived)
    refused = server.next_event()
    assert isinstance(refused, CallRefused)
    assert fault_fields(raw(refused.answer)) == (WHOLE | NOT_EXECUTED, 12, 0, BUSY)
    event = server.next_event()
    assert isinstance(event, RequestReceived)
    assert event.call_id == 11
    assert server.next_event() is NEED_DATA


def test_refused_calls_that_never_end_are_limited() -> None:
    server = bound_server(Limits(fragment_max=5840, outstanding_max=2), WHOLE | MPX)
    for call_id in (10, 11):
        server.receive_data(request_pdu(call_id=call_id, context_id=9, flags=FIRST))
        assert isinstance(server.next_event(), CallRefused)
    broken(server, request_pdu(call_id=12, context_id=9, flags=FIRST))


# ---- cancel, orphan, maybe


def test_cancel() -> None:
    server = bound_server()
    server.receive_data(pdu(18, b"", call_id=77))  # met its answer on the way
    server.receive_data(request_pdu(call_id=5))
    assert isinstance(server.next_event(), RequestReceived)
    server.receive_data(pdu(18, b"", call_id=5))
    assert server.next_event() == CallCancelled(5)
    assert server.send_response(5, [b"done anyway"])


def test_cancel_of_a_call_that_is_coming_in() -> None:
    server = bound_server()
    for data in (request_pdu(flags=FIRST), pdu(18, b"", call_id=2), request_pdu(flags=LAST)):
        server.receive_data(data)
    event = server.next_event()
    assert isinstance(event, RequestReceived)
    assert event.cancelled


def test_orphan_drops_what_came() -> None:
    server = bound_server()
    server.receive_data(request_pdu(bytes(100), flags=FIRST))
    server.receive_data(pdu(19, b"", call_id=2))
    assert server.next_event() is NEED_DATA
    assert server.buffered == 0
    server.receive_data(request_pdu(call_id=3))
    assert isinstance(server.next_event(), RequestReceived)


def test_orphan_of_a_running_call_silences_its_answer() -> None:
    server = bound_server()
    server.receive_data(request_pdu())
    server.next_event()
    server.receive_data(pdu(19, b"", call_id=2))
    assert server.next_event() == CallOrphaned(2)
    assert server.send_response(2, [b"x"]) == []
    with pytest.raises(LocalProtocolError, match="not running"):
        server.send_response(2, [b"x"])


def test_maybe_calls_get_no_answer() -> None:
    server = bound_server(flags=WHOLE | MPX)
    for call_id in (2, 3):
        server.receive_data(request_pdu(flags=WHOLE | MAYBE, call_id=call_id))
        event = server.next_event()
        assert isinstance(event, RequestReceived)
        assert event.maybe
    assert server.send_response(2, [b"x"]) == []
    assert server.send_fault(3, 5) == []
    assert server.outstanding == 0
