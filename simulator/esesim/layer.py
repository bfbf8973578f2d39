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

from .windows_path import path_key

R = TypeVar("R")


class RestoreGroups:
    """Whose backup each restore is of, as far as the calls of one client told.

    ``restore_reopen`` names no storage group: it is known by the folder, from an earlier call, or
    from the first environment that the client asks for.
    """

    def __init__(self) -> None:
        self._by_context: dict[int, str] = {}
        self._by_folder: dict[str, str] = {}

    def of(self, method: str, arguments: Mapping[str, Any]) -> str | None:
        """The storage group that a restore call is about; None for other calls too."""
        if method == "restore_open":
            group = arguments["source_instance"]
            return group if isinstance(group, str) else None
        if method in ("restore_reopen", "restore_load_environment"):
            folder = arguments["log_path"]
            return self._by_folder.get(path_key(folder)) if isinstance(folder, str) else None
        context = arguments.get("context")
        return self._by_context.get(context) if isinstance(context, int) else None

    def note(self, method: str, arguments: Mapping[str, Any], result: Any) -> None:
        """Learn from a call that succeeded."""
        if method == "restore_open":
            self._by_context[result] = arguments["source_instance"]
            self._note_folder(arguments["log_path"], arguments["source_instance"])
        elif method == "restore_reopen":
            group = self.of(method, arguments)
            if group is not None:
                self._by_context[result] = group
        elif method == "restore_load_environment":
            self._note_folder(arguments["log_path"], result.source_instance_name)
        elif method == "restore_get_environment":
            self._by_context[arguments["context"]] = result.source_instance_name
            self._note_folder(result.restore_log_path, result.source_instance_name)
        elif method == "restore_close":
            self._by_context.pop(arguments["context"], None)

    def _note_folder(self, folder: str | None, group: str) -> None:
        if folder is not None:
            self._by_folder[path_key(folder)] = group


class ApiLayer:
    """A BackupApi that hands each call to :meth:`around`, by method name and arguments."""

    def __init__(self, api: BackupApi) -> None:
        self._api = api

    def rebind(self, api: BackupApi) -> None:
        """Calls go to another api from now on; no call may be under way."""
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
