"""Restore clients that do things in unusual but correct ways. The harness must let every one of
them pass.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import evolve

from eseback.constants import RecoverStatus, RestoreClose, RestoreComplete
from eseback.errors import EseBackupError
from eseconform.zoo.reference import JobFailed
from eseconform.zoo.restoring import FAILURES, Plan, RestoringClient, StoredDatabase, StoredFile

LOOKS_MAX = 50


class ReopensBetweenSets(RestoringClient):
    """Saves and closes the restore after the images and after every set, and reopens it."""

    def restore_sets(self, plan: Plan) -> None:
        self.add_databases(plan)
        self.restore_images(plan)
        for files in plan.sets:
            self.api.restore_save_environment(plan.context)
            self.finish(plan)
            plan.context = self.api.restore_reopen(self.task.server, None, plan.folder)
            self.restore_logs(plan, files)


class TinyWrites(RestoringClient):
    """Writes 1 000 bytes at a time: no multiple of a page, no power of two."""

    write_size = 1000


class LogsFirst(RestoringClient):
    """Restores the logs before the images, and of the images the streaming files first."""

    def restore_sets(self, plan: Plan) -> None:
        self.add_databases(plan)
        for files in plan.sets:
            self.restore_logs(plan, files[::-1])
        self.restore_images(plan)

    def restore_images(self, plan: Plan) -> None:
        for database in reversed(plan.databases):
            pairs = list(zip(database.streams, plan.there[database.name], strict=True))
            for source, there in reversed(pairs):
                self.restore_file(plan, there, plan.images[source])


class NamesDestinations(RestoringClient):
    """Names the destinations itself, as it knows them from the backup."""

    never_calls = ("restore_add_database",)

    def add_database(self, plan: Plan, database: StoredDatabase) -> tuple[str, ...]:
        if self.task.target is not None:
            return super().add_database(plan, database)
        streams = database.streams
        self.api.restore_add_database_ns(
            plan.context, database.name, database.guid, streams, streams
        )
        return streams


class AsksAllTheTime(RestoringClient):
    """Saves after every file, and looks at both the environment and what was saved of it."""

    def restore_file(self, plan: Plan, there: str, file: StoredFile) -> None:
        super().restore_file(plan, there, file)
        self.api.restore_save_environment(plan.context)
        self.api.restore_get_environment(plan.context)
        self.api.restore_load_environment(self.task.server, plan.folder)


class WaitsByLooking(RestoringClient):
    """Has the server recover without waiting for it, and looks until that is over."""

    def flags(self) -> RestoreComplete:
        return super().flags() | RestoreComplete.NOWAIT

    def complete(self, plan: Plan) -> None:
        super().complete(plan)
        for _ in range(LOOKS_MAX):
            environment = self.api.restore_get_environment(plan.context)
            if environment.status_last_recover == RecoverStatus.ENDED:
                break
        else:
            raise JobFailed("the recovery does not end")
        if environment.hr_last_recover:
            raise JobFailed(f"the recovery failed with 0x{environment.hr_last_recover:08X}")


class OwnFolders(RestoringClient):
    """Chooses the folder of every restore itself, on another drive."""

    def new_folder(self, plan: Plan) -> str | None:
        number = self.task.groups.index(plan.group)
        return f"D:\\Restore {self.task.set_folder.name}\\{number}"


class OneContextEach(RestoringClient):
    """Restores every database by itself, each in a restore of its own with all the logs."""

    def restore_group(self, plan: Plan) -> None:
        for database in plan.databases:
            super().restore_group(evolve(plan, databases=(database,), there={}))


class TriesOutFirst(RestoringClient):
    """Opens a restore, adds the databases and aborts it, to see whether it could; then does it."""

    def begin(self, plan: Plan) -> None:
        super().begin(plan)
        try:
            self.add_databases(plan)
        except FAILURES:
            self.give_up(plan)
            raise
        self.api.restore_close(plan.context, RestoreClose.ABORT)
        super().begin(plan)


class TriesFilesAgain(RestoringClient):
    """Restores a file a second time when a call about it fails."""

    def restore_file(self, plan: Plan, there: str, file: StoredFile) -> None:
        try:
            super().restore_file(plan, there, file)
        except EseBackupError:
            super().restore_file(plan, there, file)


class LastDatabaseFirst(RestoringClient):
    """Adds the databases last to first, and opens the files of each right after it."""

    def restore_sets(self, plan: Plan) -> None:
        everything: Sequence[StoredDatabase] = plan.databases
        for database in reversed(everything):
            plan.there[database.name] = self.add_database(plan, database)
            for source, there in zip(database.streams, plan.there[database.name], strict=True):
                self.restore_file(plan, there, plan.images[source])
        for files in plan.sets:
            self.restore_logs(plan, files)
