"""Errors of calls that never reach the engine, worded by the order table."""

from __future__ import annotations

from eseback.errors import EseBackupError
from eseback.order import BackupCall, BackupState, backup_cell


def refusal(state: BackupState, call: BackupCall, method: str, detail: str = "") -> EseBackupError:
    """The error that the order table has for a call in a state.

    Only for cells that fail; asking for one that succeeds is a mistake of the caller.
    """
    error = backup_cell(state, call).exception(method, detail)
    assert error is not None, f"{call.name} succeeds in {state.name}"
    return error
