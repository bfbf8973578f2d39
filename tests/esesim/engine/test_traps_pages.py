"""What is in a copied database, and what the logs make of it: rules that are easily got wrong."""

from __future__ import annotations

import pytest
from attrs import evolve

from eseback.constants import BackupType
from eseback.formats.dbheader import DatabaseHeader, DbState
from eseback.formats.fields import NO_BACKUP
from eseback.formats.trailer import Trailer
from esesim.engine.inspect import check_file, database_rows, opened
from tests.support.engine import CONFIG, Rig, SavedFile
from tests.support.files import content
from tests.support.mail import (
    EMPTY,
    change,
    delete,
    insert,
    leaves_in,
    message,
    messages,
    subjects,
)

PAGE = 4096
SLEEPING = evolve(CONFIG, flush_per_slice=0, checkpoint_lag=1000)


def quiet(*, count: int = 5) -> Rig:
    """An instance in which nothing happens but what the test does; a few messages, all written."""
    rig = Rig(config=SLEEPING, spec=EMPTY).create()
    insert(rig, (message(number, "first") for number in range(1, count + 1)))
    rig.checkpoint_now()
    return rig


# -- trap 2: the rows that a split moves are in its record


def test_rows_that_a_split_moves_behind_the_reader_are_not_lost() -> None:
    rig = Rig(config=SLEEPING, spec=EMPTY).create()
    body = "x" * 300
    insert(rig, (message(number, body=body) for number in range(2, 400, 2)))
    delete(rig, range(2, 100, 2))  # the leaves at the start of the file are free again
    rig.checkpoint_now()
    objid = messages(rig.database()).primary.objid
    backup = rig.instance.backup
    backup.begin(BackupType.FULL)
    handle, size = backup.open_file(rig.edb())
    image = bytearray()
    buffer = memoryview(bytearray(3 * PAGE))
    leaves = leaves_in(content(rig.volume, rig.edb()), objid)
    source = max(leaves)
    target_max = min(leaves) - 1
    while len(image) // PAGE - 2 <= target_max:
        image += buffer[: backup.read_file(handle, buffer)]
    assert len(image) // PAGE - 2 < source
    # The reader is past the free pages and short of the last leaf: that one splits now.
    odd = iter(range(301, 400, 2))
    while not rig.marks["split_behind_reader"]:
        insert(rig, [message(next(odd), "new", body)])
    rig.checkpoint_now()
    while count := backup.read_file(handle, buffer):
        image += buffer[:count]
    backup.close_file(handle)
    assert len(image) == size

    stm = rig.stm()
    assert stm is not None
    saved = rig.finish([SavedFile(rig.edb(), bytes(image)), rig.read_file(stm)])
    copied = {key for leaf in leaves_in(bytes(image), objid).values() for key in leaf.node_keys()}
    committed = database_rows(rig.database())
    moved = set(committed["Msg"]) - copied
    assert moved, "the image has neither the target with the rows nor the source as it was"
    recovered = rig.recover([saved])
    assert recovered.rows() == committed
    assert check_file(recovered.volume, *recovered.paths()) == []


# -- traps 3 and 26: what is open at the end of a set


def test_transaction_that_commits_in_the_next_set_is_undone_only_without_it() -> None:
    rig = quiet()
    spanning = rig.instance.begin()
    change(rig, spanning, 1, "spanning")
    messages(rig.database()).insert(spanning, message(100, "spanning"))
    full = rig.back_up()
    assert rig.marks["transaction_open_across_roll"]
    change(rig, spanning, 2, "spanning")
    spanning.commit()
    incremental = rig.back_up(BackupType.LOGS_ONLY)
    first = dict.fromkeys(range(1, 6), "first")
    assert subjects(rig.recover([full]).rows()["Msg"]) == first
    assert subjects(rig.recover([full, incremental]).rows()["Msg"]) == first | {
        1: "spanning",
        2: "spanning",
        100: "spanning",
    }


