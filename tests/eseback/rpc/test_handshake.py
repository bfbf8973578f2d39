"""How a client comes to a bound connection, and servers on which it does not."""

from __future__ import annotations

import pytest
from attrs import evolve

from eseback.rpc import (
    BACKUP_SYNTAX,
    NDR32,
    AuthenticationFailed,
    AuthLevel,
    AuthToken,
    AuthType,
    BindAccepted,
    BindFeature,
    BindRequested,
    Buffer,
    ClientConnection,
    ContextOffer,
    Initiator,
    RemoteProtocolError,
    RequestReceived,
    ServerConnection,
    SyntaxId,
    bind_as,
)
from tests.eseback.rpc.authenticated import Handshake, credentials
from tests.eseback.rpc.joined import GROUP, OFFER, SERVED, raw

TYPES = [AuthType.NTLM, AuthType.SPNEGO]


@pytest.mark.parametrize("auth_type", TYPES)
def test_who_we_are_is_proved(auth_type: AuthType) -> None:
    wanted = credentials(auth_type, AuthLevel.PRIVACY)
    handshake = Handshake(wanted)
    assert bind_as(wanted, handshake.client, OFFER, handshake.exchange)
    _, sent = handshake.client.request(0, 4, [b"stub"])
    assert b"stub" not in raw(sent)
    handshake.server.receive_data(raw(sent))
    event = handshake.server.next_event()
    assert isinstance(event, RequestReceived) and bytes(event.stub) == b"stub"


@pytest.mark.parametrize("auth_type", TYPES)
def test_an_answer_without_a_token_leads_nowhere(auth_type: AuthType) -> None:
    wanted = credentials(auth_type)
    handshake = Handshake(wanted)

    def exchange(buffers: list[Buffer]) -> BindAccepted:
        return evolve(handshake.exchange(buffers), token=None)

    with pytest.raises(RemoteProtocolError, match="leaves the authentication unanswered"):
        bind_as(wanted, handshake.client, OFFER, exchange)
    assert handshake.client.security is None


def test_a_token_that_is_no_good() -> None:
    wanted = credentials()
    handshake = Handshake(wanted)
    nonsense = AuthToken(AuthType.NTLM, AuthLevel.INTEGRITY, 1, b"nonsense")

    def exchange(buffers: list[Buffer]) -> BindAccepted:
        return evolve(handshake.exchange(buffers), token=nonsense)

    with pytest.raises(AuthenticationFailed):
        bind_as(wanted, handshake.client, OFFER, exchange)


def test_there_is_an_end_to_the_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = credentials()
    handshake = Handshake(wanted)
    tokens: list[bytes] = []
    monkeypatch.setattr(Initiator, "step", lambda _, token: tokens.append(token))
    with pytest.raises(RemoteProtocolError, match="does not come to an end"):
        bind_as(wanted, handshake.client, OFFER, handshake.exchange)
    assert len(tokens) == 8


@pytest.mark.parametrize(("interface", "expected"), [(BACKUP_SYNTAX, True), (NDR32, False)])
def test_nobody_in_particular(interface: SyntaxId, expected: bool) -> None:
    client, server = ClientConnection(), ServerConnection(SERVED)

    def exchange(buffers: list[Buffer]) -> BindAccepted:
        server.receive_data(raw(buffers))
        event = server.next_event()
        assert isinstance(event, BindRequested) and event.token is None
        client.receive_data(raw(server.accept(event.assoc_group_id)))
        answer = client.next_event()
        assert isinstance(answer, BindAccepted)
        return answer

    wanted = BindFeature.KEEP_CONNECTION_ON_ORPHAN
    offer = ContextOffer(3, interface, (NDR32,))
    assert expected == bind_as(
        None, client, offer, exchange, assoc_group_id=GROUP, concurrent=True, features=wanted
    )
    assert (3 in client.contexts) == expected
    assert (client.assoc_group_id, client.concurrent) == (GROUP, True)
    assert (client.features, client.header_signing) == (wanted, False)
