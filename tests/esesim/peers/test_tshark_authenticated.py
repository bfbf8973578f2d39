"""tshark on our own client and server under protection, both directions: nothing malformed."""

from __future__ import annotations

from pathlib import Path

import pytest

from eseback.constants import INFORMATION_STORE
from eseback.rpc import AuthLevel, AuthType, Credentials
from eseback.rpc.backup_calls import encode_arguments
from esesim.rpc import Authentication, User, Users
from tests.esesim.peers.tshark import dissect
from tests.esesim.rpc.wire import connected, served
from tests.esesim.support.servers import SERVER, back_up, small_server
from tests.support.capture import Relay, count_types

pytestmark = pytest.mark.needs_tool("tshark")

PASSWORD = "ASCII"  # tshark turns any other into nonsense


@pytest.mark.parametrize(
    ("auth_type", "level"),
    [
        (AuthType.NTLM, AuthLevel.CONNECT),
        (AuthType.NTLM, AuthLevel.PRIVACY),
        (AuthType.SPNEGO, AuthLevel.INTEGRITY),
    ],
)
def test_a_whole_backup(tmp_path: Path, auth_type: AuthType, level: AuthLevel) -> None:
    users = Users([User.make("", "backup", PASSWORD, may_back_up=True)])
    with (
        small_server(messages=1) as simulated,
        served(simulated, authentication=Authentication(users, level)) as server,
        Relay(server.address) as relay,
    ):
        credentials = Credentials("backup", PASSWORD, auth_type, level)
        with connected(relay, credentials=credentials) as api:
            back_up(api, "G1", size=300_000)
        path = relay.write(tmp_path / "protected.pcap")
        found = dissect(path, relay.address[1], "-o", f"ntlmssp.nt_password:{PASSWORD}")
        assert found.types() == count_types(relay.conversations)
        assert found.complaints() == []
    prepare = bytes(encode_arguments("backup_prepare", (SERVER, INFORMATION_STORE))).hex()
    decrypted = any(
        value.startswith(prepare) for value in found.values("dcerpc.decrypted_stub_data")
    )
    assert decrypted == (level == AuthLevel.PRIVACY)
