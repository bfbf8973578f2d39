"""Runs one case: the server, the jobs one after the other, the judges, one result."""

from __future__ import annotations

import shutil
import time
import traceback
from pathlib import Path

from attrs import define, field, frozen

from eseback.constants import INFORMATION_STORE
from eseconform.cases import Case, CaseCatalogue, Expectation, FaultSpec, JobSpec, topology_of
from eseconform.errors import HarnessError
from eseconform.events import EventStream
from eseconform.judge.chains import JobRecord
from eseconform.judge.data import DataResult, GroupFacts, judge_data
from eseconform.judge.honesty import judge_honesty
from eseconform.judge.protocol import Conversation, follow, judge_protocol
from eseconform.judge.teardown import judge_teardown
from eseconform.requirements import requirements
from eseconform.results import CaseResult, FaultResult, JobResult
from eseconform.sequence import Drawing, draw
from eseconform.stage import Connection, Stage
from eseconform.sut import JobAnswer, Sut, run_job
from eseconform.task import Task
from eseconform.verdicts import Axis, Finding, Verdict, sum_up, worst
from esesim.faults import FaultPlan

REFERENCE_ANNOTATION = INFORMATION_STORE
_TRACE_LINES = 25


@frozen
class Settings:
    """What goes for all cases of a run.

    Attributes:
        sut: the client.
        cases: the catalogue that the cases come from.
        seed: of the simulated servers.
        folder: where transcripts and sets go.
        events: what happens is told here.
        keep_sets: leave the saved bytes there after judging.
    """

    sut: Sut
    cases: CaseCatalogue
    seed: int
    folder: Path
    events: EventStream
    keep_sets: bool = False


def run_case(case: Case, settings: Settings) -> CaseResult:
    """Run a case and judge it; an error of ours becomes the verdict ERROR."""
    started = time.monotonic()
    run = _CaseRun(case, settings)
    settings.events.emit("case_started", case=case.id, title=case.title)
    try:
        run.folder.mkdir(parents=True, exist_ok=True)
        topology = topology_of(case, settings.cases)
        run.profile = topology.server.profile
        with Stage(topology, settings.seed) as stage:
            run.jobs_on(stage)
    except HarnessError as error:
        run.error = f"the harness or the simulator is at fault: {error}"
    except Exception as error:
        lines = traceback.format_exc().splitlines()[-_TRACE_LINES:]
        trace = "\n".join(lines)
        run.error = f"the harness failed: {type(error).__name__}: {error}\n{trace}"
    finally:
        run.clean_up()
    result = run.result(time.monotonic() - started)
    settings.events.emit(
        "case_ended",
        case=case.id,
        verdict=result.verdict.value,
        axes={axis.axis.value: axis.verdict.value for axis in result.axes},
        divergence=result.divergence,
        seconds=round(result.seconds, 3),
    )
    return result


