"""A B+ tree over the pages of a database.

Rows live on leaves in key order; interior pages hold one entry per child whose key is an exclusive
upper bound (the last entry's key is empty and bounds nothing). Leaves are linked with their
neighbours, interior pages are not: libesedb refuses trees where they are (observed).

A row operation is one log record on one leaf. A split or the removal of an empty leaf is one macro
over all pages it touches, with every row that moves in it, and is never undone: undo of a row finds
its place anew by key.
"""

from __future__ import annotations

import struct
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import TYPE_CHECKING

from . import space
from .errors import KeyDuplicateError, RecordNotFoundError, RecordTooBigError
from .logrecord import COMPENSATION, LogType, operation, replace_body
from .page import HEADER_SIZE, Page, PageFlag, make_node, node_data, node_key

if TYPE_CHECKING:
    from .database import Database

_CHILD = struct.Struct("<I")
_SEPARATOR_MAX = 2 + 260 + 4 + 4

Path = list[tuple[Page, int]]


def shortest_separator(left: bytes, right: bytes) -> bytes:
    """The shortest prefix of ``right`` that is greater than ``left``."""
    for size in range(1, len(right) + 1):
        if right[:size] > left:
            return right[:size]
    raise AssertionError("keys out of order")


class Tree:
    """One tree, known by the page number of its root (pgnoFDP)."""

    __slots__ = ("_db", "fdp", "objid")

    def __init__(self, database: Database, fdp: int, objid: int) -> None:
        self._db = database
        self.fdp = fdp
        self.objid = objid

    def find(self, key: bytes) -> bytes | None:
        """The data stored under ``key``, or None."""
        page, place = self._descend(key)[-1]
        keys = page.node_keys()
        if place < len(keys) and keys[place] == key:
            return node_data(page.nodes[place])
        return None

    def scan(self, start: bytes = b"", stop: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """(key, data) from ``start`` on, up to and without ``stop``."""
        page, place = self._descend(start)[-1]
        while True:
            for node in page.nodes[place:]:
                key = node_key(node)
                if stop is not None and key >= stop:
                    return
                yield key, node_data(node)
            if not page.next:
                return
            page, place = self._db.pages.get(page.next), 0

    def last_key(self) -> bytes | None:
        """The greatest key, or None for an empty tree."""
        page = self._db.pages.get(self.fdp)
        while not page.is_leaf:
            page = self._db.pages.get(_child(page.nodes[-1]))
        while not page.nodes and page.prev:
            page = self._db.pages.get(page.prev)
        return node_key(page.nodes[-1]) if page.nodes else None

    def insert(self, tx: int, key: bytes, data: bytes, *, compensation: bool = False) -> bytes:
        """Add a row; returns its node. Raises KeyDuplicateError."""
        node = self._make_node(key, data)
        need = len(node) + 4
        while True:
            path = self._descend(key)
            page, place = path[-1]
            keys = page.node_keys()
            if place < len(keys) and keys[place] == key:
                raise KeyDuplicateError(f"key {key.hex()} exists in tree {self.fdp}")
            if page.used + need <= self._db.page_size - HEADER_SIZE:
                break
            self._split(path, key)
        self._log(LogType.INSERT, tx, page, place, node, compensation)
        page.nodes.insert(place, node)
        page.used += need
        keys.insert(place, key)
        return node

    def replace(self, tx: int, key: bytes, data: bytes, *, compensation: bool = False) -> bytes:
        """Give the row under ``key`` other data; returns the old node. RecordNotFoundError."""
        node = self._make_node(key, data)
        while True:
            path = self._descend(key)
            page, place = path[-1]
            old = self._node_at(page, place, key)
            if page.used + len(node) - len(old) <= self._db.page_size - HEADER_SIZE:
                break
            self._split(path, key)
        body = replace_body(old, node)
        self._log(LogType.REPLACE, tx, page, place, body, compensation)
        page.nodes[place] = node
        page.used += len(node) - len(old)
        return old

    def delete(self, tx: int, key: bytes, *, compensation: bool = False) -> bytes:
        """Take the row under ``key`` out; returns its node. Raises RecordNotFoundError."""
        path = self._descend(key)
        page, place = path[-1]
        old = self._node_at(page, place, key)
        self._log(LogType.DELETE, tx, page, place, old, compensation)
        del page.nodes[place]
        del page.node_keys()[place]
        page.used -= len(old) + 4
        if not page.nodes and len(path) > 1:
            self._remove_leaf(path)
        return old

    def _make_node(self, key: bytes, data: bytes) -> bytes:
        node = make_node(key, data)
        # A root leaf has 16 bytes of space header; every tag takes four.
        if len(node) > self._db.page_size - HEADER_SIZE - 16 - 8:
            raise RecordTooBigError(f"a row of {len(node)} bytes doesn't fit on a page")
        return node

    def _node_at(self, page: Page, place: int, key: bytes) -> bytes:
        keys = page.node_keys()
        if place < len(keys) and keys[place] == key:
            return page.nodes[place]
        raise RecordNotFoundError(f"no key {key.hex()} in tree {self.fdp}")

    def _log(
        self, kind: int, tx: int, page: Page, place: int, body: bytes, compensation: bool
    ) -> None:
        """Write the record of a row operation and stamp the page with it."""
        db = self._db
        after = db.dbtime = db.dbtime + 1
        if compensation:
            kind |= COMPENSATION
        record = operation(kind, db.dbid, tx, page.pgno, self.fdp, page.dbtime, after, place, body)
        lsn = db.log.append(record)
        page.dbtime = after
        if page.recovery_position is None:
            page.recovery_position = lsn
            db.pages.dirty[page.pgno] = page

    def _descend(self, key: bytes) -> Path:
        """Pages from root to leaf with the place taken on each; on the leaf, where ``key`` goes."""
        get = self._db.pages.get
        page = get(self.fdp)
        path: Path = []
        while not page.flags & 2:  # PageFlag.LEAF; an enum look-up costs more than the bisection
            keys = page.node_keys()
            place = bisect_right(keys, key, 0, len(keys) - 1)
            path.append((page, place))
            page = get(_child(page.nodes[place]))
        path.append((page, bisect_left(page.node_keys(), key)))
        return path

    def _split(self, path: Path, key: bytes) -> None:
        """Split the leaf of ``path``, or first an ancestor without room for one more entry."""
        db = self._db
        level = len(path) - 1
        while level and path[level - 1][0].used + _SEPARATOR_MAX > db.page_size - HEADER_SIZE:
            level -= 1
        page, place = path[level]
        at = self._split_place(page, place)
        if level == 0:
            self._split_root(page, at, key)
        else:
            self._split_page(path[level - 1], page, at, key)

    @staticmethod
    def _split_place(page: Page, place: int) -> int:
        """How many nodes stay on the left: half the bytes; all of them when appending."""
        if page.is_leaf and not page.next and place == len(page.nodes):
            return place
        half = sum(map(len, page.nodes)) // 2
        total = 0
        for count, node in enumerate(page.nodes):
            total += len(node)
            if total > half:
                # A page with one large row, or a first row above half: the new row decides.
                return max(1, count) if len(page.nodes) > 1 else place
        raise AssertionError("an empty page is never split")

    def _separator(self, page: Page, at: int, key: bytes) -> bytes:
        if not page.is_leaf:
            return page.node_keys()[at - 1]
        keys = page.node_keys()
        if at == len(keys):
            return shortest_separator(keys[-1], key)
        return shortest_separator(keys[at - 1] if at else key, keys[at])

    def _split_page(self, parent_entry: tuple[Page, int], page: Page, at: int, key: bytes) -> None:
        db = self._db
        space.ensure_free(db, self.fdp, 1)
        macro = db.macro()
        pgno = space.take_page(db, macro, self.fdp, 0)
        space.settle(db, macro, self.fdp, 1)
        right = Page(pgno, self.objid, page.flags, nodes=page.nodes[at:])
        if page.is_leaf:
            right.prev, right.next = page.pgno, page.next
            if page.next:
                neighbour = db.pages.get(page.next)
                macro.link(neighbour, pgno, neighbour.next)
            macro.link(page, page.prev, pgno)
        parent, place = parent_entry
        bound = node_key(parent.nodes[place])
        if db.moves_unlogged:
            macro.move(right, page, at, len(page.nodes))
        else:
            macro.image(right)
        macro.insert(parent, place, branch_entry(self._separator(page, at, key), page.pgno))
        macro.replace(parent, place + 1, branch_entry(bound, pgno))
        macro.trim(page, at)
        db.note_split(page.pgno, pgno, len(right.nodes))
        db.run_split(macro, page.pgno, [pgno])

    def _split_root(self, root: Page, at: int, key: bytes) -> None:
        """The root keeps its place; its nodes move to two new pages below it."""
        db = self._db
        space.ensure_free(db, self.fdp, 2)
        macro = db.macro()
        left_pgno = space.take_page(db, macro, self.fdp, 0)
        right_pgno = space.take_page(db, macro, self.fdp, 1)
        space.settle(db, macro, self.fdp, 2)
        flags = root.flags & ~PageFlag.ROOT
        left = Page(left_pgno, self.objid, flags, nodes=root.nodes[:at])
        right = Page(right_pgno, self.objid, flags, nodes=root.nodes[at:])
        level = PageFlag(0)
        if root.is_leaf:
            left.next, right.prev = right_pgno, left_pgno
            level = PageFlag.PARENT_OF_LEAF
        top = Page(
            root.pgno,
            root.objid,
            root.flags & ~(PageFlag.LEAF | PageFlag.PARENT_OF_LEAF) | level,
            external=root.external,
            nodes=[
                branch_entry(self._separator(root, at, key), left_pgno),
                branch_entry(b"", right_pgno),
            ],
        )
        if db.moves_unlogged:
            macro.move(left, root, 0, at)
            macro.move(right, root, at, len(root.nodes))
        else:
            macro.image(left)
            macro.image(right)
        macro.image(top)
        db.note_split(root.pgno, left_pgno, len(left.nodes))
        db.run_split(macro, root.pgno, [left_pgno, right_pgno])

    def _remove_leaf(self, path: Path) -> None:
        """Unlink a leaf that has become empty, unless it is its parent's only child."""
        db = self._db
        page, _ = path[-1]
        parent, place = path[-2]
        if len(parent.nodes) < 2:
            return
        macro = db.macro()
        if not space.give_back(db, macro, self.fdp, page.pgno):
            return
        if place == len(parent.nodes) - 1:
            # The new last entry takes over the bound of the one that goes (empty on the right
            # spine).
            macro.replace(
                parent,
                place - 1,
                branch_entry(node_key(parent.nodes[place]), _child(parent.nodes[place - 1])),
            )
        macro.delete(parent, place)
        if page.prev:
            left = db.pages.get(page.prev)
            macro.link(left, left.prev, page.next)
        if page.next:
            right = db.pages.get(page.next)
            macro.link(right, page.prev, right.next)
        db.run_macro(macro)


def _child(node: bytes) -> int:
    pgno: int = _CHILD.unpack(node[-4:])[0]
    return pgno


def branch_entry(key: bytes, pgno: int) -> bytes:
    """The node of an interior page that leads to a child; ``key`` bounds it from above."""
    return make_node(key, _CHILD.pack(pgno))


def child_pages(page: Page) -> list[int]:
    """The page numbers of an interior page's children."""
    return [_child(node) for node in page.nodes]
