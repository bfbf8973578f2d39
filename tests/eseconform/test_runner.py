"""One case from end to end: jobs, faults, judges, and what becomes of our own errors."""

from __future__ import annotations

from pathlib import Path

import pytest
from attrs import evolve

from eseback.api import BackupApi
from eseconform.cases import Expectation, FaultSpec, JobSpec
from eseconform.events import Event
from eseconform.runner import run_case
from eseconform.task import Claim, JobKind, Outcome, Task
from eseconform.verdicts import Axis, Verdict
from eseconform.zoo.reference import ReferenceClient
from esesim.faults import FaultAction
from esesim.server import SimulatedServer
from esesim.transcript import read_transcript
from tests.support.conformance import case, reference, settings


def test_a_full_backup_and_its_incremental_pass(tmp_path: Path) -> None:
    result = run_case(case("truncation"), settings(tmp_path))
    assert result.verdict is Verdict.PASS, result.divergence
    full, incremental = result.jobs
    assert full.outcome == incremental.outcome == "success"
    (group,) = full.groups
    low, high = full.restorable_to[group], incremental.restorable_to[group]
    assert low is not None
    assert high is not None
    assert low < high
    assert "rows as committed" in incremental.restored[group]
    assert result.reproduce.endswith("--case truncation --seed 1")


def test_the_transcript_stays_and_the_sets_go(tmp_path: Path) -> None:
    result = run_case(case("sanity"), settings(tmp_path))
    name = result.jobs[0].transcript
    assert name is not None
    lines = (tmp_path / name).read_text(encoding="utf-8").splitlines()
    assert len(list(read_transcript(lines))) == result.jobs[0].calls
    assert list(tmp_path.rglob("*.edb")) == []


def test_sets_can_be_kept(tmp_path: Path) -> None:
    run_case(case("sanity"), evolve(settings(tmp_path), keep_sets=True))
    assert list(tmp_path.rglob("*.edb"))


def test_the_same_seed_gives_the_same_transcript(tmp_path: Path) -> None:
    texts = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        result = run_case(case("truncation"), settings(tmp_path / name))
        texts.append([(tmp_path / name / (j.transcript or "")).read_bytes() for j in result.jobs])
    assert texts[0] == texts[1]


def test_another_seed_gives_another_transcript(tmp_path: Path) -> None:
    first = run_case(case("truncation"), settings(tmp_path))
    before = (tmp_path / (first.jobs[0].transcript or "")).read_bytes()
    second = run_case(case("truncation"), evolve(settings(tmp_path), seed=2))
    assert second.verdict is Verdict.PASS
    assert (tmp_path / (second.jobs[0].transcript or "")).read_bytes() != before


def test_a_fault_that_never_fires_is_inconclusive(tmp_path: Path) -> None:
    fault = FaultSpec(FaultAction.DROP, "backup_open_file", nth=999)
    result = run_case(case("sanity", faults=(fault,)), settings(tmp_path))
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "never fired: drop at backup_open_file, match 999" in result.note
    assert result.faults[0].matched == 4
    assert result.faults[0].fired == 0


def test_a_fault_counts_its_matches(tmp_path: Path) -> None:
    result = run_case(case("read-fails"), settings(tmp_path))
    assert result.verdict is Verdict.PASS
    assert result.faults[0].fired == result.faults[0].matched > 0


def test_a_failure_ends_the_chain(tmp_path: Path) -> None:
    jobs = (
        JobSpec(JobKind.FULL, expect=Expectation.ANY),
        JobSpec(JobKind.INCREMENTAL),
        JobSpec(JobKind.FULL),
        JobSpec(JobKind.INCREMENTAL),
    )
    result = run_case(evolve(case("read-fails"), jobs=jobs), settings(tmp_path))
    assert [job.kind for job in result.jobs] == ["full", "full", "incremental"]
    assert [(job.transcript or "")[-7:-6] for job in result.jobs] == ["1", "3", "4"]
    assert "job 2 was left out" in result.note
    assert result.verdict is Verdict.PASS


def test_a_crash_ends_the_case(tmp_path: Path) -> None:
    def client(api: BackupApi, task: Task) -> object:
        print("about to fall")
        raise RuntimeError("fell")

    result = run_case(case("truncation"), settings(tmp_path, client))
    assert result.verdict is Verdict.CRASH
    assert result.crashed
    assert len(result.jobs) == 1
    assert result.jobs[0].output == "about to fall\n"
    assert "the client raised RuntimeError: fell (ESE-BKP-HON-006)" in result.divergence
    assert result.axis(Axis.HONESTY).verdict is Verdict.CRASH


