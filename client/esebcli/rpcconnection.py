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
from typing import Final, NamedTuple

from attrs import define

from eseback.errors import ConnectionLost, EseBackupError
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
    ClientState,
    ConnectionClosed,
    ContextOffer,
    Credentials,
    FaultReceived,
    FaultStatus,
    ForeseenCall,
    Limits,
    RejectReason,
    RemoteProtocolError,
    RepeatedCall,
    ResponseReceived,
    ScatterRead,
    ServerShutDown,
    bind_as,
)
from eseback.rpc.gather import send_gathered, send_joined
from esebcli.rpcerrors import AccessRefused, ProtocolViolation, fault_error

CONTEXT_ID: Final = 0
DEFAULT_CONNECT_SECONDS: Final = 10.0
_CHUNK: Final = 1 << 16
_SMALL: Final = 1024  # bytes that are copied rather than gathered
_CALL_MAX: Final = (4 << 20) + (1 << 16)  # bytes of an answer: a read of 4 MiB with what is around


class Placed(NamedTuple):
    """Stub of an answer whose middle has been put where it belongs, `size` bytes: what comes before
    and after. In one that is shorter than foreseen, nothing comes after: it is in the middle.
    """

    head: bytes
    size: int
    tail: bytes


_Sent = tuple[socket.socket, memoryview, list[memoryview], RepeatedCall | None, ScatterRead | None]
"""A call that was sent, where its data goes, and how its answer is received: all of it into the
buffers of a list, in place piece by piece, or neither. A named tuple takes too long to make."""


@define(eq=False)
class CallAhead:
    """A call that was sent and not waited for yet."""

    method: str
    sent: _Sent | None = None
    answer: ResponseReceived | FaultReceived | Placed | None = None
    error: BaseException | None = None


