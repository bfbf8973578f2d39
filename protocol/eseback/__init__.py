"""The contract that a backup server and its clients share: calls, structures, errors, order.

Pure data and pure functions: no I/O, no state of a server. This is the package's public face. Its
names are loaded when they are first used: a server is to be up quickly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from eseback.lazy import loader

if TYPE_CHECKING:
    from eseback.api import BackupApi, ReadableBuffer, WriteableBuffer
    from eseback.calls import CALL_BY_METHOD, CALLS, CallInfo, CallKind
    from eseback.constants import (
        ANNOTATIONS,
        DEFAULT_READ_HINT,
        INFORMATION_STORE,
        KEY_MANAGEMENT,
        RECOVER_STATUS_MAX,
        SITE_REPLICATION,
        BackupType,
        DatabaseFlags,
        InstanceEnd,
        NodeType,
        RecoverStatus,
        RegisterFlags,
        RestoreClose,
        RestoreComplete,
    )
    from eseback.errors import (
        ERRORS,
        ROW_BY_HRESULT,
        ROW_BY_JET,
        ROW_BY_NAME,
        ConnectionLost,
        ErrorRow,
        EseBackupError,
        hresult_of_jet,
        row_of_hresult,
    )
    from eseback.events import ESE, ESE_BACKUP, EVENTS, EventRow, Severity
    from eseback.grade import Grade
    from eseback.jeterr import JetErr
    from eseback.order import (
        BACKUP_ORDER,
        BACKUP_START,
        BackupCall,
        BackupCell,
        BackupState,
        Cell,
        backup_cell,
        instance_end_call,
        setup_call,
    )
    from eseback.restoreorder import (
        RESTORE_ORDER,
        RESTORE_STARTS,
        RestoreCall,
        RestoreCell,
        RestoreState,
        restore_cell,
        restore_close_call,
        restore_complete_call,
    )
    from eseback.structures import (
        BackupNode,
        DatabaseBackupInfo,
        DependencyInfo,
        IconDescription,
        InstanceBackupInfo,
        OpenedFile,
        RegisteredInfo,
        RestoreDatabase,
        RestoreEnvironment,
        RestoreFile,
    )

__version__ = "0.1.0"

__all__ = [
    "ANNOTATIONS",
    "BACKUP_ORDER",
    "BACKUP_START",
    "CALLS",
    "CALL_BY_METHOD",
    "DEFAULT_READ_HINT",
    "ERRORS",
    "ESE",
    "ESE_BACKUP",
    "EVENTS",
    "INFORMATION_STORE",
    "KEY_MANAGEMENT",
    "RECOVER_STATUS_MAX",
    "RESTORE_ORDER",
    "RESTORE_STARTS",
    "ROW_BY_HRESULT",
    "ROW_BY_JET",
    "ROW_BY_NAME",
    "SITE_REPLICATION",
    "BackupApi",
    "BackupCall",
    "BackupCell",
    "BackupNode",
    "BackupState",
    "BackupType",
    "CallInfo",
    "CallKind",
    "Cell",
    "ConnectionLost",
    "DatabaseBackupInfo",
    "DatabaseFlags",
    "DependencyInfo",
    "ErrorRow",
    "EseBackupError",
    "EventRow",
    "Grade",
    "IconDescription",
    "InstanceBackupInfo",
    "InstanceEnd",
    "JetErr",
    "NodeType",
    "OpenedFile",
    "ReadableBuffer",
    "RecoverStatus",
    "RegisterFlags",
    "RegisteredInfo",
    "RestoreCall",
    "RestoreCell",
    "RestoreClose",
    "RestoreComplete",
    "RestoreDatabase",
    "RestoreEnvironment",
    "RestoreFile",
    "RestoreState",
    "Severity",
    "WriteableBuffer",
    "backup_cell",
    "hresult_of_jet",
    "instance_end_call",
    "restore_cell",
    "restore_close_call",
    "restore_complete_call",
    "row_of_hresult",
    "setup_call",
]

if not TYPE_CHECKING:
    __getattr__ = loader(
        __name__,
        {
            "api": ("BackupApi", "ReadableBuffer", "WriteableBuffer"),
            "calls": ("CALL_BY_METHOD", "CALLS", "CallInfo", "CallKind"),
            "constants": (
                "ANNOTATIONS",
                "DEFAULT_READ_HINT",
                "INFORMATION_STORE",
                "KEY_MANAGEMENT",
                "RECOVER_STATUS_MAX",
                "SITE_REPLICATION",
                "BackupType",
                "DatabaseFlags",
                "InstanceEnd",
                "NodeType",
                "RecoverStatus",
                "RegisterFlags",
                "RestoreClose",
                "RestoreComplete",
            ),
            "errors": (
                "ERRORS",
                "ROW_BY_HRESULT",
                "ROW_BY_JET",
                "ROW_BY_NAME",
                "ConnectionLost",
                "ErrorRow",
                "EseBackupError",
                "hresult_of_jet",
                "row_of_hresult",
            ),
            "events": ("ESE", "ESE_BACKUP", "EVENTS", "EventRow", "Severity"),
            "grade": ("Grade",),
            "jeterr": ("JetErr",),
            "order": (
                "BACKUP_ORDER",
                "BACKUP_START",
                "BackupCall",
                "BackupCell",
                "BackupState",
                "Cell",
                "backup_cell",
                "instance_end_call",
                "setup_call",
            ),
            "restoreorder": (
                "RESTORE_ORDER",
                "RESTORE_STARTS",
                "RestoreCall",
                "RestoreCell",
                "RestoreState",
                "restore_cell",
                "restore_close_call",
                "restore_complete_call",
            ),
            "structures": (
                "BackupNode",
                "DatabaseBackupInfo",
                "DependencyInfo",
                "IconDescription",
                "InstanceBackupInfo",
                "OpenedFile",
                "RegisteredInfo",
                "RestoreDatabase",
                "RestoreEnvironment",
                "RestoreFile",
            ),
        },
    )
