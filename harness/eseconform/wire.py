"""The wire between a client and what judges it: one client's calls over TCP, as a real server has
them.

Everything that stands between a client and its session (gate, recorder, faults, incidents) stays
on the server's side of the wire. What is recorded there is what arrived; a client that was written
in another language, or that dies, is seen like any other.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Final, Self, TypeVar, cast

from eseback.api import BackupApi
from eseback.errors import ConnectionLost, EseBackupError
from eseback.restoreorder import RESTORE_STARTS
from esebcli.rpcapi import RpcApi
from esebcli.rpcconnection import RpcConnection
from eseconform.errors import HarnessError
from esesim.layer import ApiLayer
from esesim.rpc import BackupService, RpcServer, ServerLimits

R = TypeVar("R")
_HOST: Final = "127.0.0.1"
_GIVES_CONTEXT: Final = frozenset({*RESTORE_STARTS, "backup_prepare"})
_NO_CONTEXT: Final = 0  # the stub counts its contexts from 1
_PATIENCE_SECONDS: Final = 10.0


class Wire:
    """Serves one BackupApi on a port of this computer, from here to :meth:`close`.

    ``api`` is one session, for however many connections and association groups. ``lost`` is told
    each context that a client leaves behind when the last connection of its association group
    goes; it may be told from several threads. Use as a context manager, or call :meth:`close`.
    """

    def __init__(
        self,
        api: BackupApi,
        lost: Callable[[int], object],
        limits: ServerLimits | None = None,
    ) -> None:
        limits = limits or ServerLimits()
        self.served = _Served(api)
        self.failure: HarnessError | None = None
        """What went wrong on the wire itself, and is no client's fault."""
        backup = BackupService(lambda _: self.served, lost, limits.read_max)
        self._server = RpcServer([backup.service()], _HOST, 0, limits).start()
        self._clients: list[WireClient] = []

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        return self._server.address

    @property
    def endpoint(self) -> str:
        """What a command line takes: ``rpc:127.0.0.1:PORT``."""
        host, port = self.address
        return f"rpc:{host}:{port}"

    def connect(self) -> WireClient:
        """A client in this process, in an association group of its own."""
        client = WireClient(self)
        self._clients.append(client)
        return client

    def cut(self) -> None:
        """Break every connection, now; calls that wait for an answer fail."""
        self._server.cut("the harness gave this job up")

    def wait_for_end(self, connections: int = 0) -> None:
        """Wait until no more connections are left, and what the others left behind is lost.

        Raises:
            HarnessError: it takes far too long.
        """
        if not self._server.wait_for_end(connections, _PATIENCE_SECONDS):
            raise HarnessError("the server does not notice that a connection was closed")

    @property
    def connections(self) -> int:
        """How many there are now."""
        return self._server.connections

    def close(self) -> None:
        """End clients and server; contexts that are left are lost. Closing twice is allowed."""
        for client in self._clients:
            client.close()
        self._server.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class _Served(ApiLayer):
    """What is served; keeps the contexts that were given out, for the client that gets them."""

    def __init__(self, api: BackupApi) -> None:
        super().__init__(api)
        self.fresh: deque[int] = deque()

    def around(self, method: str, function: Callable[..., R], arguments: Mapping[str, Any]) -> R:
        """Make the call."""
        result = function(**arguments)
        if method in _GIVES_CONTEXT:
            self.fresh.append(_context_in(method, result))
        return result


