"""What Exchange puts on top of the engine: the server process, storage groups, stores, services."""

from __future__ import annotations

from .clock import LogicalClock
from .directory import node_tree, registered
from .group import StorageGroup
from .information_store import InformationStore
from .instances import InstanceSlots
from .state import GroupState

__all__ = [
    "GroupState",
    "InformationStore",
    "InstanceSlots",
    "LogicalClock",
    "StorageGroup",
    "node_tree",
    "registered",
]
