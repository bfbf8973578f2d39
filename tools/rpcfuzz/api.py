"""The whole client, `RpcApi`, talking to a server that answers nonsense.

Whatever comes, a call ends with a result or with an EseBackupError, of which a broken connection
and a server that breaks the protocol are two kinds; never with anything else.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, ClassVar, Final
from unittest import mock

from eseback.constants import INFORMATION_STORE, BackupType, InstanceEnd, RegisterFlags
from eseback.errors import EseBackupError
from eseback.rpc import Buffer
from esebcli import rpcconnection
from esebcli.rpcapi import RpcApi
from esebcli.rpcconnection import RpcConnection
from esesim.rpc import RpcServer, serve
from esesim.rpc.connection import Connection
from esesim.server import SimulatedServer

from .conversations import SERVER
from .mutations import Case
from .scripted import topology
from .target import Finding, peak_of

_MEMORY_MAX: Final = 10 << 20  # buffers for reads of up to 4 MiB, and what an answer says


class _Tee(socket.socket):
    """A server's end of a pair of sockets; keeps what is sent, one item for each answer."""

    def __init__(self, fileno: int) -> None:
        super().__init__(fileno=fileno)
        self.sent: list[bytes] = []

    def sendmsg(self, buffers: Any, *_: Any) -> int:
        self.sendall(b"".join(buffers))
        return len(self.sent[-1])

    def sendall(self, data: Any, *_: Any) -> None:
        self.sent.append(bytes(data))
        super().sendall(data)

    def getsockname(self) -> tuple[str, int]:
        return "127.0.0.1", 135


class _Answering:
    """In place of a client's socket: each message that is sent makes the next answer come."""

    def __init__(self, answers: Sequence[bytes], step: int) -> None:
        self._answers = iter(answers)
        self._step = step
        self._waiting = b""

    def sendmsg(self, buffers: Sequence[Buffer]) -> int:
        """Take everything."""
        self._waiting += next(self._answers, b"")
        return sum(map(len, buffers))

    def sendall(self, data: Buffer) -> None:
        """Take everything."""
        self.sendmsg([data])

    def recv(self, size: int) -> bytes:
        """What has come; the server has gone if nothing has."""
        size = min(size, self._step)
        taken, self._waiting = self._waiting[:size], self._waiting[size:]
        return taken

    def recvmsg_into(self, buffers: Sequence[memoryview]) -> tuple[int, list[Any], int, None]:
        """The same, into places."""
        left = self._step
        count = 0
        for buffer in buffers:
            piece = self.recv(min(len(buffer), left))
            buffer[: len(piece)] = piece
            count += len(piece)
            left -= len(piece)
            if len(piece) < len(buffer) or not left:
                break
        return count, [], 0, None

    def setsockopt(self, *_: Any) -> None:
        """Nothing here takes time."""

    def close(self) -> None:
        """Nothing to do."""


def _talk(sock: object) -> None:
    """A client's session: a backup, whatever is answered."""
    with mock.patch.object(rpcconnection, "_connect", lambda *_: sock):
        try:
            api = RpcApi(RpcConnection("server", 1))
        except EseBackupError:
            return
    context = instance = file = 1
    name = "C:\\x"
    buffers = [memoryview(bytearray(size)) for size in (512, 4096, 9000)]
    with suppress(EseBackupError):
        api.get_nodes(None)
    with suppress(EseBackupError):
        api.get_registered(SERVER, None, RegisterFlags(0))
    with suppress(EseBackupError):
        context, instances = api.backup_prepare(SERVER, INFORMATION_STORE)
        instance = instances[0].instance_id if instances else instance
        for info in instances:
            name = info.databases[0].streams[0] if info.databases else name
            break
    with suppress(EseBackupError):
        api.backup_setup(context, instance, BackupType.FULL)
    with suppress(EseBackupError):
        for opened in api.backup_open_file(context, name):
            file = opened.handle
    for buffer in buffers:
        with suppress(EseBackupError):
            if not 0 <= api.backup_read_file(context, file, buffer) <= len(buffer):
                raise Finding("a read of more than there is room for")
    with suppress(EseBackupError):
        api.backup_close_file(context, file)
    with suppress(EseBackupError):
        api.backup_get_log_and_patch_files(context)
    with suppress(EseBackupError):
        api.backup_get_dependency_info(context)
    with suppress(EseBackupError):
        api.backup_instance_end(context, InstanceEnd.ERROR)
    with suppress(EseBackupError):
        api.backup_end(context)
    api.close()


class ApiTarget:
    """A client's session. A case is what it is answered."""

    name: ClassVar[str] = "api"
    framed: ClassVar[bool] = True
    watch_every: ClassVar[int] = 1
    measure_every: ClassVar[int] = 50
    size_max: ClassVar[int] = 1 << 15

    def corpus(self) -> list[Case]:
        """What a server answers."""
        with SimulatedServer(topology()) as simulated:
            server: RpcServer = serve(simulated)  # never started
            ours, theirs = socket.socketpair()
            with ours, _Tee(theirs.detach()) as tee:
                connection = Connection(server, tee, "127.0.0.1", False, gather=True)
                thread = threading.Thread(target=connection.run)
                thread.start()
                _talk(ours)
                ours.close()
                thread.join()
            server.stop()
        return [tuple(tee.sent)]

    def refresh(self) -> None:
        """Nothing is kept."""

    def close(self) -> None:
        """Nothing is held."""

    def measure(self, case: Case) -> None:
        """Bytes of memory: those received, and what is made of them."""
        peak, size = peak_of(lambda: self.run(case)), sum(map(len, case))
        if peak > _MEMORY_MAX + 120 * size:
            raise Finding(f"{peak} bytes of memory for {size} bytes received")

    def run(self, case: Case) -> None:
        """Answer so."""
        _talk(_Answering(case, 1 << 16 if len(case) % 3 else 1000))
