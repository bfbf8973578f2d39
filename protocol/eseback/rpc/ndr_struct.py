"""NDR structures, and the two messages of an operation: what goes in and what comes out.

Both are lists of named fields. A count that C needs beside an array is a field of type `Count`:
it is written from the array and held against it when it is read, and is no part of the value.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

from eseback.rpc.errors import BadStubData, NotRepresentable
from eseback.rpc.fragment import Buffer
from eseback.rpc.ndr import CONTEXT_HANDLE, NULL_HANDLE, NdrType, Primitive, Reader, Writer
from eseback.rpc.ndr_arrays import Unique, as_sequence

__all__ = ["ConformantStruct", "Count", "Field", "Message", "Struct"]

Field: TypeAlias = tuple[str, NdrType]


class Count(NdrType):
    """`unsigned long`: the number of elements of the field called `of`."""

    def __init__(self, of: str) -> None:
        self.of = of

    def put(self, writer: Writer, value: Any) -> None:
        writer.count(value)

    def get(self, reader: Reader) -> int:
        return reader.count()


class _Fields:
    """Named fields, with the counts among them wired to what they count."""

    def __init__(self, fields: Sequence[Field]) -> None:
        self.fields = tuple(fields)
        self.types = tuple(kind for _, kind in fields)
        names = [name for name, _ in fields]
        self._counted = tuple(
            names.index(kind.of) if isinstance(kind, Count) else None for kind in self.types
        )
        self.values = tuple(i for i, source in enumerate(self._counted) if source is None)
        self._has_counts = len(self.values) < len(self.types)

    def expand(self, values: Sequence[Any]) -> Sequence[Any]:
        """All fields, counts included, from the values."""
        if len(values) != len(self.values):
            raise NotRepresentable(f"{len(values)} values for {len(self.values)} fields")
        if not self._has_counts:
            return values
        whole: list[Any] = [None] * len(self.types)
        for index, value in zip(self.values, values, strict=True):
            whole[index] = value
        for index, source in enumerate(self._counted):
            if source is not None:
                whole[index] = self.types[source].count_of(whole[source])
        return whole

    def collapse(self, whole: Sequence[Any]) -> tuple[Any, ...]:
        """The values; counts are checked and left out."""
        if not self._has_counts:
            return tuple(whole)
        for index, source in enumerate(self._counted):
            if source is None:
                continue
            found = self.types[source].count_of(whole[source])
            if whole[index] != found:
                name = self.fields[source][0]
                raise BadStubData(f"{name}: {whole[index]} elements announced, {found} found")
        return tuple([whole[index] for index in self.values])


class Struct(NdrType):
    """A structure. make: value from the tuple of its fields; take: the tuple from a value."""

    def __init__(
        self,
        name: str,
        fields: Sequence[Field],
        make: Callable[..., Any] = lambda *values: values,
        take: Callable[[Any], Sequence[Any]] = as_sequence,
    ) -> None:
        self.name = name
        self._fields = _Fields(fields)
        self.fields = self._fields.fields
        self.alignment = max(kind.alignment for _, kind in fields)
        self.size_min = sum(kind.size_min for _, kind in fields)
        self.has_rest = any(kind.has_rest for _, kind in fields)
        self._make = make
        self._take = take

    def put(self, writer: Writer, value: Any) -> None:
        writer.align(self.alignment)
        for kind, item in zip(self._fields.types, self._expand(value), strict=True):
            kind.put(writer, item)

    def put_rest(self, writer: Writer, value: Any) -> None:
        if self.has_rest:
            for kind, item in zip(self._fields.types, self._expand(value), strict=True):
                kind.put_rest(writer, item)

    def _expand(self, value: Any) -> Sequence[Any]:
        try:
            return self._fields.expand(self._take(value))
        except (AttributeError, TypeError, ValueError) as error:
            raise NotRepresentable(f"{self.name}: {error}") from None

    def get(self, reader: Reader) -> list[Any]:
        reader.take(0, self.alignment)
        return [kind.get(reader) for kind in self._fields.types]

    def get_rest(self, reader: Reader, raw: Any) -> Any:
        whole = [
            kind.get_rest(reader, item) for kind, item in zip(self._fields.types, raw, strict=True)
        ]
        values = self._fields.collapse(whole)
        try:
            return self._make(*values)
        except ValueError as error:
            raise BadStubData(f"{self.name}: {error}") from None


class ConformantStruct(NdrType):
    """`struct { unsigned long n; [size_is(n)] T items[]; }`; its value is the items.

    The array's size stands before the structure (C706 14.3.7.1).
    """

    size_min = 8

    def __init__(self, name: str, items: NdrType) -> None:
        self.name = name
        self.items = items
        self.has_rest = items.has_rest

    def put(self, writer: Writer, value: Any) -> None:
        writer.count(self.items.count_of(value))
        self.items.put(writer, value)  # its size, which is the structure's own count, and items

    def get(self, reader: Reader) -> Any:
        size = reader.count()
        start = reader.position
        if reader.count() != size:
            raise BadStubData(f"{self.name}: the count is not the size of {size}")
        reader.position = start  # the structure's count is equal: read it as the array's size
        return self.items.get(reader)

    def put_rest(self, writer: Writer, value: Any) -> None:
        self.items.put_rest(writer, value)

    def get_rest(self, reader: Reader, raw: Any) -> Any:
        return self.items.get_rest(reader, raw)


_HANDLE_SIZE: Final = len(NULL_HANDLE)


class _Flat:
    """Layout of a message in which everything stands at a fixed place: one `struct` for all of it.

    That is a message of numbers and context handles. Pointers may be in it as long as they are
    NULL, and counts as long as they count what such a pointer points to. Derived from the types
    alone; what it cannot do is left to them.
    """

    __slots__ = ("_empty", "_handles", "_nulls", "_pack", "_places", "_size", "_unpack", "_zeros")

    def __init__(self, fields: _Fields) -> None:
        code, position = "<", 0
        for kind in fields.types:
            pad = -position % kind.alignment
            code += (f"{pad}x" if pad else "") + _letter(kind)
            position += pad + kind.size_min
        layout = struct.Struct(code)
        self._pack, self._unpack, self._size = layout.pack, layout.unpack_from, layout.size
        types, places = fields.types, fields.values
        self._zeros = [0] * len(types)
        self._nulls = [i for i, kind in enumerate(types) if isinstance(kind, Unique | Count)]
        # Where each value stands, or what it is if nothing stands there.
        self._places = [None if index in self._nulls else index for index in places]
        self._empty = [getattr(types[index], "empty", None) for index in places]
        self._handles = [i for i, index in enumerate(places) if types[index] is CONTEXT_HANDLE]

    def encode(self, values: Sequence[Any]) -> bytes | None:
        """The stub; None if it is not flat. Raises struct.error."""
        if len(values) != len(self._places):
            return None
        for index in self._handles:  # struct would pad what is too short
            handle = values[index]
            if type(handle) is not bytes or len(handle) != _HANDLE_SIZE:
                return None
        if not self._nulls:
            return self._pack(*values)
        whole = self._zeros.copy()
        for value, place, empty in zip(values, self._places, self._empty, strict=True):
            if place is not None:
                whole[place] = value
            elif value is not None and value != empty:
                return None
        return self._pack(*whole)

    def decode(self, data: Buffer) -> tuple[Any, ...] | None:
        """The values; None if the stub is not flat."""
        if len(data) < self._size:
            return None
        whole = self._unpack(data)
        if not self._nulls:
            return whole
        for index in self._nulls:
            if whole[index]:
                return None
        return tuple(
            [
                empty if place is None else whole[place]
                for place, empty in zip(self._places, self._empty, strict=True)
            ]
        )


def _letter(kind: NdrType) -> str:
    """What `struct` calls a type with a fixed place."""
    if isinstance(kind, Primitive):
        return kind.code
    return "20s" if kind is CONTEXT_HANDLE else "I"


def _flat(fields: _Fields) -> _Flat | None:
    """The layout of a message; None if something in it is never at a fixed place."""
    pointers = {
        name for name, kind in fields.fields if isinstance(kind, Unique) and not kind.required
    }
    for name, kind in fields.fields:
        place = kind.of if isinstance(kind, Count) else name
        fixed = isinstance(kind, Primitive) or kind is CONTEXT_HANDLE
        if not fixed and place not in pointers:
            return None
    return _Flat(fields)


class Message:
    """The stub of one direction: parameters one after the other, each with its rest at once."""

    def __init__(self, name: str, fields: Sequence[Field]) -> None:
        self.name = name
        self._fields = _Fields(fields)
        self.fields = self._fields.fields
        self._flat = _flat(self._fields)

    def encode(self, values: Sequence[Any], little: bool = True) -> bytes | bytearray:
        """The stub. Raises NotRepresentable, which names the message."""
        if self._flat is not None and little:
            try:
                stub = self._flat.encode(values)
            except struct.error as error:
                raise NotRepresentable(f"{self.name}: {error}") from None
            if stub is not None:
                return stub
        return self._encode(values, little)

    def _encode(self, values: Sequence[Any], little: bool) -> bytearray:
        """The stub, field by field."""
        writer = Writer(little)
        try:
            for kind, value in zip(self._fields.types, self._fields.expand(values), strict=True):
                kind.put(writer, value)
                kind.put_rest(writer, value)
        except NotRepresentable as error:
            raise NotRepresentable(f"{self.name}: {error}") from None
        except (TypeError, AttributeError, ValueError) as error:
            raise NotRepresentable(f"{self.name}: a value of the wrong type: {error}") from None
        return writer.data

    def decode(self, data: Buffer, little: bool = True) -> tuple[Any, ...]:
        """The values. Bytes after them (a verification trailer) are not looked at.

        Raises BadStubData, which names the message.
        """
        if self._flat is not None and little:
            values = self._flat.decode(data)
            if values is not None:
                return values
        return self._decode(data, little)

    def _decode(self, data: Buffer, little: bool) -> tuple[Any, ...]:
        """The values, field by field."""
        reader = Reader(data, little)
        try:
            whole = [kind.get_rest(reader, kind.get(reader)) for kind in self._fields.types]
            return self._fields.collapse(whole)
        except BadStubData as error:
            raise BadStubData(f"{self.name}: {error}") from None
