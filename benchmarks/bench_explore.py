"""Steps of the state machine, beside the same machine whose rules do nothing.

The yardstick draws the same servers, faults and calls and carries none out: what is left is what
Hypothesis costs. So the ratio is the share of the time that drawing takes.

What is drawn matters: a backup that is restored costs as much as some thirty other calls. So both
machines draw from one seed, in every round and whatever their source looks like, and what counts as
a step is what was made, not what was planned. With this seed, restores, mounts and Setups are as
frequent as on average.
"""

from __future__ import annotations

import pytest

from benchmarks.conftest import Measure
from benchmarks.table import Goal, GoalKind
from eseconform.explore.machine import (
    Exploration,
    Idling,
    exploration,
    fuzz_settings,
    run_machine,
)

SEED = 0
SERVERS = 20
STEPS = 80


class Runs:
    """Runs of a machine with the same draws. ``steps`` are those that each has made."""

    def __init__(self, machine: type[Exploration]) -> None:
        self.steps: list[int] = []
        self._machine = machine

    def __call__(self) -> None:
        self._machine.seen.clear()
        assert run_machine(self._machine, fuzz_settings(SERVERS, STEPS), SEED) is None
        self.steps.append(self._machine.seen["steps"])


@pytest.mark.parametrize(("pace", "share"), [(0, 0.6), (1, 0.3)])
def bench_state_machine(measure: Measure, pace: int, share: float) -> None:
    subject, yardstick = Runs(exploration(pace=pace)), Runs(exploration(Idling))
    yardstick()
    measure(
        f"state machine, {pace} workload steps a call",
        subject,
        goal=Goal(GoalKind.SPEED_RATIO_MIN, share),
        yardstick_name="the same draws, empty rules",
        yardstick=yardstick,
        amount=yardstick.steps[0],
        unit="steps",
        rounds=5,
    )
    assert {*subject.steps} == {*yardstick.steps} == {yardstick.steps[0]}
