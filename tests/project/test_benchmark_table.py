"""The benchmark table says what was measured and whether each goal was met."""

from __future__ import annotations

import json
import os
import re

import pytest
from attrs import evolve

from benchmarks import run
from benchmarks.table import (
    BEGIN,
    END,
    Goal,
    GoalKind,
    Measurement,
    as_extra_info,
    measurements_of,
    put_into,
    render,
)
from tests.support.project import run_python

pytestmark = pytest.mark.uncovered

# Eight megabytes in 20 ms beside a yardstick that needs 5 ms: 400 MB/s, a quarter of 1,600 MB/s.
MEASURED = Measurement(
    name="checksum",
    subject_seconds=0.020,
    yardstick="crc",
    yardstick_seconds=0.005,
    amount=8,
    unit="MB",
    goal=Goal(GoalKind.SPEED_RATIO_MIN, 0.17),
)


def test_the_ratio_of_rounds_goes_before_that_of_medians() -> None:
    assert MEASURED.speed_ratio == 0.25
    assert evolve(MEASURED, median_ratio=0.3).speed_ratio == 0.3


@pytest.mark.parametrize(
    ("kind", "met", "missed"),
    [
        (GoalKind.SPEED_RATIO_MIN, 0.25, 0.26),
        (GoalKind.TIME_RATIO_MAX, 4.0, 3.9),
        (GoalKind.RATE_MIN, 400, 401),
        (GoalKind.SECONDS_MAX, 0.020, 0.019),
        (GoalKind.MIB_MAX, 48, 47.9),
    ],
)
def test_goal_is_met_up_to_its_limit(kind: GoalKind, met: float, missed: float) -> None:
    measured = evolve(MEASURED, subject_mib=48)
    assert evolve(measured, goal=Goal(kind, met)).is_met
    assert not evolve(measured, goal=Goal(kind, missed)).is_met


def row(measurement: Measurement) -> list[str]:
    last = render([measurement], "here").splitlines()[-1]
    return [cell.strip() for cell in last.strip("|").split("|")]


def test_row_of_a_rate() -> None:
    assert row(MEASURED) == [
        "checksum",
        "400 MB/s",
        "crc: 1,600 MB/s",
        "0.25",
        "speed >= 0.17 of the yardstick's",
        "yes",
    ]


def test_row_of_a_time_shows_how_many_times_longer() -> None:
    start_up = evolve(MEASURED, amount=1, unit="s", goal=Goal(GoalKind.TIME_RATIO_MAX, 3))
    assert row(start_up) == [
        "checksum",
        "20 ms",
        "crc: 5 ms",
        "4",
        "time <= 3 times the yardstick's",
        "**no**",
    ]


def test_row_of_a_large_rate_is_rounded_to_three_digits() -> None:
    calls = evolve(MEASURED, amount=6_667, unit="calls", goal=Goal(GoalKind.RATE_MIN, 300_000))
    assert row(calls)[1] == "333,000 calls/s"
    assert row(calls)[4] == ">= 300,000 calls/s"


def test_row_of_memory() -> None:
    goal = Goal(GoalKind.MIB_MAX, 40)
    memory = evolve(MEASURED, unit="s", goal=goal, subject_mib=48.25, yardstick_mib=9.65)
    assert row(memory)[1:] == ["48.2 MiB", "crc: 9.65 MiB", "5", "<= 40 MiB of memory", "**no**"]


def test_row_without_a_goal_misses_none() -> None:
    bare = evolve(MEASURED, goal=Goal(GoalKind.NONE, 0))
    assert bare.is_met
    assert row(bare)[3:] == ["0.25", "for comparison", ""]


def test_measurement_survives_the_report() -> None:
    report = json.loads(json.dumps({"benchmarks": [{"extra_info": as_extra_info(MEASURED)}]}))
    assert measurements_of(report) == [MEASURED]


def test_table_replaces_the_old_one_and_nothing_else() -> None:
    page = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    assert put_into(page, "new\n") == f"before\n{BEGIN}\nnew\n{END}\nafter\n"


@pytest.mark.parametrize("page", ["no markers", f"{BEGIN} only", f"{END} {BEGIN}"])
def test_page_without_markers_is_refused(page: str) -> None:
    with pytest.raises(ValueError, match="lacks"):
        put_into(page, "new\n")


@pytest.mark.slow
def test_run_measures_on_one_core_and_leaves_the_page_alone() -> None:
    page = run.HERE / "README.md"
    before = page.read_bytes()
    done = run_python("-m", "benchmarks.run", "--select", "checksum", "--no-write")
    # A busy machine may miss a goal; what must not happen is that nothing was measured.
    assert done.returncode in (0, 1), done.stderr
    rows = re.findall(r"^\| page checksum: .*\| (?:yes|\*\*no\*\*) \|$", done.stdout, re.MULTILINE)
    assert len(rows) == 3
    if hasattr(os, "sched_setaffinity"):
        assert "pinned to one core" in done.stdout
    assert page.read_bytes() == before


@pytest.mark.slow
def test_run_refuses_to_select_nothing() -> None:
    done = run_python("-m", "benchmarks.run", "--select", "no_such_benchmark")
    assert done.returncode == run.NOTHING_SELECTED
    assert "no benchmark matches 'no_such_benchmark'" in done.stderr
