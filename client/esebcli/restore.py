"""A restore job: one or more storage groups out of sets, each over a session of its own.

First everything that needs no server: the manifests (:mod:`esebcli.restorechoice`), then every byte
of the sets that count (:mod:`esebcli.verify`), then the plan (:mod:`esebcli.restoreplan`). Only
when all groups have passed is the server asked for anything, and only after it has accepted all
databases of a group is a file written (:mod:`esebcli.restoregroup`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from attrs import Factory, define, field, frozen

from eseback.api import BackupApi
from esebcli.contents import Depth
from esebcli.context import is_called
from esebcli.destinations import check_places
from esebcli.errors import JobCancelled, UserError
from esebcli.fileaccess import FileAccess
from esebcli.names import is_same_path
from esebcli.parallel import PARALLEL_DEFAULT, run_groups
from esebcli.progress import OnProgress, Phase, Progress, ignore_progress
from esebcli.restorechoice import Choice, choose_sets
from esebcli.restoredata import INTERRUPTED, Outcome, RestoredGroup, RestoreOptions
from esebcli.restoregroup import GroupRestore
from esebcli.restoreplan import GroupPlan, plan_restore
from esebcli.verify import verify_sets


def _as_tuple(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(names)


def _as_paths(paths: Iterable[Path]) -> tuple[Path, ...]:
    return tuple(paths)


@frozen
class RestoreRequest:
    """What to restore, and how.

    Attributes:
        sets: folders of the sets, in any order: a full or copy, and what was saved after it.
        groups: names of storage groups at backup time, each once; empty for all in the sets.
        server: the computer's name for Open; None for the one that the sets are from.
        databases: display names or GUIDs of some databases of the one group; empty for all.
        last: one of ``sets``: nothing newer than what it holds is restored.
        into: storage group that the one group is restored into, None for the same one. The recovery
            storage group is one like any other.
        places: the .edb (Windows path) that a database is restored to, by its name.
        play_forward: replay the logs that the group itself has after those of the sets, too.
        system_path: folder on the server with the checkpoint of the one group, where it is not
            that of its logs; of use only with ``play_forward`` while the group doesn't run.
        mount: have the server mount the databases afterwards.
        keep_logs: have the server keep the restored logs.
        log_path: folder on the server for the logs of the one group; None lets the server choose.
        parallel: how many groups to restore at once; 1 means one after the other, in this thread.
        depth: how closely the files are looked at before.
        jobs: how many processes may share that work (see :func:`esebcli.verify.verify_sets`).
        poll: ask how far recovery is, instead of waiting for it in one call.
    """

    sets: tuple[Path, ...] = field(converter=_as_paths)
    groups: tuple[str, ...] = field(default=(), converter=_as_tuple)
    server: str | None = None
    databases: tuple[str, ...] = field(default=(), converter=_as_tuple)
    last: Path | None = None
    into: str | None = None
    places: Mapping[str, str] = field(factory=dict)
    play_forward: bool = False
    system_path: str | None = None
    mount: bool = True
    keep_logs: bool = False
    log_path: str | None = None
    parallel: int = PARALLEL_DEFAULT
    depth: Depth = Depth.PAGES
    jobs: int = 1
    poll: bool = False


@frozen
class RestoreResult:
    """How a restore ended: the server's name, and each group."""

    server: str
    groups: tuple[RestoredGroup, ...]

    @property
    def ok(self) -> bool:
        """Whether every group is recovered, and the server confirmed every call."""
        return all(g.outcome is Outcome.RECOVERED and g.error is None for g in self.groups)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why not ``ok``: one line for each failure."""
        return tuple(f"{group.name}: {group.error}" for group in self.groups if group.error)


@define
class RestoreJob:
    """Runs a :class:`RestoreRequest`.

    Attributes:
        connect: makes a session; called once per group, from the group's thread. To run over one
            session that is not safe for threads, return it each time and ask for ``parallel=1``.
        files: writes the server's files where it leaves that to the client; None if nothing can.
        on_progress: called from the groups' threads.
    """

    connect: Callable[[], BackupApi]
    request: RestoreRequest
    on_progress: OnProgress = ignore_progress
    files: FileAccess | None = None
    _restores: Sequence[GroupRestore] = field(init=False, default=())
    _cancelled: threading.Event = field(init=False, default=Factory(threading.Event))

    @property
    def unfinished(self) -> tuple[str, ...]:
        """The groups that are overwritten at least in part and not recovered, as far as known."""
        results = (restore.result for restore in self._restores)
        return tuple(r.name for r in results if r.outcome is Outcome.UNFINISHED)

    def cancel(self) -> None:
        """Ask the job to stop; groups that don't recover yet end as failed. Any thread."""
        self._cancelled.set()

    def run(self) -> RestoreResult:
        """Restore.

        Returns normally for a restore that failed: see :attr:`RestoreResult.ok`.

        Raises:
            UserError: the request can't be carried out as it stands.
            SetError, RestoreRefused: so can't the sets.
            WorkerError: a process that should help to verify them died. In all cases no call was
                made.
        """
        choice, plans = self._plan()
        server = self.request.server or choice.server
        options = self._options(choice, server)
        self._restores = [
            GroupRestore(
                plan=plan,
                options=options,
                connect=self.connect,
                files=self.files,
                on_progress=self.on_progress,
                refuse_if_cancelled=self._refuse_if_cancelled,
                sleep=self._cancelled.wait,
            )
            for plan in plans
        ]
        runs = [one.run for one in self._restores]
        return RestoreResult(server, tuple(run_groups(runs, self.request.parallel, self.cancel)))

    def _plan(self) -> tuple[Choice, tuple[GroupPlan, ...]]:
        """Verify and plan: everything that can be refused without a server."""
        request = self.request
        if request.parallel < 1:
            raise UserError("at least one group has to be restored at a time")
        if request.last is not None and request.play_forward:
            raise UserError("a restore goes to an earlier set or plays forward, not both")
        if request.system_path is not None and not request.play_forward:
            raise UserError("a folder of the checkpoint is of use only to play forward")
        check_places(request.places)
        choice = choose_sets(request.sets, request.groups, request.last)
        self._refuse_of_several(choice)
        for name in choice.groups:
            self.on_progress(Progress(name, Phase.CHECKING))
        folders = [one.folder for one in choice.sets]
        report = verify_sets(folders, request.depth, request.jobs)
        plans = plan_restore(choice, report, request.databases)
        self._refuse_needless_places(plans)
        self._refuse_own_log_folder(plans)
        return choice, plans

    def _refuse_needless_places(self, plans: Iterable[GroupPlan]) -> None:
        saved = [database.saved for plan in plans for database in plan.databases]
        for name in self.request.places:
            if not any(is_called(name, one.display_name, one.guid) for one in saved):
                raise UserError(f"no database {name!r}, which a place is named for, is restored")

    def _refuse_own_log_folder(self, plans: Iterable[GroupPlan]) -> None:
        """The logs of the sets would be written over those that the group itself still has."""
        path = self.request.log_path
        for plan in plans:
            if path is not None and is_same_path(path, plan.log_folder):
                raise UserError(
                    f"{path!r} is where {plan.group!r} has its own logs, which would be "
                    "overwritten: name another folder, or let the server choose one"
                )

    def _refuse_of_several(self, choice: Choice) -> None:
        """What is about one group can't be said of several."""
        request = self.request
        if len(choice.groups) == 1:
            return
        for is_given, what in (
            (request.databases, "databases"),
            (request.into is not None, "a storage group to restore into"),
            (request.places, "places of databases"),
            (request.log_path is not None, "a folder for logs"),
            (request.system_path is not None, "a folder of the checkpoint"),
        ):
            if is_given:
                held = ", ".join(map(repr, choice.groups))
                raise UserError(f"{what} can be named for one storage group at a time, not {held}")

    def _options(self, choice: Choice, server: str) -> RestoreOptions:
        request = self.request
        return RestoreOptions(
            server=server,
            annotation=choice.annotation,
            into=request.into,
            places=request.places,
            play_forward=request.play_forward,
            system_path=request.system_path,
            mount=request.mount,
            keep_logs=request.keep_logs,
            log_path=request.log_path,
            poll=request.poll,
        )

    def _refuse_if_cancelled(self) -> None:
        if self._cancelled.is_set():
            raise JobCancelled(INTERRUPTED)
