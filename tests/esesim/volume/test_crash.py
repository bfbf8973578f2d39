"""A loss of power takes what was not synced, in order, and never more."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

import pytest
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

from esesim.volume import MemoryVolume, PowerLoss, VolumeError

SECTOR = 512
SEEDS = range(200)


def outcomes(volume: MemoryVolume, look: Callable[[MemoryVolume], object]) -> Counter[object]:
    """What ``look`` sees after crashes of copies with many seeds."""
    found: Counter[object] = Counter()
    for seed in SEEDS:
        copy = volume.snapshot()
        copy.crash(random.Random(seed))
        found[look(copy)] += 1
    return found


def read_all(volume: MemoryVolume, path: str = "a") -> bytes:
    """The whole content of a file."""
    return volume.open(path).read(0, volume.size(path))


def test_synced_data_always_survives() -> None:
    volume = MemoryVolume()
    file = volume.create("a")
    file.write(0, b"x" * 5000)
    file.resize(4000)
    file.sync()
    assert set(outcomes(volume, read_all)) == {b"x" * 4000}


def test_a_prefix_of_the_writes_is_kept() -> None:
    volume = MemoryVolume()
    file = volume.create("a")
    file.write(0, b"....")
    file.sync()
    for number in range(4):
        file.write(number, b"%d" % number)
    assert set(outcomes(volume, read_all)) == {b"....", b"0...", b"01..", b"012.", b"0123"}


def test_overlapping_writes_are_taken_back_in_order() -> None:
    volume = MemoryVolume()
    file = volume.create("a")
    file.write(0, b"....")
    file.sync()
    for data in (b"1", b"22", b"333", b"44444"):
        file.write(0, data)
    assert set(outcomes(volume, read_all)) == {b"....", b"1...", b"22..", b"333.", b"44444"}


def test_write_is_torn_at_sectors() -> None:
    volume = MemoryVolume()
    file = volume.create("a")
    file.write(0, b"o" * 2048)
    file.sync()
    file.write(256, b"n" * 1024)  # Sectors 0 (its second half), 1, and 2 (its first half).
    seen = outcomes(volume, read_all)

    def content(*new: bool) -> bytes:
        parts = [b"n" if sector else b"o" for sector in new]
        return b"o" * 256 + parts[0] * 256 + parts[1] * 512 + parts[2] * 256 + b"o" * 768

    bits = (False, True)
    assert set(seen) == {content(a, b, c) for a in bits for b in bits for c in bits}
    assert seen[content(True, True, True)] > len(SEEDS) / 4
    assert seen[content(False, False, False)] > len(SEEDS) / 8


def test_write_within_one_sector_is_never_torn() -> None:
    volume = MemoryVolume()
    file = volume.create("a")
    file.write(0, bytes(2048))
    file.sync()
    file.write(512, b"n" * 512)
    assert set(outcomes(volume, read_all)) == {
        bytes(2048),
        bytes(512) + b"n" * 512 + bytes(1024),
    }


def test_sector_size_is_a_parameter() -> None:
    volume = MemoryVolume(sector=4096)
    file = volume.create("a", size=4096)
    file.sync()
    file.write(0, b"n" * 4096)
    assert set(outcomes(volume, read_all)) == {bytes(4096), b"n" * 4096}


def test_write_that_grows_the_file_has_its_length_or_nothing() -> None:
    volume = MemoryVolume()
    file = volume.create("a")
    file.sync()
    file.write(0, b"n" * 1024)
    seen = set(outcomes(volume, read_all))
    assert seen == {
        b"",
        b"n" * 512 + bytes(512),
        bytes(512) + b"n" * 512,
        b"n" * 1024,
    }


def test_resizes_are_lost_in_order_too() -> None:
    volume = MemoryVolume()
    file = volume.create("a")
    file.write(0, b"abcdef")
    file.sync()
    file.resize(2)
    file.resize(4)
    file.write(5, b"z")
    assert set(outcomes(volume, read_all)) == {b"abcdef", b"ab", b"ab\0\0", b"ab\0\0\0z"}


def test_names_survive_in_order() -> None:
    volume = MemoryVolume()
    volume.make_directory("d")
    volume.sync_directory("")
    volume.create("d/E00tmp.log").write(0, b"next")
    volume.rename("d/E00tmp.log", "d/E00.log")
    volume.create("d/other")
    volume.delete("d/E00.log")
    assert set(outcomes(volume, lambda copy: tuple(copy.list("d")))) == {
        (),
        ("E00tmp.log",),
        ("E00.log",),
        ("E00.log", "other"),
        ("other",),
    }


def test_replaced_and_deleted_files_come_back_whole() -> None:
    volume = MemoryVolume()
    for name in ("old", "gone"):
        file = volume.create(name)
        file.write(0, name.encode())
        file.sync()
    volume.create("new").sync()
    volume.sync_directory("")
    volume.rename("new", "old")
    volume.delete("gone")

    def look(copy: MemoryVolume) -> tuple[tuple[str, bytes], ...]:
        return tuple((name, read_all(copy, name)) for name in copy.list(""))

    assert set(outcomes(volume, look)) == {
        (("gone", b"gone"), ("new", b""), ("old", b"old")),
        (("gone", b"gone"), ("old", b"")),
        (("old", b""),),
    }


def test_file_that_is_created_again_may_come_back() -> None:
    volume = MemoryVolume()
    file = volume.create("a")
    file.write(0, b"old")
    file.sync()
    volume.create("a", size=2).write(0, b"n")
    assert set(outcomes(volume, read_all)) == {b"old", b"", b"\0\0", b"n\0"}


def test_syncing_a_file_keeps_its_name_and_the_changes_before_it() -> None:
    volume = MemoryVolume()
    volume.create("first")
    file = volume.create("second")
    volume.create("third")
    file.sync()
    assert set(outcomes(volume, lambda copy: tuple(copy.list("")))) == {
        ("first", "second"),
        ("first", "second", "third"),
    }


def test_syncing_a_file_keeps_no_changes_that_came_after_its_own() -> None:
    volume = MemoryVolume()
    file = volume.create("first")
    file.sync()
    volume.create("second")
    file.sync()
    assert set(outcomes(volume, lambda copy: tuple(copy.list("")))) == {
        ("first",),
        ("first", "second"),
    }


def test_change_of_case_only_is_one_step() -> None:
    volume = MemoryVolume()
    volume.create("name").sync()
    volume.rename("name", "NAME")
    assert set(outcomes(volume, lambda copy: tuple(copy.list("")))) == {("name",), ("NAME",)}


def test_snapshot_knows_which_file_a_pending_change_is_about() -> None:
    volume = MemoryVolume()
    volume.create("old").sync()
    volume.rename("old", "new")
    copy = volume.snapshot()
    file = copy.open("new")
    file.write(0, b"x")
    assert set(outcomes(copy, lambda crashed: read_all(crashed, crashed.list("")[0]))) == {
        b"",
        b"x",
    }
    file.sync()
    assert set(outcomes(copy, lambda crashed: tuple(crashed.list("")))) == {("new",)}


def test_syncing_a_directory_keeps_all_names_but_no_data() -> None:
    volume = MemoryVolume()
    volume.make_directory("d")
    volume.create("d/a").write(0, b"x")
    volume.sync_directory("d")
    assert set(outcomes(volume, lambda copy: read_all(copy, "d/a"))) == {b"", b"x"}


def test_report_counts_what_happened() -> None:
    volume = MemoryVolume()
    volume.make_directory("d")
    volume.sync_directory("")
    for name in "abc":
        file = volume.create(f"d/{name}")
        file.sync()
        for _ in range(3):
            file.write(0, b"x" * 2048)
    volume.create("d/late")
    torn_seen = Counter[str]()
    for seed in SEEDS:
        report = volume.snapshot().crash(random.Random(seed))
        assert report.kept + report.torn + report.lost == 9
        assert report.names_kept + report.names_lost == 1
        assert len(report.torn_paths) == report.torn
        assert list(report.torn_paths) == sorted(report.torn_paths)
        torn_seen.update(report.torn_paths)
    assert set(torn_seen) == {"d/a", "d/b", "d/c"}


def test_same_seed_same_crash() -> None:
    volume = MemoryVolume()
    for name in "abc":
        for number in range(5):
            volume.create(f"{name}{number}").write(0, name.encode() * 3000)
    results = []
    for _ in range(2):
        copy = volume.snapshot()
        report = copy.crash(random.Random(7))
        results.append((report, [(name, read_all(copy, name)) for name in copy.list("")]))
    assert results[0] == results[1]


def test_crash_of_a_snapshot_leaves_the_original_alone() -> None:
    volume = MemoryVolume()
    file = volume.create("a")
    file.write(0, b"x" * 5000)
    for seed in SEEDS:
        volume.snapshot().crash(random.Random(seed))
    assert read_all(volume) == b"x" * 5000
    assert set(outcomes(volume, lambda copy: len(copy.list("")))) == {0, 1}


def test_crash_makes_durable_and_closes_files() -> None:
    volume = MemoryVolume()
    file = volume.create("a")
    file.sync()
    file.write(0, b"x")
    volume.crash(random.Random(1))
    with pytest.raises(VolumeError, match="closed"):
        file.read(0, 1)
    after = read_all(volume)
    assert set(outcomes(volume, read_all)) == {after}


def test_planned_power_loss() -> None:
    volume = MemoryVolume()
    file = volume.create("a")
    file.sync()
    volume.fail_after_writes(3)
    file.write(0, b"1")
    file.sync()
    file.resize(10)
    with pytest.raises(PowerLoss, match="during this change"):
        file.write(5, b"2")
    assert not issubclass(PowerLoss, VolumeError)
    later: list[Callable[[], object]] = [
        lambda: file.write(0, b"3"),
        lambda: file.resize(1),
        file.sync,
        lambda: volume.create("b"),
        lambda: volume.delete("a"),
        lambda: volume.rename("a", "b"),
        lambda: volume.make_directory("d"),
        lambda: volume.sync_directory(""),
    ]
    for change in later:
        with pytest.raises(PowerLoss, match="no power"):
            change()
    assert file.read(0, 10) == b"1\0\0\0\x002\0\0\0\0", "reads still show what was under way"
    assert set(outcomes(volume, read_all)) == {
        b"1",
        b"1".ljust(10, b"\0"),
        b"1\0\0\0\x002\0\0\0\0",
    }
    volume.crash(random.Random(0))
    volume.open("a").write(0, b"4")


@pytest.mark.parametrize(
    "change",
    [
        lambda volume: volume.create("b"),
        lambda volume: volume.delete("a"),
        lambda volume: volume.rename("a", "b"),
        lambda volume: volume.make_directory("d"),
        lambda volume: volume.open("a").write(0, b"x"),
        lambda volume: volume.open("a").resize(9),
    ],
)
def test_each_kind_of_change_counts(change: Callable[[MemoryVolume], object]) -> None:
    volume = MemoryVolume()
    volume.create("a")
    volume.fail_after_writes(1)
    with pytest.raises(PowerLoss):
        change(volume)


# -- against a simple model ----------------------------------------------------------------------


@define(eq=False)
class ModelFile:
    """The bytes that are durable, and the changes since."""

    durable: bytes = b""
    pending: list[tuple[int, bytes] | int] = field(factory=list)

    @staticmethod
    def apply(content: bytes, change: tuple[int, bytes] | int) -> bytes:
        """The content after a write (offset, data) or a resize."""
        if isinstance(change, int):
            return content[:change].ljust(change, b"\0")
        offset, data = change
        padded = content.ljust(offset + len(data), b"\0")
        return padded[:offset] + data + padded[offset + len(data) :]

    def current(self) -> bytes:
        """The newest content."""
        content = self.durable
        for change in self.pending:
            content = self.apply(content, change)
        return content

    def allows(self, found: bytes) -> bool:
        """Whether a crash may leave this content."""
        content = self.durable
        for change in self.pending:
            if found == content:
                return True
            after = self.apply(content, change)
            if not isinstance(change, int) and self._is_mix(found, content, after):
                return True
            content = after
        return found == content

    @staticmethod
    def _is_mix(found: bytes, old: bytes, new: bytes) -> bool:
        old = old.ljust(len(new), b"\0")
        sectors = range(0, len(new), SECTOR)
        return len(found) == len(new) and all(
            found[at : at + SECTOR] in (old[at : at + SECTOR], new[at : at + SECTOR])
            for at in sectors
        )


@define
class Model:
    """All states of the names since the last durable one, and the file each change was about."""

    states: list[dict[str, ModelFile]] = field(factory=lambda: [{}])
    about: list[ModelFile] = field(factory=list)

    @property
    def names(self) -> dict[str, ModelFile]:
        """The newest names."""
        return self.states[-1]

    def change(self, file: ModelFile, names: dict[str, ModelFile]) -> None:
        """A change of names that is about a file."""
        self.states.append(names)
        self.about.append(file)

    def sync(self, file: ModelFile) -> None:
        """Make the file and the names up to the last change about it durable."""
        file.durable, file.pending = file.current(), []
        count = max((n + 1 for n, other in enumerate(self.about) if other is file), default=0)
        del self.states[:count], self.about[:count]


NAMES = st.sampled_from(["a", "b", "c"])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("create"), NAMES),
        st.tuples(st.just("write"), NAMES, st.integers(0, 1500), st.binary(min_size=1, max_size=5)),
        st.tuples(st.just("resize"), NAMES, st.integers(0, 2000)),
        st.tuples(st.just("sync"), NAMES),
        st.tuples(st.just("delete"), NAMES),
        st.tuples(st.just("rename"), NAMES, NAMES),
        st.tuples(st.just("sync names")),
    ),
    max_size=30,
)


def play(step: tuple[object, ...], volume: MemoryVolume, model: Model) -> None:
    """Do one step on both sides; a step on a missing file does nothing."""
    names = model.names
    match step:
        case ("create", str(name)) if name in names:
            volume.create(name)
            names[name].pending.append(0)
        case ("create", str(name)):
            volume.create(name)
            file = ModelFile()
            model.change(file, {**names, name: file})
        case ("sync names",):
            volume.sync_directory("")
            model.states, model.about = [names], []
        case (_, str(name), *_) if name not in names:
            return
        case ("write", str(name), int(offset), bytes(data)):
            volume.open(name).write(offset, data * 300)
            names[name].pending.append((offset, data * 300))
        case ("resize", str(name), int(size)):
            volume.open(name).resize(size)
            names[name].pending.append(size)
        case ("sync", str(name)):
            volume.open(name).sync()
            model.sync(names[name])
        case ("delete", str(name)):
            volume.delete(name)
            model.change(names[name], {n: f for n, f in names.items() if n != name})
        case ("rename", str(old), str(new)):
            volume.rename(old, new)
            rest = {n: f for n, f in names.items() if n != old}
            model.change(names[old], {**rest, new: names[old]})


@given(STEPS, st.randoms(use_true_random=False), st.booleans())
def test_crash_against_the_model(
    steps: list[tuple[object, ...]], rng: random.Random, by_snapshot: bool
) -> None:
    volume = MemoryVolume()
    model = Model()
    for step in steps:
        play(step, volume, model)
    assert volume.list("") == sorted(model.names)
    for name, file in model.names.items():
        assert read_all(volume, name) == file.current()
    crashed = volume.snapshot() if by_snapshot else volume
    crashed.crash(random.Random(rng.getrandbits(32)))
    found = {name: read_all(crashed, name) for name in crashed.list("")}
    assert any(
        set(found) == set(names) and all(names[name].allows(found[name]) for name in names)
        for names in model.states
    )
