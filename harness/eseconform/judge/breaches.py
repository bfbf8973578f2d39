"""Which rule a forbidden call breaks, and how to say so."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from attrs import frozen

from eseback.constants import BackupType
from eseback.order import BackupCall, BackupState
from eseconform.judge.records import CallRecord, base_name, number, text, what

if TYPE_CHECKING:
    from eseconform.judge.follow import Context


@frozen
class CallBreach:
    """A call that the order table forbids in every state that the backup can be in.

    Attributes:
        call: number of the call.
        requirement: id of the rule.
        text: what is wrong, in words.
    """

    call: int
    requirement: str
    text: str


_CURRENT_LOG = re.compile(r"[A-Z][0-9A-F]{2}\.log", re.IGNORECASE)
_ENDS = (BackupCall.INSTANCE_END_SUCCESS, BackupCall.INSTANCE_END_ERROR)
_OPENS = (BackupCall.OPEN_DATABASE, BackupCall.OPEN_LOG, BackupCall.OPEN_UNKNOWN)
_LISTS = (BackupCall.LOG_LIST, BackupCall.TRUNCATE_LIST, BackupCall.TRUNCATE)


def breach_of(
    record: CallRecord, variant: BackupCall, context: Context, handles: Mapping[int, int]
) -> CallBreach | None:
    """The rule that a call breaks; None when it only cleans up after an error.

    ``handles`` are all file handles that the server gave out, with the context of each.
    """
    states, backup = context.states, context.backup
    if set(states) <= {BackupState.ENDED}:
        return _breach(record, "ESE-BKP-SEQ-001", "names a context that was ended before")
    if variant is BackupCall.CONTROL_ARGUMENT_ERROR:
        return _wrong_argument(record, context)
    if set(states) <= {BackupState.PREPARED}:
        return _without_backup(record, variant, context)
    broke_off = BackupState.PREPARED in states and backup is not None and backup.error is not None
    if broke_off and variant not in _ENDS:
        # Wrong if the error ended the backup and wrong if it did not: the milder of the two.
        return _without_backup(record, variant, context)
    if variant in (BackupCall.SETUP_FULL, BackupCall.SETUP_LOGS_ONLY):
        running = f" (that of {backup.group})" if backup else ""
        return _breach(
            record, "ESE-BKP-SEQ-007", f"comes while another backup runs in this context{running}"
        )
    if set(states) <= {BackupState.STOPPED, BackupState.STOPPED_OPEN}:
        if variant in _ENDS:
            return None  # what the client should do, whatever flag it gives
        return _breach(
            record, "ESE-BKP-STOP-001", "comes after the server had asked the backup to stop"
        )
    if variant in (BackupCall.READ_BAD_HANDLE, BackupCall.CLOSE_BAD_HANDLE):
        return _wrong_handle(record, context, handles)
    if all(state.file_open for state in states):
        if variant in _OPENS:
            return _breach(record, "ESE-BKP-SEQ-005", "comes while another file is open")
        if variant in _LISTS:
            return _breach(
                record,
                "ESE-BKP-SEQ-003",
                "comes while a file is open: CloseFile expected before it",
            )
    return _in_phase(record, variant, context)


def _wrong_argument(record: CallRecord, context: Context) -> CallBreach:
    """A Setup or InstanceEnd that is refused for what it was given."""
    if record.method == "backup_instance_end":
        flags = number(record, "flags")
        return _breach(record, "ESE-BKP-ARG-009", f"gets {flags}, neither SUCCESS nor ERROR")
    if number(record, "instance_id") in context.instances:
        kind = number(record, "backup_type")
        return _breach(record, "ESE-BKP-ARG-008", f"gets {kind}, which is no backup type")
    return _breach(record, "ESE-BKP-ARG-002", "gets an instance that Prepare did not return")


def _wrong_handle(record: CallRecord, context: Context, handles: Mapping[int, int]) -> CallBreach:
    """A read or close of a file that is not the open one."""
    owner = handles.get(number(record, "handle"))
    if owner is None:
        return _breach(record, "ESE-BKP-ARG-005", "gets a handle that OpenFile never returned")
    if owner != context.handle:
        return _breach(record, "ESE-BKP-CON-002", "gets a handle of another context")
    return _breach(record, "ESE-BKP-ARG-006", "gets the handle of a file that was closed before")


def _in_phase(record: CallRecord, variant: BackupCall, context: Context) -> CallBreach | None:
    """Calls that are wrong in the phase that the backup is in, no file being open."""
    backup = context.backup
    if variant is BackupCall.OPEN_DATABASE:
        if backup is not None and backup.backup_type is BackupType.LOGS_ONLY:
            return _breach(record, "ESE-BKP-SEQ-006", "opens a database in a backup of logs only")
        if context.only_truncate_list:
            return _breach(
                record, "ESE-BKP-SEQ-010", "opens a database after GetTruncateLogFiles was called"
            )
        return _breach(
            record, "ESE-BKP-SEQ-004", "opens a database after GetLogAndPatchFiles was called"
        )
    if variant in (BackupCall.OPEN_UNKNOWN, BackupCall.ARGUMENT_ERROR):
        return _unlisted_file(record, context)
    if variant in (BackupCall.OPEN_LOG, BackupCall.TRUNCATE):
        return _breach(
            record, "ESE-BKP-SEQ-008", "comes before the logs were listed with GetLogAndPatchFiles"
        )
    if variant is BackupCall.INSTANCE_END_SUCCESS:
        return _breach(record, "ESE-BKP-LOG-001", "ends a backup whose logs were never listed")
    return _breach(record, "ESE-BKP-SEQ-002", "is out of sequence")


def _unlisted_file(record: CallRecord, context: Context) -> CallBreach:
    """An open of a file that the server did not offer: which mistake is it?"""
    name = text(record, "file_name")
    if not name:
        return _breach(
            record, "ESE-BKP-PRF-001", "gets an empty name: the end of a list, not a file"
        )
    if context.dismounted(name):
        return _breach(record, "ESE-BKP-DISC-004", "opens a database that is not mounted")
    if _CURRENT_LOG.fullmatch(base_name(name)):
        return _breach(record, "ESE-BKP-LOG-004", "opens the log that is being written")
    return _breach(record, "ESE-BKP-ARG-004", "opens a file that the server did not list")


def _without_backup(record: CallRecord, variant: BackupCall, context: Context) -> CallBreach | None:
    """Calls for a backup that was never started, is over, or broke off."""
    backup = context.backup
    if context.refused_at is not None:
        where = f"(call {context.refused_at})"
        return _breach(
            record,
            "ESE-BKP-LOCK-001",
            f"comes after Setup was refused for another's backup {where}",
        )
    broke_off = backup is not None and backup.error is not None
    if broke_off and variant is BackupCall.INSTANCE_END_ERROR:
        return None
    if broke_off and backup is not None and variant not in _ENDS and backup.ended_at is None:
        where = f" (call {backup.error[0]})" if backup.error else ""
        return _breach(
            record, "ESE-BKP-SEQ-009", f"comes after an error had ended the backup{where}"
        )
    if variant in _ENDS:
        return _breach(record, "ESE-BKP-END-005", "comes without a backup that Setup has started")
    return _breach(record, "ESE-BKP-SEQ-002", "comes without a backup that Setup has started")


def _breach(record: CallRecord, requirement: str, wrong: str) -> CallBreach:
    return CallBreach(record.number, requirement, f"{what(record)} {wrong}")
