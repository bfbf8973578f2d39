"""Words for the calls of a restore."""

from __future__ import annotations

from typing import Any, Final

from eseback.constants import RecoverStatus, RestoreClose, RestoreComplete
from eseconform.judge import records
from eseconform.judge.records import CallRecord

_CLOSES: Final = {RestoreClose.NORMAL: "normal", RestoreClose.ABORT: "abort"}
_STATUS: Final = {
    RecoverStatus.INVALID: "no valid status",
    RecoverStatus.NOT_STARTED: "not recovered yet",
    RecoverStatus.STARTED: "recovery runs",
    RecoverStatus.ENDED: "recovery is over",
}


def handed_out(record: CallRecord) -> bool:
    """Whether an open gave a handle."""
    if record.error is not None:
        return False
    return record.method != "restore_open_file" or record.result["handle"] is not None


def subject_of(record: CallRecord) -> str:
    """What a restore call is about."""
    match record.method:
        case "restore_open":
            folder = records.text(record, "log_path")
            return records.text(record, "source_instance") + (f" in {folder}" if folder else "")
        case "restore_reopen" | "restore_load_environment":
            return records.text(record, "log_path")
        case "restore_add_database" | "restore_add_database_ns":
            return records.text(record, "display_name")
        case "restore_complete":
            return _completion(record)
        case "restore_close":
            flag = records.number(record, "flag")
            return _CLOSES[RestoreClose(flag)] if flag in _CLOSES else f"? {flag}"
        case _:
            return ""


def _completion(record: CallRecord) -> str:
    target = records.text(record, "target_instance")
    parts = [f"played forward from {target}"] if target else []
    flags = records.number(record, "flags")
    words = {
        RestoreComplete.ATTACH_DBS: "mount",
        RestoreComplete.NOWAIT: "without waiting",
        RestoreComplete.KEEP_LOG_FILES: "keep the logs",
    }
    parts += [word for flag, word in words.items() if flags & flag]
    return ", ".join(parts)


def answer_of(record: CallRecord) -> str:
    """What the server answered to a restore call that succeeded."""
    if record.error is not None:
        return ""
    match record.method:
        case "restore_add_database":
            return f"to {', '.join(map(str, record.result))}"
        case "restore_add_database_ns":
            return f"to {', '.join(map(str, record.arguments['destination_streams']))}"
        case "restore_open_file":
            return "to be written with file I/O"
        case "restore_get_environment" | "restore_load_environment":
            return _environment(record.result)
        case _:
            return ""


def _environment(plain: dict[str, Any]) -> str:
    status, result = plain["status_last_recover"], plain["hr_last_recover"]
    text = _STATUS.get(status, _STATUS[RecoverStatus.INVALID])
    failed = f", failed with 0x{result:08X}" if result else ""
    return f"{plain['restore_log_path']}: {text}{failed}"
