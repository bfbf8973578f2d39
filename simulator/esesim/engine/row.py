"""Rows of a table as bytes.

A record is: u8 last fixed id, u8 last variable id (127: none), u16 offset of the variable part; the
fixed columns; a bitmap of those that are NULL; the end of each variable value (0x8000: NULL), the
values; for each tagged column that is not NULL u16 id and u16 offset, and then the values. Columns
at the end that are NULL are left out. Layout: ESE source tagfld.cxx, rec.cxx, libesedb format
document.

Tens of thousands of rows are encoded in a run of the simulator, so all that depends on the schema
alone is worked out once per schema.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from functools import cache
from operator import methodcaller
from typing import Any, Final

from eseback.data import frozen

from .key import encode_key, latin_bytes
from .longvalue import SEPARATED_SIZE_MIN
from .schema import (
    CODEPAGE_LATIN,
    CODEPAGE_UNICODE,
    TEXT_TYPES,
    Column,
    ColumnType,
    RowError,
    TableSchema,
)

__all__ = [
    "RowError",
    "SeparatedValue",
    "decode_row",
    "encode_key",
    "encode_row",
    "row_long_values",
    "separated_values",
]

type_Values = Mapping[str, object]

_HEADER: Final = struct.Struct("<BBH")
_TAG: Final = struct.Struct("<HH")
_LID: Final = struct.Struct("<I")
_NULL: Final = 0x8000
_VARIABLE_NONE: Final = 127
_EXTENDED: Final = 0x4000
_OFFSET_MASK: Final = 0x1FFF
_LONG_VALUE: Final = b"\x01"
_SEPARATED: Final = b"\x05"  # a long value (1) that stands elsewhere (4)
_NO_LONG_VALUES: Final[Mapping[str, int]] = {}

_FIXED_CODES: Final = {
    ColumnType.BIT: "B",
    ColumnType.UNSIGNED_BYTE: "B",
    ColumnType.SHORT: "h",
    ColumnType.UNSIGNED_SHORT: "H",
    ColumnType.LONG: "i",
    ColumnType.CURRENCY: "q",
    ColumnType.SINGLE: "f",
    ColumnType.DOUBLE: "d",
    ColumnType.DATETIME: "d",
}
_CODECS: Final = {CODEPAGE_LATIN: "cp1252", CODEPAGE_UNICODE: "utf-16-le"}


@frozen
class SeparatedValue:
    """Stands for a long value that was not fetched: ``lid`` finds it in the long-value tree."""

    lid: int


def encode_row(
    schema: TableSchema, values: type_Values, long_values: Mapping[str, int] = _NO_LONG_VALUES
) -> bytes:
    """The record of a row.

    ``values`` maps column names to int, bool, float, str or bytes; a column that is missing or None
    is NULL. ``long_values`` maps the tagged columns that stand in the long-value tree to their
    lids; ``separated_values`` tells which have to. Raises RowError for a value of the wrong type,
    one that does not fit its column, and a long one without a lid.
    """
    try:
        return _encoder(schema)(values, long_values)
    except (struct.error, TypeError, AttributeError, UnicodeEncodeError) as error:
        raise RowError(f"a row of {schema.name} cannot be stored: {error}") from error


def separated_values(schema: TableSchema, values: type_Values) -> dict[str, bytes]:
    """The values that are too long for the row, as bytes for ``long_value_nodes``, by column."""
    found = {}
    for name, to_bytes, size_min in _tagged_columns(schema):
        value = values.get(name)
        if value is not None and len(value) >= size_min:  # type: ignore[arg-type]
            data = to_bytes(value)
            if len(data) >= SEPARATED_SIZE_MIN:
                found[name] = data
    return found


def decode_row(
    schema: TableSchema, data: bytes, fetch_long: Callable[[int], bytes] | None = None
) -> dict[str, Any]:
    """All columns of a record by name, None for NULL.

    ``fetch_long`` gets the bytes of a separated value by lid; without it such a value is given as a
    SeparatedValue. Raises RowError for bytes that are no record of this table.
    """
    try:
        return _decode(schema, bytes(data), fetch_long)
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise RowError(f"not a row of {schema.name}: {error}") from error


def row_long_values(schema: TableSchema, data: bytes) -> dict[str, int]:
    """The lids of the separated values of a record, by column: what a delete has to delete too."""
    row = decode_row(schema, data)
    return {name: value.lid for name, value in row.items() if isinstance(value, SeparatedValue)}


def _to_bytes(column: Column) -> Callable[[Any], bytes]:
    """How a variable or tagged value becomes bytes."""
    if column.type in TEXT_TYPES:
        if column.codepage == CODEPAGE_LATIN:
            return latin_bytes
        return methodcaller("encode", _CODECS[column.codepage])
    return _checked_bytes


def _checked_bytes(value: Any) -> bytes:
    # bytes(5) would be five zeros: a number is no value of a binary column.
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    raise TypeError(f"{type(value).__name__} in a binary column")


@cache
def _tagged_columns(schema: TableSchema) -> tuple[tuple[str, Callable[[Any], bytes], int], ...]:
    """Name and encoder of each tagged column, and how long a value has to be to be looked at."""
    return tuple(
        (
            column.name,
            _to_bytes(column),
            # The units of a text of two bytes each, or of four where it needs surrogates.
            SEPARATED_SIZE_MIN // 4 if column.codepage == CODEPAGE_UNICODE else SEPARATED_SIZE_MIN,
        )
        for column in schema.columns
        if column.is_tagged
    )


def _by_kind(
    schema: TableSchema,
) -> tuple[tuple[Column, ...], tuple[Column, ...], tuple[Column, ...]]:
    """The fixed, the variable and the tagged columns."""
    columns = schema.columns
    return (
        tuple(column for column in columns if column.is_fixed),
        tuple(column for column in columns if not column.is_fixed and not column.is_tagged),
        tuple(column for column in columns if column.is_tagged),
    )


@cache
def _encoder(schema: TableSchema) -> Callable[[type_Values, Mapping[str, int]], bytes]:
    fixed, variable, tagged = _by_kind(schema)
    encode_fixed = _fixed_encoder(fixed)
    encode_variable = _variable_encoder(variable)
    encode_tagged = _tagged_encoder(tagged)

    def encode(values: type_Values, long_values: Mapping[str, int]) -> bytes:
        variable_last, middle = encode_variable(values)
        return encode_fixed(values, variable_last) + middle + encode_tagged(values, long_values)

    return encode


def _fixed_encoder(columns: tuple[Column, ...]) -> Callable[[type_Values, int], bytes]:
    """Header, fixed columns and bitmap, for values and the last variable id."""
    names = [column.name for column in columns]
    bits = [i for i, column in enumerate(columns) if column.type is ColumnType.BIT]
    # The bitmap's bytes are padding, which is packed as zeros: nothing is NULL.
    whole = struct.Struct(f"<BBH{_codes(columns)}{_bitmap_size(len(columns))}x")
    count, size = len(columns), whole.size

    def encode(values: type_Values, variable_last: int) -> bytes:
        row = list(map(values.get, names))
        for i in bits:
            if row[i] is not None:
                row[i] = 0xFF if row[i] else 0
        if None not in row:
            return whole.pack(count, variable_last, size, *row)
        return _encode_with_nulls(columns, row, variable_last)

    return encode


def _encode_with_nulls(columns: tuple[Column, ...], row: list[object], variable_last: int) -> bytes:
    while row and row[-1] is None:
        row = row[:-1]
    nulls = sum(1 << i for i, value in enumerate(row) if value is None)
    bitmap = nulls.to_bytes(_bitmap_size(len(row)), "little")
    stored = struct.Struct("<" + _codes(columns[: len(row)]))
    offset = _HEADER.size + stored.size + len(bitmap)
    header = _HEADER.pack(len(row), variable_last, offset)
    return header + stored.pack(*(0 if value is None else value for value in row)) + bitmap


def _codes(columns: tuple[Column, ...]) -> str:
    return "".join(_FIXED_CODES[column.type] for column in columns)


def _bitmap_size(count: int) -> int:
    return (count + 7) // 8


def _variable_encoder(
    columns: tuple[Column, ...],
) -> Callable[[type_Values], tuple[int, bytes]]:
    """The last variable id that is stored, and array of ends with values."""
    plan = [(column.name, _to_bytes(column), column.size) for column in columns]
    arrays = [struct.Struct(f"<{count}H") for count in range(len(columns) + 1)]

    def encode(values: type_Values) -> tuple[int, bytes]:
        get = values.get
        ends = []
        data = b""
        stored = 0
        for name, to_bytes, size_max in plan:
            value = get(name)
            if value is None:
                ends.append(len(data) | _NULL)
                continue
            part = to_bytes(value)
            if len(part) > size_max:
                raise RowError(f"column {name} takes {size_max} bytes, not {len(part)}")
            data += part
            ends.append(len(data))
            stored = len(ends)
        return _VARIABLE_NONE + stored, arrays[stored].pack(*ends[:stored]) + data

    return encode


def _tagged_encoder(
    columns: tuple[Column, ...],
) -> Callable[[type_Values, Mapping[str, int]], bytes]:
    """The array of tagged columns with their values."""
    plan = [(column.id, column.name, _to_bytes(column)) for column in columns]
    arrays = [struct.Struct(f"<{count}I") for count in range(len(columns) + 1)]

    def encode(values: type_Values, long_values: Mapping[str, int]) -> bytes:
        get = values.get
        entries = []  # u16 id and u16 offset as one number
        parts = []
        for number, name, to_bytes in plan:
            if name in long_values:
                part = _SEPARATED + _LID.pack(long_values[name])
                number |= _EXTENDED << 16
            elif (value := get(name)) is not None:
                part = to_bytes(value)
                if len(part) >= SEPARATED_SIZE_MIN:
                    raise RowError(f"column {name}: {len(part)} bytes need a long value's lid")
                if not part:
                    # libesedb refuses a last value without any bytes (observed); the flags byte
                    # that every long value may have gives it one.
                    part = _LONG_VALUE
                    number |= _EXTENDED << 16
            else:
                continue
            entries.append(number)
            parts.append(part)
        offset = _TAG.size * len(entries)
        for i, part in enumerate(parts):
            entries[i] |= offset << 16
            offset += len(part)
        return arrays[len(entries)].pack(*entries) + b"".join(parts)

    return encode


def _decode(
    schema: TableSchema, data: bytes, fetch_long: Callable[[int], bytes] | None
) -> dict[str, Any]:
    fixed_last, variable_last, offset = _HEADER.unpack_from(data)
    layout = _layout(schema)
    count = max(variable_last - _VARIABLE_NONE, 0)
    if fixed_last > len(layout.fixed) or count > len(layout.variable):
        raise RowError(f"a row of {schema.name} has columns that the table has not")
    row: dict[str, Any] = layout.empty.copy()

    numbers = layout.fixed_structs[fixed_last].unpack_from(data, _HEADER.size)
    row.update(zip(layout.fixed, numbers, strict=False))
    for name in layout.bits:
        row[name] = bool(row[name])
    nulls = int.from_bytes(data[offset - _bitmap_size(fixed_last) : offset], "little")
    if nulls or fixed_last < len(layout.fixed):
        nulls |= -1 << fixed_last
        row.update((name, None) for i, name in enumerate(layout.fixed) if nulls >> i & 1)

    ends = layout.end_arrays[count].unpack_from(data, offset)
    offset += 2 * count
    start = 0
    for column, end in zip(layout.variable, ends, strict=False):
        if not end & _NULL:
            row[column.name] = _from_bytes(column, data[offset + start : offset + end])
        start = end & ~_NULL
    if len(data) > offset + start:
        for column, value in _decode_tagged(layout.tagged, data[offset + start :]):
            if isinstance(value, SeparatedValue) and fetch_long is not None:
                value = fetch_long(value.lid)
            row[column.name] = _from_bytes(column, value) if isinstance(value, bytes) else value
    return row


def _decode_tagged(
    columns: Mapping[int, Column], data: bytes
) -> list[tuple[Column, bytes | SeparatedValue]]:
    """The tagged columns of a record; ``data`` begins with their array."""
    count = (_TAG.unpack_from(data)[1] & _OFFSET_MASK) // _TAG.size
    entries = [_TAG.unpack_from(data, _TAG.size * i) for i in range(count)]
    ends = [offset & _OFFSET_MASK for _, offset in entries[1:]] + [len(data)]
    found: list[tuple[Column, bytes | SeparatedValue]] = []
    for (number, offset), end in zip(entries, ends, strict=True):
        if number not in columns:
            raise RowError(f"tagged column {number} is not in the table")
        value = data[offset & _OFFSET_MASK : end]
        if not offset & _EXTENDED:
            found.append((columns[number], value))
        elif value == _LONG_VALUE:
            found.append((columns[number], b""))
        elif value[:1] == _SEPARATED:
            found.append((columns[number], SeparatedValue(_LID.unpack(value[1:])[0])))
        else:
            raise RowError(f"tagged column {number} is stored in a way that is not read")
    return found


def _from_bytes(column: Column, value: bytes) -> str | bytes:
    if column.type in TEXT_TYPES:
        return value.decode(_CODECS[column.codepage])
    return value


@frozen
class _Layout:
    """What decoding needs to know of a table."""

    fixed: tuple[str, ...]
    bits: tuple[str, ...]
    fixed_structs: tuple[struct.Struct, ...]  # of the first n fixed columns
    variable: tuple[Column, ...]
    end_arrays: tuple[struct.Struct, ...]  # of the first n variable columns
    tagged: Mapping[int, Column]
    empty: dict[str, Any]


@cache
def _layout(schema: TableSchema) -> _Layout:
    fixed, variable, tagged = _by_kind(schema)
    return _Layout(
        fixed=tuple(column.name for column in fixed),
        bits=tuple(column.name for column in fixed if column.type is ColumnType.BIT),
        fixed_structs=tuple(
            struct.Struct("<" + _codes(fixed[:count])) for count in range(len(fixed) + 1)
        ),
        variable=variable,
        end_arrays=tuple(struct.Struct(f"<{count}H") for count in range(len(variable) + 1)),
        tagged={column.id: column for column in tagged},
        empty=dict.fromkeys(column.name for column in schema.columns),
    )
