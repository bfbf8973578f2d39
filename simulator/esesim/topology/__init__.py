"""Topologies: what server to simulate, as data, from TOML or from code.

``load_topology`` reads a file or one of the packaged topologies (``demo``, ``minimal``);
``completed`` does the same service for a :class:`Topology` made in code.
"""

from __future__ import annotations

from .checks import completed
from .loading import default_topology, load_topology, packaged_names, read_topology_text
from .profiles import (
    EXCHANGE_2000_RTM,
    EXCHANGE_2000_SP1,
    EXCHANGE_2000_SP2,
    EXCHANGE_2003_RTM,
    EXCHANGE_2003_SP1,
    EXCHANGE_2007,
    EXCHANGE_2007_SP1,
    PROFILES,
    VersionProfile,
)
from .quirks import QUIRKS, QuirkInfo, quirks_of
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
    "EXCHANGE_2000_RTM",
    "EXCHANGE_2000_SP1",
    "EXCHANGE_2000_SP2",
    "EXCHANGE_2003_RTM",
    "EXCHANGE_2003_SP1",
    "EXCHANGE_2007",
    "EXCHANGE_2007_SP1",
    "PROFILES",
    "QUIRKS",
    "GroupSpec",
    "QuirkInfo",
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
    "quirks_of",
    "read_topology_text",
]
