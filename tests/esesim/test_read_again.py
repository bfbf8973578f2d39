"""Reads that only repeat the last one take shorter ways, and give and do exactly the same."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eseback.constants import BackupType, InstanceEnd
from eseback.errors import EseBackupError
from esesim.session.readagain import OpenRead
from tests.esesim.test_read_lent import Reader

SIZE = 1 << 14


class Again(Reader):
    """Reads its open file again and again by the shorter ways, as a connection does."""

    def __init__(self, number: int = 0) -> None:
        super().__init__(steps_per_call=0)
        # Pages are told beforehand once they are known to be good.
        for name in self.files:
            handle = self.open(name)
            while self.read(handle, 1 << 20):
                pass
            self.session.backup_close_file(self.context, handle)
        self.session.backup_instance_end(self.context, InstanceEnd.ERROR)
        self.session.backup_setup(self.context, self.number, BackupType.FULL)
        self.name = self.files[number]
        self.handle = self.open(self.name)
        self.told: list[list[memoryview]] = []
        self.taken = 0
        self.begin(SIZE)

    def memory(self, size: int) -> memoryview:
        return memoryview(bytearray(size))

    def begin(self, size: int) -> None:
        read = self.session.read_again(self.context, self.handle, size, self.memory)
        assert read is not None
        self.open_read: OpenRead = read
        self.told = []

    def next(self) -> bytes | None:
        """None where the session has to be asked."""
        if self.told and self.open_read.take():
            self.taken += 1
            return b"".join(self.told.pop())
        found = self.open_read.again()
        self.told = [*reversed(self.open_read.look_ahead(5))] if found is not None else []
        return None if found is None else b"".join(found)


def rest(reader: Again) -> bytes:
    return b"".join(iter(reader.next, b""))  # type: ignore[arg-type]


@pytest.mark.parametrize("number", [0, 1])
def test_the_whole_file_is_read_and_most_of_it_was_told_beforehand(number: int) -> None:
    again, plain = Again(number), Again(number)
    found = rest(again)
    assert found == b"".join(iter(lambda: plain.read(plain.handle, SIZE), b""))
    assert again.taken > len(found) // SIZE // 2
    clocks = [reader.server.groups[0].clock.milliseconds for reader in (again, plain)]
    assert clocks[0] == clocks[1]


def damage(reader: Again) -> None:
    with suppress(ValueError):  # not every page of a .stm has a checksum
        reader.server.damage_page(reader.name, 30)


def odd_read(reader: Again) -> None:
    reader.read(reader.handle, 100)


def whole_read(reader: Again) -> None:
    reader.read(reader.handle, SIZE)


def work(reader: Again) -> None:
    reader.server.run_workload("G1", 5)


def reopen(reader: Again) -> None:
    reader.session.backup_close_file(reader.context, reader.handle)
    reader.handle = reader.open(reader.name)


def users_begin(reader: Again) -> None:
    reader.server.groups[0].steps_per_call = 2


def users_stop(reader: Again) -> None:
    reader.server.groups[0].steps_per_call = 0


BETWEEN: list[Callable[[Again], None] | int] = [damage, odd_read, whole_read, work, reopen]
BETWEEN += [users_begin, users_stop, 4096, SIZE, 3 * 4096, 5000]


@settings(max_examples=15)
@pytest.mark.uncovered
@given(
    st.integers(0, 1), st.lists(st.tuples(st.integers(0, 12), st.sampled_from(BETWEEN)), max_size=8)
)
def test_whatever_happens_between_it_gives_what_a_plain_read_gives(
    number: int, steps: list[tuple[int, Callable[[Again], None] | int]]
) -> None:
    """And does it: the same events, the same bytes afterwards."""
    again, plain = Again(number), Again(number)
    size = SIZE

    def read() -> bytes | str:
        answers: list[bytes | str] = []
        for way in (again.next, lambda: plain.read(plain.handle, size)):
            try:
                found = way()
                if found is None:
                    found = again.read(again.handle, size)
                answers.append(found)
            except EseBackupError as error:
                answers.append(str(error))
        assert answers[0] == answers[1]
        return answers[0]

    for count, action in [*steps, (300, SIZE)]:
        for _ in range(count):
            found = read()
            if not found or isinstance(found, str):
                break
        if isinstance(action, int):
            size = action
            if again.session.read_again(again.context, again.handle, size, again.memory) is None:
                break
            again.begin(size)
        else:
            for reader in (again, plain):
                with suppress(EseBackupError):
                    action(reader)
    assert [str(e) for e in again.server.events] == [str(e) for e in plain.server.events]


@pytest.mark.parametrize("action", [damage, odd_read, whole_read, work, reopen, users_begin])
def test_nothing_is_taken_that_no_longer_holds(action: Callable[[Again], None]) -> None:
    reader = Again()
    while not reader.told:
        reader.next()
    action(reader)
    assert not reader.open_read.take()


def test_a_closed_file_and_an_ended_backup_have_to_be_asked_for() -> None:
    for end in ("backup_close_file", "backup_instance_end", "backup_end"):
        reader = Again()
        while not reader.told:
            reader.next()
        arguments = {
            "backup_close_file": (reader.handle,),
            "backup_instance_end": (InstanceEnd.ERROR,),
            "backup_end": (),
        }
        getattr(reader.session, end)(reader.context, *arguments[end])
        assert not reader.open_read.take()
        assert reader.open_read.again() is None
        assert not reader.open_read.look_ahead(5)
        assert reader.session.read_again(reader.context, reader.handle, SIZE, reader.memory) is None


def ahead(reader: Again) -> Again:
    """With some reads told beforehand, of which one was made."""
    while not reader.taken:
        reader.next()
    return reader


@pytest.mark.parametrize("page", [14, 20, 26])
def test_pages_that_have_to_be_verified_are_not_told_beforehand(page: int) -> None:
    reader = ahead(Again())
    reader.server.damage_page(reader.name, page)
    with pytest.raises(EseBackupError, match="-1018"):
        rest(reader)


def test_while_a_page_is_newer_in_memory_each_read_is_looked_at() -> None:
    """For the mark that an old state of a page was copied."""
    reader = Again()
    dirty = reader.server.groups[0].running.databases[1].pages.dirty
    newer = dict(dirty)
    dirty.clear()
    reopen(reader)
    reader.begin(SIZE)
    ahead(reader)
    dirty.update(newer)
    assert newer and not reader.open_read.take()


def test_what_the_engine_closes_or_loses_is_not_taken() -> None:
    reader = ahead(Again())
    group = reader.server.groups[0]
    group.running.backup.abandon_by_server()  # the session has not noticed yet
    assert not reader.open_read.take()
    reader = ahead(Again())
    reader.server.groups[0].die()
    assert not reader.open_read.take()
