"""A restore that works, and the ways to spoil its files, as they really get spoilt."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import evolve, frozen

from eseback.formats.fields import LogTime, Signature
from esesim.engine.inspect import database_rows
from esesim.journal import Rows
from tests.support.engine import FOLDER, Rig, SavedSet
from tests.support.files import (
    change_header,
    change_log,
    content,
    damage,
    delete,
    overwrite,
    put,
)
from tests.support.restore_site import OWN, RESTORE, Site, stage
from tests.support.scene import SLEEPING

PAGE = 4096
FOREIGN = Signature(4711, LogTime.from_unix(1_000_000_000))
LONG_AGO = LogTime.from_unix(1_000_000_000)
CURRENT = f"{FOLDER}\\E00.log"
TOP = 3
"""Generations above the set in the production folder, the current one not counted."""


@frozen
class World:
    """One restore that works, and what other things there are to spoil it with."""

    site: Site
    rows: Rows
    later: SavedSet
    other: Rig

    def copy(self) -> Site:
        return self.site.copy()


def make_world(**config: Any) -> World:
    chosen = evolve(SLEEPING, **config)
    rig = Rig(config=chosen).create()
    rig.work(40)
    rig.workload.settle()
    rig.checkpoint_now()
    rig.work(60)
    full = rig.back_up(truncate=False)
    assert len(full.logs) >= 5
    while rig.instance.log.generation <= full.generations[-1] + TOP:
        rig.work(10)
    rig.workload.settle()
    rig.instance.log.flush()
    rows, site = database_rows(rig.database()), stage(rig, [full])
    later = rig.back_up(truncate=False)
    return World(site, rows, later, Rig(config=chosen, seed=2).create())


# -- what is done to the files; each takes the site and the world it comes from


def in_set(site: Site) -> str:
    return site.log(site.gen_low + 2)


def above_set(site: Site) -> str:
    return site.log(site.gen_high + 2, FOLDER)


def no_log(site: Site, _: World) -> None:
    delete(site.volume, in_set(site))


def foreign_log(site: Site, world: World) -> None:
    """The file of that name from another group."""
    change_log(site.volume, in_set(site), sign_log=world.other.instance.log.signature)


def unchained_log(site: Site, _: World) -> None:
    change_log(site.volume, in_set(site), previous_created=LONG_AGO)


def swapped_logs(site: Site, _: World) -> None:
    one, two = in_set(site), site.log(site.gen_low + 3)
    first, second = content(site.volume, one), content(site.volume, two)
    put(site.volume, one, second)
    put(site.volume, two, first)


def spoil_log(which: Callable[[Site], str], where: str) -> Callable[[Site, World], None]:
    """Damage a log: its header, its first block, its last block, its length."""

    def spoil(site: Site, _: World) -> None:
        path = which(site)
        data = content(site.volume, path)
        used = len(data.rstrip(b"\0"))
        if where == "header":
            damage(site.volume, path, 10)
        elif where == "first block":
            damage(site.volume, path, PAGE + 40)
        elif where == "last block":
            damage(site.volume, path, used - 3)
        elif where == "cut in a block":
            put(site.volume, path, data[: used - 10])
        elif where == "cut behind the header":
            put(site.volume, path, data[:PAGE])
        else:
            assert where == "tail cut off"
            put(site.volume, path, data[: -(-used // 512) * 512])

    return spoil


def header(**changes: Any) -> Callable[[Site, World], None]:
    """Give the database another header."""
    return lambda site, _: change_header(site.volume, site.rig.edb(), **changes)


def both_headers(site: Site, _: World) -> None:
    for copy in range(2):
        damage(site.volume, site.rig.edb(), copy * PAGE + 200)


def no_database(site: Site, _: World) -> None:
    delete(site.volume, site.rig.edb())


def live_file(site: Site, _: World) -> None:
    """A plain copy of the mounted file in the place of the image."""
    put(site.volume, site.rig.edb(), content(site.rig.volume, site.rig.edb()))


def clean_file(site: Site, world: World) -> None:
    """A database that was recovered elsewhere."""
    elsewhere = world.copy()
    elsewhere.recover()
    put(site.volume, site.rig.edb(), content(elsewhere.volume, site.rig.edb()))


def odd_size(site: Site, _: World) -> None:
    data = content(site.volume, site.rig.edb())
    put(site.volume, site.rig.edb(), data + b"x" * 100)


def bad_trailer(site: Site, _: World) -> None:
    damage(site.volume, site.rig.edb(), -PAGE + 50)


def no_trailer(site: Site, _: World) -> None:
    """The client stopped one page short of the end."""
    put(site.volume, site.rig.edb(), content(site.volume, site.rig.edb())[:-PAGE])


def other_trailer(site: Site, world: World) -> None:
    later = world.later.databases[0].data
    overwrite(site.volume, site.rig.edb(), -PAGE, later[-PAGE:])


def other_stream(site: Site, world: World) -> None:
    """The image of another group's database, with its streaming file."""
    saved = world.other.back_up(truncate=False)
    for item in saved.databases:
        put(site.volume, item.path, item.data)


