"""Hard recovery: the logs above the set, and what a restore leaves behind."""

from __future__ import annotations

import pytest
from attrs import evolve

from eseback.constants import BackupType
from eseback.errors import JetErr
from eseback.formats.dbheader import DatabaseHeader, DbState
from eseback.formats.fields import NO_BACKUP, LogTime, Signature
from esesim.engine.errors import JetError
from esesim.engine.inspect import check_file, database_rows
from esesim.volume import Volume
from tests.support.engine import FOLDER, Rig
from tests.support.files import all_files, change_log, content, damage, delete, put
from tests.support.mail import EMPTY, insert, message
from tests.support.scene import SLEEPING, Scene, make_scene

PAGE = 4096
FOREIGN = Signature(4711, LogTime.from_unix(1_000_000_000))


@pytest.fixture(scope="module")
def scene() -> Scene:
    return make_scene()


# -- logs after the set


def with_later_logs(scene: Scene) -> Volume:
    """The full set with the logs that the incremental one added."""
    return scene.rig.lay_out([evolve(scene.incremental, databases=()), scene.full])


def later(scene: Scene) -> list[int]:
    return [g for g in scene.incremental.generations if g > scene.full.generations[-1]]


def test_logs_above_the_set_are_played_forward(scene: Scene) -> None:
    recovered = scene.recover(with_later_logs(scene))
    assert recovered.report.generation_last == scene.incremental.generations[-1]
    assert recovered.rows() == scene.rows_incremental


def test_current_log_is_played_forward_too() -> None:
    rig = Rig(config=SLEEPING).create()
    rig.work(60)
    full = rig.back_up()
    rig.work(60)
    rig.workload.settle()
    expected = database_rows(rig.database())
    volume = rig.lay_out([full])
    # The folder of the server as a crash leaves it: closed logs and the one that was written.
    for name, data in all_files(rig.volume, FOLDER).items():
        if name.startswith("E00") and name.endswith(".log"):
            put(volume, f"{FOLDER}\\{name}", data)
    recovered = rig.recover([full], volume=volume)
    assert recovered.report.generation_last == rig.instance.log.generation
    assert recovered.rows() == expected
    assert recovered.report.counts.undone_transactions == 0
    # And the stream goes on behind it.
    restarted = Rig(volume=recovered.volume, config=SLEEPING)
    restarted.instance.attach(rig.edb(), rig.stm())
    assert database_rows(restarted.database()) == expected


@pytest.mark.parametrize("victim", ["closed", "before current"])
def test_gap_after_the_set(scene: Scene, victim: str) -> None:
    volume = with_later_logs(scene)
    last = later(scene)[-1]
    if victim == "closed":
        delete(volume, scene.log(last - 1))
        missing = last - 1
    else:
        volume.rename(f"C/mdbdata/E00{last:05X}.log", "C/mdbdata/E00.log")
        delete(volume, scene.log(last - 1))
        missing = last - 1
    error = scene.refused(volume)
    assert error.err == JetErr.MISSING_CURRENT_LOG_FILES
    assert str(missing) in error.detail


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"sign_log": FOREIGN}, JetErr.EXISTING_LOG_FILE_HAS_BAD_SIGNATURE),
        (
            {"previous_created": LogTime.from_unix(1_000_000_000)},
            JetErr.EXISTING_LOG_FILE_IS_NOT_CONTIGUOUS,
        ),
    ],
)
@pytest.mark.parametrize("current", [False, True])
def test_log_after_the_set_that_does_not_follow(
    scene: Scene, change: dict[str, object], expected: JetErr, current: bool
) -> None:
    volume = with_later_logs(scene)
    path = scene.log(later(scene)[-1])
    change_log(volume, path, **change)
    if current:
        put(volume, f"{FOLDER}\\E00.log", content(volume, path))
        delete(volume, path)
    assert scene.refused(volume).err == expected


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        (PAGE + 40, JetErr.LOG_CORRUPT_DURING_HARD_RECOVERY),
        (-3, JetErr.LOG_TORN_WRITE_DURING_HARD_RECOVERY),
    ],
)
def test_damage_after_the_set(scene: Scene, place: int, expected: JetErr) -> None:
    volume = with_later_logs(scene)
    path = scene.log(later(scene)[-1])
    end = len(content(volume, path).rstrip(b"\0"))
    damage(volume, path, place if place > 0 else end + place)
    before = content(volume, scene.edb)
    assert scene.refused(volume).err == expected
    assert content(volume, scene.edb) == before, "the image can still be restored without that log"


def test_older_current_log_is_not_overwritten(scene: Scene) -> None:
    volume = scene.lay_out()
    stale = content(volume, scene.log(scene.middle))
    put(volume, f"{FOLDER}\\E00.log", stale)
    error = scene.refused(volume)
    assert error.err == JetErr.EXISTING_LOG_FILE_IS_NOT_CONTIGUOUS
    assert content(volume, scene.log(scene.full.generations[-1])) == scene.full.logs[-1].data


