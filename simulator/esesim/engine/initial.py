"""The first pages of a new database.

The page plan is fixed up to page 32 (ESE source cat.hxx): the root of the database is page 1,
MSysObjects page 4 with 20 pages, its indexes pages 7 and 10, MSysObjectsShadow page 24 with 9.
User trees begin at page 33. Behind each root stand the roots of its owned and of its available
extents.
"""

from __future__ import annotations

from typing import Final

from attrs import field

from eseback.data import define, frozen

from .bulkload import load_tree, space_header
from .catalog import (
    CATALOG_FDP,
    DATABASE_FDP,
    DATABASE_OBJID,
    CatalogInfo,
    TableInfo,
    TreeRoots,
)
from .catalog_columns import (
    CATALOG,
    PRIMARY_INDEX,
    SHADOW_CATALOG,
    SYSTEM_TABLE_FLAGS,
    IndexFlag,
    ObjectType,
    catalog_schema,
    column_rows,
    index_row,
    table_row,
    tree_row,
    type_CatalogRow,
)
from .page import Page, PageFlag
from .row import encode_key, encode_row
from .schema import DatabaseSchema, IndexSchema, TableSchema
from .space import extent_node

SHADOW_FDP: Final = 24
USER_FDP_FIRST: Final = 33

_CATALOG_EXTENT: Final = (CATALOG_FDP, 20)
_CATALOG_POOL: Final = (13, 7)
_SHADOW_EXTENT: Final = (SHADOW_FDP, 9)
# Root page, first extent and one more extent of each index of MSysObjects.
_CATALOG_INDEXES: Final = {"Name": (7, 3, (20, 2)), "RootObjects": (10, 3, (22, 2))}
_CATALOG_OBJID: Final = 2
_SHADOW_OBJID: Final = 3
_CATALOG_INDEX_OBJID_FIRST: Final = 4
_ROOT_PAGES: Final = 3

type_Extent = tuple[int, int]  # first page, number of pages
type_Nodes = list[tuple[bytes, bytes]]


@frozen
class InitialDatabase:
    """The pages of a database that was just made; all others up to ``last_pgno`` are zero."""

    pages: tuple[Page, ...]
    catalog: CatalogInfo
    last_pgno: int
    objid_last: int


def build_initial_database(
    schema: DatabaseSchema,
    *,
    page_size: int,
    revision: int,
    cpg_initial: int,
    streaming: bool,
    dbtime: int,
    cpg_tree: int = 8,
) -> InitialDatabase:
    """The pages of an empty database with the tables of ``schema``, all stamped with ``dbtime``.

    ``revision`` is the format's (9, 0xB, 0xC), ``cpg_initial`` the pages that the file has at
    least, ``cpg_tree`` the first extent of each user tree, its three root pages included. With
    ``streaming`` the database has the trees that describe a streaming file. Raises BulkLoadError
    for more tables than the catalog's pages hold.
    """
    return _Builder(page_size, revision, cpg_tree, dbtime).build(schema, cpg_initial, streaming)


