"""AddDatabase and AddDatabaseNS: where databases go, and which may not be overwritten."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from functools import partial

import pytest
from attrs import evolve

from eseback.constants import RestoreClose
from eseback.errors import JetErr
from eseback.structures import DatabaseBackupInfo
from esesim.exchange.identity import database_guid
from esesim.server import SimulatedServer
from esesim.session import Session
from tests.esesim.support.restores import (
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

G1 = "G1"
STRANGER = uuid.UUID("01234567-89ab-cdef-0123-456789abcdef")
ELSEWHERE = ("E:\\copies\\one.edb", "E:\\copies\\one.stm")


@pytest.fixture
def server() -> Iterator[SimulatedServer]:
    with backed_up(groups=2).free_server() as server:
        yield server


@pytest.fixture
def api(server: SimulatedServer) -> Session:
    return server.session()


def database(group: str = G1, number: int = 0) -> DatabaseBackupInfo:
    return backed_up(groups=2).databases[group][number]


def add(api: Session, context: int, info: DatabaseBackupInfo) -> tuple[str, ...]:
    return api.restore_add_database(context, info.display_name, info.guid, info.streams)


def add_ns(api: Session, context: int, info: DatabaseBackupInfo, to: Sequence[str]) -> None:
    api.restore_add_database_ns(context, info.display_name, info.guid, info.streams, to)


def test_a_database_goes_to_the_files_of_its_store(api: Session) -> None:
    context = open_restore(api, G1)
    for number in (1, 0):
        assert add(api, context, database(number=number)) == database(number=number).streams
    found = api.restore_get_environment(context).databases
    assert [(d.display_name, d.guid) for d in found] == [
        (info.display_name, info.guid) for info in (database(number=1), database())
    ]
    assert [d.destination_streams for d in found] == [database(number=n).streams for n in (1, 0)]


def test_the_guid_decides_where_a_database_goes(server: SimulatedServer, api: Session) -> None:
    """The store may have another name by now, or be one of another storage group."""
    make_free(server, "G2")
    context = open_restore(api, G1)
    renamed = evolve(database(), display_name="As it was called then")
    assert add(api, context, renamed) == database().streams
    other = database("G2")
    there = evolve(database(number=1), guid=other.guid)
    assert add(api, context, there) == other.streams
    (_, found) = api.restore_get_environment(context).databases
    assert found.source_streams == database(number=1).streams


def test_a_store_with_more_or_fewer_files_than_the_database(api: Session) -> None:
    context = open_restore(api, G1)
    without_stm = evolve(database(), streams=database().streams[:1])
    refused(lambda: add(api, context, without_stm), JetErr.INVALID_PARAMETER)
    scene = backed_up(profile="exchange-2007")
    with scene.free_server() as server:
        api = server.session()
        info = scene.databases[G1][0]
        assert len(info.streams) == 1
        context = open_restore(api, G1)
        two = evolve(info, streams=(*info.streams, "C:\\old.stm"))
        refused(lambda: add(api, context, two), JetErr.INVALID_PARAMETER)
        assert add(api, context, info) == info.streams


def test_half_a_store_is_none(server: SimulatedServer, api: Session) -> None:
    """One file over a store's, the other elsewhere: held all the same, but nothing to mount."""
    scene = backed_up(groups=2)
    context = open_restore(api, G1)
    mixed = (scene.databases[G1][0].streams[0], ELSEWHERE[1])
    names = {scene.databases[G1][0].display_name: mixed}
    send_set(server, api, context, scene.databases[G1][:1], scene.full[G1], names)
    refused(lambda: server.mount(G1, "G1S1"), JetErr.RESTORE_IN_PROGRESS)
    complete(api, context)
    assert server.group(G1).mounted == ()
    assert_rows(scene.rows_full["G1S1"], rows_of(server, mixed))
    assert 204 in [event.id for event in server.group(G1).events]


def test_a_guid_that_no_store_has(server: SimulatedServer, api: Session) -> None:
    context = open_restore(api, G1)
    foreign = database_guid(server.topology.server.seed, "OTHERSRV", G1, "G1S1")
    for guid in (STRANGER, foreign):
        error = refused(
            partial(add, api, context, evolve(database(), guid=guid)), "hrCBDatabaseNotFound"
        )
        assert str(guid) in error.detail
    assert api.restore_get_environment(context).databases == ()
    # A client that names the files needs no store of that GUID.
    add_ns(api, context, evolve(database(), guid=STRANGER), ELSEWHERE)


def test_a_mounted_store_is_in_use(server: SimulatedServer, api: Session) -> None:
    server.mount(G1, "G1S1")
    context = open_restore(api, G1)
    error = refused(lambda: add(api, context, database()), "hrCBDatabaseInUse")
    assert "mounted" in error.detail
    refused(lambda: add_ns(api, context, database(), database().streams), "hrCBDatabaseInUse")
    add(api, context, database(number=1))
    server.dismount(G1, "G1S1")
    add(api, context, database())


