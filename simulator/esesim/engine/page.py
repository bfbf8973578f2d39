"""A page of a database, decoded.

The engine works on decoded pages: the external header (tag 0) and a list of nodes. The bytes of the
file are built from it when the page is flushed, always in the same compact form, so that the same
contents give the same bytes.

Layout: ESE source cpage.hxx and the libesedb format document. Header of 40 bytes: checksum, pgno or
ECC, dbtimeDirtied, pgnoPrev, pgnoNext, objidFDP, cbFree, cbUncommittedFree, ibMicFree, itagMicFree,
flags; data grows up behind it, four-byte tags grow down from the end of the page.
"""

from __future__ import annotations

import struct
from enum import IntFlag
from itertools import accumulate
from typing import Final

from eseback.formats.checksum import seal_page

HEADER_SIZE: Final = 40
TAG_SIZE: Final = 4
_HEADER = struct.Struct("<IIqIIIHHHHI")
_KEY_LENGTH = struct.Struct("<H")
_IB_MASK: Final = 0x1FFF
# As plain numbers: arithmetic on flags of an enum costs microseconds.
_NEW_CHECKSUM: Final = 0x2000
_LEAF: Final = 0x2


class PageFlag(IntFlag):
    """Flags of a page header (ESE source cpage.hxx)."""

    ROOT = 0x1
    LEAF = 0x2
    PARENT_OF_LEAF = 0x4
    EMPTY = 0x8
    SPACE_TREE = 0x20
    INDEX = 0x40
    LONG_VALUE = 0x80
    SLV_AVAIL = 0x100
    SLV_OWNER_MAP = 0x200
    NON_UNIQUE = 0x400
    NEW_RECORD_FORMAT = 0x800
    NEW_CHECKSUM = 0x2000


def make_node(key: bytes, data: bytes) -> bytes:
    """A node as it stands on a page: u16 length of the key, key, data (no prefix compression)."""
    return _KEY_LENGTH.pack(len(key)) + key + data


def node_key(node: bytes) -> bytes:
    """The key of a node."""
    return node[2 : 2 + (node[0] | node[1] << 8)]


def node_data(node: bytes) -> bytes:
    """The data of a node."""
    return node[2 + (node[0] | node[1] << 8) :]


class Page:
    """One page: header fields, external header and nodes in key order.

    ``used`` is the number of bytes that external header, nodes and all tags take, so that
    ``page_size - 40 - used`` is cbFree.
    """

    __slots__ = (
        "dbtime",
        "external",
        "flags",
        "keys",
        "next",
        "nodes",
        "objid",
        "pgno",
        "prev",
        "recovery_position",
        "used",
    )

    def __init__(
        self,
        pgno: int,
        objid: int,
        flags: int,
        *,
        external: bytes = b"",
        nodes: list[bytes] | None = None,
        prev: int = 0,
        next: int = 0,
        dbtime: int = 0,
        used: int | None = None,
    ) -> None:
        self.pgno = pgno
        self.objid = objid
        self.flags = int(flags)
        self.prev = prev
        self.next = next
        self.dbtime = dbtime
        self.external = external
        self.nodes: list[bytes] = [] if nodes is None else nodes
        if used is None:
            cells = len(self.nodes) + 1
            used = len(external) + sum(map(len, self.nodes)) + TAG_SIZE * cells
        self.used = used
        # Keys of the nodes, made when a search first needs them; None after a change that
        # bypassed them (redo needs no keys).
        self.keys: list[bytes] | None = None
        # Position of the first log record whose change is not in the file; None when clean.
        self.recovery_position: int | None = None

    @property
    def is_leaf(self) -> bool:
        """Whether the nodes are rows rather than pointers to children."""
        return bool(self.flags & _LEAF)

    def node_keys(self) -> list[bytes]:
        """The keys of the nodes, in order."""
        keys = self.keys
        if keys is None:
            keys = self.keys = [node_key(node) for node in self.nodes]
        return keys

    def to_bytes(self, page_size: int, *, ecc: bool) -> bytearray:
        """The page as it stands in the file, checksum included."""
        cells = [self.external, *self.nodes]
        count = len(cells)
        sizes = list(map(len, cells))
        offsets = list(accumulate(sizes, initial=0))
        # Tag 0 is the last four bytes of the page: sizes and offsets interleaved, last cell first.
        tags = [0] * (2 * count)
        tags[0::2] = sizes[::-1]
        tags[1::2] = offsets[-2::-1]
        free = page_size - HEADER_SIZE - self.used
        flags = self.flags & ~_NEW_CHECKSUM | (_NEW_CHECKSUM if ecc else 0)
        page = bytearray(
            b"".join(
                (
                    _HEADER.pack(
                        0,
                        0,
                        self.dbtime,
                        self.prev,
                        self.next,
                        self.objid,
                        free,
                        0,
                        offsets[-1],
                        count,
                        flags,
                    ),
                    *cells,
                    bytes(free),
                    struct.pack(f"<{2 * count}H", *tags),
                )
            )
        )
        seal_page(page, self.pgno, ecc)
        return page

    @classmethod
    def from_bytes(cls, data: bytes, pgno: int) -> Page:
        """Decode a page whose checksum has been verified; ``data`` is one whole page."""
        _, _, dbtime, prev, next_, objid, free, _, _, count, flags = _HEADER.unpack_from(data)
        if count == 0:
            return cls(pgno, objid, 0, dbtime=dbtime)
        size = len(data)
        tags = struct.unpack_from(f"<{2 * count}H", data, size - TAG_SIZE * count)
        cells = [
            data[HEADER_SIZE + (ib & _IB_MASK) : HEADER_SIZE + (ib & _IB_MASK) + cb]
            for cb, ib in zip(tags[-2::-2], tags[::-2], strict=True)
        ]
        return cls(
            pgno,
            objid,
            flags & ~_NEW_CHECKSUM,
            external=cells[0],
            nodes=cells[1:],
            prev=prev,
            next=next_,
            dbtime=dbtime,
            used=size - HEADER_SIZE - free,
        )
