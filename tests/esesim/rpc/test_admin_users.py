"""With users, administration is for those of whom the user file says so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from eseback.errors import EseBackupError
from eseback.rpc import AuthenticationFailed, AuthLevel, RemoteProtocolError
from esesim.rpc import Authentication, RpcServer, Users, serve
from esesim.rpc.adminclient import AdminClient, AdminUnavailable
from tests.esesim.support.servers import small_server

USERS = """
[[user]]
name = "boss"
password = "first"
admin = true

[[user]]
name = "operator"
password = "second"
backup = true
"""
Connecting = Callable[[str], AdminClient]


@pytest.fixture(params=[AuthLevel.CONNECT, AuthLevel.NONE], ids=["connect", "none"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RpcServer]:
    path = tmp_path / "users.toml"
    path.write_text(USERS, "utf-8")
    path.chmod(0o600)
    authentication = Authentication(Users.load(path), request.param)
    with serve(small_server(), authentication=authentication, admin=True) as server:
        yield server


@pytest.fixture
def connecting(server: RpcServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Connecting]:
    made: list[AdminClient] = []

    def connect(options: str) -> AdminClient:
        host, port = server.address
        name, _, password = options.partition("/")
        monkeypatch.setenv("ESESIM_PASSWORD", password)
        made.append(AdminClient(f"rpc:{host}:{port}{name}"))
        return made[-1]

    yield connect
    for client in made:
        client.close()


@pytest.mark.parametrize("more", ["", ",level=connect", ",level=integrity,auth=spnego"])
def test_an_administrator_may(connecting: Connecting, more: str) -> None:
    client = connecting(f",user=boss{more}/first")
    client.call("dismount", None, "G1", "G1S1")
    assert not list(client.rows("get_state", None))[1]["running"]


def test_others_may_not(connecting: Connecting) -> None:
    client = connecting(",user=operator/second")
    with pytest.raises(EseBackupError, match=r"ERROR_ACCESS_DENIED.*admin = true"):
        client.call("get_state", None, 0, 1)


def test_somebody_unknown_may_not(connecting: Connecting, server: RpcServer) -> None:
    client = connecting("")
    authentication = server.authentication
    assert authentication is not None
    if authentication.keeps_strangers_out:
        with pytest.raises(AdminUnavailable, match="user="):
            client.call("reset", None)
    else:
        with pytest.raises(EseBackupError, match="ERROR_ACCESS_DENIED"):
            client.call("reset", None)


def test_a_wrong_password_is_told(connecting: Connecting) -> None:
    with pytest.raises(AdminUnavailable, match="does not know boss, or by another"):
        connecting(",user=boss/second")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (AuthenticationFailed("the server's token is no good"), "token is no good"),
        (RemoteProtocolError("anything else"), "the authentication does not come to an end"),
    ],
)
def test_a_server_that_goes_astray_is_told(
    connecting: Connecting, error: RemoteProtocolError, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def astray(*_: object) -> bool:
        raise error

    monkeypatch.setattr("esesim.rpc.adminclient.bind_as", astray)
    with pytest.raises(AdminUnavailable, match=text):
        connecting(",user=boss/first")
