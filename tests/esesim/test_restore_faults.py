"""Faults and transcripts of restores: they reach every call, and data appears as a digest."""

from __future__ import annotations

import io
import json
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from eseback.constants import RestoreClose
from eseback.errors import ConnectionLost, EseBackupError, JetErr
from esesim.faults import FaultAction, FaultInjector, FaultPlan, FaultRule, When
from esesim.server import SimulatedServer
from esesim.transcript import Recorder, read_transcript
from tests.esesim.support.restores import (
    NONE,
    assert_rows,
    backed_up,
    complete,
    open_restore,
    refused,
    send_logs,
    send_set,
)
from tests.esesim.support.servers import SERVER

G1 = "G1"
FOLDER = "D:\\restore"
HRESULT, DROP = FaultAction.HRESULT, FaultAction.DROP


def with_faults(server: SimulatedServer, *rules: FaultRule) -> tuple[FaultPlan, FaultInjector]:
    plan = FaultPlan(rules)
    return plan, FaultInjector(server.session(), plan, server)


def restore_through(server: SimulatedServer, api: Any) -> int:
    """All calls of a restore but Close; returns the context."""
    scene = backed_up()
    context = open_restore(api, G1, FOLDER)
    send_set(server, api, context, scene.databases[G1], scene.full[G1])
    complete(api, context, NONE)
    assert isinstance(context, int)
    return context


@pytest.mark.parametrize(
    "call",
    [
        "restore_open",
        "restore_add_database",
        "restore_open_file",
        "HrESERestoreWriteFile",
        "restore_close_file",
        "restore_save_environment",
        "restore_get_environment",
        "HrESERestoreComplete",
    ],
)
def test_an_error_at_every_call(call: str) -> None:
    with backed_up().free_server() as server:
        rule = FaultRule(HRESULT, call, group=G1, hresult=0xC7FF0002)
        plan, api = with_faults(server, rule)
        with pytest.raises(EseBackupError) as failed:
            restore_through(server, api)
        assert failed.value.name == "hrError"
        assert not plan.unfired


def test_files_are_known_by_their_handles() -> None:
    with backed_up().free_server() as server:
        rules = [
            FaultRule(HRESULT, "restore_write_file", file="G1S2.edb", nth=2, jet=JetErr.DISK_FULL),
            FaultRule(HRESULT, "restore_close_file", file="E00*.log", jet=JetErr.DISK_IO),
            FaultRule(HRESULT, "restore_open_file", file="nothing*", jet=JetErr.DISK_IO),
            FaultRule(HRESULT, "restore_open_file", group="G7", jet=JetErr.DISK_IO),
        ]
        plan, api = with_faults(server, *rules)
        refused(lambda: restore_through(server, api), JetErr.DISK_FULL)
        assert [count.fired for count in plan.counts] == [1, 0, 0, 0]
        (restore,) = server.restores
        assert restore.environment.log_base_name is None, "no log was reached"


def test_the_group_of_a_reopened_restore() -> None:
    """Known by its folder to who has seen it, and to others from its environment."""
    with backed_up().free_server() as server:
        first = server.session()
        context = open_restore(first, G1, FOLDER)
        first.restore_save_environment(context)
        first.restore_close(context, RestoreClose.NORMAL)
        rule = FaultRule(HRESULT, "restore_save_environment", group=G1, jet=-1022, times=None)

        _, stranger = with_faults(server, rule)
        context = stranger.restore_reopen(SERVER, None, FOLDER)
        stranger.restore_save_environment(context)
        stranger.restore_get_environment(context)
        refused(lambda: stranger.restore_save_environment(context), JetErr.DISK_IO)
        stranger.restore_close(context, RestoreClose.NORMAL)

        _, reader = with_faults(server, rule)
        reader.restore_load_environment(None, FOLDER.upper())
        context = reader.restore_reopen(SERVER, None, FOLDER)
        refused(lambda: reader.restore_save_environment(context), JetErr.DISK_IO)


def test_a_dropped_connection_leaves_what_was_saved() -> None:
    scene = backed_up()
    with scene.free_server() as server:
        rule = FaultRule(DROP, "restore_complete")
        _, api = with_faults(server, rule)
        with pytest.raises(ConnectionLost):
            restore_through(server, api)
        assert server.restores == ()
        with pytest.raises(ConnectionLost):
            api.restore_reopen(SERVER, None, FOLDER)
        other = server.session()
        context = other.restore_reopen(SERVER, None, FOLDER)
        complete(other, context)
        for store in server.group(G1).spec.stores:
            assert_rows(scene.rows_full[store.name], server.journal.rows(store.edb))


