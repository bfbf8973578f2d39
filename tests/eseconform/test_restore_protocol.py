"""The protocol axis of restores on transcripts written by hand: each rule broken once, and what
must not be blamed.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from attrs import evolve

from eseback.constants import RecoverStatus, RestoreClose, RestoreComplete
from eseback.errors import JetErr
from eseconform.judge.restorefollow import follow_restore
from eseconform.judge.restoreledger import FileWrite, Wanted, WantedDatabase
from eseconform.judge.restoretalk import RestoreTalk
from eseconform.judge.restoring import judge_restoring
from eseconform.judge.teardown import Leftovers, judge_restore_teardown
from eseconform.requirements import requirements
from eseconform.task import Outcome
from eseconform.verdicts import Finding, Verdict
from tests.support.restoretranscripts import (
    FOLDER,
    LOGS,
    PRODUCTION,
    STORE,
    WANTED,
    RestoreTranscript,
    begun,
    talk_of,
    whole_restore,
    with_files,
)
from tests.support.transcripts import EDB, GROUP, STM

FAILURE = Outcome.FAILURE
CHAIN = evolve(
    WANTED,
    gen_high=7,
    saved={**WANTED.saved, "c:\\mdbdata\\e0000007.log": (Path("E0000007.log"),)},
)
"""A chain of two sets: generations 5 and 6, then 7."""
SECOND = Wanted(
    group="Second Storage Group",
    base="E01",
    databases=(WantedDatabase("Other", "g", ("D:\\b.edb",)),),
    all_names=("Other",),
    gen_low=1,
    gen_high=1,
    full_high=1,
    saved={},
)


def rules(findings: list[Finding]) -> list[str]:
    return sorted({(f.requirement or "").removeprefix("ESE-RST-") for f in findings})


def judged(talk: RestoreTalk) -> list[str]:
    return rules(judge_restoring(talk))


# --- what must not be blamed


def test_nothing_is_said_about_a_flawless_restore() -> None:
    assert judge_restoring(talk_of(whole_restore())) == []


def test_order_of_files_and_repeated_saves_are_free() -> None:
    talk = begun().put_logs(*reversed(LOGS)).save().put(STM, EDB).save().look().complete().leave()
    assert judged(talk_of(talk)) == []


def test_a_chain_may_be_restored_in_parts() -> None:
    talk = with_files().leave().reopen().put_logs("E0000007.log", context=2)
    talk.save(context=2).complete(context=2).leave(context=2)
    assert judged(talk_of(talk, wanted=CHAIN)) == []


def test_destinations_may_be_named_by_the_client() -> None:
    there = ("D:\\new\\priv1.edb", "D:\\new\\priv1.stm")
    talk = RestoreTranscript().open().look().add_ns(there).put(*there).put_logs(*LOGS)
    assert judged(talk_of(talk.save().complete().leave())) == []


def test_a_recovery_may_be_waited_for_by_looking() -> None:
    talk = with_files().complete(RestoreComplete.NOWAIT).look(status=RecoverStatus.STARTED)
    talk.look(status=RecoverStatus.ENDED).leave()
    assert judged(talk_of(talk)) == []


def test_a_restore_at_file_level_writes_what_it_announced() -> None:
    talk, writes = at_file_level()
    assert judged(talk_of(talk.save().complete().leave(), writes=writes)) == []


def test_giving_up_after_an_error_is_no_breach() -> None:
    talk = begun().announce(EDB, error="hrFileAccessDenied").leave(RestoreClose.ABORT)
    assert judged(talk_of(talk, FAILURE)) == []
    lost = begun().put(EDB).announce(STM, error="lost").leave(RestoreClose.ABORT, error="lost")
    assert judged(talk_of(lost, FAILURE)) == []


def test_an_interrupted_restore_may_be_taken_up_in_a_later_job() -> None:
    talk = RestoreTranscript().reopen(context=1).look().put_logs(*LOGS).save().complete().leave()
    assert judged(talk_of(talk)) == []


def test_a_folder_that_the_server_chooses_again_is_not_the_clients_fault() -> None:
    talk = evolve(talk_of(whole_restore()), used_folders=frozenset({FOLDER.casefold()}))
    assert judged(talk) == []


def at_file_level() -> tuple[RestoreTranscript, tuple[FileWrite, ...]]:
    """All files announced at file level, each written right after."""
    talk = begun()
    writes = []
    for name in (EDB, STM, *(f"{FOLDER}\\{log}" for log in LOGS)):
        talk.announce(name, file_level=True)
        writes.append(FileWrite(name, len(talk.records), size=10))
    return talk, tuple(writes)


# --- each rule broken once

# What the client does wrong, and the rule. All claim success on a chain of one set.
BROKEN: dict[str, tuple[Callable[[], RestoreTalk], str]] = {
    "call after close": (
        lambda: talk_of(whole_restore().save(error="hrInvalidHandle")),
        "SEQ-001",
    ),
    "unknown context": (lambda: talk_of(whole_restore().look(context=9)), "SEQ-001"),
    "file before its database": (
        lambda: talk_of(RestoreTranscript().open().look().put(EDB).add().save()),
        "SEQ-002",
    ),
    "complete unsaved": (
        lambda: talk_of(begun().put(EDB, STM).put_logs(*LOGS).complete().leave()),
        "SEQ-003",
    ),
    "close unsaved": (lambda: talk_of(begun().put(EDB).leave(), FAILURE), "SEQ-004"),
    "two files open": (
        lambda: talk_of(begun().announce(EDB).announce(STM, error="hrAlreadyOpen"), FAILURE),
        "SEQ-005",
    ),
    "save with a file open": (
        lambda: talk_of(begun().announce(EDB).save(error=JetErr.INVALID_BACKUP_SEQUENCE), FAILURE),
        "SEQ-006",
    ),
    "close with a file open": (lambda: talk_of(begun().announce(EDB).leave(), FAILURE), "SEQ-006"),
    "logs without a database": (
        lambda: talk_of(RestoreTranscript().open().look().put_logs(*LOGS).add().put(EDB, STM)),
        "SEQ-007",
    ),
    "increment before full": (
        lambda: talk_of(
            begun()
            .put_logs("E0000007.log")
            .save()
            .leave()
            .reopen()
            .put(EDB, STM, context=2)
            .put_logs(*LOGS, context=2)
            .save(context=2)
            .complete(context=2)
            .leave(context=2),
            wanted=CHAIN,
        ),
        "SEQ-007",
    ),
    "database after complete": (
        lambda: talk_of(with_files().complete().add(error=JetErr.INVALID_BACKUP_SEQUENCE).leave()),
        "SEQ-008",
    ),
    "complete before the last log": (
        lambda: talk_of(
            begun()
            .put(EDB, STM)
            .put_logs(LOGS[0])
            .save()
            .complete()
            .leave()
            .reopen()
            .put_logs(LOGS[1], context=2)
            .save(context=2)
            .leave(context=2)
        ),
        "SEQ-010",
    ),
    "reopen while open": (lambda: talk_of(with_files().reopen(), FAILURE), "SEQ-011"),
    "reopen of what was not saved": (
        lambda: talk_of(begun().put(EDB).leave(RestoreClose.ABORT).reopen(), FAILURE),
        "SEQ-011",
    ),
    "wrong service": (
        lambda: talk_of(RestoreTranscript().open(annotation="Exchange"), FAILURE),
        "ARG-001",
    ),
    "wrong server": (
        lambda: talk_of(RestoreTranscript().open(server="OTHER"), FAILURE),
        "ARG-001",
    ),
    "wrong source": (lambda: talk_of(RestoreTranscript().open(group="Other"), FAILURE), "ARG-002"),
    "wrong GUID": (
        lambda: talk_of(begun().add(guid="00000000-0000-0000-0000-000000000000"), FAILURE),
        "ARG-003",
    ),
    "not all streams": (
        lambda: talk_of(RestoreTranscript().open().add(sources=(EDB,)), FAILURE),
        "ARG-004",
    ),
    "streams of nobody": (
        lambda: talk_of(begun().add(name="x", sources=("C:\\x.edb",)), FAILURE),
        "ARG-004",
    ),
    "two sections": (
        lambda: talk_of(begun().announce(EDB, sections=2, error="hrInvalidParameter"), FAILURE),
        "ARG-005",
    ),
    "another handle": (
        lambda: talk_of(begun().announce(EDB).write(error="hrInvalidHandle", handle=77), FAILURE),
        "ARG-006",
    ),
    "log elsewhere": (
        lambda: talk_of(begun().put(f"C:\\elsewhere\\{LOGS[0]}"), FAILURE),
        "ARG-007",
    ),
    "file elsewhere": (
        lambda: talk_of(begun().put("C:\\elsewhere\\priv1.edb"), FAILURE),
        "ARG-008",
    ),
    "recovery in production": (
        lambda: talk_of(with_files().complete(path=PRODUCTION).leave()),
        "ARG-009",
    ),
    "strange flags": (lambda: talk_of(with_files().complete(0x40).leave()), "ARG-010"),
    "strange close": (lambda: talk_of(with_files().complete().leave(7)), "ARG-011"),
    "played forward unasked": (
        lambda: talk_of(with_files().complete(target=GROUP).leave()),
        "ARG-012",
    ),
    "not played forward": (lambda: talk_of(whole_restore(), play_forward=True), "ARG-012"),
    "wrong target": (
        lambda: talk_of(with_files().complete(target="Other").leave(), play_forward=True),
        "ARG-012",
    ),
    "wrong name": (lambda: talk_of(RestoreTranscript().open().add("Mail"), FAILURE), "ARG-013"),
    "destinations too few": (
        lambda: talk_of(RestoreTranscript().open().add_ns((EDB,)), FAILURE),
        "ARG-014",
    ),
    "mounted unasked": (
        lambda: talk_of(with_files().complete(RestoreComplete.ATTACH_DBS).leave()),
        "ARG-015",
    ),
    "one folder for two": (
        lambda: talk_of(
            RestoreTranscript().open(FOLDER).open(FOLDER, context=2, error=None), FAILURE
        ),
        "FLD-001",
    ),
    "production folder": (
        lambda: talk_of(RestoreTranscript().open(f"{PRODUCTION}\\"), FAILURE),
        "FLD-002",
    ),
    "folder of an earlier restore": (
        lambda: evolve(
            talk_of(RestoreTranscript().open(FOLDER), FAILURE),
            used_folders=frozenset({FOLDER.casefold()}),
        ),
        "FLD-003",
    ),
    "increment in another folder": (
        lambda: talk_of(
            with_files().leave().open("D:\\second", context=3).put_logs("E0000007.log", context=3),
            FAILURE,
            wanted=CHAIN,
        ),
        "FLD-004",
    ),
    "no streaming file": (
        lambda: talk_of(begun().put(EDB).put_logs(*LOGS).save().complete().leave()),
        "FIL-001",
    ),
    "no last log": (
        lambda: talk_of(begun().put(EDB, STM).put_logs(LOGS[0]).save().complete().leave()),
        "FIL-002",
    ),
    "no patch file": (
        lambda: talk_of(
            whole_restore(), wanted=evolve(WANTED, patches=("C:\\mdbdata\\priv1.pat",))
        ),
        "FIL-003",
    ),
    "announced twice": (
        lambda: talk_of(begun().put(EDB, STM, EDB).put_logs(*LOGS).save().complete().leave()),
        "FIL-005",
    ),
    "handle at file level": (
        lambda: talk_of(
            begun().announce(EDB, file_level=True).write(error="hrInvalidHandle", handle="?0"),
            FAILURE,
        ),
        "FIL-006",
    ),
    "file I/O in spite of a handle": (
        lambda: talk_of(begun().announce(EDB), FAILURE, writes=(FileWrite(EDB, 4),)),
        "FIL-007",
    ),
    "file I/O unannounced": (
        lambda: talk_of(begun(), FAILURE, writes=(FileWrite(EDB, 3),)),
        "FIL-008",
    ),
    "strange log": (lambda: talk_of(begun().put_logs("E0000099.log"), FAILURE), "FIL-009"),
    "empty name": (
        lambda: talk_of(begun().announce("", error="hrInvalidParameter"), FAILURE),
        "FIL-009",
    ),
    "complete after a failed write": (
        lambda: talk_of(
            begun()
            .put(EDB)
            .announce(STM)
            .write(error="hrDiskFull")
            .shut()
            .put_logs(*LOGS)
            .save()
            .complete()
            .leave()
        ),
        "FIL-010",
    ),
    "announced, never written": (
        lambda: talk_of(at_file_level()[0].save().complete().leave()),
        "FIL-011",
    ),
    "mounted database": (
        lambda: talk_of(
            begun().announce(EDB, file_level=True),
            FAILURE,
            writes=(FileWrite(EDB, 4, in_use=True, error="in use"),),
        ),
        "USE-001",
    ),
    "refused database": (
        lambda: talk_of(
            RestoreTranscript().open().add(error="hrCBDatabaseInUse"),
            FAILURE,
            writes=(FileWrite(EDB, 2),),
        ),
        "USE-002",
    ),
    "success without complete": (lambda: talk_of(with_files().leave()), "CMP-001"),
    "success without a look": (
        lambda: talk_of(with_files().complete(RestoreComplete.NOWAIT).leave()),
        "CMP-002",
    ),
    "database of another group": (
        lambda: evolve(
            talk_of(begun().add(name="Other", sources=("D:\\b.edb",)), FAILURE),
            wanted={GROUP: WANTED, SECOND.group: SECOND},
        ),
        "PAR-001",
    ),
    "one after the other": (
        lambda: talk_of(
            RestoreTranscript().open().leave(RestoreClose.ABORT).open(group=GROUP, context=2),
            parallel=True,
        ),
        "PAR-002",
    ),
    "failed and closed as if not": (
        lambda: talk_of(
            with_files().complete(error=JetErr.MISSING_RESTORE_LOG_FILES).leave(), FAILURE
        ),
        "END-004",
    ),
    "succeeded and aborted": (
        lambda: talk_of(with_files().complete().leave(RestoreClose.ABORT)),
        "END-005",
    ),
    "goes on after a lost connection": (
        lambda: talk_of(begun().announce(EDB, error="lost").save(error="lost"), FAILURE),
        "RTY-001",
    ),
    "busy with the recovery": (
        lambda: talk_of(
            with_files()
            .complete(RestoreComplete.NOWAIT)
            .save(error=JetErr.RESTORE_IN_PROGRESS)
            .look(status=RecoverStatus.ENDED)
            .leave()
        ),
        "SEQ-009",
    ),
    "never gives up": (
        lambda: talk_of(_stubborn(), FAILURE),
        "RTY-002",
    ),
}


def _stubborn() -> RestoreTranscript:
    talk = begun()
    for _ in range(60):
        talk.announce(EDB, error="hrFileAccessDenied")
    return talk


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_rule_is_named(name: str) -> None:
    talk, rule = BROKEN[name][0](), BROKEN[name][1]
    found = judge_restoring(talk)
    assert rule in rules(found), rules(found)
    finding = next(f for f in found if f.requirement == f"ESE-RST-{rule}")
    assert finding.verdict.value == requirements()[f"ESE-RST-{rule}"].verdict_when_broken
    assert finding.text


def test_every_rule_of_the_protocol_axis_is_broken_here() -> None:
    here = {f"ESE-RST-{rule}" for _, rule in BROKEN.values()}
    wanted = {
        rule.id
        for rule in requirements().values()
        if rule.id.startswith("ESE-RST-") and rule.axis == "protocol"
    }
    assert wanted == here


def test_a_recovery_that_nobody_waits_for_may_be_over_at_any_time() -> None:
    talk = with_files().complete(RestoreComplete.NOWAIT).look(status=RecoverStatus.STARTED)
    assert follow_restore(talk.save().records).breaches == []


def test_the_call_that_is_wrong_is_named() -> None:
    found = judge_restoring(talk_of(begun().put(EDB, STM).put_logs(*LOGS).complete().leave()))
    assert [(f.call, f.requirement) for f in found] == [(16, "ESE-RST-SEQ-003")]


def test_weakly_founded_rules_only_warn() -> None:
    talk = talk_of(begun().announce(EDB).announce(STM, error="hrAlreadyOpen"), FAILURE)
    assert {f.verdict for f in judge_restoring(talk)} == {Verdict.WARN}


# --- teardown


def left(restores: int = 0, instances: int = 0) -> Leftovers:
    return Leftovers(contexts=0, groups=(), restores=restores, instances=instances)


def test_open_contexts_files_and_instances_are_named() -> None:
    follower = follow_restore(begun().announce(EDB).records)
    found = list(judge_restore_teardown(left(1, 1), follower, 0, "after all"))
    assert rules(found) == ["END-001", "END-002", "END-003"]
    assert "priv1.edb is still open after all" in found[1].text


def test_a_client_whose_close_or_open_was_refused_has_done_what_it_can() -> None:
    refused = follow_restore(begun().leave(error="hrCommunicationError").records)
    assert list(judge_restore_teardown(left(1, 1), refused, 0)) == []
    unknown = follow_restore(RestoreTranscript().open(error="hrCouldNotConnect").records)
    assert list(judge_restore_teardown(left(0, 1), unknown, 0)) == []


def test_a_database_that_was_added_twice_counts_once() -> None:
    (restore,) = follow_restore(begun().add_ns(("D:\\a.edb", "D:\\a.stm")).records).restores
    (database,) = restore.databases
    assert (database.name, database.call) == (STORE, 3)
    assert restore.source_of("d:\\A.edb") == EDB
