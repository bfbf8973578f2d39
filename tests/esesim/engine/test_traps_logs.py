"""Which logs a backup copies, deletes and needs: rules that are easily got wrong."""

from __future__ import annotations

import pytest
from attrs import evolve

from eseback.constants import BackupType
from eseback.errors import JetErr
from eseback.formats.dbheader import DatabaseHeader
from eseback.formats.fields import NO_BACKUP, NO_POSITION, NO_TIME, BkInfo
from eseback.order import BackupState
from esesim.engine.errors import JetError
from esesim.engine.ranges import compute_ranges, first_missing
from tests.support.edb import HEADER
from tests.support.engine import CONFIG, FOLDER, Rig, SavedSet
from tests.support.files import all_files, content

INCREMENTAL = BackupType.LOGS_ONLY
BKINFO_FIELDS = (slice(136, 208), slice(316, 340), slice(356, 364))


def header(full: int = 0, incremental: int = 0) -> DatabaseHeader:
    """A header whose last backups went up to these generations."""

    def bkinfo(high: int) -> BkInfo:
        return BkInfo(NO_POSITION, NO_TIME, 1, high) if high else NO_BACKUP

    return evolve(HEADER, bkinfo_full_prev=bkinfo(full), bkinfo_inc_prev=bkinfo(incremental))


def lagging(names: tuple[str, ...] = ("priv1",), seed: int = 1) -> Rig:
    """An instance whose lazy writer sleeps: the checkpoint stays until a test moves it."""
    config = evolve(CONFIG, flush_per_slice=0, checkpoint_lag=1000)
    rig = Rig(seed=seed, config=config, names=names).create()
    rig.checkpoint_now()
    return rig


def truncating(rig: Rig, kind: BackupType, names: tuple[str, ...] | None = None) -> SavedSet:
    """A backup after which nothing but the last logs remains, if its kind allows that."""
    rig.workload.settle()
    return rig.back_up(kind, names=names, before_list=rig.checkpoint_now)


def on_disk(rig: Rig) -> list[int]:
    return rig.instance.files.closed_generations()


def checkpoint_generation(rig: Rig) -> int:
    return rig.instance.checkpoint.lgpos_checkpoint.generation


def event_ids(rig: Rig) -> list[int]:
    return [event.id for event in rig.events]


# -- trap 1: the checkpoint counts twice, at Begin and at the list


def test_full_backup_ranges_of_the_worked_example() -> None:
    # Logs 5..20 and the current 21, which the roll closes; checkpoint file 9 at Begin, 11 at the
    # list (ESE source backup.cxx, ErrBKIPrepareLogInfo).
    ranges = compute_ranges(oldest=5, current=22, checkpoint=11, full_from=9, left_out=[])
    assert list(ranges.copied) == list(range(9, 22))
    assert list(ranges.deleted) == list(range(5, 11))


def test_database_left_out_holds_its_logs_back() -> None:
    ranges = compute_ranges(
        oldest=5, current=22, checkpoint=11, full_from=9, left_out=[header(full=7)]
    )
    assert list(ranges.copied) == list(range(9, 22))
    assert list(ranges.deleted) == [5, 6]


def test_incremental_backup_of_a_database_left_out_counts_for_nothing() -> None:
    with_incremental = header(full=7, incremental=15)
    ranges = compute_ranges(
        oldest=5, current=22, checkpoint=11, full_from=9, left_out=[with_incremental]
    )
    assert list(ranges.deleted) == [5, 6]


def test_database_never_backed_up_keeps_every_log() -> None:
    ranges = compute_ranges(oldest=5, current=22, checkpoint=11, full_from=9, left_out=[header()])
    assert list(ranges.deleted) == []


def test_incremental_copies_all_there_is_and_looks_at_no_database() -> None:
    ranges = compute_ranges(
        oldest=5, current=22, checkpoint=11, full_from=None, left_out=[header(full=7)]
    )
    assert list(ranges.copied) == list(range(5, 22))
    assert list(ranges.deleted) == list(range(5, 11))


