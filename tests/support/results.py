"""Results of runs made by hand, for tests of reports and expectations."""

from __future__ import annotations

from typing import Any

from attrs import evolve

from eseconform.results import CaseResult, FaultResult, JobResult, RunResult, rule_texts
from eseconform.sequence import Drawing, draw
from eseconform.verdicts import Axis, ExitCode, Finding, Verdict, exit_code, sum_up, worst
from esesim.faults import FaultAction, FaultRule
from esesim.transcript import CallRecord
from tests.support.transcripts import EDB, GROUP, LOGS, STM, Transcript

PROFILE = "exchange-2003-sp1"
EARLY = Finding(
    Axis.PROTOCOL,
    Verdict.FAIL,
    "TruncateLogs comes before E0000006.log was read to its end",
    "ESE-BKP-TRN-001",
    call=15,
    job=0,
)
LIE = Finding(
    Axis.HONESTY, Verdict.FAIL, "success is claimed", "ESE-BKP-HON-001", job=0, critical=True
)


def recorded(transcript: Transcript) -> list[CallRecord]:
    """The records with the group that a recorder would give each."""
    names = ("backup_prepare", "backup_end")
    return [evolve(r, group=None if r.method in names else GROUP) for r in transcript.records]


def truncating_early() -> Drawing:
    """A backup that truncates between its two logs, then is told that it has no backup."""
    talk = Transcript().prepare().setup().copy(EDB, STM).logs().open(LOGS[0])
    talk.read(100_000).read(0).close().truncate()
    talk.open(LOGS[1]).read(0, error="hrOutOfBuffers").instance_end(0).end()
    records = recorded(talk)
    rule = FaultRule(FaultAction.HRESULT, "backup_read_file", file="*6.log", hresult=0xC80003F6)
    return draw(
        records,
        {GROUP: {3, 4, 5}},
        {GROUP: {5, 6, 7}},
        faults=[(rule, "hrOutOfBuffers at backup_read_file of *6.log, match 1")],
        remarkable={16},
    )


def a_job(**changes: Any) -> JobResult:
    """A job with the steps of :func:`truncating_early`."""
    drawing = truncating_early()
    job = JobResult(
        kind="full",
        groups=(GROUP,),
        outcome="success",
        reason="",
        files=4,
        bytes=1 << 20,
        calls=20,
        restorable_to={GROUP: 6},
        seconds=0.5,
        restored={GROUP: "12 rows as committed"},
        transcript="cases/x/transcript-1.jsonl",
        steps=drawing.steps,
        logs=drawing.logs,
    )
    return evolve(job, **changes)


def a_case(name: str, *findings: Finding, **changes: Any) -> CaseResult:
    """A case with these findings; it passes when there are none."""
    axes = sum_up(findings)
    case = CaseResult(
        id=name,
        title=f"Title of {name}",
        family="logs",
        verdict=worst(axis.verdict for axis in axes),
        axes=axes,
        requirements=("ESE-BKP-SEQ-003", "ESE-BKP-TRN-001"),
        jobs=(a_job(),),
        faults=(FaultResult("hrOutOfBuffers at backup_read_file of *6.log, match 1", 1, 1),),
        divergence=findings[0].sentence if findings else "",
        reproduce=f"eseconform check --case {name}",
        seconds=1.25,
        profile=PROFILE,
    )
    return evolve(case, **changes)


def a_run(*cases: CaseResult, **changes: Any) -> RunResult:
    """A whole run of these cases."""
    run = RunResult(
        sut="python:x:y",
        suite="default",
        seed=3,
        selected=len(cases),
        available=24,
        started="2026-01-01T00:00:00+00:00",
        seconds=7.5,
        exit_code=exit_code(case.verdict for case in cases) if cases else ExitCode.NOTHING_RAN,
        version="0.1.0",
        cases=cases,
        rules=rule_texts(cases),
    )
    return evolve(run, **changes)
