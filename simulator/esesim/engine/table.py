"""Rows of one table: primary tree, secondary indexes, long values and streams kept in step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

from .btree import Tree
from .errors import KeyDuplicateError, RecordNotFoundError
from .longvalue import (
    long_value_key,
    long_value_node_keys,
    long_value_nodes,
    long_value_size,
    read_long_value,
)
from .row import (
    SeparatedValue,
    decode_row,
    encode_key,
    encode_row,
    row_long_values,
    separated_values,
)
from .schema import IndexSchema, TableSchema
from .streamrun import unpack_runs

if TYPE_CHECKING:
    from .database import Database
    from .transaction import Transaction

STREAM_COLUMN: Final = "Stream"
"""The column whose value lies in the streaming file where the database has one."""

Row = dict[str, object]


class Table:
    """One table of an open database."""

    def __init__(
        self,
        database: Database,
        schema: TableSchema,
        primary: Tree,
        indexes: Mapping[str, Tree],
        long_values: Tree | None,
    ) -> None:
        self.schema = schema
        self.primary = primary
        self.long_values = long_values
        self.indexes: list[tuple[IndexSchema, Tree]] = [
            (schema.index(name), tree) for name, tree in indexes.items()
        ]
        self._db = database
        self._next_lid: int | None = None

    def key(self, values: Mapping[str, object]) -> bytes:
        """The primary key of a row."""
        return encode_key(self.schema, values)

    def insert(self, tx: Transaction, values: Mapping[str, object]) -> None:
        """Add a row. Raises KeyDuplicateError, WriteConflictError, RecordTooBigError."""
        key = self.key(values)
        self._lock(tx, key, values)
        if self.primary.find(key) is not None:
            # Said before anything is written: the transaction can go on.
            raise KeyDuplicateError(f"{self.schema.name} has a row {key.hex()} already")
        data = self._encode(tx, values)
        tx.insert(self._db, self.primary, key, data)
        for index, tree in self.indexes:
            tx.insert(self._db, tree, encode_key(index, values), key)

    def replace(self, tx: Transaction, values: Mapping[str, object]) -> None:
        """Give the row with the primary key of ``values`` these values, all of them."""
        key = self.key(values)
        tx.lock(self._db, self.schema.name, key)
        old = decode_row(self.schema, self._stored(key))
        self._lock(tx, key, old)
        self._lock(tx, key, values)
        self._drop_long(tx, old)
        tx.replace(self._db, self.primary, key, self._encode(tx, values))
        for index, tree in self.indexes:
            before, after = encode_key(index, old), encode_key(index, values)
            if before != after:
                tx.delete(self._db, tree, before)
                tx.insert(self._db, tree, after, key)

    def delete(self, tx: Transaction, key: bytes) -> None:
        """Take the row out. Raises RecordNotFoundError, WriteConflictError."""
        tx.lock(self._db, self.schema.name, key)
        old = decode_row(self.schema, self._stored(key))
        self._lock(tx, key, old)
        for index, tree in self.indexes:
            tx.delete(self._db, tree, encode_key(index, old))
        tx.delete(self._db, self.primary, key)
        self._drop_long(tx, old)

    def get(self, key: bytes) -> Row | None:
        """The row with that primary key, long values and stream included."""
        data = self.primary.find(key)
        return None if data is None else self._decode(data)

    def rows(self) -> Iterator[tuple[bytes, Row]]:
        """(primary key, row) of the whole table in key order; it must not change meanwhile."""
        for key, data in self.primary.scan():
            yield key, self._decode(data)

    def _stored(self, key: bytes) -> bytes:
        data = self.primary.find(key)
        if data is None:
            raise RecordNotFoundError(f"{self.schema.name} has no row {key.hex()}")
        return data

    def _lock(self, tx: Transaction, key: bytes, values: Mapping[str, object]) -> None:
        """The row, and its place in every index: nobody else may take or free that meanwhile."""
        tx.lock(self._db, self.schema.name, key)
        for index, _ in self.indexes:
            tx.lock(self._db, f"{self.schema.name}.{index.name}", encode_key(index, values))

    def _encode(self, tx: Transaction, values: Mapping[str, object]) -> bytes:
        stored = dict(values)
        streaming = self._db.streaming
        body = stored.get(STREAM_COLUMN)
        if streaming is not None and isinstance(body, bytes):
            stored[STREAM_COLUMN] = streaming.store(self._db, tx, body)
        separated = {
            name: self._store_long(tx, data)
            for name, data in separated_values(self.schema, stored).items()
        }
        return encode_row(self.schema, stored, separated)

    def _store_long(self, tx: Transaction, data: bytes) -> int:
        tree = self.long_values
        assert tree is not None, "a table with tagged columns has a long-value tree"
        lid = self._take_lid(tree)
        for key, node in long_value_nodes(lid, data, self._db.page_size):
            tx.insert(self._db, tree, key, node)
        return lid

    def _take_lid(self, tree: Tree, count: int = 1) -> int:
        """The next long-value number. It is looked up once, before anything is deleted: a number
        that an open transaction has freed may come back with its rollback.
        """
        if self._next_lid is None:
            last = tree.last_key()
            self._next_lid = 1 if last is None else int.from_bytes(last[:4], "big") + 1
        lid = self._next_lid
        self._next_lid += count
        return lid

    def _drop_long(self, tx: Transaction, stored: Row) -> None:
        """Free what a row holds outside it; ``stored`` is the row as decoded without fetching."""
        streaming, runs = self._db.streaming, self._runs(stored)
        if streaming is not None and runs is not None:
            streaming.free(self._db, tx, runs)
        for value in stored.values():
            if isinstance(value, SeparatedValue):
                tree = self.long_values
                assert tree is not None, "a separated value lies in the long-value tree"
                self._take_lid(tree, 0)
                root = tree.find(long_value_key(value.lid))
                assert root is not None, "a row's long value exists as long as the row"
                size = long_value_size(root)
                for key in long_value_node_keys(value.lid, size, self._db.page_size):
                    tx.delete(self._db, tree, key)

    def long_value_ids(self) -> Iterator[int]:
        """The lids that the rows hold."""
        for _, data in self.primary.scan():
            yield from row_long_values(self.schema, data).values()

    def stream_pages(self) -> Iterator[int]:
        """The pages of the streaming file that the rows hold."""
        for _, data in self.primary.scan():
            runs = self._runs(decode_row(self.schema, data))
            if runs is not None:
                for run in unpack_runs(runs):
                    yield from range(run.pgno, run.pgno + run.cpg)

    def _runs(self, stored: Row) -> bytes | None:
        """The runs of a row's stream, None where the database has no streaming file."""
        if self._db.streaming is None:
            return None
        runs = stored.get(STREAM_COLUMN)
        if isinstance(runs, SeparatedValue):
            runs = self.fetch_long(runs.lid)
        return runs if isinstance(runs, bytes) else None

    def fetch_long(self, lid: int) -> bytes:
        """A separated long value. Raises LongValueError where it is not whole."""
        tree = self.long_values
        assert tree is not None, "a separated value lies in the long-value tree"
        start = long_value_key(lid)
        return read_long_value(lid, tree.scan(start, long_value_key(lid + 1)))

    def _decode(self, data: bytes) -> Row:
        row = decode_row(self.schema, data, self.fetch_long)
        streaming = self._db.streaming
        runs = row.get(STREAM_COLUMN)
        if streaming is not None and isinstance(runs, bytes):
            row[STREAM_COLUMN] = streaming.fetch(runs)
        return row
