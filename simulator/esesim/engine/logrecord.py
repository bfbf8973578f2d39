"""Log records: how each change is written down, for redo and for undo.

A record starts with type, database, its whole length and the transaction. Type numbers are those of
the ESE source (log.hxx) where it has one for the purpose; the bodies are this engine's own, because
no reader of ESE logs exists outside Microsoft and nothing documents the bodies.

Three families:

* row operations (insert, delete, replace) on one leaf page: redo is physical (page, place), undo is
  logical (tree, key), because rows move between pages while a transaction is open. The operation
  that takes one back is logged with ``COMPENSATION`` set and is never taken back itself.
* macros: a change of structure over several pages (split, removal of an empty page, allocation,
  growth of the file). One record, so it happens wholly or not at all; never undone.
* marks: begin, commit, rollback, attach, detach, backup, end of log.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from itertools import accumulate, pairwise
from typing import Final

from .page import Page

# ASSUMED(log-record-bodies): the bodies of log records are esesim's own; only headers, framing and
# type numbers follow ESE.
RECORD_HEAD: Final = struct.Struct("<BBHI")  # type, dbid, length of the whole record, transaction
OPERATION: Final = struct.Struct("<BBHIIIQQH")  # + pgno, pgnoFDP, dbtime before, after, place
REPLACE_OLD: Final = struct.Struct("<H")
STREAM_WRITE: Final = struct.Struct("<BBHII")  # + page number in the streaming file
MACRO: Final = struct.Struct("<BBHIQH")  # + dbtime after, number of page groups
GROUP: Final = struct.Struct("<BIQ")  # kind, pgno, dbtime before
IMAGE: Final = struct.Struct(
    "<IIIIHH"
)  # objid, flags, prev, next, nodes, length of external header
LENGTH: Final = struct.Struct("<H")
MOVE: Final = struct.Struct("<IHHIIII")  # source, first and end node, objid, flags, prev, next
COMPENSATION: Final = 0x80
RECORD_SIZE_MAX: Final = 0xFFFF


class LogType(IntEnum):
    """Record types (ESE source log.hxx)."""

    END = 4
    ROLLBACK = 7
    BEGIN = 8
    COMMIT = 9
    CREATE_DB = 14
    ATTACH_DB = 15
    DETACH_DB = 16
    RECOVERY_UNDO = 17
    RECOVERY_QUIT = 18
    FULL_BACKUP = 19
    INC_BACKUP = 20
    MACRO = 27
    INSERT = 29
    REPLACE = 33
    DELETE = 35
    EXT_RESTORE = 45
    INIT = 49
    TERM = 50
    # ASSUMED(log-stream-write-type): the number of the record that carries a page of the .stm.
    STREAM_WRITE = 60


class GroupKind(IntEnum):
    """What a macro does with one page."""

    IMAGE = 0
    OPERATIONS = 1
    EXTEND = 2
    MOVE = 3


class PageOp(IntEnum):
    """One step inside a macro's OPERATIONS group."""

    INSERT = 1
    DELETE = 2
    REPLACE = 3
    TRIM = 4
    LINK = 5


def mark(kind: LogType, dbid: int = 0, tx: int = 0, body: bytes = b"") -> bytes:
    """A record without page changes."""
    return RECORD_HEAD.pack(kind, dbid, RECORD_HEAD.size + len(body), tx) + body


def operation(
    kind: int,
    dbid: int,
    tx: int,
    pgno: int,
    fdp: int,
    before: int,
    after: int,
    place: int,
    body: bytes,
) -> bytes:
    """A row operation; for REPLACE ``body`` is made by :func:`replace_body`."""
    return (
        OPERATION.pack(kind, dbid, OPERATION.size + len(body), tx, pgno, fdp, before, after, place)
        + body
    )


def replace_body(old: bytes, new: bytes) -> bytes:
    """Both images of a replaced node."""
    return REPLACE_OLD.pack(len(old)) + old + new


def split_replace_body(body: bytes) -> tuple[bytes, bytes]:
    """The old and the new node of a replace."""
    (size,) = REPLACE_OLD.unpack_from(body)
    return body[2 : 2 + size], body[2 + size :]


def stream_write(dbid: int, tx: int, pgno: int, data: bytes) -> bytes:
    """A page written to the streaming file."""
    return (
        STREAM_WRITE.pack(LogType.STREAM_WRITE, dbid, STREAM_WRITE.size + len(data), tx, pgno)
        + data
    )


def pack_image(page: Page) -> bytes:
    """A whole page, for the record that (re)makes it."""
    nodes = page.nodes
    count = len(nodes)
    head = IMAGE.pack(page.objid, page.flags, page.prev, page.next, count, len(page.external))
    sizes = struct.pack(f"<{count}H", *map(len, nodes))
    return b"".join((head, sizes, page.external, *nodes))


