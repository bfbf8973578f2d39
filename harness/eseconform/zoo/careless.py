"""More broken clients: those that lose bytes, files or logs, and those that tell more than is true.

See :mod:`eseconform.zoo.mutants`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from attrs import evolve

from eseback.constants import InstanceEnd
from eseback.errors import ConnectionLost, EseBackupError
from eseback.structures import DatabaseBackupInfo, InstanceBackupInfo
from eseconform.task import Claim, Outcome
from eseconform.zoo.reference import JobFailed, ReferenceClient

PAGE_BYTES = 4096


class SkipsLastPage(ReferenceClient):
    """Cuts the trailer off, because the file on the server is a page shorter than its copy."""

    def copy_databases(self, context: int, instance: InstanceBackupInfo) -> None:
        super().copy_databases(context, instance)
        for index, file in enumerate(self.saved):
            if file.name.lower().endswith(".edb") and file.path is not None:
                size = file.size - PAGE_BYTES
                with file.path.open("r+b") as saved:
                    saved.truncate(size)
                self.saved[index] = evolve(file, size=size)


class DropsHeaderPage(ReferenceClient):
    """Takes the second header for a mistake of the server, and stores one."""

    def copy_databases(self, context: int, instance: InstanceBackupInfo) -> None:
        super().copy_databases(context, instance)
        for index, file in enumerate(self.saved):
            if file.name.lower().endswith(".edb") and file.path is not None:
                data = file.path.read_bytes()
                file.path.write_bytes(data[:PAGE_BYTES] + data[2 * PAGE_BYTES :])
                self.saved[index] = evolve(file, size=file.size - PAGE_BYTES)


class OnlyStreamingFile(ReferenceClient):
    """Takes the last stream for the whole database."""

    def streams(self, database: DatabaseBackupInfo) -> Sequence[str]:
        return database.streams[-1:]


class OnlyFirstDatabase(ReferenceClient):
    """Backs up the first database of a group, as if there were never more."""

    def databases(self, instance: InstanceBackupInfo) -> Sequence[DatabaseBackupInfo]:
        return super().databases(instance)[:1]


class SwapsStreams(ReferenceClient):
    """Stores the .edb under the name of the .stm and the other way round."""

    def copy_databases(self, context: int, instance: InstanceBackupInfo) -> None:
        for database in self.databases(instance):
            names = self.streams(database)
            for name, save_as in zip(names, names[::-1], strict=True):
                self.copy_file(context, name, save_as=save_as)


class IgnoresCount(ReferenceClient):
    """Leaves its read loop at the first read that brings less than was asked for, unstored."""

    counts_bytes = False

    def chunks(self, context: int, handle: int, size: int) -> Iterator[tuple[bytearray, int]]:
        for buffer, count in super().chunks(context, handle, size):
            if count == len(buffer):
                yield buffer, count


class RepeatsChunk(ReferenceClient):
    """Stores the second chunk of a file twice, after a retry that nobody asked for."""

    def chunks(self, context: int, handle: int, size: int) -> Iterator[tuple[bytearray, int]]:
        for number, chunk in enumerate(super().chunks(context, handle, size)):
            yield chunk
            if number == 1:
                yield chunk


class WritesTextMode(ReferenceClient):
    """Stores files as text, where every line feed gets a carriage return."""

    def store(self, sink: BinaryIO, buffer: bytearray, count: int) -> None:
        sink.write(bytes(buffer[:count]).replace(b"\n", b"\r\n"))


class OverwritesSameName(ReferenceClient):
    """Stores files under the last part of their name, where two databases may share one."""

    def new_path(self, name: str) -> Path:
        tail = super().new_path(name).name.partition("-")[2]
        return self.task.set_folder / tail


class ForgetsFirstLog(ReferenceClient):
    """Leaves out the first log of the list, which it thinks to have from the last backup."""

    def copy_logs(self, context: int, group: str, logs: Sequence[str]) -> None:
        super().copy_logs(context, group, logs[1:] if len(logs) > 1 else logs)


class SkipsGroupSilently(ReferenceClient):
    """Leaves out a storage group that answers with an error, and says nothing about it."""

    def back_up(self) -> None:
        for group in self.task.groups:
            with suppress(EseBackupError):
                self.in_context((group,))


class OnlyFirstGroup(ReferenceClient):
    """Backs up the first storage group and reports success for all."""

    def back_up(self) -> None:
        self.in_context(self.task.groups[:1])


class ClaimsHigherGeneration(ReferenceClient):
    """Says that a set restores to the log after its last one."""

    def claim(self, outcome: Outcome, reason: str = "") -> Claim:
        self.highest = {group: generation + 1 for group, generation in self.highest.items()}
        return super().claim(outcome, reason)


class AlwaysSuccess(ReferenceClient):
    """Logs an error and reports success, because the job has run to its end."""

    def failed(self, error: EseBackupError | JobFailed) -> Claim:
        return self.claim(Outcome.SUCCESS)


class SuccessAfterFailedRead(ReferenceClient):
    """Leaves out a file that can't be read, and ends the backup as a success."""

    def copy_file(self, context: int, name: str, save_as: str | None = None) -> None:
        try:
            super().copy_file(context, name, save_as)
        except ConnectionLost:
            raise
        except EseBackupError:
            with suppress(EseBackupError):
                self.api.backup_close_file(context, self.handle)

    handle = 0

    def chunks(self, context: int, handle: int, size: int) -> Iterator[tuple[bytearray, int]]:
        self.handle = handle
        return super().chunks(context, handle, size)


class EndsFailureAsSuccess(ReferenceClient):
    """Ends every backup with InstanceEnd(SUCCESS), whatever happened in it."""

    def abandon(self, context: int) -> None:
        with suppress(EseBackupError):
            self.api.backup_instance_end(context, InstanceEnd.SUCCESS)


class IgnoresEndError(ReferenceClient):
    """Doesn't look at what InstanceEnd answers."""

    def back_up_group(self, context: int, instance: InstanceBackupInfo) -> None:
        try:
            super().back_up_group(context, instance)
        except EseBackupError as error:
            if error.call != "backup_instance_end":
                raise
