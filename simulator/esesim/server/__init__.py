"""A whole simulated server: in memory, or in a directory that outlives the process."""

from __future__ import annotations

from .directory import (
    DirectoryServer,
    ServerDirectory,
    ServerDirectoryError,
    create_directory_server,
    read_directory,
)
from .simulated import ServerStartError, SimulatedServer

__all__ = [
    "DirectoryServer",
    "ServerDirectory",
    "ServerDirectoryError",
    "ServerStartError",
    "SimulatedServer",
    "create_directory_server",
    "read_directory",
]
