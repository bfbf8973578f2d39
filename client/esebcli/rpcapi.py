"""The backup API over a connection.

Contexts are small numbers here, and handles of 20 bytes on the wire.
"""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, NamedTuple, cast

from eseback.api import ReadableBuffer, WriteableBuffer
from eseback.calls import CALL_BY_METHOD
from eseback.constants import (
    DEFAULT_READ_HINT,
    BackupType,
    InstanceEnd,
    RegisterFlags,
    RestoreClose,
    RestoreComplete,
)
from eseback.errors import EseBackupError
from eseback.jeterr import JetErr
from eseback.rpc import BadStubData, ForeseenCall, NotRepresentable, ResponseReceived
from eseback.rpc.backup_calls import decode_result, encode_arguments
from eseback.rpc.bulk import (
    check_read,
    decode_read,
    encode_read_request,
    encode_write,
    read_ends,
)
from eseback.structures import (
    BackupNode,
    DependencyInfo,
    InstanceBackupInfo,
    OpenedFile,
    RegisteredInfo,
    RestoreEnvironment,
    RestoreFile,
)
from esebcli.rpcconnection import CONTEXT_ID, Placed, RpcConnection, violation

_MIB: Final = 1 << 20
_READ_MAX: Final = 4 * _MIB
_WRITE_MAX: Final = 2 * _MIB  # a request of 4 MiB is the most that servers take by default
_OPNUM: Final = {method: cast("int", info.opnum) for method, info in CALL_BY_METHOD.items()}
_PLAIN: Final = (1,)  # strides of a row of bytes; to ask for less takes longer
_READ: Final = "backup_read_file"
_READ_OPNUM: Final = _OPNUM[_READ]


class _Read(NamedTuple):
    """A read of so many bytes of a file, and the call that it is."""

    context: int
    handle: int
    size: int
    call: ForeseenCall


_NO_READ: Final = _Read(-1, -1, -1, ForeseenCall(CONTEXT_ID, _READ_OPNUM, b"", b"", 0, b""))


