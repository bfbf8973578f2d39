"""Making a virtual database: as large as one wishes, of a few pages that are really written.

Written are the pages that any new database has, and the root of the table Ballast with its space
trees; all other pages of that table are generated when they are read (``ballast``). In front of
them, up to the next multiple of 256, and behind them lie free pages, so that the other tables grow
as they do elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from typing import TYPE_CHECKING, Final

from attrs import evolve

from eseback.data import frozen

from .ballast import (
    BLOCK,
    BLOCK_SHIFT,
    ROW_ID_MAX,
    BallastRule,
    ballast_row,
    ballast_schema,
    rows_per_page,
)
from .initial import InitialDatabase, build_initial_database
from .page import Page, PageFlag
from .schema import BALLAST, DatabaseSchema
from .space import DATABASE_ROOT, extent_node, extents

if TYPE_CHECKING:
    from .table import Table

PAGES_MIN: Final = 4 * BLOCK
"""The fewest pages of a virtual database: two blocks of Ballast behind the other tables."""
_FREE_MIN: Final = 64  # pages in front of Ballast


@frozen
class VirtualDatabase:
    """The pages of a new one that are to be written, and the rule that makes the others."""

    initial: InitialDatabase
    rule: BallastRule


def size_problem(size: int, page_size: int) -> str | None:
    """What is wrong with the size of a virtual database in bytes; None if nothing is."""
    low, high = PAGES_MIN * page_size, size_max(page_size)
    if size % page_size or not low <= size <= high:
        return f"use a multiple of {page_size} from {low >> 20} MiB to {high >> 40} TiB"
    return None


def size_max(page_size: int) -> int:
    """The largest size in bytes: rows are numbered with 31 bits, so that it is 4 TiB."""
    return (ROW_ID_MAX + 1) // rows_per_page(page_size) * page_size


def build_virtual_database(
    schema: DatabaseSchema,
    *,
    size: int,
    page_size: int,
    revision: int,
    streaming: bool,
    dbtime: int,
) -> VirtualDatabase:
    """A database file of ``size`` bytes, two headers included, with ``schema`` and Ballast.

    The other arguments are those of :func:`build_initial_database`. Raises ValueError for a size
    that :func:`size_problem` refuses.
    """
    problem = size_problem(size, page_size)
    if problem is not None:
        raise ValueError(f"a virtual database of {size} bytes: {problem}")
    last = size // page_size - 2
    initial = build_initial_database(
        DatabaseSchema((*schema.tables, ballast_schema())),
        page_size=page_size,
        revision=revision,
        cpg_initial=last,
        streaming=streaming,
        dbtime=dbtime,
    )
    roots = initial.catalog.table(BALLAST).primary
    pages = {page.pgno: page for page in initial.pages}
    ((begin, _),) = extents(pages[DATABASE_ROOT + 2])
    first = begin + _FREE_MIN + BLOCK - 1 >> BLOCK_SHIFT
    rule = BallastRule(page_size, roots.objid, dbtime, first, last + 1 >> BLOCK_SHIFT)
    root = _with_nodes(pages[roots.fdp], rule.root_nodes())
    root.flags &= ~PageFlag.LEAF
    owned = pages[roots.fdp + 1]
    whole = extent_node(rule.first_pgno, rule.end_pgno - rule.first_pgno)
    behind = last + 1 - rule.end_pgno
    free = [extent_node(begin, rule.first_pgno - begin)]
    if behind:
        free.append(extent_node(rule.end_pgno, behind))
    for page in (
        root,
        _with_nodes(owned, [*owned.nodes, whole]),
        _with_nodes(pages[DATABASE_ROOT + 2], free),
    ):
        pages[page.pgno] = page
    return VirtualDatabase(evolve(initial, pages=tuple(pages.values())), rule)


def ballast_problems(table: Table, rule: BallastRule) -> Iterator[str]:
    """How the rows of Ballast differ from what the rule says, row by row, as long as one looks.

    For databases, live or restored, in which nobody has changed that table.
    """
    for number, found in zip_longest(rule.row_ids(), (row for _, row in table.rows())):
        if found is None:
            yield f"{BALLAST} row {number} is missing, and all behind it"
            return
        if number is None or found != ballast_row(number):
            yield f"{BALLAST} row {found['Id']} is not the row {number} of the rule"


def _with_nodes(page: Page, nodes: list[bytes]) -> Page:
    """The same root of a tree with other nodes."""
    flags, external = page.flags, page.external
    return Page(page.pgno, page.objid, flags, external=external, nodes=nodes, dbtime=page.dbtime)
