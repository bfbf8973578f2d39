"""Hard recovery with folders of its own: playing forward from a group, running or not."""

from __future__ import annotations

import random

import pytest

from eseback.constants import BackupType
from eseback.errors import JetErr
from eseback.formats.dbheader import DatabaseHeader, DbState
from eseback.formats.fields import NO_BACKUP
from esesim.engine.errors import JetError
from esesim.engine.inspect import check_database, database_rows
from esesim.journal import Rows
from esesim.volume import MemoryVolume, PowerLoss
from tests.support.engine import FOLDER, Rig
from tests.support.files import all_files, content, delete, put
from tests.support.mail import EMPTY, change, insert, message, messages, subjects
from tests.support.restore_site import OWN, RESTORE, Site, stage
from tests.support.scene import SLEEPING

PAGE = 4096


@pytest.fixture(scope="module")
def scene() -> tuple[Rig, Site, Rows]:
    """A full set, work after it in several generations, and the rows at the end of that."""
    rig = Rig(config=SLEEPING).create()
    rig.work(40)
    rig.workload.settle()
    rig.checkpoint_now()
    rig.work(40)
    full = rig.back_up(truncate=False)
    assert full.generations[0] > 2
    rig.work(80)
    rig.workload.settle()
    rig.instance.log.flush()
    site = stage(rig, [full])
    assert rig.instance.log.generation > site.gen_high + 2
    return rig, site, database_rows(rig.database())


@pytest.fixture
def site(scene: tuple[Rig, Site, Rows]) -> Site:
    return scene[1].copy()


@pytest.fixture
def rows(scene: tuple[Rig, Site, Rows]) -> Rows:
    return scene[2]


@pytest.fixture
def current(scene: tuple[Rig, Site, Rows]) -> int:
    """The generation that the server was writing."""
    return scene[0].instance.log.generation


def test_group_that_does_not_run_is_played_to_its_very_end(
    site: Site, rows: Rows, current: int
) -> None:
    before = all_files(site.volume, FOLDER)
    report = site.recover()
    assert site.rows() == rows
    assert (report.generation_first, report.generation_last) == (site.gen_low, current)
    after = all_files(site.volume, FOLDER)
    changed = {name for name, data in after.items() if before.get(name) != data}
    assert changed == {"priv1.edb", "priv1.stm"}, "the group's own logs are only read"
    assert after.keys() == before.keys()
    count = current - site.gen_low + 1
    assert site.event_ids() == [204, 300, *[301] * count, 302, 205]
    assert site.progress == [(done, count) for done in range(1, count + 1)]
    start, *played = (event.values for event in site.events if event.id in (204, 301))
    assert start == {"restore_folder": RESTORE, "log_folder": FOLDER}
    files = [str(values["file"]).rpartition("\\")[0] for values in played]
    assert files == [RESTORE] * len(range(site.gen_low, site.gen_high + 1)) + [FOLDER] * (
        current - site.gen_high
    )


def test_running_group_is_played_to_the_log_that_it_closed() -> None:
    rig = Rig(config=SLEEPING).create()
    rig.work(60)
    full = rig.back_up()
    rig.work(40)
    rig.workload.settle()
    expected = database_rows(rig.database())
    current = rig.instance.log.generation
    closed = rig.instance.roll_log()
    assert (closed, rig.instance.log.generation) == (current, current + 1)
    insert(rig, [message(-7, "after the roll")])
    site = stage(rig, [full])
    site.target_gen_max = closed
    report = site.recover()
    assert report.generation_last == closed
    assert site.rows() == expected
    assert -7 not in {row["Id"] for row in site.rows()["Msg"].values()}


def test_instance_that_is_not_started_rolls_no_log() -> None:
    rig = Rig(config=SLEEPING, spec=EMPTY).create()
    rig.instance.terminate()
    with pytest.raises(JetError) as refused:
        rig.instance.roll_log()
    assert refused.value.err == JetErr.NOT_INITIALIZED


def test_without_a_target_only_the_set_counts(site: Site) -> None:
    site.target = None
    report = site.recover()
    assert report.generation_last == site.gen_high
    assert site.rows() == site.rig.journal.rows(site.rig.edb(), site.gen_high)


def test_recovered_database_is_clean_and_its_next_backup_is_a_full_one(site: Site) -> None:
    site.recover()
    header = DatabaseHeader.unpack(content(site.volume, site.rig.edb())[:PAGE])
    assert header.state == DbState.CLEAN_SHUTDOWN
    assert header.bkinfo_full_prev == header.bkinfo_full_cur == header.bkinfo_inc_prev == NO_BACKUP
    # The group starts on the logs that were played, and takes its database back.
    again = Rig(volume=site.volume, config=SLEEPING)
    again.instance.attach(again.edb(), again.stm())
    with pytest.raises(JetError) as refused:
        again.instance.backup.begin(BackupType.LOGS_ONLY)
    assert refused.value.err == JetErr.MISSING_FULL_BACKUP
    assert database_rows(again.database()) == site.rows()


