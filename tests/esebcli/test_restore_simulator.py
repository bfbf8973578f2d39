"""Restores to the simulator: real recovery, and the rows compared with what users had committed."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import pytest
from attrs import evolve, frozen

from esebcli.errors import RestoreRefused
from esebcli.manifest import Kind
from esebcli.restoredata import Outcome
from esesim.layer import ApiLayer
from esesim.server import SimulatedServer
from esesim.topology import Topology
from tests.esebcli.support_jobs import flip, manifest_of
from tests.esebcli.support_simulator import (
    FIRST,
    Frozen,
    TruthRows,
    free,
    on_disk,
    restore,
    save,
    topology_of,
    truth,
    unlike,
)

pytestmark = pytest.mark.uncovered

R = TypeVar("R")
SECOND = "Second Storage Group"
PLAN = {
    "full": Kind.FULL,
    "inc1": Kind.INCREMENTAL,
    "inc2": Kind.INCREMENTAL,
    "diff1": Kind.DIFFERENTIAL,
    "diff2": Kind.DIFFERENTIAL,
}


@frozen
class Scene:
    """A server with a chain of sets of its first group, and the rows at the end of each set."""

    frozen: Frozen
    folder: Path
    rows: dict[str, TruthRows]
    now: TruthRows

    def set(self, name: str) -> Path:
        return self.folder / name

    def sets(self, *names: str) -> list[Path]:
        return [self.set(name) for name in names]


def make_scene(topology: Topology, folder: Path, plan: dict[str, Kind] = PLAN) -> Scene:
    server = SimulatedServer(topology)
    rows = {}
    previous = None
    for name, kind in plan.items():
        path = folder / name
        assert save(server, path, kind, previous=previous).ok
        logs = manifest_of(path).groups[0].logs
        assert logs is not None
        rows[name] = truth(server, generation=logs.high)
        if kind is not Kind.DIFFERENTIAL:
            previous = path
        server.run_workload(FIRST, 60)
    now = truth(server)
    return Scene(Frozen.of(server), folder, rows, now)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """Two stores under a mail workload."""
    return make_scene(topology_of("demo"), tmp_path_factory.mktemp("scene"))


@pytest.fixture(params=["handle", "file_level"])
def server(request: pytest.FixtureRequest, scene: Scene) -> Iterator[SimulatedServer]:
    """The server of the scene, its first group ready to be restored."""
    start = scene.frozen
    spec = evolve(start.topology.server, restore_files=request.param)
    frozen_server = evolve(start, topology=evolve(start.topology, server=spec))
    with frozen_server.start() as running:
        free(running)
        yield running


@pytest.mark.parametrize(
    ("names", "last"),
    [
        (("full",), None),
        (("full", "inc1"), None),
        (("inc2", "full", "inc1"), None),
        (("full", "inc1", "inc2", "diff1"), None),
        (("full", "inc1", "inc2", "diff2"), None),
        (("full", "inc1", "inc2", "diff1", "diff2"), None),
        (("full", "inc1", "inc2", "diff1", "diff2"), "inc1"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else str(value),
)
def test_the_rows_are_those_of_the_last_set(
    scene: Scene, server: SimulatedServer, names: tuple[str, ...], last: str | None
) -> None:
    limit = None if last is None else scene.set(last)
    result = restore(server, *scene.sets(*names), last=limit, groups=(FIRST,))
    assert result.ok, result.reasons
    end = last or max(names, key=list(PLAN).index)
    assert unlike(scene.rows[end], on_disk(server)) == []
    assert unlike(scene.now, on_disk(server)), "something was committed later"
    used = [Path(folder).name for folder in result.groups[0].sets]
    assert used[0] == "full" and set(used) <= set(names)
    assert last is None or used == ["full", "inc1"]
    assert server.restores == ()


def test_mounted_afterwards(scene: Scene, server: SimulatedServer, tmp_path: Path) -> None:
    result = restore(server, *scene.sets("full", "inc1"), mount=True, poll=True)
    assert result.ok, result.reasons
    assert len(server.group(FIRST).mounted) == 2
    assert unlike(scene.rows["inc1"], truth(server)) == [], "the truth begins anew"
    # The database must be saved in full before the next incremental.
    refused = save(server, tmp_path / "inc", Kind.INCREMENTAL)
    assert "-560" in refused.reasons[0] and "make a full backup first" in refused.reasons[0]
    assert save(server, tmp_path / "full").ok


def test_play_forward_while_the_group_does_not_run(scene: Scene, server: SimulatedServer) -> None:
    assert server.group(FIRST).instance is None
    before = truth(server)
    result = restore(server, *scene.sets("full", "inc1", "inc2"), play_forward=True)
    assert result.ok, result.reasons
    assert unlike(before, on_disk(server)) == []


def test_play_forward_into_a_running_group(scene: Scene, server: SimulatedServer) -> None:
    """The other store is mounted, and its users go on."""
    store, other = server.group(FIRST).spec.stores
    server.mount(FIRST, other.name)
    server.run_workload(FIRST, 40)
    sets, before = scene.sets("full", "inc1", "inc2"), truth(server)[store.edb]
    result = restore(server, *sets, databases=[store.name], play_forward=True, mount=True)
    assert result.ok, result.reasons
    assert unlike({"x": before}, {"x": truth(server)[store.edb]}) == []
    assert len(server.group(FIRST).mounted) == 2


def test_one_database_while_the_other_one_is_mounted(scene: Scene, server: SimulatedServer) -> None:
    store, other = server.group(FIRST).spec.stores
    server.mount(FIRST, other.name)
    server.run_workload(FIRST, 10)
    result = restore(server, *scene.sets("full", "inc1"), databases=[store.name])
    assert result.ok, result.reasons
    server.dismount(FIRST, other.name)
    # Its users went on all the time.
    expected = {store.edb: scene.rows["inc1"][store.edb], other.edb: truth(server)[other.edb]}
    assert unlike(expected, on_disk(server)) == []


def test_after_a_disaster(scene: Scene, server: SimulatedServer) -> None:
    server.destroy_group(FIRST)
    result = restore(server, *scene.sets("full", "inc1", "inc2", "diff2"), mount=True)
    assert result.ok, result.reasons
    assert unlike(scene.rows["diff2"], truth(server)) == []
    server.run_workload(FIRST, 20)


def test_the_logs_are_kept_or_not(scene: Scene, server: SimulatedServer) -> None:
    for keep in (True, False):
        free(server)
        folder = f"E:\\restore {keep}"
        result = restore(server, scene.set("full"), log_path=folder, keep_logs=keep)
        assert result.ok and result.groups[0].log_path == folder
        low = result.groups[0].low
        assert server.files.exists(f"{folder}\\E00{low:05X}.log") is keep


# --- refusals: nothing on the server changes


def contents(server: SimulatedServer) -> dict[str, bytes]:
    """The databases of the first group, byte for byte."""
    return {
        name: server.files.read(name)
        for store in server.group(FIRST).spec.stores
        for name in store.streams
    }


def test_a_damaged_chain_changes_nothing(
    scene: Scene, server: SimulatedServer, tmp_path: Path
) -> None:
    before = contents(server)
    copy = tmp_path / "inc1"
    shutil.copytree(scene.set("inc1"), copy)
    log = max((copy / FIRST).glob("*.log"))
    flip(log, 5000)
    with pytest.raises(RestoreRefused, match="damaged or missing"):
        restore(server, scene.set("full"), copy)
    shutil.copytree(scene.set("full"), tmp_path / "full")
    flip(tmp_path / "full" / FIRST / "priv1.edb", 100_000)
    with pytest.raises(RestoreRefused, match="not restorable"):
        restore(server, tmp_path / "full")
    with pytest.raises(RestoreRefused, match="in none of the sets"):
        restore(server, *scene.sets("full", "diff2"))
    assert contents(server) == before


@pytest.mark.parametrize("mounted", [True, False])
def test_a_store_in_use(scene: Scene, server: SimulatedServer, mounted: bool) -> None:
    store = server.group(FIRST).spec.stores[1]
    if mounted:
        server.mount(FIRST, store.name)
    else:
        server.set_overwritable(FIRST, store.name, False)
        before = contents(server)
    result = restore(server, scene.set("full"))
    assert result.groups[0].outcome is Outcome.UNTOUCHED
    assert "hrCBDatabaseInUse" in result.reasons[0] and "overwritten by a" in result.reasons[0]
    assert mounted or contents(server) == before
    assert server.restores == ()


# --- more than one group


Pair = tuple[Frozen, Path, dict[str, TruthRows]]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """A server, a full of both its groups, and their rows at its end."""
    server = SimulatedServer(topology_of("demo"))
    full = tmp_path_factory.mktemp("pair") / "full"
    names = tuple(group.name for group in server.groups)
    assert save(server, full, groups=names, parallel=2).ok
    rows = {}
    for part in manifest_of(full).groups:
        assert part.logs is not None
        rows[part.name] = truth(server, part.name, part.logs.high)
    return Frozen.of(server), full, rows


def test_groups_at_the_same_time(pair: Pair) -> None:
    frozen_server, full, rows = pair
    with frozen_server.start() as server:
        for name in rows:
            free(server, name)
        result = restore(server, full, parallel=2)
        assert result.ok, result.reasons
        assert len({group.log_path for group in result.groups}) == 2
        for name, expected in rows.items():
            assert unlike(expected, on_disk(server, name)) == []


def test_groups_at_the_same_time_over_one_session(pair: Pair) -> None:
    frozen_server, full, rows = pair
    with frozen_server.start() as server:
        for name in rows:
            free(server, name)
        result = restore(server, full, parallel=2, api=server.session())
        assert result.ok, result.reasons
        for name, expected in rows.items():
            assert unlike(expected, on_disk(server, name)) == []


def test_playing_forward_over_a_gap(scene: Scene, server: SimulatedServer) -> None:
    """The logs after the full were saved and deleted by incrementals that are not given."""
    result = restore(server, scene.set("full"), play_forward=True)
    assert result.groups[0].outcome is Outcome.UNFINISHED
    assert "-565" in result.reasons[0] and "restore without --play-forward" in result.reasons[0]
    assert restore(server, scene.set("full")).ok, "it can be restored again"


def test_one_group_of_a_set_of_two(pair: Pair) -> None:
    frozen_server, full, rows = pair
    with frozen_server.start() as server:
        free(server, SECOND)
        result = restore(server, full, groups=[SECOND])
        assert result.ok and [group.name for group in result.groups] == [SECOND]
        assert unlike(rows[SECOND], on_disk(server, SECOND)) == []
        assert len(server.group(FIRST).mounted) == 2


def test_into_another_group(pair: Pair) -> None:
    """Its stores have other names, so the client is told where to."""
    frozen_server, full, rows = pair
    with frozen_server.start() as server:
        free(server, SECOND)
        stores = server.group(SECOND).spec.stores
        sources = server.group(FIRST).spec.stores
        places = {s.name: t.edb for s, t in zip(sources, stores, strict=True)}
        result = restore(server, full, groups=[FIRST], into=SECOND, places=places)
        assert result.ok, result.reasons
        expected = {places[s.name]: rows[FIRST][s.edb] for s in sources}
        assert unlike(expected, on_disk(server, SECOND)) == []
        assert len(server.group(FIRST).mounted) == 2, "the original runs on"


RECOVERY_GROUP = """

