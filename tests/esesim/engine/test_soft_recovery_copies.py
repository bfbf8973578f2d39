"""Logs of another size, databases that can't be attached, and older copies of databases."""

from __future__ import annotations

import pytest

from eseback.errors import JetErr
from eseback.formats.dbheader import DatabaseHeader, DbState
from esesim.engine.errors import JetError
from esesim.engine.event import Event
from esesim.engine.inspect import database_rows
from esesim.engine.instance import Instance
from esesim.volume import MemoryVolume
from tests.support.engine import FOLDER, Rig
from tests.support.files import all_files, content, delete, put
from tests.support.mail import insert, message
from tests.support.scene import SLEEPING
from tests.support.spoilt_servers import (
    CHECKPOINT,
    EDB,
    NAMES,
    PAGE,
    STM,
    Crash,
    Spoil,
    damaged_headers,
    image_in_its_place,
    make_crash,
    sister_database,
    start,
    without,
)


@pytest.fixture(scope="module")
def crash() -> Crash:
    return make_crash()


# -- log files of another size than the instance is set to


def test_other_log_size_where_databases_had_to_be_recovered(crash: Crash) -> None:
    """They are recovered first; then the start fails, and so does every later one."""
    volume = crash.volume.snapshot()
    other = 2 * SLEEPING.log_file_size
    events: list[Event] = []
    with pytest.raises(JetError) as refusal:
        start(volume, events, log_file_size=other)
    assert refusal.value.err == JetErr.LOG_FILE_SIZE_MISMATCH_DATABASES_CONSISTENT
    assert [event.id for event in events if event.id != 301] == [300, 302, 454]
    before = all_files(volume, FOLDER)
    with pytest.raises(JetError) as refusal:
        start(volume, log_file_size=other)
    assert refusal.value.err == JetErr.LOG_FILE_SIZE_MISMATCH
    assert str(other) in refusal.value.detail
    assert all_files(volume, FOLDER) == before
    rig = start(volume)
    rig.attach()
    assert {name: database_rows(rig.database(name)) for name in NAMES} == crash.rows


def test_clean_server_without_its_logs_takes_another_size(crash: Crash) -> None:
    """What a person does about -541: all is clean, the old logs may go."""
    volume = crash.volume.snapshot()
    start(volume).instance.terminate()
    for name in all_files(volume, FOLDER):
        if name.startswith("E00") and name.endswith((".log", ".chk")):
            delete(volume, f"{FOLDER}\\{name}")
    rig = start(volume, log_file_size=2 * SLEEPING.log_file_size)
    rig.attach()
    assert {name: database_rows(rig.database(name)) for name in NAMES} == crash.rows


# -- databases that can't be attached


def refused_attach(instance: Instance, edb: str, stm: str | None) -> JetErr:
    with pytest.raises(JetError) as refusal:
        instance.attach(edb, stm)
    return refusal.value.err


@pytest.mark.parametrize(
    ("spoil", "expected", "events"),
    [
        (image_in_its_place, JetErr.SOFT_RECOVERY_ON_BACKUP_DATABASE, [619]),
        (damaged_headers, JetErr.DATABASE_CORRUPTED, []),
        (without(lambda _: EDB), JetErr.FILE_NOT_FOUND, []),
        (without(lambda _: STM), JetErr.DATABASE_STREAMING_FILE_MISMATCH, []),
    ],
    ids=["-544", "-1206", "-1811", "-540"],
)
def test_attach_refused(spoil: Spoil, expected: JetErr, events: list[int], crash: Crash) -> None:
    volume = crash.volume.snapshot()
    rig = start(volume)
    spoil(volume, crash)
    before = all_files(volume, FOLDER)
    rig.events.clear()
    assert refused_attach(rig.instance, EDB, STM) == expected
    assert [event.id for event in rig.events] == events
    assert all_files(volume, FOLDER) == before
    rig.instance.attach(rig.edb("pub1"), rig.stm("pub1"))


def test_dirty_database_is_not_attached(crash: Crash) -> None:
    """A copy of the mounted file, as a tool makes that knows nothing of databases."""
    volume = crash.volume.snapshot()
    rig = start(volume)
    for path in (EDB, STM):
        put(volume, path, content(crash.volume, path))
    before = all_files(volume, FOLDER)
    assert refused_attach(rig.instance, EDB, STM) == JetErr.DATABASE_DIRTY_SHUTDOWN
    assert all_files(volume, FOLDER) == before


def test_two_databases_of_one_signature(crash: Crash) -> None:
    volume = crash.volume.snapshot()
    rig = start(volume)
    sister_database(volume, crash)
    rig.instance.attach(rig.edb("pub1"), rig.stm("pub1"))
    before = all_files(volume, FOLDER)
    assert refused_attach(rig.instance, EDB, STM) == JetErr.DATABASE_SIGN_IN_USE
    assert all_files(volume, FOLDER) == before


# -- what the marks of a detach tell


def test_older_copy_becomes_what_the_log_says_it_was() -> None:
    """Redone are an attachment that it has, one that it lacks, and the detach that ended that."""
    volume = MemoryVolume()
    rig = Rig(volume=volume, config=SLEEPING).create()
    rig.instance.detach(rig.edb())
    offline = {path: content(volume, path) for path in (EDB, STM)}
    rig.instance.attach(rig.edb(), rig.stm())
    insert(rig, [message(1)])
    rig.instance.detach(rig.edb())
    clean = DatabaseHeader.unpack(content(volume, EDB)[:PAGE])
    rig.instance.attach(rig.edb(), rig.stm())
    expected = database_rows(rig.database())
    rig.instance.detach(rig.edb())
    after = volume.snapshot()
    for path, data in offline.items():
        put(after, path, data)
    delete(after, CHECKPOINT)
    again = Rig(volume=after, config=SLEEPING)
    found = DatabaseHeader.unpack(content(after, EDB)[:PAGE])
    assert found.state == DbState.CLEAN_SHUTDOWN
    assert found.lgpos_consistent > clean.lgpos_consistent
    again.instance.attach(again.edb(), again.stm())
    assert database_rows(again.database()) == expected


def test_copy_from_just_before_the_attach_takes_its_log() -> None:
    """The same state in which the log attached it: all that came later is redone."""
    volume = MemoryVolume()
    rig = Rig(volume=volume, config=SLEEPING).create()
    rig.instance.detach(rig.edb())
    offline = {path: content(volume, path) for path in (EDB, STM)}
    rig.instance.attach(rig.edb(), rig.stm())
    insert(rig, [message(1)])
    expected = database_rows(rig.database())
    after = volume.snapshot()
    for path, data in offline.items():
        put(after, path, data)
    delete(after, CHECKPOINT)
    again = Rig(volume=after, config=SLEEPING)
    again.instance.attach(again.edb(), again.stm())
    assert database_rows(again.database()) == expected
