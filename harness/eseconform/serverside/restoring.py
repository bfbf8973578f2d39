"""Checks of restores: what comes back, what is refused, and what restores keep from each other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from uuid import UUID

from attrs import define, evolve, field

from eseback.api import BackupApi
from eseback.constants import BackupType, RecoverStatus, RestoreClose, RestoreComplete
from eseback.errors import EseBackupError, JetErr
from eseback.structures import RestoreEnvironment
from eseconform.judge.replay import SavedDatabase
from eseconform.serverside.bench import Bench, Check, CheckOver
from eseconform.serverside.content import ROWS_SHOWN_MAX, WORK_BEFORE
from eseconform.serverside.target import COMPUTER, GROUP, MAIN, SECOND, Ability
from eseconform.serverside.visitor import CopiedFile, Taken, Visitor, back_up
from eseconform.verdicts import Axis
from esesim.journal import differences

ROWS, UNDONE, HOLE, FORGOTTEN, MOUNTED, PROTECTED, FOLDERS, INSTANCES, SAVED, FREED = (
    f"ESE-SRV-RST-{n:03d}" for n in range(1, 11)
)
DAMAGED, ENDED = "ESE-SRV-RST-011", "ESE-SRV-RST-012"
WRITE_BYTES = 64 * 1024
LOOKS_MAX = 20
RECORD_OFFSET = 4096 + 64
"""A byte of a log behind its header and the head of its first block."""


@define
class Restorer:
    """A client by the book: one restore of the group.

    Attributes:
        folder: of the restore.
        handle: of the file that was announced last.
        there: destinations of a store's files.
    """

    bench: Bench
    api: BackupApi = field(init=False)
    context: int = 0
    folder: str = ""
    handle: int = 0
    there: dict[str, tuple[str, ...]] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        self.api = self.bench.server.session()

    def open(self, folder: str | None = None) -> None:
        """RestoreOpen."""
        annotation = self.bench.annotation
        self.context = self.api.restore_open(COMPUTER, annotation, GROUP, folder)
        self.folder = self.environment().restore_log_path

    def reopen(self) -> None:
        """RestoreReopen of the folder."""
        annotation = self.bench.annotation
        self.context = self.api.restore_reopen(COMPUTER, annotation, self.folder)

    def environment(self) -> RestoreEnvironment:
        """GetEnvironment."""
        return self.api.restore_get_environment(self.context)

    def add(self, store: str, guid: UUID, streams: Sequence[str]) -> None:
        """AddDatabase."""
        self.there[store] = self.api.restore_add_database(self.context, store, guid, streams)

    def announce(self, file: CopiedFile) -> bool:
        """Announce a log and leave it open; returns whether the server gave a handle."""
        tail = file.name.rpartition("\\")[2]
        opened = self.api.restore_open_file(self.context, f"{self.folder}\\{tail}")
        self.handle = opened.handle or 0
        return opened.handle is not None

    def put(self, name: str, data: bytes) -> None:
        """Announce a file, and write it as the server wants it."""
        opened = self.api.restore_open_file(self.context, name)
        if opened.handle is None:
            with self.bench.server.files.create(name) as sink:
                sink.write(data)
            return
        for start in range(0, len(data), WRITE_BYTES):
            piece = data[start : start + WRITE_BYTES]
            self.api.restore_write_file(self.context, opened.handle, piece)
        self.api.restore_close_file(self.context, opened.handle)

    def put_images(self, taken: Taken) -> None:
        """The database files of a full backup."""
        for database in taken.databases:
            for source, there in zip(database.streams, self.there[database.name], strict=True):
                self.put(there, taken.images[source].data)

    def put_logs(self, files: Iterable[CopiedFile]) -> None:
        """Logs and patch files."""
        for file in files:
            tail = file.name.rpartition("\\")[2]
            self.put(f"{self.folder}\\{tail}", file.data)

    def save(self) -> None:
        """SaveEnvironment."""
        self.api.restore_save_environment(self.context)

    def complete(self, flags: RestoreComplete = RestoreComplete.NONE) -> None:
        """Complete, in the folder of the restore."""
        self.api.restore_complete(self.context, self.folder, self.folder, None, flags)

    def close(self, flag: RestoreClose = RestoreClose.NORMAL) -> None:
        """Close."""
        self.api.restore_close(self.context, flag)


@define
class Scene:
    """A backup of a server whose disks are lost by now.

    Attributes:
        full, later: the backups.
        guids: of the stores.
    """

    bench: Bench
    full: Taken
    guids: dict[str, UUID]
    later: list[Taken] = field(factory=list)

    @property
    def first(self) -> SavedDatabase:
        """A database of the backup."""
        return self.full.databases[0]

    def logs(self) -> list[CopiedFile]:
        """Logs and patch files of all sets, each log once."""
        found = {log.name: log for t in (self.full, *self.later) for log in t.logs.values()}
        return [*found.values(), *self.full.patches.values()]

    def begin(self) -> Restorer:
        """Open a restore, and add and restore the databases."""
        restorer = Restorer(self.bench)
        restorer.open()
        for database in self.full.databases:
            restorer.add(database.name, self.guids[database.name], database.streams)
        restorer.put_images(self.full)
        return restorer

    def restore(self) -> Restorer:
        """The whole restore; it is still open afterwards."""
        restorer = self.begin()
        restorer.put_logs(self.logs())
        restorer.save()
        restorer.complete()
        return restorer


def take_scene(bench: Bench, increments: int = 0) -> Scene:
    """Back up, with increments. That backups under load restore is for the checks of data."""
    bench.server.work(WORK_BEFORE)
    visitor = Visitor(bench)
    guids = {d.display_name: d.guid for d in visitor.instance.databases}
    visitor.leave()
    scene = Scene(bench, back_up(bench), guids)
    for _ in range(increments):
        bench.server.work(WORK_BEFORE)
        scene.later.append(back_up(bench, BackupType.LOGS_ONLY))
    return scene


def _compare(bench: Bench, rule: str, scene: Scene, restore: Callable[[], object]) -> None:
    """Lose the disks, restore, and hold the rows against what was committed."""
    high = max(taken.high for taken in (scene.full, *scene.later))
    facts = bench.server.facts()
    wanted = {d.name: facts.committed(d.edb, high) for d in scene.full.databases}
    bench.server.lose()
    restore()
    if not any(len(table) for rows in wanted.values() for table in rows.values()):
        bench.inconclusive(Axis.DATA, "nothing was committed, so that nothing could be lost")
    for store, right in wanted.items():
        try:
            found = bench.server.rows(store)
        except EseBackupError as error:
            bench.broke(rule, f"{store} does not mount: {error}")
            continue
        texts = differences(right, found, ROWS_SHOWN_MAX)
        text = f"{store} is restored with other rows than were committed: "
        bench.require(rule, not texts, text + "; ".join(texts))


def _rows(bench: Bench) -> None:
    with bench.under(ROWS, "a restore by the book"):
        scene = take_scene(bench)
        _compare(bench, ROWS, scene, lambda: scene.restore().close())


def _undone(bench: Bench) -> None:
    with bench.under(UNDONE, "a restore by the book"):
        scene = take_scene(bench, increments=1)
        _compare(bench, UNDONE, scene, lambda: scene.restore().close())


def _reopened(bench: Bench) -> None:
    with bench.under(SAVED, "a restore that is closed and reopened"):
        scene = take_scene(bench, increments=1)
        _compare(bench, SAVED, scene, lambda: _in_two(scene))


def _in_two(scene: Scene) -> None:
    """Restore the full set, close, reopen, restore the increment."""
    restorer = scene.begin()
    first = scene.full
    restorer.put_logs([*first.logs.values(), *first.patches.values()])
    restorer.save()
    restorer.close()
    restorer.reopen()
    known = {file.name for file in first.logs.values()}
    restorer.put_logs(file for file in scene.logs() if file.name not in known)
    restorer.save()
    restorer.complete()
    restorer.close()


def _hole(bench: Bench) -> None:
    with bench.under(HOLE, "a backup and an increment"):
        scene = take_scene(bench, increments=1)
        bench.server.lose()
        restorer = scene.begin()
        logs = scene.logs()
        # Behind the logs that the images need: of those the recovery itself would find a hole.
        gap = scene.full.high + 1
        lost = scene.later[0].logs.get(gap)
        if lost is None:
            bench.inconclusive(Axis.PROTOCOL, "the increment has no log behind the full backup")
            raise CheckOver
        restorer.put_logs(file for file in logs if file.name != lost.name)
        restorer.save()
    _must_fail(bench, HOLE, restorer, f"{lost.name} is missing from the set")


def _damaged(bench: Bench) -> None:
    with bench.under(DAMAGED, "a backup and an increment"):
        scene = take_scene(bench, increments=1)
        bench.server.lose()
        restorer = scene.begin()
        target = scene.later[0].logs[scene.later[0].high].name
        restorer.put_logs(_with_damage(scene, target))
        restorer.save()
    _must_fail(bench, DAMAGED, restorer, f"{target} is damaged")


def _with_damage(scene: Scene, target: str) -> Iterator[CopiedFile]:
    """The logs of all sets, one of them with a byte that is not what it was."""
    for file in scene.logs():
        if file.name == target:
            data = bytearray(file.data)
            data[RECORD_OFFSET] ^= 0xFF
            file = evolve(file, data=bytes(data))
        yield file


def _must_fail(bench: Bench, rule: str, restorer: Restorer, what: str) -> None:
    try:
        restorer.complete()
    except EseBackupError:
        restorer.close(RestoreClose.ABORT)
        return
    restorer.close()
    bench.broke(rule, f"{what}, and Complete succeeds")


def _forgotten(bench: Bench) -> None:
    with bench.under(ROWS, "a restore by the book"):
        scene = take_scene(bench)
        bench.server.lose()
        scene.restore().close()
        for store in (MAIN, SECOND):
            bench.server.mount(store)
    visitor = Visitor(bench)
    try:
        visitor.setup(BackupType.LOGS_ONLY)
    except EseBackupError as error:
        right = error.jet == JetErr.MISSING_FULL_BACKUP
        text = f"a backup of logs only after a restore gives {error}"
        bench.require(FORGOTTEN, right, text)
    else:
        bench.broke(FORGOTTEN, "a backup of logs only begins right after a restore")
    visitor.leave()


def _refused(bench: Bench, rule: str, what: str) -> None:
    """MAIN must not be taken for a restore."""
    visitor = Visitor(bench)
    database = next(d for d in visitor.instance.databases if d.display_name == MAIN)
    visitor.leave()
    if rule == PROTECTED:
        bench.server.dismount(MAIN)
    bench.server.allow(MAIN, rule == MOUNTED)
    restorer = Restorer(bench)
    restorer.open()
    try:
        restorer.add(MAIN, database.guid, database.streams)
    except EseBackupError:
        pass
    else:
        bench.broke(rule, f"{MAIN} {what}, and AddDatabase takes it")
    restorer.close(RestoreClose.ABORT)


def _mounted(bench: Bench) -> None:
    _refused(bench, MOUNTED, "is mounted")


def _protected(bench: Bench) -> None:
    _refused(bench, PROTECTED, "may not be overwritten")


def _folders(bench: Bench) -> None:
    first, second = Restorer(bench), Restorer(bench)
    first.open()
    try:
        second.open(first.folder)
    except EseBackupError:
        pass
    else:
        bench.broke(FOLDERS, f"{first.folder} is given to two restores at the same time")
        second.close(RestoreClose.ABORT)
    second.open()
    apart = first.folder.casefold() != second.folder.casefold()
    bench.require(FOLDERS, apart, f"{first.folder} is chosen for two restores at the same time")
    for restorer in (first, second):
        restorer.close(RestoreClose.ABORT)


def _instances(bench: Bench) -> None:
    held: list[Restorer] = []
    try:
        for _ in range(bench.server.instances):
            restorer = Restorer(bench)
            restorer.open()
            held.append(restorer)
    except EseBackupError as error:
        full = len(held) == bench.server.instances - 1
        right = full and error.jet == JetErr.TOO_MANY_INSTANCES
        text = f"with one storage group running restore {len(held) + 1} gives {error}"
        bench.require(INSTANCES, right, text)
    else:
        bench.broke(INSTANCES, f"{len(held)} restores are open beside a storage group that runs")
    for restorer in held:
        restorer.close(RestoreClose.ABORT)


def _freed(bench: Bench) -> None:
    folder = None
    with bench.under(FREED, "restores that are opened and closed in turn"):
        for number in range(2 * bench.server.instances):
            restorer = Restorer(bench)
            restorer.open(folder)
            folder = restorer.folder
            if number % 2:
                restorer.close(RestoreClose.ABORT)
            else:
                bench.server.hang_up(restorer.context)


def _ended(bench: Bench) -> None:
    with bench.under(ENDED, "a recovery that nobody waits for"):
        scene = take_scene(bench)
        bench.server.lose()
        restorer = scene.begin()
        restorer.put_logs(_with_damage(scene, scene.full.logs[scene.full.high].name))
        restorer.save()
        restorer.complete(RestoreComplete.NOWAIT)
        for _ in range(LOOKS_MAX):
            environment = restorer.environment()
            if environment.status_last_recover == RecoverStatus.ENDED:
                break
    over = environment.status_last_recover == RecoverStatus.ENDED
    bench.require(ENDED, over, f"after {LOOKS_MAX} looks the recovery is still said to run")
    text = "a recovery that meets a damaged log is said to have ended well"
    bench.require(ENDED, not over or environment.hr_last_recover != 0, text)
    with suppress(EseBackupError):
        restorer.close(RestoreClose.ABORT)


_R = Ability.RESTORE
_NEEDS = frozenset({Ability.WORKLOAD, Ability.JOURNAL, Ability.RESTORE})
_RESTORES = frozenset({Ability.RESTORE, Ability.WORKLOAD})


def _check(
    key: str,
    title: str,
    rule: str,
    body: Callable[[Bench], None],
    needs: frozenset[Ability] = _NEEDS,
) -> Check:
    return Check(key, title, "restore", (rule,), body, needs)


RESTORE_CHECKS: tuple[Check, ...] = (
    _check("restore-rows", "A full backup comes back", ROWS, _rows),
    _check("restore-undo", "A chain that ends in the middle of transactions", UNDONE, _undone),
    _check("restore-reopened", "A restore in two parts", SAVED, _reopened),
    _check("restore-hole", "A set without one of its logs", HOLE, _hole, _RESTORES),
    _check("restore-damage", "A set with a damaged log", DAMAGED, _damaged, _RESTORES),
    _check(
        "restore-forgets",
        "Logs only, right after a restore",
        FORGOTTEN,
        _forgotten,
        _RESTORES | {Ability.MOUNT},
    ),
    _check("restore-mounted", "A database that is mounted", MOUNTED, _mounted, frozenset({_R})),
    _check(
        "restore-protected",
        "A database that may not be overwritten",
        PROTECTED,
        _protected,
        frozenset({_R, Ability.MOUNT}),
    ),
    _check("restore-folders", "Two restores and one folder", FOLDERS, _folders, frozenset({_R})),
    _check(
        "restore-instances",
        "As many restores as there are instances, and one more",
        INSTANCES,
        _instances,
        frozenset({_R}),
    ),
    _check(
        "restore-freed",
        "Restores that are closed, or lost, one after the other",
        FREED,
        _freed,
        frozenset({_R, Ability.HANG_UP}),
    ),
    _check("restore-unwaited", "A recovery that nobody waits for", ENDED, _ended, _RESTORES),
)
