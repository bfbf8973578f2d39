"""The protocol axis on transcripts written by hand: each rule broken once, and what must not be
blamed.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from eseback.constants import INFORMATION_STORE, KEY_MANAGEMENT, BackupType, InstanceEnd
from eseback.errors import JetErr
from eseback.order import BACKUP_ORDER, BACKUP_ORDER_2000
from eseconform.judge.protocol import Conversation, follow, judge_protocol, order_of
from eseconform.task import Claim, JobKind, Outcome, Task
from eseconform.verdicts import Finding, Verdict
from tests.support.transcripts import EDB, GROUP, LOGS, SIZE, STM, Transcript, full_backup

FULL = Task(JobKind.FULL, "EXCHSRV1", INFORMATION_STORE, (GROUP,), Path("set"))
INCREMENTAL = Task(JobKind.INCREMENTAL, "EXCHSRV1", INFORMATION_STORE, (GROUP,), Path("set"))


def judged(
    transcript: Transcript, task: Task = FULL, outcome: Outcome = Outcome.SUCCESS
) -> list[Finding]:
    claim = Claim(outcome, reason="" if outcome is Outcome.SUCCESS else "it failed")
    return judge_protocol(Conversation(task, claim, follow(transcript.records)))


def rules(findings: list[Finding]) -> list[str]:
    return sorted({f.requirement or "" for f in findings})


def incremental() -> Transcript:
    return Transcript().prepare().setup(BackupType.LOGS_ONLY)


def test_nothing_is_said_about_a_flawless_full_backup() -> None:
    assert judged(full_backup()) == []


def test_nothing_is_said_about_a_flawless_incremental() -> None:
    transcript = incremental().logs().copy(*LOGS).truncate().instance_end().end()
    assert judged(transcript, INCREMENTAL) == []


def test_order_of_databases_and_repeated_lists_are_free() -> None:
    transcript = Transcript().prepare().setup().copy(STM, EDB).logs().logs().truncate_list()
    transcript.copy(*reversed(LOGS)).truncate_list().truncate().instance_end().end()
    assert judged(transcript) == []


def started() -> Transcript:
    return Transcript().prepare().setup()


def in_logs() -> Transcript:
    return started().copy(EDB, STM).logs()


# What the client does wrong, the number of the call that is wrong, and the rule.
BROKEN: dict[str, tuple[Callable[[], Transcript], str]] = {
    "unknown context": (lambda: Transcript().prepare().end(context=9), "ESE-BKP-SEQ-001"),
    "call after End": (lambda: full_backup().logs(error="hrInvalidHandle"), "ESE-BKP-SEQ-001"),
    "End twice": (lambda: full_backup().end(error="hrInvalidHandle"), "ESE-BKP-SEQ-001"),
    "open without Setup": (
        lambda: Transcript().prepare().open(EDB, error=JetErr.NO_BACKUP),
        "ESE-BKP-SEQ-002",
    ),
    "InstanceEnd twice": (
        lambda: (
            Transcript()
            .prepare()
            .setup()
            .copy(EDB, STM)
            .logs()
            .copy(*LOGS)
            .truncate()
            .instance_end()
            .instance_end(error=JetErr.NO_BACKUP)
        ),
        "ESE-BKP-END-005",
    ),
    "list with a database open": (
        lambda: started().open(EDB).logs(error=JetErr.INVALID_BACKUP_SEQUENCE),
        "ESE-BKP-SEQ-003",
    ),
    "truncate with a log open": (
        lambda: in_logs().open(LOGS[0]).truncate(error=JetErr.INVALID_BACKUP_SEQUENCE),
        "ESE-BKP-SEQ-003",
    ),
    "database after the list": (
        lambda: started().copy(EDB).logs().open(STM, error=JetErr.INVALID_BACKUP_SEQUENCE),
        "ESE-BKP-SEQ-004",
    ),
    "two files open": (
        lambda: started().open(EDB).open(STM, error=JetErr.OUT_OF_MEMORY),
        "ESE-BKP-SEQ-005",
    ),
    "database in an incremental": (
        lambda: incremental().open(EDB, error=JetErr.INVALID_BACKUP_SEQUENCE),
        "ESE-BKP-SEQ-006",
    ),
    "Setup twice": (
        lambda: started().setup(error=JetErr.BACKUP_IN_PROGRESS),
        "ESE-BKP-SEQ-007",
    ),
    "truncate before the list": (
        lambda: started().truncate(error=JetErr.INVALID_BACKUP_SEQUENCE),
        "ESE-BKP-SEQ-008",
    ),
    "log in the database phase": (
        lambda: started().open(LOGS[0], error=JetErr.DATABASE_NOT_FOUND),
        "ESE-BKP-SEQ-008",
    ),
    "unknown instance": (
        lambda: Transcript().prepare().setup(instance=99, error="hrInvalidParameter"),
        "ESE-BKP-ARG-002",
    ),
    "unknown type": (
        lambda: Transcript().prepare().setup(backup_type=9, error="hrInvalidParameter"),
        "ESE-BKP-ARG-008",
    ),
    "a file that nobody listed": (
        lambda: started().open("C:\\boot.ini", error=JetErr.DATABASE_NOT_FOUND),
        "ESE-BKP-ARG-004",
    ),
    "a log outside the list": (
        lambda: in_logs().open("C:\\mdbdata\\E0000004.log"),
        "ESE-BKP-ARG-004",
    ),
    "an unknown handle": (
        lambda: started().open(EDB).read(10, handle=77, error="hrInvalidParameter"),
        "ESE-BKP-ARG-005",
    ),
    "a handle that was closed": (
        lambda: started().copy(EDB).close(error="hrInvalidParameter"),
        "ESE-BKP-ARG-006",
    ),
    "a flag that does not exist": (
        lambda: in_logs().instance_end(7, error="hrInvalidParameter"),
        "ESE-BKP-ARG-009",
    ),
    "the end of a list taken for a name": (
        lambda: started().copy(EDB).open("", error="hrInvalidParameter"),
        "ESE-BKP-PRF-001",
    ),
    "the log that is being written": (
        lambda: in_logs().open("C:\\mdbdata\\E00.log", error=JetErr.MISSING_FILE_TO_BACKUP),
        "ESE-BKP-LOG-004",
    ),
    "database after the truncate list": (
        lambda: started().copy(EDB).truncate_list().open(STM, error=JetErr.INVALID_BACKUP_SEQUENCE),
        "ESE-BKP-SEQ-010",
    ),
    "InstanceEnd of another's backup": (
        lambda: (
            Transcript()
            .prepare()
            .setup(error=JetErr.BACKUP_IN_PROGRESS)
            .instance_end(error=JetErr.NO_BACKUP)
        ),
        "ESE-BKP-LOCK-001",
    ),
    "end before the list": (
        lambda: started().copy(EDB, STM).instance_end(error=JetErr.BACKUP_ABORT_BY_CALLER),
        "ESE-BKP-LOG-001",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_forbidden_call_is_named_with_its_rule(name: str) -> None:
    make, rule = BROKEN[name]
    transcript = make()
    task = INCREMENTAL if "incremental" in name else FULL
    findings = judged(transcript, task, Outcome.FAILURE)
    assert findings[0].requirement == rule
    assert {f.call for f in findings} == {len(transcript.records)}
    assert findings[0].verdict is Verdict.FAIL


def test_a_dismounted_database_was_not_offered() -> None:
    transcript = Transcript(dismounted="C:\\mdbdata\\old.edb").prepare().setup()
    transcript.open("C:\\mdbdata\\old.edb", error=JetErr.DATABASE_NOT_FOUND)
    assert rules(judged(transcript, outcome=Outcome.FAILURE)) == ["ESE-BKP-DISC-004"]


# Whole backups: claimed as a success, with one thing left out.
INCOMPLETE: dict[str, tuple[Callable[[], Transcript], list[str]]] = {
    "streaming file skipped": (
        lambda: started().copy(EDB).logs().copy(*LOGS).truncate().instance_end().end(),
        ["ESE-BKP-END-007", "ESE-BKP-READ-001", "ESE-BKP-TRN-002"],
    ),
    "database closed early": (
        lambda: (
            started()
            .open(EDB)
            .read(SIZE - 1)
            .close()
            .copy(STM)
            .logs()
            .copy(*LOGS)
            .truncate()
            .instance_end()
            .end()
        ),
        ["ESE-BKP-END-007", "ESE-BKP-READ-002", "ESE-BKP-TRN-002"],
    ),
    "log closed early": (
        lambda: in_logs().copy(LOGS[0]).open(LOGS[1]).read(SIZE - 1).close().instance_end().end(),
        ["ESE-BKP-READ-002", "ESE-BKP-TRN-003"],
    ),
    "log dropped": (
        lambda: in_logs().copy(LOGS[0]).truncate().instance_end().end(),
        ["ESE-BKP-LOG-002", "ESE-BKP-TRN-001"],
    ),
    "truncated one log early": (
        lambda: in_logs().copy(LOGS[0]).truncate().copy(LOGS[1]).instance_end().end(),
        ["ESE-BKP-TRN-001", "ESE-BKP-TRN-007"],
    ),
    "never truncated": (
        lambda: in_logs().copy(*LOGS).instance_end().end(),
        ["ESE-BKP-TRN-003"],
    ),
    "never ended": (
        lambda: in_logs().copy(*LOGS).truncate().end(),
        ["ESE-BKP-END-001", "ESE-BKP-END-006"],
    ),
    "ended with ERROR": (
        lambda: in_logs().copy(*LOGS).truncate().instance_end(InstanceEnd.ERROR).end(),
        ["ESE-BKP-END-001"],
    ),
    "ended with a log open": (
        lambda: in_logs().copy(LOGS[0]).open(LOGS[1]).read(SIZE).truncate_list().instance_end(),
        ["ESE-BKP-READ-004", "ESE-BKP-SEQ-003", "ESE-BKP-TRN-003"],
    ),
    "nothing done at all": (lambda: Transcript().prepare().end(), ["ESE-BKP-END-001"]),
    "wrong service": (
        lambda: (
            Transcript()
            .prepare(KEY_MANAGEMENT)
            .setup()
            .copy(EDB, STM)
            .logs()
            .copy(*LOGS)
            .truncate()
            .instance_end()
            .end()
        ),
        ["ESE-BKP-ARG-001"],
    ),
    "no service at all": (
        lambda: (
            Transcript()
            .prepare("microsoft information store")
            .setup()
            .copy(EDB, STM)
            .logs()
            .copy(*LOGS)
            .truncate()
            .instance_end()
            .end()
        ),
        ["ESE-BKP-ARG-001"],
    ),
    "wrong type": (
        lambda: incremental().logs().copy(*LOGS).truncate().instance_end().end(),
        ["ESE-BKP-ARG-003", "ESE-BKP-READ-001"],
    ),
}


@pytest.mark.parametrize("name", INCOMPLETE)
def test_an_incomplete_backup_is_no_success(name: str) -> None:
    make, expected = INCOMPLETE[name]
    assert rules(judged(make())) == expected


def test_a_failure_need_not_be_complete() -> None:
    transcript = started().open(EDB).read(1, error="hrDiskIO").close()
    transcript.instance_end(InstanceEnd.ERROR).end()
    assert judged(transcript, outcome=Outcome.FAILURE) == []


def test_a_read_error_is_not_the_end_of_the_file() -> None:
    transcript = started().open(EDB).read(SIZE // 2).read(0, error="hrReadVerifyFailure")
    transcript.close(error="hrInvalidParameter").copy(STM).logs().copy(*LOGS)
    transcript.truncate().instance_end().end()
    findings = judged(transcript)
    assert rules(findings) == ["ESE-BKP-END-007", "ESE-BKP-READ-003", "ESE-BKP-TRN-002"]
    assert "50000 of 100000 bytes read; its read failed with hrReadVerifyFailure" in next(
        f.text for f in findings if f.requirement == "ESE-BKP-READ-003"
    )


def test_a_file_may_be_read_again_after_an_error() -> None:
    transcript = started().open(EDB).read(0, error="hrReadVerifyFailure").copy(EDB, STM).logs()
    transcript.copy(*LOGS).truncate().instance_end().end()
    assert judged(transcript) == []


def test_reading_on_after_an_injected_error_is_allowed() -> None:
    # The judge cannot know whether the server closed the file; either answer must be accepted.
    transcript = started().open(EDB).read(0, error="hrOutOfBuffers").read(SIZE).read(0).close()
    transcript.copy(STM).logs().copy(*LOGS).truncate().instance_end().end()
    assert judged(transcript) == []


def test_all_bytes_are_enough_without_asking_for_the_end() -> None:
    transcript = started()
    for name in (EDB, STM):
        transcript.open(name).read(SIZE - 10).read(10).close()
    transcript.logs().copy(*LOGS).truncate().instance_end().end()
    assert judged(transcript) == []


def test_cleaning_up_after_the_server_ended_the_backup_is_no_fault() -> None:
    transcript = in_logs().open(LOGS[0]).read(0, error=JetErr.LOG_READ_VERIFY_FAILURE)
    transcript.close(error=JetErr.NO_BACKUP)
    transcript.instance_end(InstanceEnd.ERROR, error=JetErr.NO_BACKUP).end()
    assert judged(transcript, outcome=Outcome.FAILURE) == []


def test_going_on_after_the_server_ended_the_backup_is_a_warning() -> None:
    transcript = in_logs().open(LOGS[0]).read(0, error=JetErr.LOG_READ_VERIFY_FAILURE)
    transcript.close(error=JetErr.NO_BACKUP).open(LOGS[1], error=JetErr.NO_BACKUP).end()
    findings = judged(transcript, outcome=Outcome.FAILURE)
    assert [(f.requirement, f.verdict) for f in findings] == [("ESE-BKP-SEQ-009", Verdict.WARN)]


def test_a_new_setup_after_a_backup_that_broke_off_is_allowed() -> None:
    transcript = in_logs().open(LOGS[0], error=JetErr.MISSING_FILE_TO_BACKUP).setup()
    transcript.copy(EDB, STM).logs().copy(*LOGS).truncate().instance_end().end()
    assert judged(transcript) == []


def test_calls_after_a_lost_connection_are_not_judged() -> None:
    transcript = started().open(EDB).read(0, error="lost").close(error="lost")
    transcript.instance_end(InstanceEnd.ERROR, error="lost").end(error="lost")
    assert judged(transcript, outcome=Outcome.FAILURE) == []


def test_a_lost_answer_to_instance_end_leaves_both_possibilities() -> None:
    transcript = in_logs().copy(*LOGS).truncate().instance_end(error="hrLogWriteFail")
    transcript.instance_end(InstanceEnd.ERROR, error=JetErr.NO_BACKUP).end()
    assert judged(transcript, outcome=Outcome.FAILURE) == []


def test_a_second_group_in_the_same_context() -> None:
    transcript = in_logs().copy(*LOGS).truncate().instance_end()
    transcript.setup().copy(EDB, STM).logs().copy(*LOGS).truncate().instance_end().end()
    assert judged(transcript) == []


def test_one_group_in_two_contexts_at_once() -> None:
    transcript = started().prepare(context=2).setup(context=2, error=JetErr.BACKUP_IN_PROGRESS)
    findings = judged(transcript, outcome=Outcome.FAILURE)
    assert [(f.requirement, f.call) for f in findings] == [("ESE-BKP-CON-001", 4)]


def test_bytes_lost_with_an_error_are_missed_at_the_end() -> None:
    transcript = started().open(EDB).read(0, error="hrDiskIO").read(SIZE - 4096).read(0).close()
    transcript.copy(STM).logs().copy(*LOGS).truncate().instance_end().end()
    assert "ESE-BKP-READ-003" in rules(judged(transcript))


def test_type_three_is_told_but_not_blamed() -> None:
    transcript = Transcript().prepare().setup(BackupType.FULL_WITH_ALL_LOGS).copy(EDB, STM)
    transcript.logs().copy(*LOGS).truncate().instance_end().end()
    assert [f.verdict for f in judged(transcript)] == [Verdict.INFO]


def test_the_first_divergence_comes_first() -> None:
    transcript = started().open(EDB).logs(error=JetErr.INVALID_BACKUP_SEQUENCE).close().end()
    findings = judged(transcript)
    assert findings[0].sentence == (
        "call 4: GetLogAndPatchFiles comes while a file is open: CloseFile expected before it "
        "(ESE-BKP-SEQ-003)"
    )


# --- what depends on the version of the server


def on_2000(
    transcript: Transcript, task: Task = FULL, outcome: Outcome = Outcome.FAILURE
) -> list[Finding]:
    claim = Claim(outcome, reason="" if outcome is Outcome.SUCCESS else "it failed")
    order = order_of("exchange-2000-sp2")
    return judge_protocol(Conversation(task, claim, follow(transcript.records, order=order)))


def bad_page() -> Transcript:
    return started().open(EDB).read(0, error=JetErr.READ_VERIFY_FAILURE)


def test_the_versions_have_their_order_tables() -> None:
    assert order_of("exchange-2003-sp1") is order_of("exchange-2007") is BACKUP_ORDER
    assert order_of("exchange-2000-rtm") is order_of("exchange-2000-sp2") is BACKUP_ORDER_2000


def test_a_new_setup_after_a_bad_page_is_right_on_2000_alone() -> None:
    # There the error ended the backup; later versions drop the database, and the backup runs on.
    again = bad_page().setup().copy(EDB, STM).logs().copy(*LOGS).truncate().instance_end().end()
    assert on_2000(again, outcome=Outcome.SUCCESS) == []
    refused = bad_page().setup(error=JetErr.BACKUP_IN_PROGRESS).end()
    assert rules(judged(refused, outcome=Outcome.FAILURE)) == ["ESE-BKP-SEQ-007"]


def test_the_next_file_after_a_bad_page_is_wrong_on_2000_alone() -> None:
    later = bad_page().copy(STM).instance_end(InstanceEnd.ERROR).end()
    assert judged(later, outcome=Outcome.FAILURE) == []
    over = bad_page().open(STM, error=JetErr.NO_BACKUP).end()
    findings = on_2000(over)
    assert [(f.requirement, f.verdict, f.call) for f in findings] == [
        ("ESE-BKP-SEQ-009", Verdict.WARN, 5)
    ]


def test_an_unknown_file_ends_a_backup_of_2000() -> None:
    unknown = started().open("C:\\nowhere.edb", error=JetErr.DATABASE_NOT_FOUND)
    on = unknown.copy(EDB).instance_end(InstanceEnd.ERROR).end()
    assert rules(judged(on, outcome=Outcome.FAILURE)) == ["ESE-BKP-ARG-004"]
    assert "ESE-BKP-SEQ-009" in rules(on_2000(on))


def test_cleaning_up_after_a_bad_page_is_right_on_both() -> None:
    for error in (None, JetErr.NO_BACKUP):
        transcript = bad_page().close(error=error).instance_end(InstanceEnd.ERROR, error=error)
        assert on_2000(transcript.end()) == []
    transcript = bad_page().close().instance_end(InstanceEnd.ERROR).end()
    assert judged(transcript, outcome=Outcome.FAILURE) == []
