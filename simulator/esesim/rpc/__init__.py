"""The wire: a DCE/RPC server over TCP for the backup API, and for interfaces that tests add.

    with SimulatedServer(topology) as simulated, serve(simulated) as server:
        host, port = server.address

This is the package's public face.
"""

from __future__ import annotations

from ..server import SimulatedServer
from .association import AssociationGroup
from .backup import BackupService
from .callfault import CallFault, ConnectionDropped
from .computers import Computers
from .limits import ServerLimits
from .registry import Client, Handler, Service, plain
from .server import NotLoopbackError, RpcServer

__all__ = [
    "AssociationGroup",
    "BackupService",
    "CallFault",
    "Client",
    "Computers",
    "ConnectionDropped",
    "Handler",
    "NotLoopbackError",
    "RpcServer",
    "ServerLimits",
    "Service",
    "plain",
    "serve",
]


def serve(
    *computers: SimulatedServer,
    host: str = "127.0.0.1",
    port: int = 0,
    limits: ServerLimits | None = None,
) -> RpcServer:
    """An RPC server for these computers, to be started. Raises what RpcServer does."""
    limits = limits or ServerLimits()
    found = Computers(computers)
    backup = BackupService(found.session, found.connection_lost, limits.read_max)
    return RpcServer([backup.service()], host, port, limits)
