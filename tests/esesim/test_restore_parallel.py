"""Several restores at a time: the example of the SDK's backup overview, and the sixteen instances.

"Four storage groups with four databases each": the entire server is restored at the same time, each
group in a session and a folder of its own, the databases of a group one after the other.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Sequence
from functools import partial

import pytest
from attrs import evolve

from eseback.constants import RestoreClose
from eseback.errors import JetErr
from esesim.server import SimulatedServer
from esesim.session import Session
from esesim.volume import MemoryVolume
from tests.esesim.support.restores import (
    ATTACH,
    NONE,
    assert_rows,
    backed_up,
    complete,
    make_free,
    open_restore,
    refused,
    restore,
    rows_of,
    send_set,
)

pytestmark = pytest.mark.uncovered

GROUPS = ("G1", "G2", "G3", "G4")


def at_the_same_time(*jobs: Callable[[], object]) -> None:
    """Run jobs in threads of their own, released together; raises the first error of any."""
    errors: list[BaseException] = []
    gate = threading.Barrier(len(jobs))

    def run(job: Callable[[], object]) -> None:
        gate.wait(20)
        try:
            job()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    if errors:
        raise errors[0]


def whole_server(*, in_threads: bool) -> SimulatedServer:
    """A server of four by four after a disaster and the restore of all of it."""
    scene = backed_up(groups=4, stores=4)
    server = scene.server()
    for group in GROUPS:
        server.destroy_group(group)
        make_free(server, group)
    jobs = [
        partial(restore, server, group, scene.databases[group], [scene.full[group]])
        for group in GROUPS
    ]
    if in_threads:
        at_the_same_time(*jobs)
    else:
        for job in jobs:
            job()
    return server


def by_database(server: SimulatedServer, group: str) -> None:
    """One restore for each database of a group, in turn."""
    scene = backed_up(groups=4, stores=4)
    for info in scene.databases[group]:
        restore(server, group, [info], [scene.full[group]])


def test_the_overviews_example() -> None:
    scene = backed_up(groups=4, stores=4)
    assert sum(len(databases) for databases in scene.databases.values()) == 16
    with scene.server() as server:
        for group in GROUPS:
            server.destroy_group(group)
            make_free(server, group)
        at_the_same_time(*(partial(by_database, server, group) for group in GROUPS))
        for restored in server.groups:
            assert restored.mounted == tuple(f"{restored.name}S{n}" for n in (1, 2, 3, 4))
            for store in restored.spec.stores:
                assert_rows(scene.rows_full[store.name], server.journal.rows(store.edb))
            # One after the other: a recovery (204) has ended (205) before the next one starts.
            ids = [event.id for event in restored.events if event.id in (204, 205)]
            assert ids == [204, 205] * 4


def test_the_whole_server_with_one_restore_for_each_group() -> None:
    scene = backed_up(groups=4, stores=4)
    with whole_server(in_threads=True) as server:
        restored = 0
        for group in server.groups:
            assert len(group.mounted) == 4
            for store in group.spec.stores:
                assert_rows(scene.rows_full[store.name], server.journal.rows(store.edb))
                restored += 1
            ids = [event.id for event in group.events]
            assert ids.count(204) == ids.count(205) == 1
        assert restored == 16
        for group in server.groups:
            server.run_workload(group.name, 20)


def test_in_parallel_or_one_after_the_other_the_bytes_are_the_same() -> None:
    contents = []
    for in_threads in (True, False):
        with whole_server(in_threads=in_threads) as server:
            texts = [(event.group, event.id, event.text, event.time) for event in server.events]
        contents.append((texts, every_byte(server)))
    assert contents[0][0] == contents[1][0]
    assert contents[0][1] == contents[1][1]


def every_byte(server: SimulatedServer) -> dict[str, bytes]:
    assert isinstance(server.volume, MemoryVolume)
    found = {}
    folders = [group.spec.log_path for group in server.groups]
    for folder in (path.replace(":\\", "/").replace("\\", "/") for path in folders):
        for name in server.volume.list(folder):
            file = server.volume.open(f"{folder}/{name}")
            found[f"{folder}/{name}"] = file.read(0, file.size)
    assert len(found) > 32
    return found


def test_twelve_restores_beside_four_groups() -> None:
    """Each takes an instance when it is opened: the thirteenth is refused, the twelve finish."""
    scene = backed_up(groups=4, stores=4)
    with scene.server() as server:
        works: list[Callable[[], object]] = []
        expected: dict[Sequence[str], str] = {}
        for number in range(12):
            group = GROUPS[number % 4]
            api = server.session()
            context = open_restore(api, group)
            infos = scene.databases[group]
            names = {
                info.display_name: tuple(
                    f"E:\\copy {number}\\{info.display_name}{end}" for end in (".edb", ".stm")
                )
                for info in infos[:1]
            }
            wanted = {
                name: data
                for name, data in scene.full[group].items()
                if name.endswith(".log") or name in infos[0].streams
            }
            expected[names[infos[0].display_name]] = infos[0].display_name
            send_set(server, api, context, infos, wanted, names)
            works.append(partial(_finish, api, context))
        late = server.session()
        refused(lambda: open_restore(late, "G1"), JetErr.TOO_MANY_INSTANCES)
        assert len(server.restores) == 12
        users = [partial(server.run_workload, group, 40) for group in GROUPS]
        at_the_same_time(*works, *users)
        for streams, name in expected.items():
            assert_rows(scene.rows_full[name], rows_of(server, streams))
        assert server.restores == ()
        open_restore(late, "G1")


def _finish(api: Session, context: int) -> None:
    complete(api, context)
    api.restore_close(context, RestoreClose.NORMAL)


@pytest.mark.parametrize("in_threads", [False, True])
def test_two_restores_of_one_group(in_threads: bool) -> None:
    """Each has its folder and its store; their recoveries follow one another."""
    scene = backed_up(stores=2)
    with scene.free_server() as server:

        def one(name: str) -> None:
            infos = [info for info in scene.databases["G1"] if info.display_name == name]
            api = server.session()
            context = open_restore(api, "G1")
            send_set(server, api, context, infos, scene.full["G1"])
            complete(api, context, ATTACH)
            api.restore_close(context, RestoreClose.NORMAL)

        jobs = [partial(one, "G1S1"), partial(one, "G1S2")]
        if in_threads:
            at_the_same_time(*jobs)
        else:
            for job in jobs:
                job()
        assert server.group("G1").mounted == ("G1S1", "G1S2")
        for store in server.group("G1").spec.stores:
            assert_rows(scene.rows_full[store.name], server.journal.rows(store.edb))
        # 204 starts a recovery, 205 ends it: never one within the other.
        ids = [event.id for event in server.group("G1").events if event.id in (204, 205)]
        assert ids == [204, 205, 204, 205]
        server.run_workload("G1", 30)


def test_one_folder_for_two_restores_is_never_shared() -> None:
    scene = backed_up(stores=2)
    with scene.free_server() as server:
        first, second = server.session(), server.session()
        context = open_restore(first, "G1", "D:\\one")
        refused(lambda: open_restore(second, "G1", "D:\\one"), JetErr.LOG_FILE_PATH_IN_USE)
        send_set(server, first, context, scene.databases["G1"], scene.full["G1"])
        complete(first, context, NONE)
        # Even after it has succeeded, until the context is closed.
        refused(lambda: open_restore(second, "G1", "D:\\one"), JetErr.LOG_FILE_PATH_IN_USE)
        first.restore_close(context, RestoreClose.NORMAL)
        open_restore(second, "G1", "D:\\one")


def test_one_backup_restored_to_two_places_at_the_same_time() -> None:
    """Databases of one signature may lie beside each other, as long as only one is mounted."""
    scene = backed_up(stores=1)
    (info,) = scene.databases["G1"]
    places = [("E:\\a\\1.edb", "E:\\a\\1.stm"), ("E:\\b\\1.edb", "E:\\b\\1.stm")]
    with scene.server() as server:

        def to(place: tuple[str, str]) -> None:
            api = server.session()
            context = open_restore(api, "G1")
            copy = evolve(info, guid=uuid.uuid5(info.guid, place[0]))
            send_set(server, api, context, [copy], scene.full["G1"], {info.display_name: place})
            complete(api, context)

        at_the_same_time(*(partial(to, place) for place in places))
        for place in places:
            assert_rows(scene.rows_full["G1S1"], rows_of(server, place))