@define
class _CaseRun:
    case: Case
    settings: Settings
    jobs: list[JobResult] = field(factory=list)
    findings: list[Finding] = field(factory=list)
    plans: dict[int, FaultPlan] = field(factory=dict)
    chain: list[JobRecord] = field(factory=list)
    older: list[JobRecord] = field(factory=list)
    sets: list[Path] = field(factory=list)
    error: str = ""
    left_out: str = ""
    profile: str = ""

    @property
    def folder(self) -> Path:
        """Where this case's files go."""
        return self.settings.folder / "cases" / self.case.id

    # --- the jobs --------------------------------------------------------------------------------

    def jobs_on(self, stage: Stage) -> None:
        """Run the jobs; a crash of the client ends the case."""
        facts = stage.facts()
        for index, spec in enumerate(self.case.jobs):
            if spec.kind.starts_chain:
                self.older += self.chain
                self.chain, self.sets = [], []
            elif not self._chain_holds():
                self.left_out = f"job {index + 1} was left out: its chain has no complete set"
                continue
            stage.work(spec.steps_before)
            if self._job(stage, facts, index, spec):
                break

    def clean_up(self) -> None:
        """Remove the saved bytes, unless they are to stay. A client may still be writing some."""
        if not self.settings.keep_sets:
            for folder in self.folder.glob("set-*"):
                shutil.rmtree(folder, ignore_errors=True)

    def _chain_holds(self) -> bool:
        return all(record.talk.claims_success for record in self.chain)

    def _job(self, stage: Stage, facts: dict[str, GroupFacts], index: int, spec: JobSpec) -> bool:
        """One job; returns whether the client crashed."""
        task = self._task(stage, index, spec)
        connection = Connection.open(stage, self._plan_of(index), self._transcript(index))
        before = stage.closed_logs()
        try:
            answer = run_job(self.settings.sut, connection.gate, task, self.case.seconds_max)
            left = connection.leftovers(stage)
            records = connection.records()
        finally:
            connection.close()
        if answer.broken is not None:
            raise HarnessError(f"a call raised {answer.broken!r}") from answer.broken
        talk = Conversation(task, answer.claim, follow(records), index)
        after = stage.closed_logs()
        deleted = {group: before[group] - logs for group, logs in after.items()}
        succeeds = spec.expect is Expectation.SUCCESS
        self.chain.append(JobRecord(talk, deleted, must_succeed=succeeds))
        self.sets.append(task.set_folder)
        error = next((b.error for b in talk.follower.backups if b.error is not None), None)
        note = f"after {error[1].name} at call {error[0]}" if error else ""
        self.findings += judge_protocol(talk)
        self.findings += judge_teardown(left, index, note)
        self.findings += _crash(answer, index)
        data = judge_data(self.chain, facts, self.older)
        self.findings += data.findings
        self.findings += judge_honesty(talk, data.truth)
        drawing = draw(
            records,
            before,
            after,
            faults=[(fault.rule(), fault.text) for fault in self._faults_of(index)],
            remarkable={f.call for f in self.findings if f.job == index and f.call is not None},
        )
        self._note_job(talk, answer, len(records), data, drawing)
        return answer.claim is None

    def _task(self, stage: Stage, index: int, spec: JobSpec) -> Task:
        folder = self.folder / f"set-{index + 1}-{spec.kind.value}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return Task(
            kind=spec.kind,
            server=stage.name,
            annotation=REFERENCE_ANNOTATION,
            groups=spec.groups or stage.groups,
            set_folder=folder,
            earlier_sets=tuple(self.sets),
        )

    def _faults_of(self, job: int) -> list[FaultSpec]:
        return [fault for fault in self.case.faults if fault.job == job]

    def _plan_of(self, job: int) -> FaultPlan:
        """The faults of one job; the plan keeps the counts."""
        self.plans[job] = FaultPlan(fault.rule() for fault in self._faults_of(job))
        return self.plans[job]

    def _fault_results(self) -> list[FaultResult]:
        results = []
        for job in range(len(self.case.jobs)):
            faults = self._faults_of(job)
            plan = self.plans.get(job)
            counts = [(c.matched, c.fired) for c in plan.counts] if plan else [(0, 0)] * len(faults)
            for fault, (matched, fired) in zip(faults, counts, strict=True):
                results.append(FaultResult(fault.text, matched, fired))
        return results

    def _transcript(self, index: int) -> Path:
        return self.folder / f"transcript-{index + 1}.jsonl"

    def _note_job(
        self,
        talk: Conversation,
        answer: JobAnswer,
        calls: int,
        data: DataResult,
        drawing: Drawing,
    ) -> None:
        task, claim = talk.task, talk.claim
        job = JobResult(
            kind=task.kind.value,
            groups=task.groups,
            outcome=claim.outcome.value if claim else None,
            reason=claim.reason if claim else answer.crash,
            files=len(claim.files) if claim else 0,
            bytes=sum(file.size for file in claim.files) if claim else 0,
            calls=calls,
            restorable_to={group: truth.restorable_to for group, truth in data.truth.items()},
            seconds=round(answer.seconds, 3),
            restored={group: t.summary for group, t in data.truth.items() if t.summary},
            output=answer.output,
            trace=answer.trace,
            transcript=self._transcript(talk.job).relative_to(self.settings.folder).as_posix(),
            steps=drawing.steps,
            logs=drawing.logs,
        )
        self.jobs.append(job)
        self.settings.events.emit(
            "job_ended", case=self.case.id, kind=job.kind, outcome=job.outcome, calls=job.calls
        )

    # --- the result ------------------------------------------------------------------------------

    def result(self, seconds: float) -> CaseResult:
        """What the case came to."""
        axes = sum_up(self.findings)
        faults = tuple(self._fault_results())
        verdicts = [axis.verdict for axis in axes]
        notes = [self.left_out] if self.left_out else []
        unfired = [fault.text for fault in faults if not fault.fired]
        if self.error:
            verdicts.append(Verdict.ERROR)
            notes.append(self.error)
        elif unfired:
            verdicts.append(Verdict.INCONCLUSIVE)
            notes += [f"never fired: {text}" for text in unfired]
        return CaseResult(
            id=self.case.id,
            title=self.case.title,
            family=self.case.family,
            verdict=worst(verdicts),
            axes=axes,
            requirements=self.case.requirements,
            jobs=tuple(self.jobs),
            faults=faults,
            note="; ".join(notes),
            divergence=first_divergence(self.findings),
            reproduce=self._reproduce(),
            seconds=round(seconds, 3),
            profile=self.profile,
        )

    def _reproduce(self) -> str:
        sut = self.settings.sut.spec
        return f"eseconform check --sut {sut} --case {self.case.id} --seed {self.settings.seed}"


def _crash(answer: JobAnswer, job: int) -> list[Finding]:
    if answer.claim is not None:
        return []
    rule = requirements()["ESE-BKP-HON-006"]
    return [Finding(Axis.HONESTY, Verdict.CRASH, answer.crash, rule.id, job=job)]


def first_divergence(findings: list[Finding]) -> str:
    """The first thing that went wrong, in words: the earliest call that broke a rule, else the
    worst of what was measured afterwards. Empty when nothing did."""
    bad = [f for f in findings if f.verdict.severity >= Verdict.WARN.severity]
    if not bad:
        return ""
    return min(bad, key=lambda f: (-f.verdict.severity, f.job or 0, f.call or 1 << 62)).sentence
