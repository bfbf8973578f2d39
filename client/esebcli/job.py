"""A backup job: one or more storage groups into one set, each over a session of its own."""

from __future__ import annotations

import contextlib
import threading
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path

from attrs import Factory, define, field, frozen

from eseback.api import BackupApi
from eseback.constants import INFORMATION_STORE
from eseback.errors import EseBackupError
from esebcli import __version__
from esebcli.contents import Depth
from esebcli.context import Context, choose_databases
from esebcli.errors import SetError, UserError
from esebcli.group import GroupBackup
from esebcli.hints import explain
from esebcli.manifest import Kind, Manifest, SavedGroup, State
from esebcli.parallel import PARALLEL_DEFAULT, run_groups
from esebcli.progress import OnProgress, ignore_progress
from esebcli.saving import GroupSaver
from esebcli.sets import SetWriter, open_set, plan_groups, refuse_unless_new, utc_now


def _as_tuple(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(names)


@frozen
class BackupRequest:
    """What to back up, and where to.

    Attributes:
        server: the computer's name for Prepare.
        groups: names of storage groups, each once.
        kind: see :class:`esebcli.manifest.Kind`.
        folder: folder of the new set: one that doesn't exist yet, or is empty.
        previous: set that a logs-only backup continues; then it is checked that it does.
        annotation: the service, by its exact annotation.
        parallel: how many groups to back up at once; 1 means one after the other, in this thread.
        depth: how closely the files are looked at as they pass.
        databases: display names or GUIDs of some databases of the one group, for a partial backup;
            empty for all of every group.
    """

    server: str
    groups: tuple[str, ...] = field(converter=_as_tuple)
    kind: Kind
    folder: Path
    previous: Path | None = None
    annotation: str = INFORMATION_STORE
    parallel: int = PARALLEL_DEFAULT
    depth: Depth = Depth.PAGES
    databases: tuple[str, ...] = field(default=(), converter=_as_tuple)


@frozen
class JobResult:
    """How a job ended.

    ``ok``: every group is complete and the server confirmed every call. ``error``: a failure that
    belongs to no single group, or None; those of groups are in the manifest.
    """

    folder: Path
    manifest: Manifest
    error: str | None = None

    @property
    def ok(self) -> bool:
        """Whether the job may be called a success."""
        groups_ok = all(group.error is None for group in self.manifest.groups)
        return self.error is None and groups_ok and self.manifest.state is State.COMPLETE

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why not ``ok``: one line for each failure."""
        groups = (f"{g.name}: {g.error}" for g in self.manifest.groups if g.error)
        return (*groups, *([self.error] if self.error else []))


@define
class BackupJob:
    """Runs a :class:`BackupRequest`.

    Attributes:
        connect: makes a session; called once per group, from the group's thread. To run over one
            session that is not safe for threads, return it each time and ask for ``parallel=1``.
        on_progress: called from the groups' threads.
    """

    connect: Callable[[], BackupApi]
    request: BackupRequest
    on_progress: OnProgress = ignore_progress
    _cancelled: threading.Event = field(init=False, default=Factory(threading.Event))

    def cancel(self) -> None:
        """Ask the job to stop; groups that are not sealed yet end as failed. Any thread."""
        self._cancelled.set()

    def run(self) -> JobResult:
        """Back up.

        Returns normally for a backup that failed: see :attr:`JobResult.ok`.

        Raises:
            UserError: the request can't be carried out as it stands; nothing was written.
            EseBackupError: the server can't be reached or refused Prepare; nothing was written.
            JobError: a group does not run on the server; nothing was written.
        """
        request = self.request
        previous = self._check_request()
        # The first context also tells whether groups and databases exist: before anything is
        # opened or written.
        first = self._prepare()
        try:
            for name in request.groups:
                choose_databases(first.instance(name), request.databases)
            writer = SetWriter.create(request.folder, self._new_manifest(previous))
        except BaseException:
            with contextlib.suppress(EseBackupError, OSError):
                first.api.backup_end(first.handle)
            raise
        backups = [
            self._group_backup(writer, group, previous, first if index == 0 else None)
            for index, group in enumerate(writer.manifest.groups)
        ]
        try:
            groups = run_groups([one.run for one in backups], request.parallel, self.cancel)
        finally:
            error = _finish(writer)
        manifest = writer.manifest
        for group in groups:  # a group's last error may not have reached the disk
            manifest = manifest.with_group(group)
        return JobResult(request.folder, manifest, error)

    def _check_request(self) -> Manifest | None:
        request = self.request
        if not request.groups:
            raise UserError("name at least one storage group")
        if len(set(request.groups)) != len(request.groups):
            raise UserError("a storage group is named twice")
        if request.parallel < 1:
            raise UserError("at least one group has to be backed up at a time")
        if request.databases and len(request.groups) != 1:
            raise UserError("databases can be named for one storage group at a time")
        if request.databases and not request.kind.has_databases:
            raise UserError(f"a {request.kind.value} backup saves no databases; name none")
        refuse_unless_new(request.folder)
        if request.previous is None:
            return None
        if request.kind.has_databases:
            raise UserError(f"a {request.kind.value} backup starts a chain and continues no set")
        return _open_previous(request)

    def _prepare(self) -> Context:
        return Context.prepare(self.connect(), self.request.server, self.request.annotation)

    def _new_manifest(self, previous: Manifest | None) -> Manifest:
        return Manifest(
            set_id=uuid.uuid4(),
            kind=self.request.kind,
            server=self.request.server,
            annotation=self.request.annotation,
            program=f"esebcli {__version__}",
            started=utc_now(),
            groups=plan_groups(self.request.groups),
            previous=previous.set_id if previous else None,
        )

    def _group_backup(
        self,
        writer: SetWriter,
        group: SavedGroup,
        previous: Manifest | None,
        context: Context | None,
    ) -> GroupBackup:
        return GroupBackup(
            saver=GroupSaver(
                writer,
                group,
                self.request.kind,
                self.request.depth,
                self.on_progress,
                self._cancelled,
                self.request.databases,
            ),
            open_context=self._prepare if context is None else lambda: context,
            predecessor=previous.group(group.name) if previous else None,
        )


def _open_previous(request: BackupRequest) -> Manifest:
    assert request.previous is not None
    try:
        previous = open_set(request.previous).manifest
    except SetError as error:
        raise UserError(f"the previous set can't be used: {error}") from error
    where = f"the previous set {request.previous}"
    origin = (previous.server.casefold(), previous.annotation)
    if origin != (request.server.casefold(), request.annotation):
        raise UserError(f"{where} is of {previous.annotation} on {previous.server}")
    for name in request.groups:
        group = previous.group(name)
        if group is None:
            raise UserError(f"{where} does not hold storage group {name!r}")
        if group.state is not State.COMPLETE:
            raise UserError(f"{where} is incomplete for storage group {name!r}")
    return previous


def _finish(writer: SetWriter) -> str | None:
    try:
        writer.finish()
    except OSError as error:
        return f"the manifest could not be updated: {explain(error)}"
    return None
