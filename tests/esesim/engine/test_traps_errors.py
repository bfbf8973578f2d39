"""Errors in the middle of a backup: what they end, and what they leave alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
from attrs import evolve

from eseback.constants import BackupType
from eseback.errors import JetErr
from eseback.formats.checksum import page_is_good
from eseback.formats.fields import NO_BACKUP
from eseback.order import BackupState
from esesim.engine.errors import JetError
from tests.support.engine import CONFIG, FOLDER, Rig, StepClock
from tests.support.files import content

PAGE = 4096
SLEEPING = evolve(CONFIG, flush_per_slice=0, checkpoint_lag=1000)
BAD_PGNO = 4  # MSysObjects: in use in every database
ALL_RETRIES = [pytest.approx(0.1 * number) for number in range(1, 17)]


class HealingClock(StepClock):
    """Does something before the n-th wait."""

    def __init__(self) -> None:
        super().__init__()
        self.before_wait: tuple[int, Callable[[], None]] | None = None

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        if self.before_wait is not None and len(self.slept) == self.before_wait[0]:
            self.before_wait[1]()


def settled(*names: str, clock: StepClock | None = None) -> Rig:
    """Databases that are written to the last page, and an empty event log."""
    rig = Rig(config=SLEEPING, names=names or ("priv1",), clock=clock or StepClock()).create()
    rig.work(60)
    rig.workload.settle()
    rig.checkpoint_now()
    rig.events.clear()
    return rig


def spoil_page(rig: Rig, name: str = "priv1", pgno: int = BAD_PGNO) -> bytes:
    """Damage a page on the disk beyond what an ECC repairs; returns it as it was."""
    pages = rig.database(name).pages
    good = pages.file.read((pgno + 1) * PAGE, PAGE)
    # Not eight bytes: the checksum is an XOR, where inverting two words comes to nothing.
    pages.file.write((pgno + 1) * PAGE + 100, bytes(byte ^ 0xFF for byte in good[100:103]))
    pages.distrust()
    return good


def read_all(rig: Rig, path: str) -> None:
    rig.read_file(path)


def refusal(call: Callable[[], object]) -> JetError:
    with pytest.raises(JetError) as refused:
        call()
    assert refused.value.detail, "every error says what happened"
    return refused.value


def event_ids(rig: Rig) -> list[int]:
    return [event.id for event in rig.events]


# -- traps 12 and 24: a bad page


def test_bad_page_drops_its_database_and_the_backup_goes_on() -> None:
    rig = settled("priv1", "pub1")
    spoil_page(rig)
    backup = rig.instance.backup
    backup.begin(BackupType.FULL)
    handle, size = backup.open_file(rig.edb())
    buffer = memoryview(bytearray(3 * PAGE))
    assert backup.read_file(handle, buffer) == 3 * PAGE
    rig.events.clear()
    error = refusal(lambda: backup.read_file(handle, buffer))
    assert error.err == JetErr.READ_VERIFY_FAILURE
    assert str(BAD_PGNO) in error.detail
    assert rig.clock.slept == ALL_RETRIES
    assert sum(rig.clock.slept) == pytest.approx(13.6)
    assert event_ids(rig) == [474, 217, 222]
    assert rig.events[0].values["offset"] == (BAD_PGNO + 1) * PAGE
    assert rig.events[1].values == {"error": -1018, "file": rig.edb()}
    assert rig.events[2].values["size"] == size

    assert backup.state is BackupState.DATABASES, "the engine has closed the file itself"
    for call in (
        lambda: backup.close_file(handle),
        lambda: backup.read_file(handle, buffer),
    ):
        assert refusal(call).err == JetErr.INVALID_PARAMETER
    stm = rig.stm("pub1")
    assert stm is not None
    saved = rig.finish([rig.read_file(rig.edb("pub1")), rig.read_file(stm)])
    assert rig.database("priv1").header.bkinfo_full_prev == NO_BACKUP
    high = rig.database("pub1").header.bkinfo_full_prev.gen_high
    assert high == saved.generations[-1]
    recovered = rig.recover([saved], names=["pub1"])
    assert recovered.rows("pub1") == recovered.expected("pub1")


def test_database_with_a_bad_page_keeps_its_logs() -> None:
    rig = settled("priv1", "pub1")
    logs = rig.instance.files.closed_generations()
    spoil_page(rig)
    backup = rig.instance.backup
    backup.begin(BackupType.FULL)
    handle, _ = backup.open_file(rig.edb())
    error = refusal(lambda: backup.read_file(handle, memoryview(bytearray(64 * PAGE))))
    assert error.err == JetErr.READ_VERIFY_FAILURE
    read_all(rig, rig.edb("pub1"))
    backup.log_list()
    assert backup.truncate_list() == []
    backup.truncate()
    backup.end(True)
    assert rig.instance.files.closed_generations()[: len(logs)] == logs


@pytest.mark.parametrize("tries", [1, 5, 16])
def test_page_that_is_good_again_costs_a_warning(tries: int) -> None:
    clock = HealingClock()
    rig = settled(clock=clock)
    good = spoil_page(rig)
    pages = rig.database().pages
    clock.before_wait = (tries, lambda: pages.file.write((BAD_PGNO + 1) * PAGE, good))
    backup = rig.instance.backup
    backup.begin(BackupType.FULL)
    rig.events.clear()
    image = rig.read_file(rig.edb()).data
    assert page_is_good(image[(BAD_PGNO + 1) * PAGE : (BAD_PGNO + 2) * PAGE], BAD_PGNO)
    assert clock.slept == ALL_RETRIES[:tries]
    assert event_ids(rig) == [220, 493, 221]
    assert rig.events[1].values == {
        "file": rig.edb(),
        "offset": (BAD_PGNO + 1) * PAGE,
        "count": tries,
    }


def test_bad_page_of_the_streaming_file_drops_the_database() -> None:
    rig = settled("priv1", "pub1")
    streaming = rig.database().streaming
    assert streaming is not None
    pgno, _ = next(iter(streaming.used_pages()))
    streaming.file.write((pgno + 1) * PAGE, b"\xff" * 16)
    streaming.distrust()
    stm = rig.stm()
    assert stm is not None
    backup = rig.instance.backup
    backup.begin(BackupType.FULL)
    read_all(rig, rig.edb())
    handle, _ = backup.open_file(stm)
    rig.events.clear()
    error = refusal(lambda: backup.read_file(handle, memoryview(bytearray(512 * PAGE))))
    assert error.err == JetErr.READ_VERIFY_FAILURE
    assert event_ids(rig) == [478, 217, 222]
    assert sum(rig.clock.slept) == pytest.approx(13.6)
    assert backup.state is BackupState.DATABASES
    # The .edb had been read to its end; without its .stm it is no backup of the database.
    read_all(rig, rig.edb("pub1"))
    rig.finish([])
    assert rig.database("priv1").header.bkinfo_full_prev == NO_BACKUP
    assert rig.database("pub1").header.bkinfo_full_prev != NO_BACKUP


def test_zero_page_is_not_a_bad_page() -> None:
    rig = settled()
    pages = rig.database().pages
    last = pages.last_pgno
    assert not any(pages.file.read((last + 1) * PAGE, PAGE)), "room that nothing has used yet"
    pages.distrust()
    rig.back_up()
    assert rig.clock.slept == []


# -- trap 12: a bad log


@pytest.mark.parametrize("kind", [BackupType.FULL, BackupType.LOGS_ONLY])
@pytest.mark.parametrize("offset", [100, 4096 + 30, -1], ids=["header", "first", "end"])
def test_bad_log_ends_the_backup_and_frees_the_group(kind: BackupType, offset: int) -> None:
    rig = settled()
    rig.back_up()
    rig.work(60)
    rig.workload.settle()
    backup = rig.instance.backup
    backup.begin(kind)
    path = backup.log_list()[0]
    file = rig.volume.open(rig.config.resolve(path))
    if offset < 0:
        # The last byte that is not padding: the end mark's block.
        data = file.read(0, file.size)
        offset = len(data.rstrip(b"\0")) - 1
    file.write(offset, bytes([file.read(offset, 1)[0] ^ 0x5A]))
    file.close()
    handle, size = backup.open_file(path)
    rig.events.clear()
    error = refusal(lambda: backup.read_file(handle, memoryview(bytearray(size))))
    assert error.err == JetErr.LOG_READ_VERIFY_FAILURE
    assert event_ids(rig) == [218, 214]
    assert rig.events[0].values == {"error": -612, "file": path}
    assert rig.clock.slept == [], "logs are not tried again"
    for call in (
        lambda: backup.close_file(handle),
        backup.log_list,
        backup.truncate,
        lambda: backup.end(True),
        lambda: backup.end(False),
    ):
        assert refusal(call).err == JetErr.NO_BACKUP
    rig.instance.detach(rig.edb())
    rig.instance.attach(rig.edb(), rig.stm())


def test_log_cut_off_short_is_noticed() -> None:
    rig = settled()
    rig.work(60)
    backup = rig.instance.backup
    backup.begin(BackupType.FULL)
    path = backup.log_list()[0]
    file = rig.volume.open(rig.config.resolve(path))
    # Ends with a whole block, so that only the end mark tells.
    file.resize(4096)
    file.close()
    handle, size = backup.open_file(path)
    error = refusal(lambda: backup.read_file(handle, memoryview(bytearray(2 * size))))
    assert error.err == JetErr.LOG_READ_VERIFY_FAILURE


# -- trap 13: opening what the phase has no place for


def test_database_in_the_log_phase_costs_the_backup() -> None:
    rig = settled()
    backup = rig.instance.backup
    backup.begin(BackupType.FULL)
    backup.log_list()
    rig.events.clear()
    assert refusal(lambda: backup.open_file(rig.edb())).err == JetErr.INVALID_BACKUP_SEQUENCE
    assert event_ids(rig) == [214]
    assert refusal(backup.log_list).err == JetErr.NO_BACKUP
    rig.instance.detach(rig.edb())


def test_log_that_is_not_there_costs_the_backup() -> None:
    rig = settled()
    backup = rig.instance.backup
    backup.begin(BackupType.FULL)
    backup.log_list()
    rig.events.clear()
    path = f"{FOLDER}\\E00FFFFF.log"
    assert refusal(lambda: backup.open_file(path)).err == JetErr.MISSING_FILE_TO_BACKUP
    assert event_ids(rig) == [459, 214]
    assert rig.events[0].values == {"file": path}
    assert refusal(lambda: backup.end(False)).err == JetErr.NO_BACKUP


@pytest.mark.parametrize("path", ["edb", "stm", "log"])
def test_list_with_a_file_open_is_refused_and_harms_nothing(path: str) -> None:
    rig = settled()
    backup = rig.instance.backup
    backup.begin(BackupType.FULL)
    name = {"edb": rig.edb(), "stm": rig.stm()}.get(path) or backup.log_list()[0]
    before = rig.instance.log.generation
    handle, size = backup.open_file(name)
    for call in (backup.log_list, backup.truncate_list, backup.truncate):
        assert refusal(call).err == JetErr.INVALID_BACKUP_SEQUENCE
    assert rig.instance.log.generation == before, "and the log did not roll"
    assert backup.read_file(handle, memoryview(bytearray(size))) == size
    backup.close_file(handle)
    backup.log_list()
    backup.end(True)


def test_unknown_database_in_the_database_phase_is_refused_and_harms_nothing() -> None:
    rig = settled()
    backup = rig.instance.backup
    backup.begin(BackupType.FULL)
    rig.events.clear()
    for path in (rig.edb("other"), f"{FOLDER}\\E00.log"):
        assert refusal(partial(backup.open_file, path)).err == JetErr.DATABASE_NOT_FOUND
    assert event_ids(rig) == [217, 217]
    rig.finish([rig.read_file(rig.edb())])


# -- trap 27: argument errors


def reach(rig: Rig, state: BackupState) -> int:
    """Bring a backup into a state; returns the handle that is open, or one that never was."""
    backup = rig.instance.backup
    logs_only = state in (BackupState.LOGS_UNLISTED, BackupState.LOGS_UNLISTED_OPEN)
    backup.begin(BackupType.LOGS_ONLY if logs_only else BackupType.FULL)
    handle = 0
    path = rig.edb()
    if state in (BackupState.LOGS, BackupState.LOG_OPEN):
        path = backup.log_list()[0]
    elif logs_only:
        path = f"{FOLDER}\\E00{rig.instance.files.closed_generations()[0]:05X}.log"
    if state.file_open:
        handle, _ = backup.open_file(path)
    assert backup.state is state
    return handle


@pytest.mark.parametrize(
    "state",
    [
        BackupState.DATABASES,
        BackupState.DATABASE_OPEN,
        BackupState.LOGS_UNLISTED,
        BackupState.LOGS_UNLISTED_OPEN,
        BackupState.LOGS,
        BackupState.LOG_OPEN,
    ],
)
def test_argument_errors_never_end_a_backup(state: BackupState) -> None:
    rig = settled()
    rig.back_up()
    handle = reach(rig, state)
    backup = rig.instance.backup
    page = memoryview(bytearray(PAGE))
    wrong: list[Callable[[], object]] = [
        lambda: backup.open_file(""),
        lambda: backup.read_file(handle + 1000, page),
        lambda: backup.close_file(handle + 1000),
        lambda: backup.read_file(-1, page),
    ]
    if state.file_open:
        # Not whole pages; nothing; fewer than a first read has to take.
        wrong += [
            lambda: backup.read_file(handle, memoryview(bytearray(3 * PAGE + 1))),
            lambda: backup.read_file(handle, memoryview(bytearray(0))),
            lambda: backup.read_file(handle, page),
        ]
    rig.events.clear()
    for call in wrong:
        assert refusal(call).err == JetErr.INVALID_PARAMETER
        assert backup.state is state
    assert rig.events == []
    if state.file_open:
        error = refusal(lambda: backup.open_file(rig.edb()))
        assert error.err == JetErr.OUT_OF_MEMORY, "one file at a time"
        assert backup.state is state
        assert backup.read_file(handle, memoryview(bytearray(4 * PAGE))) > 0
        backup.close_file(handle)
    if state in (BackupState.DATABASE_OPEN, BackupState.DATABASES):
        backup.log_list()
    backup.end(True)


def test_second_begin_harms_nothing() -> None:
    rig = settled()
    backup = rig.instance.backup
    backup.begin(BackupType.FULL)
    handle, size = backup.open_file(rig.edb())
    for kind in BackupType:
        assert refusal(partial(backup.begin, kind)).err == JetErr.BACKUP_IN_PROGRESS
    assert backup.read_file(handle, memoryview(bytearray(size))) == size
    backup.close_file(handle)
    rig.finish([])
    assert rig.database().header.bkinfo_full_prev.gen_low > 0


def test_calls_without_a_backup() -> None:
    rig = settled()
    backup = rig.instance.backup
    page = memoryview(bytearray(3 * PAGE))
    calls: list[Callable[[], object]] = [
        lambda: backup.open_file(rig.edb()),
        lambda: backup.open_file(""),
        lambda: backup.read_file(1, page),
        lambda: backup.close_file(1),
        backup.log_list,
        backup.truncate_list,
        backup.truncate,
        lambda: backup.end(True),
        lambda: backup.end(False),
    ]
    for call in calls:
        assert refusal(call).err == JetErr.NO_BACKUP
    assert rig.events == []


# -- ends that are none


def test_end_before_the_list_is_no_success() -> None:
    rig = settled()
    backup = rig.instance.backup
    before = content(rig.volume, rig.edb())[:PAGE]
    backup.begin(BackupType.FULL)
    read_all(rig, rig.edb())
    rig.events.clear()
    assert refusal(lambda: backup.end(True)).err == JetErr.BACKUP_ABORT_BY_CALLER
    assert event_ids(rig) == [215]
    assert backup.state is BackupState.PREPARED
    assert content(rig.volume, rig.edb())[:PAGE] == before


def test_stop_by_the_server_is_noticed_at_the_next_call() -> None:
    rig = settled()
    backup = rig.instance.backup
    backup.begin(BackupType.FULL)
    handle, size = backup.open_file(rig.edb())
    backup.stop()
    rig.events.clear()
    buffer = memoryview(bytearray(size))
    stopped: list[Callable[[], object]] = [
        lambda: backup.read_file(handle, buffer),
        backup.log_list,
        backup.truncate,
    ]
    for call in stopped:
        assert refusal(call).err == JetErr.BACKUP_ABORT_BY_SERVER
    backup.close_file(handle)
    assert refusal(lambda: backup.open_file(rig.edb())).err == JetErr.BACKUP_ABORT_BY_SERVER
    assert refusal(lambda: rig.instance.detach(rig.edb())).err == JetErr.BACKUP_IN_PROGRESS
    assert refusal(lambda: backup.end(True)).err == JetErr.BACKUP_ABORT_BY_SERVER
    assert event_ids(rig)[-1] == 226
    rig.back_up()


def test_lost_connection_ends_the_backup() -> None:
    rig = settled()
    backup = rig.instance.backup
    backup.begin(BackupType.FULL)
    backup.open_file(rig.edb())
    rig.events.clear()
    backup.connection_lost()
    assert 215 in event_ids(rig)
    assert rig.database().header.bkinfo_full_prev == NO_BACKUP
    rig.instance.detach(rig.edb())
    rig.instance.attach(rig.edb(), rig.stm())
    rig.back_up()
