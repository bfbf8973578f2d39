"""The order tables as text for the documentation: a Markdown matrix and a Mermaid diagram each.

Pure text from the tables, so that docs/call-matrix.md and docs/state-diagram.md cannot say
anything else than what the simulator and the judge go by. Bodies of pages, without a heading.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from typing import Final, TypeVar

from eseback.calls import CALL_BY_METHOD
from eseback.grade import Grade
from eseback.order import (
    BACKUP_ORDER,
    BACKUP_ORDER_2000,
    BACKUP_START,
    BackupCall,
    BackupState,
)
from eseback.ordercell import Cell
from eseback.restoreorder import RESTORE_ORDER, RESTORE_STARTS, RestoreCall, RestoreState

__all__ = ["call_matrix", "cell_text", "state_diagram"]

StateT = TypeVar("StateT", bound=Enum)
CallT = TypeVar("CallT", bound=Enum)
_Table = Mapping[tuple[StateT, CallT], Cell[StateT]]
_Edges = dict[tuple[str, str], list[str]]

_GRADE_MARKS: Final = {
    Grade.DOCUMENTED: "",
    Grade.SOURCE: "",
    Grade.OBSERVED: " (o)",
    Grade.INFERRED: " (i)",
    Grade.ASSUMED: " (a)",
}

_LEGEND: Final = """\
`ok` succeeds and leaves the state; `→ STATE` succeeds and leads there; a number is the JET error
(a name: an error without one) and, unless it says otherwise, nothing has changed; `†` the backup
is over afterwards; `n/a` cannot come about; `!` succeeds, but the client breaks a rule (below).
How well founded: no mark means documented or from Microsoft's ESE source, (o) observed,
(i) inferred, (a) assumed."""


# ---- matrix


def cell_text(state: StateT, cell: Cell[StateT]) -> str:
    """A cell in a word, as the legend explains it."""
    if not cell.possible:
        return "n/a"
    parts: list[str] = []
    if cell.error is not None:
        parts.append(str(int(cell.error)))
    if cell.api_error is not None:
        parts.append(cell.api_error)
    if cell.next_state is not state:
        parts.append(f"→ {cell.next_state.name}")
    text = " ".join(parts) or "ok"
    text += " †" if cell.backup_ended else ""
    text += " !" if cell.misuse else ""
    return text + _GRADE_MARKS[cell.grade]


def _documented_names(methods: Iterable[str]) -> str:
    return ", ".join(CALL_BY_METHOD[method].documented for method in methods)


def _matrix(
    table: _Table[StateT, CallT], states: type[StateT], calls: Iterable[CallT]
) -> Iterator[str]:
    yield "| call | " + " | ".join(state.name for state in states) + " |"
    yield "|---" * (len(states) + 1) + "|"
    for call in calls:
        cells = (cell_text(state, table[state, call]) for state in states)
        yield f"| {call.name} | " + " | ".join(cells) + " |"


def _differences(
    table: _Table[StateT, CallT], other: _Table[StateT, CallT], title: str
) -> Iterator[str]:
    """The cells that another version's table has otherwise, as a Markdown table."""
    yield f"| call | state | 2003 and later | {title} | evidence |"
    yield "|---|---|---|---|---|"
    for (state, call), cell in other.items():
        if cell != table[state, call]:
            texts = cell_text(state, table[state, call]), cell_text(state, cell)
            evidence = f"{cell.source} ({cell.grade.value})"
            yield f"| {call.name} | {state.name} | {' | '.join(texts)} | {evidence} |"


def _rules(table: _Table[StateT, CallT]) -> Iterator[str]:
    """The rules behind the exclamation marks, each once."""
    places: dict[tuple[str, Grade], list[str]] = {}
    for (state, call), cell in table.items():
        if cell.misuse and cell.possible:
            key = (cell.misuse, cell.misuse_grade)
            places.setdefault(key, []).append(f"{call.name} in {state.name}")
    for (rule, grade), where in places.items():
        yield f"- {', '.join(where)}: {rule} ({grade.value})."


def _evidence(table: _Table[StateT, CallT], calls: Iterable[CallT]) -> Iterator[str]:
    """Per call, what its cells rest on."""
    for call in calls:
        sources: dict[str, None] = {}
        for (_, other), cell in table.items():
            if other is call and cell.possible:
                sources.setdefault(f"{cell.source} ({cell.grade.value})", None)
        yield f"- {call.name}: " + "; ".join(sources) + "."


