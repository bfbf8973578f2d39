"""Virtual databases in an engine: changed, backed up, recovered, crashed, grown, opened again."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from attrs import evolve

from eseback.constants import BackupType
from eseback.formats.dbheader import DatabaseHeader
from eseback.formats.trailer import Trailer
from esesim.engine.ballast import BLOCK, ballast_row
from esesim.engine.config import InstanceConfig
from esesim.engine.inspect import check_database, check_file, opened
from esesim.engine.schema import BALLAST
from esesim.engine.table import Row, Table
from esesim.engine.virtual import ballast_problems, size_problem
from esesim.volume import DirectoryVolume, MemoryVolume, PowerLoss, Volume
from esesim.windows_path import to_volume_path
from tests.support.edb import FORMATS
from tests.support.engine import CONFIG, SPEC, Recovered, Rig
from tests.support.virtual import (
    GIB,
    MIB,
    SMALL,
    TIB,
    config_of,
    rule_of,
    virtual_rig,
)

pytestmark = pytest.mark.uncovered

FORMAT_IDS = [f"{revision:#x}" for revision, _ in FORMATS]
PATCHING = evolve(CONFIG, revision=9, patch_files=True)


@pytest.fixture(params=[*FORMATS, "patch files"], ids=[*FORMAT_IDS, "patch files"])
def config(request: pytest.FixtureRequest) -> InstanceConfig:
    return PATCHING if request.param == "patch files" else config_of(*request.param)


def ballast(rig: Rig) -> Table:
    return rig.database().tables[BALLAST]


def recovered_problems(recovered: Recovered, size: int = SMALL) -> list[str]:
    """What is wrong with a recovered virtual database, Ballast included."""
    config = recovered.rig.config
    problems = check_file(recovered.volume, *recovered.paths())
    with opened(recovered.volume, *recovered.paths()) as database:
        problems += ballast_problems(database.tables[BALLAST], rule_of(size, config))
    return problems


def test_a_new_one_is_whole(config: InstanceConfig) -> None:
    rig = virtual_rig(SMALL, config)
    assert list(check_database(rig.database())) == []
    assert list(ballast_problems(ballast(rig), rule_of(SMALL, config))) == []
    assert rig.volume.size(to_volume_path(rig.edb())) == SMALL


def test_problems_of_ballast_are_told() -> None:
    rig = virtual_rig(SMALL)
    table, rule = ballast(rig), rule_of(SMALL)
    numbers = list(rule.row_ids())
    transaction = rig.instance.begin()
    table.replace(transaction, {**ballast_row(numbers[5]), "Size": 1})
    table.delete(transaction, table.key({"Id": numbers[-1]}))
    transaction.commit()
    assert list(ballast_problems(table, rule)) == [
        f"Ballast row {numbers[5]} is not the row {numbers[5]} of the rule",
        f"Ballast row {numbers[-1]} is missing, and all behind it",
    ]


def test_backup_under_load_is_recovered(config: InstanceConfig) -> None:
    rig = virtual_rig(SMALL, config, spec=evolve(SPEC, messages=60))
    rig.work(60)
    rig.steps, rig.steps_per_backup_max = 3, 200
    saved = rig.back_up(chunk=6 * config.page_size)
    assert rig.marks["stale_page_copied"], "work went on between the reads"
    image = saved.databases[0].data
    size = SMALL + (0 if config.patch_files else config.page_size)
    assert len(image) == size
    header = DatabaseHeader.unpack(image[: config.page_size])
    assert header.bkinfo_full_cur.gen_low and not header.bkinfo_full_cur.gen_high
    if not config.patch_files:
        trailer = Trailer.unpack(image[-config.page_size :])
        assert trailer.bkinfo.mark == header.bkinfo_full_cur.mark
    rig.work(40)
    later = rig.back_up(BackupType.LOGS_ONLY)
    recovered = rig.recover([saved, later])
    assert recovered.rows() == recovered.expected()
    assert recovered_problems(recovered) == []


def change_ballast(rig: Rig, table: Table, numbers: list[int]) -> dict[int, Row | None]:
    """Updates, deletes and inserts all over the table, some taken back; what must be there."""
    expected: dict[int, Row | None] = {}
    transaction = rig.instance.begin()
    for number in numbers[:: len(numbers) // 40]:
        row = {**ballast_row(number), "Body": "short", "Unread": None}
        table.replace(transaction, row)
        expected[number] = row
    # Whole leaves become empty, among them both ends of a block and of the table.
    last = rule_of(SMALL, rig.config).end_pgno
    count = rig.config.page_size // 2048
    for pgno in (2 * BLOCK + 1, 2 * BLOCK - 1, last - 1, last - 2):
        for number in range(pgno * count, (pgno + 1) * count):
            table.delete(transaction, table.key({"Id": number}))
            expected[number] = None
    transaction.commit()
    transaction = rig.instance.begin()
    for number in (-5, 3, numbers[-1] + 7, numbers[-1] + 9):
        row = ballast_row(number % 512) | {"Id": number}
        table.insert(transaction, row)
        expected[number] = row
    transaction.commit()
    transaction = rig.instance.begin()
    for number in numbers[100:110]:
        table.delete(transaction, table.key({"Id": number}))
    transaction.rollback()
    return expected


def assert_ballast(table: Table, numbers: list[int], changed: dict[int, Row | None]) -> None:
    expected = {number: ballast_row(number) for number in numbers}
    for number, row in changed.items():
        if row is None:
            del expected[number]
        else:
            expected[number] = row
    found = {row["Id"]: row for _, row in table.rows()}
    assert found.keys() == expected.keys()
    assert found == expected
    assert list(found) == sorted(expected)


def test_changes_of_generated_rows_are_rows_like_any(config: InstanceConfig) -> None:
    rig = virtual_rig(SMALL, config)
    table, numbers = ballast(rig), list(rule_of(SMALL, config).row_ids())
    first = rig.back_up()
    changed = change_ballast(rig, table, numbers)
    rig.checkpoint_now()
    assert list(check_database(rig.database())) == []
    assert_ballast(table, numbers, changed)
    second = rig.back_up(BackupType.LOGS_ONLY)
    recovered = rig.recover([first, second])
    assert check_file(recovered.volume, *recovered.paths()) == []
    with opened(recovered.volume, *recovered.paths()) as database:
        assert_ballast(database.tables[BALLAST], numbers, changed)


def test_rows_that_grow_split_generated_leaves() -> None:
    rig = virtual_rig(SMALL)
    table, rule = ballast(rig), rule_of(SMALL)
    numbers = list(rule.row_ids())
    before = rig.database().pages.last_pgno
    changed: dict[int, Row | None] = {}
    for number in numbers[300:700]:
        row = {**ballast_row(number), "Subject": "x" * 250, "Sender": "y" * 120}
        transaction = rig.instance.begin()
        table.replace(transaction, row)
        transaction.commit()
        changed[number] = row
        rig.instance.background()
    assert rig.database().pages.last_pgno > before, "there is no room in front of Ballast for that"
    assert list(check_database(rig.database())) == []
    assert_ballast(table, numbers, changed)


def test_mail_grows_past_the_end_while_it_is_backed_up() -> None:
    size = 4 * MIB + 4096  # blocks up to its last page: nothing is free behind Ballast
    rig = virtual_rig(size, spec=evolve(SPEC, messages=60, body_size_max=30_000))
    rig.steps, rig.steps_per_backup_max = 6, 1200
    saved = rig.back_up(chunk=3 * 4096)
    assert rig.marks["growth_past_open_size"]
    assert rig.volume.size(to_volume_path(rig.edb())) > size
    assert len(saved.databases[0].data) == size + 4096
    recovered = rig.recover([saved])
    assert recovered.rows() == recovered.expected()
    assert recovered_problems(recovered, size) == []


@pytest.mark.parametrize("seed", range(12))
def test_crash_at_any_write_loses_nothing(seed: int) -> None:
    rng = random.Random(seed)
    config = config_of(*FORMATS[seed % len(FORMATS)])
    volume = MemoryVolume()
    rig = virtual_rig(SMALL, config, volume=volume, seed=seed)
    numbers = list(rule_of(SMALL, config).row_ids())
    # A row of Ballast with every piece of work: generated pages are written, torn and lost, too.
    committed: dict[int, Row | None] = {}
    row: Row = {}
    volume.fail_after_writes(rng.randrange(5, 400))
    with pytest.raises(PowerLoss):
        while True:
            rig.work(1)
            row = {**ballast_row(rng.choice(numbers)), "Size": rng.randrange(1 << 20)}
            transaction = rig.instance.begin()
            ballast(rig).replace(transaction, row)
            transaction.commit()
            committed[row["Id"]] = row  # type: ignore[index]
    volume.crash(rng)
    rig.boot()
    rig.attach()
    assert list(check_database(rig.database())) == []
    # The last one may be there or not: its commit was not acknowledged.
    table = ballast(rig)
    if row and table.get(table.key(row)) == row:
        committed[row["Id"]] = row  # type: ignore[index]
    assert_ballast(table, numbers, committed)
    rig.workload.settle()


def test_directory_keeps_what_was_written(tmp_path: Path) -> None:
    volume: Volume = DirectoryVolume(tmp_path, fsync=False)
    rig = virtual_rig(SMALL, volume=volume)
    numbers = list(rule_of(SMALL).row_ids())
    rig.work(40)
    changed = change_ballast(rig, ballast(rig), numbers)
    rig.workload.settle()
    rig.instance.terminate()
    (path,) = tmp_path.rglob("priv1.edb")
    assert path.stat().st_size < SMALL // 4
    again = Rig(volume=DirectoryVolume(tmp_path, fsync=False), journal=rig.journal)
    again.attach()
    assert again.volume.size(to_volume_path(rig.edb())) == SMALL
    assert list(check_database(again.database())) == []
    assert_ballast(ballast(again), numbers, changed)
    again.work(20)
    again.workload.settle()
    saved = again.back_up()
    recovered = again.recover([saved])
    assert recovered.rows() == recovered.expected()
    with opened(recovered.volume, *recovered.paths()) as database:
        assert_ballast(database.tables[BALLAST], numbers, changed)
    again.instance.terminate()


def test_directory_recovers_a_process_that_vanished(tmp_path: Path) -> None:
    rig = virtual_rig(SMALL, volume=DirectoryVolume(tmp_path, fsync=False))
    rig.work(30)
    numbers = list(rule_of(SMALL).row_ids())
    changed = change_ballast(rig, ballast(rig), numbers)
    rig.database().flush(20)
    rig.instance.log.close()
    rig.database().close()
    again = Rig(volume=DirectoryVolume(tmp_path, fsync=False), journal=rig.journal)
    again.attach()
    assert list(check_database(again.database())) == []
    assert_ballast(ballast(again), numbers, changed)
    again.instance.terminate()


def test_both_volumes_hold_the_same_bytes(tmp_path: Path) -> None:
    files = []
    for volume in (MemoryVolume(), DirectoryVolume(tmp_path, fsync=False)):
        rig = virtual_rig(SMALL, volume=volume)
        rig.work(50)
        change_ballast(rig, ballast(rig), list(rule_of(SMALL).row_ids()))
        rig.workload.settle()
        rig.instance.terminate()
        file = volume.open(to_volume_path(rig.edb()))
        files.append(file.read(0, file.size))
        file.close()
    assert files[0] == files[1]


def test_work_in_a_huge_one_takes_little_memory(config: InstanceConfig) -> None:
    volume = MemoryVolume()
    rig = virtual_rig(TIB, config, volume=volume)
    rule = rule_of(TIB, config)
    table, rng = ballast(rig), random.Random(1)
    count = config.page_size // 2048
    for _ in range(200):
        number = (rng.randrange(rule.first, rule.end) * BLOCK + rng.randrange(3, BLOCK)) * count
        transaction = rig.instance.begin()
        assert table.get(table.key({"Id": number})) == ballast_row(number)
        table.replace(transaction, {**ballast_row(number), "Size": None})
        transaction.commit()
        rig.work(1)
    rig.workload.settle()
    rig.instance.detach(rig.edb())
    assert volume.memory_used() < 32 * MIB
    rig.instance.attach(rig.edb(), rig.stm())
    assert ballast(rig).get(table.key({"Id": number})) == {**ballast_row(number), "Size": None}


@pytest.mark.parametrize(
    ("size", "page_size", "says"),
    [
        (4 * MIB - 4096, 4096, "from 4 MiB to 4 TiB"),
        (8 * MIB + 1, 4096, "multiple of 4096"),
        (4 * TIB + 4096, 4096, "to 4 TiB"),
        (4 * MIB, 8192, "from 8 MiB"),
    ],
)
def test_sizes_that_cannot_be(size: int, page_size: int, says: str) -> None:
    problem = size_problem(size, page_size)
    assert problem is not None
    assert says in problem
    with pytest.raises(ValueError, match="virtual database"):
        rule_of(size, config_of(0xC if page_size == 8192 else 0xB, page_size))


@pytest.mark.parametrize("size", [4 * MIB, 5 * MIB + 4096, GIB, 64 * GIB, 2 * TIB, 4 * TIB])
def test_sizes_that_can_be(size: int) -> None:
    assert size_problem(size, 4096) is None
    rig = virtual_rig(size)
    assert rig.volume.size(to_volume_path(rig.edb())) == size
    assert ballast(rig).primary.last_key() == ballast(rig).key(
        {"Id": rule_of(size).end_pgno * 2 - 1}
    )
