"""The wire: a DCE/RPC server over TCP for the backup API, and for interfaces that tests add.

    with SimulatedServer(topology) as simulated, serve(simulated) as server:
        host, port = server.address

This is the package's public face.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from eseback.lazy import loader

from ..server import SimulatedServer
from .association import AssociationGroup
from .authentication import Authentication
from .backup import BackupService
from .callfault import CallFault, ConnectionDropped
from .computers import Computers
from .limits import ServerLimits
from .registry import Client, Handler, Service, plain
from .server import NotLoopbackError, RpcServer

if TYPE_CHECKING:
    from .users import User, Users, UsersFileError

__all__ = [
    "AssociationGroup",
    "Authentication",
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
    "User",
    "Users",
    "UsersFileError",
    "plain",
    "serve",
]

if not TYPE_CHECKING:  # most servers let everybody in
    __getattr__ = loader(__name__, {"users": ("User", "Users", "UsersFileError")})


def serve(
    *computers: SimulatedServer,
    host: str = "127.0.0.1",
    port: int = 0,
    limits: ServerLimits | None = None,
    authentication: Authentication | None = None,
    admin: bool = False,
    rate: float | None = None,
) -> RpcServer:
    """An RPC server for these computers, to be started. Raises what RpcServer does.

    admin: with the administration interface. rate: steps of users per second in each storage
    group; None: as many at each call as the topology says.
    """
    limits = limits or ServerLimits()
    if admin:
        from .adminserver import administered

        return administered(computers, host, port, limits, authentication, rate)
    for computer in computers:
        computer.set_rate(rate, time.monotonic)
    found = Computers(computers)
    backup = BackupService(found.session, found.connection_lost, limits.read_max)
    return RpcServer([backup.service()], host, port, limits, authentication=authentication)
