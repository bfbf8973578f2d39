"""Every error of hard recovery, provoked by files as they really get spoilt; one row each.

The restore has folders of its own here, and the group that it goes back to is played forward. A
refusal costs nothing: afterwards every file is as before, and the restore can be repeated.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from attrs import field, frozen

from eseback.errors import JetErr
from eseback.formats.fields import NO_BACKUP
from esesim.engine.errors import JetError
from tests.support.engine import FOLDER, Rig
from tests.support.mail import EMPTY, insert, message
from tests.support.restore_site import OWN, RESTORE, Site
from tests.support.scene import SLEEPING
from tests.support.spoilt_restores import (
    CURRENT,
    FOREIGN,
    TOP,
    World,
    above_set,
    bad_patch_file,
    bad_stm_header,
    bad_trailer,
    both_headers,
    clean_file,
    foreign_log,
    foreign_target_current,
    foreign_target_log,
    foreign_target_log_below_set,
    foreign_target_log_in_set,
    from_the_next_log,
    header,
    in_set,
    live_file,
    log_in_own_folder,
    make_world,
    no_database,
    no_log,
    no_log_before_current,
    no_patch_file,
    no_range,
    no_stm,
    no_target_log,
    no_trailer,
    odd_size,
    other_patch_file,
    other_stm,
    other_stream,
    other_target_log_in_set,
    other_trailer,
    running_group_without_its_last,
    spoil_log,
    swapped_logs,
    to_the_log_before,
    unchained_log,
    unchained_target_current,
    unchained_target_log,
)


@pytest.fixture(scope="module")
def world() -> World:
    return make_world()


@pytest.fixture(scope="module")
def old_world() -> World:
    """Exchange 2000 RTM: patch files, pages without ECC."""
    return make_world(patch_files=True, revision=9)


@frozen
class Row:
    """One way to spoil a restore: the error, the events between start and end, what they name."""

    error: JetErr
    spoil: Callable[[Site, World], None]
    events: tuple[int, ...] = ()
    names: Callable[[Site], str] = field(default=lambda site: site.rig.edb())


def set_log(site: Site) -> str:
    return in_set(site)


def target_log(site: Site) -> str:
    return above_set(site)


ROWS = [
    # the logs of the set
    Row(JetErr.MISSING_RESTORE_LOG_FILES, no_log, (435,), set_log),
    Row(JetErr.MISSING_RESTORE_LOG_FILES, no_range, (), lambda site: str(site.gen_low)),
    Row(JetErr.GIVEN_LOG_FILE_HAS_BAD_SIGNATURE, foreign_log, (433,), set_log),
    Row(JetErr.GIVEN_LOG_FILE_IS_NOT_CONTIGUOUS, unchained_log, (434,), set_log),
    Row(JetErr.LOG_GENERATION_MISMATCH, swapped_logs, (), set_log),
    Row(JetErr.LOG_FILE_CORRUPT, spoil_log(in_set, "header"), (), lambda site: "E0000"),
    Row(JetErr.LOG_CORRUPT_DURING_HARD_RESTORE, spoil_log(in_set, "first block"), (463,), set_log),
    Row(
        JetErr.LOG_TORN_WRITE_DURING_HARD_RESTORE, spoil_log(in_set, "last block"), (460,), set_log
    ),
    Row(
        JetErr.LOG_TORN_WRITE_DURING_HARD_RESTORE,
        spoil_log(in_set, "cut in a block"),
        (460,),
        set_log,
    ),
    Row(
        JetErr.LOG_CORRUPT_DURING_HARD_RESTORE,
        spoil_log(in_set, "cut behind the header"),
        (463,),
        set_log,
    ),
    Row(JetErr.LOG_FILE_SIZE_MISMATCH, spoil_log(in_set, "tail cut off"), (), lambda s: "E0000"),
    # the logs of the group that is played forward
    Row(JetErr.EXISTING_LOG_FILE_HAS_BAD_SIGNATURE, foreign_target_log, (457,), target_log),
    Row(
        JetErr.EXISTING_LOG_FILE_HAS_BAD_SIGNATURE,
        foreign_target_log_in_set,
        (457,),
        lambda site: site.log(site.gen_low + 1, FOLDER),
    ),
    Row(
        JetErr.EXISTING_LOG_FILE_HAS_BAD_SIGNATURE,
        foreign_target_log_below_set,
        (457,),
        lambda site: site.log(site.gen_low - 1, FOLDER),
    ),
    Row(
        JetErr.EXISTING_LOG_FILE_HAS_BAD_SIGNATURE,
        foreign_target_current,
        (457,),
        lambda site: CURRENT,
    ),
    Row(JetErr.EXISTING_LOG_FILE_IS_NOT_CONTIGUOUS, unchained_target_log, (458,), target_log),
    Row(
        JetErr.EXISTING_LOG_FILE_IS_NOT_CONTIGUOUS,
        unchained_target_current,
        (458,),
        lambda site: CURRENT,
    ),
    Row(
        JetErr.EXISTING_LOG_FILE_IS_NOT_CONTIGUOUS,
        other_target_log_in_set,
        (458,),
        lambda site: site.log(site.gen_high, FOLDER),
    ),
    Row(
        JetErr.EXISTING_LOG_FILE_IS_NOT_CONTIGUOUS,
        log_in_own_folder,
        (),
        lambda site: f"{OWN}\\E00.log",
    ),
    Row(JetErr.MISSING_CURRENT_LOG_FILES, no_target_log, (450,), target_log),
    Row(
        JetErr.MISSING_CURRENT_LOG_FILES,
        no_log_before_current,
        (450,),
        lambda site: site.log(site.gen_high + 1, FOLDER),
    ),
    Row(
        JetErr.MISSING_CURRENT_LOG_FILES,
        running_group_without_its_last,
        (450,),
        lambda site: site.log(site.gen_high + TOP, FOLDER),
    ),
    Row(
        JetErr.LOG_CORRUPT_DURING_HARD_RECOVERY,
        spoil_log(above_set, "first block"),
        (464,),
        target_log,
    ),
    Row(
        JetErr.LOG_TORN_WRITE_DURING_HARD_RECOVERY,
        spoil_log(above_set, "last block"),
        (461,),
        target_log,
    ),
    Row(
        JetErr.LOG_CORRUPT_DURING_HARD_RECOVERY,
        spoil_log(lambda _: CURRENT, "first block"),
        (464,),
        lambda site: CURRENT,
    ),
    Row(JetErr.LOG_FILE_SIZE_MISMATCH, spoil_log(above_set, "tail cut off"), (), lambda s: "E0000"),
    # the images
    Row(JetErr.FILE_NOT_FOUND, no_database),
    Row(JetErr.BAD_BACKUP_DATABASE_SIZE, odd_size, (438,)),
    Row(JetErr.DATABASE_CORRUPTED, both_headers, (), lambda site: "priv1.edb"),
    Row(JetErr.RESTORE_OF_NON_BACKUP_DATABASE, live_file),
    Row(JetErr.RESTORE_OF_NON_BACKUP_DATABASE, clean_file),
    Row(JetErr.RESTORE_OF_NON_BACKUP_DATABASE, header(bkinfo_full_cur=NO_BACKUP)),
    Row(JetErr.DATABASE_LOG_SET_MISMATCH, other_stream),
    Row(JetErr.BAD_PATCH_PAGE, bad_trailer),
    Row(JetErr.BAD_PATCH_PAGE, no_trailer),
    Row(JetErr.DATABASE_PATCH_FILE_MISMATCH, other_trailer, (430,)),
    Row(JetErr.DATABASE_PATCH_FILE_MISMATCH, header(sign_db=FOREIGN), (430,)),
    Row(JetErr.STARTING_RESTORE_LOG_TOO_HIGH, from_the_next_log, (431,)),
    Row(JetErr.ENDING_RESTORE_LOG_TOO_LOW, to_the_log_before, (432,)),
    Row(JetErr.DATABASE_STREAMING_FILE_MISMATCH, no_stm),
    Row(JetErr.DATABASE_STREAMING_FILE_MISMATCH, other_stm, (), lambda site: site.rig.stm() or ""),
    Row(JetErr.DATABASE_CORRUPTED, bad_stm_header, (), lambda site: "priv1.stm"),
]

OLD_ROWS = [
    Row(JetErr.PATCH_FILE_MISSING, no_patch_file, (), lambda site: "priv1.pat"),
    Row(JetErr.BAD_PATCH_PAGE, bad_patch_file),
    Row(JetErr.DATABASE_PATCH_FILE_MISMATCH, other_patch_file, (430,)),
]


def label(row: Row) -> str:
    name = getattr(row.spoil, "__qualname__", "").partition(".")[0]
    return f"{int(row.error)}-{name}"


def check(row: Row, world: World) -> None:
    site = world.copy()
    row.spoil(site, world)
    before = site.files()
    error = site.refused(row.error)
    assert row.names(site) in error.detail
    assert site.event_ids() == [204, *row.events, 454, 205]
    assert site.events[-2].values == {"error": int(row.error)}
    for event in site.events[1:-2]:
        if event.id in (431, 432):
            # The first or last log, and which one it should be: one further out.
            assert {event.values["file"], event.values["wanted"]} in (
                {site.log(site.gen_low), site.log(site.gen_low - 1)},
                {site.log(site.gen_high), site.log(site.gen_high + 1)},
            )
        else:
            assert row.names(site) in event.text
    assert site.files() == before, "a refusal costs nothing"


@pytest.mark.parametrize("row", ROWS, ids=label)
def test_refusal(row: Row, world: World) -> None:
    check(row, world)


@pytest.mark.parametrize("row", OLD_ROWS, ids=label)
def test_refusal_of_exchange_2000(row: Row, old_world: World) -> None:
    check(row, old_world)


@pytest.mark.parametrize("era", ["2003", "2000"])
def test_unspoilt_restore_recovers(era: str, world: World, old_world: World) -> None:
    chosen = world if era == "2003" else old_world
    site = chosen.copy()
    site.recover()
    assert site.rows() == chosen.rows


def test_every_error_of_a_refusal_is_provoked() -> None:
    numbers = {int(row.error) for row in (*ROWS, *OLD_ROWS)}
    refusals = {-535, -538, -539, -540, -552, -553, -554, -555, -556, -557, -561, -565}
    assert refusals | {-570, -571, -573, -574, -610, -611, -615, -1206} <= numbers


# -- arguments


def test_instance_that_is_initialised(world: World) -> None:
    """A restore needs an instance of its own."""
    site = world.copy()
    rig = Rig(config=SLEEPING, spec=EMPTY).create()
    with pytest.raises(JetError) as refused:
        rig.instance.external_restore(
            site.entries(), gen_low=site.gen_low, gen_high=site.gen_high, backup_log_path=RESTORE
        )
    assert refused.value.err == JetErr.AFTER_INITIALIZATION
    insert(rig, [message(1)])
    rig.instance.terminate()


def test_running_group_in_the_folder_that_recovery_writes_to(world: World) -> None:
    site = world.copy()
    before = site.files()
    site.refused(JetErr.INVALID_PARAMETER, target_log_path=OWN, target_gen_max=site.gen_high)
    assert site.files() == before
