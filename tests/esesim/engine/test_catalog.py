"""New databases, judged by three readers that are not ours."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from eseback.errors import JetErr
from eseback.formats.dbheader import DbState
from eseback.formats.fields import BkInfo, LgPos, LogTime
from esesim.engine.bulkload import BulkLoadError, space_header
from esesim.engine.catalog import CatalogInfo, TableInfo, TreeRoots, read_catalog
from esesim.engine.errors import JetError
from esesim.engine.initial import InitialDatabase, build_initial_database
from esesim.engine.page import Page, PageFlag, make_node, node_data, node_key
from esesim.engine.schema import (
    CODEPAGE_LATIN,
    CODEPAGE_UNICODE,
    Column,
    ColumnFlag,
    ColumnType,
    DatabaseSchema,
    IndexSchema,
    TableSchema,
    mailbox_schema,
)
from esesim.engine.space import extents
from tests.support.edb import FORMATS, HEADER, write_database
from tests.support.readers import (
    READERS,
    Reader,
    checksum_mismatches,
    each_reader,
    indexes_by_esedbinfo,
)

MAILBOX = mailbox_schema()
BODY = "Grüße aus 日本 — "

each_format = pytest.mark.parametrize(
    ("revision", "page_size"), FORMATS, ids=[f"{revision:#x}" for revision, _ in FORMATS]
)


def folders(count: int = 20) -> list[dict[str, Any]]:
    return [
        {
            "Id": number,
            "ParentId": None if number == 1 else number // 2,
            "Name": f"Folder {number}",
            "DisplayName": f"Gelöschte Objekte 日本 {number}" if number % 3 else None,
        }
        for number in range(1, count + 1)
    ]


def message(number: int) -> dict[str, Any]:
    """A message of which each column has every kind of value as ``number`` goes up."""
    return {
        "Id": number * 3 - 50,  # some are negative
        "FolderId": number % 20 + 1,
        "Size": None if number % 7 == 0 else -number,
        "Received": None if number % 11 == 0 else 127_000_000_000_000_000 + number,
        "Unread": (True, False, None)[number % 3],
        "Subject": None if number % 5 == 0 else f"Re: Übersicht {number}\tand\\more",
        "Sender": f"Zoë {number} № €" if number % 4 else "",
        "MessageClass": "IPM.Note",
        "Body": (None, "", BODY, BODY * (number % 300))[number % 4],
        "Raw": bytes(range(256)) * (number % 40) if number % 6 == 0 else None,
        "Stream": bytes(12 * (number % 5)) if number % 2 else None,
    }


def messages(count: int) -> list[dict[str, Any]]:
    return [message(number) for number in range(1, count + 1)]


@pytest.fixture(scope="module", params=FORMATS, ids=[f"{revision:#x}" for revision, _ in FORMATS])
def mailbox(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Path, dict[str, list[dict[str, Any]]]]]:
    """A store with 300 messages in each format, and what is in it."""
    revision, page_size = request.param
    path = tmp_path_factory.mktemp("edb") / "priv1.edb"
    tables = {"Folder": folders(), "Msg": messages(300)}
    write_database(
        path,
        MAILBOX,
        tables,
        revision=revision,
        page_size=page_size,
        streaming=page_size == 4096,
        cpg_tree=900,
    )
    yield path, tables
    path.unlink()


@each_reader
def test_readers_find_every_row_and_value(
    reader: Reader, mailbox: tuple[Path, dict[str, list[dict[str, Any]]]]
) -> None:
    path, tables = mailbox
    assert reader.differences(path, tables) == []
    # The comparison is worth something: it sees a change of one value, and a row too many.
    changed = [*tables["Msg"][:-1], {**tables["Msg"][-1], "MessageClass": "IPM.Task"}]
    assert len(reader.differences(path, {**tables, "Msg": changed})) == 1
    assert len(reader.differences(path, {**tables, "Msg": tables["Msg"][1:]})) == 1


@pytest.mark.needs_tool("esedbinfo")
def test_esedbinfo_lists_indexes_and_finds_checksums_right(
    mailbox: tuple[Path, dict[str, list[dict[str, Any]]]], tmp_path: Path
) -> None:
    path, _ = mailbox
    assert checksum_mismatches(path) == []
    assert indexes_by_esedbinfo(path) == {
        "Folder": ["PrimaryKey", "NameIndex"],
        "Msg": ["PrimaryKey", "FolderIndex"],
    }
    damaged = tmp_path / "damaged.edb"
    shutil.copyfile(path, damaged)
    with damaged.open("r+b") as file:
        page_size = int.from_bytes(file.read(240)[236:], "little")
        file.seek((4 + 1) * page_size + 2000)  # the catalog's root, between its rows and its tags
        file.write(b"\x01")
    assert len(checksum_mismatches(damaged)) > 0


@pytest.mark.needs_tool("dissect.database")
def test_dissect_finds_rows_through_every_index(
    mailbox: tuple[Path, dict[str, list[dict[str, Any]]]],
) -> None:
    from dissect.database.ese import ESE

    path, tables = mailbox
    with path.open("rb") as file:
        database = ESE(file)
        table = database.table("Msg")
        by_folder = table.index("FolderIndex")
        for row in tables["Msg"][::13]:
            assert table.search(Id=row["Id"]).get("MessageClass") == "IPM.Note"
            found = by_folder.search([row["FolderId"], row["Id"]])
            assert found.get("Id") == row["Id"]
        by_name = database.table("Folder").index("NameIndex")
        assert by_name.search(Name="folder 7").get("Id") == 7
        roots = database.table("MSysObjects").index("RootObjects")
        names = ["Folder", "Msg", "MSysObjects", "MSysObjectsShadow"]
        for name in names:
            assert roots.search(RootFlag=True, Name=name).get("Name") == name
        assert len(list(roots.cursor())) == len(names)
        by_object = database.table("MSysObjects").index("Name")
        assert by_object.search(ObjidTable=2, Type=2, Name="KeyFldIDs").get("Id") == 132

        shadow = [record.as_dict() for record in database.table("MSysObjectsShadow").records()]
        catalog = [record.as_dict() for record in database.table("MSysObjects").records()]
        assert len(shadow) == len(catalog) > 50
        assert [row["Name"] for row in shadow] == [row["Name"] for row in catalog]


@each_reader
@each_format
@pytest.mark.parametrize("streaming", [False, True])
def test_empty_tables_are_read(
    reader: Reader, revision: int, page_size: int, streaming: bool, tmp_path: Path
) -> None:
    path = tmp_path / "empty.edb"
    write_database(
        path, MAILBOX, {}, revision=revision, page_size=page_size, streaming=streaming, cpg_tree=8
    )
    assert reader.differences(path, {"Folder": [], "Msg": []}) == []


@each_reader
def test_what_a_backup_does_to_a_file_is_no_matter(reader: Reader, tmp_path: Path) -> None:
    """Dirty state, a mark of the backup, a trailer page, pages beyond the last extent."""
    path = tmp_path / "image.edb"
    time = LogTime.from_unix(1_100_000_500)
    dirty = evolve(
        HEADER,
        state=DbState.DIRTY_SHUTDOWN,
        bkinfo_full_cur=BkInfo(LgPos(5, 8, 100), time, 5, 0),
        gen_min_required=5,
        gen_max_required=7,
    )
    tables = {"Folder": folders(3), "Msg": messages(30)}
    write_database(path, MAILBOX, tables, header=dirty)
    for size in (4096, 65536):
        with path.open("ab") as file:
            file.write(bytes(size))
        assert reader.differences(path, tables) == []


@each_reader
def test_every_type_of_column(reader: Reader, tmp_path: Path) -> None:
    columns = (
        Column(1, "Id", ColumnType.LONG, 4, ColumnFlag.NOT_NULL),
        Column(2, "Byte", ColumnType.UNSIGNED_BYTE, 1),
        Column(3, "Short", ColumnType.SHORT, 2),
        Column(4, "Word", ColumnType.UNSIGNED_SHORT, 2),
        Column(5, "Currency", ColumnType.CURRENCY, 8),
        Column(6, "Double", ColumnType.DOUBLE, 8),
        Column(7, "Bit", ColumnType.BIT, 1),
        Column(128, "Binary", ColumnType.BINARY, 255),
        Column(129, "Unicode", ColumnType.TEXT, 255, codepage=CODEPAGE_UNICODE),
        Column(300, "LongLatin", ColumnType.LONG_TEXT, 0, codepage=CODEPAGE_LATIN),
    )
    table = TableSchema("Types", columns, ("Id",))
    names = [column.name for column in columns]
    values: list[tuple[Any, ...]] = [
        (-(2**31), 0, -(2**15), 0, -(2**63), -1.5, False, b"\0", "ÿĀ", "ü"),
        (0, 255, 2**15 - 1, 2**16 - 1, 2**63 - 1, 0.25, True, b"\xff" * 255, "x" * 127, "é" * 1023),
        (1, 7, -1, 1, -1, 1024.0, True, b"\t\n", "a\nb\tc\\", "l" * 5000),
        (2, None, None, None, None, None, None, None, None, None),
    ]
    rows = [dict(zip(names, row, strict=True)) for row in values]
    path = tmp_path / "types.edb"
    write_database(path, DatabaseSchema((table,)), {"Types": rows})
    if reader.name == "esedbexport":
        # It sees 18 digits of a double and prints six; these need no more.
        assert all(row["Double"] is None or row["Double"] * 100 % 25 == 0 for row in rows)
    assert reader.differences(path, {"Types": rows}) == []


@pytest.mark.parametrize("reader", READERS[:2], ids=lambda reader: reader.name)
def test_characters_beyond_the_first_plane(reader: Reader, tmp_path: Path) -> None:
    path = tmp_path / "clef.edb"
    rows = [{"Id": 1, "FolderId": 1, "Sender": "\U0001d11e", "Body": "\U0001d11e" * 600}]
    write_database(path, MAILBOX, {"Msg": rows})
    assert reader.differences(path, {"Folder": [], "Msg": rows}) == []


# --- the page plan --------------------------------------------------------------------------------


def build(*, streaming: bool = True, revision: int = 9, page_size: int = 4096) -> InitialDatabase:
    return build_initial_database(
        MAILBOX,
        page_size=page_size,
        revision=revision,
        cpg_initial=100,
        streaming=streaming,
        dbtime=77,
    )


def test_the_page_plan_is_that_of_ese() -> None:
    initial = build()
    objids = {page.pgno: page.objid for page in initial.pages}
    assert {fdp: objids[fdp] for fdp in (1, 4, 7, 10, 24, 33)} == {
        1: 1,
        4: 2,
        7: 4,
        10: 5,
        24: 3,
        33: 6,
    }
    assert initial.catalog == CatalogInfo(
        (
            TableInfo(
                MAILBOX.table("Folder"),
                TreeRoots(33, 6),
                (("NameIndex", TreeRoots(41, 7)),),
            ),
            TableInfo(
                MAILBOX.table("Msg"),
                TreeRoots(49, 8),
                (("FolderIndex", TreeRoots(57, 9)),),
                TreeRoots(65, 10),
            ),
        ),
        TreeRoots(73, 11),
        TreeRoots(81, 12),
    )
    assert (initial.last_pgno, initial.objid_last) == (100, 12)
    assert {page.dbtime for page in initial.pages} == {77}


def test_a_streaming_file_has_trees_of_its_own_kind() -> None:
    initial = build()
    flags = {page.pgno: page.flags for page in initial.pages}
    assert flags[73] & 0x300 == 0x100
    assert flags[81] & 0x300 == 0x200
    without = build(streaming=False)
    assert without.catalog.stream_avail is None
    assert without.catalog.stream_owner_map is None
    assert not any(page.flags & 0x300 for page in without.pages)
    assert without.objid_last == 10


@each_format
def test_space_trees_account_for_every_page_once(revision: int, page_size: int) -> None:
    """Each page belongs to one tree, and is in use there or among its free pages, not both."""
    initial = build(revision=revision, page_size=page_size)
    pages = {page.pgno: page for page in initial.pages}

    def numbers(page: Page) -> list[int]:
        return [pgno for first, count in extents(page) for pgno in range(first, first + count)]

    roots = [
        page.pgno
        for page in initial.pages
        if page.flags & PageFlag.ROOT and not page.flags & PageFlag.SPACE_TREE
    ]
    # The catalog's extent (4-23) holds those of its indexes; the database's holds all.
    inner = [fdp for fdp in roots if fdp not in (1, 4)]
    owned = {fdp: set(numbers(pages[fdp + 1])) for fdp in roots}
    free = {fdp: set(numbers(pages[fdp + 2])) for fdp in roots}
    assert owned[1] == set(range(1, 101))
    assert owned[4] == set(range(4, 24))
    assert sum(len(owned[fdp]) for fdp in inner) == len(set().union(*(owned[f] for f in inner)))
    for fdp in roots:
        in_use = {page.pgno for page in initial.pages if page.objid == pages[fdp].objid}
        assert in_use <= owned[fdp]
        assert not in_use & free[fdp]
        assert free[fdp] <= owned[fdp]
        header = space_header(len(owned[fdp]), 0, fdp + 1)
        assert pages[fdp].external[8:] == header[8:]
    assert owned[7] | owned[10] <= owned[4]
    assert not (free[4] & (owned[7] | owned[10]))
    assert free[1] == set(range(89, 101))
    assert free[1].isdisjoint(owned[4].union(*(owned[fdp] for fdp in inner)))


@each_format
@pytest.mark.parametrize("streaming", [False, True])
def test_the_catalog_says_what_was_built(revision: int, page_size: int, streaming: bool) -> None:
    initial = build(revision=revision, page_size=page_size, streaming=streaming)
    # Through the bytes of the file, as the engine opens it.
    stored = {
        page.pgno: bytes(page.to_bytes(page_size, ecc=revision >= 0xB)) for page in initial.pages
    }
    assert read_catalog(lambda pgno: Page.from_bytes(stored[pgno], pgno)) == initial.catalog


def test_a_catalog_of_many_tables_is_read() -> None:
    """Catalog, its shadow and its indexes each need more than a page."""
    columns = tuple(Column(number, f"Column{number}", ColumnType.LONG, 4) for number in range(1, 9))
    tables = tuple(
        TableSchema(f"Table{number}", columns, ("Column1",), (IndexSchema("Two", columns[1:3]),))
        for number in range(12)
    )
    initial = build_initial_database(
        DatabaseSchema(tables),
        page_size=4096,
        revision=9,
        cpg_initial=0,
        streaming=True,
        dbtime=1,
    )
    pages = {page.pgno: page for page in initial.pages}
    assert not any(pages[fdp].is_leaf for fdp in (4, 7, 24))
    assert read_catalog(pages.__getitem__).tables == initial.catalog.tables
    with pytest.raises(BulkLoadError, match="more pages than it has"):
        build_initial_database(
            DatabaseSchema(tuple(evolve(tables[0], name=f"T{n}") for n in range(100))),
            page_size=4096,
            revision=9,
            cpg_initial=0,
            streaming=False,
            dbtime=1,
        )


def _no_root(pages: dict[int, Page]) -> None:
    pages[4] = Page(4, 0, 0)


def _circle(pages: dict[int, Page]) -> None:
    pages[4].nodes[:] = [make_node(b"", (4).to_bytes(4, "little"))]


def _no_table(pages: dict[int, Page]) -> None:
    del pages[13].nodes[next(i for i, n in enumerate(pages[13].nodes) if n.endswith(b"Folder"))]


def _cut_row(pages: dict[int, Page]) -> None:
    node = pages[13].nodes[5]
    pages[13].nodes[5] = make_node(node_key(node), node_data(node)[:20])


def _other_type(pages: dict[int, Page]) -> None:
    """The last column of Msg gets a type that there is not."""
    page = pages[14]
    place = next(i for i, node in enumerate(page.nodes) if node.endswith(b"Stream"))
    page.nodes[place] = page.nodes[place].replace(
        (11).to_bytes(4, "little"), (99).to_bytes(4, "little")
    )


@pytest.mark.parametrize("damage", [_no_root, _circle, _no_table, _cut_row, _other_type])
def test_a_damaged_catalog_is_an_error(damage: Callable[[dict[int, Page]], None]) -> None:
    pages = {page.pgno: page for page in build().pages}
    damage(pages)
    with pytest.raises(JetError) as caught:
        read_catalog(pages.__getitem__)
    assert caught.value.err is JetErr.DATABASE_CORRUPTED
