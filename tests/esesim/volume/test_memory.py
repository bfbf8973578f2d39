"""Sparse storage and snapshots."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esesim.volume import MemoryVolume
from esesim.volume.sparse import CHUNK, SparseBytes

TIB = 1 << 40


def test_one_tebibyte_costs_nothing() -> None:
    volume = MemoryVolume()
    file = volume.create("huge.edb", size=TIB)
    assert volume.memory_used() == 0
    buffer = bytearray(b"\xee" * 70_000)
    assert file.read_into(TIB - 70_000, buffer) == 70_000
    assert buffer == bytes(70_000)
    file.write(TIB // 2, b"page")
    file.resize(2 * TIB)
    file.sync()
    assert volume.memory_used() <= CHUNK
    assert file.read(TIB // 2 - 2, 8) == b"\0\0page\0\0"


def test_small_files_are_small() -> None:
    volume = MemoryVolume()
    for number in range(100):
        volume.create(f"{number}.chk").write(0, bytes(8192))
    assert volume.memory_used() <= 100 * 8192


def test_file_that_is_emptied_gives_its_memory_back() -> None:
    volume = MemoryVolume()
    file = volume.create("a")
    file.write(0, b"x" * (10 * CHUNK))
    file.sync()
    file.resize(CHUNK + 10)
    file.sync()
    assert volume.memory_used() == CHUNK + 10
    file.resize(0)
    file.sync()
    assert volume.memory_used() == 0


def test_snapshot_is_independent_both_ways() -> None:
    volume = MemoryVolume()
    volume.make_directory("d")
    file = volume.create("d/a")
    file.write(0, b"1" * (2 * CHUNK))
    copy = volume.snapshot()
    file.write(CHUNK - 2, b"2222")
    copied = copy.open("d/a")
    copied.write(0, b"3")
    copied.resize(CHUNK)
    volume.create("d/only in the original")
    copy.rename("d/a", "d/b")
    assert file.read(0, 3 * CHUNK) == b"1" * (CHUNK - 2) + b"2222" + b"1" * (CHUNK - 2)
    assert copied.read(0, 3 * CHUNK) == b"3" + b"1" * (CHUNK - 1)
    assert (volume.list("d"), copy.list("d")) == (["a", "only in the original"], ["b"])


def test_snapshot_shares_bytes() -> None:
    volume = MemoryVolume()
    volume.create("a").write(0, bytes(100 * CHUNK))
    content = volume.open("a")._node.content  # type: ignore[attr-defined]
    copied = volume.snapshot().open("a")._node.content  # type: ignore[attr-defined]
    assert all(copied._chunks[index] is chunk for index, chunk in content._chunks.items())
    content.write(5, b"x")
    different = [n for n, chunk in content._chunks.items() if copied._chunks[n] is not chunk]
    assert different == [0]


OFFSETS = st.sampled_from([0, 500, 512, CHUNK - 300, CHUNK, CHUNK + 1, 2 * CHUNK - 1])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), OFFSETS, st.binary(min_size=1, max_size=600)),
        st.tuples(st.just("resize"), OFFSETS, st.just(b"")),
        st.tuples(st.just("copy"), st.just(0), st.just(b"")),
        st.tuples(st.just("switch"), st.just(0), st.just(b"")),
    ),
    max_size=25,
)


@given(STEPS)
def test_sparse_bytes_and_their_copies_against_plain_bytes(
    steps: list[tuple[str, int, bytes]],
) -> None:
    pairs = [(SparseBytes(), bytearray())]
    for step, offset, data in steps:
        sparse, model = pairs[-1]
        if step == "write":
            sparse.write(offset, data)
            model.extend(bytes(max(offset - len(model), 0)))
            model[offset : offset + len(data)] = data
        elif step == "resize":
            sparse.resize(offset)
            del model[offset:]
            model.extend(bytes(offset - len(model)))
        elif step == "copy":
            pairs.append((sparse.copy(), bytearray(model)))
        else:
            pairs.insert(0, pairs.pop())
    for sparse, model in pairs:
        assert sparse.size == len(model)
        assert sparse.read(0, sparse.size) == model


def test_empty_write_behind_the_end() -> None:
    sparse = SparseBytes()
    sparse.write(5, b"")
    assert sparse.size == 0


def test_sequential_small_writes() -> None:
    rng = random.Random(3)
    file = MemoryVolume().create("E00.log")
    written = b""
    while len(written) < 2 * CHUNK:
        data = rng.randbytes(rng.randrange(1, 5000))
        file.write(len(written), data)
        written += data
    assert file.read(0, len(written)) == written


def test_plan_needs_a_change() -> None:
    with pytest.raises(ValueError, match="not 0"):
        MemoryVolume().fail_after_writes(0)
