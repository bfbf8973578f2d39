"""File access beside the API: what a program on the server itself can do with its files.

Restores at file level need it: the client writes database and log files with file I/O (SDK page
aa564970). Paths are Windows paths, and what a mounted store or a running instance has open is
refused, as Windows refuses it.
"""

from __future__ import annotations

import io
from typing import Any

from eseback.api import ReadableBuffer

from ..volume import Volume, VolumeFile
from ..windows_path import to_volume_path
from .owners import FileOwners


class ServerFiles:
    """The files of a server by their Windows paths. Errors are OSErrors, as of any file.

    WindowsPathError (a ValueError) for a path that names no file on a drive.
    """

    def __init__(self, volume: Volume, owners: FileOwners) -> None:
        self._volume = volume
        self._owners = owners

    def create(self, windows_path: str) -> WritableServerFile:
        """A new empty file, with the folders above it; what had the name is gone.

        A context manager with ``write(data)``; closing it makes the file durable. Raises
        PermissionError for a file that the server has open.
        """
        path = to_volume_path(windows_path)
        held = self._owners.in_use(windows_path)
        if held is not None:
            raise PermissionError(f"{windows_path} is in use: {held}")
        directory = path.rpartition("/")[0]
        self._volume.make_directory(directory)
        return WritableServerFile(self._volume, directory, self._volume.create(path))

    def exists(self, windows_path: str) -> bool:
        """Whether there is a file of that name."""
        return self._volume.exists(to_volume_path(windows_path))

    def read(self, windows_path: str) -> bytes:
        """All bytes of a file. Raises FileNotFoundError."""
        file = self._volume.open(to_volume_path(windows_path))
        try:
            return file.read(0, file.size)
        finally:
            file.close()


class WritableServerFile(io.RawIOBase):
    """A file being written from front to back."""

    def __init__(self, volume: Volume, directory: str, file: VolumeFile) -> None:
        super().__init__()
        self._volume = volume
        self._directory = directory
        self._file = file
        self._size = 0

    def writable(self) -> bool:
        """Always."""
        return True

    def write(self, data: ReadableBuffer | Any) -> int:
        """Append all of ``data``; returns its size in bytes."""
        view = memoryview(data).cast("B")
        self._file.write(self._size, view)
        self._size += len(view)
        return len(view)

    def close(self) -> None:
        """Make the file durable and give it back; closing twice is allowed."""
        if not self.closed:
            try:
                self._file.sync()
                self._volume.sync_directory(self._directory)
            finally:
                self._file.close()
                super().close()
