"""Tasks as the runner hands them out, from a job of a case."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from eseback.constants import INFORMATION_STORE
from eseconform.task import Task

if TYPE_CHECKING:
    from eseconform.cases import JobSpec
    from eseconform.stage import Stage

REFERENCE_ANNOTATION = INFORMATION_STORE


def task_of(
    stage: Stage,
    spec: JobSpec,
    folder: Path,
    earlier: Sequence[Path],
    groups: Sequence[str] | None = None,
) -> Task:
    """What the client is asked.

    Args:
        stage: the server.
        spec: the job.
        folder: the job's own folder.
        earlier: the sets that it continues, or restores.
        groups: the storage groups, where the job names none; None: all that take backups.
    """
    return Task(
        kind=spec.kind,
        server=stage.name,
        annotation=REFERENCE_ANNOTATION,
        groups=spec.groups or tuple(groups if groups is not None else stage.backed_up),
        set_folder=folder,
        earlier_sets=tuple(earlier),
        databases=spec.databases,
        target=spec.target,
        play_forward=spec.play_forward,
        mount=spec.mount,
        parallel=spec.parallel,
    )
