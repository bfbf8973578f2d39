"""The cases made from tables: the whole product is there, and each hits what its name says."""

from __future__ import annotations

from pathlib import Path

import pytest

from eseconform.cases import catalogue
from eseconform.cases.generated import (
    TARGETS,
    Mishap,
    Position,
    Target,
    case_name,
    generated_cases,
    positions_of,
)
from eseconform.report.coverage import COLUMNS, backup_calls, fault_cell
from eseconform.runner import run_case
from eseconform.verdicts import Verdict
from esesim.transcript import read_transcript
from tests.support.conformance import case, settings
from tools.gen_docs import PAGES, ROOT


def test_the_product_is_complete_but_for_what_is_left_out_on_purpose() -> None:
    names = {case.id for case in generated_cases()}
    wanted = {
        case_name(target, position, mishap)
        for target in TARGETS
        for position in positions_of(target)
        for mishap in Mishap
        if (position, mishap)
        not in ((Position.MIDDLE, Mishap.ERROR_AFTER), (Position.LAST, Mishap.DELAY))
    }
    assert names == wanted
    assert names <= set(catalogue().cases)


def test_every_call_of_a_backup_meets_every_kind_of_fault() -> None:
    cases = catalogue().cases.values()
    for method, _ in backup_calls():
        cells = [fault_cell(cases, method, column) for column in COLUMNS[:-1]]
        assert "-" not in cells, method


@pytest.mark.parametrize("target", [t for t in TARGETS if t.often], ids=lambda t: t.name)
def test_calls_that_are_made_often_fail_first_in_the_middle_and_last(target: Target) -> None:
    cases = catalogue().cases.values()
    for column in ("error", "connection lost before", "connection lost after its effect"):
        assert fault_cell(cases, target.call, column).startswith("first, k-th, last")


def test_the_last_call_is_found_by_an_undisturbed_run(tmp_path: Path) -> None:
    result = run_case(case("close-last-error"), settings(tmp_path))
    (job,) = result.jobs
    assert result.verdict is Verdict.PASS, result.divergence
    assert result.faults[0].fired == 1
    lines = (tmp_path / (job.transcript or "")).read_text("utf-8").splitlines()
    records = list(read_transcript(lines))
    opens = sum(record.method == "backup_open_file" for record in records)
    closes = [record for record in records if record.method == "backup_close_file"]
    assert opens == len(closes) == result.faults[0].matched
    assert [record.error is not None for record in closes] == [False] * (opens - 1) + [True]
    # The log list had been asked for, so the last close is that of a log.
    assert any(record.method == "backup_get_log_and_patch_files" for record in records)


def test_the_page_is_in_step() -> None:
    page = ROOT / "docs" / "coverage.md"
    assert page.read_text(encoding="utf-8") == PAGES["coverage.md"].render()
