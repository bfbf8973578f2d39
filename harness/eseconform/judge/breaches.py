"""Which rule a forbidden call breaks, and how to say so."""

from __future__ import annotations

from collections.abc import Collection

from attrs import frozen

from eseback.constants import BackupType
from eseback.order import BackupCall, BackupState
from eseconform.judge.ledger import GroupBackup
from eseconform.judge.records import CallRecord, what


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


_OPENS = (BackupCall.OPEN_DATABASE, BackupCall.OPEN_LOG, BackupCall.OPEN_UNKNOWN)
_LISTS = (BackupCall.LOG_LIST, BackupCall.TRUNCATE_LIST, BackupCall.TRUNCATE)


def breach_of(
    record: CallRecord,
    variant: BackupCall,
    states: Collection[BackupState],
    backup: GroupBackup | None,
) -> CallBreach | None:
    """The rule that a call breaks; None when it only cleans up after an error."""
    if set(states) <= {BackupState.ENDED}:
        return _breach(record, "ESE-BKP-SEQ-001", "names a context that was ended before")
    if variant is BackupCall.CONTROL_ARGUMENT_ERROR:
        return _breach(
            record, "ESE-BKP-ARG-002", "gets an instance, a type or flags that do not exist"
        )
    if set(states) <= {BackupState.PREPARED}:
        return _without_backup(record, variant, backup)
    if variant in (BackupCall.SETUP_FULL, BackupCall.SETUP_LOGS_ONLY):
        running = f" (that of {backup.group})" if backup else ""
        return _breach(
            record, "ESE-BKP-SEQ-007", f"comes while another backup runs in this context{running}"
        )
    if variant in (BackupCall.READ_BAD_HANDLE, BackupCall.CLOSE_BAD_HANDLE):
        return _breach(record, "ESE-BKP-ARG-005", "gets a handle that is not open")
    if all(state.file_open for state in states):
        if variant in _OPENS:
            return _breach(record, "ESE-BKP-SEQ-005", "comes while another file is open")
        if variant in _LISTS:
            return _breach(
                record,
                "ESE-BKP-SEQ-003",
                "comes while a file is open: CloseFile expected before it",
            )
    return _in_phase(record, variant, backup)


def _in_phase(
    record: CallRecord, variant: BackupCall, backup: GroupBackup | None
) -> CallBreach | None:
    """Calls that are wrong in the phase that the backup is in, no file being open."""
    if variant is BackupCall.OPEN_DATABASE:
        if backup is not None and backup.backup_type is BackupType.LOGS_ONLY:
            return _breach(record, "ESE-BKP-SEQ-006", "opens a database in a backup of logs only")
        return _breach(
            record, "ESE-BKP-SEQ-004", "opens a database after GetLogAndPatchFiles was called"
        )
    if variant in (BackupCall.OPEN_UNKNOWN, BackupCall.ARGUMENT_ERROR):
        return _breach(record, "ESE-BKP-ARG-004", "opens a file that the server did not list")
    if variant in (BackupCall.OPEN_LOG, BackupCall.TRUNCATE):
        return _breach(
            record, "ESE-BKP-SEQ-008", "comes before the logs were listed with GetLogAndPatchFiles"
        )
    if variant is BackupCall.INSTANCE_END_SUCCESS:
        return _breach(record, "ESE-BKP-LOG-001", "ends a backup whose logs were never listed")
    return _breach(record, "ESE-BKP-SEQ-002", "is out of sequence")


def _without_backup(
    record: CallRecord, variant: BackupCall, backup: GroupBackup | None
) -> CallBreach | None:
    """Calls for a backup that was never started, is over, or broke off."""
    broke_off = backup is not None and backup.error is not None
    ends = (BackupCall.INSTANCE_END_ERROR, BackupCall.INSTANCE_END_SUCCESS)
    if broke_off and variant is BackupCall.INSTANCE_END_ERROR:
        return None
    if broke_off and backup is not None and variant not in ends and backup.ended_at is None:
        where = f" (call {backup.error[0]})" if backup.error else ""
        return _breach(
            record, "ESE-BKP-SEQ-009", f"comes after an error had ended the backup{where}"
        )
    return _breach(record, "ESE-BKP-SEQ-002", "comes without a backup that Setup has started")


def _breach(record: CallRecord, requirement: str, text: str) -> CallBreach:
    return CallBreach(record.number, requirement, f"{what(record)} {text}")
