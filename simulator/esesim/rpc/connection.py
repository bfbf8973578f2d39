"""One connection: a thread that receives, has calls carried out, and answers.

Calls of one connection are carried out one after the other, in the order in which they came; also
where the client may have several on their way. What takes too long is found by the server's watcher
(see `server`), which looks at `phase` and `since`; so nothing here needs a time limit of its own,
and no call pays for one.
"""

from __future__ import annotations

import contextlib
import logging
import socket
from collections.abc import Mapping, Sequence
from time import monotonic
from typing import Final, Protocol

from eseback.rpc import (
    NEED_DATA,
    AuthContinued,
    AuthenticationFailed,
    AuthLevel,
    BadStubData,
    BindRequested,
    Buffer,
    CallRefused,
    ConnectionClosed,
    FaultStatus,
    RejectReason,
    RemoteProtocolError,
    RequestReceived,
    ServerConnection,
    ServerState,
    SyntaxId,
    status_name,
)
from eseback.rpc.gather import send_gathered, send_joined, send_rest

from .association import AssociationGroup, Associations
from .authentication import Authentication, ClientAuthentication
from .callfault import CallFault, ConnectionDropped
from .limits import MemoryBudget, ServerLimits
from .phases import Phase
from .registry import Handler, Service
from .repeat import Foresight, Repeatable, Repetitions

log: Final = logging.getLogger("esesim.rpc")
_CHUNK: Final = 1 << 16
_FEW: Final = 4  # buffers that are joined rather than gathered if they are
_SMALL: Final = 1024  # bytes
_FAREWELL_SECONDS: Final = 0.5


# Looking a member up in its enumeration costs as much as a call (CPython 3.11).
_HANDSHAKE, _IDLE, _RECEIVING, _CALL, _SENDING = Phase


class Host(Protocol):
    """What a connection needs of its server."""

    limits: ServerLimits
    authentication: Authentication | None
    memory: MemoryBudget
    associations: Associations
    tally: list[int]
    is_stopping: bool

    @property
    def services(self) -> Mapping[SyntaxId, Service]:
        """What is served, by interface."""
        ...


class _Cut(Exception):
    """The connection has to end; the text says why."""