@define
class _Builder:
    """Gives out pages and objids in order and collects the pages and the catalog's rows."""

    page_size: int
    revision: int
    cpg_tree: int
    dbtime: int
    next_pgno: int = USER_FDP_FIRST
    next_objid: int = _CATALOG_INDEX_OBJID_FIRST + len(_CATALOG_INDEXES)
    pages: list[Page] = field(factory=list)
    rows: list[type_CatalogRow] = field(factory=list)

    def build(self, schema: DatabaseSchema, cpg_initial: int, streaming: bool) -> InitialDatabase:
        tables = tuple(self._user_table(table) for table in schema.tables)
        catalog = CatalogInfo(tables, *(self._stream_trees() if streaming else ()))
        self._system_tables()
        last = max(cpg_initial, self.next_pgno - 1)
        self._tree(
            TreeRoots(DATABASE_FDP, DATABASE_OBJID),
            PageFlag(0),
            owned=((DATABASE_FDP, last),),
            pool=(self.next_pgno, last + 1 - self.next_pgno),
            parent=0,
        )
        pages = tuple(sorted(self.pages, key=lambda page: page.pgno))
        return InitialDatabase(pages, catalog, last, self.next_objid - 1)

    def _user_table(self, table: TableSchema) -> TableInfo:
        primary = self._user_tree(PageFlag(0))
        self._describe(table, primary, self.cpg_tree)
        indexes = []
        for index in table.indexes:
            roots = self._user_tree(PageFlag.INDEX)
            flags = IndexFlag.UNIQUE | IndexFlag.NO_NULL_SEGMENT
            self.rows.append(index_row(primary.objid, roots.objid, roots.fdp, index, flags))
            indexes.append((index.name, roots))
        long_values = None
        if table.has_long_values:
            long_values = self._user_tree(PageFlag.LONG_VALUE)
            self._describe_tree(primary.objid, ObjectType.LONG_VALUE, long_values)
        return TableInfo(table, primary, tuple(indexes), long_values)

    # ASSUMED(stream-trees): the trees that describe the streaming file belong, in the catalog, to
    # the database's root (objid 1) and have the object types 6 (avail) and 7 (owner map). Only
    # numbers and names are public; the readers that we test with pass over such rows.
    def _stream_trees(self) -> tuple[TreeRoots, TreeRoots]:
        avail = self._user_tree(PageFlag.SLV_AVAIL)
        owner_map = self._user_tree(PageFlag.SLV_OWNER_MAP)
        self._describe_tree(DATABASE_OBJID, ObjectType.STREAM_AVAIL, avail)
        self._describe_tree(DATABASE_OBJID, ObjectType.STREAM_OWNER_MAP, owner_map)
        return avail, owner_map

    # ASSUMED(tree-space): every tree has its extents directly from the database's root. In ESE
    # those of indexes and long values come out of their table's extents.
    def _user_tree(self, kind: PageFlag) -> TreeRoots:
        roots = TreeRoots(self.next_pgno, self.next_objid)
        self.next_pgno += self.cpg_tree
        self.next_objid += 1
        free = (roots.fdp + _ROOT_PAGES, self.cpg_tree - _ROOT_PAGES)
        self._tree(roots, kind, owned=((roots.fdp, self.cpg_tree),), pool=free)
        return roots

    def _system_tables(self) -> None:
        """The catalog and its shadow, which describe themselves like any other table."""
        schema = catalog_schema(self.revision)
        catalog = TreeRoots(CATALOG_FDP, _CATALOG_OBJID)
        shadow = TreeRoots(SHADOW_FDP, _SHADOW_OBJID)
        system = SYSTEM_TABLE_FLAGS
        self._describe(schema, catalog, _CATALOG_EXTENT[1], system, CATALOG, "Id")
        self._describe(schema, shadow, _SHADOW_EXTENT[1], system, SHADOW_CATALOG, "Id")
        trees = {}
        for objid, index in enumerate(schema.indexes, _CATALOG_INDEX_OBJID_FIRST):
            trees[index.name] = TreeRoots(_CATALOG_INDEXES[index.name][0], objid)
            flags = IndexFlag.UNIQUE
            if index.name == "Name":  # RootObjects leaves out the rows that are no tables
                flags |= IndexFlag.NO_NULL_SEGMENT
            fdp = trees[index.name].fdp
            self.rows.append(index_row(catalog.objid, objid, fdp, index, flags))

        keyed = sorted((encode_key(schema, row), row) for row in self.rows)
        nodes = [(key, encode_row(schema, row)) for key, row in keyed]
        free = (SHADOW_FDP + _ROOT_PAGES, _SHADOW_EXTENT[1] - _ROOT_PAGES)
        self._tree(catalog, PageFlag(0), (_CATALOG_EXTENT,), _CATALOG_POOL, nodes)
        self._tree(shadow, PageFlag(0), (_SHADOW_EXTENT,), free, nodes)
        for index in schema.indexes:
            names = [column.name for column in index.columns]
            entries = sorted(
                (encode_key(index, row), key)
                for key, row in keyed
                if all(row.get(name) is not None for name in names)
            )
            fdp, cpg, more = _CATALOG_INDEXES[index.name]
            owned = ((fdp, cpg), more)
            self._tree(trees[index.name], PageFlag.INDEX, owned, more, entries, CATALOG_FDP)

    def _describe(
        self,
        table: TableSchema,
        roots: TreeRoots,
        cpg: int,
        flags: int = 0,
        name: str | None = None,
        primary_name: str = PRIMARY_INDEX,
    ) -> None:
        """The rows of a table, its columns and its primary index."""
        unique = IndexFlag.UNIQUE | IndexFlag.NO_NULL_SEGMENT | IndexFlag.PRIMARY
        primary = IndexSchema(primary_name, table.key_columns)
        self.rows.append(table_row(roots.objid, name or table.name, roots.fdp, cpg, flags))
        self.rows.extend(column_rows(roots.objid, table.columns))
        self.rows.append(index_row(roots.objid, roots.objid, roots.fdp, primary, unique))

    def _describe_tree(self, objid: int, kind: ObjectType, roots: TreeRoots) -> None:
        self.rows.append(tree_row(objid, kind, roots.objid, roots.fdp, self.cpg_tree))

    def _tree(
        self,
        roots: TreeRoots,
        kind: PageFlag,
        owned: tuple[type_Extent, ...],
        pool: type_Extent,
        nodes: type_Nodes | None = None,
        parent: int = DATABASE_FDP,
    ) -> None:
        """Root, pages below it, and space trees; ``pool`` is what the pages may be taken from."""
        first, count = pool
        pages = load_tree(
            roots.fdp,
            roots.objid,
            nodes or (),
            flags=kind | PageFlag.NEW_RECORD_FORMAT,
            header=space_header(owned[0][1], parent, roots.fdp + 1),
            pool=range(first, first + count),
            page_size=self.page_size,
            dbtime=self.dbtime,
        )
        used = len(pages) - 1
        free = ((first + used, count - used),) if count > used else ()
        self.pages.extend(pages)
        for offset, extents in ((1, owned), (2, free)):
            flags = PageFlag.ROOT | PageFlag.LEAF | PageFlag.SPACE_TREE
            page = Page(
                roots.fdp + offset,
                roots.objid,
                flags | PageFlag.NEW_RECORD_FORMAT,
                external=space_header(1, roots.fdp, 0),
                nodes=[extent_node(*extent) for extent in sorted(extents)],
                dbtime=self.dbtime,
            )
            self.pages.append(page)
