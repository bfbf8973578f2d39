"""More broken clients: those that mistake kinds of backup, chains, versions, names and groups.

See :mod:`eseconform.zoo.mutants`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from eseback.constants import BackupType, InstanceEnd
from eseback.errors import EseBackupError, JetErr
from eseback.structures import DatabaseBackupInfo, InstanceBackupInfo
from eseconform.task import Claim, JobKind, Outcome, SavedFile
from eseconform.zoo.reference import JobFailed, ReferenceClient, log_generation

LOW_32_BITS = 0xFFFF_FFFF


# --- kinds of backup, and chains


class TruncatesAfterCopy(ReferenceClient):
    """Has the logs deleted after every backup with databases, a copy included."""

    def copy_logs(self, context: int, group: str, logs: Sequence[str]) -> None:
        super().copy_logs(context, group, logs)
        if self.task.kind is JobKind.COPY:
            self.api.backup_truncate_logs(context)


class TruncatesAfterDifferential(ReferenceClient):
    """Has the logs deleted after a differential, whose set the next one replaces."""

    def copy_logs(self, context: int, group: str, logs: Sequence[str]) -> None:
        super().copy_logs(context, group, logs)
        if self.task.kind is JobKind.DIFFERENTIAL:
            self.api.backup_truncate_logs(context)


class IgnoresMissingFull(ReferenceClient):
    """Takes hrMissingFullBackup for "nothing to do" and reports success."""

    def failed(self, error: EseBackupError | JobFailed) -> Claim:
        if isinstance(error, EseBackupError) and error.is_jet(JetErr.MISSING_FULL_BACKUP):
            return self.claim(Outcome.SUCCESS)
        return super().failed(error)


class TakesAnyJobForFull(ReferenceClient):
    """Makes a full backup of whatever it is asked for and does not know."""

    def check_kind(self) -> None:
        pass

    def set_up(self, context: int, instance: InstanceBackupInfo) -> None:
        logs_only = self.task.kind in (JobKind.INCREMENTAL, JobKind.DIFFERENTIAL)
        backup_type = BackupType.LOGS_ONLY if logs_only else BackupType.FULL
        self.api.backup_setup(context, instance.instance_id, backup_type)
        if self.task.kind not in tuple(JobKind):
            self.copy_databases(context, instance)

    def back_up_group(self, context: int, instance: InstanceBackupInfo) -> None:
        if self.task.kind in tuple(JobKind):
            super().back_up_group(context, instance)
            return
        self.set_up(context, instance)
        logs = self.api.backup_get_log_and_patch_files(context)
        self.copy_logs(context, instance.instance_name, logs)
        self.api.backup_truncate_logs(context)
        self.api.backup_instance_end(context, InstanceEnd.SUCCESS)


class SetsUpFullForLogs(ReferenceClient):
    """Begins every backup with type FULL, also one that only copies logs."""

    def set_up(self, context: int, instance: InstanceBackupInfo) -> None:
        self.api.backup_setup(context, instance.instance_id, BackupType.FULL)


class PartialTakesFirst(ReferenceClient):
    """Counts the databases that it is to copy, and takes so many from the front of the list."""

    def databases(self, instance: InstanceBackupInfo) -> Sequence[DatabaseBackupInfo]:
        return instance.databases[: len(super().databases(instance))]


class WritesIntoEarlierSet(ReferenceClient):
    """Keeps a chain in the folder of its full set, and numbers the files of each job from 1."""

    def new_path(self, name: str) -> Path:
        folder = next(iter(self.task.earlier_sets), self.task.set_folder)
        return folder / f"{next(self.numbers):04d}.dat"


# --- files, names and versions


class SwapsDatabases(ReferenceClient):
    """Stores two databases under each other's names."""

    def copy_databases(self, context: int, instance: InstanceBackupInfo) -> None:
        databases = self.databases(instance)
        names = [self.streams(database) for database in (*databases[1:], *databases[:1])]
        for database, others in zip(databases, names, strict=True):
            for stream, save_as in zip(self.streams(database), others, strict=True):
                self.copy_file(context, stream, save_as=save_as)


class IgnoresPatchFiles(ReferenceClient):
    """Copies the logs of the list, and nothing else that stands in it."""

    def copy_logs(self, context: int, group: str, logs: Sequence[str]) -> None:
        super().copy_logs(context, group, [n for n in logs if log_generation(n) is not None])


class LogsOfDigitsOnly(ReferenceClient):
    """Takes the numbers of logs for decimal, and a name with a letter in it for no log."""

    def copy_logs(self, context: int, group: str, logs: Sequence[str]) -> None:
        stems = {name: name.rpartition("\\")[2][3:].partition(".")[0] for name in logs}
        super().copy_logs(context, group, [name for name in logs if stems[name].isdigit()])