def _variants(calls: Sequence[CallT], methods: Callable[[CallT], tuple[str, ...]]) -> Iterator[str]:
    yield "| call | documented function |"
    yield "|---|---|"
    for call in calls:
        yield f"| {call.name} | {_documented_names(methods(call)) or '(what others do)'} |"


def call_matrix() -> str:
    """Body of docs/call-matrix.md: both matrices, what Exchange 2000 does otherwise, the rules
    behind them and their evidence.
    """
    backup, restore = tuple(BackupCall), tuple(RestoreCall)
    return "\n".join(
        [
            _LEGEND,
            "",
            "## Backup",
            "",
            *_matrix(BACKUP_ORDER, BackupState, backup),
            "",
            "Rules that the server does not enforce:",
            "",
            *_rules(BACKUP_ORDER),
            "",
            "Exchange 2000, whose files end a backup when they fail, differs in these cells alone:",
            "",
            *_differences(BACKUP_ORDER, BACKUP_ORDER_2000, "Exchange 2000"),
            "",
            "## Restore",
            "",
            *_matrix(RESTORE_ORDER, RestoreState, restore),
            "",
            "Rules that the server does not enforce:",
            "",
            *_rules(RESTORE_ORDER),
            "",
            "## What the names of the rows stand for",
            "",
            *_variants(backup, lambda call: call.methods),
            "",
            *_variants(restore, lambda call: call.methods),
            "",
            "## Evidence",
            "",
            *_evidence(BACKUP_ORDER, backup),
            "",
            *_evidence(RESTORE_ORDER, restore),
            "",
        ]
    )


# ---- diagram


def _label(call: Enum, cell: Cell[StateT]) -> str:
    error = "" if cell.ok else f" ({int(cell.error) if cell.error is not None else cell.api_error})"
    # A failure by circumstance already has its name.
    return f"{call.name}{error}" + (" †" if cell.backup_ended and not cell.ok else "")


def _edges(
    table: _Table[StateT, CallT],
    states: Iterable[StateT],
    calls: Iterable[CallT],
    group: tuple[str, Sequence[StateT]],
) -> _Edges:
    """Labels by (from, to). What all states of the group do alike leaves the group as a whole."""
    group_name, members = group
    edges: _Edges = {}
    for call in calls:
        cells = [table[state, call] for state in members]
        targets = {cell.next_state for cell in cells}
        alike = len(targets) == 1 and len({_label(call, cell) for cell in cells}) == 1
        shared = alike and targets.isdisjoint(members)
        if shared:
            target = cells[0].next_state.name
            edges.setdefault((group_name, target), []).append(_label(call, cells[0]))
        for state in states:
            cell = table[state, call]
            if cell.possible and cell.next_state is not state and not (shared and state in members):
                edge = (state.name, cell.next_state.name)
                edges.setdefault(edge, []).append(_label(call, cell))
    return edges


def _diagram(
    starts: Iterable[tuple[str, StateT]], group: tuple[str, Sequence[StateT]], edges: _Edges
) -> Iterator[str]:
    group_name, members = group
    inside = {state.name for state in members}
    yield "```mermaid"
    yield "stateDiagram-v2"
    for label, state in starts:
        yield f"    [*] --> {state.name}: {label}"
    yield f"    state {group_name} {{"
    for name in (state.name for state in members):
        yield f"        {name}"
    for (start, end), labels in edges.items():
        if start in inside and end in inside:
            yield f"        {start} --> {end}: {'<br/>'.join(labels)}"
    yield "    }"
    for (start, end), labels in edges.items():
        if not (start in inside and end in inside):
            yield f"    {start} --> {end}: {'<br/>'.join(labels)}"
    yield "```"


def state_diagram() -> str:
    """Body of docs/state-diagram.md: every call that changes the state, as two Mermaid diagrams."""
    running = ("RUNNING", [state for state in BackupState if state.running])
    alive = ("OPEN", [state for state in RestoreState if state is not RestoreState.CLOSED])
    backup_edges = _edges(BACKUP_ORDER, BackupState, BackupCall, running)
    restore_edges = _edges(RESTORE_ORDER, RestoreState, RestoreCall, alive)
    return "\n".join(
        [
            "Calls that leave the state as it is are not drawn, see the call matrix. A number is",
            "the JET error that the call returns; † marks an error that ends the backup.",
            "",
            "## Backup",
            "",
            *_diagram([("PREPARE", BACKUP_START)], running, backup_edges),
            "",
            "## Restore",
            "",
            *_diagram(
                [(method.upper(), state) for method, state in RESTORE_STARTS.items()],
                alive,
                restore_edges,
            ),
            "",
        ]
    )
