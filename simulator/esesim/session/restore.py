"""The restore half of the BackupApi: arguments, the order table, and whose context it is.

What a call may do in which state is decided by ``eseback.restoreorder`` alone. Bad arguments are
refused first, in every state that still has a context.
"""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, TypeVar

from eseback.api import ReadableBuffer
from eseback.constants import RegisterFlags, RestoreClose, RestoreComplete
from eseback.errors import EseBackupError, JetErr
from eseback.restoreorder import (
    RestoreCall,
    RestoreState,
    restore_cell,
    restore_close_call,
    restore_complete_call,
)
from eseback.structures import RestoreEnvironment, RestoreFile

from ..engine.errors import JetError
from ..exchange import InformationStore
from ..exchange.environment import EnvironmentFileError
from ..exchange.recovery import finish, make_plan, poll, recover, start
from ..exchange.refused import Refused
from ..exchange.restore import Restore
from ..topology.specs import FILE_LEVEL
from ..volume import VolumeError
from .arguments import (
    check_remote,
    check_server,
    is_text,
    member,
    path_problem,
    streams_problem,
    translated,
)

R = TypeVar("R")
# Context numbers are unique in the process, so that one of another session is never taken for one's
# own, and a server can find the session of a context.
context_numbers: Final = itertools.count(1)
_KNOWN_FLAGS: Final = int(
    RestoreComplete.ATTACH_DBS | RestoreComplete.NOWAIT | RestoreComplete.KEEP_LOG_FILES
)


