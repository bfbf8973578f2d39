"""Reads that come again: the short way is taken, and nobody can tell by the answers."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

import pytest

from eseback.calls import CALL_BY_METHOD
from eseback.errors import EseBackupError
from eseback.rpc import (
    BACKUP_INTERFACE,
    NDR32,
    BindAccepted,
    ContextOffer,
    FaultStatus,
    RepeatedRequest,
)
from eseback.rpc.backup_calls import decode_result, encode_arguments
from eseback.rpc.bulk import decode_read, encode_read_request
from esebcli.rpcapi import RpcApi
from esebcli.rpcconnection import RpcConnection
from esesim.rpc import BackupService, RpcServer, ServerLimits
from tests.esesim.rpc.wire import RawClient, bound, eventually

SIZE = 70_000  # two fragments


class Scripted:
    """A session whose reads give what a test says, in order, and then whole ones."""

    def __init__(self) -> None:
        self.script: list[Sequence[bytes] | Exception] = []
        self.reads = 0

    def backup_prepare(self, server: str, annotation: str) -> tuple[int, tuple[()]]:
        return 7, ()

    def backup_end(self, context: int) -> None:
        pass

    def read_lent(
        self, context: int, handle: int, size: int, memory: Callable[[int], memoryview]
    ) -> Sequence[memoryview]:
        self.reads += 1
        if self.script:
            outcome = self.script.pop(0)
            if isinstance(outcome, Exception):
                raise outcome
            return [memoryview(piece) for piece in outcome]
        return [memoryview(bytes([self.reads % 251]) * size)]

    def read_again(self, *_: object) -> None:
        """There is no shorter way."""


class Foreseeing(Scripted):
    """Knows its reads beforehand; `holds`: whether they will be what was told."""

    def __init__(self) -> None:
        super().__init__()
        self.holds = True
        self.told: list[int] = []  # how many were told each time
        self.taken = 0

    def read_again(self, context: int, handle: int, size: int, memory: object) -> Foreseeing:  # type: ignore[override]
        self.size = size
        return self

    def again(self) -> Sequence[memoryview]:
        return self.read_lent(7, 1, self.size, lambda size: memoryview(bytearray(size)))

    def look_ahead(self, count: int) -> list[list[memoryview]]:
        numbers = range(self.reads + 1, self.reads + min(count, 3) + 1)
        self.told.append(len(numbers))
        return [[memoryview(bytes([number % 251]) * self.size)] for number in numbers]

    def take(self) -> bool:
        if self.holds and not self.script:
            self.reads += 1
            self.taken += 1
            return True
        return False


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes of the answers that took the short way."""
    taken: list[int] = []
    answer = RepeatedRequest.answer

    def noted(self: RepeatedRequest, data: bytes, payload: Sequence[memoryview]) -> object:
        buffers = answer(self, data, payload)
        if buffers is not None:
            taken.append(self.size)
        return buffers

    monkeypatch.setattr(RepeatedRequest, "answer", noted)
    return taken


@pytest.fixture
def api() -> Scripted:
    return Scripted()


def served(api: Scripted, limits: ServerLimits | None = None) -> RpcServer:
    service = BackupService(lambda _: api, lambda _: None, 4 << 20)  # type: ignore[arg-type, return-value]
    return RpcServer([service.service()], limits=limits)


@pytest.fixture
def server(api: Scripted) -> Iterator[RpcServer]:
    with served(api) as server:
        yield server


def opnum(method: str) -> int:
    found = CALL_BY_METHOD[method].opnum
    assert found is not None
    return found


def prepared(client: RawClient) -> bytes:
    stub = encode_arguments("backup_prepare", ("S", "A"))
    answer = client.call(0, opnum("backup_prepare"), bytes(stub))
    assert isinstance(answer, bytes)
    handle: bytes = decode_result("backup_prepare", answer, True)[0]
    return handle


def read(client: RawClient, handle: bytes, size: int = SIZE, context: int = 0) -> bytes | int:
    answer = client.call(context, opnum("backup_read_file"), encode_read_request(handle, 1, size))
    return answer if isinstance(answer, int) else bytes(decode_read(answer, size))


def full(api: Scripted, size: int = SIZE) -> bytes:
    return bytes([api.reads % 251]) * size


