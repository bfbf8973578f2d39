"""Trees made at once from rows that are in order: the catalog, the rows of a new database.

The form is that of ``btree``: entries of interior pages carry the exclusive upper bound of their
child, the last one on the right spine an empty key; only leaves are linked. Source: ESE source
bt.cxx, libesedb format document.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from itertools import pairwise
from typing import Final

from .btree import shortest_separator
from .page import HEADER_SIZE, TAG_SIZE, Page, PageFlag, make_node

_SPACE_HEADER: Final = struct.Struct("<IIII")
_CHILD: Final = struct.Struct("<I")

type_Entry = tuple[bytes, bytes]


class BulkLoadError(ValueError):
    """The rows are out of order, too big for a page, or need more pages than the tree has."""


def space_header(cpg: int, parent: int, fdp_owned: int) -> bytes:
    """Tag 0 of a root: pages of its first extent, root of the parent, root of the owned extents.

    A tree without space trees of its own (``fdp_owned`` 0) has a single extent.
    """
    return _SPACE_HEADER.pack(cpg, parent, int(fdp_owned != 0), fdp_owned)


def load_tree(
    fdp: int,
    objid: int,
    rows: Iterable[type_Entry],
    *,
    flags: PageFlag,
    header: bytes,
    pool: Iterable[int],
    page_size: int,
    dbtime: int,
) -> list[Page]:
    """The pages of a tree with these rows (key, data), the root at ``fdp`` first.

    ``flags`` tells the kind of tree, ``header`` is tag 0 of the root, ``pool`` gives the numbers of
    the pages below the root as they are needed. Raises BulkLoadError.
    """
    entries = list(rows)
    for (left, _), (right, _) in pairwise(entries):
        if left >= right:
            raise BulkLoadError(f"tree {fdp}: row {right.hex()} follows {left.hex()}")
    room = page_size - HEADER_SIZE - TAG_SIZE
    numbers = iter(pool)
    pages: list[Page] = []
    level = PageFlag.LEAF
    while sum(map(_entry_size, entries)) > room - len(header):
        groups = _groups(entries, room)
        level_pages = [
            Page(_take(numbers, fdp), objid, flags | level, nodes=_nodes(group), dbtime=dbtime)
            for group in groups
        ]
        if level is PageFlag.LEAF:
            _link(level_pages)
        bounds = _bounds(groups, is_leaf=level is PageFlag.LEAF)
        entries = [
            (bound, _CHILD.pack(page.pgno)) for bound, page in zip(bounds, level_pages, strict=True)
        ]
        level = PageFlag.PARENT_OF_LEAF if level is PageFlag.LEAF else PageFlag(0)
        pages.extend(level_pages)
    root_flags = flags | level | PageFlag.ROOT
    root = Page(fdp, objid, root_flags, external=header, nodes=_nodes(entries), dbtime=dbtime)
    return [root, *pages]


def _entry_size(entry: type_Entry) -> int:
    return 2 + len(entry[0]) + len(entry[1]) + TAG_SIZE


def _nodes(entries: Iterable[type_Entry]) -> list[bytes]:
    return [make_node(key, data) for key, data in entries]


def _groups(entries: list[type_Entry], room: int) -> list[list[type_Entry]]:
    """The entries of each page of a level, as many as fit."""
    groups: list[list[type_Entry]] = []
    used = room
    for entry in entries:
        size = _entry_size(entry)
        if size > room:
            raise BulkLoadError(f"a row of {size} bytes does not fit on a page")
        if used + size > room:
            groups.append([])
            used = 0
        groups[-1].append(entry)
        used += size
    return groups


def _bounds(groups: list[list[type_Entry]], *, is_leaf: bool) -> list[bytes]:
    """The exclusive upper bound of each page of a level; nothing bounds the last."""
    if is_leaf:
        inner = [shortest_separator(left[-1][0], right[0][0]) for left, right in pairwise(groups)]
    else:
        inner = [group[-1][0] for group in groups[:-1]]
    return [*inner, b""]


def _link(leaves: list[Page]) -> None:
    for left, right in pairwise(leaves):
        left.next, right.prev = right.pgno, left.pgno


def _take(numbers: Iterable[int], fdp: int) -> int:
    for pgno in numbers:
        return pgno
    raise BulkLoadError(f"tree {fdp} needs more pages than it has")
