"""Transactions: what is done under them can be taken back, row by row, by key.

Each row operation notes its undo in memory; the same is in the log for recovery. Rollback runs
the notes backwards through the trees and logs what it does (compensation), so that a crash in the
middle of a rollback goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from eseback.data import frozen

from .btree import Tree
from .errors import WriteConflictError
from .logrecord import LogType, mark
from .page import node_data, node_key

if TYPE_CHECKING:
    from .database import Database
    from .log import LogStream

RowLock = tuple[int, str, bytes]


@frozen
class Undo:
    """How to take one row operation back: ``node`` as it was (REPLACE, DELETE) or is (INSERT)."""

    kind: LogType
    tree: Tree
    node: bytes

    def run(self, tx: int) -> None:
        """Take the operation back and log that as a compensation."""
        key = node_key(self.node)
        if self.kind == LogType.INSERT:
            self.tree.delete(tx, key, compensation=True)
        elif self.kind == LogType.DELETE:
            self.tree.insert(tx, key, node_data(self.node), compensation=True)
        else:
            self.tree.replace(tx, key, node_data(self.node), compensation=True)


class TransactionTable:
    """The open transactions of an instance, their numbers and row locks."""

    def __init__(self, log: LogStream, first_id: int = 1) -> None:
        self.log = log
        self.open: dict[int, Transaction] = {}
        self.locks: dict[RowLock, int] = {}
        self._next_id = first_id

    def start(self) -> Transaction:
        """A new transaction. Nothing is logged before its first change."""
        number = self._next_id
        self._next_id += 1
        return Transaction(self, number)

    @property
    def oldest_begin(self) -> int | None:
        """Position of the begin record of the oldest open transaction: its undo must stay."""
        return min((tx.begin_lsn for tx in self.open.values()), default=None)


class Transaction:
    """One unit of work. Ends with :meth:`commit` or :meth:`rollback`, once."""

    def __init__(self, table: TransactionTable, number: int) -> None:
        self.number = number
        self.begin_lsn = -1
        self._table = table
        self._undo: list[Undo] = []
        self._locks: list[RowLock] = []
        self._on_commit: list[Callable[[], None]] = []
        self._on_rollback: list[Callable[[], None]] = []

    def begin(self) -> int:
        """Log the begin before the first change; returns the transaction's number."""
        if self.begin_lsn < 0:
            self.begin_lsn = self._table.log.append(mark(LogType.BEGIN, tx=self.number))
            self._table.open[self.number] = self
        return self.number

    def lock(self, database: Database, name: str, key: bytes) -> None:
        """Take the row for this transaction. Raises WriteConflictError."""
        lock = (database.dbid, name, key)
        holder = self._table.locks.setdefault(lock, self.number)
        if holder != self.number:
            raise WriteConflictError(f"transaction {holder} has changed {name} {key.hex()}")
        self._locks.append(lock)

    def insert(self, database: Database, tree: Tree, key: bytes, data: bytes) -> None:
        """Insert into a tree, undoably."""
        self._undo.append(Undo(LogType.INSERT, tree, tree.insert(self.begin(), key, data)))

    def replace(self, database: Database, tree: Tree, key: bytes, data: bytes) -> None:
        """Replace in a tree, undoably."""
        self._undo.append(Undo(LogType.REPLACE, tree, tree.replace(self.begin(), key, data)))

    def delete(self, database: Database, tree: Tree, key: bytes) -> None:
        """Delete from a tree, undoably."""
        self._undo.append(Undo(LogType.DELETE, tree, tree.delete(self.begin(), key)))

    def on_commit(self, action: Callable[[], None]) -> None:
        """Run ``action`` once the commit is durable."""
        self._on_commit.append(action)

    def on_rollback(self, action: Callable[[], None]) -> None:
        """Run ``action`` after a rollback."""
        self._on_rollback.append(action)

    def commit(self) -> int:
        """Make the work durable; returns the generation that holds the commit record."""
        log = self._table.log
        generation = log.generation
        if self.begin_lsn >= 0:
            generation = log.append(mark(LogType.COMMIT, tx=self.number)) >> 32
            log.flush()
        self._finish(self._on_commit)
        return generation

    def rollback(self) -> None:
        """Take everything back."""
        if self.begin_lsn >= 0:
            while self._undo:
                self._undo.pop().run(self.number)
            self._table.log.append(mark(LogType.ROLLBACK, tx=self.number))
        self._finish(self._on_rollback)

    def _finish(self, actions: list[Callable[[], None]]) -> None:
        for lock in self._locks:
            self._table.locks.pop(lock, None)
        self._table.open.pop(self.number, None)
        for action in actions:
            action()
