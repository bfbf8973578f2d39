"""Impacket, which shares no line with us, as a client: calls, errors, faults, fragments.

What it has to find is told by an equal server that is asked in process.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from eseback.constants import INFORMATION_STORE, BackupType
from eseback.errors import ROW_BY_NAME, EseBackupError, JetErr, hresult_of_jet
from esesim.rpc import RpcServer
from esesim.server import SimulatedServer
from tests.esesim.rpc.wire import eventually
from tests.esesim.support.restores import databases_of, make_free
from tests.esesim.support.servers import SERVER, prepare, read_file

if TYPE_CHECKING:
    from tests.esesim.peers.impacket_peer import ImpacketPeer

pytestmark = pytest.mark.needs_tool("impacket")

CONTEXT = "nca_s_fault_context_mismatch"
STORE = INFORMATION_STORE
NULL_HANDLE = bytes(20)


@pytest.fixture
def peer(server: RpcServer) -> Iterator[ImpacketPeer]:
    from tests.esesim.peers.impacket_peer import bound_peer

    with bound_peer(server.address) as client:
        yield client


def text(terminated: str) -> str:
    """A string as it was sent: with one NUL at its end."""
    assert terminated.endswith("\0") and "\0" not in terminated[:-1]
    return terminated[:-1]


def strings(block: list[int]) -> tuple[str, ...]:
    """The strings of a multi-string."""
    *found, last = "".join(map(chr, block)).removesuffix("\0").split("\0")
    assert not last
    return tuple(found)


def characters(*words: str) -> list[int]:
    """A multi-string."""
    return [ord(c) for word in (*words, "") for c in f"{word}\0"]


def setup(peer: ImpacketPeer, simulated: SimulatedServer) -> bytes:
    """A context with a running backup of G1."""
    prepared = peer.call("EbBackupPrepare", server=f"{SERVER}\0", annotation=f"{STORE}\0")
    handle: bytes = prepared["backup"]
    group = simulated.group("G1").id
    answer = peer.call("EbBackupSetup", backup=handle, instanceId=group, backupType=1)
    assert (answer["ErrorCode"], answer["jetError"]) == (0, 0)
    return handle


def fault_of(call: Any) -> str:
    """Impacket's name of the fault that a call is answered with."""
    from impacket.dcerpc.v5.rpcrt import DCERPCException

    with pytest.raises(DCERPCException) as caught:
        call()
    return str(caught.value).strip()


# ---- calls


def test_nodes(peer: ImpacketPeer, twin: SimulatedServer) -> None:
    root = twin.session().get_nodes(SERVER)
    flat = [(0, root)] + [(1, child) for child in root.children]
    flat[2:] = [(2, leaf) for leaf in root.children[0].children]
    answer = peer.call("EbGetNodes", computer=f"{SERVER}\0")
    assert answer["ErrorCode"] == 0 and answer["count"] == len(flat)
    for sent, (depth, node) in zip(answer["nodes"], flat, strict=True):
        assert (sent["depth"], sent["flags"]) == (depth, node.flags)
        assert text(sent["name"]) == node.name
        assert sent["iconSize"] == len(node.icon.data)
        assert b"".join(sent["icon"]) == node.icon.data


def test_prepare(peer: ImpacketPeer, twin: SimulatedServer) -> None:
    _, instances = twin.session().backup_prepare(SERVER, INFORMATION_STORE)
    answer = peer.call("EbBackupPrepare", server=f"{SERVER}\0", annotation=f"{STORE}\0")
    assert answer["ErrorCode"] == 0
    assert answer["backup"][:4] == bytes(4) and answer["backup"] != NULL_HANDLE
    assert answer["count"] == len(instances) == 2
    for sent, instance in zip(answer["instances"], instances, strict=True):
        assert (sent["id"], text(sent["name"])) == (instance.instance_id, instance.instance_name)
        assert sent["databaseCount"] == len(instance.databases)
        assert [b"".join(icon["data"]) for icon in sent["icons"]] == [
            icon.data for icon in instance.icons
        ]
        for got, database in zip(sent["databases"], instance.databases, strict=True):
            assert text(got["displayName"]) == database.display_name
            assert strings(got["streams"]) == database.streams
            assert uuid.UUID(bytes_le=got["guid"]) == database.guid
            assert (got["iconIndex"], got["flags"]) == (database.icon_index, database.flags)
    ended = peer.call("EbBackupEnd", backup=answer["backup"])
    assert (ended["ErrorCode"], ended["backup"]) == (0, NULL_HANDLE)


