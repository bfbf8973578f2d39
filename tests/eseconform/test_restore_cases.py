"""Cases with restores: what there is, how they run, and the ledger that they leave."""

from __future__ import annotations

from pathlib import Path

import pytest
from attrs import evolve

from eseback.api import BackupApi
from eseconform.cases import Deed, EventSpec, Expectation, JobSpec, catalogue, parse_cases
from eseconform.cases.generated import Mishap, Position, positions_of
from eseconform.cases.restorefaults import (
    MISHAPS,
    RESTORE_TARGETS,
    case_name,
    restore_fault_cases,
)
from eseconform.errors import HarnessError
from eseconform.judge.data import GroupTruth
from eseconform.ledgers import ledger_of, origin_of
from eseconform.report.catalogue import description
from eseconform.report.coverage import RESTORE_COLUMNS, fault_cell, restore_calls
from eseconform.restorejob import chains_to_restore
from eseconform.results import CaseResult, LedgerEntry, from_json, to_json
from eseconform.runner import run_case
from eseconform.suite import make_plan
from eseconform.sut import Sut, load_sut
from eseconform.task import Capability, Claim, JobKind, Outcome, Task
from eseconform.verdicts import Axis, Verdict
from eseconform.zoo.restorers import RESTORE_CONTROL
from tests.support.conformance import case, settings
from tests.support.results import a_run

pytestmark = pytest.mark.uncovered

GROUP = "First Storage Group"
BUNDLED = "python:esebcli.sut:client"


def run(name: str, folder: Path, sut: Sut | None = None, **changes: object) -> CaseResult:
    one = case(name, **changes)
    client = Sut("python:tests:restorer", RESTORE_CONTROL) if sut is None else sut
    return run_case(one, evolve(settings(folder), sut=client))


# --- what there is


def test_there_are_sixty_restore_cases_or_more_in_their_families() -> None:
    cases = [c for c in catalogue().cases.values() if Capability.RESTORE in c.needs]
    assert len(cases) >= 60
    assert [c.id for c in cases] == [c.id for c in make_plan(catalogue(), "restore").cases]
    assert {c.family for c in cases} >= {
        *("restore", "restore chain", "play-forward", "restore elsewhere", "bad sets"),
        *("restore at file level", "restore refused", "restore crash", "restore versions"),
        "faults at every restore call",
    }


def test_the_product_of_faults_is_complete_but_for_what_is_left_out_on_purpose() -> None:
    names = {c.id for c in restore_fault_cases()}
    assert names == {
        case_name(target, position, mishap)
        for target in RESTORE_TARGETS
        for position in positions_of(target)
        for mishap in MISHAPS
        if (position, mishap) != (Position.MIDDLE, Mishap.ERROR_AFTER)
    }
    assert names <= set(catalogue().cases)


def test_every_call_of_a_restore_meets_every_kind_of_fault() -> None:
    cases = catalogue().cases.values()
    for method, _ in restore_calls():
        cells = [fault_cell(cases, method, column) for column in RESTORE_COLUMNS]
        assert "-" not in cells, method


def test_a_restore_is_described_for_people() -> None:
    text = description("restore-part-of-chain")
    assert "job 4: restore of all storage groups, from job 1, 2; must succeed" in text
    assert "into Second Storage Group" in description("restore-elsewhere")
    assert "can't succeed, whoever notices" in description("restore-missing-log")
    assert "played forward" in description("play-forward")
    assert "lose saved *.log of job 1 before the job" in description("restore-missing-log")
    assert "hold restores 12" in description("restore-thirteenth")


@pytest.mark.parametrize(
    ("jobs", "message"),
    [
        ('{ kind = "restore" }', "first job must be a full"),
        ('{ kind = "full" }, { kind = "restore", sets = [3] }', "sets that nobody made"),
        ('{ kind = "full", mount = true }', "is no restore"),
        ('{ kind = "full", expect = "hopeless" }', "is no restore"),
    ],
)
def test_restores_that_make_no_sense_are_refused(jobs: str, message: str) -> None:
    text = f"""
schema = 1
[one]
title = "x"
family = "y"
topology = "one-store"
requirements = ["ESE-RST-SEQ-001"]
jobs = [{jobs}]
"""
    with pytest.raises(HarnessError, match=message):
        parse_cases(text, {})


