"""The server's end of a connection: bytes in, events out, answers as lists of buffers.

    connection.receive_data(sock.recv(65536))
    while (event := connection.next_event()) is not NEED_DATA:
        ...                        # decide, and send what the connection's methods return

No I/O, no clock, no threads. What the peer does wrong raises RemoteProtocolError; its `answer` is
to be sent before the connection is closed, and nothing else can be done with the connection then.
What the caller does wrong raises LocalProtocolError and changes nothing.

Two things are left to the layer above because they outlive a connection: association groups
(`BindRequested.assoc_group_id`; context handles belong to a group) and the exchange of tokens
with a security provider. One security context serves a connection.

    UNBOUND --bind--> BINDING --accept--> OPEN --alter_context--> ALTERING --accept--> OPEN
                                          OPEN --auth3--> AUTHENTICATING --finish/refuse--> OPEN
    any state --reject, protocol error, end of stream--> CLOSED

Rules: C706 chapters 9 and 12, MS-RPCE 3.3; where they leave a choice, what Windows answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from enum import Enum

from eseback.rpc import server_auth as auth
from eseback.rpc.connection import WHOLE_REQUEST, Inbox, Limits
from eseback.rpc.errors import LocalProtocolError, RemoteProtocolError
from eseback.rpc.events import (
    NEED_DATA,
    AuthContinued,
    BindRequested,
    CallCancelled,
    CallOrphaned,
    ConnectionClosed,
    RequestReceived,
    ServerEvent,
)
from eseback.rpc.fragment import Buffer, fragment_response
from eseback.rpc.header import REQUEST_SIZE, Frame, VersionError, call_id_of
from eseback.rpc.layout import Layout
from eseback.rpc.negotiation import Agreement, agree_on_contexts, agree_on_size
from eseback.rpc.pdu import Auth3, Bind, BindAck, BindNak, Fault, pack_bare
from eseback.rpc.repeated import RepeatedRequest
from eseback.rpc.security import Security, protects_calls
from eseback.rpc.server_calls import BrokenCall, ServerCalls
from eseback.rpc.status import BindFeature, FaultStatus, PduType, PfcFlag, RejectReason
from eseback.rpc.syntax import SyntaxId

__all__ = ["ServerConnection", "ServerState"]

_WHOLE = PfcFlag.FIRST_FRAG | PfcFlag.LAST_FRAG
_SMALL = 1024  # bytes


class ServerState(Enum):
    """Where a connection stands; see the diagram at the top of the module."""

    UNBOUND = "unbound"
    BINDING = "binding"
    OPEN = "open"
    ALTERING = "altering"
    AUTHENTICATING = "authenticating"
    CLOSED = "closed"


# Looking a member up in its enumeration costs as much as a call (CPython 3.11).
_UNBOUND, _OPEN, _CLOSED = ServerState.UNBOUND, ServerState.OPEN, ServerState.CLOSED
_LARGE = 4096  # bytes of a stub of which a layout is worth keeping
_ENDS_AND_PAYLOAD = 3  # buffers
_ENDS_MAX = 64  # bytes of the first and the last buffer that are worth copying


class ServerConnection:
    """State of one connection.

    interfaces: what is served. secondary_address: the server's port as text. auth_types: security
    providers that can be asked for, none by default. features: bind-time features to agree to.
    concurrent: whether calls may be multiplexed where the client wants it.
    """

    def __init__(
        self,
        interfaces: Iterable[SyntaxId],
        limits: Limits | None = None,
        *,
        secondary_address: str = "",
        auth_types: Iterable[int] = (),
        features: BindFeature = BindFeature.KEEP_CONNECTION_ON_ORPHAN,
        concurrent: bool = True,
    ) -> None:
        self.limits = limits or Limits()
        self.state = ServerState.UNBOUND
        self.assoc_group_id = 0
        self.fragment_max = self.limits.fragment_max  # negotiated once bound
        self.features = BindFeature.NONE  # negotiated
        self.contexts: dict[int, SyntaxId] = {}
        self._interfaces = tuple(interfaces)
        self._address = secondary_address.encode("ascii")
        self._features = features
        self._may_multiplex = concurrent
        self._inbox = Inbox()
        self._auth = auth.ServerAuth(auth_types)
        self._bind: Bind | None = None
        self._agreement: Agreement | None = None
        self._calls = ServerCalls(self.contexts, self.limits)
        self._layout: Layout | None = None
        self._layout_key = (0, 0, 0, 0)
        self._repeated: RepeatedRequest | None = None
        # A request of one fragment can be delivered at once if it is not longer than this.
        self._simple_max = min(self.limits.fragment_max, self.limits.call_max + REQUEST_SIZE)

    # ---- what the caller may look at

    @property
    def security(self) -> Security | None:
        """The established security context; None without one."""
        return self._auth.security

    @property
    def header_signing(self) -> bool:
        """Whether client and server agreed to sign headers as well."""
        return self._auth.header_signing

    @property
    def buffered(self) -> int:
        """Bytes held: received but not delivered. Never more than limits allow."""
        return len(self._inbox) + self._calls.buffered

    @property
    def outstanding(self) -> int:
        """Calls that were delivered and not answered yet."""
        return len(self._calls.running)

    @property
    def incomplete(self) -> int | None:
        """Id of the call that has been waiting longest for its last fragment; None without one."""
        return next(iter(self._calls.partial), None)

    @property
    def concurrent(self) -> bool:
        """Whether concurrent calls were agreed on."""
        return self._calls.concurrent

    # ---- in

    def receive_data(self, data: Buffer) -> None:
        """Bytes from the peer; none at all for the end of the stream."""
        self._repeated = None  # whatever comes of it: a bind, half a call, the end
        self._inbox.add(data)

    def remember(self, data: bytes, head: bytes, size: int, tail: bytes) -> None:
        """A request that `take_request` gave was answered with a stub of `size` bytes between head
        and tail: `take_again` knows it from now on, until `receive_data` is given anything.
        """
        if self.state is not _OPEN or not self._auth.is_open:
            raise LocalProtocolError("only a call without protection can be repeated")
        self._repeated = RepeatedRequest(data, head, size, tail, self.fragment_max)

    def take_again(self, data: bytes) -> RepeatedRequest | None:
        """The request that is remembered if `data` is all of it, whatever its number.

        It counts as answered: send what `RepeatedRequest.answer` gives. To answer it otherwise,
        `take_request` is to be given the same data.
        """
        repeated = self._repeated
        if repeated is None or self._calls.running or not repeated.matches(data):
            return None
        return repeated

    def take_request(self, data: bytes) -> RequestReceived | None:
        """The call that `data` is, where it is one whole call, nothing else was received before,
        and nothing is under way: the shortest way for what nearly always happens.

        None for anything else, which `receive_data` has to be given.
        """
        calls = self._calls
        if self.state is not _OPEN or not self._auth.is_open or calls.running or calls.partial:
            return None
        found = self._inbox.whole(data, WHOLE_REQUEST, self._simple_max)
        if found is None:
            return None
        call_id, context_id, opnum = found
        interface = self.contexts.get(context_id)
        if interface is None:
            return None
        calls.running[call_id] = context_id
        # A view costs more than copying so little.
        stub = data[REQUEST_SIZE:] if len(data) <= _SMALL else memoryview(data)[REQUEST_SIZE:]
        return RequestReceived(
            call_id, context_id, interface, opnum, stub, True, None, False, False
        )

    def next_event(self) -> ServerEvent:
        """What came next. Raises RemoteProtocolError once, with the answer to send."""
        calls = self._calls
        if self.state is _OPEN and self._auth.is_open and not (calls.running or calls.partial):
            simple = self._inbox.take_simple(WHOLE_REQUEST, self._simple_max)
            if simple is not None:
                call_id, context_id, opnum, stub = simple
                if context_id in self.contexts:
                    return calls.deliver(call_id, context_id, opnum, stub)
                return calls.refuse(call_id, 0, FaultStatus.UNKNOWN_INTERFACE, last=True)
        elif self.state not in (_OPEN, _UNBOUND):
            raise LocalProtocolError(f"no event can be asked for while {self.state.value}")
        while True:
            try:
                frame = self._inbox.take(self.limits.fragment_max)
            except RemoteProtocolError as error:
                raise self._header_error(error) from None
            if frame is None:
                return self._at_end()
            event = self._handle(frame)
            if event is not None:
                return event

    def _at_end(self) -> ServerEvent:
        if not self._inbox.closed:
            return NEED_DATA
        self.state = ServerState.CLOSED
        unfinished = self._inbox or self._calls.running or self._calls.partial
        return ConnectionClosed(mid_call=bool(unfinished))

    def _handle(self, frame: Frame) -> ServerEvent | None:
        handler = _HANDLERS.get((self.state, frame.ptype))
        try:
            if handler is None:
                raise RemoteProtocolError(
                    f"a PDU of type {frame.ptype} on a connection that is {self.state.value}"
                )
            return handler(self, frame)
        except BrokenCall as error:
            raise self._condemn(
                error, error.call_id, error.context_id, executed=error.executed
            ) from None
        except RemoteProtocolError as error:
            raise self._condemn(error, frame.call_id) from None

    # ---- calls

    def _on_request(self, frame: Frame) -> ServerEvent | None:
        self._auth.check_request(frame)
        return self._calls.take(frame, self._auth.security)

    def _on_cancel(self, frame: Frame) -> ServerEvent | None:
        return CallCancelled(frame.call_id) if self._calls.cancel(frame.call_id) else None

    def _on_orphan(self, frame: Frame) -> ServerEvent | None:
        return CallOrphaned(frame.call_id) if self._calls.orphan(frame.call_id) else None

    # ---- setting up

    def _on_bind(self, frame: Frame) -> ServerEvent:
        bind = Bind.parse(frame)
        try:
            self._auth.note_bind(bind)
            self._propose(bind)
        except auth.BindRefused:
            raise
        except RemoteProtocolError as error:
            raise auth.BindRefused(str(error), RejectReason.NOT_SPECIFIED) from None
        self.state = ServerState.BINDING
        assert self._agreement is not None
        return BindRequested(
            bind.call_id, bind.assoc_group_id, self._agreement.replies, bind.token, False
        )

    def _on_second_bind(self, frame: Frame) -> ServerEvent:
        raise auth.BindRefused("a second bind on one connection", RejectReason.NOT_SPECIFIED)

    def _on_alter(self, frame: Frame) -> ServerEvent:
        bind = Bind.parse(frame)
        self._auth.check_alter(bind.token)
        self._propose(bind)
        self.state = ServerState.ALTERING
        assert self._agreement is not None
        replies = self._agreement.replies
        return BindRequested(bind.call_id, self.assoc_group_id, replies, bind.token, True)

    def _propose(self, bind: Bind) -> None:
        if not bind.contexts:
            raise RemoteProtocolError("a bind without a presentation context")
        known = {offer.context_id for offer in bind.contexts} | self.contexts.keys()
        if len(known) > self.limits.contexts_max:
            text = f"more than {self.limits.contexts_max} presentation contexts"
            if bind.alter:
                raise RemoteProtocolError(text)
            raise auth.BindRefused(text, RejectReason.LOCAL_LIMIT_EXCEEDED)
        self._agreement = agree_on_contexts(
            bind.contexts, self._interfaces, self.contexts, self._features
        )
        self._bind = bind

    def _on_auth3(self, frame: Frame) -> ServerEvent:
        message = Auth3.parse(frame)
        self._auth.check_auth3(message.token)
        self.state = ServerState.AUTHENTICATING
        return AuthContinued(message.call_id, message.token)

    def accept(
        self,
        assoc_group_id: int,
        token: bytes = b"",
        *,
        security: Security | None = None,
        more: bool = False,
    ) -> list[Buffer]:
        """Answer BindRequested with a bind_ack or an alter_context_resp.

        assoc_group_id: the group that was created or joined, not 0. token: the provider's answer
        to the client's. security: the finished security context; more: another step of the client
        is to come. A bind with a token takes exactly one of the two, one without it neither.
        """
        bind, agreement = self._bind, self._agreement
        if self.state not in (ServerState.BINDING, ServerState.ALTERING):
            raise LocalProtocolError(f"nothing to accept while {self.state.value}")
        assert bind is not None and agreement is not None
        if not assoc_group_id or (bind.alter and assoc_group_id != self.assoc_group_id):
            raise LocalProtocolError(f"0x{assoc_group_id:08X} is not this connection's group")
        reply = self._auth.answer(bind, token, security, more)
        if not bind.alter:
            self.assoc_group_id = assoc_group_id
            self.fragment_max = agree_on_size(
                bind.max_xmit_frag, bind.max_recv_frag, self.limits.fragment_max
            )
            self._calls.concurrent = self._may_multiplex and bool(bind.flags & PfcFlag.CONC_MPX)
        if agreement.features is not None:
            self.features = agreement.features
        self.contexts.update(agreement.accepted)
        self._bind = self._agreement = None
        self.state = ServerState.OPEN
        flags = _WHOLE
        if self.concurrent and bind.flags & PfcFlag.CONC_MPX:
            flags |= PfcFlag.CONC_MPX
        if bind.flags & PfcFlag.SUPPORT_HEADER_SIGN:  # answered also where nothing is signed
            self._auth.header_signing = True
            flags |= PfcFlag.SUPPORT_HEADER_SIGN
        answer = BindAck(
            bind.call_id,
            agreement.replies,
            self.fragment_max,
            self.fragment_max,
            self.assoc_group_id,
            b"" if bind.alter else self._address,
            reply,
            bind.alter,
            flags,
        )
        return [answer.pack()]

    def reject(
        self,
        reason: RejectReason = RejectReason.NOT_SPECIFIED,
        status: FaultStatus = FaultStatus.ACCESS_DENIED,
    ) -> list[Buffer]:
        """Refuse BindRequested and end the connection: bind_nak, or a fault for alter_context."""
        bind = self._bind
        if self.state not in (ServerState.BINDING, ServerState.ALTERING) or bind is None:
            raise LocalProtocolError(f"nothing to reject while {self.state.value}")
        self.state = ServerState.CLOSED
        if bind.alter:
            return [Fault(bind.call_id, 0, status, executed=False).pack()]
        return [BindNak(bind.call_id, reason).pack()]

    def finish_security(self, security: Security) -> None:
        """The auth3 completed the authentication."""
        self._check_authenticating()
        self._auth.finish(security)
        self.state = ServerState.OPEN

    def refuse_security(self) -> None:
        """The auth3 was no good: the next call gets ACCESS_DENIED (an auth3 has no answer)."""
        self._check_authenticating()
        self._auth.refuse()
        self.state = ServerState.OPEN

    def _check_authenticating(self) -> None:
        if self.state is not ServerState.AUTHENTICATING:
            raise LocalProtocolError(f"no authentication to end while {self.state.value}")

    # ---- out

    def send_response(self, call_id: int, stub: Sequence[Buffer]) -> list[Buffer]:
        """Buffers of a response; none for a call that was orphaned or wants no answer.

        They are good until the next response: what stands around a large payload (all buffers of
        the stub but the first and the last) lies in memory that is used again.
        """
        context_id = self._end_call(call_id)
        if context_id is None:
            return []
        security = self._auth.security
        if len(stub) < _ENDS_AND_PAYLOAD or (security is not None and protects_calls(security)):
            return fragment_response(call_id, context_id, stub, self.fragment_max, security)
        head, tail, size = len(stub[0]), len(stub[-1]), sum(map(len, stub))
        if size < _LARGE or head > _ENDS_MAX or tail > _ENDS_MAX:
            return fragment_response(call_id, context_id, stub, self.fragment_max, security)
        key = (context_id, head, size, tail)
        layout = self._layout
        if layout is None or self._layout_key != key:
            layout = Layout((head, size - head - tail, tail), context_id, self.fragment_max)
            self._layout, self._layout_key = layout, key
        return layout.filled(call_id, stub)

    def send_fault(self, call_id: int, status: int, executed: bool = False) -> list[Buffer]:
        """A fault instead of a response. executed: whether the call may have had an effect.

        It is never protected: Windows signs no faults either, nor do clients ask for it (Samba's
        tests of the raw protocol, and Impacket, which reads the status at its place in the clear).
        """
        context_id = self._end_call(call_id)
        if context_id is None:
            return []
        return [Fault(call_id, context_id, status, executed).pack()]

    def send_shutdown(self) -> list[Buffer]:
        """Ask the client to close as soon as it has no call running."""
        if self.state is ServerState.CLOSED:
            raise LocalProtocolError("the connection is closed")
        return [pack_bare(PduType.SHUTDOWN, 0)]

    def _end_call(self, call_id: int) -> int | None:
        if self.state is ServerState.CLOSED:
            raise LocalProtocolError("the connection is closed")
        return self._calls.end(call_id)

    # ---- errors

    def _header_error(self, error: RemoteProtocolError) -> RemoteProtocolError:
        raw = self._inbox.header()
        assert raw is not None
        # A fragment that is only too long is answered without DID_NOT_EXECUTE, as Windows does.
        executed = not isinstance(error, VersionError)
        return self._condemn(error, call_id_of(raw), executed=executed)

    def _condemn(
        self,
        error: RemoteProtocolError,
        call_id: int,
        context_id: int = 0,
        *,
        executed: bool = False,
    ) -> RemoteProtocolError:
        """The error with its answer, a bind_nak or a fault; the connection is over."""
        if isinstance(error, auth.BindRefused):
            answer = BindNak(call_id, error.reason).pack()
        elif self.state is ServerState.UNBOUND:
            answer = BindNak(call_id, RejectReason.PROTOCOL_VERSION_NOT_SUPPORTED).pack()
        else:
            answer = Fault(call_id, context_id, error.status, executed).pack()
        self.state = ServerState.CLOSED
        error.answer = (answer,)
        return error


_Handler = Callable[[ServerConnection, Frame], ServerEvent | None]

# Which PDU is legal in which state.
_HANDLERS: dict[tuple[ServerState, int], _Handler] = {
    (ServerState.UNBOUND, PduType.BIND): ServerConnection._on_bind,
    (ServerState.OPEN, PduType.REQUEST): ServerConnection._on_request,
    (ServerState.OPEN, PduType.BIND): ServerConnection._on_second_bind,
    (ServerState.OPEN, PduType.ALTER_CONTEXT): ServerConnection._on_alter,
    (ServerState.OPEN, PduType.AUTH3): ServerConnection._on_auth3,
    (ServerState.OPEN, PduType.CO_CANCEL): ServerConnection._on_cancel,
    (ServerState.OPEN, PduType.ORPHANED): ServerConnection._on_orphan,
}
