"""Steps of the state machine, beside the same machine whose rules do nothing.

The yardstick draws the same servers, faults and calls and carries none out: what is left is what
Hypothesis costs. So the ratio is the share of the time that drawing takes.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import settings

from benchmarks.conftest import Measure
from benchmarks.table import Goal, GoalKind
from eseconform.explore.machine import (
    Exploration,
    Idling,
    exploration,
    fuzz_settings,
    run_machine,
)

SERVERS = 20
STEPS = 80


def running(machine: type[Exploration]) -> Callable[[], object]:
    """A run of the machine, the same each time."""
    shape = settings(fuzz_settings(SERVERS, STEPS), derandomize=True)

    def run() -> None:
        assert run_machine(machine, shape) is None

    return run


@pytest.mark.parametrize(("pace", "share"), [(0, 0.6), (1, 0.3)])
def bench_state_machine(measure: Measure, pace: int, share: float) -> None:
    measure(
        f"state machine, {pace} workload steps a call",
        running(exploration(pace=pace)),
        goal=Goal(GoalKind.SPEED_RATIO_MIN, share),
        yardstick_name="the same draws, empty rules",
        yardstick=running(exploration(Idling)),
        amount=SERVERS * STEPS,
        unit="steps",
        rounds=9,
    )
