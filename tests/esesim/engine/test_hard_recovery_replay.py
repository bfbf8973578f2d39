"""Errors that hard recovery meets while it replays: it can be taken up again afterwards."""

from __future__ import annotations

import tracemalloc

import pytest
from attrs import evolve

from eseback.errors import JetErr
from eseback.formats.dbheader import DatabaseHeader
from eseback.formats.fields import NO_BACKUP
from esesim.engine.errors import JetError
from esesim.engine.page import Page
from tests.support.engine import CONFIG, Rig, StepClock
from tests.support.files import change_header, content, damage, delete, overwrite, put
from tests.support.mail import EMPTY, change, insert, message, messages, subjects
from tests.support.restore_site import RESTORE, Site, stage
from tests.support.scene import SLEEPING
from tests.support.spoilt_restores import (
    PAGE,
    World,
    in_set,
    make_world,
)


@pytest.fixture(scope="module")
def world() -> World:
    return make_world()


def test_log_that_vanishes_after_it_was_checked(world: World) -> None:
    site = world.copy()
    kept = content(site.volume, in_set(site))

    def steal(done: int, total: int) -> None:
        if done == 1:
            delete(site.volume, in_set(site))

    error = site.refused(JetErr.MISSING_RESTORE_LOG_FILES, progress=steal)
    assert in_set(site).rpartition("\\")[2] in error.detail
    assert site.event_ids() == [204, 300, 301, 301, 454, 205]
    put(site.volume, in_set(site), kept)
    site.recover()
    assert site.rows() == world.rows


def test_recovery_that_had_played_forward_cannot_end_earlier(world: World) -> None:
    """Pages may have changes of logs beyond the set: without these logs nothing would be whole."""
    site = world.copy()
    site.config = {"cache_pages": 4}

    class Stop(Exception):
        pass

    reached = 0

    def stop(done: int, total: int) -> None:
        nonlocal reached
        reached = site.gen_low + done - 1
        if done == total - 1:
            raise Stop

    with pytest.raises(Stop):
        site.recover(progress=stop)
    site.events.clear()
    error = site.refused(JetErr.REQUIRED_LOG_FILES_MISSING, target_log_path=None)
    assert reached > site.gen_high
    assert str(reached) in error.detail
    assert str(site.gen_high) in error.detail
    lost = [event for event in site.events if event.id == 453]
    assert [event.values["found"] for event in lost] == [site.gen_high]
    assert site.event_ids()[-3:] == [453, 454, 205]
    site.recover()
    assert site.rows() == world.rows


def test_header_that_needs_a_later_log_than_there_is(world: World) -> None:
    site = world.copy()
    site.target = None
    change_header(site.volume, site.rig.edb(), gen_max_required=site.gen_high + 1)
    site.refused(JetErr.REQUIRED_LOG_FILES_MISSING)
    assert site.event_ids()[-3:] == [453, 454, 205]


def busy_page() -> tuple[Site, bytes, int]:
    """A page that changes after it was copied; as it was a backup before, and where it lies."""
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
    return stage(rig, [saved]), old, place


@pytest.mark.parametrize(
    ("by", "expected"), [(-1, JetErr.DB_TIME_TOO_OLD), (1, JetErr.DB_TIME_TOO_NEW)]
)
def test_page_of_another_time(by: int, expected: JetErr) -> None:
    site, old, place = busy_page()
    image = content(site.volume, site.rig.edb())
    pgno = place // PAGE - 1
    page = Page.from_bytes(image[place : place + PAGE], pgno)
    good = bytes(page.to_bytes(PAGE, ecc=True))
    if by < 0:
        spoilt = old
    else:
        page.dbtime += 1
        spoilt = bytes(page.to_bytes(PAGE, ecc=True))
    overwrite(site.volume, site.rig.edb(), place, spoilt)
    error = site.refused(expected)
    assert f"page {pgno} " in error.detail
    assert site.event_ids()[-2:] == [454, 205]
    # The page as the backup has it fits, and the restore goes on from there.
    overwrite(site.volume, site.rig.edb(), place, good)
    site.recover()
    assert len(site.rows()["Msg"]) == 7


def test_damaged_page_that_a_log_touches() -> None:
    site, _, place = busy_page()
    damage(site.volume, site.rig.edb(), place + 100)
    site.refused(JetErr.READ_VERIFY_FAILURE)
    assert site.event_ids()[-2:] == [454, 205]


def test_split_without_its_patch_page() -> None:
    """Exchange 2000: neither the copy nor the patch file has the rows that a split moved."""
    config = evolve(CONFIG, patch_files=True, revision=9, flush_per_slice=2)
    for seed in range(20):
        rig = Rig(seed=seed, config=config, steps=8, steps_per_backup_max=700)
        rig.create().work(300)
        full = rig.back_up(chunk=3 * PAGE)
        (patch,) = (log for log in full.logs if log.path.endswith(".pat"))
        if len(patch.data) == PAGE:
            continue
        site = stage(rig, [full])
        site.target = None
        put(site.volume, f"{RESTORE}\\priv1.pat", patch.data[:PAGE])
        try:
            site.recover()
        except JetError as error:
            assert error.err == JetErr.MISSING_PATCH_PAGE
            put(site.volume, f"{RESTORE}\\priv1.pat", patch.data)
            site.recover()
            assert site.rows() == rig.journal.rows(rig.edb(), site.gen_high)
            return
    raise AssertionError("no split ever needed its patch page")


def test_marks_of_earlier_backups_are_gone_when_recovery_is_done(world: World) -> None:
    site = world.copy()
    change_header(
        site.volume,
        site.rig.edb(),
        bkinfo_full_prev=evolve(NO_BACKUP, gen_low=1, gen_high=2),
        bkinfo_inc_prev=evolve(NO_BACKUP, gen_low=1, gen_high=2),
    )
    site.recover(clock=StepClock(1_200_000_000))
    after = DatabaseHeader.unpack(content(site.volume, site.rig.edb())[:PAGE])
    assert after.bkinfo_full_prev == after.bkinfo_inc_prev == after.bkinfo_full_cur == NO_BACKUP
    assert after.logtime_consistent.years >= 2008 - 1900


def test_logs_are_not_kept_in_memory() -> None:
    """Each log is read for itself; of a transaction open over all of them, its records stay."""
    count, size = 24, 1024 * 1024
    rig = Rig(config=evolve(SLEEPING, log_file_size=size), spec=EMPTY).create()
    insert(rig, [message(1, "first")])
    loser = rig.instance.begin()
    full = rig.back_up(truncate=False)
    for number in range(count):
        change(rig, loser, 1, f"loser {number}")
        rig.instance.roll_log()
    site = stage(rig, [full])
    site.target_gen_max = site.gen_high + count
    tracemalloc.start()
    try:
        report = site.recover()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert report.counts.generations > count
    assert report.counts.undone_operations == count
    assert peak < 5 * size, f"{peak} bytes for {count} logs of {size}"
    assert subjects(site.rows()["Msg"]) == {1: "first"}
    loser.rollback()
