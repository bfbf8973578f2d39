"""The file that a restore context has open: the server writes what the client sends."""

from __future__ import annotations

from eseback.api import ReadableBuffer

from ..volume import Volume


class OpenRestoreFile:
    """A file being restored, written from front to back. ``handle`` is the client's number.

    What was there before under its name is gone when it is opened.
    """

    def __init__(self, volume: Volume, path: str, handle: int) -> None:
        self.handle = handle
        directory = path.rpartition("/")[0]
        volume.make_directory(directory)
        self._volume = volume
        self._directory = directory
        self._file = volume.create(path)
        self._size = 0

    def write(self, data: ReadableBuffer) -> None:
        """Append bytes."""
        self._file.write(self._size, data)
        self._size += memoryview(data).nbytes

    def close(self) -> None:
        """Return when all of it is on disk."""
        self._file.sync()
        self._file.close()
        self._volume.sync_directory(self._directory)

    def abandon(self) -> None:
        """Let go of it as it is."""
        self._file.close()
