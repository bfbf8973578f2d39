"""The clock of the benchmarks: seconds that one core worked for us.

Everything runs on one core, so on a machine that does nothing else these are the seconds on the
wall. On a busy one the wall's would mostly measure the others.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_clocks: list[int] = []  # of the processes that run now and work for us


@contextmanager
def counted(pid: int) -> Iterator[None]:
    """Count the work of another process that runs meanwhile. Linux only."""
    # What clock_getcpuclockid(3) makes of a pid: the clock of the whole process (CPUCLOCK_SCHED).
    clock = ~pid << 3 | 2
    time.clock_gettime(clock)
    _clocks.append(clock)
    try:
        yield
    finally:
        _clocks.remove(clock)


def _core_seconds() -> Callable[[], float]:
    try:
        from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage
    except ImportError:  # Windows: without the children, so start-up times are meaningless there
        return time.process_time

    def core_seconds() -> float:
        usages = getrusage(RUSAGE_SELF), getrusage(RUSAGE_CHILDREN)
        others = sum(map(time.clock_gettime, _clocks))
        return sum(usage.ru_utime + usage.ru_stime for usage in usages) + others

    return core_seconds


core_seconds = _core_seconds()
"""Processor time of this process, of the children it has waited for, and of those that are
``counted``, in seconds."""
