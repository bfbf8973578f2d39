"""The table Ballast: what fills a virtual database, made by rule from page numbers.

A virtual database is as large as a topology wishes and takes no room: its untouched pages are
generated when they are read. They are no less real than others. This module is the rule: which page
is a leaf with which rows, which one is a branch page with which entries. Everything follows from
the page number, so that ``blocks`` can make a megabyte at a time.

The pages come in blocks of 256, aligned to 256. The first page of a block is the branch page of its
leaves, all the others; a row's Id is its page number times the rows of a page plus its place. A
block that begins a group of 256 blocks has the branch page of the next level in front, and so on.
Page 0x10000 of a large database, for example, is a page of the third level, the next one of the
second, then comes the one above the leaves 0x10003 to 0x100FF.
# ASSUMED(ballast-table): the pages of a virtual database that nobody wrote belong to a table
# Ballast of esesim's own, with rows of about 2 KB.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Final

from eseback.data import frozen

from .btree import branch_entry
from .key import encode_key
from .page import Page, PageFlag, make_node
from .row import encode_row
from .schema import (
    BALLAST,
    CODEPAGE_LATIN,
    CODEPAGE_UNICODE,
    Column,
    ColumnFlag,
    ColumnType,
    TableSchema,
)

BLOCK_SHIFT: Final = 8
BLOCK: Final = 1 << BLOCK_SHIFT
"""Pages of a block, and blocks or groups of blocks below one branch page."""
ROW_ID_MAX: Final = (1 << 31) - 1
# Rows of a database repeat after so many but for their Id: a block holds that many or a multiple.
_PATTERN: Final = 512
_TEXT_SIZE: Final = 1930  # of the columns without a fixed size, in bytes
_ROOT_ENTRIES_MAX: Final = 240
_LEVELS_MAX: Final = 3
_WORDS: Final = [
    "quota",
    "archive",
    "attachment",
    "retention",
    "Größe",
    "journal",
    "café",
    "index",
    "résumé",
    "backlog",
]
_RECEIVED: Final = 127_000_000_000_000_000  # 2003, in units of 100 ns since 1601


def ballast_schema() -> TableSchema:
    """The table: a key, columns of every kind, nothing outside the row."""
    columns = (
        Column(1, "Id", ColumnType.LONG, 4, ColumnFlag.NOT_NULL),
        Column(2, "Size", ColumnType.LONG, 4),
        Column(3, "Received", ColumnType.CURRENCY, 8),
        Column(4, "Unread", ColumnType.BIT, 1),
        Column(128, "Subject", ColumnType.TEXT, 255, codepage=CODEPAGE_LATIN),
        Column(129, "Sender", ColumnType.TEXT, 255, codepage=CODEPAGE_UNICODE),
        Column(256, "Body", ColumnType.LONG_TEXT, 0, codepage=CODEPAGE_UNICODE),
        Column(257, "Raw", ColumnType.LONG_BINARY, 0),
    )
    return TableSchema(BALLAST, columns, ("Id",))


_SCHEMA: Final = ballast_schema()
_RECORD_ID: Final = slice(4, 8)  # where a record has its first fixed column


def ballast_row(number: int) -> dict[str, object]:
    """The row with this Id, as every virtual database has it until somebody changes it."""
    return {"Id": number, **_pattern(number % _PATTERN)}


@cache
def _pattern(number: int) -> Mapping[str, object]:
    """The other columns, for a number below the length of the pattern."""
    rng = random.Random(number)
    subject, sender = " ".join(rng.choices(_WORDS, k=5)), f"Postfach №{number}"
    body = " ".join(rng.choices(_WORDS, k=90))[: rng.randrange(440, 500)]
    # Every row has the same length, so that all leaves have their rows at the same places.
    raw = rng.randbytes(_TEXT_SIZE - len(subject) - 2 * len(sender) - 2 * len(body))
    return {
        "Size": number * 37,
        "Received": _RECEIVED + number,
        "Unread": number % 3 == 0,
        "Subject": subject,
        "Sender": sender,
        "Body": body,
        "Raw": raw,
    }


@cache
def _record(number: int) -> bytes:
    return encode_row(_SCHEMA, ballast_row(number))


def ballast_key(number: int) -> bytes:
    """The key of the row with this Id."""
    return encode_key(_SCHEMA, {"Id": number})


def ballast_node(number: int) -> bytes:
    """The node of that row on its leaf."""
    record = bytearray(_record(number % _PATTERN))
    record[_RECORD_ID] = number.to_bytes(4, "little")
    return make_node(ballast_key(number), bytes(record))


def rows_per_page(page_size: int) -> int:
    """Rows of a leaf: 2 with pages of 4 KiB, 4 with 8 KiB. A power of two."""
    return page_size // 2048


@frozen
class BallastRule:
    """The pages of blocks ``first`` to ``end - 1`` (of 256 pages each) of one database."""

    page_size: int
    objid: int
    dbtime: int
    first: int
    end: int

    @property
    def levels(self) -> int:
        """Levels of branch pages between root and leaves."""
        for levels in range(1, _LEVELS_MAX):
            shift = BLOCK_SHIFT * (levels - 1)
            if (self.end - 1 >> shift) - (self.first >> shift) < _ROOT_ENTRIES_MAX:
                return levels
        return _LEVELS_MAX

    @property
    def first_pgno(self) -> int:
        """The first page."""
        return self.first << BLOCK_SHIFT

    @property
    def end_pgno(self) -> int:
        """The page behind the last one."""
        return self.end << BLOCK_SHIFT

    def lead(self, block: int) -> int:
        """How many branch pages a block begins with, the highest level first."""
        levels = self.levels
        if block == self.first:
            return levels
        lead = 1
        while lead < levels and not block & ((1 << BLOCK_SHIFT * lead) - 1):
            lead += 1
        return lead

    def page(self, pgno: int) -> Page:
        """Any page but the root."""
        block, place = divmod(pgno, BLOCK)
        lead = self.lead(block)
        if place < lead:
            return self._branch(pgno, block, lead - place)
        before = pgno - 1 if place > lead else (pgno & -BLOCK) - 1
        after = pgno + 1
        if place == BLOCK - 1:
            after = 0 if block + 1 == self.end else after + self.lead(block + 1)
        return self.leaf(pgno, 0 if before < self.first_pgno else before, after)

    def leaf(self, pgno: int, prev: int, next: int) -> Page:
        """The leaf of this number between these neighbours."""
        count = rows_per_page(self.page_size)
        nodes = [ballast_node(number) for number in range(pgno * count, (pgno + 1) * count)]
        flags = PageFlag.LEAF | PageFlag.NEW_RECORD_FORMAT
        return Page(pgno, self.objid, flags, nodes=nodes, prev=prev, next=next, dbtime=self.dbtime)

    def leaf_parent(self, pgno: int, block: int, first: int, bound: int | None) -> Page:
        """The branch page above a block's leaves from place ``first`` on.

        ``bound`` is the block whose first key bounds the last leaf, None for the end of the tree.
        """
        count = rows_per_page(self.page_size)
        base = block << BLOCK_SHIFT
        nodes = [
            branch_entry(ballast_key((base + place + 1) * count), base + place)
            for place in range(first, BLOCK - 1)
        ]
        last = b"" if bound is None else ballast_key((bound << BLOCK_SHIFT) * count)
        nodes.append(branch_entry(last, base + BLOCK - 1))
        return self._branch_page(pgno, PageFlag.PARENT_OF_LEAF, nodes)

    def root_nodes(self) -> list[bytes]:
        """The entries of the root, which lies elsewhere."""
        return self._entries(self.levels, self.first, self.end)

    def row_ids(self) -> Iterator[int]:
        """The Ids of all rows, ascending."""
        count = rows_per_page(self.page_size)
        for block in range(self.first, self.end):
            base = block << BLOCK_SHIFT
            yield from range((base + self.lead(block)) * count, (base + BLOCK) * count)

    def _branch(self, pgno: int, block: int, level: int) -> Page:
        if level == 1:
            bound = None if block + 1 == self.end else block + 1
            return self.leaf_parent(pgno, block, self.lead(block), bound)
        shift = BLOCK_SHIFT * (level - 1)
        end = min((block >> shift) + 1 << shift, self.end)
        return self._branch_page(pgno, PageFlag(0), self._entries(level - 1, block, end))

    def _entries(self, level: int, first: int, end: int) -> list[bytes]:
        """Entries for the branch pages of a level in blocks ``first`` to ``end - 1``."""
        count = rows_per_page(self.page_size)
        shift = BLOCK_SHIFT * (level - 1)
        nodes = []
        block = first
        while block < end:
            after = (block >> shift) + 1 << shift
            key = b"" if after >= self.end else ballast_key((after << BLOCK_SHIFT) * count)
            child = (block << BLOCK_SHIFT) + self.lead(block) - level
            nodes.append(branch_entry(key, child))
            block = after
        return nodes

    def _branch_page(self, pgno: int, level: PageFlag, nodes: list[bytes]) -> Page:
        flags = level | PageFlag.NEW_RECORD_FORMAT
        return Page(pgno, self.objid, flags, nodes=nodes, dbtime=self.dbtime)
