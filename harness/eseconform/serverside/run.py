"""Runs checks against a server: a fresh server each, one result in the form of a case's."""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from fnmatch import fnmatchcase

import eseconform
from eseback.errors import EseBackupError
from eseconform.errors import HarnessError, UsageError
from eseconform.events import EventStream
from eseconform.results import CaseResult, RuleText, RunResult
from eseconform.serverside.bench import Bench, Check, CheckOver
from eseconform.serverside.content import CONTENT_CHECKS
from eseconform.serverside.ordering import ORDER_CHECKS
from eseconform.serverside.restoreorder import RESTORE_ORDER_CHECKS
from eseconform.serverside.restoring import RESTORE_CHECKS
from eseconform.serverside.rules import server_rule_texts, server_rules
from eseconform.serverside.sharing import SHARING_CHECKS
from eseconform.serverside.target import Target, load_target
from eseconform.serverside.truncating import TRUNCATION_CHECKS
from eseconform.transports import Transport
from eseconform.verdicts import Axis, Finding, Verdict, exit_code, sum_up, worst

CHECKS: tuple[Check, ...] = (
    *ORDER_CHECKS,
    *SHARING_CHECKS,
    *CONTENT_CHECKS,
    *TRUNCATION_CHECKS,
    *RESTORE_CHECKS,
    *RESTORE_ORDER_CHECKS,
)
SUITE = "server"
SELECTION = "selection"
_TRACE_LINES = 8


def chosen_checks(patterns: Sequence[str] = ()) -> tuple[Check, ...]:
    """The checks whose id matches a pattern; all without one.

    Raises:
        UsageError: a pattern matches nothing.
    """
    for pattern in patterns:
        if not any(fnmatchcase(check.id, pattern) for check in CHECKS):
            raise UsageError(
                f"--case {pattern!r} matches none of {len(CHECKS)} checks of servers; "
                "`eseconform list --servers` names them"
            )
    return tuple(
        check for check in CHECKS if not patterns or any(fnmatchcase(check.id, p) for p in patterns)
    )


def run_check(check: Check, target: Target, seed: int) -> CaseResult:
    """Run one check on a fresh server; nothing that the server does ends the run."""
    started = time.monotonic()
    findings: list[Finding] = []
    note, missing = "", ""
    server = target.start(seed)
    try:
        absent = sorted(check.needs - server.abilities)
        missing = f"the server does not offer: {', '.join(absent)}" if absent else ""
        bench = Bench(server, target.annotation, findings)
        if not missing:
            note = _run_body(check, bench)
    finally:
        server.close()
    axes = sum_up(findings)
    verdict = worst(axis.verdict for axis in axes)
    if missing:
        verdict, note = Verdict.NOT_APPLICABLE, missing
    bad = [f for f in findings if f.verdict.severity >= Verdict.WARN.severity]
    first = max(bad, key=lambda f: f.verdict.severity).sentence if bad else ""
    return CaseResult(
        id=check.id,
        title=check.title,
        family=check.family,
        verdict=verdict,
        axes=axes,
        requirements=check.rules,
        note=note,
        divergence=first,
        reproduce=f"eseconform check --server {target.spec} --case {check.id} --seed {seed}"
        f"{target.transport.option}",
        seconds=round(time.monotonic() - started, 3),
    )


def _run_body(check: Check, bench: Bench) -> str:
    """Do the check; what the server raised beside its errors, as text."""
    try:
        check.body(bench)
    except CheckOver:
        pass
    except EseBackupError as error:
        bench.broke(check.rules[0], f"a call by the book fails: {error}")
    except HarnessError:
        raise
    except Exception as error:
        text = f"the server breaks off with {type(error).__name__}: {error}"
        axis = Axis(server_rules()[check.rules[0]].axis)
        bench.findings.append(Finding(axis, Verdict.CRASH, text))
        return "".join(traceback.format_exc().splitlines(keepends=True)[-_TRACE_LINES:])
    return ""


def run_checks(
    checks: Sequence[Check],
    target: Target,
    seed: int,
    events: EventStream,
    jobs: int = 1,
) -> RunResult:
    """Run checks, on several processes with more than one of ``jobs``; the results are the same."""
    began, started = datetime.now(UTC), time.monotonic()
    events.emit(
        "run_started",
        sut=target.spec,
        suite=SUITE,
        seed=seed,
        transport=target.transport.value,
        selected=len(checks),
        available=len(CHECKS),
    )
    results = []
    for result in _results(checks, target, seed, events, jobs):
        results.append(result)
        events.emit("case_ended", case=result.id, verdict=result.verdict.value)
    code = exit_code(result.verdict for result in results)
    run = RunResult(
        sut=target.spec,
        suite=SUITE if len(checks) == len(CHECKS) else SELECTION,
        seed=seed,
        selected=len(checks),
        available=len(CHECKS),
        started=began.isoformat(timespec="seconds"),
        seconds=round(time.monotonic() - started, 3),
        exit_code=code,
        version=eseconform.__version__,
        cases=tuple(results),
        rules=_rules_of(results),
        transport=target.transport,
    )
    events.emit("run_ended", verdict=run.verdict.value, exit_code=int(code), note="")
    return run


def _results(
    checks: Sequence[Check], target: Target, seed: int, events: EventStream, jobs: int
) -> Iterator[CaseResult]:
    if jobs > 1:
        with ProcessPoolExecutor(jobs) as pool:
            keys, count = [check.id for check in checks], len(checks)
            specs, transports = [target.spec] * count, [target.transport] * count
            yield from pool.map(run_named, keys, specs, [seed] * count, transports)
        return
    for check in checks:
        events.emit("case_started", case=check.id)
        yield run_check(check, target, seed)


def run_named(
    key: str, spec: str, seed: int, transport: Transport = Transport.INPROC
) -> CaseResult:
    """For another process: check and server go there by name."""
    check = next(check for check in CHECKS if check.id == key)
    return run_check(check, load_target(spec, transport), seed)


def _rules_of(results: Iterable[CaseResult]) -> dict[str, RuleText]:
    keys = {key for result in results for key in result.requirements}
    keys |= {f.requirement for r in results for f in r.findings if f.requirement}
    return {key: text for key, text in server_rule_texts().items() if key in keys}
