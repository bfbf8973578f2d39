"""Attach and detach: what stands in their way, and how many databases an instance takes."""

from __future__ import annotations

import pytest
from attrs import evolve

from eseback.constants import BackupType
from eseback.errors import JetErr
from eseback.formats.dbheader import DatabaseHeader, DbState
from eseback.formats.fields import NO_BACKUP, LogTime, Signature
from eseback.order import BackupState
from esesim.engine.config import DATABASES_MAX
from esesim.engine.errors import JetError
from esesim.engine.inspect import database_rows
from tests.support.engine import CONFIG, FOLDER, Rig
from tests.support.files import content, damage, delete, exists, overwrite, put
from tests.support.mail import EMPTY, insert, message

PAGE = 4096
SLEEPING = evolve(CONFIG, flush_per_slice=0, checkpoint_lag=1000)
PHASES = [state for state in BackupState if state.running]


def settled(*names: str) -> Rig:
    rig = Rig(config=SLEEPING, spec=EMPTY, names=names or ("priv1",)).create()
    insert(rig, [message(1)])
    return rig


def reach(rig: Rig, state: BackupState) -> None:
    """Start a backup and bring it into a state, with a full one before it."""
    backup = rig.instance.backup
    if state.name.startswith("LOGS_UNLISTED"):
        rig.back_up(names=["priv1"])
        backup.begin(BackupType.LOGS_ONLY)
        path = f"{FOLDER}\\E00{rig.instance.files.closed_generations()[0]:05X}.log"
    else:
        backup.begin(BackupType.FULL)
        in_logs = state in (BackupState.LOGS, BackupState.LOG_OPEN)
        path = backup.log_list()[0] if in_logs else rig.edb()
    if state.file_open:
        backup.open_file(path)
    if state in (BackupState.STOPPED, BackupState.STOPPED_OPEN):
        backup.stop()
    assert backup.state is state


def header(rig: Rig, name: str = "priv1") -> DatabaseHeader:
    return DatabaseHeader.unpack(content(rig.volume, rig.edb(name))[:PAGE])


# -- while a backup runs


@pytest.mark.parametrize("state", PHASES)
def test_nothing_is_attached_or_detached_while_a_backup_runs(state: BackupState) -> None:
    rig = settled("priv1", "pub1")
    rig.instance.detach(rig.edb("pub1"))
    reach(rig, state)
    for call in (
        lambda: rig.instance.attach(rig.edb("pub1"), rig.stm("pub1")),
        lambda: rig.instance.detach(rig.edb()),
        rig.instance.terminate,
    ):
        with pytest.raises(JetError) as refused:
            call()
        assert refused.value.err == JetErr.BACKUP_IN_PROGRESS
        assert rig.instance.backup.state is state, "the backup doesn't notice"
    assert rig.instance.running
    rig.instance.backup.end(False)
    rig.instance.attach(rig.edb("pub1"), rig.stm("pub1"))
    rig.instance.detach(rig.edb())
    rig.instance.terminate()


@pytest.mark.parametrize("state", PHASES)
def test_termination_may_stop_the_backup(state: BackupState) -> None:
    rig = settled()
    reach(rig, state)
    before = header(rig).bkinfo_full_prev
    rig.events.clear()
    rig.instance.terminate(stop_backup=True)
    assert [event.id for event in rig.events if event.id != 222] == [226]
    assert not rig.instance.running
    assert header(rig).state == DbState.CLEAN_SHUTDOWN
    assert header(rig).bkinfo_full_prev == before
    with pytest.raises(JetError) as refused:
        rig.instance.backup.begin(BackupType.FULL)
    assert refused.value.err == JetErr.BACKUP_NOT_ALLOWED_YET
    rig.boot()
    rig.instance.attach(rig.edb(), rig.stm())
    assert len(database_rows(rig.database())["Msg"]) == 1
    rig.back_up()


def test_termination_without_a_backup_needs_no_permission() -> None:
    rig = settled()
    rig.instance.terminate()
    assert header(rig).state == DbState.CLEAN_SHUTDOWN
    assert header(rig).lgpos_consistent == header(rig).lgpos_detach


