"""Simulated servers behind a real socket, for tests of the wire."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, Self

from eseback.rpc import (
    NDR32,
    NEED_DATA,
    BindAccepted,
    ClientConnection,
    ClientEvent,
    ContextOffer,
    Credentials,
    FaultReceived,
    Interface,
    Limits,
    ResponseReceived,
)
from esebcli.rpcapi import RpcApi
from esebcli.rpcconnection import RpcConnection
from esesim.rpc import Authentication, BackupService, Computers, RpcServer, ServerLimits, Service
from esesim.server import SimulatedServer

PATIENCE = 5.0  # seconds that a test waits for what must happen


class Endpoint(Protocol):
    """A server, or what stands in front of one."""

    @property
    def address(self) -> tuple[str, int]: ...


@contextmanager
def served(
    *computers: SimulatedServer,
    limits: ServerLimits | None = None,
    gather: bool = True,
    services: tuple[Service, ...] = (),
    authentication: Authentication | None = None,
) -> Iterator[RpcServer]:
    """A listening server for these computers, and for further interfaces."""
    limits = limits or ServerLimits()
    found = Computers(computers)
    backup = BackupService(found.session, found.connection_lost, limits.read_max).service()
    with RpcServer(
        [backup, *services], limits=limits, authentication=authentication, gather=gather
    ) as server:
        yield server


@contextmanager
def connected(
    server: Endpoint,
    *,
    gather: bool = True,
    seconds: float = 30.0,
    credentials: Credentials | None = None,
) -> Iterator[RpcApi]:
    """A client of the server."""
    host, port = server.address
    api = RpcApi(RpcConnection(host, port, seconds=seconds, credentials=credentials, gather=gather))
    try:
        yield api
    finally:
        api.close()


class RawClient:
    """A socket with the client's core on top, for calls of any interface and for nonsense."""

    def __init__(self, server: Endpoint, limits: Limits | None = None) -> None:
        self.socket = socket.create_connection(server.address, PATIENCE)
        self.core = ClientConnection(limits)

    def bind(self, *interfaces: Interface, group: int = 0) -> ClientEvent:
        """Bind each to a presentation context, counted from 0."""
        offers = [ContextOffer(n, i.syntax, (NDR32,)) for n, i in enumerate(interfaces)]
        self.socket.sendall(b"".join(self.core.bind(offers, assoc_group_id=group)))
        return self.event()

    def call(self, context: int, opnum: int, stub: bytes = b"") -> bytes | int:
        """The stub of the response, or the status of a fault."""
        _, buffers = self.core.request(context, opnum, [stub])
        self.socket.sendall(b"".join(buffers))
        event = self.event()
        if isinstance(event, FaultReceived):
            return event.status
        assert isinstance(event, ResponseReceived), event
        return bytes(event.stub)

    def event(self) -> ClientEvent:
        """What comes next."""
        while (event := self.core.next_event()) is NEED_DATA:
            self.core.receive_data(self.socket.recv(65536))
        return event

    def is_closed(self) -> bool:
        """Whether the server closes the connection, sooner or later; what it sends is skipped."""
        try:
            while self.socket.recv(65536):
                pass
        except ConnectionResetError:
            pass
        except TimeoutError:
            return False
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()


def bound(server: Endpoint, *interfaces: Interface, group: int = 0) -> RawClient:
    """A raw client after its bind."""
    client = RawClient(server)
    assert isinstance(client.bind(*interfaces, group=group), BindAccepted)
    return client


def eventually(condition: Callable[[], bool], seconds: float = PATIENCE) -> bool:
    """Whether something becomes true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True
