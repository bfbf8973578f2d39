"""Runs one case: the server, the jobs one after the other, the judges, one result."""

from __future__ import annotations

import shlex
import shutil
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from attrs import define, evolve, field, frozen

from eseconform.cases import Case, CaseCatalogue, Expectation, JobSpec, topology_of
from eseconform.cases.model import OF_SAVED, names_error
from eseconform.errors import HarnessError
from eseconform.events import EventStream
from eseconform.judge.chains import JobRecord
from eseconform.judge.data import DataResult, GroupFacts, GroupTruth, judge_data
from eseconform.judge.honesty import judge_honesty, judge_probe
from eseconform.judge.protocol import Conversation, follow, judge_protocol, order_of
from eseconform.judge.restoreledger import FileWrite
from eseconform.judge.teardown import Leftovers, judge_teardown
from eseconform.ledgers import OWN, REPLAY, ledger_of, origin_of, promises
from eseconform.mishaps import Mishaps
from eseconform.requirements import requirements
from eseconform.restorejob import Expected, Start, chains_to_restore
from eseconform.restorestage import RecordedFiles, bare
from eseconform.results import CaseResult, JobResult, LedgerEntry
from eseconform.sequence import answers
from eseconform.stage import Connection, Stage
from eseconform.sut import JobAnswer, Sut
from eseconform.task import Capability, JobKind, SavedFile, Task
from eseconform.tasks import task_of
from eseconform.transports import Transport
from eseconform.undisturbed import last_match
from eseconform.verdicts import Axis, AxisResult, Finding, Verdict, sum_up, worst
from esesim.transcript import CallRecord

