"""Reading a database through a session, beside the plainest loop that reads a file.

The pages are known to be good: the round for warming up has verified them, as the first backup of a
server does. What is left is what a call costs and one copy into the caller's buffer.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from benchmarks.conftest import Measure
from benchmarks.servers import quiet_topology, running_backup, write_out
from benchmarks.table import Goal, GoalKind
from esesim import SimulatedServer

PASSES = 4


@pytest.mark.parametrize(
    ("name", "buffer_size", "ratio_min"), [("64 KiB", 64 << 10, 0.4), ("1 MiB", 1 << 20, 0.8)]
)
def bench_read_database(
    measure: Measure, tmp_path: Path, name: str, buffer_size: int, ratio_min: float
) -> None:
    buffer = memoryview(bytearray(buffer_size))
    file = tmp_path / "plain"
    with ExitStack() as stack:
        server = stack.enter_context(SimulatedServer(quiet_topology(messages=4000)))
        write_out(server)
        backup = stack.enter_context(running_backup(server))
        api, context = backup.api, backup.context

        def read_through_session() -> int:
            size = 0
            for _ in range(PASSES):
                (opened,) = api.backup_open_file(context, backup.streams[0])
                while count := api.backup_read_file(context, opened.handle, buffer):
                    size += count
                api.backup_close_file(context, opened.handle)
            return size

        size = read_through_session()
        file.write_bytes(bytes(size // PASSES))

        def read_plain_file() -> None:
            for _ in range(PASSES):
                with file.open("rb", buffering=0) as plain:
                    while plain.readinto(buffer):
                        pass

        measure(
            f"in-process read of a database, {name} at a time",
            read_through_session,
            goal=Goal(GoalKind.SPEED_RATIO_MIN, ratio_min),
            yardstick_name="readinto of a plain file",
            yardstick=read_plain_file,
            amount=size / 1e6,
            unit="MB",
        )
