"""The reads of one file, one after the other; the next one may be on its way already.

Over a network a server can fetch the next piece while the client works on the last one. At most one
read is on its way, it is the very read that comes next in any case, and never one that could reach
the end of the file: a file that is abandoned must not look as if it had been read whole. What goes
wrong in it is told when it is its turn.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable
from typing import Protocol, runtime_checkable

from eseback.api import BackupApi, WriteableBuffer

__all__ = ["FileReads", "ReadsAhead", "aligned_buffer"]


@runtime_checkable
class ReadsAhead(Protocol):
    """A BackupApi whose reads can be made in two halves, see ``esebcli.rpcapi``."""

    @property
    def can_read_ahead(self) -> bool:
        """Whether this connection allows it."""
        ...

    def start_read(self, context: int, handle: int, buffer: WriteableBuffer) -> Callable[[], int]:
        """Ask, and do not wait; the second half waits, and gives and raises what a read does."""
        ...


def aligned_buffer(size: int) -> memoryview:
    """A buffer on a memory page boundary, as the engine demands (ESE source backup.cxx: -1003)."""
    return memoryview(mmap.mmap(-1, size))


class FileReads:
    """Reads an open file of ``size`` bytes; each read asks for as much as ``buffer`` holds."""

    def __init__(
        self, api: BackupApi, context: int, handle: int, buffer: memoryview, size: int
    ) -> None:
        self._api = api
        self._context = context
        self._handle = handle
        self._size = size
        self._buffer = buffer
        self._ahead = api if isinstance(api, ReadsAhead) and api.can_read_ahead else None
        self._spare: memoryview | None = None
        self._finish: Callable[[], int] | None = None

    @property
    def is_under_way(self) -> bool:
        """Whether the next read is on its way."""
        return self._finish is not None

    def may_start(self, position: int) -> bool:
        """Whether the next read, which begins at ``position``, may be started ahead."""
        return self._ahead is not None and position + len(self._buffer) < self._size

    def start(self) -> None:
        """Start the next read; what the last one gave stays where it is."""
        assert self._ahead is not None, "may_start() has said so"
        spare = self._spare or aligned_buffer(len(self._buffer))
        self._buffer, self._spare = spare, self._buffer
        self._finish = self._ahead.start_read(self._context, self._handle, self._buffer)

    def read(self) -> tuple[int, memoryview]:
        """What the next read says it gave, and the buffer, good until the second read from now."""
        finish, self._finish = self._finish, None
        if finish is not None:
            return finish(), self._buffer
        count = self._api.backup_read_file(self._context, self._handle, self._buffer)
        return count, self._buffer