def test_checkpoint_beyond_the_last_copied_log_deletes_no_log_that_is_not_copied() -> None:
    ranges = compute_ranges(oldest=5, current=22, checkpoint=30, full_from=9, left_out=[])
    assert list(ranges.deleted) == list(range(5, 22))


@pytest.mark.parametrize(("oldest", "found"), [(7, None), (8, None), (9, (8, "db1")), (12, True)])
def test_incremental_needs_the_log_after_the_last_backup(oldest: int, found: object) -> None:
    databases = [("db1", header(full=5, incremental=7)), ("db2", header(full=10))]
    missing = first_missing(oldest, databases)
    assert missing == ((8, "db1") if found is True else found)


def test_instance_takes_the_checkpoint_at_begin_to_copy_and_at_the_list_to_delete() -> None:
    rig = lagging()
    rig.work(120)
    rig.workload.settle()
    rig.checkpoint_now()
    rig.work(120)
    rig.workload.settle()
    at_begin, oldest = checkpoint_generation(rig), on_disk(rig)[0]
    rig.instance.backup.begin(BackupType.FULL)
    for path in (rig.edb(), rig.stm()):
        assert path is not None
        rig.read_file(path)
    rig.checkpoint_now()
    at_list = checkpoint_generation(rig)
    assert oldest < at_begin < at_list
    listed = rig.instance.backup.log_list()
    deleted = rig.instance.backup.truncate_list()
    assert listed == [f"{FOLDER}\\E00{n:05X}.log" for n in range(at_begin, at_list + 1)]
    assert deleted == [f"{FOLDER}\\E00{n:05X}.log" for n in range(oldest, at_list)]
    rig.instance.backup.truncate()
    assert on_disk(rig) == [at_list]


# -- trap 5: an incremental may overlap the full


def test_logs_in_both_full_and_incremental_are_the_same() -> None:
    rig = lagging()
    rig.work(150)
    full = rig.back_up()
    rig.work(60)
    incremental = rig.back_up(INCREMENTAL)
    both = sorted(set(full.generations) & set(incremental.generations))
    assert len(both) > 3, "the checkpoint lagged, so truncation left logs that were copied"
    assert max(both) == full.generations[-1]
    for generation in both:
        first, second = (
            saved.logs[saved.generations.index(generation)] for saved in (full, incremental)
        )
        assert first == second
    recovered = rig.recover([full, incremental])
    assert recovered.rows() == recovered.expected()


# -- trap 6: what a differential needs


def test_differential_after_an_incremental_needs_that_incremental() -> None:
    rig = lagging()
    rig.work(60)
    full = truncating(rig, BackupType.FULL)
    rig.work(60)
    incremental = truncating(rig, INCREMENTAL)
    rig.work(60)
    differential = rig.back_up(INCREMENTAL, truncate=False)
    with pytest.raises(JetError) as refused:
        rig.recover([full, differential])
    assert refused.value.err == JetErr.MISSING_RESTORE_LOG_FILES
    needed = full.generations[-1] + 1
    assert f"E00{needed:05X}.log" in refused.value.detail, "it says which log is missing"
    recovered = rig.recover([full, incremental, differential])
    assert recovered.rows() == recovered.expected()


# -- trap 7: a copy leaves no trace in 2003


@pytest.mark.parametrize("kind", [BackupType.FULL, INCREMENTAL])
def test_backup_without_truncation_changes_no_header(kind: BackupType) -> None:
    rig = lagging()
    rig.back_up()
    rig.work(40)
    rig.back_up(INCREMENTAL)
    before = content(rig.volume, rig.edb())[:8192]
    backup = rig.instance.backup
    backup.begin(kind)
    for path in [rig.edb(), rig.stm()] if kind == BackupType.FULL else []:
        assert path is not None
        rig.read_file(path)
    for path in backup.log_list():
        rig.read_file(path)
    listed = content(rig.volume, rig.edb())[:8192]
    backup.end(True)
    after = content(rig.volume, rig.edb())[:8192]
    # The roll raises genMaxRequired; apart from that the header stays as it was.
    assert after == listed
    for part in BKINFO_FIELDS:
        assert after[part] == before[part]


