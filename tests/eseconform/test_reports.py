"""Reports: results.json is the only truth, and all others are made from it."""

from __future__ import annotations

import io
import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from attrs import evolve

from eseconform.errors import UsageError
from eseconform.report.junit import junit, write_junit
from eseconform.report.table import console_for, print_report
from eseconform.results import (
    SCHEMA,
    CaseResult,
    FaultResult,
    JobResult,
    RunResult,
    from_json,
    to_json,
    write_results,
)
from eseconform.verdicts import Axis, ExitCode, Finding, Verdict, sum_up

JOB = JobResult("full", ("G",), "success", "", 4, 1 << 20, 40, {"G": 7}, 0.5, {"G": "12 rows"})


def a_case(name: str, *findings: Finding, **changes: object) -> CaseResult:
    axes = sum_up(findings)
    verdict = max((a.verdict for a in axes), key=lambda v: v.severity)
    result = CaseResult(
        id=name,
        title=f"Title of {name}",
        family="logs",
        verdict=verdict,
        axes=axes,
        requirements=("ESE-BKP-SEQ-003",),
        jobs=(JOB,),
        faults=(FaultResult("drop at backup_end, match 1", 1, 1),),
        divergence=findings[0].sentence if findings else "",
        reproduce=f"eseconform check --case {name}",
        seconds=1.25,
    )
    return evolve(result, **changes)  # type: ignore[arg-type]


ORDER = Finding(
    Axis.PROTOCOL,
    Verdict.FAIL,
    "CloseFile expected before GetLogAndPatchFiles",
    "ESE-BKP-SEQ-003",
    call=14,
    job=0,
)
LIE = Finding(
    Axis.HONESTY, Verdict.FAIL, "success is claimed", "ESE-BKP-HON-001", job=0, critical=True
)


@pytest.fixture
def run() -> RunResult:
    cases = (
        a_case("good"),
        a_case("bad", ORDER, LIE),
        a_case("crashed", verdict=Verdict.CRASH, jobs=(evolve(JOB, output="bye \x1b[1m"),)),
        a_case("odd", verdict=Verdict.INCONCLUSIVE, note="never fired: drop"),
        a_case("ours", verdict=Verdict.ERROR, note="the harness failed"),
        a_case("left", verdict=Verdict.NOT_APPLICABLE, note="needs restore"),
    )
    return RunResult(
        sut="python:x:y",
        suite="default",
        seed=3,
        selected=6,
        available=24,
        started="2026-01-01T00:00:00+00:00",
        seconds=7.5,
        exit_code=ExitCode.OUR_ERROR,
        version="0.1.0",
        cases=cases,
    )


def test_results_come_back_equal(run: RunResult, tmp_path: Path) -> None:
    path = write_results(run, tmp_path)
    assert from_json(path.read_text("utf-8")) == run
    plain = json.loads(to_json(run))
    assert plain["schema"] == SCHEMA
    assert plain["cases"][1]["axes"][0]["findings"][0]["call"] == 14


@pytest.mark.parametrize("text", ["no json", "[]", "{}", '{"schema": 99}'])
def test_other_files_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"results\.json"):
        from_json(text)


def test_critical_findings_are_found_anywhere(run: RunResult) -> None:
    assert [(case.id, finding) for case, finding in run.critical] == [("bad", LIE)]


def test_junit_has_one_result_a_case(run: RunResult, tmp_path: Path) -> None:
    root = ElementTree.parse(write_junit(run, tmp_path)).getroot()
    results = {
        test.attrib["name"]: [child.tag for child in test if child.tag != "system-out"]
        for test in root.iter("testcase")
    }
    assert results == {
        "good": [],
        "bad": ["failure"],
        "crashed": ["failure"],
        "odd": ["error"],
        "ours": ["error"],
        "left": ["skipped"],
    }
    suite = next(root.iter("testsuite"))
    assert (suite.attrib["tests"], suite.attrib["failures"], suite.attrib["errors"]) == (
        *("6", "2", "2"),
    )


def test_junit_tells_call_rule_and_command(run: RunResult) -> None:
    failure = next(result for suite in junit(run) for test in suite for result in test.result)
    assert "call 14: CloseFile expected before GetLogAndPatchFiles" in failure.message
    assert "ESE-BKP-SEQ-003" in (failure.text or "")
    assert "eseconform check --case bad" in (failure.text or "")


def test_the_table_tells_the_story(run: RunResult) -> None:
    out = io.StringIO()
    print_report(run, console_for(out))
    text = out.getvalue()
    assert text.startswith("CRITICAL  bad: success is claimed (ESE-BKP-HON-001)")
    assert "first divergence: call 14: CloseFile expected" in text
    assert "reproduce with: eseconform check --case bad" in text
    assert "never fired: drop" in text
    assert "6 of 24 cases selected, suite default, seed 3, 7.5 s" in text
    assert "(exit code 3)" in text
    assert "Title of good" not in text


def test_a_short_run_tells_what_was_replayed(run: RunResult) -> None:
    out = io.StringIO()
    short = evolve(run, cases=run.cases[:1], selected=1, exit_code=ExitCode.OK)
    print_report(short, console_for(out))
    assert "replay of G: 12 rows" in out.getvalue()
    assert "conformant (exit code 0)" in out.getvalue()


def test_expected_failures_are_marked_in_the_table(run: RunResult) -> None:
    line = 'bad FAIL "CloseFile"  # ticket 4711'
    crash = 'crashed CRASH ""'
    expected = {"bad": line, "crashed": crash}
    cases = tuple(evolve(case, expected=expected.get(case.id, "")) for case in run.cases[:3])
    out = io.StringIO()
    print_report(evolve(run, cases=cases, exit_code=ExitCode.OK), console_for(out))
    text = out.getvalue()
    rows = {row.split()[1]: row for row in text.splitlines() if row.startswith("│")}
    assert "XFAIL " in rows["bad"] and "XFAIL (CRASH)" in rows["crashed"]
    assert "XFAIL" not in rows["good"]
    assert f"expected: {line}\n" in text and f"expected: {crash}\n" in text
    # It is known: neither alarm nor details.
    assert "CRITICAL" not in text and "first divergence" not in text
    assert "7.5 s: 2 expected failure(s), conformant (exit code 0)" in text
