"""NDR 2.0: types that write themselves into a stub and read themselves from it.

Network Data Representation (C706 chapter 14): each primitive is aligned to its size from the
start of the stub; arrays carry their size before their elements; what a pointer inside an array
or structure points to follows the whole of it. Reading takes both byte orders, writing as well.

A type is an object with four methods. `put` and `get` are for the value's own place, where a
pointer is only a number; `put_rest` and `get_rest` for what pointers in it point to, which comes
after the outermost structure. `get` gives something raw that `get_rest` completes.

Every count is held against the bytes that are left before anything is made of it. What cannot be
read raises BadStubData, what cannot be written NotRepresentable.
"""

from __future__ import annotations

import struct
import uuid
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Final

from eseback.rpc.errors import BadStubData, NotRepresentable

if TYPE_CHECKING:
    from eseback.rpc.security import Buffer

__all__ = [
    "BOOLEAN32",
    "BYTE",
    "CONTEXT_HANDLE",
    "GUID",
    "HRESULT",
    "HYPER",
    "LONG",
    "NULL_HANDLE",
    "UINT_MAX",
    "ULONG",
    "USHORT",
    "NdrType",
    "Primitive",
    "Reader",
    "Writer",
]

_U32: Final = (struct.Struct(">I"), struct.Struct("<I"))
_FIRST_REFERENT: Final = 0x00020000
UINT_MAX: Final = 0xFFFFFFFF


class Writer:
    """A stub that is being written. little: byte order."""

    __slots__ = ("_referent", "data", "little")

    def __init__(self, little: bool = True) -> None:
        self.data = bytearray()
        self.little = little
        self._referent = _FIRST_REFERENT

    def align(self, size: int) -> None:
        """Pad with zeros to a multiple of `size`."""
        pad = -len(self.data) % size
        if pad:
            self.data += bytes(pad)

    def count(self, value: int) -> None:
        """An unsigned 32-bit number, aligned."""
        if value > UINT_MAX:
            raise NotRepresentable(f"{value} elements")
        self.align(4)
        self.data += _U32[self.little].pack(value)

    def referent(self, null: bool) -> None:
        """A pointer's place: 0, or a number that no other pointer of the stub has."""
        if null:
            self.count(0)
        else:
            self.count(self._referent)
            self._referent += 4


class Reader:
    """A stub that is being read, with its byte order."""

    __slots__ = ("_data", "little", "position")

    def __init__(self, data: Buffer, little: bool = True) -> None:
        self._data = memoryview(data)
        self.little = little
        self.position = 0

    @property
    def left(self) -> int:
        """Bytes that were not read yet."""
        return len(self._data) - self.position

    def take(self, size: int, alignment: int = 1) -> memoryview:
        """The next bytes after padding."""
        start = self.position + -self.position % alignment
        end = start + size
        if end > len(self._data):
            raise BadStubData(
                f"{size} bytes wanted at offset {start} of a stub of {len(self._data)}"
            )
        self.position = end
        return self._data[start:end]

    def count(self) -> int:
        """An unsigned 32-bit number, aligned."""
        value: int = _U32[self.little].unpack(self.take(4, 4))[0]
        return value

    def check_room(self, count: int, size: int) -> None:
        """Whether so many elements of at least that size can follow."""
        if count * size > self.left:
            raise BadStubData(f"{count} elements do not fit into {self.left} bytes")


class NdrType(ABC):
    """Base of all types. size_min: the fewest bytes a value takes in its own place."""

    alignment = 4
    size_min = 4
    has_rest = False

    @abstractmethod
    def put(self, writer: Writer, value: Any) -> None:
        """Write a value in its own place."""

    @abstractmethod
    def get(self, reader: Reader) -> Any:
        """Read what stands in a value's own place."""

    def put_rest(self, writer: Writer, value: Any) -> None:  # noqa: B027 - most types have none
        """Write what pointers in the value point to."""

    def get_rest(self, reader: Reader, raw: Any) -> Any:
        """Complete what `get` gave."""
        return raw

    def count_of(self, value: Any) -> int:
        """Elements of a value, for the count that stands beside it."""
        raise TypeError(f"{type(self).__name__} has no elements")


class Primitive(NdrType):
    """A number of fixed size. code: its letter in `struct`."""

    def __init__(self, code: str) -> None:
        self.code = code
        self._structs = (struct.Struct(">" + code), struct.Struct("<" + code))
        self.alignment = self.size_min = self._structs[0].size

    def put(self, writer: Writer, value: Any) -> None:
        writer.align(self.alignment)
        try:
            writer.data += self._structs[writer.little].pack(value)
        except struct.error as error:
            raise NotRepresentable(f"{value!r}: {error}") from None

    def get(self, reader: Reader) -> Any:
        return self._structs[reader.little].unpack(reader.take(self.size_min, self.alignment))[0]


class _Guid(NdrType):
    """A GUID; its first three fields follow the byte order."""

    size_min = 16

    def put(self, writer: Writer, value: Any) -> None:
        if not isinstance(value, uuid.UUID):
            raise NotRepresentable(f"{value!r} is no UUID")
        writer.align(4)
        writer.data += value.bytes_le if writer.little else value.bytes

    def get(self, reader: Reader) -> uuid.UUID:
        raw = bytes(reader.take(16, 4))
        return uuid.UUID(bytes_le=raw) if reader.little else uuid.UUID(bytes=raw)


NULL_HANDLE: Final = bytes(20)
"""The context handle that is none (C706 14.2.16.6)."""

_HANDLE: Final = (struct.Struct(">IIHH8s"), struct.Struct("<IIHH8s"))


class _ContextHandle(NdrType):
    """A context handle: attributes and a UUID, held as the 20 bytes of the little-endian form."""

    size_min = 20

    def put(self, writer: Writer, value: Any) -> None:
        if not isinstance(value, bytes) or len(value) != 20:
            raise NotRepresentable(f"{value!r} is no context handle")
        writer.align(4)
        if not writer.little:
            value = _HANDLE[False].pack(*_HANDLE[True].unpack(value))
        writer.data += value

    def get(self, reader: Reader) -> bytes:
        raw = bytes(reader.take(20, 4))
        return raw if reader.little else _HANDLE[True].pack(*_HANDLE[False].unpack(raw))


BYTE: Final = Primitive("B")
USHORT: Final = Primitive("H")
LONG: Final = Primitive("i")
ULONG: Final = Primitive("I")
HYPER: Final = Primitive("q")
HRESULT: Final = Primitive("I")  # `long` in C; unsigned here, as everywhere in this project
BOOLEAN32: Final = Primitive("I")
GUID: Final = _Guid()
CONTEXT_HANDLE: Final = _ContextHandle()
