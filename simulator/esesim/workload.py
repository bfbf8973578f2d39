"""The mail workload: seeded transactions that keep changing a storage group.

It runs in small steps, at call boundaries; each step is one operation of one of a few open
transactions, then a slice of the engine's lazy writer. So a backup that runs meanwhile meets what a
real one meets: pages that change after they were copied, splits, growth, transactions that are open
when the log rolls, commits and rollbacks.
"""

from __future__ import annotations

import random
from itertools import islice
from typing import TYPE_CHECKING, Final

from attrs import field

from eseback.data import define

from .engine.database import Database
from .engine.errors import (
    JetError,
    KeyDuplicateError,
    RecordNotFoundError,
    WriteConflictError,
)
from .engine.table import Row
from .engine.transaction import Transaction
from .journal import Change, CommitJournal

if TYPE_CHECKING:
    from .engine.instance import Instance
    from .topology import WorkloadSpec

_OPEN_MAX: Final = 4
_POPULATE_BATCH: Final = 20
_PURGE_ROWS: Final = 12
_FILETIME_1970: Final = 116_444_736_000_000_000
_VOCABULARY: Final = """
    quarterly minutes budget Re: Fwd: delivery Größe café meeting agenda review draft invoice
    forecast travel résumé release schedule naïve summary
"""
_WORDS: Final = tuple(_VOCABULARY.split())
_SENDERS: Final = ("Ana García", "Jürgen Weiß", "Zoë O'Neil", "李 伟", "Мария Петрова", "Bob")


@define
class _Work:
    """An open transaction of the workload."""

    transaction: Transaction
    database: Database
    steps_left: int
    changes: list[Change] = field(factory=list)


class _Store:
    """What the workload knows of one database: the ids of committed messages, for picking."""

    def __init__(self) -> None:
        self.ids: list[int] = []
        self._place: dict[int, int] = {}

    def add(self, number: int) -> None:
        if number not in self._place:
            self._place[number] = len(self.ids)
            self.ids.append(number)

    def discard(self, number: int) -> None:
        place = self._place.pop(number, None)
        if place is None:
            return
        last = self.ids.pop()
        if last != number:
            self.ids[place] = last
            self._place[last] = place


