"""The law: what a backup made under load saves is what had been committed.

Each example draws a workload and an interleaving: how much happens between two calls, how large the
reads are, which backups follow each other. Counters say that the hard situations really arose; a
counter at zero fails the test, because then it proved nothing.
"""

from __future__ import annotations

from collections import Counter

import pytest
from attrs import evolve, frozen
from hypothesis import example, given
from hypothesis import strategies as st

from eseback.constants import BackupType
from eseback.errors import JetErr
from esesim.engine.errors import JetError
from esesim.engine.inspect import check_file
from esesim.journal import differences
from tests.support.engine import CONFIG, SPEC, Rig, SavedSet
from tests.support.examples import examples

pytestmark = [pytest.mark.fuzz, pytest.mark.uncovered]

HARD_SITUATIONS = (
    "stale_page_copied",
    "split_behind_reader",
    "growth_past_open_size",
    "transaction_open_across_roll",
)
CHUNKS = (3 * 4096, 5 * 4096, 1024 * 1024)


@frozen
class Plan:
    """One history: a workload, a full backup, and what follows it."""

    seed: int
    databases: int
    messages: int
    steps: int
    steps_max: int
    chunk: int
    warm_up: int
    later: tuple[int, ...]
    lazy: int
    revision: int


plans = st.builds(
    Plan,
    seed=st.integers(0, 2**32),
    databases=st.integers(1, 2),
    messages=st.sampled_from((10, 40, 150)),
    steps=st.integers(0, 10),
    steps_max=st.integers(0, 700),
    chunk=st.sampled_from(CHUNKS),
    warm_up=st.integers(0, 300),
    later=st.lists(st.integers(0, 120), max_size=2).map(tuple),
    lazy=st.integers(0, 4),
    revision=st.sampled_from((0x9, 0xB)),
)


def make_rig(plan: Plan, marks: Counter[str], *, patch_files: bool = False) -> Rig:
    names = [f"priv{number}" for number in range(1, plan.databases + 1)]
    config = evolve(
        CONFIG, flush_per_slice=plan.lazy, revision=plan.revision, patch_files=patch_files
    )
    spec = evolve(SPEC, messages=plan.messages)
    rig = Rig(seed=plan.seed, config=config, spec=spec, names=names, marks=marks).create()
    rig.work(plan.warm_up)
    rig.steps, rig.steps_per_backup_max = plan.steps, plan.steps_max
    return rig


def assert_recovers(rig: Rig, sets: list[SavedSet]) -> None:
    recovered = rig.recover(sets)
    for name in rig.names:
        assert check_file(recovered.volume, *recovered.paths(name)) == []
        found, expected = recovered.rows(name), recovered.expected(name)
        assert found == expected, differences(expected, found)


def test_full_and_incrementals_recover_to_what_was_committed() -> None:
    marks: Counter[str] = Counter()

    @examples(100)
    @given(plans)
    @example(Plan(2, 1, 150, 8, 700, 3 * 4096, 300, (40,), 2, 0xB))
    @example(Plan(8, 1, 150, 8, 700, 3 * 4096, 300, (), 2, 0x9))
    def law(plan: Plan) -> None:
        rig = make_rig(plan, marks)
        sets = [rig.back_up(chunk=plan.chunk)]
        rig.steps_per_backup_max //= 4
        assert_recovers(rig, sets)
        for steps in plan.later:
            rig.work(steps)
            sets.append(rig.back_up(BackupType.LOGS_ONLY, chunk=plan.chunk))
        if plan.later:
            assert_recovers(rig, sets)

    law()
    print("hard situations:", dict(sorted(marks.items())))
    missing = [name for name in HARD_SITUATIONS if not marks[name]]
    assert not missing, f"never arose, so nothing was proved about them: {missing}"


@examples(10)
@given(plans, st.integers(0, 3))
def test_last_differential_stands_for_all_logs_since_the_full(plan: Plan, extra: int) -> None:
    rig = make_rig(plan, Counter())
    full = rig.back_up(chunk=plan.chunk)
    rig.steps_per_backup_max //= 8
    for _ in range(extra):
        rig.work(40)
        rig.back_up(BackupType.LOGS_ONLY, truncate=False, chunk=plan.chunk)
    last = rig.back_up(BackupType.LOGS_ONLY, truncate=False, chunk=plan.chunk)
    assert_recovers(rig, [full, last])


@examples(8)
@given(plans)
def test_recovery_of_one_database_leaves_the_others_out(plan: Plan) -> None:
    rig = make_rig(evolve(plan, databases=2), Counter())
    saved = rig.back_up(names=["priv2"])
    recovered = rig.recover([saved], names=["priv2"])
    assert recovered.rows("priv2") == recovered.expected("priv2")


def test_patch_files_hold_what_the_log_of_exchange_2000_lacks() -> None:
    marks: Counter[str] = Counter()
    needed = 0

    @examples(12)
    @given(plans)
    @example(Plan(2, 1, 150, 8, 700, 3 * 4096, 300, (40,), 2, 0x9))
    @example(Plan(8, 1, 150, 8, 700, 3 * 4096, 300, (), 2, 0x9))
    def law(plan: Plan) -> None:
        nonlocal needed
        rig = make_rig(evolve(plan, revision=0x9), marks, patch_files=True)
        sets = [rig.back_up(chunk=plan.chunk)]
        assert [log.path[-4:] for log in sets[0].logs].count(".pat") == plan.databases
        rig.steps_per_backup_max //= 4
        assert_recovers(rig, sets)
        needed += without_patches_it_fails(rig, sets[0])
        for steps in plan.later:
            rig.work(steps)
            sets.append(rig.back_up(BackupType.LOGS_ONLY, chunk=plan.chunk))
        assert_recovers(rig, sets)

    law()
    assert marks["page_patched"], "no page was patched, so nothing was proved about patch files"
    assert needed, "every copy could be recovered without its patches, so they were not needed"


def without_patches_it_fails(rig: Rig, saved: SavedSet) -> bool:
    """Whether the set can't be recovered from patch files that hold nothing but their headers."""
    logs = [
        evolve(log, data=log.data[: rig.config.page_size]) if log.path.endswith(".pat") else log
        for log in saved.logs
    ]
    try:
        rig.recover([evolve(saved, logs=tuple(logs))])
    except JetError as error:
        assert error.err == JetErr.MISSING_PATCH_PAGE
        return True
    return False
