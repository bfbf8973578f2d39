"""The calls of `BackupApi` as stubs: arguments and results to bytes and back.

Four functions, two for each end: `encode_arguments` and `decode_result` for a client,
`decode_arguments` and `encode_result` (or `encode_error`) for a server. Arguments and results are
those of `BackupApi`, except that a context is its context handle (20 opaque bytes; the layers
above map them to the numbers that the API has), that `backup_end` and `restore_close` give back
the handle they were given (NULL_HANDLE on success), and that `backup_read_file` takes a size and
gives the bytes. `eseback.rpc.bulk` has a faster way for the two calls that carry data.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Any, Final

from eseback.constants import (
    BackupType,
    InstanceEnd,
    RegisterFlags,
    RestoreClose,
    RestoreComplete,
)
from eseback.data import frozen
from eseback.errors import ROW_BY_NAME, EseBackupError
from eseback.jeterr import JetErr
from eseback.rpc.backup_interface import OPERATIONS
from eseback.rpc.backup_types import (
    flatten_nodes,
    join_strings,
    split_strings,
    unflatten_nodes,
)
from eseback.rpc.errors import BadStubData, NotRepresentable
from eseback.rpc.fragment import Buffer
from eseback.rpc.ndr import NULL_HANDLE
from eseback.rpc.ndr_struct import Message
from eseback.structures import DependencyInfo, RestoreFile

__all__ = [
    "AT_FILE_LEVEL",
    "decode_arguments",
    "decode_result",
    "encode_arguments",
    "encode_error",
    "encode_result",
    "failure_text",
    "raise_failure",
]

AT_FILE_LEVEL: Final = ROW_BY_NAME["hrRestoreAtFileLevel"].hresult
_SUCCESS: Final = (0, None, 0)

_Values = tuple[Any, ...]


def _same(values: _Values) -> _Values:
    return values


def _single(result: Any) -> _Values:
    return (result,)


def _nothing(_: Any) -> _Values:
    return ()


def _first(outputs: _Values) -> Any:
    return outputs[0]


def _none(_: _Values) -> None:
    return None


@frozen
class _Codec:
    """Conversions of one call between the API's values and those of the stub.

    send, receive: arguments at the client and at the server; give, take: results at the server
    and at the client; failed: outputs of a call that failed, from its arguments.
    """

    send: Callable[[_Values], _Values] = _same
    receive: Callable[[_Values], _Values] = _same
    give: Callable[[Any], _Values] = _nothing
    take: Callable[[_Values], Any] = _none
    failed: Callable[[_Values], _Values] = _nothing


def _enumerated(index: int, kind: type[IntEnum]) -> Callable[[_Values], _Values]:
    def convert(values: _Values) -> _Values:
        return (*values[:index], kind(values[index]), *values[index + 1 :])

    return convert


def _joined(*indexes: int) -> Callable[[_Values], _Values]:
    def convert(values: _Values) -> _Values:
        return tuple(join_strings(v) if i in indexes else v for i, v in enumerate(values))

    return convert


def _split(*indexes: int) -> Callable[[_Values], _Values]:
    def convert(values: _Values) -> _Values:
        return tuple(split_strings(v) if i in indexes else v for i, v in enumerate(values))

    return convert


def _failed(*outputs: Any) -> Callable[[_Values], _Values]:
    return lambda _: outputs


def _list_codec(kind: Callable[[_Values], Any] = _first) -> _Codec:
    return _Codec(give=_single, take=kind, failed=_failed(()))


_FILES: Final = _Codec(
    give=lambda files: (join_strings(files),),
    take=lambda outputs: split_strings(outputs[0]),
    failed=_failed(""),
)
_NEW_CONTEXT: Final = _Codec(give=_single, take=_first, failed=_failed(NULL_HANDLE))


def _take_nodes(outputs: _Values) -> Any:
    return unflatten_nodes(outputs[0])


def _give_dependencies(result: DependencyInfo) -> _Values:
    return result.info, join_strings(result.annotations)


def _take_dependencies(outputs: _Values) -> DependencyInfo:
    return DependencyInfo(outputs[0], split_strings(outputs[1]))


def _take_read(outputs: _Values) -> bytes:
    return bytes(outputs[0][1])


def _take_environment(outputs: _Values) -> Any:
    if outputs[0] is None:
        raise BadStubData("success without the environment that was asked for")
    return outputs[0]


_ENVIRONMENT: Final = _Codec(give=_single, take=_take_environment, failed=_failed(None))

_CODECS: Final[dict[str, _Codec]] = {
    "get_nodes": _Codec(
        give=lambda root: (flatten_nodes(root),), take=_take_nodes, failed=_failed(())
    ),
    "get_registered": _Codec(
        receive=lambda values: (*values[:2], RegisterFlags(values[2])),
        give=_single,
        take=_first,
        failed=_failed(()),
    ),
    "backup_prepare": _Codec(give=_same, take=_same, failed=_failed(NULL_HANDLE, ())),
    "backup_get_dependency_info": _Codec(
        give=_give_dependencies, take=_take_dependencies, failed=_failed(b"", "")
    ),
    "backup_setup": _Codec(receive=_enumerated(2, BackupType)),
    "backup_open_file": _list_codec(),
    "backup_read_file": _Codec(
        # The array's size is the one that was asked for, so the server passes both.
        give=lambda sized: ((sized[0], tuple(sized[1])),),
        take=_take_read,
        failed=lambda arguments: ((arguments[2], ()),),
    ),
    "backup_get_log_and_patch_files": _FILES,
    "backup_get_truncate_log_files": _FILES,
    "backup_instance_end": _Codec(receive=_enumerated(1, InstanceEnd)),
    "backup_end": _Codec(give=_single, take=_first, failed=lambda arguments: arguments[:1]),
    "restore_open": _NEW_CONTEXT,
    "restore_reopen": _NEW_CONTEXT,
    "restore_add_database": _Codec(
        send=_joined(3),
        receive=_split(3),
        give=lambda files: (join_strings(files),),
        take=lambda outputs: split_strings(outputs[0]),
        failed=_failed(""),
    ),
    "restore_add_database_ns": _Codec(send=_joined(3, 4), receive=_split(3, 4)),
    "restore_open_file": _Codec(
        give=lambda opened: (opened.handle or 0,),
        take=lambda outputs: RestoreFile(outputs[0]),
        failed=_failed(0),
    ),
    "restore_load_environment": _ENVIRONMENT,
    "restore_get_environment": _ENVIRONMENT,
    "restore_complete": _Codec(receive=lambda values: (*values[:4], RestoreComplete(values[4]))),
    "restore_close": _Codec(
        receive=_enumerated(1, RestoreClose),
        give=_single,
        take=_first,
        failed=lambda arguments: arguments[:1],
    ),
}
# The stub of a call that succeeded and has no result: no JET error, no detail, S_OK.
_NO_RESULT: Final = bytes(12)


@frozen
class _Call:
    """Everything about one call that is the same each time."""

    codec: _Codec
    request: Message
    response: Message
    has_result: bool


def _call_of(method: str) -> _Call:
    codec, operation = _CODECS.get(method, _Codec()), OPERATIONS[method]
    return _Call(codec, operation.request, operation.response, codec.give is not _nothing)


_CALLS: Final = {method: _call_of(method) for method in OPERATIONS}


def encode_arguments(
    method: str, arguments: Sequence[Any], little: bool = True
) -> bytes | bytearray:
    """Stub of a call. Raises NotRepresentable for arguments that cannot travel."""
    call = _CALLS[method]
    try:
        values = call.codec.send(tuple(arguments))
    except (TypeError, IndexError) as error:
        raise NotRepresentable(f"{method}: {error}") from None
    return call.request.encode(values, little)


def decode_arguments(method: str, stub: Buffer, little: bool = True) -> tuple[Any, ...]:
    """Arguments of a call.

    Raises BadStubData, which is a fault, and EseBackupError JET_errInvalidParameter, which is an
    answer: for a number that an enumeration does not have and for a list of files without an end.
    """
    call = _CALLS[method]
    values = call.request.decode(stub, little)
    try:
        return call.codec.receive(values)
    except (ValueError, BadStubData) as error:
        raise EseBackupError.from_jet(JetErr.INVALID_PARAMETER, method, str(error)) from None


def encode_result(method: str, result: Any, little: bool = True) -> bytes | bytearray:
    """Stub of a call that succeeded. For `backup_read_file`, result is (size asked for, bytes)."""
    call = _CALLS[method]
    if not call.has_result and result is None:
        return _NO_RESULT
    outcome = _SUCCESS
    if type(result) is RestoreFile and result.at_file_level:
        outcome = (0, None, AT_FILE_LEVEL)
    return call.response.encode((*call.codec.give(result), *outcome), little)


# ASSUMED(detail-length): of the text that goes with an error, 4096 characters travel; names that it
# repeats may be longer.
_DETAIL_MAX: Final = 4096


def failure_text(error: EseBackupError) -> str | None:
    """An error's detail as it travels: NULL for none, no NUL in it, and not too long."""
    detail = error.detail
    if len(detail) > _DETAIL_MAX:
        detail = detail[: _DETAIL_MAX - 1] + "\N{HORIZONTAL ELLIPSIS}"
    return detail.replace("\0", "\N{SYMBOL FOR NULL}") or None


def encode_error(
    method: str, error: EseBackupError, arguments: Sequence[Any], little: bool = True
) -> bytes | bytearray:
    """Stub of a call that failed. arguments: as decoded; some outputs depend on them."""
    call = _CALLS[method]
    outputs = call.codec.failed(tuple(arguments))
    values = (*outputs, error.jet or 0, failure_text(error), error.hresult)
    return call.response.encode(values, little)


def decode_result(method: str, stub: Buffer, little: bool = True) -> Any:
    """Result of a call. Raises EseBackupError for a failure, BadStubData for nonsense."""
    call = _CALLS[method]
    if not call.has_result and stub == _NO_RESULT:
        return None
    values = call.response.decode(stub, little)
    jet, detail, hresult = values[-3:]
    if hresult:
        if hresult == AT_FILE_LEVEL and method == "restore_open_file":
            return RestoreFile(None)
        raise_failure(method, hresult, jet, detail)
    return call.codec.take(values[:-3])


def raise_failure(method: str, hresult: int, jet: int, detail: str | None) -> None:
    """The error that a response tells."""
    raise EseBackupError(hresult, jet or None, method, detail or "")