class RpcApi:
    """A BackupApi. Several threads may use it; their calls wait for each other."""

    def __init__(self, connection: RpcConnection) -> None:
        self._connection = connection
        self._handles: dict[int, bytes] = {}
        self._numbers = itertools.count(1)
        self._last_read = _NO_READ

    # ---- discovery

    def get_nodes(self, computer: str | None) -> BackupNode:
        """See BackupApi."""
        return cast("BackupNode", self._call("get_nodes", computer))

    def get_registered(
        self, server: str, display_name: str | None, flags: RegisterFlags
    ) -> tuple[RegisteredInfo, ...]:
        """See BackupApi."""
        found = self._call("get_registered", server, display_name, flags)
        return cast("tuple[RegisteredInfo, ...]", found)

    # ---- backup

    def backup_prepare(
        self, server: str, annotation: str
    ) -> tuple[int, tuple[InstanceBackupInfo, ...]]:
        """See BackupApi."""
        handle, instances = self._call("backup_prepare", server, annotation)
        return self._note(handle), instances

    def backup_get_dependency_info(self, context: int) -> DependencyInfo:
        """See BackupApi."""
        found = self._call_in("backup_get_dependency_info", context)
        return cast("DependencyInfo", found)

    def backup_setup(self, context: int, instance_id: int, backup_type: BackupType) -> None:
        """See BackupApi."""
        self._call_in("backup_setup", context, instance_id, backup_type)

    def backup_open_file(
        self,
        context: int,
        file_name: str,
        read_hint: int = DEFAULT_READ_HINT,
        sections: int = 1,
    ) -> tuple[OpenedFile, ...]:
        """See BackupApi."""
        found = self._call_in("backup_open_file", context, file_name, read_hint, sections)
        return cast("tuple[OpenedFile, ...]", found)

    def backup_read_file(self, context: int, handle: int, buffer: WriteableBuffer) -> int:
        """See BackupApi. One call never reads more than 4 MiB."""
        out = _writable(buffer)
        call = self._read_call(context, handle, len(out))
        answer = self._connection.call_into(_READ, call, out)
        return call.size if answer is None else _read_result(answer, out)

    @property
    def can_read_ahead(self) -> bool:
        """Whether :meth:`start_read` may be used."""
        return self._connection.concurrent

    def start_read(self, context: int, handle: int, buffer: WriteableBuffer) -> Callable[[], int]:
        """The first half of ``backup_read_file``: ask, and do not wait.

        Gives the second half, which gives and raises what the whole does. Until it has been called,
        or another call has been made, ``buffer`` belongs to the read.
        """
        try:
            out = _writable(buffer)
            call = self._read_call(context, handle, len(out))
        except EseBackupError as error:
            return partial(_raise, error)
        ahead = self._connection.start_into(_READ, call, out)
        return lambda: _read_result(self._connection.finish_into(ahead), out)

    def _read_call(self, context: int, handle: int, size: int) -> ForeseenCall:
        """A read of so many bytes; nearly always the last one again."""
        last_context, last_handle, last_size, call = self._last_read
        if last_context is context and last_handle is handle and last_size == size:
            return call
        held = self._handle(context, _READ)
        try:
            stub = encode_read_request(held, handle, size)
        except NotRepresentable as error:
            raise _unusable(_READ, error) from None
        head, tail = read_ends(size)
        call = ForeseenCall(CONTEXT_ID, _READ_OPNUM, stub, head, size, tail)
        self._last_read = _Read(context, handle, size, call)
        return call

    def backup_close_file(self, context: int, handle: int) -> None:
        """See BackupApi."""
        self._call_in("backup_close_file", context, handle)

    def backup_get_log_and_patch_files(self, context: int) -> tuple[str, ...]:
        """See BackupApi."""
        found = self._call_in("backup_get_log_and_patch_files", context)
        return cast("tuple[str, ...]", found)

    def backup_get_truncate_log_files(self, context: int) -> tuple[str, ...]:
        """See BackupApi."""
        found = self._call_in("backup_get_truncate_log_files", context)
        return cast("tuple[str, ...]", found)

    def backup_truncate_logs(self, context: int) -> None:
        """See BackupApi."""
        self._call_in("backup_truncate_logs", context)

    def backup_instance_end(self, context: int, flags: InstanceEnd) -> None:
        """See BackupApi."""
        self._call_in("backup_instance_end", context, flags)

    def backup_end(self, context: int) -> None:
        """See BackupApi."""
        self._call_in("backup_end", context)
        self._forget(context)

    # ---- restore

    def restore_open(
        self, server: str, annotation: str, source_instance: str, log_path: str | None
    ) -> int:
        """See BackupApi."""
        return self._note(self._call("restore_open", server, annotation, source_instance, log_path))

    def restore_reopen(self, server: str, annotation: str | None, log_path: str) -> int:
        """See BackupApi."""
        return self._note(self._call("restore_reopen", server, annotation, log_path))

    def restore_add_database(
        self,
        context: int,
        display_name: str,
        guid: uuid.UUID,
        source_streams: Sequence[str],
    ) -> tuple[str, ...]:
        """See BackupApi."""
        method = "restore_add_database"
        found = self._call_in(method, context, display_name, guid, source_streams)
        return cast("tuple[str, ...]", found)

    def restore_add_database_ns(
        self,
        context: int,
        display_name: str,
        guid: uuid.UUID,
        source_streams: Sequence[str],
        destination_streams: Sequence[str],
    ) -> None:
        """See BackupApi."""
        method = "restore_add_database_ns"
        self._call_in(method, context, display_name, guid, source_streams, destination_streams)

    def restore_open_file(self, context: int, file_name: str, sections: int = 1) -> RestoreFile:
        """See BackupApi."""
        found = self._call_in("restore_open_file", context, file_name, sections)
        return cast("RestoreFile", found)

    def restore_write_file(self, context: int, handle: int, data: ReadableBuffer) -> None:
        """See BackupApi. What is longer than 2 MiB travels in several calls."""
        method = "restore_write_file"
        try:
            view = memoryview(data).cast("B")
        except TypeError as error:
            raise _unusable(method, error) from None
        for start in range(0, len(view) or 1, _WRITE_MAX):
            piece = view[start : start + _WRITE_MAX]
            try:
                stub = encode_write(self._handle(context, method), handle, piece)
            except NotRepresentable as error:
                raise _unusable(method, error) from None
            self._decode(method, self._connection.call(method, _OPNUM[method], stub))

    def restore_close_file(self, context: int, handle: int) -> None:
        """See BackupApi."""
        self._call_in("restore_close_file", context, handle)

    def restore_save_environment(self, context: int) -> None:
        """See BackupApi."""
        self._call_in("restore_save_environment", context)

    def restore_load_environment(self, server: str | None, log_path: str) -> RestoreEnvironment:
        """See BackupApi."""
        found = self._call("restore_load_environment", server, log_path)
        return cast("RestoreEnvironment", found)

    def restore_get_environment(self, context: int) -> RestoreEnvironment:
        """See BackupApi."""
        found = self._call_in("restore_get_environment", context)
        return cast("RestoreEnvironment", found)

    def restore_complete(
        self,
        context: int,
        checkpoint_path: str,
        log_path: str,
        target_instance: str | None,
        flags: RestoreComplete,
    ) -> None:
        """See BackupApi."""
        method = "restore_complete"
        self._call_in(method, context, checkpoint_path, log_path, target_instance, flags)

    def restore_close(self, context: int, flag: RestoreClose) -> None:
        """See BackupApi."""
        self._call_in("restore_close", context, flag)
        self._forget(context)

    def snapshot_start(self, context: int, databases: str, flags: int) -> None:
        """See BackupApi."""
        self._call_in("snapshot_start", context, databases, flags)

    # ---- not part of the API

    def close(self) -> None:
        """Close the connection; the server ends what is left of our contexts."""
        self._connection.close()

    # ---- within

    def _call(self, method: str, *arguments: Any) -> Any:
        try:
            stub = encode_arguments(method, arguments)
        except NotRepresentable as error:
            raise _unusable(method, error) from None
        return self._decode(method, self._connection.call(method, _OPNUM[method], (stub,)))

    def _call_in(self, method: str, context: int, *arguments: Any) -> Any:
        return self._call(method, self._handle(context, method), *arguments)

    def _decode(self, method: str, answer: Any) -> Any:
        try:
            return decode_result(method, answer.stub, answer.little)
        except BadStubData as error:
            raise violation(error, method) from error

    def _note(self, handle: bytes) -> int:
        number = next(self._numbers)
        self._handles[number] = handle
        return number

    def _forget(self, context: int) -> None:
        self._handles.pop(context, None)
        self._last_read = _NO_READ

    def _handle(self, context: int, method: str) -> bytes:
        found = self._handles.get(context)
        if found is None:
            # What a server would say; but without a handle there is nothing to ask it about.
            end = "was closed" if method.startswith("restore") else "has ended"
            raise EseBackupError.from_name(
                "hrInvalidHandle", method, f"the context {end}, or is none of this connection"
            )
        return found


