"""The fixture `measure`: one subject beside one yardstick, round by round."""

from __future__ import annotations

import gc
import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from operator import truediv
from pathlib import Path
from typing import cast

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.clock import core_seconds
from benchmarks.table import Goal, GoalKind, Measurement, as_extra_info

_HERE = Path(__file__).parent
_MEMORY_ROUNDS = 2
_PRINT_PEAK = """
import pathlib
status = pathlib.Path("/proc/self/status").read_text()
print(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))
"""


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
    """Runs a subject and its yardstick in turn; keeps the medians of both and of their ratio."""

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
        clock: Callable[[], float] = core_seconds,
    ) -> Measurement:
        """Measure `rounds` rounds after one for warming up.

        `amount` is the work of one call of either, in `unit`; unit `s` shows times, not rates.
        `prepare` runs before each call of the subject, unmeasured. The yardstick runs in
        pytest-benchmark's set-up hook, so that both meet the same moods of the machine. A `clock`
        of the yardstick's other than `core_seconds` must be the subject's too:
        `@pytest.mark.benchmark(timer=...)`.
        """
        times: list[float] = []

        def before_each_round() -> None:
            gc.collect()
            begin = clock()
            yardstick()
            times.append(clock() - begin)
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
            median_ratio=statistics.median(map(truediv, times[-rounds:], stats.stats.data)),
        )
        self._benchmark.extra_info.update(as_extra_info(measurement))
        return measurement

    def compare(
        self,
        name: str,
        subject: float,
        *,
        goal: Goal,
        yardstick_name: str,
        yardstick: float,
        unit: str,
    ) -> Measurement:
        """Note two figures that were measured already: rates in ``unit`` a second, or MiB.

        A goal of MIB_MAX says that it is memory.
        """
        is_memory = goal.kind is GoalKind.MIB_MAX
        # One run of nothing, for the entry in the report.
        run = cast("Callable[..., object]", self._benchmark.pedantic)
        run(lambda: None, rounds=1)
        measurement = Measurement(
            name=name,
            subject_seconds=1.0 if is_memory else 1 / subject,
            yardstick=yardstick_name,
            yardstick_seconds=1.0 if is_memory else 1 / yardstick,
            amount=1,
            unit="s" if is_memory else unit,
            goal=goal,
            subject_mib=subject if is_memory else 0.0,
            yardstick_mib=yardstick if is_memory else 0.0,
        )
        self._benchmark.extra_info.update(as_extra_info(measurement))
        return measurement

    def memory(self, name: str, program: str, folder: Path, *, limit: float) -> Measurement:
        """Measure the memory of a new process that runs `program`, beside one that does nothing.

        `limit` in MiB; `folder` is for bytecode. What a process took at most is its own high-water
        mark of resident memory, interpreter and modules included. Linux only.
        """
        environment = cached_bytecode(folder)

        def peak_mib(source: str) -> float:
            done = subprocess.run(
                [sys.executable, "-c", source + _PRINT_PEAK],
                env=environment,
                check=True,
                capture_output=True,
                text=True,
            )
            return int(done.stdout) / 1024

        peaks = [peak_mib(program) for _ in range(_MEMORY_ROUNDS)]
        bare = peak_mib("")
        # One more, for the entry in the report: how long it took says nothing here.
        run = cast("Callable[..., object]", self._benchmark.pedantic)
        run(lambda: peak_mib(program), rounds=1)
        stats = self._benchmark.stats
        assert stats is not None, "benchmarks are switched off: run them through benchmarks/run.py"
        measurement = Measurement(
            name=name,
            subject_seconds=stats.stats.median,
            yardstick="python -c pass",
            yardstick_seconds=stats.stats.median,
            amount=1,
            unit="s",
            goal=Goal(GoalKind.MIB_MAX, limit),
            subject_mib=max(peaks),
            yardstick_mib=bare,
        )
        self._benchmark.extra_info.update(as_extra_info(measurement))
        return measurement


@pytest.fixture
def measure(benchmark: BenchmarkFixture) -> Measure:
    """Measure something beside a yardstick; see `Measure.__call__`."""
    return Measure(benchmark)
