"""A layer around a BackupApi: every call passes through one method.

The recorder and the fault injector are such layers; they differ in what they do around a call, not
in what calls there are.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from eseback.api import BackupApi, ReadableBuffer, WriteableBuffer
from eseback.constants import (
    DEFAULT_READ_HINT,
    BackupType,
    InstanceEnd,
    RegisterFlags,
    RestoreClose,
    RestoreComplete,
)
from eseback.structures import (
    BackupNode,
    DependencyInfo,
    InstanceBackupInfo,
    OpenedFile,
    RegisteredInfo,
    RestoreEnvironment,
    RestoreFile,
)

R = TypeVar("R")


class ApiLayer:
    """A BackupApi that hands each call to :meth:`around`, by method name and arguments."""

    def __init__(self, api: BackupApi) -> None:
        self._api = api

    def around(self, method: str, function: Callable[..., R], arguments: Mapping[str, Any]) -> R:
        """Make the call: ``function(**arguments)``. Layers override this."""
        return function(**arguments)

    # ---- discovery

    def get_nodes(self, computer: str | None) -> BackupNode:
        """See BackupApi."""
        return self.around("get_nodes", self._api.get_nodes, {"computer": computer})

    def get_registered(
        self, server: str, display_name: str | None, flags: RegisterFlags
    ) -> tuple[RegisteredInfo, ...]:
        """See BackupApi."""
        return self.around(
            "get_registered",
            self._api.get_registered,
            {"server": server, "display_name": display_name, "flags": flags},
        )

    # ---- backup

    def backup_prepare(
        self, server: str, annotation: str
    ) -> tuple[int, tuple[InstanceBackupInfo, ...]]:
        """See BackupApi."""
        return self.around(
            "backup_prepare",
            self._api.backup_prepare,
            {"server": server, "annotation": annotation},
        )

    def backup_get_dependency_info(self, context: int) -> DependencyInfo:
        """See BackupApi."""
        return self.around(
            "backup_get_dependency_info",
            self._api.backup_get_dependency_info,
            {"context": context},
        )

    def backup_setup(self, context: int, instance_id: int, backup_type: BackupType) -> None:
        """See BackupApi."""
        self.around(
            "backup_setup",
            self._api.backup_setup,
            {"context": context, "instance_id": instance_id, "backup_type": backup_type},
        )

    def backup_open_file(
        self,
        context: int,
        file_name: str,
        read_hint: int = DEFAULT_READ_HINT,
        sections: int = 1,
    ) -> tuple[OpenedFile, ...]:
        """See BackupApi."""
        return self.around(
            "backup_open_file",
            self._api.backup_open_file,
            {
                "context": context,
                "file_name": file_name,
                "read_hint": read_hint,
                "sections": sections,
            },
        )

    def backup_read_file(self, context: int, handle: int, buffer: WriteableBuffer) -> int:
        """See BackupApi."""
        return self.around(
            "backup_read_file",
            self._api.backup_read_file,
            {"context": context, "handle": handle, "buffer": buffer},
        )

    def backup_close_file(self, context: int, handle: int) -> None:
        """See BackupApi."""
        self.around(
            "backup_close_file",
            self._api.backup_close_file,
            {"context": context, "handle": handle},
        )

    def backup_get_log_and_patch_files(self, context: int) -> tuple[str, ...]:
        """See BackupApi."""
        return self.around(
            "backup_get_log_and_patch_files",
            self._api.backup_get_log_and_patch_files,
            {"context": context},
        )

    def backup_get_truncate_log_files(self, context: int) -> tuple[str, ...]:
        """See BackupApi."""
        return self.around(
            "backup_get_truncate_log_files",
            self._api.backup_get_truncate_log_files,
            {"context": context},
        )

    def backup_truncate_logs(self, context: int) -> None:
        """See BackupApi."""
        self.around("backup_truncate_logs", self._api.backup_truncate_logs, {"context": context})

    def backup_instance_end(self, context: int, flags: InstanceEnd) -> None:
        """See BackupApi."""
        self.around(
            "backup_instance_end",
            self._api.backup_instance_end,
            {"context": context, "flags": flags},
        )

    def backup_end(self, context: int) -> None:
        """See BackupApi."""
        self.around("backup_end", self._api.backup_end, {"context": context})

    # ---- restore

    def restore_open(
        self, server: str, annotation: str, source_instance: str, log_path: str | None
    ) -> int:
        """See BackupApi."""
        return self.around(
            "restore_open",
            self._api.restore_open,
            {
                "server": server,
                "annotation": annotation,
                "source_instance": source_instance,
                "log_path": log_path,
            },
        )

    def restore_reopen(self, server: str, annotation: str | None, log_path: str) -> int:
        """See BackupApi."""
        return self.around(
            "restore_reopen",
            self._api.restore_reopen,
            {"server": server, "annotation": annotation, "log_path": log_path},
        )

    def restore_add_database(
        self, context: int, display_name: str, guid: uuid.UUID, source_streams: Sequence[str]
    ) -> tuple[str, ...]:
        """See BackupApi."""
        return self.around(
            "restore_add_database",
            self._api.restore_add_database,
            {
                "context": context,
                "display_name": display_name,
                "guid": guid,
                "source_streams": source_streams,
            },
        )

    def restore_add_database_ns(
        self,
        context: int,
        display_name: str,
        guid: uuid.UUID,
        source_streams: Sequence[str],
        destination_streams: Sequence[str],
    ) -> None:
        """See BackupApi."""
        self.around(
            "restore_add_database_ns",
            self._api.restore_add_database_ns,
            {
                "context": context,
                "display_name": display_name,
                "guid": guid,
                "source_streams": source_streams,
                "destination_streams": destination_streams,
            },
        )

    def restore_open_file(self, context: int, file_name: str, sections: int = 1) -> RestoreFile:
        """See BackupApi."""
        return self.around(
            "restore_open_file",
            self._api.restore_open_file,
            {"context": context, "file_name": file_name, "sections": sections},
        )

    def restore_write_file(self, context: int, handle: int, data: ReadableBuffer) -> None:
        """See BackupApi."""
        self.around(
            "restore_write_file",
            self._api.restore_write_file,
            {"context": context, "handle": handle, "data": data},
        )

    def restore_close_file(self, context: int, handle: int) -> None:
        """See BackupApi."""
        self.around(
            "restore_close_file",
            self._api.restore_close_file,
            {"context": context, "handle": handle},
        )

    def restore_save_environment(self, context: int) -> None:
        """See BackupApi."""
        self.around(
            "restore_save_environment", self._api.restore_save_environment, {"context": context}
        )

    def restore_load_environment(self, server: str | None, log_path: str) -> RestoreEnvironment:
        """See BackupApi."""
        return self.around(
            "restore_load_environment",
            self._api.restore_load_environment,
            {"server": server, "log_path": log_path},
        )

    def restore_get_environment(self, context: int) -> RestoreEnvironment:
        """See BackupApi."""
        return self.around(
            "restore_get_environment", self._api.restore_get_environment, {"context": context}
        )

    def restore_complete(
        self,
        context: int,
        checkpoint_path: str,
        log_path: str,
        target_instance: str | None,
        flags: RestoreComplete,
    ) -> None:
        """See BackupApi."""
        self.around(
            "restore_complete",
            self._api.restore_complete,
            {
                "context": context,
                "checkpoint_path": checkpoint_path,
                "log_path": log_path,
                "target_instance": target_instance,
                "flags": flags,
            },
        )

    def restore_close(self, context: int, flag: RestoreClose) -> None:
        """See BackupApi."""
        self.around("restore_close", self._api.restore_close, {"context": context, "flag": flag})

    def snapshot_start(self, context: int, databases: str, flags: int) -> None:
        """See BackupApi."""
        self.around(
            "snapshot_start",
            self._api.snapshot_start,
            {"context": context, "databases": databases, "flags": flags},
        )
