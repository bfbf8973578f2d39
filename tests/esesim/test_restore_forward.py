"""Play-forward: to the state that the storage group's own logs know, whether it runs or not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import pytest
from attrs import evolve

from eseback.errors import JetErr
from esesim.journal import Rows
from esesim.server import SimulatedServer
from tests.esesim.support.restores import (
    ATTACH,
    NONE,
    NOWAIT,
    assert_rows,
    backed_up,
    complete,
    make_free,
    open_restore,
    refused,
    restore,
    send_logs,
    send_set,
)

G1 = "G1"
FOLDER = "D:\\restore"


@pytest.fixture
def server() -> Iterator[SimulatedServer]:
    with backed_up(groups=2).server() as server:
        yield server


def lose(server: SimulatedServer, *stores: str, group: str = G1) -> dict[str, Rows]:
    """Dismount stores and delete their files; what was committed until then, by store."""
    make_free(server, group, *stores)
    expected = {name: server.journal.rows(server.group(group).store(name).edb) for name in stores}
    for name in stores:
        server.destroy_store(group, name)
    return expected


def check(server: SimulatedServer, expected: dict[str, Rows], group: str = G1) -> None:
    for name, rows in expected.items():
        assert_rows(rows, server.journal.rows(server.group(group).store(name).edb))
        assert server.group(group).is_mounted(name)


def only(stores: Sequence[str]) -> dict[str, bytes]:
    """The full set with the databases of some stores."""
    wanted = {
        stream
        for info in backed_up(groups=2).databases[G1]
        if info.display_name in stores
        for stream in info.streams
    }
    files = backed_up(groups=2).full[G1]
    return {name: data for name, data in files.items() if name in wanted or name.endswith(".log")}


@pytest.mark.parametrize("incremental", [False, True])
def test_into_a_group_that_runs(server: SimulatedServer, incremental: bool) -> None:
    """The other store works on. Logs that a backup truncated come from that backup."""
    scene = backed_up(groups=2)
    expected = lose(server, "G1S1")
    server.run_workload(G1, 60)  # users of the other store
    generation = server.group(G1).running.log.generation
    sets = [only(["G1S1"]), *([scene.incremental[G1]] if incremental else [])]
    if not incremental:
        # Without the incremental set there is a gap that nothing fills.
        refused(
            lambda: restore(server, G1, scene.databases[G1], sets, target=G1, folder=FOLDER),
            JetErr.MISSING_CURRENT_LOG_FILES,
        )
        return
    restore(server, G1, scene.databases[G1], sets, target="g1")
    check(server, expected)
    assert server.group(G1).running.log.generation > generation, "the log was closed"
    server.run_workload(G1, 60)


def test_without_a_target_the_sets_are_all(server: SimulatedServer) -> None:
    scene = backed_up(groups=2)
    lost = lose(server, "G1S1")
    restore(server, G1, scene.databases[G1], [only(["G1S1"]), scene.incremental[G1]])
    check(server, {"G1S1": scene.rows_incremental["G1S1"]})
    assert lost["G1S1"] != scene.rows_incremental["G1S1"]


def test_the_group_works_on_while_nobody_waits(server: SimulatedServer) -> None:
    """The users of the other store go on between Complete and the recovery."""
    scene = backed_up(groups=2)
    expected = lose(server, "G1S1")
    api = server.session()
    context = open_restore(api, G1)
    send_set(server, api, context, scene.databases[G1], only(["G1S1"]))
    send_logs(server, api, context, scene.incremental[G1])
    complete(api, context, NOWAIT | ATTACH, target=G1)
    server.run_workload(G1, 60)
    server.finish_recoveries()
    check(server, expected)


def test_the_only_mounted_store_of_a_group(server: SimulatedServer) -> None:
    """Trap: no instance runs, so a name means nothing; the group's own folders say where to go."""
    scene = backed_up(groups=2)
    server.dismount(G1, "G1S2")
    expected = lose(server, "G1S1")
    spec = server.group(G1).spec
    api = server.session()
    context = open_restore(api, G1)
    send_set(server, api, context, scene.databases[G1], only(["G1S1"]))
    send_logs(server, api, context, scene.incremental[G1])
    refused(lambda: complete(api, context, target=G1), JetErr.BAD_RESTORE_TARGET_INSTANCE)
    refused(
        lambda: complete(api, context, target=G1, folder=spec.log_path), JetErr.INVALID_PARAMETER
    )
    complete(api, context, folder=spec.log_path.upper())
    check(server, expected)
    # The log stream is the group's own, and goes on.
    server.mount(G1, "G1S2")
    server.run_workload(G1, 60)
    server.crash(3)
    server.run_workload(G1, 10)