def test_copy_between_incrementals_breaks_no_chain() -> None:
    rig = Rig().create()
    rig.steps = 3
    sets = [rig.back_up()]
    rig.work(60)
    sets.append(rig.back_up(INCREMENTAL))
    copy = rig.back_up(truncate=False)
    rig.work(60)
    sets.append(rig.back_up(INCREMENTAL))
    for chain in (sets, [copy, sets[-1]]):
        recovered = rig.recover(chain)
        assert recovered.rows() == recovered.expected()


def test_full_backup_forgets_the_incrementals_before_it() -> None:
    rig = Rig().create()
    rig.back_up()
    rig.work(30)
    incremental = rig.back_up(INCREMENTAL)
    assert rig.database().header.bkinfo_inc_prev.gen_high == incremental.generations[-1]
    full = rig.back_up()
    now = rig.database().header
    assert now.bkinfo_inc_prev == NO_BACKUP
    assert now.bkinfo_full_prev.gen_low == full.generations[0]
    assert now.bkinfo_full_prev.gen_high == full.generations[-1]


# -- trap 8: an empty range


def test_delete_range_below_its_start_is_empty() -> None:
    rig = lagging(("priv1", "pub1"))
    rig.work(60)
    truncating(rig, BackupType.FULL)
    high = rig.database("pub1").header.bkinfo_full_prev.gen_high
    rig.work(60)
    truncating(rig, INCREMENTAL)
    rig.work(60)
    assert on_disk(rig)[0] > high, "the logs up to the last full backup of pub1 are gone"
    kept = on_disk(rig)
    rig.events.clear()
    saved = truncating(rig, BackupType.FULL, ("priv1",))
    assert 225 in event_ids(rig)
    assert 224 not in event_ids(rig)
    assert on_disk(rig)[: len(kept)] == kept
    assert saved.generations[-1] == on_disk(rig)[-1]


# -- trap 9: a mounted store without a full backup


def test_mounted_store_without_a_full_backup_blocks_incrementals() -> None:
    rig = Rig().create()
    rig.back_up()
    rig.instance.create_database(rig.edb("priv2"), rig.stm("priv2"))
    rig.events.clear()
    with pytest.raises(JetError) as refused:
        rig.instance.backup.begin(INCREMENTAL)
    assert refused.value.err == JetErr.MISSING_FULL_BACKUP
    assert rig.edb("priv2") in refused.value.detail
    assert [(event.id, event.values) for event in rig.events] == [
        (206, {"database": rig.edb("priv2")})
    ]
    assert rig.instance.backup.state is BackupState.PREPARED, "nothing has begun"
    rig.workload.settle()
    rig.instance.detach(rig.edb("priv2"))
    rig.back_up(INCREMENTAL)


def test_copy_is_not_the_full_backup_that_an_incremental_needs() -> None:
    rig = Rig().create()
    rig.back_up(truncate=False)
    with pytest.raises(JetError) as refused:
        rig.instance.backup.begin(INCREMENTAL)
    assert refused.value.err == JetErr.MISSING_FULL_BACKUP


def test_database_read_in_part_counts_as_not_backed_up() -> None:
    rig = Rig().create()
    backup = rig.instance.backup
    backup.begin(BackupType.FULL)
    handle, size = backup.open_file(rig.edb())
    assert backup.read_file(handle, memoryview(bytearray(size - 4096))) == size - 4096
    rig.events.clear()
    backup.close_file(handle)
    assert [(event.id, event.values["read"]) for event in rig.events] == [(222, size - 4096)]
    backup.log_list()
    assert backup.truncate_list() == [], "the trailer is missing: its logs may still be needed"
    backup.truncate()
    backup.end(True)
    assert rig.database().header.bkinfo_full_prev == NO_BACKUP


# -- trap 10: headers change at the end, not at the truncation


