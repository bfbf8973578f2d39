"""Restores in reports: the drawn sequence, where a restore came from, the ledger."""

from __future__ import annotations

import io

import pytest
from attrs import evolve

from eseback.constants import RecoverStatus, RestoreClose, RestoreComplete
from eseconform.report.html import html
from eseconform.report.markdown import markdown
from eseconform.report.matrix import Source
from eseconform.report.table import console_for, print_report
from eseconform.report.words import ledger_text
from eseconform.results import LedgerEntry
from eseconform.sequence import answers, steps_of
from tests.support.restoretranscripts import (
    FOLDER,
    LOGS,
    RestoreTranscript,
    begun,
    whole_restore,
    with_files,
)
from tests.support.results import LIE, a_case, a_job, a_run
from tests.support.transcripts import EDB, GROUP, STM

WHY = "Mailbox Store has the rows of generation 5"
ENTRY = LedgerEntry(7, None, WHY, "own restore")


def drawn(talk: RestoreTranscript) -> list[tuple[str, str, str]]:
    return [(step.call, step.subject, step.answer) for step in steps_of(talk.records)]


def test_a_restore_is_drawn_in_a_few_steps() -> None:
    file = "RestoreOpenFile, RestoreWriteFile, RestoreCloseFile"
    assert drawn(whole_restore()) == [
        ("RestoreOpen", GROUP, ""),
        ("RestoreGetEnvironment", "", f"{FOLDER}: not recovered yet"),
        ("RestoreAddDatabase", "Mailbox Store", f"to {EDB}, {STM}"),
        (file, "priv1.edb", "100 bytes in 1 write"),
        (file, "priv1.stm", "100 bytes in 1 write"),
        (file, f"{LOGS[0]} to {LOGS[1]}", "2 files, 200 bytes in 2 writes"),
        ("RestoreSaveEnvironment", "", ""),
        ("RestoreComplete", "", ""),
        ("RestoreClose", "normal", ""),
    ]


def test_what_a_call_asks_and_what_it_is_told_is_in_words() -> None:
    talk = begun().announce(EDB, file_level=True).save()
    flags = RestoreComplete.NOWAIT | RestoreComplete.ATTACH_DBS
    talk.complete(flags, target=GROUP).look(status=RecoverStatus.STARTED)
    talk.look(status=RecoverStatus.ENDED, result=0xC800022D).leave(RestoreClose.ABORT)
    told = drawn(talk)[3:]
    assert told[0] == ("RestoreOpenFile", "priv1.edb", "to be written with file I/O")
    assert told[2][1] == f"played forward from {GROUP}, mount, without waiting"
    assert told[3][2] == f"{FOLDER}: recovery runs"
    assert told[4][2] == f"{FOLDER}: recovery is over, failed with 0xC800022D"
    assert told[5][1] == "abort"


def test_a_failed_write_stays_a_step_of_its_own() -> None:
    talk = begun().announce(EDB).write().write(error="hrDiskFull").leave(RestoreClose.ABORT)
    steps = steps_of(talk.records)
    assert [step.call for step in steps][3:] == [
        *("RestoreOpenFile, RestoreWriteFile", "RestoreWriteFile", "RestoreClose"),
    ]
    assert steps[4].subject == "priv1.edb"
    assert steps[4].error.startswith("hrDiskFull")


def test_a_reopened_restore_names_its_folder() -> None:
    assert drawn(with_files().leave().reopen())[-1][:2] == ("RestoreReopen", FOLDER)


def test_every_error_that_a_client_is_told_counts_as_an_answer() -> None:
    talk = with_files().complete(error="hrMissingRestoreLogFiles")
    talk.look(status=RecoverStatus.ENDED, result=0xC800020E)
    assert list(answers(talk.records)) == [
        ("hrMissingRestoreLogFiles", -557),
        ("hrInvalidBackup", -526),
    ]


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        (
            LedgerEntry(7, 7, "", "replay"),
            "sets up to generation 7, restorable to generation 7 (shown by replay)",
        ),
        (ENTRY, f"sets up to generation 7, not restorable (shown by own restore): {WHY}"),
        (LedgerEntry(None, None, "no set"), "no set, not restorable: no set"),
    ],
)
def test_the_ledger_in_words(entry: LedgerEntry, text: str) -> None:
    assert ledger_text(entry) == text


def test_reports_tell_where_a_restore_came_from_and_why_it_went_no_further() -> None:
    job = evolve(a_job(), kind="restore", ledger={GROUP: ENTRY}, origin="the set of job 1")
    run = a_run(a_case("one", LIE, jobs=(job,)))
    page = html([Source(run)])
    assert "restore of First Storage Group from the set of job 1" in page
    assert WHY in page
    assert WHY in markdown([Source(run)])
    out = io.StringIO()
    print_report(a_run(a_case("one", jobs=(job,))), console_for(out))
    assert "ledger of First Storage Group" in out.getvalue()
    assert "restore of First Storage Group" in out.getvalue()
