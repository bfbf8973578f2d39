"""Rules that need no order table: each broken once in a transcript written by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from attrs import evolve

from eseback.constants import INFORMATION_STORE, BackupType, InstanceEnd
from eseback.errors import JetErr
from eseconform.judge.manners import FAILURES_MAX
from eseconform.judge.protocol import Conversation, follow, judge_protocol
from eseconform.task import Claim, JobKind, Outcome, Task
from eseconform.verdicts import Finding
from tests.support.transcripts import EDB, GROUP, LOGS, SIZE, STM, Transcript, full_backup

OTHER_EDB = "C:\\mdbdata\\pub1.edb"
OTHER_STM = "C:\\mdbdata\\pub1.stm"
FULL = Task(JobKind.FULL, "EXCHSRV1", INFORMATION_STORE, (GROUP,), Path("set"))


def judged(transcript: Transcript, task: Task = FULL) -> list[Finding]:
    talk = Conversation(task, Claim(Outcome.SUCCESS), follow(transcript.records, task.databases))
    return judge_protocol(talk)


def rules(findings: list[Finding]) -> set[str]:
    return {(f.requirement or "").removeprefix("ESE-BKP-") for f in findings}


def started() -> Transcript:
    return Transcript().prepare().setup()


def two_databases() -> Transcript:
    transcript = Transcript()
    transcript._databases.append(
        {"display_name": "Public", "streams": [OTHER_EDB, OTHER_STM], "flags": 0x10}
    )
    return transcript.prepare().setup()


def finished(transcript: Transcript) -> Transcript:
    return transcript.logs().copy(*LOGS).truncate().instance_end().end()


def opened_with(**arguments: object) -> Transcript:
    transcript = started().open(EDB)
    opening = transcript.records[-1]
    transcript.records[-1] = evolve(opening, arguments={**opening.arguments, **arguments})
    return finished(transcript.read(SIZE).read(0).close().copy(STM))


def nodes(*names: str) -> dict[str, object]:
    children = [{"name": name, "children": []} for name in names]
    return {"name": "Organization", "children": children}


def failing(times: int) -> Transcript:
    transcript = Transcript()
    for _ in range(times):
        transcript.call("get_nodes", error="hrCouldNotConnect", computer="EXCHSRV1")
    return transcript


BROKEN: dict[str, tuple[Callable[[], Transcript], str]] = {
    "a node that nobody named": (
        lambda: Transcript().call("get_nodes", error="hrCouldNotConnect", computer="NOWHERE"),
        "DISC-001",
    ),
    "services of a server that nobody named": (
        lambda: Transcript().call("get_registered", error="hrCouldNotConnect", server="NOWHERE"),
        "DISC-002",
    ),
    "another server": (lambda: full_backup_of("EXCHSRV2"), "ARG-010"),
    "an empty buffer": (
        lambda: (
            started()
            .open(EDB)
            .call("backup_read_file", error="hrInvalidParameter", context=1, handle=1, buffer=0)
        ),
        "ARG-007",
    ),
    "two sections": (lambda: opened_with(sections=2), "ARG-012"),
    "no read size": (lambda: opened_with(read_hint=0), "ARG-013"),
    "a name in other letters": (lambda: finished(started().copy(EDB.upper(), STM)), "ARG-011"),
    "two databases at once": (
        lambda: finished(two_databases().copy(EDB, OTHER_EDB, STM, OTHER_STM)),
        "READ-005",
    ),
    "read on after the file was closed": (
        lambda: (
            started()
            .open(EDB)
            .read(0, error="hrReadVerifyFailure")
            .read(0, error="hrInvalidParameter")
        ),
        "READ-006",
    ),
    "copied twice": (lambda: finished(started().copy(EDB, EDB, STM)), "READ-007"),
    "asked again and again": (
        lambda: finished(
            started().open(EDB).read(SIZE).read(0).read(0).read(0).read(0).close().copy(STM)
        ),
        "READ-008",
    ),
    "opened after truncation": (
        lambda: (
            started()
            .copy(EDB, STM)
            .logs()
            .copy(*LOGS)
            .truncate()
            .copy(LOGS[0])
            .instance_end()
            .end()
        ),
        "TRN-007",
    ),
    "truncated twice": (
        lambda: (
            started().copy(EDB, STM).logs().copy(*LOGS).truncate().truncate().instance_end().end()
        ),
        "TRN-008",
    ),
    "End without InstanceEnd": (
        lambda: started().copy(EDB, STM).logs().copy(*LOGS).truncate().end(),
        "END-006",
    ),
    "ended well without a stream": (
        lambda: started().copy(EDB).logs().copy(*LOGS).instance_end().end(),
        "END-007",
    ),
    "a dead context": (
        lambda: started().open(EDB, error="lost").open(STM, error="lost"),
        "RTY-001",
    ),
    "without end": (lambda: failing(FAILURES_MAX + 1), "RTY-002"),
    "a patch file left out": (
        lambda: (
            started()
            .copy(EDB, STM)
            .logs((*LOGS, "C:\\mdbdata\\priv1.pat"))
            .copy(*LOGS)
            .truncate()
            .instance_end()
            .end()
        ),
        "LOG-003",
    ),
    "a handle of another context": (
        lambda: (
            started()
            .open(EDB)
            .prepare(context=2)
            .setup(context=2)
            .call("backup_read_file", error="hrInvalidParameter", context=2, handle=1, buffer=65536)
        ),
        "CON-002",
    ),
    "after a stop": (
        lambda: (
            started()
            .open(EDB)
            .read(0, error=JetErr.BACKUP_ABORT_BY_SERVER)
            .close()
            .logs(error=JetErr.BACKUP_ABORT_BY_SERVER)
            .logs(error=JetErr.BACKUP_ABORT_BY_SERVER)
            .instance_end(InstanceEnd.ERROR)
            .end()
        ),
        "STOP-001",
    ),
}


def full_backup_of(server: str) -> Transcript:
    transcript = full_backup()
    prepare = transcript.records[0]
    transcript.records[0] = evolve(prepare, arguments={**prepare.arguments, "server": server})
    return transcript


@pytest.mark.parametrize("name", BROKEN)
def test_bad_manners_are_named_with_their_rule(name: str) -> None:
    make, rule = BROKEN[name]
    assert rule in rules(judged(make()))


def test_good_manners_are_not_blamed() -> None:
    transcript = Transcript().call("get_nodes", nodes("EXCHSRV1", "EXCHSRV2"), computer=None)
    transcript.call("get_registered", [], server="exchsrv2")
    finished(transcript.prepare().setup().copy(EDB, STM))
    assert judged(transcript) == []


@pytest.mark.parametrize("flag", InstanceEnd)
def test_ending_a_stopped_backup_is_right_with_either_flag(flag: InstanceEnd) -> None:
    transcript = started().copy(EDB, STM).logs().copy(*LOGS)
    transcript.truncate(error=JetErr.BACKUP_ABORT_BY_SERVER)
    transcript.instance_end(flag, error=JetErr.BACKUP_ABORT_BY_SERVER).end()
    assert "STOP-001" not in rules(judged(transcript))


def test_patience_has_a_limit_and_not_less() -> None:
    assert "RTY-002" not in rules(judged(failing(FAILURES_MAX)))


@pytest.mark.parametrize("kind", [JobKind.COPY, JobKind.DIFFERENTIAL])
def test_a_kind_that_must_not_truncate(kind: JobKind) -> None:
    full = kind is JobKind.COPY
    start = Transcript().prepare().setup(BackupType.FULL if full else BackupType.LOGS_ONLY)
    if full:
        start.copy(EDB, STM)
    start.logs().copy(*LOGS)
    good = follow([*start.records, *Transcript().records])
    assert good.backups[0].truncated_at is None
    truncated = rules(judged(start.truncate().instance_end().end(), evolve(FULL, kind=kind)))
    assert truncated == {"TRN-005"}


@pytest.mark.parametrize("kind", [JobKind.COPY, JobKind.DIFFERENTIAL])
def test_a_kind_that_did_not_truncate(kind: JobKind) -> None:
    full = kind is JobKind.COPY
    transcript = Transcript().prepare().setup(BackupType.FULL if full else BackupType.LOGS_ONLY)
    if full:
        transcript.copy(EDB, STM)
    transcript.logs().copy(*LOGS).instance_end().end()
    assert judged(transcript, evolve(FULL, kind=kind)) == []


def test_a_part_of_a_group_is_that_part() -> None:
    task = evolve(FULL, databases=("Mailbox Store",))
    assert judged(finished(two_databases().copy(EDB, STM)), task) == []
    more = judged(finished(two_databases().copy(EDB, STM, OTHER_EDB, OTHER_STM)), task)
    assert rules(more) == {"PART-001"}
