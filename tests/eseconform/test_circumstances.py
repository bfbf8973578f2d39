"""Capabilities, jobs that the server refuses, what others do meanwhile, and cases in processes."""

from __future__ import annotations

from pathlib import Path

import pytest
from attrs import evolve

from eseback.api import BackupApi
from eseback.constants import InstanceEnd
from eseconform.cases import Case, Deed, EventSpec, catalogue
from eseconform.errors import UsageError
from eseconform.runner import run_case
from eseconform.suite import Plan, run_plan
from eseconform.sut import Sut, load_sut
from eseconform.task import Capability, Claim, JobKind, Outcome, Task
from eseconform.verdicts import Axis, ExitCode, Verdict
from eseconform.zoo.reference import ReferenceClient
from eseconform.zoo.specimens import MUTANTS
from tests.support.conformance import Client, case, reference, settings

pytestmark = pytest.mark.uncovered

BUNDLED = "python:esebcli.sut:client"
ZOO = "python:eseconform.zoo:reference_client"


def declaring(client: Client, *names: str) -> Client:
    client.capabilities = names  # type: ignore[attr-defined]
    return client


def found(case_: Case, folder: Path, client: Client = reference) -> set[str]:
    result = run_case(case_, settings(folder, client))
    return {(f.requirement or "").removeprefix("ESE-BKP-") for f in result.findings}


# --- capabilities


def test_what_is_not_declared_is_not_asked(tmp_path: Path) -> None:
    result = run_case(case("copy"), settings(tmp_path))
    assert result.verdict is Verdict.NOT_APPLICABLE
    assert {axis.verdict for axis in result.axes} == {Verdict.NOT_APPLICABLE}
    assert result.note == "needs copy, which the client does not declare"
    assert result.jobs == ()


def test_incremental_is_taken_for_granted_unless_something_is_declared() -> None:
    assert Sut("x", lambda api, task: None).capabilities == {Capability.INCREMENTAL}
    sut = Sut("x", declaring(lambda api, task: None, "copy"))
    assert sut.capabilities == {Capability.COPY}


def test_a_client_may_declare_at_its_module() -> None:
    assert load_sut(BUNDLED).capabilities == set(Capability)


def test_an_unknown_capability_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="'telepathy'"):
        Sut("x", declaring(lambda api, task: None, "telepathy"))


def test_what_is_declared_and_never_asked_is_reported(tmp_path: Path) -> None:
    class Declaring:
        capabilities = ("copy", "incremental")

        def __call__(self, api: BackupApi, task: Task) -> Claim:
            return reference(api, task)

    client = Declaring()
    plan = Plan("selection", (case("truncation"),), 1)
    run = run_plan(plan, settings(tmp_path, client))
    assert run.exit_code is ExitCode.OK
    assert run.note == "declared by the client, but exercised by no case: copy"


def test_a_run_of_nothing_but_other_peoples_cases_has_shown_nothing(tmp_path: Path) -> None:
    plan = Plan("selection", (case("copy"),), 1)
    assert run_plan(plan, settings(tmp_path)).cases[1].verdict is Verdict.NOT_APPLICABLE


def test_a_made_up_job_is_no_success(tmp_path: Path) -> None:
    def agreeable(api: BackupApi, task: Task) -> Claim:
        if str(task.kind) == "tape-rotation":
            return Claim(Outcome.SUCCESS)
        return reference(api, task)

    assert "HON-007" in found(case("honesty-probe"), tmp_path, agreeable)
    assert found(case("honesty-probe"), tmp_path) == set()


# --- kinds that must not truncate


@pytest.mark.parametrize("name", ["copy", "differential"])
def test_a_copy_that_truncates_is_caught_in_calls_and_in_data(name: str, tmp_path: Path) -> None:
    client = declaring(
        lambda api, task: ReferenceAsFull(api, task).run(), "copy", "incremental", "differential"
    )
    rules = found(case(name), tmp_path, client)
    assert {"TRN-005", "TRN-006"} <= rules


class ReferenceAsFull(ReferenceClient):
    """Takes a copy for a full and a differential for an incremental, truncation included."""

    def __init__(self, api: BackupApi, task: Task) -> None:
        kind = JobKind.FULL if task.kind.has_databases else JobKind.INCREMENTAL
        super().__init__(api, evolve(task, kind=kind))


@pytest.mark.parametrize(
    "name",
    ["copy", "differential", "partial-copy", "incremental-after-copy", "store-never-backed-up"],
)
def test_the_bundled_client_knows_every_kind(name: str, tmp_path: Path) -> None:
    result = run_case(case(name), evolve(settings(tmp_path), sut=load_sut(BUNDLED)))
    assert result.verdict is Verdict.PASS, result.divergence + result.note


# --- refusals