class KnowsFiveDigits(ReferenceClient):
    """Knows the names of logs from Exchange 2003, and finds none in the list of a 2007."""

    def copy_logs(self, context: int, group: str, logs: Sequence[str]) -> None:
        short = [n for n in logs if len(n.rpartition("\\")[2]) <= len("E0000001.log")]
        super().copy_logs(context, group, short)


class AssumesStreamingFile(ReferenceClient):
    """Opens the .stm beside every .edb, whatever files the server lists."""

    def streams(self, database: DatabaseBackupInfo) -> Sequence[str]:
        edb = database.streams[0]
        return (edb, *(database.streams[1:] or (f"{edb[: -len('.edb')]}.stm",)))


class OpensDismountedStores(ReferenceClient):
    """Copies every store that is listed, mounted or not."""

    def databases(self, instance: InstanceBackupInfo) -> Sequence[DatabaseBackupInfo]:
        return instance.databases


class CountsIn32Bits(ReferenceClient):
    """Keeps sizes in 32 bits, so that a file of 4 GiB and 100 bytes has 100."""

    def check_size(self, name: str, received: int, announced: int) -> None:
        super().check_size(name, received, announced & LOW_32_BITS)


class TrustsEndOfFile(ReferenceClient):
    """Reads until nothing more comes, and never asks how much there should have been."""

    counts_bytes = False


class ReadsNothingFirst(ReferenceClient):
    """Begins every file with a read of 0 bytes, to see whether the handle is good."""

    def chunks(self, context: int, handle: int, size: int) -> Iterator[tuple[bytearray, int]]:
        with suppress(EseBackupError):
            self.api.backup_read_file(context, handle, bytearray(0))
        yield from super().chunks(context, handle, size)


class GuessesAnnotation(ReferenceClient):
    """Calls the service by the name that the Windows console shows."""

    def in_context(self, groups: Sequence[str]) -> None:
        self.api.backup_prepare(self.task.server, "Microsoft Exchange Information Store")


# --- what it says


class LetsErrorsThrough(ReferenceClient):
    """Leaves errors of the server to whoever called it."""

    def failed(self, error: EseBackupError | JobFailed) -> Claim:
        raise error


class ClaimsEveryGroup(ReferenceClient):
    """Names a generation for every storage group of the server, also for those not asked for."""

    def back_up_group(self, context: int, instance: InstanceBackupInfo) -> None:
        super().back_up_group(context, instance)
        other_context, instances = self.api.backup_prepare(self.task.server, self.task.annotation)
        self.api.backup_end(other_context)
        high = self.highest[instance.instance_name]
        self.highest = {other.instance_name: high for other in instances} | self.highest


class MovesFilesAway(ReferenceClient):
    """Hands its logs on to an archive, and claims them where they were."""

    def claim(self, outcome: Outcome, reason: str = "") -> Claim:
        for file in self.saved:
            if file.path is not None and log_generation(file.name) is not None:
                file.path.rename(file.path.with_suffix(".archived"))
        return super().claim(outcome, reason)


class RoundsSizesUp(ReferenceClient):
    """Reports sizes in whole megabytes, as its catalogue shows them."""

    def claim(self, outcome: Outcome, reason: str = "") -> Claim:
        mega = 1 << 20
        self.saved = [SavedFile(f.name, -(-f.size // mega) * mega, f.path) for f in self.saved]
        return super().claim(outcome, reason)


# --- several groups


class BacksUpTwice(ReferenceClient):
    """Begins a second backup of the group in another context, and leaves it when it can't."""

    def set_up(self, context: int, instance: InstanceBackupInfo) -> None:
        super().set_up(context, instance)
        second, _ = self.api.backup_prepare(self.task.server, self.task.annotation)
        with suppress(EseBackupError):
            super().set_up(second, instance)
        self.release(second)


class SharesHandle(ReferenceClient):
    """Keeps the handle of the open file in one place for all its threads."""

    current = 0

    def chunks(self, context: int, handle: int, size: int) -> Iterator[tuple[bytearray, int]]:
        self.current = handle
        buffer = bytearray(self.buffer_size)
        while count := self.api.backup_read_file(context, self.current, buffer):
            yield buffer, count


class SharesContext(ReferenceClient):
    """Sets up the groups that it backs up at the same time in one context."""

    def back_up(self) -> None:
        if not self.task.parallel:
            super().back_up()
            return
        context, instances = self.api.backup_prepare(self.task.server, self.task.annotation)
        try:
            for instance in instances:
                if instance.instance_name in self.task.groups:
                    self.set_up(context, instance)
        finally:
            self.release(context)
