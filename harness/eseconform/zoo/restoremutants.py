"""Restore clients with one realistic bug each in what they call, and in which order.

See :mod:`eseconform.zoo.restorecareless` for those that lose bytes or tell more than is true.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from contextlib import suppress

from attrs import evolve

from eseback.constants import RestoreClose, RestoreComplete
from eseback.errors import EseBackupError
from eseconform.zoo.reference import JobFailed
from eseconform.zoo.restoring import FAILURES, Plan, RestoringClient, StoredDatabase, StoredFile


class RestoresIntoLogFolder(RestoringClient):
    """Gives the storage group's own log folder as the folder of the restore."""

    def new_folder(self, plan: Plan) -> str | None:
        return plan.sets[0][0].name.rpartition("\\")[0]


class IncrementsFirst(RestoringClient):
    """Restores the newest sets first, and the full set last."""

    def restore_sets(self, plan: Plan) -> None:
        for files in reversed(plan.sets[1:]):
            self.restore_logs(plan, files)
        self.add_databases(plan)
        self.restore_images(plan)
        self.restore_logs(plan, plan.sets[0])


class AnnouncesNoLogs(RestoringClient):
    """Copies the logs into the folder of the restore, and calls OpenFile for databases only."""

    def restore_logs(self, plan: Plan, files: Sequence[StoredFile]) -> None:
        for file in files:
            self.write_myself(f"{plan.folder}\\{file.tail}", file)


class CompletesEarly(RestoringClient):
    """Has the recovery begin while the last log is still on its way."""

    def carry_on(self, plan: Plan) -> None:
        last = plan.sets[-1][-1:] or plan.sets[0][-1:]
        plan.sets = tuple(tuple(f for f in files if f not in last) for files in plan.sets)
        try:
            self.restore_sets(plan)
            self.api.restore_save_environment(plan.context)
            self.complete(plan)
            with suppress(EseBackupError):
                self.restore_logs(plan, last)
        except FAILURES:
            self.give_up(plan)
            raise
        self.finish(plan)


class OneFolderForAll(RestoringClient):
    """Restores every storage group through one folder."""

    def new_folder(self, plan: Plan) -> str | None:
        return "C:\\Restored"


class OverwritesMountedDatabase(RestoringClient):
    """Writes the files of a database itself when the server won't let it be restored."""

    def add_database(self, plan: Plan, database: StoredDatabase) -> tuple[str, ...]:
        try:
            return super().add_database(plan, database)
        except EseBackupError:
            for stream in database.streams:
                self.write_myself(stream, plan.images[stream])
            raise


class ForgetsEnvironment(RestoringClient):
    """Completes a restore without having saved its environment."""

    def carry_on(self, plan: Plan) -> None:
        try:
            self.restore_sets(plan)
            self.complete(plan)
        except FAILURES:
            self.give_up(plan)
            raise
        self.finish(plan)


class ClosesUnsaved(RestoringClient):
    """Closes the restore after every set and reopens it for the next, but never saves it."""

    def restore_sets(self, plan: Plan) -> None:
        self.add_databases(plan)
        self.restore_images(plan)
        for number, files in enumerate(plan.sets):
            if number:
                self.finish(plan)
                plan.context = self.api.restore_reopen(self.task.server, None, plan.folder)
            self.restore_logs(plan, files)


class ForgetsStreamingFiles(RestoringClient):
    """Restores the .edb of each database and forgets the .stm."""

    def restore_images(self, plan: Plan) -> None:
        for database in plan.databases:
            source = database.streams[0]
            self.restore_file(plan, plan.there[database.name][0], plan.images[source])


class ForgetsPatchFiles(RestoringClient):
    """Restores the logs that are called .log, and nothing else from their list."""

    def restore_logs(self, plan: Plan, files: Sequence[StoredFile]) -> None:
        super().restore_logs(plan, [f for f in files if f.generation is not None])


class NeverCloses(RestoringClient):
    """Leaves the context open when the restore is done; the process ends soon anyway."""

    def finish(self, plan: Plan) -> None:
        pass


class ForgetsAbort(RestoringClient):
    """Returns at once after an error, and leaves the restore open."""

    def give_up(self, plan: Plan) -> None:
        pass


class AbortsAfterSuccess(RestoringClient):
    """Closes every restore with ABORT, to be sure that nothing is left."""

    def finish(self, plan: Plan) -> None:
        self.give_up(plan)


class DoesNotLook(RestoringClient):
    """Has the server recover without waiting for it, and never looks how it ended."""

    def flags(self) -> RestoreComplete:
        return super().flags() | RestoreComplete.NOWAIT


class GuessesGuid(RestoringClient):
    """Adds databases under GUIDs of its own, for the names are known."""

    def add_database(self, plan: Plan, database: StoredDatabase) -> tuple[str, ...]:
        guid = uuid.uuid5(uuid.NAMESPACE_DNS, database.name)
        return super().add_database(plan, evolve(database, guid=guid))


