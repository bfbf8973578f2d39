"""Backup clients that do things in unusual but correct ways. The harness must let every one of
them pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from eseback.constants import InstanceEnd, RegisterFlags
from eseback.structures import DatabaseBackupInfo, InstanceBackupInfo
from eseconform.zoo.reference import ReferenceClient

LARGEST_BUFFER = 1 << 20
EXTRA_READS = 3


class TinyReads(ReferenceClient):
    """Reads 1 000 bytes at a time: no multiple of a page, no power of two."""

    buffer_size = 1000


class HugeReads(ReferenceClient):
    """Reads with a buffer larger than any file, and not aligned to anything."""

    buffer_size = 8 * 1024 * 1024 + 17


class ReversedDatabases(ReferenceClient):
    """Copies the databases last to first, and of each the streaming file first."""

    def databases(self, instance: InstanceBackupInfo) -> Sequence[DatabaseBackupInfo]:
        return super().databases(instance)[::-1]

    def streams(self, database: DatabaseBackupInfo) -> Sequence[str]:
        return super().streams(database)[::-1]


class Talkative(ReferenceClient):
    """Asks for all there is to ask, some of it twice; one context for all groups that it need not
    save at the same time.
    """

    def back_up(self) -> None:
        self.api.get_nodes(None)
        flags = RegisterFlags.BACKUP | RegisterFlags.ONLINE_RESTORE
        self.api.get_registered(self.task.server, None, flags)
        if self.task.parallel:
            super().back_up()
        else:
            self.in_context(self.task.groups)
        self.api.get_nodes(self.task.server)

    def copy_databases(self, context: int, instance: InstanceBackupInfo) -> None:
        self.api.backup_get_dependency_info(context)
        super().copy_databases(context, instance)

    def copy_logs(self, context: int, group: str, logs: Sequence[str]) -> None:
        again = self.api.backup_get_log_and_patch_files(context)
        self.api.backup_get_truncate_log_files(context)
        super().copy_logs(context, group, again)
        self.api.backup_get_truncate_log_files(context)


class GrowingReads(ReferenceClient):
    """Begins with one byte and doubles its buffer with every read."""

    def chunks(self, context: int, handle: int, size: int) -> Iterator[tuple[bytearray, int]]:
        length = 1
        while True:
            buffer = bytearray(length)
            count = self.api.backup_read_file(context, handle, buffer)
            if not count:
                return
            yield buffer, count
            length = min(2 * length, LARGEST_BUFFER)


class ReadsBeyondEnd(ReferenceClient):
    """Reads on at the end of every file, to be sure."""

    def close_file(self, context: int, handle: int) -> None:
        for _ in range(EXTRA_READS):
            self.api.backup_read_file(context, handle, bytearray(self.buffer_size))
        super().close_file(context, handle)


class LogsBackwards(ReferenceClient):
    """Copies the logs last to first."""

    def copy_logs(self, context: int, group: str, logs: Sequence[str]) -> None:
        super().copy_logs(context, group, logs[::-1])


class TriesOutFirst(ReferenceClient):
    """Begins a backup and ends it with an error, to see whether it could; then does it."""

    def back_up_group(self, context: int, instance: InstanceBackupInfo) -> None:
        self.set_up(context, instance)
        self.api.backup_instance_end(context, InstanceEnd.ERROR)
        super().back_up_group(context, instance)


class OpensTwiceInTurn(ReferenceClient):
    """Opens every file, closes it unread, and opens it again to copy it."""

    def copy_file(self, context: int, name: str, save_as: str | None = None) -> None:
        (opened,) = self.api.backup_open_file(context, name)
        self.api.backup_close_file(context, opened.handle)
        super().copy_file(context, name, save_as)
