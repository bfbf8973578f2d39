"""The expectations file: failures that are known, each with a reason and a date.

One line each, ``#`` begins a comment::

    bad-page  FAIL "ESE-BKP-READ-002"  # until 2026-03-31 retries are being written, ticket 4711

names the case, its verdict, and a text that must occur in what the harness says about it: one that
fails for *another* reason is not expected. A met line turns the case into an expected failure,
which does not fail the run. A line that can't be met breaks the run, so that the list cannot rot:
the case passes by now, fails otherwise, does not exist, or the date is over.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Sequence
from datetime import date
from pathlib import Path

from attrs import evolve, frozen

from eseconform.errors import UsageError
from eseconform.results import CaseResult, RunResult
from eseconform.verdicts import ExitCode, Verdict, exit_code

FILE_BYTES_MAX = 1 << 20
EXPECTABLE = (Verdict.INFO, Verdict.WARN, Verdict.INCONCLUSIVE, Verdict.FAIL, Verdict.CRASH)
"""Verdicts that a line may name. An error of the harness is nobody's to expect."""

_LINE = re.compile(
    r"""(?P<id>[^\s"#]+) \s+ (?P<verdict>[^\s"#]+) \s+ (?P<text>"(?:[^"\\]|\\.)*")
        \s* (?:\# \s* (?:until\s+(?P<until>\S+) \s*)? (?P<reason>.*))?""",
    re.VERBOSE,
)
_FORM = 'write: CASE VERDICT "TEXT"  # until YYYY-MM-DD REASON'


@frozen
class Expectation:
    """One line.

    Attributes:
        case: id of the case.
        verdict: what it comes to.
        text: occurs in its divergence, its note or a finding of that verdict; empty for any.
        until: last day on which the line holds; None for ever.
        reason: why, in words.
        line: its number in the file, from 1.
    """

    case: str
    verdict: Verdict
    text: str
    until: date | None = None
    reason: str = ""
    line: int = 0

    def __str__(self) -> str:
        until = f"until {self.until.isoformat()} " if self.until else ""
        comment = f"  # {until}{self.reason}".rstrip() if until or self.reason else ""
        text = json.dumps(self.text, ensure_ascii=False)
        return f"{self.case} {self.verdict.value} {text}{comment}"

    def is_met_by(self, case: CaseResult) -> bool:
        """Whether the case came to what the line says, for the reason that it says."""
        return case.verdict is self.verdict and any(self.text in said for said in said_of(case))


def said_of(case: CaseResult) -> list[str]:
    """The texts that a line's text may occur in."""
    findings = [f.sentence for f in case.findings if f.verdict is case.verdict]
    return [case.divergence, case.note, *findings]


def read_expectations(path: Path) -> tuple[Expectation, ...]:
    """Read an expectations file.

    Raises:
        UsageError: it can't be read, or a line is wrong; the text names the line and says how it
            should look.
    """
    return parse_expectations(read_lines(path), str(path))


def read_lines(path: Path) -> list[str]:
    """The lines of the file.

    Raises:
        UsageError: it can't be read.
    """
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise UsageError(
                f"{path}: larger than {FILE_BYTES_MAX >> 20} MiB: no expectations file"
            )
        return path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path}: not UTF-8 text: no expectations file") from None


def parse_expectations(lines: Iterable[str], name: str) -> tuple[Expectation, ...]:
    """Read the lines of an expectations file; ``name`` stands in front of what is wrong.

    Raises:
        UsageError: a line is wrong, or a case is named twice.
    """
    result: dict[str, Expectation] = {}
    for number, line in enumerate(lines, 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        try:
            expectation = _parse(stripped, number)
        except ValueError as error:
            raise UsageError(f"{name}, line {number}: {error}") from None
        if expectation.case in result:
            before = result[expectation.case].line
            raise UsageError(f"{name}, line {number}: {expectation.case} is in line {before} too")
        result[expectation.case] = expectation
    return tuple(result.values())


def _parse(line: str, number: int) -> Expectation:
    match = _LINE.fullmatch(line)
    if match is None:
        raise ValueError(f"not understood; {_FORM}")
    names = [verdict.value for verdict in EXPECTABLE]
    if match["verdict"] not in names:
        raise ValueError(f"verdict {match['verdict']!r}: use one of {', '.join(names)}")
    try:
        text = json.loads(match["text"])
    except ValueError:
        raise ValueError(f'text {match["text"]}: in it, write \\" and \\\\; {_FORM}') from None
    return Expectation(
        case=match["id"],
        verdict=Verdict(match["verdict"]),
        text=text,
        until=_date(match["until"]),
        reason=(match["reason"] or "").strip(),
        line=number,
    )


def _date(text: str | None) -> date | None:
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"until {text!r}: no date; {_FORM}") from None


@frozen
class Outcome:
    """What a line came to.

    Attributes:
        expectation: the line.
        problem: why it breaks the run; empty when it does not.
        cases: indexes of the cases that meet it.
    """

    expectation: Expectation
    problem: str
    cases: tuple[int, ...] = ()


def compare(
    expectations: Sequence[Expectation], run: RunResult, *, today: date, known: Collection[str]
) -> list[Outcome]:
    """Hold a run against the lines.

    Args:
        expectations: the lines.
        run: the run.
        today: the day on which dates are judged.
        known: ids of all cases there are; a line about one that was not selected, or that an
            interrupted run did not reach, says nothing about this run.
    """
    return [_compare(expectation, run, today, known) for expectation in expectations]


def _compare(line: Expectation, run: RunResult, today: date, known: Collection[str]) -> Outcome:
    found = [index for index, case in enumerate(run.cases) if case.id == line.case]
    met = tuple(index for index in found if line.is_met_by(run.cases[index]))
    if line.until is not None and line.until < today:
        return Outcome(line, f"expired on {line.until.isoformat()}: mend the client or the date")
    if not found:
        unknown = "" if line.case in known else "matches nothing: there is no such case"
        return Outcome(line, unknown)
    if met:
        return Outcome(line, "", met)
    case = run.cases[found[0]]
    if case.verdict.is_good and case.verdict.severity < line.verdict.severity:
        return Outcome(line, f"XPASS: the case came to {case.verdict.value}; remove the line")
    said = case.divergence or case.note or "nothing was said about it"
    return Outcome(line, f"stale: the case came to {case.verdict.value}: {said}")


def applied(
    expectations: Sequence[Expectation], run: RunResult, *, today: date, known: Collection[str]
) -> RunResult:
    """The run with expected failures forgiven, and broken if a line of the file is.

    A run that ended early, or in an error of the harness, keeps its exit code.
    """
    outcomes = compare(expectations, run, today=today, known=known)
    cases = list(run.cases)
    for outcome in outcomes:
        for index in outcome.cases:
            cases[index] = evolve(cases[index], expected=str(outcome.expectation))
    broken = tuple(
        f"line {outcome.expectation.line}: {outcome.expectation.case}: {outcome.problem}"
        for outcome in outcomes
        if outcome.problem
    )
    code = run.exit_code
    if code in (ExitCode.OK, ExitCode.NOT_CONFORMANT, ExitCode.INCONCLUSIVE):
        left = [case.verdict for case in cases if not case.expected]
        code = exit_code(left) if left else ExitCode.OK
        if broken or code is ExitCode.NOTHING_RAN:
            code = ExitCode.NOT_CONFORMANT if broken else ExitCode.OK
    return evolve(run, cases=tuple(cases), broken_expectations=broken, exit_code=code)
