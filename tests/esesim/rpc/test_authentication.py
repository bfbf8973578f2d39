"""A server with users: who is let in, what is open to whom, and what everybody else is told."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest
from attrs import evolve

from eseback.calls import CALL_BY_METHOD
from eseback.constants import INFORMATION_STORE, RegisterFlags
from eseback.errors import ROW_BY_NAME, EseBackupError
from eseback.rpc import (
    BACKUP_INTERFACE,
    ENDPOINT_MAPPER,
    MANAGEMENT,
    NDR32,
    NULL_HANDLE,
    AuthLevel,
    AuthToken,
    AuthType,
    BindAccepted,
    BindRejected,
    ContextOffer,
    Credentials,
    FaultReceived,
    FaultStatus,
    Initiator,
    Interface,
    RejectReason,
)
from eseback.rpc.backup_calls import decode_result, encode_arguments
from eseback.rpc.bulk import decode_read, encode_read_request, encode_write
from esebcli.rpcerrors import AccessRefused
from esesim.rpc import Authentication, NotLoopbackError, RpcServer, ServerLimits, User, Users
from esesim.server import SimulatedServer
from tests.esesim.rpc.wire import RawClient, bound, connected, eventually, served
from tests.esesim.support.servers import SERVER, back_up, prepare, small_server

PASSWORD, OTHER_PASSWORD = "let me in 1", "let me in 2"
BACKUP = Credentials("EXAMPLE\\backup", PASSWORD)
GUEST = Credentials("guest", OTHER_PASSWORD)
USERS = Users(
    [
        User.make("EXAMPLE", "backup", PASSWORD, may_back_up=True),
        User.make("", "guest", OTHER_PASSWORD),
    ]
)
ACCESS_DENIED = ROW_BY_NAME["ERROR_ACCESS_DENIED"].hresult
PREPARE = CALL_BY_METHOD["backup_prepare"].opnum or 0
PREPARE_STUB = bytes(encode_arguments("backup_prepare", (SERVER, INFORMATION_STORE)))
TYPES = [AuthType.NTLM, AuthType.SPNEGO]


@pytest.fixture
def simulated() -> Iterator[SimulatedServer]:
    with small_server() as server:
        yield server


@pytest.fixture
def server(simulated: SimulatedServer) -> Iterator[RpcServer]:
    with served(simulated, authentication=Authentication(USERS)) as wire:
        yield wire


class RawUser(RawClient):
    """A raw client that proves who it is with an auth3, as Windows does for NTLM."""

    def __init__(self, server: RpcServer, credentials: Credentials, *interfaces: Interface) -> None:
        super().__init__(server)
        offers = [ContextOffer(n, i.syntax, (NDR32,)) for n, i in enumerate(interfaces)]
        initiator = Initiator(credentials)
        self.send(self.core.bind(offers, token=initiator.first()))
        answer = self.event()
        assert isinstance(answer, BindAccepted) and answer.token is not None
        token = initiator.step(answer.token.token)
        assert token is not None
        self.send(self.core.auth3(token))
        self.core.set_security(initiator.security())

    def send(self, buffers: list[bytes | bytearray | memoryview]) -> None:
        self.socket.sendall(b"".join(buffers))


@pytest.mark.parametrize(
    ("auth_type", "level", "gather", "size"),
    [
        (AuthType.NTLM, AuthLevel.CONNECT, True, 65536),
        (AuthType.NTLM, AuthLevel.PACKET, True, 4096),
        (AuthType.NTLM, AuthLevel.INTEGRITY, True, 1 << 20),
        (AuthType.NTLM, AuthLevel.INTEGRITY, False, 200_000),
        (AuthType.NTLM, AuthLevel.PRIVACY, True, 200_000),
        (AuthType.SPNEGO, AuthLevel.CONNECT, False, 65536),
        (AuthType.SPNEGO, AuthLevel.INTEGRITY, True, 65528),
        (AuthType.SPNEGO, AuthLevel.PRIVACY, False, 65528),
    ],
)
def test_a_whole_backup_under_protection_is_the_one_in_process(
    auth_type: AuthType, level: AuthLevel, gather: bool, size: int
) -> None:
    with small_server() as first, small_server() as second:
        expected = back_up(first.session(), "G1", size=size)
        credentials = evolve(BACKUP, auth_type=auth_type, level=level)
        authentication = Authentication(USERS, level)
        with (
            served(second, authentication=authentication, gather=gather) as wire,
            connected(wire, credentials=credentials, gather=gather) as api,
        ):
            assert back_up(api, "G1", size=size) == expected


@pytest.mark.parametrize(
    "credentials",
    [
        evolve(BACKUP, password=OTHER_PASSWORD),
        evolve(BACKUP, user="EXAMPLE\\nobody"),
        evolve(BACKUP, user="backup"),
        evolve(GUEST, password=""),
    ],
)
@pytest.mark.parametrize("auth_type", TYPES)
def test_who_is_not_let_in(
    server: RpcServer, credentials: Credentials, auth_type: AuthType
) -> None:
    credentials = evolve(credentials, auth_type=auth_type)
    with (
        pytest.raises(AccessRefused, match="the server does not know") as caught,
        connected(server, credentials=credentials),
    ):
        pass
    assert caught.value.hresult == ACCESS_DENIED
    assert credentials.user in str(caught.value)


@pytest.mark.parametrize("level", [AuthLevel.CONNECT, AuthLevel.INTEGRITY, AuthLevel.PRIVACY])
def test_a_wrong_password_in_an_auth3_is_told_with_the_first_call(
    server: RpcServer, level: AuthLevel
) -> None:
    wrong = evolve(BACKUP, password=OTHER_PASSWORD, level=level)
    with RawUser(server, wrong, MANAGEMENT) as client:
        assert client.call(0, 2) == FaultStatus.ACCESS_DENIED
        assert client.is_closed()
    with RawUser(server, evolve(BACKUP, level=level), MANAGEMENT) as client:
        assert isinstance(client.call(0, 2), bytes)


@pytest.mark.parametrize("name", ["example\\BACKUP", "backup@example", "Backup@EXAMPLE"])
def test_names_as_windows_takes_them(server: RpcServer, name: str) -> None:
    with connected(server, credentials=evolve(BACKUP, user=name)) as api:
        prepare(api)


def test_a_user_without_a_domain_is_found_in_any(server: RpcServer) -> None:
    for domain in ("", "EXAMPLE\\", "WHATEVER\\"):
        with connected(server, credentials=evolve(GUEST, user=f"{domain}guest")):
            pass


def test_strangers_get_the_standard_interfaces_and_nothing_else(server: RpcServer) -> None:
    with bound(server, BACKUP_INTERFACE, MANAGEMENT, ENDPOINT_MAPPER) as client:
        for _ in range(2):
            assert client.call(0, PREPARE, PREPARE_STUB) == FaultStatus.ACCESS_DENIED
            assert client.call(0, 999) == FaultStatus.ACCESS_DENIED  # not told what there is
            assert isinstance(client.call(1, 2), bytes)
            assert client.call(2, 4, bytes(20)) == FaultStatus.CONTEXT_MISMATCH  # a mapper's own
    with connected(server) as api, pytest.raises(AccessRefused, match="who calls") as caught:
        api.get_nodes(None)
    assert caught.value.call == "get_nodes"


@pytest.mark.parametrize(
    ("least", "lower"),
    [
        (AuthLevel.PACKET, AuthLevel.CONNECT),
        (AuthLevel.INTEGRITY, AuthLevel.CALL),  # which is raised to PACKET (MS-RPCE 2.2.1.1.8)
        (AuthLevel.PRIVACY, AuthLevel.INTEGRITY),
    ],
)
def test_a_call_needs_the_level_that_the_server_asks_for(
    simulated: SimulatedServer, least: AuthLevel, lower: AuthLevel
) -> None:
    with served(simulated, authentication=Authentication(USERS, least)) as wire:
        name = lower.name.lower()
        with (
            connected(wire, credentials=evolve(BACKUP, level=lower)) as api,
            pytest.raises(AccessRefused, match=f"more protection than level={name}"),
        ):
            api.get_nodes(None)
        with connected(wire, credentials=evolve(BACKUP, level=least)) as api:
            api.get_nodes(None)


def test_without_the_privilege_calls_are_denied_by_value(server: RpcServer) -> None:
    """No fault: there are clients that hang up after one."""
    with connected(server, credentials=GUEST) as api:
        for call in (
            lambda: api.get_nodes(None),
            lambda: api.get_registered(SERVER, None, RegisterFlags.BACKUP),
            lambda: api.backup_prepare(SERVER, INFORMATION_STORE),
            lambda: api.restore_open(SERVER, INFORMATION_STORE, "G1", None),
        ):
            with pytest.raises(EseBackupError) as caught:
                call()
            assert type(caught.value) is EseBackupError
            assert caught.value.hresult == ACCESS_DENIED
    with RawUser(server, GUEST, BACKUP_INTERFACE) as client:
        read = client.call(
            0, CALL_BY_METHOD["backup_read_file"].opnum or 0, encode_read_request(NULL_HANDLE, 1, 9)
        )
        assert isinstance(read, bytes)
        with pytest.raises(EseBackupError, match="ERROR_ACCESS_DENIED"):
            decode_read(read, 9)
        write = b"".join(encode_write(NULL_HANDLE, 1, b"data"))
        for method, stub in (
            ("restore_write_file", write),
            ("backup_end", bytes(20)),
            ("restore_close", bytes(24)),
        ):
            answer = client.call(0, CALL_BY_METHOD[method].opnum or 0, stub)
            assert isinstance(answer, bytes), method
            with pytest.raises(EseBackupError, match="ERROR_ACCESS_DENIED"):
                decode_result(method, answer)


def test_two_servers_of_one_process_have_users_of_their_own(simulated: SimulatedServer) -> None:
    mine = Authentication(Users([User.make("", "me", "mine", may_back_up=True)]))
    yours = Authentication(Users([User.make("", "me", "yours", may_back_up=True)]))
    with (
        served(simulated, authentication=mine) as first,
        served(simulated, authentication=yours) as second,
    ):
        for server, password, other in ((first, "mine", "yours"), (second, "yours", "mine")):
            with connected(server, credentials=Credentials("me", password)) as api:
                api.get_nodes(None)
            with (
                pytest.raises(AccessRefused),
                connected(server, credentials=Credentials("me", other)),
            ):
                pass


def test_passwords_are_in_no_log(server: RpcServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for credentials in (BACKUP, GUEST, evolve(BACKUP, password="quite wrong")):
        with suppress(AccessRefused), connected(server, credentials=credentials) as api:
            api.get_nodes(None) if credentials is BACKUP else None
    assert eventually(lambda: "a wrong password" in caplog.text)
    assert "authenticated as EXAMPLE\\backup" in caplog.text
    for password in (PASSWORD, OTHER_PASSWORD, "quite wrong"):
        assert password not in caplog.text
    assert PASSWORD not in repr(BACKUP)
    assert "nt_hash" not in repr(USERS.find("EXAMPLE", "backup"))


# ---- limits, and what is not offered


@pytest.mark.parametrize("over_alter", [False, True])
def test_an_authentication_has_to_end_in_time(simulated: SimulatedServer, over_alter: bool) -> None:
    limits = ServerLimits(handshake_seconds=0.2)
    offer = ContextOffer(0, MANAGEMENT.syntax, (NDR32,))
    with served(simulated, limits=limits, authentication=Authentication(USERS)) as wire:
        client = RawClient(wire)
        with client:
            started = time.monotonic()
            if over_alter:
                client.bind(MANAGEMENT)
                time.sleep(0.3)
                assert isinstance(
                    client.call(0, 2), bytes
                )  # nothing is under way: time does not run
                started = time.monotonic()
                sent = client.core.alter([offer], Initiator(BACKUP).first())
            else:
                sent = client.core.bind([offer], token=Initiator(BACKUP).first())
            client.socket.sendall(b"".join(sent))
            assert isinstance(client.event(), BindAccepted)
            assert client.is_closed()
            assert time.monotonic() - started < 3


@pytest.mark.parametrize(
    ("auth_type", "token", "reason"),
    [
        (AuthType.KERBEROS, b"x", RejectReason.AUTHENTICATION_TYPE_NOT_RECOGNIZED),
        (AuthType.NTLM, b"", None),
        (AuthType.NTLM, b"nonsense", RejectReason.INVALID_CHECKSUM),
        (AuthType.NTLM, bytes(20_000), RejectReason.INVALID_CHECKSUM),
        (AuthType.SPNEGO, b"\x60\x84\xff\xff\xff\xff", RejectReason.INVALID_CHECKSUM),
        (AuthType.SPNEGO, bytes(20_000), RejectReason.INVALID_CHECKSUM),
    ],
)
def test_first_tokens_that_are_no_good(
    server: RpcServer, auth_type: AuthType, token: bytes, reason: RejectReason | None
) -> None:
    with RawClient(server) as client:
        offer = ContextOffer(0, MANAGEMENT.syntax, (NDR32,))
        sent = client.core.bind([offer], token=AuthToken(auth_type, 5, 1, token))
        client.socket.sendall(b"".join(sent))
        event = client.event()
        assert isinstance(event, BindRejected)
        assert reason is None or event.reason == reason
        assert client.is_closed()
    assert eventually(lambda: server.connections == 0)


def test_a_later_token_that_is_no_good(server: RpcServer) -> None:
    with RawClient(server) as client:
        offer = ContextOffer(0, MANAGEMENT.syntax, (NDR32,))
        token = Initiator(BACKUP).first()
        client.socket.sendall(b"".join(client.core.bind([offer], token=token)))
        assert isinstance(client.event(), BindAccepted)
        client.socket.sendall(b"".join(client.core.alter([offer], evolve(token, token=b"?"))))
        event = client.event()
        assert isinstance(event, FaultReceived)
        assert event.status == FaultStatus.ACCESS_DENIED
        assert client.is_closed()


def test_a_server_without_users_offers_no_authentication(simulated: SimulatedServer) -> None:
    with (
        served(simulated) as wire,
        pytest.raises(AccessRefused, match="NTLM is not offered"),
        connected(wire, credentials=BACKUP),
    ):
        pass


def test_beyond_this_computer_only_with_users() -> None:
    known, unknown = Authentication(USERS), Authentication(USERS, AuthLevel.NONE)
    for authentication in (None, unknown):
        with pytest.raises(NotLoopbackError, match="--users"):
            RpcServer([], "0.0.0.0", authentication=authentication)
    with RpcServer([], "0.0.0.0", authentication=known) as server:
        socket.create_connection(("127.0.0.1", server.address[1])).close()


def test_with_level_none_strangers_may_do_everything(simulated: SimulatedServer) -> None:
    authentication = Authentication(USERS, AuthLevel.NONE)
    with served(simulated, authentication=authentication) as wire:
        with connected(wire) as api:
            api.get_nodes(None)
        with (
            connected(wire, credentials=GUEST) as api,
            pytest.raises(EseBackupError, match="ERROR_ACCESS_DENIED"),
        ):
            api.get_nodes(None)
