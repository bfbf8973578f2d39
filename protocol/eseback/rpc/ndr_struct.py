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
from eseback.rpc.ndr import CONTEXT_HANDLE, NdrType, Primitive, Reader, Writer
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


_FLAT_CODES: Final = {1: "B", 2: "H", 4: "I", 8: "q"}


class _Flat:
    """Layout of a message of numbers and context handles only: one `struct` for all of it.

    Pointers may stand in it as long as they are NULL; `nulls` are their places.
    """

    __slots__ = ("nulls", "size", "struct")

    def __init__(self, types: Sequence[NdrType]) -> None:
        code, position, nulls = "<", 0, []
        for index, kind in enumerate(types):
            pad = -position % kind.alignment
            code += f"{pad}x" if pad else ""
            if isinstance(kind, Unique):
                nulls.append(index)
                letter = "I"
            else:
                letter = kind.code if isinstance(kind, Primitive) else "20s"
            code += letter
            position += pad + kind.size_min
        self.struct = struct.Struct(code)
        self.size = self.struct.size
        self.nulls = tuple(nulls)


def _flat(types: Sequence[NdrType]) -> _Flat | None:
    for kind in types:
        if isinstance(kind, Unique) and not kind.required:
            continue
        if not isinstance(kind, Primitive) and kind is not CONTEXT_HANDLE:
            return None
    return _Flat(types)


class Message:
    """The stub of one direction: parameters one after the other, each with its rest at once."""

    def __init__(self, name: str, fields: Sequence[Field]) -> None:
        self.name = name
        self._fields = _Fields(fields)
        self.fields = self._fields.fields
        self._flat = _flat(self._fields.types)

    def encode(self, values: Sequence[Any], little: bool = True) -> bytes | bytearray:
        """The stub. Raises NotRepresentable, which names the message."""
        flat = self._flat
        if flat is not None and little:
            nulls = flat.nulls
            if not nulls:
                try:
                    return flat.struct.pack(*values)
                except struct.error as error:
                    raise NotRepresentable(f"{self.name}: {error}") from None
            if all(values[index] is None for index in nulls):
                numbers = [0 if value is None else value for value in values]
                try:
                    return flat.struct.pack(*numbers)
                except struct.error as error:
                    raise NotRepresentable(f"{self.name}: {error}") from None
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
        flat = self._flat
        if flat is not None and little and len(data) >= flat.size:
            values = flat.struct.unpack_from(data)
            if not flat.nulls:
                return values
            if not any(values[index] for index in flat.nulls):
                whole = list(values)
                for index in flat.nulls:
                    whole[index] = self._fields.types[index].empty  # type: ignore[attr-defined]
                return tuple(whole)
        reader = Reader(data, little)
        try:
            whole = [kind.get_rest(reader, kind.get(reader)) for kind in self._fields.types]
            return self._fields.collapse(whole)
        except BadStubData as error:
            raise BadStubData(f"{self.name}: {error}") from None
