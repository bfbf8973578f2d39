"""The calls of one connection at the client: those that wait for their answer."""

from __future__ import annotations

from eseback.rpc.assembly import PartialCall, call_header, clear_stub
from eseback.rpc.connection import Limits
from eseback.rpc.errors import LocalProtocolError, RemoteProtocolError
from eseback.rpc.events import FaultReceived, ResponseReceived
from eseback.rpc.header import Frame
from eseback.rpc.pdu import Fault
from eseback.rpc.security import Security
from eseback.rpc.status import PfcFlag

__all__ = ["ClientCalls"]

_FIRST, _LAST = int(PfcFlag.FIRST_FRAG), int(PfcFlag.LAST_FRAG)


class ClientCalls:
    """running: context of each call that waits, by call id, oldest first.

    partial: answers whose last fragment has not come. Answers to calls that were given up are
    thrown away when they come after all.
    """

    __slots__ = ("_limits", "_orphaned", "partial", "running")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.running: dict[int, int] = {}
        self.partial: dict[int, PartialCall] = {}
        self._orphaned: set[int] = set()

    @property
    def buffered(self) -> int:
        """Bytes of answers whose last fragment has not come."""
        partial = self.partial
        return sum(len(call.data) for call in partial.values()) if partial else 0

    def check(self, call_id: int) -> None:
        """Whether a call waits for its answer; raises LocalProtocolError."""
        if call_id not in self.running:
            raise LocalProtocolError(f"call {call_id} is not running")

    def give_up(self, call_id: int) -> None:
        """A running call is orphaned."""
        del self.running[call_id]
        self.partial.pop(call_id, None)
        self._orphaned.add(call_id)

    def check_size(self, size: int) -> None:
        """Whether a response may be so long; raises RemoteProtocolError."""
        if size > self._limits.call_max:
            raise RemoteProtocolError(
                f"a response of {size} bytes, the limit is {self._limits.call_max}"
            )

    def on_simple_response(
        self, call_id: int, context_id: int, stub: memoryview
    ) -> ResponseReceived | None:
        """A whole response in one fragment without protection; None if nobody waits for it."""
        expected = self.running.get(call_id)
        if expected == context_id:
            del self.running[call_id]
            return ResponseReceived(call_id, stub, True)
        if expected is not None:
            raise RemoteProtocolError(f"call {call_id} of context {expected} in {context_id}")
        self._check_orphaned(call_id, last=True)
        return None

    def on_response(self, frame: Frame, security: Security | None) -> ResponseReceived | None:
        """A response fragment; None while its call is incomplete."""
        call_id, flags = frame.call_id, frame.flags
        header = call_header(frame, request=False)
        stub = clear_stub(frame, header.start, security)
        context_id = self.running.get(call_id)
        if context_id is None:
            self._check_orphaned(call_id, last=bool(flags & _LAST))
            return None
        header.opnum = 0  # cancel count and a reserved octet
        if header.context_id != context_id:
            raise RemoteProtocolError(
                f"call {call_id} of context {context_id} in {header.context_id}"
            )
        call = self.partial.get(call_id)
        if bool(flags & _FIRST) == (call is not None):
            raise RemoteProtocolError(f"the fragments of call {call_id} are out of order")
        if call is None:
            if flags & _LAST:
                self.check_size(len(stub))
                del self.running[call_id]
                return ResponseReceived(call_id, stub, frame.little)
            self.partial[call_id] = PartialCall(frame, header, stub, self._limits.call_max)
            return None
        call.add(frame, header, stub)
        if not flags & _LAST:
            return None
        del self.partial[call_id], self.running[call_id]
        return ResponseReceived(call_id, memoryview(call.data), frame.little)

    def on_fault(self, fault: Fault) -> FaultReceived | None:
        """A fault; None if nobody waits for it. Not protected on any connection: whoever can forge
        one can make a call fail, which he could by breaking the connection as well.
        """
        if fault.call_id not in self.running:
            self._check_orphaned(fault.call_id, last=True)
            return None
        del self.running[fault.call_id]
        self.partial.pop(fault.call_id, None)
        return FaultReceived(fault.call_id, fault.status, fault.executed)

    def _check_orphaned(self, call_id: int, last: bool) -> None:
        if call_id not in self._orphaned:
            raise RemoteProtocolError(f"an answer to call {call_id}, which is not running")
        if last:
            self._orphaned.discard(call_id)