@pytest.mark.parametrize("size", [16, 5000, SIZE, 1 << 20])
def test_the_third_read_takes_the_short_way(
    server: RpcServer, api: Scripted, short: list[int], size: int
) -> None:
    with bound(server, BACKUP_INTERFACE) as client:
        handle = prepared(client)
        for number in range(1, 6):
            assert read(client, handle, size) == full(api, size)
            assert api.reads == number
    assert short == [size] * 3
    assert server.counts[0] == server.counts[1] == 6


def test_other_outcomes_are_answered_as_ever_and_nothing_is_read_twice(
    server: RpcServer, api: Scripted, short: list[int]
) -> None:
    with bound(server, BACKUP_INTERFACE) as client:
        handle = prepared(client)
        for _ in range(3):
            assert read(client, handle) == full(api)
        api.script = [
            [b"s" * 100],
            [b"p" * 30_000, b"q" * 40_000],
            EseBackupError.from_name("hrInvalidHandle", "backup_read_file"),
            RuntimeError("ours"),
            [],
        ]
        assert read(client, handle) == b"s" * 100
        assert read(client, handle) == b"p" * 30_000 + b"q" * 40_000
        with pytest.raises(EseBackupError, match="hrInvalidHandle"):
            read(client, handle)
        assert read(client, handle) == FaultStatus.UNSPECIFIED
        assert read(client, handle) == b""
        assert read(client, handle) == full(api)
        assert api.reads == 9
    assert short == [SIZE] * 3


def test_a_context_that_another_connection_closed_is_gone(
    server: RpcServer, api: Scripted, short: list[int]
) -> None:
    with bound(server, BACKUP_INTERFACE) as client:
        handle = prepared(client)
        for _ in range(4):
            read(client, handle)
        with bound(server, BACKUP_INTERFACE, group=client.core.assoc_group_id) as other:
            other.call(0, opnum("backup_end"), bytes(encode_arguments("backup_end", (handle,))))
        assert read(client, handle) == FaultStatus.CONTEXT_MISMATCH
        assert api.reads == 4
    assert short == [SIZE] * 2


def test_other_calls_and_sizes_come_between(
    server: RpcServer, api: Scripted, short: list[int]
) -> None:
    with bound(server, BACKUP_INTERFACE) as client:
        first, second = prepared(client), prepared(client)
        for handle, size in [(first, SIZE)] * 3 + [(second, SIZE), (first, 100), (first, SIZE)] * 3:
            assert read(client, handle, size) == full(api, size)
        prepared(client)
        assert read(client, first) == full(api)
    assert len(short) >= 4


def test_after_an_alter_context_it_begins_anew(
    server: RpcServer, api: Scripted, short: list[int]
) -> None:
    with bound(server, BACKUP_INTERFACE) as client:
        handle = prepared(client)
        for _ in range(3):
            read(client, handle)
        offer = ContextOffer(1, BACKUP_INTERFACE.syntax, (NDR32,))
        client.socket.sendall(b"".join(client.core.alter([offer])))
        assert isinstance(client.event(), BindAccepted)
        assert len(short) == 1
        assert read(client, handle) == full(api)
        assert len(short) == 1
        for _ in range(3):
            assert read(client, handle, context=1) == full(api)
        assert len(short) == 2


def test_a_request_in_two_pieces_is_put_together(
    server: RpcServer, api: Scripted, short: list[int]
) -> None:
    with bound(server, BACKUP_INTERFACE) as client:
        handle = prepared(client)
        for _ in range(3):
            read(client, handle)
        stub = encode_read_request(handle, 1, SIZE)
        _, buffers = client.core.request(0, opnum("backup_read_file"), [stub])
        data = b"".join(buffers)
        client.socket.sendall(data[:20])
        with bound(server, BACKUP_INTERFACE) as other:  # so that the first piece has come
            prepared(other)
        client.socket.sendall(data[20:])
        event = client.event()
        assert bytes(decode_read(event.stub, SIZE)) == full(api)  # type: ignore[union-attr]
    assert api.reads == 4


