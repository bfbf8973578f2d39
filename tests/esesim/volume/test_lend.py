"""What a volume lends is what a read gives, and stays so whatever happens to the file."""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esesim.volume import DirectoryVolume, Lent, MemoryVolume, VolumeFile
from esesim.volume.sparse import CHUNK

SIZE = 3 * CHUNK // 2
PLACES = st.one_of(
    st.integers(0, SIZE), st.sampled_from((0, CHUNK - 1, CHUNK, CHUNK + 1, SIZE - 1))
)
LENGTHS = st.one_of(st.integers(0, SIZE), st.integers(0, 5000))
STEPS = st.lists(
    st.tuples(
        st.sampled_from(("write", "lend", "write", "lend", "resize", "snapshot", "crash")),
        PLACES,
        LENGTHS,
    ),
    min_size=2,
    max_size=12,
)


def lent(file: VolumeFile, offset: int, size: int) -> Lent:
    found = file.lend(offset, size)
    assert found is not None
    assert all(part.readonly for part in found)
    return found


@pytest.mark.fuzz
@given(STEPS, st.integers(0, 1 << 32))
def test_loans_never_change(steps: list[tuple[str, int, int]], seed: int) -> None:
    rng = random.Random(seed)
    volume = MemoryVolume()
    file = volume.create("f", SIZE)
    file.write(0, b"\xff" * SIZE)
    file.sync()
    volume.sync_directory("")
    loans: list[tuple[Lent, bytes]] = []
    for kind, offset, size in steps:
        if kind == "write":
            # Few different bytes, so that a change in the wrong place does not go unseen.
            file.write(offset, rng.randbytes(1) * size)
        elif kind == "resize":
            file.resize(offset)
        elif kind == "lend":
            loan = lent(file, offset, size)
            assert b"".join(loan) == file.read(offset, size)
            loans.append((loan, b"".join(loan)))
        elif kind == "snapshot":
            other = volume.snapshot().open("f")
            other.write(offset, b"\xee" * min(size, 5000))
        else:
            volume.crash(rng)
            file = volume.open("f")
        for loan, data in loans:
            assert b"".join(loan) == data


def test_only_a_lent_chunk_is_copied_before_it_changes() -> None:
    volume = MemoryVolume()
    file = volume.create("f", 2 * CHUNK)
    file.write(0, b"a" * 2 * CHUNK)
    loan = lent(file, 0, 4096)
    before = loan[0].obj
    file.write(CHUNK, b"b")
    assert lent(file, 0, 10)[0].obj is before
    file.write(0, b"b")
    again = lent(file, 0, 10)[0]
    assert again.obj is not before
    assert bytes(again[:2]) == b"ba"


def test_what_lies_on_a_disk_is_not_lent(tmp_path: Path) -> None:
    file = DirectoryVolume(tmp_path, fsync=False).create("f", 100)
    assert file.lend(0, 10) is None
    file.close()


@pytest.mark.parametrize(("offset", "size"), [(-1, 1), (0, -1)])
def test_a_place_outside(offset: int, size: int) -> None:
    with pytest.raises(ValueError, match="no place in a file"):
        MemoryVolume().create("f", 10).lend(offset, size)


def test_no_loan_is_torn_while_another_thread_writes() -> None:
    """Whoever lends holds the lock that writers hold; who sends the loan on, no longer."""
    volume, lock, done = MemoryVolume(), threading.Lock(), threading.Event()
    file = volume.create("f", 4 * CHUNK)
    written = [0]

    def write() -> None:
        while not done.is_set():
            with lock:
                file.write(CHUNK // 2, bytes([written[0] % 255 + 1]) * 2 * CHUNK)
                written[0] += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(20):
            with lock:
                loan, count = lent(file, CHUNK // 2, 2 * CHUNK), written[0]
                value = loan[0][0]
            while written[0] == count:
                time.sleep(0)
            assert b"".join(loan).count(value) == 2 * CHUNK
    finally:
        done.set()
        writer.join()
