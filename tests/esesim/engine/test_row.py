"""Rows and keys as bytes: what is written is read again, and sorts as it should."""

from __future__ import annotations

import struct
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esesim.engine.key import KEY_SIZE_MAX
from esesim.engine.longvalue import (
    LongValueError,
    long_value_key,
    long_value_node_keys,
    long_value_nodes,
    long_value_size,
    read_long_value,
)
from esesim.engine.page import HEADER_SIZE, TAG_SIZE, make_node
from esesim.engine.row import (
    RowError,
    SeparatedValue,
    decode_row,
    encode_key,
    encode_row,
    row_long_values,
    separated_values,
)
from esesim.engine.schema import (
    CODEPAGE_LATIN,
    CODEPAGE_UNICODE,
    Column,
    ColumnType,
    IndexSchema,
    SchemaError,
    TableSchema,
    mailbox_schema,
)
from esesim.engine.streamrun import StreamRun, pack_runs, unpack_runs

MSG = mailbox_schema().table("Msg")
FOLDER = mailbox_schema().table("Folder")

EVERY_TYPE = TableSchema(
    "Every",
    (
        Column(1, "Id", ColumnType.LONG, 4),
        Column(2, "Bit", ColumnType.BIT, 1),
        Column(3, "Byte", ColumnType.UNSIGNED_BYTE, 1),
        Column(4, "Short", ColumnType.SHORT, 2),
        Column(5, "Word", ColumnType.UNSIGNED_SHORT, 2),
        Column(6, "Currency", ColumnType.CURRENCY, 8),
        Column(7, "Double", ColumnType.DOUBLE, 8),
        Column(8, "Date", ColumnType.DATETIME, 8),
        Column(9, "Other", ColumnType.BIT, 1),
        Column(128, "Latin", ColumnType.TEXT, 255, codepage=CODEPAGE_LATIN),
        Column(129, "Unicode", ColumnType.TEXT, 255, codepage=CODEPAGE_UNICODE),
        Column(130, "Binary", ColumnType.BINARY, 255),
        Column(256, "LongText", ColumnType.LONG_TEXT, 0, codepage=CODEPAGE_UNICODE),
        Column(300, "LongLatin", ColumnType.LONG_TEXT, 0, codepage=CODEPAGE_LATIN),
        Column(301, "LongBinary", ColumnType.LONG_BINARY, 0),
    ),
    ("Id",),
)

LATIN = st.text(st.characters(codec="cp1252"), max_size=255)
UNICODE = st.text(max_size=60)
DOUBLES = st.floats(allow_nan=False)


