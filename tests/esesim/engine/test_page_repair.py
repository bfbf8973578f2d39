"""A page with ECC of which one bit is wrong is repaired wherever it is read; two bits are too many.

The file itself keeps the wrong bit until the page is written for another reason.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest
from attrs import evolve

from eseback.constants import BackupType
from eseback.errors import JetErr
from eseback.formats.checksum import bad_pgnos, first_bad_pgno
from esesim.engine.config import InstanceConfig
from esesim.engine.errors import JetError
from tests.support.engine import CONFIG, Rig
from tests.support.files import content, put
from tests.support.mail import EMPTY, insert, message, messages, subjects
from tests.support.restore_site import stage

PAGE = 4096
PGNO = 4  # MSysObjects: in use in every database
SLEEPING = evolve(CONFIG, flush_per_slice=0, checkpoint_lag=1000)
ECC_4K = evolve(SLEEPING, revision=0xB)
ECC_8K = evolve(SLEEPING, revision=0xC, page_size=8192, log_file_size=128 * 1024)
XOR_4K = evolve(SLEEPING, revision=9)

with_ecc = pytest.mark.parametrize("config", [ECC_4K, ECC_8K], ids=["4 KiB", "8 KiB"])


def settled(config: InstanceConfig) -> Rig:
    """A database that is written to the last page, an empty event log, and no wait so far."""
    rig = Rig(config=config).create()
    rig.work(30)
    rig.workload.settle()
    rig.checkpoint_now()
    rig.events.clear()
    rig.clock.slept.clear()
    return rig


def flip(rig: Rig, *bits: int, pgno: int = PGNO) -> bytes:
    """Flip bits of a page in the file, as a bad disk does; returns the page as it was."""
    pages = rig.database().pages
    size = pages.page_size
    good = pages.file.read((pgno + 1) * size, size)
    bad = bytearray(good)
    for bit in bits:
        bad[bit // 8] ^= 1 << bit % 8
    pages.file.write((pgno + 1) * size, bad)
    pages.distrust()
    return good


def page_of(image: bytes, size: int, pgno: int = PGNO) -> bytes:
    return image[(pgno + 1) * size : (pgno + 2) * size]


def refused(call: Callable[[], object]) -> JetErr:
    with pytest.raises(JetError) as error:
        call()
    return error.value.err


@with_ecc
@pytest.mark.parametrize("place", [64, 37 * 8 + 5, 2000 * 8 + 3, -1])
def test_backup_delivers_the_repaired_page(config: InstanceConfig, place: int) -> None:
    """Also where the wrong bit is the flag that says "ECC"; no retry is needed for it."""
    rig = settled(config)
    size = config.page_size
    good = flip(rig, place % (size * 8))
    backup = rig.instance.backup
    for _ in range(2):  # the file is as bad as before, and is not taken for good
        rig.events.clear()
        backup.begin(BackupType.FULL)
        image = rig.read_file(rig.edb()).data
        backup.end(False)
        assert page_of(image, size) == good
        assert [event.id for event in rig.events if event.id in (399, 474, 493)] == [399]
        repaired = next(event for event in rig.events if event.id == 399)
        assert repaired.values == {"file": rig.edb(), "offset": (PGNO + 1) * size}
    assert rig.clock.slept == []
    pages = rig.database().pages
    assert pages.file.read((PGNO + 1) * size, size) != good, "reading repairs no file"


@with_ecc
@pytest.mark.parametrize("bits", [(1000, 9000), (0,), (40,)], ids=["two", "its XOR", "its ECC"])
def test_what_an_ecc_cannot_repair_fails_after_the_retries(
    config: InstanceConfig, bits: tuple[int, ...]
) -> None:
    rig = settled(config)
    flip(rig, *bits)
    rig.instance.backup.begin(BackupType.FULL)
    assert refused(lambda: rig.read_file(rig.edb())) == JetErr.READ_VERIFY_FAILURE
    assert rig.clock.slept == [pytest.approx(0.1 * number) for number in range(1, 17)]
    assert 399 not in [event.id for event in rig.events]


def test_pages_without_ecc_are_never_repaired() -> None:
    rig = settled(XOR_4K)
    flip(rig, 1000)
    rig.instance.backup.begin(BackupType.FULL)
    assert refused(lambda: rig.read_file(rig.edb())) == JetErr.READ_VERIFY_FAILURE
    assert len(rig.clock.slept) == 16
    assert refused(lambda: rig.database().pages.get(PGNO)) == JetErr.READ_VERIFY_FAILURE


@with_ecc
def test_engine_reads_the_repaired_page_and_writes_it(config: InstanceConfig) -> None:
    rig = Rig(config=config, spec=EMPTY).create()
    insert(rig, (message(number, "first") for number in range(1, 4)))
    rig.checkpoint_now()
    database = rig.database()
    pgno = messages(rig.database()).primary.fdp
    rig.events.clear()
    flip(rig, 12345, pgno=pgno)
    assert subjects(dict(messages(database).rows())) == dict.fromkeys((1, 2, 3), "first")
    assert [event.id for event in rig.events] == [399], "once: then the page is in the cache"
    insert(rig, [message(9, "second")])
    rig.checkpoint_now()
    rig.events.clear()
    database.pages.distrust()
    assert subjects(dict(messages(database).rows()))[9] == "second"
    assert rig.events == [], "the change has put the file right"


def test_page_with_two_wrong_bits_cannot_be_read() -> None:
    rig = settled(ECC_4K)
    flip(rig, 1000, 9000)
    assert refused(lambda: rig.database().pages.get(PGNO)) == JetErr.READ_VERIFY_FAILURE
    assert rig.events == []


def test_hard_recovery_repairs_pages_of_the_image() -> None:
    rig = settled(ECC_4K)
    rig.steps = 2
    site = stage(rig, [rig.back_up()])
    clean = site.copy()
    before = content(clean.volume, rig.edb())
    clean.recover(target_log_path=None)
    after = content(clean.volume, rig.edb())
    redone = next(
        pgno
        for pgno in range(1, len(before) // PAGE - 2)
        if any(page_of(before, PAGE, pgno))
        and page_of(before, PAGE, pgno) != page_of(after, PAGE, pgno)
    )
    bad = bytearray(before)
    bad[(redone + 1) * PAGE + 77] ^= 0x10
    put(site.volume, rig.edb(), bytes(bad))
    site.recover(target_log_path=None)
    assert content(site.volume, rig.edb())[2 * PAGE :] == after[2 * PAGE :], "but for times"
    assert site.event_ids().count(399) == 1
    assert [number for number in site.event_ids() if number != 399] == clean.event_ids()


def test_known_good_pages_are_not_even_looked_at() -> None:
    """Repair costs nothing where nothing is wrong: the second backup verifies no page."""
    rig = settled(ECC_4K)
    rig.database().pages.distrust()
    backup = rig.instance.backup
    verified, looks = 0, []

    def counted(check: Callable[..., Any]) -> Callable[..., Any]:
        def run(pages: memoryview, first: int, size: int) -> Any:
            nonlocal verified
            verified += len(pages) // size
            return check(pages, first, size)

        return run

    pagefile = "esesim.engine.pagefile"
    with (
        mock.patch(f"{pagefile}.bad_pgnos", counted(bad_pgnos)),
        mock.patch(f"{pagefile}.first_bad_pgno", counted(first_bad_pgno)),
    ):
        for _ in range(2):
            backup.begin(BackupType.FULL)
            rig.read_file(rig.edb())
            backup.end(False)
            looks.append(verified)
    assert looks == [rig.database().pages.last_pgno] * 2, "all at the first backup, then none"
