"""Impacket proves who it is by NTLM: at every level that it has, with the right password and not.

Its NTLMv2 responses end in another way than most, so that they show whether a server checks the
proof over the bytes that were sent.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from eseback.calls import CALL_BY_METHOD
from eseback.constants import INFORMATION_STORE, BackupType
from eseback.errors import ROW_BY_NAME
from eseback.rpc import AuthLevel
from esesim.rpc import Authentication, RpcServer, User, Users
from esesim.server import SimulatedServer
from tests.esesim.rpc.wire import eventually, served
from tests.esesim.support.servers import SERVER, prepare, read_file, small_server

if TYPE_CHECKING:
    from tests.esesim.peers.impacket_peer import ImpacketPeer

pytestmark = pytest.mark.needs_tool("impacket")

PASSWORD = "pass wörd"
USERS = Users(
    [
        User.make("EXAMPLE", "backup", PASSWORD, may_back_up=True),
        User.make("EXAMPLE", "guest", PASSWORD),
    ]
)
LEVELS = [AuthLevel.CONNECT, AuthLevel.INTEGRITY, AuthLevel.PRIVACY]
DENIED = "rpc_s_access_denied"
READ = CALL_BY_METHOD["backup_read_file"].opnum
PAGES = slice(2 * 4096, -4096)


@pytest.fixture(scope="module")
def simulated() -> Iterator[SimulatedServer]:
    with small_server(messages=1) as computer:
        yield computer


@pytest.fixture(scope="module")
def server(simulated: SimulatedServer) -> Iterator[RpcServer]:
    with served(simulated, authentication=Authentication(USERS)) as wire:
        yield wire


@contextmanager
def client(
    server: RpcServer, level: AuthLevel, user: str = "backup", password: str = PASSWORD
) -> Iterator[ImpacketPeer]:
    """A client after its bind and auth3."""
    from tests.esesim.peers.impacket_peer import connected_peer

    with connected_peer(server.address) as peer:
        if level is not AuthLevel.NONE:
            peer.dce.set_credentials(user, password, "EXAMPLE")
            peer.dce.set_auth_type(10)
            peer.dce.set_auth_level(int(level))
        peer.bind()
        yield peer


def refusal(peer: ImpacketPeer) -> str:
    """Impacket's name of the fault that the first call gets."""
    from impacket.dcerpc.v5.rpcrt import DCERPCException

    with pytest.raises(DCERPCException) as caught:
        peer.call("EbGetNodes", computer=peer.null)
    return str(caught.value).strip()


def pieces(peer: ImpacketPeer, handle: bytes, file: int) -> Iterator[bytes]:
    """All of a file. Impacket's own decoding takes seconds for a megabyte, so it is left out."""
    size = 200_000
    while True:
        peer.dce.call(READ, handle + struct.pack("<4xqI", file, size))
        stub = peer.dce.recv()
        got, room, offset, actual = struct.unpack_from("<IIII", stub)
        assert (room, offset, actual) == (size, 0, got)
        end = 16 + got
        assert stub[end:] == bytes(-end % 4 + 12)  # padding, and no error
        if not got:
            return
        yield stub[16:end]


@pytest.mark.parametrize("level", LEVELS)
def test_a_database_whole(server: RpcServer, simulated: SimulatedServer, level: AuthLevel) -> None:
    with client(server, level) as peer:
        prepared = peer.call(
            "EbBackupPrepare", server=f"{SERVER}\0", annotation=f"{INFORMATION_STORE}\0"
        )
        assert prepared["ErrorCode"] == 0
        handle = prepared["backup"]
        group = simulated.group("G1")
        peer.call("EbBackupSetup", backup=handle, instanceId=group.id, backupType=1)
        name = "".join(map(chr, prepared["instances"][0]["databases"][0]["streams"])).split("\0")[0]
        opened = peer.call(
            "EbBackupOpenFile", backup=handle, fileName=f"{name}\0", readHint=65536, sections=1
        )
        (file,) = opened["files"]
        data = b"".join(pieces(peer, handle, file["handle"]))
        assert len(data) == file["size"]
    # What it has read is what the server gives to anybody.
    assert eventually(lambda: server.connections == 0)
    api = simulated.session()
    there = prepare(api)
    api.backup_setup(there.context, there.instances["G1"], BackupType.FULL)
    image = read_file(api, there.context, there.streams["G1"][0])
    api.backup_end(there.context)
    # Headers and trailer tell of the backup itself, and of when it was.
    assert data[PAGES] == image[PAGES]


@pytest.mark.parametrize("level", [AuthLevel.NONE, AuthLevel.PACKET])
def test_levels_at_which_it_signs_nothing(server: RpcServer, level: AuthLevel) -> None:
    """It does not know PACKET as a level of its own, and sends its requests unprotected; other
    servers refuse that as well.
    """
    with client(server, level) as peer:
        assert refusal(peer) == DENIED


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(
    ("user", "password"), [("backup", "another"), ("nobody", PASSWORD), ("backup", "")]
)
def test_who_is_not_let_in(server: RpcServer, level: AuthLevel, user: str, password: str) -> None:
    """With an auth3, a client learns it from its first call."""
    with client(server, level, user, password) as peer:
        assert refusal(peer) == DENIED


@pytest.mark.parametrize("level", LEVELS)
def test_without_the_privilege_it_keeps_its_connection(server: RpcServer, level: AuthLevel) -> None:
    with client(server, level, "guest") as peer:
        for _ in range(2):
            answer = peer.call("EbGetNodes", computer=peer.null)
            assert answer["ErrorCode"] == ROW_BY_NAME["ERROR_ACCESS_DENIED"].hresult