def no_stm(site: Site, _: World) -> None:
    assert site.rig.stm() is not None
    delete(site.volume, site.rig.stm() or "")


def other_stm(site: Site, world: World) -> None:
    assert world.other.stm() is not None
    put(site.volume, site.rig.stm() or "", content(world.other.volume, world.other.stm() or ""))


def bad_stm_header(site: Site, _: World) -> None:
    for copy in range(2):
        damage(site.volume, site.rig.stm() or "", copy * PAGE + 200)


def from_the_next_log(site: Site, _: World) -> None:
    delete(site.volume, site.log(site.gen_low))
    site.gen_low += 1


def to_the_log_before(site: Site, _: World) -> None:
    delete(site.volume, site.log(site.gen_high))
    site.gen_high -= 1


def no_range(site: Site, _: World) -> None:
    site.gen_low = site.gen_high + 1


def no_patch_file(site: Site, _: World) -> None:
    delete(site.volume, f"{RESTORE}\\priv1.pat")


def bad_patch_file(site: Site, _: World) -> None:
    damage(site.volume, f"{RESTORE}\\priv1.pat", 50)


def other_patch_file(site: Site, world: World) -> None:
    (patch,) = (log for log in world.later.logs if log.path.endswith(".pat"))
    put(site.volume, f"{RESTORE}\\priv1.pat", patch.data)


def foreign_target_log(site: Site, world: World) -> None:
    change_log(site.volume, above_set(site), sign_log=world.other.instance.log.signature)


def foreign_target_log_in_set(site: Site, world: World) -> None:
    path = site.log(site.gen_low + 1, FOLDER)
    change_log(site.volume, path, sign_log=world.other.instance.log.signature)


def foreign_target_log_below_set(site: Site, world: World) -> None:
    path = site.log(site.gen_low - 1, FOLDER)
    change_log(site.volume, path, sign_log=world.other.instance.log.signature)


def foreign_target_current(site: Site, world: World) -> None:
    change_log(site.volume, CURRENT, sign_log=world.other.instance.log.signature)


def unchained_target_log(site: Site, _: World) -> None:
    change_log(site.volume, above_set(site), previous_created=LONG_AGO)


def unchained_target_current(site: Site, _: World) -> None:
    change_log(site.volume, CURRENT, previous_created=LONG_AGO)


def other_target_log_in_set(site: Site, _: World) -> None:
    """The group was put back and has written that generation a second time."""
    change_log(site.volume, site.log(site.gen_high, FOLDER), created=LONG_AGO)


def no_target_log(site: Site, _: World) -> None:
    delete(site.volume, above_set(site))


def no_log_before_current(site: Site, _: World) -> None:
    generation = site.gen_high + 1
    while site.volume.exists(f"C/mdbdata/E00{generation:05X}.log"):
        delete(site.volume, site.log(generation, FOLDER))
        generation += 1


def running_group_without_its_last(site: Site, _: World) -> None:
    site.target_gen_max = site.gen_high + TOP
    delete(site.volume, site.log(site.gen_high + TOP, FOLDER))


def log_in_own_folder(site: Site, _: World) -> None:
    """Somebody gave a folder in use as the one that recovery writes to."""
    put(site.volume, f"{OWN}\\E00.log", content(site.volume, CURRENT))
