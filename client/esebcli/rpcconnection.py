"""A socket with the protocol on top: one call at a time, each with a time limit.

Whatever happens within a call, the connection is either ready for the next one or closed. Reading a
large answer goes straight into the caller's memory where the system can do that.
"""

from __future__ import annotations

import socket
import struct
import sys
import threading
from collections.abc import Sequence
from typing import Final

from eseback.errors import ConnectionLost
from eseback.rpc import (
    BACKUP_SYNTAX,
    NDR32,
    NEED_DATA,
    BadStubData,
    BindAccepted,
    BindFeature,
    BindRejected,
    Buffer,
    ClientConnection,
    ClientEvent,
    ConnectionClosed,
    ContextOffer,
    FaultReceived,
    Limits,
    RemoteProtocolError,
    ResponseReceived,
    ScatterRead,
    ServerShutDown,
)
from eseback.rpc.gather import send_gathered, send_joined
from esebcli.rpcerrors import ProtocolViolation, fault_error

CONTEXT_ID: Final = 0
DEFAULT_CONNECT_SECONDS: Final = 10.0
_CHUNK: Final = 1 << 16
_CALL_MAX: Final = (4 << 20) + (1 << 16)  # bytes of an answer: a read of 4 MiB with what is around


class RpcConnection:
    """A connection that is bound to the backup interface.

    seconds: how long the server may be silent during a call, and how long it may take what is sent;
    0 for as long as it likes. gather: send from and receive into several buffers at once, where the
    system can. Raises OSError (cannot be reached), ConnectionLost (it does not want us).
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        connect_seconds: float = DEFAULT_CONNECT_SECONDS,
        seconds: float = 0.0,
        gather: bool = hasattr(socket.socket, "recvmsg_into"),
    ) -> None:
        self._name = f"{host}:{port}"
        self._limit = connect_seconds
        self._gather = gather
        self._lock = threading.Lock()
        self._protocol = ClientConnection(Limits(call_max=_CALL_MAX))
        self._socket: socket.socket | None = _connect(host, port, connect_seconds)
        try:
            _set_limit(self._open_socket(), connect_seconds)
            self._bind()
            _set_limit(self._open_socket(), seconds)
        except BaseException as error:
            raise self._broken(error, "") from None
        self._limit = seconds

    def close(self) -> None:
        """Let go; the server runs down what is left. Closing twice is allowed."""
        sock, self._socket = self._socket, None
        if sock is not None:
            sock.close()

    def call(self, method: str, opnum: int, stub: Sequence[Buffer]) -> ResponseReceived:
        """Make a call and wait for its answer.

        Raises EseBackupError for a fault, ConnectionLost, ProtocolViolation.
        """
        with self._lock:
            try:
                self._open_socket()
                _, buffers = self._protocol.request(CONTEXT_ID, opnum, stub)
                self._send(buffers)
                answer = self._next_answer()
            except BaseException as error:
                raise self._broken(error, method) from None
        return _response(answer, method)

    def call_into(
        self, method: str, opnum: int, stub: Sequence[Buffer], head: int, out: memoryview, tail: int
    ) -> ResponseReceived | tuple[bytes, bytes]:
        """Make a call whose answer is probably so many bytes, those of ``out``, and so many more.

        Gives head and tail if so, else the whole answer. Raises what :meth:`call` does.
        """
        if not self._gather:
            return self.call(method, opnum, stub)
        with self._lock:
            try:
                sock, protocol = self._open_socket(), self._protocol
                call_id, buffers = protocol.request(CONTEXT_ID, opnum, stub)
                scatter = protocol.expect(call_id, head, out, tail)
                self._send(buffers)
                if scatter is not None:
                    placed = self._receive_in_place(sock, scatter)
                    if placed is not None:
                        return placed
                answer = self._next_answer()
            except BaseException as error:
                raise self._broken(error, method) from None
        return _response(answer, method)

    # ---- within

    def _bind(self) -> None:
        offer = ContextOffer(CONTEXT_ID, BACKUP_SYNTAX, (NDR32,))
        self._send(self._protocol.bind([offer], features=BindFeature.KEEP_CONNECTION_ON_ORPHAN))
        event = self._next_event()
        if isinstance(event, BindRejected):
            raise ConnectionLost(detail=f"the server rejects the bind, reason {event.reason}")
        if isinstance(event, ConnectionClosed):
            raise _closed()
        if not isinstance(event, BindAccepted):
            raise RemoteProtocolError(f"a bind is answered with {type(event).__name__}")
        if CONTEXT_ID not in event.accepted:
            raise ConnectionLost(detail="the server does not have the backup interface")

    def _send(self, buffers: Sequence[Buffer]) -> None:
        sock = self._open_socket()
        if self._gather:
            send_gathered(sock.sendmsg, buffers)
        else:
            send_joined(sock.sendall, buffers)

    def _receive_in_place(
        self, sock: socket.socket, scatter: ScatterRead
    ) -> tuple[bytes, bytes] | None:
        while scatter.predicted and not scatter.complete:
            count = sock.recvmsg_into(scatter.buffers())[0]
            if not count:
                raise _closed()
            scatter.received(count)
        return self._protocol.finish(scatter)

    def _next_event(self) -> ClientEvent:
        protocol, receive = self._protocol, self._open_socket().recv
        while (event := protocol.next_event()) is NEED_DATA:
            protocol.receive_data(receive(_CHUNK))
        return event

    def _next_answer(self) -> ResponseReceived | FaultReceived:
        while True:
            event = self._next_event()
            if isinstance(event, ResponseReceived | FaultReceived):
                return event
            if isinstance(event, ConnectionClosed):
                raise _closed()
            if not isinstance(event, ServerShutDown):  # which asks to go once nothing is running
                raise RemoteProtocolError(f"a call is answered with {type(event).__name__}")

    def _open_socket(self) -> socket.socket:
        if self._socket is None:
            raise ConnectionLost(detail=f"the connection to {self._name} was closed")
        return self._socket

    def _broken(self, error: BaseException, method: str) -> BaseException:
        """Close the connection; gives what to raise, in the words of the API."""
        self.close()
        call = method or None
        if isinstance(error, ConnectionLost):
            return ConnectionLost(call=call, detail=error.detail)
        if isinstance(error, RemoteProtocolError):
            return ProtocolViolation(call=call, detail=str(error))
        if isinstance(error, BlockingIOError | TimeoutError):
            text = f"{self._name} was silent for {self._limit:g} s"
            return ConnectionLost(call=call, detail=text)
        if isinstance(error, OSError):
            text = error.strerror or str(error)
            return ConnectionLost(call=call, detail=f"{self._name}: {text}")
        # Interrupted, or our own mistake: nobody knows how much of a PDU has been sent or received.
        return error


def violation(error: BadStubData, method: str) -> ProtocolViolation:
    """What to raise for an answer that can't be decoded."""
    return ProtocolViolation(call=method, detail=str(error))


def _response(answer: ResponseReceived | FaultReceived, method: str) -> ResponseReceived:
    if isinstance(answer, FaultReceived):
        raise fault_error(answer.status, method)
    return answer


def _closed() -> ConnectionLost:
    return ConnectionLost(detail="the server closed the connection")


def _connect(host: str, port: int, seconds: float) -> socket.socket:
    sock = socket.create_connection((host, port), seconds or None)
    sock.settimeout(None)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return sock


def _set_limit(sock: socket.socket, seconds: float) -> None:
    """Limit each wait within the system itself: `settimeout` would cost a `poll` for each."""
    if sys.platform == "win32":
        value = struct.pack("I", int(seconds * 1000))
    else:
        value = struct.pack("@ll", int(seconds), int(seconds % 1 * 1_000_000))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, value)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, value)