def _read_result(answer: ResponseReceived | Placed | None, out: memoryview) -> int:
    """How many bytes a read has put into ``out``. Raises what the call does."""
    if answer is None:
        return len(out)
    try:
        if isinstance(answer, Placed):
            return check_read(answer.head, out[: answer.size], answer.tail, len(out))
        data = decode_read(answer.stub, len(out), answer.little)
    except BadStubData as error:
        raise violation(error, _READ) from error
    out[: len(data)] = data
    return len(data)


def _raise(error: EseBackupError) -> int:
    raise error


def _writable(buffer: WriteableBuffer) -> memoryview:
    """The buffer as bytes, at most 4 MiB; an empty one if nothing can be read into it, which the
    server then refuses in its own words.
    """
    if type(buffer) is memoryview:
        view = buffer
    else:
        try:
            view = memoryview(buffer)
        except TypeError:
            return memoryview(bytearray())
    if view.strides == _PLAIN and not view.readonly and 0 < len(view) <= _READ_MAX:
        return view
    if view.readonly or not view.c_contiguous or not view.nbytes:
        return memoryview(bytearray())
    if view.ndim != 1 or view.itemsize != 1 or view.nbytes > _READ_MAX:
        view = view.cast("B")[:_READ_MAX]
    return view


def _unusable(method: str, error: Exception) -> EseBackupError:
    return EseBackupError.from_jet(JetErr.INVALID_PARAMETER, method, str(error))
