"""Run the benchmarks on one core and write their table into README.md (`make bench`).

    python -m benchmarks.run [--select WORD] [--no-write]

Exit code: 0 every goal met · 1 a goal missed or a benchmark failed · 4 nothing selected.
Synchronous calls across two cores are bimodal and wander by a factor of two, so the whole run,
yardsticks included, is pinned to one core, and what is measured is how long that core worked.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Final

from benchmarks.table import measurements_of, put_into, render

HERE: Final = Path(__file__).resolve().parent
ROOT: Final = HERE.parent
NOTHING_SELECTED: Final = 4
_PYTEST_NOTHING_COLLECTED: Final = 5


def pin_to_one_core() -> bool:
    """Bind this process and its children to one core; False where the system cannot."""
    if not hasattr(os, "sched_setaffinity"):
        return False
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    return True


def run_pytest(select: str, report: Path) -> int:
    """Run the selected benchmarks; their figures go to `report`, their failures to the terminal."""
    report.parent.mkdir(parents=True, exist_ok=True)
    report.unlink(missing_ok=True)
    command = [
        *(sys.executable, "-m", "pytest", str(HERE), "-q", "-p", "no:xdist", "--timeout", "0"),
        *("-W", "default::pytest_benchmark.logger.PytestBenchmarkWarning"),
        *("--benchmark-json", str(report), "--benchmark-columns=median,rounds"),
        *("--benchmark-sort=fullname", "--benchmark-timer=benchmarks.clock.core_seconds"),
        *("-k", select),
    ]
    # Where a test of ours runs this, pytest-benchmark would take itself for an xdist worker.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


def main(arguments: list[str] | None = None) -> int:
    """Measure, print the table, write it unless told not to."""
    parser = argparse.ArgumentParser(description="Measure, beside yardsticks, on one core.")
    parser.add_argument("--select", default="", help="only benchmarks whose name has this word")
    parser.add_argument("--no-write", action="store_true", help="leave README.md as it is")
    options = parser.parse_args(arguments)

    pinned = pin_to_one_core()
    report = ROOT / "build" / "benchmarks.json"
    status = run_pytest(options.select, report)
    if status == _PYTEST_NOTHING_COLLECTED:
        print(f"no benchmark matches {options.select!r}", file=sys.stderr)
        return NOTHING_SELECTED

    measurements = measurements_of(json.loads(report.read_text(encoding="utf-8")))
    where = "pinned to one core" if pinned else "NOT pinned: this system cannot"
    conditions = (
        f"{platform.python_implementation()} {platform.python_version()}, "
        f"{platform.system()} {platform.machine()}, {where}; "
        "medians of processor time."
    )
    table = render(measurements, conditions)
    print(table)
    missed = [measurement.name for measurement in measurements if not measurement.is_met]
    if missed:
        print(f"goals missed: {', '.join(missed)}", file=sys.stderr)
    complete = status == 0 and not options.select
    if complete and not options.no_write:
        readme = HERE / "README.md"
        readme.write_text(put_into(readme.read_text(encoding="utf-8"), table), encoding="utf-8")
    return 1 if missed or status != 0 else 0


if __name__ == "__main__":
    sys.exit(main())
