"""A hard recovery that the power broke off, at any write, any number of times, is called again: the
rows are the same as without the interruption, and no log of set or group has been touched.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from functools import cache

import pytest
from attrs import evolve, frozen
from hypothesis import example, given
from hypothesis import strategies as st

from eseback.constants import BackupType
from eseback.formats.dbheader import DatabaseHeader, DbState
from eseback.formats.fields import NO_BACKUP
from esesim.engine.hardrecovery import RecoveryReport
from esesim.journal import differences
from esesim.volume import PowerLoss
from tests.support.engine import CONFIG, FOLDER, SPEC, Rig, SavedSet
from tests.support.examples import examples
from tests.support.files import all_files, content, put
from tests.support.restore_site import OWN, RESTORE, Site, stage

pytestmark = [pytest.mark.fuzz, pytest.mark.uncovered]

NEVER = 10**9
PAGE = 4096
CACHES = (8, 8192)
MODES = ("set alone", "group down", "group running", "one folder")


@frozen
class Scene:
    """A server's backups and what it has written since; the sites are laid out from here."""

    rig: Rig
    sets: tuple[SavedSet, ...]
    closed: int
    staged: Site

    def site(self, mode: str, cache_pages: int) -> Site:
        """The restore of the sets, in one of the ways that a server does it.

        With a small cache, pages are written all through the replay and not at its end alone.
        """
        site = self.staged.copy()
        site.config = {"cache_pages": cache_pages}
        if mode == "set alone":
            site.target = None
        elif mode == "group running":
            site.target_gen_max = self.closed
        elif mode == "one folder":
            site.target = RESTORE
            site.config |= {"log_path": RESTORE, "system_path": RESTORE}
            for name, data in all_files(site.volume, FOLDER).items():
                if name.endswith(".log"):
                    put(site.volume, f"{RESTORE}\\{name}", data)
        return site


@cache
def make_scene(seed: int, moves_unlogged: bool) -> Scene:
    """Two databases, a full and an incremental set, transactions that are open across all ends."""
    config = evolve(CONFIG, patch_files=moves_unlogged, revision=9 if moves_unlogged else 0xB)
    config = evolve(config, flush_per_slice=seed % 3)
    names = ["priv1", "pub1"][: 1 + seed % 2]
    spec = evolve(SPEC, messages=15)
    rig = Rig(seed=seed, config=config, spec=spec, names=names, steps=2, steps_per_backup_max=40)
    rig.create().work(20)
    sets = [rig.back_up()]
    if seed % 3 == 0:
        rig.work(10)
        sets.append(rig.back_up(BackupType.LOGS_ONLY))
    rig.work(25)
    rig.instance.log.flush()
    return Scene(rig, tuple(sets), rig.instance.log.generation - 1, stage(rig, sets))


def where(site: Site, before: int) -> str:
    """How far a try came, by what it wrote to the event log."""
    ids = [event.id for event in site.events[before:]]
    if 300 not in ids:
        return "crash_while_preparing"
    total = site.progress[-1][1] if site.progress else 0
    replayed = ids.count(301)
    if not replayed or replayed < total:
        return "crash_in_redo"
    own = all_files(site.volume, OWN) or all_files(site.volume, RESTORE)
    return "crash_in_undo" if own else "crash_after_redo"


def recover_through(
    site: Site, crashes: Sequence[int], rng: random.Random, marks: Counter[str], growth: int
) -> RecoveryReport:
    """Call the recovery until it comes through; the power goes at the given writes."""
    for writes in crashes:
        site.volume.fail_after_writes(writes)
        before = len(site.events)
        try:
            site.recover()
        except PowerLoss:
            report = site.volume.crash(rng)
            marks[where(site, before)] += 1
            marks["torn_write"] += bool(report.torn)
        else:
            marks["came_through"] += 1
        if growth and site.target_gen_max is not None:
            site.target_gen_max += 1
            growth -= 1
    site.volume.fail_after_writes(NEVER)
    return site.recover()


def check(site: Site, report: RecoveryReport) -> None:
    for name in site.rig.names:
        expected = site.rig.journal.rows(site.rig.edb(name), report.generation_last)
        found = site.rows(name)
        assert found == expected, differences(expected, found)
        for copy in range(2):
            page = content(site.volume, site.rig.edb(name))[copy * PAGE : (copy + 1) * PAGE]
            header = DatabaseHeader.unpack(page)
            assert header.state == DbState.CLEAN_SHUTDOWN
            assert header.bkinfo_full_prev == header.bkinfo_full_cur == NO_BACKUP
            assert header.bkinfo_inc_prev == NO_BACKUP
    assert not [name for name in all_files(site.volume, OWN) if name.endswith("tmp")], "side files"


