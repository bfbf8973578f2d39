"""What every test shares: Hypothesis profiles, and tests that need a program from outside.

Hypothesis. `default` and `ci` are derandomised, so that main gives the same verdict every time;
`fuzz` (`make fuzz`) draws at random and draws much more. Choose with ESESIM_HYPOTHESIS_PROFILE.

Tools. A test marked `needs_tool("esedbexport")` is skipped where the tool is missing. Where
ESESIM_REQUIRE names the tool, or says `all`, it fails instead: on CI nothing is skipped unseen.
"""

from __future__ import annotations

import os

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