def test_a_refusal_that_never_came_shows_nothing(tmp_path: Path) -> None:
    (job,) = case("logging-off").jobs
    result = run_case(case("sanity", jobs=(job,)), settings(tmp_path))
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "the server never answered hrLoggingDisabled" in result.note


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("incremental-without-full", "CHN-001"),
        ("circular-incremental", "CHN-002"),
        ("log-missing", "CHN-003"),
        ("nothing-runs", "DISC-003"),
    ],
)
def test_success_in_spite_of_a_refusal_is_dishonest(name: str, rule: str, tmp_path: Path) -> None:
    def stubborn(api: BackupApi, task: Task) -> Claim:
        try:
            claim = ReferenceClient(api, task).run()
        except KeyError:
            claim = Claim(Outcome.FAILURE)
        return Claim(Outcome.SUCCESS, claim.files)

    assert rule in found(case(name), tmp_path, stubborn)


# --- what others do


def test_an_event_that_never_comes_by_is_inconclusive(tmp_path: Path) -> None:
    event = EventSpec(Deed.STOP, call="backup_open_file", nth=99)
    result = run_case(case("sanity", events=(event,)), settings(tmp_path))
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "never fired: stop before backup_open_file 99" in result.note


@pytest.mark.parametrize("refused", ["hrBackupInProgress", None])
def test_a_server_that_answers_an_event_wrongly_is_ours(
    refused: str | None, tmp_path: Path
) -> None:
    call = None if refused else "backup_read_file"
    event = EventSpec(Deed.DISMOUNT, store="Mailbox Store", call=call, refused=refused)
    result = run_case(case("sanity", events=(event,)), settings(tmp_path))
    assert result.verdict is Verdict.ERROR
    assert "the server a" in result.note


def test_a_rival_that_holds_the_group_is_not_the_clients_leftover(tmp_path: Path) -> None:
    result = run_case(case("held-by-another"), settings(tmp_path))
    assert result.verdict is Verdict.PASS, result.divergence
    assert [job.outcome for job in result.jobs] == ["failure", "success"]
    assert [fault.fired for fault in result.faults] == [1, 1]


def test_ending_anothers_backup_is_caught(tmp_path: Path) -> None:
    class Meddler(ReferenceClient):
        def release(self, context: int) -> None:
            self.abandon(context)
            super().release(context)

        def abandon(self, context: int) -> None:
            try:
                self.api.backup_instance_end(context, InstanceEnd.ERROR)
            except Exception:
                return

    rules = found(case("held-by-another"), tmp_path, lambda api, task: Meddler(api, task).run())
    assert "LOCK-001" in rules


def test_after_a_crash_the_connection_is_dead_and_the_next_job_finds_a_server(
    tmp_path: Path,
) -> None:
    result = run_case(case("crash-while-reading"), settings(tmp_path))
    assert result.verdict is Verdict.PASS, result.divergence
    assert [job.outcome for job in result.jobs] == ["failure", "success"]
    assert "went down" in result.jobs[0].reason


def test_a_changed_earlier_set_is_named(tmp_path: Path) -> None:
    def tidy(api: BackupApi, task: Task) -> Claim:
        for folder in task.earlier_sets:
            for path in folder.glob("*.log"):
                path.write_bytes(b"")
        return reference(api, task)

    assert "DATA-008" in found(case("truncation"), tmp_path, tidy)


def test_two_files_at_one_place_are_named(tmp_path: Path) -> None:
    class OneFolder(ReferenceClient):
        def new_path(self, name: str) -> Path:
            return self.task.set_folder / name.rpartition("\\")[2]

    rules = found(case("names"), tmp_path, lambda api, task: OneFolder(api, task).run())
    assert {"DATA-007", "DATA-003"} <= rules


# --- cases in processes


def test_processes_come_to_the_same_results_in_the_same_order(tmp_path: Path) -> None:
    cases = tuple(catalogue().cases[name] for name in ("bad-page", "copy", "setup-error", "names"))
    runs = []
    for jobs in (1, 2):
        folder = tmp_path / str(jobs)
        folder.mkdir()
        run = run_plan(
            Plan("selection", cases, 4), evolve(settings(folder), sut=load_sut(ZOO)), jobs
        )
        runs.append([(c.id, c.verdict, [j.calls for j in c.jobs]) for c in run.cases])
        assert (folder / "cases" / "bad-page" / "transcript-1.jsonl").is_file()
    assert runs[0] == runs[1]


def test_processes_judge_as_strictly(tmp_path: Path) -> None:
    sut = "python:eseconform.zoo:ignores_read_error"
    plan = Plan("selection", (case("bad-page"), case("names")), 2)
    run = run_plan(plan, evolve(settings(tmp_path), sut=load_sut(sut)), 2)
    assert run.exit_code is ExitCode.NOT_CONFORMANT
    assert run.cases[1].axis(Axis.HONESTY).verdict is Verdict.FAIL


def test_a_client_that_never_ends_its_backup_is_not_the_servers_fault(tmp_path: Path) -> None:
    forgets = next(one for one in MUTANTS if one.name == "forgets_instance_end")
    result = run_case(case("another-tries"), settings(tmp_path, forgets))
    assert result.verdict is Verdict.FAIL, result.note
    assert [fault.fired for fault in result.faults][-1] == 0
