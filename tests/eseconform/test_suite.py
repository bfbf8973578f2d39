"""A whole run: what is selected, sanity first and last, dead clients, interruption."""

from __future__ import annotations

from pathlib import Path

import pytest
from attrs import evolve

from eseback.api import BackupApi
from eseconform.cases import Case, catalogue
from eseconform.errors import UsageError
from eseconform.results import CaseResult
from eseconform.runner import Settings, run_case
from eseconform.suite import Plan, make_plan, run_plan
from eseconform.task import Task
from eseconform.verdicts import ExitCode, Verdict
from tests.support.conformance import case, reference, settings

QUICK = Plan("selection", (case("bad-page"), case("read-fails-once")), 24)


def test_a_suite_selects_its_cases() -> None:
    plan = make_plan(catalogue(), "demo")
    assert [c.id for c in plan.cases] == ["demo"]
    assert plan.available == len(catalogue().cases)


def test_patterns_select_by_id() -> None:
    plan = make_plan(catalogue(), "default", ["drop-*", "chain"])
    assert [c.id for c in plan.cases] == [
        *("chain", "drop-while-reading", "drop-at-truncation", "drop-at-end"),
    ]
    assert plan.suite == "selection"


@pytest.mark.parametrize(
    ("suite", "patterns", "message"),
    [
        ("nightly", [], "no suite 'nightly'"),
        ("default", ["chain", "nope*"], "'nope\\*' matches none"),
    ],
)
def test_a_filter_that_matches_nothing_is_an_error(
    suite: str, patterns: list[str], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        make_plan(catalogue(), suite, patterns)


def test_sanity_comes_first_and_last(tmp_path: Path) -> None:
    run = run_plan(QUICK, settings(tmp_path))
    ids = [c.id for c in run.cases]
    assert ids == ["sanity-first", "bad-page", "read-fails-once", "sanity-last"]
    assert run.exit_code is ExitCode.OK
    assert (run.selected, run.available) == (2, 24)
    assert run.verdict is Verdict.PASS


def test_a_client_that_cannot_do_the_simplest_backup_is_unusable(tmp_path: Path) -> None:
    def client(api: BackupApi, task: Task) -> object:
        raise RuntimeError("no tape")

    run = run_plan(QUICK, settings(tmp_path, client))
    assert run.exit_code is ExitCode.SUT_UNUSABLE
    assert [c.id for c in run.cases] == ["sanity-first"]
    assert "no tape" in run.note


def test_after_a_crash_sanity_decides_whether_to_go_on(tmp_path: Path) -> None:
    def client(api: BackupApi, task: Task) -> object:
        if task.set_folder.parent.name == "bad-page":
            raise RuntimeError("no such page")
        return reference(api, task)

    run = run_plan(QUICK, settings(tmp_path, client))
    ids = [c.id for c in run.cases]
    assert ids == [
        *("sanity-first", "bad-page", "sanity-after-bad-page", "read-fails-once", "sanity-last"),
    ]
    assert run.exit_code is ExitCode.NOT_CONFORMANT


def test_a_client_that_dies_underway_is_unusable(tmp_path: Path) -> None:
    alive = True

    def client(api: BackupApi, task: Task) -> object:
        nonlocal alive
        alive = alive and task.set_folder.parent.name != "bad-page"
        if not alive:
            raise RuntimeError("gone")
        return reference(api, task)

    run = run_plan(QUICK, settings(tmp_path, client))
    assert run.exit_code is ExitCode.SUT_UNUSABLE
    assert [c.id for c in run.cases][-1] == "sanity-after-bad-page"
    assert "dead since bad-page" in run.note


def test_an_interrupted_run_keeps_what_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupting(a_case: Case, settings: Settings) -> CaseResult:
        if a_case.id == "read-fails-once":
            raise KeyboardInterrupt
        return run_case(a_case, settings)

    monkeypatch.setattr("eseconform.suite.run_case", interrupting)
    run = run_plan(QUICK, settings(tmp_path))
    assert run.exit_code is ExitCode.INTERRUPTED
    assert [c.id for c in run.cases] == ["sanity-first", "bad-page"]


def test_an_inconclusive_case_makes_the_run_inconclusive(tmp_path: Path) -> None:
    fault = evolve(case("bad-page").faults[0], nth=500)
    plan = Plan("selection", (case("bad-page", faults=(fault,)),), 24)
    assert run_plan(plan, settings(tmp_path)).exit_code is ExitCode.INCONCLUSIVE


def test_a_run_without_cases_is_still_not_empty(tmp_path: Path) -> None:
    # The sanity cases run whatever was selected; they alone are no evidence of conformance.
    run = run_plan(Plan("selection", (), 24), settings(tmp_path))
    assert run.exit_code is ExitCode.NOTHING_RAN