def test_the_client_says_the_same_and_keeps_nothing(
    server: RpcServer, api: Scripted, short: list[int]
) -> None:
    client = RpcApi(RpcConnection(*server.address))
    try:
        context, _ = client.backup_prepare("S", "A")
        buffer = bytearray(SIZE)
        for _ in range(4):
            assert client.backup_read_file(context, 1, buffer) == SIZE
            assert bytes(buffer) == full(api)
        api.script = [[b"x" * 5], EseBackupError.from_name("hrInvalidHandle", "backup_read_file")]
        assert client.backup_read_file(context, 1, buffer) == 5
        assert bytes(buffer[:5]) == b"xxxxx"
        with pytest.raises(EseBackupError, match="hrInvalidHandle"):
            client.backup_read_file(context, 1, buffer)
        assert client.backup_read_file(context, 1, buffer) == SIZE
        buffer += b"longer"  # nobody holds a view of it
    finally:
        client.close()
    assert len(short) == 3


@pytest.fixture
def foreseeing() -> Foreseeing:
    return Foreseeing()


@pytest.fixture
def foreseen(foreseeing: Foreseeing) -> Iterator[RpcServer]:
    with served(foreseeing) as server:
        yield server


@pytest.mark.parametrize("size", [16, SIZE, 1 << 20])
def test_answers_that_lie_ready_are_what_would_be_read(
    foreseen: RpcServer, foreseeing: Foreseeing, size: int
) -> None:
    with bound(foreseen, BACKUP_INTERFACE) as client:
        handle = prepared(client)
        for number in range(1, 20):
            assert read(client, handle, size) == full(foreseeing, size)
            assert foreseeing.reads == number
        assert foreseen.counts[0] == foreseen.counts[1] == 20
    # Two reads to see that they repeat and one more; from then on three are told at a time.
    assert foreseeing.taken == 16
    assert foreseeing.told == [3] * 6


@pytest.mark.parametrize("script", [[b"s"], []])
def test_what_does_not_hold_any_more_is_not_sent_and_not_told_again(
    foreseen: RpcServer, foreseeing: Foreseeing, script: list[bytes]
) -> None:
    with bound(foreseen, BACKUP_INTERFACE) as client:
        handle = prepared(client)
        for _ in range(4):
            read(client, handle)
        assert (foreseeing.taken, foreseeing.told) == (1, [3])
        foreseeing.script, foreseeing.holds = [script] if script else [], False
        assert read(client, handle) == (b"".join(script) or full(foreseeing))
        foreseeing.holds = True
        for _ in range(5):
            assert read(client, handle) == full(foreseeing)
    assert foreseeing.reads == 10
    assert (foreseeing.taken, foreseeing.told) == (1, [3])


def test_calls_that_repeat_take_their_time_but_one_that_is_not_taken_does_not(
    foreseeing: Foreseeing, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody looks at the clock for them, and yet an answer that stays where it is, is found."""
    caplog.set_level("INFO", "esesim.rpc")
    with (
        served(foreseeing, ServerLimits(stall_seconds=0.3)) as server,
        bound(server, BACKUP_INTERFACE) as client,
    ):
        handle = prepared(client)
        end = time.monotonic() + 0.7
        while time.monotonic() < end:
            assert read(client, handle, 1 << 20) == full(foreseeing, 1 << 20)
        assert foreseeing.taken > 1
        time.sleep(0.5)  # a client may think as long as it likes while it has a context
        stub = encode_read_request(handle, 1, 1 << 20)
        _, buffers = client.core.request(0, opnum("backup_read_file"), [stub])
        data = b"".join(buffers)
        with suppress(OSError):
            for call_id in range(99):  # more than all buffers between hold
                client.socket.sendall(data[:12] + struct.pack("<I", 0x1000 + call_id) + data[16:])
                time.sleep(0.01)
        assert eventually(lambda: "sending for more than 0.3 s" in caplog.text, seconds=5)


def test_a_call_that_repeats_counts_from_when_it_was_seen_first(
    foreseen: RpcServer, foreseeing: Foreseeing
) -> None:
    with bound(foreseen, BACKUP_INTERFACE) as client:
        handle = prepared(client)
        for _ in range(4):
            read(client, handle)
        (connection,) = foreseen._connections
        assert eventually(lambda: connection._steps % 2 == 0)  # it is between two calls
        late = connection.since + 1000
        assert connection.unchanged_since(late) == connection.unchanged_since(late + 1) == late
        read(client, handle)
        assert connection.unchanged_since(late + 2) == late + 2
