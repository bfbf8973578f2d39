"""Authentication steps and protected fragments, with a security context made for the test.

The context is no cryptography: it seals by inverting bits and signs by a checksum over exactly
the bytes that MS-RPCE 3.3.1.5.2.2 has protected, with a counter, as real ones have.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

import pytest

from eseback.rpc import (
    NEED_DATA,
    AuthContinued,
    AuthLevel,
    AuthToken,
    AuthType,
    BindAccepted,
    BindRequested,
    Buffer,
    CallRefused,
    ClientConnection,
    FaultReceived,
    FaultStatus,
    Limits,
    LocalProtocolError,
    RemoteProtocolError,
    RequestReceived,
    ResponseReceived,
    ServerConnection,
)
from tests.eseback.rpc.joined import (
    GROUP,
    LAST,
    OFFER,
    SERVED,
    WHOLE,
    connected,
    fault_fields,
    nak_fields,
    pdu,
    raw,
    request_pdu,
)

NTLM = AuthType.NTLM


class FakeSecurity:
    """One end of a security context; both ends count what they protect and check."""

    signature_size = 12

    def __init__(self, level: int = AuthLevel.PRIVACY, context_id: int = 7) -> None:
        self.auth_type, self.level, self.context_id = int(NTLM), level, context_id
        self.sent = self.received = 0
        self.seen: list[tuple[bytes, bytes, bytes]] = []

    def _sign(self, number: int, *parts: Buffer) -> bytes:
        return b"sig!" + struct.pack("<II", number, zlib.crc32(b"|".join(parts)))

    def _inverted(self, body: Buffer) -> bytes:
        return bytes(b ^ 0xFF for b in body) if self.level == AuthLevel.PRIVACY else bytes(body)

    def protect(
        self, header: Buffer, body: Sequence[Buffer], trailer: Buffer
    ) -> tuple[Sequence[Buffer], bytes]:
        whole = b"".join(body)
        signature = self._sign(self.sent, header, whole, trailer)
        self.sent += 1
        self.seen.append((bytes(header), whole, bytes(trailer)))
        return [self._inverted(whole)], signature

    def unprotect(self, header: Buffer, body: Buffer, trailer: Buffer, signature: Buffer) -> Buffer:
        clear = self._inverted(body)
        if signature != self._sign(self.received, header, clear, trailer):
            raise RemoteProtocolError("the signature is wrong", FaultStatus.ACCESS_DENIED)
        self.received += 1
        return clear

    def verify(
        self, header: Buffer, body: Sequence[Buffer], trailer: Buffer, signature: Buffer
    ) -> None:
        assert self.level < AuthLevel.PRIVACY
        self.unprotect(header, b"".join(body), trailer, signature)


def token(text: bytes, level: int = AuthLevel.PRIVACY, **changes: int) -> AuthToken:
    fields = {"auth_type": int(NTLM), "level": level, "context_id": 7} | changes
    return AuthToken(token=text, **fields)


def bound(
    level: int = AuthLevel.PRIVACY, more: bool = True, fragment_max: int = 1432
) -> tuple[ClientConnection, ServerConnection]:
    """After a bind with a first token; the server waits for more unless told otherwise."""
    limits = Limits(fragment_max=fragment_max)
    server = ServerConnection(SERVED, limits, auth_types=(NTLM,))
    client = ClientConnection(limits)
    server.receive_data(raw(client.bind((OFFER,), token=token(b"one", level), header_signing=True)))
    event = server.next_event()
    assert isinstance(event, BindRequested)
    assert event.token == token(b"one", level)
    security = None if more else FakeSecurity(level)
    client.receive_data(raw(server.accept(GROUP, b"two", security=security, more=more)))
    answer = client.next_event()
    assert isinstance(answer, BindAccepted)
    assert answer.token == token(b"two", level)
    assert client.header_signing
    assert server.header_signing
    return client, server


def step(client: ClientConnection, text: AuthToken, over_alter: bool) -> bytes:
    """The next step of an authentication in one of its two forms."""
    return raw(client.alter((OFFER,), text) if over_alter else client.auth3(text))


def authenticated(
    level: int = AuthLevel.PRIVACY, fragment_max: int = 1432
) -> tuple[ClientConnection, ServerConnection]:
    """After all three steps."""
    client, server = bound(level, fragment_max=fragment_max)
    server.receive_data(raw(client.auth3(token(b"three", level))))
    event = server.next_event()
    assert isinstance(event, AuthContinued)
    assert event.token == token(b"three", level)
    server.finish_security(FakeSecurity(level))
    client.set_security(FakeSecurity(level))
    return client, server


@pytest.mark.parametrize("level", [AuthLevel.PACKET, AuthLevel.INTEGRITY, AuthLevel.PRIVACY])
@pytest.mark.parametrize("size", [0, 1, 15, 16, 1376, 1377, 5000])
def test_protected_calls(level: AuthLevel, size: int) -> None:
    client, server = authenticated(level)
    request, response = bytes(range(256)) * 20, bytes(size)
    call_id, buffers = client.request(0, 4, [request[:size]])
    assert (request[:16] in raw(buffers)) == (level != AuthLevel.PRIVACY and size >= 16)
    server.receive_data(raw(buffers))
    event = server.next_event()
    assert isinstance(event, RequestReceived)
    assert bytes(event.stub) == request[:size]
    client.receive_data(raw(server.send_response(call_id, [response[:7], response[7:]])))
    answer = client.next_event()
    assert isinstance(answer, ResponseReceived)
    assert bytes(answer.stub) == response
    assert client.expect is not None
    security = server.security
    assert isinstance(security, FakeSecurity)
    for header, body, trailer in security.seen:
        assert len(body) % 16 == 0
        assert len(header) + len(body) + 8 + 12 <= 1432
        assert trailer == struct.pack("<BBBBI", 10, level, trailer[2], 0, 7)
        assert header[8:12] == struct.pack("<HH", 24 + len(body) + 20, 12)


def test_connect_level_protects_nothing() -> None:
    client, server = authenticated(AuthLevel.CONNECT)
    call_id, buffers = client.request(0, 4, [b"plain"])
    assert raw(buffers).endswith(b"plain")
    server.receive_data(raw(buffers))
    assert isinstance(server.next_event(), RequestReceived)
    assert raw(server.send_response(call_id, [b"x"])).endswith(b"x")
    # A trailer of the agreed kind is taken, and what it signs means nothing.
    trailer = struct.pack("<BBBBI", 10, 2, 3, 0, 7) + b"x" * 16
    server.receive_data(pdu(0, bytes(8) + b"s" + bytes(3) + trailer, call_id=9, auth_length=16))
    event = server.next_event()
    assert isinstance(event, RequestReceived)
    assert bytes(event.stub) == b"s"


def test_authentication_over_alter_context() -> None:
    client, server = bound()
    server.receive_data(raw(client.alter((OFFER,), token(b"three"))))
    event = server.next_event()
    assert isinstance(event, BindRequested)
    assert event.alter
    client.receive_data(raw(server.accept(GROUP, b"four", security=FakeSecurity())))
    answer = client.next_event()
    assert isinstance(answer, BindAccepted)
    assert answer.token == token(b"four")
    client.set_security(FakeSecurity())
    _, buffers = client.request(0, 4, [b"stub"])
    server.receive_data(raw(buffers))
    assert isinstance(server.next_event(), RequestReceived)


def test_authentication_in_one_step() -> None:
    client, server = bound(more=False)
    client.set_security(FakeSecurity())
    _, buffers = client.request(0, 4, [b"stub"])
    server.receive_data(raw(buffers))
    assert isinstance(server.next_event(), RequestReceived)


def test_sealed_responses_are_not_scattered() -> None:
    client, _ = authenticated()
    call_id, _ = client.request(0, 4, [])
    assert client.expect(call_id, b"", memoryview(bytearray(4)), b"") is None


def fault_of(server: ServerConnection, *data: bytes) -> tuple[int, int, int, int]:
    for item in data:
        server.receive_data(item)
    with pytest.raises(RemoteProtocolError) as caught:
        server.next_event()
    return fault_fields(raw(caught.value.answer))


def test_a_call_before_the_end_of_the_authentication() -> None:
    _, server = bound()
    assert fault_of(server, request_pdu()) == (WHOLE | 0x20, 2, 0, FaultStatus.PROTOCOL_ERROR)


def test_a_call_after_a_failed_authentication() -> None:
    client, server = bound()
    server.receive_data(raw(client.auth3(token(b"wrong"))))
    server.next_event()
    server.refuse_security()
    assert fault_of(server, request_pdu()) == (WHOLE, 2, 0, FaultStatus.ACCESS_DENIED)


def test_an_auth3_that_is_refused_by_a_fault_reaches_the_client() -> None:
    client, _ = bound()
    client.auth3(token(b"wrong"))
    client.receive_data(pdu(3, struct.pack("<IHBBII", 32, 0, 0, 0, 5, 0), call_id=1))
    assert client.next_event() == FaultReceived(1, 5, True)


@pytest.mark.parametrize("position", [3, 12, 16, 20, 22, 30, 40, 48, -1])
def test_a_changed_byte_is_noticed(position: int) -> None:
    """In the header, the stub, its padding, the trailer or the signature."""
    client, server = authenticated()
    _, buffers = client.request(0, 4, [b"twenty bytes of stub"])
    data = bytearray(raw(buffers))
    data[position] ^= 1
    server.receive_data(bytes(data))
    with pytest.raises(RemoteProtocolError):
        server.next_event()


def test_a_refused_call_counts_for_the_security_context() -> None:
    """A context that missed a fragment would find every later signature wrong."""
    client, server = authenticated()
    client.contexts[9] = client.contexts[0]
    _, buffers = client.request(9, 4, [bytes(3000)])
    server.receive_data(raw(buffers))
    refused = server.next_event()
    assert isinstance(refused, CallRefused)
    client.receive_data(raw(refused.answer))
    assert isinstance(client.next_event(), FaultReceived)
    _, buffers = client.request(0, 4, [b"stub"])
    server.receive_data(raw(buffers))
    assert isinstance(server.next_event(), RequestReceived)


def test_what_is_not_protected_as_agreed_is_denied() -> None:
    _, server = authenticated(AuthLevel.INTEGRITY)
    assert fault_of(server, request_pdu()) == (WHOLE, 2, 0, FaultStatus.ACCESS_DENIED)
    for auth_type, level, context_id in ((9, 5, 7), (10, 2, 7), (10, 6, 7), (10, 5, 8)):
        _, server = authenticated(AuthLevel.INTEGRITY)
        trailer = struct.pack("<BBBBI", auth_type, level, 0, 0, context_id) + b"x" * 12
        wrong = pdu(0, bytes(8) + trailer, call_id=2, auth_length=12)
        assert fault_of(server, wrong) == (WHOLE, 2, 0, FaultStatus.ACCESS_DENIED)


def test_what_is_not_protected_within_a_call_breaks_the_protocol() -> None:
    """The fault names the call's own context, whatever the fragment names."""
    client, server = authenticated(AuthLevel.INTEGRITY)
    call_id, buffers = client.request(0, 4, [bytes(3000)])
    data = raw(buffers)
    server.receive_data(data[: int.from_bytes(data[8:10], "little")])  # the first fragment
    assert server.next_event() is NEED_DATA
    later = request_pdu(flags=LAST, call_id=call_id, context_id=1)
    assert fault_of(server, later) == (WHOLE, call_id, 0, FaultStatus.PROTOCOL_ERROR)


