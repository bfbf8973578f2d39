"""What a table is: columns, keys, indexes; and the tables of a mailbox store.

Columns come in three kinds, told apart by their id (ESE source daedef.hxx): fixed (1-127) and
variable (128-255) ones have a place in every row, tagged ones (256 and up) only where they are not
NULL, and only tagged ones may be long. A schema is data; rows are made from it in ``row``.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag
from typing import Final

from attrs import field

from eseback.data import frozen

CODEPAGE_UNICODE: Final = 1200
CODEPAGE_LATIN: Final = 1252
BALLAST: Final = "Ballast"  # the table of virtual databases: see `ballast`

_FIXED_FIRST: Final = 1
_VARIABLE_FIRST: Final = 128
_TAGGED_FIRST: Final = 256


class SchemaError(ValueError):
    """A schema cannot be stored: the text names table and column and says why."""


class RowError(ValueError):
    """Values cannot be stored in a row of this table, or the bytes are no row of it."""


class ColumnType(IntEnum):
    """JET column types (jethdr.h, JET_coltyp)."""

    BIT = 1
    UNSIGNED_BYTE = 2
    SHORT = 3
    LONG = 4
    CURRENCY = 5
    SINGLE = 6
    DOUBLE = 7
    DATETIME = 8
    BINARY = 9
    TEXT = 10
    LONG_BINARY = 11
    LONG_TEXT = 12
    UNSIGNED_SHORT = 17


class ColumnFlag(IntFlag):
    """Flags of a column in the catalog (ESE source daedef.hxx, FIELDFLAG)."""

    NONE = 0
    NOT_NULL = 1


FIXED_SIZES: Final = {
    ColumnType.BIT: 1,
    ColumnType.UNSIGNED_BYTE: 1,
    ColumnType.SHORT: 2,
    ColumnType.UNSIGNED_SHORT: 2,
    ColumnType.LONG: 4,
    ColumnType.CURRENCY: 8,
    ColumnType.SINGLE: 4,
    ColumnType.DOUBLE: 8,
    ColumnType.DATETIME: 8,
}
"""Bytes of a value of each type that a fixed column may have."""

TEXT_TYPES: Final = frozenset({ColumnType.TEXT, ColumnType.LONG_TEXT})
_VARIABLE_TYPES: Final = frozenset({ColumnType.BINARY, ColumnType.TEXT})
_TAGGED_TYPES: Final = frozenset({ColumnType.LONG_BINARY, ColumnType.LONG_TEXT})
_KEY_TYPES: Final = frozenset(
    {
        ColumnType.BIT,
        ColumnType.UNSIGNED_BYTE,
        ColumnType.SHORT,
        ColumnType.LONG,
        ColumnType.CURRENCY,
    }
)


@frozen
class Column:
    """A column: ``size`` is the most bytes a value may have (0: no limit), ``codepage`` of text."""

    id: int
    name: str
    type: ColumnType
    size: int
    flags: ColumnFlag = ColumnFlag.NONE
    codepage: int = 0

    @property
    def is_fixed(self) -> bool:
        """Whether each row has room for the value at a fixed place."""
        return self.id < _VARIABLE_FIRST

    @property
    def is_tagged(self) -> bool:
        """Whether the value is stored with its id, and only where it is not NULL."""
        return self.id >= _TAGGED_FIRST

    @property
    def is_key_type(self) -> bool:
        """Whether the column may be part of a key.

        Unicode text may not: its order is that of Windows' locale tables.
        """
        if self.type is ColumnType.TEXT:
            return self.codepage == CODEPAGE_LATIN
        return self.type in _KEY_TYPES


@frozen(cache_hash=True)
class IndexSchema:
    """A secondary index. It finds rows by ``columns``, in this order; no two have the same."""

    # ASSUMED(index-unique): an index that would hold equal keys names the columns of the primary
    # key as its last columns. So every index is unique and its keys are what a reader makes of the
    # catalog, instead of ESE's non-unique index that keeps equal keys apart by their bookmarks.
    name: str
    columns: tuple[Column, ...]

    @property
    def key_columns(self) -> tuple[Column, ...]:
        """The columns that a key is made of."""
        return self.columns


@frozen(cache_hash=True)
class TableSchema:
    """A table: columns in the order of their ids, the names that make the primary key, indexes.

    Raises SchemaError for ids with gaps (except among tagged columns), types that do not go with
    their ids, and keys of columns that are missing or cannot be ordered.
    """

    name: str
    columns: tuple[Column, ...]
    primary_key: tuple[str, ...]
    indexes: tuple[IndexSchema, ...] = field(default=())

    def __attrs_post_init__(self) -> None:
        self._check_ids()
        for column in self.columns:
            self._check_type(column)
        if len({column.name for column in self.columns}) != len(self.columns):
            raise SchemaError(f"table {self.name}: two columns have the same name")
        for index in self.indexes:
            for column in index.columns:
                if column not in self.columns:
                    raise SchemaError(f"index {index.name} of {self.name}: no column {column.name}")
        for column in (*self.key_columns, *(c for index in self.indexes for c in index.columns)):
            if column.is_tagged or not column.is_key_type:
                raise SchemaError(f"table {self.name}: {column.name} cannot be part of a key")

    def _check_ids(self) -> None:
        ids = [column.id for column in self.columns]
        fixed = [number for number in ids if number < _VARIABLE_FIRST]
        variable = [number for number in ids if _VARIABLE_FIRST <= number < _TAGGED_FIRST]
        if (
            ids != sorted(set(ids))
            or fixed != list(range(_FIXED_FIRST, _FIXED_FIRST + len(fixed)))
            or variable != list(range(_VARIABLE_FIRST, _VARIABLE_FIRST + len(variable)))
        ):
            raise SchemaError(f"table {self.name}: column ids have gaps or are out of order: {ids}")

    def _check_type(self, column: Column) -> None:
        if column.is_fixed:
            fits = FIXED_SIZES.get(column.type) == column.size
        else:
            fits = column.type in (_TAGGED_TYPES if column.is_tagged else _VARIABLE_TYPES)
        if column.type in TEXT_TYPES:
            fits = fits and column.codepage in (CODEPAGE_UNICODE, CODEPAGE_LATIN)
        if not fits:
            raise SchemaError(
                f"table {self.name}: type, size or code page of {column.name} do not go with id"
                f" {column.id}"
            )

    @property
    def key_columns(self) -> tuple[Column, ...]:
        """The columns that the primary key is made of."""
        return tuple(self.column(name) for name in self.primary_key)

    def column(self, name: str) -> Column:
        """The column of that name; SchemaError if there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise SchemaError(f"table {self.name} has no column {name}")

    def index(self, name: str) -> IndexSchema:
        """The secondary index of that name; SchemaError if there is none."""
        for index in self.indexes:
            if index.name == name:
                return index
        raise SchemaError(f"table {self.name} has no index {name}")

    @property
    def has_long_values(self) -> bool:
        """Whether the table needs a tree for separated long values."""
        return any(column.is_tagged for column in self.columns)


