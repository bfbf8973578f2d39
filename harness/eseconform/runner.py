"""Runs one case: the server, the jobs one after the other, the judges, one result."""

from __future__ import annotations

import shutil
import time
import traceback
from pathlib import Path
from typing import cast

from attrs import define, evolve, field, frozen

from eseback.constants import INFORMATION_STORE
from eseconform.cases import Case, CaseCatalogue, Expectation, FaultSpec, JobSpec, topology_of
from eseconform.cases.model import names_error
from eseconform.errors import HarnessError
from eseconform.events import EventStream
from eseconform.incidents import Incidents
from eseconform.judge.chains import JobRecord
from eseconform.judge.data import DataResult, GroupFacts, judge_data
from eseconform.judge.honesty import judge_honesty, judge_probe
from eseconform.judge.protocol import Conversation, follow, judge_protocol
from eseconform.judge.teardown import judge_teardown
from eseconform.requirements import requirements
from eseconform.results import CaseResult, FaultResult, JobResult
from eseconform.sequence import Drawing, draw
from eseconform.stage import Connection, Stage
from eseconform.sut import JobAnswer, Sut, run_job
from eseconform.task import Capability, JobKind, Task
from eseconform.undisturbed import last_match
from eseconform.verdicts import Axis, AxisResult, Finding, Verdict, sum_up, worst
from esesim.faults import FaultPlan, FaultRule
from esesim.transcript import CallRecord

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
    missing = sorted(case.needs - settings.sut.capabilities)
    if missing:
        return _not_applicable(case, settings, missing)
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


def _not_applicable(case: Case, settings: Settings, missing: list[Capability]) -> CaseResult:
    """The result of a case that asks for what the client does not declare."""
    verdict = Verdict.NOT_APPLICABLE
    settings.events.emit("case_skipped", case=case.id, verdict=verdict.value, needs=missing)
    return CaseResult(
        id=case.id,
        title=case.title,
        family=case.family,
        verdict=verdict,
        axes=tuple(AxisResult(axis, verdict) for axis in Axis),
        requirements=case.requirements,
        note=f"needs {', '.join(missing)}, which the client does not declare",
    )


