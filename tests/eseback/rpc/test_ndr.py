"""NDR 2.0, byte by byte: examples worked out by hand from C706 chapter 14."""

from __future__ import annotations

import contextlib
import struct
import tracemalloc
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eseback.rpc import BadStubData, NotRepresentable
from eseback.rpc.ndr import BYTE, CONTEXT_HANDLE, GUID, HYPER, LONG, ULONG, USHORT, NdrType
from eseback.rpc.ndr_arrays import BYTES, WCHARS, WSTRING, Array, Unique, VaryingArray
from eseback.rpc.ndr_struct import ConformantStruct, Count, Message, Struct

IDENTITY = uuid.UUID("00112233-4455-6677-8899-aabbccddeeff")
HANDLE = bytes(range(20))
PAIR = Struct("PAIR", (("a", USHORT), ("name", Unique(WSTRING)), ("b", HYPER)))
COUNTED = Struct(
    "COUNTED", (("n", Count("items")), ("items", Unique(Array(PAIR), empty=())), ("last", BYTE))
)


def message(*types: NdrType) -> Message:
    return Message("test", [(f"f{i}", kind) for i, kind in enumerate(types)])


def hexed(text: str) -> bytes:
    return bytes.fromhex(text)


GOLDEN: list[tuple[Message, tuple[Any, ...], str, str]] = [
    (
        message(BYTE, USHORT, BYTE, ULONG, BYTE, HYPER),
        (1, 0x0203, 4, 0x05060708, 9, -2),
        "01 00 0302 04 000000 08070605 09 000000" + "feffffffffffffff",
        "01 00 0203 04 000000 05060708 09 000000" + "fffffffffffffffe",
    ),
    (
        message(WSTRING, ULONG),
        ("aé", 7),
        "03000000 00000000 03000000 6100 e900 0000 0000 07000000",
        "00000003 00000000 00000003 0061 00e9 0000 0000 00000007",
    ),
    (
        message(BYTE, GUID),
        (5, IDENTITY),
        "05 000000 33221100 5544 7766 8899aabbccddeeff",
        "05 000000 00112233 4455 6677 8899aabbccddeeff",
    ),
    (
        message(CONTEXT_HANDLE),
        (HANDLE,),
        "00010203 04050607 0809 0a0b 0c0d0e0f10111213",
        "03020100 07060504 0908 0b0a 0c0d0e0f10111213",
    ),
    (message(Unique(ULONG), ULONG), (None, 1), "00000000 01000000", "00000000 00000001"),
    (
        message(Unique(ULONG), ULONG),
        (9, 1),
        "00000200 09000000 01000000",
        "00020000 00000009 00000001",
    ),
    (
        message(Count("f1"), Unique(WCHARS, empty="")),
        ("a\0\0",),
        "03000000 00000200 03000000 6100 0000 0000",
        "00000003 00020000 00000003 0061 0000 0000",
    ),
    (
        message(VaryingArray(BYTE), ULONG),
        ((5, (1, 2, 3)), 4),
        "05000000 00000000 03000000 010203 00 04000000",
        "00000005 00000000 00000003 010203 00 00000004",
    ),
    # A pointer to an array of structures: all structures first, then what their pointers point to.
    (
        message(Unique(Array(PAIR))),
        (((1, "x", 2), (3, None, 4)),),
        "00000200 02000000"
        "0100 0000 04000200 0200000000000000"
        "0300 0000 00000000 0400000000000000"
        "02000000 00000000 02000000 7800 0000",
        "00020000 00000002"
        "0001 0000 00020004 0000000000000002"
        "0003 0000 00000000 0000000000000004"
        "00000002 00000000 00000002 0078 0000",
    ),
    # A structure that contains a counted array of structures, and a byte after it.
    (
        message(COUNTED),
        ((((1, "x", 2),), 9),),
        "01000000 00000200 09 000000 01000000"  # n, pointer, last; padding is of what follows
        "0100 0000 04000200 0200000000000000"
        "02000000 00000000 02000000 7800 0000",
        "",
    ),
    (
        message(Unique(ConformantStruct("twr_t", BYTES)), ULONG),
        (b"abc", 1),
        "00000200 03000000 03000000 616263 00 01000000",
        "00020000 00000003 00000003 616263 00 00000001",
    ),
    (
        message(Unique(ConformantStruct("vector", Array(Unique(USHORT))))),
        ((7, None, 8),),
        "00000200 03000000 03000000 04000200 00000000 08000200 0700 0800",
        "",
    ),
]


@pytest.mark.parametrize(("kind", "values", "little", "big"), GOLDEN)
def test_golden_bytes(kind: Message, values: tuple[Any, ...], little: str, big: str) -> None:
    for text, is_little in ((little, True), (big, False)):
        if text:
            assert bytes(kind.encode(values, is_little)).hex() == hexed(text).hex()
            assert kind.decode(hexed(text), is_little) == values


def test_alignment_is_from_the_start_of_the_stub() -> None:
    kind = message(ULONG, HYPER, BYTE, Unique(Array(HYPER)))
    expected = "01000000 00000000 0200000000000000 03 000000 00000200 01000000 00000000"
    expected += "0400000000000000"
    assert bytes(kind.encode((1, 2, 3, (4,)))).hex() == hexed(expected).hex()


def test_a_flat_message_and_a_careful_one_agree() -> None:
    kind = message(CONTEXT_HANDLE, HYPER, ULONG, Unique(WSTRING), LONG)
    values = (HANDLE, -5, 6, None, -7)
    flat = kind.encode(values)
    careful = Message("test", kind.fields)
    careful._flat = None
    assert careful.encode(values) == flat
    assert careful.decode(flat) == kind.decode(flat) == values
    with_text = (HANDLE, -5, 6, "text", -7)
    assert kind.decode(kind.encode(with_text)) == with_text


