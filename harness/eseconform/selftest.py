"""``eseconform selftest``: the zoo against the cases."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from eseconform.cases import Case, catalogue
from eseconform.report.killmatrix import kill_table, write_kill_matrix
from eseconform.report.serverkills import server_kill_table, write_server_kill_matrix
from eseconform.verdicts import ExitCode
from eseconform.zoo.matrix import Matrix, run_matrix
from eseconform.zoo.servermatrix import run_server_matrix
from eseconform.zoo.specimens import SPECIMENS, Specimen

DEMO_SUITES = ("demo", "demo-faults")
DEMO_MUTANTS = ("skips_streaming_file", "drops_log", "claims_success_after_lost_connection")


def matrix_cases() -> list[Case]:
    """The cases of the kill matrix: the default suite."""
    return [case for case in catalogue().cases.values() if "default" in case.suites]


def demo_cases() -> list[Case]:
    """The cases of the demo."""
    return [case for case in catalogue().cases.values() if set(case.suites) & set(DEMO_SUITES)]


def demo_specimens() -> list[Specimen]:
    """The broken clients of the demo."""
    return [specimen for specimen in SPECIMENS if specimen.name in DEMO_MUTANTS]


def run_selftest(
    console: Console, *, demo: bool, seed: int, processes: int | None, out: Path | None
) -> ExitCode:
    """Run the zoo, print what came of it, and say whether the harness is right."""
    cases = demo_cases() if demo else matrix_cases()
    specimens: Sequence[Specimen] = demo_specimens() if demo else SPECIMENS
    matrix = run_matrix(
        cases, seed=seed, specimens=specimens, processes=processes or processors(len(specimens))
    )
    console.print(kill_table(matrix))
    problems = matrix.problems(every_case_must_catch=not demo)
    for problem in problems:
        console.print(Text(f"PROBLEM  {problem}", style="bold red"))
    console.print(Text(_summary(matrix, problems), style="bold"))
    if out is not None:
        console.print(f"kill matrix: {write_kill_matrix(matrix, out)}", soft_wrap=True)
    return ExitCode.OUR_ERROR if problems else ExitCode.OK


def processors(most: int) -> int:
    """How many processes to use for so many things to do."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(available or 1, most))


def _summary(matrix: Matrix, problems: Sequence[str]) -> str:
    mutants = [row for row in matrix.rows if row.specimen.axis is not None]
    correct = [row for row in matrix.rows if row.specimen.axis is None]
    caught = sum(not row.problem for row in mutants)
    passed = sum(not row.problem for row in correct)
    text = f"{caught} of {len(mutants)} broken clients caught on the right axis"
    if correct:
        text += f", {passed} of {len(correct)} correct ones passed"
    return f"{text}, {len(matrix.cases)} cases" + (
        f"; {len(problems)} problems" if problems else ""
    )


def run_server_selftest(console: Console, *, seed: int, jobs: int, out: Path | None) -> ExitCode:
    """The same for the checks of servers: the plain simulator and the broken ones."""
    matrix = run_server_matrix(seed=seed, jobs=jobs)
    console.print(server_kill_table(matrix))
    for problem in matrix.problems:
        console.print(Text(f"PROBLEM  {problem}", style="bold red"))
    mutants = [row for row in matrix.rows if row.mutant is not None]
    found = sum(not row.problem for row in mutants)
    text = f"{found} of {len(mutants)} broken servers found by the right rule"
    console.print(Text(f"{text}, {len(matrix.checks)} checks", style="bold"))
    if out is not None:
        console.print(f"kill matrix: {write_server_kill_matrix(matrix, out)}", soft_wrap=True)
    return ExitCode.OUR_ERROR if matrix.problems else ExitCode.OK
