"""How long the demo's server takes to be up, in a process of its own, imports included."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.conftest import Measure, cached_bytecode
from benchmarks.table import Goal, GoalKind

SECONDS_MAX = 0.5
PROGRAM = """
from esesim import SimulatedServer, load_topology
SimulatedServer(load_topology("demo"))
"""


def bench_demo_server_up(measure: Measure, tmp_path: Path) -> None:
    environment = cached_bytecode(tmp_path)

    def run(program: str) -> None:
        subprocess.run([sys.executable, "-c", program], env=environment, check=True)

    measure(
        "demo server up, from a new process",
        lambda: run(PROGRAM),
        goal=Goal(GoalKind.SECONDS_MAX, SECONDS_MAX),
        yardstick_name="python -c pass",
        yardstick=lambda: run("pass"),
        rounds=9,
    )
