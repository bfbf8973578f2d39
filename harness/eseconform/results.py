"""Results of a run as data: what ``results.json`` holds, and all that reports are made from."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from attrs import field, frozen

from eseconform.errors import UsageError
from eseconform.requirements import requirements
from eseconform.sequence import GroupLogs, Step
from eseconform.transports import Transport
from eseconform.verdicts import Axis, AxisResult, ExitCode, Finding, Verdict, worst

SCHEMA = 4
OLDEST_SCHEMA = 1
"""What came after it has a default, so that older files can still be read."""
RESULTS_NAME = "results.json"
RESULTS_BYTES_MAX = 256 << 20
_PROBLEMS_SHOWN_MAX = 3


@frozen
class RuleText:
    """A rule as it was worded when the run was judged."""

    statement: str
    level: str
    evidence: str
    source: str
    link: str
    axis: str


@frozen
class LedgerEntry:
    """What is restorable of a storage group after a job.

    Attributes:
        promised: the last log generation that the chain of sets up to the job holds; None when
            the job left no set of the group.
        restorable_to: the generation that it was found to restore to; None when it was not.
        why: why not further, in words; empty when it is what was promised.
        shown_by: what showed it: "replay" (the harness restored the saved bytes), "restore" (the
            client did, as the case asked) or "own restore" (it did so after the case).
    """

    promised: int | None
    restorable_to: int | None
    why: str = ""
    shown_by: str = ""


@frozen
class JobResult:
    """One job of a case.

    Attributes:
        kind: full, copy, incremental, differential or restore.
        groups: storage groups that were asked for.
        outcome: what the client claimed, or None when it crashed.
        reason: its reason, or how it crashed.
        trace: its stack when it crashed.
        files: number of files it claims; of a restore, that it announced.
        bytes: sum of their sizes; of a restore, what it wrote.
        calls: number of calls in the transcript.
        restorable_to: generation by group that the chain up to this job was found to restore to.
        restored: by group, what was restored and compared, in words.
        seconds: wall time.
        output: what the client wrote to standard output and standard error.
        transcript: file name of the transcript, relative to the results.
        steps: the calls in short, for the drawn sequence.
        logs: what became of the closed logs, by group.
        ledger: what is restorable afterwards, by group.
        origin: for a restore: the sets that it started from, in words.
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
    steps: tuple[Step, ...] = ()
    logs: dict[str, GroupLogs] = field(factory=dict)
    ledger: dict[str, LedgerEntry] = field(factory=dict)
    origin: str = ""


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
        profile: version profile of the server.
        expected: the line of the expectations file that this verdict meets; empty otherwise.
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
    profile: str = ""
    expected: str = ""

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
        rules: the rules that the cases can decide, by id.
        broken_expectations: lines of the expectations file that broke the run, and why.
        transport: how clients reached the servers.
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
    rules: dict[str, RuleText] = field(factory=dict)
    broken_expectations: tuple[str, ...] = ()
    schema: int = SCHEMA
    transport: Transport = Transport.INPROC

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


def rule_texts(cases: Iterable[CaseResult]) -> dict[str, RuleText]:
    """The wording of every rule that the cases, or findings in them, name."""
    keys = {key for case in cases for key in case.requirements}
    keys |= {f.requirement for case in cases for f in case.findings if f.requirement}
    return {
        rule.id: RuleText(
            rule.statement,
            rule.level.value,
            rule.evidence.value,
            rule.source,
            rule.link,
            rule.axis,
        )
        for rule in requirements().values()
        if rule.id in keys
    }


def read_results(path: Path) -> RunResult:
    """Read a ``results.json`` from disk.

    Raises:
        UsageError: it is missing, not readable, or as :func:`from_json`.
    """
    try:
        if path.stat().st_size > RESULTS_BYTES_MAX:
            raise UsageError(
                f"{path}: larger than {RESULTS_BYTES_MAX >> 20} MiB: no {RESULTS_NAME}"
            )
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path}: damaged, or no {RESULTS_NAME}: not UTF-8 text") from None
    return from_json(text, str(path))


def from_json(text: str, name: str = RESULTS_NAME) -> RunResult:
    """Read the text of a ``results.json``; ``name`` stands in front of what is wrong with it.

    Raises:
        UsageError: it is no such file, is damaged, or of a schema that this version does not know.
    """
    import cattrs
    from cattrs.errors import BaseValidationError

    try:
        plain: Any = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{name}: damaged, or no {RESULTS_NAME}: not JSON: {error}") from None
    schema = plain.get("schema") if isinstance(plain, dict) else None
    if not isinstance(schema, int) or isinstance(schema, bool) or schema < OLDEST_SCHEMA:
        raise UsageError(f"{name}: no {RESULTS_NAME}: its schema is {schema!r}")
    if schema > SCHEMA:
        raise UsageError(
            f"{name}: {RESULTS_NAME} of schema {schema}, written by a newer eseconform; "
            f"this one reads up to {SCHEMA}: update it"
        )
    try:
        run = cattrs.structure(plain, RunResult)
    except BaseValidationError as error:
        problems = "; ".join(cattrs.transform_error(error)[:_PROBLEMS_SHOWN_MAX])
        raise UsageError(f"{name}: damaged {RESULTS_NAME}: {problems}") from None
    _check(run, name)
    return run


def _no_constant(word: str) -> float:
    raise ValueError(f"{word} is no number")


def _check(run: RunResult, name: str) -> None:
    """What the types alone don't say."""
    for case in run.cases:
        if tuple(result.axis for result in case.axes) != tuple(Axis):
            raise UsageError(f"{name}: damaged {RESULTS_NAME}: case {case.id!r} lacks an axis")
    durations = [run.seconds, *(case.seconds for case in run.cases)]
    durations += [job.seconds for case in run.cases for job in case.jobs]
    if not all(math.isfinite(seconds) and seconds >= 0 for seconds in durations):
        raise UsageError(f"{name}: damaged {RESULTS_NAME}: a duration is no positive number")


def write_results(run: RunResult, folder: Path) -> Path:
    """Write ``results.json`` into a folder; returns its path."""
    path = folder / RESULTS_NAME
    path.write_text(to_json(run), encoding="utf-8")
    return path
