"""The folds agree with the sums written out naively, and find every damage they must find."""

from __future__ import annotations

import random
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eseback.formats.checksum import (
    PAGE_SIZES,
    bad_pgnos,
    first_bad_pgno,
    header_is_good,
    log_block_checksum,
    page_checksum_xor,
    page_checksums,
    page_is_good,
    repair_page,
    seal_header,
    seal_page,
    xor32,
    xor_words,
)


def naive_xor(data: bytes | bytearray) -> int:
    """XOR of little endian words, one after the other."""
    padded = data + bytes(-len(data) % 4)
    result = 0
    for (word,) in struct.iter_unpack("<I", padded):
        result ^= word
    return result


def naive_ecc(page: bytes | bytearray) -> int:
    """For every set bit i from byte 8 on: XOR of i, and of its inverse in the upper half."""
    low = high = 0
    mask = len(page) * 8 - 1
    for index in range(8, len(page)):
        for bit in range(8):
            if page[index] >> bit & 1:
                low ^= index * 8 + bit
                high ^= ~(index * 8 + bit) & mask
    return low & 0xFFFF | high << 16


def make_pages(size: int, count: int) -> list[bytes]:
    """Random, sparse, single-bit and constant pages."""
    rng = random.Random(size)
    pages = [bytes(size), b"\xff" * size]
    for _ in range(count):
        pages.append(rng.randbytes(size))
        sparse = bytearray(size)
        for _ in range(rng.randrange(1, 30)):
            sparse[rng.randrange(size)] = rng.randrange(256)
        pages.append(bytes(sparse))
        pages.append((1 << rng.randrange(size * 8)).to_bytes(size, "little"))
        pages.append(bytes([rng.randrange(256)]) * size)
    return pages


@pytest.mark.parametrize("size", PAGE_SIZES)
def test_page_sums_equal_the_naive_ones(size: int) -> None:
    for pgno, page in enumerate(make_pages(size, 8), start=0xFFFFFF):
        assert page_checksums(page, pgno) == (naive_xor(page[8:]) ^ pgno, naive_ecc(page))
        old = 0x89ABCDEF ^ pgno ^ naive_xor(page[8:])
        assert page_checksum_xor(page, pgno) == old
        assert xor32(page) == 0x89ABCDEF ^ naive_xor(page[4:])


