"""The B+ tree against a sorted dict: whatever is done to it, in whatever order.

Most of it runs on the bare tree of long values, where keys and sizes can be chosen freely.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

import pytest
from attrs import evolve, frozen
from hypothesis import given
from hypothesis import strategies as st

from esesim.engine import space
from esesim.engine.btree import Tree, child_pages, shortest_separator
from esesim.engine.database import Database
from esesim.engine.errors import KeyDuplicateError, RecordNotFoundError, RecordTooBigError
from esesim.engine.inspect import check_database, database_rows
from esesim.engine.transaction import Transaction
from esesim.volume import MemoryVolume
from tests.support.engine import CONFIG, Rig
from tests.support.examples import examples
from tests.support.mail import EMPTY, delete, insert, message, messages

pytestmark = pytest.mark.uncovered

SLEEPING = evolve(CONFIG, flush_per_slice=0, checkpoint_lag=1000, has_streaming=False)
SIZE_MAX: Final = 4096 - 40 - 16 - 8  # page, header, space header of a root, two tags
SITUATIONS: Final = (
    "split",
    "removed leaf",
    "rollback that split",
    "rollback that removed a leaf",
)
type_Model = dict[bytes, bytes]


def fresh(volume: MemoryVolume | None = None) -> Rig:
    """A database without messages; its streaming file would only cost time."""
    return Rig(volume=volume or MemoryVolume(), config=SLEEPING, spec=EMPTY).create()


def bare_tree(database: Database) -> Tree:
    """A tree that no row refers to: its keys mean nothing to anybody."""
    tree = messages(database).long_values
    assert tree is not None
    return tree


def number_key(number: int) -> bytes:
    return number.to_bytes(4, "big")


def problems(database: Database) -> list[str]:
    """What is wrong with the database, but for values that no row refers to."""
    return [text for text in check_database(database) if not text.startswith("long values")]


def depth(database: Database, tree: Tree) -> int:
    """Levels from the root to the leaves; all leaves are equally far down."""
    levels = 1
    page = database.pages.get(tree.fdp)
    while not page.is_leaf:
        page = database.pages.get(child_pages(page)[0])
        levels += 1
    return levels


def leaf_count(database: Database, tree: Tree) -> int:
    """How many leaves the tree has."""
    level = [tree.fdp]
    while not database.pages.get(level[0]).is_leaf:
        level = [child for pgno in level for child in child_pages(database.pages.get(pgno))]
    return len(level)


def free_pages(database: Database, tree: Tree) -> int:
    """Pages that the tree owns and doesn't use."""
    return sum(count for _, count in space.extents(database.pages.get(tree.fdp + 2)))


# -- the model


@frozen
class Step:
    """One operation: its kind, which of the present keys it is about, key and size of a new row."""

    kind: str
    pick: int
    key: bytes
    size: int


# Few distinct first bytes and a few long keys: neighbours, prefixes of each other, equal keys.
keys = st.one_of(
    st.binary(min_size=1, max_size=3),
    st.integers(0, 40).map(lambda n: b"k" * n + bytes([n])),
    st.integers(0, 2**16).map(lambda n: b"\x7f" + n.to_bytes(4, "big")),
    st.binary(min_size=240, max_size=255),
)
sizes = st.one_of(st.integers(0, 60), st.integers(300, 900), st.integers(1900, SIZE_MAX - 260))
steps = st.lists(
    st.builds(
        Step,
        kind=st.sampled_from(
            (
                *("insert", "insert run", "replace", "replace", "delete", "delete run") * 2,
                *("commit", "rollback"),
            )
        ),
        pick=st.integers(0, 2**16),
        key=keys,
        size=sizes,
    ),
    min_size=5,
    max_size=120,
)


