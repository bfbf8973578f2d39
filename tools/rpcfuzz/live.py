"""A real server on a socket: what cases do to its threads, descriptors, memory, and other clients.

Beside the client that says a case, another one is connected all the time; after each case it makes
a call, which has to be answered as ever, and soon.
"""

from __future__ import annotations

import gc
import os
import socket
import struct
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import ClassVar, Final

from eseback.calls import CALL_BY_METHOD
from eseback.rpc import (
    BACKUP_INTERFACE,
    NDR32,
    NEED_DATA,
    ClientConnection,
    ClientEvent,
    ContextOffer,
    ResponseReceived,
)
from eseback.rpc.backup_calls import encode_arguments
from esesim.rpc import RpcServer, ServerLimits, association, serve
from esesim.server import SimulatedServer

from .mutations import Case
from .scripted import topology
from .standins import Complaints, Predictable
from .target import LIMITS, Exchange, Finding

PATIENCE: Final = 5.0
"""How long a server may take for anything, in seconds; a case is cut off after less."""
_STALL_SECONDS: Final = 0.5
# From the first server to any later one: blocks that the interpreter has given out, which are
# nearly the same each time; and bytes of the process, which also depend on how they lie.
_BLOCKS_GROWTH_MAX: Final = 20_000
_RESIDENT_GROWTH_MAX: Final = 128 << 20
_CHECK_EVERY: Final = 100


