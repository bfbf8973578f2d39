"""Client and server joined with no socket between them, the bytes cut anywhere."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eseback.rpc import (
    BindFeature,
    FaultReceived,
    Limits,
    RequestReceived,
    ResponseReceived,
)
from eseback.rpc.fragment import cut, fragment_request, fragment_response
from tests.eseback.rpc.joined import client_events, connected, raw, server_events

SEEDS = st.integers(0, 1 << 32).map(random.Random)
SIZES = st.sampled_from((1432, 1440, 4280, 5840, 65528))


def chunks(data: bytes, rng: random.Random) -> list[bytes]:
    """The bytes as a network may deliver them."""
    pieces, position = [], 0
    while position < len(data):
        size = rng.choice((1, 2, 15, 16, 17, 100, 5840, 70000))
        pieces.append(data[position : position + size])
        position += size
    return pieces


@settings(max_examples=30)
@given(
    SIZES,
    SIZES,
    st.lists(st.tuples(st.integers(0, 200_000), st.integers(0, 200_000)), min_size=1, max_size=3),
    SEEDS,
)
def test_calls_arrive_whole(
    client_max: int, server_max: int, calls: list[tuple[int, int]], rng: random.Random
) -> None:
    client, server = connected(
        client_limits=Limits(fragment_max=client_max), server_limits=Limits(fragment_max=server_max)
    )
    assert client.fragment_max == server.fragment_max == min(client_max, server_max)
    for opnum, (request_size, response_size) in enumerate(calls):
        request, response = rng.randbytes(request_size), rng.randbytes(response_size)
        call_id, buffers = client.request(opnum % 2, opnum, [request[:9], request[9:]])
        received: list[object] = []
        for chunk in chunks(raw(buffers), rng):
            server.receive_data(chunk)
            received += server_events(server)
        (event,) = received
        assert isinstance(event, RequestReceived)
        assert (event.call_id, event.context_id, event.opnum) == (call_id, opnum % 2, opnum)
        assert bytes(event.stub) == request
        answers: list[object] = []
        for chunk in chunks(raw(server.send_response(call_id, [response])), rng):
            client.receive_data(chunk)
            answers += client_events(client)
        (answer,) = answers
        assert isinstance(answer, ResponseReceived)
        assert bytes(answer.stub) == response
        assert server.buffered == client.buffered == 0


@settings(max_examples=30)
@given(st.data())
def test_multiplexed_calls_never_mix(data: st.DataObject) -> None:
    """Fragments of several calls interleaved as drawn; each call gets its own bytes back."""
    client, server = connected(1432, concurrent=True)
    assert client.concurrent
    assert server.concurrent
    waiting: dict[int, list[bytes]] = {}
    stubs: dict[int, bytes] = {}
    for number in range(data.draw(st.integers(1, 6))):
        stub = bytes([number]) * data.draw(st.integers(0, 6000))
        call_id, buffers = client.request(0, number, [stub])
        joined, pieces = raw(buffers), []
        while joined:
            size = int.from_bytes(joined[8:10], "little")
            pieces.append(joined[:size])
            joined = joined[size:]
        waiting[call_id], stubs[call_id] = pieces, stub
    answered = {}
    while waiting:
        call_id = data.draw(st.sampled_from(sorted(waiting)))
        server.receive_data(waiting[call_id].pop(0))
        if not waiting[call_id]:
            del waiting[call_id]
        for event in server_events(server):
            assert isinstance(event, RequestReceived)
            assert bytes(event.stub) == stubs[event.call_id]
            client.receive_data(raw(server.send_response(event.call_id, [event.stub])))
            for answer in client_events(client):
                assert isinstance(answer, ResponseReceived)
                answered[answer.call_id] = bytes(answer.stub)
    assert answered == stubs


def test_payload_is_not_copied_and_middle_headers_are_one() -> None:
    payload = bytearray(100_000)
    buffers = fragment_response(1, 0, [b"head", payload, b"tail"], 5840)
    views = [b for b in buffers if isinstance(b, memoryview) and b.obj is payload]
    assert sum(map(len, views)) == len(payload)
    headers = [b for b in buffers if isinstance(b, bytes) and len(b) == 24]
    assert len(headers) == 18
    assert len({id(header) for header in headers}) == 3
    assert raw(buffers)[24:28] == b"head"


@given(
    st.lists(st.binary(max_size=50), max_size=8),
    st.integers(1, 40),
)
def test_cut(buffers: list[bytes], capacity: int) -> None:
    pieces = cut(buffers, capacity)
    sizes = [sum(map(len, piece)) for piece in pieces]
    assert raw(view for piece in pieces for view in piece) == b"".join(buffers)
    assert sizes[:-1] == [capacity] * (len(sizes) - 1)
    assert sizes[-1] <= capacity


@pytest.mark.parametrize("fragment_max", [1432, 5840, 65528])
@pytest.mark.parametrize("size", [0, 1, 1407, 1408, 1409, 5816, 5817, 2 * 65504, 65505])
def test_all_fragments_but_the_last_are_multiples_of_eight(fragment_max: int, size: int) -> None:
    for data in (
        raw(fragment_response(1, 0, [bytes(size)], fragment_max)),
        raw(fragment_request(1, 0, 0, [bytes(size)], fragment_max)),
    ):
        position, stub = 0, []
        while position < len(data):
            length = int.from_bytes(data[position + 8 : position + 10], "little")
            assert length <= fragment_max
            stub.append(length - 24)
            position += length
        assert all(n % 8 == 0 for n in stub[:-1])
        assert sum(stub) == size
        assert position == len(data)


def test_features_are_agreed_on() -> None:
    client, server = connected(features=BindFeature(3))
    assert client.features == server.features == BindFeature.KEEP_CONNECTION_ON_ORPHAN


def test_refused_call_does_not_end_the_client() -> None:
    client, server = connected()
    server.contexts.clear()
    call_id, buffers = client.request(0, 0, [])
    server.receive_data(raw(buffers))
    (refused,) = server_events(server)
    client.receive_data(raw(refused.answer))  # type: ignore[attr-defined]
    assert client.next_event() == FaultReceived(call_id, 0x1C010003, False)
