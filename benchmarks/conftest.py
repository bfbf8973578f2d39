"""The fixture `measure`: one subject beside one yardstick, round by round."""

from __future__ import annotations

import gc
import os
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.clock import core_seconds
from benchmarks.table import Goal, Measurement, as_extra_info

_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here is a benchmark; nobody has to write the marker."""
    for item in items:
        if item.path.is_relative_to(_HERE):
            item.add_marker("bench")


def cached_bytecode(folder: Path) -> dict[str, str]:
    """An environment for new processes that keeps bytecode in `folder`, whatever ours says.

    The round for warming up fills it, so what is measured is a user's second start, not the first.
    """
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(folder)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    return environment


class Measure:
    """Runs a subject and its yardstick in turn and keeps the medians of both."""

    def __init__(self, benchmark: BenchmarkFixture) -> None:
        self._benchmark = benchmark

    def __call__(
        self,
        name: str,
        subject: Callable[[], object],
        *,
        goal: Goal,
        yardstick_name: str,
        yardstick: Callable[[], object],
        amount: float = 1,
        unit: str = "s",
        rounds: int = 15,
        prepare: Callable[[], object] | None = None,
    ) -> Measurement:
        """Measure `rounds` rounds after one for warming up.

        `amount` is the work of one call of either, in `unit`; unit `s` shows times, not rates.
        `prepare` runs before each call of the subject, unmeasured. The yardstick runs in
        pytest-benchmark's set-up hook, so that both meet the same moods of the machine.
        """
        times: list[float] = []

        def before_each_round() -> None:
            gc.collect()
            begin = core_seconds()
            yardstick()
            times.append(core_seconds() - begin)
            if prepare is not None:
                prepare()

        run = cast("Callable[..., object]", self._benchmark.pedantic)
        run(subject, setup=before_each_round, rounds=rounds, warmup_rounds=1)
        stats = self._benchmark.stats
        assert stats is not None, "benchmarks are switched off: run them through benchmarks/run.py"
        measurement = Measurement(
            name=name,
            subject_seconds=stats.stats.median,
            yardstick=yardstick_name,
            yardstick_seconds=statistics.median(times[-rounds:]),
            amount=amount,
            unit=unit,
            goal=goal,
        )
        self._benchmark.extra_info.update(as_extra_info(measurement))
        return measurement


@pytest.fixture
def measure(benchmark: BenchmarkFixture) -> Measure:
    """Measure something beside a yardstick; see `Measure.__call__`."""
    return Measure(benchmark)
