"""What the cases cover, as Markdown: rules by cases, calls by faults, calls by what others do.

Read off the cases themselves, whether they are written or made from tables, so that a hole shows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from eseback.calls import CALLS, CallKind
from eseconform.cases import Case, CaseCatalogue, Deed, EventSpec, FaultSpec, catalogue
from eseconform.requirements import Requirement, requirements
from esesim.faults import FaultAction, When

COLUMNS = (
    "error",
    "error after its effect",
    "connection lost before",
    "connection lost after its effect",
    "delay",
    "damaged file",
)
RESTORE_COLUMNS = COLUMNS[:4]
NAMES_SHOWN_MAX = 12


def coverage_page() -> str:
    """The page, without its heading."""
    cases = catalogue()
    parts = [
        _counts(cases),
        "## Calls and what goes wrong with them\n\n"
        "Each cell names the calls of a job that are hit: the first, the k-th, the last, or all "
        "from one on.\nThe number in brackets counts the cases.\n\n" + fault_matrix(cases),
        "## Calls of a restore and what goes wrong with them\n\n" + restore_fault_matrix(cases),
        "## What others do meanwhile\n\n" + event_table(cases),
        "## Rules and the cases that decide them\n\n" + requirement_matrix(cases),
    ]
    return "\n\n".join(parts) + "\n"


def _counts(cases: CaseCatalogue) -> str:
    rules = requirements()
    families = _families(cases)
    lines = [
        f"{len(rules)} rules and {len(cases.cases)} cases in {len(families)} families: "
        + ", ".join(
            f"{family} ({sum(c.family == family for c in cases.cases.values())})"
            for family in families
        )
        + ".",
        "",
        "`eseconform show NAME` tells everything about a rule or a case.",
    ]
    return "\n".join(lines)


def _families(cases: CaseCatalogue) -> list[str]:
    return list(dict.fromkeys(case.family for case in cases.cases.values()))


# --- calls x faults -------------------------------------------------------------------------------


def fault_matrix(cases: CaseCatalogue) -> str:
    """Backup calls by kinds of fault."""
    rows = []
    for method, documented in backup_calls():
        cells = [fault_cell(cases.cases.values(), method, column) for column in COLUMNS]
        rows.append([documented, *cells])
    return _table(["call", *COLUMNS], rows)


def restore_fault_matrix(cases: CaseCatalogue) -> str:
    """Restore calls by kinds of fault."""
    rows = []
    for method, documented in restore_calls():
        cells = [fault_cell(cases.cases.values(), method, column) for column in RESTORE_COLUMNS]
        rows.append([documented, *cells])
    return _table(["call", *RESTORE_COLUMNS], rows)


def restore_calls() -> Iterator[tuple[str, str]]:
    """Method and short documented name of each call that a restore has to make."""
    for info in CALLS:
        if info.kind is CallKind.RESTORE and info.method and info.method not in _OPTIONAL:
            yield info.method, info.documented.removeprefix("HrESE")


def backup_calls() -> Iterator[tuple[str, str]]:
    """Method and short documented name of each call that a backup has to make."""
    for info in CALLS:
        if info.kind is CallKind.BACKUP and info.method and info.method not in _OPTIONAL:
            yield info.method, info.documented.removeprefix("HrESEBackup")


_OPTIONAL = (
    *("backup_get_dependency_info", "backup_get_truncate_log_files", "snapshot_start"),
    *("restore_add_database_ns", "restore_get_environment", "restore_load_environment"),
    "restore_reopen",
)
"""Calls that a client need not make, so that a fault at one may never fire."""


def fault_cell(cases: Iterable[Case], method: str, column: str) -> str:
    """Where in a job a kind of fault hits a call, and in how many cases; "-" for nowhere."""
    positions: dict[str, None] = {}
    count = 0
    for case in cases:
        hits = [p for m, c, p in _hits(case) if m == method and c == column]
        positions.update(dict.fromkeys(hits))
        count += bool(hits)
    if not count:
        return "-"
    order = [p for p in ("first", "k-th", "last", "all") if p in positions]
    return f"{', '.join(order)} ({count})"


def _hits(case: Case) -> Iterator[tuple[str, str, str]]:
    """Method, kind of fault and position of everything that goes wrong in a case."""
    for fault in case.faults:
        yield fault.call, _column(fault), _position(fault)
    for event in case.events:
        if event.do is Deed.WAIT and event.call is not None:
            yield event.call, "delay", "first" if event.nth == 1 else "k-th"


def _column(fault: FaultSpec) -> str:
    after = fault.when is When.AFTER
    if fault.action is FaultAction.HRESULT:
        return "error after its effect" if after else "error"
    if fault.action is FaultAction.DROP:
        return "connection lost after its effect" if after else "connection lost before"
    return "damaged file"


def _position(fault: FaultSpec) -> str:
    if not fault.times:
        return "all"
    return {0: "last", 1: "first"}.get(fault.nth, "k-th")


# --- what others do -------------------------------------------------------------------------------


def event_table(cases: CaseCatalogue) -> str:
    """Deeds of others, when they come, and how the server has to answer."""
    rows = []
    for deed in Deed:
        found = [(c, e) for c in cases.cases.values() for e in c.events if e.do is deed]
        when = dict.fromkeys(_when(event) for _, event in found)
        answers = dict.fromkeys(event.refused or "allowed" for _, event in found)
        names = dict.fromkeys(case.id for case, _ in found)
        rows.append(
            [deed.value.replace("_", " "), ", ".join(when), ", ".join(answers), _some(list(names))]
        )
    return _table(["what", "before", "answer", "cases"], rows)


def _when(event: EventSpec) -> str:
    if event.call is None:
        return "the job"
    short = event.call.removeprefix("backup_").removeprefix("restore_")
    return f"{short} {event.nth}" if event.nth > 1 else short


# --- rules x cases --------------------------------------------------------------------------------


def requirement_matrix(cases: CaseCatalogue) -> str:
    """Every rule with the number of its cases in each family, then by name."""
    families = _families(cases)
    letters = {family: _letters(number) for number, family in enumerate(families)}
    legend = "; ".join(f"{letter} {family}" for family, letter in letters.items())
    rows = []
    for rule in requirements().values():
        deciding = cases.deciding(rule.id)
        counts = [sum(case.family == family for case in deciding) for family in families]
        rows.append([f"`{rule.id}`", *(str(n) if n else "" for n in counts), str(len(deciding))])
    grid = _table(["rule", *letters.values(), "all"], rows)
    named = "\n".join(_rule_line(rule, cases) for rule in requirements().values())
    return f"{legend}.\n\n{grid}\n\n{named}"


def _letters(number: int) -> str:
    """A, B, ... Z, AA, AB, ...: a column of the grid."""
    head, last = divmod(number, 26)
    return (_letters(head - 1) if head else "") + chr(ord("A") + last)


def _rule_line(rule: Requirement, cases: CaseCatalogue) -> str:
    names = [case.id for case in cases.deciding(rule.id)]
    return (
        f"* `{rule.id}` ({rule.level.value}, {rule.evidence.value}, {rule.axis}): {rule.statement}"
        f"  \n  {_some(names)}"
    )


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:NAMES_SHOWN_MAX])
    more = len(names) - NAMES_SHOWN_MAX
    return f"{shown} and {more} more" if more > 0 else shown


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(row) + " |" for row in lines)