class Workload:
    """Changes the databases of one instance. Deterministic by its random stream."""

    def __init__(
        self,
        instance: Instance,
        spec: WorkloadSpec,
        rng: random.Random,
        journal: CommitJournal,
    ) -> None:
        self.journal = journal
        self._instance = instance
        self._spec = spec
        self._rng = rng
        self._open: list[_Work] = []
        self._stores: dict[str, _Store] = {}

    def populate(self, edb: str) -> None:
        """Fill a new database with its folders and first messages."""
        database = self._database(edb)
        folders = database.tables["Folder"]
        work = self._start(database, 1)
        for number in range(1, self._spec.folders + 1):
            row: Row = {
                "Id": number,
                "ParentId": 0 if number == 1 else 1,
                "Name": f"Folder {number}",
                "DisplayName": f"Ordner №{number}",
            }
            folders.insert(work.transaction, row)
            work.changes.append(Change("Folder", folders.key(row), row))
        self._commit(work)
        for start in range(0, self._spec.messages, _POPULATE_BATCH):
            work = self._start(database, 1)
            for _ in range(min(_POPULATE_BATCH, self._spec.messages - start)):
                self._insert(work)
            self._commit(work)

    def step(self) -> None:
        """One operation of one transaction, and a slice of the lazy writer."""
        if self._instance.databases:
            try:
                work = self._pick_work()
            except JetError:
                # Nothing can be written now (disk full, generations used up): users have to wait.
                return
            self._operate(work)
        self._instance.background()

    def settle(self, edb: str | None = None) -> None:
        """End the open transactions (of one database): commit them or roll them back."""
        for work in list(self._open):
            if edb is None or work.database.edb.casefold() == edb.casefold():
                self._finish(work)

    def restart(self, instance: Instance) -> None:
        """Go on with a restarted instance; what was open is gone.

        The ids to pick from are taken from the journal; a commit in doubt is looked up.
        """
        self._instance = instance
        self._open.clear()
        for database in instance.databases.values():
            changes = self.journal.in_doubt.pop(database.edb, None)
            if changes:
                last = changes[-1]
                if database.tables[last.table].get(last.key) == last.row:
                    self.journal.record(database.edb, instance.log.generation, changes)
        self._stores.clear()

    def forget(self, edb: str) -> None:
        """A database has other rows than before: look in the journal when they are needed."""
        self._stores.pop(edb.casefold(), None)

    # -- transactions

    def _pick_work(self) -> _Work:
        rng = self._rng
        if not self._open or (len(self._open) < _OPEN_MAX and rng.random() < 0.3):
            databases = list(self._instance.databases.values())
            long = rng.randrange(100) < self._spec.long_percent
            steps = rng.randrange(20, 60) if long else rng.randrange(1, 7)
            work = self._start(rng.choice(databases), steps)
            self._open.append(work)
            return work
        return rng.choice(self._open)

    def _start(self, database: Database, steps: int) -> _Work:
        return _Work(self._instance.begin(), database, steps)

    def _operate(self, work: _Work) -> None:
        choice = self._rng.random()
        try:
            if choice < 0.55:
                self._insert(work)
            elif choice < 0.8:
                self._update(work)
            elif choice < 0.93:
                self._delete(work)
            elif choice < 0.97:
                self._purge(work)
            else:
                self._rename_folder(work)
        except (WriteConflictError, RecordNotFoundError, KeyDuplicateError):
            # Somebody else's row: a mail store would try again later.
            pass
        except JetError:
            self._give_up(work)
            return
        work.steps_left -= 1
        if work.steps_left <= 0:
            self._finish(work)

    def _finish(self, work: _Work) -> None:
        self._open.remove(work)
        if self._rng.randrange(100) < self._spec.rollback_percent:
            work.transaction.rollback()
        else:
            self._commit(work)

    def _give_up(self, work: _Work) -> None:
        """A page can't be read: the user sees an error, the transaction is taken back."""
        self._open.remove(work)
        try:
            work.transaction.rollback()
        except JetError:
            # What the damage keeps from being taken back stays open; recovery will undo it.
            self._instance.marks["rollback_failed"] += 1

    def _commit(self, work: _Work) -> None:
        edb = work.database.edb
        self.journal.in_doubt[edb] = tuple(work.changes)
        try:
            generation = work.transaction.commit()
        except JetError:
            # The log took no commit record: recovery will take the work back.
            del self.journal.in_doubt[edb]
            self._instance.marks["commit_failed"] += 1
            return
        del self.journal.in_doubt[edb]
        self.journal.record(edb, generation, work.changes)
        store = self._store(edb)
        for change in work.changes:
            if change.table == "Msg":
                number = _message_id(change)
                if change.row is None:
                    store.discard(number)
                else:
                    store.add(number)

    # -- operations

    def _insert(self, work: _Work) -> None:
        table = work.database.tables["Msg"]
        row = self._message(work.database, self._rng.randrange(1, 2**31))
        table.insert(work.transaction, row)
        work.changes.append(Change("Msg", table.key(row), row))

    def _update(self, work: _Work) -> None:
        ids = self._store(work.database.edb).ids
        if not ids:
            return
        table = work.database.tables["Msg"]
        row = self._message(work.database, self._rng.choice(ids))
        table.replace(work.transaction, row)
        work.changes.append(Change("Msg", table.key(row), row))

    def _delete(self, work: _Work) -> None:
        ids = self._store(work.database.edb).ids
        # A store keeps some mail, or an idle demo would end empty.
        if len(ids) < self._spec.messages // 2:
            return
        table = work.database.tables["Msg"]
        key = table.key({"Id": self._rng.choice(ids)})
        table.delete(work.transaction, key)
        work.changes.append(Change("Msg", key, None))

    def _purge(self, work: _Work) -> None:
        """Delete a run of neighbours: whole leaves become empty and are used again elsewhere."""
        ids = self._store(work.database.edb).ids
        if len(ids) < self._spec.messages // 2 + _PURGE_ROWS:
            return
        table = work.database.tables["Msg"]
        start = table.key({"Id": self._rng.choice(ids)})
        for key, _ in list(islice(table.primary.scan(start), _PURGE_ROWS)):
            table.delete(work.transaction, key)
            work.changes.append(Change("Msg", key, None))

    def _rename_folder(self, work: _Work) -> None:
        number = self._rng.randrange(1, self._spec.folders + 1)
        table = work.database.tables["Folder"]
        row: Row = {
            "Id": number,
            "ParentId": 0 if number == 1 else 1,
            "Name": f"Folder {number} {self._words(2)}"[:60],
            "DisplayName": f"Ordner №{number} {self._words(1)}",
        }
        table.replace(work.transaction, row)
        work.changes.append(Change("Folder", table.key(row), row))

    def _message(self, database: Database, number: int) -> Row:
        rng = self._rng
        limit = self._spec.body_size_max
        # Most mail is short; a tail reaches the limit.
        size = int(limit * rng.random() ** 4)
        streamed = database.stm is not None and rng.random() < 0.3
        body = self._words(1 + size // 16)
        return {
            "Id": number,
            "FolderId": rng.randrange(1, self._spec.folders + 1),
            "Size": size,
            "Received": _FILETIME_1970 + self._instance.clock.now() * 10_000_000,
            "Unread": rng.random() < 0.5,
            "Subject": self._words(rng.randrange(1, 8))[:200],
            "Sender": rng.choice(_SENDERS),
            "MessageClass": "IPM.Note",
            "Body": None if streamed else body,
            "Raw": rng.randbytes(rng.randrange(1, 1500)) if rng.random() < 0.15 else None,
            "Stream": rng.randbytes(1 + size) if streamed else None,
        }

    def _words(self, count: int) -> str:
        return " ".join(self._rng.choices(_WORDS, k=count))

    def _database(self, edb: str) -> Database:
        database = self._instance.find(edb)
        if database is None:
            raise LookupError(f"{edb} is not attached")
        return database

    def _store(self, edb: str) -> _Store:
        store = self._stores.get(edb.casefold())
        if store is None:
            store = self._stores[edb.casefold()] = _Store()
            for row in self.journal.rows(edb)["Msg"].values():
                number = row["Id"]
                assert isinstance(number, int), "an Id is a long"
                store.add(number)
        return store


def _message_id(change: Change) -> int:
    """The id in a primary key: a marker byte, then the big-endian number with its sign flipped."""
    return int.from_bytes(change.key[1:5], "big") ^ 0x80000000
