"""The terminal report: a table of verdicts, then what went wrong, case by case."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from eseconform.events import Event, Listener
from eseconform.report.words import ledger_text
from eseconform.results import CaseResult, RunResult
from eseconform.verdicts import Axis, ExitCode, Finding, Verdict

_COLOURS = {
    Verdict.PASS: "green",
    Verdict.INFO: "cyan",
    Verdict.WARN: "yellow",
    Verdict.INCONCLUSIVE: "yellow",
    Verdict.FAIL: "bold red",
    Verdict.CRASH: "bold magenta",
    Verdict.ERROR: "bold magenta",
    Verdict.SKIP: "dim",
    Verdict.NOT_APPLICABLE: "dim",
}

_MEANING = {
    ExitCode.OK: "conformant",
    ExitCode.NOT_CONFORMANT: "not conformant",
    ExitCode.INTERRUPTED: "interrupted",
    ExitCode.OUR_ERROR: "the harness failed; the client is not judged",
    ExitCode.NOTHING_RAN: "nothing ran",
    ExitCode.INCONCLUSIVE: "inconclusive",
    ExitCode.SUT_UNUSABLE: "the client can't be used",
}

FINDINGS_SHOWN_MAX = 6
CASES_IN_DETAIL_MAX = 3
WIDTH_WHEN_UNKNOWN = 120


def console_for(stream: IO[str] | None = None) -> Console:
    """A console on a stream; wide enough for the table where no terminal tells its width."""
    console = Console(file=stream, highlight=False)
    if not console.is_terminal:
        console = Console(file=stream, highlight=False, width=WIDTH_WHEN_UNKNOWN)
    return console


@contextmanager
def progress() -> Iterator[Listener]:
    """A listener that shows on a terminal which case runs; elsewhere it is silent."""
    console = Console(file=sys.stderr)  # the file, not the name: jobs replace sys.stderr
    if not console.is_terminal:
        yield lambda event: None
        return
    with console.status("starting") as status:

        def show(event: Event) -> None:
            if event.kind == "case_started":
                status.update(f"case {event.data['case']}")

        yield show


def coloured(verdict: Verdict) -> Text:
    """A verdict in its colour."""
    return Text(verdict.value, style=_COLOURS[verdict])


def verdict_of(case: CaseResult) -> Text:
    """The verdict of a case; of a failure that was expected, that it was."""
    if not case.expected:
        return coloured(case.verdict)
    actual = "" if case.verdict is Verdict.FAIL else f" ({case.verdict.value})"
    return Text(f"XFAIL{actual}", style="dim")


def print_report(run: RunResult, console: Console) -> None:
    """The whole report on a console. What was expected is told in one line each."""
    for case, finding in run.critical:
        if case.expected:
            continue
        console.print(Text(f"CRITICAL  {case.id}: {finding.sentence}", style="bold red"))
    console.print(verdict_table(run))
    for case in run.cases:
        if case.expected:
            console.print(Text(f"expected: {case.expected}", style="dim"), soft_wrap=True)
        elif not _unremarkable(case):
            _print_case(case, console)
        elif run.selected <= CASES_IN_DETAIL_MAX and case.family != "sanity":
            _print_jobs(case, console)
    if run.note:
        console.print(Text(run.note, style="bold"))
    expected = sum(bool(case.expected) for case in run.cases)
    console.print(
        Text.assemble(
            f"{run.selected} of {run.available} cases selected, suite {run.suite}, ",
            f"seed {run.seed}, {run.transport.words}{run.seconds:.1f} s: ",
            f"{expected} expected failure(s), " if expected else "",
            (_MEANING.get(run.exit_code, "unknown"), "bold"),
            f" (exit code {int(run.exit_code)})",
        )
    )


def verdict_table(run: RunResult) -> Table:
    """One line a case, one column an axis."""
    table = Table(title=f"Conformance of {run.sut}", title_justify="left")
    table.add_column("case", no_wrap=True)
    for axis in Axis:
        table.add_column(axis.value)
    table.add_column("verdict")
    table.add_column("s", justify="right")
    for case in run.cases:
        axes = [coloured(case.axis(axis).verdict) for axis in Axis]
        table.add_row(case.id, *axes, verdict_of(case), f"{case.seconds:.1f}")
    return table


def _unremarkable(case: CaseResult) -> bool:
    return case.verdict in (Verdict.PASS, Verdict.SKIP, Verdict.NOT_APPLICABLE)


def _print_jobs(case: CaseResult, console: Console) -> None:
    console.print(Text.assemble((case.id, "bold"), f"  {case.title}"))
    for number, job in enumerate(case.jobs, 1):
        size = job.bytes / (1 << 20)
        console.print(
            f"  job {number}, {job.kind}: {job.outcome}, {job.files} files, {size:.1f} MiB, "
            f"{job.calls} calls, every one judged"
        )
        for group, text in job.restored.items():
            how = "replay" if job.kind != "restore" else "restore"
            console.print(_indented(Text(f"{how} of {group}: {text}"), 4))
        for group, entry in job.ledger.items():
            if entry.why:
                console.print(_indented(Text(f"ledger of {group}: {ledger_text(entry)}"), 4))


def _print_case(case: CaseResult, console: Console) -> None:
    console.print()
    console.print(Text.assemble((case.id, "bold"), f"  {case.title}  ", coloured(case.verdict)))
    if case.divergence:
        console.print(_indented(Text(f"first divergence: {case.divergence}"), 2))
    if case.note:
        console.print(_indented(Text(case.note), 2))
    shown = [f for f in case.findings if f.verdict is not Verdict.PASS]
    for finding in shown[:FINDINGS_SHOWN_MAX]:
        console.print(_indented(_finding_line(finding), 4))
    if len(shown) > FINDINGS_SHOWN_MAX:
        console.print(f"    ... {len(shown) - FINDINGS_SHOWN_MAX} more in results.json")
    if case.reproduce:
        console.print(Text(f"  reproduce with: {case.reproduce}"), soft_wrap=True)


def _indented(text: Text, columns: int) -> Padding:
    return Padding(text, (0, 0, 0, columns))


def _finding_line(finding: Finding) -> Text:
    return Text.assemble(
        f"{finding.axis.value:9} ", coloured(finding.verdict), f" {finding.sentence}"
    )