class WireClient(ApiLayer):
    """A client in this process: :class:`esebcli.rpcapi.RpcApi` with two peculiarities.

    Contexts have the numbers that they have on the server, so that both sides speak of the same.

    In process each call of a client is seen, also one of which no server would ever hear: in a
    context that has ended, for which the stub has no handle, or after the connection broke. So
    that the same is seen of the same client, such a call is made on the server's side of the wire,
    which has to refuse it.
    """

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._numbers: dict[int, int] = {}  # of the stub, by those of the server
        self._association = Association(*wire.address)
        super().__init__(self._association.api)

    def around(self, method: str, function: Callable[..., R], arguments: Mapping[str, Any]) -> R:
        """Make the call, or what stands for it."""
        association = self._association
        association.sent = False
        told = dict(arguments)
        if "context" in told:
            told["context"] = self._numbers.get(told["context"], _NO_CONTEXT)
        try:
            result = function(**told)
        except EseBackupError:
            if association.sent:
                raise
            self._tell(method, arguments)
            raise
        if method in _GIVES_CONTEXT:
            number = self._wire.served.fresh.popleft()
            self._numbers[number] = _context_in(method, result)
            return cast("R", _with_context(method, result, number))
        return result

    def holds(self, context: int) -> bool:
        """Whether it was given this context."""
        return context in self._numbers

    def hang_up(self) -> None:
        """Close the connections and come again, as a client that was killed and started anew."""
        before = self._wire.connections
        closed = self._association.close()
        self._wire.wait_for_end(before - closed)
        self._numbers.clear()
        self._association = Association(*self._wire.address)
        self.rebind(self._association.api)

    def close(self) -> None:
        """Close the connections; the server ends what is left of the contexts."""
        self._association.close()

    def _tell(self, method: str, arguments: Mapping[str, Any]) -> None:
        """Make a call that was not sent. Raises what the server's side answers."""
        getattr(self._wire.served, method)(**arguments)
        self._wire.failure = HarnessError(f"{method} was not sent, and would have succeeded")
        raise self._wire.failure


def _context_in(method: str, result: object) -> int:
    if method == "backup_prepare":
        return cast("tuple[int, object]", result)[0]
    return cast("int", result)


def _with_context(method: str, result: object, context: int) -> object:
    if method == "backup_prepare":
        return (context, *cast("tuple[int, object]", result)[1:])
    return context


class Association:
    """Connections of one association group, for :class:`esebcli.rpcapi.RpcApi` in place of a single
    one: as many as its threads make calls at a time, which is how Windows' RPC runtime does it.

    When one of them breaks, all of it is broken: the client's contexts belong to all of them.
    """

    def __init__(self, host: str, port: int) -> None:
        self._address = host, port
        first = RpcConnection(host, port)
        self._group = first.group
        self._idle = [first]
        self._broken = ""
        self._lock = threading.Lock()
        self._thread = threading.local()
        # It has all of a connection that the API asks for.
        self.api = RpcApi(cast("RpcConnection", self))

    @property
    def sent(self) -> bool:
        """Whether this thread has sent a call since it last set this to False."""
        return getattr(self._thread, "sent", False)

    @sent.setter
    def sent(self, value: bool) -> None:
        self._thread.sent = value

    def call(self, method: str, *request: Any) -> Any:
        """See RpcConnection."""
        with self._connection(method) as connection:
            return connection.call(method, *request)

    def call_into(self, method: str, *request: Any) -> Any:
        """See RpcConnection."""
        with self._connection(method) as connection:
            return connection.call_into(method, *request)

    def close(self) -> int:
        """Close what is idle now, and the others after their calls. Gives how many were idle."""
        return self._break("the connection was closed")

    @contextmanager
    def _connection(self, method: str) -> Iterator[RpcConnection]:
        """A connection on which nothing is going on."""
        with self._lock:
            if self._broken:
                raise ConnectionLost(call=method, detail=self._broken)
            connection = self._idle.pop() if self._idle else None
        connection = connection or self._one_more(method)
        self.sent = True
        try:
            yield connection
        except EseBackupError as error:
            # What the server answered is an answer; nothing else leaves a connection of use.
            if isinstance(error, ConnectionLost):
                self._break(error.detail)
            raise
        except BaseException as error:
            self._break(f"a call was broken off: {type(error).__name__}")
            raise
        finally:
            self._put_back(connection)

    def _one_more(self, method: str) -> RpcConnection:
        try:
            return RpcConnection(*self._address, group=self._group)
        except (OSError, ConnectionLost) as error:
            # The server is going away, and nobody has told this thread yet.
            self._break(str(error))
            raise ConnectionLost(call=method, detail=str(error)) from error

    def _put_back(self, connection: RpcConnection) -> None:
        with self._lock:
            if not self._broken:
                self._idle.append(connection)
                return
        connection.close()

    def _break(self, detail: str) -> int:
        with self._lock:
            self._broken = self._broken or detail
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()
        return len(idle)
