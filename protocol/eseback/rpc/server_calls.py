"""The calls of one connection at the server: those that are coming in, and those that run.

Requests of several fragments are put together here; each is answered once, unless the client gave
it up or wants no answer. Which fault fits which offence, whether it says that the call had no
effect, and which context it names, is what Windows was seen to answer.
"""

from __future__ import annotations

from collections.abc import Mapping

from eseback.rpc.assembly import CallHeader, PartialCall, call_header, check_size, clear_stub
from eseback.rpc.connection import Limits
from eseback.rpc.errors import LocalProtocolError, RemoteProtocolError
from eseback.rpc.events import CallRefused, RequestReceived
from eseback.rpc.header import Frame
from eseback.rpc.pdu import Fault
from eseback.rpc.security import Security
from eseback.rpc.status import FaultStatus, PfcFlag
from eseback.rpc.syntax import SyntaxId

__all__ = ["BrokenCall", "ServerCalls"]

_FIRST, _LAST = int(PfcFlag.FIRST_FRAG), int(PfcFlag.LAST_FRAG)
_WHOLE = _FIRST | _LAST
_CANCEL, _MAYBE = int(PfcFlag.PENDING_CANCEL), int(PfcFlag.MAYBE)


class BrokenCall(RemoteProtocolError):
    """A call that ends its connection; says what the fault has to name.

    executed: False makes the fault say that the call had no effect.
    """

    def __init__(
        self,
        message: str,
        call_id: int,
        context_id: int,
        status: int = FaultStatus.PROTOCOL_ERROR,
        executed: bool = False,
    ) -> None:
        super().__init__(message, status)
        self.call_id = call_id
        self.context_id = context_id
        self.executed = executed


