"""``expect update``: brings an expectations file in step with a run."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

from attrs import evolve, frozen

from eseconform.errors import UsageError
from eseconform.expectations import (
    EXPECTABLE,
    Expectation,
    parse_expectations,
    read_lines,
)
from eseconform.results import CaseResult, RunResult
from eseconform.verdicts import ExitCode, Verdict

NEW_LINES_HOLD = timedelta(days=90)
REASON_CHARACTERS_MAX = 120
_WHOLE = (ExitCode.OK, ExitCode.NOT_CONFORMANT, ExitCode.INCONCLUSIVE)
_SELECTION = "selection"
_SANITY = "sanity"


@frozen
class Update:
    """What an update does.

    Attributes:
        lines: the file's new lines.
        added, changed, removed: ids of the cases whose lines are.
    """

    lines: tuple[str, ...]
    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]


def require_whole(run: RunResult, name: str) -> None:
    """Refuse a run that does not show all of its suite.

    Raises:
        UsageError: single cases were picked, or the run ended early.
    """
    judged = [case for case in run.cases if case.family != _SANITY]
    what = ""
    if run.suite == _SELECTION:
        what = f"it holds {run.selected} of {run.available} cases, picked with --case"
    elif run.exit_code not in _WHOLE:
        what = f"it ended with exit code {int(run.exit_code)}: {run.note or 'see its report'}"
    elif len(judged) < run.selected:
        what = f"{len(judged)} of its {run.selected} cases ran"
    if what:
        raise UsageError(
            f"{name}: a partial run can't update expectations: {what}; run the whole suite"
        )


def updated(lines: Sequence[str], name: str, run: RunResult, *, today: date) -> Update:
    """The file's lines after the run.

    Comments stay. A line that the run meets stays as it is; one whose case passes is removed; one
    whose case failed otherwise gets what the run says, and keeps date and reason. A failure without
    a line gets one, with a date of its own. Lines about cases that were not part of the suite stay,
    and a date that is over stays over: to prolong it is somebody's decision.
    """
    expectations = {e.line: e for e in parse_expectations(lines, name)}
    results: dict[str, list[CaseResult]] = {}
    for case in run.cases:
        results.setdefault(case.id, []).append(case)
    written: list[str] = []
    changed: list[str] = []
    removed: list[str] = []
    for number, line in enumerate(lines, 1):
        expectation = expectations.get(number)
        cases = results.get(expectation.case, []) if expectation else []
        if expectation is None or not cases or any(expectation.is_met_by(c) for c in cases):
            written.append(line)
            continue
        bad = next((case for case in cases if _needs_line(case)), None)
        if bad is None:
            removed.append(expectation.case)
        else:
            changed.append(bad.id)
            written.append(str(_line_for(bad, expectation)))
    named = {expectation.case for expectation in expectations.values()}
    fresh = Expectation("", Verdict.FAIL, "", until=today + NEW_LINES_HOLD)
    added = [c for c in run.cases if _needs_line(c) and c.id not in named]
    written += [str(_line_for(case, fresh)) for case in added]
    parse_expectations(written, name)  # an id from a damaged file must not spoil this one
    return Update(tuple(written), tuple(c.id for c in added), tuple(changed), tuple(removed))


def _needs_line(case: CaseResult) -> bool:
    return not case.verdict.is_good and case.verdict in EXPECTABLE


def _line_for(case: CaseResult, model: Expectation) -> Expectation:
    """A line that the case meets: by the rule that was broken, else by the words."""
    rules = [f.requirement for f in case.findings if f.verdict is case.verdict and f.requirement]
    words = " ".join((case.divergence or case.note).split())
    said = (case.divergence or case.note).splitlines() or [""]
    text = rules[0] if rules else said[0]
    return evolve(
        model,
        case=case.id,
        verdict=case.verdict,
        text=text[:REASON_CHARACTERS_MAX],
        reason=model.reason or words[:REASON_CHARACTERS_MAX],
    )


def update_file(path: Path, run: RunResult, name: str, *, today: date) -> Update:
    """Update an expectations file on disk; one that is not there yet is made.

    Args:
        path: the file; it is replaced as a whole or not at all.
        run: a whole run.
        name: where the run comes from, for messages.
        today: the day from which the dates of new lines count.

    Raises:
        UsageError: the run is partial, or the file can't be read or written.
    """
    require_whole(run, name)
    update = updated(read_lines(path) if path.exists() else [], str(path), run, today=today)
    text = "".join(f"{line}\n" for line in update.lines)
    beside = path.with_name(path.name + ".new")
    try:
        beside.write_text(text, encoding="utf-8", errors="replace")
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise UsageError(f"{path}: {error.strerror or error}") from None
    return update
