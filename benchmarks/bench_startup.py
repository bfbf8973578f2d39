"""How long a command takes to say its version, beside an interpreter that does nothing."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from benchmarks.conftest import Measure, cached_bytecode
from benchmarks.table import Goal, GoalKind

TIMES_MAX = 6.0


@pytest.mark.parametrize("command", ["esesim", "esebcli", "eseconform"])
def bench_version(measure: Measure, command: str, tmp_path: Path) -> None:
    script = Path(sysconfig.get_path("scripts")) / command
    environment = cached_bytecode(tmp_path)

    def run(*program: str | Path) -> None:
        subprocess.run(program, env=environment, check=True, stdout=subprocess.DEVNULL)

    measure(
        f"start-up: {command} --version",
        lambda: run(script, "--version"),
        goal=Goal(GoalKind.TIME_RATIO_MAX, TIMES_MAX),
        yardstick_name="python -c pass",
        yardstick=lambda: run(sys.executable, "-c", "pass"),
        rounds=21,
    )
