"""Hard recovery: what it refuses, with which error and which words.

The sets are made by a quiet server, so that each test can spoil one thing and know the outcome.
"""

from __future__ import annotations

import pytest
from attrs import evolve

from eseback.errors import JetErr
from eseback.formats.fields import LogTime, Signature
from esesim.engine.errors import JetError
from esesim.engine.inspect import check_file
from esesim.engine.page import Page
from tests.support.engine import Rig, SavedSet
from tests.support.files import (
    change_header,
    change_log,
    content,
    damage,
    delete,
    overwrite,
    put,
)
from tests.support.mail import EMPTY, insert, leaves_in, message, messages
from tests.support.scene import SLEEPING, Scene, make_scene

PAGE = 4096
FOREIGN = Signature(4711, LogTime.from_unix(1_000_000_000))


@pytest.fixture(scope="module")
def scene() -> Scene:
    return make_scene()


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
    change_log(volume, scene.log(scene.middle), previous_created=other)
    error = scene.refused(volume)
    assert error.err == JetErr.GIVEN_LOG_FILE_IS_NOT_CONTIGUOUS
    assert f"E00{scene.middle:05X}.log" in error.detail


def test_log_of_another_stream(scene: Scene) -> None:
    volume = scene.lay_out()
    change_log(volume, scene.log(scene.middle), sign_log=FOREIGN)
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


def test_page_that_is_too_old_for_a_split() -> None:
    """A split is a record over several pages: each of them must be as the record found it."""
    rig = Rig(config=SLEEPING, spec=EMPTY).create()
    insert(rig, (message(number, body="b" * 400) for number in range(2, 60, 2)))
    rig.checkpoint_now()
    table = messages(rig.database())
    leaves = leaves_in(content(rig.volume, rig.edb()), table.primary.objid)
    pgno = sorted(leaves)[len(leaves) // 2]
    place = (pgno + 1) * PAGE
    old = content(rig.volume, rig.edb())[place : place + PAGE]
    keys = leaves[pgno].node_keys()
    first, *_, last = (n for n in range(2, 60, 2) if table.key({"Id": n}) in keys)
    transaction = rig.instance.begin()
    table.replace(transaction, message(first, body="c" * 400))
    transaction.commit()
    rig.back_up()
    rig.checkpoint_now()
    before = len(leaves_in(content(rig.volume, rig.edb()), table.primary.objid))
    # The new row goes to the new page: the old one is touched by the split alone.
    between = message(last - 1, body="b" * 400)
    saved = rig.back_up(before_list=lambda: insert(rig, [between]))
    rig.checkpoint_now()
    after = len(leaves_in(content(rig.volume, rig.edb()), table.primary.objid))
    assert after == before + 1, "the page was full: the first change in the set is its split"
    volume = rig.lay_out([saved])
    overwrite(volume, rig.edb(), place, old)
    with pytest.raises(JetError) as refused:
        rig.recover([saved], volume=volume)
    assert refused.value.err == JetErr.DB_TIME_TOO_OLD
    assert f"page {pgno} " in refused.value.detail
    assert len(rig.recover([saved]).rows()["Msg"]) == 30


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