# -- which logs count


def test_logs_outside_the_set_are_deleted_from_the_folder_of_the_restore(site: Site) -> None:
    other = content(site.volume, site.log(site.gen_low))
    strays = [site.log(site.gen_low - 1), site.log(site.gen_high + 1), f"{RESTORE}\\E00.log"]
    for path in (*strays, f"{RESTORE}\\restore.env", f"{RESTORE}\\E0100001.log"):
        put(site.volume, path, other)
    site.recover()
    left = set(all_files(site.volume, RESTORE))
    kept = {path.rpartition("\\")[2] for path in map(site.log, range(site.gen_low, site.gen_high))}
    assert kept < left
    assert {"restore.env", "E0100001.log"} < left, "of another kind, or of another group"
    assert not left & {path.rpartition("\\")[2] for path in strays}


def test_logs_of_the_restore_stay_where_they_are_played_forward_from(
    site: Site, rows: Rows
) -> None:
    for name, data in all_files(site.volume, FOLDER).items():
        if name.endswith(".log"):
            put(site.volume, f"{RESTORE}\\{name}", data)
    before = all_files(site.volume, RESTORE)
    site.recover(target_log_path=RESTORE)
    assert all_files(site.volume, RESTORE) == before
    assert site.rows() == rows


def test_gap_among_logs_that_the_set_has_does_not_matter(site: Site, rows: Rows) -> None:
    delete(site.volume, site.log(site.gen_low + 1, FOLDER))
    delete(site.volume, site.log(site.gen_high, FOLDER))
    site.recover()
    assert site.rows() == rows


def test_group_without_any_log_plays_nothing_forward(site: Site) -> None:
    for name in all_files(site.volume, FOLDER):
        if name.endswith(".log"):
            delete(site.volume, f"{FOLDER}\\{name}")
    assert site.recover().generation_last == site.gen_high


def test_logs_that_a_running_group_wrote_later_are_not_played(site: Site, current: int) -> None:
    site.target_gen_max = current - 2
    assert site.recover().generation_last == current - 2
    assert site.rows() == site.rig.journal.rows(site.rig.edb(), current - 2)


# -- trap 3 and 26: undo at the end of all logs


def test_transaction_that_commits_in_a_log_played_forward_is_not_undone() -> None:
    rig = Rig(config=SLEEPING, spec=EMPTY).create()
    insert(rig, (message(number, "first") for number in range(1, 6)))
    early, late, never = (rig.instance.begin() for _ in range(3))
    change(rig, early, 1, "in the set")
    change(rig, late, 2, "played forward")
    change(rig, never, 3, "never")
    full = rig.back_up(truncate=False)
    early.commit()
    rig.instance.roll_log()
    late.commit()
    rig.instance.log.flush()
    site = stage(rig, [full])
    without, running, down = site.copy(), site.copy(), site
    without.target = None
    running.target_gen_max = rig.instance.log.generation - 1
    first = dict.fromkeys(range(1, 6), "first")
    assert without.recover().counts.undone_transactions == 3
    assert subjects(without.rows()["Msg"]) == first
    assert running.recover().counts.undone_transactions == 2
    assert subjects(running.rows()["Msg"]) == first | {1: "in the set"}
    assert down.recover().counts.undone_transactions == 1
    assert subjects(down.rows()["Msg"]) == first | {1: "in the set", 2: "played forward"}
    never.rollback()


def test_winner_and_loser_on_one_page_across_the_end_of_the_set() -> None:
    rig = Rig(config=SLEEPING, spec=EMPTY).create()
    insert(rig, (message(number, "first") for number in range(1, 6)))
    loser, winner = rig.instance.begin(), rig.instance.begin()
    change(rig, loser, 1, "loser")
    full = rig.back_up(truncate=False)
    change(rig, winner, 2, "winner")
    rig.instance.roll_log()
    change(rig, loser, 3, "loser")
    winner.commit()
    rig.instance.log.flush()
    dbtime = rig.database().pages.get(messages(rig.database()).primary.fdp).dbtime
    site = stage(rig, [full])
    site.recover()
    expected = dict.fromkeys(range(1, 6), "first") | {2: "winner"}
    assert subjects(site.rows()["Msg"]) == expected
    header = DatabaseHeader.unpack(content(site.volume, rig.edb())[:PAGE])
    assert header.dbtime > dbtime
    loser.rollback()


# -- into the folders of a group that does not run


