"""Redo and undo: replaying log records onto databases.

Redo repeats *all* records, also of transactions that never committed: leaving some out would break
the chain of dbtimes. Undo takes the losers back, by key, after the last log of all; never at the
end of a backup set, because a later set may hold the commit (ESE source _log/logredo.cxx).
"""

from __future__ import annotations

import struct
from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Sequence
from itertools import chain
from typing import Final, TypeAlias

from attrs import field

from eseback.data import define
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
# What redo needs of an operation, and no more: dbid, size, transaction, pgno, dbtime before, after,
# place.
_REDO: Final = struct.Struct("<xBHII4xQQH")
_HEAD_SIZE = RECORD_HEAD.size
_KIND_BITS = COMPENSATION - 1
# An insert takes its node and a tag of four bytes.
_INSERT_COST = OPERATION.size - 4
_STREAM_PGNO: Final = struct.Struct("<8xI")  # of a STREAM_WRITE


@define
class Target:
    """A database that records are applied to."""

    database: Database
    streaming: VolumeFile | None
    pages: dict[int, Page] = field(init=False)
    dirty: dict[int, Page] = field(init=False)
    _stream_pages: dict[int, bytes] = field(init=False, factory=dict)

    def __attrs_post_init__(self) -> None:
        self.pages = self.database.pages.pages
        self.dirty = self.database.pages.dirty

    def put_stream_page(self, pgno: int, data: bytes) -> None:
        """A page of the streaming file becomes this and zeros; written later.

        Free pages are soon used again, so within one log most are written several times.
        """
        if self.streaming is not None:
            self._stream_pages[pgno] = data

    def write_stream(self) -> None:
        """Write the pages of the streaming file that wait, neighbours at once."""
        waiting, file = self._stream_pages, self.streaming
        if not waiting or file is None:
            return
        size = self.database.page_size
        run: list[bytes] = []
        last = -1
        for pgno in sorted(waiting):
            if run and pgno != last + 1:
                file.write((last + 2 - len(run)) * size, b"".join(run))
                run.clear()
            run.append(waiting[pgno].ljust(size, b"\0"))
            last = pgno
        file.write((last + 2 - len(run)) * size, b"".join(run))
        waiting.clear()

    def sync_stream(self) -> None:
        """All of the streaming file is durable: before pages that say what is in it are written."""
        if self.streaming is not None:
            self.write_stream()
            self.streaming.sync()

    def close_stream(self) -> None:
        """Let go of the streaming file; what waits is lost."""
        if self.streaming is not None:
            self.streaming.close()

    def flush_together(self, pgnos: Sequence[int]) -> None:
        """Write pages between which rows moved that no record has: all of them or none."""
        self.sync_stream()
        self.database.pages.flush_together([self.pages[pgno] for pgno in pgnos])


@define
class ReplayCounts:
    """What a replay did."""

    records: int = 0
    applied: int = 0
    generations: int = 0
    undone_transactions: int = 0
    undone_operations: int = 0