def test_uncommitted_work_is_copied_and_logged_and_only_undo_takes_it_out() -> None:
    rig = quiet()
    loser = rig.instance.begin()
    change(rig, loser, 1, "neverland")
    rig.checkpoint_now()  # the page with the loser's row is on disk when it is copied
    change(rig, loser, 2, "notcommitted")
    full = rig.back_up()
    change(rig, loser, 3, "stillopen")
    incremental = rig.back_up(BackupType.LOGS_ONLY)
    assert b"neverland" in full.databases[0].data
    assert b"notcommitted" in b"".join(log.data for log in full.logs)
    assert b"stillopen" in b"".join(log.data for log in incremental.logs)
    for sets in ([full], [full, incremental]):
        recovered = rig.recover(sets)
        assert subjects(recovered.rows()["Msg"]) == dict.fromkeys(range(1, 6), "first")
        assert recovered.report.counts.undone_transactions == 1
        assert recovered.report.counts.undone_operations == 1 + len(sets)


def test_rollback_in_the_next_set_is_not_undone_a_second_time() -> None:
    rig = quiet()
    loser = rig.instance.begin()
    change(rig, loser, 1, "loser")
    full = rig.back_up()
    change(rig, loser, 2, "loser")
    loser.rollback()
    winner = rig.instance.begin()
    change(rig, winner, 1, "winner")
    winner.commit()
    incremental = rig.back_up(BackupType.LOGS_ONLY)
    recovered = rig.recover([full, incremental])
    assert subjects(recovered.rows()["Msg"]) == dict.fromkeys(range(2, 6), "first") | {1: "winner"}
    assert recovered.report.counts.undone_transactions == 0


# -- trap 4: winner and loser on one page


def test_winner_and_loser_on_one_page() -> None:
    rig = quiet()
    table = messages(rig.database())
    page = rig.database().pages.get(table.primary.fdp)
    assert page.is_leaf, "all messages are on one page"
    before = page.dbtime
    loser, winner = rig.instance.begin(), rig.instance.begin()
    change(rig, loser, 1, "loser")
    change(rig, winner, 2, "winner")
    change(rig, loser, 3, "loser")
    last = page.dbtime
    winner.commit()
    saved = rig.back_up()
    recovered = rig.recover([saved])
    expected = dict.fromkeys(range(1, 6), "first") | {2: "winner"}
    assert subjects(recovered.rows()["Msg"]) == expected
    with opened(recovered.volume, *recovered.paths()) as database:
        after = database.pages.get(table.primary.fdp).dbtime
        assert before < last < after, "undo is a change like any other: it has a dbtime"
        assert database.header.dbtime >= after


# -- growth while the file is read


def test_pages_that_came_after_the_open_are_in_the_logs_alone() -> None:
    rig = quiet()
    backup = rig.instance.backup
    backup.begin(BackupType.FULL)
    handle, size = backup.open_file(rig.edb())
    insert(rig, (message(number, body="x" * 400) for number in range(100, 3000)))
    rig.checkpoint_now()
    grown = len(content(rig.volume, rig.edb()))
    assert grown > size, "the file is longer than what the open announced"
    image = bytearray(size)
    assert backup.read_file(handle, memoryview(image)) == size
    assert backup.read_file(handle, memoryview(bytearray(PAGE))) == 0
    backup.close_file(handle)
    stm = rig.stm()
    assert stm is not None
    saved = rig.finish([SavedFile(rig.edb(), bytes(image)), rig.read_file(stm)])
    recovered = rig.recover([saved])
    assert recovered.rows() == database_rows(rig.database())
    assert len(content(recovered.volume, rig.edb())) >= grown


# -- trap 16: header snapshot and trailer


