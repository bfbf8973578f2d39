"""Redo and undo: replaying log records onto databases.

Redo repeats *all* records, also of transactions that never committed: leaving some out would break
the chain of dbtimes. Undo takes the losers back, by key, after the last log of all; never at the
end of a backup set, because a later set may hold the commit (ESE source _log/logredo.cxx).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Sequence
from itertools import chain

from attrs import define, field

from eseback.errors import JetErr

from ..volume import VolumeFile
from .attach import RestoreRecord
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
_EXT_RESTORE = int(LogType.EXT_RESTORE)
_STREAM_WRITE = int(LogType.STREAM_WRITE)
_OPERATION_SIZE = OPERATION.size
_HEAD_SIZE = RECORD_HEAD.size
_KIND_BITS = COMPENSATION - 1
# An insert takes its node and a tag of four bytes.
_INSERT_COST = OPERATION.size - 4


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

    def flush_together(self, pgnos: Sequence[int]) -> None:
        """Write pages between which rows moved that no record has: all of them or none."""
        if self.streaming is not None:
            self.streaming.sync()
        self.database.pages.flush_together([self.pages[pgno] for pgno in pgnos])


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
    """Applies generations in order. ``attach`` opens a database that the log says is attached.

    ``dirty_max`` pages may wait before some are written, so that a replay needs bounded memory.
    """

    def __init__(
        self,
        attach: Callable[[int, bytes, int], None],
        detach: Callable[[int, bytes], None],
        *,
        dirty_max: int,
    ) -> None:
        self.targets: dict[int, Target] = {}
        self.counts = ReplayCounts()
        # A transaction that began before the first log replayed has ended in a later one (the
        # checkpoint never passes an open one), so a missing begin is no error.
        self.open: defaultdict[int, list[_Loser]] = defaultdict(list)
        # The same of databases that a hard recovery within the logs has left alone: what it rolled
        # back was done elsewhere.
        self.left_alone: dict[int, list[_Loser]] = {}
        self.last_transaction = 0
        self._dirty_max = dirty_max
        self._attach = attach
        self._detach = detach

    def redo_blocks(self, data: bytes, blocks: Iterable[tuple[int, int]], base: int) -> None:
        """Redo the records between (start, end) of each block, up to an end-of-log mark.

        The position of a record is ``base`` plus its offset. This loop runs once per record of a
        replay, some 200 000 times a second: it spells out what could be functions.
        """
        targets, open_, counts = self.targets, self.open, self.counts
        ends, row_kinds, left_alone = _TRANSACTION_ENDS, _ROW_KINDS, self.left_alone
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
                    elif left_alone:
                        self._taken_back(tx, dbid)
                    elif open_[tx]:
                        open_[tx].pop()
                offset += size

    def _redo_other(self, kind: int, data: bytes, offset: int, size: int, base: int) -> None:
        dbid = data[offset + 1]
        if kind == _MACRO:
            target = self.targets.get(dbid)
            if target is not None:
                record = data[offset : offset + size]
                moved = apply_macro(target.database.pages, record, base + offset)
                if moved:
                    target.flush_together(moved)
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
            self._detach(dbid, data[offset + 8 : offset + size])
        elif kind == _EXT_RESTORE:
            restored = RestoreRecord.unpack(data[offset + 8 : offset + size])
            self._leave_alone(set(restored.databases.values()))

    def _taken_back(self, tx: int, dbid: int) -> None:
        """An operation of the transaction has been undone: the last one in that database."""
        left_alone = self.left_alone.get(tx)
        if left_alone:
            data, offset, _ = left_alone[-1]
            if data[offset + 1] == dbid:
                left_alone.pop()
                return
        if self.open[tx]:
            self.open[tx].pop()

    def _leave_alone(self, restored: Container[int]) -> None:
        """A hard recovery of these databases comes to its end here."""
        for tx, operations in self.open.items():
            others = [op for op in operations if op[0][op[1] + 1] not in restored]
            if others:
                operations[:] = [op for op in operations if op[0][op[1] + 1] in restored]
                self.left_alone[tx] = others + self.left_alone.get(tx, [])

    def keep_losers(self, data: bytes) -> None:
        """The log ``data`` is done with: of it, only what undo may need stays in memory."""
        for operations in chain(self.open.values(), self.left_alone.values()):
            for number in range(len(operations) - 1, -1, -1):
                log, offset, lsn = operations[number]
                if log is not data:
                    break
                size = data[offset + 2] | data[offset + 3] << 8
                operations[number] = data[offset : offset + size], 0, lsn

    def write_back(self, *, everything: bool = False) -> None:
        """Write pages of the targets: all, or so many that memory stays bounded."""
        for target in self.targets.values():
            pages = target.database.pages
            excess = len(pages.dirty) - self._dirty_max
            if everything or excess > 0:
                if target.streaming is not None:
                    target.streaming.sync()
                pages.flush(None if everything else excess + self._dirty_max // 4)
            pages.trim_cache()

    def undo(self, log: LogStream) -> None:
        """Take back what open transactions did, newest first, and log that."""
        losers = [
            (lsn, tx, data, offset)
            for tx, ops in chain(self.open.items(), self.left_alone.items())
            for data, offset, lsn in ops
        ]
        for _, tx, data, offset in sorted(losers, key=lambda loser: loser[0], reverse=True):
            self._undo_one(tx, data, offset)
            self.counts.undone_operations += 1
        transactions = self.open.keys() | self.left_alone.keys()
        for tx in sorted(transactions):
            log.append(mark(LogType.ROLLBACK, tx=tx))
        self.counts.undone_transactions += len(transactions)
        self.open.clear()
        self.left_alone.clear()
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