# -- what a restore leaves behind


def test_recovered_database_is_clean_and_knows_no_backup(scene: Scene) -> None:
    image = DatabaseHeader.unpack(scene.full.databases[0].data[:PAGE])
    assert NO_BACKUP not in (
        image.bkinfo_full_prev,
        image.bkinfo_full_cur,
        image.bkinfo_inc_prev,
    )
    recovered = scene.recover(scene.lay_out())
    for copy in range(2):
        page = content(recovered.volume, scene.edb)[copy * PAGE : (copy + 1) * PAGE]
        header = DatabaseHeader.unpack(page)
        assert header.state == DbState.CLEAN_SHUTDOWN
        assert (header.gen_min_required, header.gen_max_required) == (0, 0)
        for bkinfo in (
            header.bkinfo_full_prev,
            header.bkinfo_full_cur,
            header.bkinfo_inc_prev,
            header.bkinfo_snapshot_cur,
        ):
            assert bkinfo == NO_BACKUP
        assert header.lgpos_consistent == header.lgpos_detach
        assert header.lgpos_consistent.generation > scene.full.generations[-1]
        assert header.sign_db == scene.rig.database().header.sign_db


def test_first_backup_after_a_restore_must_be_a_full_one(scene: Scene) -> None:
    recovered = scene.recover(scene.lay_out())
    restarted = Rig(volume=recovered.volume, config=SLEEPING)
    restarted.instance.attach(scene.edb, scene.stm)
    with pytest.raises(JetError) as refused:
        restarted.instance.backup.begin(BackupType.LOGS_ONLY)
    assert refused.value.err == JetErr.MISSING_FULL_BACKUP
    first = restarted.back_up()
    assert restarted.recover([first]).rows() == scene.rows_full
    assert restarted.back_up(BackupType.LOGS_ONLY).logs


def test_restore_of_a_restore(scene: Scene) -> None:
    """Work goes on after a restore, in the stream that the restore went on with."""
    recovered = scene.recover(scene.lay_out())
    restarted = Rig(volume=recovered.volume, config=SLEEPING, spec=EMPTY)
    restarted.instance.attach(scene.edb, scene.stm)
    insert(restarted, [message(-5, "after the restore")])
    expected = database_rows(restarted.database())
    assert len(expected["Msg"]) == len(scene.rows_full["Msg"]) + 1
    saved = restarted.back_up()
    assert restarted.recover([saved]).rows() == expected


# -- databases that come and go within the logs


def test_databases_whose_numbers_changed_between_the_sets() -> None:
    rig = Rig(names=("priv1", "pub1"), spec=EMPTY, config=SLEEPING).create()
    insert(rig, [message(1)], "priv1")
    insert(rig, [message(2)], "pub1")
    full = rig.back_up()
    insert(rig, [message(3)], "priv1")
    for name in rig.names:
        rig.instance.detach(rig.edb(name))
    rig.instance.attach(rig.edb("pub1"), rig.stm("pub1"))
    assert rig.database("pub1").dbid == 1, "the number that priv1 had"
    insert(rig, [message(4)], "pub1")
    incremental = rig.back_up(BackupType.LOGS_ONLY)
    recovered = rig.recover([full, incremental])
    for name, numbers in (("priv1", {1, 3}), ("pub1", {2, 4})):
        assert {row["Id"] for row in recovered.rows(name)["Msg"].values()} == numbers
        assert check_file(recovered.volume, *recovered.paths(name)) == []
        header = DatabaseHeader.unpack(content(recovered.volume, rig.edb(name))[:PAGE])
        assert header.state == DbState.CLEAN_SHUTDOWN


def test_logs_of_a_database_that_had_the_name_before_are_not_for_this_one() -> None:
    rig = Rig(names=("priv1", "pub1"), spec=EMPTY, config=SLEEPING).create()
    insert(rig, [message(1)], "pub1")  # holds the checkpoint back: all logs stay in the set
    insert(rig, (message(number, "of the first") for number in range(1, 200)))
    rig.instance.detach(rig.edb())
    for path in (rig.edb(), rig.stm()):
        assert path is not None
        delete(rig.volume, path)
    rig.instance.create_database(rig.edb(), rig.stm())
    insert(rig, (message(number, "of the second") for number in range(500, 600)))
    expected = {name: database_rows(rig.database(name)) for name in rig.names}
    saved = rig.back_up()
    assert saved.generations[0] == 1, "the logs of the first database are in the set"
    recovered = rig.recover([saved])
    for name in rig.names:
        assert recovered.rows(name) == expected[name]
