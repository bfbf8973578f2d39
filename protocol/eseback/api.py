"""The backup and restore API as a Python protocol.

`BackupApi` has every call of the documented API, in snake case without its prefix. The
simulator's session, the network client, the native DLL, the recorder and the fault injector each
implement it, so they can be stacked. `eseback.calls` holds what belongs to each call as data: its
documented name, its number on our wire and its documentation page.

Common to all calls: a failure raises `EseBackupError` (or `ConnectionLost`, when the transport
broke); both the backup and the restore privilege are needed, else ERROR_ACCESS_DENIED. Contexts
and handles are opaque integers. Which call is legal when: `eseback.order`. The C API also has
functions that free memory; Python needs none of them.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Protocol, TypeAlias, runtime_checkable

from eseback.calls import CALL_BY_METHOD, CALLS, CallInfo, CallKind
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

__all__ = [
    "CALLS",
    "CALL_BY_METHOD",
    "BackupApi",
    "CallInfo",
    "CallKind",
    "ReadableBuffer",
    "WriteableBuffer",
]

# typing has no name for buffers before Python 3.12 (collections.abc.Buffer); anything else that
# has the buffer protocol can be wrapped in a memoryview without a copy.
ReadableBuffer: TypeAlias = bytes | bytearray | memoryview
WriteableBuffer: TypeAlias = bytearray | memoryview


@runtime_checkable
class BackupApi(Protocol):
    """Every call of the ESE streaming backup and restore API."""

    # ---- discovery

    def get_nodes(self, computer: str | None) -> BackupNode:
        """Tree of the computers that can be backed up, from `computer` (None: the local one)."""
        ...

    def get_registered(
        self, server: str, display_name: str | None, flags: RegisterFlags
    ) -> tuple[RegisteredInfo, ...]:
        """Services of a server registered for any of `flags`; `display_name` None means all."""
        ...

    # ---- backup

    def backup_prepare(
        self, server: str, annotation: str
    ) -> tuple[int, tuple[InstanceBackupInfo, ...]]:
        """Connect to a service; returns a backup context and the instances that are running.

        annotation: one of `eseback.constants.ANNOTATIONS`, exactly. A storage group with no
        mounted database has no running instance and is not listed. End it with `backup_end`.
        Raises hrCouldNotConnect, ERROR_ACCESS_DENIED.
        """
        ...

    def backup_get_dependency_info(self, context: int) -> DependencyInfo:
        """Services that this one depends on. Exchange declares none; the call is optional."""
        ...

    def backup_setup(self, context: int, instance_id: int, backup_type: BackupType) -> None:
        """Start the backup of one instance; no mount or dismount there until it has ended.

        Raises JET errors: -505 a backup of the instance is running, -526 logs only with circular
        logging, -560 logs only and a mounted database without a full backup, -523, -516, -510,
        -529, -519 the instance cannot be backed up now, -1003 no such instance.
        """
        ...

    def backup_open_file(
        self,
        context: int,
        file_name: str,
        read_hint: int = DEFAULT_READ_HINT,
        sections: int = 1,
    ) -> tuple[OpenedFile, ...]:
        """Open a database stream or a listed log; one (handle, size in bytes) per section.

        A database reports its size now: two headers, the pages, one trailer page. Only one file
        can be open (-1011). Raises -1203 (no such mounted database; the backup goes on), -521
        (a database after the log list), -569 (no such log); the latter two end the backup.
        """
        ...

    def backup_read_file(self, context: int, handle: int, buffer: WriteableBuffer) -> int:
        """Fill `buffer` with the next bytes; returns how many were placed, 0 at the end.

        Fewer bytes than the buffer holds are not the end of the file; only 0 is, and it may be
        asked for again. Raises -1018, -1022 (bad page: the file is closed, the backup goes on),
        -612 (bad log: the backup is over), -1003 (bad handle or size).
        """
        ...

    def backup_close_file(self, context: int, handle: int) -> None:
        """Close a file. Only a database read to its end counts as backed up. Raises -1003."""
        ...

    def backup_get_log_and_patch_files(self, context: int) -> tuple[str, ...]:
        """Full paths of the logs (and patch files, Exchange 2000 only) to copy.

        The first call rolls the log and ends the database phase; later ones return the same
        list. Raises -521 while a file is open, -569 when an incremental backup lacks a log.
        """
        ...

    def backup_get_truncate_log_files(self, context: int) -> tuple[str, ...]:
        """Full paths of the logs that `backup_truncate_logs` would delete; may be empty.

        Ends the database phase like `backup_get_log_and_patch_files`.
        """
        ...

    def backup_truncate_logs(self, context: int) -> None:
        """Delete the logs that no mounted database of the instance needs any more.

        For full and incremental backups only, after every log is safely stored; without it the
        backup is a copy or differential one. Raises -521 before the list or with a file open.
        """
        ...

    def backup_instance_end(self, context: int, flags: InstanceEnd) -> None:
        """End the instance's backup; on SUCCESS the database headers record it.

        Raises -800 for SUCCESS before the logs were listed, -801 after a stop by the server; the
        backup is over all the same.
        """
        ...

    def backup_end(self, context: int) -> None:
        """Free the context; a backup that still runs is ended with an error first."""
        ...

    # ---- restore

    def restore_open(
        self, server: str, annotation: str, source_instance: str, log_path: str | None
    ) -> int:
        """Start a restore; returns a restore context.

        source_instance: name of the storage group at backup time. log_path: folder for logs and
        restore.env, one for each restore at a time; None lets the server choose, and
        `restore_get_environment` tells what it chose.
        """
        ...

    def restore_reopen(self, server: str, annotation: str | None, log_path: str) -> int:
        """Continue the restore whose environment was saved in `log_path`; returns a context."""
        ...

    def restore_add_database(
        self,
        context: int,
        display_name: str,
        guid: uuid.UUID,
        source_streams: Sequence[str],
    ) -> tuple[str, ...]:
        """Announce a database; returns where its files go, in the order of `source_streams`.

        Raises hrCBDatabaseNotFound, hrCBDatabaseInUse (mounted or not to be overwritten).
        """
        ...

    def restore_add_database_ns(
        self,
        context: int,
        display_name: str,
        guid: uuid.UUID,
        source_streams: Sequence[str],
        destination_streams: Sequence[str],
    ) -> None:
        """Announce a database and say where its files go."""
        ...

    def restore_open_file(self, context: int, file_name: str, sections: int = 1) -> RestoreFile:
        """Announce a file to be restored, logs included; `sections` must be 1.

        The usual answer is `RestoreFile(None)`: the client writes the file with file I/O and
        calls neither `restore_write_file` nor `restore_close_file` for it.
        """
        ...

    def restore_write_file(self, context: int, handle: int, data: ReadableBuffer) -> None:
        """Append bytes to an open file."""
        ...

    def restore_close_file(self, context: int, handle: int) -> None:
        """Close an open file."""
        ...

    def restore_save_environment(self, context: int) -> None:
        """Write restore.env into the restore log path; before every complete and close."""
        ...

    def restore_load_environment(self, server: str | None, log_path: str) -> RestoreEnvironment:
        """Read a saved environment; needs no context. server None: the local computer."""
        ...

    def restore_get_environment(self, context: int) -> RestoreEnvironment:
        """Environment of a context as it is now, saved or not."""
        ...

    def restore_complete(
        self,
        context: int,
        checkpoint_path: str,
        log_path: str,
        target_instance: str | None,
        flags: RestoreComplete,
    ) -> None:
        """All files are in place: run hard recovery, and mount if asked to.

        checkpoint_path, log_path: temporary folders of the instance that recovers.
        target_instance: running instance whose later logs are replayed too, None for none.
        Raises -552 to -557, -565, -577, -610, -611, -615, -570, -573 and others of recovery.
        """
        ...

    def restore_close(self, context: int, flag: RestoreClose) -> None:
        """Free a restore context."""
        ...

    # ---- documented, and documented as not supported

    def snapshot_start(self, context: int, databases: str, flags: int) -> None:
        """Never to be called; its page says so. Raises hrNyi."""
        ...
