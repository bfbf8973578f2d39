"""A simulated Exchange server for the ESE streaming backup API, in pure Python.

>>> from esesim import SimulatedServer, load_topology
>>> with SimulatedServer(load_topology("demo")) as server:
...     session = server.session()  # an eseback.BackupApi

Names are loaded when they are first used, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .faults import FaultAction, FaultInjector, FaultPlan, FaultRule, When
    from .inproc import open_transport
    from .server import SimulatedServer
    from .session import Session
    from .topology import Topology, TopologyError, default_topology, load_topology
    from .transcript import CallRecord, Recorder, TranscriptError, read_transcript
    from .volume import DirectoryVolume, MemoryVolume, Volume

__version__ = "0.1.0"

_HOMES = {
    "CallRecord": "transcript",
    "DirectoryVolume": "volume",
    "FaultAction": "faults",
    "FaultInjector": "faults",
    "FaultPlan": "faults",
    "FaultRule": "faults",
    "MemoryVolume": "volume",
    "Recorder": "transcript",
    "Session": "session",
    "SimulatedServer": "server",
    "Topology": "topology",
    "TopologyError": "topology",
    "TranscriptError": "transcript",
    "Volume": "volume",
    "When": "faults",
    "default_topology": "topology",
    "load_topology": "topology",
    "open_transport": "inproc",
    "read_transcript": "transcript",
}

__all__ = [
    "CallRecord",
    "DirectoryVolume",
    "FaultAction",
    "FaultInjector",
    "FaultPlan",
    "FaultRule",
    "MemoryVolume",
    "Recorder",
    "Session",
    "SimulatedServer",
    "Topology",
    "TopologyError",
    "TranscriptError",
    "Volume",
    "When",
    "__version__",
    "default_topology",
    "load_topology",
    "open_transport",
    "read_transcript",
]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{home}", __name__), name)


def __dir__() -> list[str]:
    return __all__
