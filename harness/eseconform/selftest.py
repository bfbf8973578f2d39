"""``eseconform selftest``: the zoo against the cases, broken servers against the checks."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from eseconform.cases import Case, catalogue
from eseconform.report.killmatrix import client_page
from eseconform.report.killpage import KillPage, kill_table, write_kill_page
from eseconform.report.serverkills import server_page
from eseconform.verdicts import ExitCode
from eseconform.zoo.matrix import run_matrix
from eseconform.zoo.servermatrix import run_server_matrix
from eseconform.zoo.specimens import SPECIMENS, Specimen

DEMO_SUITES = ("demo", "demo-faults")
DEMO_MUTANTS = ("skips_streaming_file", "drops_log", "claims_success_after_lost_connection")


def matrix_cases() -> list[Case]:
    """The cases of the kill matrix: all that there are."""
    return list(catalogue().cases.values())


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
        cases,
        seed=seed,
        specimens=specimens,
        processes=processes or processors(len(specimens)),
        whole=not demo,
    )
    return _show(client_page(matrix), console, out)


def run_server_selftest(console: Console, *, seed: int, jobs: int, out: Path | None) -> ExitCode:
    """The same for the checks of servers: the plain simulator and the broken ones."""
    return _show(server_page(run_server_matrix(seed=seed, jobs=jobs)), console, out)


def _show(page: KillPage, console: Console, out: Path | None) -> ExitCode:
    """Print a matrix, write its page if it is wanted, and say whether it is right."""
    console.print(kill_table(page))
    for problem in page.problems:
        console.print(Text(f"PROBLEM  {problem}", style="bold red"))
    console.print(Text(page.summary, style="bold"))
    if out is not None:
        console.print(f"kill matrix: {write_kill_page(page, out)}", soft_wrap=True)
    return ExitCode.OUR_ERROR if page.problems else ExitCode.OK


def processors(most: int) -> int:
    """How many processes to use for so many things to do."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(available or 1, most))
