"""The kill matrix: every client of the zoo against every case, and whether the harness did its
work.

Every mutant must be caught by a case, on the axis where its bug is; no case may fail a client that
has none; and a case that catches no mutant is of no use.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from attrs import frozen

from eseconform.cases import Case, catalogue
from eseconform.events import EventStream
from eseconform.results import CaseResult
from eseconform.runner import Settings, run_case
from eseconform.sut import Sut
from eseconform.verdicts import Axis, Verdict, sum_up
from eseconform.zoo.specimens import SPECIMENS, Specimen

BAD = (Verdict.FAIL, Verdict.CRASH)
SENTENCES_MAX = 2


@frozen
class Row:
    """One client against all cases.

    Attributes:
        specimen: the client.
        results: one result for each case, in the order of the cases.
    """

    specimen: Specimen
    results: tuple[CaseResult, ...]

    def axes_failed(self, result: CaseResult) -> tuple[Axis, ...]:
        """The axes on which a case caught the client."""
        return tuple(axis.axis for axis in result.axes if axis.verdict in BAD)

    @property
    def caught_by(self) -> tuple[CaseResult, ...]:
        """The cases that caught the client, on whatever axis."""
        return tuple(result for result in self.results if result.verdict in BAD)

    @property
    def caught_rightly_by(self) -> tuple[CaseResult, ...]:
        """The cases that caught it on its own axis."""
        axis = self.specimen.axis
        return tuple(result for result in self.results if axis in self.axes_failed(result))

    @property
    def sentence(self) -> str:
        """What the first case that caught it says: its two first findings on the right axis."""
        axis = self.specimen.axis
        if axis is None or not self.caught_rightly_by:
            return next((result.divergence for result in self.caught_by), "")
        by_rule: dict[str | None, str] = {}
        for finding in self.caught_rightly_by[0].axis(axis).findings:
            by_rule.setdefault(finding.requirement, finding.sentence)
        return "; ".join(list(by_rule.values())[:SENTENCES_MAX])

    @property
    def problem(self) -> str:
        """What is wrong with the harness's judgement; empty when nothing is."""
        errors = [r.id for r in self.results if r.verdict is Verdict.ERROR]
        if errors:
            return f"the harness failed in {', '.join(errors)}"
        if self.specimen.axis is None:
            missed = [r.id for r in self.results if r.verdict is Verdict.NOT_APPLICABLE]
            if missed:
                return f"a correct client lacks what is asked for in {', '.join(missed)}"
            blamed = [r.id for r in self.results if not r.verdict.is_good]
            return f"a correct client is blamed in {', '.join(blamed)}" if blamed else ""
        if not self.caught_by:
            return "survives: no case catches it"
        if not self.caught_rightly_by:
            return f"is caught, but never on the axis {self.specimen.axis.value}"
        return ""


@frozen
class Matrix:
    """Clients against cases.

    Attributes:
        cases: the cases.
        rows: one for each client.
        whole: all clients are there, so that every case has to catch a mutant.
    """

    cases: tuple[Case, ...]
    rows: tuple[Row, ...]
    whole: bool = True

    @property
    def idle_cases(self) -> tuple[str, ...]:
        """Cases that catch no mutant."""
        return tuple(
            case.id
            for index, case in enumerate(self.cases)
            if not any(row.results[index].verdict in BAD for row in self.rows)
        )

    def problems(self) -> list[str]:
        """Everything that shows the harness to be wrong; empty when it is right."""
        found = [f"{row.specimen.name}: {row.problem}" for row in self.rows if row.problem]
        if self.whole:
            found += [f"case {case}: catches no mutant" for case in self.idle_cases]
        return found


def run_row(specimen: Specimen, cases: Sequence[Case], seed: int) -> Row:
    """Run one client through cases, leaving nothing behind."""
    with tempfile.TemporaryDirectory(prefix="eseconform-zoo-") as folder:
        settings = Settings(
            sut=Sut(specimen.sut, specimen),
            cases=catalogue(),
            seed=seed,
            folder=Path(folder),
            events=EventStream(),
        )
        return Row(
            specimen,
            tuple(
                run_case(case, settings) if specimen.meets(case) else left_out(case)
                for case in cases
            ),
        )


def left_out(case: Case) -> CaseResult:
    """The result of a case that a client is not put before."""
    return CaseResult(
        id=case.id,
        title=case.title,
        family=case.family,
        verdict=Verdict.SKIP,
        axes=sum_up(()),
        requirements=case.requirements,
    )


def run_matrix(
    cases: Sequence[Case],
    *,
    seed: int,
    specimens: Sequence[Specimen] = SPECIMENS,
    processes: int = 1,
    whole: bool = True,
) -> Matrix:
    """Run the matrix, client by client, on one or several processes."""
    if processes > 1:
        with ProcessPoolExecutor(processes) as pool:
            names = [specimen.name for specimen in specimens]
            ids = [case.id for case in cases]
            rows = list(pool.map(_row_by_name, names, [ids] * len(names), [seed] * len(names)))
    else:
        rows = [run_row(specimen, cases, seed) for specimen in specimens]
    return Matrix(tuple(cases), tuple(rows), whole)


def _row_by_name(name: str, ids: Sequence[str], seed: int) -> Row:
    """For another process: clients and cases go there by name."""
    specimen = next(s for s in SPECIMENS if s.name == name)
    return run_row(specimen, [catalogue().cases[key] for key in ids], seed)
