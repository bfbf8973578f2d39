"""What is restored from which set, and what is refused before a server is asked for anything."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from attrs import evolve

from esebcli.errors import RestoreRefused, SetError, UserError
from esebcli.manifest import Kind, Manifest, State
from esebcli.restorechoice import choose_sets
from esebcli.restoreplan import GroupPlan, pick_logs, plan_restore
from esebcli.verify import verify_sets
from tests.esebcli.support_fake import Store
from tests.esebcli.support_files import LogStream
from tests.esebcli.support_jobs import back_up, flip, rehash, rewrite_manifest
from tests.esebcli.support_restore import RestoringServer

FIRST, SECOND = "First Storage Group", "Second"


def plan(
    *sets: Path,
    groups: tuple[str, ...] = (FIRST,),
    databases: tuple[str, ...] = (),
    last: Path | None = None,
) -> GroupPlan:
    """The plan of the first group."""
    return plans(*sets, groups=groups, databases=databases, last=last)[0]


def plans(
    *sets: Path,
    groups: tuple[str, ...] = (),
    databases: tuple[str, ...] = (),
    last: Path | None = None,
) -> tuple[GroupPlan, ...]:
    choice = choose_sets(sets, groups, last)
    return plan_restore(choice, verify_sets([s.folder for s in choice.sets]), databases)


def taken(of: GroupPlan) -> dict[str, list[str]]:
    """The names of the files that are taken from each set, in order."""
    return {
        stage.opened.folder.name: [
            file.name
            for files in (*(d.files for d in stage.databases), stage.others)
            for file in files
        ]
        for stage in of.stages
    }


@pytest.fixture
def chain(restorer: RestoringServer, tmp_path: Path) -> dict[str, Path]:
    """full, inc1, inc2, diff: logs 4 to 6, 4 to 11, 9 to 16, 14 to 21."""
    kinds = {
        "full": Kind.FULL,
        "inc1": Kind.INCREMENTAL,
        "inc2": Kind.INCREMENTAL,
        "diff": Kind.DIFFERENTIAL,
    }
    previous = None
    folders = {}
    for name, kind in kinds.items():
        folder = tmp_path / name
        assert back_up(restorer, folder, kind, previous=previous).ok
        folders[name] = previous = folder
        for group in restorer.groups:
            group.work(4)
    return folders


IMAGES = ["priv1.edb", "priv1.stm", "pub1.edb", "pub1.stm"]


def log(*generations: int, base: str = "E00") -> list[str]:
    return [f"{base}{generation:05X}.log" for generation in generations]


def test_a_full_alone(chain: dict[str, Path]) -> None:
    found = plan(chain["full"])
    assert taken(found) == {"full": [*IMAGES, *log(4, 5, 6)]}
    assert (found.group, found.base_name, found.low, found.high) == (FIRST, "E00", 4, 6)
    assert found.warnings == ()
    assert found.size == sum(stage.size for stage in found.stages) > 0


def test_a_chain_takes_each_log_once_and_the_full_first(chain: dict[str, Path]) -> None:
    found = plan(*reversed(chain.values()))
    assert list(taken(found)) == ["full", "inc1", "inc2", "diff"]
    assert taken(found)["full"][:4] == IMAGES
    logs = [name for names in taken(found).values() for name in names if name.endswith(".log")]
    assert logs == log(*range(4, found.high + 1))
    # Sets overlap: what the full holds is not taken from the incremental again.
    assert "E0000006.log" in {p.name for p in (chain["inc1"] / FIRST).iterdir()}
    assert "E0000006.log" not in taken(found)["inc1"]


def test_only_the_last_differential_is_needed(restorer: RestoringServer, tmp_path: Path) -> None:
    full = tmp_path / "full"
    back_up(restorer, full)
    sets = [full]
    for number in (1, 2, 3):
        restorer.groups[0].work(2)
        sets.append(tmp_path / f"diff{number}")
        back_up(restorer, sets[-1], Kind.DIFFERENTIAL, (FIRST,), previous=full)
    found = plan(*sets)
    assert list(taken(found)) == ["full", "diff3"]
    assert found.high == 15


def test_to_an_earlier_set(chain: dict[str, Path]) -> None:
    found = plan(*chain.values(), last=chain["inc1"])
    assert list(taken(found)) == ["full", "inc1"] and found.high == 11
    # What comes after it is not even read.
    shutil.rmtree(chain["diff"] / FIRST)
    assert plan(*chain.values(), last=chain["inc1"]) == found
    with pytest.raises(RestoreRefused, match=r"diff: folder .* is missing"):
        plan(*chain.values())


def test_a_full_that_is_too_new_is_passed_over(
    restorer: RestoringServer, chain: dict[str, Path], tmp_path: Path
) -> None:
    last, newer = tmp_path / "inc3", tmp_path / "full2"
    back_up(restorer, last, Kind.INCREMENTAL, previous=chain["inc2"])
    back_up(restorer, newer)
    sets = (*chain.values(), last, newer)
    assert list(taken(plan(*sets))) == ["full2"]
    assert list(taken(plan(*sets, last=last))) == ["full", "inc1", "inc2", "inc3"]
    with pytest.raises(RestoreRefused, match="needs log 27, which is too new"):
        plan(last, newer, last=last)


def test_one_database(chain: dict[str, Path]) -> None:
    found = plan(*chain.values(), databases=("store PUB1",))
    assert taken(found)["full"] == ["pub1.edb", "pub1.stm", *log(4, 5, 6)]
    assert [d.saved.display_name for d in found.databases] == ["Store pub1"]
    by_guid = plan(*chain.values(), databases=("{00000000-0000-0000-0000-000000000002}",))
    assert by_guid == found


def test_a_database_is_worth_restoring_although_the_other_one_is_damaged(
    chain: dict[str, Path],
) -> None:
    flip(chain["full"] / FIRST / "priv1.edb", 9000)
    with pytest.raises(RestoreRefused, match=r"Store priv1: not restorable"):
        plan(*chain.values())
    found = plan(*chain.values(), databases=("Store pub1",))
    assert taken(found)["full"][0] == "pub1.edb"
    assert any("priv1.edb" in warning for warning in found.warnings)


def test_images_out_of_two_partial_fulls(restorer: RestoringServer, tmp_path: Path) -> None:
    from esebcli.job import BackupJob, BackupRequest

    for number, name in enumerate(("Store priv1", "Store pub1")):
        request = BackupRequest(
            "EXCH1", [FIRST], Kind.FULL, tmp_path / f"part{number}", databases=[name]
        )
        assert BackupJob(lambda: restorer.api, request).run().ok
        restorer.groups[0].work(1)
    found = plan(tmp_path / "part1", tmp_path / "part0")
    assert [d.saved.display_name for d in found.databases] == ["Store priv1", "Store pub1"]
    assert list(taken(found)) == ["part0", "part1"]
    assert found.low == 4, "the older image needs the older logs"


def test_a_damaged_log_that_another_set_holds_is_taken_from_there(chain: dict[str, Path]) -> None:
    flip(chain["inc1"] / FIRST / "E0000006.log", 5000)
    found = plan(*chain.values())
    assert "E0000006.log" in taken(found)["full"]
    assert len(found.warnings) == 1
    assert found.warnings[0].startswith("inc1 is damaged, but not where it matters: E0000006.log")
    flip(chain["full"] / FIRST / "E0000006.log", 5000)
    with pytest.raises(RestoreRefused, match=r"log 6 in (inc1|full) is damaged"):
        plan(*chain.values())


# --- refusals


def _without(name: str) -> Callable[[dict[str, Path]], None]:
    def change(chain: dict[str, Path]) -> None:
        del chain[name]

    return change


def _flipped(of_set: str, file: str, offset: int) -> Callable[[dict[str, Path]], None]:
    return lambda chain: flip(chain[of_set] / FIRST / file, offset)


def _deleted(of_set: str, file: str) -> Callable[[dict[str, Path]], None]:
    return lambda chain: (chain[of_set] / FIRST / file).unlink()


def _incomplete(chain: dict[str, Path]) -> None:
    rewrite_manifest(
        chain["inc2"],
        lambda m: evolve(
            m,
            groups=tuple(
                evolve(group, state=State.INCOMPLETE, logs=None, error="disk full")
                for group in m.groups
            ),
        ),
    )


def _rehashed(chain: dict[str, Path]) -> None:
    """Two sets hold different files of one log, each with a good hash."""
    path = chain["inc1"] / FIRST / "E0000006.log"
    data = bytearray(path.read_bytes())
    other = LogStream.numbered(1).log(6, records=5)
    data[4096:] = other[4096:]
    path.write_bytes(data)
    rehash(chain["inc1"])


DAMAGE: dict[str, tuple[Callable[[dict[str, Path]], None], str]] = {
    "no full": (_without("full"), "none of the sets holds a database of this group"),
    "hole": (_without("inc1"), r"logs? .* in none of the sets: inc2 \(incremental\) starts"),
    "hole at the end": (_without("inc2"), r"in none of the sets: diff \(differential\) starts"),
    "page": (_flipped("full", "priv1.edb", 9000), "not restorable.*damaged"),
    "header": (_flipped("full", "pub1.edb", 100), "not restorable.*damaged"),
    "streaming": (_flipped("full", "pub1.stm", 100), "not restorable.*damaged"),
    "log": (_flipped("inc2", "E000000C.log", 5000), "log 12 in inc2 is damaged or missing"),
    "image gone": (_deleted("full", "priv1.edb"), "not restorable"),
    "log gone": (_deleted("inc1", "E0000007.log"), "log 7 in inc1 is damaged or missing"),
    "incomplete": (_incomplete, r"inc2 is incomplete .* \(disk full\); leave it out"),
    "twins": (_rehashed, "log 6 in inc1 is not the one in full"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_what_is_refused(chain: dict[str, Path], name: str) -> None:
    change, reason = DAMAGE[name]
    change(chain)
    with pytest.raises(RestoreRefused, match=reason):
        plan(*chain.values())


def test_sets_of_two_servers(chain: dict[str, Path]) -> None:
    rewrite_manifest(chain["inc1"], lambda m: evolve(m, server="EXCH2"))
    with pytest.raises(RestoreRefused, match=r"not of one server: .*full is of .* on EXCH1"):
        plan(*chain.values())


def test_sets_of_two_streams(
    restorer: RestoringServer, chain: dict[str, Path], tmp_path: Path
) -> None:
    """The group was restored in between: which of the two is wanted, only the user knows."""
    group = restorer.groups[0]
    group.stream = LogStream.numbered(9)
    group.logs = {g: group.stream.log(g) for g in group.logs}
    back_up(restorer, tmp_path / "anew", groups=(FIRST,))
    with pytest.raises(RestoreRefused, match="are of different log streams"):
        plan(*chain.values(), tmp_path / "anew")
    assert list(taken(plan(tmp_path / "anew"))) == ["anew"]


def test_sets_of_two_groups(restorer: RestoringServer, tmp_path: Path) -> None:
    for name, group in (("one", FIRST), ("two", SECOND)):
        back_up(restorer, tmp_path / name, groups=(group,))
    back_up(restorer, tmp_path / "inc", Kind.INCREMENTAL, (SECOND,), previous=tmp_path / "two")
    # Together they are two chains.
    both = plans(tmp_path / "one", tmp_path / "inc", tmp_path / "two")
    assert [(found.group, list(taken(found))) for found in both] == [
        (FIRST, ["one"]),
        (SECOND, ["two", "inc"]),
    ]
    with pytest.raises(RestoreRefused, match="inc holds nothing of 'First Storage Group'"):
        plan(tmp_path / "one", tmp_path / "inc", groups=(FIRST,))
    with pytest.raises(RestoreRefused, match="'Second' can't be restored"):
        plans(tmp_path / "one", tmp_path / "inc")


def test_a_manifest_that_can_not_be_read(chain: dict[str, Path]) -> None:
    (chain["inc1"] / "manifest.json").write_text("{}")
    with pytest.raises(SetError, match=r"manifest.json can't be used"):
        plan(*chain.values())


@pytest.mark.parametrize(
    ("groups", "databases", "message"),
    [
        (("Third",), (), "none of the sets holds storage group 'Third'"),
        ((FIRST, FIRST), (), "a storage group is named twice"),
        ((FIRST,), ("Store x",), r"know no database 'Store x'.*'Store priv1', 'Store pub1'"),
        ((FIRST,), ("Store pub1", "STORE PUB1"), "a database is named twice"),
    ],
)
def test_wrong_use(
    chain: dict[str, Path], groups: tuple[str, ...], databases: tuple[str, ...], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        plan(*chain.values(), groups=groups, databases=databases)


def test_wrong_sets(chain: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="name at least one set"):
        plan()
    with pytest.raises(UserError, match="a set is named twice"):
        plan(chain["full"], tmp_path / "x" / ".." / "full")
    with pytest.raises(UserError, match="none of the sets"):
        plan(chain["full"], last=chain["inc1"])


def test_a_database_that_was_not_mounted_is_told(restorer: RestoringServer, tmp_path: Path) -> None:
    group = restorer.groups[0]
    group.stores = (group.stores[0], evolve(group.stores[1], mounted=False))
    back_up(restorer, tmp_path / "full", groups=(FIRST,))
    found = plan(tmp_path / "full")
    assert [d.saved.display_name for d in found.databases] == ["Store priv1"]
    assert found.warnings == (
        "database 'Store pub1' is not restored: no set holds a usable image of it (it was not "
        "mounted when full was made)",
    )
    with pytest.raises(RestoreRefused, match="it was not mounted when full was made"):
        plan(tmp_path / "full", databases=("Store pub1",))


def test_sets_in_folders_of_the_same_name(restorer: RestoringServer, tmp_path: Path) -> None:
    """Monday/set, Tuesday/set: each file comes from where it is."""
    monday, tuesday = tmp_path / "monday" / "set", tmp_path / "tuesday" / "set"
    back_up(restorer, monday)
    restorer.groups[0].work(2)
    back_up(restorer, tuesday, Kind.INCREMENTAL, (FIRST,), previous=monday)
    found = plan(tuesday, monday)
    assert [stage.opened.folder for stage in found.stages] == [monday, tuesday]
    assert [len(stage.others) for stage in found.stages] == [3, 3]


def test_picking_logs() -> None:
    held = {"full": {3, 4, 5, 6}, "d1": {5, 6, 7, 8}, "d2": {5, 6, 7, 8, 9, 10}, "i": {7, 9, 10}}
    assert pick_logs(held, {"full"}, 4, 10) == {"full": [4, 5, 6], "d2": [7, 8, 9, 10]}
    del held["d2"]
    assert pick_logs(held, {"full"}, 4, 10) == {"full": [4, 5, 6], "d1": [7, 8], "i": [9, 10]}
    assert pick_logs(held, (), 7, 7) == {"d1": [7]}


def test_stores_of_two_files_and_of_one(restorer: RestoringServer, tmp_path: Path) -> None:
    group = restorer.groups[0]
    group.stores = (Store("priv1", 1, has_streaming=False), Store("pub1", 2))
    back_up(restorer, tmp_path / "full", groups=(FIRST,))
    assert taken(plan(tmp_path / "full"))["full"][:3] == ["priv1.edb", "pub1.edb", "pub1.stm"]


def test_a_set_without_a_group(chain: dict[str, Path]) -> None:
    rewrite_manifest(chain["inc1"], lambda m: evolve(m, groups=()))
    with pytest.raises(SetError, match="inc1 holds no storage group"):
        plan(*chain.values())


def test_an_end_that_is_of_another_group(restorer: RestoringServer, tmp_path: Path) -> None:
    for name, group in (("one", FIRST), ("two", SECOND)):
        back_up(restorer, tmp_path / name, groups=(group,))
    sets = tmp_path / "one", tmp_path / "two"
    with pytest.raises(RestoreRefused, match=r"two, which .* does not hold .* 'First Storage"):
        plans(*sets, last=sets[1])


def test_a_log_under_two_names(chain: dict[str, Path]) -> None:
    """With five and with eight digits: which one is restored would be a matter of luck."""
    full = chain["full"]
    (full / FIRST / "E0000000005.log").write_bytes((full / FIRST / "E0000005.log").read_bytes())

    def double(manifest: Manifest) -> Manifest:
        (group, *others) = manifest.groups
        file = next(file for file in group.files if file.name == "E0000005.log")
        twin = evolve(file, name="E0000000005.log", original_name="C:\\x\\E0000000005.log")
        return evolve(manifest, groups=(evolve(group, files=(*group.files, twin)), *others))

    rewrite_manifest(full, double)
    with pytest.raises(RestoreRefused, match="full holds a log more than once"):
        plan(*chain.values())


def test_two_databases_of_one_name(restorer: RestoringServer, tmp_path: Path) -> None:
    group = restorer.groups[0]
    group.stores = (Store("same", 1), Store("same", 2, folder="D:\\"))
    back_up(restorer, tmp_path / "full", groups=(FIRST,))
    with pytest.raises(UserError, match="several databases 'Store same': name one by its GUID"):
        plan(tmp_path / "full", databases=("Store same",))
    (database,) = plan(tmp_path / "full", databases=(str(uuid.UUID(int=2)),)).databases
    assert database.saved.original_names[0] == "D:\\same.edb"


def test_names_of_logs_are_those_of_logs(chain: dict[str, Path]) -> None:
    """What a manifest says of a log's name becomes part of a path on the server."""

    def rename(manifest: Manifest) -> Manifest:
        (group, *others) = manifest.groups
        files = tuple(
            evolve(file, original_name="C:\\x\\..") if file.name == "E0000005.log" else file
            for file in group.files
        )
        return evolve(manifest, groups=(evolve(group, files=files), *others))

    rewrite_manifest(chain["full"], rename)
    with pytest.raises(RestoreRefused, match=r"E0000005.log can't be restored by the name '\.\.'"):
        plan(chain["full"])