def test_a_database_whole(
    peer: ImpacketPeer, simulated: SimulatedServer, twin: SimulatedServer
) -> None:
    """A megabyte in fragments of 4 280 bytes, which is what Impacket offers."""
    api = twin.session()
    there = prepare(api)
    api.backup_setup(there.context, there.instances["G1"], BackupType.FULL)
    name = there.streams["G1"][0]
    image = read_file(api, there.context, name)

    handle = setup(peer, simulated)
    opened = peer.call(
        "EbBackupOpenFile", backup=handle, fileName=f"{name}\0", readHint=65536, sections=1
    )
    assert (opened["ErrorCode"], opened["count"]) == (0, 1)
    (file,) = opened["files"]
    assert file["size"] == len(image)
    data = b""
    while True:
        read = peer.call("EbBackupReadFile", backup=handle, file=file["handle"], size=200_000)
        assert read["ErrorCode"] == 0 and read["got"] == len(read["buffer"])
        if not read["got"]:
            break
        data += b"".join(read["buffer"])
    assert data == image
    assert peer.call("EbBackupCloseFile", backup=handle, file=file["handle"])["ErrorCode"] == 0
    logs = peer.call("EbBackupGetLogAndPatchFiles", backup=handle)
    assert strings(logs["files"]) == api.backup_get_log_and_patch_files(there.context)


def test_a_restore(peer: ImpacketPeer, simulated: SimulatedServer, twin: SimulatedServer) -> None:
    (database,) = databases_of(twin.session(), "G1")
    for computer in (simulated, twin):
        make_free(computer, "G1")
    api = twin.session()
    context = api.restore_open(SERVER, INFORMATION_STORE, "G1", None)
    streams = api.restore_add_database(
        context, database.display_name, database.guid, database.streams
    )
    expected = api.restore_get_environment(context)

    opened = peer.call(
        "EbRestoreOpen",
        server=f"{SERVER}\0",
        annotation=f"{STORE}\0",
        sourceInstance="G1\0",
        logPath=peer.null,
    )
    handle = opened["restore"]
    source = characters(*database.streams)
    added = peer.call(
        "EbRestoreAddDatabase",
        restore=handle,
        displayName=f"{database.display_name}\0",
        guid=database.guid.bytes_le,
        sourceCharacters=len(source),
        sourceStreams=source,
    )
    assert added["ErrorCode"] == 0 and strings(added["destinationStreams"]) == streams
    opened = peer.call("EbRestoreOpenFile", restore=handle, fileName=f"{streams[0]}\0", sections=1)
    assert opened["ErrorCode"] == 0 and opened["file"]
    page = bytes(range(256)) * 32
    file = {"restore": handle, "file": opened["file"]}
    written = peer.call("EbRestoreWriteFile", **file, size=len(page), data=page)
    assert written["ErrorCode"] == 0
    assert peer.call("EbRestoreCloseFile", **file)["ErrorCode"] == 0
    assert simulated.files.read(streams[0]) == page
    found = peer.call("EbRestoreGetEnvironment", restore=handle)["environment"]
    assert text(found["restoreLogPath"]) == expected.restore_log_path
    assert text(found["sourceInstanceName"]) == "G1"
    (restored,) = found["databases"]
    assert uuid.UUID(bytes_le=restored["guid"]) == database.guid
    assert strings(restored["sourceStreams"]) == database.streams
    assert strings(restored["destinationStreams"]) == streams
    closed = peer.call("EbRestoreClose", restore=handle, flag=0)
    assert (closed["ErrorCode"], closed["restore"]) == (0, NULL_HANDLE)


# ---- errors are answers


def test_errors_are_return_values(
    peer: ImpacketPeer, simulated: SimulatedServer, server: RpcServer
) -> None:
    handle, other = setup(peer, simulated), simulated.group("G2").id
    again = peer.call("EbBackupSetup", backup=handle, instanceId=other, backupType=1)
    running = hresult_of_jet(JetErr.BACKUP_IN_PROGRESS)
    assert (again["ErrorCode"], again["jetError"]) == (running, JetErr.BACKUP_IN_PROGRESS)
    missing = peer.call(
        "EbBackupOpenFile", backup=handle, fileName="C:\\none.edb\0", readHint=0, sections=1
    )
    assert missing["jetError"] == JetErr.DATABASE_NOT_FOUND
    assert (missing["count"], len(missing["files"] or ())) == (0, 0)
    read = peer.call("EbBackupReadFile", backup=handle, file=99, size=4096)
    assert read["ErrorCode"] == hresult_of_jet(JetErr.INVALID_PARAMETER)
    assert (read["got"], len(read["buffer"])) == (0, 0)
    elsewhere = peer.call("EbBackupPrepare", server="NOWHERE\0", annotation=f"{STORE}\0")
    assert elsewhere["ErrorCode"] == ROW_BY_NAME["hrCouldNotConnect"].hresult
    assert elsewhere["backup"] == NULL_HANDLE and elsewhere["count"] == 0
    # Impacket tells a failed call by the return value as well.
    assert f"{running:#x}" in fault_of(
        lambda: peer.dce.request(
            peer.request("EbBackupSetup", backup=handle, instanceId=other, backupType=1)
        )
    )
    assert server.connections == 1  # none of this cost the connection


# ---- faults


