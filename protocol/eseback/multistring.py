"""Multi-strings: several strings in one block, each ended by a NUL, the block by one more.

The API passes file lists and database streams this way (SDK pages aa563417, ms878534,
aa563229). An empty list is two NULs. A block is held here as a Python string with its NULs in
it; the wire and the native DLL carry it as UTF-16, so lengths that the API counts are counts of
UTF-16 code units, all NULs included.
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["decode", "encode", "encode_streams", "utf16_length"]

_NUL = "\0"


def encode(strings: Iterable[str]) -> str:
    """Join strings into a multi-string: `("a", "b")` -> `a\\0b\\0\\0`, `()` -> `\\0\\0`.

    Raises ValueError for an empty string or one with a NUL in it: either would end the list
    early, and the reader would lose files without noticing.
    """
    items = tuple(strings)
    for item in items:
        if not item or _NUL in item:
            raise ValueError(f"a multi-string cannot hold {item!r}: it would end the list early")
    if not items:
        return _NUL + _NUL
    return _NUL.join(items) + _NUL + _NUL


def encode_streams(streams: Iterable[str]) -> str:
    """Block of a database's files: `EDB\\0STM\\0\\0`, and without an .stm `EDB\\0\\0\\0`.

    The place of the missing streaming file is kept as an empty string, which costs a third NUL
    (ESE source esebackinterop.cpp). Raises ValueError for no stream at all.
    """
    items = tuple(streams)
    if not items:
        raise ValueError("a database has at least one stream, its .edb")
    block = encode(items)
    return block if len(items) > 1 else block + _NUL


def decode(block: str) -> tuple[str, ...]:
    """Split a multi-string at its NULs, up to the first empty string, as C clients walk it.

    What follows the first empty string is not looked at. Raises ValueError when the block ends
    before an empty string was met: a C client would run past its end.
    """
    strings: list[str] = []
    start = 0
    while True:
        end = block.find(_NUL, start)
        if end < 0:
            raise ValueError(f"multi-string without an end after {len(strings)} strings")
        if end == start:
            return tuple(strings)
        strings.append(block[start:end])
        start = end + 1


def utf16_length(text: str) -> int:
    """Length of a string as the API counts it: UTF-16 code units, embedded NULs included."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2
