"""How often a client makes each call when nothing disturbs it: what "the last read" is.

A fault at the last of several calls needs to know which one that is. The client is run once
through the same jobs on the same server, without faults; up to the fault the disturbed run is the
same, call by call, for a client that does the same twice.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

from attrs import evolve, frozen

from eseconform.cases import Case, CaseCatalogue, EventSpec, FaultSpec, JobSpec, topology_of
from eseconform.incidents import Incidents
from eseconform.restorestage import RecordedFiles
from eseconform.sequence.facts import files_of
from eseconform.stage import Connection, Stage
from eseconform.sut import Sut
from eseconform.tasks import task_of
from eseconform.transports import Transport
from esesim.faults import FaultPlan
from esesim.topology import Topology

RUNS_KEPT = 16


@frozen
class Call:
    """A call by what a fault rule looks at."""

    method: str
    group: str | None
    file: str | None


@frozen
class _Question:
    sut: Sut
    topology: Topology
    jobs: tuple[JobSpec, ...]
    events: tuple[EventSpec, ...]
    seed: int
    seconds_max: float
    transport: Transport


def last_match(
    fault: FaultSpec,
    case: Case,
    cases: CaseCatalogue,
    sut: Sut,
    seed: int,
    transport: Transport = Transport.INPROC,
) -> int:
    """The number of the last call that a fault of a case matches; 0 when none does."""
    topology = topology_of(case, cases)
    jobs = case.jobs[: fault.job + 1]
    events = tuple(e for e in case.events if e.call is None and e.job <= fault.job)
    question = _Question(sut, topology, jobs, events, seed, case.seconds_max, transport)
    rule = fault.rule()
    calls = _calls_of_last_job(question)
    return sum(rule.matches(call.method, call.group, call.file) for call in calls)


@lru_cache(maxsize=RUNS_KEPT)
def _calls_of_last_job(question: _Question) -> Sequence[Call]:
    calls: list[Call] = []
    with (
        TemporaryDirectory(prefix="eseconform-") as folder,
        Stage(question.topology, question.seed) as stage,
    ):
        sets: list[Path] = []
        for index, spec in enumerate(question.jobs):
            stage.work(spec.steps_before)
            events = [event for event in question.events if event.job == index]
            Incidents(stage, events).before_job()
            if spec.kind.starts_chain:
                sets = []
            target = Path(folder) / f"set-{index + 1}"
            target.mkdir()
            task = task_of(stage, spec, target, () if spec.kind.has_databases else sets)
            transcript = Path(folder) / f"transcript-{index + 1}.jsonl"
            plan, transport = FaultPlan([]), question.transport
            connection = Connection.open(stage, plan, transcript, transport=transport)
            if not spec.kind.is_backup:
                task = evolve(task, files=RecordedFiles(stage, connection.gate))
            try:
                connection.run(question.sut, task, question.seconds_max)
                records = connection.records()
            finally:
                connection.close()
            files = files_of(records)
            calls = [
                Call(record.method, record.group, file)
                for record, file in zip(records, files, strict=True)
            ]
            if spec.kind.joins_chain:
                sets.append(target)
            else:
                shutil.rmtree(target)
    return tuple(calls)
