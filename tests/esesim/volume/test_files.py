"""What all volumes do alike: contents of files."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from esesim.volume import Volume, VolumeError, VolumeFile
from esesim.volume.sparse import CHUNK


def test_new_file_is_zeros(volume: Volume) -> None:
    file = volume.create("a.edb", size=10_000)
    assert file.size == volume.size("a.edb") == 10_000
    assert file.read(0, 20_000) == bytes(10_000)
    assert volume.create("b.edb").size == 0


def test_create_empties_what_was_there(volume: Volume) -> None:
    old = volume.create("a.edb")
    old.write(0, b"old")
    file = volume.create("a.edb", size=2)
    assert file.read(0, 9) == old.read(0, 9) == b"\0\0"


def test_write_and_read_at_any_place(volume: Volume) -> None:
    rng = random.Random(1)
    file = volume.create("a.edb")
    model = bytearray()
    edges = [0, 511, 512, 4096, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK - 7]
    for _ in range(150):
        offset = max(rng.choice(edges) + rng.randrange(-600, 600), 0)
        if rng.random() < 0.5:
            data = rng.randbytes(rng.choice([1, 100, 4096, CHUNK, CHUNK + 5]))
            file.write(offset, rng.choice([bytes, bytearray, memoryview])(data))
            model.extend(bytes(max(offset - len(model), 0)))
            model[offset : offset + len(data)] = data
        elif rng.random() < 0.2:
            size = rng.choice([*edges, len(model) // 2])
            file.resize(size)
            model = model[:size].ljust(size, b"\0")
        count = rng.choice([0, 1, 4096, 2 * CHUNK])
        expected = bytes(model[offset : offset + count])
        assert file.read(offset, count) == expected
        buffer = bytearray(b"\xee" * count)
        assert file.read_into(offset, memoryview(buffer)) == len(expected)
        assert buffer == expected.ljust(count, b"\xee"), "bytes behind the end stay as they were"
        assert file.size == len(model)
    assert file.read(0, len(model) + 1) == model


def test_read_at_and_behind_the_end(volume: Volume) -> None:
    file = volume.create("a.edb")
    file.write(0, b"12345")
    buffer = bytearray(b"......")
    assert file.read_into(3, buffer) == 2
    assert buffer == b"45...."
    assert file.read_into(5, buffer) == 0
    assert file.read_into(500, buffer) == 0
    assert file.read(5, 5) == file.read(99, 5) == b""


def test_growing_after_shrinking_gives_zeros(volume: Volume) -> None:
    file = volume.create("a.edb")
    for size in (1000, CHUNK, CHUNK + 1000, 3 * CHUNK):
        file.resize(0)
        file.write(0, b"\xff" * size)
        file.resize(size // 2)
        file.resize(size)
        assert file.read(0, size) == (b"\xff" * (size // 2)).ljust(size, b"\0")


def test_empty_write_changes_nothing(volume: Volume) -> None:
    file = volume.create("a.edb")
    file.write(1000, b"")
    assert file.size == 0


def test_two_handles_see_one_file(volume: Volume) -> None:
    first = volume.create("a.edb")
    second = volume.open("a.edb")
    first.write(2, b"xyz")
    assert second.read(0, 9) == b"\0\0xyz"
    second.close()
    second.close()
    first.sync()
    assert first.read(2, 3) == b"xyz"


@pytest.mark.parametrize(
    "use",
    [
        lambda file: file.read(0, 1),
        lambda file: file.read_into(0, bytearray(1)),
        lambda file: file.write(0, b"x"),
        lambda file: file.resize(1),
        lambda file: file.sync(),
        lambda file: file.size,
    ],
)
def test_closed_file_is_closed(volume: Volume, use: Callable[[VolumeFile], object]) -> None:
    file = volume.create("a.edb")
    file.close()
    with pytest.raises(VolumeError, match="closed"):
        use(file)


@pytest.mark.parametrize(
    "use",
    [
        lambda file: file.read(-1, 1),
        lambda file: file.read(0, -1),
        lambda file: file.read_into(-1, bytearray(1)),
        lambda file: file.write(-1, b"x"),
        lambda file: file.write((1 << 63) - 1, b"xx"),
        lambda file: file.resize(-1),
    ],
)
def test_places_that_are_none(volume: Volume, use: Callable[[VolumeFile], object]) -> None:
    file = volume.create("a.edb", size=3)
    with pytest.raises(ValueError, match="no place in a file"):
        use(file)
    assert file.read(0, 9) == b"\0\0\0"


def test_sparse_file_of_1_gib_reads_as_zeros(volume: Volume) -> None:
    file = volume.create("a.edb", size=1 << 30)
    file.write((1 << 30) - 4096, b"end")
    assert file.read((1 << 29) - 10, 20) == bytes(20)
    assert file.read((1 << 30) - 4097, 9) == b"\0end\0\0\0\0\0"
