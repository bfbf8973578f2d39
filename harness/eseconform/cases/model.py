"""Cases as data: what server, what work goes on, which jobs, which faults, what may come of it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from attrs import evolve, field, frozen

from eseback.errors import ROW_BY_NAME
from eseconform.task import JobKind
from esesim.faults import FaultAction, FaultRule, When


class Expectation(StrEnum):
    """What a conformant client can make of a job."""

    SUCCESS = "success"
    """Nothing stands in the way: a client that reports a failure has failed."""
    ANY = "any"
    """A client may get over it or give up; the data decide whether it is honest."""


@frozen
class JobSpec:
    """One job of a case.

    Attributes:
        kind: full or incremental; an incremental continues the chain of the sets before it.
        groups: names of the storage groups to save; empty for all of the server.
        steps_before: steps of the workload in each group before the job starts.
        expect: what may come of it.
    """

    kind: JobKind
    groups: tuple[str, ...] = ()
    steps_before: int = 0
    expect: Expectation = Expectation.SUCCESS


@frozen
class FaultSpec:
    """One rule of a case's fault plan.

    Attributes:
        action: what happens.
        call: method of BackupApi at which it happens.
        job: index of the job in which the rule is armed.
        group: storage group that the call must be about; None for any.
        file: pattern for the last part of the file name, ``*.edb``; None for any.
        nth: it happens at the nth matching call, counted from 1,
        times: and at so many in all; 0 for all after it.
        when: before the call takes effect, or after.
        error: for ``hresult``: name of the error in the table of errors.
    """

    action: FaultAction
    call: str
    job: int = 0
    group: str | None = None
    file: str | None = None
    nth: int = 1
    times: int = 1
    when: When = When.BEFORE
    error: str | None = None

    def rule(self) -> FaultRule:
        """The rule as the simulator takes it.

        Raises:
            ValueError: the rule could never do what it says; KeyError: no such error.
        """
        return FaultRule(
            action=self.action,
            call=self.call,
            group=self.group,
            file=self.file,
            nth=self.nth,
            times=self.times or None,
            when=self.when,
            hresult=None if self.error is None else ROW_BY_NAME[self.error].hresult,
        )

    @property
    def text(self) -> str:
        """The rule in words, for reports."""
        what = self.error or self.action.value.replace("_", " ")
        about = f" of {self.file}" if self.file else ""
        many = (
            "" if self.times == 1 else " and all after it" if not self.times else f" x{self.times}"
        )
        late = ", after its effect" if self.when is When.AFTER else ""
        return f"{what} at {self.call}{about}, match {self.nth}{many}{late}"


@frozen
class Case:
    """A situation that a client is put into.

    Attributes:
        id: name on the command line.
        title: what it is about, in one line.
        family: what kind of case it is, for grouping.
        topology: one of this package's topologies, or one that is packaged with the simulator.
        requirements: ids of the rules that it can decide.
        jobs: what the client is asked to do, one after the other, on one server.
        suites: names of the suites that it belongs to.
        faults: what goes wrong.
        seconds_max: time limit of one job.
    """

    id: str
    title: str
    family: str
    topology: str
    requirements: tuple[str, ...]
    jobs: tuple[JobSpec, ...]
    suites: tuple[str, ...] = ("default",)
    faults: tuple[FaultSpec, ...] = field(default=())
    seconds_max: float = 60.0

    def renamed(self, suffix: str) -> Case:
        """The same case under another id, for one that is run more than once."""
        return evolve(self, id=f"{self.id}-{suffix}")


@frozen
class CaseCatalogue:
    """All cases by id, in order, and the texts of their topologies by name."""

    cases: Mapping[str, Case]
    topologies: Mapping[str, str]

    @property
    def suites(self) -> tuple[str, ...]:
        """Names of all suites."""
        return tuple(sorted({suite for case in self.cases.values() for suite in case.suites}))

    def deciding(self, requirement: str) -> list[Case]:
        """The cases that can decide a requirement."""
        return [case for case in self.cases.values() if requirement in case.requirements]
