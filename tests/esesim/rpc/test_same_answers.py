"""Over the wire everything is as it is in process: the same answers, the same transcript."""

from __future__ import annotations

import io
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from eseback.api import BackupApi
from eseback.calls import CALL_BY_METHOD
from eseback.constants import (
    INFORMATION_STORE,
    BackupType,
    InstanceEnd,
    RegisterFlags,
    RestoreClose,
    RestoreComplete,
)
from eseback.errors import EseBackupError
from eseback.order import BackupCall, BackupState
from eseback.restoreorder import RestoreCall, RestoreState
from esebcli.rpcapi import RpcApi
from esesim.rpc import BackupService, RpcServer
from esesim.server import SimulatedServer
from esesim.session import Session
from esesim.transcript import Recorder
from tests.esesim import test_matrix_walk, test_restore_order
from tests.esesim.rpc.wire import connected, served
from tests.esesim.support.restores import backed_up, complete, open_restore, send_logs, send_set
from tests.esesim.support.servers import SERVER, back_up, prepare, small_server
from tests.support.orderwalk import Client, Stage
from tests.support.restorewalk import FOLDER, HANDLE, START, RestoreClient, possible_calls

Act = Callable[[SimulatedServer, BackupApi], None]


def in_process(server: SimulatedServer, act: Act) -> str:
    sink = io.StringIO()
    act(server, Recorder(server.session(), sink))
    return sink.getvalue()


def over_the_wire(server: SimulatedServer, act: Act, *, gather: bool = True) -> str:
    sink = io.StringIO()
    with served(server, gather=gather) as wire, connected(wire, gather=gather) as api:
        act(server, Recorder(api, sink))
    return sink.getvalue()


def refused(call: Callable[[], object]) -> None:
    with pytest.raises(EseBackupError):
        call()


def discover_and_back_up(_: SimulatedServer, api: BackupApi) -> None:
    api.get_nodes(None)
    api.get_nodes(SERVER)
    refused(lambda: api.get_nodes("ELSEWHERE"))
    api.get_registered(SERVER, None, RegisterFlags.BACKUP)
    api.get_registered(SERVER, "Microsoft Information Store", RegisterFlags.ONLINE_RESTORE)
    for group in ("G1", "G2"):
        back_up(api, group, size=65528)
    back_up(api, "G1", BackupType.LOGS_ONLY)


def make_mistakes(server: SimulatedServer, api: BackupApi) -> None:
    refused(lambda: api.backup_prepare(SERVER, "Nothing"))
    refused(lambda: api.backup_setup(4711, 1, BackupType.FULL))
    prepared = prepare(api)
    context, number = prepared.context, prepared.instances["G1"]
    api.backup_get_dependency_info(context)
    refused(lambda: api.backup_truncate_logs(context))
    refused(lambda: api.backup_setup(context, number, 99))  # type: ignore[arg-type]
    api.backup_setup(context, number, BackupType.FULL)
    refused(lambda: api.backup_setup(context, number, BackupType.FULL))
    refused(lambda: api.backup_open_file(context, "C:\\nothing.edb"))
    refused(lambda: api.backup_open_file(context, prepared.streams["G1"][0], 1, 2))
    (opened,) = api.backup_open_file(context, prepared.streams["G1"][0])
    refused(lambda: api.backup_read_file(context, opened.handle + 1, bytearray(4096)))
    refused(lambda: api.backup_read_file(context, opened.handle, bytearray()))
    read_only = memoryview(bytes(10))
    refused(lambda: api.backup_read_file(context, opened.handle, read_only))
    for size in (1, 40_000, 65528, 300_000, 1 << 20):
        api.backup_read_file(context, opened.handle, bytearray(size))
    server.damage_page(prepared.streams["G1"][1])
    api.backup_close_file(context, opened.handle)
    (opened,) = api.backup_open_file(context, prepared.streams["G1"][1])
    refused(lambda: api.backup_read_file(context, opened.handle, bytearray(1 << 20)))
    refused(lambda: api.backup_instance_end(context, 17))  # type: ignore[arg-type]
    api.backup_instance_end(context, InstanceEnd.ERROR)
    refused(lambda: api.snapshot_start(context, "", 0))
    api.backup_end(context)
    refused(lambda: api.backup_end(context))


def restore_everything(server: SimulatedServer, api: BackupApi) -> None:
    saved = backed_up()
    context = open_restore(api, "G1", "D:\\restore")
    refused(lambda: api.restore_write_file(context, 5, b"x"))
    refused(
        lambda: api.restore_add_database(context, "No Such Store", uuid.UUID(int=1), ("C:\\a.edb",))
    )
    send_set(server, api, context, saved.databases["G1"], saved.full["G1"])
    api.restore_save_environment(context)
    api.restore_load_environment(SERVER, "D:\\restore")
    api.restore_close(context, RestoreClose.NORMAL)
    context = api.restore_reopen(SERVER, None, "D:\\restore")
    send_logs(server, api, context, saved.incremental["G1"])
    complete(api, context, RestoreComplete.ATTACH_DBS)
    api.restore_get_environment(context)
    api.restore_close(context, RestoreClose.NORMAL)
    refused(lambda: api.restore_close(context, RestoreClose.NORMAL))


