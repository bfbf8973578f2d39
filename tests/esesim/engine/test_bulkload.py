"""Forms of trees, judged by readers that are not ours: levels, links, leaves that became empty."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from esesim.engine.bulkload import BulkLoadError, load_tree, space_header
from esesim.engine.initial import build_initial_database
from esesim.engine.longvalue import long_value_nodes
from esesim.engine.page import Page, PageFlag, node_key
from esesim.engine.row import encode_key, encode_row
from esesim.engine.schema import mailbox_schema
from tests.support.edb import HEADER, fill_tree, write_database, write_pages
from tests.support.readers import READERS, Reader, ReaderError, each_reader

pytestmark = pytest.mark.uncovered

MAILBOX = mailbox_schema()


def write_tree(
    path: Path, rows: list[dict[str, Any]], change: Callable[[list[Page]], None] | None = None
) -> list[Page]:
    """A file in which the primary tree of Msg has these rows; the tree's pages, root first."""
    initial = build_initial_database(
        MAILBOX,
        page_size=4096,
        revision=9,
        cpg_initial=0,
        streaming=False,
        dbtime=1,
        cpg_tree=600,
    )
    info = initial.catalog.table("Msg")
    nodes = [(encode_key(info.schema, row), encode_row(info.schema, row)) for row in rows]
    tree = fill_tree(initial, info.primary, nodes, 4096, change)
    pages = {page.pgno: page for page in (*initial.pages, *tree)}
    write_pages(path, list(pages.values()), initial.last_pgno, HEADER)
    return tree


def big_messages(count: int) -> list[dict[str, Any]]:
    """Messages of which three fill a page."""
    return [
        {"Id": number, "FolderId": 1, "Raw": bytes([number & 255]) * 1000}
        for number in range(1, count + 1)
    ]


def interior(pages: list[Page]) -> list[Page]:
    return [page for page in pages[1:] if not page.is_leaf]


@each_reader
def test_a_tree_of_three_levels(reader: Reader, tmp_path: Path) -> None:
    path = tmp_path / "three.edb"
    rows = big_messages(1000)
    pages = write_tree(path, rows)

    root, middle = pages[0], interior(pages)
    leaves = [page for page in pages if page.is_leaf]
    assert (len(middle), len(leaves)) == (2, 334)
    assert root.flags == PageFlag.ROOT | PageFlag.NEW_RECORD_FORMAT
    assert {page.flags for page in middle} == {PageFlag.PARENT_OF_LEAF | PageFlag.NEW_RECORD_FORMAT}
    # libesedb refuses a tree whose interior pages are linked.
    assert all(page.prev == page.next == 0 for page in middle)
    assert [page.next for page in leaves] == [*(page.pgno for page in leaves[1:]), 0]
    assert [page.prev for page in leaves] == [0, *(page.pgno for page in leaves[:-1])]
    assert node_key(middle[0].nodes[-1]) == node_key(root.nodes[0]) != b""
    assert node_key(middle[1].nodes[-1]) == node_key(root.nodes[1]) == b""

    assert reader.differences(path, {"Folder": [], "Msg": rows}) == []


@pytest.mark.needs_tool("dissect.database")
def test_every_key_of_three_levels_is_found_by_a_search(tmp_path: Path) -> None:
    from dissect.database.ese import ESE

    path = tmp_path / "three.edb"
    rows = big_messages(1000)
    write_tree(path, rows)
    with path.open("rb") as file:
        table = ESE(file).table("Msg")
        assert [table.search(Id=row["Id"]).get("Id") for row in rows] == [r["Id"] for r in rows]


@pytest.mark.needs_tool("pyesedb")
def test_pyesedb_refuses_interior_pages_that_are_linked(tmp_path: Path) -> None:
    def link(pages: list[Page]) -> None:
        left, right = interior(pages)
        left.next, right.prev = right.pgno, left.pgno

    path = tmp_path / "linked.edb"
    write_tree(path, big_messages(1000), link)
    with pytest.raises(ReaderError, match="unsupported next page number"):
        READERS[0].rows(path)