def test_a_lost_acknowledgement() -> None:
    """Complete has succeeded, and the client never hears of it: the restore is over."""
    with backed_up().free_server() as server:
        _, api = with_faults(server, FaultRule(DROP, "restore_complete", when=When.AFTER))
        with pytest.raises(ConnectionLost):
            restore_through(server, api)
        other = server.session()
        refused(lambda: other.restore_reopen(SERVER, None, FOLDER), JetErr.FILE_NOT_FOUND)
        server.mount(G1, "G1S1")


@pytest.mark.parametrize(
    ("rule", "errors"),
    [
        (
            FaultRule(FaultAction.BAD_LOG, "restore_close_file", file="E00*", when=When.AFTER),
            {JetErr.LOG_CORRUPT_DURING_HARD_RESTORE, JetErr.LOG_TORN_WRITE_DURING_HARD_RESTORE},
        ),
        (
            FaultRule(
                FaultAction.BAD_PAGE, "restore_close_file", file="*.edb", when=When.AFTER, page=4
            ),
            {JetErr.READ_VERIFY_FAILURE},
        ),
    ],
)
def test_what_was_sent_is_damaged(rule: FaultRule, errors: set[JetErr]) -> None:
    with backed_up().free_server() as server:
        plan, api = with_faults(server, rule)
        with pytest.raises(EseBackupError) as failed:
            restore_through(server, api)
        assert failed.value.jet in errors
        assert not plan.unfired


def test_files_of_others_cannot_be_damaged() -> None:
    with backed_up().free_server() as server:
        for path in ("D:\\restore\\E0000001.log", "D:\\E0000001.log"):
            with pytest.raises(LookupError):
                server.damage_log(path)
        open_restore(server.session(), G1, FOLDER)
        with pytest.raises(LookupError, match="there is no log"):
            server.damage_log("D:\\restore\\E0000001.log")
        with pytest.raises(LookupError, match="nor being restored"):
            server.damage_page(backed_up().databases[G1][0].streams[0])


# -- transcripts


def recorded(act: Callable[[Any, SimulatedServer], object]) -> list[str]:
    with backed_up().free_server() as server:
        sink = io.StringIO()
        act(Recorder(server.session(), sink), server)
        return sink.getvalue().splitlines()


def whole(api: Any, server: SimulatedServer) -> None:
    """A restore of two sets in two contexts, with a refusal."""
    scene = backed_up()
    context = open_restore(api, G1, FOLDER)
    send_set(server, api, context, scene.databases[G1], scene.full[G1])
    api.restore_save_environment(context)
    api.restore_close(context, RestoreClose.NORMAL)
    again = api.restore_reopen(SERVER, None, FOLDER)
    send_logs(server, api, again, scene.incremental[G1])
    complete(api, again)
    refused(lambda: api.restore_close_file(again, 77), "hrInvalidHandle")
    api.restore_close(again, RestoreClose.NORMAL)


def test_a_restore_in_a_transcript() -> None:
    lines = recorded(whole)
    records = list(read_transcript(lines))
    assert {record.group for record in records} == {G1}
    writes = [record for record in records if record.method == "restore_write_file"]
    assert len(writes) > 10
    edb = backed_up().databases[G1][0].streams[0]
    first = backed_up().full[G1][edb][:60_000]
    expected = {"bytes": len(first), "crc32": f"{zlib.crc32(first):08x}"}
    assert writes[0].arguments == {"context": 1, "handle": 1, "data": expected}
    opened = [record for record in records if record.method == "restore_open_file"]
    assert [record.result["handle"] for record in opened] == list(range(1, len(opened) + 1))
    assert {record.arguments["context"] for record in records if "context" in record.arguments} == {
        1,
        2,
    }
    (failed,) = [record for record in records if record.error is not None]
    assert failed.arguments["handle"] == "?77"
    assert max(len(line) for line in lines) < 4000, "data is never stored"
    json.loads(lines[0])


def test_the_same_calls_give_the_same_transcript() -> None:
    assert recorded(whole) == recorded(whole)


def test_files_at_file_level_have_no_handle() -> None:
    with backed_up().free_server(restore_files="file_level") as server:
        sink = io.StringIO()
        api = Recorder(server.session(), sink)
        context = open_restore(api, G1, FOLDER)
        api.restore_open_file(context, f"{FOLDER}\\E0000001.log")
    assert json.loads(sink.getvalue().splitlines()[-1])["result"] == {"handle": None}
