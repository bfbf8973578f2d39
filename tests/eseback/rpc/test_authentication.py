"""NTLM and SPNEGO in earnest, over the two cores: every level, and all that can be forged."""

from __future__ import annotations

import builtins
import sys
from typing import Any

import pytest

from eseback.rpc import (
    AuthenticationFailed,
    AuthLevel,
    AuthToken,
    AuthType,
    ClientConnection,
    Credentials,
    FaultReceived,
    FaultStatus,
    Initiator,
    LocalProtocolError,
    MissingLibraryError,
    RemoteProtocolError,
    RequestReceived,
    ResponseReceived,
    ServerConnection,
    open_acceptor,
)
from eseback.rpc.ciphers import nt_hash
from tests.eseback.rpc.authenticated import Handshake, authenticated, credentials, find
from tests.eseback.rpc.joined import raw, request_pdu

LEVELS = list(AuthLevel)[1:]
SEALED = AuthLevel.PRIVACY
TYPES = [AuthType.NTLM, AuthType.SPNEGO]


def call(client: ClientConnection, stub: bytes) -> tuple[int, bytes]:
    """A request and what is sent of it."""
    call_id, buffers = client.request(0, 4, [stub[:5], stub[5:]])
    return call_id, raw(buffers)


def deliver(server: ServerConnection, data: bytes) -> RequestReceived:
    server.receive_data(data)
    event = server.next_event()
    assert isinstance(event, RequestReceived)
    return event


