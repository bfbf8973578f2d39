"""The client on a socket: addresses, and whose fault it is when something goes wrong."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from eseback.api import BackupApi
from eseback.constants import INFORMATION_STORE
from eseback.errors import ConnectionLost, EseBackupError
from eseback.rpc import (
    BACKUP_SYNTAX,
    NEED_DATA,
    BindRequested,
    Credentials,
    FaultStatus,
    Limits,
    MissingLibraryError,
    RequestReceived,
    ServerConnection,
)
from eseback.rpc.backup_calls import encode_result
from eseback.rpc.bulk import encode_read
from esebcli.errors import UserError
from esebcli.hints import explain
from esebcli.rpc import open_transport, parse_address
from esebcli.rpcapi import RpcApi
from esebcli.rpcconnection import RpcConnection
from esebcli.rpcerrors import AccessRefused, ProtocolViolation
from esebcli.transports import open_transport as open_any

HANDLE = bytes(range(20))
Answer = Callable[[socket.socket, ServerConnection, RequestReceived], None]


def reply(stub: bytes | bytearray) -> Answer:
    """An ordinary answer."""

    def answer(sock: socket.socket, core: ServerConnection, request: RequestReceived) -> None:
        sock.sendall(b"".join(core.send_response(request.call_id, [stub])))

    return answer


def raw(data: bytes) -> Answer:
    """These very bytes."""
    return lambda sock, _, __: sock.sendall(data)


def fault(status: int) -> Answer:
    """A fault."""
    return lambda sock, core, request: sock.sendall(
        b"".join(core.send_fault(request.call_id, status))
    )


def hang_up(sock: socket.socket, _: ServerConnection, __: RequestReceived) -> None:
    """The connection ends."""
    sock.shutdown(socket.SHUT_RDWR)


def silence(sock: socket.socket, _: ServerConnection, __: RequestReceived) -> None:
    """Nothing at all, until the client goes."""
    sock.settimeout(5)
    assert not sock.recv(1)


PREPARED = reply(encode_result("backup_prepare", (HANDLE, ())))


@contextmanager
def scripted(*answers: Answer, fragment_max: int = 65528) -> Iterator[int]:
    """The port of a server that answers so many calls, one after the other."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            sock, _ = listener.accept()
            core = ServerConnection([BACKUP_SYNTAX], Limits(fragment_max=fragment_max))
            left = list(answers)
            with sock:
                while left:
                    event = core.next_event()
                    if event is NEED_DATA:
                        data = sock.recv(65536)
                        if not data:
                            return
                        core.receive_data(data)
                    elif isinstance(event, BindRequested):
                        sock.sendall(b"".join(core.accept(5)))
                    elif isinstance(event, RequestReceived):
                        left.pop(0)(sock, core, event)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            thread.join(10)
            assert not thread.is_alive()


@contextmanager
def client(port: int, *, seconds: float = 5.0, gather: bool = True) -> Iterator[RpcApi]:
    api = RpcApi(RpcConnection("127.0.0.1", port, seconds=seconds, gather=gather))
    try:
        yield api
    finally:
        api.close()


def test_it_is_a_backup_api() -> None:
    api: type[BackupApi] = RpcApi
    assert api is RpcApi


@pytest.mark.parametrize(
    ("answer", "kind", "text"),
    [
        (fault(FaultStatus.ACCESS_DENIED), AccessRefused, "who calls"),
        (fault(FaultStatus.SERVER_TOO_BUSY), EseBackupError, "0x800706BB"),
        (fault(0x1C00FFFF), EseBackupError, "0x1C00FFFF"),
        (hang_up, ConnectionLost, "the server closed the connection"),
        (raw(b"HTTP/1.1 400 Bad Request\r\n\r\n"), ProtocolViolation, "does not keep to"),
        (reply(b"\1\2\3"), ProtocolViolation, "does not keep to"),
        (raw(b"\5\0\2\3\x10\0\0\0\x18\0\0\0\x63\0\0\0" + bytes(8)), ProtocolViolation, "99"),
    ],
)
def test_whose_fault_it_is(answer: Answer, kind: type[EseBackupError], text: str) -> None:
    with scripted(answer) as port, client(port) as api:
        with pytest.raises(EseBackupError, match=text) as caught:
            api.get_nodes(None)
        assert type(caught.value) is kind
        assert caught.value.call == "get_nodes"
        assert "\n" not in explain(caught.value)


def test_after_a_broken_connection_every_call_says_so() -> None:
    with scripted(PREPARED, hang_up) as port, client(port) as api:
        context, _ = api.backup_prepare("S", INFORMATION_STORE)
        for _ in range(2):
            with pytest.raises(ConnectionLost):
                api.backup_truncate_logs(context)
        with pytest.raises(ConnectionLost, match="was closed"):
            api.backup_end(context)


def test_a_fault_leaves_the_connection_as_it_is() -> None:
    with scripted(fault(FaultStatus.OP_RANGE), PREPARED) as port, client(port) as api:
        with pytest.raises(EseBackupError, match="OP_RANGE"):
            api.get_nodes(None)
        assert api.backup_prepare("S", INFORMATION_STORE) == (1, ())


