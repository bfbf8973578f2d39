"""The recovery storage group: a store comes back beside its original, which goes on working."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import pytest
from attrs import evolve

from eseback.constants import INFORMATION_STORE, RestoreClose
from eseback.errors import JetErr
from esesim.server import SimulatedServer
from esesim.topology import GroupSpec, StoreSpec, Topology, TopologyError, completed, load_topology
from tests.esesim.support.restores import (
    ATTACH,
    assert_rows,
    backed_up,
    complete,
    make_free,
    open_restore,
    refused,
    restore,
    send_set,
)
from tests.esesim.support.servers import SERVER, small_topology

G1, RECOVERY = "G1", "Recovery Storage Group"
STORES = (
    StoreSpec("Copy of G1S1", recovery_of="G1/G1S1"),
    StoreSpec("Copy of G1S2", recovery_of="g1/g1s2"),
)


@cache
def topology(**options: object) -> Topology:
    """Two groups, and a recovery storage group for the stores of the first."""
    ordinary = small_topology(2, 2, messages=12)
    group = GroupSpec(RECOVERY, recovery=True, stores=STORES, log_size=64 * 1024)
    return evolve(ordinary, groups=(*ordinary.groups, group))


@pytest.fixture
def server() -> Iterator[SimulatedServer]:
    scene = backed_up(groups=2)
    with SimulatedServer(topology(), volume=scene.volume.snapshot(), resume=scene.state) as server:
        yield server


def test_what_it_is_completed_with(server: SimulatedServer) -> None:
    group = server.group(RECOVERY)
    assert group.spec.base == "R00"
    assert group.mounted == ()
    assert group.overwritable == ("Copy of G1S1", "Copy of G1S2")
    assert (group.spec.workload.messages, group.steps_per_call) == (0, 0)
    assert [g.spec.base for g in server.groups] == ["E00", "E01", "R00"]
    assert completed(server.topology) == server.topology


def test_a_restore_goes_there_and_not_over_the_original(server: SimulatedServer) -> None:
    scene = backed_up(groups=2)
    restore(server, G1, scene.databases[G1], [scene.full[G1]])
    group = server.group(RECOVERY)
    assert group.mounted == ("Copy of G1S1", "Copy of G1S2")
    assert server.group(G1).mounted == ("G1S1", "G1S2")
    for number, store in enumerate(group.spec.stores, 1):
        assert_rows(scene.rows_full[f"G1S{number}"], server.journal.rows(store.edb))
        assert scene.rows_full[f"G1S{number}"] != server.journal.rows(
            server.group(G1).store(f"G1S{number}").edb
        )
    # What happened is told in the log of events of the recovery storage group.
    assert 204 in [event.id for event in group.events]
    assert {event.group for event in group.events} == {RECOVERY}
    server.run_workload(G1, 30)


def test_other_groups_are_restored_to_themselves(server: SimulatedServer) -> None:
    scene = backed_up(groups=2)
    make_free(server, "G2")
    restore(server, "G2", scene.databases["G2"], [scene.full["G2"]])
    assert server.group("G2").mounted == ("G2S1", "G2S2")
    assert server.group(RECOVERY).mounted == ()


def test_the_original_is_reached_by_naming_its_files(server: SimulatedServer) -> None:
    scene = backed_up(groups=2)
    make_free(server, G1)
    api = server.session()
    context = open_restore(api, G1)
    names = {info.display_name: info.streams for info in scene.databases[G1]}
    send_set(server, api, context, scene.databases[G1], scene.full[G1], names)
    complete(api, context, ATTACH)
    assert server.group(G1).mounted == ("G1S1", "G1S2")


def test_it_is_in_use_while_it_is_mounted(server: SimulatedServer) -> None:
    scene = backed_up(groups=2)
    infos = scene.databases[G1]
    restore(server, G1, infos, [scene.full[G1]])
    refused(lambda: restore(server, G1, infos, [scene.full[G1]]), "hrCBDatabaseInUse")
    (left_open,) = server.restores
    left_open.close()
    make_free(server, RECOVERY)
    restore(server, G1, infos, [scene.full[G1], scene.incremental[G1]])
    store = server.group(RECOVERY).spec.stores[0]
    assert_rows(scene.rows_incremental["G1S1"], server.journal.rows(store.edb))


def test_it_plays_forward_to_what_the_original_has(server: SimulatedServer) -> None:
    scene = backed_up(groups=2)
    first = server.group(G1).store("G1S1")
    restore(server, G1, scene.databases[G1], [scene.full[G1], scene.incremental[G1]], target=G1)
    copy = server.group(RECOVERY).spec.stores[0]
    assert_rows(server.journal.rows(first.edb), server.journal.rows(copy.edb))


def test_it_is_not_offered_for_backup(server: SimulatedServer) -> None:
    scene = backed_up(groups=2)
    restore(server, G1, scene.databases[G1], [scene.full[G1]])
    _, instances = server.session().backup_prepare(SERVER, INFORMATION_STORE)
    assert [info.instance_name for info in instances] == ["G1", "G2"]


def test_it_takes_an_instance_but_no_place_of_a_group() -> None:
    ordinary = small_topology(4, 1, messages=0)
    recovery = GroupSpec(RECOVERY, recovery=True, stores=(StoreSpec("R", recovery_of="G1/G1S1"),))
    with SimulatedServer(evolve(ordinary, groups=(*ordinary.groups, recovery))) as server:
        server.mount(RECOVERY, "R")
        api = server.session()
        contexts = [open_restore(api, G1) for _ in range(11)]
        refused(lambda: open_restore(api, G1), JetErr.TOO_MANY_INSTANCES)
        api.restore_close(contexts[0], RestoreClose.ABORT)
        open_restore(api, G1)


def test_no_mail_reaches_it(server: SimulatedServer) -> None:
    scene = backed_up(groups=2)
    restore(server, G1, scene.databases[G1], [scene.full[G1]])
    store = server.group(RECOVERY).spec.stores[0]
    before = server.journal.rows(store.edb)
    server.run_workload(RECOVERY, 50)
    assert server.journal.rows(store.edb) == before


HEAD = '[[group]]\nname = "G"\n[[group.store]]\nname = "S"\n'
OTHER = '[[group]]\nname = "H"\n[[group.store]]\nname = "T"\n'


def recovery(*lines: str, stores: tuple[str, ...] = ('recovery_of = "G/S"',)) -> str:
    text = "\n".join(('[[group]]\nname = "R"\nrecovery = true', *lines))
    for number, store in enumerate(stores):
        text += f'\n[[group.store]]\nname = "R{number}"\n{store}'
    return text + "\n"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (HEAD + recovery('base = "E07"'), "group[1].base: 'E07'; a recovery storage group has R00"),
        (HEAD + 'recovery_of = "G/S"\n', "group[0].store[0].recovery_of: is for stores of"),
        (
            HEAD + recovery(stores=("",)),
            "group[1].store[0].recovery_of: '' is no store; write one of G/S",
        ),
        (
            HEAD + recovery(stores=('recovery_of = "S"',)),
            "group[1].store[0].recovery_of: 'S' is no store; write one of G/S",
        ),
        (
            HEAD + recovery(stores=('recovery_of = "R/R0"',)),
            "group[1].store[0].recovery_of: 'R/R0' is no store",
        ),
        (
            HEAD + recovery(stores=('recovery_of = "G/S"', 'recovery_of = "g/s"')),
            "group[1].store[1].recovery_of: 'g/s' is already used by group[1].store[0].recovery_of",
        ),
        (
            HEAD + OTHER + recovery(stores=('recovery_of = "G/S"', 'recovery_of = "H/T"')),
            "group[2].store[1].recovery_of: all must be of one storage group, as the first is of",
        ),
        (
            HEAD + recovery() + recovery().replace('"R', '"Q'),
            "group[2].recovery: group[1] is the recovery storage group already; there is one",
        ),
        (
            '[server]\nprofile = "exchange-2000-sp2"\n' + HEAD + recovery(),
            "group[1].recovery: Exchange 2000 Server SP2, Enterprise Edition has no recovery",
        ),
        (HEAD + 'base = "R00"\n' + "", "group[0].store[0].base: unknown key"),
        (
            HEAD.replace("[[group.store", 'base = "R00"\n[[group.store'),
            "group[0].base: 'R00' is no base name of logs; use E00 to EFF",
        ),
        (
            '[server]\nrestore_files = "file"\n',
            "server.restore_files: 'file' is unknown; use handle or file_level",
        ),
    ],
)
def test_mistakes_name_their_key(text: str, problem: str) -> None:
    with pytest.raises(TopologyError) as refused:
        load_topology(text)
    assert problem in str(refused.value)


def test_a_fifth_group_is_one_too_many_but_not_a_recovery_group() -> None:
    groups = "".join(f'[[group]]\nname = "G{n}"\n[[group.store]]\nname = "S"\n' for n in range(4))
    there = recovery(stores=('recovery_of = "G1/S"',))
    assert len(load_topology(there + groups).groups) == 5
    assert [g.base for g in load_topology(there + groups).groups] == [
        "R00",
        "E00",
        "E01",
        "E02",
        "E03",
    ]
    with pytest.raises(TopologyError, match="5 storage groups"):
        load_topology(groups + '[[group]]\nname = "G5"\n' + there)
