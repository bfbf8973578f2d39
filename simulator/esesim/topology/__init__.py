"""Topologies: what server to simulate, as data, from TOML or from code.

``load_topology`` reads a file or one of the packaged topologies (``demo``, ``minimal``);
``completed`` does the same service for a :class:`Topology` made in code.
"""

from __future__ import annotations

from .checks import completed
from .loading import default_topology, load_topology, packaged_names, read_topology_text
from .profiles import EXCHANGE_2003_RTM, EXCHANGE_2003_SP1, PROFILES, VersionProfile
from .specs import (
    GroupSpec,
    ServerSpec,
    ServiceSpec,
    StoreSpec,
    Topology,
    TopologyError,
    WorkloadSpec,
)

__all__ = [
    "EXCHANGE_2003_RTM",
    "EXCHANGE_2003_SP1",
    "PROFILES",
    "GroupSpec",
    "ServerSpec",
    "ServiceSpec",
    "StoreSpec",
    "Topology",
    "TopologyError",
    "VersionProfile",
    "WorkloadSpec",
    "completed",
    "default_topology",
    "load_topology",
    "packaged_names",
    "read_topology_text",
]
