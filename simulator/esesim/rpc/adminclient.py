"""A small blocking client of the administration interface: what ``esesim ctl`` works with.

with AdminClient("rpc:127.0.0.1:5000") as admin:
    admin.call("dismount", None, "First Storage Group", "Mailboxes")
    for row in admin.rows("get_events", None):
        print(row["text"])
"""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, Final, Self

from eseback.errors import ConnectionLost
from eseback.rpc import (
    NDR32,
    NEED_DATA,
    AuthenticationFailed,
    BindAccepted,
    Buffer,
    ClientConnection,
    ClientEvent,
    ConnectionClosed,
    ContextOffer,
    FaultReceived,
    FaultStatus,
    Limits,
    RemoteProtocolError,
    ResponseReceived,
    RpcError,
    bind_as,
    status_name,
)
from eseback.rpc.admin import ADMIN_OPERATIONS, ADMIN_SYNTAX, take_outputs

from .adminaddress import parse_address

PAGE: Final = 500
_CHUNK: Final = 1 << 16
_CALL_MAX: Final = 64 << 20
_CONTEXT: Final = 0


class AdminUnavailable(Exception):
    """The server cannot be reached, or has no administration interface; the text says which."""


class AdminClient:
    """A connection. server: see `parse_address`. seconds: the longest silence of the server.

    Raises AdminUnavailable, ValueError for an address that is none, MissingLibraryError.
    """

    def __init__(
        self, server: str, *, seconds: float = 600.0, connect_seconds: float = 10.0
    ) -> None:
        address = parse_address(server)
        self.name = f"{address.host}:{address.port}"
        self._credentials = address.credentials
        self._protocol = ClientConnection(Limits(call_max=_CALL_MAX))
        try:
            where = address.host, address.port
            self._socket = socket.create_connection(where, connect_seconds)
        except OSError as error:
            raise AdminUnavailable(f"{self.name}: {error.strerror or error}") from None
        try:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._bind()
            self._socket.settimeout(seconds)
        except BaseException:
            self.close()
            raise

    def call(self, name: str, *arguments: Any) -> tuple[Any, ...]:
        """Carry out an operation of `eseback.rpc.admin`; gives its outputs.

        Raises EseBackupError where it is refused, ConnectionLost.
        """
        made = ADMIN_OPERATIONS[name]
        event = self._exchange(made.opnum, made.request.encode(arguments))
        if isinstance(event, FaultReceived):
            why = status_name(event.status)
            if event.status == FaultStatus.ACCESS_DENIED:
                why = f"who calls has to be known, or better protected (user=, level=): {why}"
            raise AdminUnavailable(f"{self.name}: {why}")
        with self._told():
            return take_outputs(name, made.response.decode(event.stub, event.little))

    def rows(self, name: str, *arguments: Any, first: int = 0) -> Iterator[dict[str, Any]]:
        """The rows of an operation that gives pages, from one of them on; the rest of its pages is
        fetched when it is wanted. Raises what :meth:`call` does.
        """
        for text in self.texts(name, *arguments, first=first):
            yield json.loads(text)

    def texts(self, name: str, *arguments: Any, first: int = 0) -> Iterator[str]:
        """The same as they come."""
        end = first + 1
        while first < end:
            first, end, found = self.call(name, *arguments, first, PAGE)
            yield from found

    def close(self) -> None:
        """Let go. Closing twice is allowed."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # ---- within

    def _bind(self) -> None:
        offer = ContextOffer(_CONTEXT, ADMIN_SYNTAX, (NDR32,))
        try:
            is_there = bind_as(self._credentials, self._protocol, offer, self._bound)
        except AuthenticationFailed as error:
            raise AdminUnavailable(f"{self.name}: {error}") from None
        except RemoteProtocolError:
            text = "the authentication does not come to an end"
            raise AdminUnavailable(f"{self.name}: {text}") from None
        if not is_there:
            raise AdminUnavailable(
                f"{self.name} has no administration interface: start it with `esesim serve --admin`"
            )

    def _bound(self, buffers: Sequence[Buffer]) -> BindAccepted:
        """The answer to a bind or alter_context."""
        try:
            with self._told():
                self._send(buffers)
                event = self._next_event()
        except ConnectionLost as error:
            raise AdminUnavailable(error.detail) from None
        if isinstance(event, BindAccepted):
            return event
        if self._credentials is None:
            raise AdminUnavailable(f"{self.name} does not let us in: {event}")
        raise AdminUnavailable(
            f"{self.name} has no users, does not know {self._credentials.user}, or by another "
            "password"
        )

    def _exchange(self, opnum: int, stub: bytes | bytearray) -> ResponseReceived | FaultReceived:
        with self._told():
            _, buffers = self._protocol.request(_CONTEXT, opnum, [stub])
            self._send(buffers)
            while True:
                event = self._next_event()
                if isinstance(event, ResponseReceived | FaultReceived):
                    return event

    def _send(self, buffers: Sequence[Buffer]) -> None:
        self._socket.sendall(b"".join(buffers))

    def _next_event(self) -> ClientEvent:
        while (event := self._protocol.next_event()) is NEED_DATA:
            self._protocol.receive_data(self._socket.recv(_CHUNK))
        if isinstance(event, ConnectionClosed):
            raise ConnectionLost(detail="the server closed the connection")
        return event

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Trouble with the line as ConnectionLost; the connection is closed then."""
        try:
            yield
        except (OSError, RpcError) as error:
            self.close()
            text = (
                "the server was silent for too long" if isinstance(error, TimeoutError) else error
            )
            raise ConnectionLost(detail=f"{self.name}: {text}") from None
