"""Backup clients that do things in unusual but correct ways. The harness must let every one of
them pass.
"""

from __future__ import annotations

from collections.abc import Sequence

from eseback.constants import RegisterFlags
from eseback.structures import DatabaseBackupInfo, InstanceBackupInfo
from eseconform.zoo.reference import ReferenceClient


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
    """Asks for all there is to ask, some of it twice; one context for all groups."""

    def back_up(self) -> None:
        self.api.get_nodes(None)
        flags = RegisterFlags.BACKUP | RegisterFlags.ONLINE_RESTORE
        self.api.get_registered(self.task.server, None, flags)
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
