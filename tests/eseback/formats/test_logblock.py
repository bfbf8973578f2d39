"""Blocks of records: framing, where the chain ends and why."""

from __future__ import annotations

import random
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eseback.formats import (
    BLOCK_HEADER_SIZE,
    END_OF_LOG,
    RECORD_HEADER,
    FormatError,
    LogEnd,
    LogHeader,
    LogTime,
    Signature,
    block_size,
    iter_records,
    log_block_checksum,
    read_block,
    record_spans,
    scan_blocks,
    seal_block,
    verify_log,
)

GENERATION = 7
FILE_SIZE = 64 * 1024


def record(kind: int, body: bytes, transaction: int = 1, dbid: int = 1) -> bytes:
    """One record with its header."""
    return RECORD_HEADER.pack(kind, dbid, 8 + len(body), transaction) + body


def make_log(*blocks: bytes, generation: int = GENERATION) -> bytearray:
    """A whole log file of 64 KiB with these blocks."""
    header = LogHeader(
        generation=generation,
        created=LogTime.from_unix(1),
        sign_log=Signature(1),
        file_sectors=FILE_SIZE // 512,
    )
    data = header.pack() + b"".join(blocks)
    return bytearray(data + bytes(FILE_SIZE - len(data)))


SMALL = seal_block(record(29, b"small"), GENERATION)
LARGE = seal_block(b"".join(record(33, bytes([n]) * 300) for n in range(20)), GENERATION)
LAST = seal_block(record(6, b"") + END_OF_LOG, GENERATION)


def test_block_as_documented() -> None:
    records = record(29, b"body!")
    block = seal_block(records, GENERATION)
    assert len(block) == 512
    words = 0
    for (word,) in struct.iter_unpack("<I", records + bytes(-len(records) % 4)):
        words ^= word
    cb_next = 512 - 22
    checksum = 0xFEEDBEAF ^ words ^ len(records) ^ cb_next ^ 0xD1 ^ GENERATION
    header = struct.pack(
        "<BIIIIIB", 42, 0, len(records), cb_next, checksum, zlib.crc32(records, GENERATION), 0xD1
    )
    assert block == (header + records).ljust(512, b"\0")


@given(st.binary(min_size=1, max_size=3000), st.integers(1, 0x7FFFFFFF))
def test_round_trip(records: bytes, generation: int) -> None:
    block = seal_block(records, generation)
    assert len(block) == block_size(len(records))
    assert len(block) % 512 == 0
    assert len(block) - len(records) - BLOCK_HEADER_SIZE < 512
    found = read_block(b"x" * 512 + block, 512, generation)
    assert found is not None
    assert (bytes(found[0]), found[1]) == (records, 512 + len(block))
    assert read_block(block, 0, generation ^ 1) is None, "a block of another log"
    assert read_block(block[:-1], 0, generation) is None
    assert read_block(block, 512, generation) is None


def test_sizes_around_a_sector() -> None:
    assert [block_size(size) for size in (1, 490, 491, 1002, 1003)] == [512, 512, 1024, 1024, 1536]
    with pytest.raises(ValueError, match="at least one record"):
        seal_block(b"", 1)


