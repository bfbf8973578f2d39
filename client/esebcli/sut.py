"""This client as a system under test, for ``eseconform check --sut python:esebcli.sut:client``.

The harness's own types are not imported (imports go the other way); the protocols here say what a
task must have, and a claim has the attributes that the harness reads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol, cast

from attrs import frozen

from eseback.api import BackupApi
from eseback.errors import EseBackupError
from esebcli.errors import EsebcliError, SetError
from esebcli.fileaccess import FileAccess
from esebcli.hints import explain
from esebcli.job import BackupJob, BackupRequest, JobResult
from esebcli.manifest import Kind, State
from esebcli.restore import RestoreJob, RestoreRequest
from esebcli.restoredata import Outcome
from esebcli.sets import open_set
from esebcli.verify import verify_sets

SUCCESS: Final = "success"
FAILURE: Final = "failure"

RESTORE: Final = "restore"

capabilities: Final = (
    "incremental",
    "copy",
    "differential",
    "partial",
    RESTORE,
    "play_forward",
    "redirect",
    "parallel",
)
"""What this client can do beyond a full backup, as the harness asks for it."""


class Task(Protocol):
    """One job. ``kind`` is one of the values of :class:`Kind`, or "restore", or an enumeration of
    them; the ``earlier_sets`` are the chain to continue or to restore, oldest first; ``databases``
    are display names of some databases of the one group, empty for all; ``parallel`` asks for all
    groups at the same time."""

    @property
    def kind(self) -> str: ...
    @property
    def server(self) -> str: ...
    @property
    def annotation(self) -> str: ...
    @property
    def groups(self) -> Sequence[str]: ...
    @property
    def set_folder(self) -> Path: ...
    @property
    def earlier_sets(self) -> Sequence[Path]: ...
    @property
    def databases(self) -> Sequence[str]: ...
    @property
    def parallel(self) -> bool: ...


class RestoreTask(Task, Protocol):
    """A restore. ``target`` is the group to restore into, None for the same; ``files`` writes where
    the server leaves that to the client."""

    @property
    def files(self) -> FileAccess | None: ...
    @property
    def target(self) -> str | None: ...
    @property
    def play_forward(self) -> bool: ...
    @property
    def mount(self) -> bool: ...


@frozen
class ClaimedFile:
    """A file that was saved: its group, its name as the server listed it, its size in bytes, and
    where its bytes are."""

    group: str
    name: str
    size: int
    path: Path


@frozen
class Claim:
    """What the client says it did.

    ``outcome`` is ``success`` or ``failure``; ``restorable_to`` is, per group, the last log
    generation that the chain up to this set can be restored to, of a restore the one that the group
    was restored to; ``reason`` says why it failed.
    """

    outcome: str
    files: tuple[ClaimedFile, ...] = ()
    restorable_to: Mapping[str, int] | None = None
    reason: str = ""


def client(api: BackupApi, task: Task) -> Claim:
    """Do one job over one session, group after group unless the task wants them at the same time,
    and say what it came to.
    """
    if str(task.kind) == RESTORE:
        return _restore(api, cast("RestoreTask", task))
    try:
        kind = Kind(str(task.kind))
    except ValueError:
        return Claim(FAILURE, reason=f"this client knows no job {str(task.kind)!r}")
    earlier = tuple(task.earlier_sets)
    request = BackupRequest(
        server=task.server,
        groups=tuple(task.groups),
        kind=kind,
        folder=task.set_folder,
        previous=None if kind.has_databases else _last_complete(earlier, task.groups),
        annotation=task.annotation,
        parallel=_groups_at_once(task),
        databases=tuple(task.databases),
    )
    try:
        result = BackupJob(lambda: api, request).run()
    except (EsebcliError, EseBackupError, OSError) as error:
        return Claim(FAILURE, reason=explain(error))
    return _claim(result, () if kind.has_databases else earlier)


def _groups_at_once(task: Task) -> int:
    return max(1, len(task.groups)) if task.parallel else 1


def _restore(api: BackupApi, task: RestoreTask) -> Claim:
    request = RestoreRequest(
        sets=tuple(task.earlier_sets),
        groups=tuple(task.groups),
        server=task.server,
        databases=tuple(task.databases),
        into=task.target,
        play_forward=task.play_forward,
        mount=task.mount,
        parallel=_groups_at_once(task),
    )
    try:
        result = RestoreJob(lambda: api, request, files=task.files).run()
    except (EsebcliError, EseBackupError, OSError) as error:
        return Claim(FAILURE, reason=explain(error))
    recovered = [group for group in result.groups if group.outcome is Outcome.RECOVERED]
    return Claim(
        outcome=SUCCESS if result.ok else FAILURE,
        # Where logs of the group itself were replayed as well, nobody has said how far.
        restorable_to=None if task.play_forward else {g.name: g.high for g in recovered},
        reason="; ".join(result.reasons),
    )


def _last_complete(sets: Sequence[Path], groups: Sequence[str]) -> Path | None:
    """The last set that is complete for all groups: jobs in between may have failed."""
    for folder in reversed(sets):
        try:
            manifest = open_set(folder).manifest
        except SetError:
            continue
        found = [manifest.group(name) for name in groups]
        if all(group is not None and group.state is State.COMPLETE for group in found):
            return folder
    return None


def _claim(result: JobResult, earlier: Sequence[Path]) -> Claim:
    report = verify_sets((*earlier, result.folder))
    reached = {g.name: report.restorable_to(g.name) for g in result.manifest.groups}
    return Claim(
        outcome=SUCCESS if result.ok else FAILURE,
        files=tuple(
            ClaimedFile(
                group.name,
                file.original_name,
                file.size,
                result.folder / group.folder / file.name,
            )
            for group in result.manifest.groups
            for file in group.files
        ),
        restorable_to={name: to for name, to in reached.items() if to is not None},
        reason="; ".join(result.reasons),
    )
