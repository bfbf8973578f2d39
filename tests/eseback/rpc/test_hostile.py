"""Whatever bytes come, only RemoteProtocolError is raised and memory stays within the limits."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eseback.rpc import (
    NEED_DATA,
    BindRequested,
    CallRefused,
    ClientConnection,
    ConnectionClosed,
    Limits,
    RemoteProtocolError,
    RequestReceived,
    ServerConnection,
)
from tests.eseback.rpc.joined import (
    FIRST,
    GROUP,
    LAST,
    MPX,
    OFFER,
    SERVED,
    WHOLE,
    bind_pdu,
    bound_server,
    connected,
    pdu,
    raw,
    request_pdu,
    response_pdu,
)

pytestmark = pytest.mark.uncovered

LIMITS = Limits(fragment_max=1432, call_max=4000, outstanding_max=3)
HELD_MAX = LIMITS.fragment_max + LIMITS.outstanding_max * LIMITS.call_max

U8, U16, U32 = st.integers(0, 255), st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF)
PDUS = st.one_of(
    st.builds(
        pdu,
        st.sampled_from((*range(20), 255)),
        st.binary(max_size=80),
        flags=U8,
        call_id=st.integers(0, 4),
        auth_length=st.sampled_from((0, 0, 0, 1, 16, 70, 0xFFFF)),
        little=st.booleans(),
        length=st.none() | U16,
        drep=st.none() | st.sampled_from((b"\x10\0\0\0", b"\0\0\0\0", b"\x11\0\0\0")),
    ),
    st.builds(bind_pdu, flags=U8, ptype=st.sampled_from((11, 14)), little=st.booleans()),
    st.builds(
        request_pdu,
        st.binary(max_size=1400),
        flags=st.sampled_from((0, FIRST, LAST, WHOLE, FIRST, LAST, WHOLE, 0x83, 7)),
        call_id=st.integers(0, 4),
        context_id=st.integers(0, 2),
        hint=st.sampled_from((0, 100, 4001, 0xFFFFFFFF)),
        little=st.booleans(),
    ),
    st.builds(
        response_pdu,
        st.binary(max_size=1400),
        flags=st.sampled_from((0, FIRST, LAST, WHOLE)),
        call_id=st.integers(0, 4),
        little=st.booleans(),
    ),
    st.binary(max_size=60),
)


def drive_server(server: ServerConnection, data: bytes) -> bool:
    """Feed bytes and answer what has to be answered; False once the connection is over."""
    server.receive_data(data)
    try:
        while (event := server.next_event()) is not NEED_DATA:
            if isinstance(event, BindRequested):
                assert server.accept(event.assoc_group_id or GROUP)
            elif isinstance(event, RequestReceived):
                assert len(event.stub) <= LIMITS.call_max
                if server.outstanding > 2:
                    server.send_response(event.call_id, [b"x"])
            elif isinstance(event, ConnectionClosed):
                return False
            else:
                assert isinstance(event, CallRefused) or event is not None
    except RemoteProtocolError as error:
        assert len(error.answer) == 1
        assert error.answer[0][2] in (3, 13)
        assert str(error)
        return False
    assert server.buffered <= HELD_MAX
    return True


AT_LENGTH = max(300, settings().max_examples)  # many more in `make fuzz`


@pytest.mark.fuzz
@settings(max_examples=AT_LENGTH)
@given(st.booleans(), st.lists(PDUS, min_size=1, max_size=12))
def test_server(is_bound: bool, pdus: list[bytes]) -> None:
    server = bound_server(LIMITS, WHOLE | MPX) if is_bound else ServerConnection(SERVED, LIMITS)
    for data in pdus:
        if not drive_server(server, data):
            return


@pytest.mark.fuzz
@settings(max_examples=AT_LENGTH)
@given(st.data())
def test_mutated_conversations(data: st.DataObject) -> None:
    """A good conversation with one byte changed, removed or added."""
    stream = bytearray(
        bind_pdu(flags=WHOLE | MPX)
        + request_pdu(bytes(100), flags=FIRST, hint=200)
        + request_pdu(b"whole", call_id=3)
        + request_pdu(bytes(100), flags=LAST)
        + bind_pdu(ptype=14)
        + pdu(18, b"", call_id=3)
        + pdu(19, b"", call_id=3)
    )
    position = data.draw(st.integers(0, len(stream) - 1))
    how = data.draw(st.sampled_from(("change", "remove", "add")))
    if how == "change":
        stream[position] = data.draw(U8)
    elif how == "remove":
        del stream[position]
    else:
        stream.insert(position, data.draw(U8))
    server = ServerConnection(SERVED, LIMITS)
    step = data.draw(st.integers(1, 300))
    for start in range(0, len(stream), step):
        if not drive_server(server, bytes(stream[start : start + step])):
            return


@pytest.mark.fuzz
@settings(max_examples=AT_LENGTH)
@given(st.booleans(), st.lists(PDUS, min_size=1, max_size=12))
def test_client(is_bound: bool, pdus: list[bytes]) -> None:
    if is_bound:
        client, _ = connected(concurrent=True, client_limits=LIMITS)
        for _ in range(2):
            client.request(0, 0, [])
    else:
        client = ClientConnection(LIMITS)
        client.bind((OFFER,))
    for data in pdus:
        client.receive_data(data)
        try:
            while (event := client.next_event()) is not NEED_DATA:
                assert event is not None
                if client.state.value == "closed":
                    return
        except RemoteProtocolError as error:
            assert str(error)
            assert error.answer == ()
            return
        assert client.buffered <= HELD_MAX


def peak_of(server: ServerConnection, feed: list[bytes]) -> int:
    """Most memory that the server took for this, in bytes."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        for data in feed:
            server.receive_data(data)
            if server.next_event() is not NEED_DATA:
                break
        return tracemalloc.get_traced_memory()[1] - before
    except RemoteProtocolError:
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("size", [0, 1, 7, 1000])
def test_fragments_that_never_end_hit_the_limit(size: int) -> None:
    """Also where each carries one byte: objects for each of them would cost a hundredfold."""
    limits = Limits(fragment_max=1432, call_max=5_000)
    more = request_pdu(bytes(size), flags=0)
    server = bound_server(limits)
    feed = [request_pdu(b"", flags=FIRST), *([more] * 8_000)]
    assert peak_of(server, feed) < 120_000
    assert (server.state.value == "closed") == bool(size)


