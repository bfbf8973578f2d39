"""The record area of a log file: blocks of records, each with its checksum.

Behind the header of 4096 bytes, block follows block. A block is what one flush writes: an
LRCHECKSUM record (22 bytes: u8 type 42, u32 cbBackwards, u32 cbForwards, u32 cbNext, u32 checksum,
u32 short checksum, u8 use of it), cbForwards bytes of records, and zeros to the end of the sector.
cbNext counts from the end of the LRCHECKSUM to the next one (ESE source inc/log.hxx,
_log/logstream.cxx).

A record starts with u8 type, u8 dbid, u16 length of the whole record, u32 transaction.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from enum import Enum
from typing import Final

from eseback.data import frozen
from eseback.formats.checksum import Readable, log_block_checksum
from eseback.formats.errors import FormatError
from eseback.formats.logheader import LOG_HEADER_SIZE, SECTOR_SIZE, LogHeader

# ASSUMED(log-sector-aligned-blocks): every block starts on a sector boundary and is never written
# again; the real engine fills up the last sector of a flush with the next one, for which it needs
# the backward range, the short checksum and the shadow sector.
# ASSUMED(log-block-crc): the field of the short checksum, which such blocks don't use, holds the
# CRC-32 of the records. The documented checksum is linear: a torn block can pass it.
# ASSUMED(log-unused-tail-zero): the unused tail of a log is zeros, so that it costs no space; the
# real engine fills it with a pattern.
# ASSUMED(log-record-header): all records start with the same eight bytes, the length among them;
# the real engine's records have only the type in common.

_LRCHECKSUM = struct.Struct("<BIIIIIB")
_SIZES = struct.Struct("<5xII")  # of it: cbForwards, cbNext
BLOCK_HEADER_SIZE: Final = _LRCHECKSUM.size
_LRCHECKSUM_TYPE: Final = 42
_SHORT_CHECKSUM_OFF: Final = 0xD1

RECORD_HEADER: Final = struct.Struct("<BBHI")
"""Start of each record: type, dbid, length of the whole record in bytes, transaction."""
END_OF_LOG_TYPE: Final = 4
END_OF_LOG: Final = RECORD_HEADER.pack(END_OF_LOG_TYPE, 0, RECORD_HEADER.size, 0)
"""The record that ends a closed log; it is the last one of the last block."""

_END_SIZE: Final = len(END_OF_LOG)

_ZEROS: Final = bytes(1 << 16)


def block_size(records_size: int) -> int:
    """Bytes that a block of so many bytes of records takes in the file."""
    return -(-(BLOCK_HEADER_SIZE + records_size) // SECTOR_SIZE) * SECTOR_SIZE


def seal_block(records: Readable, generation: int) -> bytes:
    """One block of records with its checksum, padded to whole sectors.

    Write it with one write: a reader tells a torn write from damage by what follows the bad block.
    """
    size = len(records)
    if not size:
        raise ValueError("a block has at least one record")
    total = block_size(size)
    cb_next = total - BLOCK_HEADER_SIZE
    checksum = log_block_checksum(records, cb_next, generation, use_short=_SHORT_CHECKSUM_OFF)
    crc = _crc(records, generation)
    header = _LRCHECKSUM.pack(
        _LRCHECKSUM_TYPE, 0, size, cb_next, checksum, crc, _SHORT_CHECKSUM_OFF
    )
    return b"".join((header, records, bytes(cb_next - size)))


def _crc(records: Readable, generation: int) -> int:
    """CRC-32 of the records, begun with the generation: a block of another log never fits."""
    return zlib.crc32(records, generation & 0xFFFFFFFF)


def read_block(data: Readable, offset: int, generation: int) -> tuple[memoryview, int] | None:
    """The records of the block at ``offset``, and the offset behind it; None if there is none.

    ``data`` is a whole log file or as much of it as there is.
    """
    start = offset + BLOCK_HEADER_SIZE
    if start > len(data):
        return None
    kind, backwards, size, cb_next, checksum, crc, use_short = _LRCHECKSUM.unpack_from(data, offset)
    if kind != _LRCHECKSUM_TYPE or backwards or use_short != _SHORT_CHECKSUM_OFF:
        return None
    end = start + cb_next
    if not size or cb_next != block_size(size) - BLOCK_HEADER_SIZE or end > len(data):
        return None
    records = memoryview(data)[start : start + size]
    if _crc(records, generation) != crc:
        return None
    if log_block_checksum(records, cb_next, generation, use_short=use_short) != checksum:
        return None
    return records, end


def iter_records(records: Readable) -> Iterator[tuple[int, int, int, int, memoryview]]:
    """The records of a block: (offset, type, dbid, transaction, body behind the header).

    ``FormatError`` if their lengths don't add up to the block's.
    """
    view = memoryview(records)
    size = len(view)
    offset = 0
    while offset < size:
        start = offset + RECORD_HEADER.size
        if start > size:
            raise FormatError(f"record at byte {offset} of the block is cut off")
        kind, dbid, length, transaction = RECORD_HEADER.unpack_from(view, offset)
        end = offset + length
        if end < start or end > size:
            raise FormatError(f"record at byte {offset} of the block has length {length}")
        yield offset, kind, dbid, transaction, view[start:end]
        offset = end


class LogEnd(Enum):
    """Why the chain of blocks in a log ends."""

    END_RECORD = "end-of-log record"
    """The log is closed and whole."""
    UNUSED = "nothing written behind it"
    """Only zeros follow: the end of a log that is still being written."""
    FULL = "end of the file"
    """The file ends without an end-of-log record."""
    TORN = "incomplete block"
    """A bad block and nothing good behind it: its write was interrupted."""
    CORRUPT = "damaged block"
    """A bad block, but good ones behind it: it was whole once."""


@frozen
class LogBlock:
    """One good block: where it starts, its records, where the next one starts."""

    offset: int
    records: memoryview
    next_offset: int


@frozen
class LogScan:
    """All good blocks of a log up to ``end_offset``, and why there are no more."""

    blocks: tuple[LogBlock, ...]
    end: LogEnd
    end_offset: int


def scan_blocks(data: Readable, generation: int, offset: int = LOG_HEADER_SIZE) -> LogScan:
    """Find the blocks of a whole log file, from the one at ``offset`` on.

    ``generation`` is that of the log's header. The records themselves are not looked at.
    """
    blocks: list[LogBlock] = []
    data = memoryview(data)
    while True:
        block = read_block(data, offset, generation)
        if block is None:
            return LogScan(tuple(blocks), _why_no_block(data, offset, generation), offset)
        records, next_offset = block
        blocks.append(LogBlock(offset, records, next_offset))
        offset = next_offset
        if _ends_log(records):
            return LogScan(tuple(blocks), LogEnd.END_RECORD, offset)


def record_spans(
    data: Readable, generation: int, offset: int = LOG_HEADER_SIZE
) -> tuple[list[tuple[int, int]], LogEnd, int]:
    """What ``scan_blocks`` finds, for a replay: (start, end) of the records of each block, why
    there are no more, and where.

    Only the CRC of a block is held against its records. It is the stronger of the two checksums,
    and a replay that computes both spends a third of its time on them.
    """
    spans: list[tuple[int, int]] = []
    view, size = memoryview(data), len(data)
    unpack, crc32, seed = _LRCHECKSUM.unpack_from, zlib.crc32, generation & 0xFFFFFFFF
    limit = size - BLOCK_HEADER_SIZE
    while offset <= limit:
        start = offset + BLOCK_HEADER_SIZE
        kind, backwards, length, cb_next, _, crc, use_short = unpack(data, offset)
        end = start + length
        if (
            kind != _LRCHECKSUM_TYPE
            or backwards
            or use_short != _SHORT_CHECKSUM_OFF
            or not 0 < length <= cb_next < length + SECTOR_SIZE
            or start + cb_next > size
            or crc32(view[start:end], seed) != crc
        ):
            break
        spans.append((start, end))
        offset = start + cb_next
        # A look at one byte spares the others nearly always. A block shorter than a record can't be
        # the end, and the byte is then one in front of it.
        if data[end - _END_SIZE] == END_OF_LOG_TYPE and _ends_log(view[start:end]):
            return spans, LogEnd.END_RECORD, offset
    return spans, _why_no_block(data, offset, generation), offset


def known_spans(
    data: Readable, end_offset: int, offset: int = LOG_HEADER_SIZE
) -> list[tuple[int, int]] | None:
    """What ``record_spans`` found before, up to the ``end_offset`` that it gave; checks no CRC.

    None if the blocks don't end just there: the file is no longer the same.
    """
    spans: list[tuple[int, int]] = []
    unpack, size = _SIZES.unpack_from, len(data)
    limit = min(end_offset, size - BLOCK_HEADER_SIZE + 1)
    while offset < limit:
        length, cb_next = unpack(data, offset)
        offset += BLOCK_HEADER_SIZE
        spans.append((offset, offset + length))
        offset += cb_next
    return spans if offset == end_offset <= size else None


def _ends_log(records: memoryview) -> bool:
    if records[-len(END_OF_LOG) :] != END_OF_LOG:
        return False
    # The bytes may be the end of another record's body.
    try:
        return _last_record_type(records) == END_OF_LOG_TYPE
    except FormatError:
        return False


def _last_record_type(records: Readable) -> int:
    """Walk over all records of a block. ``FormatError`` if their lengths don't add up."""
    data = bytes(records)
    last = offset = 0
    limit = len(data) - RECORD_HEADER.size
    while offset <= limit:
        last = offset
        offset += data[offset + 2] | data[offset + 3] << 8
        if offset - last < RECORD_HEADER.size:
            break
    if offset != len(data):
        list(iter_records(data))  # Raises, and says which record is wrong.
    return data[last]


