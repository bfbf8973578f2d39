"""Files of which a part is made by rule: like any other file, but for the room they take."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esesim.volume import (
    DirectoryVolume,
    MemoryVolume,
    PowerLoss,
    Volume,
    VolumeError,
    register,
)
from esesim.volume.container import MAGIC

UNIT = 512
START, END = 3 * UNIT, 900 * UNIT
SIZE = 1000 * UNIT


class Counting:
    """Every unit of it says which one it is."""

    kind = "counting"

    def __init__(self, start: int = START, end: int = END) -> None:
        self.start, self.end, self.unit = start, end, UNIT
        self.filled = 0

    def fill(self, offset: int, buffer: memoryview) -> None:
        assert not offset % UNIT
        assert not len(buffer) % UNIT
        self.filled += len(buffer)
        for place in range(0, len(buffer), UNIT):
            buffer[place : place + UNIT] = ((offset + place) // UNIT).to_bytes(8, "big") * 64

    def recipe(self) -> dict[str, int]:
        return {"start": self.start, "end": self.end}


def revive(recipe: Mapping[str, int]) -> Counting:
    return Counting(**recipe)


register(Counting.kind, revive)


def untouched() -> bytearray:
    data = bytearray(SIZE)
    Counting().fill(START, memoryview(data)[START:END])
    return data


@pytest.fixture(params=["memory", "directory"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Volume]:
    if request.param == "memory":
        volume = MemoryVolume()
        return lambda: volume
    (tmp_path / "root").mkdir()
    return lambda: DirectoryVolume(tmp_path / "root")


def test_what_nobody_wrote_is_made_by_rule(make: Callable[[], Volume]) -> None:
    file = make().create_generated("a", SIZE, Counting())
    assert file.size == SIZE
    assert file.read(0, SIZE) == untouched()
    assert file.read(START + 700, 20) == untouched()[START + 700 : START + 720]
    assert file.read(SIZE - 4, 100) == bytes(4)
    assert file.generated(START, END - START)
    assert not file.generated(START - 1, 10)
    assert not file.generated(END - 1, 2)
    file.close()


def test_what_is_written_is_kept_when_the_file_is_opened_again(
    make: Callable[[], Volume],
) -> None:
    expected = untouched()
    volume = make()
    file, other = volume.create_generated("a", SIZE, Counting()), volume.open("A")
    places = ((0, 700), (START - 5, 10), (50 * UNIT + 3, 2000), (END - 1, 2), (SIZE - 1, 3))
    for number, (offset, count) in enumerate(places):
        data = bytes([number + 1]) * count
        file.write(offset, data)
        expected[offset : offset + count] = data
    assert other.size == SIZE + 2
    assert other.read(0, SIZE * 2) == expected
    assert not other.generated(50 * UNIT, UNIT)
    assert not other.generated(40 * UNIT, 100 * UNIT)
    assert other.generated(55 * UNIT, 100 * UNIT)
    file.sync()
    file.close()
    other.close()
    again = make().open("a")
    assert again.read(0, SIZE * 2) == expected
    assert make().size("a") == SIZE + 2
    again.close()


def run(volume: Volume, steps: list[tuple[Any, ...]]) -> None:
    """The same steps on a file and on plain bytes; a step may close and open the file."""
    model = untouched()
    file = volume.create_generated("f", SIZE, Counting())
    for step in steps:
        match step:
            case ("write", offset, data):
                file.write(offset, data)
                model.extend(bytes(max(offset + len(data) - len(model), 0) if data else 0))
                model[offset : offset + len(data)] = data
            case ("resize", size):
                file.resize(size)
                del model[size:]
                model.extend(bytes(size - len(model)))
            case ("reopen",):
                file.sync()
                file.close()
                file = volume.open("f")
        assert file.size == len(model)
        assert file.read(0, len(model) + 1) == model
    file.close()
    volume.delete("f")


OFFSETS = st.one_of(
    st.integers(0, SIZE + 3 * UNIT),
    st.integers(0, 1003).map(lambda number: number * UNIT),
    st.sampled_from((START - 1, START, START + 1, END - 1, END, END + 1)),
)
STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("write"),
            OFFSETS,
            st.builds(lambda count: random.Random(count).randbytes(count), st.integers(0, 2000)),
        ),
        st.tuples(st.just("resize"), OFFSETS),
        st.tuples(st.just("reopen")),
    ),
    max_size=8,
)


@given(steps=STEPS)
def test_steps_in_memory_end_as_with_plain_bytes(steps: list[tuple[Any, ...]]) -> None:
    run(MemoryVolume(), steps)


@given(steps=STEPS)
def test_steps_on_disk_end_as_with_plain_bytes(
    steps: list[tuple[Any, ...]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    run(DirectoryVolume(tmp_path_factory.mktemp("root"), fsync=False), steps)


def test_a_tebibyte_takes_the_room_of_what_was_written(tmp_path: Path) -> None:
    size = 1 << 40
    memory, directory = MemoryVolume(), DirectoryVolume(tmp_path)
    for volume in (memory, directory):
        file = volume.create_generated("huge", size, Counting(UNIT, size))
        file.write(size // 2, b"x" * UNIT)
        file.resize(size + 5 * UNIT)
        assert file.read(size - UNIT, UNIT) == (size // UNIT - 1).to_bytes(8, "big") * 64
        assert file.read(size // 2, UNIT) == b"x" * UNIT
        assert file.size == volume.size("huge") == size + 5 * UNIT
        file.close()
    assert memory.memory_used() <= UNIT
    assert (tmp_path / "huge").stat().st_size < 4096 + 2 * UNIT


def test_units_that_were_written_cost_no_generating() -> None:
    source = Counting()
    file = MemoryVolume().create_generated("a", SIZE, source)
    file.write(10 * UNIT, bytes(20 * UNIT))
    source.filled = 0
    assert file.read(12 * UNIT, 4 * UNIT) == bytes(4 * UNIT)
    assert source.filled == 0


def test_a_new_file_in_its_place_is_a_plain_one(make: Callable[[], Volume]) -> None:
    volume = make()
    volume.create_generated("a", SIZE, Counting()).close()
    file = volume.create("a", 10 * UNIT)
    assert file.read(0, SIZE) == bytes(10 * UNIT)
    file.resize(SIZE)
    assert file.read(0, SIZE) == bytes(SIZE)
    file.close()


def test_names_move_with_their_files(make: Callable[[], Volume]) -> None:
    volume = make()
    volume.create_generated("a", SIZE, Counting()).close()
    volume.rename("a", "b")
    file = volume.open("b")
    assert file.read(0, SIZE) == untouched()
    file.close()
    assert volume.list("") == ["b"]
    volume.delete("b")
    assert not volume.exists("b")


def test_power_loss_takes_writes_back_to_the_rule() -> None:
    outcomes = set()
    for seed in range(40):
        volume = MemoryVolume()
        file = volume.create_generated("a", SIZE, Counting())
        file.write(20 * UNIT, b"1" * UNIT)
        file.sync()
        volume.sync_directory("")
        volume.fail_after_writes(3)
        with pytest.raises(PowerLoss):
            for number in range(3):
                file.write((20 + number) * UNIT, b"2" * 2 * UNIT)
        volume.crash(random.Random(seed))
        data = volume.open("a").read(0, SIZE)
        expected = untouched()
        assert data[: 20 * UNIT] == expected[: 20 * UNIT]
        assert data[24 * UNIT :] == expected[24 * UNIT :]
        found = []
        for number in range(20, 24):
            unit = data[number * UNIT : (number + 1) * UNIT]
            old = b"1" * UNIT if number == 20 else expected[number * UNIT : (number + 1) * UNIT]
            assert unit in (old, b"2" * UNIT)
            found.append(unit == old)
        outcomes.add(tuple(found))
    assert {(True, True, True, True), (False, False, False, False)} < outcomes


def test_snapshots_are_independent() -> None:
    volume = MemoryVolume()
    file = volume.create_generated("a", SIZE, Counting())
    file.write(5 * UNIT, b"1" * UNIT)
    other = volume.snapshot().open("a")
    file.write(6 * UNIT, b"2" * UNIT)
    other.write(7 * UNIT, b"3" * UNIT)
    assert other.read(5 * UNIT, 2 * UNIT) == b"1" * UNIT + untouched()[6 * UNIT : 7 * UNIT]
    assert file.read(7 * UNIT, UNIT) == untouched()[7 * UNIT : 8 * UNIT]


def test_slot_that_was_being_added_is_none(tmp_path: Path) -> None:
    volume = DirectoryVolume(tmp_path)
    file = volume.create_generated("a", SIZE, Counting())
    file.write(9 * UNIT, b"9" * UNIT)
    file.close()
    path = tmp_path / "a"
    assert path.read_bytes()[: len(MAGIC)] == MAGIC
    with path.open("ab") as raw:
        raw.write(b"\x05\0\0\0\0\0\0")  # the beginning of a slot's head
    again = volume.open("a")
    assert again.read(9 * UNIT, UNIT) == b"9" * UNIT
    again.write(5 * UNIT, b"5" * UNIT)
    again.close()
    again = volume.open("a")
    assert again.read(4 * UNIT, 2 * UNIT) == untouched()[4 * UNIT : 5 * UNIT] + b"5" * UNIT
    again.close()


def test_content_that_nobody_makes_is_said(tmp_path: Path) -> None:
    class Unknown(Counting):
        kind = "unknown"

    with pytest.raises(VolumeError, match="'unknown'"):
        DirectoryVolume(tmp_path).create_generated("a", SIZE, Unknown())


@pytest.mark.parametrize("make_volume", [MemoryVolume, DirectoryVolume])
def test_file_must_have_room_for_what_is_made(
    make_volume: Callable[..., Volume], tmp_path: Path
) -> None:
    volume = make_volume(tmp_path) if make_volume is DirectoryVolume else make_volume()
    with pytest.raises(ValueError, match="room"):
        volume.create_generated("a", END - 1, Counting())