class Connection:
    """One client's connection, as handlers see it (`registry.Client`) and as the server does."""

    def __init__(
        self, host: Host, sock: socket.socket, peer: str, is_remote: bool, *, gather: bool
    ) -> None:
        self.peer = peer
        self.is_remote = is_remote
        self.phase = _HANDSHAKE
        self.since = monotonic()
        # While calls repeat nobody looks at the clock: see `unchanged_since`. One step before an
        # answer is sent, one after.
        self._steps = self._steps_seen = 0
        self._steps_seen_at = 0.0
        self.cut_reason = ""  # why the server has cut the connection, if it has
        self._host = host
        self._socket = sock
        self._gather = gather
        self._group: AssociationGroup | None = None
        self._auth = ClientAuthentication(host.authentication)
        self._is_in = False  # bound, and not about to prove who it is
        self._reserved = 0  # bytes of the budget
        self._lent = 0  # of these, for answers
        self._copies = 1  # of an answer: sealing writes it a second time
        self._buffer = memoryview(b"")
        self._told: set[int] = set()  # faults that the log has
        self._repetitions = Repetitions()
        self._handlers: dict[int, Mapping[int, Handler]] = {}  # by presentation context
        self._protocol = ServerConnection(
            host.services,
            host.limits.call,
            secondary_address=str(sock.getsockname()[1]),
            auth_types=self._auth.types,
        )

    # ---- for handlers

    @property
    def group(self) -> AssociationGroup:
        """Its association group; there is one as soon as there are calls."""
        assert self._group is not None
        return self._group

    def memory(self, size: int) -> memoryview:
        """See `registry.Client`."""
        if size * self._copies > self._lent:
            self.hold(size)
        if len(self._buffer) < size:
            self._buffer = memoryview(bytearray(size))
        return self._buffer[:size]

    def hold(self, size: int) -> None:
        """See `registry.Client`."""
        size *= self._copies
        if size > self._lent:
            self._reserve(self._reserved + size - self._lent, FaultStatus.REMOTE_NO_MEMORY)
            self._lent = size

    def offer(self, repeatable: Repeatable) -> None:
        """See `registry.Client`."""
        self._repetitions.offer(repeatable)

    # ---- for the server

    @property
    def joined(self) -> AssociationGroup | None:
        """Its association group, once there is one."""
        return self._group

    @property
    def holds_contexts(self) -> bool:
        """Whether its client has context handles."""
        return self._group is not None and self._group.holds_contexts

    @property
    def is_busy(self) -> bool:
        """Whether a call is being carried out or answered."""
        return self.phase in (_CALL, _SENDING)

    @property
    def repeated(self) -> int:
        """Calls that were answered like the one before: one packet in and one out for each. They
        are not in the host's tally.
        """
        return (self._steps + 1) // 2

    def unchanged_since(self, now: float) -> float:
        """How long it has done the same, as a monotonic time: for the one who watches, who looks
        every now and then. Calls that repeat count from when he first saw the last one.
        """
        if self._steps != self._steps_seen:
            self._steps_seen, self._steps_seen_at = self._steps, now
        return max(self.since, self._steps_seen_at)

    def cut(self, reason: str) -> None:
        """End the connection, from any thread."""
        self.cut_reason = self.cut_reason or reason
        with contextlib.suppress(OSError):  # the client may have been quicker
            self._socket.shutdown(socket.SHUT_RDWR)

    def run(self) -> None:
        """Serve the client until it goes, or has to go."""
        try:
            self._serve()
        except _Cut as error:
            self.cut_reason = self.cut_reason or str(error)
        except ConnectionDropped:
            pass
        except OSError as error:
            log.debug("%s: %s", self.peer, error)
        except Exception as error:
            # Ours to mend; the other clients must not feel it.
            log.error("%s: the server failed: %r", self.peer, error)
            log.debug("where it failed", exc_info=True)
        finally:
            if self.cut_reason:
                log.info("%s: connection closed: %s", self.peer, self.cut_reason)
            self._end()

    def _end(self) -> None:
        # The client shall see the connection end before its contexts do: on Linux closing is what
        # sends the last bytes of an answer on their way.
        self._socket.close()
        if self._group is not None:
            for failure in self._host.associations.leave(self._group):
                log.error("%s: running a context down failed: %r", self.peer, failure)
        self._buffer = memoryview(b"")
        self._host.memory.change(-self._reserved)

    # ---- the loop

    def _serve(self) -> None:
        protocol, receive, host = self._protocol, self._socket.recv, self._host
        buffered = 0
        # When the request that is incomplete began, and the rest since the last call: 0 for now.
        # Neither begins anew because anything comes: a client could stay for ever.
        receiving_since = idle_since = 0.0
        incomplete: int | None = None
        while True:
            if host.is_stopping:
                raise _Cut("the server stops")
            if buffered or self._reserved != self._lent:
                self._reserve(self._lent + buffered)
            if self._is_in:
                now = monotonic()
                if buffered:
                    receiving_since = receiving_since or now
                    self.since = receiving_since
                    self.phase = _RECEIVING
                else:
                    receiving_since = 0.0
                    self.since = idle_since = idle_since or now
                    self.phase = _IDLE
            data = receive(_CHUNK)
            if self._is_in:
                self.phase = _CALL
            host.tally[2] += 1
            if protocol.take_again(data) is not None:
                data = self._serve_again(data)
                idle_since = 0.0
            request = None if buffered else protocol.take_request(data)
            if request is not None:
                self._answer(request)
                if self._is_in:
                    offered = self._repetitions.after_call(data)
                    if offered is not None:
                        protocol.remember(data, offered.head, offered.size, offered.tail)
                idle_since = 0.0
                continue
            protocol.receive_data(data)
            if self._handle_events():
                idle_since = 0.0
                if incomplete is None or incomplete != protocol.incomplete:
                    receiving_since = 0.0
            incomplete = protocol.incomplete
            if protocol.state is ServerState.CLOSED:
                return
            buffered = protocol.buffered

    def _handle_events(self) -> bool:
        """Deal with what has come, as far as it is complete; whether there was a call."""
        protocol, called = self._protocol, False
        try:
            while (event := protocol.next_event()) is not NEED_DATA:
                if type(event) is RequestReceived:
                    called = True
                    self.phase = _CALL
                    self._answer(event)
                elif not self._on_other(event):
                    break
        except RemoteProtocolError as error:
            self._send_last(error.answer)
            raise _Cut(str(error)) from None
        return called

    def _on_other(self, event: object) -> bool:
        """Anything but a call; False at the end of the connection."""
        if isinstance(event, BindRequested):
            self._on_bind(event)
        elif isinstance(event, AuthContinued):
            self._on_auth3(event)
        elif isinstance(event, CallRefused):
            self._tell(event.status, "a call")
            self._send(event.answer)
        elif isinstance(event, ConnectionClosed):
            return False
        # Cancels and orphans come too late to change anything: each call is answered before the
        # next bytes are looked at.
        return True

    def _on_bind(self, event: BindRequested) -> None:
        protocol = self._protocol
        if not event.alter:
            self._group = self._host.associations.join(event.assoc_group_id, self.peer)
            if self._group is None:
                self._send_last(protocol.reject())
                raise _Cut(f"association group 0x{event.assoc_group_id:08X} does not exist")
        if event.token is None:
            answer = protocol.accept(self.group.number)
        else:
            try:
                step = self._auth.step(event.token)
                answer = protocol.accept(
                    self.group.number,
                    step.token,
                    security=step.security,
                    more=step.security is None,
                )
            except AuthenticationFailed as error:
                self._refuse(error)
                # ASSUMED(first-token-nak): a first token that is no good rejects the bind with the
                # reason "invalid checksum"; that Windows does so is not shown anywhere.
                self._send_last(protocol.reject(RejectReason.INVALID_CHECKSUM))
                raise _Cut("authentication failed") from None
            if step.security is not None:
                self._auth.let_in(step)
                log.info("%s: authenticated as %s", self.peer, self._auth.who)
        self._note_step()
        self._send(answer)

    def _on_auth3(self, event: AuthContinued) -> None:
        protocol = self._protocol
        try:
            step = self._auth.step(event.token)
            if step.security is None or step.token:
                raise AuthenticationFailed("an auth3, which the server cannot answer")
        except AuthenticationFailed as error:
            self._refuse(error)
            # The client learns it from its next call.
            protocol.refuse_security()
        else:
            protocol.finish_security(self._auth.let_in(step))
            log.info("%s: authenticated as %s", self.peer, self._auth.who)
        self._note_step()

    def _refuse(self, error: AuthenticationFailed) -> None:
        log.info("%s: authentication failed: %s", self.peer, error)
        self._auth.refuse()

    def _note_step(self) -> None:
        """After a bind or a step of an authentication, whose time is limited."""
        self._handlers.clear()
        security = self._protocol.security
        self._copies = 2 if security is not None and security.level >= AuthLevel.PRIVACY else 1
        is_in = not self._auth.is_pending
        if self._is_in and not is_in:
            self.phase = _HANDSHAKE
            self.since = monotonic()
        self._is_in = is_in

    def _serve_again(self, data: bytes) -> bytes:
        """Answer a request that was answered before, for as long as nothing else comes; gives what
        came instead, or what has to be looked at anew.

        What a backup does nearly all the time, so nothing is done here that could be left out.
        """
        protocol, host, repeatable = self._protocol, self._host, self._repetitions.current
        repeated = protocol.take_again(data)
        assert repeatable is not None and repeated is not None, "they are remembered together"
        matches, total = repeated.matches, repeated.total
        foresight = Foresight(repeatable, repeated)
        ready, take = foresight.ready, foresight.take
        may_look = True
        receive, sendall = self._socket.recv, self._socket.sendall
        sendmsg = self._socket.sendmsg if self._gather else None
        while matches(data):
            if ready and take():
                repeated.number(data)
                buffers: Sequence[Buffer] | None = ready.pop()
            else:
                outcome, buffers = foresight.ask(data)
                if outcome is None:
                    return data
                if buffers is None:
                    self._answer_otherwise(data, repeatable, outcome)
            if buffers is not None:
                self._steps += 1
                self.phase = _SENDING
                if total <= _SMALL:
                    sendall(b"".join(buffers))
                elif sendmsg is None:
                    send_joined(sendall, buffers)
                else:
                    sent = sendmsg(buffers)
                    if sent < total:
                        send_rest(sendmsg, buffers, total, sent)
                self._steps += 1
                if not ready and may_look:
                    may_look = foresight.look_ahead()
            if host.is_stopping:
                raise _Cut("the server stops")
            self.phase = _IDLE
            data = receive(_CHUNK)
            self.phase = _CALL
        return data

    def _answer_otherwise(
        self, data: bytes, repeatable: Repeatable, outcome: Sequence[memoryview] | Exception
    ) -> None:
        """Answer a request that was answered before, but not as it was then."""
        self._host.tally[2] += 1
        request = self._protocol.take_request(data)
        assert request is not None, "it is the same request"
        self._answer(request, lambda _, __: repeatable.stub(outcome))

    def _answer(self, request: RequestReceived, handler: Handler | None = None) -> None:
        """Have a call carried out, by `handler` if its operation's own is not to be asked."""
        protocol, host = self._protocol, self._host
        host.tally[0] += 1
        call_id, context_id = request.call_id, request.context_id
        try:
            if handler is None:
                handlers = self._handlers.get(context_id)
                if handlers is None:
                    handlers = self._find_handlers(request)
                handler = handlers.get(request.opnum)
            if handler is None:
                raise CallFault(FaultStatus.OP_RANGE)
            stub = handler(self, request)
            buffers = protocol.send_response(call_id, stub)
        except CallFault as fault:
            self._tell(fault.status, f"operation {request.opnum}")
            buffers = protocol.send_fault(call_id, fault.status, fault.executed)
        except BadStubData as error:
            log.info("%s: operation %d: %s", self.peer, request.opnum, error)
            buffers = protocol.send_fault(call_id, error.status)
        except (ConnectionDropped, OSError):
            raise
        except Exception as error:
            log.error("%s: operation %d failed: %r", self.peer, request.opnum, error)
            log.debug("where it failed", exc_info=True)
            buffers = protocol.send_fault(call_id, FaultStatus.UNSPECIFIED, True)
        if buffers:
            self._send(buffers)
            host.tally[1] += 1

    def _tell(self, status: int, what: str) -> None:
        """Log a fault, the first of its kind: a client may bring about thousands."""
        if status not in self._told:
            self._told.add(status)
            log.info("%s: %s is answered %s", self.peer, what, status_name(status))

    def _find_handlers(self, request: RequestReceived) -> Mapping[int, Handler]:
        """What carries the calls of a presentation context out, for this client. Raises CallFault.

        Kept: to look an interface up costs as much as a small call.
        """
        service = self._host.services.get(request.interface)
        handlers = {} if service is None else self._auth.handlers(service)
        self._handlers[request.context_id] = handlers
        return handlers

    def _send(self, buffers: Sequence[Buffer]) -> None:
        if self._is_in:
            self.since = monotonic()
            self.phase = _SENDING
        self._host.tally[3] += 1
        total = sum(map(len, buffers))
        if total <= _SMALL and len(buffers) <= _FEW:
            self._socket.sendall(b"".join(buffers))
        elif self._gather:
            send_gathered(self._socket.sendmsg, buffers, total)
        else:
            send_joined(self._socket.sendall, buffers)

    def _send_last(self, buffers: Sequence[Buffer]) -> None:
        """Send an answer before the connection is closed, so that the client gets it.

        Closing a socket with bytes unread resets the connection, and the client would lose what it
        has not read yet; so what it still sends is taken for a moment.
        """
        with contextlib.suppress(OSError):  # it may be gone, or silent
            self._send(buffers)
            self._socket.shutdown(socket.SHUT_WR)
            deadline = monotonic() + _FAREWELL_SECONDS
            self._socket.settimeout(_FAREWELL_SECONDS)
            while self._socket.recv(_CHUNK) and monotonic() < deadline:
                pass

    def _reserve(self, total: int, status: int | None = None) -> None:
        """Hold so many bytes of the server's memory. Raises CallFault, or _Cut without a status."""
        if self._host.memory.change(total - self._reserved):
            self._reserved = total
        elif status is not None:
            raise CallFault(status)
        else:
            raise _Cut("the server's memory is used up")
