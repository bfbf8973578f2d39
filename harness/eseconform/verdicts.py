"""Verdicts, the four axes, findings, and how the worst of them is chosen."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum, IntEnum, StrEnum

from attrs import frozen

from eseconform.requirements import Requirement


class Verdict(Enum):
    """What a case or an axis came to. The order of definition is the order of severity."""

    SKIP = "SKIP"
    """Deselected."""
    NOT_APPLICABLE = "N/A"
    """Needs a capability that the client did not declare."""
    PASS = "PASS"
    INFO = "INFO"
    """Implementation-defined behaviour, told in words."""
    WARN = "WARN"
    """A SHOULD was missed, or a MUST whose evidence is too weak to fail anybody."""
    INCONCLUSIVE = "INCONCLUSIVE"
    """The situation that the case is about never arose."""
    FAIL = "FAIL"
    CRASH = "CRASH"
    """The client raised, hung, or did not answer with a claim."""
    ERROR = "ERROR"
    """The harness or the simulator failed; nothing is said about the client."""

    @property
    def severity(self) -> int:
        """Rank of the verdict; higher is worse."""
        return _SEVERITY[self]

    @property
    def is_good(self) -> bool:
        """True when the verdict lets a run end with exit code 0."""
        return self.severity <= Verdict.WARN.severity


_SEVERITY = {verdict: rank for rank, verdict in enumerate(Verdict)}


def worst(verdicts: Iterable[Verdict], default: Verdict = Verdict.PASS) -> Verdict:
    """The most severe of the verdicts, or the default when there is none."""
    return max(verdicts, key=lambda verdict: verdict.severity, default=default)


class Axis(StrEnum):
    """The four questions that every case asks."""

    PROTOCOL = "protocol"
    DATA = "data"
    TEARDOWN = "teardown"
    HONESTY = "honesty"


@frozen
class Finding:
    """One observation of a judge.

    Attributes:
        axis: which of the four questions it answers.
        verdict: what the axis comes to because of it.
        requirement: id of the requirement it is about, or None for an outcome that no rule covers.
        text: what happened, in words, for somebody who has not read this code.
        call: number of the call in the transcript, or None.
        job: index of the job within the case, or None.
        critical: a false success or the loss of logs; reported on top of everything.
    """

    axis: Axis
    verdict: Verdict
    text: str
    requirement: str | None = None
    call: int | None = None
    job: int | None = None
    critical: bool = False

    @property
    def sentence(self) -> str:
        """The finding as one line: call, what happened, which rule."""
        where = f"call {self.call}: " if self.call is not None else ""
        rule = f" ({self.requirement})" if self.requirement else ""
        return f"{where}{self.text}{rule}"


def broken(
    requirement: Requirement,
    text: str,
    *,
    call: int | None = None,
    job: int | None = None,
    critical: bool = False,
) -> Finding:
    """A finding that a requirement was not met; how severe that is follows from the requirement.

    On the data and honesty axes verdicts are measured facts. On the others only a MUST that is
    documented or taken from the engine's source can fail a client.
    """
    return Finding(
        axis=Axis(requirement.axis),
        verdict=Verdict(requirement.verdict_when_broken),
        text=text,
        requirement=requirement.id,
        call=call,
        job=job,
        critical=critical,
    )


@frozen
class AxisResult:
    """Verdict of one axis of one case, with what led to it."""

    axis: Axis
    verdict: Verdict
    findings: tuple[Finding, ...] = ()


def sum_up(findings: Iterable[Finding]) -> tuple[AxisResult, ...]:
    """Group findings by axis, worst first within each; every axis is present."""
    everything = list(findings)
    results = []
    for axis in Axis:
        mine = [f for f in everything if f.axis is axis]
        mine.sort(key=lambda f: (-f.verdict.severity, f.job or 0, f.call or 0))
        results.append(AxisResult(axis, worst(f.verdict for f in mine), tuple(mine)))
    return tuple(results)


class ExitCode(IntEnum):
    """Exit codes of the command line; never a count."""

    OK = 0
    NOT_CONFORMANT = 1
    INTERRUPTED = 2
    OUR_ERROR = 3
    USAGE = 4
    NOTHING_RAN = 5
    INCONCLUSIVE = 6
    SUT_UNUSABLE = 7


def exit_code(verdicts: Iterable[Verdict]) -> ExitCode:
    """The exit code that a finished run of cases with these verdicts has earned.

    Our own error weighs more than a failed case (nothing in such a run is to be trusted), a failed
    case more than an inconclusive one.
    """
    seen = set(verdicts)
    if Verdict.ERROR in seen:
        return ExitCode.OUR_ERROR
    if seen & {Verdict.FAIL, Verdict.CRASH}:
        return ExitCode.NOT_CONFORMANT
    if Verdict.INCONCLUSIVE in seen:
        return ExitCode.INCONCLUSIVE
    if not seen - {Verdict.SKIP, Verdict.NOT_APPLICABLE}:
        return ExitCode.NOTHING_RAN
    return ExitCode.OK
