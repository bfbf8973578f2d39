"""Generated pages: those of whole blocks are the rule's, page by page, and make one tree."""

from __future__ import annotations

import copy
import itertools
import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eseback.formats.checksum import page_is_good
from esesim.engine.ballast import (
    BLOCK,
    BallastRule,
    ballast_key,
    ballast_row,
    ballast_schema,
    rows_per_page,
)
from esesim.engine.ballastblocks import BallastPages
from esesim.engine.btree import child_pages
from esesim.engine.page import HEADER_SIZE, Page, PageFlag, node_data
from esesim.engine.row import decode_row
from esesim.engine.virtual import size_max
from tests.support.edb import ECC_REVISION, FORMATS

pytestmark = pytest.mark.uncovered

FORMAT_IDS = [f"{revision:#x}" for revision, _ in FORMATS]
each_format = pytest.mark.parametrize(
    ("page_size", "ecc"),
    [(page_size, revision >= ECC_REVISION) for revision, page_size in FORMATS],
    ids=FORMAT_IDS,
)
ENDS = (2, 3, 200, 300, 70_000, (1 << 20) - 1)


def make(page_size: int, ecc: bool, first: int, end: int) -> BallastPages:
    return BallastPages(BallastRule(page_size, 30, 1, first, end), ecc=ecc)


def block_of(pages: BallastPages, block: int) -> memoryview:
    buffer = memoryview(bytearray(BLOCK * pages.unit))
    pages.fill((block * BLOCK + 1) * pages.unit, buffer)
    return buffer


def special_blocks(rule: BallastRule) -> list[int]:
    """Blocks at both ends and where groups of all levels begin, with their neighbours."""
    starts = (rule.first, rule.end - 1, 256, 512, 65_536, 0x80000)
    near = {start + step for start in starts for step in (-1, 0, 1)}
    return sorted(block for block in near if rule.first <= block < rule.end)


@each_format
@pytest.mark.parametrize("end", ENDS)
def test_a_block_is_what_the_rule_says_page_by_page(page_size: int, ecc: bool, end: int) -> None:
    pages = make(page_size, ecc, 1, end)
    rule, rng = pages.rule, random.Random(end)
    blocks = special_blocks(rule) + [rng.randrange(rule.first, rule.end) for _ in range(6)]
    rng.shuffle(blocks)
    for block in blocks:
        data = block_of(pages, block)
        places = {0, 1, 2, 3, 128, BLOCK - 2, BLOCK - 1, *rng.sample(range(BLOCK), 4)}
        for place in places:
            page = bytes(data[place * page_size : (place + 1) * page_size])
            assert page == pages.page(block * BLOCK + place), f"{block=} {place=}"
            assert page_is_good(page, block * BLOCK + place)


@each_format
def test_every_page_of_following_blocks(page_size: int, ecc: bool) -> None:
    """Blocks made from each other in place, through the beginning of a group, and back."""
    pages = make(page_size, ecc, 1, 300)
    for block in (254, 255, 256, 257, 258, 255):
        data = block_of(pages, block)
        for place in range(BLOCK):
            page = bytes(data[place * page_size : (place + 1) * page_size])
            assert page == pages.page(block * BLOCK + place), f"{block=} {place=}"


