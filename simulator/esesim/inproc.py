"""``--server inproc:TOPOLOGY``: a simulated server inside the client's own process.

esesim registers :func:`open_transport` in the entry-point group ``esebcli.transports``, so that the
client finds the simulator without importing it.
"""

from __future__ import annotations

from pathlib import Path

from .server import SimulatedServer
from .topology import load_topology

SCHEME = "inproc:"


def open_transport(spec: str) -> SimulatedServer:
    """A server with what a transport needs: ``session()``, ``close()``, and ``files`` for restores.

    ``spec`` is ``TOPOLOGY.toml`` or a packaged topology such as ``demo``, for a new server in
    memory; or a directory made by ``esesim init``, whose server goes on. It may still carry its
    scheme. Raises TopologyError, ServerDirectoryError or ServerStartError (all ValueErrors) with
    a text for the user.
    """
    name = spec.removeprefix(SCHEME)
    if Path(name).is_dir():
        from .server import DirectoryServer

        return DirectoryServer(Path(name))
    return SimulatedServer(load_topology(name))
