"""What a benchmark measured, whether it met its goal, and the table in README.md.

A figure alone says little: machines differ by a factor of ten. So each benchmark runs beside a
yardstick, a plain piece of Python or C that moves the same data, interleaved in the same process on
the same core; the ratio of the two is what is compared from release to release.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import Any, Final

from attrs import asdict, frozen

BEGIN: Final = "<!-- begin: written by benchmarks/run.py -->"
END: Final = "<!-- end -->"


class GoalKind(Enum):
    """What a goal limits."""

    SPEED_RATIO_MIN = "speed >= {} of the yardstick's"
    TIME_RATIO_MAX = "time <= {} times the yardstick's"
    RATE_MIN = ">= {} {}/s"
    SECONDS_MAX = "<= {} s"
    MIB_MAX = "<= {} MiB of memory"
    NONE = "for comparison"


@frozen
class Goal:
    """A limit that a measurement must keep; `limit` in the unit that the kind names."""

    kind: GoalKind
    limit: float


@frozen
class Measurement:
    """Medians of one benchmark: seconds for `amount` units of work, by subject and yardstick.

    Where memory was measured (`MIB_MAX`), the MiB that both took at most.
    """

    name: str
    subject_seconds: float
    yardstick: str
    yardstick_seconds: float
    amount: float
    unit: str
    goal: Goal
    subject_mib: float = 0.0
    yardstick_mib: float = 0.0
    median_ratio: float | None = None
    """Of the yardstick's time to the subject's, round by round, where there were rounds: a machine
    that changes its pace in mid-run changes the medians of both, but hardly this."""

    @property
    def speed_ratio(self) -> float:
        """The subject's speed as a share of the yardstick's."""
        if self.median_ratio is not None:
            return self.median_ratio
        return self.yardstick_seconds / self.subject_seconds

    @property
    def rate(self) -> float:
        """Units of work a second."""
        return self.amount / self.subject_seconds

    @property
    def is_met(self) -> bool:
        """Whether the goal was reached."""
        match self.goal.kind:
            case GoalKind.SPEED_RATIO_MIN:
                return self.speed_ratio >= self.goal.limit
            case GoalKind.TIME_RATIO_MAX:
                return 1 / self.speed_ratio <= self.goal.limit
            case GoalKind.RATE_MIN:
                return self.rate >= self.goal.limit
            case GoalKind.SECONDS_MAX:
                return self.subject_seconds <= self.goal.limit
            case GoalKind.MIB_MAX:
                return self.subject_mib <= self.goal.limit
            case GoalKind.NONE:
                return True


def as_extra_info(measurement: Measurement) -> dict[str, Any]:
    """The measurement as plain data for pytest-benchmark's JSON file."""
    info = asdict(measurement, recurse=False)
    info["goal"] = {"kind": measurement.goal.kind.name, "limit": measurement.goal.limit}
    return info


def measurements_of(report: Mapping[str, Any]) -> list[Measurement]:
    """The measurements in a JSON file that pytest-benchmark wrote, in the order they ran."""
    return [_from_extra_info(entry["extra_info"]) for entry in report["benchmarks"]]


def _from_extra_info(info: Mapping[str, Any]) -> Measurement:
    goal = Goal(GoalKind[info["goal"]["kind"]], info["goal"]["limit"])
    return Measurement(**{**info, "goal": goal})


def render(measurements: Iterable[Measurement], conditions: str) -> str:
    """The Markdown table; `conditions` says on what it was measured."""
    rows: list[Sequence[str]] = [
        ("what", "measured", "yardstick", "ratio", "goal", "met"),
        ("---", "---:", "---:", "---:", "---", "---"),
    ]
    rows += [_row(measurement) for measurement in measurements]
    table = "\n".join("| " + " | ".join(row) + " |" for row in rows)
    return f"{conditions}\n\n{table}\n"


def _row(measurement: Measurement) -> Sequence[str]:
    goal = measurement.goal
    times = measurement.unit == "s"  # as many times the yardstick as a start takes
    ratio = 1 / measurement.speed_ratio if times else measurement.speed_ratio
    met = "yes" if measurement.is_met else "**no**"
    subject = _figure(measurement, measurement.subject_seconds)
    yardstick = _figure(measurement, measurement.yardstick_seconds)
    if goal.kind is GoalKind.MIB_MAX:
        ratio = measurement.subject_mib / measurement.yardstick_mib
        subject = f"{_short(measurement.subject_mib)} MiB"
        yardstick = f"{_short(measurement.yardstick_mib)} MiB"
    return (
        measurement.name,
        subject,
        f"{measurement.yardstick}: {yardstick}",
        f"{ratio:.3g}",
        goal.kind.value.format(_short(goal.limit), measurement.unit),
        "" if goal.kind is GoalKind.NONE else met,
    )


def _figure(measurement: Measurement, seconds: float) -> str:
    if measurement.unit == "s":
        return f"{seconds * 1000:.4g} ms"
    return f"{_short(measurement.amount / seconds)} {measurement.unit}/s"


def _short(number: float) -> str:
    return f"{number:.3g}" if number < 1000 else f"{round(number, 3 - len(str(int(number)))):,.0f}"


def put_into(readme: str, table: str) -> str:
    """README.md with the table between its markers. Raises ValueError where they are missing."""
    head, begin, rest = readme.partition(BEGIN)
    _old, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page lacks {BEGIN!r} ... {END!r}")
    return f"{head}{BEGIN}\n{table}{END}{tail}"
