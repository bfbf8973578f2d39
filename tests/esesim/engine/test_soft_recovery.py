"""Soft recovery: what a start after a crash refuses, and with which words.

A crash is a copy of the volume while the instance runs: everything on disk is as it was.
"""

from __future__ import annotations

import pytest
from attrs import evolve, frozen

from eseback.constants import BackupType
from eseback.errors import JetErr
from eseback.formats.chkfile import Checkpoint
from eseback.formats.dbheader import DatabaseHeader, DbState
from eseback.formats.fields import LogTime, Signature
from esesim.engine.errors import JetError
from esesim.engine.event import Event
from esesim.engine.inspect import check_database, database_rows
from esesim.journal import Rows
from esesim.volume import MemoryVolume
from tests.support.engine import CONFIG, FOLDER, Rig, SavedSet
from tests.support.files import change_log, content, damage, delete, exists, put
from tests.support.mail import EMPTY, change, insert, message, messages, subjects

PAGE = 4096
SLEEPING = evolve(CONFIG, flush_per_slice=0, checkpoint_lag=1000)
FOREIGN = Signature(4711, LogTime.from_unix(1_000_000_000))
CURRENT = f"{FOLDER}\\E00.log"
CHECKPOINT = f"{FOLDER}\\E00.chk"


@frozen
class Scene:
    """A server whose power fails: files, rows, and where the checkpoint is."""

    volume: MemoryVolume
    rows: Rows
    oldest: int
    checkpoint: int
    current: int
    saved: SavedSet

    def crashed(self) -> MemoryVolume:
        return self.volume.snapshot()


def log(generation: int) -> str:
    return f"{FOLDER}\\E00{generation:05X}.log"


@pytest.fixture(scope="module")
def scene() -> Scene:
    volume = MemoryVolume()
    rig = Rig(volume=volume, config=SLEEPING).create()
    rig.work(60)
    saved = rig.back_up(truncate=False)
    rig.workload.settle()
    rig.checkpoint_now()
    rig.work(120)
    rig.workload.settle()
    checkpoint = rig.instance.checkpoint.lgpos_checkpoint.generation
    generations = rig.instance.files.closed_generations()
    assert generations[0] < checkpoint < generations[-1] - 2
    return Scene(
        volume.snapshot(),
        database_rows(rig.database()),
        generations[0],
        checkpoint,
        rig.instance.log.generation,
        saved,
    )


def start(volume: MemoryVolume) -> Rig:
    rig = Rig(volume=volume, config=SLEEPING)
    rig.instance.attach(rig.edb(), rig.stm())
    return rig


def refused(volume: MemoryVolume) -> JetError:
    with pytest.raises(JetError) as refusal:
        Rig(volume=volume, config=SLEEPING)
    return refusal.value


def test_start_after_a_crash(scene: Scene) -> None:
    rig = start(scene.crashed())
    assert database_rows(rig.database()) == scene.rows
    assert list(check_database(rig.database())) == []
    replayed = scene.current - scene.checkpoint + 1
    assert [event.id for event in rig.events] == [300, *[301] * replayed, 302]


def test_database_is_clean_between_recovery_and_attach(scene: Scene) -> None:
    volume = scene.crashed()
    rig = Rig(volume=volume, config=SLEEPING)
    header = DatabaseHeader.unpack(content(volume, rig.edb())[:PAGE])
    assert header.state == DbState.CLEAN_SHUTDOWN
    assert (header.gen_min_required, header.gen_max_required) == (0, 0)
    rig.instance.attach(rig.edb(), rig.stm())
    header = DatabaseHeader.unpack(content(volume, rig.edb())[:PAGE])
    assert header.state == DbState.DIRTY_SHUTDOWN
    assert header.gen_min_required == header.gen_max_required == rig.instance.log.generation


def test_second_start_finds_nothing_to_do(scene: Scene) -> None:
    rig = start(scene.crashed())
    rig.instance.terminate()
    rig.events.clear()
    rig.boot()
    rig.instance.attach(rig.edb(), rig.stm())
    assert database_rows(rig.database()) == scene.rows
    assert [event.id for event in rig.events] == [300, 301, 302]


def test_winner_and_loser_of_a_crash() -> None:
    volume = MemoryVolume()
    rig = Rig(volume=volume, config=SLEEPING, spec=EMPTY).create()
    insert(rig, (message(number, "first") for number in range(1, 6)))
    loser, winner = rig.instance.begin(), rig.instance.begin()
    change(rig, loser, 1, "loser")
    rig.checkpoint_now()  # the loser's row reaches the file
    change(rig, winner, 2, "winner")
    change(rig, loser, 3, "loser")
    winner.commit()
    page = rig.database().pages.get(messages(rig.database()).primary.fdp)
    last = page.dbtime
    again = start(volume.snapshot())
    table = messages(again.database())
    expected = dict.fromkeys(range(1, 6), "first") | {2: "winner"}
    assert subjects(dict(table.rows())) == expected
    assert again.database().pages.get(table.primary.fdp).dbtime > last
    insert(again, [message(9, "later")])
    assert len(list(table.rows())) == 6