@pytest.mark.parametrize("revision", [0x9, 0xB])
def test_image_has_the_header_snapshot_twice_and_a_trailer(revision: int) -> None:
    rig = Rig(config=evolve(CONFIG, revision=revision)).create()
    rig.work(60)
    backup = rig.instance.backup
    on_disk = len(content(rig.volume, rig.edb()))
    backup.begin(BackupType.FULL)
    copy_mic = rig.instance.checkpoint.lgpos_checkpoint.generation
    handle, size = backup.open_file(rig.edb())
    assert size == on_disk + PAGE, "one page more than the file: the trailer"
    generation_at_open = rig.instance.log.generation
    image = bytearray()
    part = memoryview(bytearray(8 * PAGE))
    while len(image) < size - PAGE:
        rig.work(6)
        wanted = min(len(part), size - PAGE - len(image))
        image += part[: backup.read_file(handle, part[:wanted])]
    at_last_page = rig.instance.log.generation
    assert at_last_page > generation_at_open, "the log rolled while pages were read"
    assert backup.read_file(handle, part[:PAGE]) == PAGE
    image += part[:PAGE]
    backup.close_file(handle)

    assert image[:PAGE] == image[PAGE : 2 * PAGE]
    snapshot = DatabaseHeader.unpack(image[:PAGE])
    assert snapshot.state == DbState.DIRTY_SHUTDOWN
    assert snapshot.revision == revision
    assert snapshot.bkinfo_full_cur.gen_low == copy_mic
    assert snapshot.bkinfo_full_cur.gen_high == 0
    live = DatabaseHeader.unpack(content(rig.volume, rig.edb())[:PAGE])
    assert live.bkinfo_full_cur == NO_BACKUP, "only the snapshot has it"
    assert rig.database().header.bkinfo_full_cur == NO_BACKUP

    trailer = Trailer.unpack(image[-PAGE:])
    assert trailer.bkinfo.mark == snapshot.bkinfo_full_cur.mark
    assert trailer.bkinfo.time == snapshot.bkinfo_full_cur.time
    assert trailer.bkinfo.gen_low == copy_mic
    assert trailer.bkinfo.gen_high == at_last_page
    assert trailer.sign_db == snapshot.sign_db == live.sign_db
    assert trailer.sign_log == snapshot.sign_log == rig.instance.log.signature
    assert not any(image[-PAGE + 120 :]), "fields of later versions are empty in 2003"


def test_one_zero_page_stays_at_the_end_after_a_restore() -> None:
    rig = quiet()
    saved = rig.back_up()
    image = saved.databases[0].data
    assert any(image[-PAGE:])
    restored = content(rig.recover([saved]).volume, rig.edb())
    assert len(restored) == len(image)
    assert not any(restored[-PAGE:])


def test_header_remembers_the_mark_of_the_begin() -> None:
    rig = Rig().create()
    rig.steps = 4
    saved = rig.back_up()
    snapshot = DatabaseHeader.unpack(saved.databases[0].data[:PAGE])
    full = rig.database().header.bkinfo_full_prev
    assert (full.mark, full.time) == (
        snapshot.bkinfo_full_cur.mark,
        snapshot.bkinfo_full_cur.time,
    )
    assert (full.gen_low, full.gen_high) == (saved.generations[0], saved.generations[-1])
    assert full.mark.generation < saved.generations[-1], "the log rolled since"


# -- trap 17: the end of a file


@pytest.mark.parametrize("kind", ["edb", "stm", "log"])
def test_end_is_zero_bytes_again_and_again(kind: str) -> None:
    rig = Rig().create()
    rig.work(60)
    rig.workload.settle()
    backup = rig.instance.backup
    backup.begin(BackupType.FULL)
    path = {"edb": rig.edb(), "stm": rig.stm()}.get(kind) or backup.log_list()[0]
    images = []
    for reads in ("exact", "pages", "large"):
        handle, size = backup.open_file(path)
        image = bytearray(size + PAGE)
        view = memoryview(image)
        if reads == "exact":
            done = backup.read_file(handle, view[:size])
            assert done == size
        elif reads == "large":
            done = backup.read_file(handle, view)
            assert done == size, "a short read, and no byte behind it is touched"
        else:
            done = backup.read_file(handle, view[: 3 * PAGE])
            while count := backup.read_file(handle, view[done : done + PAGE]):
                assert count == PAGE
                done += count
            assert done == size
        tail = memoryview(bytearray(b"\xaa" * PAGE))
        for _ in range(3):
            assert backup.read_file(handle, tail) == 0
        assert bytes(tail) == b"\xaa" * PAGE, "nothing was delivered"
        assert not any(image[size:])
        images.append(bytes(image[:size]))
        rig.events.clear()
        backup.close_file(handle)
        assert [event.id for event in rig.events] == ([] if kind == "log" else [221])
    assert images[0] == images[1] == images[2]
