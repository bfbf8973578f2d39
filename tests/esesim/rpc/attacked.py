"""A server that is attacked, and what must hold once it was."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from eseback.calls import CALL_BY_METHOD
from eseback.constants import INFORMATION_STORE, BackupType
from eseback.rpc import BACKUP_INTERFACE
from eseback.rpc.backup_calls import decode_result, encode_arguments
from esesim.rpc import RpcServer, ServerLimits
from esesim.server import SimulatedServer
from tests.esesim.rpc.wire import RawClient, bound, eventually, served
from tests.esesim.support.servers import SERVER

READ = CALL_BY_METHOD["backup_read_file"].opnum or 0
OPNUM = {method: info.opnum or 0 for method, info in CALL_BY_METHOD.items()}
NODES = bytes(encode_arguments("get_nodes", (None,)))
HUGE = 0xFFFFFFFF


@contextmanager
def attacked(
    simulated: SimulatedServer, caplog: pytest.LogCaptureFixture, **limits: Any
) -> Iterator[RpcServer]:
    """A server with limits. At the end: another client is served, and of the others nothing is
    left, no thread either.
    """
    caplog.set_level(logging.INFO, "esesim.rpc")
    before = threading.active_count()
    with served(simulated, limits=ServerLimits(**limits)) as server:
        with bound(server, BACKUP_INTERFACE) as neighbour:
            call(neighbour, "backup_prepare", SERVER, INFORMATION_STORE)  # it may be idle now
            usual = neighbour.call(0, OPNUM["get_nodes"], NODES)
            yield server
            # All at once: clients that have gone may not even have been let in yet.
            assert eventually(lambda: left_of(server) == (1, 0, 1)), left_of(server)
            assert neighbour.call(0, OPNUM["get_nodes"], NODES) == usual
        assert not any(record.levelno >= logging.ERROR for record in caplog.records), caplog.text
    assert eventually(lambda: threading.active_count() <= before)


def left_of(server: RpcServer) -> tuple[int, int, int]:
    """Connections, bytes of the budget, and association groups."""
    return server.connections, server.memory.used, len(server.associations)


def logged(caplog: pytest.LogCaptureFixture, text: str) -> bool:
    """Whether the server says so, sooner or later: it waits a moment for a client to hang up."""
    return eventually(lambda: text in caplog.text)


def call(client: RawClient, method: str, *arguments: object) -> Any:
    """A call of the backup interface that succeeds."""
    stub = client.call(0, OPNUM[method], bytes(encode_arguments(method, arguments)))
    assert isinstance(stub, bytes), f"fault 0x{stub:08X}"
    return decode_result(method, stub)


def opened(client: RawClient, simulated: SimulatedServer) -> tuple[bytes, int]:
    """Begin a backup of G1 and open its database: the context handle and the file's number."""
    handle, instances = call(client, "backup_prepare", SERVER, INFORMATION_STORE)
    call(client, "backup_setup", handle, simulated.group("G1").id, BackupType.FULL)
    name = instances[0].databases[0].streams[0]
    (file,) = call(client, "backup_open_file", handle, name, 1, 1)
    return handle, file.handle


def is_backed_up(simulated: SimulatedServer) -> bool:
    return simulated.group("G1").backup_owner is not None
