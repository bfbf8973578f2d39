"""Backup clients with one realistic bug each. The harness has to catch every one, on the right
axis.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import BinaryIO

from eseback.errors import ConnectionLost, EseBackupError
from eseback.structures import DatabaseBackupInfo, InstanceBackupInfo
from eseconform.task import Claim, Outcome
from eseconform.zoo.reference import JobFailed, ReferenceClient


class SkipsStreamingFile(ReferenceClient):
    """Takes the first stream for the whole database."""

    def streams(self, database: DatabaseBackupInfo) -> Sequence[str]:
        return database.streams[:1]


class IgnoresReadError(ReferenceClient):
    """Takes a failed read for the end of the file."""

    counts_bytes = False

    def chunks(self, context: int, handle: int, size: int) -> Iterator[tuple[bytearray, int]]:
        with suppress(EseBackupError):
            yield from super().chunks(context, handle, size)

    def close_file(self, context: int, handle: int) -> None:
        with suppress(EseBackupError):
            super().close_file(context, handle)


class TruncatesEarly(ReferenceClient):
    """Has the logs truncated when one log is still to be copied."""

    def copy_logs(self, context: int, group: str, logs: Sequence[str]) -> None:
        super().copy_logs(context, group, logs[:-1])
        if self.task.kind.truncates:
            self.api.backup_truncate_logs(context)
        super().copy_logs(context, group, logs[-1:])


class StopsShort(ReferenceClient):
    """Leaves the loop when less than a full buffer is left."""

    counts_bytes = False

    def chunks(self, context: int, handle: int, size: int) -> Iterator[tuple[bytearray, int]]:
        buffer = bytearray(self.buffer_size)
        received = 0
        while size - received >= len(buffer):
            count = self.api.backup_read_file(context, handle, buffer)
            if not count:
                return
            received += count
            yield buffer, len(buffer)


class OpensDatabaseLate(ReferenceClient):
    """Keeps the last database for after the log list."""

    late: Sequence[DatabaseBackupInfo] = ()

    def databases(self, instance: InstanceBackupInfo) -> Sequence[DatabaseBackupInfo]:
        mounted = super().databases(instance)
        self.late = mounted[-1:]
        return mounted[:-1]

    def copy_logs(self, context: int, group: str, logs: Sequence[str]) -> None:
        for database in self.late:
            for stream in self.streams(database):
                self.copy_file(context, stream)
        self.late = ()
        super().copy_logs(context, group, logs)


class LeavesGroupLocked(ReferenceClient):
    """Returns at once after an error, without InstanceEnd and End."""

    def abandon(self, context: int) -> None:
        pass

    def release(self, context: int) -> None:
        pass


class SwapsTwoLogs(ReferenceClient):
    """Stores the first two logs under each other's name."""

    def copy_logs(self, context: int, group: str, logs: Sequence[str]) -> None:
        if len(logs) < 2:
            super().copy_logs(context, group, logs)
            return
        self.copy_file(context, logs[0], save_as=logs[1])
        self.copy_file(context, logs[1], save_as=logs[0])
        super().copy_logs(context, group, logs[2:])


class DropsLog(ReferenceClient):
    """Leaves out the last log of the list, as if the end of the range were exclusive."""

    def copy_logs(self, context: int, group: str, logs: Sequence[str]) -> None:
        super().copy_logs(context, group, logs[:-1])


class WritesWholeBuffer(ReferenceClient):
    """Writes the whole buffer after every read, also when the read brought less."""

    def store(self, sink: BinaryIO, buffer: bytearray, count: int) -> None:
        sink.write(buffer)


class ClaimsSuccessAfterLostConnection(ReferenceClient):
    """Takes a lost connection at the end of its work for a detail of no weight."""

    def failed(self, error: EseBackupError | JobFailed) -> Claim:
        if isinstance(error, ConnectionLost):
            return self.claim(Outcome.SUCCESS)
        return super().failed(error)
