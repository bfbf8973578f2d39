"""Saving the files of one storage group: databases, then logs, each checked as it passes.

This is the part of a backup before the seal (see :mod:`esebcli.group`): from GetLogAndPatchFiles on
every rule that decides whether the files can be restored is checked here, before anybody asks the
server to delete a log.
"""

from __future__ import annotations

import os
import threading
from typing import Final

from attrs import Factory, define, evolve, field

from eseback.structures import InstanceBackupInfo
from esebcli.consistency import check_group
from esebcli.contents import Depth, FileFacts, check_for
from esebcli.context import Context, choose_databases
from esebcli.copying import BUFFER_SIZE, FileReader
from esebcli.durable import naming
from esebcli.errors import JobCancelled, JobError
from esebcli.findings import summarise
from esebcli.loglists import deletable_problem, kind_of_listed, predecessor_problem
from esebcli.manifest import FileKind, Kind, LogRange, SavedDatabase, SavedFile, SavedGroup
from esebcli.names import NameAllocator
from esebcli.progress import OnProgress, Phase, Progress
from esebcli.readahead import aligned_buffer
from esebcli.sets import SetWriter

INTERRUPTED: Final = "the backup was interrupted"


@define
class GroupSaver:
    """Fills the folder of one group. ``group`` describes what is in it, also after an error.

    ``databases`` are the names of those to save, empty for all.
    """

    writer: SetWriter
    group: SavedGroup
    kind: Kind
    depth: Depth
    on_progress: OnProgress
    cancelled: threading.Event
    databases: tuple[str, ...] = ()
    _names: NameAllocator = field(init=False, default=Factory(NameAllocator))
    _buffer: memoryview = field(init=False, default=Factory(lambda: aligned_buffer(BUFFER_SIZE)))
    _facts: list[FileFacts] = field(init=False, factory=list)

    def choose(self, instance: InstanceBackupInfo) -> None:
        """Note which databases there are and which of them are to be saved.

        Raises:
            UserError: those that were named can't be.
        """
        if not self.kind.has_databases:
            return
        chosen = choose_databases(instance, self.databases)
        databases = tuple(
            SavedDatabase(
                database.display_name,
                database.guid,
                database.mounted,
                tuple(database.streams),
                chosen=database in chosen,
            )
            for database in instance.databases
        )
        self.group = evolve(
            self.group,
            partial=any(not database.chosen for database in databases),
            databases=databases,
            warnings=tuple(
                f"database {database.display_name!r} is not mounted and was not saved"
                for database in databases
                if not database.mounted and database.chosen
            ),
        )

    def save_databases(self, context: Context) -> None:
        """Save every stream of every database that was chosen and is mounted.

        Raises:
            EseBackupError, OSError, JobError: nothing more of this group can be saved.
        """
        for database in self.group.databases:
            if database.saved:
                for name in database.original_names:
                    self._save_file(context, name, kind_of_listed(name), Phase.DATABASES)
        if not self.group.files:
            raise JobError(f"storage group {self.group.name!r} has no mounted database to save")

    def save_logs(self, context: Context) -> None:
        """Ask for the list of logs, which ends the database phase, and save them.

        Raises:
            EseBackupError, OSError, JobError: as above.
        """
        for name in context.api.backup_get_log_and_patch_files(context.handle):
            kind = kind_of_listed(name)
            if kind not in (FileKind.LOG, FileKind.PATCH):
                raise JobError(f"{name!r} in the server's list is neither a log nor a patch file")
            self._save_file(context, name, kind, Phase.LOGS)

    def check(self, predecessor: SavedGroup | None) -> LogRange:
        """Whether the saved files are a backup together; returns the logs that were saved.

        Raises:
            JobError: they are not; the text says why.
        """
        self.on_progress(Progress(self.group.name, Phase.CHECKING, saved=self.group.size))
        logs, findings = check_group(self.kind, self._facts)
        if findings:
            raise JobError(f"the saved files do not belong together: {summarise(findings)}")
        if logs is None:
            raise JobError("the server listed no log, and every backup needs at least one")
        if predecessor is not None:
            problem = predecessor_problem(predecessor, logs, self.group.files)
            if problem:
                raise JobError(problem)
        return logs

    def ask_deletable(self, context: Context, logs: LogRange) -> tuple[str, ...]:
        """The logs that truncation would delete, by their original names.

        Raises:
            JobError: one of them would be lost, because it is in no backup.
        """
        names = tuple(context.api.backup_get_truncate_log_files(context.handle))
        problem = deletable_problem(names, logs, self.kind)
        if problem:
            raise JobError(problem)
        return names

    def refuse_if_cancelled(self) -> None:
        """Raise JobCancelled if the caller asked the job to stop."""
        if self.cancelled.is_set():
            raise JobCancelled(INTERRUPTED)

    def _save_file(self, context: Context, original: str, kind: FileKind, phase: Phase) -> None:
        if any(file.original_name == original for file in self.group.files):
            raise JobError(f"the server listed {original!r} twice")
        name = self._names.assign(original)
        saved_before = self.group.size

        def before_read(copied: int, size: int) -> None:
            self.refuse_if_cancelled()
            saved = saved_before + copied
            self.on_progress(Progress(self.group.name, phase, original, copied, size, saved))

        reader = FileReader(context.api, context.handle, self._buffer, before_read)
        path = self.writer.group_folder(self.group) / name
        # The server's errors are no OSErrors: those are of this file, also when it is closed.
        with naming(path), self.writer.create_file(self.group, name) as target:
            handle, size = reader.open(original)
            check = check_for(kind, name, size, self.depth)
            copied = reader.copy(original, handle, size, target, check)
            target.flush()
            os.fsync(target.fileno())
        facts = check.finish()
        if facts.findings:
            raise JobError(f"what the server sent is damaged: {summarise(facts.findings)}")
        self._facts.append(facts)
        file = SavedFile(original, kind, name, copied.size, copied.sha256)
        self.group = evolve(self.group, files=(*self.group.files, file))
