"""Every error of soft recovery, provoked by files as they really get spoilt; one row each.

The server has two databases and lost its power. A refusal changes no file, so that whoever puts
back what is missing can start again.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from attrs import field, frozen

from eseback.errors import JetErr
from esesim.engine.errors import JetError
from esesim.engine.event import Event
from esesim.engine.inspect import check_database, database_rows
from tests.support.engine import FOLDER
from tests.support.files import all_files, content, delete, put
from tests.support.spoilt_servers import (
    CURRENT,
    EDB,
    FOREIGN,
    LONG_AGO,
    NAMES,
    Crash,
    Spoil,
    after_checkpoint,
    at_checkpoint,
    changed_log,
    current,
    damaged,
    damaged_checkpoint,
    damaged_headers,
    damaged_page,
    foreign_checkpoint,
    foreign_database,
    half_empty,
    image_in_its_place,
    log_of_another_number,
    make_crash,
    needed_logs_gone,
    new_page,
    offline_copy_in_its_place,
    old_page,
    older_current_log,
    sister_database,
    start,
    without,
)


@pytest.fixture(scope="module")
def crash() -> Crash:
    return make_crash()


@frozen
class Row:
    """One way to spoil a start: the error, the events but 301, what the error names."""

    error: JetErr
    spoil: Spoil
    events: tuple[int, ...] = (300,)
    names: Callable[[Crash], str] = field(default=lambda _: "priv1.edb")


def number(generation: Callable[[Crash], int]) -> Callable[[Crash], str]:
    return lambda crash: f"E00{generation(crash):05X}.log"


CLOSED = number(lambda crash: crash.checkpoint + 1)
ROWS = [
    # logs
    Row(JetErr.MISSING_LOG_FILE, without(current), (), lambda _: "E00.log"),
    Row(JetErr.MISSING_LOG_FILE, without(after_checkpoint), (300, 450), CLOSED),
    Row(
        JetErr.MISSING_PREVIOUS_LOG_FILE,
        without(at_checkpoint),
        (300, 450),
        number(lambda crash: crash.checkpoint),
    ),
    Row(
        JetErr.INVALID_LOG_SEQUENCE,
        changed_log(after_checkpoint, previous_created=LONG_AGO),
        (300,),
        CLOSED,
    ),
    Row(
        JetErr.INVALID_LOG_SEQUENCE,
        changed_log(current, previous_created=LONG_AGO),
        (300,),
        lambda _: "E00.log",
    ),
    Row(JetErr.BAD_LOG_SIGNATURE, changed_log(after_checkpoint, sign_log=FOREIGN), (300,), CLOSED),
    Row(
        JetErr.LOG_GENERATION_MISMATCH,
        log_of_another_number,
        (300,),
        number(lambda crash: crash.checkpoint),
    ),
    Row(JetErr.LOG_FILE_CORRUPT, damaged(after_checkpoint, "header"), (300,), CLOSED),
    Row(JetErr.LOG_FILE_CORRUPT, damaged(after_checkpoint, "first block"), (300, 465), CLOSED),
    Row(JetErr.LOG_FILE_CORRUPT, damaged(current, "first block"), (300, 465), lambda _: "E00.log"),
    Row(JetErr.REDO_ABRUPT_ENDED, damaged(after_checkpoint, "last block"), (300,), CLOSED),
    Row(
        JetErr.REDO_ABRUPT_ENDED, damaged(after_checkpoint, "cut behind the header"), (300,), CLOSED
    ),
    Row(
        JetErr.LOG_FILE_SIZE_MISMATCH,
        damaged(half_empty, "tail cut off"),
        (300,),
        number(lambda crash: crash.current - 1),
    ),
    Row(
        JetErr.LOG_FILE_SIZE_MISMATCH,
        damaged(current, "tail cut off"),
        (300,),
        lambda _: "E00.log",
    ),
    # checkpoint
    Row(JetErr.BAD_CHECKPOINT_SIGNATURE, foreign_checkpoint, (300,), lambda _: "E00.chk"),
    Row(JetErr.CHECKPOINT_CORRUPT, damaged_checkpoint, (), lambda _: "E00.chk"),
    # databases
    Row(JetErr.REQUIRED_LOG_FILES_MISSING, needed_logs_gone, (300, 452)),
    Row(JetErr.REQUIRED_LOG_FILES_MISSING, older_current_log, (300, 453)),
    Row(JetErr.ATTACHED_DATABASE_MISMATCH, without(lambda _: EDB)),
    Row(JetErr.ATTACHED_DATABASE_MISMATCH, foreign_database),
    Row(JetErr.BAD_DB_SIGNATURE, sister_database),
    Row(JetErr.SOFT_RECOVERY_ON_BACKUP_DATABASE, image_in_its_place, (300, 619)),
    Row(JetErr.CONSISTENT_TIME_MISMATCH, offline_copy_in_its_place),
    Row(JetErr.DATABASE_CORRUPTED, damaged_headers),
    Row(JetErr.DB_TIME_TOO_OLD, old_page, (300,), lambda crash: f"page {crash.pgno} "),
    Row(JetErr.DB_TIME_TOO_NEW, new_page, (300,), lambda crash: f"page {crash.pgno} "),
    Row(JetErr.READ_VERIFY_FAILURE, damaged_page, (300,), lambda crash: f"page {crash.pgno} "),
]


def label(row: Row) -> str:
    return f"{int(row.error)}-{row.spoil.__name__}"


@pytest.mark.parametrize("row", ROWS, ids=label)
def test_refusal(row: Row, crash: Crash) -> None:
    volume = crash.volume.snapshot()
    row.spoil(volume, crash)
    before = all_files(volume, FOLDER)
    events: list[Event] = []
    with pytest.raises(JetError) as refusal:
        start(volume, events)
    assert refusal.value.err == row.error
    assert row.names(crash) in refusal.value.detail
    assert [event.id for event in events if event.id != 301] == [*row.events, 454]
    assert events[-1].values == {"error": int(row.error)}
    assert all_files(volume, FOLDER) == before, "a refusal changes no file"


def test_unspoilt_server_starts(crash: Crash) -> None:
    rig = start(crash.volume.snapshot())
    rig.attach()
    for name in NAMES:
        assert database_rows(rig.database(name)) == crash.rows[name]
        assert list(check_database(rig.database(name))) == []


def test_every_error_of_a_refusal_is_provoked() -> None:
    numbers = {int(row.error) for row in ROWS}
    assert {-509, -515, -528, -530, -531, -532, -533, -536, -541, -543, -544, -551} <= numbers
    assert {-566, -567, -1216} <= numbers


def test_server_whose_missing_file_comes_back_starts(crash: Crash) -> None:
    volume = crash.volume.snapshot()
    path = after_checkpoint(crash)
    kept = content(volume, path)
    delete(volume, path)
    with pytest.raises(JetError):
        start(volume)
    put(volume, path, kept)
    rig = start(volume)
    rig.attach()
    assert {name: database_rows(rig.database(name)) for name in NAMES} == crash.rows


def test_torn_end_of_the_current_log_is_noted_and_no_error(crash: Crash) -> None:
    volume = crash.volume.snapshot()
    damaged(current, "last block")(volume, crash)
    events: list[Event] = []
    rig = start(volume, events)
    assert [event.id for event in events if event.id != 301] == [300, 462, 302]
    (torn,) = (event.values for event in events if event.id == 462)
    assert torn["file"] == CURRENT
    rig.attach()
    assert list(check_database(rig.database())) == []
