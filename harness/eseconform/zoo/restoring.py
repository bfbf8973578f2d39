"""A small client that backs up and restores and does everything right, cut into steps that the
zoo's other restore clients override.

Beside the files of a set it keeps what a restore needs to know in ``set.json``: the databases with
their GUIDs, and sizes and CRCs of all files.
"""

from __future__ import annotations

import json
import uuid
import zlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from attrs import define, field, frozen

from eseback.api import BackupApi
from eseback.constants import RestoreClose, RestoreComplete
from eseback.errors import EseBackupError
from eseback.structures import InstanceBackupInfo
from eseconform.task import Claim, JobKind, Outcome, Task
from eseconform.zoo.reference import JobFailed, ReferenceClient, log_generation

CONTENTS: Final = "set.json"
FAILURES = (EseBackupError, JobFailed, OSError)
"""What may go wrong in a restore."""


@frozen
class StoredDatabase:
    """A database of a set: display name, GUID, streams at backup time."""

    name: str
    guid: uuid.UUID
    streams: tuple[str, ...]


@frozen
class StoredFile:
    """A file of a set: its name at backup time, where its bytes are, its size and CRC."""

    name: str
    path: Path
    size: int
    crc: int

    @property
    def tail(self) -> str:
        """The last part of its name."""
        return self.name.rpartition("\\")[2]

    @property
    def generation(self) -> int | None:
        """Of a log; None for any other file."""
        return log_generation(self.name)


@define
class Plan:
    """What is restored of one storage group.

    Attributes:
        group: its name at backup time.
        databases: what to restore of the full set.
        images: their files, by name.
        sets: logs and patch files, set by set.
        context, folder: of the restore, once it is open.
    """

    group: str
    databases: tuple[StoredDatabase, ...]
    images: Mapping[str, StoredFile]
    sets: tuple[tuple[StoredFile, ...], ...]
    context: int = 0
    folder: str = ""
    there: dict[str, tuple[str, ...]] = field(factory=dict)

    @property
    def generations(self) -> list[int]:
        """The generations of all sets, in order."""
        found = {f.generation for files in self.sets for f in files}
        return sorted(generation for generation in found if generation is not None)


