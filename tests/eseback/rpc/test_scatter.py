"""Responses received in place: predicted ones cost no copy, any other is parsed all the same."""

from __future__ import annotations

import random
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eseback.errors import EseBackupError
from eseback.rpc import (
    NEED_DATA,
    ClientConnection,
    FaultReceived,
    LocalProtocolError,
    ResponseReceived,
    ScatterRead,
    ServerConnection,
    bulk,
)
from tests.eseback.rpc.joined import connected, raw, response_pdu

SEEDS = st.integers(0, 1 << 32).map(random.Random)
SIZES = st.sampled_from((1432, 4280, 5840, 65528))


def started(size: int, fragment_max: int = 1432) -> tuple[ClientConnection, ServerConnection, int]:
    """A read of that size, sent and received."""
    client, server = connected(fragment_max)
    call_id, buffers = client.request(0, 6, [b""])
    server.receive_data(raw(buffers))
    server.next_event()
    return client, server, call_id


def expect_read(client: ClientConnection, call_id: int, payload: memoryview) -> ScatterRead | None:
    head, tail = bulk.read_ends(len(payload))
    return client.expect(call_id, head, payload, tail)


def taken(scatter: ScatterRead, ends: tuple[bytes, bytes], buffer: bytearray) -> int:
    """What a read that was received in place says it gave."""
    head, tail = ends
    return bulk.check_read(head, memoryview(buffer)[: scatter.filled], tail, len(buffer))


def deliver(scatter: ScatterRead, data: bytes, rng: random.Random) -> bytes:
    """What `recvmsg_into` does, in several turns; gives back what was not taken any more."""
    while data and scatter.predicted and not scatter.complete:
        count = min(len(data), rng.choice((1, 3, 24, 1000, 5840, 1 << 20)))
        done = 0
        for buffer in scatter.buffers():
            part = data[done : min(done + len(buffer), count)]
            buffer[: len(part)] = part
            done += len(part)
            if done == count:
                break
        data = data[done:]
        scatter.received(done)
    return data


@settings(max_examples=60)
@given(SIZES, st.integers(0, 200_000), SEEDS)
def test_a_full_read_lands_in_place(size_max: int, size: int, rng: random.Random) -> None:
    """Every split of head, data, padding and tail over fragments, and every receive size."""
    client, server, call_id = started(size, size_max)
    data, buffer = rng.randbytes(size), bytearray(size)
    scatter = expect_read(client, call_id, memoryview(buffer))
    assert scatter is not None
    sent = raw(server.send_response(call_id, bulk.encode_read(size, data)))
    assert deliver(scatter, sent, rng) == b""
    assert scatter.complete
    assert not scatter.buffers()
    ends = client.finish(scatter)
    assert ends is not None
    assert taken(scatter, ends, buffer) == size
    assert buffer == data
    assert client.outstanding == 0
    assert client.next_event() is NEED_DATA