class LeavesFilesOpen(RestoringClient):
    """Closes a file when it opens the next, and so never the last."""

    last: int | None = None

    def restore_file(self, plan: Plan, there: str, file: StoredFile) -> None:
        if self.last is not None:
            self.api.restore_close_file(plan.context, self.last)
        opened = self.api.restore_open_file(plan.context, there)
        self.last = opened.handle
        if opened.handle is None:
            self.write_myself(there, file)
            return
        for data in self.pieces(file):
            self.api.restore_write_file(plan.context, opened.handle, data)


class WritesPastHandle(RestoringClient):
    """Writes every file with file I/O, also where the server gave a handle for it."""

    def restore_file(self, plan: Plan, there: str, file: StoredFile) -> None:
        opened = self.api.restore_open_file(plan.context, there)
        if opened.handle is not None:
            self.api.restore_close_file(plan.context, opened.handle)
        self.write_myself(there, file)


class InsistsOnHandle(RestoringClient):
    """Writes through the API also where the server wants file I/O."""

    def restore_file(self, plan: Plan, there: str, file: StoredFile) -> None:
        opened = self.api.restore_open_file(plan.context, there)
        handle = opened.handle or 0
        for data in self.pieces(file):
            self.api.restore_write_file(plan.context, handle, data)
        self.api.restore_close_file(plan.context, handle)


class AlwaysPlaysForward(RestoringClient):
    """Replays whatever logs the storage group still has, asked or not."""

    def complete(self, plan: Plan) -> None:
        folder = plan.folder
        target = plan.group if self.is_running(plan.group) else None
        if target is None:
            folder = plan.sets[0][0].name.rpartition("\\")[0]
        self.api.restore_complete(plan.context, folder, folder, target, self.flags())


class MixesGroups(RestoringClient):
    """Restores all storage groups through the restore of the first."""

    def restore_all(self, plans: Sequence[Plan]) -> None:
        first = plans[0]
        self.begin(first)
        try:
            for plan in plans:
                plan.context, plan.folder = first.context, first.folder
                self.restore_sets(plan)
            self.api.restore_save_environment(first.context)
            self.complete(first)
        except FAILURES:
            self.give_up(first)
            raise
        self.finish(first)


class GoesOnAfterClose(RestoringClient):
    """Asks for the environment once more after it has closed the restore."""

    def finish(self, plan: Plan) -> None:
        super().finish(plan)
        with suppress(EseBackupError):
            self.api.restore_get_environment(plan.context)


class OpensBeforeAdding(RestoringClient):
    """Opens the files at their old places, and adds their databases afterwards."""

    def restore_sets(self, plan: Plan) -> None:
        plan.there = {d.name: d.streams for d in plan.databases}
        with suppress(EseBackupError):
            self.api.restore_open_file(plan.context, plan.databases[0].streams[0])
        super().restore_sets(plan)


class CopiesLogsToGroup(RestoringClient):
    """Puts the logs where they came from as well: recovery will know which it needs."""

    def restore_logs(self, plan: Plan, files: Sequence[StoredFile]) -> None:
        super().restore_logs(plan, files)
        for file in files:
            self.write_myself(file.name, file)


class SplitsSets(RestoringClient):
    """Opens a restore of its own for every set of a chain."""

    def restore_sets(self, plan: Plan) -> None:
        self.add_databases(plan)
        self.restore_images(plan)
        self.restore_logs(plan, plan.sets[0])
        for files in plan.sets[1:]:
            other = evolve(plan, sets=(files,))
            self.begin(other)
            self.restore_logs(other, files)
            self.api.restore_save_environment(other.context)
            self.api.restore_close(other.context, RestoreClose.NORMAL)


class LosesPatience(RestoringClient):
    """Takes a refused database for a reason to end the process."""

    def add_database(self, plan: Plan, database: StoredDatabase) -> tuple[str, ...]:
        try:
            return super().add_database(plan, database)
        except EseBackupError as error:
            self.give_up(plan)
            raise SystemExit(1) from error


class RetriesBlindly(RestoringClient):
    """Writes on after a write that failed, and closes the file as if nothing had happened."""

    def restore_file(self, plan: Plan, there: str, file: StoredFile) -> None:
        opened = self.api.restore_open_file(plan.context, there)
        if opened.handle is None:
            self.write_myself(there, file)
            return
        for data in self.pieces(file):
            with suppress(EseBackupError):
                self.api.restore_write_file(plan.context, opened.handle, data)
        with suppress(EseBackupError):
            self.api.restore_close_file(plan.context, opened.handle)


class NamesOwnTarget(RestoringClient):
    """Names a storage group that nobody asked for as the one to play forward from."""

    def complete(self, plan: Plan) -> None:
        name = f"{plan.group} (restored)"
        try:
            self.api.restore_complete(plan.context, plan.folder, plan.folder, name, self.flags())
        except EseBackupError as error:
            raise JobFailed(f"no target: {error}") from error