class RestoreCalls:
    """The restore calls of one connection, with contexts of its own."""

    def __init__(self, store: InformationStore, *, remote: bool = False) -> None:
        self._store = store
        self._remote = remote
        self._restores: dict[int, Restore] = {}
        self._file_numbers = itertools.count(1)
        self._file_level = store.topology.server.restore_files == FILE_LEVEL

    # -- contexts

    def restore_open(
        self, server: str, annotation: str, source_instance: str, log_path: str | None
    ) -> int:
        """See BackupApi. Raises -1003, -1084 (the folder is in use), -1214, hrCouldNotConnect."""
        method = "restore_open"
        check_server(self._store, server, method)
        check_remote(self._store, self._remote, method)
        self._check_annotation(annotation, method)
        if not is_text(source_instance):
            raise _bad_argument(method, "the name of the storage group is missing")
        if log_path is not None and (problem := path_problem(log_path, "the restore log path")):
            raise _bad_argument(method, problem)
        folder = None if log_path is None else log_path.rstrip("\\/")
        with _errors(method):
            return self._keep(self._store.restores.open(annotation, source_instance, folder))

    def restore_reopen(self, server: str, annotation: str | None, log_path: str) -> int:
        """See BackupApi. Raises -1811 (nothing was saved there), hrInvalidParam (damaged), -1084,
        -1214, hrCBDatabaseInUse.
        """
        method = "restore_reopen"
        check_server(self._store, server, method)
        check_remote(self._store, self._remote, method)
        if annotation is not None:
            self._check_annotation(annotation, method)
        if problem := path_problem(log_path, "the restore log path"):
            raise _bad_argument(method, problem)
        with _errors(method):
            restore = self._store.restores.reopen(log_path.rstrip("\\/"))
        if annotation not in (None, restore.environment.annotation):
            found = restore.environment.annotation
            restore.close()
            raise _bad_argument(method, f"the restore is one of {found!r}")
        return self._keep(restore)

    def restore_close(self, context: int, flag: RestoreClose) -> None:
        """See BackupApi. Recovery that still runs is not given up."""
        method = "restore_close"
        wanted = member(RestoreClose, flag)
        restore = self._restore(context, method)
        if wanted is None:
            raise _bad_argument(method, f"{flag!r} is neither normal nor abort")
        with restore.lock:
            _check(restore, restore_close_call(wanted), method)
            self._restores.pop(context, None)
            _leave(self._store, restore)

    def _keep(self, restore: Restore) -> int:
        context = next(context_numbers)
        self._restores[context] = restore
        return context

    # -- databases and files

    def restore_add_database(
        self, context: int, display_name: str, guid: uuid.UUID, source_streams: Sequence[str]
    ) -> tuple[str, ...]:
        """See BackupApi. Raises hrCBDatabaseNotFound, hrCBDatabaseInUse, -1003."""
        return self._call(
            context,
            RestoreCall.ADD_DATABASE,
            "restore_add_database",
            lambda restore: restore.add_database(display_name, guid, tuple(source_streams)),
            lambda _: _database_problem(display_name, guid, source_streams),
        )

    def restore_add_database_ns(
        self,
        context: int,
        display_name: str,
        guid: uuid.UUID,
        source_streams: Sequence[str],
        destination_streams: Sequence[str],
    ) -> None:
        """See BackupApi. Raises hrCBDatabaseInUse, -1003."""

        def problem(_: Restore) -> str:
            found = _database_problem(display_name, guid, source_streams)
            found = found or streams_problem(destination_streams, "the destinations")
            if not found and len(source_streams) != len(destination_streams):
                found = (
                    f"{len(source_streams)} files of the source and {len(destination_streams)} "
                    "destinations"
                )
            return found

        self._call(
            context,
            RestoreCall.ADD_DATABASE,
            "restore_add_database_ns",
            lambda restore: restore.add_database_at(
                display_name, guid, tuple(source_streams), tuple(destination_streams)
            ),
            problem,
        )

    def restore_open_file(self, context: int, file_name: str, sections: int = 1) -> RestoreFile:
        """See BackupApi. The topology says who writes the file."""

        def problem(restore: Restore) -> str:
            if sections != 1:
                return f"{sections!r} sections; a file is restored in one"
            return path_problem(file_name, "the file name") or restore.check_file(file_name)

        def announce(restore: Restore) -> RestoreFile:
            if self._file_level:
                restore.announce(file_name)
                return RestoreFile(None)
            handle = next(self._file_numbers)
            restore.open_file(file_name, handle)
            return RestoreFile(handle)

        call = RestoreCall.OPEN_FILE_LEVEL if self._file_level else RestoreCall.OPEN_FILE
        return self._call(context, call, "restore_open_file", announce, problem)

    def restore_write_file(self, context: int, handle: int, data: ReadableBuffer) -> None:
        """See BackupApi. Any number of bytes."""
        method = "restore_write_file"
        restore = self._restore(context, method)
        try:
            view = memoryview(data)
            usable = view.c_contiguous
        except TypeError:
            usable = False
        with restore.lock:
            restore.enter_call()
            if not usable:
                _refuse(restore, RestoreCall.ARGUMENT_ERROR, method, "the data are no bytes")
            if restore.file is None or restore.file.handle != handle:
                _refuse(restore, RestoreCall.WRITE_BAD_HANDLE, method)
            _check(restore, RestoreCall.WRITE, method)
            with _errors(method):
                restore.write(view if view.format == "B" and view.ndim == 1 else view.cast("B"))

    def restore_close_file(self, context: int, handle: int) -> None:
        """See BackupApi. The file is on disk afterwards."""
        method = "restore_close_file"
        restore = self._restore(context, method)
        with restore.lock:
            restore.enter_call()
            if restore.file is None or restore.file.handle != handle:
                _refuse(restore, RestoreCall.CLOSE_BAD_HANDLE, method)
            after = _check(restore, RestoreCall.CLOSE_FILE, method)
            with _errors(method):
                restore.close_file()
            restore.state = after

    # -- environment

    def restore_save_environment(self, context: int) -> None:
        """See BackupApi."""
        self._call(
            context, RestoreCall.SAVE, "restore_save_environment", lambda restore: restore.save()
        )

    def restore_load_environment(self, server: str | None, log_path: str) -> RestoreEnvironment:
        """See BackupApi. Raises -1811 (nothing was saved there), hrInvalidParam (damaged)."""
        method = "restore_load_environment"
        if server is not None:
            check_server(self._store, server, method)
        if problem := path_problem(log_path, "the restore log path"):
            raise _bad_argument(method, problem)
        with _errors(method):
            return self._store.restores.load(log_path.rstrip("\\/"))

    def restore_get_environment(self, context: int) -> RestoreEnvironment:
        """See BackupApi. Shows a recovery that nobody waits for as started, then as ended."""
        method = "restore_get_environment"
        restore = self._restore(context, method)
        with restore.lock:
            restore.enter_call()
            poll(self._store, restore)
            _check(restore, RestoreCall.GET_ENVIRONMENT, method)
            return restore.environment

    # -- recovery

    def restore_complete(
        self,
        context: int,
        checkpoint_path: str,
        log_path: str,
        target_instance: str | None,
        flags: RestoreComplete,
    ) -> None:
        """See BackupApi. Raises what recovery fails with; it can be tried again."""

        def problem(_: Restore) -> str:
            if not _are_flags(flags):
                return f"{flags!r} are no flags of Complete"
            if target_instance is not None and not is_text(target_instance):
                return "the name of the target instance is empty"
            return path_problem(checkpoint_path, "the checkpoint path") or path_problem(
                log_path, "the log path"
            )

        def complete(restore: Restore) -> None:
            plan = make_plan(
                self._store,
                restore,
                checkpoint_path.rstrip("\\/"),
                log_path.rstrip("\\/"),
                target_instance,
                RestoreComplete(flags),
            )
            if RestoreComplete.NOWAIT in plan.flags:
                start(restore, plan)
            else:
                recover(self._store, restore, plan)

        known = RestoreComplete(flags) if _are_flags(flags) else RestoreComplete.NONE
        call = restore_complete_call(known)
        self._call(context, call, "restore_complete", complete, problem)

    def snapshot_start(self, context: int, databases: str, flags: int) -> None:
        """Never supported, as its page says: raises hrNyi."""
        raise EseBackupError.from_name(
            "hrNyi", "snapshot_start", "documented as not supported in any application"
        )

    # -- the parts

    def _lose_restores(self, context: int | None) -> None:
        """The client is gone: its restores (or that one) end; files stay as they are."""
        for number in [context] if context else list(self._restores):
            restore = self._restores.pop(number, None)
            if restore is not None:
                with restore.lock:
                    _leave(self._store, restore)

    def _call(
        self,
        context: int,
        call: RestoreCall,
        method: str,
        act: Callable[[Restore], R],
        problem: Callable[[Restore], str] = lambda _: "",
    ) -> R:
        """Make a call by the table. What fails on the way leaves the state as it is."""
        restore = self._restore(context, method)
        with restore.lock:
            restore.enter_call()
            if restore.state is not RestoreState.CLOSED and (found := problem(restore)):
                _refuse(restore, RestoreCall.ARGUMENT_ERROR, method, found)
            after = _check(restore, call, method)
            with _errors(method):
                result = act(restore)
            restore.state = after
            return result

    def _restore(self, context: int, method: str) -> Restore:
        restore = self._restores.get(context)
        if restore is None:
            error = restore_cell(RestoreState.CLOSED, RestoreCall.SAVE).exception(
                method, "the context was closed, or is none of this connection"
            )
            assert error is not None
            raise error
        return restore

    def _check_annotation(self, annotation: object, method: str) -> None:
        for service in self._store.topology.services:
            # ASSUMED(restore-needs-registration): a service that did not register for online
            # restores cannot be reached for one.
            restores = RegisterFlags.ONLINE_RESTORE.name.lower() in service.flags
            if service.annotation == annotation and restores:
                return
        raise EseBackupError.from_name(
            "hrCouldNotConnect", method, f"no service {annotation!r} takes restores here"
        )


