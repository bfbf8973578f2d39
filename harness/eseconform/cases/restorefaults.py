"""Faults at every call of a restore, made from tables like those of :mod:`.generated`.

In each case a full backup of the smallest server is taken, its disks are lost, and one thing goes
wrong while it is restored. Where that comes late, so that part of the restore has been done, a
second restore shows that it can be taken up again or started over.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from eseconform.cases.generated import Mishap, Position, Target, positions_of
from eseconform.cases.model import Case, Deed, EventSpec, Expectation, FaultSpec, JobSpec
from eseconform.task import JobKind
from esesim.faults import FaultAction, When

FAMILY: Final = "faults at every restore call"
TOPOLOGY: Final = "tiny"
MIDDLE: Final = 2
"""Which of several calls is one in the middle: of the opens that of the .stm."""
MISHAPS: Final = (Mishap.ERROR, Mishap.DROP, Mishap.LOST_ANSWER, Mishap.ERROR_AFTER)

_FILES: Final = ("FIL-001", "FIL-010", "FIL-011", "SEQ-006", "END-002")
RESTORE_TARGETS: Final = (
    Target(
        *("open", "restore_open", "RestoreOpen", "hrCouldNotConnect"),
        *(False, False, ("SEQ-001", "ARG-001", "CMP-001")),
    ),
    Target(
        *("add", "restore_add_database", "AddDatabase", "hrCBDatabaseInUse"),
        *(False, False, ("SEQ-002", "USE-002", "HON-005")),
    ),
    Target(
        *("open-file", "restore_open_file", "RestoreOpenFile", "hrFileAccessDenied"),
        *(True, False, (*_FILES, "FIL-002")),
    ),
    Target(
        *("write", "restore_write_file", "RestoreWriteFile", "hrDiskFull"),
        *(True, False, (*_FILES, "ARG-006")),
    ),
    Target(
        *("close-file", "restore_close_file", "RestoreCloseFile", "hrDiskIO"),
        *(True, False, (*_FILES, "SEQ-005")),
    ),
    Target(
        *("save", "restore_save_environment", "SaveEnvironment", "hrDiskIO"),
        *(False, True, ("SEQ-003", "SEQ-004")),
    ),
    Target(
        *("complete", "restore_complete", "RestoreComplete", "hrDiskIO"),
        *(False, True, ("CMP-001", "SEQ-008", "END-004")),
    ),
    Target(
        *("close", "restore_close", "RestoreClose", "hrCommunicationError"),
        *(False, True, ("SEQ-001", "END-001", "END-003", "END-005")),
    ),
)

_WORDS: Final = {
    Mishap.ERROR: "fails",
    Mishap.LOST_ANSWER: "takes effect, and the connection breaks before the answer",
    Mishap.DROP: "is never made: the connection breaks",
    Mishap.ERROR_AFTER: "takes effect, and an error is the answer",
}
_ALWAYS: Final = ("END-001", "HON-001", "HON-002")
_LOST: Final = ("RTY-001", "RTY-002", "HON-004")


def restore_fault_cases() -> Iterator[Case]:
    """The whole product, in the order of the tables."""
    for target in RESTORE_TARGETS:
        for position in positions_of(target):
            for mishap in MISHAPS:
                # What a wrong answer does to a file is the same at each of them.
                if mishap is Mishap.ERROR_AFTER and position is Position.MIDDLE:
                    continue
                yield _case(target, position, mishap)


def case_name(target: Target, position: Position, mishap: Mishap) -> str:
    """The name of a case of the product."""
    parts = ["restore", target.name, *([position.value] if target.often else []), mishap.value]
    return "-".join(parts)


def _case(target: Target, position: Position, mishap: Mishap) -> Case:
    which = f"The {position.value} {target.title}" if target.often else target.title
    jobs = [
        JobSpec(JobKind.FULL, steps_before=6),
        JobSpec(JobKind.RESTORE, expect=Expectation.ANY),
    ]
    events = [EventSpec(Deed.DESTROY, job=1), EventSpec(Deed.OVERWRITABLE, job=1)]
    if target.late:
        # What was mounted meanwhile, by a restore that succeeded, is in the way.
        jobs.append(JobSpec(JobKind.RESTORE))
        events += [EventSpec(Deed.DESTROY, job=2), EventSpec(Deed.OVERWRITABLE, job=2)]
    lost = _LOST if mishap in (Mishap.DROP, Mishap.LOST_ANSWER) else ()
    rules = (*target.requirements, *_ALWAYS, *lost)
    return Case(
        id=case_name(target, position, mishap),
        title=f"{which} {_WORDS[mishap]}",
        family=FAMILY,
        topology=TOPOLOGY,
        requirements=tuple(dict.fromkeys(f"ESE-RST-{rule}" for rule in rules)),
        jobs=tuple(jobs),
        faults=(_fault(target, position, mishap),),
        events=tuple(events),
    )


def _fault(target: Target, position: Position, mishap: Mishap) -> FaultSpec:
    fails = mishap in (Mishap.ERROR, Mishap.ERROR_AFTER)
    late = mishap in (Mishap.LOST_ANSWER, Mishap.ERROR_AFTER)
    nth = {Position.MIDDLE: MIDDLE, Position.LAST: 0}.get(position, 1)
    return FaultSpec(
        action=FaultAction.HRESULT if fails else FaultAction.DROP,
        call=target.call,
        job=1,
        nth=nth,
        when=When.AFTER if late else When.BEFORE,
        error=target.error if fails else None,
    )
