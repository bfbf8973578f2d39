"""The order of restore calls: the table of `eseback.order`'s kind for a restore context.

The documentation tells the order of a good restore (overview page aa579378): open, add the
databases, announce every file (logs included), save the environment, then complete, or close and
reopen for the next set. It tells almost nothing of how a call out of that order fails, so most
refusals here are assumed and graded so. Where a rule for clients is documented but no refusal by
the server is known, the server lets the call pass and the cell carries the rule as `misuse`.

A restore that is reopened starts in SAVED, because its environment was just read from restore.env.
Anything that changes the environment (a database, a file) leads back to OPENED.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final, TypeAlias

from eseback.constants import RestoreClose, RestoreComplete
from eseback.grade import Grade
from eseback.jeterr import JetErr
from eseback.ordercell import (
    Cell,
    CellMaker,
    RowSpec,
    build_table,
    fail,
    go,
    impossible,
    misused,
    over,
)

__all__ = [
    "RESTORE_ORDER",
    "RESTORE_STARTS",
    "RestoreCall",
    "RestoreCell",
    "RestoreState",
    "restore_cell",
    "restore_close_call",
    "restore_complete_call",
]


class RestoreState(Enum):
    """State of one restore context."""

    OPENED = "opened"  # the environment has changed since it was saved, or never was
    FILE_OPEN = "file_open"  # a file that the server writes is open
    SAVED = "saved"  # restore.env is what the context knows
    COMPLETING = "completing"  # recovery runs, the client did not wait
    COMPLETED = "completed"  # recovery has succeeded
    CLOSED = "closed"  # the context is gone


class RestoreCall(Enum):
    """A restore call with the part of its arguments or its outcome that decides.

    OPEN_FILE_LEVEL is an open that answers `hrRestoreAtFileLevel`, OPEN_FILE one that hands out a
    handle; the server's topology says which. COMPLETE waits for recovery, COMPLETE_NOWAIT does
    not; COMPLETE_FAILED is either of them when recovery cannot succeed while the client waits.
    """

    ADD_DATABASE = "add_database"
    ADD_DATABASE_REFUSED = "add_database_refused"  # unknown, mounted or not to be overwritten
    OPEN_FILE_LEVEL = "open_file_level"
    OPEN_FILE = "open_file"
    WRITE = "write"
    WRITE_BAD_HANDLE = "write_bad_handle"
    CLOSE_FILE = "close_file"
    CLOSE_BAD_HANDLE = "close_bad_handle"
    SAVE = "save"
    GET_ENVIRONMENT = "get_environment"
    COMPLETE = "complete"
    COMPLETE_NOWAIT = "complete_nowait"
    COMPLETE_FAILED = "complete_failed"
    CLOSE_NORMAL = "close_normal"
    CLOSE_ABORT = "close_abort"
    ARGUMENT_ERROR = "argument_error"
    # What happens meanwhile.
    RECOVERY_ENDED = "recovery_ended"  # of a completion that the client did not wait for
    RECOVERY_FAILED = "recovery_failed"
    CONNECTION_LOST = "connection_lost"

    @property
    def methods(self) -> tuple[str, ...]:
        """Methods of `BackupApi` that this can be; empty for what happens by itself."""
        return _METHODS[self]

    @property
    def method(self) -> str | None:
        """The (first) method of `BackupApi`; None for what happens by itself."""
        methods = _METHODS[self]
        return methods[0] if methods else None

    @property
    def by_client(self) -> bool:
        """Whether a client makes the call."""
        return bool(_METHODS[self])


_ADD = ("restore_add_database", "restore_add_database_ns")
_METHODS: dict[RestoreCall, tuple[str, ...]] = {
    RestoreCall.ADD_DATABASE: _ADD,
    RestoreCall.ADD_DATABASE_REFUSED: _ADD,
    RestoreCall.OPEN_FILE_LEVEL: ("restore_open_file",),
    RestoreCall.OPEN_FILE: ("restore_open_file",),
    RestoreCall.WRITE: ("restore_write_file",),
    RestoreCall.WRITE_BAD_HANDLE: ("restore_write_file",),
    RestoreCall.CLOSE_FILE: ("restore_close_file",),
    RestoreCall.CLOSE_BAD_HANDLE: ("restore_close_file",),
    RestoreCall.SAVE: ("restore_save_environment",),
    RestoreCall.GET_ENVIRONMENT: ("restore_get_environment",),
    RestoreCall.COMPLETE: ("restore_complete",),
    RestoreCall.COMPLETE_NOWAIT: ("restore_complete",),
    RestoreCall.COMPLETE_FAILED: ("restore_complete",),
    RestoreCall.CLOSE_NORMAL: ("restore_close",),
    RestoreCall.CLOSE_ABORT: ("restore_close",),
    RestoreCall.ARGUMENT_ERROR: (
        *_ADD,
        "restore_open_file",
        "restore_write_file",
        "restore_complete",
        "restore_close",
    ),
    RestoreCall.RECOVERY_ENDED: (),
    RestoreCall.RECOVERY_FAILED: (),
    RestoreCall.CONNECTION_LOST: (),
}

RestoreCell: TypeAlias = Cell[RestoreState]
_Maker: TypeAlias = CellMaker[RestoreState]
_Row: TypeAlias = RowSpec[RestoreState]

S, C = RestoreState, RestoreCall

RESTORE_STARTS: Final[Mapping[str, RestoreState]] = {
    "restore_open": S.OPENED,
    "restore_reopen": S.SAVED,
}
"""State that a new context begins in, by the method that made it."""

_QUIET = (S.OPENED, S.SAVED)  # nothing open, nothing running
_OVERVIEW = "SDK page aa579378, overview of restore"
_US = "decided by this project"
_A, _D, _I = Grade.ASSUMED, Grade.DOCUMENTED, Grade.INFERRED

# ASSUMED(closed-context): a call on a restore context that was closed is answered hrInvalidHandle.
_gone: _Maker = fail("hrInvalidHandle", _US, _A)
# ASSUMED(restore-sequence-error): restore calls out of order are answered like backup calls out of
# order, JET_errInvalidBackupSequence ("functions called in an invalid sequence").
_out_of_order: _Maker = fail(JetErr.INVALID_BACKUP_SEQUENCE, _US, _A)
# ASSUMED(restore-busy): while recovery runs without a waiting client, every call that would change
# the restore is answered JET_errRestoreInProgress.
_busy: _Maker = fail(JetErr.RESTORE_IN_PROGRESS, _US, _A)
# ASSUMED(restore-one-file): a restore context has one open file at a time, as a backup has; a
# second open is answered hrAlreadyOpen.
_second_file: _Maker = fail("hrAlreadyOpen", _US, _A)
# ASSUMED(restore-bad-handle): a handle that is not that of the open file is hrInvalidHandle.
_bad_handle: _Maker = fail("hrInvalidHandle", _US, _A)


# ASSUMED(restore-argument-error): bad arguments of restore calls are JET_errInvalidParameter.
_bad_argument: _Maker = fail(JetErr.INVALID_PARAMETER, _US, _A)


def _row(
    quiet: _Maker,
    *,
    file_open: _Maker = _out_of_order,
    completing: _Maker = _busy,
    completed: _Maker = _out_of_order,
    opened: _Maker | None = None,
) -> _Row:
    """Row of a client's call; `quiet` answers in SAVED, and in OPENED unless `opened` does."""
    return (
        ((S.OPENED,), quiet if opened is None else opened),
        ((S.SAVED,), quiet),
        ((S.FILE_OPEN,), file_open),
        ((S.COMPLETING,), completing),
        ((S.COMPLETED,), completed),
        ((S.CLOSED,), _gone),
    )


