"""What every test shares: Hypothesis profiles, and tests that need a program from outside.

Hypothesis. `default` and `ci` are derandomised, so that main gives the same verdict every time;
`fuzz` (`make fuzz`) draws at random and draws much more. Choose with ESESIM_HYPOTHESIS_PROFILE.

Tools. A test marked `needs_tool("esedbexport")` is skipped where the tool is missing. Where
ESESIM_REQUIRE names the tool, or says `all`, it fails instead: on CI nothing is skipped unseen.

Coverage. Measuring doubles the time of what it measures. Tests marked `uncovered` go over the same
lines thousands of times, lines that other tests cover, so nothing is measured while they run; nor
while the later ones of a long row of parameters do.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Generator

import coverage
import pytest
from hypothesis import HealthCheck, settings

from tests.support.tools import missing_tool_verdict

_SLOW_DATA = [HealthCheck.too_slow, HealthCheck.data_too_large]
settings.register_profile(
    "default", deadline=None, derandomize=True, max_examples=50, suppress_health_check=_SLOW_DATA
)
settings.register_profile("ci", parent=settings.get_profile("default"), print_blob=True)
settings.register_profile(
    "fuzz",
    deadline=None,
    derandomize=False,
    max_examples=5000,
    print_blob=True,
    suppress_health_check=_SLOW_DATA,
)
settings.load_profile(os.environ.get("ESESIM_HYPOTHESIS_PROFILE") or "default")


# Where coverage tells the processes that a test starts to measure themselves.
_MEASURES_PROCESSES = "COVERAGE_PROCESS_CONFIG"


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip, or fail, a test whose tool is missing, before any of its fixtures is made."""
    for mark in item.iter_markers("needs_tool"):
        for name in mark.args:
            verdict = missing_tool_verdict(name, os.environ.get("ESESIM_REQUIRE", ""))
            if verdict is None:
                continue
            if verdict.is_failure:
                pytest.fail(verdict.reason, pytrace=False)
            pytest.skip(verdict.reason)


MEASURED_PARAMETERS_MAX = 8


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Measure the first few of a test's parameters: the others go over the same lines."""
    seen: Counter[str] = Counter()
    for item in items:
        test = item.nodeid.partition("[")[0]
        seen[test] += 1
        if seen[test] > MEASURED_PARAMETERS_MAX:
            item.add_marker("uncovered")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Pause coverage, of the processes that it starts too, for a test marked `uncovered`."""
    measuring = coverage.Coverage.current()
    if measuring is None or item.get_closest_marker("uncovered") is None:
        return (yield)
    measuring.stop()
    for_processes = os.environ.pop(_MEASURES_PROCESSES, None)
    try:
        return (yield)
    finally:
        if for_processes is not None:
            os.environ[_MEASURES_PROCESSES] = for_processes
        measuring.start()