def test_what_a_job_needs_follows_from_what_it_asks() -> None:
    plain = JobSpec(JobKind.RESTORE)
    assert plain.needs == {Capability.RESTORE}
    assert evolve(plain, target="x").needs == {Capability.RESTORE, Capability.REDIRECT}
    assert evolve(plain, play_forward=True).needs == {Capability.RESTORE, Capability.PLAY_FORWARD}
    assert evolve(plain, parallel=True).needs == {Capability.RESTORE, Capability.PARALLEL}


# --- how they run


def test_a_restore_passes_and_is_told_in_the_ledger(tmp_path: Path) -> None:
    result = run("restore-full", tmp_path)
    assert result.verdict is Verdict.PASS, result.divergence + result.note
    full, restore = result.jobs
    assert full.ledger == {GROUP: LedgerEntry(7, 7, "", "replay")}
    assert restore.ledger == {GROUP: LedgerEntry(7, 7, "", "restore")}
    assert restore.origin == "the set of job 1"
    assert (restore.files, restore.bytes) == (full.files, full.bytes)
    assert restore.restored[GROUP].startswith("Mailbox Store restored to 7, mounted, ")
    # Results as they are written and read back hold it, too.
    again = from_json(to_json(a_run(result))).cases[0]
    assert again.jobs[1].ledger == restore.ledger


def test_a_chain_that_the_client_called_good_is_restored_by_itself_after_the_jobs(
    tmp_path: Path,
) -> None:
    result = run("chain", tmp_path)
    assert result.verdict is Verdict.PASS, result.divergence
    own = result.jobs[-1]
    assert [job.kind for job in result.jobs] == ["full", *["incremental"] * 3, "restore"]
    assert own.origin == "the sets of jobs 1, 2, 3, 4, to a server with empty disks"
    assert own.ledger[GROUP].shown_by == "own restore"
    assert own.ledger[GROUP].restorable_to == result.jobs[3].restorable_to[GROUP]


def test_the_sanity_case_asks_for_a_backup_only(tmp_path: Path) -> None:
    assert [job.kind for job in run("sanity", tmp_path).jobs] == ["full"]


def test_who_declares_no_restore_is_not_asked_for_one(tmp_path: Path) -> None:
    result = run_case(case("chain"), settings(tmp_path))
    assert [job.kind for job in result.jobs] == ["full", *["incremental"] * 3]
    needing = run_case(case("restore-full"), settings(tmp_path))
    assert needing.verdict is Verdict.NOT_APPLICABLE


def test_a_set_that_its_own_client_cannot_restore_is_caught(tmp_path: Path) -> None:
    def client(api: BackupApi, task: Task) -> Claim:
        if task.kind is JobKind.RESTORE:
            return Claim(Outcome.FAILURE, reason="restores are sold separately")
        return RESTORE_CONTROL(api, task)

    client.capabilities = tuple(Capability)  # type: ignore[attr-defined]
    result = run("truncation", tmp_path, Sut("python:tests:seller", client))
    assert result.axis(Axis.DATA).verdict is Verdict.FAIL
    (finding,) = result.findings
    assert finding.requirement == "ESE-RST-DATA-008"
    assert "restores are sold separately" in finding.text
    why = result.jobs[-1].ledger[GROUP].why
    assert why == "the client calls the job a failure: restores are sold separately"


def test_a_restore_that_only_says_so_is_a_false_success(tmp_path: Path) -> None:
    def client(api: BackupApi, task: Task) -> Claim:
        if task.kind is JobKind.RESTORE:
            return Claim(Outcome.SUCCESS)
        return RESTORE_CONTROL(api, task)

    client.capabilities = tuple(Capability)  # type: ignore[attr-defined]
    result = run("restore-over-existing", tmp_path, Sut("python:tests:liar", client))
    critical = [f.requirement for f in result.critical]
    assert critical == ["ESE-RST-HON-001"]
    entry = result.jobs[1].ledger[GROUP]
    assert entry.restorable_to is None
    assert "Mailbox Store has other rows than were committed" in entry.why


def test_what_happens_to_a_set_is_not_held_against_it_afterwards(tmp_path: Path) -> None:
    result = run("restore-damaged-page", tmp_path)
    assert result.verdict is Verdict.PASS, result.divergence
    assert [job.kind for job in result.jobs] == ["full", "restore"]
    assert result.jobs[1].outcome == "failure"
    assert "is damaged" in result.jobs[1].reason
    assert all(fault.fired for fault in result.faults)


