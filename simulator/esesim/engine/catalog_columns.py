"""The catalog's own tables and what their rows say.

MSysObjects has a row for each table, column, index and long-value tree; MSysObjectsShadow holds
the same rows again. Columns and constants: ESE source cat.hxx and the libesedb format document.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping
from enum import IntEnum, IntFlag
from typing import Any, Final

from .schema import (
    CODEPAGE_LATIN,
    TEXT_TYPES,
    Column,
    ColumnFlag,
    ColumnType,
    IndexSchema,
    TableSchema,
)

CATALOG: Final = "MSysObjects"
SHADOW_CATALOG: Final = "MSysObjectsShadow"
PRIMARY_INDEX: Final = "PrimaryKey"
LARGE_KEY_REVISION: Final = 0xC
"""From this format revision on the catalog also has KeyMost and Version."""

type_CatalogRow = dict[str, object]

_DENSITY: Final = 80
_LOCALE: Final = 1033
_LCMAP_FLAGS: Final = 0x30401  # sort key, ignoring case, kana type and width
_SEGMENT: Final = struct.Struct("<HH")
_HEADER_SIZE: Final = 4  # of a record, in front of its first fixed column


class ObjectType(IntEnum):
    """What a row of the catalog describes."""

    TABLE = 1
    COLUMN = 2
    INDEX = 3
    LONG_VALUE = 4
    STREAM_AVAIL = 6
    STREAM_OWNER_MAP = 7


class IndexFlag(IntFlag):
    """Flags of an index (ESE source daedef.hxx, IDBFLAG)."""

    UNIQUE = 0x1
    NO_NULL_SEGMENT = 0x10
    PRIMARY = 0x20


# JET_bitObjectSystem with JET_bitObjectTableFixedDDL, in a signed column.
SYSTEM_TABLE_FLAGS: Final = 0xC0000000 - (1 << 32)


def _columns(*, has_large_keys: bool) -> tuple[Column, ...]:
    needed, none = ColumnFlag.NOT_NULL, ColumnFlag.NONE
    fixed = [
        ("ObjidTable", ColumnType.LONG, 4, needed),
        ("Type", ColumnType.SHORT, 2, needed),
        ("Id", ColumnType.LONG, 4, needed),
        ("ColtypOrPgnoFDP", ColumnType.LONG, 4, needed),
        ("SpaceUsage", ColumnType.LONG, 4, needed),
        ("Flags", ColumnType.LONG, 4, needed),
        ("PagesOrLocale", ColumnType.LONG, 4, needed),
        ("RootFlag", ColumnType.BIT, 1, none),
        ("RecordOffset", ColumnType.SHORT, 2, none),
        ("LCMapFlags", ColumnType.LONG, 4, none),
    ]
    variable = [
        ("Name", ColumnType.TEXT, 255, needed),
        ("Stats", ColumnType.BINARY, 255, none),
        ("TemplateTable", ColumnType.TEXT, 255, none),
        ("DefaultValue", ColumnType.BINARY, 255, none),
        ("KeyFldIDs", ColumnType.BINARY, 255, none),
        ("VarSegMac", ColumnType.BINARY, 255, none),
        ("ConditionalColumns", ColumnType.BINARY, 255, none),
        ("TupleLimits", ColumnType.BINARY, 255, none),
    ]
    tagged = [
        ("CallbackData", ColumnType.LONG_BINARY, 0, none),
        ("CallbackDependencies", ColumnType.LONG_BINARY, 0, none),
    ]
    if has_large_keys:
        fixed.append(("KeyMost", ColumnType.UNSIGNED_SHORT, 2, none))
        variable.append(("Version", ColumnType.BINARY, 255, none))
    return tuple(
        Column(number, name, kind, size, flags, CODEPAGE_LATIN if kind in TEXT_TYPES else 0)
        for first, group in ((1, fixed), (128, variable), (256, tagged))
        for number, (name, kind, size, flags) in enumerate(group, first)
    )


def _catalog_schema(*, has_large_keys: bool) -> TableSchema:
    columns = _columns(has_large_keys=has_large_keys)
    by_name = {column.name: column for column in columns}

    def index(name: str, *names: str) -> IndexSchema:
        return IndexSchema(name, tuple(by_name[column] for column in names))

    return TableSchema(
        CATALOG,
        columns,
        ("ObjidTable", "Type", "Id"),
        (index("Name", "ObjidTable", "Type", "Name"), index("RootObjects", "RootFlag", "Name")),
    )


_SCHEMA: Final = _catalog_schema(has_large_keys=False)
CATALOG_SCHEMA: Final = _catalog_schema(has_large_keys=True)
"""The catalog with all its columns; also reads the rows of a revision that has fewer."""


def catalog_schema(revision: int) -> TableSchema:
    """The catalog's own table in a format revision (9, 0xB, 0xC)."""
    return CATALOG_SCHEMA if revision >= LARGE_KEY_REVISION else _SCHEMA


def table_row(objid: int, name: str, fdp: int, cpg: int, flags: int = 0) -> type_CatalogRow:
    """The row of a table whose first extent has ``cpg`` pages."""
    return {
        **_row(objid, ObjectType.TABLE, objid, fdp, name, flags=flags, pages_or_locale=cpg),
        "SpaceUsage": _DENSITY,
        "RootFlag": True,
    }


def column_rows(objid: int, columns: Iterable[Column]) -> Iterator[type_CatalogRow]:
    """The rows of a table's columns."""
    offset = _HEADER_SIZE
    for column in columns:
        yield {
            **_row(objid, ObjectType.COLUMN, column.id, column.type, column.name),
            "SpaceUsage": column.size,
            "Flags": int(column.flags),
            "PagesOrLocale": column.codepage,
            "RecordOffset": offset if column.is_fixed else None,
        }
        offset += column.size


def index_row(
    objid: int, index_objid: int, fdp: int, index: IndexSchema, flags: IndexFlag
) -> type_CatalogRow:
    """The row of an index; ``index_objid`` and ``fdp`` of the primary one are the table's."""
    segments = b"".join(_SEGMENT.pack(0, column.id) for column in index.columns)
    return {
        **_row(objid, ObjectType.INDEX, index_objid, fdp, index.name, pages_or_locale=_LOCALE),
        "SpaceUsage": _DENSITY,
        "Flags": int(flags),
        "LCMapFlags": _LCMAP_FLAGS,
        "KeyFldIDs": segments,
    }


def tree_row(objid: int, kind: ObjectType, tree_objid: int, fdp: int, cpg: int) -> type_CatalogRow:
    """The row of a tree that is neither table nor index."""
    name = "LV" if kind is ObjectType.LONG_VALUE else kind.name.title().replace("_", "")
    return {
        **_row(objid, kind, tree_objid, fdp, name, pages_or_locale=cpg),
        "SpaceUsage": _DENSITY,
    }


def key_column_ids(row: Mapping[str, Any]) -> list[int]:
    """The ids of the columns of an index, in order, from its row."""
    return [number for _, number in _SEGMENT.iter_unpack(row["KeyFldIDs"])]


def _row(
    objid: int,
    kind: ObjectType,
    number: int,
    type_or_fdp: int,
    name: str,
    *,
    flags: int = 0,
    pages_or_locale: int = 0,
) -> type_CatalogRow:
    return {
        "ObjidTable": objid,
        "Type": int(kind),
        "Id": number,
        "ColtypOrPgnoFDP": int(type_or_fdp),
        "Flags": flags,
        "PagesOrLocale": pages_or_locale,
        "Name": name,
    }