def optional(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | values


ROWS = st.fixed_dictionaries(
    {
        "Id": st.integers(-(2**31), 2**31 - 1),
        "Bit": optional(st.booleans()),
        "Byte": optional(st.integers(0, 255)),
        "Short": optional(st.integers(-(2**15), 2**15 - 1)),
        "Word": optional(st.integers(0, 2**16 - 1)),
        "Currency": optional(st.integers(-(2**63), 2**63 - 1)),
        "Double": optional(DOUBLES),
        "Date": optional(DOUBLES),
        "Other": optional(st.booleans()),
        "Latin": optional(LATIN),
        "Unicode": optional(UNICODE),
        "Binary": optional(st.binary(max_size=255)),
        "LongText": optional(UNICODE | st.just("ä" * 600)),
        "LongLatin": optional(LATIN | st.just("ü" * 1024)),
        "LongBinary": optional(st.binary(max_size=1100)),
    }
)


@given(ROWS)
def test_what_is_encoded_is_decoded(row: dict[str, Any]) -> None:
    separated = separated_values(EVERY_TYPE, row)
    assert all(len(data) >= 1024 for data in separated.values())
    lids = {name: number for number, name in enumerate(separated, 1)}
    by_lid = {lid: separated[name] for name, lid in lids.items()}

    data = encode_row(EVERY_TYPE, row, lids)

    assert decode_row(EVERY_TYPE, data, by_lid.__getitem__) == row
    assert row_long_values(EVERY_TYPE, data) == lids
    if lids:
        name = next(iter(lids))
        assert decode_row(EVERY_TYPE, data)[name] == SeparatedValue(lids[name])


def test_a_record_has_the_documented_form() -> None:
    row = {
        "Id": 1,
        "ParentId": None,
        "Name": "Inbox",
        "DisplayName": "In",
    }
    assert encode_row(FOLDER, row) == (
        b"\x01\x81\x09\x00"  # last fixed and last variable id, where the variable part begins
        b"\x01\x00\x00\x00"
        b"\x00"  # nothing is NULL; ParentId, NULL at the end, is left out
        b"\x05\x00\x09\x00InboxI\0n\0"
    )


def test_a_null_in_the_middle_keeps_its_place() -> None:
    row = {"Id": 1, "FolderId": 2, "Size": None, "Received": None, "Unread": True, "Sender": "A"}
    assert encode_row(MSG, row) == (
        b"\x05\x81\x1a\x00"
        + struct.pack("<iiiqB", 1, 2, 0, 0, 0xFF)
        + b"\x0c"  # columns 3 and 4 are NULL
        + b"\x00\x80\x02\x00A\x00"  # Subject is NULL
    )


def test_a_tagged_value_is_found_by_its_id() -> None:
    row = {"Id": 1, "FolderId": 2, "Raw": b"raw", "Stream": b""}
    data = encode_row(MSG, row, {"Body": 7})
    assert data[4 + 8 + 1 :] == (
        b"\x00\x01\x0c\x40"  # 256 at offset 12, with a flags byte
        b"\x01\x01\x11\x00"  # 257 at 17
        b"\x02\x01\x14\x40"  # 258 at 20, with a flags byte because it is empty
        b"\x05\x07\x00\x00\x00raw\x01"
    )
    assert decode_row(MSG, data)["Body"] == SeparatedValue(7)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"Id": "one", "FolderId": 1}, "required argument is not an integer"),
        ({"Id": 2**31, "FolderId": 1}, "number <= 2147483647|format requires"),
        ({"Id": 1, "FolderId": 1, "Subject": "x" * 256}, "Subject takes 255 bytes, not 256"),
        ({"Id": 1, "FolderId": 1, "Sender": "x" * 128}, "Sender takes 255 bytes, not 256"),
        ({"Id": 1, "FolderId": 1, "Subject": "日本"}, "can't encode"),
        ({"Id": 1, "FolderId": 1, "Subject": 5}, "no attribute"),
        ({"Id": 1, "FolderId": 1, "Raw": 5}, "int in a binary column"),
        ({"Id": 1, "FolderId": 1, "Raw": bytes(1024)}, "column Raw: 1024 bytes need"),
    ],
)
def test_what_does_not_fit_is_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(RowError, match=words):
        encode_row(MSG, values)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x01\x7f",
        b"\x7f\x7f\x04\x00",  # more fixed columns than the table has
        b"\x00\xff\x04\x00",
        b"\x01\x7f\x09\x00\x01",
        b"\x00\x7f\x04\x00\x05\x02\x04\x00",  # no column 517
        b"\x00\x7f\x04\x00\x01\x01\x04\x40\x02x",  # stored compressed
    ],
)
def test_what_is_no_row_is_refused(data: bytes) -> None:
    with pytest.raises(RowError):
        decode_row(MSG, data)


def test_the_longest_values_that_stay_in_a_row() -> None:
    row = {"Id": 1, "FolderId": 1, "Body": "x" * 511, "Raw": bytes(1023)}
    assert separated_values(MSG, row) == {}
    longer = {"Id": 1, "FolderId": 1, "Body": "x" * 512, "Raw": bytes(1024)}
    assert separated_values(MSG, longer) == {
        "Body": ("x" * 512).encode("utf-16-le"),
        "Raw": bytes(1024),
    }
    # Each of these characters takes four bytes.
    assert set(separated_values(MSG, {"Body": "\U0001d11e" * 256})) == {"Body"}


NUMBERS = TableSchema(
    "Numbers",
    (
        Column(1, "Long", ColumnType.LONG, 4),
        Column(2, "Short", ColumnType.SHORT, 2),
        Column(3, "Currency", ColumnType.CURRENCY, 8),
        Column(4, "Byte", ColumnType.UNSIGNED_BYTE, 1),
        Column(5, "Bit", ColumnType.BIT, 1),
    ),
    ("Long", "Short", "Currency", "Byte", "Bit"),
)


@given(
    st.lists(
        st.tuples(
            st.integers(-(2**31), 2**31 - 1),
            st.integers(-(2**15), 2**15 - 1),
            st.integers(-(2**63), 2**63 - 1),
            st.integers(0, 255),
            st.booleans(),
        ),
        max_size=20,
    )
)
def test_keys_sort_as_their_numbers_do(rows: list[tuple[int, int, int, int, bool]]) -> None:
    names = [column.name for column in NUMBERS.columns]
    keys = [encode_key(NUMBERS, dict(zip(names, row, strict=True))) for row in sorted(rows)]
    assert keys == sorted(keys)
    assert len(set(keys)) == len(set(rows))


