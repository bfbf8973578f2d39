"""What the user can do about an error of the server, or of this machine."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from typing import Final

from eseback.errors import ConnectionLost, EseBackupError, JetErr

_OTHER_FOLDER: Final = "other logs lie in the folder of the restore: name another one (--log-path)"
_OLD_LOGS: Final = (
    "the logs in the storage group's own folder don't continue those of the sets: move them away, "
    "or restore without --play-forward"
)
_HINTS: Final[Mapping[JetErr, str]] = {
    JetErr.BACKUP_IN_PROGRESS: "try again when that one has ended",
    JetErr.MISSING_FULL_BACKUP: "make a full backup first",
    JetErr.INVALID_BACKUP: "make a full or a copy backup",
    JetErr.MISSING_FILE_TO_BACKUP: "make a full backup",
    JetErr.BACKUP_ABORT_BY_SERVER: "try again when the group runs again",
    JetErr.BACKUP_NOT_ALLOWED_YET: "try again later",
    JetErr.READ_VERIFY_FAILURE: "check the database on the server",
    JetErr.LOG_READ_VERIFY_FAILURE: "make a full backup",
    JetErr.TOO_MANY_INSTANCES: (
        "each restore needs an instance of the server for itself: restore fewer groups at a time, "
        "or wait until others have ended"
    ),
    JetErr.RESTORE_IN_PROGRESS: "wait until that one has ended",
    JetErr.STARTING_RESTORE_LOG_TOO_HIGH: "logs at the beginning are missing: verify the sets",
    JetErr.ENDING_RESTORE_LOG_TOO_LOW: (
        "the databases need later logs: give the sets that were made with and after them"
    ),
    JetErr.MISSING_RESTORE_LOG_FILES: "restore again, into another folder (--log-path)",
    JetErr.GIVEN_LOG_FILE_HAS_BAD_SIGNATURE: _OTHER_FOLDER,
    JetErr.GIVEN_LOG_FILE_IS_NOT_CONTIGUOUS: _OTHER_FOLDER,
    JetErr.EXISTING_LOG_FILE_HAS_BAD_SIGNATURE: _OLD_LOGS,
    JetErr.EXISTING_LOG_FILE_IS_NOT_CONTIGUOUS: _OLD_LOGS,
    JetErr.MISSING_CURRENT_LOG_FILES: _OLD_LOGS,
    JetErr.BAD_RESTORE_TARGET_INSTANCE: "restore without --play-forward",
    JetErr.REQUIRED_LOG_FILES_MISSING: "logs after those of the sets are missing: verify the sets",
    JetErr.LOG_FILE_PATH_IN_USE: "name another folder (--log-path), or let the server choose one",
}
_NAMED_HINTS: Final[Mapping[str, str]] = {
    "hrCBDatabaseInUse": (
        'dismount the store, and mark it with "This database can be overwritten by a restore"'
    ),
    "hrCBDatabaseNotFound": (
        "make a store of that name in the storage group, or restore into another one (--into)"
    ),
    "hrRestoreMapExists": "name another folder (--log-path)",
    "hrRestoreInProgress": "wait until that one has ended",
    "ERROR_ACCESS_DENIED": "use an account with the backup and the restore privilege",
}
_SYSTEM_HINTS: Final[Mapping[int, str]] = {
    errno.ENOSPC: "make room there",
    errno.EDQUOT: "make room there",
    errno.EROFS: "name a place that can be written",
    errno.EACCES: "use an account that may do that",
}


def explain(error: Exception) -> str:
    """The error in one line, with what to do about it where that is known."""
    text = str(error) or type(error).__name__
    if isinstance(error, ConnectionLost):
        return f"{text}; the connection to the server is lost"
    if isinstance(error, EseBackupError):
        for jet, hint in _HINTS.items():
            if error.is_jet(jet):
                return f"{text}; {hint}"
        if error.name in _NAMED_HINTS:
            return f"{text}; {_NAMED_HINTS[error.name]}"
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        text = f"{error.filename}: {error.strerror}"
        if error.errno is not None and error.errno in _SYSTEM_HINTS:
            return f"{text}; {_SYSTEM_HINTS[error.errno]}"
    return text
