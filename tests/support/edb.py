"""Database files written at once, for tests of what reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from attrs import evolve

from eseback.formats.dbheader import DatabaseHeader, DbState
from eseback.formats.fields import LogTime, Signature
from esesim.engine.bulkload import load_tree
from esesim.engine.catalog import TableInfo, TreeRoots
from esesim.engine.initial import InitialDatabase, build_initial_database
from esesim.engine.longvalue import long_value_nodes
from esesim.engine.page import Page, PageFlag
from esesim.engine.row import encode_key, encode_row, separated_values
from esesim.engine.schema import DatabaseSchema

type_Row = Mapping[str, object]
ECC_REVISION: Final = 0xB
FORMATS: Final = ((0x9, 4096), (0xB, 4096), (0xC, 8192))
"""Format revision and page size of Exchange 2003, 2003 SP1 and 2007."""

_CREATED: Final = LogTime.from_unix(1_100_000_000)
HEADER: Final = DatabaseHeader(
    sign_db=Signature(0x1234567, _CREATED, ""),
    sign_log=Signature(0x7654321, _CREATED, ""),
    state=DbState.CLEAN_SHUTDOWN,
    revision=9,
)


def fill_tree(
    initial: InitialDatabase,
    roots: TreeRoots,
    rows: Iterable[tuple[bytes, bytes]],
    page_size: int,
    change: Callable[[list[Page]], None] | None = None,
) -> list[Page]:
    """The pages of a user tree of ``initial`` with these rows instead of none.

    ``change`` may do to the pages, root first, what it likes.
    """
    root, _, available = (
        next(page for page in initial.pages if page.pgno == roots.fdp + offset)
        for offset in range(3)
    )
    last = int.from_bytes(available.nodes[0][2:6], "big")
    kind = PageFlag(root.flags) & ~(PageFlag.ROOT | PageFlag.LEAF)
    pages = load_tree(
        roots.fdp,
        roots.objid,
        sorted(rows),
        flags=kind,
        header=root.external,
        pool=range(roots.fdp + 3, last + 1),
        page_size=page_size,
        dbtime=7,
    )
    if change is not None:
        change(pages)
    return pages


def table_pages(
    initial: InitialDatabase, info: TableInfo, rows: Iterable[type_Row], page_size: int
) -> list[Page]:
    """The pages of a table's trees, with these rows in all of them."""
    schema = info.schema
    trees: dict[TreeRoots, list[tuple[bytes, bytes]]] = {info.primary: []}
    trees.update((roots, []) for _, roots in info.indexes)
    if info.long_values is not None:
        trees[info.long_values] = []
    lid = 0
    for row in rows:
        key = encode_key(schema, row)
        lids = {}
        for name, data in separated_values(schema, row).items():
            assert info.long_values is not None
            lid += 1
            lids[name] = lid
            trees[info.long_values].extend(long_value_nodes(lid, data, page_size))
        trees[info.primary].append((key, encode_row(schema, row, lids)))
        for name, roots in info.indexes:
            trees[roots].append((encode_key(schema.index(name), row), key))
    return [
        page
        for roots, nodes in trees.items()
        for page in fill_tree(initial, roots, nodes, page_size)
    ]


def write_pages(path: Path, pages: Sequence[Page], last_pgno: int, header: DatabaseHeader) -> None:
    """A database file: header, its copy, and the pages; those that are not given are zero."""
    size = header.page_size
    with path.open("wb") as file:
        file.write(header.pack() * 2)
        for page in pages:
            file.seek((page.pgno + 1) * size)
            file.write(page.to_bytes(size, ecc=header.revision >= ECC_REVISION))
        file.truncate((last_pgno + 2) * size)


def write_database(
    path: Path,
    schema: DatabaseSchema,
    tables: Mapping[str, Iterable[type_Row]],
    *,
    revision: int = 9,
    page_size: int = 4096,
    streaming: bool = False,
    cpg_tree: int = 200,
    header: DatabaseHeader = HEADER,
) -> InitialDatabase:
    """A database file with these rows in its tables; tables that are not named stay empty."""
    initial = build_initial_database(
        schema,
        page_size=page_size,
        revision=revision,
        cpg_initial=0,
        streaming=streaming,
        dbtime=5,
        cpg_tree=cpg_tree,
    )
    pages = {page.pgno: page for page in initial.pages}
    for name, rows in tables.items():
        info = initial.catalog.table(name)
        pages.update((p.pgno, p) for p in table_pages(initial, info, rows, page_size))
    header = evolve(
        header, revision=revision, page_size=page_size, objid_last=initial.objid_last, dbtime=9
    )
    write_pages(path, list(pages.values()), initial.last_pgno, header)
    return initial
