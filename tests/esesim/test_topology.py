"""Topologies: what is read, what is chosen, and that every mistake names its key and a remedy."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest
from attrs import evolve

from esesim.topology import (
    PROFILES,
    GroupSpec,
    ServiceSpec,
    StoreSpec,
    Topology,
    TopologyError,
    completed,
    default_topology,
    load_topology,
    packaged_names,
)
from esesim.topology.loading import read_topology_text
from esesim.topology.reading import parse_size
from tests.esesim.support.servers import small_topology

GROUP = '[[group]]\nname = "G"\n'
STORE = '[[group.store]]\nname = "S"\n'


@pytest.mark.parametrize("name", packaged_names())
def test_packaged_topologies_are_what_their_files_say(name: str) -> None:
    """If not: python -m tools.gen_topologies."""
    assert load_topology(name) == load_topology(read_topology_text(name))


def test_packaged_topologies_are_complete_and_what_they_say() -> None:
    folder = files("esesim") / "topologies"
    assert packaged_names() == tuple(sorted(Path(str(f)).stem for f in folder.iterdir()))
    assert packaged_names() == ("demo", "minimal")
    demo = load_topology("demo")
    assert default_topology() == demo == completed(demo)
    assert [group.name for group in demo.groups] == [
        "First Storage Group",
        "Second Storage Group",
    ]
    assert [len(group.stores) for group in demo.groups] == [2, 2]
    assert {group.log_size for group in demo.groups} == {65536}
    minimal = load_topology("minimal")
    assert [len(group.stores) for group in minimal.groups] == [1]


def test_what_is_not_said_is_chosen_by_rule() -> None:
    topology = load_topology(
        f'{GROUP}{STORE}[[group]]\nname = "H"\n[[group.store]]\nname = "T"\n'
        "edb = 'E:\\x\\t.EDB'\n"
    )
    first, second = topology.groups
    assert (first.base, second.base) == ("E00", "E01")
    assert first.log_path == first.system_path == "C:\\Program Files\\Exchsrvr\\mdbdata"
    assert second.log_path == "C:\\Program Files\\Exchsrvr\\H"
    assert first.log_size == PROFILES[topology.server.profile].log_size == 5 * 1024 * 1024
    assert first.stores[0].edb == "C:\\Program Files\\Exchsrvr\\mdbdata\\S.edb"
    assert first.stores[0].stm == "C:\\Program Files\\Exchsrvr\\mdbdata\\S.stm"
    assert second.stores[0].stm == "E:\\x\\t.stm"


def test_common_workload_goes_to_groups_that_do_not_say_otherwise() -> None:
    topology = load_topology(
        f"[workload]\nmessages = 5\nfolders = 2\n{GROUP}{STORE}"
        '[[group]]\nname = "H"\n[group.workload]\nmessages = 9\n'
    )
    first, second = (group.workload for group in topology.groups)
    assert (first.messages, first.folders) == (5, 2)
    assert (second.messages, second.folders) == (9, 2)


@pytest.mark.parametrize(
    ("value", "size"),
    [(0, 0), (512, 512), ("64 KiB", 65536), ("64kib", 65536), (" 1 MiB ", 1 << 20), ("7 B", 7)],
)
def test_sizes(value: object, size: int) -> None:
    assert parse_size(value) == size


@pytest.mark.parametrize("value", [-1, True, 1.5, "", "KiB", "1 KB", "1.5 MiB", "-1 KiB", None])
def test_no_sizes(value: object) -> None:
    with pytest.raises(ValueError, match="is no size"):
        parse_size(value)


@pytest.mark.parametrize(
    ("text", "key", "remedy"),
    [
        ("[server\n", "not valid TOML", "line 1"),
        ("colour = 1\n", "colour: unknown key", "known here: server, service, group, workload"),
        ('[server]\nnam = "X"\n', "server.nam: unknown key", "did you mean name?"),
        (f"{GROUP}logsize = 1\n", "group[0].logsize: unknown key", "did you mean log_size?"),
        (f"{GROUP}{STORE}mount = true\n", "group[0].store[0].mount", "did you mean mounted?"),
        ("[workload]\nmesages = 1\n", "workload.mesages", "did you mean messages?"),
        (f"{GROUP}[group.workload]\nsteps = 1\n", "group[0].workload.steps", "known here"),
        ("[server]\nname = 5\n", "server.name: must be a text in quotes", "whole number (5)"),
        ('[server]\nseed = "1"\n', "server.seed: must be a whole number", "text in quotes"),
        ("[server]\nseed = true\n", "server.seed: must be a whole number", "true or false"),
        ("[server]\nicons = 1\n", "server.icons: must be true or false", "whole number"),
        ('[server]\nneighbours = "AB"\n', "server.neighbours: must be a list", "text in quotes"),
        ("[server]\nneighbours = [1]\n", "server.neighbours: must be a text", "whole number"),
        ("server = 1\n", "server: must be a table", "whole number"),
        ("[group]\n", "group: there may be several", "write [[group]]"),
        (f"{GROUP}[group.store]\n", "group[0].store: there may be several", "[[group.store]]"),
        ("service = 1\n", "service: there may be several", "write [[service]]"),
        ("workload = 1\n", "workload: must be a table", "write [workload]"),
        ("[[group]]\n", "group[0].name: is missing", "needs it"),
        (f'{GROUP}log_size = "1 KB"\n', "group[0].log_size", '"64 KiB"'),
        (f"{GROUP}log_size = 5000\n", "group[0].log_size", "a multiple of 4096"),
        (f"{GROUP}log_size = 4096\n", "group[0].log_size", "32768 or more"),
        (f'{GROUP}base = "R00"\n', "group[0].base", "E00 to EFF"),
        ('[[group]]\nname = " "\n', "group[0].name", "visible characters"),
        (f'{GROUP}[[group.store]]\nname = "a\\u0007"\n', "group[0].store[0].name", "visible"),
        (f"{GROUP}{GROUP.replace('G', 'g')}", "group[1].name", "used by group[0].name"),
        (f'{GROUP}base = "E01"\n[[group]]\nname = "H"\n', "group[1].base", "group[0].base"),
        (f"{GROUP}{STORE}{STORE.replace('S', 's')}", "group[0].store[1].name", "choose another"),
        (f"{GROUP}{STORE}edb = 'priv.edb'\n", "group[0].store[0].edb", "write a full path"),
        (f"{GROUP}{STORE}edb = 'C:\\..\\p.edb'\n", "group[0].store[0].edb", "full path"),
        (f"{GROUP}{STORE}edb = '\\\\srv\\p.edb'\n", "group[0].store[0].edb", "full path"),
        (f"{GROUP}{STORE}edb = 'C:\\NUL.edb'\n", "group[0].store[0].edb", "device"),
        (f"{GROUP}{STORE}edb = 'C:\\p.mdb'\n", "group[0].store[0].edb", "must end in .edb"),
        (f"{GROUP}{STORE}stm = 'C:\\p.edb'\n", "group[0].store[0].stm", "must end in .stm"),
        (f'{GROUP}{STORE}icon = "cat"\n', "group[0].store[0].icon", "mailbox or public"),
        (f"{GROUP}log_path = 'mdbdata'\n", "group[0].log_path", "full path"),
        (f"{GROUP}log_path = 'L:\\'\n", "group[0].log_path", "name a folder on it"),
        (
            f"{GROUP}log_path = 'C:\\{'d' * 200}\\{'e' * 50}'\n",
            "group[0].log_path",
            "more than 259 characters",
        ),
        (
            f"{GROUP}log_path = 'C:\\l'\n[[group]]\nname = \"H\"\nlog_path = 'c:\\L\\'\n",
            "group[1].log_path",
            "already used by group[0].log_path",
        ),
        (
            f'{GROUP}{STORE}[[group]]\nname = "H"\n[[group.store]]\nname = "S"\n'
            "edb = 'c:/PROGRAM FILES/exchsrvr/mdbdata/s.edb'\n",
            "group[1].store[0].edb",
            "already used by group[0].store[0].edb",
        ),
        ('[server]\nname = "A_B"\n', "server.name", "1 to 15 letters"),
        ('[server]\nname = "ABCDEFGHIJKLMNOP"\n', "server.name", "1 to 15 letters"),
        ('[server]\nneighbours = ["exchsrv1"]\n', "server.neighbours[0]", "used by server.name"),
        ('[server]\norganization = ""\n', "server.organization", "node tree"),
        ('[server]\nprofile = "5.5"\n', "server.profile", "exchange-2003-sp1"),
        ('[[service]]\nannotation = "IS"\n', "service[0].annotation", "exactly one of"),
        ('[[service]]\nflags = ["restore"]\n', "service[0].flags", "online_restore"),
        ("[[service]]\n[[service]]\n", "service[1].annotation", "already used"),
        (
            f'{GROUP}[[service]]\nannotation = "Microsoft Key Management Service"\n',
            "service: storage groups need",
            "add it",
        ),
        ("[workload]\nfolders = 0\n[[group]]\nname='G'\n", "workload.folders", "use 1 to"),
        (f"{GROUP}[group.workload]\nsteps_per_call = -1\n", "steps_per_call", "use 0 to"),
        (f"{GROUP}[group.workload]\nrollback_percent = 101\n", "rollback_percent", "0 to 100"),
    ],
)
def test_a_mistake_names_its_key_and_what_to_do(text: str, key: str, remedy: str) -> None:
    with pytest.raises(TopologyError) as caught:
        load_topology(text)
    message = str(caught.value)
    assert key in message
    assert remedy in message
    assert "\n" not in message


def test_several_mistakes_are_counted() -> None:
    with pytest.raises(TopologyError, match=r"\(and 1 more\)"):
        load_topology("[server]\nname = 1\nseed = false\n")


def test_limits_of_the_version() -> None:
    assert len(completed(small_topology(groups=4, stores=5)).groups) == 4
    with pytest.raises(TopologyError, match=r"^group: 5 storage groups.*at most 4; remove 1"):
        completed(small_topology(groups=5))
    with pytest.raises(TopologyError, match=r"^group\[0\]\.store: 6 stores.*at most 5; move"):
        completed(small_topology(stores=6))


def test_topologies_from_code_are_checked_alike() -> None:
    group = GroupSpec("G", (StoreSpec("S", edb="S.edb"),))
    with pytest.raises(TopologyError, match=r"^group\[0\]\.store\[0\]\.edb"):
        completed(Topology(groups=(group,)))
    with pytest.raises(TopologyError, match=r"^service\[0\]\.annotation"):
        completed(Topology(services=(ServiceSpec("X"),)))


def test_a_server_without_groups_is_one() -> None:
    assert completed(Topology()).groups == ()


def test_separate_system_path_is_kept() -> None:
    group = GroupSpec("G", log_path="L:\\logs\\", system_path="S:\\sys")
    (complete,) = completed(Topology(groups=(group,))).groups
    assert (complete.log_path, complete.system_path) == ("L:\\logs", "S:\\sys")
    shared = evolve(group, name="H", log_path="S:\\SYS", system_path="T:\\t")
    with pytest.raises(TopologyError, match=r"group\[1\]\.log_path.*group\[0\]\.system_path"):
        completed(Topology(groups=(group, shared)))


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "t.toml"
    path.write_text("[server]\nseed = 42\n", "utf-8")
    assert load_topology(path).server.seed == 42
    assert load_topology(str(path)).server.seed == 42
    path.write_text("[server]\nseed = x\n", "utf-8")
    with pytest.raises(TopologyError, match=r"t\.toml: not valid TOML"):
        load_topology(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(TopologyError, match="not UTF-8"):
        load_topology(path)
    with pytest.raises(TopologyError, match="no such file; give a TOML file or one of demo, min"):
        load_topology(tmp_path / "nothing.toml")
    with pytest.raises(TopologyError, match="cannot be read"):
        load_topology(tmp_path)
