"""The backup API as a service: decodes calls, finds contexts, answers.

An error of the API is an answer like any other; faults are left to what is wrong with a call
itself. A client (an association group) has one session, however many connections it opens. When it
goes, its contexts are run down: the backup that one of them holds ends as if broken off (event
215), and a restore stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, NamedTuple, Protocol, runtime_checkable

from eseback.api import BackupApi
from eseback.calls import CALL_BY_METHOD
from eseback.errors import ConnectionLost, EseBackupError
from eseback.rpc import BACKUP_INTERFACE, BACKUP_SYNTAX, OPERATIONS, Buffer, RequestReceived
from eseback.rpc.backup_calls import decode_arguments, encode_error, encode_result
from eseback.rpc.bulk import (
    decode_read_request,
    decode_write,
    encode_read,
    encode_read_error,
    read_ends,
)

from .association import AssociationGroup, Context
from .callfault import ConnectionDropped
from .registry import Client, Handler, Service
from .repeat import ReadAgain, Shorter

_WITHOUT_CONTEXT: Final = frozenset(
    {"get_nodes", "get_registered", "backup_prepare"}
    | {"restore_open", "restore_reopen", "restore_load_environment"}
)
_OPENS: Final = frozenset({"backup_prepare", "restore_open", "restore_reopen"})
_CLOSES: Final = frozenset({"backup_end", "restore_close"})
# Calls with a number that has to be a member of an enumeration: what a wrong one is answered
# depends on the state of the context, so the session is asked.
_ENUMERATED: Final = frozenset({"backup_setup", "backup_instance_end", "restore_close"})


@runtime_checkable
class Lender(Protocol):
    """A BackupApi that can read without a copy."""

    def read_lent(
        self, context: int, handle: int, size: int, memory: Callable[[int], memoryview]
    ) -> Sequence[memoryview]:
        """What ``backup_read_file`` would put into a buffer of ``size`` bytes, of which nothing
        changes any more. memory: gives what is used where the data has no place of its own.
        """
        ...

    def read_again(
        self, context: int, handle: int, size: int, memory: Callable[[int], memoryview]
    ) -> Shorter | None:
        """A shorter way to the same, for calls that only repeat the last one; None without one."""
        ...


class _Held(NamedTuple):
    """What a context handle stands for: the session's number of the context, and the session.

    read: its ``read_lent``, or what comes to the same with a copy. again: its ``read_again``.
    """

    number: int
    api: BackupApi
    read: Callable[[int, int, int, Callable[[int], memoryview]], Sequence[memoryview]]
    again: Callable[[int, int, int, Callable[[int], memoryview]], Shorter | None]


class BackupService:
    """Serves a BackupApi.

    connect: gives a client its session; its argument says whether the client runs on another
    computer. lost: told a context that its client has left behind. read_max: bytes of one read.
    """

    def __init__(
        self,
        connect: Callable[[bool], BackupApi],
        lost: Callable[[int], object],
        read_max: int,
    ) -> None:
        self._connect = connect
        self._lost = lost
        self._read_max = read_max

    def service(self) -> Service:
        """What to register."""
        handlers: dict[int, Handler] = {}
        for method, info in CALL_BY_METHOD.items():
            assert info.opnum is not None
            handlers[info.opnum] = self._handler(method)
        handlers[_opnum("backup_read_file")] = self._read
        handlers[_opnum("restore_write_file")] = self._write
        denials = {_opnum(method): _denial(method) for method in CALL_BY_METHOD}
        return Service(BACKUP_INTERFACE, handlers, without_privilege=denials)

    def api_of(self, group: AssociationGroup) -> BackupApi | None:
        """The session of a client that has made a call, or None."""
        found: BackupApi | None = group.found(self)
        return found

    def _api(self, client: Client) -> BackupApi:
        made: BackupApi = client.group.kept(self, lambda: self._connect(client.is_remote))
        return made

    def _handler(self, method: str) -> Handler:
        has_context, opens = method not in _WITHOUT_CONTEXT, method in _OPENS

        def handle(client: Client, request: RequestReceived) -> Sequence[Buffer]:
            try:
                arguments = _arguments(method, request)
            except EseBackupError as error:
                return (encode_error(method, error, _decode(method, request)),)
            if has_context:
                context: Context = client.group.context(arguments[0], BACKUP_SYNTAX)
                held: _Held = context.value
                with context.lock:
                    actual = (held.number, *arguments[1:])
                    return self._call(client, held.api, method, arguments, actual)
            if opens:
                client.group.check_room()
            return self._call(client, self._api(client), method, arguments, arguments)

        return handle

    def _call(
        self,
        client: Client,
        api: BackupApi,
        method: str,
        arguments: Sequence[Any],
        actual: Sequence[Any],
    ) -> Sequence[Buffer]:
        """arguments: with the context handle; actual: with the number that the session knows."""
        try:
            result = getattr(api, method)(*actual)
        except ConnectionLost:
            raise ConnectionDropped from None
        except EseBackupError as error:
            return (encode_error(method, error, arguments),)
        if method in _OPENS:
            if method == "backup_prepare":
                result = self._open(client.group, api, result[0]), result[1]
            else:
                result = self._open(client.group, api, result)
        elif method in _CLOSES:
            result = client.group.close_context(arguments[0])
        return (encode_result(method, result),)

    def _open(self, group: AssociationGroup, api: BackupApi, number: int) -> bytes:
        if isinstance(api, Lender):
            held = _Held(number, api, api.read_lent, api.read_again)
        else:
            held = _Held(number, api, partial(_read_copied, api), lambda *_: None)
        return group.open_context(BACKUP_SYNTAX, held, lambda held: self._lost(held.number))

    # ---- the calls that carry data

    def _read(self, client: Client, request: RequestReceived) -> Sequence[Buffer]:
        handle, file, size = decode_read_request(request.stub, request.little)
        context = client.group.context(handle, BACKUP_SYNTAX)
        held: _Held = context.value
        wanted = size if size < self._read_max else self._read_max
        client.hold(wanted)
        arguments = held.number, file, wanted, client.memory
        outcome: Sequence[memoryview] | Exception
        with context.lock:
            try:
                outcome = held.read(*arguments)
            except EseBackupError as error:
                outcome = error
        answer = partial(_read_stub, size)
        if wanted == size and not isinstance(outcome, Exception):
            ends = read_ends(size)
            read = partial(held.read, *arguments)
            shorter = partial(held.again, *arguments)
            client.offer(ReadAgain(context, size, ends, read, shorter, answer))
        return answer(outcome)

    def _write(self, client: Client, request: RequestReceived) -> Sequence[Buffer]:
        handle, file, data = decode_write(request.stub, request.little)
        context = client.group.context(handle, BACKUP_SYNTAX)
        held: _Held = context.value
        with context.lock:
            try:
                held.api.restore_write_file(held.number, file, data)
            except ConnectionLost:
                raise ConnectionDropped from None
            except EseBackupError as error:
                return (encode_error("restore_write_file", error, ()),)
        return (encode_result("restore_write_file", None),)


def _read_stub(size: int, outcome: Sequence[memoryview] | Exception) -> Sequence[Buffer]:
    """The answer to a read of `size` bytes, by what the session gave or raised."""
    if not isinstance(outcome, Exception):
        return encode_read(size, *outcome)
    if isinstance(outcome, ConnectionLost):
        raise ConnectionDropped from None
    if isinstance(outcome, EseBackupError):
        return encode_read_error(outcome, size)
    raise outcome


def _denial(method: str) -> Handler:
    """What a client without the backup privilege gets: an answer like any other."""
    error = EseBackupError.from_name("ERROR_ACCESS_DENIED", method)

    def handle(_: Client, request: RequestReceived) -> Sequence[Buffer]:
        return (encode_error(method, error, _decode(method, request)),)

    return handle


def _read_copied(
    api: BackupApi, context: int, handle: int, size: int, memory: Callable[[int], memoryview]
) -> Sequence[memoryview]:
    """See Lender, for those that are none."""
    buffer = memory(size)
    return (buffer[: api.backup_read_file(context, handle, buffer)],)


def _opnum(method: str) -> int:
    opnum = CALL_BY_METHOD[method].opnum
    assert opnum is not None
    return opnum


def _decode(method: str, request: RequestReceived) -> tuple[Any, ...]:
    """Arguments as they are in the stub."""
    return OPERATIONS[method].request.decode(request.stub, request.little)


def _arguments(method: str, request: RequestReceived) -> tuple[Any, ...]:
    """Arguments of the API."""
    try:
        return decode_arguments(method, request.stub, request.little)
    except EseBackupError:
        if method not in _ENUMERATED:
            raise
        return _decode(method, request)
