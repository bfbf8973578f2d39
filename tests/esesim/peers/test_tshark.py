"""tshark reads captures of our traffic, and finds nothing wrong.

What it has to find is counted by `tests.support.capture`, not by the codec that made the traffic.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from eseback.calls import CALL_BY_METHOD
from eseback.constants import INFORMATION_STORE, BackupType
from eseback.rpc import (
    BACKUP_INTERFACE,
    ENDPOINT_MAPPER,
    MANAGEMENT,
    NDR32,
    NULL_HANDLE,
    BindAccepted,
    BindFeature,
    BindRejected,
    Buffer,
    ContextOffer,
    FaultStatus,
    Limits,
    SyntaxId,
)
from eseback.rpc.backup_calls import decode_result, encode_arguments
from eseback.rpc.bulk import decode_read, encode_read_request, encode_write
from eseback.rpc.tower import TcpTower
from esesim.rpc import RpcServer
from esesim.server import SimulatedServer
from tests.esesim.peers.tshark import Dissected, dissect
from tests.esesim.rpc.wire import Endpoint, RawClient, eventually
from tests.esesim.support.servers import SERVER
from tests.support.capture import Conversation, Relay, count_types, pdus

pytestmark = pytest.mark.needs_tool("tshark")

REQUEST, RESPONSE, FAULT, BIND, ACK, NAK, ALTER, ALTERED, CANCEL, ORPHAN = (
    *(0, 2, 3, 11, 12, 13, 14, 15),
    *(18, 19),
)
OURS, MGMT, EPM = range(3)
READS = ((1 << 20,), (65_536, 262_144))
KEEP = BindFeature.KEEP_CONNECTION_ON_ORPHAN


class Talker(RawClient):
    """A client of everything that the protocol has."""

    def bind_all(self) -> None:
        offers = [ContextOffer(OURS, BACKUP_INTERFACE.syntax, (NDR32,))]
        self.socket.sendall(b"".join(self.core.bind(offers, concurrent=True, features=KEEP)))
        assert isinstance(self.event(), BindAccepted)
        more = [
            ContextOffer(MGMT, MANAGEMENT.syntax, (NDR32,)),
            ContextOffer(EPM, ENDPOINT_MAPPER.syntax, (NDR32,)),
            ContextOffer(9, SyntaxId(BACKUP_INTERFACE.syntax.uuid, 2), (NDR32,)),
        ]
        self.socket.sendall(b"".join(self.core.alter(more)))
        assert isinstance(self.event(), BindAccepted)

    def backup(self, method: str, *arguments: object) -> Any:
        """A call of the backup interface."""
        stub = self.call(OURS, opnum(method), bytes(encode_arguments(method, arguments)))
        assert isinstance(stub, bytes), hex(stub)
        return decode_result(method, stub)

    def read(self, handle: bytes, file: int, size: int) -> memoryview:
        """What a read gave."""
        stub = self.call(OURS, opnum("backup_read_file"), encode_read_request(handle, file, size))
        assert isinstance(stub, bytes), hex(stub)
        return decode_read(stub, size)


def opnum(method: str) -> int:
    number = CALL_BY_METHOD[method].opnum
    assert number is not None
    return number


def converse(endpoint: Endpoint, simulated: SimulatedServer, fragment_max: int) -> None:
    """A bit of everything, with fragments of that size."""
    with Talker(endpoint, Limits(fragment_max=fragment_max)) as client:
        client.bind_all()
        assert client.core.fragment_max == fragment_max
        client.backup("get_nodes", SERVER)
        handle, _ = client.backup("backup_prepare", SERVER, INFORMATION_STORE)
        client.backup("backup_setup", handle, simulated.group("G1").id, BackupType.FULL)
        name = simulated.group("G1").spec.stores[0].edb
        for sizes in READS:
            (file,) = client.backup("backup_open_file", handle, name, 65536, 1)
            for size in sizes:
                assert len(client.read(handle, file.handle, size)) == size
            client.backup("backup_close_file", handle, file.handle)
        # A request of many fragments: refused, because it is a backup's context.
        long: list[Buffer] = encode_write(handle, 1, bytes(200_000))
        assert isinstance(client.call(OURS, opnum("restore_write_file"), b"".join(long)), bytes)
        faults(client)
        standard(client)
        call_id, request = client.core.request(OURS, 0, [encode_arguments("get_nodes", (SERVER,))])
        cancel = client.core.cancel(call_id)
        client.socket.sendall(b"".join([*request, *cancel]))
        client.event()
        call_id, request = client.core.request(OURS, 0, [encode_arguments("get_nodes", (SERVER,))])
        orphan = client.core.orphan(call_id)
        client.socket.sendall(b"".join([*request, *orphan]))
        client.backup("backup_end", handle)


def faults(client: Talker) -> None:
    """One fault of each kind."""
    assert client.call(OURS, 99) == FaultStatus.OP_RANGE
    assert client.call(OURS, opnum("backup_setup"), b"\1\2\3") == FaultStatus.BAD_STUB_DATA
    end = bytes(encode_arguments("backup_end", (bytes(range(20)),)))
    assert client.call(OURS, opnum("backup_end"), end) == FaultStatus.CONTEXT_MISMATCH


def standard(client: Talker) -> None:
    """The management interface and the endpoint mapper, which tshark knows down to the stub."""
    for number, values in ((0, ()), (1, (4,)), (2, ()), (3, ()), (4, (10, 64))):
        stub = bytes(MANAGEMENT.operations[number].request.encode(values))
        assert isinstance(client.call(MGMT, number, stub), bytes)
    lookup = (0, None, None, 1, NULL_HANDLE, 8)
    tower = (None, TcpTower(BACKUP_INTERFACE.syntax).pack(), NULL_HANDLE, 4)
    for number, asked in ((2, lookup), (3, tower)):
        stub = bytes(ENDPOINT_MAPPER.operations[number].request.encode(asked))
        assert isinstance(client.call(EPM, number, stub), bytes)


def check(found: Dissected, conversations: list[Conversation]) -> None:
    """tshark found every PDU and every call, whole."""
    sizes = Counter(len(one) for one in all_pdus(conversations))
    assert found.types() == count_types(conversations)
    assert Counter(found.numbers("dcerpc.cn_frag_len")) == sizes
    assert Counter(found.numbers("dcerpc.reassembled.length")) == fragmented(conversations)
    refused = ["Bind not acknowledged"] * found.types()[NAK]  # tshark warns of each
    assert [text.partition(": ")[2] for text in found.complaints()] == refused


def all_pdus(conversations: list[Conversation]) -> list[bytes]:
    return [one for c in conversations for side in (True, False) for one in pdus(c.stream(side))]


def fragmented(conversations: list[Conversation]) -> Counter[int]:
    """Stub bytes of all calls and answers that came in several fragments."""
    found: Counter[int] = Counter()
    size = 0
    for one in all_pdus(conversations):
        if one[2] in (REQUEST, RESPONSE):
            first, last = one[3] & 1, one[3] & 2
            size = len(one) - 24 + (0 if first else size)
            found[size] += bool(last and not first)
    return +found


def test_our_traffic(server: RpcServer, simulated: SimulatedServer, tmp_path: Path) -> None:
    fragments = (5840, 4280, 65528)
    with Relay(server.address) as relay:
        for size in fragments:
            converse(relay, simulated, size)
        with RawClient(relay) as client:
            assert isinstance(client.bind(BACKUP_INTERFACE, group=0xDEAD), BindRejected)
            assert client.is_closed()
        assert eventually(lambda: server.connections == 0)
    found = dissect(relay.write(tmp_path / "ours.pcap"), relay.address[1])
    check(found, relay.conversations)
    types = found.types()
    assert types[BIND] == 4 and types[ACK] == types[ALTER] == types[ALTERED] == 3
    assert types[FAULT] == 9 and types[NAK] == 1 and types[CANCEL] == types[ORPHAN] == 3
    whole = Counter(found.numbers("dcerpc.reassembled.length"))
    for size in (n for sizes in READS for n in sizes):  # the data between 16 bytes and 12
        assert whole[16 + size + 12] == 3
    assert whole[40 + 200_000] == 3  # the long request
    assert set(found.numbers("dcerpc.cn_max_recv")) == set(fragments)
    assert Counter(found.numbers("dcerpc.cn_status")) == dict.fromkeys(
        (FaultStatus.OP_RANGE, FaultStatus.BAD_STUB_DATA, FaultStatus.CONTEXT_MISMATCH), 3
    )
    # Results of bind and alter_context: accepted, features, accepted twice, rejected.
    assert Counter(found.numbers("dcerpc.cn_ack_result")) == {0: 9, 2: 3, 3: 3}
    # What only a decoder of the stub itself can know.
    assert set(found.values("epm.annotation")) == {"eseback"}
    assert set(found.numbers("epm.proto.tcp_port")) == {0, server.address[1]}
    assert "127.0.0.1" in found.values("epm.proto.ip")
    assert set(found.numbers("epm.rc")) == {0}


@pytest.mark.needs_tool("samba")
def test_both_byte_orders(server: RpcServer, tmp_path: Path) -> None:
    """Samba's client asks big-endian, our server answers little-endian, tshark follows."""
    from tests.esesim.peers.samba_peer import binding, samba

    with Relay(server.address) as relay, samba() as peer:
        where = binding(relay.address, "bigendian")
        peer.do("management", binding=where)
        peer.do("lookup", binding=where)
        peer.do("map", binding=where, uuid=str(BACKUP_INTERFACE.syntax.uuid), version=1)
    orders = Counter((one[2], one[4]) for one in all_pdus(relay.conversations))
    assert orders[REQUEST, 0x00] == orders[RESPONSE, 0x10] >= 7
    found = dissect(relay.write(tmp_path / "samba.pcap"), relay.address[1])
    check(found, relay.conversations)
    assert set(found.numbers("epm.proto.tcp_port")) == {135, server.address[1]}


def test_tshark_would_notice(server: RpcServer, tmp_path: Path) -> None:
    """One byte of an answer is wrong: a floor of its tower is longer than the answer."""
    with Relay(server.address) as relay, Talker(relay) as client:
        client.bind_all()
        standard(client)
    (conversation,) = relay.conversations
    sender, data = conversation.pieces[-1]
    assert not sender
    floor = data.index(b"\x13\0\x0d")  # 19 bytes on the left: a UUID
    conversation.pieces[-1] = (sender, data[:floor] + b"\xff" + data[floor + 1 :])
    found = dissect(relay.write(tmp_path / "spoilt.pcap"), relay.address[1])
    assert any("Malformed Packet" in text for text in found.complaints())