@each_reader
@pytest.mark.parametrize("flag", [0, PageFlag.EMPTY])
@pytest.mark.parametrize(
    "emptied",
    [
        pytest.param(lambda i, count: i == 0, id="first"),
        pytest.param(lambda i, count: 40 <= i < 43, id="middle"),
        pytest.param(lambda i, count: i >= count - 2, id="last"),
        pytest.param(lambda i, count: i >= 269, id="a whole branch"),
    ],
)
def test_leaves_that_became_empty_do_no_harm(
    reader: Reader, flag: int, emptied: Callable[[int, int], bool], tmp_path: Path
) -> None:
    gone: set[bytes] = set()

    def empty(pages: list[Page]) -> None:
        leaves = [page for page in pages if page.is_leaf]
        for i, page in enumerate(leaves):
            if emptied(i, len(leaves)):
                gone.update(page.node_keys())
                page.used -= sum(map(len, page.nodes)) + 4 * len(page.nodes)
                page.nodes.clear()
                page.flags |= flag

    path = tmp_path / "emptied.edb"
    rows = big_messages(1000)
    write_tree(path, rows, empty)
    left = [row for row in rows if encode_key(MAILBOX.table("Msg"), row) not in gone]
    assert len(left) < len(rows)
    assert reader.differences(path, {"Folder": [], "Msg": left}) == []


@each_reader
def test_long_values_among_empty_leaves(reader: Reader, tmp_path: Path) -> None:
    """Where long values were deleted, their leaves may still stand between those of others."""
    path = tmp_path / "long.edb"
    rows: list[dict[str, Any]] = [
        {"Id": number, "FolderId": 1, "Raw": bytes([0x41 + number % 26]) * 9000}
        for number in range(1, 40)
    ]
    initial = write_database(path, MAILBOX, {"Msg": rows})
    info = initial.catalog.table("Msg")
    assert info.long_values is not None
    kept = [row for row in rows if row["Id"] % 3 == 0]
    lids = {row["Id"]: lid for lid, row in enumerate(rows, 1)}

    def empty(pages: list[Page]) -> None:
        emptied = 0
        for page in pages:
            if not page.is_leaf:
                continue
            for place in reversed(range(len(page.nodes))):
                lid = int.from_bytes(node_key(page.nodes[place])[:4], "big")
                if lid % 3:
                    page.used -= len(page.nodes[place]) + 4
                    del page.nodes[place]
            emptied += not page.nodes
        assert emptied > 20

    long_values = fill_tree(
        initial,
        info.long_values,
        [node for row in rows for node in long_value_nodes(lids[row["Id"]], row["Raw"], 4096)],
        4096,
        empty,
    )
    nodes = [
        (
            encode_key(info.schema, row),
            encode_row(info.schema, row, {"Raw": lids[row["Id"]]}),
        )
        for row in kept
    ]
    table = fill_tree(initial, info.primary, nodes, 4096)
    pages = {page.pgno: page for page in (*initial.pages, *long_values, *table)}
    write_pages(path, list(pages.values()), initial.last_pgno, HEADER)

    assert reader.differences(path, {"Folder": [], "Msg": kept}) == []


def test_rows_that_make_no_tree_are_refused() -> None:
    def load(rows: list[tuple[bytes, bytes]], cpg: int) -> list[Page]:
        return load_tree(
            33,
            6,
            rows,
            flags=PageFlag(0),
            header=space_header(8, 1, 34),
            pool=range(36, 36 + cpg),
            page_size=4096,
            dbtime=1,
        )

    assert len(load([(b"a", bytes(3000)), (b"b", bytes(3000))], 2)) == 3
    with pytest.raises(BulkLoadError, match="more pages than it has"):
        load([(b"a", bytes(3000)), (b"b", bytes(3000))], 1)
    with pytest.raises(BulkLoadError, match="row 61 follows 62"):
        load([(b"b", b""), (b"a", b"")], 1)
    with pytest.raises(BulkLoadError, match="does not fit on a page"):
        load([(b"a", bytes(4060))], 1)
