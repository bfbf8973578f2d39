"""NDR strings, arrays and pointers (C706 14.3.2 to 14.3.5, 14.3.10).

An array carries its size before its elements: the size it could have (conformant), and where only
a part of it travels (varying), the offset and number of the elements that do.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, Final

from eseback.rpc.errors import BadStubData, NotRepresentable
from eseback.rpc.ndr import UINT_MAX, NdrType, Reader, Writer

__all__ = [
    "BYTES",
    "NAME",
    "NAME_MAX",
    "WCHARS",
    "WSTRING",
    "Array",
    "Unique",
    "VaryingArray",
    "as_sequence",
]

_VARYING: Final = (struct.Struct(">III"), struct.Struct("<III"))
_UTF16: Final = ("utf-16-be", "utf-16-le")


# ASSUMED(name-length): a name or path of more than 32 767 characters, which Windows cannot hold, is
# bad stub data; a peer could otherwise have megabytes of it kept, and repeated in errors.
NAME_MAX: Final = 0x7FFF
"""Most characters of a name or path, without the NUL: what a UNICODE_STRING holds."""


class _WideString(NdrType):
    """`[string] wchar_t *`: a conformant and varying array with one NUL, at its end.

    size_max: of its characters, the NUL among them.
    """

    size_min = 14

    def __init__(self, size_max: int = UINT_MAX) -> None:
        self.size_max = size_max

    def put(self, writer: Writer, value: Any) -> None:
        if not isinstance(value, str) or "\0" in value:
            raise NotRepresentable(f"{value!r} is no string without NUL")
        raw = value.encode(_UTF16[writer.little], "surrogatepass")
        size = len(raw) // 2 + 1
        if size > self.size_max:
            raise NotRepresentable(f"a string of {size} characters, at most {self.size_max}")
        writer.align(4)
        writer.data += _VARYING[writer.little].pack(size, 0, size) + raw + b"\0\0"

    def get(self, reader: Reader) -> str:
        _, actual = _varying(reader, 2)
        if actual > self.size_max:
            raise BadStubData(f"a string of {actual} characters, at most {self.size_max}")
        raw = bytes(reader.take(2 * actual))
        text = raw.decode(_UTF16[reader.little], "surrogatepass")
        if text.find("\0") != len(text) - 1 or not text:
            raise BadStubData(f"a string of {actual} characters does not end with its only NUL")
        return text[:-1]


def _varying(reader: Reader, element: int) -> tuple[int, int]:
    """Maximum and actual count of a conformant and varying array that starts at its start."""
    size, offset, actual = _VARYING[reader.little].unpack(reader.take(12, 4))
    if offset or actual > size:
        raise BadStubData(f"elements {offset} to {offset + actual} of an array of {size}")
    reader.check_room(actual, element)
    return size, actual


class _WideChars(NdrType):
    """`[size_is(n)] wchar_t *`: UTF-16 code units, NULs like any other; a multi-string."""

    def put(self, writer: Writer, value: Any) -> None:
        if not isinstance(value, str):
            raise NotRepresentable(f"{value!r} is no text")
        raw = value.encode(_UTF16[writer.little], "surrogatepass")
        writer.count(len(raw) // 2)
        writer.data += raw

    def get(self, reader: Reader) -> str:
        raw = bytes(reader.take(2 * reader.count()))
        return raw.decode(_UTF16[reader.little], "surrogatepass")

    def count_of(self, value: Any) -> int:
        return len(value.encode("utf-16-le", "surrogatepass")) // 2


class _Bytes(NdrType):
    """`[size_is(n)] byte *`."""

    def put(self, writer: Writer, value: Any) -> None:
        if not isinstance(value, bytes | bytearray | memoryview):
            raise NotRepresentable(f"{type(value).__name__} is no buffer")
        writer.count(len(value))
        writer.data += value

    def get(self, reader: Reader) -> bytes:
        return bytes(reader.take(reader.count()))

    def count_of(self, value: Any) -> int:
        return len(value)


class Array(NdrType):
    """`[size_is(n)] T *`: a conformant array of any type; its value is a tuple."""

    def __init__(self, element: NdrType) -> None:
        self.element = element
        self.has_rest = element.has_rest

    def put(self, writer: Writer, value: Any) -> None:
        writer.count(len(value))
        for item in value:
            self.element.put(writer, item)

    def get(self, reader: Reader) -> Any:
        size = reader.count()
        reader.check_room(size, self.element.size_min)
        return tuple([self.element.get(reader) for _ in range(size)])

    def put_rest(self, writer: Writer, value: Any) -> None:
        if self.has_rest:
            for item in value:
                self.element.put_rest(writer, item)

    def get_rest(self, reader: Reader, raw: Any) -> Any:
        return tuple([self.element.get_rest(reader, item) for item in raw])

    def count_of(self, value: Any) -> int:
        return len(value)


class VaryingArray(Array):
    """`[size_is(m), length_is(n)] T a[]`: its value is (m, tuple of n items)."""

    size_min = 12

    def put(self, writer: Writer, value: Any) -> None:
        size, items = value
        if not len(items) <= size <= UINT_MAX:
            raise NotRepresentable(f"{len(items)} items in an array of {size}")
        writer.align(4)
        writer.data += _VARYING[writer.little].pack(size, 0, len(items))
        for item in items:
            self.element.put(writer, item)

    def get(self, reader: Reader) -> Any:
        size, actual = _varying(reader, self.element.size_min)
        return size, tuple([self.element.get(reader) for _ in range(actual)])

    def put_rest(self, writer: Writer, value: Any) -> None:
        super().put_rest(writer, value[1])

    def get_rest(self, reader: Reader, raw: Any) -> Any:
        return raw[0], super().get_rest(reader, raw[1])

    def count_of(self, value: Any) -> int:
        return len(value[1])


class Unique(NdrType):
    """A pointer that may be NULL, which is None. empty: what NULL reads as, None by default.

    `required` refuses NULL: in C the pointer is as unique as any, but the value is not optional.
    """

    has_rest = True

    def __init__(self, target: NdrType, *, required: bool = False, empty: Any = None) -> None:
        self.target = target
        self.required = required
        self.empty = empty

    def put(self, writer: Writer, value: Any) -> None:
        null = value is None or (self.empty is not None and not value)
        if null and self.required:
            raise NotRepresentable("None in a place that needs a value")
        writer.referent(null)

    def get(self, reader: Reader) -> bool:
        null = reader.count() == 0
        if null and self.required:
            raise BadStubData("a NULL pointer in a place that needs a value")
        return not null

    def put_rest(self, writer: Writer, value: Any) -> None:
        if value is None or (self.empty is not None and not value):
            return
        self.target.put(writer, value)
        self.target.put_rest(writer, value)

    def get_rest(self, reader: Reader, raw: Any) -> Any:
        if not raw:
            return self.empty
        return self.target.get_rest(reader, self.target.get(reader))

    def count_of(self, value: Any) -> int:
        return 0 if value is None else self.target.count_of(value)


def as_sequence(value: Any) -> Sequence[Any]:
    """A tuple or list, and nothing else that could be taken for one."""
    if not isinstance(value, tuple | list):
        raise NotRepresentable(f"{type(value).__name__} is no sequence")
    return value


WSTRING: Final = _WideString()
NAME: Final = _WideString(NAME_MAX + 1)
WCHARS: Final = _WideChars()
BYTES: Final = _Bytes()
