"""C structures as attrs classes: each field says at which byte it stands.

    @frozen
    class Thing:
        count: Annotated[int, at(4, "I")]
        mark: Annotated[LgPos, at(8)]

``Layout.of(Thing)`` then copies such fields to and from bytes. It knows nothing of checksums.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable
from typing import Any, ClassVar, Protocol, Self, get_args, get_origin, get_type_hints

from attrs import frozen

from eseback.formats.checksum import Readable
from eseback.formats.errors import FormatError


class Packable(Protocol):
    """A structure of fixed size that can be a field of another one."""

    SIZE: ClassVar[int]

    def pack(self) -> bytes:
        """The structure as ``SIZE`` bytes."""
        ...

    @classmethod
    def unpack(cls, buffer: Readable, offset: int = 0) -> Self:
        """The structure that stands at ``offset``."""
        ...


@frozen
class Place:
    """Where a field stands: offset in bytes and, for a number, its struct character."""

    offset: int
    code: str = ""


def at(offset: int, code: str = "") -> Place:
    """The field stands at ``offset``; ``code`` is the struct character of a number."""
    return Place(offset, code)


@frozen
class _Slot:
    name: str
    place: Place
    end: int
    pack_into: Callable[[bytearray, int, Any], None]
    unpack_from: Callable[[Readable, int], Any]


def _number_slot(name: str, place: Place, kind: type) -> _Slot:
    form = struct.Struct("<" + place.code)

    def unpack_from(buffer: Readable, offset: int) -> Any:
        (value,) = form.unpack_from(buffer, offset)
        try:
            return value if kind is int else kind(value)
        except ValueError:
            raise FormatError(f"{name} at offset {place.offset} is {value:#x}") from None

    return _Slot(name, place, place.offset + form.size, form.pack_into, unpack_from)


def _structure_slot(name: str, place: Place, kind: type[Packable]) -> _Slot:
    size = kind.SIZE

    def pack_into(buffer: bytearray, offset: int, value: Packable) -> None:
        buffer[offset : offset + size] = value.pack()

    return _Slot(name, place, place.offset + size, pack_into, kind.unpack)


@frozen
class Layout:
    """The fields of one class, in the order of their offsets; they may not overlap."""

    slots: tuple[_Slot, ...]
    end: int

    @staticmethod
    def of(structure: type) -> Layout:
        """The layout of an attrs class; fields without a place are left out."""
        layout = _known_layouts.get(structure)
        if layout is None:
            layout = _known_layouts[structure] = Layout._make(structure)
        return layout

    @staticmethod
    def _make(structure: type) -> Layout:
        slots = []
        for name, hint in get_type_hints(structure, include_extras=True).items():
            arguments = get_args(hint)
            places = [argument for argument in arguments[1:] if isinstance(argument, Place)]
            if get_origin(hint) is None or not places:
                continue
            make = _number_slot if places[0].code else _structure_slot
            slots.append(make(name, places[0], arguments[0]))
        slots.sort(key=lambda slot: slot.place.offset)
        for before, after in itertools.pairwise(slots):
            if before.end > after.place.offset:
                raise TypeError(f"{structure.__name__}: {before.name} overlaps {after.name}")
        return Layout(tuple(slots), slots[-1].end)

    def pack_into(self, buffer: bytearray, values: Any) -> None:
        """Write the fields of ``values`` to ``buffer``. ``FormatError``: a value doesn't fit."""
        for slot in self.slots:
            value = getattr(values, slot.name)
            try:
                slot.pack_into(buffer, slot.place.offset, value)
            except struct.error as error:
                raise FormatError(f"{slot.name} = {value!r} can't be stored: {error}") from None

    def unpack_from(self, buffer: Readable) -> dict[str, Any]:
        """The fields that stand in ``buffer``, by name. ``FormatError``: it is too short."""
        if len(buffer) < self.end:
            raise FormatError(f"{len(buffer)} bytes, at least {self.end} are needed")
        return {slot.name: slot.unpack_from(buffer, slot.place.offset) for slot in self.slots}


_known_layouts: dict[type, Layout] = {}