class RpcConnection:
    """A connection that is bound to the backup interface.

    seconds: how long the server may be silent during a call, and how long it may take what is sent;
    0 for as long as it likes. group: the association group to join, 0 for a new one. credentials:
    who we are, None for nobody in particular. gather: send from and receive into several buffers
    at once, where the system can. Raises OSError (cannot be reached), ConnectionLost (it does not
    want us), AccessRefused, MissingLibraryError.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        connect_seconds: float = DEFAULT_CONNECT_SECONDS,
        seconds: float = 0.0,
        group: int = 0,
        credentials: Credentials | None = None,
        gather: bool = hasattr(socket.socket, "recvmsg_into"),
    ) -> None:
        self._name = f"{host}:{port}"
        self._limit = connect_seconds
        self._credentials = credentials
        self._gather = gather
        self._lock = threading.Lock()
        self._is_clean = False  # nothing was received that is not dealt with
        self._ahead: CallAhead | None = None
        self._protocol = ClientConnection(Limits(call_max=_CALL_MAX))
        self._socket: socket.socket | None = _connect(host, port, connect_seconds)
        try:
            _set_limit(self._open_socket(), connect_seconds)
            self._bind(group)
            _set_limit(self._open_socket(), seconds)
        except BaseException as error:
            raise self._broken(error, "") from None
        self._limit = seconds

    @property
    def concurrent(self) -> bool:
        """Whether concurrent calls were agreed on."""
        return self._protocol.concurrent

    @property
    def group(self) -> int:
        """The association group that it belongs to."""
        return self._protocol.assoc_group_id

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
                if self._ahead is not None:
                    self._settle(self._ahead)
                sock, protocol = self._open_socket(), self._protocol
                call_id, buffers = protocol.request(CONTEXT_ID, opnum, stub)
                self._send(buffers)
                answer = None
                if self._is_clean:
                    data = sock.recv(_CHUNK)
                    answer = protocol.take_response(call_id, data)
                    if answer is not None:
                        return answer
                    protocol.receive_data(data)
                other = self._next_answer()
            except BaseException as error:
                raise self._broken(error, method) from None
        return self._response(other, method)

    def call_into(
        self, method: str, call: ForeseenCall, out: memoryview
    ) -> ResponseReceived | Placed | None:
        """Make a call whose answer is probably the foreseen one, its data in ``out``.

        None if that is what came. Head and tail if they are others, else the whole answer. Raises
        what :meth:`call` does.
        """
        with self._lock:
            try:
                if self._ahead is not None:
                    self._settle(self._ahead)
                found = self._protocol.call_again(call, out) if self._gather else None
                if found is None:
                    answer = self._receive_into(self._send_into(call, out))
                else:
                    # The same two steps, written out: a backup does hardly anything else.
                    again, request, order = found
                    sock = self._socket or self._open_socket()
                    sock.sendall(request)
                    count = sock.recvmsg_into(order)[0]
                    if self._protocol.is_answered(again, count):
                        return None
                    answer = self._receive_slowly(sock, again.slowly(out), count)
            except BaseException as error:
                raise self._broken(error, method) from None
        if answer is None or isinstance(answer, Placed):
            return answer
        return self._response(answer, method)

    def start_into(self, method: str, call: ForeseenCall, out: memoryview) -> CallAhead:
        """The first half of :meth:`call_into`; :meth:`finish_into` is the second.

        Until then ``out`` belongs to the call. Another call that is made meanwhile waits for its
        answer first. Only where :attr:`concurrent` calls were agreed on. What goes wrong is told by
        the second half.
        """
        with self._lock:
            ahead = CallAhead(method)
            try:
                if self._ahead is not None:
                    self._settle(self._ahead)
                ahead.sent = self._send_into(call, out)
                self._ahead = ahead
            except Exception as error:
                ahead.error = self._broken(error, method)
            except BaseException as error:  # interrupted: nobody knows how much was sent
                raise self._broken(error, method) from None
        return ahead

    def finish_into(self, ahead: CallAhead) -> ResponseReceived | Placed | None:
        """Wait for the answer to a call that was started. Gives and raises as :meth:`call_into`."""
        with self._lock:
            if self._ahead is ahead:
                self._settle(ahead)
        if ahead.error is not None:
            raise ahead.error
        answer = ahead.answer
        if answer is None or isinstance(answer, Placed):
            return answer
        return self._response(answer, ahead.method)

    # ---- within

    def _send_into(self, call: ForeseenCall, out: memoryview) -> _Sent:
        """Send the request of :meth:`call_into`."""
        sock, protocol = self._open_socket(), self._protocol
        if self._gather:
            found = protocol.call_again(call, out)
            if found is not None:
                again, request, order = found
                sock.sendall(request)
                return sock, out, order, again, None
        call_id, buffers = protocol.request(call.context_id, call.opnum, (call.stub,))
        scatter = protocol.expect(call_id, call.head, out, call.tail) if self._gather else None
        sock.sendall(b"".join(buffers))
        return sock, out, [], None, scatter

    def _receive_into(self, sent: _Sent) -> ResponseReceived | FaultReceived | Placed | None:
        """Receive the answer of :meth:`call_into`."""
        sock, out, order, again, scatter = sent
        if again is not None:
            count = sock.recvmsg_into(order)[0]
            if self._protocol.is_answered(again, count):
                return None
            return self._receive_slowly(sock, again.slowly(out), count)
        if scatter is not None:
            return self._receive_slowly(sock, scatter, sock.recvmsg_into(scatter.buffers())[0])
        return self._next_answer()

    def _receive_slowly(
        self, sock: socket.socket, scatter: ScatterRead, count: int
    ) -> ResponseReceived | FaultReceived | Placed | None:
        """Receive an answer of which the first `count` bytes are in place already."""
        while True:
            if not count:
                raise _closed()
            scatter.received(count)
            if scatter.complete or not scatter.predicted:
                break
            count = sock.recvmsg_into(scatter.buffers())[0]
        placed = self._protocol.finish(scatter)
        if scatter.exact:
            return None
        if placed is None:
            return self._next_answer()
        head, tail = placed
        return Placed(head, scatter.filled, tail)

    def _settle(self, ahead: CallAhead) -> None:
        """Have the answer to the call that was started, or what went wrong."""
        self._ahead = None
        try:
            assert ahead.sent is not None, "only a call that was sent is waited for"
            ahead.answer = self._receive_into(ahead.sent)
        except Exception as error:
            ahead.error = self._broken(error, ahead.method)
        except BaseException as error:
            raise self._broken(error, ahead.method) from None

    def _bind(self, group: int) -> None:
        if not bind_as(
            self._credentials,
            self._protocol,
            ContextOffer(CONTEXT_ID, BACKUP_SYNTAX, (NDR32,)),
            self._bound,
            assoc_group_id=group,
            concurrent=True,
            features=BindFeature.KEEP_CONNECTION_ON_ORPHAN,
        ):
            raise ConnectionLost(detail="the server does not have the backup interface")

    def _bound(self, buffers: Sequence[Buffer]) -> BindAccepted:
        """The answer to a bind or alter_context."""
        self._send(buffers)
        event = self._next_event()
        if isinstance(event, BindAccepted):
            return event
        if isinstance(event, ConnectionClosed):
            raise _closed()
        if isinstance(event, BindRejected | FaultReceived) and self._credentials is not None:
            raise _refusal(event, self._credentials)
        if isinstance(event, BindRejected):
            raise ConnectionLost(detail=f"the server rejects the bind, reason {event.reason}")
        raise RemoteProtocolError(f"a bind is answered with {type(event).__name__}")

    def _send(self, buffers: Sequence[Buffer]) -> None:
        sock = self._open_socket()
        if len(buffers) == 2 and len(buffers[1]) <= _SMALL:
            sock.sendall(b"".join(buffers))
        elif self._gather:
            send_gathered(sock.sendmsg, buffers)
        else:
            send_joined(sock.sendall, buffers)

    def _next_event(self) -> ClientEvent:
        protocol, receive = self._protocol, self._open_socket().recv
        while (event := protocol.next_event()) is NEED_DATA:
            protocol.receive_data(receive(_CHUNK))
        self._is_clean = not protocol.buffered
        return event

    def _next_answer(self) -> ResponseReceived | FaultReceived:
        while True:
            event = self._next_event()
            if isinstance(event, ResponseReceived | FaultReceived):
                if self._protocol.state is ClientState.CLOSED:
                    self.close()  # a fault that answers the authentication, not a call
                return event
            if isinstance(event, ConnectionClosed):
                raise _closed()
            if not isinstance(event, ServerShutDown):  # which asks to go once nothing is running
                raise RemoteProtocolError(f"a call is answered with {type(event).__name__}")

    def _open_socket(self) -> socket.socket:
        if self._socket is None:
            raise ConnectionLost(detail=f"the connection to {self._name} was closed")
        return self._socket

    def _response(self, answer: ResponseReceived | FaultReceived, method: str) -> ResponseReceived:
        if not isinstance(answer, FaultReceived):
            return answer
        if answer.status != FaultStatus.ACCESS_DENIED:
            raise fault_error(answer.status, method)
        credentials = self._credentials
        if credentials is None:
            what = "the server wants to know who calls (user=)"
        else:
            name = credentials.level.name.lower()
            what = f"the server wants more protection than level={name}, or another user"
        raise AccessRefused(call=method, detail=what)

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


def _refusal(event: BindRejected | FaultReceived, credentials: Credentials) -> EseBackupError:
    """What it means that a server answers our token like this."""
    if isinstance(event, BindRejected):
        if event.reason == RejectReason.AUTHENTICATION_TYPE_NOT_RECOGNIZED:
            what = (
                f"{credentials.auth_type.name} is not offered: leave user= out, or name users there"
            )
            return AccessRefused(detail=what)
        if event.reason != RejectReason.INVALID_CHECKSUM:
            return ConnectionLost(detail=f"the server rejects the bind, reason {event.reason}")
    return AccessRefused(
        detail=f"the server does not know {credentials.user}, or by another password"
    )


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