# -- how many, and which


def test_seventh_database_is_refused() -> None:
    names = [f"priv{number}" for number in range(1, DATABASES_MAX + 1)]
    assert len(names) == 6
    rig = Rig(config=SLEEPING, spec=EMPTY, names=names).create()
    with pytest.raises(JetError) as refused:
        rig.instance.create_database(rig.edb("priv7"), rig.stm("priv7"))
    assert refused.value.err == JetErr.TOO_MANY_ATTACHED_DATABASES
    assert not exists(rig.volume, rig.edb("priv7")), "and no files are left behind"
    assert sorted(database.dbid for database in rig.instance.databases.values()) == [*range(1, 7)]
    rig.instance.detach(rig.edb("priv3"))
    seventh = rig.instance.create_database(rig.edb("priv7"), rig.stm("priv7"))
    assert seventh.dbid == 3, "the slot that is free"
    with pytest.raises(JetError) as refused:
        rig.instance.attach(rig.edb("priv3"), rig.stm("priv3"))
    assert refused.value.err == JetErr.TOO_MANY_ATTACHED_DATABASES
    assert header(rig, "priv3").state == DbState.CLEAN_SHUTDOWN, "untouched by the refusal"


def test_six_databases_with_long_names_fit_into_a_log_header() -> None:
    names = [f"{number} " + "x" * 40 for number in range(1, 7)]
    rig = Rig(config=SLEEPING, spec=EMPTY, names=names).create()
    insert(rig, [message(1)], names[5])
    saved = rig.back_up()
    recovered = rig.recover([saved])
    assert len(recovered.rows(names[5])["Msg"]) == 1


def test_name_that_is_taken() -> None:
    rig = settled()
    rig.instance.log.flush()
    before = content(rig.volume, rig.edb())
    for name in (rig.edb(), rig.edb().upper()):
        with pytest.raises(JetError) as refused:
            rig.instance.create_database(name, None)
        assert refused.value.err == JetErr.DATABASE_DUPLICATE
    rig.instance.detach(rig.edb())
    with pytest.raises(JetError) as refused:
        rig.instance.create_database(rig.edb(), rig.stm())
    assert refused.value.err == JetErr.DATABASE_DUPLICATE, "detached it is still there"
    assert len(content(rig.volume, rig.edb())) == len(before)


def test_database_whose_headers_are_damaged_is_not_made_anew() -> None:
    """A file that a crash left half made has no copy of the header at all; this one has data."""
    rig = settled()
    rig.instance.detach(rig.edb())
    for copy in range(2):
        overwrite(rig.volume, rig.edb(), copy * PAGE + 100, b"damaged")
    before = content(rig.volume, rig.edb())
    with pytest.raises(JetError) as refused:
        rig.instance.create_database(rig.edb(), rig.stm())
    assert refused.value.err == JetErr.DATABASE_DUPLICATE
    assert content(rig.volume, rig.edb()) == before
    put(rig.volume, rig.edb(), bytes(3 * PAGE))
    rig.instance.create_database(rig.edb(), rig.stm())


def test_attached_already() -> None:
    rig = settled()
    for name in (rig.edb(), rig.edb().swapcase()):
        with pytest.raises(JetError) as refused:
            rig.instance.attach(name, rig.stm())
        assert refused.value.err == JetErr.WRN_DATABASE_ATTACHED
    assert len(rig.instance.databases) == 1


def test_not_attached() -> None:
    rig = settled()
    with pytest.raises(JetError) as refused:
        rig.instance.detach(rig.edb("pub1"))
    assert refused.value.err == JetErr.DATABASE_NOT_FOUND


def test_copy_of_an_attached_database() -> None:
    rig = settled("priv1", "pub1")
    stm, copy = rig.stm(), rig.stm("copy")
    assert stm is not None
    assert copy is not None
    rig.instance.detach(rig.edb())
    put(rig.volume, rig.edb("copy"), content(rig.volume, rig.edb()))
    put(rig.volume, copy, content(rig.volume, stm))
    rig.instance.attach(rig.edb(), rig.stm())
    with pytest.raises(JetError) as refused:
        rig.instance.attach(rig.edb("copy"), copy)
    assert refused.value.err == JetErr.DATABASE_SIGN_IN_USE
    rig.instance.detach(rig.edb())
    rig.instance.attach(rig.edb("copy"), copy)


