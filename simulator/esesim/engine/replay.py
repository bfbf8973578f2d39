"""Redo and undo: replaying log records onto databases.

Redo repeats *all* records, also of transactions that never committed: leaving some out would break
the chain of dbtimes. Undo takes the losers back, by key, after the last log of all; never at the
end of a backup set, because a later set may hold the commit (ESE source _log/logredo.cxx).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable

from attrs import define, field

from eseback.errors import JetErr

from ..volume import VolumeFile
from .database import Database
from .errors import JetError
from .log import LogStream
from .logrecord import (
    COMPENSATION,
    OPERATION,
    RECORD_HEAD,
    STREAM_WRITE,
    LogType,
    mark,
    split_replace_body,
)
from .page import Page
from .redo import apply_macro, dbtime_mismatch
from .transaction import Undo

# Plain numbers: comparing a byte with an enum member costs more than redoing a row.
_INSERT, _REPLACE, _DELETE = int(LogType.INSERT), int(LogType.REPLACE), int(LogType.DELETE)
_ROW_KINDS = frozenset((_INSERT, _REPLACE, _DELETE))
_BEGIN, _END, _MACRO = int(LogType.BEGIN), int(LogType.END), int(LogType.MACRO)
_TRANSACTION_ENDS = frozenset((int(LogType.COMMIT), int(LogType.ROLLBACK)))
_ATTACH, _DETACH = int(LogType.ATTACH_DB), int(LogType.DETACH_DB)
_STREAM_WRITE = int(LogType.STREAM_WRITE)
_OPERATION_SIZE = OPERATION.size
_HEAD_SIZE = RECORD_HEAD.size
_KIND_BITS = COMPENSATION - 1
# An insert takes its node and a tag of four bytes.
_INSERT_COST = OPERATION.size - 4
# Pages that may wait before a batch is written, so that a replay needs bounded memory.
_DIRTY_MAX = 8192


@define
class Target:
    """A database that records are applied to."""

    database: Database
    streaming: VolumeFile | None
    pages: dict[int, Page] = field(init=False)
    dirty: dict[int, Page] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.pages = self.database.pages.pages
        self.dirty = self.database.pages.dirty


@define
class ReplayCounts:
    """What a replay did."""

    records: int = 0
    applied: int = 0
    generations: int = 0
    undone_transactions: int = 0
    undone_operations: int = 0


# What undo needs of a record: the bytes it lies in, its offset and its position.
_Loser = tuple[bytes, int, int]


class Replay:
    """Applies generations in order. ``attach`` opens a database that the log says is attached."""

    def __init__(self, attach: Callable[[int, bytes, int], None], detach: Callable[[int], None]):
        self.targets: dict[int, Target] = {}
        self.counts = ReplayCounts()
        # A transaction that began before the first log replayed has ended in a later one (the
        # checkpoint never passes an open one), so a missing begin is no error.
        self.open: defaultdict[int, list[_Loser]] = defaultdict(list)
        self.last_transaction = 0
        self._attach = attach
        self._detach = detach

    def redo_blocks(self, data: bytes, blocks: Iterable[tuple[int, int]], base: int) -> None:
        """Redo the records between (start, end) of each block, up to an end-of-log mark.

        The position of a record is ``base`` plus its offset. This loop runs once per record of a
        replay, some 200 000 times a second: it spells out what could be functions.
        """
        targets, open_, counts = self.targets, self.open, self.counts
        ends, row_kinds = _TRANSACTION_ENDS, _ROW_KINDS
        unpack, unpack_head = OPERATION.unpack_from, RECORD_HEAD.unpack_from
        for start, end in blocks:
            offset = start
            while offset < end:
                counts.records += 1
                kind = data[offset] & _KIND_BITS
                if kind not in row_kinds:
                    kind, _, size, tx = unpack_head(data, offset)
                    if size < _HEAD_SIZE:
                        raise _bad_record(size, base + offset)
                    if kind == _BEGIN:
                        open_[tx] = []
                        if tx > self.last_transaction:
                            self.last_transaction = tx
                    elif kind in ends:
                        open_.pop(tx, None)
                    elif kind == _END:
                        return
                    else:
                        self._redo_other(kind, data, offset, size, base)
                    offset += size
                    continue
                full_kind, dbid, size, tx, pgno, _, before, after, place = unpack(data, offset)
                if size < _OPERATION_SIZE:
                    raise _bad_record(size, base + offset)
                target = targets.get(dbid)
                if target is None:
                    offset += size
                    continue
                page = target.pages.get(pgno)
                if page is None:
                    page = target.database.pages.get(pgno)
                dbtime = page.dbtime
                if dbtime == before:
                    body = offset + _OPERATION_SIZE
                    if kind == _INSERT:
                        page.nodes.insert(place, data[body : offset + size])
                        page.used += size - _INSERT_COST
                    elif kind == _DELETE:
                        page.used -= len(page.nodes.pop(place)) + 4
                    else:
                        old = data[body] | data[body + 1] << 8
                        page.nodes[place] = data[body + 2 + old : offset + size]
                        page.used += size - _OPERATION_SIZE - 2 - 2 * old
                    page.dbtime = after
                    page.keys = None
                    counts.applied += 1
                    if page.recovery_position is None:
                        page.recovery_position = base + offset
                        target.dirty[pgno] = page
                elif dbtime < after:
                    raise dbtime_mismatch(target.database.pages, page, before, after)
                target.database.dbtime = after
                if tx:
                    if full_kind == kind:
                        open_[tx].append((data, offset, base + offset))
                    elif open_[tx]:
                        open_[tx].pop()
                offset += size

    def _redo_other(self, kind: int, data: bytes, offset: int, size: int, base: int) -> None:
        dbid = data[offset + 1]
        if kind == _MACRO:
            target = self.targets.get(dbid)
            if target is not None:
                record = data[offset : offset + size]
                apply_macro(target.database.pages, record, base + offset)
                target.database.dbtime = int.from_bytes(record[8:16], "little")
        elif kind == _STREAM_WRITE:
            target = self.targets.get(dbid)
            if target is not None and target.streaming is not None:
                page_size = target.database.page_size
                *_, pgno = STREAM_WRITE.unpack_from(data, offset)
                body = data[offset + STREAM_WRITE.size : offset + size].ljust(page_size, b"\0")
                target.streaming.write((pgno + 1) * page_size, body)
        elif kind == _ATTACH:
            self._attach(dbid, data[offset + 8 : offset + size], base + offset)
        elif kind == _DETACH:
            self._detach(dbid)

    def write_back(self, *, everything: bool = False) -> None:
        """Write pages of the targets: all, or so many that memory stays bounded."""
        for target in self.targets.values():
            pages = target.database.pages
            excess = len(pages.dirty) - _DIRTY_MAX
            if everything or excess > 0:
                if target.streaming is not None:
                    target.streaming.sync()
                pages.flush(None if everything else excess + _DIRTY_MAX // 4)
            pages.trim_cache()

    def undo(self, log: LogStream) -> None:
        """Take back what open transactions did, newest first, and log that."""
        losers = [
            (lsn, tx, data, offset) for tx, ops in self.open.items() for data, offset, lsn in ops
        ]
        for _, tx, data, offset in sorted(losers, key=lambda loser: loser[0], reverse=True):
            self._undo_one(tx, data, offset)
            self.counts.undone_operations += 1
        for tx in self.open:
            log.append(mark(LogType.ROLLBACK, tx=tx))
        self.counts.undone_transactions += len(self.open)
        self.open.clear()
        log.flush()

    def _undo_one(self, tx: int, data: bytes, offset: int) -> None:
        kind, dbid, size, _, _, fdp, *_ = OPERATION.unpack_from(data, offset)
        body = data[offset + _OPERATION_SIZE : offset + size]
        node = split_replace_body(body)[0] if kind == _REPLACE else body
        target = self.targets.get(dbid)
        if target is None:
            return
        tree = target.database.tree_at(fdp)
        Undo(LogType(kind), tree, node).run(tx)


def _bad_record(size: int, lsn: int) -> JetError:
    return JetError(JetErr.LOG_CORRUPTED, f"a record of {size} bytes at {lsn:#x}")
