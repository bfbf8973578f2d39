"""Reads of any size, on an engine that reads whole pages and wants its first read large."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esesim.session.reading import SectionReader, UnusableBuffer, writable

PAGE = 512


class Pages:
    """An engine's open file: whole pages, a minimum for the first read, an own last piece."""

    def __init__(self, data: bytes, first_pages: int, alone: int = 0) -> None:
        self.data = data
        self.position = 0
        self.calls = 0
        self._first = first_pages * PAGE
        self._alone_from = len(data) - alone * PAGE

    def read(self, buffer: memoryview) -> int:
        self.calls += 1
        assert len(buffer) % PAGE == 0
        assert len(buffer) >= (self._first if self.position == 0 else PAGE)
        # The trailer page may come alone, by a read of its own.
        limit = self._alone_from if self.position < self._alone_from else len(self.data)
        part = self.data[self.position : min(self.position + len(buffer), limit)]
        buffer[: len(part)] = part
        self.position += len(part)
        return len(part)


def contents(pages: int) -> bytes:
    return random.Random(pages).randbytes(pages * PAGE)


@given(
    pages=st.integers(0, 12),
    first=st.integers(1, 3),
    alone=st.integers(0, 1),
    sizes=st.lists(st.integers(1, 5 * PAGE), min_size=1, max_size=12),
    aligned=st.booleans(),
)
def test_any_sizes_give_the_same_bytes(
    pages: int, first: int, alone: int, sizes: list[int], aligned: bool
) -> None:
    data = contents(pages)
    reader = SectionReader(Pages(data, first, min(alone, pages)).read, PAGE, first * PAGE)
    got = bytearray()
    turn = 0
    while True:
        size = sizes[turn % len(sizes)]
        size = max(PAGE, size - size % PAGE) if aligned else size
        turn += 1
        buffer = bytearray(b"\xee" * size)
        count = reader.read(memoryview(buffer))
        assert 0 <= count <= size
        assert buffer[count:] == b"\xee" * (size - count), "bytes behind the end were touched"
        if not count:
            break
        got += buffer[:count]
    assert got == data
    for size in (1, PAGE - 1, PAGE, 3 * PAGE):
        assert reader.read(memoryview(bytearray(size))) == 0


@given(size=st.integers(1, 4 * PAGE))
def test_reads_are_full_until_the_end(size: int) -> None:
    data = contents(11)
    reader = SectionReader(Pages(data, 3).read, PAGE, 3 * PAGE)
    for start in range(0, len(data), size):
        wanted = min(size, len(data) - start)
        assert reader.read(memoryview(bytearray(size))) == wanted
    assert reader.read(memoryview(bytearray(size))) == 0


def test_whole_pages_go_straight_into_the_buffer() -> None:
    pages = Pages(contents(16), 3)
    reader = SectionReader(pages.read, PAGE, 3 * PAGE)
    buffer = memoryview(bytearray(8 * PAGE))
    assert reader.read(buffer) == reader.read(buffer) == 8 * PAGE
    assert pages.calls == 2


def test_odd_sizes_cost_two_reads_of_the_engine_at_most() -> None:
    pages = Pages(contents(64), 3)
    reader = SectionReader(pages.read, PAGE, 3 * PAGE)
    buffer = memoryview(bytearray(16 * PAGE - 8))
    for _ in range(4):
        before = pages.calls
        reader.read(buffer)
        assert pages.calls - before <= 2


def test_an_error_leaves_no_old_bytes() -> None:
    pages = Pages(contents(8), 3)
    broken = False

    def read(buffer: memoryview) -> int:
        if broken:
            raise OSError("bad page")
        return pages.read(buffer)

    reader = SectionReader(read, PAGE, 3 * PAGE)
    small = memoryview(bytearray(3 * PAGE - 1))
    assert reader.read(small) == 3 * PAGE - 1
    assert reader.read(small[:1]) == 1
    broken = True
    for _ in range(2):
        with pytest.raises(OSError, match="bad page"):
            reader.read(small[:1])


@pytest.mark.parametrize(
    "buffer",
    [
        b"bytes",
        bytearray(),
        memoryview(b"x"),
        memoryview(bytearray(8))[::2],
        memoryview(bytearray())[:0],
        None,
        "text",
        5,
    ],
)
def test_buffers_that_take_nothing(buffer: object) -> None:
    with pytest.raises(UnusableBuffer):
        writable(buffer)  # type: ignore[arg-type]


def test_buffers_of_other_items_are_bytes() -> None:
    target = bytearray(16)
    view = writable(memoryview(target).cast("I"))
    assert (view.itemsize, len(view)) == (1, 16)
    view[15] = 7
    assert target[15] == 7
