"""The Markdown summary, ``summary.md``: for the page of a build, or a comment on a change."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from eseconform.report.matrix import Entry, Matrix, Source, merge
from eseconform.report.words import MEANING, ledger_text, printable
from eseconform.results import RunResult
from eseconform.verdicts import Axis, Verdict

MARKDOWN_NAME = "summary.md"
CASES_MAX = 60
"""Cases told in full; systems that show such pages cut them at a megabyte or less."""
TEXT_CHARACTERS_MAX = 600
OUTPUT_CHARACTERS_MAX = 1500

_MARKS = {
    Verdict.PASS: "✅",
    Verdict.INFO: "ℹ️",  # noqa: RUF001
    Verdict.WARN: "⚠️",
    Verdict.INCONCLUSIVE: "❔",
    Verdict.FAIL: "❌",
    Verdict.CRASH: "💥",
    Verdict.ERROR: "🛑",
    Verdict.SKIP: "➖",  # noqa: RUF001
    Verdict.NOT_APPLICABLE: "➖",  # noqa: RUF001
}
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>()#+!|~&@])")


def markdown(sources: Sequence[Source]) -> str:
    """The summary of one run, or of several beside one another."""
    matrix = merge(sources)
    lines = ["# Conformance", ""]
    for run in matrix.runs:
        lines.append(f"* {_headline(run)}")
    lines += ["", " · ".join(f"{count} {verdict.value}" for verdict, count in matrix.counts), ""]
    for entry, finding in matrix.critical:
        lines.append(f"> **CRITICAL** {escaped(entry.case.id)}: {escaped(finding.sentence)}")
        lines.append("")
    lines += [*_expectations(matrix), *_table(matrix), ""]
    remarkable = [e for e in matrix.entries if e.case.verdict.severity >= Verdict.WARN.severity]
    for entry in remarkable[:CASES_MAX]:
        lines += _case(entry, matrix)
    if len(remarkable) > CASES_MAX:
        lines += [f"{len(remarkable) - CASES_MAX} more in results.json.", ""]
    return "\n".join(lines)


def write_markdown(sources: Sequence[Source], folder: Path) -> Path:
    """Write ``summary.md`` into a folder; returns its path."""
    path = folder / MARKDOWN_NAME
    path.write_text(markdown(sources), encoding="utf-8", errors="replace")
    return path


def escaped(text: str) -> str:
    """A text as one line of Markdown that shows it, whatever it holds."""
    line = " ".join(printable(text).split())
    cut = line[:TEXT_CHARACTERS_MAX] + ("..." if len(line) > TEXT_CHARACTERS_MAX else "")
    return _SPECIAL.sub(r"\\\1", cut)


def code(text: str) -> str:
    """A text as a block of code; its fence is longer than any run of backticks in it."""
    shown = printable(text)
    runs = [len(run) for run in re.findall(r"`+", shown)]
    fence = "`" * max(3, 1 + max(runs, default=0))
    return f"{fence}\n{shown}\n{fence}"


def _headline(run: RunResult) -> str:
    note = f": {escaped(run.note)}" if run.note else ""
    return (
        f"**{escaped(run.sut)}**: **{MEANING[run.exit_code]}** (exit code {int(run.exit_code)})"
        f"{note}; {run.selected} of {run.available} cases selected, suite {escaped(run.suite)}, "
        f"seed {run.seed}, {run.transport.words}{run.seconds:.1f} s, {escaped(run.started)}, "
        f"version {escaped(run.version)}"
    )


def _expectations(matrix: Matrix) -> list[str]:
    broken = [line for run in matrix.runs for line in run.broken_expectations]
    if not broken:
        return []
    return ["Expectations that broke the run:", "", *(f"* {escaped(x)}" for x in broken), ""]


def _table(matrix: Matrix) -> list[str]:
    if len(matrix.columns) == 1:
        heads = [*(axis.value for axis in Axis), "verdict", "s"]
    else:
        heads = [
            " ".join(escaped(part) for part in (c.client, c.profile, c.detail) if part)
            for c in matrix.columns
        ]
    lines = ["| case | " + " | ".join(heads) + " |", "|---|" + "---|" * len(heads)]
    for row in matrix.rows:
        if len(matrix.columns) == 1 and row.cells[0] is not None:
            case = row.cells[0].case
            cells = [_mark(case.axis(axis).verdict) for axis in Axis]
            cells += [_verdict(row.cells[0]), f"{case.seconds:.1f}"]
        else:
            cells = [_verdict(cell) for cell in row.cells]
        lines.append(f"| {escaped(row.id)} | " + " | ".join(cells) + " |")
    return lines


def _mark(verdict: Verdict) -> str:
    return f"{_MARKS[verdict]} {verdict.value}" if verdict is not Verdict.PASS else "·"


def _verdict(entry: Entry | None) -> str:
    if entry is None:
        return ""
    expected = " (expected)" if entry.case.expected else ""
    return f"{_MARKS[entry.case.verdict]} {entry.case.verdict.value}{expected}"


def _case(entry: Entry, matrix: Matrix) -> list[str]:
    case, column = entry.case, matrix.columns[entry.column]
    where = f" ({escaped(column.client)})" if len(matrix.columns) > 1 else ""
    lines = [f"## {_verdict(entry)} {escaped(case.id)}{where}", "", escaped(case.title), ""]
    if case.divergence:
        lines += [f"First divergence: **{escaped(case.divergence)}**", ""]
    if case.note:
        lines += [escaped(case.note), ""]
    rules = matrix.runs[column.run].rules
    for key in dict.fromkeys(f.requirement for f in case.findings if f.requirement):
        if key in rules:
            rule = rules[key]
            text = f"{escaped(rule.statement)} ({rule.level}, {rule.evidence})"
            lines.append(f"* {escaped(key)}: {text}")
    lines += ["", "Reproduce with:", "", code(case.reproduce), ""] if case.reproduce else [""]
    for number, job in enumerate(case.jobs, 1):
        for group, page in job.ledger.items():
            if page.why:
                text = f"job {number}, {job.kind} of {group}: {ledger_text(page)}"
                lines += [f"* {escaped(text)}", ""]
    for job in case.jobs:
        said = (job.trace or job.output).strip()
        if said:
            lines += [code(said[-OUTPUT_CHARACTERS_MAX:]), ""]
    return lines
