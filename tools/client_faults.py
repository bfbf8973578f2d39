"""What the client does about a fault at each call of a backup and a restore: docs/client-faults.md.

The tables are what ``tests/esebcli/test_faults.py`` and ``test_restore_faults.py`` assert, cell by
cell, on a simulated server.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum
from types import MappingProxyType
from typing import Final

from attrs import frozen

from eseback.calls import CALL_BY_METHOD


class Fault(Enum):
    """What goes wrong at a call."""

    ERROR_BEFORE = "the server refuses"
    ERROR_AFTER = "the server did it, the answer is an error"
    DROP_BEFORE = "the connection breaks before"
    DROP_AFTER = "the connection breaks after"


class Outcome(Enum):
    """How a backup ends. In no case is it called a success, and the exit code is 1."""

    NOTHING = "nothing written"
    ABANDONED = "abandoned"
    SEALED = "complete, end unconfirmed"


MEANINGS: Final[Mapping[Outcome, str]] = MappingProxyType(
    {
        Outcome.NOTHING: "No folder is made, and no backup was begun.",
        Outcome.ABANDONED: (
            "The set stays marked as incomplete and can't be restored. The client asks for no "
            "truncation, ends the group's backup with an error if Setup had succeeded, and ends "
            "the context. Every log is still on the server."
        ),
        Outcome.SEALED: (
            "The set is complete, on disk and can be restored. Where truncation is part of the "
            'kind, the manifest says "truncation unknown": logs that are gone from the server are '
            "in the set, or were made needless by it. The client still ends the group's backup "
            "with success, and the context."
        ),
    }
)


@frozen
class Row:
    """A call of a backup and its outcome for each fault, at whichever of its occurrences."""

    method: str
    outcomes: Mapping[Fault, Outcome]
    truncating_only: bool = False


def _always(method: str, outcome: Outcome, *, truncating_only: bool = False) -> Row:
    outcomes = MappingProxyType(dict.fromkeys(Fault, outcome))
    return Row(method, outcomes, truncating_only=truncating_only)


ROWS: Final = (
    _always("backup_prepare", Outcome.NOTHING),
    _always("backup_setup", Outcome.ABANDONED),
    _always("backup_open_file", Outcome.ABANDONED),
    _always("backup_read_file", Outcome.ABANDONED),
    _always("backup_close_file", Outcome.ABANDONED),
    _always("backup_get_log_and_patch_files", Outcome.ABANDONED),
    _always("backup_get_truncate_log_files", Outcome.ABANDONED, truncating_only=True),
    _always("backup_truncate_logs", Outcome.SEALED, truncating_only=True),
    _always("backup_instance_end", Outcome.SEALED),
    _always("backup_end", Outcome.SEALED),
)
"""The calls of a backup in order."""


class RestoreOutcome(Enum):
    """How a restore ends. In no case is it called a success, and the exit code is 1."""

    UNTOUCHED = "untouched"
    UNFINISHED = "unfinished"
    RECOVERED = "recovered, end unconfirmed"


RESTORE_MEANINGS: Final[Mapping[RestoreOutcome, str]] = MappingProxyType(
    {
        RestoreOutcome.UNTOUCHED: (
            "No file on the server was written. The context is closed with ABORT, if there is one."
        ),
        RestoreOutcome.UNFINISHED: (
            "The databases may be overwritten in part and count as not recovered, also where the "
            "server recovered them and its answer was lost. An open file is closed, the context is "
            "closed with ABORT, and the user is told to restore again. That is possible at once; "
            "where the server made a context that the client never heard of, it has to end with "
            "the connection before."
        ),
        RestoreOutcome.RECOVERED: (
            "The server said that the databases are recovered; only the end of the context was not "
            "confirmed."
        ),
    }
)


@frozen
class RestoreRow:
    """A call of a restore and how the job ends for each fault.

    ``at``: words for which of several such calls; ``nth`` is its number among them, None for any.
    """

    method: str
    outcome: RestoreOutcome
    at: str = ""
    nth: int | None = None


RESTORE_ROWS: Final = (
    RestoreRow("restore_open", RestoreOutcome.UNTOUCHED),
    RestoreRow("restore_get_environment", RestoreOutcome.UNTOUCHED),
    RestoreRow("restore_add_database", RestoreOutcome.UNTOUCHED),
    RestoreRow("restore_open_file", RestoreOutcome.UNFINISHED),
    RestoreRow("restore_write_file", RestoreOutcome.UNFINISHED),
    RestoreRow("restore_close_file", RestoreOutcome.UNFINISHED),
    RestoreRow("restore_save_environment", RestoreOutcome.UNFINISHED),
    RestoreRow("restore_close", RestoreOutcome.UNFINISHED, "between two sets", 1),
    RestoreRow("restore_reopen", RestoreOutcome.UNFINISHED),
    RestoreRow("restore_complete", RestoreOutcome.UNFINISHED),
    RestoreRow("restore_close", RestoreOutcome.RECOVERED, "at the end", 2),
)
"""The calls of a restore of two sets in order."""


def faults_page() -> str:
    """The table as Markdown."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "## Backup"
    yield ""
    yield (
        "A fault at any call of a backup, at the first, a middle or the last time it is made, ends "
        "in one of three ways. Everything turns on the *seal*: the manifest on disk says that the "
        "group is complete, before the server is asked to delete a log."
    )
    yield ""
    for outcome, meaning in MEANINGS.items():
        yield f"* **{outcome.value}**: {meaning}"
    yield ""
    yield _line("Call", *(fault.value for fault in Fault))
    yield "| --- " * (1 + len(Fault)) + "|"
    for row in ROWS:
        note = " (full, incremental)" if row.truncating_only else ""
        yield _line(_name(row.method, note), *(row.outcomes[fault].value for fault in Fault))
    yield ""
    yield "## Restore"
    yield ""
    yield (
        "Sets that can't be restored are refused before the first call. After that, everything "
        "turns on two moments: the first OpenFile, up to which nothing on the server was changed, "
        "and the Complete that succeeds. A second error, while the client tidies up, is told after "
        "the first and never in its place."
    )
    yield ""
    for ending, meaning in RESTORE_MEANINGS.items():
        yield f"* **{ending.value}**: {meaning}"
    yield ""
    yield _line("Call", *(fault.value for fault in Fault))
    yield "| --- " * (1 + len(Fault)) + "|"
    for restore in RESTORE_ROWS:
        note = f" ({restore.at})" if restore.at else ""
        yield _line(_name(restore.method, note), *([restore.outcome.value] * len(Fault)))


def _name(method: str, note: str) -> str:
    return f"`{CALL_BY_METHOD[method].documented}`{note}"


def _line(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"
