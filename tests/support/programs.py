"""Clients that are programs: small scripts, and one job of one, without a server."""

from __future__ import annotations

import shlex
import sys
import textwrap
from pathlib import Path
from typing import cast

from eseback.api import BackupApi
from eseback.constants import INFORMATION_STORE
from eseconform.sut import Gate, JobAnswer, Sut, load_sut, run_job
from eseconform.task import JobKind, Task

EXAMPLES = Path(__file__).parents[2] / "harness" / "examples"
BARE_PYTHON = (sys.executable, "-S", "-E")
"""Starts in a third of the time; has the standard library."""


def script(path: Path, text: str) -> str:
    """Write a script; gives the command line that runs it."""
    path.write_text(textwrap.dedent(text), "utf-8")
    return shlex.join([*BARE_PYTHON, str(path)])


def program(folder: Path, text: str, arguments: str = "{task}") -> Sut:
    """A script as a client; it is handed the path of its task."""
    return load_sut(f"cmd:{script(folder / 'program.py', text)} {arguments}")


def task_in(folder: Path, kind: JobKind = JobKind.FULL) -> Task:
    """A job whose server nobody will reach."""
    set_folder = folder / "set"
    set_folder.mkdir(exist_ok=True)
    groups = ("First Group", "Zweite")
    endpoint = "rpc:127.0.0.1:49152"
    return Task(kind, "EXCHSRV1", INFORMATION_STORE, groups, set_folder, endpoint=endpoint)


def answer_of(sut: Sut, task: Task, limit: float = 20.0) -> JobAnswer:
    """What one job of a program comes to."""
    return run_job(sut, Gate(cast("BackupApi", None)), task, limit)