def _handle_row(with_file: _Maker) -> _Row:
    """Row of a call that needs an open file."""
    return _row(_bad_handle, file_open=with_file, completed=_bad_handle)


_announced: _Maker = go(S.OPENED, "SDK page aa564970: every file is announced", _D)
_added: _Maker = go(S.OPENED, "SDK page aa566433", _D)
# Its names are documented and a working client has texts for them; that this call returns them
# is inferred. The other one is hrCBDatabaseNotFound.
_refused: _Maker = fail("hrCBDatabaseInUse", "a working client (Bacula)", _I)
_handed_out: _Maker = go(S.FILE_OPEN, "SDK pages aa564970, ms878561", _D)
_saved: _Maker = go(S.SAVED, "SDK page aa564752", _D)
_SAVE_RULE = f"{_OVERVIEW}: save before complete and close"
_UNSAVED = "the environment was not saved before the restore was completed or closed"
_recovered: _Maker = go(S.COMPLETED, "SDK page aa562960", _D)
_started: _Maker = go(S.COMPLETING, "SDK page aa562960: NOWAIT", _D)
# ASSUMED(recovery-retry): after a failed recovery the context can complete again; the environment
# keeps status and error of the last try. JET_errMissingRestoreLogFiles stands for any error.
_not_recovered: _Maker = fail(JetErr.MISSING_RESTORE_LOG_FILES, f"SDK page aa562960; {_US}", _A)
_environment: _Maker = go(None, _OVERVIEW, _D)
_CLOSE = "ESE source eseutil.cxx: NORMAL after success, ABORT after failure"
_closed = over(S.CLOSED, None, _CLOSE)
# ASSUMED(restore-close-open-file): closing the context closes a file that is still open.
_closed_with_file = misused(
    over(S.CLOSED, None, _US, _A), "the restore was closed while a file was open"
)
# ASSUMED(restore-close-running): closing the context while recovery runs, or losing the connection,
# lets recovery go on to its end.
_closed_running = over(S.CLOSED, None, _US, _A)
_aborted = over(S.CLOSED, None, _CLOSE)
_RUNDOWN = "context rundown of RPC"
_lost = over(S.CLOSED, None, _RUNDOWN, _I)
_nothing_happens: _Maker = go(None, _US, _I)

