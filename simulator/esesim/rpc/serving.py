"""Simulated servers on the network."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..server import SimulatedServer
from .computers import Computers
from .limits import ServerLimits
from .server import RpcServer

if TYPE_CHECKING:
    from .authentication import Authentication
    from .registry import Service


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

    def services() -> Sequence[Service]:
        from .backup import BackupService

        backup = BackupService(found.session, found.connection_lost, limits.read_max)
        return [backup.service()]

    return RpcServer(services, host, port, limits, authentication=authentication)