def test_surplus_bytes_are_ignored() -> None:
    """For instance a verification trailer, MS-RPCE 2.2.2.13."""
    trailer = bytes.fromhex("8ae3137102f43671 01400400 01000000")
    for kind, values in ((message(ULONG), (1,)), (message(WSTRING), ("x",))):
        assert kind.decode(bytes(kind.encode(values)) + trailer) == values


BAD: list[tuple[Message, str, str]] = [
    (message(ULONG), "010000", "4 bytes wanted"),
    (message(BYTE, ULONG), "01 000000 0000", "4 bytes wanted"),
    (message(GUID), "00" * 15, "16 bytes wanted"),
    (message(CONTEXT_HANDLE, WSTRING), "00" * 19, "20 bytes wanted"),
    (message(WSTRING), "01000000 00000000 02000000 0000 0000", "array of 1"),
    (message(WSTRING), "02000000 01000000 01000000 0000", "array of 2"),
    (message(WSTRING), "00000000 00000000 00000000", "only NUL"),
    (message(WSTRING), "01000000 00000000 01000000 6100", "only NUL"),
    (message(WSTRING), "02000000 00000000 02000000 0000 0000", "only NUL"),
    (message(WSTRING), "ffffff7f 00000000 ffffff7f 0000", "do not fit"),
    (message(WCHARS), "ffffffff 0000", "bytes wanted"),
    (message(BYTES), "ffffffff 0000", "bytes wanted"),
    (message(Array(PAIR)), "ffffff0f 00000000", "do not fit"),
    (message(VaryingArray(BYTE)), "ffffffff 00000000 feffffff", "do not fit"),
    (message(VaryingArray(BYTE)), "02000000 ffffffff 02000000 0000", "array of 2"),
    (message(Unique(WSTRING, required=True)), "00000000", "NULL"),
    (message(Count("f1"), Unique(BYTES)), "02000000 00000000", "2 elements announced, 0 found"),
    (message(Count("f1"), Unique(BYTES)), "00000000 01000000 01000000 07", "0 elements announced"),
    (message(Unique(ConformantStruct("t", BYTES))), "01000000 01000000 02000000 0707", "the size"),
    (message(Unique(Array(PAIR))), "01000000 01000000 0100", "1 elements do not fit"),
]


@pytest.mark.parametrize(("kind", "text", "what"), BAD)
def test_what_cannot_be_read(kind: Message, text: str, what: str) -> None:
    with pytest.raises(BadStubData, match=f"^test: .*{what}"):
        kind.decode(hexed(text))


def test_a_count_costs_nothing_before_it_is_checked() -> None:
    claims = [
        (message(Array(PAIR)), struct.pack("<I", 0x7FFFFFFF)),
        (message(WSTRING), struct.pack("<III", 0x7FFFFFFF, 0, 0x7FFFFFFF)),
        (message(BYTES), struct.pack("<I", 0xFFFFFFFF)),
        (message(VaryingArray(BYTE)), struct.pack("<III", 0xFFFFFFFF, 0, 0xFFFFFFFF)),
    ]
    tracemalloc.start()
    try:
        for kind, stub in claims:
            with pytest.raises(BadStubData):
                kind.decode(stub)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


WRONG: list[tuple[Message, tuple[Any, ...]]] = [
    (message(ULONG), (-1,)),
    (message(ULONG), (1 << 32,)),
    (message(ULONG), (None,)),
    (message(ULONG), ("1",)),
    (message(ULONG), (1, 2)),
    (message(HYPER), (1 << 63,)),
    (message(WSTRING), ("a\0b",)),
    (message(WSTRING), (None,)),
    (message(WCHARS), (b"x",)),
    (message(BYTES), ("x",)),
    (message(GUID), ("x",)),
    (message(CONTEXT_HANDLE, WSTRING), (bytes(16), "x")),
    (message(Unique(ULONG, required=True)), (None,)),
    (message(Unique(WSTRING), ULONG), ("x", -1)),
    (message(VaryingArray(BYTE)), ((1, (1, 2)),)),
    (message(Array(PAIR)), (((1, "x"),),)),
    (message(Array(PAIR)), ((5,),)),
    (message(Array(ULONG)), (5,)),
    (message(Count("f1"), Unique(BYTES)), (5,)),
]


@pytest.mark.parametrize(("kind", "values"), WRONG)
def test_what_cannot_be_written(kind: Message, values: tuple[Any, ...]) -> None:
    with pytest.raises(NotRepresentable, match=r"^test: "):
        kind.encode(values)


TEXTS = st.text(st.characters(exclude_characters="\0"))
PAIRS = st.tuples(st.integers(0, 0xFFFF), st.none() | TEXTS, st.integers(-(1 << 63), (1 << 63) - 1))


@given(st.lists(PAIRS, max_size=5).map(tuple), st.integers(0, 255), TEXTS, st.booleans())
def test_round_trip(pairs: tuple[Any, ...], last: int, text: str, little: bool) -> None:
    kind = message(COUNTED, WSTRING, Count("f3"), Unique(BYTES))
    values = ((pairs, last), text, text.encode())
    assert kind.decode(kind.encode(values, little), little) == values


def test_lone_surrogates_are_legal_in_windows_names() -> None:
    kind = message(WSTRING)
    for little in (True, False):
        assert kind.decode(kind.encode(("\ud800x",), little), little) == ("\ud800x",)


@given(st.binary(max_size=200), st.sampled_from(GOLDEN), st.booleans())
def test_random_bytes_decode_or_raise(
    data: bytes, golden: tuple[Message, Any, str, str], little: bool
) -> None:
    with contextlib.suppress(BadStubData):
        golden[0].decode(data, little)
