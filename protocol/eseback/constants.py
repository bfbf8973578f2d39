"""Numbers of the API: backup types, flags and the service annotations.

Values and names are those of the SDK pages (Exchange Server 2003 and 2007 SDK); where a constant
stands on no page, its comment says who uses it. The native name of each value follows it.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag
from typing import Final

__all__ = [
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
]

# The exact strings of the HrESEBackupPrepare page (aa581272).
INFORMATION_STORE: Final = "Microsoft Information Store"
SITE_REPLICATION: Final = "Microsoft Site Replication Service"
KEY_MANAGEMENT: Final = "Microsoft Key Management Service"

ANNOTATIONS: Final = (INFORMATION_STORE, SITE_REPLICATION, KEY_MANAGEMENT)
"""Every service that registers for backup, the information store first."""

DEFAULT_READ_HINT: Final = 65536
"""Bytes a client expects to read at once, when it has no opinion of its own."""


class BackupType(IntEnum):
    """What `backup_setup` starts (`btBackupType`, SDK page ms878543)."""

    FULL = 1  # BACKUP_TYPE_FULL
    LOGS_ONLY = 2  # BACKUP_TYPE_LOGS_ONLY
    # The value is documented, the meaning is inferred from the name: a full backup whose log list
    # starts with the oldest log on disk instead of the checkpoint's.
    FULL_WITH_ALL_LOGS = 3  # BACKUP_TYPE_FULL_WITH_ALL_LOGS


class InstanceEnd(IntEnum):
    """How `backup_instance_end` ends a backup (SDK page aa563301). Success is 1, not 0."""

    ERROR = 0  # ESE_BACKUP_INSTANCE_END_ERROR
    SUCCESS = 1  # ESE_BACKUP_INSTANCE_END_SUCCESS


class RestoreClose(IntEnum):
    """How `restore_close` ends a restore. Here, unlike `InstanceEnd`, the good case is 0.

    The numbers are those that a working client (Bacula) passes; the names are eseutil's.
    """

    NORMAL = 0  # RESTORE_CLOSE_NORMAL
    ABORT = 1  # RESTORE_CLOSE_ABORT


class RestoreComplete(IntFlag):
    """What `restore_complete` does beside recovery (SDK page aa562960)."""

    NONE = 0
    ATTACH_DBS = 0x00000001  # ESE_RESTORE_COMPLETE_ATTACH_DBS: mount afterwards
    NOWAIT = 0x00010000  # ESE_RESTORE_COMPLETE_NOWAIT: return while recovery runs
    KEEP_LOG_FILES = 0x00020000  # ESE_RESTORE_KEEP_LOG_FILES: leave the restored logs


class RegisterFlags(IntFlag):
    """What a registered service can do (`ESE_REGISTER_*`, SDK page ms878542)."""

    NONE = 0
    BACKUP = 0x00000001
    ONLINE_RESTORE = 0x00000002
    OFFLINE_RESTORE = 0x00000004
    SNAPSHOT_BACKUP = 0x00000010
    SURROGATE_BACKUP = 0x00000020  # newer than 2003; ESE source mt_object.h


class NodeType(IntFlag):
    """Kind of a node in the tree of computers (`BACKUP_NODE_TYPE_*`, SDK page ms878574)."""

    NONE = 0
    MACHINE = 0x00000001
    ANNOTATION = 0x00000010
    DISPLAY = 0x00000100


class DatabaseFlags(IntFlag):
    """State of a database (`fDatabaseFlags`; ESE source mt_object.h, esebackinterop.cpp)."""

    UNMOUNTED = 0  # DATABASE_UNMOUNTED
    MOUNTED = 0x00000010  # DATABASE_MOUNTED


class RecoverStatus(IntEnum):
    """Progress of the last recovery in a restore environment (`RECOVER_STATUS`).

    Names and order: eseutil.cxx; numbers: a working client (Bacula).
    """

    INVALID = 0  # recoverInvalid; eseutil shows any value out of range as this one
    NOT_STARTED = 1  # recoverNotStarted
    STARTED = 2  # recoverStarted
    ENDED = 3  # recoverEnded


RECOVER_STATUS_MAX: Final = 4
"""`recoverStatusMax`: the first number that is no status."""
