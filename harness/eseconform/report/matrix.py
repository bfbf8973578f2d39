"""One run or several as a matrix: cases by clients and profiles, the worst first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from attrs import frozen

from eseconform.results import CaseResult, RunResult
from eseconform.verdicts import Finding, Verdict, worst


@frozen
class Source:
    """A run, and where its files lie.

    Attributes:
        run: the run.
        folder: of its ``results.json``, relative to the report; empty when they share one.
    """

    run: RunResult
    folder: str = ""


@frozen
class Column:
    """A client on a version profile, in one run.

    Attributes:
        run: index of the run.
        profile: of all its servers; empty when they differ, or the results don't tell.
        client: how the run names the client.
        detail: what tells it from another column with the same client and profile.
    """

    run: int
    profile: str
    client: str
    detail: str = ""


@frozen
class Entry:
    """One result of a case.

    Attributes:
        anchor: name of its section in the page.
        column: index of its column.
        case: the result.
    """

    anchor: str
    column: int
    case: CaseResult


@frozen
class Row:
    """A case in every column; None where it was not run."""

    id: str
    title: str
    family: str
    cells: tuple[Entry | None, ...]

    @property
    def verdict(self) -> Verdict:
        """The worst of the cells."""
        return worst((cell.case.verdict for cell in self.cells if cell), default=Verdict.SKIP)

    @property
    def profiles(self) -> list[str]:
        """The profiles that it was run on."""
        return sorted({cell.case.profile for cell in self.cells if cell and cell.case.profile})

    @property
    def anchor(self) -> str:
        """The section of the worst result."""
        entries = [cell for cell in self.cells if cell]
        return max(entries, key=lambda entry: entry.case.verdict.severity).anchor

    @property
    def rank(self) -> tuple[bool, int]:
        """Sorts the worst first; expected failures count less than others."""
        cells = [cell.case for cell in self.cells if cell]
        critical = any(case.critical and not case.expected for case in cells)
        fresh = worst((c.verdict for c in cells if not c.expected), default=Verdict.WARN)
        return not critical, -fresh.severity


@frozen
class Matrix:
    """Everything a report shows, in order.

    Attributes:
        sources: the runs.
        columns: by run, then profile.
        rows: one a case, the worst first.
        entries: every result, in the order of the rows.
    """

    sources: tuple[Source, ...]
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    entries: tuple[Entry, ...]

    @property
    def runs(self) -> tuple[RunResult, ...]:
        """The runs."""
        return tuple(source.run for source in self.sources)

    @property
    def verdict(self) -> Verdict:
        """The worst of all results."""
        return worst((run.verdict for run in self.runs), default=Verdict.SKIP)

    @property
    def counts(self) -> list[tuple[Verdict, int]]:
        """How many results came to each verdict, the worst first; without those that none did."""
        counted = Counter(entry.case.verdict for entry in self.entries)
        return [(verdict, counted[verdict]) for verdict in reversed(Verdict) if counted[verdict]]

    @property
    def critical(self) -> list[tuple[Entry, Finding]]:
        """Every false success and loss of logs."""
        return [(entry, finding) for entry in self.entries for finding in entry.case.critical]


def merge(sources: Sequence[Source]) -> Matrix:
    """Put runs beside one another.

    A run that has a case on several profiles gets a column for each of them; one whose cases each
    have a profile of their own gets a single one.
    """
    splits = [_splits(source.run) for source in sources]
    columns = _columns([source.run for source in sources], splits)
    index = {(column.run, column.profile): number for number, column in enumerate(columns)}
    first = {column.run: number for number, column in reversed(list(enumerate(columns)))}
    found: dict[str, list[Entry]] = {}
    for number, source in enumerate(sources):
        for position, case in enumerate(source.run.cases):
            column = index[number, case.profile] if splits[number] else first[number]
            entry = Entry(f"case-{number + 1}-{position + 1}", column, case)
            found.setdefault(case.id, []).append(entry)
    rows = sorted((_row(entries, len(columns)) for entries in found.values()), key=lambda r: r.rank)
    entries = [entry for row in rows for entry in found[row.id]]
    return Matrix(tuple(sources), columns, tuple(rows), tuple(entries))


def _splits(run: RunResult) -> bool:
    """Whether a case was run on more than one profile."""
    return len({(case.id, case.profile) for case in run.cases}) > len({c.id for c in run.cases})


def _columns(runs: Sequence[RunResult], splits: Sequence[bool]) -> tuple[Column, ...]:
    keys: list[tuple[int, str]] = []
    for number, run in enumerate(runs):
        profiles = list(dict.fromkeys(case.profile for case in run.cases))
        named = [profile for profile in profiles if profile]
        single = named[0] if len(named) == 1 else ""
        keys += [(number, p) for p in (profiles if splits[number] else [single])]
    names = Counter((runs[number].sut, profile) for number, profile in keys)
    return tuple(
        Column(
            run=number,
            profile=profile,
            client=runs[number].sut,
            detail=_detail(runs[number]) if names[runs[number].sut, profile] > 1 else "",
        )
        for number, profile in keys
    )


def _detail(run: RunResult) -> str:
    return f"{run.suite}, seed {run.seed}, {run.transport.words}{run.started}"


def _row(entries: Sequence[Entry], columns: int) -> Row:
    cells: list[Entry | None] = [None] * columns
    for entry in entries:
        other = cells[entry.column]
        if other is None or other.case.verdict.severity < entry.case.verdict.severity:
            cells[entry.column] = entry
    first = entries[0].case
    return Row(first.id, first.title, first.family, tuple(cells))
