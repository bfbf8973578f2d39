"""The BackupApi of the simulated server: contexts, handles, arguments and locking.

What a call may do and in which order is decided by the order table, in the engine for a running
backup and in :mod:`.refusals` for a context without one. This module finds the context and its
group, lets the group's users work, takes the group's lock, and turns JET errors into those of the
API.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeVar

from eseback.api import WriteableBuffer
from eseback.constants import (
    DEFAULT_READ_HINT,
    BackupType,
    InstanceEnd,
    RegisterFlags,
)
from eseback.errors import EseBackupError
from eseback.order import BackupCall, BackupState, instance_end_call, setup_call
from eseback.structures import (
    BackupNode,
    DependencyInfo,
    InstanceBackupInfo,
    OpenedFile,
    RegisteredInfo,
)

from ..engine.backup import Backup
from ..engine.errors import JetError
from ..engine.quirk import Quirk
from ..exchange import InformationStore, StorageGroup, node_tree, registered
from ..exchange.clock import MILLISECONDS_PER_CALL
from ..volume import Lent
from .arguments import check_remote, check_server, member, translated
from .contexts import BackupContext
from .reading import UnusableBuffer, writable
from .refusals import refusal
from .restore import RestoreCalls, context_numbers

if TYPE_CHECKING:
    from .readagain import OpenRead

R = TypeVar("R")
_NO_DEPENDENCIES: Final = DependencyInfo()


class Session(RestoreCalls):
    """One client's connection to a server. Implements BackupApi.

    Several threads may use it, each with contexts of its own. ``remote``: the client runs on
    another computer, which some versions don't let in.
    """

    def __init__(self, store: InformationStore, *, remote: bool = False) -> None:
        super().__init__(store, remote=remote)
        self._blocked = Quirk.DATA_CONNECTION_BLOCKED in store.quirks
        self._short = Quirk.SHORT_READS in store.quirks
        # Data that moves badly is copied; and a session that reads in a way of its own (a server
        # broken on purpose) lends nothing.
        reads_otherwise = type(self).backup_read_file is not Session.backup_read_file
        self._lends_nothing = self._blocked or self._short or reads_otherwise
        self._contexts: dict[int, BackupContext] = {}
        self._buffered = not store.topology.server.strict_reads

    # -- discovery

    def get_nodes(self, computer: str | None) -> BackupNode:
        """See BackupApi. Raises hrCouldNotConnect for any computer but the simulated one."""
        if computer is not None:
            check_server(self._store, computer, "get_nodes")
        return node_tree(self._store.topology)

    def get_registered(
        self, server: str, display_name: str | None, flags: RegisterFlags
    ) -> tuple[RegisteredInfo, ...]:
        """See BackupApi."""
        check_server(self._store, server, "get_registered")
        return registered(self._store.topology, display_name, RegisterFlags(flags))

    # -- backup

    def backup_prepare(
        self, server: str, annotation: str
    ) -> tuple[int, tuple[InstanceBackupInfo, ...]]:
        """See BackupApi."""
        check_server(self._store, server, "backup_prepare")
        check_remote(self._store, self._remote, "backup_prepare")
        groups = self._store.groups_of(annotation)
        if groups is None:
            raise EseBackupError.from_name(
                "hrCouldNotConnect", "backup_prepare", f"no service {annotation!r} runs here"
            )
        for group in groups:
            group.catch_up()
        found = (group.describe() for group in groups)
        instances = tuple(info for info in found if info is not None)
        context = BackupContext(next(context_numbers), frozenset(group.id for group in groups))
        self._contexts[context.handle] = context
        return context.handle, instances

    def backup_get_dependency_info(self, context: int) -> DependencyInfo:
        """See BackupApi. Exchange declares no dependencies."""
        held = self._contexts.get(context)
        if held is None:
            raise _unknown_context("backup_get_dependency_info")
        group = held.group
        if group is not None:
            with group.lock:
                group.enter_call()
        return _NO_DEPENDENCIES

    def backup_setup(self, context: int, instance_id: int, backup_type: BackupType) -> None:
        """See BackupApi."""
        method = "backup_setup"
        held = self._held(context, method)
        group = self._store.running_group(instance_id) if instance_id in held.offered else None
        if group is None:
            detail = f"no instance {instance_id!r} is running"
            raise refusal(held.state, BackupCall.CONTROL_ARGUMENT_ERROR, method, detail)
        wanted = member(BackupType, backup_type)
        if wanted is None:
            detail = f"{backup_type!r} is no backup type"
            raise refusal(held.state, BackupCall.CONTROL_ARGUMENT_ERROR, method, detail)
        with group.lock:
            group.enter_call()
            # This context's own backup, of this or of another group, may still run.
            if held.state.running:
                raise refusal(held.state, setup_call(wanted), method)
            try:
                group.running.backup.begin(wanted)
            except JetError as error:
                raise translated(error, method) from error
            held.take(group)

    def backup_open_file(
        self,
        context: int,
        file_name: str,
        read_hint: int = DEFAULT_READ_HINT,
        sections: int = 1,
    ) -> tuple[OpenedFile, ...]:
        """See BackupApi. There is always one section, and the hint changes nothing."""
        method = "backup_open_file"
        problem = _open_problem(file_name, read_hint, sections)

        def open_file(backup: Backup, held: BackupContext) -> tuple[OpenedFile, ...]:
            if problem:
                raise refusal(backup.state, BackupCall.ARGUMENT_ERROR, method, problem)
            engine_handle, size = backup.open_file(file_name)
            held.open(next(self._file_numbers), engine_handle, buffered=self._buffered)
            return (OpenedFile(held.file_handle, size),)

        return self._in_backup(context, BackupCall.OPEN_UNKNOWN, method, open_file)

    def backup_read_file(self, context: int, handle: int, buffer: WriteableBuffer) -> int:
        """See BackupApi. Any size and alignment; fewer bytes than asked only at the end."""
        held, group = self._reader(context)
        with group.lock:
            read = self._admit_read(held, group, handle)
            try:
                view = writable(buffer)
                if self._blocked or self._short:
                    view = self._narrowed(view)
                return read(view)
            except JetError as error:
                held.note_failure()
                raise translated(error, "backup_read_file") from error
            except UnusableBuffer as error:
                raise refusal(
                    held.state, BackupCall.ARGUMENT_ERROR, "backup_read_file", str(error)
                ) from None

    def read_lent(
        self, context: int, handle: int, size: int, memory: Callable[[int], memoryview]
    ) -> Lent:
        """The same call for those who send data on: what it would put into a buffer of ``size``
        bytes, as views of the server's files that nothing changes any more.

        memory: gives the buffer where data has to be copied after all.
        """
        held = self._contexts.get(context)
        group = None if held is None else held.group
        if held is None or group is None or self._lends_nothing:
            copied = memory(size)
            return [copied[: self.backup_read_file(context, handle, copied)]]
        with group.lock:
            read = self._admit_read(held, group, handle)
            try:
                lent = held.lend(size) if size else None
                if lent is not None:
                    return lent
                view = memory(size) if size > 0 else writable(bytearray())
                return [view[: read(view)]]
            except JetError as error:
                held.note_failure()
                raise translated(error, "backup_read_file") from error
            except UnusableBuffer as error:
                raise refusal(
                    held.state, BackupCall.ARGUMENT_ERROR, "backup_read_file", str(error)
                ) from None

    def read_again(
        self, context: int, handle: int, size: int, memory: Callable[[int], memoryview]
    ) -> OpenRead | None:
        """``read_lent`` with these arguments in short, for those who will ask again and again; see
        ``OpenRead``. None where there is no shorter way.
        """
        held = self._contexts.get(context)
        group = None if held is None else held.group
        if held is None or group is None or self._lends_nothing or size <= 0:
            return None
        from .readagain import OpenRead

        with group.lock:
            if group.backup_owner is not held or held.read is None or handle != held.file_handle:
                return None
            return OpenRead(held, group, size, memory)

    def _reader(self, context: int) -> tuple[BackupContext, StorageGroup]:
        """A context with a backup that may read. Raises EseBackupError."""
        held = self._contexts.get(context)
        if held is None:
            raise _unknown_context("backup_read_file")
        group = held.group
        if group is None:
            raise refusal(held.state, BackupCall.READ, "backup_read_file")
        return held, group

    def _admit_read(
        self, held: BackupContext, group: StorageGroup, handle: int
    ) -> Callable[[memoryview], int]:
        """How the open file is read; under the group's lock. Raises EseBackupError."""
        # The one call that is made thousands of times: no helper that it does not need.
        if group.backup_owner is not held:
            raise refusal(held.state, BackupCall.READ, "backup_read_file")
        group.clock.milliseconds += MILLISECONDS_PER_CALL
        if group.steps_per_call or group.pace is not None:
            group.work()
        read = held.read
        if read is None or handle != held.file_handle:
            raise refusal(held.state, BackupCall.READ_BAD_HANDLE, "backup_read_file")
        return read

    def _narrowed(self, buffer: memoryview) -> memoryview:
        """The part of a buffer that a read fills where data moves badly; see the quirks."""
        if self._blocked:
            # ASSUMED(data-connection-local): clients on the server itself are hit too; the report
            # does not set them apart. Nothing was read, and the backup goes on.
            raise EseBackupError.from_name(
                "hrErrorFromESECall",
                "backup_read_file",
                "the server cannot open its data connection to the client",
            )
        least = self._store.page_size
        return buffer[: max(least, len(buffer) // (2 * least) * least)]

    def backup_close_file(self, context: int, handle: int) -> None:
        """See BackupApi."""
        method = "backup_close_file"

        def close_file(backup: Backup, held: BackupContext) -> None:
            if held.read is None or handle != held.file_handle:
                raise refusal(backup.state, BackupCall.CLOSE_BAD_HANDLE, method)
            backup.close_file(held.engine_handle)
            held.forget_file()

        self._in_backup(context, BackupCall.CLOSE, method, close_file)

    def backup_get_log_and_patch_files(self, context: int) -> tuple[str, ...]:
        """See BackupApi."""
        return self._in_backup(
            context,
            BackupCall.LOG_LIST,
            "backup_get_log_and_patch_files",
            lambda backup, _: tuple(backup.log_list()),
        )

    def backup_get_truncate_log_files(self, context: int) -> tuple[str, ...]:
        """See BackupApi."""
        return self._in_backup(
            context,
            BackupCall.TRUNCATE_LIST,
            "backup_get_truncate_log_files",
            lambda backup, _: tuple(backup.truncate_list()),
        )

    def backup_truncate_logs(self, context: int) -> None:
        """See BackupApi."""
        self._in_backup(
            context,
            BackupCall.TRUNCATE,
            "backup_truncate_logs",
            lambda backup, _: backup.truncate(),
        )

    def backup_instance_end(self, context: int, flags: InstanceEnd) -> None:
        """See BackupApi."""
        method = "backup_instance_end"
        wanted = member(InstanceEnd, flags)
        if wanted is None:
            held = self._held(context, method)
            detail = f"{flags!r} is neither success nor error"
            raise refusal(held.state, BackupCall.CONTROL_ARGUMENT_ERROR, method, detail)

        def end(backup: Backup, held: BackupContext) -> None:
            backup.end(wanted is InstanceEnd.SUCCESS)
            held.release()

        self._in_backup(context, instance_end_call(wanted), method, end)

    def backup_end(self, context: int) -> None:
        """See BackupApi. Always frees the context, whatever ending its backup brings."""
        held = self._held(context, "backup_end")
        try:
            _leave(held, lambda backup: backup.end(False))
        except JetError as error:
            raise translated(error, "backup_end") from error
        finally:
            self._contexts.pop(context, None)

    # -- not part of the API

    def holds(self, context: int) -> bool:
        """Whether the context is one of this session's and alive."""
        return context in self._contexts or context in self._restores

    def connection_lost(self, context: int | None = None) -> None:
        """The client is gone: end its contexts, or that one, and break off their backups.

        A restore stays as it is on disk, and can be reopened if it was saved.
        """
        self._lose_restores(context)
        for held in [self._contexts.get(context)] if context else list(self._contexts.values()):
            if held is not None:
                self._contexts.pop(held.handle, None)
                _leave(held, lambda backup: backup.connection_lost())

    def _in_backup(
        self,
        context: int,
        call: BackupCall,
        method: str,
        act: Callable[[Backup, BackupContext], R],
    ) -> R:
        """Run ``act`` on the backup of a context; without one, refuse ``call`` by the table."""
        held = self._held(context, method)
        group = held.group
        if group is None:
            raise refusal(held.state, call, method)
        with group.lock:
            if group.backup_owner is not held or group.instance is None:
                raise refusal(held.state, call, method)
            # Users at work may bring the instance down; its backup then answers for itself.
            backup = group.instance.backup
            group.enter_call()
            try:
                return act(backup, held)
            except JetError as error:
                held.note_failure()
                raise translated(error, method) from error
            finally:
                group.dismount_if_failed()

    def _held(self, context: int, method: str) -> BackupContext:
        held = self._contexts.get(context)
        if held is None:
            raise _unknown_context(method)
        return held


def _leave(held: BackupContext, end: Callable[[Backup], None]) -> None:
    """End the backup of a context, if it has one, and let go of the group."""
    group = held.group
    if group is None:
        return
    with group.lock:
        try:
            if held.state.running:
                backup = group.running.backup
                group.enter_call()
                # Users at work may have brought the instance down, and the backup with it.
                if backup.is_running:
                    end(backup)
        finally:
            held.release()


def _open_problem(file_name: object, read_hint: object, sections: object) -> str:
    """What is wrong with the arguments of an open; empty if nothing."""
    if not isinstance(file_name, str) or not file_name or "\0" in file_name:
        return "a file name is needed"
    if not isinstance(read_hint, int) or read_hint < 0:
        return f"{read_hint!r} is no size to read at once"
    # ASSUMED(one-section): a file is backed up in one section; what cSections above 1 does is
    # documented nowhere.
    if sections != 1:
        return f"{sections!r} sections; a file has one"
    return ""


def _unknown_context(method: str) -> EseBackupError:
    # Ended and never begun look alike, as they do to a real server. The number stays out of the
    # text: it depends on what else happened in the process, and transcripts must repeat.
    detail = "the context has ended, or is none of this connection"
    return refusal(BackupState.ENDED, BackupCall.END, method, detail)
