"""A read without a copy gives the bytes that a read with one gives at the same moment."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eseback.api import WriteableBuffer
from eseback.constants import BackupType, InstanceEnd
from eseback.errors import EseBackupError
from esesim.engine.backup import Backup
from esesim.server import SimulatedServer
from esesim.session import Session
from tests.esesim.support.servers import prepare, small_server

SIZES = st.lists(
    st.one_of(
        st.sampled_from((4096, 8192, 12288, 65536, 1 << 18, 1 << 20)), st.integers(1, 70_000)
    ),
    min_size=1,
    max_size=12,
)


class Reader:
    """Reads the files of a full backup of the only group; logs after databases."""

    def __init__(self, *, steps_per_call: int = 1, damage: bool = False) -> None:
        self.server: SimulatedServer = small_server(messages=60, steps_per_call=steps_per_call)
        self.session: Session = self.server.session()
        prepared = prepare(self.session)
        self.context, self.number = prepared.context, prepared.instances["G1"]
        self.files = prepared.streams["G1"]
        if damage:
            self.server.damage_page(self.files[0])
        self.session.backup_setup(self.context, self.number, BackupType.FULL)
        self.copied = 0

    def open(self, name: str) -> int:
        (opened,) = self.session.backup_open_file(self.context, name)
        return opened.handle

    def read(self, handle: int, size: int) -> bytes:
        buffer = memoryview(bytearray(size))
        return bytes(buffer[: self.session.backup_read_file(self.context, handle, buffer)])

    def lent(self, handle: int, size: int) -> list[memoryview]:
        def memory(wanted: int) -> memoryview:
            self.copied += 1
            return memoryview(bytearray(wanted))

        return self.session.read_lent(self.context, handle, size, memory)


@settings(max_examples=4)
@pytest.mark.uncovered
@given(SIZES, st.integers(0, 3))
def test_same_bytes_whatever_is_asked_for(sizes: list[int], steps_per_call: int) -> None:
    """Users work between any two reads, and between a loan and the moment it is looked at."""
    plain, lending = Reader(steps_per_call=steps_per_call), Reader(steps_per_call=steps_per_call)
    for name in plain.files:
        handles = plain.open(name), lending.open(name)
        assert handles[0] == handles[1]
        loans = []
        for size in itertools.islice(itertools.cycle(sizes), 25):
            expected = plain.read(handles[0], size)
            loans.append((lending.lent(handles[1], size), expected))
            if not expected:
                break
        for reader in (plain, lending):
            reader.server.run_workload("G1", 40)
        assert all(b"".join(loan) == expected for loan, expected in loans)
        for reader, handle in zip((plain, lending), handles, strict=True):
            reader.session.backup_close_file(reader.context, handle)
    names = [r.session.backup_get_log_and_patch_files(r.context) for r in (plain, lending)]
    assert names[0] == names[1]
    for name in names[0]:
        handles = plain.open(name), lending.open(name)
        while expected := plain.read(handles[0], 1 << 17):
            assert b"".join(lending.lent(handles[1], 1 << 17)) == expected
        assert not lending.lent(handles[1], 1 << 17)
        for reader, handle in zip((plain, lending), handles, strict=True):
            reader.session.backup_close_file(reader.context, handle)
    for reader in (plain, lending):
        reader.session.backup_instance_end(reader.context, InstanceEnd.SUCCESS)
        reader.session.backup_end(reader.context)
    assert [str(e) for e in plain.server.events] == [str(e) for e in lending.server.events]


def test_nearly_nothing_is_copied() -> None:
    reader = Reader(steps_per_call=0)
    handle = reader.open(reader.files[0])
    count = sum(1 for _ in iter(lambda: b"".join(reader.lent(handle, 1 << 15)), b""))
    # Headers at the front, trailer at the end, and the read that finds the end.
    assert count > 10
    assert reader.copied <= 3


def test_a_damaged_page_is_found_and_read_again() -> None:
    plain, lending = Reader(damage=True), Reader(damage=True)
    told = []
    for reader in (plain, lending):
        read = plain.read if reader is plain else lending.lent
        handle = reader.open(reader.files[0])
        with pytest.raises(EseBackupError) as caught:
            while read(handle, 1 << 16):
                pass
        told.append((str(caught.value), [str(e) for e in reader.server.events]))
    assert told[0] == told[1]
    assert "-1018" in told[0][0]


@pytest.mark.parametrize("size", [0, -1])
def test_nothing_is_refused_as_an_empty_buffer_is(size: int) -> None:
    reader = Reader()
    handle = reader.open(reader.files[0])
    with pytest.raises(EseBackupError, match="-1003"):
        reader.session.read_lent(
            reader.context, handle, size, lambda wanted: memoryview(bytearray(max(wanted, 0)))
        )


class UpperCase(Backup):
    """An engine that hands out something else than its files."""

    def read_file(self, handle: int, buffer: memoryview) -> int:
        count = super().read_file(handle, buffer)
        buffer[:count] = bytes(buffer[:count]).upper()
        return count


class LowerCase(Session):
    """A session that does."""

    def backup_read_file(self, context: int, handle: int, buffer: WriteableBuffer) -> int:
        count = super().backup_read_file(context, handle, buffer)
        view = memoryview(buffer)
        view[:count] = bytes(view[:count]).lower()
        return count


def test_whoever_reads_in_a_way_of_its_own_lends_nothing() -> None:
    plain, odd = Reader(), Reader()
    for group in odd.server.groups:
        group.running.backup.__class__ = UpperCase
    handle = plain.open(plain.files[0]), odd.open(odd.files[0])
    for _ in range(6):
        expected = plain.read(handle[0], 1 << 16)
        assert b"".join(odd.lent(handle[1], 1 << 16)) == expected.upper() != expected
    plain, odd = Reader(), Reader()
    odd.session.__class__ = LowerCase
    odd.session._lends_nothing = True  # as if it had been made as one
    opened = odd.open(odd.files[0])
    again = plain.open(plain.files[0])
    assert b"".join(odd.lent(opened, 1 << 16)) == plain.read(again, 1 << 16).lower()
    assert LowerCase(odd.session._store)._lends_nothing
    assert not odd.server.session()._lends_nothing
