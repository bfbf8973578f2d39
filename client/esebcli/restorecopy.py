"""Putting one file of a set in its place on the server, in either of the two ways.

HrESERestoreOpenFile announces the file and decides: a handle means that the bytes go through
WriteFile and CloseFile; hrRestoreAtFileLevel means that the client writes the file itself (SDK
pages aa564970, ms878561, aa581563). The file is read in pieces and hashed as it goes: what arrives
on the server is what was verified, or the restore ends before Complete.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable
from io import BufferedReader
from pathlib import Path

from attrs import Factory, frozen

from eseback.api import BackupApi
from eseback.errors import EseBackupError
from esebcli.copying import BUFFER_SIZE
from esebcli.durable import naming
from esebcli.errors import JobError
from esebcli.fileaccess import FileAccess
from esebcli.manifest import SavedFile


@frozen
class FileRestorer:
    """Restores files within one restore context.

    Attributes:
        files: writes at file level, None where that can't be done.
        before_write: called with the number of bytes written so far; it may raise.
    """

    api: BackupApi
    context: int
    files: FileAccess | None
    before_write: Callable[[int], None]
    _buffer: memoryview = Factory(lambda: memoryview(bytearray(BUFFER_SIZE)))

    def restore(self, file: SavedFile, source: BufferedReader, destination: str) -> None:
        """Announce ``destination`` (Windows path) and write all of ``source`` to it.

        Raises:
            EseBackupError, OSError: a call, reading or writing failed.
            JobError: the file is not what was verified, or it would have to be written at file
                level and can't be. Whatever is raised, no file is left open.
        """
        opened = self.api.restore_open_file(self.context, destination, 1)
        if opened.handle is not None:
            self._over_the_api(file, source, opened.handle)
        elif self.files is None:
            raise JobError(
                f"the server leaves the writing of {destination!r} to the client, which has no "
                "access to the server's disks: name the folder that holds them (--files-root), or "
                "run on the server"
            )
        else:
            with contextlib.ExitStack() as stack:
                try:
                    target = stack.enter_context(self.files.create(destination))
                except ValueError as error:
                    raise JobError(f"{destination!r} can't be written: {error}") from error
                self._copy(file, source, target.write)

    def _over_the_api(self, file: SavedFile, source: BufferedReader, handle: int) -> None:
        try:
            self._copy(
                file, source, lambda piece: self.api.restore_write_file(self.context, handle, piece)
            )
        except BaseException:
            # What broke the copy is what the user should hear about.
            with contextlib.suppress(EseBackupError):
                self.api.restore_close_file(self.context, handle)
            raise
        self.api.restore_close_file(self.context, handle)

    def _copy(
        self, file: SavedFile, source: BufferedReader, write: Callable[[memoryview], object]
    ) -> None:
        digest = hashlib.sha256()
        written = 0
        while True:
            self.before_write(written)
            with naming(Path(source.name)):
                count = source.readinto(self._buffer)
            if not count:
                break
            piece = self._buffer[:count]
            written += count
            if written > file.size:
                break
            digest.update(piece)
            write(piece)
        if written != file.size or digest.hexdigest() != file.sha256:
            raise JobError(f"{file.name} in the set has changed since it was verified")