# -- logs


def test_no_current_log(scene: Scene) -> None:
    volume = scene.crashed()
    delete(volume, CURRENT)
    error = refused(volume)
    assert error.err == JetErr.MISSING_LOG_FILE
    assert "E00.log" in error.detail


def test_roll_cut_short_between_its_renames(scene: Scene) -> None:
    """The next log is prepared as E00tmp.log; E00.log has got its number already."""
    volume = scene.crashed()
    rig = start(volume.snapshot())
    rig.instance.log.roll()
    expected = database_rows(rig.database())
    crashed = rig.volume
    assert isinstance(crashed, MemoryVolume)
    crashed.rename("C/mdbdata/E00.log", "C/mdbdata/E00tmp.log")
    again = start(crashed.snapshot())
    assert database_rows(again.database()) == expected


def test_log_at_the_checkpoint_is_missing(scene: Scene) -> None:
    volume = scene.crashed()
    delete(volume, log(scene.checkpoint))
    error = refused(volume)
    assert error.err == JetErr.MISSING_PREVIOUS_LOG_FILE
    assert f"E00{scene.checkpoint:05X}.log" in error.detail


def test_gap_above_the_checkpoint(scene: Scene) -> None:
    volume = scene.crashed()
    delete(volume, log(scene.checkpoint + 1))
    error = refused(volume)
    assert error.err == JetErr.MISSING_LOG_FILE
    assert f"E00{scene.checkpoint + 1:05X}.log" in error.detail


def test_logs_below_the_checkpoint_are_not_needed(scene: Scene) -> None:
    volume = scene.crashed()
    for generation in range(scene.oldest, scene.checkpoint):
        delete(volume, log(generation))
    assert database_rows(start(volume).database()) == scene.rows


@pytest.mark.parametrize("path", ["closed", "current"])
def test_log_that_does_not_follow(scene: Scene, path: str) -> None:
    volume = scene.crashed()
    name = CURRENT if path == "current" else log(scene.checkpoint + 1)
    change_log(volume, name, previous_created=LogTime.from_unix(1_000_000_000))
    error = refused(volume)
    assert error.err == JetErr.INVALID_LOG_SEQUENCE
    assert name.rpartition("\\")[2] in error.detail


def test_log_of_another_stream(scene: Scene) -> None:
    volume = scene.crashed()
    change_log(volume, log(scene.checkpoint + 1), sign_log=FOREIGN)
    assert refused(volume).err == JetErr.BAD_LOG_SIGNATURE


def test_log_under_the_name_of_another(scene: Scene) -> None:
    volume = scene.crashed()
    put(volume, log(scene.checkpoint), content(volume, log(scene.checkpoint - 1)))
    assert refused(volume).err == JetErr.LOG_GENERATION_MISMATCH


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("header", JetErr.LOG_FILE_CORRUPT),
        ("first block", JetErr.LOG_FILE_CORRUPT),
        ("last block", JetErr.REDO_ABRUPT_ENDED),
    ],
)
def test_damage_in_a_closed_log(scene: Scene, place: str, expected: JetErr) -> None:
    volume = scene.crashed()
    path = log(scene.checkpoint + 1)
    last = len(content(volume, path).rstrip(b"\0")) - 3
    damage(volume, path, {"header": 10, "first block": PAGE + 40, "last block": last}[place])
    error = refused(volume)
    assert error.err == expected
    assert f"E00{scene.checkpoint + 1:05X}.log" in error.detail


def test_damage_in_the_middle_of_the_current_log() -> None:
    volume = MemoryVolume()
    rig = Rig(volume=volume, config=SLEEPING, spec=EMPTY).create()
    rig.instance.log.roll()
    for number in range(1, 6):
        insert(rig, [message(number)])
    crashed = volume.snapshot()
    damage(crashed, CURRENT, PAGE + 40)
    error = refused(crashed)
    assert error.err == JetErr.LOG_FILE_CORRUPT
    assert "E00.log" in error.detail


def test_damage_at_the_end_of_the_current_log_is_a_write_that_was_cut_short() -> None:
    volume = MemoryVolume()
    rig = Rig(volume=volume, config=SLEEPING, spec=EMPTY).create()
    for number in range(1, 4):
        insert(rig, [message(number)])
    crashed = volume.snapshot()
    damage(crashed, CURRENT, len(content(crashed, CURRENT).rstrip(b"\0")) - 3)
    again = start(crashed)
    # The last block held the last commit: without it that transaction never ended.
    assert set(subjects(dict(messages(again.database()).rows()))) == {1, 2}
    assert again.marks["torn_log"] == 1


# -- checkpoint


def test_checkpoint_of_another_stream(scene: Scene) -> None:
    volume = scene.crashed()
    checkpoint = Checkpoint.unpack(content(volume, CHECKPOINT))
    put(volume, CHECKPOINT, evolve(checkpoint, sign_log=FOREIGN).pack())
    assert refused(volume).err == JetErr.BAD_CHECKPOINT_SIGNATURE