@pytest.mark.parametrize("kind", [BackupType.FULL, INCREMENTAL])
def test_truncation_without_success_breaks_the_chain(kind: BackupType) -> None:
    rig = lagging()
    rig.work(30)
    full = truncating(rig, BackupType.FULL)
    rig.work(60)
    rig.workload.settle()
    backup = rig.instance.backup
    backup.begin(kind)
    for path in [rig.edb(), rig.stm()] if kind == BackupType.FULL else []:
        assert path is not None
        rig.read_file(path)
    rig.checkpoint_now()
    backup.log_list()
    backup.truncate()
    backup.end(False)
    needed = f"{FOLDER}\\E00{full.generations[-1] + 1:05X}.log"
    assert on_disk(rig)[0] > full.generations[-1] + 1
    assert rig.database().header.bkinfo_full_prev.gen_high == full.generations[-1]
    backup.begin(INCREMENTAL)
    rig.events.clear()
    with pytest.raises(JetError) as refused:
        backup.log_list()
    assert refused.value.err == JetErr.MISSING_FILE_TO_BACKUP
    assert [event.id for event in rig.events] == [459, 214]
    assert rig.events[0].values["file"] == needed
    assert backup.state is BackupState.PREPARED, "the failure has ended the backup"
    rig.back_up()
    rig.back_up(INCREMENTAL)


def test_log_of_the_range_that_is_missing_stops_the_backup() -> None:
    rig = lagging()
    rig.work(100)
    rig.instance.backup.begin(BackupType.FULL)
    victim = on_disk(rig)[2]
    rig.volume.delete(rig.instance.files.closed(victim))
    rig.events.clear()
    with pytest.raises(JetError) as refused:
        rig.instance.backup.log_list()
    assert refused.value.err == JetErr.MISSING_FILE_TO_BACKUP
    assert [event.id for event in rig.events] == [459, 214]
    assert rig.events[0].values["file"] == f"{FOLDER}\\E00{victim:05X}.log"


# -- trap 11: the log rolls once and the list is stable


@pytest.mark.parametrize("kind", [BackupType.FULL, INCREMENTAL])
@pytest.mark.parametrize("first", ["log_list", "truncate_list"])
def test_list_is_the_same_however_often_it_is_asked_for(kind: BackupType, first: str) -> None:
    rig = lagging()
    truncating(rig, BackupType.FULL)
    rig.work(60)
    rig.checkpoint_now()
    backup = rig.instance.backup
    backup.begin(kind)
    before = rig.instance.log.generation
    calls = {"log_list": backup.log_list, "truncate_list": backup.truncate_list}
    order = sorted(calls, key=lambda name: name != first)
    lists = {name: calls[name]() for name in order}
    assert rig.instance.log.generation == before + 1, "rolled by the first of them, once"
    assert backup.state is BackupState.LOGS, "the database phase is over"
    assert lists["log_list"][-1] == f"{FOLDER}\\E00{before:05X}.log"
    rig.work(120)
    rig.checkpoint_now()
    current = rig.instance.log.generation
    assert current > before + 1, "the workload went on rolling"
    assert {name: calls[name]() for name in order} == lists
    assert rig.instance.log.generation == current


def test_full_backup_holds_at_least_one_log_and_never_the_current_one() -> None:
    rig = lagging()
    first, second = rig.back_up(), rig.back_up()
    assert len(first.logs) >= 1
    assert second.generations[-1] == first.generations[-1] + 1
    assert second.generations[-1] == rig.instance.log.generation - 1


def test_log_missing_from_the_delete_range_is_passed_over() -> None:
    rig = lagging()
    rig.work(100)
    rig.workload.settle()
    rig.checkpoint_now()
    backup = rig.instance.backup
    backup.begin(BackupType.FULL)
    for path in (rig.edb(), rig.stm()):
        assert path is not None
        rig.read_file(path)
    backup.log_list()
    deleted = backup.truncate_list()
    rig.volume.delete(rig.config.resolve(deleted[1]))
    rig.events.clear()
    backup.truncate()
    assert [(event.id, event.values) for event in rig.events] == [
        (227, {"count": 1}),
        (224, {"first": deleted[0], "last": deleted[-1]}),
    ]
    left = all_files(rig.volume, FOLDER)
    assert not {path.rpartition("\\")[2] for path in deleted} & set(left)
    rig.events.clear()
    backup.truncate()
    assert [event.id for event in rig.events] == [227, 224], "a second time it finds nothing"
