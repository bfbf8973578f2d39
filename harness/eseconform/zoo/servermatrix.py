"""The kill matrix of servers: every broken server against every check, and the plain simulator.

Every mutant must be failed on the rule that it breaks; the plain simulator must pass everything;
and every check must fail a mutant for the very rule that it breaks: a check that only stumbles over
servers whose bug is elsewhere shows nothing of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor

from attrs import frozen

from eseconform.results import CaseResult
from eseconform.serverside.bench import Check
from eseconform.serverside.run import CHECKS, run_check, run_named
from eseconform.serverside.target import load_target
from eseconform.verdicts import Verdict
from eseconform.zoo.servers import SERVER_MUTANTS, ServerMutant

PLAIN = "inproc"
BAD = (Verdict.FAIL, Verdict.CRASH)


@frozen
class ServerRow:
    """One server against all checks; ``mutant`` is None for the plain simulator."""

    mutant: ServerMutant | None
    results: tuple[CaseResult, ...]

    @property
    def name(self) -> str:
        """What to give to ``--server``."""
        return PLAIN if self.mutant is None else self.mutant.spec

    @property
    def caught_by(self) -> tuple[CaseResult, ...]:
        """The checks that failed it, for whatever rule."""
        return tuple(result for result in self.results if result.verdict in BAD)

    @property
    def caught_rightly_by(self) -> tuple[CaseResult, ...]:
        """The checks that failed it for the rule that it breaks."""
        return tuple(result for result in self.results if self.failed_rightly(result))

    def failed_rightly(self, result: CaseResult) -> bool:
        """Whether a check failed it for the rule that it breaks."""
        rule = None if self.mutant is None else self.mutant.rule
        return rule is not None and any(
            f.requirement == rule and f.verdict is Verdict.FAIL for f in result.findings
        )

    @property
    def problem(self) -> str:
        """What is wrong with the judgement; empty when nothing is."""
        if self.mutant is None:
            blamed = [r.id for r in self.results if r.verdict is not Verdict.PASS]
            return f"the simulator does not pass {', '.join(blamed)}" if blamed else ""
        if not self.caught_by:
            return "survives: no check finds it"
        if not self.caught_rightly_by:
            return f"is found, but never by the rule {self.mutant.rule}"
        return ""


@frozen
class ServerMatrix:
    """Servers against checks; ``whole``: all servers, so that every check has to find one."""

    checks: tuple[Check, ...]
    rows: tuple[ServerRow, ...]
    whole: bool = True

    @property
    def idle_checks(self) -> tuple[str, ...]:
        """Checks that fail no mutant for the rule that it breaks."""
        return tuple(
            check.id
            for index, check in enumerate(self.checks)
            if not any(row.failed_rightly(row.results[index]) for row in self.rows)
        )

    def problems(self) -> list[str]:
        """Everything that shows the checks to be wrong; empty when they are right."""
        found = [f"{row.name}: {row.problem}" for row in self.rows if row.problem]
        if self.whole:
            found += [f"check {check}: finds no mutant by its rule" for check in self.idle_checks]
        return found


def run_server_matrix(
    *,
    seed: int,
    mutants: Sequence[ServerMutant] = SERVER_MUTANTS,
    checks: Sequence[Check] = CHECKS,
    jobs: int = 1,
    whole: bool = True,
) -> ServerMatrix:
    """Run the plain simulator and the mutants through checks, on one or several processes."""
    servers: list[ServerMutant | None] = [None, *mutants]
    work = [(check.id, mutant.spec if mutant else PLAIN) for mutant in servers for check in checks]
    if jobs > 1:
        with ProcessPoolExecutor(jobs) as pool:
            keys, specs = zip(*work, strict=True)
            results = list(pool.map(run_named, keys, specs, [seed] * len(work)))
    else:
        by_id = {check.id: check for check in checks}
        results = [run_check(by_id[key], load_target(spec), seed) for key, spec in work]
    size = len(checks)
    return ServerMatrix(
        tuple(checks),
        tuple(
            ServerRow(server, tuple(results[index * size : (index + 1) * size]))
            for index, server in enumerate(servers)
        ),
        whole,
    )
