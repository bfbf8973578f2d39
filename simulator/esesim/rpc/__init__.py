"""The wire: a DCE/RPC server over TCP for the backup API, and for interfaces that tests add.

    with SimulatedServer(topology) as simulated, serve(simulated) as server:
        host, port = server.address

This is the package's public face. Its names are loaded when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from eseback.lazy import loader

if TYPE_CHECKING:
    from .association import AssociationGroup
    from .authentication import Authentication
    from .backup import BackupService
    from .callfault import CallFault, ConnectionDropped
    from .computers import Computers
    from .limits import ServerLimits
    from .registry import Client, Handler, Service, plain
    from .server import NotLoopbackError, RpcServer
    from .serving import serve
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

if not TYPE_CHECKING:
    __getattr__ = loader(
        __name__,
        {
            "association": ("AssociationGroup",),
            "authentication": ("Authentication",),
            "backup": ("BackupService",),
            "callfault": ("CallFault", "ConnectionDropped"),
            "computers": ("Computers",),
            "limits": ("ServerLimits",),
            "registry": ("Client", "Handler", "Service", "plain"),
            "server": ("NotLoopbackError", "RpcServer"),
            "serving": ("serve",),
            "users": ("User", "Users", "UsersFileError"),
        },
    )
