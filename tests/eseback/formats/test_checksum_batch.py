"""Many pages at once: the sums are those of each page, and no bad page hides among good ones."""

from __future__ import annotations

import random
from itertools import pairwise
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eseback.formats import checksum
from eseback.formats.checksum import (
    HEADER_SEED,
    PAGE_SIZES,
    bad_pgnos,
    page_checksums,
    page_is_good,
    seal_page,
    xor_words,
)
from eseback.formats.checksum_batch import PageBatch
from tests.support.examples import examples

PGNO_MAX = 0xFFFFFFFF
KINDS = ("ecc", "xor", "unused", "garbage")


def odd_pages(size: int, count: int) -> list[bytes]:
    """Pages with one bit, a few bytes, all bits, the same byte everywhere, or anything."""
    rng = random.Random(size + count)
    pages = [bytes(size), b"\xff" * size, rng.randbytes(size)]
    while len(pages) < count:
        sparse = bytearray(size)
        for _ in range(rng.randrange(1, 9)):
            sparse[rng.randrange(size)] = rng.randrange(256)
        bit = 1 << rng.randrange(size * 8)
        pages += [bit.to_bytes(size, "little"), bytes(sparse), bytes([len(pages)]) * size]
    rng.shuffle(pages)
    return pages[:count]


@pytest.mark.parametrize("size", PAGE_SIZES)
@pytest.mark.parametrize("count", [2, 16, 62, 128])
def test_sums_of_a_batch_are_those_of_its_pages(size: int, count: int) -> None:
    pages = odd_pages(size, count)
    batch, view = PageBatch(size, count), memoryview(b"".join(pages))
    assert batch.xors(view) == batch.row(tuple(map(xor_words, pages)))
    words = batch.first_words(view)
    first, second = words[::2], words[1::2]
    assert first == tuple(int.from_bytes(page[:4], "little") for page in pages)
    assert second == tuple(int.from_bytes(page[4:8], "little") for page in pages)
    xors, eccs = zip(*(page_checksums(page, 0) for page in pages), strict=True)
    sums = batch.checksums(view, batch.row(first), batch.row(second))
    assert sums == (batch.row(xors), batch.row(eccs))


@pytest.mark.parametrize("size", PAGE_SIZES)
def test_each_bit_of_a_position_in_a_batch(size: int) -> None:
    """One bit in each page, at every power of two and beside it."""
    bits = [bit for k in range(6, (size * 8).bit_length()) for bit in (2**k - 1, 2**k)][1:-1]
    pages = [(1 << bit).to_bytes(size, "little") for bit in bits]
    batch = PageBatch(size, len(pages))
    nothing = batch.row((0,) * len(pages))
    _, eccs = batch.checksums(memoryview(b"".join(pages)), nothing, nothing)
    mask = size * 8 - 1
    assert eccs == batch.row(tuple(bit | (~bit & mask) << 16 for bit in bits))


def test_row_of_numbers() -> None:
    batch = PageBatch(4096, 30)
    for first in (1, 0x1234, PGNO_MAX - 29):
        assert batch.numbers(first) == batch.row(tuple(range(first, first + 30)))


@st.composite
def runs(draw: st.DrawFn) -> list[tuple[str, int]]:
    """Pages of one kind after the other: the kind, and how many."""
    lengths = st.one_of(st.integers(1, 3), st.integers(10, 140))
    return draw(st.lists(st.tuples(st.sampled_from(KINDS), lengths), min_size=1, max_size=4))


def sealed(kind: str, size: int, pgno: int, rng: random.Random) -> bytes:
    """A page of that kind."""
    if kind == "unused":
        return bytes(size)
    page = bytearray(rng.randbytes(size))
    if kind != "garbage":
        seal_page(page, pgno, ecc=kind == "ecc")
    return bytes(page)


