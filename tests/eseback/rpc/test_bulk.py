"""The quick way for data agrees with the table, byte for byte, and refuses what the table does."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eseback.errors import EseBackupError
from eseback.rpc import BadStubData, NotRepresentable
from eseback.rpc.backup_calls import (
    decode_arguments,
    decode_result,
    encode_arguments,
    encode_error,
    encode_result,
)
from eseback.rpc.bulk import (
    check_read,
    decode_read,
    decode_write,
    encode_read,
    encode_read_error,
    encode_write,
    read_ends,
)
from tests.eseback.rpc.joined import raw

READ, WRITE = "backup_read_file", "restore_write_file"
CONTEXT = bytes(range(1, 21))


@given(st.binary(max_size=60), st.integers(0, 20), st.booleans())
def test_reads_agree_with_the_table(data: bytes, more: int, little: bool) -> None:
    size = len(data) + more
    stub = bytes(encode_result(READ, (size, data), little))
    if little:
        assert raw(encode_read(size, data)) == stub
        head, tail = read_ends(len(data))
        assert len(stub) == len(head) + len(data) + len(tail)
        assert more or stub == head + data + tail
    assert bytes(decode_read(stub, size, little)) == data
    assert decode_result(READ, stub, little) == data


def test_data_stays_where_it_is() -> None:
    data = bytearray(1000)
    buffers = encode_read(1000, memoryview(data))
    assert isinstance(buffers[1], memoryview)
    assert buffers[1].obj is data
    stub = raw(buffers)
    assert decode_read(stub, 1000).obj is stub


def test_failed_reads() -> None:
    error = EseBackupError.from_jet(-1018, READ, "page 5")
    for little in (True, False):
        stub = bytes(encode_error(READ, error, (CONTEXT, 1, 77), little))
        with pytest.raises(EseBackupError) as caught:
            decode_read(stub, 77, little)
        assert (caught.value.jet, caught.value.call, caught.value.detail) == (-1018, READ, "page 5")
    assert raw(encode_read_error(error, 77)) == bytes(encode_error(READ, error, (CONTEXT, 1, 77)))


@pytest.mark.parametrize(
    "head",
    [(8, 8, 0, 7), (7, 8, 0, 8), (8, 9, 0, 8), (8, 8, 1, 8), (9, 8, 0, 9), (8, 7, 0, 8)],
)
def test_reads_that_are_no_good(head: tuple[int, int, int, int]) -> None:
    stub = struct.pack("<IIII", *head) + bytes(8 + 12)
    with pytest.raises(BadStubData, match="read of 8 bytes"):
        decode_read(stub, 8)
    with pytest.raises(BadStubData):
        check_read(stub[:16], memoryview(bytearray(8)), stub[24:], 8)


def test_a_read_in_place_has_what_it_announces() -> None:
    with pytest.raises(BadStubData, match="6 announced, 4 are there"):
        check_read(struct.pack("<IIII", 6, 8, 0, 6), memoryview(bytearray(4)), b"", 8)


@pytest.mark.parametrize("size", range(36))
def test_reads_that_end_early(size: int) -> None:
    stub = raw(encode_read(8, bytes(8)))
    assert len(stub) == 36
    with pytest.raises(BadStubData):
        decode_read(stub[:size], 8)


def test_more_than_was_asked_for() -> None:
    with pytest.raises(NotRepresentable, match="9 bytes read where 8"):
        encode_read(8, bytes(9))


@given(st.binary(max_size=60), st.integers(-5, 5), st.booleans())
def test_writes_agree_with_the_table(data: bytes, file: int, little: bool) -> None:
    stub = bytes(encode_arguments(WRITE, (CONTEXT, file, data), little))
    if little:
        assert raw(encode_write(CONTEXT, file, data)) == stub
    handle, number, view = decode_write(stub + b"surplus", little)
    assert (handle, number, bytes(view)) == (CONTEXT, file, data)
    assert decode_arguments(WRITE, stub, little) == (CONTEXT, file, data)


def test_writes_that_are_no_good() -> None:
    good = raw(encode_write(CONTEXT, 1, bytes(8)))
    for stub in (
        good[:39],
        good[:-1],
        good[:32] + struct.pack("<II", 8, 9) + bytes(9),
        good[:32] + struct.pack("<II", 0xFFFFFFFF, 0xFFFFFFFF) + bytes(8),
    ):
        with pytest.raises(BadStubData):
            decode_write(stub)
    with pytest.raises(NotRepresentable):
        encode_write(CONTEXT, 1 << 70, b"")
