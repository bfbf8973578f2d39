"""A scripted server that follows the contract's order table and serves synthetic files.

It is no simulator: nothing changes while it is backed up but the logs, which roll at the list. It
answers every call out of order with the error of `eseback.order`, records all calls, and can be
told to fail the n-th call of a method, before the call has its effect or after it.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, cast

from attrs import define, field, frozen

from eseback.api import BackupApi
from eseback.constants import (
    INFORMATION_STORE,
    BackupType,
    DatabaseFlags,
    InstanceEnd,
    NodeType,
    RegisterFlags,
)
from eseback.errors import ConnectionLost, EseBackupError
from eseback.order import (
    BACKUP_START,
    BackupCall,
    BackupState,
    backup_cell,
    instance_end_call,
    setup_call,
)
from eseback.structures import (
    BackupNode,
    DatabaseBackupInfo,
    InstanceBackupInfo,
    OpenedFile,
    RegisteredInfo,
)
from tests.esebcli.support_files import Image, LogStream

SERVER: Final = "EXCH1"
FOLDER: Final = "C:\\Program Files\\Exchsrvr\\mdbdata\\"


@frozen
class Store:
    """A database: its files are made anew for each backup."""

    name: str
    number: int = 1
    has_streaming: bool = True
    mounted: bool = True
    folder: str = FOLDER

    @property
    def streams(self) -> tuple[str, ...]:
        """Windows paths of its files."""
        names = [f"{self.folder}{self.name}.edb"]
        if self.has_streaming:
            names.append(f"{self.folder}{self.name}.stm")
        return tuple(names)

    @property
    def info(self) -> DatabaseBackupInfo:
        """How Prepare lists it."""
        return DatabaseBackupInfo(
            display_name=f"Store {self.name}",
            streams=self.streams,
            guid=uuid.UUID(int=self.number),
            flags=DatabaseFlags.MOUNTED if self.mounted else DatabaseFlags.UNMOUNTED,
        )


@define
class Group:
    """A storage group. ``logs`` are the closed logs on disk; ``current`` is the open generation."""

    name: str
    stream: LogStream
    stores: tuple[Store, ...]
    first: int = 3
    current: int = 6
    checkpoint: int = 4
    logs: dict[int, bytes] = field(factory=dict)
    altered: dict[str, bytes] = field(factory=dict)
    listed: Callable[[list[str]], list[str]] = lambda names: names
    deletable: Callable[[list[str]], list[str]] = lambda names: names
    deleted: list[str] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        for generation in range(self.first, self.current):
            self.logs[generation] = self.stream.log(generation)

    def log_path(self, generation: int) -> str:
        """Windows path of a closed log."""
        return FOLDER + self.stream.name(generation)

    def roll(self) -> None:
        """Close the current log."""
        self.logs[self.current] = self.stream.log(self.current)
        self.current += 1

    def work(self, logs: int) -> None:
        """Let time pass: some logs are written, and the checkpoint follows."""
        for _ in range(logs):
            self.roll()
        self.checkpoint = max(self.checkpoint, self.current - 2)


@define
class _Context:
    state: BackupState = BACKUP_START
    group: Group | None = None
    full: bool = False
    low: int = 0
    high: int = 0
    handle: int = 0
    data: bytes = b""
    position: int = 0


@define
class Fault:
    """Fail the n-th call of a method, counted from 1. ``after``: let it have its effect first."""

    method: str
    error: BaseException
    nth: int = 1
    after: bool = False
    seen: int = 0
    fired: int = 0


@frozen
class Call:
    """A call that was made: method, context handle or 0, the argument that matters."""

    method: str
    context: int
    argument: object = None


@define
class FakeServer:
    """The server; hand ``api`` to a client."""

    groups: tuple[Group, ...]
    read_limit: int = 1 << 20
    announced: dict[str, int] = field(factory=dict)
    computers: tuple[str, ...] = ("OTHER", SERVER)
    answering: tuple[str, ...] = (SERVER,)
    served: dict[str, bytes] = field(factory=dict)
    faults: list[Fault] = field(factory=list)
    calls: list[Call] = field(factory=list)
    contexts: dict[int, _Context] = field(factory=dict)
    on_call: Callable[[Call], None] = lambda call: None
    _lock: Any = field(factory=threading.RLock)

    @property
    def api(self) -> BackupApi:
        """The server as a session; the restore calls are not there."""
        return cast("BackupApi", self)

    def fail(
        self, method: str, error: BaseException, nth: int = 1, *, after: bool = False
    ) -> Fault:
        """Plan a failure."""
        fault = Fault(method, error, nth, after)
        self.faults.append(fault)
        return fault

    def methods(self, context: int | None = None) -> list[str]:
        """The methods called, in order."""
        return [c.method for c in self.calls if context is None or c.context == context]

    def calls_of(self, method: str) -> list[Call]:
        """The calls of one method."""
        return [call for call in self.calls if call.method == method]

    def states(self) -> list[BackupState]:
        """States of all contexts that were ever made."""
        return [context.state for context in self.contexts.values()]

    # ---- the calls

    def get_nodes(self, computer: str | None) -> BackupNode:
        """One computer in a domain."""
        with self._call("get_nodes", 0, computer):
            nodes = tuple(BackupNode(name, NodeType.MACHINE) for name in self.computers)
            return BackupNode("DOMAIN", NodeType.DISPLAY, children=nodes)

    def get_registered(
        self, server: str, display_name: str | None, flags: RegisterFlags
    ) -> tuple[RegisteredInfo, ...]:
        """The information store, on the computers of this server only."""
        with self._call("get_registered", 0, server):
            if server not in self.answering:
                raise EseBackupError.from_name("hrCouldNotConnect", "get_registered")
            guid = uuid.UUID(int=99)
            return (RegisteredInfo("store", RegisterFlags.BACKUP, INFORMATION_STORE, guid),)

    def backup_prepare(
        self, server: str, annotation: str
    ) -> tuple[int, tuple[InstanceBackupInfo, ...]]:
        """List the groups with a mounted store."""
        with self._call("backup_prepare", 0, server):
            handle = len(self.contexts) + 100
            self.contexts[handle] = _Context()
            return handle, tuple(
                InstanceBackupInfo(
                    index + 1, group.name, databases=tuple(store.info for store in group.stores)
                )
                for index, group in enumerate(self.groups)
                if any(store.mounted for store in group.stores)
            )

    def backup_setup(self, context: int, instance_id: int, backup_type: BackupType) -> None:
        """Begin."""
        with self._call("backup_setup", context, backup_type):
            me = self.contexts[context]
            group = self.groups[instance_id - 1]
            others = [c for c in self.contexts.values() if c.group is group and c is not me]
            if any(other.state.running for other in others):
                raise EseBackupError.from_jet(-505, "backup_setup")
            self._step(me, setup_call(backup_type))
            me.group, me.full = group, backup_type is not BackupType.LOGS_ONLY
            me.low = group.checkpoint if backup_type is BackupType.FULL else min(group.logs)

    def backup_open_file(
        self, context: int, file_name: str, read_hint: int = 65536, sections: int = 1
    ) -> tuple[OpenedFile, ...]:
        """Open a database stream or a log."""
        with self._call("backup_open_file", context, file_name):
            me = self.contexts[context]
            kind, data = self._find(me, file_name)
            self._step(me, kind)
            me.handle += 1
            me.data, me.position = data, 0
            self.served[file_name] = data
            return (OpenedFile(me.handle, self.announced.get(file_name, len(data))),)

    def backup_read_file(self, context: int, handle: int, buffer: memoryview) -> int:
        """Fill the buffer, at most `read_limit` bytes."""
        with self._call("backup_read_file", context, handle):
            me = self.contexts[context]
            good = handle == me.handle and me.state.file_open
            self._step(me, BackupCall.READ if good else BackupCall.READ_BAD_HANDLE)
            piece = me.data[me.position : me.position + min(len(buffer), self.read_limit)]
            buffer[: len(piece)] = piece
            me.position += len(piece)
            return len(piece)

    def backup_close_file(self, context: int, handle: int) -> None:
        """Close."""
        with self._call("backup_close_file", context, handle):
            me = self.contexts[context]
            good = handle == me.handle and me.state.file_open
            self._step(me, BackupCall.CLOSE if good else BackupCall.CLOSE_BAD_HANDLE)

    def backup_get_log_and_patch_files(self, context: int) -> tuple[str, ...]:
        """Roll once, and list."""
        with self._call("backup_get_log_and_patch_files", context):
            me, group = self._list(context, BackupCall.LOG_LIST)
            names = [group.log_path(g) for g in sorted(group.logs) if me.low <= g <= me.high]
            return tuple(group.listed(names))

    def backup_get_truncate_log_files(self, context: int) -> tuple[str, ...]:
        """What would be deleted."""
        with self._call("backup_get_truncate_log_files", context):
            me, group = self._list(context, BackupCall.TRUNCATE_LIST)
            return tuple(group.deletable(self._deletable(group, me)))

    def backup_truncate_logs(self, context: int) -> None:
        """Delete."""
        with self._call("backup_truncate_logs", context):
            me = self.contexts[context]
            self._step(me, BackupCall.TRUNCATE)
            group = self._group(me)
            for name in self._deletable(group, me):
                group.deleted.append(name)
                del group.logs[int(name[-9:-4], 16)]

    def backup_instance_end(self, context: int, flags: InstanceEnd) -> None:
        """End the group's backup."""
        with self._call("backup_instance_end", context, flags):
            self._step(self.contexts[context], instance_end_call(flags))

    def backup_end(self, context: int) -> None:
        """End the context."""
        with self._call("backup_end", context):
            self._step(self.contexts[context], BackupCall.END)

    # ---- behind them

    @contextmanager
    def _call(self, method: str, context: int, argument: object = None) -> Iterator[None]:
        with self._lock:
            call = Call(method, context, argument)
            self.calls.append(call)
            self.on_call(call)
            firing = [fault for fault in self.faults if fault.method == method]
            for fault in firing:
                fault.seen += 1
            due = next((fault for fault in firing if fault.seen == fault.nth), None)
            if due is not None and not due.after:
                due.fired += 1
                self._lose(context, due.error)
                raise due.error
            yield
            if due is not None:
                due.fired += 1
                self._lose(context, due.error)
                raise due.error

    def _lose(self, context: int, error: BaseException) -> None:
        if isinstance(error, ConnectionLost) and context in self.contexts:
            me = self.contexts[context]
            me.state = backup_cell(me.state, BackupCall.CONNECTION_LOST).next_state

    def _step(self, context: _Context, call: BackupCall) -> None:
        cell = backup_cell(context.state, call)
        context.state = cell.next_state
        if not cell.ok:
            assert cell.row is not None
            raise EseBackupError(cell.row.hresult, call=call.method)

    def _group(self, context: _Context) -> Group:
        assert context.group is not None
        return context.group

    def _list(self, context: int, call: BackupCall) -> tuple[_Context, Group]:
        me = self.contexts[context]
        first = me.state in (BackupState.DATABASES, BackupState.LOGS_UNLISTED)
        self._step(me, call)
        group = self._group(me)
        if first:
            group.roll()
            me.high = group.current - 1
        return me, group

    def _deletable(self, group: Group, context: _Context) -> list[str]:
        mac = min(group.checkpoint, context.high + 1)
        return [group.log_path(g) for g in sorted(group.logs) if g < mac]

    def _find(self, context: _Context, name: str) -> tuple[BackupCall, bytes]:
        group = context.group
        if group is None:
            return BackupCall.OPEN_UNKNOWN, b""
        for store in group.stores:
            if name in store.streams and store.mounted:
                image = Image(
                    group.stream,
                    context.low,
                    group.current,
                    seed=store.number,
                    has_streaming=store.has_streaming,
                )
                data = image.edb() if name == store.streams[0] else image.stm()
                return BackupCall.OPEN_DATABASE, group.altered.get(name, data)
        for generation, data in group.logs.items():
            if name == group.log_path(generation):
                return BackupCall.OPEN_LOG, group.altered.get(name, data)
        if name in group.altered:
            return BackupCall.OPEN_LOG, group.altered[name]
        return BackupCall.OPEN_UNKNOWN, b""


def two_groups() -> FakeServer:
    """A server with two groups: one with two stores (.edb and .stm), one with an .edb only."""
    return FakeServer(
        (
            Group(
                "First Storage Group",
                LogStream.numbered(1),
                (Store("priv1", 1), Store("pub1", 2)),
            ),
            Group(
                "Second", LogStream.numbered(2, "E01"), (Store("priv2", 3, has_streaming=False),)
            ),
        )
    )