def test_open_transaction_keeps_its_database() -> None:
    rig = settled()
    transaction = rig.instance.begin()
    rig.database().tables["Msg"].insert(transaction, message(2))
    with pytest.raises(JetError) as refused:
        rig.instance.detach(rig.edb())
    assert refused.value.err == JetErr.DATABASE_IN_USE
    transaction.rollback()
    rig.instance.detach(rig.edb())


# -- files that are not what they should be


@pytest.mark.parametrize("how", ["missing", "foreign"])
def test_streaming_file_that_does_not_belong(how: str) -> None:
    rig = settled()
    stm = rig.stm()
    assert stm is not None
    rig.instance.detach(rig.edb())
    stream = content(rig.volume, stm)
    if how == "missing":
        delete(rig.volume, stm)
    else:
        foreign = evolve(
            DatabaseHeader.unpack(stream[:PAGE]),
            sign_slv=Signature(4711, LogTime.from_unix(1_000_000_000)),
        )
        overwrite(rig.volume, stm, 0, foreign.pack(PAGE) * 2)
    with pytest.raises(JetError) as refused:
        rig.instance.attach(rig.edb(), stm)
    assert refused.value.err == JetErr.DATABASE_STREAMING_FILE_MISMATCH
    assert rig.edb() in refused.value.detail or stm in refused.value.detail
    put(rig.volume, stm, stream)
    rig.instance.attach(rig.edb(), stm)


@pytest.mark.parametrize("copies", [[0], [1], [0, 1]])
def test_damaged_header(copies: list[int]) -> None:
    rig = settled()
    rig.instance.detach(rig.edb())
    for copy in copies:
        damage(rig.volume, rig.edb(), copy * PAGE + 40)
    if len(copies) < 2:
        rig.instance.attach(rig.edb(), rig.stm())
        return
    with pytest.raises(JetError) as refused:
        rig.instance.attach(rig.edb(), rig.stm())
    assert refused.value.err == JetErr.DATABASE_CORRUPTED


def test_file_that_is_not_there() -> None:
    rig = settled()
    with pytest.raises(JetError) as refused:
        rig.instance.attach(rig.edb("other"), None)
    assert refused.value.err == JetErr.FILE_NOT_FOUND
    assert rig.edb("other") in refused.value.detail


# -- what a backup needs of its instance


def test_circular_logging_allows_no_incremental() -> None:
    rig = Rig(config=evolve(SLEEPING, circular=True), spec=EMPTY).create()
    rig.back_up()
    with pytest.raises(JetError) as refused:
        rig.instance.backup.begin(BackupType.LOGS_ONLY)
    assert refused.value.err == JetErr.INVALID_BACKUP
    rig.back_up()


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("missing", JetErr.CHECKPOINT_FILE_NOT_FOUND),
        ("damaged", JetErr.CHECKPOINT_CORRUPT),
        ("one copy", None),
    ],
)
def test_checkpoint_file_that_cannot_be_read(how: str, expected: JetErr | None) -> None:
    rig = settled()
    path = f"{FOLDER}\\E00.chk"
    if how == "missing":
        delete(rig.volume, path)
    else:
        for copy in range(1 if how == "one copy" else 2):
            damage(rig.volume, path, copy * PAGE + 20)
    backup = rig.instance.backup
    if expected is None:
        backup.begin(BackupType.FULL)
        return
    with pytest.raises(JetError) as refused:
        backup.begin(BackupType.FULL)
    assert refused.value.err == expected
    assert "E00.chk" in refused.value.detail
    assert backup.state is BackupState.PREPARED
    assert header(rig).bkinfo_full_prev == NO_BACKUP
    rig.instance.update_checkpoint()
    rig.back_up()
