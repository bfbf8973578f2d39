"""The catalog: where the tables of a database are and what they look like.

The catalog does not change after a database has been made (``initial``). Its tables have fixed
places: MSysObjects at page 4, where readers begin, and MSysObjectsShadow at page 24. Source: ESE
source cat.hxx.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

from eseback.data import frozen
from eseback.errors import JetErr

from .catalog_columns import CATALOG_SCHEMA, IndexFlag, ObjectType, key_column_ids
from .errors import JetError
from .page import Page, PageFlag, node_data
from .row import RowError, decode_row
from .schema import (
    TEXT_TYPES,
    Column,
    ColumnFlag,
    ColumnType,
    IndexSchema,
    SchemaError,
    TableSchema,
)

DATABASE_FDP: Final = 1
CATALOG_FDP: Final = 4
DATABASE_OBJID: Final = 1
_DEPTH_MAX: Final = 8


@frozen
class TreeRoots:
    """Where a tree is: page number of its root (pgnoFDP), objid of its pages."""

    fdp: int
    objid: int


@frozen
class TableInfo:
    """A user table and its trees; ``indexes`` pairs the names of secondary indexes with theirs."""

    schema: TableSchema
    primary: TreeRoots
    indexes: tuple[tuple[str, TreeRoots], ...] = ()
    long_values: TreeRoots | None = None


@frozen
class CatalogInfo:
    """What the catalog of a database says. The stream trees are None without a streaming file."""

    tables: tuple[TableInfo, ...]
    stream_avail: TreeRoots | None = None
    stream_owner_map: TreeRoots | None = None

    def table(self, name: str) -> TableInfo:
        """The table of that name; SchemaError if there is none."""
        for table in self.tables:
            if table.schema.name == name:
                return table
        raise SchemaError(f"no table {name} in the catalog")


def read_catalog(get_page: Callable[[int], Page]) -> CatalogInfo:
    """The tables and trees of a database, from its pages.

    Raises JetError -1206 (DatabaseCorrupted) where the catalog makes no sense; errors of
    ``get_page`` go through.
    """
    root = get_page(CATALOG_FDP)
    if not root.flags & PageFlag.ROOT:
        raise JetError(JetErr.DATABASE_CORRUPTED, f"page {CATALOG_FDP} is not the catalog's root")
    return _catalog(tuple(_leaf_data(get_page, root)))


# Databases that were made alike have the same catalog, byte for byte, and it stays as it is.
@lru_cache(maxsize=64)
def _catalog(records: tuple[bytes, ...]) -> CatalogInfo:
    """What the records of the catalog say."""
    tables: list[TableInfo] = []
    stream: dict[int, TreeRoots] = {}
    try:
        for objid, rows in _rows_by_objid(records).items():
            if objid == DATABASE_OBJID:
                stream = {row["Type"]: _roots(row) for row in rows}
            elif not rows[0]["Flags"] & (1 << 31):  # JET_bitObjectSystem
                tables.append(_table_info(rows))
    except (RowError, SchemaError, ValueError, KeyError, struct.error) as error:
        raise JetError(JetErr.DATABASE_CORRUPTED, f"the catalog is damaged: {error}") from error
    return CatalogInfo(
        tuple(tables),
        stream.get(ObjectType.STREAM_AVAIL),
        stream.get(ObjectType.STREAM_OWNER_MAP),
    )


def _rows_by_objid(records: Iterable[bytes]) -> dict[int, list[dict[str, Any]]]:
    found: dict[int, list[dict[str, Any]]] = {}
    for data in records:
        row = decode_row(CATALOG_SCHEMA, data)
        found.setdefault(row["ObjidTable"], []).append(row)
    return found


def _leaf_data(get_page: Callable[[int], Page], page: Page, depth: int = 1) -> Iterator[bytes]:
    if depth > _DEPTH_MAX:
        raise JetError(JetErr.DATABASE_CORRUPTED, "the catalog's tree goes round in a circle")
    if page.is_leaf:
        yield from map(node_data, page.nodes)
        return
    for node in page.nodes:
        child = get_page(int.from_bytes(node_data(node), "little"))
        yield from _leaf_data(get_page, child, depth + 1)


def _roots(row: Mapping[str, Any]) -> TreeRoots:
    return TreeRoots(row["ColtypOrPgnoFDP"], row["Id"])


def _table_info(rows: list[dict[str, Any]]) -> TableInfo:
    """A table from its rows, which are in the order of their types."""
    head = rows[0]
    if head["Type"] != ObjectType.TABLE:
        raise SchemaError(f"objects of table {head['ObjidTable']} but no table")
    of_type = {kind: [row for row in rows if row["Type"] == kind] for kind in ObjectType}
    columns = {row["Id"]: _column(row) for row in of_type[ObjectType.COLUMN]}
    primary_key: tuple[str, ...] = ()
    indexes = []
    roots = []
    for row in of_type[ObjectType.INDEX]:
        parts = tuple(columns[number] for number in key_column_ids(row))
        if row["Flags"] & IndexFlag.PRIMARY:
            primary_key = tuple(column.name for column in parts)
        else:
            indexes.append(IndexSchema(row["Name"], parts))
            roots.append((row["Name"], _roots(row)))
    long_values = of_type[ObjectType.LONG_VALUE]
    return TableInfo(
        _shared(TableSchema(head["Name"], tuple(columns.values()), primary_key, tuple(indexes))),
        _roots(head),
        tuple(roots),
        _roots(long_values[0]) if long_values else None,
    )


@lru_cache(maxsize=64)
def _shared(schema: TableSchema) -> TableSchema:
    """The first schema equal to this one: what is cached by schema is found without comparing."""
    return schema


def _column(row: Mapping[str, Any]) -> Column:
    kind = ColumnType(row["ColtypOrPgnoFDP"])
    return Column(
        row["Id"],
        row["Name"],
        kind,
        row["SpaceUsage"],
        ColumnFlag(row["Flags"]),
        row["PagesOrLocale"] if kind in TEXT_TYPES else 0,
    )
