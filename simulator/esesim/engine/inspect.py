"""Looking into database files that no instance has open: rows, and whether all hangs together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

from eseback.formats.checksum import page_is_good

from ..volume import Volume
from . import space
from .btree import Tree, child_pages
from .database import Database, read_header
from .page import HEADER_SIZE, Page, PageFlag
from .row import encode_key
from .schema import BALLAST
from .table import Row, Table

Rows = dict[str, dict[bytes, Row]]
"""Table -> primary key -> row, long values and streams included."""


@contextmanager
def opened(volume: Volume, edb_path: str, stm_path: str | None) -> Iterator[Database]:
    """A database for reading only, from volume paths. Raises -1018, -1206 for damage."""
    header = read_header(volume, edb_path, _page_size(volume, edb_path))
    database = Database(
        volume,
        dbid=header.dbid,
        edb=edb_path,
        stm=stm_path,
        edb_path=edb_path,
        stm_path=stm_path,
        side_path=None,
        page_size=header.page_size,
        marks=Counter(),
    )
    database.open_tables(None)
    try:
        yield database
    finally:
        database.close()


def read_rows(volume: Volume, edb_path: str, stm_path: str | None) -> Rows:
    """Every row of every table of a clean database."""
    with opened(volume, edb_path, stm_path) as database:
        return database_rows(database)


def database_rows(database: Database) -> Rows:
    """Every row of every table of an open database, but for those that fill a virtual one.

    There may be a billion of these; ``virtual.ballast_problems`` looks at them.
    """
    tables = database.tables.items()
    return {name: dict(table.rows()) for name, table in tables if name != BALLAST}


def check_file(volume: Volume, edb_path: str, stm_path: str | None) -> list[str]:
    """What is wrong with a clean database; empty if nothing is."""
    with opened(volume, edb_path, stm_path) as database:
        return [*bad_pages(volume, database), *check_database(database)]


def bad_pages(volume: Volume, database: Database) -> Iterator[str]:
    """Pages of the file whose checksum is wrong."""
    file = volume.open(database.edb_path)
    size = database.page_size
    for pgno in range(1, database.pages.last_pgno + 1):
        if not page_is_good(file.read((pgno + 1) * size, size), pgno):
            yield f"page {pgno} fails its checksum"
    file.close()


def check_database(database: Database) -> Iterator[str]:
    """Trees, space, indexes, long values and streams of an open database."""
    owned: Counter[int] = Counter()
    for tree in database.trees.values():
        used = set(_tree_pages(database, tree))
        pages = {
            pgno
            for first, count in space.extents(database.pages.get(tree.fdp + 1))
            for pgno in range(first, first + count)
        }
        free = {
            pgno
            for first, count in space.extents(database.pages.get(tree.fdp + 2))
            for pgno in range(first, first + count)
        }
        owned.update(pages)
        if used | free | {tree.fdp + 1, tree.fdp + 2} != pages or used & free:
            yield f"tree {tree.fdp}: pages used and free are not those it owns"
        yield from _check_tree(database, tree)
    for first, count in space.extents(database.pages.get(space.DATABASE_ROOT + 2)):
        owned.update(range(first, first + count))
    twice = [pgno for pgno, count in owned.items() if count > 1]
    if twice:
        yield f"pages {twice[:5]} belong to two owners"
    for table in database.tables.values():
        yield from _check_table(table)
    yield from _check_streaming(database)


def _tree_pages(database: Database, tree: Tree) -> Iterator[int]:
    waiting = [tree.fdp]
    while waiting:
        pgno = waiting.pop()
        yield pgno
        page = database.pages.get(pgno)
        if not page.is_leaf:
            waiting.extend(child_pages(page))


def _check_tree(database: Database, tree: Tree) -> Iterator[str]:
    """Keys ascend over the whole tree, leaves are linked in that order, sizes add up."""
    leaves = list(_leaves(database, database.pages.get(tree.fdp)))
    keys = [key for leaf in leaves for key in leaf.node_keys()]
    if any(left >= right for left, right in pairwise(keys)):
        yield f"tree {tree.fdp}: keys are out of order"
    if [key for key, _ in tree.scan()] != keys:
        yield f"tree {tree.fdp}: the links of the leaves lead elsewhere than the pointers"
    for left, right in pairwise(leaves):
        if left.next != right.pgno or right.prev != left.pgno:
            yield f"tree {tree.fdp}: leaves {left.pgno} and {right.pgno} are not linked"
    for pgno in _tree_pages(database, tree):
        page = database.pages.get(pgno)
        used = len(page.external) + 4 + sum(len(node) + 4 for node in page.nodes)
        if used != page.used or used > database.page_size - HEADER_SIZE:
            yield f"page {pgno}: {page.used} bytes counted, {used} used"
        if page.objid != tree.objid or bool(page.flags & PageFlag.ROOT) != (pgno == tree.fdp):
            yield f"page {pgno}: objid or flags are not those of tree {tree.fdp}"


def _leaves(database: Database, page: Page) -> Iterator[Page]:
    if page.is_leaf:
        yield page
        return
    for pgno in child_pages(page):
        yield from _leaves(database, database.pages.get(pgno))


def _check_table(table: Table) -> Iterator[str]:
    rows = dict(table.rows())
    for index, tree in table.indexes:
        expected = sorted((encode_key(index, row), key) for key, row in rows.items())
        if list(tree.scan()) != expected:
            yield f"index {index.name} of {table.schema.name} doesn't match the rows"
    if table.long_values is not None:
        lids = {key[:4] for key, _ in table.long_values.scan()}
        used = {lid.to_bytes(4, "big") for lid in table.long_value_ids()}
        if lids != used:
            yield f"long values of {table.schema.name}: {len(lids)} stored, {len(used)} in rows"


def _check_streaming(database: Database) -> Iterator[str]:
    streaming = database.streaming
    if streaming is None:
        return
    used = Counter(pgno for table in database.tables.values() for pgno in table.stream_pages())
    mapped = dict(streaming.used_pages())
    if set(used) != set(mapped) or any(count > 1 for count in used.values()):
        yield "the streaming map is not what the rows say"
    size = database.page_size
    for pgno in mapped:
        if not streaming.matches(pgno, streaming.file.read((pgno + 1) * size, size)):
            yield f"page {pgno} of the streaming file isn't what the map says"


def _page_size(volume: Volume, path: str) -> int:
    file = volume.open(path)
    said = int.from_bytes(file.read(236, 4), "little")
    file.close()
    return said if said in (4096, 8192) else 4096
