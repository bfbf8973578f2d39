"""Samba's C client, through its Python module: the connection, both byte orders, standard calls.

It knows nothing of our interface: stubs are ours, everything around them is Samba's. Management and
the endpoint mapper it knows down to the last byte.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from eseback.calls import CALL_BY_METHOD
from eseback.constants import INFORMATION_STORE, BackupType
from eseback.errors import EseBackupError
from eseback.rpc import BACKUP_INTERFACE, ENDPOINT_MAPPER, MANAGEMENT
from eseback.rpc.backup_calls import decode_result, encode_arguments
from eseback.rpc.bulk import decode_read, encode_read_request
from esesim.rpc import RpcServer
from esesim.server import SimulatedServer
from tests.esesim.peers.samba_peer import NtStatusError, SambaPeer, binding, samba
from tests.esesim.rpc.wire import eventually
from tests.esesim.support.servers import SERVER, prepare, read_file

pytestmark = pytest.mark.needs_tool("samba")

OURS = {"uuid": str(BACKUP_INTERFACE.syntax.uuid), "version": BACKUP_INTERFACE.syntax.major}
UNSUPPORTED_NAME_SYNTAX = 0xC0020026
PROCNUM_OUT_OF_RANGE = 0xC002002E
BAD_STUB_DATA = 0xC003000C
CONTEXT_MISMATCH = 0xC0030005


@pytest.fixture(scope="module")
def peer() -> Iterator[SambaPeer]:
    with samba() as found:
        yield found


def status_of(peer: SambaPeer, what: str, **arguments: Any) -> int:
    """What Samba makes of a refusal."""
    with pytest.raises(NtStatusError) as caught:
        peer.do(what, **arguments)
    return caught.value.status


def opnum(method: str) -> int:
    number = CALL_BY_METHOD[method].opnum
    assert number is not None
    return number


def call(peer: SambaPeer, method: str, *arguments: object, little: bool = True) -> Any:
    """A call of the backup interface. Answers are little-endian, whatever the question was."""
    stub = bytes(encode_arguments(method, arguments, little))
    return decode_result(method, peer.request(opnum(method), stub))


@pytest.mark.parametrize("options", [(), ("bigendian",)], ids=["little", "big"])
def test_a_backup(
    peer: SambaPeer,
    server: RpcServer,
    simulated: SimulatedServer,
    twin: SimulatedServer,
    options: tuple[str, ...],
) -> None:
    little = "bigendian" not in options
    api = twin.session()
    there = prepare(api)
    api.backup_setup(there.context, there.instances["G1"], BackupType.FULL)
    name = there.streams["G1"][0]
    image = read_file(api, there.context, name)

    peer.do("connect", binding=binding(server.address, *options), **OURS)
    assert call(peer, "get_nodes", SERVER, little=little) == api.get_nodes(SERVER)
    arguments = (SERVER, INFORMATION_STORE)
    handle, instances = call(peer, "backup_prepare", *arguments, little=little)
    assert instances == api.backup_prepare(*arguments)[1]
    group = simulated.group("G1").id
    call(peer, "backup_setup", handle, group, BackupType.FULL, little=little)
    (file,) = call(peer, "backup_open_file", handle, name, 65536, 1, little=little)
    data = b""
    while len(data) < file.size:
        asked = encode_read_request(handle, file.handle, 300_000)
        if not little:
            asked = bytes(
                encode_arguments("backup_read_file", (handle, file.handle, 300_000), False)
            )
        data += decode_read(peer.request(opnum("backup_read_file"), asked), 300_000)
    assert data == image
    peer.do("close")
    assert eventually(lambda: any(event.id == 215 for event in simulated.group("G1").events))


def test_a_long_request(peer: SambaPeer, server: RpcServer, twin: SimulatedServer) -> None:
    """Samba cuts it into fragments of 5 840 bytes."""
    arguments = (SERVER, "X" * 30_000)
    with pytest.raises(EseBackupError) as expected:
        twin.session().backup_prepare(*arguments)
    peer.do("connect", binding=binding(server.address), **OURS)
    with pytest.raises(EseBackupError) as found:
        call(peer, "backup_prepare", *arguments)
    assert found.value.hresult == expected.value.hresult
    assert "X" * 1000 in str(found.value)


def test_faults(peer: SambaPeer, server: RpcServer) -> None:
    peer.do("connect", binding=binding(server.address), **OURS)
    assert status_of(peer, "request", opnum=99, stub="") == PROCNUM_OUT_OF_RANGE
    assert status_of(peer, "request", opnum=5, stub="010203") == BAD_STUB_DATA
    end = bytes(encode_arguments("backup_end", (bytes(range(20)),)))
    fault = status_of(peer, "request", opnum=opnum("backup_end"), stub=end.hex())
    assert fault == CONTEXT_MISMATCH
    assert peer.request(0, bytes(4))
    for wrong in (OURS | {"version": 2}, OURS | {"uuid": str(uuid.uuid4())}):
        refused = status_of(peer, "connect", binding=binding(server.address), **wrong)
        assert refused == UNSUPPORTED_NAME_SYNTAX
    only_ndr64 = binding(server.address, "ndr64")
    assert status_of(peer, "connect", binding=only_ndr64, **OURS) == UNSUPPORTED_NAME_SYNTAX


@pytest.mark.parametrize("options", [(), ("bigendian",)], ids=["little", "big"])
def test_management(peer: SambaPeer, server: RpcServer, options: tuple[str, ...]) -> None:
    found = peer.do("management", binding=binding(server.address, *options))
    assert sorted(found["interfaces"]) == sorted(
        [str(one.syntax.uuid), one.syntax.major]
        for one in (BACKUP_INTERFACE, MANAGEMENT, ENDPOINT_MAPPER)
    )
    assert len(found["statistics"]) == 4
    assert (found["listening"], found["stop"], found["name"]) == ([0, 1], 5, 1747)


@pytest.mark.parametrize("options", [(), ("bigendian",)], ids=["little", "big"])
def test_endpoint_mapper(peer: SambaPeer, server: RpcServer, options: tuple[str, ...]) -> None:
    host, port = server.address
    syntax = BACKUP_INTERFACE.syntax
    floor = (syntax.uuid.bytes_le + syntax.major.to_bytes(2, "little")).hex()
    where = binding(server.address, *options)
    result, entries = peer.do("lookup", binding=where)
    assert result == 0 and entries == [["eseback", floor, port, host]]
    assert peer.do("map", binding=where, **OURS) == [0, [[floor, port, host]]]
