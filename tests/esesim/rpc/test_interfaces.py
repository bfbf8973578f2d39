"""Interfaces on one server: those of a test, management, the endpoint mapper; several computers."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

import pytest
from attrs import evolve

from eseback.constants import BackupType
from eseback.errors import EseBackupError
from eseback.rpc import (
    BACKUP_INTERFACE,
    BACKUP_SYNTAX,
    ENDPOINT_MAPPER,
    MANAGEMENT,
    NULL_HANDLE,
    BindAccepted,
    Buffer,
    ContextResult,
    FaultStatus,
    RequestReceived,
    SyntaxId,
    make_interface,
    operation,
)
from eseback.rpc.epm import EPT_NOT_REGISTERED
from eseback.rpc.ndr import CONTEXT_HANDLE, ULONG
from eseback.rpc.tower import TcpTower
from esesim.rpc import Client, RpcServer, Service, plain
from esesim.server import SimulatedServer
from tests.esesim.rpc.wire import RawClient, bound, connected, eventually, served
from tests.esesim.support.servers import back_up, prepare, small_server

ADDER = make_interface(
    "adder",
    SyntaxId(uuid.UUID("00000000-1111-2222-3333-444444444444"), 3, 1),
    (
        operation(0, "add", (("a", ULONG), ("b", ULONG)), (("sum", ULONG),)),
        operation(1, "echo", (), ()),
        operation(2, "open", (), (("handle", CONTEXT_HANDLE),)),
        operation(3, "fail", (), ()),
        operation(4, "missing", (), ()),
    ),
)
ADD, ECHO, OPEN, FAIL, MISSING = range(5)


class Adder:
    """An interface of a test, with a context handle that notes how it was run down."""

    def __init__(self) -> None:
        self.gone: list[str] = []

    def service(self) -> Service:
        return Service(
            ADDER,
            {
                ADD: plain(ADDER.operations[ADD], lambda _, a, b: (a + b,)),
                ECHO: lambda _, request: (request.stub,),
                OPEN: self._open,
                FAIL: self._fail,
            },
        )

    def _open(self, client: Client, _: RequestReceived) -> Sequence[Buffer]:
        return (client.group.open_context(ADDER.syntax, "something", self.gone.append),)

    def _fail(self, _: Client, __: RequestReceived) -> Sequence[Buffer]:
        raise ZeroDivisionError("a mistake of the test")


def answer(client: RawClient, interface: Any, opnum: int, *values: object) -> tuple[Any, ...]:
    """Values of the response to a call of an interface that is bound as context 0."""
    item = interface.operations[opnum]
    stub = client.call(0, opnum, bytes(item.request.encode(values)))
    assert isinstance(stub, bytes), f"fault 0x{stub:08X}"
    found: tuple[Any, ...] = item.response.decode(stub)
    return found


def test_an_interface_of_a_test(caplog: pytest.LogCaptureFixture) -> None:
    adder = Adder()
    with RpcServer([adder.service()]) as server:
        with bound(server, ADDER) as client:
            assert answer(client, ADDER, ADD, 2, 3) == (5,)
            assert client.call(0, ADD, b"\1\0\0") == FaultStatus.BAD_STUB_DATA
            assert client.call(0, MISSING) == FaultStatus.OP_RANGE
            assert client.call(0, 99) == FaultStatus.OP_RANGE
            long = bytes(range(256)) * 1000
            assert client.call(0, ECHO, long) == long
            assert client.call(0, FAIL) == FaultStatus.UNSPECIFIED
            assert "a mistake of the test" in caplog.text and "Traceback" not in caplog.text
            assert client.call(0, OPEN)
            assert adder.gone == []
        assert eventually(lambda: adder.gone == ["something"])


def test_interfaces_are_registered_once() -> None:
    with pytest.raises(ValueError, match="registered twice"):
        RpcServer([Adder().service(), Adder().service()])


def test_interfaces_are_made_once_with_the_first_client() -> None:
    made: list[Service] = []

    def services() -> list[Service]:
        made.append(Adder().service())
        return made

    with RpcServer(services) as server:
        assert made == []
        for _ in range(2):
            with bound(server, ADDER) as client:
                assert answer(client, ADDER, ADD, 2, 3) == (5,)
        assert len(made) == 1 and server.services[ADDER.syntax] is made[0]


def test_interfaces_of_other_servers_are_refused() -> None:
    newer = make_interface("newer", SyntaxId(ADDER.syntax.uuid, 3, 2), ())
    other = make_interface("other", BACKUP_SYNTAX, ())
    with RpcServer([Adder().service()]) as server, RawClient(server) as client:
        event = client.bind(newer, other, ADDER)
        assert isinstance(event, BindAccepted)
        assert event.accepted == frozenset({2})
        assert [reply.result for reply in event.replies] == [
            ContextResult.PROVIDER_REJECTION,
            ContextResult.PROVIDER_REJECTION,
            ContextResult.ACCEPTANCE,
        ]


def test_management() -> None:
    with RpcServer([Adder().service()]) as server, bound(server, MANAGEMENT) as client:
        ids, status = answer(client, MANAGEMENT, 0)
        assert status == 0
        assert set(ids) == {ADDER.syntax, MANAGEMENT.syntax, ENDPOINT_MAPPER.syntax}
        counts, status = answer(client, MANAGEMENT, 1, 4)
        assert (counts[0], counts[1], status) == (2, 1, 0)
        assert answer(client, MANAGEMENT, 2) == (0, 1)
        assert answer(client, MANAGEMENT, 3) == (5,)
        assert not server.is_stopping
        (size, name), status = answer(client, MANAGEMENT, 4, 10, 64)
        assert (size, bytes(name), status) == (64, b"\0", 1747)


def test_endpoint_mapper() -> None:
    simulated = small_server()
    with (
        served(simulated, services=(Adder().service(),)) as server,
        bound(server, ENDPOINT_MAPPER) as client,
    ):
        host, port = server.address
        asked = TcpTower(SyntaxId(ADDER.syntax.uuid, 3, 0)).pack()
        handle, (_, towers), status = answer(
            client, ENDPOINT_MAPPER, 3, None, asked, NULL_HANDLE, 4
        )
        assert (handle, status) == (NULL_HANDLE, 0)
        assert [TcpTower.parse(tower) for tower in towers] == [TcpTower(ADDER.syntax, port, host)]
        unknown = TcpTower(SyntaxId(uuid.uuid4(), 1, 0)).pack()
        assert answer(client, ENDPOINT_MAPPER, 3, None, unknown, NULL_HANDLE, 4) == (
            NULL_HANDLE,
            (4, ()),
            EPT_NOT_REGISTERED,
        )


def test_endpoint_mapper_tells_some_at_a_time() -> None:
    simulated = small_server()
    with (
        served(simulated, services=(Adder().service(),)) as server,
        bound(server, ENDPOINT_MAPPER) as client,
    ):
        found, handle = [], NULL_HANDLE
        while True:
            asked = (0, None, None, 1, handle, 1)
            handle, (_, entries), status = answer(client, ENDPOINT_MAPPER, 2, *asked)
            assert status == 0
            found += [(entry.annotation, TcpTower.parse(entry.tower)) for entry in entries]
            if handle == NULL_HANDLE:
                break
        host, port = server.address
        assert found == [
            ("eseback", TcpTower(BACKUP_INTERFACE.syntax, port, host)),
            ("adder", TcpTower(ADDER.syntax, port, host)),
        ]
        handle, *_ = answer(client, ENDPOINT_MAPPER, 2, 0, None, None, 1, NULL_HANDLE, 1)
        assert answer(client, ENDPOINT_MAPPER, 4, handle) == (NULL_HANDLE, 0)
        stub = ENDPOINT_MAPPER.operations[4].request.encode((handle,))
        assert client.call(0, 4, bytes(stub)) == FaultStatus.CONTEXT_MISMATCH


def test_several_computers_on_one_server() -> None:
    first, second = small_server(), small_server(seed=8)
    topology = evolve(second.topology, server=evolve(second.topology.server, name="OTHER"))
    with SimulatedServer(topology) as other, served(first, other) as server:
        with connected(server) as api:
            assert api.get_nodes(None) == first.session().get_nodes(None)
            assert api.get_nodes("other") == other.session().get_nodes("OTHER")
            with pytest.raises(EseBackupError, match="hrCouldNotConnect"):
                api.backup_prepare("NOWHERE", "Microsoft Information Store")
            context, _ = api.backup_prepare("Other", "Microsoft Information Store")
            mine = prepare(api)
            assert back_up(api, "G1")
            api.backup_setup(context, other.group("G1").id, BackupType.FULL)
            api.backup_end(mine.context)
        assert eventually(lambda: any(event.id == 215 for event in other.events))
        assert not any(event.id == 215 for event in first.events)
