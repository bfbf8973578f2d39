"""The restore of one storage group, from Open to Close.

The order of calls is the documented one (SDK overview aa579378): Open; AddDatabase for each
database; for each file, logs included, OpenFile and its bytes; SaveEnvironment; then, if there is
another set, Close and Reopen, and its files; after the last set Complete, which recovers; Close.

Everything turns on two moments. Up to the first OpenFile nothing on the server has been changed.
From then on the databases are no longer what they were, and not yet what they shall be, until
Complete says that they are recovered. Whatever happens between, the user is told so.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from attrs import Factory, define, evolve, field

from eseback.api import BackupApi
from eseback.constants import RecoverStatus, RestoreClose
from eseback.errors import EseBackupError
from eseback.structures import InstanceBackupInfo
from esebcli.context import running_instances
from esebcli.destinations import DestinationFinder, moved, refuse_shared
from esebcli.errors import JobError
from esebcli.fileaccess import FileAccess
from esebcli.group import EXPECTED_ERRORS
from esebcli.hints import explain
from esebcli.manifest import FileKind, SavedFile
from esebcli.names import last_component
from esebcli.progress import OnProgress, Phase, Progress
from esebcli.restorecopy import FileRestorer
from esebcli.restoredata import INTERRUPTED, Outcome, RestoredGroup, RestoreOptions
from esebcli.restoreplan import GroupPlan, Stage

_POLL_SECONDS: Final = 0.5
_SEPARATORS: Final = "\\/"


@define
class GroupRestore:
    """One job on one group; ``run`` may be called once.

    Attributes:
        plan: what to restore.
        connect: makes the session that the restore has for itself.
        files: writes at file level, None where that can't be done.
        refuse_if_cancelled: raises JobCancelled if the caller asked the job to stop.
    """

    plan: GroupPlan
    options: RestoreOptions
    connect: Callable[[], BackupApi]
    files: FileAccess | None
    on_progress: OnProgress
    refuse_if_cancelled: Callable[[], None]
    sleep: Callable[[float], object] = time.sleep
    _api: BackupApi = field(init=False)
    _context: int | None = field(init=False, default=None)
    _result: RestoredGroup = field(
        init=False,
        default=Factory(
            lambda self: RestoredGroup(
                self.plan.group,
                low=self.plan.low,
                high=self.plan.high,
                warnings=self.plan.warnings,
            ),
            takes_self=True,
        ),
    )
    _recovering: bool = field(init=False, default=False)
    _running: Mapping[str, InstanceBackupInfo] = field(init=False, factory=dict)

    @property
    def result(self) -> RestoredGroup:
        """What is known so far; also when ``run`` was interrupted."""
        return self._result

    def run(self) -> RestoredGroup:
        """Do the restore. Errors of the server and of this machine end up in the result."""
        started = time.monotonic()
        try:
            self._restore()
        except EXPECTED_ERRORS as error:
            self._abandon(explain(error))
        except BaseException as error:
            is_bug = not isinstance(error, KeyboardInterrupt)
            self._abandon(f"the program failed: {error!r}" if is_bug else INTERRUPTED)
            raise
        else:
            self._end()
        self._note(seconds=time.monotonic() - started)
        self._report(Phase.FAILED if self._result.error else Phase.DONE)
        return self._result

    def _restore(self) -> None:
        self.refuse_if_cancelled()
        api = self._api = self.connect()
        context, folder = self._begin()
        for index, stage in enumerate(self.plan.stages):
            if index:
                context = self._next_context(context, folder)
            self._copy_stage(context, stage, folder)
        api.restore_save_environment(context)
        self.refuse_if_cancelled()
        self._report(Phase.RECOVERING)
        self._complete(context, folder)

    def _begin(self) -> tuple[int, str]:
        """Open, and announce every database in its place; returns the context and its folder."""
        options = self.options
        if options.into is not None or options.play_forward:
            self._look_what_runs()
        context, folder = self._open_and_place(options.into)
        first = self._result.databases
        if options.into is not None or not any(one.by_server and one.is_moved for one in first):
            return context, folder
        # ASSUMED(never-redirected): a server with a recovery storage group redirects there by
        # itself, and a restore begun without naming a group is meant for the original one; so it is
        # begun anew with the original's files named.
        self._api.restore_close(context, RestoreClose.ABORT)
        self._context = None
        # Should it be refused there, nobody is to read that it went to the other place.
        self._note(log_path=None, databases=(), warnings=self.plan.warnings)
        self._look_what_runs()
        begun = self._open_and_place(self.plan.group)
        final = {one.destinations for one in self._result.databases}
        texts = (
            f"the server would put database {one.name!r} to {', '.join(one.destinations)}; "
            "it is restored to its own storage group, because no other one was named; if that is "
            "where its store is now, name the file (--place)"
            for one in first
            if one.destinations not in final
        )
        self._note(warnings=(*self._result.warnings, *texts))
        return begun

    def _look_what_runs(self) -> None:
        options = self.options
        instances = running_instances(self._api, options.server, options.annotation)
        self._running = {instance.instance_name: instance for instance in instances}

    def _open_and_place(self, into: str | None) -> tuple[int, str]:
        """All databases before any file: one that the server refuses costs nothing as long as no
        file of the others has been touched.
        """
        api, options, plan = self._api, self.options, self.plan
        context = self._context = api.restore_open(
            options.server, options.annotation, plan.group, options.log_path
        )
        folder = api.restore_get_environment(context).restore_log_path
        if not folder:
            raise JobError("the server does not say which folder the logs are to be restored to")
        self._note(log_path=folder)
        listed = self._running.get(into) if into is not None else None
        finder = DestinationFinder(api, plan.group, into, listed, options.places)
        placed = tuple(finder.place(context, database) for database in plan.databases)
        refuse_shared(placed)
        self._note(databases=placed, warnings=(*plan.warnings, *moved(placed)))
        return context, folder

    def _next_context(self, context: int, folder: str) -> int:
        """Between two sets: save, close, and go on with what was saved."""
        api, options = self._api, self.options
        api.restore_save_environment(context)
        api.restore_close(context, RestoreClose.NORMAL)
        self._context = None
        self._context = context = api.restore_reopen(options.server, options.annotation, folder)
        return context

    def _copy_stage(self, context: int, stage: Stage, folder: str) -> None:
        self._note(sets=(*self._result.sets, str(stage.opened.folder)))
        destinations = {
            source: target
            for placed in self._result.databases
            for source, target in zip(placed.sources, placed.destinations, strict=True)
        }
        for database in stage.databases:
            for file in database.files:
                target = destinations[file.original_name]
                self._copy(context, stage, file, target, Phase.DATABASES)
        for file in stage.others:
            target = f"{folder.rstrip(_SEPARATORS)}\\{last_component(file.original_name)}"
            self._copy(context, stage, file, target, Phase.LOGS)

    def _copy(
        self, context: int, stage: Stage, file: SavedFile, destination: str, phase: Phase
    ) -> None:
        name, before = self.plan.group, self._result.size

        def before_write(written: int) -> None:
            self.refuse_if_cancelled()
            saved = before + written
            self.on_progress(
                Progress(name, phase, destination, written, file.size, saved, self.plan.size)
            )

        writer = FileRestorer(self._api, context, self.files, before_write)
        with stage.opened.open_file(stage.group, file) as source:
            if file.kind in (FileKind.DATABASE, FileKind.STREAMING):
                # The answer may get lost: from the call on, nobody can say that it had no effect.
                self._note(outcome=Outcome.UNFINISHED)
            writer.restore(file, source, destination)
        self._note(files=self._result.files + 1, size=before + file.size)

    def _complete(self, context: int, folder: str) -> None:
        options = self.options
        system_path, log_path, target = folder, folder, None
        if options.play_forward:
            # Also where the databases go elsewhere: later logs of their stream are with the group
            # that they came from, those of any other have another signature (-610). One that runs
            # is named; of one that doesn't, the paths are given (ESE source _log/logutil.cxx).
            if self.plan.group in self._running:
                target = self.plan.group
            else:
                log_path = self.plan.log_folder
                system_path = options.system_path or log_path
        self._api.restore_complete(context, system_path, log_path, target, options.flags)
        if options.poll:
            self._recovering = True
            self._wait(context)
            self._recovering = False
        self._note(outcome=Outcome.RECOVERED)

    def _wait(self, context: int) -> None:
        """Ask until recovery has ended; only the environment says how (SDK page ms878578)."""
        while True:
            environment = self._api.restore_get_environment(context)
            if environment.status_last_recover is RecoverStatus.ENDED:
                break
            if environment.status_last_recover is RecoverStatus.INVALID:
                raise JobError("the server does not say how far its recovery is")
            self.refuse_if_cancelled()
            self.sleep(_POLL_SECONDS)
        if environment.hr_last_recover:
            raise EseBackupError(environment.hr_last_recover, call="restore_complete")

    def _end(self) -> None:
        """After Complete: whatever happens, the databases stay recovered."""
        context = self._context
        failure = self._close(RestoreClose.NORMAL)
        if failure:
            # Once more: what the context holds on the server, nobody else can use.
            self._context = context
            self._close(RestoreClose.NORMAL)
            text = "the databases are recovered, but the server did not confirm the end of the "
            self._note(error=f"{text}restore: {failure}")

    def _abandon(self, reason: str) -> None:
        """Release the server, and say what state things are in."""
        reasons = [reason]
        if self._recovering:
            reasons[0] += "; the recovery that was begun on the server goes on"
        failure = self._close(RestoreClose.ABORT)
        if failure:
            reasons.append(failure)
        text = "; then ".join(reasons)
        if self._result.outcome is Outcome.UNFINISHED:
            names = ", ".join(repr(placed.name) for placed in self._result.databases)
            text += f"; not recovered, and perhaps overwritten in part: {names}; restore again"
        self._note(error=text)

    def _close(self, flag: RestoreClose) -> str | None:
        """Close the context, if there is one; what it says if that fails."""
        if self._context is None:
            return None
        context, self._context = self._context, None
        try:
            self._api.restore_close(context, flag)
        except EseBackupError as error:
            # A close between two sets whose answer was lost: that context is gone already.
            is_gone = flag is RestoreClose.ABORT and error.name == "hrInvalidHandle"
            return None if is_gone else explain(error)
        except OSError as error:
            return explain(error)
        return None

    def _report(self, phase: Phase) -> None:
        saved, total = self._result.size, self.plan.size
        self.on_progress(Progress(self.plan.group, phase, saved=saved, total=total))

    def _note(self, **changes: Any) -> None:
        self._result = evolve(self._result, **changes)
