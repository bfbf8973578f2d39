"""Keys of rows: column values as bytes that sort like the values.

Each column gives 7F and its normalised value; numbers are big endian with the sign turned over,
text is in upper case with a zero behind it. Source: ESE source fldnorm.cxx.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from functools import cache
from operator import itemgetter
from typing import Any, Final

from .schema import ColumnType, IndexSchema, RowError, TableSchema

KEY_SIZE_MAX: Final = 255
"""The most bytes of a key (JET_cbKeyMost of this era)."""


def encode_key(schema: TableSchema | IndexSchema, values: Mapping[str, object]) -> bytes:
    """The key of a row in the table's own tree, or, given one of its indexes, in that index.

    The data of an index's node is the key of the row in the table. Raises RowError where a column
    of the key is NULL or the key would be too long.
    """
    try:
        key = _key_encoder(schema)(values)
    except (struct.error, TypeError, AttributeError, KeyError, UnicodeEncodeError) as error:
        raise RowError(f"no key of {schema.name} from these values: {error!r}") from error
    if len(key) > KEY_SIZE_MAX:
        raise RowError(f"a key of {schema.name} has {len(key)} bytes, more than {KEY_SIZE_MAX}")
    return key


def latin_bytes(value: Any) -> bytes:
    """Text in code page 1252."""
    # Most text is ASCII, which the built-in codec encodes eight times faster.
    encoded: bytes = value.encode() if value.isascii() else value.encode("cp1252")
    return encoded


def _upper_latin(byte: int) -> int:
    character = bytes([byte]).decode("cp1252", "ignore").upper()
    encoded = character.encode("cp1252", "ignore")
    return encoded[0] if len(encoded) == 1 else byte


# ASSUMED(key-text-latin): text of code page 1252 is ordered by its upper-case bytes, as the public
# sources show for ASCII; real servers use the sort tables of Windows for anything else.
_UPPER_LATIN: Final = bytes(map(_upper_latin, range(256)))
_KEY_DATA: Final = b"\x7f"
_KEY_EMPTY: Final = b"\x40"


def _text_key(value: Any) -> bytes:
    if value == "":
        return _KEY_EMPTY
    return _KEY_DATA + latin_bytes(value).translate(_UPPER_LATIN) + b"\0"


def _bit_key(value: Any) -> bytes:
    return _KEY_DATA + (b"\0", b"\xff")[value]


def _byte_key(value: Any) -> bytes:
    return _KEY_DATA + struct.pack("B", value)


def _number_key(code: str, size: int) -> Callable[[Any], bytes]:
    pack = struct.Struct(f">B{code}").pack
    # Two's complement with the sign bit turned over sorts as bytes do: add half of the range.
    half = 1 << (8 * size - 1)
    return lambda value: pack(0x7F, value + half)


_KEY_SEGMENTS: Final[Mapping[ColumnType, Callable[[Any], bytes]]] = {
    ColumnType.BIT: _bit_key,
    ColumnType.UNSIGNED_BYTE: _byte_key,
    ColumnType.SHORT: _number_key("H", 2),
    ColumnType.LONG: _number_key("I", 4),
    ColumnType.CURRENCY: _number_key("Q", 8),
    ColumnType.TEXT: _text_key,
}


@cache
def _key_encoder(schema: TableSchema | IndexSchema) -> Callable[[Mapping[str, object]], bytes]:
    segments = [(column.name, _KEY_SEGMENTS[column.type]) for column in schema.key_columns]
    if len(segments) == 1:
        name, segment = segments[0]
        get = itemgetter(name)
        return lambda values: segment(get(values))
    return lambda values: b"".join([segment(values[name]) for name, segment in segments])
