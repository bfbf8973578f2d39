"""A large server: sixteen storage groups with five stores each, from a new process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.conftest import Measure, cached_bytecode
from benchmarks.table import Goal, GoalKind

SECONDS_MAX = 3
MIB_MAX = 300
PROGRAM = """
from esesim import SimulatedServer
from esesim.topology import GroupSpec, ServerSpec, StoreSpec, Topology
groups = tuple(
    GroupSpec(f"Group {g}", tuple(StoreSpec(f"Store {g}.{s}") for s in range(5)))
    for g in range(16)
)
server = SimulatedServer(Topology(ServerSpec(profile="exchange-2007"), groups=groups))
assert all(len(group.mounted) == 5 for group in server.groups)
"""


def bench_sixteen_instances_up(measure: Measure, tmp_path: Path) -> None:
    environment = cached_bytecode(tmp_path)

    def run(program: str) -> None:
        subprocess.run([sys.executable, "-c", program], env=environment, check=True)

    measure(
        "16 instances with 5 databases each up, from a new process",
        lambda: run(PROGRAM),
        goal=Goal(GoalKind.SECONDS_MAX, SECONDS_MAX),
        yardstick_name="python -c pass",
        yardstick=lambda: run("pass"),
        rounds=5,
    )


def bench_memory_of_sixteen_instances(measure: Measure, tmp_path: Path) -> None:
    measure.memory("16 instances with 5 databases each: memory", PROGRAM, tmp_path, limit=MIB_MAX)
