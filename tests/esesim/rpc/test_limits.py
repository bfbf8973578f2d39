"""Every limit: an option and a variable of `esesim serve`, and a line of the log where it bites.

What the limits do is in `test_connections` and `test_attacks`; here is what is left.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest
from attrs import evolve, fields
from click.testing import CliRunner

from eseback.constants import INFORMATION_STORE, BackupType
from eseback.errors import EseBackupError
from eseback.rpc import (
    BACKUP_INTERFACE,
    AuthLevel,
    Credentials,
    FaultStatus,
    Limits,
    LocalProtocolError,
    RejectReason,
)
from eseback.rpc.backup_calls import encode_arguments
from esesim.cli import main
from esesim.cli.serve import ServeOptions, make_limits
from esesim.rpc import Authentication, ServerLimits, User, Users
from esesim.rpc.server import keep_alive
from esesim.server import SimulatedServer
from tests.eseback.rpc.joined import bind_pdu, context_bytes, request_pdu
from tests.esesim.rpc.wire import RawClient, bound, connected, eventually, served
from tests.esesim.support.servers import SERVER, prepare, small_server
from tests.support.project import ROOT

PREPARE = bytes(encode_arguments("backup_prepare", (SERVER, INFORMATION_STORE)))
# The option of each limit, and a value that is not the usual one.
SERVER_OPTIONS = {
    "connections": ("connections", 7),
    "memory": ("memory", 12345),
    "read_max": ("read-max", 4096),
    "handles": ("handles", 3),
    "handshake_seconds": ("handshake-seconds", 0.25),
    "stall_seconds": ("stall-seconds", 1.5),
    "idle_seconds": ("idle-seconds", 77.0),
    "stop_seconds": ("stop-seconds", 0.5),
}
CALL_OPTIONS = {
    "fragment_max": ("fragment-max", 5840),
    "call_max": ("call-max", 65536),
    "outstanding_max": ("outstanding", 5),
    "contexts_max": ("presentation-contexts", 9),
}


def limits_of(
    monkeypatch: pytest.MonkeyPatch, *arguments: str, **variables: str
) -> ServerLimits | str:
    """What `esesim serve` would serve with; what it says where it refuses."""
    seen: list[ServeOptions] = []

    def run(options: ServeOptions, command: tuple[str, ...]) -> int:
        seen.append(options)
        return 0

    monkeypatch.setattr("esesim.cli.serve.run", run)
    done = CliRunner().invoke(main, ["serve", "minimal", *arguments], env=variables)
    return seen[0].limits if seen else done.output


@pytest.mark.parametrize("name", [*SERVER_OPTIONS, *CALL_OPTIONS])
def test_option_and_variable(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    option, value = (SERVER_OPTIONS | CALL_OPTIONS)[name]
    usual = ServerLimits()
    if name in SERVER_OPTIONS:
        wanted = evolve(usual, **{name: value})  # type: ignore[arg-type]
    else:
        call = evolve(usual.call, **{name: value})  # type: ignore[arg-type]
        wanted = evolve(usual, call=call)
    assert wanted != usual
    assert limits_of(monkeypatch, f"--{option}", str(value)) == wanted
    variable = f"ESESIM_{option.upper().replace('-', '_')}"
    assert limits_of(monkeypatch, **{variable: str(value)}) == wanted
    assert limits_of(monkeypatch) == usual
    for nonsense in ("0", "-1", "x", "nan"):
        assert "Error" in str(limits_of(monkeypatch, f"--{option}", nonsense))


def test_no_limit_is_without_an_option() -> None:
    assert {field.name for field in fields(ServerLimits)} == {*SERVER_OPTIONS, "call"}
    assert {field.name for field in fields(Limits)} == set(CALL_OPTIONS)
    parameters = {parameter.name for parameter in main.commands["serve"].params}
    options = {option.replace("-", "_") for option, _ in (SERVER_OPTIONS | CALL_OPTIONS).values()}
    assert options <= parameters
    assert make_limits(dict.fromkeys(options)) == ServerLimits()


def test_the_page_has_every_limit() -> None:
    """docs/hostile-input.md names each option with its default."""
    page = (ROOT / "docs" / "hostile-input.md").read_text("utf-8")
    usual = ServerLimits()
    for name, (option, _) in (SERVER_OPTIONS | CALL_OPTIONS).items():
        default = getattr(usual if name in SERVER_OPTIONS else usual.call, name)
        assert f"| `--{option}` | {default:.0f} | " in page


@pytest.mark.parametrize("value", [0, -1, float("nan")])
def test_limits_are_positive(value: float) -> None:
    for name in SERVER_OPTIONS:
        with pytest.raises(ValueError, match=name):
            ServerLimits(**{name: value})  # type: ignore[arg-type]
    for name in CALL_OPTIONS:
        with pytest.raises(LocalProtocolError):
            Limits(**{name: value})  # type: ignore[arg-type]


# ---- where they bite


@pytest.fixture
def simulated(caplog: pytest.LogCaptureFixture) -> Iterator[SimulatedServer]:
    caplog.set_level(logging.INFO, "esesim.rpc")
    with small_server() as server:
        yield server


def test_connections(simulated: SimulatedServer, caplog: pytest.LogCaptureFixture) -> None:
    """Each one too many is closed at once, the first with a word."""
    with (
        served(simulated, limits=ServerLimits(connections=2)) as server,
        bound(server, BACKUP_INTERFACE) as first,
        bound(server, BACKUP_INTERFACE),
    ):
        for _ in range(3):
            with RawClient(server) as more:
                assert more.is_closed()
        assert caplog.text.count("not served: 2 connections already") == 1
        first.socket.close()
        assert eventually(lambda: server.connections == 1)
        with bound(server, BACKUP_INTERFACE), RawClient(server) as more:
            assert more.is_closed()
        assert caplog.text.count("not served: 2 connections already") == 2


def test_handles(simulated: SimulatedServer, caplog: pytest.LogCaptureFixture) -> None:
    with (
        served(simulated, limits=ServerLimits(handles=1)) as server,
        bound(server, BACKUP_INTERFACE) as client,
    ):
        assert isinstance(client.call(0, 2, PREPARE), bytes)
        for _ in range(3):
            assert client.call(0, 2, PREPARE) == FaultStatus.SERVER_TOO_BUSY
        assert caplog.text.count("operation 2 is answered SERVER_TOO_BUSY") == 1


def test_fragments(simulated: SimulatedServer, caplog: pytest.LogCaptureFixture) -> None:
    """The size is agreed on; a fragment beyond what the server offers ends the connection."""
    limits = ServerLimits(call=Limits(fragment_max=1432))
    with served(simulated, limits=limits) as server:
        with bound(server, BACKUP_INTERFACE) as client:
            assert client.core.fragment_max == 1432
            client.socket.sendall(request_pdu(bytes(1416)))
            assert client.is_closed()
        assert eventually(lambda: "a PDU of 1440 bytes, the limit is 1432" in caplog.text)


def test_presentation_contexts(
    simulated: SimulatedServer, caplog: pytest.LogCaptureFixture
) -> None:
    with served(simulated, limits=ServerLimits(call=Limits(contexts_max=2))) as server:
        with RawClient(server) as client:
            client.socket.sendall(bind_pdu(*map(context_bytes, range(3))))
            answer = client.socket.recv(100)
            assert (answer[2], answer[16]) == (13, RejectReason.LOCAL_LIMIT_EXCEEDED)
            assert client.is_closed()
        bound(server, BACKUP_INTERFACE, BACKUP_INTERFACE).socket.close()
        assert eventually(lambda: "more than 2 presentation contexts" in caplog.text)


@pytest.mark.parametrize("level", [AuthLevel.INTEGRITY, AuthLevel.PRIVACY])
def test_sealed_answers_take_twice_the_memory(simulated: SimulatedServer, level: AuthLevel) -> None:
    users = Authentication(Users([User.make("", "backup", "secret", may_back_up=True)]))
    limits = ServerLimits(memory=3 << 19)
    credentials = Credentials("backup", "secret", level=level)
    with (
        served(simulated, limits=limits, authentication=users) as server,
        connected(server, credentials=credentials) as api,
    ):
        mine = prepare(api)
        api.backup_setup(mine.context, mine.instances["G1"], BackupType.FULL)
        (opened,) = api.backup_open_file(mine.context, mine.streams["G1"][0])
        if level == AuthLevel.INTEGRITY:
            assert api.backup_read_file(mine.context, opened.handle, bytearray(1 << 20))
            assert 1 << 20 <= server.memory.used < 3 << 19
        else:
            with pytest.raises(EseBackupError, match="REMOTE_NO_MEMORY"):
                api.backup_read_file(mine.context, opened.handle, bytearray(1 << 20))
            assert api.backup_read_file(mine.context, opened.handle, bytearray(1 << 19))
            assert 1 << 20 <= server.memory.used < 3 << 19


@pytest.mark.skipif(not hasattr(socket, "TCP_KEEPIDLE"), reason="the system cannot be told")
def test_computers_that_vanish_are_noticed_within_two_minutes() -> None:
    with socket.socket() as sock:
        keep_alive(sock)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        names = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
        idle, interval, count = (sock.getsockopt(socket.IPPROTO_TCP, name) for name in names)
        assert idle + interval * count <= 120


def test_stopping(simulated: SimulatedServer, caplog: pytest.LogCaptureFixture) -> None:
    """Who takes no answers holds a stop up as long as the limit says, and no longer."""
    with served(simulated, limits=ServerLimits(stop_seconds=0.2)) as server:
        with bound(server, BACKUP_INTERFACE) as client:
            client.socket.settimeout(0.2)
            with suppress(OSError):
                client.socket.sendall(request_pdu(b"\0\0\0\0", opnum=0) * 30_000)
            answered = -1
            while answered != server.counts[1]:  # until nothing more goes out
                answered = server.counts[1]
                time.sleep(0.1)
            started = time.monotonic()
            server.stop()
            assert 0.1 < time.monotonic() - started < 3
        assert "connection closed: the server stops" in caplog.text
