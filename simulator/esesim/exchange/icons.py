"""Icons of computers, groups and stores: real ``.ico`` files of 16 x 16 pixels, made in code.

``ESE_ICON_DESCRIPTION`` hands out "icon bitmap bytes" (SDK page ms878569). Each is a whole icon
file: directory, one entry, a 4-bit bitmap with its palette, and the transparency mask.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from eseback.structures import IconDescription

SIDE: Final = 16
_DIRECTORY: Final = struct.Struct("<HHH")
_ENTRY: Final = struct.Struct("<BBBBHHII")
_BITMAP: Final = struct.Struct("<IiiHHIIiiII")
_COLORS: Final = 16
# Letters of the drawings below and their colours (blue, green, red); "." is transparent.
_PALETTE: Final = {
    ".": (0, 0, 0),
    "#": (48, 48, 48),
    "w": (255, 255, 255),
    "g": (192, 192, 192),
    "b": (192, 96, 0),
    "y": (64, 200, 255),
    "r": (48, 48, 208),
    "k": (96, 160, 32),
}


def _boxes(*boxes: tuple[int, int, int, int, str]) -> tuple[str, ...]:
    """A drawing of boxes (left, top, right, bottom, letter), later ones over earlier ones."""
    rows = [["."] * SIDE for _ in range(SIDE)]
    for left, top, right, bottom, letter in boxes:
        for y in range(top, bottom + 1):
            rows[y][left : right + 1] = letter * (right - left + 1)
    return tuple("".join(row) for row in rows)


_COMPUTER: Final = ((4, 1, 11, 14, "#"), (5, 2, 10, 13, "g"), (6, 4, 9, 4, "#"), (6, 6, 9, 6, "#"))
_DRUM: Final = ((3, 2, 12, 13, "#"), (4, 3, 11, 12, "g"), (4, 6, 11, 6, "#"), (4, 9, 11, 9, "#"))
_DRAWINGS: Final = {
    "organization": _boxes((1, 1, 14, 14, "#"), (2, 2, 13, 13, "b"), (5, 5, 10, 10, "w")),
    "computer": _boxes(*_COMPUTER, (9, 12, 10, 12, "k")),
    "service": _boxes(*_COMPUTER, (7, 8, 14, 14, "#"), (8, 9, 13, 13, "y")),
    "group": _boxes((1, 3, 14, 13, "#"), (2, 4, 13, 12, "y"), (2, 2, 7, 3, "#")),
    "mailbox": _boxes(*_DRUM, (6, 9, 14, 14, "#"), (7, 10, 13, 13, "w"), (9, 11, 11, 12, "r")),
    "public": _boxes(*_DRUM, (6, 9, 14, 14, "#"), (7, 10, 13, 13, "k")),
}


def _icon(drawing: tuple[str, ...]) -> IconDescription:
    letters = list(_PALETTE)
    palette = b"".join(bytes((*_PALETTE[letter], 0)) for letter in letters)
    palette = palette.ljust(4 * _COLORS, b"\0")
    pixels = bytearray()
    mask = bytearray()
    for row in reversed(drawing):  # bitmaps start with the lowest row
        numbers = [letters.index(letter) for letter in row]
        pixels += bytes(high << 4 | low for high, low in zip(*[iter(numbers)] * 2, strict=True))
        bits = int("".join("1" if letter == "." else "0" for letter in row), 2)
        mask += bits.to_bytes(2, "big") + b"\0\0"  # rows of the mask fill four bytes
    # The height counts the colours and the mask.
    header = _BITMAP.pack(40, SIDE, 2 * SIDE, 1, 4, 0, len(pixels) + len(mask), 0, 0, 0, 0)
    image = header + palette + bytes(pixels) + bytes(mask)
    offset = _DIRECTORY.size + _ENTRY.size
    entry = _ENTRY.pack(SIDE, SIDE, _COLORS, 0, 1, 4, len(image), offset)
    return IconDescription(_DIRECTORY.pack(0, 1, 1) + entry + image)


ICONS: Final[Mapping[str, IconDescription]] = MappingProxyType(
    {kind: _icon(drawing) for kind, drawing in _DRAWINGS.items()}
)
"""Icons by kind: organization, computer, service, group, mailbox, public."""

NO_ICON: Final = IconDescription()

INSTANCE_ICON_KINDS: Final = ("group", "mailbox", "public")
"""The icons that an INSTANCE_BACKUP_INFO carries, in this order; others hold indices into it."""
