"""Reading a database over the wire, beside a plain Python loop over a plain socket.

The loop ("raw256K") is `preadv` into one buffer and `sendall` at one end, `recv_into` one buffer at
the other, 256 KiB at a time: nothing is asked for, nothing is checked. Both send the same number of
bytes from memory, over the loopback device, on one core; both ends count.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import cycle
from pathlib import Path
from shutil import which
from typing import Any

import pytest

from benchmarks import peers
from benchmarks.bare import bare_reader
from benchmarks.conftest import Measure
from benchmarks.table import Goal, GoalKind
from eseback.constants import INFORMATION_STORE, BackupType
from eseback.rpc import Limits
from esebcli.rpcapi import RpcApi
from esebcli.rpcconnection import RpcConnection

# A process is up to a fifth faster than the next one of the same kind, for as long as it lives: by
# where its memory lies. So there are several at the other end, in turn.
PEERS = 3
ROUNDS = 30
KIB = 1024
BARE = 42 << 20  # bytes, about as many as the database has
FRAGMENT_MAX = Limits().fragment_max
RAW = "raw256K: preadv, sendall, recv_into"


class WireBackup:
    """A running backup over the wire, of the storage group with that number."""

    def __init__(self, api: RpcApi, group: int = 0) -> None:
        self.api = api
        self.context, instances = api.backup_prepare("EXCHSRV1", INFORMATION_STORE)
        instance = instances[group]
        api.backup_setup(self.context, instance.instance_id, BackupType.FULL)
        self.stream = instance.databases[0].streams[0]

    def open(self) -> tuple[int, int]:
        """Handle and size of its database."""
        (opened,) = self.api.backup_open_file(self.context, self.stream)
        return opened.handle, opened.size

    def read_whole(self, buffer: memoryview) -> int:
        """Read the database from one end to the other."""
        read, context, size = self.api.backup_read_file, self.context, 0
        handle, _ = self.open()
        while count := read(context, handle, buffer):
            size += count
        self.api.backup_close_file(context, handle)
        return size


@contextmanager
def served(*options: str) -> Iterator[peers.Peer]:
    """A server in a process of its own; options: see ``rpc_peer``."""
    with peers.running([sys.executable, "-m", "benchmarks.rpc_peer", *options]) as peer:
        yield peer


@contextmanager
def connected(peer: peers.Peer, **options: Any) -> Iterator[RpcApi]:
    """A client of it."""
    api = RpcApi(RpcConnection("127.0.0.1", peer.port, **options))
    try:
        yield api
    finally:
        api.close()


@contextmanager
def wire_backup(*options: str, **client: Any) -> Iterator[WireBackup]:
    """A backup of a server in a process of its own; its pages are known to be good."""
    with served(*options) as peer, connected(peer, **client) as api:
        backup = WireBackup(api)
        backup.read_whole(memoryview(bytearray(1 << 20)))
        yield backup


@pytest.mark.parametrize(
    ("name", "size", "ratio_min", "options"),
    [
        ("64 KiB at a time", 64 * KIB, 0.55, ()),
        ("64 KiB at a time, fragments of 5840", 64 * KIB, 0.45, ("--fragment=5840",)),
        ("256 KiB at a time", 256 * KIB, 1.1, ()),
        ("256 KiB at a time, every page verified", 256 * KIB, 0.28, ("--verify",)),
        ("1 MiB at a time", 1024 * KIB, 1.3, ()),
    ],
)
def bench_rpc_read(
    measure: Measure,
    tmp_path: Path,
    name: str,
    size: int,
    ratio_min: float,
    options: tuple[str, ...],
) -> None:
    measure_read(measure, tmp_path, name, size, ratio_min, options)


@pytest.mark.parametrize(
    ("name", "size", "fragment"),
    [
        ("64 KiB at a time", 64 * KIB, FRAGMENT_MAX),
        ("64 KiB at a time, fragments of 5840", 64 * KIB, 5840),
        ("256 KiB at a time", 256 * KIB, FRAGMENT_MAX),
        ("1 MiB at a time", 1024 * KIB, FRAGMENT_MAX),
    ],
)
def bench_rpc_read_bare(
    measure: Measure, tmp_path: Path, name: str, size: int, fragment: int
) -> None:
    """What the rows above could be at best on this machine."""
    with ExitStack() as stack:
        readers = [stack.enter_context(bare_reader(size, fragment, BARE)) for _ in range(PEERS)]
        next_reader = cycle(readers).__next__

        measure(
            f"bare sockets, {name}: the same packets, laid out beforehand",
            lambda: next_reader().read(BARE // size),
            goal=Goal(GoalKind.NONE, 0),
            yardstick_name=RAW,
            yardstick=_raw(stack, tmp_path, BARE),
            amount=BARE / 1e6,
            unit="MB",
            rounds=ROUNDS,
        )


@pytest.mark.parametrize(
    ("name", "size", "ratio_min"),
    [("64 KiB at a time", 64 * KIB, 0.15), ("256 KiB at a time", 256 * KIB, 0.25)],
)
def bench_rpc_read_portable(
    measure: Measure, tmp_path: Path, name: str, size: int, ratio_min: float
) -> None:
    name = f"{name}, without sendmsg and recvmsg_into"
    measure_read(measure, tmp_path, name, size, ratio_min, ("--portable",), gather=False)


def measure_read(
    measure: Measure,
    folder: Path,
    name: str,
    size: int,
    ratio_min: float,
    options: tuple[str, ...],
    **client: Any,
) -> None:
    """One row of the table, beside raw256K."""
    buffer = memoryview(bytearray(size))
    with ExitStack() as stack:
        backups = [stack.enter_context(wire_backup(*options, **client)) for _ in range(PEERS)]
        amount = backups[0].read_whole(buffer)
        next_backup = cycle(backups).__next__

        measure(
            f"read over the wire, {name}",
            lambda: next_backup().read_whole(buffer),
            goal=Goal(GoalKind.SPEED_RATIO_MIN, ratio_min),
            yardstick_name=RAW,
            yardstick=_raw(stack, folder, amount),
            amount=amount / 1e6,
            unit="MB",
            rounds=ROUNDS,
        )


def _raw(stack: ExitStack, folder: Path, size: int) -> Callable[[], None]:
    """The plain loop over so many bytes."""
    file = plain_copy(folder, size)
    next_port = cycle([stack.enter_context(peers.plain_file(file)) for _ in range(PEERS)]).__next__
    buffer = memoryview(bytearray(peers.CHUNK))

    def run() -> None:
        assert peers.receive_file(next_port(), buffer) == size

    return run


def plain_copy(folder: Path, size: int) -> Path:
    """A file of that size in the system's cache."""
    file = folder / "plain"
    file.write_bytes(b"\xa5" * size)
    return file