def test_every_flipped_bit_is_found() -> None:
    used = BLOCK_HEADER_SIZE + len(record(29, b"small"))
    for bit in range(used * 8):
        bad = bytearray(SMALL)
        bad[bit // 8] ^= 1 << bit % 8
        assert read_block(bad, 0, GENERATION) is None, bit


def test_records_of_a_block() -> None:
    records = record(29, b"abc", 5) + record(4, b"", 0, 0) + record(33, b"", 6, 2)
    found = [(*fields, bytes(body)) for *fields, body in iter_records(records)]
    assert found == [(0, 29, 1, 5, b"abc"), (11, 4, 0, 0, b""), (19, 33, 2, 6, b"")]


@pytest.mark.parametrize("length", [0, 7, 12, 0xFFFF])
def test_records_that_do_not_add_up(length: int) -> None:
    bad = RECORD_HEADER.pack(29, 1, length, 1) + b"abc"
    with pytest.raises(FormatError, match="length"):
        list(iter_records(record(1, b"") + bad))
    with pytest.raises(FormatError, match="cut off"):
        list(iter_records(record(1, b"") + b"1234567"))


def test_closed_log() -> None:
    data = make_log(SMALL, LARGE, LAST, SMALL)
    scan = scan_blocks(data, GENERATION)
    assert [block.offset for block in scan.blocks] == [4096, 4608, 4608 + len(LARGE)]
    assert scan.blocks[0].next_offset == scan.blocks[1].offset
    assert bytes(scan.blocks[0].records) == record(29, b"small")
    assert scan.end is LogEnd.END_RECORD
    assert scan.end_offset == 4608 + len(LARGE) + 512
    assert verify_log(data) == []


def test_open_log() -> None:
    data = make_log(SMALL, LARGE)
    scan = scan_blocks(data, GENERATION)
    assert (len(scan.blocks), scan.end) == (2, LogEnd.UNUSED)
    assert scan.end_offset == 4096 + 512 + len(LARGE)
    assert verify_log(data, closed=False) == []
    assert "nothing written behind it" in verify_log(data)[0]
    empty = scan_blocks(make_log(), GENERATION)
    assert (empty.blocks, empty.end, empty.end_offset) == ((), LogEnd.UNUSED, 4096)


def test_log_without_end_record() -> None:
    count = (FILE_SIZE - 4096) // 512
    data = make_log(*[SMALL] * count)
    scan = scan_blocks(data, GENERATION)
    assert (len(scan.blocks), scan.end, scan.end_offset) == (count, LogEnd.FULL, FILE_SIZE)
    assert verify_log(data) != []


@pytest.mark.parametrize("kept", [[0], [1, 2], [len(LARGE) // 512 - 1], [0, 5]])
def test_torn_block(kept: list[int]) -> None:
    torn = bytearray(len(LARGE))
    for sector in kept:
        torn[sector * 512 : sector * 512 + 512] = LARGE[sector * 512 : sector * 512 + 512]
    scan = scan_blocks(make_log(SMALL, bytes(torn)), GENERATION)
    assert (len(scan.blocks), scan.end, scan.end_offset) == (1, LogEnd.TORN, 4608)


@pytest.mark.parametrize("first", range(3))
def test_damaged_block_in_the_middle(first: int) -> None:
    blocks = [SMALL, LARGE, SMALL, LAST]
    data = make_log(*blocks)
    offset = 4096 + sum(len(block) for block in blocks[:first])
    data[offset + 25] ^= 1
    scan = scan_blocks(data, GENERATION)
    assert (len(scan.blocks), scan.end, scan.end_offset) == (first, LogEnd.CORRUPT, offset)
    assert verify_log(data) == [f"log ends at offset {offset} without its end: damaged block"]


def test_left_over_block_of_another_log_is_no_sign_of_damage() -> None:
    other = seal_block(record(29, b"old"), GENERATION - 1)
    scan = scan_blocks(make_log(SMALL, other), GENERATION)
    assert (len(scan.blocks), scan.end) == (1, LogEnd.TORN)


def test_left_over_blocks_behind_a_torn_one_are_no_sign_of_damage() -> None:
    other = seal_block(record(29, b"old"), GENERATION - 1)
    torn = LARGE[:512] + bytes(len(LARGE) - 512)
    scan = scan_blocks(make_log(SMALL, torn, other, other), GENERATION)
    assert (len(scan.blocks), scan.end) == (1, LogEnd.TORN)


@pytest.mark.parametrize("cb_next", [0, 5, 511, 1024 - 22, 1 << 20])
def test_forged_distance_to_the_next_block(cb_next: int) -> None:
    records = record(29, b"x")
    checksum = log_block_checksum(records, cb_next, GENERATION, use_short=0xD1)
    header = struct.pack(
        "<BIIIIIB", 42, 0, len(records), cb_next, checksum, zlib.crc32(records, GENERATION), 0xD1
    )
    assert read_block((header + records).ljust(4096, b"\0"), 0, GENERATION) is None


def test_end_of_log_bytes_inside_a_body_are_no_end() -> None:
    trap = seal_block(record(29, b"row" + END_OF_LOG), GENERATION)
    scan = scan_blocks(make_log(trap, SMALL), GENERATION)
    assert (len(scan.blocks), scan.end) == (2, LogEnd.UNUSED)
    broken = seal_block(b"\x01\x01\x03\x00" + END_OF_LOG, GENERATION)
    assert scan_blocks(make_log(broken, SMALL), GENERATION).end is LogEnd.UNUSED


def test_verify_names_what_is_wrong() -> None:
    log = make_log(SMALL, LAST)
    assert verify_log(log[:-512]) == ["file has 65024 bytes, its header says 65536"]
    assert verify_log(b"x" * 5000) == ["checksum of the log header is wrong"]
    assert verify_log(make_log(SMALL, LAST, generation=8)) != []
    too_short = seal_block(b"\x01\x01\x04\x00" + record(1, b"", 0), GENERATION)
    assert verify_log(make_log(too_short, LAST)) == [
        "block at offset 4096: record at byte 0 of the block has length 4"
    ]
    broken = seal_block(record(29, b"x") + b"tail", GENERATION)
    assert verify_log(make_log(broken, LAST)) == [
        "block at offset 4096: record at byte 9 of the block is cut off"
    ]


def test_scan_of_random_damage_never_fails() -> None:
    rng = random.Random(5)
    whole = make_log(SMALL, LARGE, SMALL, LARGE, LAST)
    good = [bytes(block.records) for block in scan_blocks(whole, GENERATION).blocks]
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(rng.randrange(1, 4)):
            start = rng.randrange(4096, 4096 + 15_000)
            data[start : start + 40] = rng.randbytes(40)
        found = [bytes(block.records) for block in scan_blocks(data, GENERATION).blocks]
        assert found == good[: len(found)]


@given(st.lists(st.binary(min_size=1, max_size=900), max_size=6), st.data())
def test_spans_are_the_blocks_of_a_scan(bodies: list[bytes], data: st.DataObject) -> None:
    """Also where a byte of the log is damaged, or the log is of another generation."""
    blocks = [seal_block(record(29, body), GENERATION) for body in bodies]
    log = bytearray(b"".join((bytes(4096), *blocks, LAST)).ljust(16384, b"\0"))
    if data.draw(st.booleans()):
        log[data.draw(st.integers(4096, len(log) - 1))] ^= data.draw(st.integers(1, 255))
    generation = data.draw(st.sampled_from((GENERATION, GENERATION + 1)))
    scan = scan_blocks(log, generation)
    spans = [(block.offset + 22, block.offset + 22 + len(block.records)) for block in scan.blocks]
    assert record_spans(log, generation) == (spans, scan.end, scan.end_offset)
