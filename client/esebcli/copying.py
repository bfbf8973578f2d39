"""Copying one file from the server: open, read to the end, close.

The end of a file is a successful read of 0 bytes, and nothing else: a short read is not the end,
an error is not the end (SDK page ms878539; ESE source backup.cxx). The sum of the reads must be
the size that the server announced when it opened the file.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable
from typing import BinaryIO, Final, Protocol

from attrs import frozen

from eseback.api import BackupApi
from eseback.errors import EseBackupError
from esebcli.errors import JobError
from esebcli.readahead import FileReads

BUFFER_SIZE: Final = 256 * 1024
"""Bytes asked for at once: a multiple of every page size, and above the 64 KiB that ESE advises."""


class ByteSink(Protocol):
    """Something that looks at the bytes as they pass."""

    def feed(self, data: memoryview) -> None:
        """The next bytes of the file."""
        ...


@frozen
class Copied:
    """What arrived: size in bytes and SHA-256 in hexadecimal digits."""

    size: int
    sha256: str


@frozen
class FileReader:
    """Reads files of one backup context into one buffer.

    ``before_read`` is called with the number of bytes read so far and the announced size; it may
    raise, which closes the file.
    """

    api: BackupApi
    context: int
    buffer: memoryview
    before_read: Callable[[int, int], None]

    def open(self, original_name: str) -> tuple[int, int]:
        """Open a file; returns its handle and its size in bytes.

        Raises:
            EseBackupError: the call failed.
            JobError: the server opened it in several parts, which was not asked for.
        """
        opened = self.api.backup_open_file(
            self.context, original_name, read_hint=len(self.buffer), sections=1
        )
        if len(opened) != 1:
            raise JobError(f"{original_name}: the server opened {len(opened)} sections, not 1")
        return opened[0].handle, opened[0].size

    def copy(
        self, original_name: str, handle: int, size: int, target: BinaryIO, sink: ByteSink
    ) -> Copied:
        """Copy an open file into ``target``, show its bytes to ``sink``, and close it.

        Raises:
            EseBackupError: a call failed. The handle is left to InstanceEnd: after a failed read
                the server may have closed it already, and to close it twice is an error of its own.
            JobError: too many or too few bytes. Like any error of ours it closes the handle first.
        """
        try:
            copied = self._copy(original_name, handle, size, target, sink)
        except EseBackupError:
            raise
        except BaseException:
            # What broke the copy is what the user should hear about.
            with contextlib.suppress(EseBackupError):
                self.api.backup_close_file(self.context, handle)
            raise
        self.api.backup_close_file(self.context, handle)
        return copied

    def _copy(
        self, original_name: str, handle: int, size: int, target: BinaryIO, sink: ByteSink
    ) -> Copied:
        reads = FileReads(self.api, self.context, handle, self.buffer, size)
        digest = hashlib.sha256()
        copied = 0
        while True:
            if not reads.is_under_way:
                self.before_read(copied, size)
            count, buffer = reads.read()
            if count == 0:
                break
            if not 0 < count <= len(buffer):
                raise JobError(f"{original_name}: the server claims to have sent {count} bytes")
            copied += count
            if copied > size:
                raise JobError(
                    f"{original_name}: the server sent more than the {size} bytes announced"
                )
            if reads.may_start(copied):
                self.before_read(copied, size)
                reads.start()
            data = buffer[:count]
            digest.update(data)
            sink.feed(data)
            target.write(data)
        if copied != size:
            raise JobError(f"{original_name}: the server announced {size} bytes and sent {copied}")
        return Copied(copied, digest.hexdigest())
