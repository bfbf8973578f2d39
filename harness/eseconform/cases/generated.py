"""Faults at every call: first, middle and last, by error, lost connection, lost answer and delay.

The tables say what there is; the cases are their product. Each is a full backup of the smallest
server in whose way one thing stands. Where a fault comes late, so that the set may be complete or
the logs gone, a second job shows that the server can go on.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import Final

from attrs import frozen

from eseconform.cases.model import Case, Deed, EventSpec, Expectation, FaultSpec, JobSpec
from eseconform.task import JobKind
from esesim.faults import FaultAction, When

FAMILY: Final = "faults at every call"
TOPOLOGY: Final = "tiny"
MIDDLE_FILE: Final = 2
"""Which file is one in the middle: the .stm, after the .edb and before the logs."""
MIDDLE_READ: Final = 4
"""Which read is one in the middle: with the largest buffers the end of the second file."""


class Mishap(Enum):
    """What goes wrong with a call; the value is the last part of a case's name."""

    ERROR = "error"
    """It fails, and the server has not noticed."""
    LOST_ANSWER = "lost-answer"
    """It takes effect, and the connection breaks before its answer comes."""
    DROP = "drop"
    """The connection breaks before it takes effect."""
    DELAY = "delay"
    """It takes an hour, in which the users go on working."""
    ERROR_AFTER = "error-after"
    """It takes effect, and an error is the answer."""


class Position(Enum):
    """At which of several calls; the value is the middle part of a case's name."""

    ONLY = "only"
    FIRST = "first"
    MIDDLE = "middle"
    LAST = "last"


@frozen
class Target:
    """A call that faults are tried at.

    Attributes:
        name: first part of the case's name.
        call: method of BackupApi.
        title: the call in words.
        error: what it may fail with, by its name in the table of errors.
        often: it is made more than once in a job.
        late: after it the set may be complete, so that a second job follows.
        requirements: rules that a client may break when this call goes wrong.
    """

    name: str
    call: str
    title: str
    error: str
    often: bool
    late: bool
    requirements: tuple[str, ...]


_READING: Final = ("READ-001", "READ-003", "READ-004", "READ-006", "TRN-002", "END-004", "END-007")
TARGETS: Final = (
    Target("prepare", "backup_prepare", "Prepare", "hrCouldNotConnect", False, False, ("SEQ-001",)),
    Target(
        "setup",
        "backup_setup",
        "Setup",
        "hrBackupNotAllowedYet",
        False,
        False,
        ("SEQ-002", "END-005"),
    ),
    Target("open", "backup_open_file", "OpenFile", "hrFileAccessDenied", True, False, _READING),
    Target("read", "backup_read_file", "ReadFile", "hrDiskIO", True, False, _READING),
    Target("close", "backup_close_file", "CloseFile", "hrFileClose", True, False, _READING),
    Target(
        *("log-list", "backup_get_log_and_patch_files", "GetLogAndPatchFiles", "hrOutOfMemory"),
        *(False, False, ("SEQ-008", "LOG-001", "SEQ-009")),
    ),
    Target(
        *("truncate", "backup_truncate_logs", "TruncateLogs", "hrFileAccessDenied"),
        *(False, True, ("TRN-004", "TRN-008", "HON-009")),
    ),
    Target(
        *("instance-end", "backup_instance_end", "InstanceEnd", "hrLogWriteFail"),
        *(False, True, ("END-001", "END-005", "END-006")),
    ),
    Target("end", "backup_end", "End", "hrCommunicationError", False, True, ("END-003", "SEQ-001")),
)

_WORDS: Final = {
    Mishap.ERROR: "fails",
    Mishap.LOST_ANSWER: "takes effect, and the connection breaks before the answer",
    Mishap.DROP: "is never made: the connection breaks",
    Mishap.DELAY: "takes an hour",
    Mishap.ERROR_AFTER: "takes effect, and an error is the answer",
}
_ALWAYS: Final = ("END-002", "END-003", "HON-001", "HON-002", "HON-006")
_LOST: Final = ("RTY-001", "RTY-002", "HON-005")
STEPS_OF_DELAY: Final = 12


def generated_cases() -> Iterator[Case]:
    """The whole product, in the order of the tables."""
    for target in TARGETS:
        for position in positions_of(target):
            for mishap in Mishap:
                # What a lost or wrong answer does to a read or a close is the same at each of them.
                if mishap is Mishap.ERROR_AFTER and position is Position.MIDDLE:
                    continue
                if mishap is Mishap.DELAY and position is Position.LAST:
                    continue  # an event has no last call to wait for
                yield _case(target, position, mishap)


def positions_of(target: Target) -> tuple[Position, ...]:
    """Where in a job a fault at this call can be."""
    if target.often:
        return (Position.FIRST, Position.MIDDLE, Position.LAST)
    return (Position.ONLY,)


def case_name(target: Target, position: Position, mishap: Mishap) -> str:
    """The name of a case of the product."""
    parts = [target.name, *([position.value] if target.often else []), mishap.value]
    return "-".join(parts)


def _case(target: Target, position: Position, mishap: Mishap) -> Case:
    harmless = mishap is Mishap.DELAY
    which = f"The {position.value} {target.title}" if target.often else target.title
    jobs = [
        JobSpec(
            JobKind.FULL,
            steps_before=6,
            expect=Expectation.SUCCESS if harmless else Expectation.ANY,
        )
    ]
    if target.late and not harmless:
        jobs.append(JobSpec(JobKind.FULL, steps_before=2))
    lost = _LOST if mishap in (Mishap.DROP, Mishap.LOST_ANSWER) else ()
    kept = ("DATA-001", "DATA-005") if harmless else ()
    return Case(
        id=case_name(target, position, mishap),
        title=f"{which} {_WORDS[mishap]}",
        family=FAMILY,
        topology=TOPOLOGY,
        requirements=tuple(
            dict.fromkeys(
                f"ESE-BKP-{rule}" for rule in (*target.requirements, *_ALWAYS, *lost, *kept)
            )
        ),
        jobs=tuple(jobs),
        faults=() if harmless else (_fault(target, position, mishap),),
        events=(_delay(target, position),) if harmless else (),
    )


def _nth(target: Target, position: Position) -> int:
    """Number of the call that is hit; 0 for the last, whichever that is."""
    if position is Position.MIDDLE:
        return MIDDLE_READ if target.call == "backup_read_file" else MIDDLE_FILE
    return 0 if position is Position.LAST else 1


def _fault(target: Target, position: Position, mishap: Mishap) -> FaultSpec:
    fails = mishap in (Mishap.ERROR, Mishap.ERROR_AFTER)
    after = mishap in (Mishap.LOST_ANSWER, Mishap.ERROR_AFTER)
    return FaultSpec(
        action=FaultAction.HRESULT if fails else FaultAction.DROP,
        call=target.call,
        nth=_nth(target, position),
        when=When.AFTER if after else When.BEFORE,
        error=target.error if fails else None,
    )


def _delay(target: Target, position: Position) -> EventSpec:
    return EventSpec(Deed.WAIT, call=target.call, nth=_nth(target, position), steps=STEPS_OF_DELAY)
