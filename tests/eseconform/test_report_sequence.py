"""The steps that a report draws, and what became of the logs."""

from __future__ import annotations

import pytest
from attrs import evolve

from eseconform.sequence import (
    STEPS_MAX,
    GroupLogs,
    StepKind,
    draw,
    range_text,
    ranges,
    size_text,
    steps_of,
)
from esesim.faults import FaultAction, FaultRule, When
from tests.support.results import recorded, truncating_early
from tests.support.transcripts import EDB, GROUP, LOGS, SIZE, STM, Transcript, full_backup


def test_a_backup_is_a_handful_of_steps() -> None:
    drawing = draw(recorded(full_backup()), {GROUP: {4, 5}}, {GROUP: {5, 6}})
    told = [(s.first, s.last, s.call, s.subject, s.answer) for s in drawing.steps]
    file = "OpenFile, ReadFile, CloseFile"
    assert told == [
        (1, 1, "Prepare", "Microsoft Information Store", "1 storage group"),
        (2, 2, "Setup", "full", ""),
        (3, 6, file, "priv1.edb", "97.7 KiB in 2 reads, to the end"),
        (7, 10, file, "priv1.stm", "97.7 KiB in 2 reads, to the end"),
        (11, 11, "GetLogAndPatchFiles", "", "2 files: generations 5-6"),
        (
            *(12, 19, file, "E0000005.log to E0000006.log"),
            "2 files, 195.3 KiB in 4 reads, each to its end",
        ),
        (20, 20, "TruncateLogs", "", ""),
        (21, 21, "InstanceEnd", "success", ""),
        (22, 22, "End", "", ""),
    ]
    assert drawing.steps[4].server == "log rolled: generation 6 closed, 7 current"
    assert drawing.steps[6].server == "deleted generations 4"
    assert sum(step.calls for step in drawing.steps) == 22


def test_logs_tell_what_was_listed_saved_and_deleted() -> None:
    assert truncating_early().logs == {
        GROUP: GroupLogs(
            before=((3, 5),), listed=((5, 6),), saved=((5, 5),), deleted=((3, 4),), after=((5, 7),)
        )
    }


def test_a_call_that_stands_out_is_a_step_of_its_own() -> None:
    records = recorded(full_backup())
    steps = steps_of(records, remarkable={13})
    reads = next(step for step in steps if step.first == 13)
    assert (reads.last, reads.call, reads.answer) == (13, "ReadFile", "97.7 KiB")
    rest = next(step for step in steps if step.first == 14)
    assert rest.kind is StepKind.READS
    assert not any(step.kind is StepKind.LOGS for step in steps)
    assert sum(step.calls for step in steps) == len(records)


def test_a_failed_read_tells_error_and_fault() -> None:
    step = next(step for step in truncating_early().steps if step.error)
    assert step.call == "ReadFile"
    assert step.subject == "E0000006.log"
    assert step.error.startswith("hrOutOfBuffers (0xC80003F6, JET -1014)")
    assert step.fault == "hrOutOfBuffers at backup_read_file of *6.log, match 1"


def test_logs_out_of_order_are_not_joined() -> None:
    talk = Transcript().prepare().setup().logs().copy(LOGS[1], LOGS[0])
    subjects = [s.subject for s in steps_of(recorded(talk)) if s.kind is StepKind.FILE]
    assert subjects == ["E0000006.log", "E0000005.log"]


def test_a_file_that_was_not_read_to_its_end_says_so() -> None:
    talk = Transcript().prepare().setup().open(EDB).read(SIZE // 2).close()
    talk.open(STM).close().open(LOGS[0]).read(SIZE).close()
    answers = [step.answer for step in steps_of(recorded(talk))[2:]]
    assert answers == [
        "48.8 KiB in 1 read of 97.7 KiB, not to the end",
        "97.7 KiB, not read",
        "97.7 KiB in 1 read, to the end",
    ]


def test_parallel_groups_fold_into_their_own_steps() -> None:
    one = recorded(Transcript().prepare().setup().open(EDB).read(SIZE).read(0).close())
    other = [
        evolve(r, group="G2", arguments={**r.arguments, "handle": 9})
        if r.method != "backup_open_file"
        else evolve(r, group="G2", result=[{"handle": 9, "size": SIZE}])
        for r in recorded(Transcript().open(STM).read(SIZE).read(0).close())
    ]
    mixed = one[:2] + [record for pair in zip(one[2:], other, strict=True) for record in pair]
    mixed = [evolve(record, number=n) for n, record in enumerate(mixed, 1)]
    files = [(s.group, s.first, s.last, s.calls) for s in steps_of(mixed)[2:]]
    assert files == [(GROUP, 3, 9, 4), ("G2", 4, 10, 4)]


@pytest.mark.parametrize("acknowledged", [True, False])
def test_deletion_goes_to_the_truncation_that_did_it(acknowledged: bool) -> None:
    talk = Transcript().prepare().setup().logs().truncate(error=-521)
    talk.truncate(error=None if acknowledged else "lost").truncate(error=-521)
    steps = draw(recorded(talk), {GROUP: {1, 2}}, {GROUP: {2, 5, 6}}).steps
    told = [step.server for step in steps if step.call == "TruncateLogs"]
    expected = ["", "deleted generations 1", ""] if acknowledged else ["", "", None]
    if acknowledged:
        assert told == expected
    else:
        assert told[2] == "deleted generations 1"  # nobody knows better


def test_faults_are_marked_where_they_fired() -> None:
    records = recorded(full_backup())
    rule = FaultRule(FaultAction.BAD_PAGE, "backup_open_file", file="*.stm")
    late = FaultRule(FaultAction.DROP, "backup_read_file", nth=2, times=2, when=When.AFTER)
    steps = draw(records, {}, {}, faults=[(rule, "bad page"), (late, "late")]).steps
    marks = {step.first: step.fault for step in steps if step.fault}
    assert marks == {5: "late", 7: "bad page", 8: "late"}


def test_what_others_did_is_told_at_the_call_after_it() -> None:
    records = recorded(full_backup())
    rule = FaultRule(FaultAction.BAD_PAGE, "backup_open_file", file="*.stm")
    incidents = [
        (None, 1, "dismount before the job"),
        ("backup_read_file", 2, "crash"),
        ("backup_open_file", 2, "stop"),
        ("backup_end", 9, "never"),
    ]
    steps = draw(records, {}, {}, faults=[(rule, "bad page")], incidents=incidents).steps
    marks = {step.first: step.fault for step in steps if step.fault}
    assert marks == {1: "dismount before the job", 5: "crash", 7: "stop; bad page"}


def test_too_many_steps_keep_what_stands_out() -> None:
    talk = Transcript().prepare().setup()
    for number in range(3 * STEPS_MAX):
        talk.open(f"C:\\db{number}.edb").close()
    talk.records[400] = evolve(talk.records[400], method="backup_end", arguments={"context": 1})
    steps = steps_of(recorded(talk), remarkable={401})
    assert len(steps) <= STEPS_MAX + 3
    assert any(step.first == 401 for step in steps)
    assert sum(step.calls for step in steps) == len(talk.records)
    assert [s.kind for s in steps].count(StepKind.LEFT_OUT) == 2


def test_words() -> None:
    assert ranges([5, 3, 4, 9, 9]) == ((3, 5), (9, 9))
    assert range_text(((3, 5), (9, 9))) == "3-5, 9"
    assert [size_text(n) for n in (7, 1024, 3 << 40)] == ["7 bytes", "1.0 KiB", "3.0 TiB"]
