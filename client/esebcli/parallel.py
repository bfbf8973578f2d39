"""Several storage groups at the same time, each in a thread of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from typing import Final, TypeVar

PARALLEL_DEFAULT: Final = 4
"""Storage groups that an Exchange 2000 or 2003 server has at most."""

T = TypeVar("T")


def run_groups(
    runs: Sequence[Callable[[], T]], parallel: int, cancel: Callable[[], None]
) -> list[T]:
    """Run up to ``parallel`` of these at once; the results in their order.

    With one at a time, or only one at all, all is done in this thread. ``cancel`` is called when
    this thread is interrupted; then the groups end properly before the interruption goes on.

    Raises:
        Exception: whatever the first of them that failed raised, after all have ended.
    """
    if min(parallel, len(runs)) == 1:
        return [run() for run in runs]
    with ThreadPoolExecutor(parallel, thread_name_prefix="group") as pool:
        futures: list[Future[T]] = [pool.submit(run) for run in runs]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
        except BaseException:
            # Ctrl-C reaches this thread only; leaving the pool waits for the groups.
            cancel()
            raise
    return [future.result() for future in futures]
