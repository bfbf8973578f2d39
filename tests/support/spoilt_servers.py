"""A server that lost its power, and the ways to spoil what is left of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import evolve, frozen

from eseback.formats.chkfile import Checkpoint
from eseback.formats.fields import LogTime, Signature
from esesim.engine.event import Event
from esesim.engine.inspect import database_rows
from esesim.engine.page import Page
from esesim.journal import Rows
from esesim.volume import MemoryVolume
from tests.support.engine import FOLDER, Rig, SavedSet
from tests.support.files import change_log, content, damage, delete, overwrite, put
from tests.support.mail import insert, leaves_in, message, messages
from tests.support.scene import SLEEPING

PAGE = 4096
LARGE = 2_147_480_000  # A message number above those of the workload.
NAMES = ("priv1", "pub1")
LONG_AGO = LogTime.from_unix(1_000_000_000)
FOREIGN = Signature(4711, LONG_AGO)
CURRENT = f"{FOLDER}\\E00.log"
CHECKPOINT = f"{FOLDER}\\E00.chk"
EDB = f"{FOLDER}\\priv1.edb"
STM = f"{FOLDER}\\priv1.stm"


def log(generation: int) -> str:
    return f"{FOLDER}\\E00{generation:05X}.log"


@frozen
class Crash:
    """What the power left, and the files of earlier times that a person might put in."""

    volume: MemoryVolume
    rows: dict[str, Rows]
    oldest: int
    checkpoint: int
    current: int
    image: SavedSet
    offline_copy: dict[str, bytes]
    old_page: bytes
    pgno: int

    @property
    def place(self) -> int:
        """Where the page is that every insert changes."""
        return (self.pgno + 1) * PAGE


def leaves_with(rig: Rig, number: int) -> list[int]:
    """The leaf on disk that has a message."""
    table = messages(rig.database())
    key = table.key({"Id": number})
    leaves = leaves_in(content(rig.volume, EDB), table.primary.objid)
    return [pgno for pgno, leaf in leaves.items() if key in leaf.node_keys()]


def make_crash() -> Crash:
    volume = MemoryVolume()
    rig = Rig(volume=volume, config=SLEEPING, names=NAMES).create()
    rig.work(30)
    rig.workload.settle()
    for name in NAMES:
        rig.instance.detach(rig.edb(name))
    offline = {path: content(volume, path) for path in (EDB, STM)}
    rig.attach()
    rig.work(40)
    rig.workload.settle()
    image = rig.back_up(truncate=False)
    insert(rig, [message(LARGE)])
    rig.checkpoint_now()
    (pgno,) = leaves_with(rig, LARGE)
    old_page = content(volume, EDB)[(pgno + 1) * PAGE :][:PAGE]
    insert(rig, [message(LARGE + 1)])
    rig.checkpoint_now()
    assert leaves_with(rig, LARGE + 1) == [pgno], "no split came between"
    rig.instance.roll_log()
    insert(rig, (message(LARGE + number) for number in range(2, 20)))
    first = rig.instance.log.generation
    while rig.instance.log.generation < first + 4:
        rig.work(20)
    rig.workload.settle()
    rig.instance.roll_log()
    for number in range(100, 105):
        insert(rig, [message(LARGE + number)])
    generations = rig.instance.files.closed_generations()
    checkpoint = rig.instance.checkpoint.lgpos_checkpoint.generation
    assert generations[0] < checkpoint < generations[-1] - 2
    return Crash(
        volume.snapshot(),
        {name: database_rows(rig.database(name)) for name in NAMES},
        generations[0],
        checkpoint,
        rig.instance.log.generation,
        image,
        offline,
        old_page,
        pgno,
    )


def start(volume: MemoryVolume, events: list[Event] | None = None, **config: Any) -> Rig:
    """Start the server; the volume is that of a crash."""
    chosen = evolve(SLEEPING, **config)
    return Rig(volume=volume, config=chosen, names=NAMES, events=[] if events is None else events)


# -- what is done to the files

Spoil = Callable[[MemoryVolume, Crash], None]


def without(path: Callable[[Crash], str]) -> Spoil:
    """A file is gone."""

    def no_file(volume: MemoryVolume, crash: Crash) -> None:
        delete(volume, path(crash))

    return no_file


def changed_log(path: Callable[[Crash], str], **changes: Any) -> Spoil:
    """A log has another header, with a right checksum."""

    def other_header(volume: MemoryVolume, crash: Crash) -> None:
        change_log(volume, path(crash), **changes)

    return other_header


def after_checkpoint(crash: Crash) -> str:
    return log(crash.checkpoint + 1)


def at_checkpoint(crash: Crash) -> str:
    return log(crash.checkpoint)


def half_empty(crash: Crash) -> str:
    return log(crash.current - 1)


def current(_: Crash) -> str:
    return CURRENT


def log_of_another_number(volume: MemoryVolume, crash: Crash) -> None:
    put(volume, at_checkpoint(crash), content(volume, log(crash.checkpoint - 1)))


def needed_logs_gone(volume: MemoryVolume, crash: Crash) -> None:
    """Somebody tidied up: checkpoint and oldest logs."""
    delete(volume, CHECKPOINT)
    for generation in range(crash.oldest, crash.checkpoint + 2):
        delete(volume, log(generation))


def older_current_log(volume: MemoryVolume, crash: Crash) -> None:
    """The last log is lost, and the one before it was given its name."""
    delete(volume, CURRENT)
    volume.rename(f"C/mdbdata/E00{crash.current - 1:05X}.log", "C/mdbdata/E00.log")


def damaged(path: Callable[[Crash], str], where: str) -> Spoil:
    """Damage a log: its header, its first or last block, its length."""

    def spoil(volume: MemoryVolume, crash: Crash) -> None:
        name = path(crash)
        data = content(volume, name)
        used = len(data.rstrip(b"\0"))
        if where == "tail cut off":
            put(volume, name, data[: -(-used // 512) * 512])
        elif where == "cut behind the header":
            put(volume, name, data[:PAGE].ljust(len(data), b"\0"))
        else:
            place = {"header": 10, "first block": PAGE + 40, "last block": used - 3}[where]
            damage(volume, name, place)

    return spoil


def foreign_checkpoint(volume: MemoryVolume, _: Crash) -> None:
    checkpoint = Checkpoint.unpack(content(volume, CHECKPOINT))
    put(volume, CHECKPOINT, evolve(checkpoint, sign_log=FOREIGN).pack())


def damaged_checkpoint(volume: MemoryVolume, _: Crash) -> None:
    for copy in range(2):
        damage(volume, CHECKPOINT, copy * PAGE + 20)


def foreign_database(volume: MemoryVolume, _: Crash) -> None:
    """Another group's file under the name."""
    other = Rig(config=SLEEPING, seed=2).create()
    put(volume, EDB, content(other.volume, other.edb()))


