"""Cases in several processes: the client is loaded anew in each, and events come back to this one.

A simulated server, a client and its set share nothing with those of another case, so that a case
comes to the same result wherever it runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

from eseconform.cases import Case, catalogue
from eseconform.events import Event, EventStream
from eseconform.results import CaseResult
from eseconform.sut import load_sut
from eseconform.transports import Transport

if TYPE_CHECKING:
    from eseconform.runner import Settings


@frozen
class Work:
    """One case, and what a process has to know to run it."""

    case: Case
    sut: str
    seed: int
    folder: Path
    keep_sets: bool
    transport: Transport


def results_of_processes(
    cases: Sequence[Case], settings: Settings, jobs: int
) -> Iterator[CaseResult]:
    """Run cases in so many processes; results and events come in the order of the cases."""
    with ProcessPoolExecutor(jobs) as pool:
        futures: list[Future[tuple[CaseResult, list[Event]]]] = [
            pool.submit(
                run_alone,
                Work(
                    case,
                    settings.sut.spec,
                    settings.seed,
                    settings.folder.resolve(),
                    settings.keep_sets,
                    settings.transport,
                ),
            )
            for case in cases
        ]
        try:
            for future in futures:
                result, events = future.result()
                for event in events:
                    settings.events.emit(event.kind, **event.data)
                yield result
        finally:
            for future in futures:
                future.cancel()


def run_alone(work: Work) -> tuple[CaseResult, list[Event]]:
    """Run one case in this process; returns its result and what happened meanwhile."""
    from eseconform.runner import Settings, run_case

    events: list[Event] = []
    settings = Settings(
        sut=load_sut(work.sut),
        cases=catalogue(),
        seed=work.seed,
        folder=work.folder,
        events=EventStream(None, (events.append,)),
        keep_sets=work.keep_sets,
        transport=work.transport,
    )
    return run_case(work.case, settings), events
