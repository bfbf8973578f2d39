"""Virtual databases as independent readers see them, small ones wholly, huge ones at both ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from esesim.engine.ballast import BLOCK, BallastRule, ballast_row, rows_per_page
from esesim.engine.config import InstanceConfig
from esesim.engine.page import Page
from esesim.engine.schema import BALLAST
from esesim.volume import VolumeFile
from esesim.windows_path import to_volume_path
from tests.esesim.engine.test_images import as_tables
from tests.support.edb import FORMATS
from tests.support.engine import Rig
from tests.support.readers import Reader, checksum_mismatches, each_reader, pyesedb_row
from tests.support.virtual import SMALL, TIB, OpenedFile, config_of, rule_of, virtual_rig, window

pytestmark = pytest.mark.uncovered

FORMAT_IDS = [f"{revision:#x}" for revision, _ in FORMATS]


@pytest.fixture(scope="module", params=FORMATS, ids=FORMAT_IDS)
def config(request: pytest.FixtureRequest) -> InstanceConfig:
    return config_of(*request.param)


def detached(rig: Rig) -> VolumeFile:
    """The file of the database after a clean end."""
    rig.workload.settle()
    rig.instance.detach(rig.edb())
    return rig.volume.open(to_volume_path(rig.edb()))


@pytest.fixture(scope="module")
def small(config: InstanceConfig, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Rig]:
    rig = virtual_rig(SMALL, config)
    rig.work(60)
    file = detached(rig)
    path = tmp_path_factory.mktemp("virtual") / "priv1.edb"
    path.write_bytes(file.read(0, file.size))
    assert path.stat().st_size == SMALL
    return path, rig


@each_reader
def test_readers_find_every_row_of_a_small_one(
    reader: Reader, small: tuple[Path, Rig], config: InstanceConfig
) -> None:
    path, rig = small
    tables = as_tables(rig.journal.rows(rig.edb()))
    tables[BALLAST] = [ballast_row(number) for number in rule_of(SMALL, config).row_ids()]
    assert len(tables[BALLAST]) > 2000
    assert reader.differences(path, tables, ignore=("Stream",)) == []


@pytest.mark.needs_tool("esedbinfo")
def test_every_checksum_is_right(small: tuple[Path, Rig]) -> None:
    assert checksum_mismatches(small[0]) == []


@pytest.fixture(scope="module")
def huge(config: InstanceConfig) -> tuple[VolumeFile, BallastRule, Page]:
    """A database of 1 TiB: its file, its rule and the root of Ballast."""
    rig = virtual_rig(TIB, config)
    rig.work(30)
    table = rig.database().tables[BALLAST]
    root = rig.database().pages.get(table.primary.fdp)
    file = detached(rig)
    assert file.size == TIB
    return file, rule_of(TIB, config), root


def ids_of(rule: BallastRule, block: int) -> range:
    count = rows_per_page(rule.page_size)
    return range((block * BLOCK + rule.lead(block)) * count, (block + 1) * BLOCK * count)


@pytest.mark.needs_tool("dissect.database")
def test_dissect_finds_rows_of_a_huge_one_by_key(
    huge: tuple[VolumeFile, BallastRule, Page],
) -> None:
    from dissect.database.ese import ESE

    file, rule, _ = huge
    table = ESE(OpenedFile(file)).table(BALLAST)
    first, last = ids_of(rule, rule.first), ids_of(rule, rule.end - 1)
    for number in (first[0], first[-1], ids_of(rule, 65_536)[0], last[0], last[-1]):
        record, expected = table.search(Id=number), ballast_row(number)
        assert {name: record.get(name) for name in expected} == expected
    records = table.records()
    for number in first[:600]:
        assert next(records).get("Id") == number


@pytest.mark.needs_tool("pyesedb")
@pytest.mark.parametrize("which", ["first", "a group's first", "last"])
def test_pyesedb_reads_rows_at_both_ends_of_a_huge_one(
    which: str, huge: tuple[VolumeFile, BallastRule, Page]
) -> None:
    """libesedb counts the leaves of a table, 16 384 at most: it is given those of one block."""
    import pyesedb

    file, rule, root = huge
    block = {"first": rule.first, "a group's first": 256, "last": rule.end - 1}[which]
    reader = pyesedb.file()
    reader.open_file_object(window(file, rule, root, block))
    table = reader.get_table_by_name(BALLAST)
    rows: list[dict[str, Any]] = [pyesedb_row(record) for record in table.records]
    reader.close()
    assert rows == [ballast_row(number) for number in ids_of(rule, block)]