_TRACE_LINES = 25
SANITY = "sanity"
"""Family of the cases that tell whether a client is alive."""
NEW_SERVER = 1000
"""What a server that was installed anew adds to the seed: its stores get other GUIDs."""


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
        transport: how the client reaches the servers.
    """

    sut: Sut
    cases: CaseCatalogue
    seed: int
    folder: Path
    events: EventStream
    keep_sets: bool = False
    transport: Transport = Transport.INPROC


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
        if all(job.outcome is not None for job in run.jobs):
            run.own_restores()
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


@frozen
class _Ran:
    """One job as it went.

    Attributes:
        answer: how the client ended.
        records: its calls.
        writes: what it wrote with file I/O.
        left: what it left on the server.
        before, after: closed logs on the server, by group.
    """

    answer: JobAnswer
    records: list[CallRecord]
    writes: Sequence[FileWrite]
    left: Leftovers
    before: dict[str, frozenset[int]]
    after: dict[str, frozenset[int]]


@define
class _CaseRun:
    case: Case
    settings: Settings
    jobs: list[JobResult] = field(factory=list)
    findings: list[Finding] = field(factory=list)
    mishaps: Mishaps = field(init=False)
    chain: list[JobRecord] = field(factory=list)
    older: list[JobRecord] = field(factory=list)
    sets: list[Path] = field(factory=list)
    records: dict[int, JobRecord] = field(factory=dict)
    chains: dict[int, tuple[int, ...]] = field(factory=dict)
    restored: set[tuple[int, ...]] = field(factory=set)
    restorable: dict[int, dict[str, GroupTruth]] = field(factory=dict)
    used_folders: frozenset[str] = frozenset()
    error: str = ""
    left_out: str = ""
    unseen: list[str] = field(factory=list)
    profile: str = ""

    @mishaps.default
    def _mishaps_of_case(self) -> Mishaps:
        case, settings = self.case, self.settings
        return Mishaps(
            case,
            lambda f: last_match(
                f, case, settings.cases, settings.sut, settings.seed, settings.transport
            ),
        )

    @property
    def folder(self) -> Path:
        """Where this case's files go."""
        return self.settings.folder / "cases" / self.case.id

    # --- the jobs --------------------------------------------------------------------------------

    def jobs_on(self, stage: Stage) -> None:
        """Run the jobs; a crash of the client ends the case."""
        for index, spec in enumerate(self.case.jobs):
            if not spec.kind.is_backup:
                if not self._can_restore(index, spec):
                    self.left_out = f"job {index + 1} was left out: there is no complete chain"
                    continue
            elif spec.kind.starts_chain:
                self.older += self.chain
                self.chain, self.sets = [], []
            elif not (spec.kind.has_databases or self._chain_holds()):
                self.left_out = f"job {index + 1} was left out: its chain has no complete set"
                continue
            stage.work(spec.steps_before)
            self.mishaps.before_job(stage, index, self._saved)
            job = self._job if spec.kind.is_backup else self._restore
            if job(stage, index, spec):
                break

    def clean_up(self) -> None:
        """Remove the saved bytes, unless they are to stay. A client may still be writing some."""
        if not self.settings.keep_sets:
            for folder in self.folder.glob("set-*"):
                shutil.rmtree(folder, ignore_errors=True)

    def _chain_holds(self) -> bool:
        return all(record.talk.claims_success for record in self.chain)

    def _saved(self, job: int) -> Sequence[SavedFile]:
        """The files of a job's set, as its client claims them."""
        record = self.records.get(job)
        claim = record.talk.claim if record is not None else None
        return () if claim is None else claim.files

    def _ran(self, stage: Stage, index: int, spec: JobSpec, task: Task) -> _Ran:
        """Have the client do a job."""
        plan, incidents = self.mishaps.plan_of(index), self.mishaps.incidents_of(index)
        transcript, transport = self._transcript(index), self.settings.transport
        connection = Connection.open(stage, plan, transcript, incidents, transport)
        files = RecordedFiles(stage, connection.gate)
        if not task.kind.is_backup:
            task = evolve(task, files=files)
        before = stage.closed_logs()
        try:
            asked = evolve(task, kind=cast("JobKind", spec.asked)) if spec.asked else task
            answer = connection.run(self.settings.sut, asked, self.case.seconds_max)
            left = connection.leftovers()
            records = connection.records()
        finally:
            connection.close()
        if connection.broken is not None:
            raise HarnessError(f"a call raised {connection.broken!r}") from connection.broken
        return _Ran(answer, records, files.writes, left, before, stage.closed_logs())

    def _job(self, stage: Stage, index: int, spec: JobSpec) -> bool:
        """One backup; returns whether the client crashed."""
        task = self._task(stage, index, spec)
        facts = stage.facts()
        ran = self._ran(stage, index, spec, task)
        answer, left = ran.answer, ran.left
        follower = follow(ran.records, spec.databases, order_of(self.profile))
        talk = Conversation(task, answer.claim, follower, index)
        deleted = {
            group: ran.before[group] - logs - stage.removed.get(group, set())
            for group, logs in ran.after.items()
        }
        record = JobRecord(
            talk,
            deleted,
            must_succeed=spec.expect is Expectation.SUCCESS,
            committed=stage.server.journal.copy().rows,
        )
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
            self.restorable[index] = data.truth
        self._note_answer(spec, ran.records, index)
        chain = [self.records[job] for job in self.chains.get(index, ())]
        bases = {group.name: group.spec.base for group in stage.server.groups}
        promised = promises(chain, {group: bases.get(group, "") for group in task.groups})
        ledger = ledger_of(task.groups, promised, data.truth, REPLAY, answer.claim)
        self._note_job(task, ran, data, index, ledger)
        return answer.claim is None

    def _judge_set(self, record: JobRecord, facts: dict[str, GroupFacts]) -> DataResult:
        """Judge what was saved, by itself or with the chain that it continues."""
        kind = record.talk.task.kind
        chain = [record] if kind.has_databases else [*self.chain, record]
        older = [*self.older, *self.chain] if kind.has_databases else self.older
        data = judge_data(chain, facts, older)
        self.findings += data.findings
        self.findings += judge_honesty(record.talk, data.truth)
        self.records[record.talk.job] = record
        self.chains[record.talk.job] = tuple(link.talk.job for link in chain)
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
        if not any(names_error(spec.answer, *answer) for answer in answers(records)):
            self.unseen.append(f"job {index + 1}: the server never answered {spec.answer}")

    def _task(self, stage: Stage, index: int, spec: JobSpec) -> Task:
        earlier = () if spec.kind.has_databases else tuple(self.sets)
        return task_of(stage, spec, self._new_folder(index, spec.kind.value), earlier)

    def _new_folder(self, index: int, name: str) -> Path:
        folder = self.folder / f"set-{index + 1}-{name}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return folder

    # --- restores --------------------------------------------------------------------------------

    def _chain_for(self, index: int, spec: JobSpec) -> tuple[int, ...]:
        """The jobs whose sets a restore starts from."""
        if spec.sets:
            return spec.sets
        before = [job for job in self.chains if job < index]
        return self.chains[max(before)] if before else ()

    def _can_restore(self, index: int, spec: JobSpec) -> bool:
        chain = self._chain_for(index, spec)
        known = [self.records[job] for job in chain if job in self.records]
        return bool(chain) and len(known) == len(chain) and all(_is_good(r) for r in known)

    def _restore(self, stage: Stage, index: int, spec: JobSpec) -> bool:
        """One restore; returns whether the client crashed."""
        chain = self._chain_for(index, spec)
        must = spec.expect is Expectation.SUCCESS and self._is_restorable(chain, spec, stage)
        expected = Expected(must, hopeless=spec.expect is Expectation.HOPELESS)
        if spec.target is None and not (spec.databases or spec.new_server):
            self.restored.add(chain)
        if spec.new_server:
            topology = bare(topology_of(self.case, self.settings.cases))
            with Stage(topology, self.settings.seed + NEW_SERVER) as other:
                ran = self._restored_chain(other, index, spec, chain, expected)
        else:
            ran = self._restored_chain(stage, index, spec, chain, expected)
        return ran.answer.claim is None

    def _is_restorable(self, chain: Sequence[int], spec: JobSpec, stage: Stage) -> bool:
        """Whether the harness itself found that the chain restores."""
        found = self.restorable.get(chain[-1], {})
        groups = spec.groups or tuple(found)
        return all(g in found and found[g].restorable_to is not None for g in groups)

    def own_restores(self) -> None:
        """Every chain that the client called good is restored once more, to empty disks."""
        # The sanity case asks whether the client can back up at all, and nothing else.
        if Capability.RESTORE not in self.settings.sut.capabilities or self.case.family == SANITY:
            return
        spoilt = {event.set for event in self.case.events if event.do in OF_SAVED}
        good = {job: _is_good(r) and job not in spoilt for job, r in self.records.items()}
        fulls = {n for n, job in enumerate(self.case.jobs) if job.kind.starts_chain}
        chains = chains_to_restore(self.chains, good, self.restored, fulls)
        topology = bare(topology_of(self.case, self.settings.cases)) if chains else None
        for index, chain in enumerate(chains, len(self.case.jobs)):
            assert topology is not None, "there are chains"
            last = self.records[chain[-1]].talk.task
            spec = JobSpec(JobKind.RESTORE, groups=last.groups, databases=last.databases)
            found = self.restorable[chain[-1]]
            possible = all(truth.restorable_to is not None for truth in found.values())
            with Stage(topology, self.settings.seed) as stage:
                expected = Expected(must_succeed=possible, own=True)
                ran = self._restored_chain(stage, index, spec, chain, expected)
            if ran.answer.claim is None:
                break

    def _restored_chain(
        self,
        stage: Stage,
        index: int,
        spec: JobSpec,
        chain: Sequence[int],
        expected: Expected,
    ) -> _Ran:
        """Have the client restore a chain, and judge it."""
        records = [self.records[job] for job in chain]
        sets = [record.talk.task.set_folder for record in records]
        groups = records[-1].talk.task.groups
        task = task_of(stage, spec, self._new_folder(index, spec.kind.value), sets, groups)
        folders = frozenset() if expected.own else self.used_folders
        start = Start.of(stage, task, records, index, folders)
        ran = self._ran(stage, index, spec, task)
        end = start.end(ran.answer.claim, ran.records, ran.writes, ran.left, expected)
        self.findings += [*end.findings, *_crash(ran.answer, index)]
        self._note_answer(spec, ran.records, index)
        promised = {group: wanted.gen_high for group, wanted in start.wanted.items()}
        shown = OWN if expected.own else spec.kind.value
        ledger = ledger_of(task.groups, promised, end.data.truth, shown, ran.answer.claim)
        self._note_job(task, ran, end.data, index, ledger)
        self.jobs[-1] = evolve(
            self.jobs[-1],
            files=end.files,
            bytes=end.bytes,
            origin=origin_of(chain, own=expected.own),
        )
        self.used_folders |= end.folders
        return ran

    # --- the result of a job ---------------------------------------------------------------------

    def _transcript(self, index: int) -> Path:
        return self.folder / f"transcript-{index + 1}.jsonl"

    def _note_job(
        self,
        task: Task,
        ran: _Ran,
        data: DataResult,
        index: int,
        ledger: dict[str, LedgerEntry],
    ) -> None:
        claim, answer = ran.answer.claim, ran.answer
        remarkable = {f.call for f in self.findings if f.job == index and f.call is not None}
        drawing = self.mishaps.drawing(index, ran.records, ran.before, ran.after, remarkable)
        job = JobResult(
            kind=task.kind.value,
            groups=task.groups,
            outcome=claim.outcome.value if claim else None,
            reason=claim.reason if claim else answer.crash,
            files=len(claim.files) if claim else 0,
            bytes=sum(file.size for file in claim.files) if claim else 0,
            calls=len(ran.records),
            restorable_to={group: truth.restorable_to for group, truth in data.truth.items()},
            seconds=round(answer.seconds, 3),
            restored={group: t.summary for group, t in data.truth.items() if t.summary},
            output=answer.output,
            trace=answer.trace,
            transcript=self._transcript(index).relative_to(self.settings.folder).as_posix(),
            steps=drawing.steps,
            logs=drawing.logs,
            ledger=ledger,
        )
        self.jobs.append(job)
        self.settings.events.emit(
            "job_ended", case=self.case.id, kind=job.kind, outcome=job.outcome, calls=job.calls
        )

    # --- the result ------------------------------------------------------------------------------

    def result(self, seconds: float) -> CaseResult:
        """What the case came to."""
        axes = sum_up(self.findings)
        faults = tuple(self.mishaps.results())
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
        sut = shlex.quote(self.settings.sut.spec)
        how = f"--case {self.case.id} --seed {self.settings.seed}{self.settings.transport.option}"
        return f"eseconform check --sut {sut} {how}"


def _is_good(record: JobRecord) -> bool:
    """Whether the client called the set good."""
    return record.talk.claims_success


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