@given(first=st.integers(256, 3000), count=st.integers(1, 700), again=st.integers(256, 3500))
def test_any_range_is_the_same_as_its_pages(first: int, count: int, again: int) -> None:
    pages = make(4096, True, 1, 20)
    count = min(count, 20 * BLOCK - first)
    buffer = memoryview(bytearray(count * 4096))
    other = memoryview(bytearray(40 * 4096))
    pages.fill((again + 1) * 4096, other)
    pages.fill((first + 1) * 4096, buffer)
    for place in {0, count // 2, count - 1, min(count - 1, BLOCK - first % BLOCK)}:
        assert buffer[place * 4096 : (place + 1) * 4096] == pages.page(first + place)
    assert other[:4096] == pages.page(again)


def test_looks_at_single_pages_do_not_disturb_who_reads_through(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pages = make(4096, True, 1, 20)
    alone: list[int] = []
    page = BallastPages.page

    def counted(self: BallastPages, pgno: int) -> bytes:
        alone.append(pgno)
        return page(self, pgno)

    monkeypatch.setattr(BallastPages, "page", counted)
    buffer, single = memoryview(bytearray(4 * 4096)), memoryview(bytearray(4096))
    for pgno in range(2 * BLOCK, 6 * BLOCK, 4):
        pages.fill((pgno + 1) * 4096, buffer)
        assert page_is_good(bytes(buffer[4096:8192]), pgno + 1)
    assert len(alone) <= 4, "few pages at a time, but one after the other, come from whole blocks"
    alone.clear()
    for pgno in range(10 * BLOCK, 11 * BLOCK, 16):
        pages.fill((pgno + 1) * 4096, memoryview(bytearray(16 * 4096)))
        pages.fill((7 * BLOCK + pgno % 200 + 2) * 4096, single)
    assert len(alone) == BLOCK // 16, "each look at a row made a page, and no block"


def test_copies_and_recipes_make_the_same_pages() -> None:
    pages = make(4096, True, 1, 4000)
    expected = block_of(pages, 77)
    for other in (copy.deepcopy(pages), BallastPages.from_recipe(pages.recipe())):
        assert other is not pages
        assert block_of(other, 77) == expected


def rows_on(page: Page) -> list[dict[str, object]]:
    return [decode_row(ballast_schema(), bytes(node_data(node))) for node in page.nodes]


@each_format
def test_rows_are_those_of_their_ids(page_size: int, ecc: bool) -> None:
    pages = make(page_size, ecc, 1, 70_000)
    for pgno in (260, 70_000 * BLOCK - 1, 65_537 * BLOCK + 1):
        page = Page.from_bytes(pages.page(pgno), pgno)
        count = rows_per_page(page_size)
        ids = range(pgno * count, (pgno + 1) * count)
        assert rows_on(page) == [ballast_row(number) for number in ids]
        assert page.node_keys() == [ballast_key(number) for number in ids]
        assert page.used <= page_size - HEADER_SIZE


@each_format
@pytest.mark.parametrize("end", [3, 300])
def test_the_pages_make_one_tree(page_size: int, ecc: bool, end: int) -> None:
    """Every page is reached once, bounds and links are right, all leaves lie equally deep."""
    rule = BallastRule(page_size, 30, 1, 1, end)
    root = Page(30, 30, 0, nodes=rule.root_nodes())
    leaves: list[Page] = []
    seen: list[int] = []

    def walk(page: Page, low: bytes, high: bytes | None, depth: int) -> None:
        assert page.used <= page_size - HEADER_SIZE
        if page.is_leaf:
            assert depth == rule.levels + 1
            keys = page.node_keys()
            assert low <= keys[0]
            assert high is None or keys[-1] < high
            leaves.append(page)
            return
        assert bool(page.flags & PageFlag.PARENT_OF_LEAF) == (depth == rule.levels)
        keys = page.node_keys()
        assert (keys[-1] == b"") == (high is None), "the right edge of the tree has no bound"
        assert high is None or keys[-1] == high
        assert all(left < right for left, right in pairwise([low, *keys[:-1]]))
        for bound, child in zip(keys, child_pages(page), strict=True):
            seen.append(child)
            walk(rule.page(child), low, bound or None, depth + 1)
            low = bound

    walk(root, b"", None, 0)
    assert sorted(seen) == list(range(rule.first_pgno, rule.end_pgno))
    assert [leaves[0].prev, leaves[-1].next] == [0, 0]
    for left, right in pairwise(leaves):
        assert (left.next, right.prev) == (right.pgno, left.pgno)
    ids = list(rule.row_ids())
    assert [key for leaf in leaves for key in leaf.node_keys()] == [*map(ballast_key, ids)]


@each_format
@pytest.mark.parametrize("end", [70_000, (1 << 20) - 1])
def test_a_large_tree_leads_to_every_row(page_size: int, ecc: bool, end: int) -> None:
    rule = BallastRule(page_size, 30, 1, 1, end)
    assert rule.levels == 3
    root = Page(30, 30, 0, nodes=rule.root_nodes())
    count, rng = rows_per_page(page_size), random.Random(end)
    blocks = [*special_blocks(rule), *(rng.randrange(rule.first, rule.end) for _ in range(30))]
    for block, at_end in itertools.product(blocks, (False, True)):
        pgno = (block + 1) * BLOCK - 1 if at_end else block * BLOCK + rule.lead(block)
        key = ballast_key((pgno + 1) * count - 1 if at_end else pgno * count)
        page = root
        while not page.is_leaf:
            keys = page.node_keys()
            place = next(i for i, bound in enumerate(keys) if not bound or key < bound)
            page = rule.page(child_pages(page)[place])
        assert page.pgno == pgno
        for neighbour, back in ((page.prev, "next"), (page.next, "prev")):
            assert not neighbour or getattr(rule.page(neighbour), back) == pgno


def test_the_largest_database_has_room_for_all_numbers() -> None:
    for page_size in (4096, 8192):
        last = size_max(page_size) // page_size - 2
        rule = BallastRule(page_size, 30, 1, 1, last + 1 >> 8)
        assert len(rule.root_nodes()) <= 240
        top = rule.page(rule.end_pgno - 1)
        number = rows_on(top)[-1]["Id"]
        assert isinstance(number, int)
        assert (1 << 31) - 3 * BLOCK * rows_per_page(page_size) < number < 1 << 31
        data = block_of(BallastPages(rule, ecc=True), rule.end - 1)
        assert page_is_good(bytes(data[-page_size:]), rule.end_pgno - 1)
