"""Long values outside their rows: nodes of a table's long-value tree.

A value of 1024 bytes and more does not stand in its row. The row holds a number, the lid; the tree
has a node with the key lid (big endian) that tells reference count and size, and behind it the
pieces of the value with the key lid, offset. Layout: ESE source lv.cxx, libesedb format document.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Final

SEPARATED_SIZE_MIN: Final = 1024
"""A tagged value of this many bytes goes to the long-value tree, a shorter one stays in the row."""
_PAGE_OVERHEAD: Final = 82
_LID: Final = struct.Struct(">I")
_CHUNK_KEY: Final = struct.Struct(">II")
_ROOT: Final = struct.Struct("<II")
_REFERENCES: Final = 1


class LongValueError(ValueError):
    """The nodes of a long value do not make a whole."""


def long_value_chunk_size(page_size: int) -> int:
    """Bytes of a value in one node: 4014 with pages of 4 KiB, 8110 with 8 KiB."""
    return page_size - _PAGE_OVERHEAD


def long_value_key(lid: int) -> bytes:
    """The key of the first node of a long value, and the beginning of the keys of all its nodes."""
    return _LID.pack(lid)


def long_value_nodes(lid: int, data: bytes, page_size: int) -> list[tuple[bytes, bytes]]:
    """The nodes (key, data) of a long value in key order: its root, then its pieces."""
    step = long_value_chunk_size(page_size)
    nodes = [(_LID.pack(lid), _ROOT.pack(_REFERENCES, len(data)))]
    nodes.extend(
        (_CHUNK_KEY.pack(lid, offset), data[offset : offset + step])
        for offset in range(0, len(data), step)
    )
    return nodes


def long_value_node_keys(lid: int, size: int, page_size: int) -> list[bytes]:
    """The keys of the nodes of a long value of ``size`` bytes, in order, for who deletes it."""
    step = long_value_chunk_size(page_size)
    return [_LID.pack(lid), *(_CHUNK_KEY.pack(lid, offset) for offset in range(0, size, step))]


def long_value_size(root_data: bytes) -> int:
    """The size in bytes of a long value, from the data of its first node."""
    if len(root_data) != _ROOT.size:
        raise LongValueError(f"the root of a long value has {len(root_data)} bytes, not 8")
    _, size = _ROOT.unpack(root_data)
    return int(size)


def read_long_value(lid: int, nodes: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The value, from its nodes (key, data) in key order; LongValueError if one is missing."""
    ordered = iter(nodes)
    key, root_data = next(ordered, (b"", b""))
    if key != _LID.pack(lid):
        raise LongValueError(f"long value {lid} has no root")
    size = long_value_size(root_data)
    chunks = []
    offset = 0
    for key, chunk in ordered:
        if key != _CHUNK_KEY.pack(lid, offset):
            raise LongValueError(f"long value {lid}: the piece at offset {offset} is missing")
        chunks.append(chunk)
        offset += len(chunk)
    if offset != size:
        raise LongValueError(f"long value {lid} has {offset} bytes of {size}")
    return b"".join(chunks)
