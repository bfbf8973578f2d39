"""What the user can do about an error of the server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from eseback.errors import ConnectionLost, EseBackupError, JetErr

_HINTS: Final[Mapping[JetErr, str]] = {
    JetErr.BACKUP_IN_PROGRESS: "try again when that one has ended",
    JetErr.MISSING_FULL_BACKUP: "make a full backup first",
    JetErr.INVALID_BACKUP: "make a full or a copy backup",
    JetErr.MISSING_FILE_TO_BACKUP: "make a full backup",
    JetErr.BACKUP_ABORT_BY_SERVER: "try again when the group runs again",
    JetErr.BACKUP_NOT_ALLOWED_YET: "try again later",
    JetErr.READ_VERIFY_FAILURE: "check the database on the server",
    JetErr.LOG_READ_VERIFY_FAILURE: "make a full backup",
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
    return text