class Machine:
    """A tree and what should be in it, in step."""

    def __init__(self, stock: int) -> None:
        self.rig = fresh()
        self.database = self.rig.database()
        self.tree = bare_tree(self.database)
        self.committed: type_Model = {}
        self.model: type_Model = {}
        self.transaction: Transaction = self.rig.instance.begin()
        self.count = 0
        for number in range(stock):
            self.insert(Step("insert", 0, number_key(number), 350 + number % 5 * 100))
        self.commit(Step("commit", 0, b"", 0))

    def present(self, pick: int) -> bytes | None:
        """One of the keys that are there."""
        ordered = sorted(self.model)
        return ordered[pick % len(ordered)] if ordered else None

    def data(self, size: int) -> bytes:
        """Contents that differ each time."""
        self.count += 1
        return (self.count.to_bytes(4, "big") * (size // 4 + 1))[:size]

    def apply(self, step: Step) -> None:
        getattr(self, step.kind.replace(" ", "_"))(step)

    def insert(self, step: Step) -> None:
        data = self.data(step.size)
        if step.key in self.model:
            with pytest.raises(KeyDuplicateError):
                self.transaction.insert(self.database, self.tree, step.key, data)
        else:
            self.transaction.insert(self.database, self.tree, step.key, data)
            self.model[step.key] = data

    def insert_run(self, step: Step) -> None:
        """Neighbours, so that one leaf fills up."""
        for number in range(12):
            self.insert(evolve(step, key=step.key[:250] + bytes([number]), size=step.size % 700))

    def replace(self, step: Step) -> None:
        data = self.data(step.size)
        key = self.present(step.pick)
        if key is None or step.size % 7 == 0:
            key = step.key
        if key in self.model:
            self.transaction.replace(self.database, self.tree, key, data)
            self.model[key] = data
        else:
            with pytest.raises(RecordNotFoundError):
                self.transaction.replace(self.database, self.tree, key, data)

    def delete(self, step: Step) -> None:
        key = self.present(step.pick)
        if key is None:
            with pytest.raises(RecordNotFoundError):
                self.transaction.delete(self.database, self.tree, step.key)
        else:
            self.transaction.delete(self.database, self.tree, key)
            del self.model[key]

    def delete_run(self, step: Step) -> None:
        """Neighbours, so that leaves become empty."""
        ordered = sorted(self.model)
        start = step.pick % max(1, len(ordered))
        for key in ordered[start : start + 12]:
            self.transaction.delete(self.database, self.tree, key)
            del self.model[key]

    def commit(self, step: Step) -> None:
        self.transaction.commit()
        self.committed = dict(self.model)
        self.transaction = self.rig.instance.begin()

    def rollback(self, step: Step) -> None:
        self.transaction.rollback()
        self.model = dict(self.committed)
        self.transaction = self.rig.instance.begin()

    def check(self) -> None:
        """The tree holds what the model holds, and hangs together."""
        ordered = sorted(self.model.items())
        assert list(self.tree.scan()) == ordered
        assert self.tree.last_key() == (ordered[-1][0] if ordered else None)
        assert problems(self.database) == []


def run(history: list[Step], stock: int, seen: Counter[str]) -> Machine:
    """Apply the steps to a tree with so many rows; ``seen`` counts what they led to."""
    machine = Machine(stock)
    for step in history:
        before = leaf_count(machine.database, machine.tree)
        machine.apply(step)
        after = leaf_count(machine.database, machine.tree)
        seen["split"] += after > before
        seen["removed leaf"] += after < before
        if step.kind == "rollback":
            seen["rollback that split"] += after > before
            seen["rollback that removed a leaf"] += after < before
            machine.check()
    machine.check()
    return machine


def test_tree_is_a_sorted_dict() -> None:
    seen: Counter[str] = Counter()

    @examples(60)
    @given(steps, st.integers(0, 60))
    def law(history: list[Step], stock: int) -> None:
        machine = run(history, stock, seen)
        for step in history:
            assert machine.tree.find(step.key) == machine.model.get(step.key)
        # What is on disk after a crash is what was committed.
        volume = machine.rig.volume
        assert isinstance(volume, MemoryVolume)
        machine.rig.instance.log.flush()
        again = Rig(volume=volume.snapshot(), config=SLEEPING)
        again.instance.attach(again.edb(), None)
        assert list(bare_tree(again.database()).scan()) == sorted(machine.committed.items())
        assert problems(again.database()) == []

    law()
    for situation in SITUATIONS:
        assert seen[situation], f"{situation} never happened, so nothing was proved about it"


@examples(30)
@given(st.sets(keys, min_size=1, max_size=60), keys, keys)
def test_scan_gives_what_lies_between(stored: set[bytes], start: bytes, stop: bytes) -> None:
    rig = fresh()
    tree, transaction = bare_tree(rig.database()), rig.instance.begin()
    for key in stored:
        transaction.insert(rig.database(), tree, key, b"x" * 300)
    found = [key for key, _ in tree.scan(start, stop)]
    assert found == sorted(key for key in stored if start <= key < stop)


@given(st.binary(max_size=4), st.binary(min_size=1, max_size=4))
def test_separator_is_above_the_left_and_not_above_the_right(left: bytes, right: bytes) -> None:
    if left >= right:
        return
    separator = shortest_separator(left, right)
    assert left < separator <= right
    assert right.startswith(separator)
    assert separator[:-1] <= left, "none shorter would do"


# -- shapes


@pytest.mark.parametrize("order", ["ascending", "descending", "scattered"])
def test_three_levels_and_back(order: str) -> None:
    rig = fresh()
    database = rig.database()
    tree, transaction = bare_tree(database), rig.instance.begin()
    count = 400
    numbers = {
        "ascending": list(range(count)),
        "descending": list(range(count, 0, -1)),
        "scattered": [number * 167 % 401 for number in range(count)],
    }[order]
    # Long keys that differ at their end only: separators are long and parents fill up early.
    prefix = b"p" * 230
    for number in numbers:
        transaction.insert(database, tree, prefix + number_key(number), b"d" * 700)
    assert depth(database, tree) >= 3
    assert [key for key, _ in tree.scan()] == [prefix + number_key(n) for n in sorted(numbers)]
    assert problems(database) == []
    transaction.commit()

    leaves, free = leaf_count(database, tree), free_pages(database, tree)
    transaction = rig.instance.begin()
    for number in sorted(numbers):
        transaction.delete(database, tree, prefix + number_key(number))
    assert list(tree.scan()) == []
    assert tree.last_key() is None
    assert problems(database) == []
    assert free_pages(database, tree) > free + leaves // 2, "empty leaves are free again"
    transaction.rollback()
    assert len(list(tree.scan())) == count
    assert problems(database) == []


def test_appending_leaves_full_pages_behind() -> None:
    rig = fresh()
    database = rig.database()
    tree, transaction = bare_tree(database), rig.instance.begin()
    for number in range(200):
        transaction.insert(database, tree, number_key(number), b"d" * 380)
    # Ten of these fit on a page; splits in the middle would leave five.
    assert leaf_count(database, tree) <= 200 // 10 + 2


def test_freed_leaves_are_used_before_the_file_grows() -> None:
    rig = fresh()
    database = rig.database()
    insert(rig, (message(number, body="b" * 400) for number in range(1, 600)))
    size = database.pages.file.size
    for round_ in range(4):
        low = 1 + 600 * round_
        delete(rig, range(low, low + 599))
        insert(rig, (message(number, body="b" * 400) for number in range(low + 600, low + 1199)))
        assert problems(database) == []
    assert database.pages.file.size == size
    assert len(list(messages(database).rows())) == 599


def test_undo_finds_rows_that_splits_have_moved() -> None:
    """A rollback runs by key: meanwhile others' work has moved the rows to other pages."""
    rig = fresh()
    database = rig.database()
    table = messages(database)
    insert(rig, (message(number, "first") for number in range(100, 110)))
    page_before = database.pages.get(table.primary.fdp)
    assert page_before.is_leaf
    loser = rig.instance.begin()
    table.replace(loser, message(105, "loser"))
    table.delete(loser, table.key({"Id": 109}))
    table.insert(loser, message(150, "loser"))
    expected = database_rows(database)
    insert(rig, (message(n, body="b" * 450) for n in (*range(1, 100), *range(200, 300))))
    assert depth(database, table.primary) >= 2
    assert database_rows(database) != expected
    loser.rollback()
    rows = {row["Id"]: row["Subject"] for _, row in table.rows()}
    assert [rows.get(number) for number in (105, 109, 150)] == ["first", "first", None]
    assert len(rows) == 10 + 99 + 100
    assert problems(database) == []


def test_undo_puts_a_row_back_where_others_filled_the_page() -> None:
    """The row was long, others took its room: undo has to split the page itself."""
    rig = fresh()
    database = rig.database()
    tree = bare_tree(database)
    setup = rig.instance.begin()
    for number in (10, 20, 30):
        setup.insert(database, tree, number_key(number), b"o" * 1200)
    setup.commit()
    assert leaf_count(database, tree) == 1
    loser, winner = rig.instance.begin(), rig.instance.begin()
    loser.replace(database, tree, number_key(20), b"s")
    loser.delete(database, tree, number_key(30))
    for number in range(11, 17):
        winner.insert(database, tree, number_key(number), b"w" * 400)
    winner.commit()
    assert leaf_count(database, tree) == 1, "everything is still on the one page"
    loser.rollback()
    assert leaf_count(database, tree) > 1
    assert tree.find(number_key(20)) == b"o" * 1200
    assert tree.find(number_key(30)) == b"o" * 1200
    assert problems(database) == []


def test_largest_row_fits_and_one_byte_more_does_not() -> None:
    rig = fresh()
    database = rig.database()
    tree, transaction = bare_tree(database), rig.instance.begin()
    largest = SIZE_MAX - 2 - 4
    for number in range(1, 6):
        transaction.insert(database, tree, number_key(number), b"x" * largest)
    for call in (transaction.insert, transaction.replace):
        with pytest.raises(RecordTooBigError):
            call(database, tree, number_key(9), b"x" * (largest + 1))
    assert len(list(tree.scan())) == 5
    assert problems(database) == []
    transaction.rollback()
    assert list(tree.scan()) == []
    assert problems(database) == []


def test_row_that_grows_splits_its_page() -> None:
    rig = fresh()
    database = rig.database()
    tree, transaction = bare_tree(database), rig.instance.begin()
    for number in range(30):
        transaction.insert(database, tree, number_key(number), b"x" * 100)
    assert leaf_count(database, tree) == 1
    for number in range(30):
        transaction.replace(database, tree, number_key(number), b"y" * 3000)
    assert leaf_count(database, tree) == 30
    assert {data for _, data in tree.scan()} == {b"y" * 3000}
    assert problems(database) == []
