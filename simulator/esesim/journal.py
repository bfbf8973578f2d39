"""What was committed, when: the truth that a restored database is held against.

The journal is written by whoever changes the databases (the workload), from the values it meant to
store, not from what the engine stored. So a row that the engine loses or invents shows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from attrs import field

from eseback.data import define, frozen

from .engine.table import Row

Rows = dict[str, dict[bytes, Row]]


@frozen
class Change:
    """A row of a table becomes ``row``; None: it is gone."""

    table: str
    key: bytes
    row: Row | None


@frozen
class Commit:
    """The changes of one transaction and the generation that holds its commit record."""

    generation: int
    changes: tuple[Change, ...]


@define
class CommitJournal:
    """Commits per database (by its Windows path, case-folded), in order."""

    _commits: dict[str, list[Commit]] = field(factory=dict)
    # What was being committed when the power went: it may be there or not, but only as a whole.
    in_doubt: dict[str, tuple[Change, ...]] = field(factory=dict)

    def record(self, edb: str, generation: int, changes: Iterable[Change]) -> None:
        """A commit was acknowledged."""
        self._commits.setdefault(edb.casefold(), []).append(Commit(generation, tuple(changes)))

    def restart(self, edb: str, rows: Mapping[str, Mapping[bytes, Row]]) -> None:
        """The database begins anew with these rows: it was restored, or found as it is."""
        self.forget(edb)
        changes = (
            Change(table, key, row) for table, found in rows.items() for key, row in found.items()
        )
        self.record(edb, 0, changes)

    def forget(self, edb: str) -> None:
        """The database is gone, and all that was committed to it."""
        self._commits.pop(edb.casefold(), None)
        self.in_doubt.pop(edb, None)

    def rows(self, edb: str, generation: int | None = None) -> Rows:
        """Rows committed when ``generation`` was closed (None: now), by table and primary key."""
        rows: Rows = {"Folder": {}, "Msg": {}}
        for commit in self._commits.get(edb.casefold(), ()):
            if generation is None or commit.generation <= generation:
                apply_changes(rows, commit.changes)
        return rows

    def commits(self, edb: str) -> tuple[Commit, ...]:
        """What was committed to a database, in order; nothing to an unknown one."""
        return tuple(self._commits.get(edb.casefold(), ()))

    def databases(self) -> list[str]:
        """The databases that anything was committed to."""
        return sorted(self._commits)

    def copy(self) -> CommitJournal:
        """An independent copy: what is recorded later does not show in it."""
        return CommitJournal(
            {edb: list(commits) for edb, commits in self._commits.items()}, dict(self.in_doubt)
        )


def apply_changes(rows: Rows, changes: Iterable[Change]) -> None:
    """Bring ``rows`` up to date with the changes of one transaction."""
    for change in changes:
        table = rows.setdefault(change.table, {})
        if change.row is None:
            table.pop(change.key, None)
        else:
            table[change.key] = change.row


def differences(
    expected: Mapping[str, Mapping[bytes, Row]],
    found: Mapping[str, Mapping[bytes, Row]],
    limit: int = 5,
) -> list[str]:
    """What distinguishes two sets of rows, in words; at most ``limit`` of them."""
    said: list[str] = []
    for table in sorted({*expected, *found}):
        wanted, got = expected.get(table, {}), found.get(table, {})
        for key in sorted({*wanted, *got}):
            if wanted.get(key) == got.get(key):
                continue
            name = f"{table} row {(wanted.get(key) or got.get(key) or {}).get('Id', key.hex())}"
            if key not in got:
                said.append(f"{name} was committed and is missing")
            elif key not in wanted:
                said.append(f"{name} is there and was never committed, or was deleted")
            else:
                columns = [c for c in wanted[key] if wanted[key][c] != got[key].get(c)]
                said.append(f"{name} differs in {', '.join(columns)}")
            if len(said) == limit:
                return said
    return said