def test_faults(peer: ImpacketPeer, simulated: SimulatedServer) -> None:
    handle = setup(peer, simulated)
    dce = peer.dce

    def raw(opnum: int, stub: bytes) -> None:
        dce.call(opnum, stub)
        dce.recv()

    assert fault_of(lambda: raw(26, b"")) == "nca_s_op_rng_error"
    assert fault_of(lambda: raw(5, b"\1\2\3")) == "rpc_x_bad_stub_data"
    assert fault_of(lambda: peer.call("EbBackupEnd", backup=NULL_HANDLE)) == CONTEXT
    stranger = handle[:-1] + bytes([handle[-1] ^ 1])
    assert fault_of(lambda: peer.call("EbBackupEnd", backup=stranger)) == CONTEXT
    dce.set_ctx_id(7)
    assert fault_of(lambda: raw(0, bytes(4))) == "nca_s_unk_if"
    dce.set_ctx_id(0)
    assert peer.call("EbBackupEnd", backup=handle)["ErrorCode"] == 0


def test_an_interface_that_is_not_served(server: RpcServer) -> None:
    from impacket.uuid import uuidtup_to_bin

    from tests.esesim.peers.impacket_peer import connected_peer

    with connected_peer(server.address) as peer:
        other = uuidtup_to_bin(("d1c3f0a6-52c7-4e0f-9b6e-0e5eb4c0a7e1", "2.0"))
        assert "abstract_syntax_not_supported" in fault_of(lambda: peer.bind(other))
    with connected_peer(server.address) as peer:
        peer.bind()
        assert "reason_not_specified" in fault_of(peer.bind)  # once for each connection


def test_a_client_that_goes_loses_its_backup(server: RpcServer, simulated: SimulatedServer) -> None:
    from tests.esesim.peers.impacket_peer import bound_peer

    with bound_peer(server.address) as client:
        setup(client, simulated)
    assert eventually(lambda: any(event.id == 215 for event in simulated.group("G1").events))


# ---- fragments, contexts


@pytest.mark.parametrize("size", [8, 100, 1024])
def test_requests_in_fragments(server: RpcServer, twin: SimulatedServer, size: int) -> None:
    from tests.esesim.peers.impacket_peer import bound_peer

    name = "X" * 3000
    with pytest.raises(EseBackupError) as expected:
        twin.session().backup_prepare(SERVER, name)
    with bound_peer(server.address, fragment=size) as peer:
        answer = peer.call("EbBackupPrepare", server=f"{SERVER}\0", annotation=f"{name}\0")
        assert answer["ErrorCode"] == expected.value.hresult
        assert peer.call("EbGetNodes", computer=peer.null)["count"] == 3


def test_another_interface_on_the_same_connection(peer: ImpacketPeer) -> None:
    from impacket.dcerpc.v5 import mgmt

    second = peer.dce.alter_ctx(mgmt.MSRPC_UUID_MGMT)
    assert mgmt.his_server_listening(second)["status"] == 0
    assert peer.call("EbGetNodes", computer=peer.null)["ErrorCode"] == 0


# ---- the interfaces of any server


def test_management(server: RpcServer) -> None:
    from impacket.dcerpc.v5 import epm, mgmt
    from impacket.uuid import bin_to_uuidtup

    from tests.esesim.peers.impacket_peer import INTERFACE, connected_peer

    with connected_peer(server.address) as peer:
        peer.bind(mgmt.MSRPC_UUID_MGMT)
        answer = mgmt.hinq_if_ids(peer.dce)
        assert answer["if_id_vector"]["count"] == 3
        found = {
            bin_to_uuidtup(entry["Data"].getData()[-20:])
            for entry in answer["if_id_vector"]["if_id"]
        }
        wanted = (INTERFACE, mgmt.MSRPC_UUID_MGMT, epm.MSRPC_UUID_PORTMAP)
        assert found == {bin_to_uuidtup(interface) for interface in wanted}
        assert len(mgmt.hinq_stats(peer.dce)["statistics"]) == 4
        assert "0x5" in fault_of(lambda: mgmt.hstop_server_listening(peer.dce))


def test_endpoint_mapper(server: RpcServer) -> None:
    from impacket.dcerpc.v5 import epm

    from tests.esesim.peers.impacket_peer import INTERFACE, connected_peer

    host, port = server.address
    with connected_peer(server.address) as peer:
        (entry,) = epm.hept_lookup(host, dce=peer.dce)
        assert entry["annotation"] == b"eseback\0"
        floors = entry["tower"]["Floors"]
        assert floors[0]["InterfaceUUID"] == INTERFACE[:16]
        assert epm.PrintStringBinding(floors) == f"ncacn_ip_tcp:{host}[{port}]"
    with connected_peer(server.address) as peer:
        binding = epm.hept_map(host, INTERFACE, protocol="ncacn_ip_tcp", dce=peer.dce)
        assert binding == f"ncacn_ip_tcp:{host}[{port}]"
