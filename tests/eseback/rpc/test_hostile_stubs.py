"""Stubs that were good and were changed: BadStubData, or an error of the API, and no memory for
what they only announce.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eseback.errors import EseBackupError
from eseback.rpc import ENDPOINT_MAPPER, MANAGEMENT, NULL_HANDLE, BadStubData
from eseback.rpc.backup_calls import (
    decode_arguments,
    decode_result,
    encode_arguments,
    encode_result,
)
from eseback.rpc.bulk import decode_read, decode_read_request, decode_write, encode_read
from eseback.rpc.epm import Entry
from eseback.rpc.ndr_arrays import NAME_MAX
from eseback.rpc.tower import TcpTower
from tests.eseback.rpc.strategies import CALLS, DATA

BRIEF = settings().max_examples <= 50
Decoder = Callable[[bytes], object]


@st.composite
def stubs(draw: st.DrawFn) -> tuple[Decoder, bytes]:
    """A good stub of some call, or of some answer, in some byte order; and what reads it."""
    method = draw(st.sampled_from(sorted(CALLS)))
    little = draw(st.booleans())
    arguments, results = CALLS[method]
    if draw(st.booleans()):
        stub = bytes(encode_arguments(method, draw(arguments), little))
        return lambda data: decode_arguments(method, data, little), stub
    stub = bytes(encode_result(method, draw(results), little))
    return lambda data: decode_result(method, data, little), stub


@st.composite
def bulk_stubs(draw: st.DrawFn) -> tuple[Decoder, bytes]:
    """The same for the calls that carry data."""
    data, little = draw(DATA), draw(st.booleans())
    head = bytes(range(20))
    which = draw(st.integers(0, 2))
    if which == 0:
        stub = b"".join(encode_read(len(data), data))
        return lambda stub: decode_read(stub, len(data)), stub
    if which == 1:
        return lambda stub: decode_read_request(stub, little), head + bytes(16)
    stub = bytes(encode_arguments("restore_write_file", (head, 1, data), little))
    return lambda stub: decode_write(stub, little), stub


@st.composite
def standard_stubs(draw: st.DrawFn) -> tuple[Decoder, bytes]:
    """The same for management and the endpoint mapper."""
    little = draw(st.booleans())
    tower = TcpTower(MANAGEMENT.syntax).pack()
    entry = Entry(MANAGEMENT.syntax.uuid, tower, "x")
    message, values = draw(
        st.sampled_from(
            (
                (MANAGEMENT.operations[0].response, ((MANAGEMENT.syntax,) * 2, 0)),
                (MANAGEMENT.operations[1].response, ((1, 2, 3), 0)),
                (MANAGEMENT.operations[4].response, ((9, (1, 0)), 0)),
                (
                    ENDPOINT_MAPPER.operations[2].request,
                    (0, MANAGEMENT.syntax.uuid, MANAGEMENT.syntax, 1, NULL_HANDLE, 5),
                ),
                (ENDPOINT_MAPPER.operations[2].response, (NULL_HANDLE, (5, (entry, entry)), 0)),
                (ENDPOINT_MAPPER.operations[3].request, (None, tower, NULL_HANDLE, 4)),
                (ENDPOINT_MAPPER.operations[3].response, (NULL_HANDLE, (2, (tower, tower)), 0)),
            )
        )
    )
    stub = bytes(message.encode(values, little))
    return lambda data: message.decode(data, little), stub


STUBS = st.one_of(stubs(), bulk_stubs(), standard_stubs())
EDITS = st.lists(
    st.tuples(st.integers(0, 400), st.integers(0, 8), st.binary(max_size=8)), min_size=1, max_size=4
)


def try_it(decode: Decoder, stub: bytes) -> None:
    try:
        decode(stub)
    except (BadStubData, EseBackupError) as error:
        assert str(error)


@pytest.mark.fuzz
@settings(max_examples=120 if BRIEF else settings().max_examples)
@given(STUBS, EDITS)
def test_changed_stubs(made: tuple[Decoder, bytes], edits: list[tuple[int, int, bytes]]) -> None:
    """Bytes in some places are replaced by others, as many, fewer or more."""
    decode, stub = made
    decode(stub)
    for place, size, filler in edits:
        at = place % (len(stub) + 1)
        stub = stub[:at] + filler + stub[at + size :]
    try_it(decode, stub)


@pytest.mark.fuzz
@pytest.mark.uncovered
@settings(max_examples=20 if BRIEF else 1000)
@given(STUBS, st.sampled_from((0xFFFFFFFF, 0x80000000, 0x7FFFFFFF, 0x10000000, 0x100000)))
def test_announced_counts_cost_nothing(made: tuple[Decoder, bytes], count: int) -> None:
    """Any number in a stub may be a count; put to millions, it makes no object of that size."""
    decode, stub = made
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for at in range(0, len(stub) - 3, 4):
            for order in ("little", "big"):
                changed = stub[:at] + count.to_bytes(4, order) + stub[at + 4 :]
                try_it(decode, changed)
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert peak < 100_000 + 200 * len(stub), f"{peak} bytes for a stub of {len(stub)}"


def test_memory_is_in_proportion() -> None:
    """The densest stub there is: a list of as many of the smallest elements as a call may hold."""
    items = 20_000
    stub = (
        (items.to_bytes(4, "little") + b"\1\0\0\0") + items.to_bytes(4, "little") + bytes(8 * items)
    )
    decode = MANAGEMENT.operations[1].response.decode
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        with pytest.raises(BadStubData):
            decode(items.to_bytes(4, "little") * 2 + bytes(4 * items - 8))
        try_it(decode, stub)
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert peak < 20 * len(stub)


@pytest.mark.parametrize("size", [NAME_MAX, NAME_MAX + 1])
def test_longest_name(size: int) -> None:
    """Names have an end, and errors that repeat them too."""
    count = (size + 1).to_bytes(4, "little")
    stub = b"\1\0\0\0" + count + bytes(4) + count + b"x\0" * size + b"\0\0"
    if size <= NAME_MAX:
        assert decode_arguments("get_nodes", stub) == ("x" * size,)
        assert encode_arguments("get_nodes", ("x" * size,))[4:] == stub[4:]
    else:
        with pytest.raises(BadStubData, match="at most 32768"):
            decode_arguments("get_nodes", stub)