def test_a_response_without_protection_is_refused_by_the_client() -> None:
    client, server = authenticated()
    call_id, buffers = client.request(0, 4, [b""])
    server.receive_data(raw(buffers))
    server.next_event()
    answer = bytearray(raw(server.send_response(call_id, [b""])))
    answer[-1] ^= 1
    client.receive_data(bytes(answer))
    with pytest.raises(RemoteProtocolError, match="signature"):
        client.next_event()


@pytest.mark.parametrize(
    ("offset", "pad", "what"),
    [(0, 17, "padding"), (2, 0, "not aligned")],
)
def test_trailer_layout_of_requests(offset: int, pad: int, what: str) -> None:
    _, server = authenticated(AuthLevel.INTEGRITY)
    trailer = struct.pack("<BBBBI", 10, 5, pad, 0, 7) + b"x" * 12
    server.receive_data(pdu(0, bytes(8) + bytes(16 + offset) + trailer, auth_length=12))
    with pytest.raises(RemoteProtocolError, match=what):
        server.next_event()


@pytest.mark.parametrize(
    ("auth_type", "level", "reason"),
    [(10, 1, 0), (10, 0, 0), (10, 7, 0), (10, 255, 0), (0, 1, 0), (0, 5, 8), (9, 6, 8), (16, 2, 8)],
)
def test_a_bind_that_asks_for_what_is_not_offered(auth_type: int, level: int, reason: int) -> None:
    server = ServerConnection(SERVED, auth_types=(NTLM,))
    offer = AuthToken(auth_type, level, 1, b"token")
    server.receive_data(raw(ClientConnection().bind((OFFER,), token=offer)))
    with pytest.raises(RemoteProtocolError) as caught:
        server.next_event()
    assert nak_fields(raw(caught.value.answer)) == (1, reason)


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"auth_type": 9}, FaultStatus.SEC_PKG_ERROR),
        ({"auth_type": 0}, FaultStatus.ACCESS_DENIED),
        ({"level": 5}, FaultStatus.ACCESS_DENIED),
        ({"context_id": 8}, FaultStatus.ACCESS_DENIED),
    ],
)
def test_an_authentication_cannot_change_its_mind(
    changes: dict[str, int], status: FaultStatus
) -> None:
    for over_alter in (True, False):
        client, server = bound()
        server.receive_data(step(client, token(b"three", **changes), over_alter))
        with pytest.raises(RemoteProtocolError) as caught:
            server.next_event()
        assert fault_fields(raw(caught.value.answer))[3] == status


