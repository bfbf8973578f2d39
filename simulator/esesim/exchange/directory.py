"""What a client can find before it backs anything up: the node tree and the registered services."""

from __future__ import annotations

from typing import Final

from eseback.constants import NodeType, RegisterFlags
from eseback.structures import BackupNode, IconDescription, RegisteredInfo

from ..topology import ServiceSpec, Topology
from .icons import ICONS, NO_ICON
from .identity import service_guid

# ASSUMED(node-tree): one node for the organization on top (display only), the Exchange computers
# of the domain below it, and below each computer that answers its services by annotation. The SDK
# says what the flags mean and that computers carry MACHINE, not how the levels are stacked.
_TOP_FLAGS: Final = NodeType.DISPLAY
_COMPUTER_FLAGS: Final = NodeType.MACHINE | NodeType.DISPLAY
_SERVICE_FLAGS: Final = NodeType.ANNOTATION | NodeType.DISPLAY


def node_tree(topology: Topology) -> BackupNode:
    """The Exchange computers of the domain, the simulated server and its neighbours."""
    server = topology.server
    services = tuple(
        BackupNode(service.annotation, _SERVICE_FLAGS, _icon(topology, "service"))
        for service in topology.services
    )
    computers = [
        BackupNode(server.name, _COMPUTER_FLAGS, _icon(topology, "computer"), services),
        *(
            BackupNode(name, _COMPUTER_FLAGS, _icon(topology, "computer"))
            for name in server.neighbours
        ),
    ]
    computers.sort(key=lambda node: node.name.casefold())
    return BackupNode(
        server.organization, _TOP_FLAGS, _icon(topology, "organization"), tuple(computers)
    )


def registered(
    topology: Topology, display_name: str | None, flags: RegisterFlags
) -> tuple[RegisteredInfo, ...]:
    """The services that carry any of ``flags`` and, unless it is None, this display name."""
    found = (_registration(topology, service) for service in topology.services)
    # ASSUMED(registered-filter): fFlags asks for services that have any bit of it, and 0 asks for
    # all services; a display name matches as a whole, whatever its case.
    return tuple(
        info
        for info in found
        if (not flags or info.flags & flags)
        and (display_name is None or info.display_name.casefold() == display_name.casefold())
    )


def _registration(topology: Topology, service: ServiceSpec) -> RegisteredInfo:
    flags = RegisterFlags.NONE
    for name in service.flags:
        flags |= RegisterFlags[name.upper()]
    return RegisteredInfo(
        display_name=service.display_name or service.annotation,
        flags=flags,
        annotation=service.annotation,
        guid=service_guid(topology.server.seed, topology.server.name, service.annotation),
    )


def _icon(topology: Topology, kind: str) -> IconDescription:
    return ICONS[kind] if topology.server.icons else NO_ICON