[[group]]
name = "Recovery Storage Group"
recovery = true

[[group.store]]
name = "Mailbox Store (EXCHSRV1)"
edb = 'R:\\rsg\\priv1.edb'
recovery_of = "First Storage Group/Mailbox Store (EXCHSRV1)"
mounted = false
overwritable = true
"""


@pytest.mark.parametrize("into", [None, "Recovery Storage Group"])
def test_beside_and_into_the_recovery_group(tmp_path: Path, into: str | None) -> None:
    text = topology_text("minimal") + RECOVERY_GROUP
    plan = {"full": Kind.FULL, "inc1": Kind.INCREMENTAL}
    scene = make_scene(topology_of(text), tmp_path, plan)
    with scene.frozen.start() as server:
        if into is None:
            free(server)
        result = restore(server, *scene.sets("full", "inc1"), into=into, mount=False)
        assert result.ok, result.reasons
        assert "R:\\rsg\\priv1.edb" in result.groups[0].warnings[0]
        (rows,) = on_disk(server, into or FIRST).values()
        (expected,) = scene.rows["inc1"].values()
        assert unlike({"x": expected}, {"x": rows}) == []
        assert server.files.exists("R:\\rsg\\priv1.edb") is (into is not None)
        assert bool(server.group(FIRST).mounted) is (into is not None)


def topology_text(name: str) -> str:
    from esesim.topology import read_topology_text

    return read_topology_text(name)


@pytest.mark.parametrize(
    "profile", ["exchange-2000-rtm", "exchange-2000-sp2", "exchange-2003-rtm", "exchange-2007"]
)
def test_every_version(tmp_path: Path, profile: str) -> None:
    topology = topology_of(topology_text("minimal").replace("exchange-2003-sp1", profile))
    scene = make_scene(topology, tmp_path, {"full": Kind.FULL, "inc1": Kind.INCREMENTAL})
    with scene.frozen.start() as server:
        free(server)
        result = restore(server, *scene.sets("full", "inc1"))
        assert result.ok, result.reasons
        assert unlike(scene.rows["inc1"], on_disk(server)) == []


class Crashing(ApiLayer):
    """The server loses power right before or after the n-th call of a method."""

    def __init__(self, server: SimulatedServer, method: str, nth: int, after: bool) -> None:
        super().__init__(server.session())
        self._server = server
        self._method = method
        self._left = nth
        self._after = after
        self.crashed = False

    def around(self, method: str, function: Callable[..., R], arguments: Mapping[str, Any]) -> R:
        self._left -= method == self._method
        due = method == self._method and self._left == 0
        if due and not self._after:
            self._crash()
        answer = super().around(method, function, arguments)
        if due and self._after:
            self._crash()
        return answer

    def _crash(self) -> None:
        self.crashed = True
        self._server.crash(seed=self._left)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    ("method", "nth"),
    [
        ("restore_open", 1),
        ("restore_add_database", 2),
        ("restore_open_file", 3),
        ("restore_write_file", 2),
        ("restore_close_file", 5),
        ("restore_save_environment", 1),
        ("restore_reopen", 1),
        ("restore_save_environment", 2),
        ("restore_complete", 1),
    ],
)
def test_a_server_that_crashes(
    scene: Scene, server: SimulatedServer, method: str, nth: int, after: bool
) -> None:
    """The client says that it failed, and the restore is started over; between two sets there is no
    context to lose: what was closed is on disk, and is taken up again.
    """
    handles = server.topology.server.restore_files == "handle"
    if not handles and method in ("restore_write_file", "restore_close_file"):
        method = "restore_open_file"
    api = Crashing(server, method, nth, after)
    sets = scene.sets("full", "inc1")
    result = restore(server, *sets, api=api)
    assert api.crashed
    assert result.ok is (method in ("restore_open", "restore_reopen") and not after)
    assert not result.ok or unlike(scene.rows["inc1"], on_disk(server)) == []
    assert server.restores == ()
    free(server)
    again = restore(server, *sets)
    assert again.ok, again.reasons
    assert unlike(scene.rows["inc1"], on_disk(server)) == []
