"""The client's end of a connection: calls in, buffers out, bytes in, events out.

The mirror of `eseback.rpc.connection_server`, with the same rules: no I/O; RemoteProtocolError for
what the server does wrong, after which the connection can only be closed; LocalProtocolError for
what the caller does wrong, which changes nothing.

    UNBOUND --bind()--> BINDING --BindAccepted--> OPEN --alter()--> ALTERING --BindAccepted--> OPEN
    any state --BindRejected, protocol error, end of stream--> CLOSED

A large response can be received straight into the caller's memory: `expect()` gives a
`ScatterRead` (see `eseback.rpc.scatter`), `finish()` takes it back.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Final

from eseback.rpc.client_calls import ClientCalls
from eseback.rpc.connection import WHOLE_RESPONSE, Inbox, Limits
from eseback.rpc.errors import LocalProtocolError, RemoteProtocolError
from eseback.rpc.events import (
    NEED_DATA,
    BindAccepted,
    BindRejected,
    ClientEvent,
    ConnectionClosed,
    FaultReceived,
    ResponseReceived,
    ServerShutDown,
)
from eseback.rpc.fragment import Buffer, fragment_request
from eseback.rpc.header import FRAGMENT_MIN, REQUEST_SIZE, Frame
from eseback.rpc.layout import ONE_FRAGMENT
from eseback.rpc.negotiation import accepted_contexts, check_offers
from eseback.rpc.pdu import Auth3, Bind, BindAck, BindNak, ContextOffer, Fault, pack_bare
from eseback.rpc.repeated import ForeseenCall, RepeatedCall
from eseback.rpc.scatter import ScatterLayout, ScatterRead
from eseback.rpc.scatter_signed import SignedLayout, SignedRead
from eseback.rpc.security import AuthToken, Security, protects_calls
from eseback.rpc.status import AuthLevel, BindFeature, PduType, PfcFlag
from eseback.rpc.syntax import SyntaxId, feature_syntax

__all__ = ["ClientConnection", "ClientState"]

_WHOLE = int(PfcFlag.FIRST_FRAG | PfcFlag.LAST_FRAG)
_CALL_ID_MAX: Final = 0xFFFFFFFF
_SMALL: Final = 1024  # bytes


class ClientState(Enum):
    """Where a connection stands; see the diagram at the top of the module."""

    UNBOUND = "unbound"
    BINDING = "binding"
    OPEN = "open"
    ALTERING = "altering"
    CLOSED = "closed"


# Looking a member up in its enumeration costs as much as a call (CPython 3.11).
_OPEN, _CLOSED = ClientState.OPEN, ClientState.CLOSED


class ClientConnection:
    """State of one connection. limits.call_max bounds the stub of a response."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self.state = ClientState.UNBOUND
        self.assoc_group_id = 0
        self.fragment_max = self.limits.fragment_max  # negotiated once bound
        self.concurrent = False  # negotiated
        self.features = BindFeature.NONE  # negotiated
        self.header_signing = False  # negotiated
        self.contexts: dict[int, SyntaxId] = {}
        self.security: Security | None = None
        self._inbox = Inbox()
        self._bind: Bind | None = None
        self._bind_call_id = 0
        self._last_call_id = 0
        self._calls = ClientCalls(self.limits)
        self._protected = self._sealed = False
        self._shape: tuple[bytes, int, bytes, int] | None = None
        self._layout: ScatterLayout | None = None
        self._repeated: RepeatedCall | None = None
        self._ready: RepeatedCall | None = None  # the same, where nothing stands in its way
        self._signed_shape: tuple[bytes, int, bytes, int] | None = None
        self._signed_layout: SignedLayout | None = None
        self._simple_max = min(self.limits.fragment_max, self.limits.call_max + REQUEST_SIZE)

    @property
    def outstanding(self) -> int:
        """Calls that wait for their answer."""
        return len(self._calls.running)

    @property
    def buffered(self) -> int:
        """Bytes held: received but not delivered."""
        return len(self._inbox) + self._calls.buffered

    # ---- out: setting up

    def bind(
        self,
        contexts: Sequence[ContextOffer],
        *,
        assoc_group_id: int = 0,
        token: AuthToken | None = None,
        concurrent: bool = False,
        header_signing: bool = False,
        features: BindFeature = BindFeature.NONE,
    ) -> list[Buffer]:
        """A bind. assoc_group_id: the group to join, 0 for a new one. features: offered in a
        presentation context of its own, as MS-RPCE 3.3.1.5.3 has it; NONE offers none.
        """
        if self.state is not ClientState.UNBOUND:
            raise LocalProtocolError(f"cannot bind while {self.state.value}")
        offers = list(check_offers(contexts))
        if features:
            unused = max(offer.context_id for offer in offers) + 1
            last = offers[-1].abstract
            offers.append(ContextOffer(unused, last, (feature_syntax(features),)))
        flags = _WHOLE
        if concurrent:
            flags |= PfcFlag.CONC_MPX
        if header_signing and token is not None:
            flags |= PfcFlag.SUPPORT_HEADER_SIGN
        size = self.limits.fragment_max
        call_id = self._new_call_id()
        bind = Bind(call_id, tuple(offers), size, size, assoc_group_id, token, False, flags)
        packed = bind.pack()
        self._bind, self._bind_call_id = bind, call_id
        self.state = ClientState.BINDING
        return [packed]

    def alter(
        self, contexts: Sequence[ContextOffer], token: AuthToken | None = None
    ) -> list[Buffer]:
        """An alter_context: more contexts, or the next step of an authentication.

        To authenticate only, propose a context that is accepted already.
        """
        if self.state is not ClientState.OPEN or self.outstanding:
            raise LocalProtocolError(
                f"cannot alter contexts while {self.state.value}, {self.outstanding} calls running"
            )
        size, call_id = self.fragment_max, self._new_call_id()
        bind = Bind(
            call_id, tuple(check_offers(contexts)), size, size, self.assoc_group_id, token, True
        )
        packed = bind.pack()
        self._bind, self._bind_call_id = bind, call_id
        self._ready = None
        self.state = ClientState.ALTERING
        return [packed]

    def auth3(self, token: AuthToken) -> list[Buffer]:
        """The last step of an authentication with an odd number of them; has no answer."""
        self._check_open()
        return [Auth3(self._bind_call_id, token).pack()]

    def set_security(self, security: Security) -> None:
        """The authentication has ended: from now on calls are protected by this context."""
        self._check_open()
        self._ready = None
        self.security = security
        self._protected = protects_calls(security)
        self._sealed = security.level >= AuthLevel.PRIVACY
        self._signed_layout = None

    # ---- out: calls

    def request(
        self,
        context_id: int,
        opnum: int,
        stub: Sequence[Buffer],
        object_uuid: uuid.UUID | None = None,
        maybe: bool = False,
    ) -> tuple[int, list[Buffer]]:
        """A call: its id, by which the answer is known, and the buffers to send.

        A second call before the answer to the first is legal only where concurrent calls were
        agreed on. maybe: the server sends no answer, and none is waited for.
        """
        self._check_open()
        if context_id not in self.contexts:
            raise LocalProtocolError(f"presentation context {context_id} was not accepted")
        running = self._calls.running
        if running:
            if not self.concurrent:
                raise LocalProtocolError(
                    "a call is running, and concurrent calls were not agreed on"
                )
            if len(running) >= self.limits.outstanding_max:
                raise LocalProtocolError(f"{len(running)} calls are running already")
        self._ready = None
        call_id = self._new_call_id()
        buffers = fragment_request(
            call_id, context_id, opnum, stub, self.fragment_max, self.security, object_uuid, maybe
        )
        if not maybe:
            running[call_id] = context_id
        return call_id, buffers

    def cancel(self, call_id: int) -> list[Buffer]:
        """Ask the server to cancel a call; its answer, whatever it is, is still to come."""
        self._check_running(call_id)
        return [pack_bare(PduType.CO_CANCEL, call_id)]

    def orphan(self, call_id: int) -> list[Buffer]:
        """Give a call up: an answer that comes all the same is thrown away.

        Where KEEP_CONNECTION_ON_ORPHAN was not agreed on, the connection has to be closed once
        this is sent (MS-RPCE 3.3.1.5.10).
        """
        self._check_running(call_id)
        self._calls.give_up(call_id)
        return [pack_bare(PduType.ORPHANED, call_id)]

    def _new_call_id(self) -> int:
        self._last_call_id = self._last_call_id % _CALL_ID_MAX + 1
        return self._last_call_id

    def _check_open(self) -> None:
        if self.state is not _OPEN:
            raise LocalProtocolError(f"the connection is {self.state.value}")

    def _check_running(self, call_id: int) -> None:
        self._check_open()
        self._calls.check(call_id)

    # ---- in

    def receive_data(self, data: Buffer) -> None:
        """Bytes from the server; none at all for the end of the stream."""
        self._ready = None
        self._inbox.add(data)

    def take_response(self, call_id: int, data: bytes) -> ResponseReceived | None:
        """The answer to a call, where `data` is all of it, nothing else was received before, and
        the call is the only one: the shortest way for what nearly always happens.

        None for anything else, which `receive_data` has to be given.
        """
        calls = self._calls
        if self._protected or len(calls.running) != 1 or self.state is not _OPEN:
            return None
        found = self._inbox.whole(data, WHOLE_RESPONSE, self._simple_max)
        if found is None or calls.partial:
            return None
        if found[0] != call_id or calls.running.get(call_id) != found[1]:
            return None
        del calls.running[call_id]
        stub = data[REQUEST_SIZE:] if len(data) <= _SMALL else memoryview(data)[REQUEST_SIZE:]
        return ResponseReceived(call_id, stub, True)

    def next_event(self) -> ClientEvent:
        """What came next. Raises RemoteProtocolError; close the connection then."""
        if self.state is _CLOSED:
            raise LocalProtocolError("no event can be asked for on a closed connection")
        calls = self._calls
        try:
            while True:
                if calls.running and not (calls.partial or self._protected):
                    simple = self._inbox.take_simple(WHOLE_RESPONSE, self._simple_max)
                    if simple is not None:
                        event: ClientEvent | None = calls.on_simple_response(
                            simple[0], simple[1], simple[3]
                        )
                        if event is not None:
                            return event
                        continue
                frame = self._inbox.take(self.limits.fragment_max)
                if frame is None:
                    return self._at_end()
                event = self._handle(frame)
                if event is not None:
                    return event
        except RemoteProtocolError:
            self.state = ClientState.CLOSED
            raise

    def _at_end(self) -> ClientEvent:
        if not self._inbox.closed:
            return NEED_DATA
        unfinished = self.state in (ClientState.BINDING, ClientState.ALTERING)
        self.state = ClientState.CLOSED
        return ConnectionClosed(bool(unfinished or self._inbox or self.outstanding))

    def _handle(self, frame: Frame) -> ClientEvent | None:
        handler = _HANDLERS.get((self.state, frame.ptype))
        if handler is None:
            raise RemoteProtocolError(
                f"a PDU of type {frame.ptype} on a connection that is {self.state.value}"
            )
        return handler(self, frame)

    def _on_response(self, frame: Frame) -> ResponseReceived | None:
        return self._calls.on_response(frame, self.security)

    def _on_fault(self, frame: Frame) -> FaultReceived | None:
        fault = Fault.parse(frame)
        if fault.call_id != self._bind_call_id:
            return self._calls.on_fault(fault)
        self.state = ClientState.CLOSED  # an alter_context or an auth3 was refused
        return FaultReceived(fault.call_id, fault.status, fault.executed)

    def _on_shutdown(self, frame: Frame) -> ServerShutDown:
        return ServerShutDown()

    def _on_nak(self, frame: Frame) -> BindRejected:
        nak = BindNak.parse(frame)
        self._check_answers(frame)
        self.state = ClientState.CLOSED
        return BindRejected(nak.reason, nak.versions)

    def _check_answers(self, frame: Frame) -> Bind:
        assert self._bind is not None
        if frame.call_id != self._bind.call_id:
            raise RemoteProtocolError(f"bind {self._bind.call_id} is answered as {frame.call_id}")
        return self._bind

    def _on_ack(self, frame: Frame) -> BindAccepted:
        ack = BindAck.parse(frame)
        bind = self._check_answers(frame)
        accepted, features = accepted_contexts(bind, ack)
        if not bind.alter:
            size = min(ack.max_xmit_frag, ack.max_recv_frag, self.limits.fragment_max) & ~7
            if size < FRAGMENT_MIN:
                raise RemoteProtocolError(f"fragments of {size} bytes, at least {FRAGMENT_MIN}")
            if not ack.assoc_group_id:
                raise RemoteProtocolError("the server gave no association group")
            self.fragment_max = size
            self.assoc_group_id = ack.assoc_group_id
            self.concurrent = bool(bind.flags & ack.flags & PfcFlag.CONC_MPX)
            self.header_signing = bool(bind.flags & ack.flags & PfcFlag.SUPPORT_HEADER_SIGN)
            self.features = features
        self.contexts.update(accepted)
        self._bind = None
        self.state = ClientState.OPEN
        return BindAccepted(
            ack.replies,
            frozenset(accepted),
            self.assoc_group_id,
            ack.secondary_address.decode("latin-1"),
            self.fragment_max,
            features,
            ack.token,
            ack.alter,
        )

    # ---- large responses without a copy

    def expect(
        self, call_id: int, head: bytes, payload: memoryview, tail: bytes
    ) -> ScatterRead | None:
        """Predict the response to the oldest running call, to receive it in place.

        Its stub has as many bytes as `head`, `payload` and `tail`, and is probably `head` and
        `tail` around the data. None where nothing can be predicted: bytes are waiting already,
        other calls are before this one, or fragments are sealed. Best called before the request is
        sent: then nothing stands between sending and receiving. One prediction at a time.
        """
        if payload.readonly or payload.itemsize != 1 or payload.ndim != 1:
            raise LocalProtocolError("the payload has to be a writeable buffer of bytes")
        calls = self._calls
        context_id = calls.running.get(call_id)
        if context_id is None or self.state is not _OPEN:
            self._check_running(call_id)
        if calls.partial or self._sealed or len(self._inbox):
            return None
        if len(calls.running) > 1 and next(iter(calls.running)) != call_id:
            return None
        assert context_id is not None, "checked above"
        if self._protected:
            return self._expect_signed(call_id, head, payload, tail)
        return ScatterRead(call_id, self._layout_of(head, len(payload), tail, context_id), payload)

    def _layout_of(self, head: bytes, size: int, tail: bytes, context_id: int) -> ScatterLayout:
        shape = (head, size, tail, context_id)
        if self._shape != shape or self._layout is None:
            self._calls.check_size(len(head) + size + len(tail))
            self._layout = ScatterLayout(*shape, self.fragment_max)
            self._shape = shape
        return self._layout

    def call_again(
        self, call: ForeseenCall, payload: memoryview
    ) -> tuple[RepeatedCall, bytes, list[memoryview]] | None:
        """What `request` and `expect` do, in one go: the call, the request to send, and the buffers
        to receive its answer into. payload: writeable, `call.size` bytes in one piece.

        None where only those two will do: there are other calls, there is protection, or the
        request is too long for one fragment. The first bytes received are reported to
        `is_answered`. Quick if the call is the very one that was made last.
        """
        again = self._ready
        if again is None or again.call is not call:
            again = self._prepared(call)
            if again is None:
                return None
        if len(payload) != call.size:
            raise LocalProtocolError(f"{len(payload)} bytes of memory for {call.size}")
        self._ready = None
        self._last_call_id = again.call_id = call_id = self._last_call_id % _CALL_ID_MAX + 1
        self._calls.running[call_id] = call.context_id
        number = call_id.to_bytes(4, "little")
        again.expected = number.join(again.between)
        order = again.order.copy()
        if len(order) == ONE_FRAGMENT:
            order[1] = payload
        else:
            order[1::2] = map(payload.__getitem__, again.parts)
        return again, number.join(again.request), order

    def _prepared(self, call: ForeseenCall) -> RepeatedCall | None:
        calls, again = self._calls, self._repeated
        if calls.running or calls.partial or self._protected or self.state is not _OPEN:
            return None
        if len(self._inbox):
            return None
        if again is not None and again.call == call:
            again.call = call
            return again
        context_id, opnum, stub, head, size, tail = call
        if REQUEST_SIZE + len(stub) > self.fragment_max or context_id not in self.contexts:
            return None
        request = fragment_request(0, context_id, opnum, (stub,), self.fragment_max)
        layout = self._layout_of(head, size, tail, context_id)
        self._repeated = RepeatedCall(call, b"".join(request), layout)
        return self._repeated

    def is_answered(self, again: RepeatedCall, count: int) -> bool:
        """Whether the `count` bytes that were received at first are all of the answer, and it is
        the one that was foreseen; the call is over then.

        If not, `RepeatedCall.slowly` gives the `ScatterRead` that has to be told of them.
        """
        if count != again.total or again.memory != again.expected:
            return False
        del self._calls.running[again.call_id]
        self._ready = again
        return True

    def _expect_signed(
        self, call_id: int, head: bytes, payload: memoryview, tail: bytes
    ) -> ScatterRead:
        assert self.security is not None
        shape = (head, len(payload), tail, self._calls.running[call_id])
        if self._signed_shape != shape or self._signed_layout is None:
            self._calls.check_size(len(head) + len(payload) + len(tail))
            self._signed_layout = SignedLayout(*shape, self.fragment_max, self.security)
            self._signed_shape = shape
        return SignedRead(call_id, self._signed_layout, payload)

    def finish(self, scatter: ScatterRead) -> tuple[bytes, bytes] | None:
        """Take a scattered response back: its head and tail, the payload being in place.

        None if the response was not the predicted one: what was received counts as received by
        `receive_data` then, and `next_event` tells what it is. Raises RemoteProtocolError for a
        signature that is wrong; close the connection then.
        """
        running = self._calls.running
        if scatter.call_id not in running or self.state is not _OPEN:
            self._check_running(scatter.call_id)
        if not scatter.predicted:
            received = scatter.linear()
            if received:
                self.receive_data(received)
            return None
        if not scatter.complete:
            raise LocalProtocolError("the response is still being received")
        if isinstance(scatter, SignedRead):
            try:
                scatter.check()
            except RemoteProtocolError:
                self.state = _CLOSED
                raise
        del running[scatter.call_id]
        return scatter.head(), scatter.tail()


_Handler = Callable[[ClientConnection, Frame], ClientEvent | None]

# Which PDU is legal in which state.
_HANDLERS: dict[tuple[ClientState, int], _Handler] = {
    (ClientState.BINDING, PduType.BIND_ACK): ClientConnection._on_ack,
    (ClientState.BINDING, PduType.BIND_NAK): ClientConnection._on_nak,
    (ClientState.ALTERING, PduType.ALTER_CONTEXT_RESP): ClientConnection._on_ack,
    (ClientState.ALTERING, PduType.FAULT): ClientConnection._on_fault,
    (ClientState.OPEN, PduType.RESPONSE): ClientConnection._on_response,
    (ClientState.OPEN, PduType.FAULT): ClientConnection._on_fault,
    (ClientState.OPEN, PduType.SHUTDOWN): ClientConnection._on_shutdown,
    (ClientState.ALTERING, PduType.SHUTDOWN): ClientConnection._on_shutdown,
}