@settings(max_examples=60)
@given(
    SIZES,
    st.integers(1, 100_000),
    st.integers(0, 100_000),
    st.sampled_from(("short", "error", "fault", "other size")),
    SEEDS,
)
def test_anything_else_is_parsed_from_the_same_bytes(
    size_max: int, size: int, got: int, what: str, rng: random.Random
) -> None:
    client, server, call_id = started(size, size_max)
    got = min(got, (size - 1) // 4 * 4)  # so short that padding does not hide it
    data, buffer = rng.randbytes(got), bytearray(size)
    scatter = expect_read(client, call_id, memoryview(buffer))
    assert scatter is not None
    if what == "short":
        buffers = server.send_response(call_id, bulk.encode_read(size, data))
    elif what == "error":
        error = EseBackupError.from_jet(-1018, "backup_read_file", "page 77")
        buffers = server.send_response(call_id, bulk.encode_read_error(error, size))
    elif what == "fault":
        buffers = server.send_fault(call_id, 0x1C00001A)
    else:
        server.fragment_max = 1024  # a server that cuts as it likes
        buffers = server.send_response(call_id, bulk.encode_read(size, data))
    if sum(map(len, buffers)) == sum(map(len, scatter.buffers())):
        return  # see test_a_failure_as_long_as_a_full_read
    rest = deliver(scatter, raw(buffers), rng)
    ends = client.finish(scatter)
    if ends is not None:
        # In place up to where it ended, and nothing is left.
        assert scatter.complete and not scatter.exact and not rest
        assert client.outstanding == 0
        if what == "error":
            with pytest.raises(EseBackupError, match="page 77"):
                taken(scatter, ends, buffer)
        else:
            assert taken(scatter, ends, buffer) == got
            assert buffer[:got] == data
        return
    assert not scatter.predicted
    if rest:
        client.receive_data(rest)
    event = client.next_event()
    if what == "fault":
        assert event == FaultReceived(call_id, 0x1C00001A, False)
        return
    assert isinstance(event, ResponseReceived)
    if what == "error":
        with pytest.raises(EseBackupError) as caught:
            bulk.decode_read(event.stub, size)
        assert (caught.value.jet, caught.value.detail) == (-1018, "page 77")
    else:
        assert bytes(bulk.decode_read(event.stub, size)) == data


@pytest.mark.parametrize("got", [0, 1, 1000, 1392, 1393, 2000, 4000, 4800])
def test_what_ends_sooner_is_in_place(got: int) -> None:
    client, server, call_id = started(5000)
    buffer, rng = bytearray(5000), random.Random(got)
    scatter = expect_read(client, call_id, memoryview(buffer))
    assert scatter is not None
    data = rng.randbytes(got)
    assert not deliver(
        scatter, raw(server.send_response(call_id, bulk.encode_read(5000, data))), rng
    )
    assert scatter.complete and not scatter.exact
    ends = client.finish(scatter)
    assert ends is not None
    assert taken(scatter, ends, buffer) == got
    assert buffer[:got] == data


def test_what_comes_behind_an_end_is_not_lost() -> None:
    """Here the answer to the next call, in the same packet."""
    client, server, call_id = started(5000)
    scatter = expect_read(client, call_id, memoryview(bytearray(5000)))
    assert scatter is not None
    sent = raw(server.send_response(call_id, bulk.encode_read(5000, b"first")))
    scatter.buffers()[0][:] = sent[:40]
    scatter.buffers()[1][: len(sent) - 40 + 8] = sent[40:] + b"\5\0\x02\x03\x10\0\0\0"
    scatter.received(len(sent) + 8)
    assert not scatter.complete and not scatter.predicted
    assert client.finish(scatter) is None
    event = client.next_event()
    assert isinstance(event, ResponseReceived)
    assert bytes(bulk.decode_read(event.stub, 5000)) == b"first"
    assert client.buffered == 8


@pytest.mark.parametrize("got", [5, 6, 7, 8])
def test_a_short_read_as_long_as_a_full_one(got: int) -> None:
    client, server, call_id = started(8)
    buffer = bytearray(8)
    scatter = expect_read(client, call_id, memoryview(buffer))
    assert scatter is not None
    sent = raw(server.send_response(call_id, bulk.encode_read(8, b"12345678"[:got])))
    deliver(scatter, sent, random.Random(got))
    ends = client.finish(scatter)
    assert ends is not None
    assert taken(scatter, ends, buffer) == got
    assert buffer[:got] == b"12345678"[:got]


def test_a_failure_as_long_as_a_full_read() -> None:
    """Its text is where the data would be."""
    error = EseBackupError.from_jet(-1018, "backup_read_file", "p" * 8)
    size = sum(map(len, bulk.encode_read_error(error, 0))) - 16 - 12
    client, server, call_id = started(size)
    buffer = bytearray(size)
    scatter = expect_read(client, call_id, memoryview(buffer))
    assert scatter is not None
    sent = raw(server.send_response(call_id, bulk.encode_read_error(error, size)))
    deliver(scatter, sent, random.Random(1))
    ends = client.finish(scatter)
    assert ends is not None
    with pytest.raises(EseBackupError, match="-1018"):
        taken(scatter, ends, buffer)


def test_allocation_hints_may_differ() -> None:
    """Many servers count down in it."""
    size = 5000
    client, server, call_id = started(size)
    buffer = bytearray(size)
    scatter = expect_read(client, call_id, memoryview(buffer))
    assert scatter is not None
    sent = bytearray(raw(server.send_response(call_id, bulk.encode_read(size, bytes(size)))))
    for number, position in enumerate(range(0, len(sent), 1432)):
        struct.pack_into("<I", sent, position + 16, 7 - number)
    assert deliver(scatter, bytes(sent), random.Random(1)) == b""
    assert scatter.complete


@pytest.mark.parametrize("offset", [0, 2, 3, 4, 8, 10, 12, 20, 22, 1432 + 3, 1432 + 12])
def test_every_header_field_is_held_against_the_prediction(offset: int) -> None:
    size = 5000
    client, server, call_id = started(size)
    payload = memoryview(bytearray(size))
    scatter = expect_read(client, call_id, payload)
    assert scatter is not None
    sent = bytearray(raw(server.send_response(call_id, bulk.encode_read(size, bytes(size)))))
    sent[offset] ^= 0x40
    deliver(scatter, bytes(sent), random.Random(1))
    assert not scatter.predicted
    assert client.finish(scatter) is None


def test_the_memory_is_used_again_for_the_next_read() -> None:
    size = 3000
    client, server = connected(1432)
    for number in range(3):
        call_id, buffers = client.request(0, 6, [b""])
        server.receive_data(raw(buffers))
        server.next_event()
        buffer = bytearray(size)
        scatter = expect_read(client, call_id, memoryview(buffer))
        assert scatter is not None
        data = bytes([number]) * size
        sent = raw(server.send_response(call_id, bulk.encode_read(size, data)))
        deliver(scatter, sent, random.Random(number))
        assert client.finish(scatter) is not None
        assert buffer == data


def test_nothing_is_predicted_where_nothing_can_be() -> None:
    client, _ = connected(concurrent=True)
    first, _ = client.request(0, 0, [])
    second, _ = client.request(0, 0, [])
    payload = memoryview(bytearray(10))
    assert client.expect(second, b"", payload, b"") is None
    client.receive_data(response_pdu(call_id=first)[:5])
    assert client.expect(first, b"", payload, b"") is None


def test_misuse() -> None:
    client, _, call_id = started(10)
    with pytest.raises(LocalProtocolError, match="writeable"):
        client.expect(call_id, b"", memoryview(b"read only"), b"")
    scatter = client.expect(call_id, b"", memoryview(bytearray(10)), b"")
    assert scatter is not None
    with pytest.raises(LocalProtocolError, match="still being received"):
        client.finish(scatter)
    for count in (0, 35):
        with pytest.raises(LocalProtocolError, match="34 were expected"):
            scatter.received(count)