def test_a_fault_that_answers_the_bind_is_the_end() -> None:
    """As after an auth3 that was refused. The bind was call 1."""
    late = struct.pack("<4B4sHHIIHBBII", 5, 0, 3, 3, b"\x10\0\0\0", 32, 0, 1, 0, 0, 0, 0, 5, 0)
    with scripted(raw(late)) as port, client(port) as api:
        with pytest.raises(AccessRefused):
            api.get_nodes(None)
        with pytest.raises(ConnectionLost, match="was closed"):
            api.get_nodes(None)


def test_a_silent_server_is_given_up() -> None:
    with scripted(silence) as port, client(port, seconds=0.2) as api:
        started = time.monotonic()
        with pytest.raises(ConnectionLost, match=r"silent for 0\.2 s"):
            api.get_nodes(None)
        assert time.monotonic() - started < 3


@pytest.mark.parametrize("gather", [True, False], ids=["in place", "portable"])
@pytest.mark.parametrize("fragment_max", [1432, 5840, 65528])
def test_reads_of_all_lengths(gather: bool, fragment_max: int) -> None:
    data = bytes(range(256)) * 1200
    sizes = [0, 1, 4095, 200_000, len(data)]

    def read(got: int) -> Answer:
        return reply(b"".join(encode_read(len(data), data[:got])))

    answers = [read(size) for size in sizes]
    with (
        scripted(PREPARED, *answers, fragment_max=fragment_max) as port,
        client(port, gather=gather) as api,
    ):
        context, _ = api.backup_prepare("S", INFORMATION_STORE)
        for size in sizes:
            buffer = bytearray(len(data))
            assert api.backup_read_file(context, 1, buffer) == size
            assert buffer[:size] == data[:size]


def test_a_read_that_lies_is_a_violation() -> None:
    lie = bytearray(b"".join(encode_read(100, bytes(100))))
    lie[0] = 101
    with scripted(PREPARED, reply(lie)) as port, client(port) as api:
        context, _ = api.backup_prepare("S", INFORMATION_STORE)
        with pytest.raises(ProtocolViolation):
            api.backup_read_file(context, 1, bytearray(100))


def test_values_that_cannot_travel_never_leave() -> None:
    with scripted(PREPARED) as port, client(port) as api:
        with pytest.raises(EseBackupError, match="-1003"):
            api.get_nodes("with a NUL\0")
        with pytest.raises(EseBackupError, match="-1003"):
            api.backup_prepare(None, INFORMATION_STORE)  # type: ignore[arg-type]
        context, _ = api.backup_prepare("S", INFORMATION_STORE)
        with pytest.raises(EseBackupError, match="-1003"):
            api.backup_read_file(context, 1 << 70, bytearray(10))
        with pytest.raises(EseBackupError, match="-1003"):
            api.restore_write_file(context, 1, None)  # type: ignore[arg-type]


def test_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ESEBCLI_PASSWORD", "from the environment")
    assert parse_address("host:1").times == {"timeout": 0, "connect-timeout": 10}
    address = parse_address("h:2,user=EXAMPLE\\me,timeout=2.5,connect-timeout=3")
    assert address.credentials == Credentials("EXAMPLE\\me", "from the environment")
    assert address.times == {"timeout": 2.5, "connect-timeout": 3}
    with pytest.raises(UserError, match="No such file"):
        open_any("rpc:h:2,user=me,password-file=nothing")


def test_a_password_on_the_command_line_is_refused_and_not_shown() -> None:
    with pytest.raises(UserError, match="can be read by others") as caught:
        open_any("rpc:h:2,user=me,password=hush,hush")
    assert "hush" not in str(caught.value)


def test_without_the_library_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_: Credentials) -> None:
        raise MissingLibraryError

    monkeypatch.setenv("ESEBCLI_PASSWORD", "x")
    monkeypatch.setattr("eseback.rpc.handshake.Initiator", missing)
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        pytest.raises(UserError, match=r"install esesim\[auth\]"),
    ):
        open_any(f"rpc:127.0.0.1:{listener.getsockname()[1]},user=me")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("host", "write rpc:HOST:PORT"),
        (
            "host:1,users=me",
            "unknown option 'users=me': timeout=, connect-timeout=, user=, password-file=, level=, "
            "auth= are",
        ),
        (
            "host:1,user=me",
            "no password for me: password-file=PATH names a file with it, or ESEBCLI_PASSWORD is "
            "it",
        ),
        ("host:1,user=EXAMPLE\\", "a user without a name"),
    ],
)
def test_bad_addresses(text: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if message.startswith("a user"):
        monkeypatch.setenv("ESEBCLI_PASSWORD", "x")
    with pytest.raises(UserError) as caught:
        open_any(f"rpc:{text}")
    assert str(caught.value) == f"--server rpc:{text}: {message}"


def test_a_server_that_is_not_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(UserError, match="refused"):
        open_any(f"rpc:127.0.0.1:{port}")


def test_a_server_of_something_else() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            sock, _ = listener.accept()
            with sock:
                sock.recv(65536)
                sock.sendall(b"220 mail.example ESMTP, at your service\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(UserError, match=r"PDU|protocol|version"):
            open_any(f"rpc:127.0.0.1:{listener.getsockname()[1]}")
        thread.join(5)


def test_the_first_session_is_the_connection_that_was_tried() -> None:
    with scripted(PREPARED) as port:
        transport = open_transport(f"127.0.0.1:{port}")
        transport.session().backup_prepare("S", INFORMATION_STORE)
        transport.close()
