"""The table of fields refuses nonsense instead of storing it."""

from __future__ import annotations

from typing import Annotated

import pytest
from attrs import frozen

from eseback.formats import FormatError, LgPos
from eseback.formats.layout import Layout, at


@frozen
class Overlapping:
    """The second field starts inside the first."""

    mark: Annotated[LgPos, at(8)]
    count: Annotated[int, at(15, "B")]


@frozen
class Small:
    """Two fields with a hole between them, and one that isn't stored."""

    count: Annotated[int, at(6, "H")]
    kind: Annotated[int, at(0, "B")] = 3
    note: str = ""


def test_overlap_is_refused() -> None:
    with pytest.raises(TypeError, match="mark overlaps count"):
        Layout.of(Overlapping)


def test_fields_stand_where_they_say() -> None:
    buffer = bytearray(b"\xee" * 9)
    Layout.of(Small).pack_into(buffer, Small(0x0102, note="x"))
    assert buffer == b"\x03\xee\xee\xee\xee\xee\x02\x01\xee"
    assert Layout.of(Small).unpack_from(buffer) == {"count": 0x0102, "kind": 3}


def test_value_that_does_not_fit() -> None:
    with pytest.raises(FormatError, match="count = 65536"):
        Layout.of(Small).pack_into(bytearray(8), Small(0x10000))


def test_buffer_that_is_too_short() -> None:
    with pytest.raises(FormatError, match="7 bytes, at least 8"):
        Layout.of(Small).unpack_from(bytes(7))
