"""After a crash at any write, also during recovery, every acknowledged commit is there, and nothing
that was not committed.

A commit that was under way when the power went may be there or not, but only as a whole.
"""

from __future__ import annotations

import random
from collections import Counter

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from eseback.errors import JetErr
from esesim.engine.errors import JetError
from esesim.engine.inspect import bad_pages, check_database, database_rows
from esesim.journal import Rows, apply_changes, differences
from esesim.volume import MemoryVolume, PowerLoss
from tests.support.engine import CONFIG, Rig
from tests.support.examples import examples

pytestmark = [pytest.mark.fuzz, pytest.mark.uncovered]

NEVER = 10**9
CRASHES_PER_EXAMPLE = 3


def crash_while_working(rig: Rig, volume: MemoryVolume, after: int, rng: random.Random) -> None:
    """Lose the power at the ``after``-th write from now on."""
    volume.fail_after_writes(after)
    try:
        for _ in range(10_000):
            rig.work(1)
    except PowerLoss:
        volume.crash(rng)
        rig.marks["crash"] += 1
        return
    raise AssertionError("the workload wrote nothing")


def restart(rig: Rig, volume: MemoryVolume, rng: random.Random) -> None:
    """Start again, losing the power in the middle of the recovery now and then."""
    while True:
        volume.fail_after_writes(rng.randrange(1, 60) if rng.random() < 0.5 else NEVER)
        try:
            rig.boot()
            for name in rig.names:
                rig.instance.attach(rig.edb(name), rig.stm(name))
            volume.fail_after_writes(NEVER)
            return
        except PowerLoss:
            volume.crash(rng)
            rig.marks["crash_in_recovery"] += 1


def possible_rows(rig: Rig, name: str) -> list[Rows]:
    """What may be there: all that was acknowledged, with or without the commit under way."""
    acknowledged = rig.journal.rows(rig.edb(name))
    outcomes = [acknowledged]
    in_doubt = rig.journal.in_doubt.get(rig.edb(name))
    if in_doubt:
        with_it = rig.journal.rows(rig.edb(name))
        apply_changes(with_it, in_doubt)
        outcomes.append(with_it)
    return outcomes


def test_acknowledged_commits_survive_and_nothing_else() -> None:
    marks: Counter[str] = Counter()

    @examples(200)
    @given(st.integers(0, 2**32), st.integers(1, 500), st.sampled_from((1, 2)), st.booleans())
    def law(seed: int, writes_max: int, databases: int, moves_unlogged: bool) -> None:
        rng = random.Random(seed)
        volume = MemoryVolume()
        names = ["priv1", "pub1"][:databases]
        config = evolve(CONFIG, patch_files=moves_unlogged, revision=9 if moves_unlogged else 0xB)
        rig = Rig(volume=volume, seed=seed, config=config, names=names, marks=marks).create()
        for _ in range(CRASHES_PER_EXAMPLE):
            crash_while_working(rig, volume, rng.randrange(1, writes_max + 1), rng)
            restart(rig, volume, rng)
            for name in names:
                database = rig.database(name)
                found, outcomes = database_rows(database), possible_rows(rig, name)
                assert found in outcomes, differences(outcomes[0], found)
                assert list(check_database(database)) == []
            rig.workload.restart(rig.instance)
        rig.workload.settle()
        rig.instance.terminate()
        for name in names:
            rig.boot()
            rig.instance.attach(rig.edb(name), rig.stm(name))
            assert list(bad_pages(volume, rig.database(name))) == []
            assert database_rows(rig.database(name)) == rig.journal.rows(rig.edb(name))
            rig.instance.terminate()

    law()
    print("hard situations:", dict(sorted(marks.items())))
    for situation in ("crash", "crash_in_recovery", "torn_page", "torn_log"):
        assert marks[situation], f"{situation} never arose, so nothing was proved about it"


def test_power_loss_while_a_store_is_made_leaves_a_server_that_starts() -> None:
    """Each write of the first start and of creating a database, one after the other."""
    for after in range(1, 200):
        rng = random.Random(after)
        volume = MemoryVolume()
        volume.fail_after_writes(after)
        try:
            Rig(volume=volume).create()
        except PowerLoss:
            volume.crash(rng)
            volume.fail_after_writes(NEVER)
        else:
            assert after > 20, "making a store takes more writes than that"
            break
        rig = Rig(volume=volume)
        try:
            rig.instance.attach(rig.edb(), rig.stm())
        except JetError as error:
            # Nothing was promised yet: the store is made anew over what the crash left.
            assert error.err in (JetErr.FILE_NOT_FOUND, JetErr.DATABASE_CORRUPTED), error
            rig.instance.create_database(rig.edb(), rig.stm())
        assert list(check_database(rig.database())) == []
        rig.instance.terminate()