@pytest.mark.parametrize("copies", [[0], [1], [0, 1]])
def test_damaged_checkpoint(scene: Scene, copies: list[int]) -> None:
    volume = scene.crashed()
    for copy in copies:
        damage(volume, CHECKPOINT, copy * PAGE + 20)
    if len(copies) == 2:
        error = refused(volume)
        assert error.err == JetErr.CHECKPOINT_CORRUPT
        assert "E00.chk" in error.detail
    else:
        assert database_rows(start(volume).database()) == scene.rows


def test_without_a_checkpoint_all_logs_are_replayed(scene: Scene) -> None:
    volume = scene.crashed()
    delete(volume, CHECKPOINT)
    rig = start(volume)
    assert database_rows(rig.database()) == scene.rows
    assert [event.id for event in rig.events].count(301) == scene.current - scene.oldest + 1


# -- databases


def test_logs_that_the_database_needs_are_gone(scene: Scene) -> None:
    volume = scene.crashed()
    delete(volume, CHECKPOINT)
    for generation in range(scene.oldest, scene.checkpoint + 2):
        delete(volume, log(generation))
    error = refused(volume)
    assert error.err == JetErr.REQUIRED_LOG_FILES_MISSING
    assert str(scene.checkpoint) in error.detail
    assert str(scene.checkpoint + 2) in error.detail


def test_logs_end_before_what_the_database_has_seen(scene: Scene) -> None:
    volume = scene.crashed()
    delete(volume, CURRENT)
    volume.rename(f"C/mdbdata/E00{scene.current - 1:05X}.log", "C/mdbdata/E00.log")
    error = refused(volume)
    assert error.err == JetErr.REQUIRED_LOG_FILES_MISSING
    assert str(scene.current) in error.detail


def test_missing_database(scene: Scene) -> None:
    volume = scene.crashed()
    delete(volume, f"{FOLDER}\\priv1.edb")
    error = refused(volume)
    assert error.err == JetErr.ATTACHED_DATABASE_MISMATCH
    assert "priv1.edb" in error.detail


def test_another_database_under_the_name(scene: Scene) -> None:
    volume = scene.crashed()
    other = Rig(seed=2, config=SLEEPING).create()
    put(volume, f"{FOLDER}\\priv1.edb", content(other.volume, other.edb()))
    assert refused(volume).err == JetErr.ATTACHED_DATABASE_MISMATCH
    assert content(volume, other.edb()) == content(other.volume, other.edb()), "and untouched"


def test_image_in_the_place_of_the_database_is_not_recovered(scene: Scene) -> None:
    volume = scene.crashed()
    put(volume, f"{FOLDER}\\priv1.edb", scene.saved.databases[0].data)
    events: list[Event] = []
    with pytest.raises(JetError) as refusal:
        Rig(volume=volume, config=SLEEPING, events=events)
    assert refusal.value.err == JetErr.SOFT_RECOVERY_ON_BACKUP_DATABASE
    assert "hard recovery" in refusal.value.detail
    assert [event.id for event in events if event.id != 301] == [300, 619, 454]
    assert content(volume, f"{FOLDER}\\priv1.edb") == scene.saved.databases[0].data


def test_image_in_the_place_of_a_database_is_not_attached(scene: Scene) -> None:
    """Nothing to recover: the instance runs, the file was put there while it was detached."""
    rig = start(scene.crashed())
    rig.instance.detach(rig.edb())
    put(rig.volume, rig.edb(), scene.saved.databases[0].data)
    rig.events.clear()
    with pytest.raises(JetError) as refusal:
        rig.instance.attach(rig.edb(), rig.stm())
    assert refusal.value.err == JetErr.SOFT_RECOVERY_ON_BACKUP_DATABASE
    assert [(event.id, event.values) for event in rig.events] == [(619, {"database": rig.edb()})]


def test_dirty_database_is_not_attached(scene: Scene) -> None:
    rig = start(scene.crashed())
    rig.instance.detach(rig.edb())
    put(rig.volume, rig.edb(), content(scene.volume, rig.edb()))
    with pytest.raises(JetError) as refusal:
        rig.instance.attach(rig.edb(), rig.stm())
    assert refusal.value.err == JetErr.DATABASE_DIRTY_SHUTDOWN


def test_backup_that_a_crash_broke_off_leaves_no_trace() -> None:
    volume = MemoryVolume()
    rig = Rig(volume=volume, config=SLEEPING).create()
    rig.back_up()
    before = rig.database().header.bkinfo_full_prev
    backup = rig.instance.backup
    backup.begin(BackupType.FULL)
    rig.read_file(rig.edb())
    backup.log_list()
    backup.truncate()
    again = start(volume.snapshot())
    assert again.database().header.bkinfo_full_prev == before
    assert exists(again.volume, CURRENT)
    again.back_up()
    again.back_up(BackupType.LOGS_ONLY)
