"""What the user can do about an error of the server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from eseback.errors import ConnectionLost, EseBackupError, JetErr

_HINTS: Final[Mapping[JetErr, str]] = {
    JetErr.BACKUP_IN_PROGRESS: "another backup of this group runs; try again when it has ended",
    JetErr.MISSING_FULL_BACKUP: "a mounted database has no full backup yet; make a full backup",
    JetErr.INVALID_BACKUP: "the group uses circular logging; only full and copy backups work",
    JetErr.MISSING_FILE_TO_BACKUP: "logs since the last backup are gone; make a full backup",
    JetErr.BACKUP_ABORT_BY_SERVER: "the server is stopping the group; try again when it runs",
    JetErr.BACKUP_NOT_ALLOWED_YET: "the group is starting or stopping; try again later",
    JetErr.READ_VERIFY_FAILURE: "the database is damaged on the server; check it there",
    JetErr.LOG_READ_VERIFY_FAILURE: "a log is damaged on the server; make a full backup",
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