@pytest.mark.fuzz
@pytest.mark.uncovered
@examples(12, 500)
@given(st.sampled_from(PAGE_SIZES), st.data(), runs(), st.integers(0, 2**32), st.integers(0, 5000))
def test_bad_pages_are_those_that_are_bad_one_by_one(
    size: int, data: st.DataObject, kinds: list[tuple[str, int]], seed: int, odd_bytes: int
) -> None:
    rng = random.Random(seed)
    first = data.draw(st.sampled_from([0, 1, 2, 70000, 2**31, PGNO_MAX - 20, PGNO_MAX + 1]))
    names = [kind for kind, count in kinds for _ in range(count)]
    pages = bytearray(odd_bytes)
    for pgno, kind in enumerate(names, start=first):
        pages += sealed(kind, size, min(pgno, PGNO_MAX), rng)
    bits = st.integers(odd_bytes * 8, len(pages) * 8 - 1)
    for bit in data.draw(st.lists(bits, max_size=4)):
        pages[bit // 8] ^= 1 << bit % 8
    view = memoryview(pages)[odd_bytes:]
    starts = range(0, len(view) + 1, size)
    one_by_one = [
        pgno
        for pgno, (begin, end) in enumerate(pairwise(starts), start=first)
        if not page_is_good(view[begin:end], pgno)
    ]
    assert list(bad_pgnos(view, first, size)) == one_by_one
    assert list(bad_pgnos(bytes(view), first, size)) == one_by_one


@pytest.mark.parametrize("size", PAGE_SIZES)
@pytest.mark.parametrize("kind", ["ecc", "xor"])
def test_damage_that_cancels_out(size: int, kind: str) -> None:
    """What leaves the XOR of all pages, that of one, or its position sum as it was: it is found
    like one by one, and only the old format can't see the second.
    """
    rng = random.Random(size)
    good = b"".join(sealed(kind, size, pgno, rng) for pgno in range(1, 129))
    same_bit_of_two_pages = [(n, 1000 * 8 + 3) for n in (20, 84)]
    same_bit_of_two_words = [(7, 1000 * 8 + 3), (7, 1400 * 8 + 3)]
    same_position_sum = [(9, 0x1101), (9, 0x1202), (9, 0x1403), (9, 0x1700)]
    for flips in (same_bit_of_two_pages, same_bit_of_two_words, same_position_sum):
        bad = bytearray(good)
        for index, bit in flips:
            bad[index * size + bit // 8] ^= 1 << bit % 8
        one_by_one = [n + 1 for n in range(128) if not page_is_good(bad[n * size :][:size], n + 1)]
        assert list(bad_pgnos(bad, 1, size)) == one_by_one
        if kind == "ecc" or flips is not same_bit_of_two_words:
            assert one_by_one == sorted({index + 1 for index, _ in flips})


@pytest.mark.parametrize("kind", ["ecc", "xor"])
def test_few_pages_are_looked_at_one_by_one(kind: str) -> None:
    """Of good pages only the last few, and with an unused one only those around it."""
    rng = random.Random(3)
    pages = [sealed(kind, 2048, pgno, rng) for pgno in range(1, 301)]
    with mock.patch.object(checksum, "page_is_good", wraps=page_is_good) as looked_at:
        assert list(bad_pgnos(b"".join(pages[:298]), 1, 2048)) == []
        assert looked_at.call_count == 0
        assert list(bad_pgnos(b"".join(pages[:297]), 1, 2048)) == []
        assert looked_at.call_count == 1
        pages[100] = bytes(2048)
        assert list(bad_pgnos(b"".join(pages[:296]), 1, 2048)) == []
        assert looked_at.call_count < 20


@pytest.mark.parametrize("first", [0, 1, PGNO_MAX - 31])
def test_pages_that_only_look_good(first: int) -> None:
    """Right in the old format, but the flag says ECC; and the same without flag, whose two
    checksums of zero say that the page was never written.
    """
    rng = random.Random(9)
    pages = [bytearray(sealed("xor", 4096, first + n, rng)) for n in range(32)]
    pages[5][37] |= 0x20
    pages[5][:4] = (xor_words(pages[5][4:]) ^ HEADER_SEED).to_bytes(4, "little")
    pages[0][8:12] = (xor_words(pages[0][12:]) ^ HEADER_SEED ^ first).to_bytes(4, "little")
    pages[0][:4] = bytes(4)
    assert xor_words(pages[0]) == xor_words(pages[5]) == HEADER_SEED
    bad = [first, first + 5] if first == 0 else [first + 5]
    assert list(bad_pgnos(b"".join(pages), first, 4096)) == bad
    pages[5] = bytearray(sealed("xor", 4096, first + 5, rng))
    assert list(bad_pgnos(b"".join(pages), first, 4096)) == bad[:-1]
