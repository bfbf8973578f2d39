"""Results of a run as data: what ``results.json`` holds, and all that reports are made from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from attrs import field, frozen

from eseconform.errors import UsageError
from eseconform.verdicts import Axis, AxisResult, ExitCode, Finding, Verdict, worst

SCHEMA = 1
RESULTS_NAME = "results.json"


@frozen
class JobResult:
    """One job of a case.

    Attributes:
        kind: full or incremental.
        groups: storage groups that were asked for.
        outcome: what the client claimed, or None when it crashed.
        reason: its reason, or how it crashed.
        trace: its stack when it crashed.
        files: number of files it claims.
        bytes: sum of their sizes.
        calls: number of calls in the transcript.
        restorable_to: generation by group that the chain up to this job was found to restore to.
        restored: by group, what was restored and compared, in words.
        seconds: wall time.
        output: what the client wrote to standard output and standard error.
        transcript: file name of the transcript, relative to the results.
    """

    kind: str
    groups: tuple[str, ...]
    outcome: str | None
    reason: str
    files: int
    bytes: int
    calls: int
    restorable_to: dict[str, int | None]
    seconds: float
    restored: dict[str, str] = field(factory=dict)
    output: str = ""
    trace: str = ""
    transcript: str | None = None


@frozen
class FaultResult:
    """One rule of the fault plan: its text, how often a call matched, how often it fired."""

    text: str
    matched: int
    fired: int


@frozen
class CaseResult:
    """One case.

    Attributes:
        id, title, family: from the case.
        verdict: the worst of the axes, of the faults that never fired, and of our own errors.
        axes: the four axes in order.
        requirements: ids of the rules that the case can decide.
        jobs: what was done; ends early after a crash.
        faults: the fault plan with its counts.
        note: what the verdict rests on when it is none of the axes.
        divergence: the first thing that went wrong, in words; empty when nothing did.
        reproduce: command that runs the case again.
        seconds: wall time.
    """

    id: str
    title: str
    family: str
    verdict: Verdict
    axes: tuple[AxisResult, ...]
    requirements: tuple[str, ...]
    jobs: tuple[JobResult, ...] = ()
    faults: tuple[FaultResult, ...] = ()
    note: str = ""
    divergence: str = ""
    reproduce: str = ""
    seconds: float = 0.0

    def axis(self, axis: Axis) -> AxisResult:
        """The result of one axis."""
        return next(result for result in self.axes if result.axis is axis)

    @property
    def findings(self) -> list[Finding]:
        """Every finding, axis by axis."""
        return [finding for axis in self.axes for finding in axis.findings]

    @property
    def critical(self) -> list[Finding]:
        """False successes and lost logs."""
        return [finding for finding in self.findings if finding.critical]

    @property
    def crashed(self) -> bool:
        """Whether the client raised, hung or gave no claim."""
        return any(job.outcome is None for job in self.jobs)


@frozen
class RunResult:
    """A whole run; the content of ``results.json``.

    Attributes:
        schema: version of this layout.
        version: of the harness.
        sut: the client, as named on the command line.
        suite: name of the suite, or "selection" for single cases.
        seed: the run's seed.
        selected, available: cases run, of how many.
        started: ISO 8601, UTC.
        seconds: wall time.
        exit_code: what the command line exits with.
        note: why the run ended early; empty otherwise.
        cases: in the order in which they ran, sanity cases included.
    """

    sut: str
    suite: str
    seed: int
    selected: int
    available: int
    started: str
    seconds: float
    exit_code: ExitCode
    version: str
    cases: tuple[CaseResult, ...] = field(default=())
    note: str = ""
    schema: int = SCHEMA

    @property
    def verdict(self) -> Verdict:
        """The worst of the cases."""
        return worst((case.verdict for case in self.cases), default=Verdict.SKIP)

    @property
    def critical(self) -> list[tuple[CaseResult, Finding]]:
        """Every false success and loss of logs, with its case."""
        return [(case, finding) for case in self.cases for finding in case.critical]


def to_json(run: RunResult) -> str:
    """The run as the text of ``results.json``."""
    import cattrs

    return json.dumps(cattrs.unstructure(run), indent=1, ensure_ascii=False) + "\n"


def from_json(text: str) -> RunResult:
    """Read ``results.json``.

    Raises:
        UsageError: it is no such file, or of a schema that this version does not know.
    """
    import cattrs

    try:
        plain: Any = json.loads(text)
    except ValueError as error:
        raise UsageError(f"{RESULTS_NAME}: not JSON: {error}") from None
    schema = plain.get("schema") if isinstance(plain, dict) else None
    if schema != SCHEMA:
        raise UsageError(f"{RESULTS_NAME}: schema {schema!r}; this version reads schema {SCHEMA}")
    return cattrs.structure(plain, RunResult)


def write_results(run: RunResult, folder: Path) -> Path:
    """Write ``results.json`` into a folder; returns its path."""
    path = folder / RESULTS_NAME
    path.write_text(to_json(run), encoding="utf-8")
    return path