def test_a_client_that_hangs_holding_the_group_is_judged_and_left(tmp_path: Path) -> None:
    def client(api: BackupApi, task: Task) -> object:
        context, instances = api.backup_prepare(task.server, task.annotation)
        api.backup_setup(context, instances[0].instance_id, 1)  # type: ignore[arg-type]
        while True:
            api.get_nodes(None)

    result = run_case(case("sanity", seconds_max=0.3), settings(tmp_path, client))
    assert result.verdict is Verdict.CRASH
    assert "did not answer within 0.3 s" in result.jobs[0].reason
    assert result.axis(Axis.TEARDOWN).verdict is Verdict.FAIL


def test_an_error_of_the_simulator_is_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: object, context: int) -> None:
        raise ZeroDivisionError("in the engine")

    monkeypatch.setattr("esesim.session.Session.backup_get_log_and_patch_files", broken)
    result = run_case(case("sanity"), settings(tmp_path))
    assert result.verdict is Verdict.ERROR
    assert "ZeroDivisionError" in result.note


def test_an_error_of_the_harness_is_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object) -> None:
        raise LookupError("a bug of the judge")

    monkeypatch.setattr("eseconform.runner.judge_protocol", broken)
    result = run_case(case("sanity"), settings(tmp_path))
    assert result.verdict is Verdict.ERROR
    assert "a bug of the judge" in result.note


def test_a_client_that_always_gives_up_does_not_pass(tmp_path: Path) -> None:
    def client(api: BackupApi, task: Task) -> Claim:
        return Claim(Outcome.FAILURE, reason="not today")

    result = run_case(case("sanity"), settings(tmp_path, client))
    assert result.verdict is Verdict.FAIL
    assert "ESE-BKP-DATA-005" in result.divergence


def test_a_client_that_only_claims_does_not_pass(tmp_path: Path) -> None:
    result = run_case(case("sanity"), settings(tmp_path, lambda api, task: Claim(Outcome.SUCCESS)))
    assert result.axis(Axis.PROTOCOL).verdict is Verdict.FAIL
    assert result.axis(Axis.DATA).verdict is Verdict.FAIL
    assert result.axis(Axis.HONESTY).verdict is Verdict.FAIL
    assert result.axis(Axis.TEARDOWN).verdict is Verdict.PASS


def test_what_a_client_does_to_an_earlier_set_shows(tmp_path: Path) -> None:
    def client(api: BackupApi, task: Task) -> Claim:
        for folder in task.earlier_sets:
            for path in folder.glob("*.edb"):
                path.unlink()
        return reference(api, task)

    result = run_case(case("truncation"), settings(tmp_path, client))
    assert "ESE-BKP-DATA-001" in {f.requirement for f in result.axis(Axis.DATA).findings}


def test_files_may_be_stored_anywhere(tmp_path: Path) -> None:
    class Elsewhere(ReferenceClient):
        def new_path(self, name: str) -> Path:
            folder = tmp_path / "vault" / self.task.kind.value
            folder.mkdir(parents=True, exist_ok=True)
            return folder / super().new_path(name).name

    result = run_case(
        case("truncation"), settings(tmp_path, lambda api, task: Elsewhere(api, task).run())
    )
    assert result.verdict is Verdict.PASS, result.divergence


def test_groups_may_be_saved_in_parallel(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    class Parallel(ReferenceClient):
        def back_up(self) -> None:
            with ThreadPoolExecutor(2) as pool:
                list(pool.map(lambda group: self.in_context((group,)), self.task.groups))

    result = run_case(
        case("chain-of-two-groups"), settings(tmp_path, lambda api, task: Parallel(api, task).run())
    )
    assert result.verdict is Verdict.PASS, result.divergence


def test_users_work_the_same_however_small_the_reads(tmp_path: Path) -> None:
    steps: list[int] = []

    def counting(size: int) -> int:
        class Sized(ReferenceClient):
            buffer_size = size

        done = 0
        real = SimulatedServer.run_workload

        def work(self: SimulatedServer, group: str, count: int) -> None:
            nonlocal done
            done += count
            real(self, group, count)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(SimulatedServer, "run_workload", work)
            run_case(
                case("one-group-of-two"),
                settings(tmp_path, lambda api, task: Sized(api, task).run()),
            )
        return done

    steps = [counting(size) for size in (2_000, 65_536)]
    assert min(steps) > 40
    assert max(steps) < 1.5 * min(steps)


def test_events_tell_the_story(tmp_path: Path) -> None:
    events: list[Event] = []
    run_case(case("truncation"), settings(tmp_path, reference, events.append))
    assert [event.kind for event in events] == [
        "case_started",
        "job_ended",
        "job_ended",
        "case_ended",
    ]
    assert events[-1].data["axes"] == dict.fromkeys(Axis, "PASS")
