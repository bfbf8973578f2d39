"""Two cores that have authenticated to each other in earnest, without a socket."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from eseback.rpc import (
    ACCEPTED_TYPES,
    Acceptor,
    AuthContinued,
    AuthLevel,
    AuthType,
    BindAccepted,
    BindRequested,
    Buffer,
    ClientConnection,
    Credentials,
    Initiator,
    Limits,
    ServerConnection,
    Step,
    open_acceptor,
)
from eseback.rpc.ciphers import nt_hash
from tests.eseback.rpc.joined import GROUP, OFFER, SERVED, raw

PASSWORD = "pässword"
USER = "EXAMPLE\\Backup"


@frozen
class Person:
    """An account."""

    name: str
    nt_hash: bytes


PEOPLE: Mapping[tuple[str, str], Person] = {
    ("EXAMPLE", "Backup"): Person("Backup", nt_hash(PASSWORD)),
}


def find(domain: str, name: str) -> Person | None:
    """Whoever is known."""
    return PEOPLE.get((domain, name))


def credentials(
    auth_type: AuthType = AuthType.NTLM,
    level: AuthLevel = AuthLevel.INTEGRITY,
    user: str = USER,
    password: str = PASSWORD,
) -> Credentials:
    """Of the one who is known, unless told otherwise."""
    return Credentials(user, password, auth_type, level)


class Handshake:
    """A client and a server on their way to a security context, step by step."""

    def __init__(self, wanted: Credentials, fragment_max: int = 1432) -> None:
        limits = Limits(fragment_max=fragment_max)
        self.server = ServerConnection(SERVED, limits, auth_types=ACCEPTED_TYPES)
        self.client = ClientConnection(limits)
        self.initiator = Initiator(wanted)
        self.acceptor: Acceptor | None = None
        self.steps: list[Step] = []

    def bind(self) -> BindAccepted:
        """First token and the answer to it."""
        token = self.initiator.first()
        sent = self.client.bind((OFFER,), token=token, header_signing=True)
        return self.exchange(sent)

    def alter(self, answer: BindAccepted) -> BindAccepted:
        """Next token and the answer to it."""
        assert answer.token is not None
        token = self.initiator.step(answer.token.token)
        assert token is not None
        return self.exchange(self.client.alter((OFFER,), token))

    def auth3(self, answer: BindAccepted) -> None:
        """Last token, without an answer."""
        assert answer.token is not None
        token = self.initiator.step(answer.token.token)
        assert token is not None
        self.server.receive_data(raw(self.client.auth3(token)))
        event = self.server.next_event()
        assert isinstance(event, AuthContinued)
        step = self._step(event.token.token)
        assert step.security is not None
        self.server.finish_security(step.security)

    def exchange(self, buffers: list[Buffer]) -> BindAccepted:
        """The server's answer to what the client sends."""
        self.server.receive_data(raw(buffers))
        event = self.server.next_event()
        assert isinstance(event, BindRequested) and event.token is not None
        if self.acceptor is None:
            self.acceptor = open_acceptor(event.token, find, "EXCHSRV1")
        step = self._step(event.token.token)
        self.client.receive_data(
            raw(
                self.server.accept(
                    GROUP, step.token, security=step.security, more=step.security is None
                )
            )
        )
        answer = self.client.next_event()
        assert isinstance(answer, BindAccepted)
        return answer

    def _step(self, token: bytes) -> Step:
        assert self.acceptor is not None
        self.steps.append(self.acceptor.step(token))
        return self.steps[-1]


def authenticated(
    auth_type: AuthType = AuthType.NTLM,
    level: AuthLevel = AuthLevel.INTEGRITY,
    *,
    auth3: bool = False,
    fragment_max: int = 1432,
) -> tuple[ClientConnection, ServerConnection]:
    """Client and server once all is done."""
    handshake = Handshake(credentials(auth_type, level), fragment_max)
    answer = handshake.bind()
    if auth3:
        handshake.auth3(answer)
    else:
        answer = handshake.alter(answer)
        if not handshake.initiator.is_done:
            assert answer.token is not None
            assert handshake.initiator.step(answer.token.token) is None
    handshake.client.set_security(handshake.initiator.security())
    return handshake.client, handshake.server
