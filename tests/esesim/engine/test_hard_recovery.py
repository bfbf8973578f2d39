"""Hard recovery: what it refuses, and what it leaves behind when it succeeds.

The sets are made by a quiet server, so that each test can spoil one thing and know the outcome.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from attrs import evolve, frozen

from eseback.constants import BackupType
from eseback.errors import JetErr
from eseback.formats.dbheader import DatabaseHeader, DbState
from eseback.formats.fields import NO_BACKUP, LogTime, Signature
from eseback.formats.logheader import LogHeader
from esesim.engine.errors import JetError
from esesim.engine.inspect import check_file, database_rows
from esesim.engine.page import Page
from esesim.journal import Rows
from esesim.volume import Volume
from tests.support.engine import CONFIG, FOLDER, Recovered, Rig, SavedSet
from tests.support.files import all_files, content, damage, delete, overwrite, put
from tests.support.mail import EMPTY, insert, message, messages

PAGE = 4096
SLEEPING = evolve(CONFIG, flush_per_slice=0, checkpoint_lag=1000)
FOREIGN = Signature(4711, LogTime.from_unix(1_000_000_000))


@frozen
class Scene:
    """A full backup, an incremental one, the logs closed since then, and the rows of each time."""

    rig: Rig
    full: SavedSet
    incremental: SavedSet
    rows_full: Rows
    rows_incremental: Rows

    @property
    def edb(self) -> str:
        return self.rig.edb()

    @property
    def stm(self) -> str:
        stm = self.rig.stm()
        assert stm is not None
        return stm

    def log(self, generation: int) -> str:
        return f"{FOLDER}\\E00{generation:05X}.log"

    @property
    def middle(self) -> int:
        """A generation of the full set with neighbours on both sides."""
        return self.full.generations[2]

    def lay_out(self) -> Volume:
        return self.rig.lay_out([self.full])

    def recover(self, volume: Volume) -> Recovered:
        return self.rig.recover([self.full], volume=volume)

    def refused(self, volume: Volume) -> JetError:
        with pytest.raises(JetError) as refused:
            self.recover(volume)
        return refused.value


@pytest.fixture(scope="module")
def scene() -> Scene:
    rig = Rig(config=SLEEPING).create()
    rig.work(120)
    rig.workload.settle()
    full = rig.back_up(truncate=False)
    rows_full = database_rows(rig.database())
    rig.work(80)
    rig.workload.settle()
    incremental = rig.back_up(truncate=True)
    rows_incremental = database_rows(rig.database())
    assert len(full.logs) >= 5
    return Scene(rig, full, incremental, rows_full, rows_incremental)


def change_log(volume: Volume, path: str, change: Callable[[LogHeader], LogHeader]) -> None:
    """Give a log another header with a right checksum."""
    header = LogHeader.unpack(content(volume, path)[:PAGE])
    overwrite(volume, path, 0, change(header).pack())


def change_header(volume: Volume, path: str, **changes: object) -> None:
    """Give a database or streaming file another header, both copies."""
    header = DatabaseHeader.unpack(content(volume, path)[:PAGE])
    overwrite(volume, path, 0, evolve(header, **changes).pack(PAGE) * 2)


def test_undisturbed_set_recovers(scene: Scene) -> None:
    recovered = scene.recover(scene.lay_out())
    assert recovered.rows() == scene.rows_full
    assert check_file(recovered.volume, *recovered.paths()) == []


# -- logs of the set


def test_missing_log(scene: Scene) -> None:
    volume = scene.lay_out()
    delete(volume, scene.log(scene.middle))
    error = scene.refused(volume)
    assert error.err == JetErr.MISSING_RESTORE_LOG_FILES
    assert f"E00{scene.middle:05X}.log" in error.detail


def test_set_without_logs(scene: Scene) -> None:
    nothing = SavedSet(scene.full.databases, ())
    volume = scene.rig.lay_out([nothing])
    assert scene.refused(volume).err == JetErr.MISSING_RESTORE_LOG_FILES


def test_log_with_a_predecessor_of_another_time(scene: Scene) -> None:
    volume = scene.lay_out()
    other = LogTime.from_unix(1_000_000_000)
    change_log(volume, scene.log(scene.middle), lambda h: evolve(h, previous_created=other))
    error = scene.refused(volume)
    assert error.err == JetErr.GIVEN_LOG_FILE_IS_NOT_CONTIGUOUS
    assert f"E00{scene.middle:05X}.log" in error.detail


def test_log_of_another_stream(scene: Scene) -> None:
    volume = scene.lay_out()
    change_log(volume, scene.log(scene.middle), lambda h: evolve(h, sign_log=FOREIGN))
    error = scene.refused(volume)
    assert error.err == JetErr.GIVEN_LOG_FILE_HAS_BAD_SIGNATURE
    assert f"E00{scene.middle:05X}.log" in error.detail


def test_two_logs_swapped(scene: Scene) -> None:
    volume = scene.lay_out()
    one, two = scene.log(scene.middle), scene.log(scene.middle + 1)
    first, second = content(volume, one), content(volume, two)
    put(volume, one, second)
    put(volume, two, first)
    error = scene.refused(volume)
    assert error.err == JetErr.LOG_GENERATION_MISMATCH
    assert str(scene.middle + 1) in error.detail


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("header", JetErr.LOG_FILE_CORRUPT),
        ("first block", JetErr.LOG_CORRUPT_DURING_HARD_RESTORE),
        ("last block", JetErr.LOG_TORN_WRITE_DURING_HARD_RESTORE),
        ("cut off", JetErr.LOG_CORRUPT_DURING_HARD_RESTORE),
    ],
)
def test_damaged_log(scene: Scene, where: str, expected: JetErr) -> None:
    volume = scene.lay_out()
    path = scene.log(scene.middle)
    data = content(volume, path)
    if where == "cut off":
        put(volume, path, data[:PAGE])
    else:
        last = len(data.rstrip(b"\0")) - 3
        damage(volume, path, {"header": 10, "first block": PAGE + 40, "last block": last}[where])
    error = scene.refused(volume)
    assert error.err == expected
    assert f"E00{scene.middle:05X}.log" in error.detail


def test_last_log_cut_out_of_the_set(scene: Scene) -> None:
    short = evolve(scene.full, logs=scene.full.logs[:-1])
    with pytest.raises(JetError) as refused:
        scene.rig.recover([short])
    assert refused.value.err == JetErr.ENDING_RESTORE_LOG_TOO_LOW
    assert str(scene.full.generations[-1]) in refused.value.detail


def test_first_log_cut_out_of_the_set(scene: Scene) -> None:
    short = evolve(scene.full, logs=scene.full.logs[1:])
    with pytest.raises(JetError) as refused:
        scene.rig.recover([short])
    assert refused.value.err == JetErr.STARTING_RESTORE_LOG_TOO_HIGH
    assert str(scene.full.generations[0]) in refused.value.detail


# -- images


def test_live_file_is_no_image(scene: Scene) -> None:
    volume = scene.lay_out()
    put(volume, scene.edb, content(scene.rig.volume, scene.edb))
    error = scene.refused(volume)
    assert error.err == JetErr.RESTORE_OF_NON_BACKUP_DATABASE
    assert scene.edb in error.detail


def test_clean_file_is_no_image(scene: Scene) -> None:
    volume = scene.lay_out()
    put(volume, scene.edb, content(scene.recover(scene.lay_out()).volume, scene.edb))
    assert scene.refused(volume).err == JetErr.RESTORE_OF_NON_BACKUP_DATABASE


@pytest.mark.parametrize("how", ["damaged", "zero", "cut off"])
def test_bad_trailer(scene: Scene, how: str) -> None:
    volume = scene.lay_out()
    if how == "damaged":
        damage(volume, scene.edb, -PAGE + 50)
    elif how == "zero":
        overwrite(volume, scene.edb, -PAGE, bytes(PAGE))
    else:
        # The client stopped one page short of the end: the last page is not used, all zero.
        put(volume, scene.edb, content(volume, scene.edb)[:-PAGE])
    error = scene.refused(volume)
    assert error.err == JetErr.BAD_PATCH_PAGE
    assert scene.edb in error.detail


def test_trailer_of_another_backup(scene: Scene) -> None:
    volume = scene.lay_out()
    overwrite(volume, scene.edb, -PAGE, scene.incremental.databases[0].data[-PAGE:])
    assert scene.refused(volume).err == JetErr.DATABASE_PATCH_FILE_MISMATCH


def test_trailer_of_another_database(scene: Scene) -> None:
    volume = scene.lay_out()
    change_header(volume, scene.edb, sign_db=FOREIGN)
    assert scene.refused(volume).err == JetErr.DATABASE_PATCH_FILE_MISMATCH


def test_database_of_another_log_stream(scene: Scene) -> None:
    other = Rig(config=SLEEPING, seed=2).create().back_up()
    volume = scene.lay_out()
    put(volume, scene.edb, other.databases[0].data)
    put(volume, scene.stm, other.databases[1].data)
    error = scene.refused(volume)
    assert error.err == JetErr.DATABASE_LOG_SET_MISMATCH
    assert scene.edb in error.detail


def test_size_that_is_no_whole_number_of_pages(scene: Scene) -> None:
    volume = scene.lay_out()
    put(volume, scene.edb, content(volume, scene.edb) + b"x" * 100)
    assert scene.refused(volume).err == JetErr.BAD_BACKUP_DATABASE_SIZE


@pytest.mark.parametrize("copies", [1, 2])
def test_damaged_header(scene: Scene, copies: int) -> None:
    volume = scene.lay_out()
    for copy in range(copies):
        damage(volume, scene.edb, copy * PAGE + 200)
    if copies == 1:
        assert scene.recover(volume).rows() == scene.rows_full, "the copy behind it serves"
    else:
        error = scene.refused(volume)
        assert error.err == JetErr.DATABASE_CORRUPTED


def test_missing_database(scene: Scene) -> None:
    volume = scene.lay_out()
    delete(volume, scene.edb)
    error = scene.refused(volume)
    assert error.err == JetErr.FILE_NOT_FOUND
    assert scene.edb in error.detail


@pytest.mark.parametrize("how", ["missing", "foreign"])
def test_streaming_file_that_does_not_belong(scene: Scene, how: str) -> None:
    volume = scene.lay_out()
    stream = content(volume, scene.stm)
    if how == "missing":
        delete(volume, scene.stm)
    else:
        change_header(volume, scene.stm, sign_slv=FOREIGN)
    error = scene.refused(volume)
    assert error.err == JetErr.DATABASE_STREAMING_FILE_MISMATCH
    assert scene.edb in error.detail or scene.stm in error.detail
    put(volume, scene.stm, stream)
    assert scene.recover(volume).rows() == scene.rows_full, "a refusal has spoilt nothing"


# -- pages that don't fit the logs


def busy_page() -> tuple[Rig, SavedSet, bytes, int]:
    """A backup during which one page changes after it was copied; that page a backup before."""
    rig = Rig(config=SLEEPING, spec=EMPTY).create()
    insert(rig, (message(number) for number in range(1, 6)))
    rig.checkpoint_now()
    pgno = messages(rig.database()).primary.fdp
    place = (pgno + 1) * PAGE
    old = content(rig.volume, rig.edb())[place : place + PAGE]
    insert(rig, [message(6)])
    rig.back_up()
    rig.checkpoint_now()  # message 6 is in no log of the next set
    saved = rig.back_up(before_list=lambda: insert(rig, [message(7)]))
    assert saved.databases[0].data[place : place + PAGE] != old
    return rig, saved, old, place


def test_page_that_is_too_old_for_the_logs() -> None:
    rig, saved, old, place = busy_page()
    volume = rig.lay_out([saved])
    overwrite(volume, rig.edb(), place, old)
    with pytest.raises(JetError) as refused:
        rig.recover([saved], volume=volume)
    assert refused.value.err == JetErr.DB_TIME_TOO_OLD
    assert f"page {place // PAGE - 1} " in refused.value.detail
    # The page as the backup has it fits.
    assert len(rig.recover([saved]).rows()["Msg"]) == 7


def test_page_that_is_too_new_for_the_logs() -> None:
    rig, saved, _, place = busy_page()
    # Between the dbtime the log found on the page and the one it left there.
    with_gap = rig.database().dbtime
    live = rig.database().pages.get(place // PAGE - 1)
    pgno = place // PAGE - 1
    image = saved.databases[0].data
    page = Page.from_bytes(image[place : place + PAGE], pgno)
    assert page.dbtime < live.dbtime - 1 < with_gap, "the index changed in between"
    page.dbtime += 1
    volume = rig.lay_out([saved])
    overwrite(volume, rig.edb(), place, bytes(page.to_bytes(PAGE, ecc=True)))
    with pytest.raises(JetError) as refused:
        rig.recover([saved], volume=volume)
    assert refused.value.err == JetErr.DB_TIME_TOO_NEW


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
    change_log(volume, path, lambda header: evolve(header, **change))
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
