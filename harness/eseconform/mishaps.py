"""What goes wrong in a case: its fault plan and its events, job by job, with their counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from attrs import define, field

from eseconform.cases import Case, FaultSpec
from eseconform.incidents import Incidents
from eseconform.results import FaultResult
from eseconform.sequence import Drawing, draw
from eseconform.stage import Stage
from eseconform.task import SavedFile
from esesim.faults import FaultPlan, FaultRule
from esesim.transcript import CallRecord


@define
class Mishaps:
    """The faults and events of a case.

    Attributes:
        case: whose they are.
        last: finds out which match of a fault is the last.
    """

    case: Case
    last: Callable[[FaultSpec], int]
    _plans: dict[int, FaultPlan] = field(factory=dict, init=False)
    _incidents: dict[int, Incidents] = field(factory=dict, init=False)

    def before_job(
        self, stage: Stage, job: int, saved: Callable[[int], Sequence[SavedFile]]
    ) -> None:
        """Let happen what happens before a job begins."""
        events = [event for event in self.case.events if event.job == job]
        self._incidents[job] = Incidents(stage, events, saved)
        self._incidents[job].before_job()

    def incidents_of(self, job: int) -> Incidents | None:
        """The events of a job; None for one that the case does not have."""
        return self._incidents.get(job)

    def plan_of(self, job: int) -> FaultPlan:
        """The faults of one job; the plan keeps the counts."""
        self._plans[job] = FaultPlan(self._rule(fault) for fault in self._faults_of(job))
        return self._plans[job]

    def _faults_of(self, job: int) -> list[FaultSpec]:
        return [fault for fault in self.case.faults if fault.job == job]

    def _rule(self, fault: FaultSpec) -> FaultRule:
        return fault.rule() if fault.nth else fault.rule(self.last(fault))

    def results(self) -> list[FaultResult]:
        """Every fault and event of the case, in the order of the jobs, with its counts."""
        jobs = range(len(self.case.jobs))
        return [
            *(result for job in jobs for result in self._fault_results(job)),
            *(result for job in jobs for result in self._event_results(job)),
        ]

    def _fault_results(self, job: int) -> Iterator[FaultResult]:
        faults = self._faults_of(job)
        plan = self._plans.get(job)
        counts = [(c.matched, c.fired) for c in plan.counts] if plan else [(0, 0)] * len(faults)
        for fault, (matched, fired) in zip(faults, counts, strict=True):
            yield FaultResult(fault.text, matched, fired)

    def _event_results(self, job: int) -> Iterator[FaultResult]:
        known = self._incidents.get(job)
        for event in (event for event in self.case.events if event.job == job):
            count = next((c for c in known.counts if c.event is event), None) if known else None
            matched, fired = (count.matched, count.fired) if count is not None else (0, 0)
            yield FaultResult(event.text, matched, fired)

    def drawing(
        self,
        job: int,
        records: Sequence[CallRecord],
        before: dict[str, frozenset[int]],
        after: dict[str, frozenset[int]],
        remarkable: set[int],
    ) -> Drawing:
        """The calls of a job in short, with what went wrong at which; see :func:`draw`."""
        faults = zip(self._plans[job].counts, self._faults_of(job), strict=True)
        known = self._incidents.get(job)
        return draw(
            records,
            before,
            after,
            faults=[(count.rule, fault.text) for count, fault in faults],
            incidents=[
                (count.event.call, count.event.nth, count.event.text)
                for count in (known.counts if known is not None else ())
                if count.fired
            ],
            remarkable=remarkable,
        )