# What undo needs of a record: the record and its position. While its log is being redone, its
# offset there does: nearly all transactions end in that log, and then nobody asks for more.
_Loser: TypeAlias = "tuple[bytes, int] | int"


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
        self._log = b""  # the one that is being redone
        self._dirty_max = dirty_max
        self._attach = attach
        self._detach = detach

    def redo_blocks(self, data: bytes, blocks: Iterable[tuple[int, int]], base: int) -> None:
        """Redo the records of a log between (start, end) of each block, up to an end-of-log mark.

        The position of a record is ``base`` plus its offset. Of the log, only what undo may need
        stays in memory.
        """
        self._log = data
        self._redo_blocks(data, blocks, base)
        for operations in chain(self.open.values(), self.left_alone.values()):
            operations[:] = [self._kept(loser, base) for loser in operations]
        self._log = b""

    def _redo_blocks(self, data: bytes, blocks: Iterable[tuple[int, int]], base: int) -> None:
        # This loop runs once per record of a replay, some 500 000 times a second: it spells out
        # what could be functions, and looks up only once what most records share with the one
        # before, which are database and transaction.
        targets, open_, left_alone = self.targets, self.open, self.left_alone
        ends, row_kinds = _TRANSACTION_ENDS, _ROW_KINDS
        unpack, unpack_head = _REDO.unpack_from, RECORD_HEAD.unpack_from
        records = applied = 0
        last_dbid = last_tx = -1
        try:
            for start, end in blocks:
                offset = start
                while offset < end:
                    records += 1
                    full_kind = data[offset]
                    kind = full_kind & _KIND_BITS
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
                            last_dbid = -1
                        last_tx = -1
                        offset += size
                        continue
                    dbid, size, tx, pgno, before, after, place = unpack(data, offset)
                    if size < _OPERATION_SIZE:
                        raise _bad_record(size, base + offset)
                    following = offset + size
                    if dbid != last_dbid:
                        target = targets.get(dbid)
                        if target is None:
                            offset = following
                            continue
                        last_dbid = dbid
                        database, pages, dirty = target.database, target.pages, target.dirty
                    try:
                        page = pages[pgno]
                    except KeyError:
                        page = database.pages.get(pgno)
                    dbtime = page.dbtime
                    if dbtime == before:
                        body = offset + _OPERATION_SIZE
                        if kind == _INSERT:
                            page.nodes.insert(place, data[body:following])
                            page.used += size - _INSERT_COST
                        elif kind == _DELETE:
                            page.used -= len(page.nodes.pop(place)) + 4
                        else:
                            old = data[body] | data[body + 1] << 8
                            page.nodes[place] = data[body + 2 + old : following]
                            page.used += size - _OPERATION_SIZE - 2 - 2 * old
                        page.dbtime = after
                        page.keys = None
                        applied += 1
                        if page.recovery_position is None:
                            page.recovery_position = base + offset
                            dirty[pgno] = page
                    elif dbtime < after:
                        raise dbtime_mismatch(database.pages, page, before, after)
                    database.dbtime = after
                    if tx:
                        if tx != last_tx:
                            last_tx, operations = tx, open_[tx]
                        if full_kind == kind:
                            operations.append(offset)
                        elif left_alone:
                            self._taken_back(tx, dbid)
                        elif operations:
                            operations.pop()
                    offset = following
        finally:
            self.counts.records += records
            self.counts.applied += applied

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
            if target is not None:
                (pgno,) = _STREAM_PGNO.unpack_from(data, offset)
                target.put_stream_page(pgno, data[offset + STREAM_WRITE.size : offset + size])
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
        if left_alone and self._dbid(left_alone[-1]) == dbid:
            left_alone.pop()
            return
        if self.open[tx]:
            self.open[tx].pop()

    def _leave_alone(self, restored: Container[int]) -> None:
        """A hard recovery of these databases comes to its end here."""
        for tx, operations in self.open.items():
            others = [loser for loser in operations if self._dbid(loser) not in restored]
            if others:
                operations[:] = [loser for loser in operations if self._dbid(loser) in restored]
                self.left_alone[tx] = others + self.left_alone.get(tx, [])

    def _dbid(self, loser: _Loser) -> int:
        """The database of an operation."""
        return self._log[loser + 1] if isinstance(loser, int) else loser[0][1]

    def _kept(self, loser: _Loser, base: int) -> tuple[bytes, int]:
        """An operation whose log is done with."""
        if not isinstance(loser, int):
            return loser
        size = self._log[loser + 2] | self._log[loser + 3] << 8
        return self._log[loser : loser + size], base + loser

    def write_back(self, *, everything: bool = False) -> None:
        """Write pages of the targets: all, or so many that memory stays bounded."""
        for target in self.targets.values():
            pages = target.database.pages
            excess = len(pages.dirty) - self._dirty_max
            target.write_stream()
            if everything or excess > 0:
                target.sync_stream()
                pages.flush(None if everything else excess + self._dirty_max // 4)
            pages.trim_cache()

    def undo(self, log: LogStream) -> None:
        """Take back what open transactions did, newest first, and log that."""
        losers = [
            (loser[1], tx, loser[0])
            for tx, operations in chain(self.open.items(), self.left_alone.items())
            for loser in operations
            if not isinstance(loser, int)  # none is, between logs
        ]
        for _, tx, record in sorted(losers, key=lambda loser: loser[0], reverse=True):
            self._undo_one(tx, record)
            self.counts.undone_operations += 1
        transactions = self.open.keys() | self.left_alone.keys()
        for tx in sorted(transactions):
            log.append(mark(LogType.ROLLBACK, tx=tx))
        self.counts.undone_transactions += len(transactions)
        self.open.clear()
        self.left_alone.clear()
        log.flush()

    def _undo_one(self, tx: int, record: bytes) -> None:
        kind, dbid, _, _, _, fdp, *_ = OPERATION.unpack_from(record)
        body = record[_OPERATION_SIZE:]
        node = split_replace_body(body)[0] if kind == _REPLACE else body
        target = self.targets.get(dbid)
        if target is None:
            return
        tree = target.database.tree_at(fdp)
        Undo(LogType(kind), tree, node).run(tx)


def _bad_record(size: int, lsn: int) -> JetError:
    return JetError(JetErr.LOG_CORRUPTED, f"a record of {size} bytes at {lsn:#x}")
