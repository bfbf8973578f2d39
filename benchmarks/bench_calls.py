"""Small calls in process, beside a method of a plain object that takes a lock.

The transcript is off: the session is called directly.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from benchmarks.conftest import Measure
from benchmarks.servers import RunningBackup, quiet_topology, running_backup
from benchmarks.table import Goal, GoalKind
from esesim import SimulatedServer

CALLS = 20_000
RATE_MIN = 300_000
SMALL = 16


class LockedCounter:
    """The least that a call of a shared server can be."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls = 0

    def call(self, context: int) -> int:
        """Count one call."""
        with self._lock:
            self._calls += 1
            return context


def ask_for_dependencies(backup: RunningBackup) -> Callable[[], object]:
    """A call with nothing to do but find its context and the group's lock."""
    ask, context = backup.api.backup_get_dependency_info, backup.context
    return lambda: ask(context)


def read_a_little(backup: RunningBackup) -> Callable[[], object]:
    """A read of a few bytes; the file is far longer than all of them together."""
    (opened,) = backup.api.backup_open_file(backup.context, backup.streams[0])
    read, context, handle = backup.api.backup_read_file, backup.context, opened.handle
    buffer = memoryview(bytearray(SMALL))

    def call() -> None:
        assert read(context, handle, buffer) == SMALL

    return call


@pytest.mark.parametrize(
    ("name", "prepare"),
    [
        ("get_dependency_info", ask_for_dependencies),
        (f"read_file of {SMALL} bytes", read_a_little),
    ],
)
def bench_small_call(
    measure: Measure, name: str, prepare: Callable[[RunningBackup], Callable[[], object]]
) -> None:
    with (
        SimulatedServer(quiet_topology(messages=3000)) as server,
        running_backup(server) as backup,
    ):
        call, plain = prepare(backup), LockedCounter().call

        def subject() -> None:
            for _ in range(CALLS):
                call()

        def yardstick() -> None:
            for number in range(CALLS):
                plain(number)

        measure(
            f"small in-process call: {name}",
            subject,
            goal=Goal(GoalKind.RATE_MIN, RATE_MIN),
            yardstick_name="a method with a lock",
            yardstick=yardstick,
            amount=CALLS,
            unit="calls",
        )