def _leave(store: InformationStore, restore: Restore) -> None:
    """Free a context; a recovery that nobody waits for is carried to its end first."""
    finish(store, restore)
    restore.close()


def _check(restore: Restore, call: RestoreCall, method: str) -> RestoreState:
    """The state after a call that the table allows; raises the table's error otherwise."""
    cell = restore_cell(restore.state, call)
    error = cell.exception(method)
    if error is not None:
        raise error
    return cell.next_state


def _refuse(restore: Restore, call: RestoreCall, method: str, detail: str = "") -> None:
    """Raise the error that the table has for a call that always fails."""
    error = restore_cell(restore.state, call).exception(method, detail)
    assert error is not None, f"{call.name} succeeds in {restore.state.name}"
    raise error


def _bad_argument(method: str, detail: str) -> EseBackupError:
    return EseBackupError.from_jet(JetErr.INVALID_PARAMETER, method, detail)


def _are_flags(value: object) -> bool:
    return isinstance(value, int) and not value & ~_KNOWN_FLAGS


def _database_problem(display_name: object, guid: object, source_streams: object) -> str:
    if not is_text(display_name):
        return "the display name of the database is missing"
    if not isinstance(guid, uuid.UUID):
        return f"{guid!r} is no GUID"
    return streams_problem(source_streams, "the files of the source")


@contextmanager
def _errors(method: str) -> Iterator[None]:
    """Errors of what lies below, as those of the API."""
    try:
        yield
    except JetError as error:
        raise translated(error, method) from error
    except Refused as error:
        raise EseBackupError.from_name(error.name, method, error.detail) from error
    except EnvironmentFileError as error:
        # ASSUMED(environment-errors): an environment that is damaged, newer or foreign is answered
        # hrInvalidParam; one that is missing JET_errFileNotFound.
        raise EseBackupError.from_name("hrInvalidParam", method, str(error)) from error
    except VolumeError as error:
        # ASSUMED(restore-path-error): a path that cannot be made on the server's disks is
        # JET_errInvalidPath.
        raise EseBackupError.from_jet(JetErr.INVALID_PATH, method, str(error)) from error
