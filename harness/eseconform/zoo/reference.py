"""A small backup client that does everything right, cut into steps that the zoo's other clients
override.

It shares no code with the product's own client, so that a misunderstanding in one shows up beside
the other.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from eseback.api import BackupApi
from eseback.constants import BackupType, DatabaseFlags, InstanceEnd
from eseback.errors import EseBackupError
from eseback.structures import DatabaseBackupInfo, InstanceBackupInfo
from eseconform.task import Claim, JobKind, Outcome, SavedFile, Task

HEX_DIGITS = (5, 8)
"""Digits of a generation in the name of a log: 5 up to Exchange 2003, 8 since 2007."""


class JobFailed(Exception):
    """The job can't be a success, although no call failed; the text says why."""


def log_generation(name: str) -> int | None:
    """Generation in a log's file name (``...\\E0000012.log`` is 0x12), or None for another file."""
    stem, _, extension = name.rpartition("\\")[2].partition(".")
    if extension.lower() != "log" or len(stem) - 3 not in HEX_DIGITS:
        return None
    try:
        return int(stem[3:], 16)
    except ValueError:
        return None


class ReferenceClient:
    """One job: for each storage group the databases (full and copy), the logs, truncation (full
    and incremental), the end.
    """

    buffer_size = 64 * 1024
    counts_bytes = True

    def __init__(self, api: BackupApi, task: Task) -> None:
        self.api = api
        self.task = task
        self.saved: list[SavedFile] = []
        self.highest: dict[str, int] = {}
        self.numbers = itertools.count(1)  # which threads may share

    # --- the job ---------------------------------------------------------------------------------

    def run(self) -> Claim:
        """Do the job and say how it went."""
        try:
            self.check_kind()
            self.back_up()
        except (EseBackupError, JobFailed) as error:
            return self.failed(error)
        return self.claim(Outcome.SUCCESS)

    def check_kind(self) -> None:
        """Refuse a job of a kind that did not exist when this client was written."""
        if self.task.kind not in tuple(JobKind) or not self.task.kind.is_backup:
            raise JobFailed(f"this client knows no job {str(self.task.kind)!r}")

    def failed(self, error: EseBackupError | JobFailed) -> Claim:
        """What is claimed after an error."""
        return self.claim(Outcome.FAILURE, str(error))

    def claim(self, outcome: Outcome, reason: str = "") -> Claim:
        """The claim about everything saved so far."""
        return Claim(outcome, tuple(self.saved), self.highest or None, reason)

    def back_up(self) -> None:
        """One context for each storage group, and a thread if they are to run at the same time."""
        if not self.task.parallel:
            for group in self.task.groups:
                self.in_context((group,))
            return
        with ThreadPoolExecutor(len(self.task.groups)) as pool:
            jobs = [pool.submit(self.in_context, (group,)) for group in self.task.groups]
        for job in jobs:
            job.result()

    def in_context(self, groups: Sequence[str]) -> None:
        """Prepare, back up the groups one after the other, End whatever happens."""
        context, instances = self.api.backup_prepare(self.task.server, self.task.annotation)
        by_name = {instance.instance_name: instance for instance in instances}
        try:
            for group in groups:
                self.back_up_group(context, self.running(by_name, group))
        except (EseBackupError, JobFailed):
            self.release(context)
            raise
        self.api.backup_end(context)

    def running(self, listed: Mapping[str, InstanceBackupInfo], group: str) -> InstanceBackupInfo:
        """A storage group among those that Prepare listed; it lists what is running."""
        if group not in listed:
            raise JobFailed(f"{group} is not running on {self.task.server}")
        return listed[group]

    def release(self, context: int) -> None:
        """Give the context back after an error; the first error is the one to report."""
        with suppress(EseBackupError):
            self.api.backup_end(context)

    def back_up_group(self, context: int, instance: InstanceBackupInfo) -> None:
        """Setup, files, truncation, InstanceEnd; after an error InstanceEnd(ERROR)."""
        self.set_up(context, instance)
        try:
            if self.task.kind.has_databases:
                self.copy_databases(context, instance)
            logs = self.api.backup_get_log_and_patch_files(context)
            self.copy_logs(context, instance.instance_name, logs)
            if self.task.kind.truncates:
                self.api.backup_truncate_logs(context)
            self.api.backup_instance_end(context, InstanceEnd.SUCCESS)
        except (EseBackupError, JobFailed):
            self.abandon(context)
            raise

    def set_up(self, context: int, instance: InstanceBackupInfo) -> None:
        """Begin the backup of a storage group."""
        images = self.task.kind.has_databases
        backup_type = BackupType.FULL if images else BackupType.LOGS_ONLY
        self.api.backup_setup(context, instance.instance_id, backup_type)

    def abandon(self, context: int) -> None:
        """Tell the server that this group's backup failed."""
        with suppress(EseBackupError):
            self.api.backup_instance_end(context, InstanceEnd.ERROR)

    # --- files -----------------------------------------------------------------------------------

    def databases(self, instance: InstanceBackupInfo) -> Sequence[DatabaseBackupInfo]:
        """The databases to copy, in order: all that are mounted, or those of them in the task."""
        mounted = [d for d in instance.databases if d.flags & DatabaseFlags.MOUNTED]
        asked = self.task.databases
        missing = set(asked) - {d.display_name for d in mounted}
        if missing:
            raise JobFailed(f"not mounted: {', '.join(sorted(missing))}")
        return [d for d in mounted if not asked or d.display_name in asked]

    def streams(self, database: DatabaseBackupInfo) -> Sequence[str]:
        """The files of a database, in order."""
        return database.streams

    def copy_databases(self, context: int, instance: InstanceBackupInfo) -> None:
        """Copy every stream of every database."""
        for database in self.databases(instance):
            for stream in self.streams(database):
                self.copy_file(context, stream)

    def copy_logs(self, context: int, group: str, logs: Sequence[str]) -> None:
        """Copy every listed log; note how far the group can be restored."""
        for name in logs:
            self.copy_file(context, name)
        generations = [g for g in map(log_generation, logs) if g is not None]
        if generations:
            self.highest[group] = max(generations)

    def copy_file(self, context: int, name: str, save_as: str | None = None) -> None:
        """Open, read to the end, close."""
        (opened,) = self.api.backup_open_file(context, name)
        path = self.new_path(name)
        with path.open("wb") as sink:
            for chunk in self.chunks(context, opened.handle, opened.size):
                self.store(sink, *chunk)
        self.close_file(context, opened.handle)
        size = path.stat().st_size
        self.check_size(name, size, opened.size)
        self.saved.append(SavedFile(save_as or name, size, path))

    def check_size(self, name: str, received: int, announced: int) -> None:
        """A file that ends before the size that its open announced is not whole."""
        if self.counts_bytes and received < announced:
            raise JobFailed(f"{name}: {received} of {announced} bytes came")

    def close_file(self, context: int, handle: int) -> None:
        """Close a file that was read."""
        self.api.backup_close_file(context, handle)

    def chunks(self, context: int, handle: int, size: int) -> Iterator[tuple[bytearray, int]]:
        """The buffer after each read, with the number of bytes that the read placed in it."""
        buffer = bytearray(self.buffer_size)
        while count := self.api.backup_read_file(context, handle, buffer):
            yield buffer, count

    def store(self, sink: BinaryIO, buffer: bytearray, count: int) -> None:
        """Write what a read brought."""
        sink.write(memoryview(buffer)[:count])

    def new_path(self, name: str) -> Path:
        """Where to put a file: a number and the last part of its name, of harmless characters
        only.
        """
        tail = "".join(c if c.isalnum() or c in ".-_" else "_" for c in name.rpartition("\\")[2])
        return self.task.set_folder / f"{next(self.numbers):04d}-{tail}"