def test_keys_have_the_documented_form() -> None:
    assert encode_key(MSG, {"Id": -2}) == b"\x7f\x7f\xff\xff\xfe"
    by_folder = MSG.index("FolderIndex")
    assert encode_key(by_folder, {"FolderId": 3, "Id": 1}) == (
        b"\x7f\x80\x00\x00\x03\x7f\x80\x00\x00\x01"
    )
    by_name = FOLDER.index("NameIndex")
    assert encode_key(by_name, {"Name": "Inbox"}) == b"\x7fINBOX\x00"
    assert encode_key(by_name, {"Name": "Gelöscht"}) == b"\x7fGEL\xd6SCHT\x00"
    assert encode_key(by_name, {"Name": ""}) == b"\x40"


def test_a_key_without_a_value_or_too_long_is_refused() -> None:
    by_name = FOLDER.index("NameIndex")
    with pytest.raises(RowError, match="NameIndex"):
        encode_key(by_name, {"Name": None})
    with pytest.raises(RowError, match="Msg"):
        encode_key(MSG, {})
    longest = "x" * (KEY_SIZE_MAX - 2)
    assert len(encode_key(by_name, {"Name": longest})) == KEY_SIZE_MAX
    with pytest.raises(RowError, match="256 bytes, more than 255"):
        encode_key(by_name, {"Name": longest + "x"})


@pytest.mark.parametrize(
    ("columns", "key", "words"),
    [
        ((Column(2, "Id", ColumnType.LONG, 4),), "Id", "ids have gaps"),
        ((Column(1, "Id", ColumnType.LONG, 8),), "Id", "do not go with id 1"),
        ((Column(1, "Id", ColumnType.TEXT, 4),), "Id", "do not go with id 1"),
        ((Column(128, "Id", ColumnType.LONG, 4),), "Id", "do not go with id 128"),
        ((Column(128, "Id", ColumnType.TEXT, 9, codepage=437),), "Id", "do not go with"),
        ((Column(128, "Id", ColumnType.TEXT, 9, codepage=CODEPAGE_UNICODE),), "Id", "of a key"),
        ((Column(256, "Id", ColumnType.LONG_BINARY, 0),), "Id", "cannot be part of a key"),
        ((Column(1, "Id", ColumnType.LONG, 4),), "Name", "has no column Name"),
    ],
)
def test_a_table_that_cannot_be_stored_is_refused(
    columns: tuple[Column, ...], key: str, words: str
) -> None:
    with pytest.raises(SchemaError, match=words):
        TableSchema("Bad", columns, (key,))


def test_an_index_on_a_column_of_another_table_is_refused() -> None:
    stranger = IndexSchema("Strange", (FOLDER.column("Name"),))
    with pytest.raises(SchemaError, match="index Strange of Msg: no column Name"):
        TableSchema("Msg", MSG.columns, ("Id",), (stranger,))


@given(st.integers(1, 2**32 - 1), st.integers(0, 30000), st.sampled_from([4096, 8192]))
def test_a_long_value_is_read_from_its_nodes(lid: int, size: int, page_size: int) -> None:
    data = bytes(range(251)) * (size // 251 + 1)
    data = data[:size]
    nodes = long_value_nodes(lid, data, page_size)
    assert [key for key, _ in nodes] == long_value_node_keys(lid, size, page_size)
    assert all(left[0] < right[0] for left, right in pairwise(nodes))
    assert all(key.startswith(long_value_key(lid)) for key, _ in nodes)
    # Each fits on a root page, which has 16 bytes in tag 0.
    room = page_size - HEADER_SIZE - 16 - 2 * TAG_SIZE
    assert all(len(make_node(*node)) <= room for node in nodes)
    assert long_value_size(nodes[0][1]) == size
    assert read_long_value(lid, nodes) == data


def test_a_long_value_that_lacks_a_piece_is_refused() -> None:
    nodes = long_value_nodes(5, bytes(9000), 4096)
    assert len(nodes) == 4
    for missing, words in enumerate(["no root", "offset 0", "offset 4014", "8028 bytes of 9000"]):
        with pytest.raises(LongValueError, match=words):
            read_long_value(5, nodes[:missing] + nodes[missing + 1 :])


def test_runs_are_packed_in_twelve_bytes() -> None:
    runs = (StreamRun(5, 2, 8000), StreamRun(0xFFFF0000, 1, 17))
    value = pack_runs(runs)
    assert value[:12] == b"\x05\0\0\0\x02\0\0\0\x40\x1f\0\0"
    assert unpack_runs(value) == runs
    assert unpack_runs(b"") == ()
    with pytest.raises(ValueError, match="13 bytes"):
        unpack_runs(value[:13])