def test_one_of_the_two_paths_is_not_enough(server: SimulatedServer) -> None:
    topology = server.topology
    split = evolve(
        topology,
        groups=(evolve(topology.groups[0], system_path="C:\\system"), *topology.groups[1:]),
    )
    with SimulatedServer(split) as other:
        make_free(other, G1)
        spec = other.group(G1).spec
        api = other.session()
        context = open_restore(api, G1, FOLDER)
        send_set(other, api, context, backed_up(groups=2).databases[G1], only(["G1S1"]))
        api.restore_save_environment(context)
        for system, logs in (
            (FOLDER, spec.log_path),
            (spec.system_path, FOLDER),
            (spec.log_path, spec.system_path),
            (spec.system_path, other.group("G2").spec.log_path),
        ):
            refused(
                partial(api.restore_complete, context, system, logs, None, NONE),
                JetErr.INVALID_PARAMETER,
            )


@pytest.mark.parametrize("target", ["Nothing", "G2", "G1 "])
def test_targets_that_are_none(server: SimulatedServer, target: str) -> None:
    """Unknown, or running with logs of another base name."""
    scene = backed_up(groups=2)
    lose(server, "G1S1")
    error = refused(
        lambda: restore(server, G1, scene.databases[G1], [only(["G1S1"])], target=target),
        JetErr.BAD_RESTORE_TARGET_INSTANCE,
    )
    assert target in error.detail


def test_the_folders_of_a_running_group(server: SimulatedServer) -> None:
    scene = backed_up(groups=2)
    lose(server, "G1S1")
    api = server.session()
    context = open_restore(api, G1)
    send_set(server, api, context, scene.databases[G1], only(["G1S1"]))
    path = server.group(G1).spec.log_path
    refused(lambda: complete(api, context, folder=path), JetErr.AFTER_INITIALIZATION)


def test_folders_of_a_group_with_other_logs(server: SimulatedServer) -> None:
    scene = backed_up(groups=2)
    lose(server, "G1S1")
    server.terminate("G2")
    api = server.session()
    context = open_restore(api, G1)
    send_set(server, api, context, scene.databases[G1], only(["G1S1"]))
    path = server.group("G2").spec.log_path
    refused(lambda: complete(api, context, folder=path), JetErr.BAD_RESTORE_TARGET_INSTANCE)


def test_a_target_that_stops_before_the_recovery_begins(server: SimulatedServer) -> None:
    scene = backed_up(groups=2)
    lose(server, "G1S1")
    api = server.session()
    context = open_restore(api, G1)
    send_set(server, api, context, scene.databases[G1], only(["G1S1"]))
    complete(api, context, NOWAIT, target=G1)
    server.terminate(G1)
    server.finish_recoveries()
    found = api.restore_get_environment(context)
    assert found.hr_last_recover & 0xFFFF == -JetErr.BAD_RESTORE_TARGET_INSTANCE
    assert found.target_instance_name == G1


def test_circular_logging_has_nothing_to_play_forward() -> None:
    """The target's logs are not looked at (ESE source: they need not follow any more)."""
    scene = backed_up(groups=2)
    circular = evolve(
        scene.topology,
        groups=tuple(evolve(group, circular_logging=True) for group in scene.topology.groups),
    )
    with SimulatedServer(circular, volume=scene.volume.snapshot(), resume=scene.state) as server:
        lose(server, "G1S1")
        server.run_workload(G1, 30)
        restore(server, G1, scene.databases[G1], [only(["G1S1"])], target=G1)
        check(server, {"G1S1": scene.rows_full["G1S1"]})