C_LOOP = r"""
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define CHUNK (1 << 20)
static char buffer[CHUNK];

/* serve FILE: each client is sent all of it. read PORT TIMES: so many clients, one by one. */
int main(int argc, char **argv) {
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof address;
    int one = 1;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (argc == 2) {
        int file = open(argv[1], O_RDONLY), listener = socket(AF_INET, SOCK_STREAM, 0);
        if (file < 0 || bind(listener, (void *)&address, length) || listen(listener, 8)) return 1;
        getsockname(listener, (void *)&address, &length);
        printf("%d\n", ntohs(address.sin_port));
        fflush(stdout);
        for (;;) {
            int client = accept(listener, NULL, NULL);
            ssize_t count;
            setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
            off_t offset = 0;
            for (; (count = pread(file, buffer, CHUNK, offset)) > 0; offset += count)
                for (ssize_t done = 0; done < count;) {
                    ssize_t sent = send(client, buffer + done, count - done, 0);
                    if (sent <= 0) return 1;
                    done += sent;
                }
            close(client);
        }
    }
    address.sin_port = htons(atoi(argv[1]));
    for (int times = atoi(argv[2]); times > 0; times--) {
        int server = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(server, (void *)&address, length)) return 1;
        while (recv(server, buffer, CHUNK, 0) > 0) {}
        close(server);
    }
    return 0;
}
"""


@pytest.mark.skipif(which("gcc") is None, reason="needs gcc")
def bench_rpc_read_beside_c(measure: Measure, tmp_path: Path) -> None:
    source, program = tmp_path / "loop.c", tmp_path / "loop"
    source.write_text(C_LOOP)
    subprocess.run(["gcc", "-O2", "-o", program, source], check=True)
    buffer = memoryview(bytearray(1024 * KIB))
    passes = 2 * PEERS  # in one process, whose start counts
    with ExitStack() as stack:
        backups = [stack.enter_context(wire_backup()) for _ in range(PEERS)]
        size = backups[0].read_whole(buffer)
        peer = stack.enter_context(peers.running([program, plain_copy(tmp_path, size)]))

        def read_over_the_wire() -> None:
            for backup in backups * (passes // PEERS):
                backup.read_whole(buffer)

        measure(
            "read over the wire, 1 MiB at a time, beside C",
            read_over_the_wire,
            goal=Goal(GoalKind.SPEED_RATIO_MIN, 1.0),
            yardstick_name="pread, send and recv of 1 MiB in C",
            yardstick=lambda: subprocess.run([program, str(peer.port), str(passes)], check=True),
            amount=size * passes / 1e6,
            unit="MB",
            rounds=9,
        )
