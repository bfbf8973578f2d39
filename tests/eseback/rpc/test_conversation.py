"""Client and server talk as they like: calls, answers, faults, cancels, orphans, in any order.

Bytes are delivered in pieces of any size, so that everything can cross on the way. Neither core
may find fault with the other, and every call is answered exactly once, with its own bytes, unless
it was given up.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from eseback.rpc import (
    BindAccepted,
    BindRequested,
    CallCancelled,
    CallOrphaned,
    FaultReceived,
    RequestReceived,
    ResponseReceived,
)
from tests.eseback.rpc.joined import (
    GROUP,
    MGMT_OFFER,
    OFFER,
    client_events,
    connected,
    raw,
    server_events,
)

SIZES = st.sampled_from((0, 1, 7, 100, 1407, 1408, 1409, 5000))


class Conversation(RuleBasedStateMachine):
    """The model: what was sent, what runs at the server, what was answered."""

    @initialize(concurrent=st.booleans())
    def connect(self, concurrent: bool) -> None:
        self.client, self.server = connected(1432, concurrent=concurrent)
        self.to_server, self.to_client = bytearray(), bytearray()
        self.sent: dict[int, bytes] = {}  # calls that wait, with their stubs
        self.arrived: dict[int, bytes] = {}  # calls that run at the server
        self.given_up: set[int] = set()
        self.answers: dict[int, Any] = {}  # what the server answered
        self.altering = False

    def can_call(self) -> bool:
        return not self.altering and (self.client.concurrent or not self.sent)

    @precondition(lambda self: self.can_call() and len(self.sent) < 4)
    @rule(size=SIZES)
    def call(self, size: int) -> None:
        stub = bytes([len(self.answers) % 251]) * size
        call_id, buffers = self.client.request(0, 7, [stub])
        assert call_id not in self.sent
        self.sent[call_id] = stub
        self.to_server += raw(buffers)

    @precondition(lambda self: self.arrived)
    @rule(data=st.data(), size=SIZES, is_fault=st.booleans())
    def answer(self, data: st.DataObject, size: int, is_fault: bool) -> None:
        call_id = data.draw(st.sampled_from(sorted(self.arrived)))
        del self.arrived[call_id]
        if is_fault:
            self.answers[call_id] = None
            self.to_client += raw(self.server.send_fault(call_id, 0x1C00001A))
        else:
            self.answers[call_id] = bytes([call_id % 251]) * size
            self.to_client += raw(self.server.send_response(call_id, [self.answers[call_id]]))

    @precondition(lambda self: self.sent)
    @rule(data=st.data(), give_up=st.booleans())
    def cancel_or_orphan(self, data: st.DataObject, give_up: bool) -> None:
        call_id = data.draw(st.sampled_from(sorted(self.sent)))
        if not give_up:
            self.to_server += raw(self.client.cancel(call_id))
            return
        self.to_server += raw(self.client.orphan(call_id))
        self.given_up.add(call_id)
        del self.sent[call_id]

    @precondition(lambda self: self.client.outstanding == 0 and not self.altering)
    @rule()
    def alter(self) -> None:
        self.to_server += raw(self.client.alter((OFFER, MGMT_OFFER)))
        self.altering = True

    @precondition(lambda self: self.to_server)
    @rule(size=st.sampled_from((1, 10, 100, 2000, 100_000)))
    def deliver_to_server(self, size: int) -> None:
        self.server.receive_data(bytes(self.to_server[:size]))
        del self.to_server[:size]
        for event in server_events(self.server):
            if isinstance(event, RequestReceived):
                known = self.sent.get(event.call_id)
                assert known is None or bytes(event.stub) == known
                assert known is not None or event.call_id in self.given_up
                self.arrived[event.call_id] = bytes(event.stub)
            elif isinstance(event, BindRequested):
                assert event.alter
                self.to_client += raw(self.server.accept(GROUP))
            else:
                assert isinstance(event, CallCancelled | CallOrphaned)
                assert event.call_id in self.arrived

    @precondition(lambda self: self.to_client)
    @rule(size=st.sampled_from((1, 10, 100, 2000, 100_000)))
    def deliver_to_client(self, size: int) -> None:
        self.client.receive_data(bytes(self.to_client[:size]))
        del self.to_client[:size]
        for event in client_events(self.client):
            if isinstance(event, BindAccepted):
                assert event.accepted == {0, 1}
                self.altering = False
                continue
            assert isinstance(event, ResponseReceived | FaultReceived)
            del self.sent[event.call_id]  # exactly once, and not after it was given up
            expected = self.answers[event.call_id]
            if isinstance(event, ResponseReceived):
                assert bytes(event.stub) == expected
            else:
                assert expected is None

    @invariant()
    def counts_agree(self) -> None:
        if hasattr(self, "client"):
            assert self.client.outstanding == len(self.sent)
            assert self.server.outstanding == len(self.arrived)
            assert self.server.buffered + self.client.buffered < 50_000


Conversation.TestCase.settings = settings(stateful_step_count=40)
TestConversation = pytest.mark.fuzz(Conversation.TestCase)