_ROWS: Final[Mapping[RestoreCall, _Row]] = {
    C.ADD_DATABASE: _row(_added),
    C.ADD_DATABASE_REFUSED: _row(_refused),
    C.OPEN_FILE_LEVEL: _row(_announced, file_open=_second_file),
    C.OPEN_FILE: _row(_handed_out, file_open=_second_file),
    C.WRITE: _handle_row(go(None, "SDK page ms878561", _D)),
    C.WRITE_BAD_HANDLE: _handle_row(_bad_handle),
    C.CLOSE_FILE: _handle_row(go(S.OPENED, "SDK page aa581563", _D)),
    C.CLOSE_BAD_HANDLE: _handle_row(_bad_handle),
    # ASSUMED(save-after-complete): a client that saves before it closes, as documented, may also do
    # so between Complete and Close; it changes nothing any more.
    C.SAVE: _row(_saved, completed=go(S.COMPLETED, f"{_SAVE_RULE}; {_US}", _A)),
    C.GET_ENVIRONMENT: _row(
        _environment, file_open=_environment, completing=_environment, completed=_environment
    ),
    # ASSUMED(complete-unsaved): Complete works on what the context knows, also if it was not
    # saved; that clients have to save first is documented, a refusal is not.
    C.COMPLETE: _row(
        _recovered,
        opened=misused(go(S.COMPLETED, f"{_SAVE_RULE}; {_US}", _A), _UNSAVED, _D),
    ),
    C.COMPLETE_NOWAIT: _row(
        _started,
        opened=misused(go(S.COMPLETING, f"{_SAVE_RULE}; {_US}", _A), _UNSAVED, _D),
    ),
    C.COMPLETE_FAILED: _row(_not_recovered),
    C.CLOSE_NORMAL: _row(
        _closed,
        opened=misused(_closed, _UNSAVED, _D),
        file_open=_closed_with_file,
        completing=_closed_running,
        completed=_closed,
    ),
    C.CLOSE_ABORT: _row(
        _aborted, file_open=_aborted, completing=_closed_running, completed=_aborted
    ),
    C.ARGUMENT_ERROR: _row(
        _bad_argument,
        file_open=_bad_argument,
        completing=_bad_argument,
        completed=_bad_argument,
    ),
    C.RECOVERY_ENDED: (
        ((S.COMPLETING,), go(S.COMPLETED, "SDK page aa562960: NOWAIT", _D)),
        (tuple(state for state in S if state is not S.COMPLETING), impossible(_nothing_happens)),
    ),
    C.RECOVERY_FAILED: (
        ((S.COMPLETING,), go(S.SAVED, f"SDK page aa562960: NOWAIT; {_US}", _A)),
        (tuple(state for state in S if state is not S.COMPLETING), impossible(_nothing_happens)),
    ),
    C.CONNECTION_LOST: (
        (tuple(state for state in S if state is not S.CLOSED), _lost),
        ((S.CLOSED,), _nothing_happens),
    ),
}

RESTORE_ORDER: Final[Mapping[tuple[RestoreState, RestoreCall], RestoreCell]] = build_table(
    RestoreState, RestoreCall, _ROWS
)
"""Every pair of state and call, and what the call does there."""


def restore_cell(state: RestoreState, call: RestoreCall) -> RestoreCell:
    """What `call` does in `state`; defined for every pair."""
    return RESTORE_ORDER[state, call]


def restore_complete_call(flags: RestoreComplete) -> RestoreCall:
    """The call variant of a Complete whose recovery is not known to fail."""
    if RestoreComplete.NOWAIT in flags:
        return RestoreCall.COMPLETE_NOWAIT
    return RestoreCall.COMPLETE


def restore_close_call(flag: RestoreClose) -> RestoreCall:
    """The call variant of a Close."""
    return RestoreCall.CLOSE_NORMAL if flag is RestoreClose.NORMAL else RestoreCall.CLOSE_ABORT