def test_a_pdu_that_never_ends_and_one_that_trickles_in() -> None:
    server = bound_server(Limits(fragment_max=65528))
    data = request_pdu(bytes(65504))
    assert peak_of(server, [data[i : i + 1] for i in range(60_000)]) < 400_000
    assert server.buffered == 60_000
    server.receive_data(data[60_000:])
    assert isinstance(server.next_event(), RequestReceived)
    assert server.buffered == 0


def test_announced_sizes_cost_nothing() -> None:
    for data in (
        request_pdu(flags=FIRST, hint=0xFFFFFFFF),
        pdu(0, b"", length=0xFFFF),
        pdu(14, bytes(8) + b"\xff\0\0\0"),
    ):
        assert peak_of(bound_server(), [data]) < 20_000


def test_bytes_that_may_be_reused_are_copied() -> None:
    server = bound_server()
    buffer = bytearray(request_pdu(b"stub"))
    server.receive_data(buffer)
    buffer[:] = bytes(len(buffer))
    event = server.next_event()
    assert isinstance(event, RequestReceived)
    assert bytes(event.stub) == b"stub"
    client, server = connected()
    call_id, buffers = client.request(0, 0, [])
    server.receive_data(raw(buffers))
    server.next_event()
    answer = bytearray(raw(server.send_response(call_id, [b"answer"])))
    client.receive_data(memoryview(answer))
    answer[:] = bytes(len(answer))
    assert bytes(client.next_event().stub) == b"answer"  # type: ignore[union-attr]