def _why_no_block(data: Readable, offset: int, generation: int) -> LogEnd:
    if offset >= len(data):
        return LogEnd.FULL
    if _is_zero(data, offset):
        return LogEnd.UNUSED
    for later in range(offset + SECTOR_SIZE, len(data), SECTOR_SIZE):
        if data[later] == _LRCHECKSUM_TYPE and read_block(data, later, generation):
            return LogEnd.CORRUPT
    return LogEnd.TORN


def _is_zero(data: Readable, offset: int) -> bool:
    view = memoryview(data)
    for start in range(offset, len(view), len(_ZEROS)):
        piece = bytes(view[start : start + len(_ZEROS)])
        if piece != (_ZEROS if len(piece) == len(_ZEROS) else bytes(len(piece))):
            return False
    return True


def verify_log(data: Readable, *, closed: bool = True) -> list[str]:
    """Everything that is wrong with a whole log file, as sentences; an empty list if nothing is.

    Checks the header, the size, each block's checksum, the framing of the records, and the end:
    a ``closed`` log must have its end-of-log record, one that is still written may just end.
    """
    try:
        header = LogHeader.unpack(data)
    except FormatError as error:
        return [error.reason]
    problems = []
    if len(data) != header.file_size:
        problems.append(f"file has {len(data)} bytes, its header says {header.file_size}")
    scan = scan_blocks(data, header.generation, header.header_sectors * header.sector_size)
    for block in scan.blocks:
        try:
            _last_record_type(block.records)
        except FormatError as error:
            problems.append(f"block at offset {block.offset}: {error.reason}")
    good_ends = {LogEnd.END_RECORD} if closed else {LogEnd.END_RECORD, LogEnd.UNUSED}
    if scan.end not in good_ends:
        problems.append(f"log ends at offset {scan.end_offset} without its end: {scan.end.value}")
    return problems