def test_a_restore_without_a_complete_chain_is_left_out(tmp_path: Path) -> None:
    jobs = (JobSpec(JobKind.FULL, expect=Expectation.ANY), JobSpec(JobKind.RESTORE))
    faults = case("setup-refused").faults
    result = run("restore-full", tmp_path, jobs=jobs, faults=faults, events=())
    assert result.note == "job 2 was left out: there is no complete chain"
    assert len(result.jobs) == 1


def test_a_spoilt_file_that_is_not_there_is_ours(tmp_path: Path) -> None:
    events = (EventSpec(Deed.LOSE_SAVED, job=1, file="*.tape"),)
    result = run("restore-full", tmp_path, events=events)
    assert result.verdict is Verdict.ERROR
    assert "the set has no such file that can be reached" in result.note


def test_a_recovery_that_failed_unwaited_counts_as_the_servers_answer(tmp_path: Path) -> None:
    from eseconform.zoo.restorers import RESTORE_ODD

    odd = next(s for s in RESTORE_ODD if s.name == "restore_waits_by_looking")
    result = run("play-forward-gap", tmp_path, Sut(odd.sut, odd))
    assert result.verdict is Verdict.PASS, result.note


@pytest.mark.parametrize(
    "name",
    [
        *("restore-full", "restore-last-differential", "restore-parallel", "play-forward-running"),
        *("restore-recovery-group", "restore-file-level-chain", "restore-crash-at-recovery"),
        *("restore-missing-log", "restore-in-use", "restore-exchange-2000-rtm", "restore-sixteen"),
        *("restore-thirteenth", "restore-exchange-2007", "restore-complete-lost-answer"),
    ],
)
def test_the_bundled_client_restores(name: str, tmp_path: Path) -> None:
    result = run(name, tmp_path, load_sut(BUNDLED))
    assert result.verdict is Verdict.PASS, result.divergence + result.note


# --- chains and ledgers


def test_the_longest_chains_are_restored_once() -> None:
    chains = {0: (0,), 1: (0, 1), 2: (0, 1, 2), 3: (3,), 4: (0, 1, 4)}
    good = dict.fromkeys(chains, True)
    assert chains_to_restore(chains, good, set()) == [(0, 1, 2), (3,), (0, 1, 4)]
    assert chains_to_restore(chains, good, {(3,)}) == [(0, 1, 2), (0, 1, 4)]
    assert chains_to_restore(chains, {**good, 2: False}, set()) == [(3,), (0, 1, 4)]
    assert chains_to_restore(chains, {**good, 0: False}, set()) == [(3,)]
    # Job 3 is a copy, which nothing continues; or a second full backup.
    assert chains_to_restore(chains, good, set(), {0}) == [(0, 1, 2), (3,), (0, 1, 4)]
    assert chains_to_restore(chains, good, set(), {0, 3}) == [(3,)]
    assert chains_to_restore(chains, {**good, 3: False}, set(), {0, 3}) == [(0, 1, 2), (0, 1, 4)]


@pytest.mark.parametrize(
    ("truth", "claim", "entry"),
    [
        (GroupTruth(7, True), Claim(Outcome.SUCCESS), LedgerEntry(7, 7, "", "replay")),
        (
            GroupTruth(None, True, "a log is missing"),
            Claim(Outcome.SUCCESS),
            LedgerEntry(7, None, "a log is missing", "replay"),
        ),
        (
            GroupTruth(),
            Claim(Outcome.FAILURE, reason="tape full"),
            LedgerEntry(7, None, "the client calls the job a failure: tape full", ""),
        ),
        (
            GroupTruth(unreadable=True),
            Claim(Outcome.SUCCESS),
            LedgerEntry(7, None, "the saved bytes can't be read from here", ""),
        ),
        (GroupTruth(), None, LedgerEntry(7, None, "the client crashed", "")),
    ],
)
def test_the_ledger_tells_why_not_further(
    truth: GroupTruth, claim: Claim | None, entry: LedgerEntry
) -> None:
    assert ledger_of(["G"], {"G": 7}, {"G": truth}, "replay", claim) == {"G": entry}


def test_where_a_restore_starts_from_is_told() -> None:
    assert origin_of((0,), own=False) == "the set of job 1"
    assert origin_of((0, 2), own=True) == ("the sets of jobs 1, 3, to a server with empty disks")