def unpack_image(data: bytes, pgno: int, dbtime: int) -> Page:
    """The page that :func:`pack_image` wrote down."""
    objid, flags, prev, next_, count, external = IMAGE.unpack_from(data)
    sizes = struct.unpack_from(f"<{count}H", data, IMAGE.size)
    start = IMAGE.size + 2 * count
    bounds = list(accumulate((external, *sizes), initial=start))
    cells = [data[begin:end] for begin, end in pairwise(bounds)]
    return Page(
        pgno,
        objid,
        flags,
        external=cells[0],
        nodes=cells[1:],
        prev=prev,
        next=next_,
        dbtime=dbtime,
        used=bounds[-1] - start + 4 * (count + 1),
    )


# Plain numbers: comparing bytes with enum members costs more than the step itself.
_STEP_INSERT, _STEP_DELETE, _STEP_LINK = int(PageOp.INSERT), int(PageOp.DELETE), int(PageOp.LINK)
_STEPS_WITH_NODE: Final = (_STEP_INSERT, int(PageOp.REPLACE))
_PLACE_SIZE: Final = struct.Struct("<HH")
_LINKS: Final = struct.Struct("<II")


class MacroBuilder:
    """Collects the page groups of one structural change."""

    def __init__(self, dbid: int, after: int) -> None:
        self.dbid = dbid
        self.after = after
        self._groups: list[bytes] = []
        self._steps: dict[int, tuple[int, list[bytes]]] = {}

    def image(self, page: Page) -> None:
        """The page becomes exactly this, whatever it was."""
        data = pack_image(page)
        self._groups.append(
            GROUP.pack(GroupKind.IMAGE, page.pgno, 0) + LENGTH.pack(len(data)) + data
        )

    def move(self, target: Page, source: Page, first: int, end: int) -> None:
        """``target`` takes nodes ``first``..``end`` of ``source``; the record lacks the rows."""
        self._groups.append(
            GROUP.pack(GroupKind.MOVE, target.pgno, source.dbtime)
            + MOVE.pack(
                source.pgno, first, end, target.objid, target.flags, target.prev, target.next
            )
        )

    def extend(self, last_pgno: int) -> None:
        """The file grows to this last page."""
        self._groups.append(GROUP.pack(GroupKind.EXTEND, last_pgno, 0))

    def insert(self, page: Page, place: int, node: bytes) -> None:
        """A node comes in at ``place``."""
        self._step(page, struct.pack("<BHH", PageOp.INSERT, place, len(node)) + node)

    def delete(self, page: Page, place: int) -> None:
        """The node at ``place`` goes."""
        self._step(page, struct.pack("<BH", PageOp.DELETE, place))

    def replace(self, page: Page, place: int, node: bytes) -> None:
        """The node at ``place`` becomes another."""
        self._step(page, struct.pack("<BHH", PageOp.REPLACE, place, len(node)) + node)

    def trim(self, page: Page, count: int) -> None:
        """Only the first ``count`` nodes stay."""
        self._step(page, struct.pack("<BH", PageOp.TRIM, count))

    def link(self, page: Page, prev: int, next_: int) -> None:
        """The neighbours of the page change."""
        self._step(page, struct.pack("<BII", PageOp.LINK, prev, next_))

    def _step(self, page: Page, step: bytes) -> None:
        self._steps.setdefault(page.pgno, (page.dbtime, []))[1].append(step)

    def build(self) -> bytes:
        """The record."""
        groups = list(self._groups)
        for pgno, (before, steps) in self._steps.items():
            body = b"".join(steps)
            groups.append(
                GROUP.pack(GroupKind.OPERATIONS, pgno, before)
                + struct.pack("<BH", len(steps), len(body))
                + body
            )
        size = MACRO.size + sum(map(len, groups))
        head = MACRO.pack(LogType.MACRO, self.dbid, size, 0, self.after, len(groups))
        return b"".join((head, *groups))


def run_steps(page: Page, count: int, data: bytes, offset: int = 0) -> None:
    """Apply the steps of one OPERATIONS group, at ``offset`` in ``data``, to its page."""
    nodes = page.nodes
    for _ in range(count):
        step = data[offset]
        if step in _STEPS_WITH_NODE:
            place, size = _PLACE_SIZE.unpack_from(data, offset + 1)
            offset += 5
            node = data[offset : offset + size]
            offset += size
            if step == _STEP_INSERT:
                nodes.insert(place, node)
                page.used += size + 4
            else:
                page.used += size - len(nodes[place])
                nodes[place] = node
        elif step == _STEP_LINK:
            page.prev, page.next = _LINKS.unpack_from(data, offset + 1)
            offset += 9
        else:
            (place,) = LENGTH.unpack_from(data, offset + 1)
            offset += 3
            gone = nodes[place : place + 1 if step == _STEP_DELETE else len(nodes)]
            page.used -= sum(map(len, gone)) + 4 * len(gone)
            del nodes[place : place + len(gone)]
    page.keys = None
