"""A server with many idle connections beside which a client backs up; `test_many_connections` runs
this as a program of its own, because it needs more descriptors than a process has by default.

Prints JSON: connections, seconds to make them, bytes of memory that each took, seconds of a backup
alone and beside them, whether both read the same, connections that are left at the end.
"""

from __future__ import annotations

import json
import resource
import socket
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path

from tests.eseback.rpc.joined import bind_pdu
from tests.esesim.rpc.wire import connected, eventually, served
from tests.esesim.support.servers import back_up, small_server

NEEDED = 2 * 1000 + 200
"""Descriptors for a thousand connections, both ends of which are here."""


def resident() -> int:
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * resource.getpagesize()


def main(count: int) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (NEEDED, hard))
    timed_backup(0)  # what is imported and made only once
    alone, files, _ = timed_backup(0)
    beside, again, found = timed_backup(count)
    found |= {"backup_alone": alone, "backup_beside": beside, "same": files == again}
    print(json.dumps(found))


def timed_backup(idle: int) -> tuple[float, dict[str, bytes], dict[str, float]]:
    """Seconds of a backup of a new server beside so many clients, its files, and what they took."""
    with small_server() as simulated, served(simulated) as server, ExitStack() as stack:
        before, started = resident(), time.perf_counter()
        sockets = []
        for _ in range(idle):
            sock = stack.enter_context(socket.create_connection(server.address, 10))
            sock.sendall(bind_pdu())
            sockets.append(sock)
        for sock in sockets:
            assert sock.recv(1000)[2] == 12  # bind_ack
        seconds = time.perf_counter() - started
        grown, threads, there = resident() - before, threading.active_count(), server.connections
        with connected(server) as api:
            started = time.perf_counter()
            files = back_up(api, "G1", truncate=False)
            took = time.perf_counter() - started
        stack.close()
        eventually(lambda: server.connections == 0)
        left = server.connections + len(server.associations) + server.memory.used
        found = {
            "connections": there,
            "threads": threads,
            "seconds": seconds,
            "bytes_each": grown / idle if idle else 0,
            "left": left,
        }
        return took, files, found


if __name__ == "__main__":
    main(int(sys.argv[1]))