def logs_of(site: Site) -> dict[str, bytes]:
    """The logs that no recovery may touch: of the set, and of the group."""
    of_set = {site.log(g): content(site.volume, site.log(g)) for g in site.generations()}
    of_group = {
        f"{FOLDER}\\{name}": data
        for name, data in all_files(site.volume, FOLDER).items()
        if name.endswith(".log")
    }
    return of_set | of_group


crash_points = st.lists(
    st.one_of(st.integers(1, 60), st.integers(1, 220)), min_size=1, max_size=3
).map(tuple)


def test_interrupted_recovery_called_again_gives_the_same_rows() -> None:
    marks: Counter[str] = Counter()

    @examples(200)
    @given(
        st.integers(0, 5),
        st.booleans(),
        st.sampled_from(MODES),
        st.sampled_from(CACHES),
        crash_points,
        st.integers(0, 2**32),
    )
    @example(0, False, "set alone", 8192, (30,), 9)
    @example(0, False, "group down", 8192, (52, 25), 9)
    def law(
        seed: int,
        moves_unlogged: bool,
        mode: str,
        cache_pages: int,
        crashes: tuple[int, ...],
        luck: int,
    ) -> None:
        site = make_scene(seed, moves_unlogged).site(mode, cache_pages)
        site.rig.marks = marks
        before = logs_of(site)
        report = recover_through(site, crashes, random.Random(luck), marks, 0)
        check(site, report)
        assert logs_of(site).items() >= before.items(), "no log of set or group is touched"

    law()
    print("hard situations:", dict(sorted(marks.items())))
    for situation in (
        "crash_while_preparing",
        "crash_in_redo",
        "crash_in_undo",
        "came_through",
        "torn_write",
        "torn_page",
        "torn_log",
    ):
        assert marks[situation], f"{situation} never arose, so nothing was proved about it"


@examples(20)
@given(
    st.integers(0, 5),
    st.sampled_from(CACHES),
    crash_points,
    st.integers(1, 2),
    st.integers(0, 2**32),
)
def test_group_that_runs_goes_on_between_the_tries(
    seed: int, cache_pages: int, crashes: tuple[int, ...], growth: int, luck: int
) -> None:
    """It ends where the first try ended that began to undo; or else later, not in between."""
    scene = make_scene(seed, False)
    site = scene.site("group running", cache_pages)
    site.target_gen_max = scene.closed - growth
    report = recover_through(site, crashes, random.Random(luck), Counter(), growth)
    assert scene.closed - growth <= report.generation_last <= scene.closed
    check(site, report)


@examples(20)
@given(
    st.integers(0, 5),
    st.sampled_from(MODES),
    st.sampled_from(CACHES),
    crash_points,
    st.integers(0, 2**32),
)
def test_images_restored_anew_after_a_crash(
    seed: int, mode: str, cache_pages: int, crashes: tuple[int, ...], luck: int
) -> None:
    """Whoever doesn't trust the half-done files begins again: from the set, in the same folders."""
    scene = make_scene(seed, False)
    site = scene.site(mode, cache_pages)
    rng = random.Random(luck)
    site.volume.fail_after_writes(crashes[0])
    try:
        site.recover()
    except PowerLoss:
        site.volume.crash(rng)
    site.volume.fail_after_writes(NEVER)
    for saved in scene.sets:
        for item in saved.databases:
            put(site.volume, item.path, item.data)
    report = recover_through(site, crashes[1:], rng, Counter(), 0)
    assert report.generation_last == {
        "set alone": site.gen_high,
        "group running": scene.closed,
    }.get(mode, scene.closed + 1)
    check(site, report)


@examples(30)
@given(st.sampled_from((1, 3, 5)), st.integers(20, 150), st.integers(0, 2**32))
@example(1, 46, 0)
def test_next_try_with_fewer_databases_finds_what_the_power_tore(
    seed: int, writes: int, luck: int
) -> None:
    """The image left out must not get in the way: its pages wait beside the other one's."""
    site = make_scene(seed, False).site("set alone", 8)
    site.volume.fail_after_writes(writes)
    try:
        site.recover()
    except PowerLoss:
        site.volume.crash(random.Random(luck))
    site.volume.fail_after_writes(NEVER)
    if all_files(site.volume, OWN) and any(n.endswith(".log") for n in all_files(site.volume, OWN)):
        return  # the undo has begun: it is of both databases
    report = site.recover(databases=site.entries()[1:])
    name = site.rig.names[1]
    assert site.rows(name) == site.rig.journal.rows(site.rig.edb(name), report.generation_last)
