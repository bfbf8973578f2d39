"""Snapshots and surrogate backups: what a streaming client meets of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from attrs import evolve

from eseback.constants import INFORMATION_STORE, BackupType, InstanceEnd
from eseback.errors import EseBackupError, JetErr
from esesim.exchange.snapshots import FREEZE_MILLISECONDS_MAX
from esesim.server import SimulatedServer
from esesim.session import Session
from esesim.topology import GroupSpec, ServerSpec, StoreSpec, Topology

GROUP = "First Storage Group"
TOPOLOGY = Topology(
    server=ServerSpec(profile="exchange-2007"),
    groups=(GroupSpec(GROUP, stores=(StoreSpec("Mailbox Store"),), log_size=64 * 1024),),
)


@pytest.fixture
def server() -> Iterator[SimulatedServer]:
    with SimulatedServer(TOPOLOGY) as server:
        yield server


def begin(session: Session, server: SimulatedServer) -> int:
    context, (instance,) = session.backup_prepare(server.topology.server.name, INFORMATION_STORE)
    session.backup_setup(context, instance.instance_id, BackupType.FULL)
    return context


def jet_of(refused: pytest.ExceptionInfo[EseBackupError]) -> int | None:
    return refused.value.jet


def test_a_frozen_server_waits(server: SimulatedServer) -> None:
    snapshot = server.prepare_snapshot()
    server.freeze_snapshot(snapshot)
    edb = server.group(GROUP).spec.stores[0].edb
    committed = server.journal.rows(edb)
    server.run_workload(GROUP, 50)
    assert server.journal.rows(edb) == committed
    with pytest.raises(EseBackupError) as refused:
        begin(server.session(), server)
    assert jet_of(refused) == JetErr.OS_SNAPSHOT_NOT_ALLOWED
    server.thaw_snapshot(snapshot)
    server.run_workload(GROUP, 50)
    assert server.journal.rows(edb) != committed
    begin(server.session(), server)


def test_no_snapshot_while_a_backup_runs(server: SimulatedServer) -> None:
    session = server.session()
    context = begin(session, server)
    snapshot = server.prepare_snapshot()
    with pytest.raises(EseBackupError) as refused:
        server.freeze_snapshot(snapshot)
    assert jet_of(refused) == JetErr.OS_SNAPSHOT_NOT_ALLOWED
    # The backup has not noticed, and the snapshot is over.
    session.backup_get_log_and_patch_files(context)
    session.backup_instance_end(context, InstanceEnd.SUCCESS)
    with pytest.raises(EseBackupError) as refused:
        server.freeze_snapshot(snapshot)
    assert jet_of(refused) == JetErr.OS_SNAPSHOT_INVALID_SNAP_ID
    server.freeze_snapshot(server.prepare_snapshot())


def test_snapshot_calls_have_an_order(server: SimulatedServer) -> None:
    snapshot = server.prepare_snapshot()
    for call in (server.prepare_snapshot, lambda: server.thaw_snapshot(snapshot)):
        with pytest.raises(EseBackupError) as refused:
            call()
        assert jet_of(refused) == JetErr.OS_SNAPSHOT_INVALID_SEQUENCE
    server.freeze_snapshot(snapshot)
    with pytest.raises(EseBackupError) as refused:
        server.freeze_snapshot(snapshot)
    assert jet_of(refused) == JetErr.OS_SNAPSHOT_INVALID_SEQUENCE


def test_a_long_freeze_is_told(server: SimulatedServer) -> None:
    snapshot = server.prepare_snapshot()
    server.freeze_snapshot(snapshot)
    server.group(GROUP).clock.milliseconds += FREEZE_MILLISECONDS_MAX + 1
    with pytest.raises(EseBackupError) as refused:
        server.thaw_snapshot(snapshot)
    assert jet_of(refused) == JetErr.OS_SNAPSHOT_TIME_OUT
    begin(server.session(), server)


def test_a_crash_ends_a_snapshot(server: SimulatedServer) -> None:
    server.freeze_snapshot(server.prepare_snapshot())
    server.crash()
    begin(server.session(), server)


def test_a_surrogate_backup_is_in_the_way(server: SimulatedServer) -> None:
    server.set_surrogate_backup(GROUP, True)
    with pytest.raises(EseBackupError) as refused:
        begin(server.session(), server)
    assert jet_of(refused) == JetErr.SURROGATE_BACKUP_IN_PROGRESS
    server.set_surrogate_backup(GROUP, False)
    begin(server.session(), server)


def test_only_versions_with_replicas_have_surrogates() -> None:
    older = evolve(TOPOLOGY, server=ServerSpec(profile="exchange-2003-sp1"))
    with SimulatedServer(older) as server, pytest.raises(ValueError, match="no replicas"):
        server.set_surrogate_backup(GROUP, True)
