"""Progress of a job: what is reported, and a display of it.

A job calls back with a :class:`Progress` at each step and after each buffer, from the thread of the
group concerned. The callback should return quickly; an exception that it raises ends the job.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from enum import Enum
from types import TracebackType
from typing import TYPE_CHECKING

from attrs import frozen

from esebcli.names import last_component, printable

if TYPE_CHECKING:
    from rich.progress import Progress as RichBars
    from rich.progress import TaskID


class Phase(Enum):
    """Where the backup or the restore of a group is."""

    DATABASES = "databases"
    LOGS = "logs"
    CHECKING = "checking"
    TRUNCATING = "truncating"
    RECOVERING = "recovering"
    DONE = "done"
    FAILED = "failed"


@frozen
class Progress:
    """One step of one group.

    Attributes:
        group: name of the storage group.
        phase: what is being done.
        file: the file being copied, by its name on the server, or None.
        copied, size: bytes of this file copied so far, and its size: as the server announced it, in
            a restore as the set has it.
        saved: bytes of the group copied so far, this file included.
        total: bytes of the group in all, 0 where that is not known before.
    """

    group: str
    phase: Phase
    file: str | None = None
    copied: int = 0
    size: int = 0
    saved: int = 0
    total: int = 0


OnProgress = Callable[[Progress], None]


def ignore_progress(_: Progress) -> None:
    """For callers that don't want to know."""


class ProgressBars:
    """A bar per group on standard error; use as a context manager and as the callback.

    Where standard error is no terminal, nothing is drawn.
    """

    def __init__(self) -> None:
        # rich is slow to import, and only a backup that a person watches needs it.
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, TextColumn, TransferSpeedColumn
        from rich.progress import Progress as RichBars

        console = Console(stderr=True)
        self._bars: RichBars = RichBars(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            DownloadColumn(binary_units=True),
            TransferSpeedColumn(),
            TextColumn("{task.fields[step]}", markup=False),
            console=console,
            disable=not console.is_terminal,
        )
        self._lock = threading.Lock()
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> ProgressBars:
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def __call__(self, progress: Progress) -> None:
        """Show a step."""
        with self._lock:
            task = self._tasks.get(progress.group)
            if task is None:
                task = self._bars.add_task(printable(progress.group), total=None, step="")
                self._tasks[progress.group] = task
        file = printable(last_component(progress.file)) if progress.file else ""
        self._bars.update(
            task,
            completed=progress.saved,
            # Where the sizes of files not opened yet are unknown, the bar is that of what is known.
            total=progress.total or progress.saved - progress.copied + progress.size,
            step=f"{progress.phase.value} {file}".rstrip(),
        )
