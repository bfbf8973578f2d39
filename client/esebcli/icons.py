"""What kind of image an icon from a server is.

``ESE_ICON_DESCRIPTION`` hands out "icon bitmap bytes" (SDK page ms878569) and says no more, so the
format is told from the bytes: an icon file, a bitmap file, a bare bitmap (BITMAPINFOHEADER), a PNG.
"""

from __future__ import annotations

import struct
from typing import Final

from attrs import frozen

_ICON_FILE: Final = struct.Struct("<HHH")  # reserved, type, images; then 16 bytes for each
_BITMAP: Final = struct.Struct("<Iii")  # size of the header, width, height
_BITMAP_HEADER_SIZE: Final = 40
_BITMAP_FILE_HEADER_SIZE: Final = 14
_PNG: Final = b"\x89PNG\r\n\x1a\n"
_PNG_SIZE: Final = struct.Struct(">II")
_SIDE_OF_ZERO: Final = 256  # a side of 0 in an icon file


@frozen
class Icon:
    """``size`` in bytes; ``width`` and ``height`` in pixels, 0 where they are not known."""

    format: str
    size: int
    width: int = 0
    height: int = 0

    def __str__(self) -> str:
        if not self.size:
            return "no icon"
        pixels = f" {self.width} x {self.height}" if self.width else ""
        return f"{self.format}{pixels}, {self.size} bytes"


def identify(data: bytes) -> Icon:
    """Tell the format of an icon; ``unknown format`` where it is none of the usual ones."""
    if not data:
        return Icon("none", 0)
    return _icon_file(data) or _png(data) or _bitmap(data) or Icon("unknown format", len(data))


def _icon_file(data: bytes) -> Icon | None:
    if len(data) < _ICON_FILE.size + 16:
        return None
    reserved, kind, images = _ICON_FILE.unpack_from(data)
    if reserved != 0 or kind != 1 or not images:
        return None
    width, height = data[_ICON_FILE.size], data[_ICON_FILE.size + 1]
    return Icon("icon file", len(data), width or _SIDE_OF_ZERO, height or _SIDE_OF_ZERO)


def _png(data: bytes) -> Icon | None:
    if not data.startswith(_PNG) or len(data) < 24:
        return None
    return Icon("PNG", len(data), *_PNG_SIZE.unpack_from(data, 16))


def _bitmap(data: bytes) -> Icon | None:
    name, start = "bitmap", 0
    if data.startswith(b"BM"):
        name, start = "bitmap file", _BITMAP_FILE_HEADER_SIZE
    if len(data) < start + _BITMAP_HEADER_SIZE:
        return None
    header_size, width, height = _BITMAP.unpack_from(data, start)
    if header_size != _BITMAP_HEADER_SIZE or width <= 0:
        return None
    return Icon(name, len(data), width, abs(height))
