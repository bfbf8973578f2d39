"""Applying a macro record to the pages of a database.

The same code runs when the change is made and when it is redone, so that both end in the same
bytes. Redo is conditional per page: the page's dbtime says whether it has the change already (ESE
source _log/logredo.cxx, the redo condition).
"""

from __future__ import annotations

import struct

from eseback.errors import JetErr

from .errors import JetError
from .logrecord import GROUP, LENGTH, MACRO, MOVE, GroupKind, run_steps, unpack_image
from .page import Page
from .pagefile import PageFile

_OPERATIONS, _IMAGE = int(GroupKind.OPERATIONS), int(GroupKind.IMAGE)
_MOVE = int(GroupKind.MOVE)
# A group of steps as a whole: that kind, pgno, dbtime before, number of steps, bytes of them.
_STEPS = struct.Struct("<BIQBH")


def apply_macro(file: PageFile, record: bytes, lsn: int) -> list[int]:
    """Apply a MACRO record; pages that have it already are left alone.

    Returns the pages between which rows moved that the record itself lacks: none of them may be
    written without the others. Raises -566 or -567 where a page's dbtime doesn't fit the record.
    """
    moved: list[int] = []
    *_, after, groups = MACRO.unpack_from(record)
    offset = MACRO.size
    pages = file.pages
    for _ in range(groups):
        if record[offset] == _OPERATIONS:
            _, pgno, before, count, size = _STEPS.unpack_from(record, offset)
            offset += _STEPS.size
            try:
                page = pages[pgno]
            except KeyError:
                page = file.get(pgno)
            if page.dbtime == before or needs_redo(file, page, before, after):
                run_steps(page, count, record, offset)
                page.dbtime = after
                if page.recovery_position is None:
                    file.touch(page, lsn)
            offset += size
            continue
        kind, pgno, before = GROUP.unpack_from(record, offset)
        offset += GROUP.size
        if kind == _IMAGE:
            (size,) = LENGTH.unpack_from(record, offset)
            offset += 2
            if file.get(pgno).dbtime < after:
                file.put(unpack_image(record[offset : offset + size], pgno, after), lsn)
            offset += size
        elif kind == _MOVE:
            if file.get(pgno).dbtime < after:
                move = MOVE.unpack_from(record, offset)
                file.put(_moved(file, pgno, before, after, *move), lsn)
                moved += (pgno, move[0])
            offset += MOVE.size
        else:
            file.extend(pgno)
    return list(dict.fromkeys(moved))


def _moved(
    file: PageFile,
    pgno: int,
    before: int,
    after: int,
    source_pgno: int,
    first: int,
    end: int,
    objid: int,
    flags: int,
    prev: int,
    next_: int,
) -> Page:
    """The page that takes rows of another one: from that page, or else from a patch file."""
    source = file.get(source_pgno)
    if source.dbtime == before:
        nodes = source.nodes[first:end]
        return Page(pgno, objid, flags, nodes=nodes, prev=prev, next=next_, dbtime=after)
    for patch in file.patches.get(pgno, ()):
        if patch.dbtime == after:
            return patch
    raise JetError(
        JetErr.MISSING_PATCH_PAGE,
        f"page {pgno} of {file.path} took rows of page {source_pgno} at dbtime {after:#x}; neither "
        "the copy nor a patch file has them",
    )


def needs_redo(file: PageFile, page: Page, before: int, after: int) -> bool:
    """The redo condition of one page."""
    dbtime = page.dbtime
    if dbtime == before:
        return True
    if dbtime >= after:
        return False
    raise dbtime_mismatch(file, page, before, after)


def dbtime_mismatch(file: PageFile, page: Page, before: int, after: int) -> JetError:
    """The error for a page that is older (-566) or newer (-567) than the record expects."""
    too_old = page.dbtime < before
    return JetError(
        JetErr.DB_TIME_TOO_OLD if too_old else JetErr.DB_TIME_TOO_NEW,
        f"page {page.pgno} of {file.path} has dbtime {page.dbtime:#x}; "
        f"the log takes it from {before:#x} to {after:#x}",
    )
