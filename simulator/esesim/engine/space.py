"""Space of a database: which pages belong to which tree, and which of them are free.

Every tree has an owned-extents tree at pgnoFDP + 1 and an available-extents tree at pgnoFDP + 2
(libesedb format document, space trees): key = big-endian last page of the extent, data = page
count. Trees get extents from the root of the database (pages 1 to 3), which grows with the file.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from eseback.errors import JetErr

from .errors import JetError
from .logrecord import MacroBuilder
from .page import HEADER_SIZE, Page, PageFlag, make_node, node_data, node_key

if TYPE_CHECKING:
    from .database import Database

DATABASE_ROOT: Final = 1
_KEY = struct.Struct(">I")
_COUNT = struct.Struct("<I")
_NODE_BYTES: Final = 2 + 4 + 4 + 4
# ASSUMED(extent-sizes): a tree's next extent is an eighth of what it owns, 16 to 1024 pages; the
# file grows by at least 64 pages at a time.
_EXTENT_MIN: Final = 16
_EXTENT_MAX: Final = 1024
_GROWTH_MIN: Final = 64


def extents(page: Page) -> Iterator[tuple[int, int]]:
    """(first page, page count) of each extent in a space tree's page."""
    for node in page.nodes:
        (last,) = _KEY.unpack(node_key(node))
        (count,) = _COUNT.unpack(node_data(node))
        yield last - count + 1, count


def extent_node(first: int, count: int) -> bytes:
    """The node of an extent."""
    return make_node(_KEY.pack(first + count - 1), _COUNT.pack(count))


def ensure_free(database: Database, fdp: int, count: int) -> None:
    """Make sure that the tree has ``count`` free pages of its own."""
    while sum(size for _, size in extents(database.pages.get(fdp + 2))) < count:
        _take_extent(database, fdp)


def take_page(database: Database, macro: MacroBuilder, fdp: int, taken: int) -> int:
    """The ``taken``-th free page that this macro takes from the tree, lowest first.

    :func:`ensure_free` has been called; the caller ends with :func:`settle`.
    """
    for first, count in extents(database.pages.get(fdp + 2)):
        if taken < count:
            return first + taken
        taken -= count
    raise AssertionError("ensure_free was not called for so many pages")


def settle(database: Database, macro: MacroBuilder, fdp: int, taken: int) -> None:
    """Take the ``taken`` lowest free pages out of the tree's available extents."""
    page = database.pages.get(fdp + 2)
    for first, count in list(extents(page)):
        if not taken:
            return
        used = min(taken, count)
        taken -= used
        if used == count:
            macro.delete(page, 0)
        else:
            macro.replace(page, 0, extent_node(first + used, count - used))


def give_back(database: Database, macro: MacroBuilder, fdp: int, pgno: int) -> bool:
    """Put a page among the tree's available extents; False where they are full."""
    page = database.pages.get(fdp + 2)
    entries = list(extents(page))
    place = next((i for i, (first, _) in enumerate(entries) if first > pgno), len(entries))
    joins_left = place > 0 and sum(entries[place - 1]) == pgno
    joins_right = place < len(entries) and entries[place][0] == pgno + 1
    if joins_left and joins_right:
        first, count = entries[place - 1]
        macro.replace(page, place - 1, extent_node(first, count + 1 + entries[place][1]))
        macro.delete(page, place)
    elif joins_left:
        first, count = entries[place - 1]
        macro.replace(page, place - 1, extent_node(first, count + 1))
    elif joins_right:
        macro.replace(page, place, extent_node(pgno, entries[place][1] + 1))
    elif _has_room(database, page):
        macro.insert(page, place, extent_node(pgno, 1))
    else:
        return False
    # The freed page is written as an empty one and stays in the chain of dirty pages: its older
    # changes must not be skipped by the checkpoint.
    macro.image(Page(pgno, database.pages.get(fdp).objid, PageFlag.EMPTY | PageFlag.LEAF))
    return True


def _has_room(database: Database, page: Page) -> bool:
    return page.used + _NODE_BYTES <= database.page_size - HEADER_SIZE


def _take_extent(database: Database, fdp: int) -> None:
    """Move an extent from the database's root to the tree, growing the file where needed."""
    owned_page = database.pages.get(fdp + 1)
    owned = sum(count for _, count in extents(owned_page))
    wanted = max(_EXTENT_MIN, min(_EXTENT_MAX, owned // 8))
    free = database.pages.get(DATABASE_ROOT + 2)
    found = next(
        ((i, first, count) for i, (first, count) in enumerate(extents(free)) if count >= wanted),
        None,
    )
    if found is None:
        _grow(database, max(_GROWTH_MIN, wanted))
        _take_extent(database, fdp)
        return
    place, first, count = found
    macro = database.macro()
    if count == wanted:
        macro.delete(free, place)
    else:
        macro.replace(free, place, extent_node(first + wanted, count - wanted))
    for offset in (1, 2):
        _add_extent(database, macro, database.pages.get(fdp + offset), first, wanted)
    database.run_macro(macro)


def _add_extent(
    database: Database, macro: MacroBuilder, page: Page, first: int, count: int
) -> None:
    """Add an extent that lies in no other; joined to its left neighbour where it touches it."""
    entries = list(extents(page))
    place = next((i for i, (begin, _) in enumerate(entries) if begin > first), len(entries))
    if place and sum(entries[place - 1]) == first:
        begin, size = entries[place - 1]
        macro.replace(page, place - 1, extent_node(begin, size + count))
    elif _has_room(database, page):
        macro.insert(page, place, extent_node(first, count))
    else:
        raise JetError(
            JetErr.OUT_OF_DATABASE_SPACE,
            f"the space tree at page {page.pgno} of {database.edb} is full",
        )


def _grow(database: Database, count: int) -> None:
    """The file grows by ``count`` pages, which become available at the root."""
    last = database.pages.last_pgno
    macro = database.macro()
    macro.extend(last + count)
    for offset in (1, 2):
        page = database.pages.get(DATABASE_ROOT + offset)
        _add_extent(database, macro, page, last + 1, count)
    database.run_macro(macro)
    database.note_growth()
