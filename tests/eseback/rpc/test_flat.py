"""What the shortest ways give is what the table of types gives, byte by byte."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eseback.errors import EseBackupError
from eseback.rpc import BadStubData, Buffer, NotRepresentable
from eseback.rpc.backup_calls import encode_arguments, encode_error, encode_result
from eseback.rpc.backup_interface import OPERATIONS
from eseback.rpc.fragment import fragment_response
from eseback.rpc.layout import Layout
from eseback.rpc.ndr_struct import Message
from tests.eseback.rpc.strategies import CALLS

MESSAGES = {
    f"{method} {way}": getattr(operation, way)
    for method, operation in OPERATIONS.items()
    for way in ("request", "response")
}
FLAT = {name: message for name, message in MESSAGES.items() if message._flat is not None}


def test_which_messages_can_be_flat() -> None:
    """All but those that begin with a string or an array that is always there."""
    flat = {name.partition(" ")[0] for name in FLAT if name.endswith("request")}
    assert flat >= {"backup_setup", "backup_close_file", "backup_read_file", "restore_close"}
    assert "backup_prepare" not in flat
    assert {name for name in MESSAGES if name.endswith("response")} - FLAT.keys() == {
        "backup_read_file response"
    }


def decoded(message: Message, stub: bytes, flat: bool) -> tuple[Any, ...] | str:
    try:
        return message.decode(stub) if flat else message._decode(stub, True)
    except BadStubData as error:
        return str(error)


@pytest.mark.uncovered
@pytest.mark.parametrize("method", CALLS)
@settings(max_examples=8)
@given(st.data())
def test_stubs_of_all_calls(method: str, data: st.DataObject) -> None:
    arguments, results = CALLS[method]
    stubs = {
        "request": bytes(encode_arguments(method, data.draw(arguments))),
        "response": bytes(encode_result(method, data.draw(results))),
    }
    for way, stub in stubs.items():
        message: Message = getattr(OPERATIONS[method], way)
        values = message._decode(stub, True)
        assert message.decode(stub) == values
        assert message.encode(values) == message._encode(values, True) == stub
        cut = stub[: data.draw(st.integers(0, len(stub)))]
        assert decoded(message, cut, True) == decoded(message, cut, False)


@pytest.mark.parametrize("method", CALLS)
def test_stubs_of_failures(method: str) -> None:
    message = OPERATIONS[method].response
    for detail in ("", "page 7"):
        error = EseBackupError.from_jet(-1018, method, detail)
        arguments = tuple(bytes(20) for _ in range(3))
        stub = bytes(encode_error(method, error, arguments))
        values = message._decode(stub, True)
        assert message.decode(stub) == values
        assert message._encode(values, True) == stub


@pytest.mark.uncovered
@settings(max_examples=150)
@given(st.sampled_from(sorted(FLAT)), st.data())
def test_any_bytes(name: str, data: st.DataObject) -> None:
    """Mostly zeros, so that pointers are NULL now and then where counts are not."""
    message = FLAT[name]
    assert message._flat is not None
    size = message._flat._size + data.draw(st.sampled_from((-1, 0, 0, 3)))
    stub = bytearray(max(size, 0))
    for place in data.draw(st.lists(st.integers(0, max(size - 1, 0)), max_size=4)):
        if place < size:
            stub[place] = data.draw(st.sampled_from((0, 1, 0xFF)))
    assert decoded(message, bytes(stub), True) == decoded(message, bytes(stub), False)


@pytest.mark.parametrize("handle", [bytes(19), bytes(21), bytearray(20), "x" * 20, None])
def test_a_handle_has_twenty_bytes(handle: object) -> None:
    """`struct` would fill up or cut off what is too short or too long."""
    for way, values in (("request", (handle, 1)), ("request", (handle,) * 2)):
        with pytest.raises(NotRepresentable):
            getattr(OPERATIONS["backup_close_file"], way).encode(values)


@given(
    st.sampled_from((1432, 4280, 5840, 65528)),
    st.integers(0, 40),
    st.lists(st.integers(0, 30_000), max_size=4),
    st.integers(0, 40),
    st.integers(0, 0xFFFFFFFF),
    st.integers(0, 0xFFFF),
)
def test_a_layout_is_what_fragmenting_gives(
    fragment_max: int, head: int, sizes: list[int], tail: int, call_id: int, context_id: int
) -> None:
    rng = random.Random(call_id)
    first, last = rng.randbytes(head), rng.randbytes(tail)
    pieces: list[Buffer] = [rng.randbytes(size) for size in sizes]
    expected = fragment_response(call_id, context_id, [first, *pieces, last], fragment_max)
    payload = b"".join(pieces)
    layout = Layout((head, len(payload), tail), context_id, fragment_max)
    for number in (call_id ^ 1, call_id):  # used before
        layout.number(number)
        layout.surround(first, last)
        found = layout.woven(pieces)
    assert b"".join(found) == b"".join(expected)
    assert b"".join(layout.placed(layout.order, payload)) == b"".join(expected)
    assert layout.total == sum(map(len, expected))
    assert layout.head_of(layout.frame) == first
    assert layout.tail_of(layout.frame) == last