def crashed_group(*, detached: bool) -> tuple[Rig, Site]:
    """A group of two whose power fails; one of them is lost and restored in the group's folders.

    A transaction had changed both and was open. ``detached``: the lost one was, in the end.
    """
    rig = Rig(names=("priv1", "pub1"), config=SLEEPING, spec=EMPTY).create()
    for name in rig.names:
        insert(rig, (message(number, "first") for number in range(1, 4)), name)
    full = rig.back_up(names=["priv1"])
    insert(rig, [message(4, "first")], "priv1")
    if detached:
        for name in rig.names:
            rig.instance.detach(rig.edb(name))
        rig.instance.attach(rig.edb("pub1"), rig.stm("pub1"))
        assert rig.database("pub1").dbid == 1, "the number that the other one had"
    loser, late = rig.instance.begin(), rig.instance.begin()
    for name in rig.names[detached:]:
        for transaction, number in ((loser, 1), (late, 2)):
            messages(rig.database(name)).replace(transaction, message(number, "loser"))
            messages(rig.database(name)).insert(transaction, message(50 + number, "loser"))
    rig.checkpoint_now()  # what the losers did is in the files
    assert isinstance(rig.volume, MemoryVolume)
    volume = rig.volume.snapshot()
    site = stage(rig, [full])
    volume.make_directory("C/restore")
    for name in all_files(site.volume, RESTORE):
        put(volume, f"{RESTORE}\\{name}", content(site.volume, f"{RESTORE}\\{name}"))
    for item in full.databases:
        put(volume, item.path, item.data)
    site.volume, site.target = volume, None
    site.config = {"log_path": FOLDER, "system_path": FOLDER}
    return rig, site


@pytest.mark.parametrize("detached", [False, True])
@pytest.mark.parametrize("tries", [1, 2])
def test_other_databases_of_the_group_are_left_to_its_own_recovery(
    detached: bool, tries: int
) -> None:
    rig, site = crashed_group(detached=detached)
    entry = site.entries()[0]
    for _ in range(tries):
        site.recover(databases=[entry])
    again = Rig(volume=site.volume, config=SLEEPING, names=rig.names)
    again.attach()
    for name in rig.names:
        expected = dict.fromkeys(range(1, 5 if name == "priv1" else 4), "first")
        table = messages(again.database(name))
        assert subjects(dict(table.rows())) == expected, name
        assert list(check_database(again.database(name))) == []
    insert(again, [message(9, "goes on")], "pub1")


def test_losers_of_another_database_are_undone_once_whenever_the_power_fails() -> None:
    _, base = crashed_group(detached=False)
    base.recover(databases=base.entries()[:1])
    for after in range(1, 200):
        volume = base.volume.snapshot()
        volume.fail_after_writes(after)
        try:
            Rig(volume=volume, config=SLEEPING)
        except PowerLoss:
            volume.crash(random.Random(after))
        else:
            assert after > 10, "the start writes more than that"
            return
        volume.fail_after_writes(10**9)
        again = Rig(volume=volume, config=SLEEPING, names=("priv1", "pub1"))
        again.attach()
        table = messages(again.database("pub1"))
        assert subjects(dict(table.rows())) == dict.fromkeys(range(1, 4), "first")
        assert list(check_database(again.database("pub1"))) == []
    raise AssertionError("the start never came through")


# -- a recovery that failed


def test_failed_recovery_is_taken_up_again_with_what_was_missing(
    site: Site, rows: Rows, current: int
) -> None:
    victim = site.log(current - 1, FOLDER)
    kept = content(site.volume, victim)
    delete(site.volume, victim)
    site.refused(JetErr.MISSING_CURRENT_LOG_FILES)
    put(site.volume, victim, kept)
    site.recover()
    assert site.rows() == rows


def test_finished_recovery_that_is_called_again_changes_no_row(site: Site, rows: Rows) -> None:
    first = site.recover()
    again = site.recover()
    assert again.generation_last == first.generation_last
    assert again.counts.applied == 0
    assert site.rows() == rows
    assert len(all_files(site.volume, OWN)) == 1, "the log that the first one began goes on"


def test_second_restore_into_the_same_folders_begins_anew(site: Site, rows: Rows) -> None:
    images = {path: content(site.volume, path) for path in (site.rig.edb(), site.rig.stm() or "")}
    site.target_gen_max = site.gen_high + 1
    site.recover()
    for path, data in images.items():
        put(site.volume, path, data)
    # The group went on meanwhile: what the first recovery wrote is no end of these logs.
    site.target_gen_max = None
    report = site.recover()
    assert report.counts.applied > 0
    assert site.rows() == rows


def test_log_of_a_recovery_of_other_databases_is_no_part_of_this_one() -> None:
    rig = Rig(names=("priv1", "pub1"), config=SLEEPING, spec=EMPTY).create()
    for name in rig.names:
        insert(rig, [message(1)], name)
    full = rig.back_up()
    site = stage(rig, [full])
    site.recover()
    rig.names = ("priv1",)
    error = site.refused(JetErr.EXISTING_LOG_FILE_IS_NOT_CONTIGUOUS)
    assert rig.edb("pub1").casefold() in error.detail
