"""What a page draws of a case: rows of its sequence, what became of the logs, durations."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

from attrs import frozen

from eseconform.report.matrix import Entry, Matrix
from eseconform.results import CaseResult, JobResult
from eseconform.sequence import GroupLogs, Ranges, Step, StepKind, range_text
from eseconform.verdicts import Finding, Verdict

SEGMENTS_MAX = 40
GROUP_COLOURS = 6
PARALLEL_FROM = 1.05


@frozen
class SequenceRow:
    """A step, the findings about it, and the number of its group's colour (0: no group)."""

    step: Step
    findings: tuple[Finding, ...]
    colour: int
    is_first_divergence: bool

    @property
    def numbers(self) -> str:
        """Its calls: ``14`` or ``14-20``."""
        return range_text(((self.step.first, self.step.last),))

    @property
    def shape(self) -> str:
        """How its arrows go: ``call``, ``data`` (bytes come back), ``error`` or ``gap``."""
        if self.step.kind is StepKind.LEFT_OUT:
            return "gap"
        if self.step.error:
            return "error"
        sent = self.step.call.startswith("Restore")  # bytes go to the server, none come back
        return "call" if self.step.kind is StepKind.CALL or sent else "data"


@frozen
class Segment:
    """Log generations with the same fate.

    Attributes:
        low, high: generations, inclusive.
        fate: ``saved``, ``moved`` (saved, then deleted), ``deleted`` (not saved by this job),
            ``unsaved`` (listed but not saved), ``lost`` (that, and deleted), ``left`` (not listed).
        rolled: the log rolled behind it: it ends with the highest generation of the list.
    """

    low: int
    high: int
    fate: str
    rolled: bool

    @property
    def text(self) -> str:
        """Its generations."""
        return range_text(((self.low, self.high),))

    @property
    def share(self) -> float:
        """Width, in no particular unit: grows with the number, but not as fast."""
        return round(math.sqrt(self.high - self.low + 1), 3)


@frozen
class JobDrawing:
    """One job as it is drawn."""

    number: int
    job: JobResult
    rows: tuple[SequenceRow, ...]
    logs: tuple[tuple[str, int, tuple[Segment, ...]], ...]


def draw_case(case: CaseResult) -> tuple[JobDrawing, ...]:
    """Every job of a case."""
    return tuple(
        JobDrawing(
            number=index + 1,
            job=job,
            rows=tuple(_rows(case, index, job)),
            logs=tuple(
                (group, _colour(job, group), tuple(segments(logs)))
                for group, logs in job.logs.items()
            ),
        )
        for index, job in enumerate(case.jobs)
    )


def _colour(job: JobResult, group: str | None) -> int:
    if group is None or group not in job.groups:
        return 0
    return 1 + job.groups.index(group) % GROUP_COLOURS


def _rows(case: CaseResult, index: int, job: JobResult) -> Iterator[SequenceRow]:
    bad = [f for f in case.findings if f.job == index and f.call is not None]
    by_step: dict[int, list[Finding]] = {}
    for finding in bad:
        place = _place(job.steps, finding.call or 0)
        if place is not None:
            by_step.setdefault(place, []).append(finding)
    for number, step in enumerate(job.steps):
        findings = tuple(by_step.get(number, ()))
        first = any(finding.sentence == case.divergence for finding in findings)
        yield SequenceRow(step, findings, _colour(job, step.group), first)


def _place(steps: Sequence[Step], call: int) -> int | None:
    """The step that a call belongs to: the shortest that spans it, for others may lie around."""
    spans = [(s.last - s.first, n) for n, s in enumerate(steps) if s.first <= call <= s.last]
    return min(spans)[1] if spans else None


def segments(logs: GroupLogs) -> Iterator[Segment]:
    """The generations of a group in order, those with one fate together; at most SEGMENTS_MAX."""
    edges = sorted({edge for pair in _pairs(logs) for edge in pair})
    top = max((high for _, high in logs.listed), default=None)
    before: Segment | None = None
    count = 0
    for low, end in pairwise(edges):
        fate = _fate(logs, low)
        if fate is None:
            continue
        rolled = top == end - 1
        joins = before is not None and before.fate == fate and before.high + 1 == low
        if before is not None and joins and not before.rolled:
            before = Segment(before.low, end - 1, fate, rolled)
            continue
        if before is not None:
            yield before
            count += 1
        if count >= SEGMENTS_MAX:
            return
        before = Segment(low, end - 1, fate, rolled)
    if before is not None:
        yield before


def _pairs(logs: GroupLogs) -> Iterator[tuple[int, int]]:
    """All ranges, half open."""
    for part in (logs.before, logs.listed, logs.saved, logs.deleted, logs.after):
        yield from ((low, high + 1) for low, high in part)


def _fate(logs: GroupLogs, generation: int) -> str | None:
    saved, deleted = _has(logs.saved, generation), _has(logs.deleted, generation)
    if saved:
        return "moved" if deleted else "saved"
    if _has(logs.listed, generation):
        return "lost" if deleted else "unsaved"
    if deleted:
        return "deleted"
    return "left" if _has(logs.after, generation) else None


def _has(pairs: Ranges, generation: int) -> bool:
    return any(low <= generation <= high for low, high in pairs)


@frozen
class Bar:
    """A case on the timeline; positions in percent of the whole.

    Attributes:
        entry: the case.
        left, width: where its bar is.
        work: share of the bar in which the client worked; the rest set up the server and judged.
    """

    entry: Entry
    left: float
    width: float
    work: float


def timeline(matrix: Matrix, run: int) -> list[Bar]:
    """The cases of a run in order: one after the other, or side by side from the left where they
    ran at the same time (then they took longer than the run, taken together)."""
    entries = {e.anchor: e for e in matrix.entries if matrix.columns[e.column].run == run}
    ordered = sorted(entries.values(), key=lambda e: int(e.anchor.rpartition("-")[2]))
    total = sum(entry.case.seconds for entry in ordered) or 1.0
    at_once = bool(ordered) and total > PARALLEL_FROM * max(matrix.runs[run].seconds, 0.001)
    if at_once:
        total = max(1e-9, *(entry.case.seconds for entry in ordered))
    bars, at = [], 0.0
    for entry in ordered:
        seconds = entry.case.seconds
        work = sum(job.seconds for job in entry.case.jobs)
        share = min(100.0, 100 * work / seconds) if seconds else 0.0
        bars.append(Bar(entry, 100 * at / total, 100 * seconds / total, share))
        at += 0 if at_once else seconds
    return bars


def opens(case: CaseResult) -> bool:
    """Whether the section of a case is open from the start."""
    return case.verdict.severity >= Verdict.WARN.severity and not case.expected