@pytest.mark.parametrize("size", PAGE_SIZES)
def test_ecc_of_each_single_bit_position(size: int) -> None:
    bits = size * 8
    for bit in (64, 65, 127, 4095, bits // 2 - 1, bits // 2, bits - 1):
        _, ecc = page_checksums((1 << bit).to_bytes(size, "little"), 0)
        assert ecc == bit | (~bit & (bits - 1)) << 16


@given(st.binary(max_size=300), st.integers(0, 3))
def test_xor_words_of_any_length(data: bytes, repeat: int) -> None:
    assert xor_words(data) == naive_xor(data)
    longer = data * (repeat * 40)
    assert xor_words(memoryview(longer)) == naive_xor(longer)


def test_xor_words_at_the_edges_of_a_chunk() -> None:
    data = random.Random(1).randbytes(20_000)
    for size in (0, 1, 3, 4, 5, 4095, 4096, 4097, 8191, 8192, 8193, 20_000):
        assert xor_words(data[:size]) == naive_xor(data[:size])


@pytest.mark.parametrize("ecc", [False, True])
@pytest.mark.parametrize("size", PAGE_SIZES)
def test_sealed_page_is_good_and_any_flipped_bit_makes_it_bad(size: int, ecc: bool) -> None:
    rng = random.Random(7)
    page = bytearray(rng.randbytes(size))
    seal_page(page, 0x1234, ecc)
    assert bool(page[37] & 0x20) is ecc
    assert page_is_good(page, 0x1234)
    assert page_is_good(memoryview(page), 0x1234)
    assert not page_is_good(page, 0x1235)
    for bit in [*range(64), 36 * 8 + 13, *rng.sample(range(size * 8), 100)]:
        page[bit // 8] ^= 1 << bit % 8
        assert not page_is_good(page, 0x1234), bit
        page[bit // 8] ^= 1 << bit % 8
    assert page_is_good(page, 0x1234)


def test_sealed_page_as_documented() -> None:
    page = bytearray(random.Random(3).randbytes(4096))
    seal_page(page, 77, ecc=False)
    assert struct.unpack_from("<I", page, 4) == (77,)
    assert struct.unpack_from("<I", page)[0] == 0x89ABCDEF ^ naive_xor(page[4:])
    seal_page(page, 77, ecc=True)
    assert struct.unpack_from("<II", page) == (77 ^ naive_xor(page[8:]), naive_ecc(page))


def test_zero_page_is_good_but_one_bit_is_not() -> None:
    assert page_is_good(bytes(4096), 9)
    assert not page_is_good((1).to_bytes(4096, "big"), 9)


def test_page_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="16384"):
        page_checksums(bytes(16384), 1)


@pytest.mark.parametrize("size", PAGE_SIZES)
def test_repair_of_one_bit(size: int) -> None:
    rng = random.Random(size)
    page = bytearray(rng.randbytes(size))
    seal_page(page, 5, ecc=True)
    good = bytes(page)
    assert repair_page(good, 5) == good
    # 36*8+13 is the flag that says that there is an ECC at all.
    for bit in [64, 36 * 8 + 13, size * 8 - 1, *rng.sample(range(64, size * 8), 50)]:
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        assert repair_page(bad, 5) == good, bit


def test_what_can_not_be_repaired() -> None:
    rng = random.Random(2)
    page = bytearray(rng.randbytes(4096))
    seal_page(page, 5, ecc=True)
    for _ in range(200):
        bad = bytearray(page)
        for bit in rng.sample(range(64, 32768), 2):
            bad[bit // 8] ^= 1 << bit % 8
        assert repair_page(bad, 5) is None
    for bit in range(64):
        bad = bytearray(page)
        bad[bit // 8] ^= 1 << bit % 8
        assert repair_page(bad, 5) is None, "a wrong bit in the checksum itself"
    assert repair_page(page, 6) is None, "the page belongs elsewhere"
    seal_page(page, 5, ecc=False)
    page[100] ^= 1
    assert repair_page(page, 5) is None, "no ECC"


@pytest.mark.parametrize("size", [4096, 8192])
@pytest.mark.parametrize("ecc", [False, True])
def test_first_bad_pgno(size: int, ecc: bool) -> None:
    rng = random.Random(4)
    pages = bytearray()
    for pgno in range(100, 116):
        page = bytearray(size) if pgno == 110 else bytearray(rng.randbytes(size))
        if pgno != 110:
            seal_page(page, pgno, ecc)
        pages += page
    assert first_bad_pgno(bytes(pages), 100, size) is None
    assert first_bad_pgno(memoryview(pages), 100, size) is None
    assert first_bad_pgno(pages, 101, size) == 101
    assert first_bad_pgno(b"", 1, size) is None
    for bad in (115, 107):
        pages[(bad - 100) * size + 3000] ^= 4
        assert first_bad_pgno(pages, 100, size) == bad
    with pytest.raises(ValueError, match="no whole pages"):
        first_bad_pgno(pages[:-1], 100, size)


@pytest.mark.parametrize("size", PAGE_SIZES)
@pytest.mark.parametrize("ecc", [False, True])
def test_bad_pages_of_a_long_range_are_found_wherever_they_are(size: int, ecc: bool) -> None:
    """64 good pages are told at once; one bad one, or one of another kind, must not hide there."""
    rng = random.Random(size)
    pages = [bytearray(rng.randbytes(size)) for _ in range(200)]
    for pgno, page in enumerate(pages, start=1000):
        seal_page(page, pgno, ecc)
    good = b"".join(pages)
    assert list(bad_pgnos(good, 1000, size)) == []
    assert list(bad_pgnos(good, 1001, size)) == list(range(1001, 1201))
    assert page_is_good(pages[70], 1070)
    for index in (0, 63, 64, 127, 128, 191, 192, 199):
        bad = bytearray(good)
        bit = rng.randrange(size * 8)
        bad[index * size + bit // 8] ^= 1 << bit % 8
        assert list(bad_pgnos(bad, 1000, size)) == [1000 + index], bit
    # Equal damage of two pages, or of two words of one, cancels out in an XOR of both.
    twice = bytearray(good)
    for index in (65, 66):
        twice[index * size + 1000] ^= 8
    assert list(bad_pgnos(twice, 1000, size)) == [1065, 1066]
    mixed = bytearray(good)
    mixed[80 * size : 81 * size] = bytes(size)
    other = bytearray(pages[90])
    seal_page(other, 1090, not ecc)
    mixed[90 * size : 91 * size] = other
    mixed[95 * size : 96 * size], mixed[96 * size : 97 * size] = pages[96], pages[95]
    assert list(bad_pgnos(mixed, 1000, size)) == [1095, 1096]


def test_header_seal() -> None:
    header = bytearray(random.Random(6).randbytes(4096))
    assert not header_is_good(header)
    seal_header(header)
    assert header_is_good(header)
    assert struct.unpack_from("<I", header)[0] == 0x89ABCDEF ^ naive_xor(header[4:])
    header[4095] ^= 0x80
    assert not header_is_good(header)


@given(st.binary(max_size=99), st.binary(max_size=99), st.integers(1, 0x7FFFFFFF))
def test_log_block_checksum_as_documented(before: bytes, records: bytes, generation: int) -> None:
    expected = 0xFEEDBEAF ^ naive_xor(before) ^ naive_xor(records)
    expected ^= len(before) ^ len(records) ^ 490 ^ 0xD1 ^ generation
    found = log_block_checksum(records, 490, generation, before=before, use_short=0xD1)
    assert found == expected
