"""The clock of the benchmarks: seconds that one core worked for us.

Everything runs on one core, so on a machine that does nothing else these are the seconds on the
wall. On a busy one the wall's would mostly measure the others.
"""

from __future__ import annotations

import time
from collections.abc import Callable


def _core_seconds() -> Callable[[], float]:
    try:
        from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage
    except ImportError:  # Windows: without the children, so start-up times are meaningless there
        return time.process_time

    def core_seconds() -> float:
        usages = getrusage(RUSAGE_SELF), getrusage(RUSAGE_CHILDREN)
        return sum(usage.ru_utime + usage.ru_stime for usage in usages)

    return core_seconds


core_seconds = _core_seconds()
"""Processor time of this process and of the children it has waited for, in seconds."""
