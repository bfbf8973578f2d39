"""The next read is on its way while the job works; the server sees the calls it sees anyway."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import pytest

from eseback.api import BackupApi, WriteableBuffer
from eseback.constants import INFORMATION_STORE, BackupType
from eseback.errors import ConnectionLost, EseBackupError
from esebcli.copying import FileReader
from esebcli.discovery import find_computer
from esebcli.job import BackupJob, BackupRequest
from esebcli.manifest import Kind
from esebcli.readahead import FileReads, ReadsAhead, aligned_buffer
from esebcli.rpcapi import RpcApi
from esesim.rpc import BackupService, RpcServer
from esesim.server import SimulatedServer
from esesim.transcript import Recorder
from tests.esesim.rpc.wire import connected
from tests.esesim.support.servers import prepare, small_server

BUFFER = 64 << 10


@contextmanager
def recorded(
    server: SimulatedServer, *, gather: bool = True
) -> Iterator[tuple[RpcApi, io.StringIO]]:
    """A client over the wire, and what the server notes of its calls."""
    sink = io.StringIO()
    service = BackupService(
        lambda remote: Recorder(server.session(remote=remote), sink),
        server.connection_lost,
        4 << 20,
    )
    with (
        RpcServer([service.service()], gather=gather) as wire,
        connected(wire, gather=gather) as api,
    ):
        yield api, sink


def back_up(api: BackupApi, folder: Path) -> None:
    computer = find_computer(api, INFORMATION_STORE)
    request = BackupRequest(computer, ("G1",), Kind.FULL, folder)
    result = BackupJob(lambda: api, request).run()
    assert result.ok, result.reasons


def server() -> SimulatedServer:
    """Its users work at every call: one call too many, or too early, changes all that follows."""
    return small_server(messages=200, steps_per_call=1)


@pytest.mark.parametrize("gather", [True, False], ids=["gathered", "portable"])
def test_the_server_sees_the_calls_of_a_job_in_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gather: bool
) -> None:
    plain, sink = server(), io.StringIO()
    back_up(Recorder(plain.session(), sink), tmp_path / "plain")
    with recorded(server(), gather=gather) as (api, seen):
        assert isinstance(api, ReadsAhead)
        assert api.can_read_ahead
        started = []
        start = api.start_read

        def counted(context: int, handle: int, buffer: WriteableBuffer) -> Callable[[], int]:
            started.append(handle)
            return start(context, handle, buffer)

        monkeypatch.setattr(api, "start_read", counted)
        back_up(api, tmp_path / "wired")
    assert seen.getvalue() == sink.getvalue()
    reads = sink.getvalue().count('"method":"backup_read_file"')
    assert 3 <= len(started) < reads


def reads_of(seen: io.StringIO) -> list[int]:
    lines = map(json.loads, seen.getvalue().splitlines())
    return [line["result"]["bytes"] for line in lines if line["method"] == "backup_read_file"]


class Disk(io.BytesIO):
    """Full after so many writes."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room

    def write(self, data: object) -> int:
        if not self.room:
            raise OSError(28, "No space left on device")
        self.room -= 1
        return 1


class Nobody:
    def feed(self, data: memoryview) -> None:
        pass


def opened(
    api: RpcApi, *, before_read: Callable[[int, int], None] = lambda *_: None
) -> tuple[FileReader, int, int, str]:
    """A database that is open."""
    prepared = prepare(api)
    api.backup_setup(prepared.context, prepared.instances["G1"], BackupType.FULL)
    name = prepared.streams["G1"][0]
    reader = FileReader(api, prepared.context, aligned_buffer(BUFFER), before_read)
    handle, size = reader.open(name)
    assert size > 4 * BUFFER
    return reader, handle, size, name


