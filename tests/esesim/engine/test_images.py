"""Database files of every stage as independent readers see them: live, copied, recovered.

The readers don't enforce checksums of pages; those are checked here, with the functions of the
format itself.
"""

from __future__ import annotations

import subprocess
import zlib
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve, frozen

from eseback.formats.checksum import header_is_good, page_is_good
from eseback.formats.dbheader import DatabaseHeader, DbAttribute
from eseback.formats.fields import FileType
from esesim.engine.inspect import opened
from esesim.journal import Rows
from esesim.windows_path import to_volume_path
from tests.support.engine import CONFIG, SPEC, Rig, SavedSet
from tests.support.files import content, put
from tests.support.readers import Reader, each_reader

pytestmark = pytest.mark.uncovered

PAGE = 4096
REVISIONS = (0x9, 0xB)
STAGES = ("live", "image", "recovered")
type_Tables = dict[str, list[dict[str, Any]]]


def bad_pages(data: bytes, *, trailer: bool = False) -> list[str]:
    """What is wrong with the checksums of a whole database file."""
    found = [f"header {n}" for n in range(2) if not header_is_good(data[n * PAGE : (n + 1) * PAGE])]
    end = len(data) // PAGE - trailer
    for pgno in range(1, end - 1):
        if not page_is_good(data[(pgno + 1) * PAGE : (pgno + 2) * PAGE], pgno):
            found.append(f"page {pgno}")
    if trailer and not header_is_good(data[-PAGE:]):
        found.append("trailer")
    return found


def as_tables(rows: Rows) -> type_Tables:
    return {name: [dict(row) for row in table.values()] for name, table in rows.items()}


@frozen
class Files:
    """One database in its stages, and the rows that are in all of them."""

    rig: Rig
    saved: SavedSet
    data: dict[str, bytes]
    stream: dict[str, bytes]
    tables: type_Tables


@pytest.fixture(scope="module", params=REVISIONS, ids=[f"{number:#x}" for number in REVISIONS])
def files(request: pytest.FixtureRequest) -> Files:
    config = evolve(CONFIG, revision=request.param)
    rig = Rig(seed=request.param, config=config, spec=evolve(SPEC, messages=120)).create()
    rig.work(500)
    rig.workload.settle()
    rig.checkpoint_now()
    saved = rig.back_up()
    recovered = rig.recover([saved])
    tables = as_tables(rig.journal.rows(rig.edb()))
    assert len(tables["Msg"]) > 150
    stm = rig.stm()
    assert stm is not None
    return Files(
        rig,
        saved,
        {
            "live": content(rig.volume, rig.edb()),
            "image": saved.databases[0].data,
            "recovered": content(recovered.volume, rig.edb()),
        },
        {
            "live": content(rig.volume, stm),
            "image": saved.databases[1].data,
            "recovered": content(recovered.volume, stm),
        },
        tables,
    )


@each_reader
@pytest.mark.parametrize("stage", STAGES)
def test_readers_find_exactly_the_rows(
    reader: Reader, stage: str, files: Files, tmp_path: Path
) -> None:
    path = tmp_path / "priv1.edb"
    path.write_bytes(files.data[stage])
    # Bodies lie in the streaming file; readers see where, the journal knows what.
    assert reader.differences(path, files.tables, ignore=("Stream",)) == []


@pytest.mark.parametrize("stage", STAGES)
def test_every_page_has_a_right_checksum(stage: str, files: Files) -> None:
    data = files.data[stage]
    assert bad_pages(data, trailer=stage == "image") == []
    damaged = bytearray(data)
    damaged[40 * PAGE + 60] ^= 0x10
    assert bad_pages(bytes(damaged), trailer=stage == "image") == ["page 39"]


@pytest.mark.parametrize("stage", STAGES)
def test_checksum_is_of_the_kind_that_the_revision_has(stage: str, files: Files) -> None:
    data = files.data[stage]
    header = DatabaseHeader.unpack(data[:PAGE])
    assert header.revision == files.rig.config.revision
    for pgno in (1, 4, 24):
        page = data[(pgno + 1) * PAGE : (pgno + 2) * PAGE]
        flags = int.from_bytes(page[36:40], "little")
        assert bool(flags & 0x2000) == (header.revision >= 0xB)
        if header.revision < 0xB:
            assert int.from_bytes(page[4:8], "little") == pgno


@pytest.mark.parametrize("stage", STAGES)
def test_streaming_file_has_a_header_and_is_what_the_map_says(stage: str, files: Files) -> None:
    stream, data = files.stream[stage], files.data[stage]
    header = DatabaseHeader.unpack(stream[:PAGE])
    assert stream[:PAGE] == stream[PAGE : 2 * PAGE]
    assert (header.attribute, header.file_type) == (
        DbAttribute.STREAMING_FILE,
        FileType.STREAMING_FILE,
    )
    of_edb = DatabaseHeader.unpack(data[:PAGE])
    assert header.sign_slv == of_edb.sign_slv
    assert header.sign_db == of_edb.sign_db
    assert of_edb.flags & 4, "the .edb says that it has a streaming file"

    rig = files.rig
    volume = rig.lay_out([files.saved])
    put(volume, rig.edb(), data)
    stm = rig.stm()
    assert stm is not None
    put(volume, stm, stream)
    with opened(volume, to_volume_path(rig.edb()), to_volume_path(stm)) as database:
        assert database.streaming is not None
        mapped = dict(database.streaming.used_pages())
    assert len(mapped) > 20
    for pgno, checksum in mapped.items():
        assert zlib.crc32(stream[(pgno + 1) * PAGE : (pgno + 2) * PAGE]) == checksum
    bodies = [row["Stream"] for row in files.tables["Msg"] if row["Stream"]]
    assert sum(-(-len(body) // PAGE) for body in bodies) == len(mapped)
    starts = {stream[(pgno + 1) * PAGE : (pgno + 2) * PAGE][:64] for pgno in mapped}
    assert all(body[:64].ljust(64, b"\0") in starts for body in bodies)


def test_image_differs_from_the_live_file_only_where_it_should(files: Files) -> None:
    live, image = files.data["live"], files.data["image"]
    pages = [
        number
        for number in range(len(image) // PAGE)
        if live[number * PAGE : (number + 1) * PAGE] != image[number * PAGE : (number + 1) * PAGE]
    ]
    assert pages == [0, 1, len(image) // PAGE - 1], "both headers and the trailer"


@pytest.mark.needs_tool("esedbinfo")
@pytest.mark.parametrize("revision", REVISIONS)
def test_fuzzy_image_opens_and_has_no_bad_page(revision: int, tmp_path: Path) -> None:
    config = evolve(CONFIG, revision=revision, flush_per_slice=1)
    rig = Rig(seed=revision, config=config, spec=evolve(SPEC, messages=120)).create()
    rig.work(100)
    rig.steps, rig.steps_per_backup_max = 8, 700
    saved = rig.back_up(chunk=3 * PAGE)
    assert rig.marks["stale_page_copied"], "work went on between the reads"
    image = saved.databases[0].data
    assert bad_pages(image, trailer=True) == []
    path = tmp_path / "priv1.edb"
    path.write_bytes(image)
    info = subprocess.run(
        ["esedbinfo", str(path)], capture_output=True, text=True, check=True, errors="replace"
    )
    for table in ("MSysObjects", "Folder", "Msg"):
        assert f"\t{table} (" in info.stdout, "all tables are in the catalog"
    recovered = rig.recover([saved])
    assert bad_pages(content(recovered.volume, rig.edb())) == []
    assert recovered.rows() == recovered.expected()
