"""A whole simulated server: in memory, or in a directory that outlives the process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eseback.lazy import loader

from .simulated import ServerStartError, SimulatedServer

if TYPE_CHECKING:
    from .directory import (
        DirectoryServer,
        ServerDirectory,
        ServerDirectoryError,
        create_directory_server,
        read_directory,
    )

__all__ = [
    "DirectoryServer",
    "ServerDirectory",
    "ServerDirectoryError",
    "ServerStartError",
    "SimulatedServer",
    "create_directory_server",
    "read_directory",
]

if not TYPE_CHECKING:  # servers in memory need none of it
    __getattr__ = loader(
        __name__,
        {
            "directory": (
                "DirectoryServer",
                "ServerDirectory",
                "ServerDirectoryError",
                "create_directory_server",
                "read_directory",
            )
        },
    )