@pytest.mark.parametrize("room", range(8))
def test_an_abandoned_file_is_never_read_to_its_end(room: int) -> None:
    """At most one read too many, and never the one that would make the file look complete."""
    simulated = small_server(messages=200)
    with recorded(simulated) as (api, seen):
        reader, handle, size, name = opened(api)
        buffers = -(-size // BUFFER)
        writes = min(room, buffers - 2)
        disk = Disk(writes)
        with pytest.raises(OSError, match="No space"):
            reader.copy(name, handle, size, disk, Nobody())
        reads = reads_of(seen)
        assert len(reads) in (writes + 1, writes + 2)
        assert sum(reads) < size
        assert '"method":"backup_close_file"' in seen.getvalue()
    assert 221 not in [event.id for event in simulated.events]
    assert 222 in [event.id for event in simulated.events]


def test_a_job_that_is_stopped_between_two_reads_has_none_on_its_way() -> None:
    turns = []

    def stop(copied: int, _: int) -> None:
        turns.append(copied)
        if len(turns) == 3:
            raise KeyboardInterrupt

    with recorded(small_server(messages=200)) as (api, seen):
        reader, handle, size, name = opened(api, before_read=stop)
        with pytest.raises(KeyboardInterrupt):
            reader.copy(name, handle, size, io.BytesIO(), Nobody())
        assert len(reads_of(seen)) == 2
    assert turns == [0, BUFFER, 2 * BUFFER]


class Scripted:
    """An API whose reads are told beforehand."""

    can_read_ahead = True

    def __init__(self, *answers: int | Exception) -> None:
        self.answers = list(answers)
        self.log: list[str] = []

    def _answer(self, buffer: memoryview) -> int:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        buffer[:answer] = bytes([len(self.answers)]) * answer
        return answer

    def backup_read_file(self, context: int, handle: int, buffer: memoryview) -> int:
        self.log.append("read")
        return self._answer(buffer)

    def start_read(self, context: int, handle: int, buffer: memoryview) -> Callable[[], int]:
        self.log.append("start")

        def finish() -> int:
            self.log.append("finish")
            return self._answer(buffer)

        return finish


def test_turns_and_buffers() -> None:
    api = Scripted(10, 10, 5, 0)
    reads = FileReads(cast(BackupApi, api), 1, 2, memoryview(bytearray(10)), 25)
    assert [reads.may_start(place) for place in (0, 14, 15)] == [True, True, False]
    count, first = reads.read()
    reads.start()
    under_way = [reads.is_under_way]
    assert (count, bytes(first)) == (10, bytes([3]) * 10)
    count, second = reads.read()
    under_way.append(reads.is_under_way)
    assert under_way == [True, False]
    assert bytes(first) == bytes([3]) * 10, "the last piece is still being worked on"
    assert bytes(second) == bytes([2]) * 10
    assert (reads.read()[0], reads.read()[0]) == (5, 0)
    assert api.log == ["read", "start", "finish", "read", "read"]


def test_an_error_on_the_way_is_told_at_its_turn() -> None:
    error = EseBackupError.from_jet(-1018, "backup_read_file")
    reads = FileReads(cast(BackupApi, Scripted(10, error)), 1, 2, memoryview(bytearray(10)), 99)
    reads.read()
    reads.start()
    with pytest.raises(EseBackupError) as caught:
        reads.read()
    assert caught.value is error


def test_a_refused_read_on_the_way_is_told_at_its_turn() -> None:
    with recorded(small_server(messages=200)) as (api, seen):
        reader, handle, _, _ = opened(api)
        finish = api.start_read(reader.context, handle + 1, bytearray(4096))
        api.backup_get_dependency_info(reader.context)
        with pytest.raises(EseBackupError, match="-1003"):
            finish()
        buffer = bytearray(BUFFER)
        finish = api.start_read(reader.context, handle, buffer)
        # Another call waits until the read has its answer; both get their own.
        assert len(api.backup_prepare("EXCHSRV1", INFORMATION_STORE)[1]) == 1
        again = api.start_read(reader.context, handle, bytearray(BUFFER))
        assert (finish(), again()) == (BUFFER, BUFFER)
        assert any(buffer)
        methods = [json.loads(line)["method"] for line in seen.getvalue().splitlines()]
        assert methods[-5:] == [
            "backup_read_file",
            "backup_get_dependency_info",
            "backup_read_file",
            "backup_prepare",
            "backup_read_file",
        ]


def test_a_connection_that_breaks_on_the_way_is_told_at_its_turn() -> None:
    with recorded(small_server(messages=200)) as (api, _):
        reader, handle, _, _ = opened(api)
        finish = api.start_read(reader.context, handle, bytearray(BUFFER))
        api.close()
        with pytest.raises(ConnectionLost):
            finish()
        finish = api.start_read(reader.context, handle, bytearray(BUFFER))
        with pytest.raises(ConnectionLost):
            finish()
        finish = api.start_read(4711, handle, bytearray(BUFFER))
        with pytest.raises(EseBackupError, match="context"):
            finish()


def test_without_concurrent_calls_nothing_is_started() -> None:
    api = Scripted(10, 10, 0)
    api.can_read_ahead = False
    reads = FileReads(cast(BackupApi, api), 1, 2, memoryview(bytearray(10)), 99)
    reads.read()
    assert not reads.may_start(10)
