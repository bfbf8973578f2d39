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
from functools import cache, lru_cache
from typing import Any, ClassVar, Final, Protocol, Self, get_args, get_origin, get_type_hints

from eseback.data import frozen
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
    code: str
    """The struct code of the number, or of the bytes of a structure."""
    write: Callable[[Any], Any]
    """Makes what the code stands for of the field."""
    read: Callable[[Any], Any] | None
    """The other way round; None where the number is the field."""


def _as_it_is(value: int) -> int:
    return value


def _number_slot(name: str, place: Place, kind: type) -> _Slot:
    form = struct.Struct("<" + place.code)

    def read(value: int) -> Any:
        try:
            return kind(value)
        except ValueError:
            raise FormatError(f"{name} at offset {place.offset} is {value:#x}") from None

    end = place.offset + form.size
    # Members of an enum are found quickly in a cache, and slowly by calling it.
    read_known = None if kind is int else lru_cache(maxsize=_REMEMBERED)(read)
    return _Slot(name, place, end, place.code, _as_it_is, read_known)


def _structure_slot(name: str, place: Place, kind: type[Packable]) -> _Slot:
    size = kind.SIZE
    return _Slot(name, place, place.offset + size, f"{size}s", kind.pack, _reader(kind))


@cache
def _reader(kind: type[Packable]) -> Callable[[bytes], Packable]:
    # Structures don't change, so equal ones may be one: most of a header is "never" and "nowhere".
    return lru_cache(maxsize=_REMEMBERED)(kind.unpack)


@frozen
class Layout:
    """The fields of one class, in the order of their offsets; they may not overlap."""

    slots: tuple[_Slot, ...]
    end: int
    form: struct.Struct
    """All fields at once, and the gaps between them."""
    runs: tuple[tuple[slice, int, struct.Struct], ...]
    """Fields that follow each other without a gap: which, where they begin, and their form."""

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
        ends = [0, *(slot.end for slot in slots)]
        gaps = [slot.place.offset - end for slot, end in zip(slots, ends, strict=False)]
        codes = (f"{gap}x{slot.code}" for slot, gap in zip(slots, gaps, strict=True))
        form = struct.Struct("<" + "".join(codes))
        firsts = [number for number, gap in enumerate(gaps) if gap or not number]
        runs = []
        for first, behind in itertools.pairwise([*firsts, len(slots)]):
            run = slots[first:behind]
            packed = struct.Struct("<" + "".join(slot.code for slot in run))
            runs.append((slice(first, behind), run[0].place.offset, packed))
        return Layout(tuple(slots), slots[-1].end, form, tuple(runs))

    def pack_into(self, buffer: bytearray, values: Any) -> None:
        """Write the fields of ``values`` to ``buffer``. ``FormatError``: a value doesn't fit."""
        fields = [slot.write(getattr(values, slot.name)) for slot in self.slots]
        try:
            for run, offset, form in self.runs:
                form.pack_into(buffer, offset, *fields[run])
        except struct.error:
            self._raise_misfit(values)
            raise

    def _raise_misfit(self, values: Any) -> None:
        """Say which value doesn't fit."""
        for slot in self.slots:
            value = getattr(values, slot.name)
            try:
                struct.pack("<" + slot.code, slot.write(value))
            except struct.error as error:
                raise FormatError(f"{slot.name} = {value!r} can't be stored: {error}") from None

    def unpack_from(self, buffer: Readable) -> dict[str, Any]:
        """The fields that stand in ``buffer``, by name. ``FormatError``: it is too short."""
        if len(buffer) < self.end:
            raise FormatError(f"{len(buffer)} bytes, at least {self.end} are needed")
        return {
            slot.name: value if slot.read is None else slot.read(value)
            for slot, value in zip(self.slots, self.form.unpack_from(buffer), strict=True)
        }


_REMEMBERED: Final = 256
_known_layouts: dict[type, Layout] = {}
