"""What a backup over the wire takes beyond time: memory, a start, a fair share of the server."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path
from textwrap import dedent

import pytest

from benchmarks import peers
from benchmarks.bench_rpc_read import WireBackup, connected, served
from benchmarks.conftest import Measure, cached_bytecode
from benchmarks.table import Goal, GoalKind

MIB = 1 << 20
EXTRA_MIB_MAX = 8
READ_GIB = 3
SESSIONS = 16
SECONDS = 4.0
STARTS_MAX = 12


@pytest.mark.parametrize("gather", [True, False], ids=["gathered", "portable"])
def bench_rpc_memory_of_the_server(measure: Measure, gather: bool) -> None:
    """Memory while a file is read that is far longer than all the memory allowed."""
    options = () if gather else ("--portable",)
    with served("--virtual=64", *options) as peer, connected(peer, gather=gather) as api:
        backup = WireBackup(api)
        handle, _ = backup.open()
        buffer = bytearray(64 << 10)
        for _ in range(64):  # what makes the pages has its tables then
            api.backup_read_file(backup.context, handle, buffer)
        before = peers.peak_mib(peer.pid)
        buffer = bytearray(4 * MIB)
        for _ in range(READ_GIB * 256):
            assert api.backup_read_file(backup.context, handle, buffer) == 4 * MIB
        after = peers.peak_mib(peer.pid)
    way = "" if gather else ", without sendmsg and recvmsg_into"
    measure.compare(
        f"server's extra memory, {READ_GIB} GiB of a virtual database read over the wire{way}",
        after - before,
        goal=Goal(GoalKind.MIB_MAX, EXTRA_MIB_MAX),
        yardstick_name="before",
        yardstick=before,
        unit="MiB",
    )


CLIENT = dedent("""
    import sys
    from pathlib import Path
    from benchmarks import peers
    from benchmarks.bench_rpc_read import WireBackup, connected
    import os
    with connected(peers.Peer(int(sys.argv[1]), 0), gather=sys.argv[2] == "True") as api:
        backup = WireBackup(api)
        handle, _ = backup.open()
        buffer = bytearray(4 << 20)
        before = peers.peak_mib(os.getpid())
        for _ in range(int(sys.argv[3])):
            assert api.backup_read_file(backup.context, handle, buffer) == 4 << 20
        print(before, peers.peak_mib(os.getpid()))
""")


@pytest.mark.parametrize("gather", [True, False], ids=["gathered", "portable"])
def bench_rpc_memory_of_the_client(measure: Measure, gather: bool) -> None:
    """Beyond the buffer that it reads into."""
    with served("--virtual=64") as peer:
        done = subprocess.run(
            [sys.executable, "-c", CLIENT, str(peer.port), str(gather), str(READ_GIB * 256)],
            cwd=peers.ROOT,
            check=True,
            capture_output=True,
            text=True,
        )
    before, after = map(float, done.stdout.split())
    way = "" if gather else ", without sendmsg and recvmsg_into"
    measure.compare(
        f"client's extra memory, {READ_GIB} GiB of a virtual database read over the wire{way}",
        after - before,
        goal=Goal(GoalKind.MIB_MAX, EXTRA_MIB_MAX),
        yardstick_name="before",
        yardstick=before,
        unit="MiB",
    )


def bench_rpc_sixteen_sessions(measure: Measure) -> None:
    """Sixteen clients, each with a group of its own, at the same time: nobody starves."""
    sizes = [0] * SESSIONS
    start = threading.Barrier(SESSIONS)

    def read(peer: peers.Peer, number: int) -> None:
        with connected(peer) as api:
            backup = WireBackup(api, number)
            buffer = memoryview(bytearray(256 << 10))
            backup.read_whole(buffer)
            start.wait()
            deadline = time.monotonic() + SECONDS
            while time.monotonic() < deadline:
                handle, _ = backup.open()
                while time.monotonic() < deadline:
                    count = api.backup_read_file(backup.context, handle, buffer)
                    sizes[number] += count
                    if not count:
                        break
                api.backup_close_file(backup.context, handle)

    with served(f"--groups={SESSIONS}") as peer:
        threads = [threading.Thread(target=read, args=(peer, number)) for number in range(SESSIONS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert all(sizes)
    measure.compare(
        f"{SESSIONS} sessions on {SESSIONS} groups (2007) over the wire: the slowest",
        min(sizes) / SECONDS / 1e6,
        goal=Goal(GoalKind.SPEED_RATIO_MIN, 0.5),
        yardstick_name="the mean",
        yardstick=sum(sizes) / SESSIONS / SECONDS / 1e6,
        unit="MB",
    )


SERVE = "from esesim.cli import main; import sys; sys.argv = ['esesim', 'serve', 'minimal']; main()"


def bench_rpc_start(measure: Measure, tmp_path: Path) -> None:
    """A server with one storage group, from a new process until it says where it listens."""
    environment = cached_bytecode(tmp_path)

    def start() -> None:
        command = [sys.executable, "-c", SERVE]
        with subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as process:
            assert process.stdout is not None
            line = process.stdout.readline()
            process.kill()  # what it does after that does not count
        assert line.startswith(b"rpc:"), line

    measure(
        "esesim serve minimal: start to listening",
        start,
        goal=Goal(GoalKind.TIME_RATIO_MAX, STARTS_MAX),
        yardstick_name="python -c pass",
        yardstick=lambda: subprocess.run(
            [sys.executable, "-c", "pass"], env=environment, check=True
        ),
        rounds=15,
    )
