"""A server with the administration interface: the same services, each call under control."""

from __future__ import annotations

from collections.abc import Sequence

from ..server import SimulatedServer
from .adminservice import AdminService
from .association import AssociationGroup
from .authentication import Authentication
from .backup import BackupService
from .computers import Computers
from .control import Control
from .controlled import has_crashed
from .limits import ServerLimits
from .registry import Client
from .server import RpcServer


def administered(
    computers: Sequence[SimulatedServer],
    host: str,
    port: int,
    limits: ServerLimits,
    authentication: Authentication | None,
    rate: float | None,
) -> RpcServer:
    """An RPC server, to be started. Raises what RpcServer does."""
    controls = [Control(computer, rate=rate) for computer in computers]
    found = Computers(controls)
    backup = BackupService(found.session, found.connection_lost, limits.read_max)

    def crashed(asking: Client) -> None:
        # Whoever asked for the crash gets its answer; its backup calls find out like the others'.
        def has_to_go(group: AssociationGroup | None) -> bool:
            if group is None or group is asking.group:
                return False
            return has_crashed(backup.api_of(group))

        server.cut("the computer has crashed", has_to_go)

    services = [backup.service(), AdminService(controls, crashed).service()]
    server = RpcServer(services, host, port, limits, authentication=authentication)
    return server