def sister_database(volume: MemoryVolume, _: Crash) -> None:
    """The group's other database under the name."""
    for end in ("edb", "stm"):
        put(volume, f"{FOLDER}\\priv1.{end}", content(volume, f"{FOLDER}\\pub1.{end}"))


def image_in_its_place(volume: MemoryVolume, crash: Crash) -> None:
    """A file of the backup, copied back without a restore."""
    for item in crash.image.databases:
        if "priv1" in item.path:
            put(volume, item.path, item.data)


def offline_copy_in_its_place(volume: MemoryVolume, crash: Crash) -> None:
    """A clean copy from before the database was last attached."""
    for path, data in crash.offline_copy.items():
        put(volume, path, data)


def spoil_page(volume: MemoryVolume, crash: Crash, data: bytes) -> None:
    """The page becomes this; it was not in the last batch written, which is kept in a side file."""
    overwrite(volume, EDB, crash.place, data)
    delete(volume, f"{FOLDER}\\E00fl1.tmp")


def old_page(volume: MemoryVolume, crash: Crash) -> None:
    """A write that the disk acknowledged and never made."""
    spoil_page(volume, crash, crash.old_page)


def new_page(volume: MemoryVolume, crash: Crash) -> None:
    """A page of another history, a moment further than the log."""
    page = Page.from_bytes(content(volume, EDB)[crash.place : crash.place + PAGE], crash.pgno)
    page.dbtime += 1
    spoil_page(volume, crash, bytes(page.to_bytes(PAGE, ecc=True)))


def damaged_page(volume: MemoryVolume, crash: Crash) -> None:
    page = bytearray(content(volume, EDB)[crash.place : crash.place + PAGE])
    page[100:103] = b"xyz"
    spoil_page(volume, crash, bytes(page))


def damaged_headers(volume: MemoryVolume, _: Crash) -> None:
    for copy in range(2):
        damage(volume, EDB, copy * PAGE + 200)