def test_steps_that_are_out_of_order() -> None:
    client, server = connected()  # never authenticated
    server.receive_data(raw(client.auth3(token(b"three"))))
    with pytest.raises(RemoteProtocolError, match="without an authentication"):
        server.next_event()
    for over_alter in (True, False):
        client, server = authenticated()
        server.receive_data(step(client, token(b"x"), over_alter))
        with pytest.raises(RemoteProtocolError, match="ended already"):
            server.next_event()


def test_authentication_can_start_with_an_alter_context() -> None:
    client, _ = connected()
    server = ServerConnection(SERVED, auth_types=(NTLM,))
    server.receive_data(raw(ClientConnection().bind((OFFER,))))
    server.next_event()
    server.accept(GROUP)
    server.receive_data(raw(client.alter((OFFER,), token(b"one"))))
    assert isinstance(server.next_event(), BindRequested)
    server.accept(GROUP, b"two", security=FakeSecurity())
    assert server.security is not None
    client, server = connected()  # offers no provider
    server.receive_data(raw(client.alter((OFFER,), token(b"one"))))
    with pytest.raises(RemoteProtocolError) as caught:
        server.next_event()
    assert fault_fields(raw(caught.value.answer))[3] == FaultStatus.ACCESS_DENIED


def test_what_the_caller_may_not_do() -> None:
    limits = Limits(fragment_max=1432)
    server = ServerConnection(SERVED, limits, auth_types=(NTLM,))
    server.receive_data(raw(ClientConnection(limits).bind((OFFER,), token=token(b"one"))))
    server.next_event()
    with pytest.raises(LocalProtocolError, match="either"):
        server.accept(GROUP, b"two")
    with pytest.raises(LocalProtocolError, match="either"):
        server.accept(GROUP, b"two", security=FakeSecurity(), more=True)
    with pytest.raises(LocalProtocolError, match="not the one"):
        server.accept(GROUP, security=FakeSecurity(AuthLevel.CONNECT))
    server.accept(GROUP, b"two", more=True)
    with pytest.raises(LocalProtocolError, match="no authentication to end"):
        server.finish_security(FakeSecurity())
    client, server = bound()
    server.receive_data(raw(client.auth3(token(b"three"))))
    server.next_event()
    with pytest.raises(LocalProtocolError, match="authenticating"):
        server.next_event()
    with pytest.raises(LocalProtocolError, match="not the one"):
        server.finish_security(FakeSecurity(context_id=9))
    server.finish_security(FakeSecurity())
