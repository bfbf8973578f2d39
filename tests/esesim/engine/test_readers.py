"""A database that a workload has changed, as readers that are not ours see it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from esesim.windows_path import to_volume_path
from tests.support.edb import FORMATS
from tests.support.engine import CONFIG, SPEC, Rig
from tests.support.readers import Reader, checksum_mismatches, each_reader

pytestmark = pytest.mark.uncovered

type_Tables = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module", params=FORMATS, ids=[f"{revision:#x}" for revision, _ in FORMATS])
def worked_on(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, type_Tables]:
    """The file after splits, deletes and rollbacks, and the rows that were committed to it."""
    revision, page_size = request.param
    config = evolve(CONFIG, revision=revision, page_size=page_size, has_streaming=page_size == 4096)
    rig = Rig(seed=revision, config=config, spec=evolve(SPEC, messages=150)).create()
    rig.work(700)
    rig.workload.settle()
    rig.instance.detach(rig.edb())
    file = rig.volume.open(to_volume_path(rig.edb()))
    path = tmp_path_factory.mktemp("worked-on") / "priv1.edb"
    path.write_bytes(file.read(0, file.size))
    file.close()
    journal = rig.journal.rows(rig.edb())
    tables = {name: [dict(row) for row in rows.values() if row] for name, rows in journal.items()}
    assert len(tables["Msg"]) > 200
    return path, tables


@each_reader
def test_readers_find_what_was_committed(
    reader: Reader, worked_on: tuple[Path, type_Tables]
) -> None:
    path, tables = worked_on
    # Bodies lie in the streaming file; readers see where, the journal knows what.
    assert reader.differences(path, tables, ignore=("Stream",)) == []


@pytest.mark.needs_tool("esedbinfo")
def test_every_checksum_is_right(worked_on: tuple[Path, type_Tables]) -> None:
    assert checksum_mismatches(worked_on[0]) == []