def test_a_store_that_may_not_be_overwritten(server: SimulatedServer, api: Session) -> None:
    server.set_overwritable(G1, "G1S1", False)
    context = open_restore(api, G1)
    error = refused(lambda: add(api, context, database()), "hrCBDatabaseInUse")
    assert "may not be overwritten" in error.detail
    for to in (database().streams, (ELSEWHERE[0], database().streams[1].upper())):
        refused(partial(add_ns, api, context, database(), to), "hrCBDatabaseInUse")
    server.set_overwritable(G1, "g1s1", True)
    add(api, context, database())


def test_two_restores_never_have_one_database(server: SimulatedServer, api: Session) -> None:
    first, second = open_restore(api, G1), open_restore(api, G1)
    add(api, first, database())
    refused(lambda: add(api, second, database()), "hrCBDatabaseInUse")
    add(api, second, database(number=1))  # the other one of the group is free
    api.restore_close(first, RestoreClose.ABORT)
    add(api, second, database())


def test_one_file_is_not_restored_to_twice(api: Session) -> None:
    context = open_restore(api, G1)
    add(api, context, database())
    other = database(number=1)
    for to in (
        (ELSEWHERE[0], database().streams[1]),
        (ELSEWHERE[0], ELSEWHERE[0].upper()),
    ):
        refused(partial(add_ns, api, context, other, to), "hrCBDatabaseInUse")
    same_source = evolve(database(), guid=other.guid)
    refused(lambda: add_ns(api, context, same_source, ELSEWHERE), JetErr.INVALID_PARAMETER)
    # What was refused left the first one as it was.
    (found,) = api.restore_get_environment(context).databases
    assert found.destination_streams == database().streams


def test_a_database_that_is_added_again_goes_where_it_was_said_last(
    server: SimulatedServer, api: Session
) -> None:
    context = open_restore(api, G1)
    add(api, context, database())
    add_ns(api, context, database(), ELSEWHERE)
    (found,) = api.restore_get_environment(context).databases
    assert found.destination_streams == ELSEWHERE
    server.mount(G1, "G1S1")  # no longer held


def test_running_logs_are_in_use(server: SimulatedServer, api: Session) -> None:
    server.mount(G1, "G1S1")
    context = open_restore(api, G1)
    folder = server.group(G1).spec.log_path
    for name in ("E00.log", "e00.CHK"):
        to = (f"{folder}\\{name}", ELSEWHERE[1])
        refused(partial(add_ns, api, context, database(), to), "hrCBDatabaseInUse")


@pytest.mark.parametrize(
    "streams",
    [(), ("a.edb",), ("C:\\",), ("C:\\a.edb", "C:\\a.stm", "C:\\b"), ("C:\\x\\..\\y",), "C:\\a", 7],
)
def test_arguments(api: Session, streams: Sequence[str]) -> None:
    context = open_restore(api, G1)
    info = database()
    calls = [
        lambda: api.restore_add_database(context, info.display_name, info.guid, streams),
        lambda: api.restore_add_database_ns(
            context, info.display_name, info.guid, streams, ELSEWHERE
        ),
        lambda: api.restore_add_database_ns(
            context, info.display_name, info.guid, info.streams, streams
        ),
        lambda: api.restore_add_database_ns(
            context, info.display_name, info.guid, info.streams, ELSEWHERE[:1]
        ),
        lambda: api.restore_add_database(context, "", info.guid, info.streams),
        lambda: api.restore_add_database(
            context,
            info.display_name,
            str(info.guid),  # type: ignore[arg-type]
            info.streams,
        ),
    ]
    for call in calls:
        refused(call, JetErr.INVALID_PARAMETER)
    assert api.restore_get_environment(context).databases == ()


def test_a_restore_beside_the_originals(server: SimulatedServer) -> None:
    """AddDatabaseNS: the group goes on working while its backup is restored to another place."""
    scene = backed_up(groups=2)
    server.mount(G1, "G1S1")
    server.mount(G1, "G1S2")
    names = {
        info.display_name: tuple(f"E:\\copies\\{info.display_name}{end}" for end in (".e", ".s"))
        for info in scene.databases[G1]
    }
    api = server.session()
    context = open_restore(api, G1)
    send_set(server, api, context, scene.databases[G1], scene.full[G1], names)
    server.run_workload(G1, 30)
    complete(api, context)  # there is nothing to mount
    for name, streams in names.items():
        assert_rows(scene.rows_full[name], rows_of(server, streams))
    assert server.group(G1).mounted == ("G1S1", "G1S2")
    # Which events a restore outside all groups writes is seen, too.
    assert [event.id for event in server.events if event.id in (204, 205)] == [204, 205]


def test_a_restore_into_another_group(server: SimulatedServer) -> None:
    """The stores of G2 take what those of G1 had, each by its GUID."""
    scene = backed_up(groups=2)
    make_free(server, "G2")
    mixed = [
        evolve(info, guid=other.guid)
        for info, other in zip(scene.databases[G1], scene.databases["G2"], strict=True)
    ]
    restore(server, G1, mixed, [scene.full[G1]])
    assert server.group("G2").mounted == ("G2S1", "G2S2")
    assert server.group(G1).mounted == ()
    for number, store in enumerate(server.group("G2").spec.stores, 1):
        assert_rows(scene.rows_full[f"G1S{number}"], server.journal.rows(store.edb))
    server.run_workload("G2", 30)
    restore(server, "G2", scene.databases[G1], [scene.full[G1]], flags=NONE)
