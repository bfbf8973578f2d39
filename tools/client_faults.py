"""What the client does about a fault at each call of a backup: docs/client-faults.md.

The table is what ``tests/esebcli/test_faults.py`` asserts, cell by cell, on a simulated server.
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
    """How the job ends. In no case is it called a success, and the exit code is 1."""

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


def faults_page() -> str:
    """The table as Markdown."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield (
        "A fault at any call of a backup, at the first, a middle or the last time it is made, ends "
        "in one of three ways. Everything turns on the *seal*: the manifest on disk says that the "
        "group is complete, before the server is asked to delete a log."
    )
    yield ""
    for outcome, meaning in MEANINGS.items():
        yield f"* **{outcome.value}**: {meaning}"
    yield ""
    yield " | ".join(["| Call", *(fault.value for fault in Fault)]) + " |"
    yield "| --- " * (1 + len(Fault)) + "|"
    for row in ROWS:
        note = " (full, incremental)" if row.truncating_only else ""
        cells = [row.outcomes[fault].value for fault in Fault]
        yield " | ".join([f"| `{CALL_BY_METHOD[row.method].documented}`{note}", *cells]) + " |"