class ServerCalls:
    """running: context of each call that was delivered and not answered yet, by call id.

    partial: calls whose last fragment has not come.
    """

    __slots__ = ("_contexts", "_limits", "_refused", "_silent", "concurrent", "partial", "running")

    def __init__(self, contexts: Mapping[int, SyntaxId], limits: Limits) -> None:
        self._contexts = contexts
        self._limits = limits
        self.concurrent = False
        self.running: dict[int, int] = {}
        self.partial: dict[int, PartialCall] = {}
        self._refused: set[int] = set()  # their later fragments are thrown away
        self._silent: set[int] = set()  # running, but nobody waits for the answer

    @property
    def buffered(self) -> int:
        """Bytes of calls whose last fragment has not come."""
        partial = self.partial
        return sum(len(call.data) for call in partial.values()) if partial else 0

    # ---- in

    def take(self, frame: Frame, security: Security | None) -> RequestReceived | CallRefused | None:
        """A request fragment; None while its call is incomplete. Raises BrokenCall."""
        try:
            header = call_header(frame, request=True)
        except RemoteProtocolError as error:
            raise BrokenCall(str(error), frame.call_id, 0) from None
        if frame.flags & _FIRST:
            self._check_first(frame, header)
        elif frame.call_id not in self.partial and frame.call_id not in self._refused:
            raise self._without_first(frame.call_id, header.context_id)
        try:
            # Whatever becomes of it: a security context counts the fragments that it has seen.
            stub = clear_stub(frame, header.start, security)
        except RemoteProtocolError as error:
            raise self._badly_protected(error, frame.call_id, header.context_id) from None
        if frame.flags & _FIRST:
            refusal = self._refusal(frame, header)
            if refusal is not None:
                return refusal
        elif frame.call_id in self._refused:
            if frame.flags & _LAST:
                self._refused.discard(frame.call_id)
            return None
        try:
            return self._assemble(frame, header, stub)
        except RemoteProtocolError as error:
            executed = error.status == FaultStatus.ACCESS_DENIED
            raise BrokenCall(
                str(error), frame.call_id, header.context_id, error.status, executed
            ) from None

    def _without_first(self, call_id: int, context_id: int) -> BrokenCall:
        """A later fragment of a call that has no first one. Which call and context are named."""
        broken = call_id
        if self.partial:
            context_id = 0
            if not self.concurrent:  # there is one call at a time, and this fragment broke it
                broken, call = next(iter(self.partial.items()))
                context_id = call.header.context_id
        elif not self.concurrent:
            context_id = 0
        text = f"a later fragment of call {call_id}, which has no first one"
        return BrokenCall(text, broken, context_id, executed=True)

    def _badly_protected(
        self, error: RemoteProtocolError, call_id: int, context_id: int
    ) -> BrokenCall:
        """A fragment without the protection that was agreed on. While a call is coming in, that is
        a breach of the protocol.
        """
        status = error.status
        denied = status == FaultStatus.ACCESS_DENIED
        if denied and self.partial:
            status = FaultStatus.PROTOCOL_ERROR
            call = self.partial.get(call_id)
            context_id = 0 if call is None else call.header.context_id
        return BrokenCall(str(error), call_id, context_id, status, executed=denied)

    def _check_first(self, frame: Frame, header: CallHeader) -> None:
        """Whether a call may start now."""
        call_id = frame.call_id
        if self.partial and (not self.concurrent or call_id in self.partial):
            broken = call_id if call_id in self.partial else next(iter(self.partial))
            context_id = self.partial[broken].header.context_id
            raise BrokenCall(
                f"call {call_id} starts before call {broken} has ended",
                broken,
                context_id,
                executed=True,
            )
        # A call that nobody waits for is in nobody's way.
        waiting = len(self.running) - len(self._silent)
        if call_id in self.running or (waiting and not self.concurrent):
            raise BrokenCall(
                f"call {call_id} starts while another one is running", call_id, header.context_id
            )
        if frame.flags & _CANCEL:
            raise BrokenCall(
                "a call that starts with its cancellation",
                call_id,
                header.context_id,
                FaultStatus.NO_CALL_ACTIVE,
            )
        if header.alloc_hint > self._limits.call_max and not frame.flags & _LAST:
            raise BrokenCall(
                f"a call of {header.alloc_hint} bytes, the limit is {self._limits.call_max}",
                call_id,
                header.context_id,
                FaultStatus.ACCESS_DENIED,
                executed=True,
            )

    def _refusal(self, frame: Frame, header: CallHeader) -> CallRefused | None:
        """The fault for a call that breaks no rule and yet cannot be served."""
        last = bool(frame.flags & _LAST)
        if header.context_id not in self._contexts:
            return self.refuse(frame.call_id, 0, FaultStatus.UNKNOWN_INTERFACE, last)
        if len(self.running) + len(self.partial) >= self._limits.outstanding_max:
            return self.refuse(frame.call_id, header.context_id, FaultStatus.SERVER_TOO_BUSY, last)
        return None

    def refuse(self, call_id: int, context_id: int, status: FaultStatus, last: bool) -> CallRefused:
        """Answer a call with a fault and go on; last: it has no further fragments."""
        if not last:
            if len(self._refused) >= self._limits.outstanding_max:
                raise BrokenCall("too many refused calls that never end", call_id, context_id)
            self._refused.add(call_id)
        answer = Fault(call_id, context_id, status, executed=False).pack()
        return CallRefused(call_id, status, (answer,))

    def _assemble(
        self, frame: Frame, header: CallHeader, stub: memoryview
    ) -> RequestReceived | None:
        flags, call_id = frame.flags, frame.call_id
        if flags & _WHOLE == _WHOLE:
            check_size(len(stub), self._limits.call_max)
            maybe = bool(flags & _MAYBE)
            if maybe:
                self._silent.add(call_id)
            context_id, opnum = header.context_id, header.opnum
            return self.deliver(call_id, context_id, opnum, stub, frame.little, header, maybe)
        if flags & _FIRST:
            self.partial[call_id] = PartialCall(frame, header, stub, self._limits.call_max)
            return None
        call = self.partial[call_id]
        call.add(frame, header, stub)
        call.cancelled = call.cancelled or bool(flags & _CANCEL)
        if not flags & _LAST:
            return None
        del self.partial[call_id]
        if call.maybe:
            self._silent.add(call_id)
        return self.deliver(
            call_id,
            header.context_id,
            header.opnum,
            memoryview(call.data),
            frame.little,
            call.header,
            call.maybe,
            call.cancelled,
        )

    def deliver(
        self,
        call_id: int,
        context_id: int,
        opnum: int,
        stub: memoryview,
        little: bool = True,
        header: CallHeader | None = None,
        maybe: bool = False,
        cancelled: bool = False,
    ) -> RequestReceived:
        """A whole call; it runs from now on."""
        self.running[call_id] = context_id
        return RequestReceived(
            call_id,
            context_id,
            self._contexts[context_id],
            opnum,
            stub,
            little,
            None if header is None else header.object_uuid,
            maybe,
            cancelled,
        )

    def cancel(self, call_id: int) -> bool:
        """A co_cancel; whether a running call is meant. Else answer and cancel met on the way."""
        if call_id in self.partial:
            self.partial[call_id].cancelled = True
        return call_id in self.running

    def orphan(self, call_id: int) -> bool:
        """The client gave a call up; whether it is running. What came of others is dropped."""
        self.partial.pop(call_id, None)
        self._refused.discard(call_id)
        if call_id not in self.running:
            return False
        self._silent.add(call_id)
        return True

    # ---- out

    def end(self, call_id: int) -> int | None:
        """A call is answered: its context, None if nobody waits for the answer."""
        try:
            context_id = self.running.pop(call_id)
        except KeyError:
            raise LocalProtocolError(f"call {call_id} is not running") from None
        if call_id in self._silent:
            self._silent.discard(call_id)
            return None
        return context_id
