"""The other end of a connection, in a process of its own.

A peer is a program that prints the port it listens on and serves until it is killed. Its work
counts as ours while it runs (``clock.counted``): what is compared is what both ends together cost.
"""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from attrs import frozen

from benchmarks.clock import counted

ROOT: Final = Path(__file__).resolve().parent.parent
CHUNK: Final = 256 << 10  # of the plain loops

_LISTEN: Final = """
import os, socket, sys
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
"""

# Each client that connects is sent the whole file, some bytes at a time.
_PLAIN_FILE: Final = (
    _LISTEN
    + """
file = os.open(sys.argv[1], os.O_RDONLY)
buffer = memoryview(bytearray(int(sys.argv[2])))
while True:
    sock = listener.accept()[0]
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    offset = 0
    while count := os.preadv(file, [buffer], offset):
        sock.sendall(buffer[:count])
        offset += count
    sock.close()
"""
)

# Whatever comes is answered with so many bytes.
_PING_PONG: Final = (
    _LISTEN
    + """
answer = bytes(int(sys.argv[1]))
while True:
    sock = listener.accept()[0]
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    receive, send = sock.recv, sock.sendall
    while receive(65536):
        send(answer)
"""
)


@frozen
class Peer:
    """Where a peer listens, and its process."""

    port: int
    pid: int


@contextmanager
def running(command: Sequence[str | Path]) -> Iterator[Peer]:
    """A peer that listens; it is killed at the end."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line, "the peer could not start"
            with counted(process.pid):
                yield Peer(int(line), process.pid)
        finally:
            process.kill()


@contextmanager
def plain_file(file: Path, chunk: int = CHUNK) -> Iterator[int]:
    """A peer that sends a file to whoever connects: `preadv` and `sendall` in plain Python."""
    with running([sys.executable, "-c", _PLAIN_FILE, file, str(chunk)]) as peer:
        yield peer.port


@contextmanager
def ping_pong(answer: int) -> Iterator[int]:
    """A peer that answers each message with so many bytes."""
    with running([sys.executable, "-c", _PING_PONG, str(answer)]) as peer:
        yield peer.port


def peak_mib(pid: int) -> float:
    """The most memory that a process has had so far: its own high-water mark. Linux only."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def connect(port: int) -> socket.socket:
    """A connection to a peer."""
    sock = socket.create_connection(("127.0.0.1", port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def receive_file(port: int, buffer: memoryview) -> int:
    """What a peer sends, received into a buffer that is used again and again; how many bytes."""
    size = 0
    with connect(port) as sock:
        while count := sock.recv_into(buffer):
            size += count
    return size
