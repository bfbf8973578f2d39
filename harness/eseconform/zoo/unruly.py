"""More broken clients: those that make calls out of order, or leave things behind.

See :mod:`eseconform.zoo.mutants`.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from eseback.constants import InstanceEnd
from eseback.errors import EseBackupError
from eseback.structures import InstanceBackupInfo
from eseconform.zoo.reference import ReferenceClient, log_generation


class ForgetsInstanceEnd(ReferenceClient):
    """Ends the context without InstanceEnd, and takes the silence for success."""

    def back_up_group(self, context: int, instance: InstanceBackupInfo) -> None:
        self.set_up(context, instance)
        if self.task.kind.has_databases:
            self.copy_databases(context, instance)
        logs = self.api.backup_get_log_and_patch_files(context)
        self.copy_logs(context, instance.instance_name, logs)
        if self.task.kind.truncates:
            self.api.backup_truncate_logs(context)


class NeverEndsContext(ReferenceClient):
    """Ends the backup of each group and keeps the context for the next time."""

    def in_context(self, groups: Sequence[str]) -> None:
        context, instances = self.api.backup_prepare(self.task.server, self.task.annotation)
        by_name = {instance.instance_name: instance for instance in instances}
        for group in groups:
            self.back_up_group(context, self.running(by_name, group))


class NeverCloses(ReferenceClient):
    """Never closes a file, and gives up when the server refuses the second one."""

    def close_file(self, context: int, handle: int) -> None:
        pass


class ReusesHandle(ReferenceClient):
    """Closes each file twice, the second time by a handle that is no longer its own."""

    def close_file(self, context: int, handle: int) -> None:
        super().close_file(context, handle)
        with suppress(EseBackupError):
            super().close_file(context, handle)


class OpensTwoFiles(ReferenceClient):
    """Tries to open the next log while a file is open, and goes on one by one when it can't."""

    def close_file(self, context: int, handle: int) -> None:
        with suppress(EseBackupError):
            self.api.backup_open_file(context, self.saved[-1].name if self.saved else "next.edb")
        super().close_file(context, handle)


class GuessesLogList(ReferenceClient):
    """Counts on from the first log to find the last one, and doesn't stop at the list's end."""

    def copy_logs(self, context: int, group: str, logs: Sequence[str]) -> None:
        super().copy_logs(context, group, logs)
        last = next(name for name in reversed(logs) if log_generation(name) is not None)
        folder, _, name = last.rpartition("\\")
        digits = len(name) - len("E00.log")
        following = (log_generation(last) or 0) + 1
        self.copy_file(context, f"{folder}\\{name[:3]}{following:0{digits}X}.log")


class TruncatesBeforeList(ReferenceClient):
    """Asks for the truncation first, to make room, and then for the logs that are left."""

    def copy_databases(self, context: int, instance: InstanceBackupInfo) -> None:
        super().copy_databases(context, instance)
        with suppress(EseBackupError):
            self.api.backup_truncate_logs(context)


class GoesOnAfterError(ReferenceClient):
    """Asks for the logs and truncates them after any error, as if the backup went on."""

    def abandon(self, context: int) -> None:
        for call in (
            self.api.backup_get_log_and_patch_files,
            self.api.backup_truncate_logs,
        ):
            with suppress(EseBackupError):
                call(context)
        super().abandon(context)


class EndsTwice(ReferenceClient):
    """Ends every context a second time, for safety."""

    def in_context(self, groups: Sequence[str]) -> None:
        context, instances = self.api.backup_prepare(self.task.server, self.task.annotation)
        by_name = {instance.instance_name: instance for instance in instances}
        try:
            for group in groups:
                self.back_up_group(context, self.running(by_name, group))
        finally:
            self.release(context)
            self.release(context)


class SucceedsWithoutLogs(ReferenceClient):
    """Ends a full backup when the databases are done: the logs are in the next one anyway."""

    def back_up_group(self, context: int, instance: InstanceBackupInfo) -> None:
        if not self.task.kind.has_databases:
            super().back_up_group(context, instance)
            return
        self.set_up(context, instance)
        self.copy_databases(context, instance)
        with suppress(EseBackupError):
            self.api.backup_instance_end(context, InstanceEnd.SUCCESS)