class RestoringClient(ReferenceClient):
    """Backs up and restores by the book."""

    write_size = 64 * 1024
    never_calls: tuple[str, ...] = ()
    """Calls that this client makes in no restore."""

    def __init__(self, api: BackupApi, task: Task) -> None:
        super().__init__(api, task)
        self.contents: dict[str, dict[str, Any]] = {}

    def run(self) -> Claim:
        """Do the job and say how it went."""
        if self.task.kind is not JobKind.RESTORE:
            return super().run()
        try:
            self.restore_all([self.plan(group) for group in self.task.groups])
        except FAILURES as error:
            return self.claim(Outcome.FAILURE, str(error) or type(error).__name__)
        return self.claim(Outcome.SUCCESS)

    # --- what a set needs for its restore --------------------------------------------------------

    def copy_databases(self, context: int, instance: InstanceBackupInfo) -> None:
        """Copy, and note whose files these are."""
        self.contents[instance.instance_name] = {
            "databases": [
                {"name": d.display_name, "guid": str(d.guid), "streams": list(d.streams)}
                for d in self.databases(instance)
            ],
            "logs": [],
        }
        super().copy_databases(context, instance)

    def copy_logs(self, context: int, group: str, logs: Sequence[str]) -> None:
        """Copy, and note the names."""
        self.contents.setdefault(group, {"databases": [], "logs": []})["logs"] = list(logs)
        super().copy_logs(context, group, logs)

    def claim(self, outcome: Outcome, reason: str = "") -> Claim:
        """The claim; a set that is complete gets its contents."""
        if outcome is Outcome.SUCCESS and self.task.kind is not JobKind.RESTORE:
            self.write_contents()
        return super().claim(outcome, reason)

    def write_contents(self) -> None:
        """Write ``set.json``."""
        files = [
            {"name": f.name, "path": f.path.name, "size": f.size, "crc": _crc(f.path)}
            for f in self.saved
            if f.path is not None
        ]
        text = json.dumps({"groups": self.contents, "files": files})
        (self.task.set_folder / CONTENTS).write_text(text, encoding="utf-8")

    # --- the plan --------------------------------------------------------------------------------

    def plan(self, group: str) -> Plan:
        """What is to be restored of a group. Nothing on the server is touched before it holds."""
        sets = [(folder, self.read_contents(folder)) for folder in self.chain()]
        if any(group not in contents["groups"] for _, contents in sets):
            raise JobFailed(f"a set of the chain holds nothing of {group}")
        asked = self.task.databases
        databases = tuple(
            StoredDatabase(d["name"], uuid.UUID(d["guid"]), tuple(d["streams"]))
            for d in sets[0][1]["groups"][group]["databases"]
            if not asked or d["name"] in asked
        )
        if not databases:
            raise JobFailed(f"the first set holds no database of {group}")
        stored = [_files(folder, contents) for folder, contents in sets]
        images = {s: stored[0][s] for d in databases for s in d.streams if s in stored[0]}
        logs = tuple(
            tuple(files[n] for n in contents["groups"][group]["logs"] if n in files)
            for files, (_, contents) in zip(stored, sets, strict=True)
        )
        plan = Plan(group, databases, images, self.in_order(logs))
        self.check(plan)
        return plan

    def chain(self) -> Sequence[Path]:
        """The sets, in the order in which they are restored."""
        return self.task.earlier_sets

    def in_order(
        self, sets: tuple[tuple[StoredFile, ...], ...]
    ) -> tuple[tuple[StoredFile, ...], ...]:
        """The logs of the sets, each log once: what two sets hold of one is the same."""
        seen: dict[str, int] = {}
        result = []
        for files in sets:
            result.append(tuple(f for f in files if f.tail.casefold() not in seen))
            for file in files:
                if seen.setdefault(file.tail.casefold(), file.crc) != file.crc:
                    raise JobFailed(f"{file.tail} is not the same in two sets of the chain")
        return tuple(result)

    def read_contents(self, folder: Path) -> dict[str, Any]:
        """What a set holds."""
        try:
            found: dict[str, Any] = json.loads((folder / CONTENTS).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise JobFailed(f"{folder.name} is no complete set: {error}") from None
        return found

    def check(self, plan: Plan) -> None:
        """Look at every file, and whether the logs are a run without a hole."""
        files = [*plan.images.values(), *(f for logs in plan.sets for f in logs)]
        missing = [s for d in plan.databases for s in d.streams if s not in plan.images]
        if missing:
            raise JobFailed(f"the set lacks {missing[0]}")
        for file in files:
            if not file.path.is_file():
                raise JobFailed(f"{file.tail} is gone from the set")
            if file.path.stat().st_size != file.size or _crc(file.path) != file.crc:
                raise JobFailed(f"{file.tail} is damaged in the set")
        found = plan.generations
        if not found or found != list(range(found[0], found[-1] + 1)):
            raise JobFailed(f"the logs of {plan.group} have a hole")

    # --- the restore -----------------------------------------------------------------------------

    def restore_all(self, plans: Sequence[Plan]) -> None:
        """One group after the other, or all at the same time."""
        if not self.task.parallel:
            for plan in plans:
                self.restore_group(plan)
            return
        # All are open before the first goes on: only then are they restored at the same time.
        for plan in plans:
            self.begin(plan)
        with ThreadPoolExecutor(len(plans)) as pool:
            jobs = [pool.submit(self.carry_on, plan) for plan in plans]
        for job in jobs:
            job.result()

    def restore_group(self, plan: Plan) -> None:
        """Open, and everything else."""
        self.begin(plan)
        self.carry_on(plan)

    def begin(self, plan: Plan) -> None:
        """Open the restore of a group, and learn its folder."""
        plan.context = self.api.restore_open(
            self.task.server, self.task.annotation, plan.group, self.new_folder(plan)
        )
        try:
            plan.folder = self.api.restore_get_environment(plan.context).restore_log_path
        except EseBackupError:
            self.give_up(plan)
            raise

    def new_folder(self, plan: Plan) -> str | None:
        """The folder of a restore; None: the server chooses one."""
        return None

    def carry_on(self, plan: Plan) -> None:
        """Everything after the open; after an error the restore is aborted."""
        try:
            self.restore_sets(plan)
            self.api.restore_save_environment(plan.context)
            self.complete(plan)
        except FAILURES:
            self.give_up(plan)
            raise
        self.finish(plan)
        if not self.task.play_forward:
            self.highest[plan.group] = plan.generations[-1]

    def restore_sets(self, plan: Plan) -> None:
        """The full set, then the increments."""
        self.add_databases(plan)
        self.restore_images(plan)
        for files in plan.sets:
            self.restore_logs(plan, files)

    def give_up(self, plan: Plan) -> None:
        """Abort after an error; the first error is the one to report."""
        with suppress(EseBackupError):
            self.api.restore_close(plan.context, RestoreClose.ABORT)

    def finish(self, plan: Plan) -> None:
        """Close after success."""
        self.api.restore_close(plan.context, RestoreClose.NORMAL)

    # --- databases -------------------------------------------------------------------------------

    def add_databases(self, plan: Plan) -> None:
        """Add every database, and learn where its files go."""
        for database in plan.databases:
            plan.there[database.name] = self.add_database(plan, database)

    def add_database(self, plan: Plan, database: StoredDatabase) -> tuple[str, ...]:
        """Where the server puts a database, or where it is told to."""
        named = self.place_in_target(database)
        if named is None:
            there = self.api.restore_add_database(
                plan.context, database.name, database.guid, database.streams
            )
            if self.task.target is not None or there == database.streams:
                return there
            named = database.streams  # a recovery storage group draws it to itself
        self.api.restore_add_database_ns(
            plan.context, database.name, database.guid, database.streams, named
        )
        return named

    def place_in_target(self, database: StoredDatabase) -> tuple[str, ...] | None:
        """Files of the database of that name in the target, if that is one that Prepare lists."""
        if self.task.target is None:
            return None
        context, instances = self.api.backup_prepare(self.task.server, self.task.annotation)
        self.api.backup_end(context)
        for instance in instances:
            for other in instance.databases:
                same = instance.instance_name == self.task.target
                if same and other.display_name == database.name:
                    return other.streams
        return None

    # --- files -----------------------------------------------------------------------------------

    def restore_images(self, plan: Plan) -> None:
        """Every file of every database."""
        for database in plan.databases:
            for source, there in zip(database.streams, plan.there[database.name], strict=True):
                self.restore_file(plan, there, plan.images[source])

    def restore_logs(self, plan: Plan, files: Sequence[StoredFile]) -> None:
        """Logs and patch files of one set, into the folder of the restore."""
        for file in files:
            self.restore_file(plan, f"{plan.folder}\\{file.tail}", file)

    def restore_file(self, plan: Plan, there: str, file: StoredFile) -> None:
        """Announce a file, and write it as the server wants it."""
        opened = self.api.restore_open_file(plan.context, there)
        if opened.handle is None:
            self.write_myself(there, file)
            return
        for data in self.pieces(file):
            self.api.restore_write_file(plan.context, opened.handle, data)
        self.api.restore_close_file(plan.context, opened.handle)

    def write_myself(self, there: str, file: StoredFile) -> None:
        """Write a file with file I/O."""
        if self.task.files is None:
            raise JobFailed(f"{there} has to be written with file I/O, which is not possible here")
        with self.task.files.create(there) as sink:
            for data in self.pieces(file):
                sink.write(data)

    def pieces(self, file: StoredFile) -> Iterator[bytes]:
        """The bytes of a file, piece by piece."""
        with file.path.open("rb") as source:
            while data := source.read(self.write_size):
                yield data

    # --- recovery --------------------------------------------------------------------------------

    def complete(self, plan: Plan) -> None:
        """Have the server recover, in the folder of the restore."""
        folder, target = plan.folder, None
        if self.task.play_forward:
            if self.is_running(plan.group):
                target = plan.group
            else:
                folder = plan.sets[0][0].name.rpartition("\\")[0]
        self.api.restore_complete(plan.context, folder, folder, target, self.flags())

    def flags(self) -> RestoreComplete:
        """Wait; mount if the job says so."""
        return RestoreComplete.ATTACH_DBS if self.task.mount else RestoreComplete.NONE

    def is_running(self, group: str) -> bool:
        """Whether a store of the group is mounted."""
        context, instances = self.api.backup_prepare(self.task.server, self.task.annotation)
        self.api.backup_end(context)
        return group in [instance.instance_name for instance in instances]


def _files(folder: Path, contents: Mapping[str, Any]) -> dict[str, StoredFile]:
    return {
        f["name"]: StoredFile(f["name"], folder / f["path"], f["size"], f["crc"])
        for f in contents["files"]
    }


def _crc(path: Path) -> int:
    return zlib.crc32(path.read_bytes())