class Neighbour:
    """Another client, which wants nothing but to be served."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._core = ClientConnection()
        self._socket = socket.create_connection(address, PATIENCE)
        offer = ContextOffer(0, BACKUP_INTERFACE.syntax, (NDR32,))
        self._exchange(self._core.bind([offer]))
        self._usual = self.ask()

    def ask(self) -> bytes:
        """Make a call; gives its answer."""
        stub = encode_arguments("get_nodes", (None,))
        event = self._exchange(
            self._core.request(0, CALL_BY_METHOD["get_nodes"].opnum or 0, [stub])[1]
        )
        if not isinstance(event, ResponseReceived):
            raise Finding(f"another client is answered with {type(event).__name__}")
        return bytes(event.stub)

    def check(self) -> None:
        """Whether it is served as ever. Raises Finding."""
        try:
            answer = self.ask()
        except OSError as error:
            raise Finding(f"another client is not served any more: {error!r}") from None
        if answer != self._usual:
            raise Finding("another client gets another answer than before")

    def _exchange(self, message: Sequence[bytes | bytearray | memoryview]) -> ClientEvent:
        self._socket.sendall(b"".join(message))
        while (event := self._core.next_event()) is NEED_DATA:
            self._core.receive_data(self._socket.recv(65536))
        return event

    def close(self) -> None:
        """Leave."""
        self._socket.close()


class LiveTarget:
    """A listening server. A case is what a client sends before it leaves in one of three ways."""

    name: ClassVar[str] = "live"
    framed: ClassVar[bool] = True
    watch_every: ClassVar[int] = 1 << 30  # the server's threads cannot be watched from here
    measure_every: ClassVar[int] = 1 << 30
    size_max: ClassVar[int] = 0

    def __init__(self, exchanges: Iterable[Exchange], more: Iterable[Case] = ()) -> None:
        self._corpus = [exchange.said for exchange in exchanges] + list(more)
        self.limits = ServerLimits(
            memory=2 << 20,
            read_max=1 << 16,
            handles=4,
            handshake_seconds=_STALL_SECONDS,
            stall_seconds=_STALL_SECONDS,
            call=LIMITS,
        )
        self._complaints = Complaints()
        self._predictable = Predictable(association)
        self._runs = 0
        self._usual: tuple[int, int] | None = None
        self._simulated: SimulatedServer | None = None
        self.refresh()

    def corpus(self) -> list[Case]:
        """What clients said, and what other targets found worth keeping."""
        return self._corpus

    def refresh(self) -> None:
        """A new server, and a new neighbour."""
        self._stop()
        self._threads = threading.active_count()
        self._simulated = SimulatedServer(topology())
        self.server: RpcServer = serve(self._simulated, limits=self.limits).start()
        self._neighbour = Neighbour(self.server.address)
        self._descriptors = descriptors()
        self._check_growth()

    def _check_growth(self) -> None:
        gc.collect()  # the last server, whose disk was in memory
        blocks, resident = sys.getallocatedblocks(), resident_bytes()
        if self._usual is None:
            # The first server's numbers would be those of a process that has just begun.
            self._usual = (blocks, resident) if self._runs else None
            return
        grown = blocks - self._usual[0], resident - self._usual[1]
        if grown[0] > _BLOCKS_GROWTH_MAX or grown[1] > _RESIDENT_GROWTH_MAX:
            raise Finding(f"the process has grown by {grown[0]} blocks and {grown[1]} bytes")

    def close(self) -> None:
        """Stop the server."""
        self._stop()
        self._predictable.stop()
        self._complaints.stop()

    def _stop(self) -> None:
        if self._simulated is None:
            return
        self._neighbour.close()
        self.server.stop()
        self._simulated.close()
        self._simulated = None
        if not _eventually(lambda: threading.active_count() <= self._threads):
            raise Finding(f"{threading.active_count() - self._threads} threads are left")

    def measure(self, case: Case) -> None:
        """Like any other: memory is looked at where nothing else runs."""
        self.run(case)

    def run(self, case: Case) -> None:
        """Say it, and look after the others."""
        self._runs += 1
        self._predictable.again()
        with socket.create_connection(self.server.address, PATIENCE) as sock:
            with suppress(OSError):  # it hangs up on nonsense
                for message in case:
                    sock.sendall(message)
            self._leave(sock, zlib.crc32(b"".join(case)) % 3)
        self._neighbour.check()
        if self._complaints.found:
            found, self._complaints.found = self._complaints.found, []
            raise Finding(f"the server says: {found[0]}")
        if self._runs % _CHECK_EVERY == 0:
            self.check_left()

    @staticmethod
    def _leave(sock: socket.socket, how: int) -> None:
        """Read everything up to the end, hang up, or hang up with a reset."""
        if how == 0:
            try:
                sock.shutdown(socket.SHUT_WR)
                while sock.recv(1 << 16):
                    pass
            except TimeoutError:
                raise Finding("the server does not close the connection") from None
            except OSError:
                return
        elif how == 1:
            linger = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

    def check_left(self) -> None:
        """What must hold once all clients but the neighbour are gone. Raises Finding."""
        server = self.server

        def left() -> tuple[int, int, int]:
            return server.connections - 1, server.memory.used, len(server.associations) - 1

        # All at once: a client that has gone may not even have been let in yet.
        if not _eventually(lambda: left() == (0, 0, 0)):
            raise Finding("{} connections, {} bytes, {} groups are left".format(*left()))
        assert self._simulated is not None
        if any(group.backup_owner is not None for group in self._simulated.groups):
            raise Finding("a backup is left running")
        # Theirs: accepts, watches, and the neighbour's.
        if not _eventually(lambda: threading.active_count() <= self._threads + 3):
            raise Finding(f"{threading.active_count() - self._threads - 3} threads are left")
        if not _eventually(lambda: descriptors() <= self._descriptors):
            raise Finding(f"{descriptors() - self._descriptors} descriptors are left")


def descriptors() -> int:
    """How many files and sockets this process has open; 0 where that is not known."""
    try:
        return sum(1 for _ in Path("/proc/self/fd").iterdir())
    except OSError:
        return 0


def resident_bytes() -> int:
    """Memory of this process; 0 where that is not known."""
    try:
        return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * 4096
    except OSError:
        return 0


def _eventually(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.002)
    return True
