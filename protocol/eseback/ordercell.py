"""One cell of an order table, makers of cells, and how rows become a table.

Both tables (`eseback.order` for backup, `eseback.restoreorder` for restore) are total: every pair
of state and call has a cell. Rows are written by call; each row names every state once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import Generic, TypeAlias, TypeVar

from attrs import evolve, field

from eseback.data import frozen
from eseback.errors import ROW_BY_NAME, ErrorRow, EseBackupError, row_of_hresult
from eseback.grade import Grade
from eseback.jeterr import JetErr

__all__ = [
    "Cell",
    "CellMaker",
    "RowSpec",
    "build_table",
    "fail",
    "go",
    "impossible",
    "misused",
    "over",
]

StateT = TypeVar("StateT", bound=Enum)
CallT = TypeVar("CallT", bound=Enum)


@frozen
class Cell(Generic[StateT]):
    """What a call does in a state.

    next_state: the state after it. error: JET error that it returns, None if the engine has none.
    api_error: name of an error above the engine (a row without JET number), else None; a call
    succeeds when both are None. backup_ended: a running backup is over after it (in the restore
    table: the context and its restore are).
    events: event log ids that it always writes, in order; those that depend on data (221 or 222
    at a close, 224 or 225 at a truncation) are not here. grade, source: how well founded the cell
    is, and by what. possible: False where the environment cannot bring the call about; the cell
    then repeats what the plain call does. misuse: rule that the client breaks although the server
    lets it pass, empty if none; misuse_grade: how well founded that rule is.
    """

    next_state: StateT
    error: JetErr | None = None
    backup_ended: bool = False
    events: tuple[int, ...] = ()
    grade: Grade = field(kw_only=True)
    source: str = field(kw_only=True)
    api_error: str | None = None
    possible: bool = True
    misuse: str = ""
    misuse_grade: Grade = Grade.INFERRED

    @property
    def ok(self) -> bool:
        """Whether the call succeeds."""
        return self.error is None and self.api_error is None

    @property
    def event(self) -> int | None:
        """The last of the events, which tells how a backup ended if it did; None without any."""
        return self.events[-1] if self.events else None

    @property
    def row(self) -> ErrorRow | None:
        """Row of the error that the call returns; None if it succeeds."""
        if self.api_error is not None:
            return ROW_BY_NAME[self.api_error]
        if self.error is not None:
            return row_of_hresult(EseBackupError.from_jet(self.error).hresult)
        return None

    @property
    def hresult(self) -> int:
        """What the call returns, unsigned 32 bits; 0 for success."""
        row = self.row
        return 0 if row is None else row.hresult

    def exception(self, call: str | None = None, detail: str = "") -> EseBackupError | None:
        """Exception for the call's error, to be raised by an implementation; None for success."""
        if self.api_error is not None:
            return EseBackupError.from_name(self.api_error, call, detail)
        if self.error is not None:
            return EseBackupError.from_jet(self.error, call, detail)
        return None


CellMaker: TypeAlias = Callable[[StateT], Cell[StateT]]
"""Makes the cell of one state; rows share a maker between states."""

RowSpec: TypeAlias = Iterable[tuple[Iterable[StateT], CellMaker[StateT]]]
"""A row of a table: groups of states and the maker of their cells."""


def go(
    to: StateT | Mapping[StateT, StateT] | None,
    source: str,
    grade: Grade = Grade.SOURCE,
    *,
    events: tuple[int, ...] = (),
) -> CellMaker[StateT]:
    """Success; `to` is the next state, a mapping from state to state, or None to stay."""

    def make(state: StateT) -> Cell[StateT]:
        after = state if to is None else to[state] if isinstance(to, Mapping) else to
        return Cell(after, events=events, grade=grade, source=source)

    return make


def fail(
    error: JetErr | str, source: str, grade: Grade = Grade.SOURCE, *, events: tuple[int, ...] = ()
) -> CellMaker[StateT]:
    """The call fails and changes nothing. `error` is a JET error, or the name of another row."""

    def make(state: StateT) -> Cell[StateT]:
        if isinstance(error, JetErr):
            return Cell(state, error, events=events, grade=grade, source=source)
        return Cell(state, api_error=error, events=events, grade=grade, source=source)

    return make


def over(
    to: StateT,
    error: JetErr | None,
    source: str,
    grade: Grade = Grade.SOURCE,
    *,
    events: tuple[int, ...] = (),
) -> CellMaker[StateT]:
    """The backup or restore is over afterwards, whether the call succeeds or not."""

    def make(_state: StateT) -> Cell[StateT]:
        return Cell(to, error, True, events=events, grade=grade, source=source)

    return make


def misused(make: CellMaker[StateT], rule: str, grade: Grade = Grade.INFERRED) -> CellMaker[StateT]:
    """The same cell, with a rule that the client breaks although the server lets it pass."""
    return lambda state: evolve(make(state), misuse=rule, misuse_grade=grade)


def impossible(make: CellMaker[StateT]) -> CellMaker[StateT]:
    """The same cell, marked as one that the environment cannot bring about."""
    return lambda state: evolve(make(state), possible=False)


def build_table(
    states: type[StateT], calls: type[CallT], rows: Mapping[CallT, RowSpec[StateT]]
) -> dict[tuple[StateT, CallT], Cell[StateT]]:
    """Table from rows; ValueError if a pair is missing or given twice."""
    table: dict[tuple[StateT, CallT], Cell[StateT]] = {}
    for call in calls:
        for group, make in rows[call]:
            for state in group:
                if (state, call) in table:
                    raise ValueError(f"{call.name} in {state.name} is given twice")
                table[state, call] = make(state)
    if len(table) != len(states) * len(calls):
        missing = [
            f"{call.name} in {state.name}"
            for call in calls
            for state in states
            if (state, call) not in table
        ]
        raise ValueError(f"no cell for {', '.join(missing)}")
    return table