@pytest.mark.parametrize("gather", [True, False], ids=["gathered", "portable"])
def test_transcript_of_backups(gather: bool) -> None:
    expected = in_process(small_server(2, steps_per_call=1), discover_and_back_up)
    server = small_server(2, steps_per_call=1)
    assert over_the_wire(server, discover_and_back_up, gather=gather) == expected


def test_transcript_of_mistakes() -> None:
    expected = in_process(small_server(), make_mistakes)
    assert expected.count('"error"') == 14
    assert over_the_wire(small_server(), make_mistakes) == expected


@pytest.mark.parametrize("way", ["handle", "file_level"])
def test_transcript_of_a_restore(way: str) -> None:
    expected = in_process(backed_up().free_server(restore_files=way), restore_everything)
    found = over_the_wire(backed_up().free_server(restore_files=way), restore_everything)
    assert found == expected


def test_every_call_was_compared() -> None:
    acts: tuple[tuple[SimulatedServer, Act], ...] = (
        (small_server(2), discover_and_back_up),
        (small_server(), make_mistakes),
        (backed_up().free_server(), restore_everything),
    )
    text = "".join(in_process(server, act) for server, act in acts)
    missing = {method for method in CALL_BY_METHOD if f'"method":"{method}"' not in text}
    assert missing == {"restore_add_database_ns"}  # the walks below make it


# ---- every cell of both order tables, by calls over the wire

LOCAL_ONLY = (BackupCall.CONNECTION_LOST, RestoreCall.CONNECTION_LOST)
"""What the test's clients bring about by a hook of the session; a lost connection is tested where
it is a real one."""


@contextmanager
def wired(session: Session) -> Iterator[RpcApi]:
    """A client of this very session, over the wire."""
    backup = BackupService(lambda _: session, lambda _: None, 1 << 20).service()
    with RpcServer([backup]) as server, connected(server) as api:
        yield api


class WireClient(Client):
    """A client over the wire. What is looked up at the server is looked up in its session."""

    def __init__(self, stage: Stage, session: Session, api: RpcApi) -> None:
        super().__init__(stage)
        self.api.backup_end(self.context)
        self.session = session
        self.api = api  # type: ignore[assignment]
        self.context, _ = api.backup_prepare(SERVER, INFORMATION_STORE)
        self.number = max(session._contexts)

    @property
    def state(self) -> BackupState:
        held = self.session._contexts.get(self.number)
        return BackupState.ENDED if held is None else held.state


@pytest.mark.uncovered
def test_every_cell_of_the_backup_table() -> None:
    stage, cells = Stage(), 0
    for state, paths in test_matrix_walk.PATHS.items():
        for call in test_matrix_walk.possible_calls(state):
            if call in LOCAL_ONLY or any(step in LOCAL_ONLY for step in paths[0]):
                continue
            stage.tidy()
            session = stage.server.session()
            with wired(session) as api:
                client = WireClient(stage, session, api)
                at = BackupState.PREPARED
                for step in paths[0]:
                    at = test_matrix_walk.perform(client, at, step)
                test_matrix_walk.perform(client, state, call)
                client.leave()
            cells += 1
    assert cells > 100


class WireRestoreClient(RestoreClient):
    """The same for a restore; its session is one of the server that the client makes."""

    def __init__(self, way: str) -> None:
        super().__init__(way)
        self.session = self.api
        self.number = self.context

    @property
    def state(self) -> RestoreState:
        held = self.session._restores.get(self.number)
        return RestoreState.CLOSED if held is None else held.state


@pytest.mark.uncovered
def test_every_cell_of_the_restore_table() -> None:
    cells = 0
    for state, paths in test_restore_order.PATHS[HANDLE].items():
        for call in possible_calls(state, HANDLE):
            if call in LOCAL_ONLY or any(step in LOCAL_ONLY for step in paths[0]):
                continue
            client = WireRestoreClient(HANDLE)
            client.session.restore_close(client.context, RestoreClose.NORMAL)
            with wired(client.session) as api:
                client.api = api  # type: ignore[assignment]
                client.context = api.restore_reopen(SERVER, None, FOLDER)
                client.number = max(client.session._restores)
                at = START
                for step in paths[0]:
                    at = test_restore_order.perform(client, at, step)
                test_restore_order.perform(client, state, call)
            cells += 1
    assert cells > 50