def denied(server: ServerConnection, data: bytes) -> int:
    """The status of the fault that ends the connection."""
    server.receive_data(data)
    with pytest.raises(RemoteProtocolError) as caught:
        server.next_event()
    answer = b"".join(caught.value.answer)
    assert answer[2] == 3 and answer[10:12] == b"\0\0"  # a fault, and not signed
    return int.from_bytes(answer[24:28], "little")


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(
    ("auth_type", "auth3"),
    [(AuthType.NTLM, False), (AuthType.NTLM, True), (AuthType.SPNEGO, False)],
    ids=["NTLM", "NTLM with auth3", "SPNEGO"],
)
def test_calls_at_every_level(auth_type: AuthType, level: AuthLevel, auth3: bool) -> None:
    client, server = authenticated(auth_type, level, auth3=auth3)
    for number, size in enumerate((0, 1, 16, 1375, 1376, 1377, 5000)):
        stub = bytes([number + 1]) * size
        call_id, sent = call(client, stub)
        if size > 5:  # a byte or two can stand there by chance
            assert (stub[:1000] in sent) == (level < SEALED)
        assert bytes(deliver(server, sent).stub) == stub
        answer = raw(server.send_response(call_id, [stub[:9], stub[9:]]))
        assert len(answer) <= (size // 1376 + 1) * 1432
        client.receive_data(answer)
        event = client.next_event()
        assert isinstance(event, ResponseReceived)
        assert bytes(event.stub) == stub


@pytest.mark.parametrize("auth_type", TYPES)
def test_faults_are_not_signed_and_the_next_call_goes_on(auth_type: AuthType) -> None:
    client, server = authenticated(auth_type, SEALED)
    call_id, sent = call(client, b"stub")
    deliver(server, sent)
    client.receive_data(raw(server.send_fault(call_id, FaultStatus.OP_RANGE)))
    assert client.next_event() == FaultReceived(call_id, FaultStatus.OP_RANGE, False)
    deliver(server, call(client, b"stub")[1])


@pytest.mark.parametrize("level", [AuthLevel.PACKET, AuthLevel.INTEGRITY, AuthLevel.PRIVACY])
def test_a_changed_byte_anywhere_is_noticed(level: AuthLevel) -> None:
    size = len(call(authenticated(level=level)[0], bytes(20))[1])
    # Object, context and operation; stub and padding; trailer; signature. What comes before is
    # judged by the protocol itself, and the hint is signed too.
    for position in (
        16,
        20,
        22,
        24,
        43,
        44,
        55,
        size - 24,
        size - 23,
        size - 17,
        size - 16,
        size - 1,
    ):
        client, server = authenticated(level=level)
        data = bytearray(call(client, bytes(20))[1])
        data[position] ^= 1
        assert denied(server, bytes(data)) in (
            FaultStatus.ACCESS_DENIED,
            FaultStatus.PROTOCOL_ERROR,  # padding that does not fit
        ), position


def test_a_changed_answer_is_noticed_wherever_it_is_received() -> None:
    for position in (24, 40, 1400, 1431, 1440, 2000, -40, -1):
        for in_place in (True, False):
            client, server = authenticated()
            call_id, sent = call(client, b"read")
            deliver(server, sent)
            payload = bytearray(3000)
            scatter = client.expect(call_id, b"h" * 16, memoryview(payload), b"t" * 12)
            assert scatter is not None
            data = bytearray(
                raw(server.send_response(call_id, [bytes(16), b"x" * 3000, bytes(12)]))
            )
            data[position] ^= 1
            with pytest.raises(RemoteProtocolError):
                if in_place:
                    received(scatter, bytes(data))
                    assert client.finish(scatter) is None
                else:
                    client.receive_data(bytes(data))
                client.next_event()


def received(scatter: Any, data: bytes) -> None:
    """What a transport does, some bytes at a time."""
    position = 0
    while position < len(data) and scatter.predicted and not scatter.complete:
        buffer = scatter.buffers()[0]
        count = min(len(buffer), len(data) - position)
        buffer[:count] = data[position : position + count]
        scatter.received(count)
        position += count


@pytest.mark.parametrize("size", [0, 1, 1347, 1348, 3000, 5488])
def test_a_signed_answer_is_received_in_place(size: int) -> None:
    client, server = authenticated()
    for _ in range(2):
        call_id, sent = call(client, b"read")
        deliver(server, sent)
        payload = bytearray(size)
        scatter = client.expect(call_id, b"h" * 16, memoryview(payload), b"t" * 12)
        assert scatter is not None
        data = bytes(range(256)) * 22
        received(scatter, raw(server.send_response(call_id, [b"h" * 16, data[:size], b"t" * 12])))
        assert client.finish(scatter) == (b"h" * 16, b"t" * 12)
        assert scatter.exact
        assert payload == data[:size]
    # Any other answer is received all the same, and the signatures go on.
    call_id, sent = call(client, b"read")
    deliver(server, sent)
    scatter = client.expect(call_id, bytes(16), memoryview(bytearray(9000)), bytes(12))
    assert scatter is not None
    data = raw(server.send_response(call_id, [b"short"]))
    received(scatter, data)
    left = data[len(scatter.linear()) :]
    assert client.finish(scatter) is None
    client.receive_data(left)
    event = client.next_event()
    assert isinstance(event, ResponseReceived) and bytes(event.stub) == b"short"


def test_a_sealed_answer_is_not_received_in_place() -> None:
    client, _ = authenticated(level=SEALED)
    call_id, _ = call(client, b"read")
    assert client.expect(call_id, bytes(16), memoryview(bytearray(9)), bytes(12)) is None


@pytest.mark.parametrize("level", [AuthLevel.INTEGRITY, AuthLevel.PRIVACY])
def test_replayed_and_reordered_fragments(level: AuthLevel) -> None:
    client, server = authenticated(level=level)
    call_id, first = call(client, b"stub")
    deliver(server, first)
    server.send_response(call_id, [b""])
    assert denied(server, first) == FaultStatus.ACCESS_DENIED
    client, server = authenticated(level=level)
    fragments = raw(client.request(0, 4, [bytes(4000)])[1])
    one, two, three = fragments[:1424], fragments[1424:2848], fragments[2848:]
    assert len(one) == len(two) and two[3] == 0
    server.receive_data(one)
    assert denied(server, three) == FaultStatus.PROTOCOL_ERROR  # within a call, as Windows does


def test_what_another_connection_signed_is_not_taken() -> None:
    other, _ = authenticated()
    _, server = authenticated()
    assert denied(server, call(other, b"stub")[1]) == FaultStatus.ACCESS_DENIED


@pytest.mark.parametrize("auth_type", TYPES)
def test_a_request_without_trailer_on_a_protected_connection(auth_type: AuthType) -> None:
    _, server = authenticated(auth_type)
    assert denied(server, request_pdu(b"stub")) == FaultStatus.ACCESS_DENIED


@pytest.mark.parametrize("level", [AuthLevel.CONNECT, AuthLevel.PACKET, AuthLevel.PRIVACY])
def test_a_request_at_another_level_than_agreed(level: AuthLevel) -> None:
    client, _ = authenticated(level=level)
    _, server = authenticated(level=AuthLevel.INTEGRITY)
    status = denied(server, call(client, b"stub")[1])
    assert status == FaultStatus.ACCESS_DENIED


def test_an_answer_without_protection_is_refused() -> None:
    for level in (AuthLevel.INTEGRITY, AuthLevel.PRIVACY):
        client, _ = authenticated(level=level)
        plain_client, plain_server = authenticated(level=AuthLevel.CONNECT)
        call_id, _ = call(client, b"stub")
        plain_id, sent = call(plain_client, b"stub")
        assert plain_id == call_id
        deliver(plain_server, sent)
        client.receive_data(raw(plain_server.send_response(call_id, [b"forged"])))
        with pytest.raises(RemoteProtocolError, match="unprotected"):
            client.next_event()


# ---- who is let in


@pytest.mark.parametrize(
    ("user", "password", "why"),
    [
        ("EXAMPLE\\Backup", "pAssword", "a wrong password"),
        ("EXAMPLE\\Backup", "pässword ", "a wrong password"),
        ("EXAMPLE\\Nobody", "pässword", "an unknown user"),
        ("Backup", "pässword", "an unknown user"),
        ("OTHER\\Backup", "pässword", "an unknown user"),
    ],
)
@pytest.mark.parametrize("auth_type", TYPES)
def test_who_is_not_let_in(auth_type: AuthType, user: str, password: str, why: str) -> None:
    handshake = Handshake(credentials(auth_type, user=user, password=password))
    answer = handshake.bind()
    with pytest.raises(AuthenticationFailed, match=why) as caught:
        handshake.alter(answer)
    assert password not in str(caught.value)
    assert handshake.acceptor is not None
    with pytest.raises(AuthenticationFailed, match="ended already"):
        handshake.acceptor.step(b"NTLMSSP\0")


def test_the_answer_to_a_last_token_has_a_trailer_and_nothing_in_it() -> None:
    handshake = Handshake(credentials())
    answer = handshake.alter(handshake.bind())
    assert answer.token == AuthToken(AuthType.NTLM, AuthLevel.INTEGRITY, 1, b"")


def test_whom_the_session_is_with() -> None:
    handshake = Handshake(credentials(AuthType.SPNEGO))
    handshake.alter(handshake.bind())
    assert handshake.steps[0].account is None
    assert handshake.steps[-1].account is find("EXAMPLE", "Backup")
    assert "nt_hash" not in repr(handshake.steps[-1].security)


@pytest.mark.parametrize("auth_type", TYPES)
def test_flags_taken_out_on_the_way_are_noticed(auth_type: AuthType) -> None:
    """Signing, sealing, extended security, 128 bits, key exchange: out of any of the messages."""
    for flag in (0x10, 0x20, 0x80000, 0x20000000, 0x40000000):
        for message in (1, 2, 3):
            wanted = credentials(auth_type, SEALED)
            initiator = Initiator(wanted)
            first = initiator.first()
            acceptor = open_acceptor(first, find, "SRV")
            with pytest.raises(AuthenticationFailed):
                challenge = acceptor.step(without(first.token, flag, 1, message)).token
                second = initiator.step(without(challenge, flag, 2, message))
                assert second is not None
                acceptor.step(without(second.token, flag, 3, message))
                initiator.security()


def without(token: bytes, flag: int, number: int, chosen: int) -> bytes:
    """A token with a flag taken out of the NTLM message in it, if it is the chosen one."""
    start = token.find(b"NTLMSSP\0")
    if number != chosen:
        return token
    at = start + {1: 12, 2: 20, 3: 60}[number]
    flags = int.from_bytes(token[at : at + 4], "little")
    assert flags & flag
    return token[:at] + (flags & ~flag).to_bytes(4, "little") + token[at + 4 :]


@pytest.mark.parametrize("auth_type", TYPES)
def test_tokens_that_are_no_good(auth_type: AuthType) -> None:
    for token in (
        b"",
        b"\0",
        b"NTLMSSP\0",
        b"NTLMSSP\0\3\0\0\0" + bytes(80),
        b"\x60\x84",
        bytes(20_000),
    ):
        acceptor = open_acceptor(AuthToken(auth_type, 6, 1, token), find, "SRV")
        with pytest.raises(AuthenticationFailed):
            acceptor.step(token)
    with pytest.raises(AuthenticationFailed, match="not offered"):
        open_acceptor(AuthToken(AuthType.KERBEROS, 6, 1, b""), find, "SRV")


@pytest.mark.parametrize("auth_type", TYPES)
def test_a_server_that_talks_nonsense(auth_type: AuthType) -> None:
    for token in (b"", b"\0", b"NTLMSSP\0", b"NTLMSSP\0\3\0\0\0" + bytes(80), b"\xa1\x03"):
        initiator = Initiator(credentials(auth_type))
        initiator.first()
        with pytest.raises(AuthenticationFailed):
            initiator.step(token)


def test_what_the_caller_may_not_do() -> None:
    with pytest.raises(LocalProtocolError, match="without a name"):
        Credentials("EXAMPLE\\", "x")
    with pytest.raises(LocalProtocolError, match="16"):
        Credentials("x", "x", AuthType.KERBEROS)
    with pytest.raises(LocalProtocolError, match="without authentication"):
        Credentials("x", "x", AuthType.NTLM, AuthLevel.NONE)
    initiator = Initiator(credentials())
    initiator.first()
    with pytest.raises(LocalProtocolError, match="not ended"):
        initiator.security()
    assert PASSWORD_LIKE not in repr(Credentials("x", PASSWORD_LIKE))


PASSWORD_LIKE = "do not show"


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def fail(name: str, *rest: Any) -> Any:
        if name.startswith("spnego"):
            raise ImportError(name)
        return real(name, *rest)

    for name in [name for name in sys.modules if name.partition(".")[0] == "spnego"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", fail)
    with pytest.raises(MissingLibraryError, match=r"install esesim\[auth\]"):
        nt_hash("x")
    with pytest.raises(MissingLibraryError, match=r"install esesim\[auth\]"):
        Initiator(credentials())