@frozen
class DatabaseSchema:
    """The user tables of a database, in the order in which they are created."""

    tables: tuple[TableSchema, ...]

    def table(self, name: str) -> TableSchema:
        """The table of that name; SchemaError if there is none."""
        for table in self.tables:
            if table.name == name:
                return table
        raise SchemaError(f"no table {name}")


def _long(number: int, name: str, flags: ColumnFlag = ColumnFlag.NONE) -> Column:
    return Column(number, name, ColumnType.LONG, 4, flags)


def _text(number: int, name: str, codepage: int, flags: ColumnFlag = ColumnFlag.NONE) -> Column:
    return Column(number, name, ColumnType.TEXT, 255, flags, codepage)


# ASSUMED(mailbox-tables): the tables of a store stand for Exchange's own, which number dozens and
# are not documented. They have every kind of column that a backup or a recovery can get wrong:
# fixed, variable, tagged, separated, and bodies in the streaming file.
def mailbox_schema() -> DatabaseSchema:
    """The two tables of a store.

    ``Received`` counts units of 100 ns since 1601 (FILETIME); ``Stream`` is a list of runs of pages
    of the streaming file (``streamrun``).
    """
    not_null = ColumnFlag.NOT_NULL
    folder = (
        _long(1, "Id", not_null),
        _long(2, "ParentId"),
        _text(128, "Name", CODEPAGE_LATIN, not_null),
        _text(129, "DisplayName", CODEPAGE_UNICODE),
    )
    message = (
        _long(1, "Id", not_null),
        _long(2, "FolderId", not_null),
        _long(3, "Size"),
        Column(4, "Received", ColumnType.CURRENCY, 8),
        Column(5, "Unread", ColumnType.BIT, 1),
        _text(128, "Subject", CODEPAGE_LATIN),
        _text(129, "Sender", CODEPAGE_UNICODE),
        _text(130, "MessageClass", CODEPAGE_LATIN),
        Column(256, "Body", ColumnType.LONG_TEXT, 0, codepage=CODEPAGE_UNICODE),
        Column(257, "Raw", ColumnType.LONG_BINARY, 0),
        Column(258, "Stream", ColumnType.LONG_BINARY, 0),
    )
    return DatabaseSchema(
        (
            TableSchema("Folder", folder, ("Id",), (IndexSchema("NameIndex", (folder[2],)),)),
            TableSchema(
                "Msg", message, ("Id",), (IndexSchema("FolderIndex", (message[1], message[0])),)
            ),
        )
    )
