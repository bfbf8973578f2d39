"""Reading many files with several processes.

Checksums of pages are arithmetic in Python, of which one process does only one thing at a time. So
this process reads and hashes the databases, and workers check ranges of their pages; they read
these again, from the system's cache, so that nothing but a few words goes to and fro. Other files
are given to a worker as a whole. Whatever no worker has room for is done here: with no worker at
all, everything.

A worker lives on one pipe. When that closes it ends, so nothing is left behind, however this
process ends.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from types import TracebackType
from typing import Final, TypeAlias

from attrs import define, field, frozen

from esebcli.errors import EsebcliError
from esebcli.manifest import FileKind
from esebcli.pages import BadPages, PageRange
from esebcli.reading import (
    READ_SIZE,
    FileReading,
    FileResult,
    FileTask,
    read_file,
    read_pages,
)

# A worker takes a tenth of a second to start. That is worth it from about here on.
_BYTES_PER_PROCESS: Final = 48 << 20
# What a worker is given beforehand, so that it never waits for this process to look up.
_OWED_MAX: Final = 4 * READ_SIZE
_PROCESSES_MAX: Final = 32
_END_SECONDS: Final = 5.0


class WorkerError(EsebcliError):
    """A process that should help could not be started, or ended before its work was done."""


def available_cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def read_files(tasks: Sequence[FileTask], jobs: int) -> list[FileResult]:
    """Read files with up to ``jobs`` processes, this one included; the results in their order.

    Raises:
        WorkerError: a worker could not be started, or died.
    """
    size = sum(task.file.size for task in tasks)
    processes = max(1, min(jobs, size // _BYTES_PER_PROCESS, _PROCESSES_MAX))
    with _Workers(processes - 1) as workers:
        return _Reader(tasks, workers).run()


# Large files that a worker reads as a whole come first, small ones last: so that all are busy to
# the end.
_RANKS: Final = {FileKind.STREAMING: 0, FileKind.DATABASE: 1, FileKind.PATCH: 2, FileKind.LOG: 3}


class _Reader:
    """Reads files, and shares out what it can."""

    def __init__(self, tasks: Sequence[FileTask], workers: _Workers) -> None:
        self._tasks = tasks
        self._workers = workers
        self._readings: dict[int, FileReading] = {}
        self._results: dict[int, FileResult] = {}

    def run(self) -> list[FileResult]:
        """Read all of them."""
        buffer = memoryview(bytearray(READ_SIZE))
        order = sorted(
            range(len(self._tasks)),
            key=lambda n: (_RANKS[self._tasks[n].file.kind], -self._tasks[n].file.size),
        )
        for number in order:
            task = self._tasks[number]
            if task.file.kind is FileKind.DATABASE:
                reading = FileReading(task, self._sharer(number))
                self._readings[number] = reading
                reading.read(buffer)
            elif not self._workers.offer(task, task.file.size, self._keeper(number)):
                self._results[number] = read_file(task, buffer)
        self._workers.finish()
        self._results |= {number: reading.result() for number, reading in self._readings.items()}
        return [self._results[number] for number in range(len(self._tasks))]

    def _sharer(self, number: int) -> Callable[[PageRange], bool]:
        path = self._tasks[number].path

        def share(pages: PageRange) -> bool:
            return self._workers.offer(_PagesTask(path, pages), pages.size, deliver)

        def deliver(answer: _Answer) -> None:
            reading = self._readings[number]
            if isinstance(answer, BadPages):
                reading.add_bad(answer)
            elif isinstance(answer, OSError):
                reading.fail(answer)

        return share

    def _keeper(self, number: int) -> Callable[[_Answer], None]:
        def deliver(answer: _Answer) -> None:
            assert isinstance(answer, FileResult)
            self._results[number] = answer

        return deliver


@frozen
class _PagesTask:
    path: Path
    pages: PageRange


_Task: TypeAlias = FileTask | _PagesTask
_Answer: TypeAlias = FileResult | BadPages | OSError
_Deliver: TypeAlias = Callable[[_Answer], None]


@define
class _Worker:
    """One process. ``owed``: bytes that it has been given and not answered for."""

    process: SpawnProcess
    connection: Connection
    owed: int = 0
    waiting: deque[tuple[int, _Deliver]] = field(factory=deque)

    def give(self, task: _Task, size: int, deliver: _Deliver) -> None:
        try:
            self.connection.send(task)
        except OSError as error:
            raise self._died() from error
        self.owed += size
        self.waiting.append((size, deliver))

    def take_answer(self) -> None:
        try:
            answer: _Answer = self.connection.recv()
        except (EOFError, OSError) as error:
            raise self._died() from error
        size, deliver = self.waiting.popleft()
        self.owed -= size
        deliver(answer)

    def _died(self) -> WorkerError:
        self.process.join(_END_SECONDS)
        return WorkerError(
            "a process that helped to verify ended before its work was done "
            f"(exit code {self.process.exitcode}), so nothing can be said; "
            "with --jobs 1 there are no such processes"
        )


class _Workers:
    """So many processes, which end with the context."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._workers: list[_Worker] = []

    def __enter__(self) -> _Workers:
        try:
            with _interrupts_held_back():
                for _ in range(self._count):
                    self._workers.append(_start())
        except OSError as error:
            self._end(at_once=True)
            raise WorkerError(
                f"a process that helps to verify can't be started ({error.strerror or error}); "
                "with --jobs 1 there are no such processes"
            ) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end(at_once=error is not None)

    def offer(self, task: _Task, size: int, deliver: _Deliver) -> bool:
        """Give a task of so many bytes to a worker; False if all of them are busy.

        Raises:
            WorkerError: a worker died.
        """
        if not self._workers:
            return False
        self._collect(0)
        worker = min(self._workers, key=lambda w: w.owed)
        if worker.owed >= _OWED_MAX:
            return False
        worker.give(task, size, deliver)
        return True

    def finish(self) -> None:
        """Wait for all answers.

        Raises:
            WorkerError: a worker died.
        """
        while any(worker.waiting for worker in self._workers):
            self._collect(None)

    def _collect(self, timeout: float | None) -> None:
        by_connection = {worker.connection: worker for worker in self._workers}
        for ready in wait(list(by_connection), timeout):
            by_connection[ready].take_answer()  # type: ignore[index]

    def _end(self, at_once: bool) -> None:
        for worker in self._workers:
            worker.connection.close()
            if at_once:
                worker.process.terminate()
        for worker in self._workers:
            worker.process.join(_END_SECONDS)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
            worker.process.close()
        self._workers.clear()


def _start() -> _Worker:
    # The same on every system; and a process that forks while threads run may never wake up.
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs,), name="esebcli verify", daemon=True)
    try:
        process.start()
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
    return _Worker(process, ours)


@contextlib.contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Ctrl-C goes to all processes of a terminal; workers started here never see it.

    Ours is not lost but waits. Where signals can't be held back, a worker ignores it by itself once
    it runs. The process that multiprocessing keeps for itself comes first: starting it lets Ctrl-C
    through again, whatever the caller wanted.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(connection: Connection) -> None:
    """What a worker does, until its pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    buffer = memoryview(bytearray(READ_SIZE))
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            connection.send(_do(connection.recv(), buffer))


def _do(task: _Task, buffer: memoryview) -> _Answer:
    if isinstance(task, FileTask):
        return read_file(task, buffer)
    try:
        return read_pages(task.path, task.pages)
    except OSError as error:
        return error
