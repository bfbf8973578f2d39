"""A whole run: which cases, in which order, and what it comes to."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from fnmatch import fnmatchcase

from attrs import define, field, frozen

import eseconform
from eseconform.cases import Case, CaseCatalogue
from eseconform.errors import UsageError
from eseconform.processes import results_of_processes
from eseconform.results import CaseResult, RunResult, rule_texts
from eseconform.runner import Settings, run_case
from eseconform.task import Capability, JobKind
from eseconform.verdicts import ExitCode, exit_code

SANITY = "sanity"
SELECTION = "selection"


@frozen
class Plan:
    """What a run consists of.

    Attributes:
        suite: name of the suite, or ``selection`` for cases picked one by one.
        cases: the cases, in order; the sanity case comes first and last on its own.
        available: how many cases there are in all.
    """

    suite: str
    cases: tuple[Case, ...]
    available: int


def make_plan(catalogue: CaseCatalogue, suite: str, patterns: Sequence[str] = ()) -> Plan:
    """Choose cases: those that match a pattern (id, ``drop-*``), else those of a suite.

    Raises:
        UsageError: the suite does not exist, or a pattern matches nothing.
    """
    everything = tuple(catalogue.cases.values())
    if not patterns:
        if suite not in catalogue.suites:
            raise UsageError(f"there is no suite {suite!r}; known: {', '.join(catalogue.suites)}")
        return Plan(suite, tuple(c for c in everything if suite in c.suites), len(everything))
    for pattern in patterns:
        if not any(fnmatchcase(case.id, pattern) for case in everything):
            raise UsageError(
                f"--case {pattern!r} matches none of {len(everything)} cases; "
                "`eseconform list` names them"
            )
    chosen = tuple(c for c in everything if any(fnmatchcase(c.id, p) for p in patterns))
    return Plan(SELECTION, chosen, len(everything))


def run_plan(plan: Plan, settings: Settings, jobs: int = 1) -> RunResult:
    """Run a plan to its end, or to where the client turns out to be dead or the user gives up.

    With more than one of ``jobs`` the cases run in so many processes, each of which loads the
    client anew; the results are those of one process, in the same order.
    """
    run = _Run(plan, settings, jobs)
    settings.events.emit(
        "run_started",
        sut=settings.sut.spec,
        suite=plan.suite,
        seed=settings.seed,
        transport=settings.transport.value,
        selected=len(plan.cases),
        available=plan.available,
    )
    try:
        run.everything()
    except KeyboardInterrupt:
        run.stop(ExitCode.INTERRUPTED, "interrupted: the cases after the last one did not run")
    result = run.result()
    settings.events.emit(
        "run_ended", verdict=result.verdict.value, exit_code=int(result.exit_code), note=run.note
    )
    return result


@define
class _Run:
    plan: Plan
    settings: Settings
    jobs: int = 1
    results: list[CaseResult] = field(factory=list)
    judged: int = 0
    stopped: ExitCode | None = None
    note: str = ""
    began: datetime = field(factory=lambda: datetime.now(UTC))
    started: float = field(factory=time.monotonic)

    def everything(self) -> None:
        """Sanity, the cases, sanity; and sanity after each crash, to see whether to go on."""
        if not self._sane("first", "the client can't do the simplest backup"):
            return
        for case, result in self._results():
            self.results.append(result)
            self.judged += 1
            if result.crashed and not self._sane(
                f"after-{case.id}", f"the client is dead since {case.id}"
            ):
                return
        self._sane("last", "the client is dead at the end")
        self._report_unused()

    def _results(self) -> Iterator[tuple[Case, CaseResult]]:
        """Each case with its result, in order."""
        if self.jobs == 1:
            yield from ((case, run_case(case, self.settings)) for case in self.plan.cases)
        else:
            yield from zip(
                self.plan.cases,
                results_of_processes(self.plan.cases, self.settings, self.jobs),
                strict=True,
            )

    def _report_unused(self) -> None:
        """A capability that is declared and that no case asked for has been shown by nobody."""
        asked = {need for case in self.plan.cases for need in case.needs}
        # What a case saves is restored, too, where the client can.
        done = {job.kind for case in self.results for job in case.jobs}
        asked |= {Capability.RESTORE} if JobKind.RESTORE.value in done else set()
        unused = sorted((self.settings.sut.declared or frozenset()) - asked)
        if unused and self.judged:
            self.note = f"declared by the client, but exercised by no case: {', '.join(unused)}"

    def _sane(self, when: str, verdict: str) -> bool:
        """Run the sanity case; a crash there ends the run."""
        case = self.settings.cases.cases[SANITY].renamed(when)
        result = run_case(case, self.settings)
        self.results.append(result)
        if result.crashed:
            self.stop(ExitCode.SUT_UNUSABLE, f"{verdict}: {result.divergence}")
        return not result.crashed

    def stop(self, code: ExitCode, note: str) -> None:
        """End the run early."""
        self.stopped, self.note = code, note

    def result(self) -> RunResult:
        """What the run came to so far."""
        code = exit_code(case.verdict for case in self.results)
        if code is ExitCode.OK and not self.judged:
            code = ExitCode.NOTHING_RAN  # the sanity case alone is no evidence of conformance
        return RunResult(
            sut=self.settings.sut.spec,
            suite=self.plan.suite,
            seed=self.settings.seed,
            selected=len(self.plan.cases),
            available=self.plan.available,
            started=self.began.isoformat(timespec="seconds"),
            seconds=round(time.monotonic() - self.started, 3),
            exit_code=code if self.stopped is None else self.stopped,
            version=eseconform.__version__,
            cases=tuple(self.results),
            note=self.note,
            rules=rule_texts(self.results),
            transport=self.settings.transport,
        )