@define
class _CaseRun:
    case: Case
    settings: Settings
    jobs: list[JobResult] = field(factory=list)
    findings: list[Finding] = field(factory=list)
    plans: dict[int, FaultPlan] = field(factory=dict)
    incidents: dict[int, Incidents] = field(factory=dict)
    chain: list[JobRecord] = field(factory=list)
    older: list[JobRecord] = field(factory=list)
    sets: list[Path] = field(factory=list)
    error: str = ""
    left_out: str = ""
    unseen: list[str] = field(factory=list)
    profile: str = ""

    @property
    def folder(self) -> Path:
        """Where this case's files go."""
        return self.settings.folder / "cases" / self.case.id

    # --- the jobs --------------------------------------------------------------------------------

    def jobs_on(self, stage: Stage) -> None:
        """Run the jobs; a crash of the client ends the case."""
        for index, spec in enumerate(self.case.jobs):
            if spec.kind.starts_chain:
                self.older += self.chain
                self.chain, self.sets = [], []
            elif not (spec.kind.has_databases or self._chain_holds()):
                self.left_out = f"job {index + 1} was left out: its chain has no complete set"
                continue
            stage.work(spec.steps_before)
            self.incidents[index] = Incidents(
                stage, [event for event in self.case.events if event.job == index]
            )
            self.incidents[index].before_job()
            if self._job(stage, index, spec):
                break

    def clean_up(self) -> None:
        """Remove the saved bytes, unless they are to stay. A client may still be writing some."""
        if not self.settings.keep_sets:
            for folder in self.folder.glob("set-*"):
                shutil.rmtree(folder, ignore_errors=True)

    def _chain_holds(self) -> bool:
        return all(record.talk.claims_success for record in self.chain)

    def _job(self, stage: Stage, index: int, spec: JobSpec) -> bool:
        """One job; returns whether the client crashed."""
        task = self._task(stage, index, spec)
        facts = stage.facts()
        connection = Connection.open(
            stage, self._plan_of(index), self._transcript(index), self.incidents[index]
        )
        before = stage.closed_logs()
        try:
            asked = evolve(task, kind=cast("JobKind", spec.asked)) if spec.asked else task
            answer = run_job(self.settings.sut, connection.gate, asked, self.case.seconds_max)
            left = connection.leftovers(stage)
            records = connection.records()
        finally:
            connection.close()
        if answer.broken is not None:
            raise HarnessError(f"a call raised {answer.broken!r}") from answer.broken
        talk = Conversation(task, answer.claim, follow(records, spec.databases), index)
        after = stage.closed_logs()
        deleted = {
            group: before[group] - logs - stage.removed.get(group, set())
            for group, logs in after.items()
        }
        record = JobRecord(talk, deleted, must_succeed=spec.expect is Expectation.SUCCESS)
        error = next((b.error for b in talk.follower.backups if b.error is not None), None)
        note = f"after {error[1].name} at call {error[0]}" if error else ""
        self.findings += judge_protocol(talk)
        # A client whose End was refused has done what it can.
        refused = sum(context.end_failed for context in talk.follower.contexts.values())
        left = evolve(left, contexts=max(0, left.contexts - refused))
        self.findings += judge_teardown(left, index, note)
        self.findings += _crash(answer, index)
        if spec.asked is not None:
            data = DataResult([], {})
            self.findings += judge_probe(talk, spec.asked)
        else:
            data = self._judge_set(record, facts)
        self._note_answer(spec, records, index)
        drawing = draw(
            records,
            before,
            after,
            faults=[
                (count.rule, fault.text)
                for count, fault in zip(
                    self.plans[index].counts, self._faults_of(index), strict=True
                )
            ],
            incidents=[
                (count.event.call, count.event.nth, count.event.text)
                for count in self.incidents[index].counts
                if count.fired
            ],
            remarkable={f.call for f in self.findings if f.job == index and f.call is not None},
        )
        self._note_job(talk, answer, len(records), data, drawing)
        return answer.claim is None

    def _judge_set(self, record: JobRecord, facts: dict[str, GroupFacts]) -> DataResult:
        """Judge what was saved, by itself or with the chain that it continues."""
        kind = record.talk.task.kind
        chain = [record] if kind.has_databases else [*self.chain, record]
        older = [*self.older, *self.chain] if kind.has_databases else self.older
        data = judge_data(chain, facts, older)
        self.findings += data.findings
        self.findings += judge_honesty(record.talk, data.truth)
        if self._joins(record):
            self.chain.append(record)
            self.sets.append(record.talk.task.set_folder)
        else:
            self.older.append(record)
        return data

    def _joins(self, record: JobRecord) -> bool:
        """Whether later jobs build on it: not on a failure that left the server as it was."""
        harmless = not record.talk.claims_success and not any(
            backup.truncated_at for backup in record.talk.follower.backups
        )
        kind = record.talk.task.kind
        return kind.joins_chain and (kind.starts_chain or not harmless)

    def _note_answer(self, spec: JobSpec, records: list[CallRecord], index: int) -> None:
        """A job that the server should have refused, and did not, has shown nothing."""
        if spec.answer is None:
            return
        errors = [record.error for record in records if record.error is not None]
        if not any(names_error(spec.answer, error.name, error.jet) for error in errors):
            self.unseen.append(f"job {index + 1}: the server never answered {spec.answer}")

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
            earlier_sets=() if spec.kind.has_databases else tuple(self.sets),
            databases=spec.databases,
        )

    def _faults_of(self, job: int) -> list[FaultSpec]:
        return [fault for fault in self.case.faults if fault.job == job]

    def _plan_of(self, job: int) -> FaultPlan:
        """The faults of one job; the plan keeps the counts."""
        self.plans[job] = FaultPlan(self._rule(fault) for fault in self._faults_of(job))
        return self.plans[job]

    def _rule(self, fault: FaultSpec) -> FaultRule:
        if fault.nth:
            return fault.rule()
        settings = self.settings
        last = last_match(fault, self.case, settings.cases, settings.sut, settings.seed)
        return fault.rule(last)

    def _fault_results(self) -> list[FaultResult]:
        results = []
        for job in range(len(self.case.jobs)):
            faults = self._faults_of(job)
            plan = self.plans.get(job)
            counts = [(c.matched, c.fired) for c in plan.counts] if plan else [(0, 0)] * len(faults)
            for fault, (matched, fired) in zip(faults, counts, strict=True):
                results.append(FaultResult(fault.text, matched, fired))
        for index in range(len(self.case.jobs)):
            known = self.incidents.get(index)
            for event in (event for event in self.case.events if event.job == index):
                count = next((c for c in known.counts if c.event is event), None) if known else None
                results.append(
                    FaultResult(event.text, count.matched, count.fired)
                    if count is not None
                    else FaultResult(event.text, 0, 0)
                )
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
        elif unfired or self.unseen:
            verdicts.append(Verdict.INCONCLUSIVE)
            notes += [f"never fired: {text}" for text in unfired] + self.unseen
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
