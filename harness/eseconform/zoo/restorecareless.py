"""Restore clients that lose bytes, files or logs, and those that tell more than is true.

See :mod:`eseconform.zoo.restoremutants`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress

from attrs import evolve

from eseback.errors import ConnectionLost, EseBackupError
from eseconform.task import Claim, JobKind, Outcome
from eseconform.zoo.reference import JobFailed
from eseconform.zoo.restoring import FAILURES, Plan, RestoringClient, StoredDatabase, StoredFile


class SuccessAfterFailedComplete(RestoringClient):
    """Doesn't look at what Complete answers."""

    def complete(self, plan: Plan) -> None:
        with suppress(EseBackupError):
            super().complete(plan)


class SuccessAfterLostConnection(RestoringClient):
    """Takes a lost connection for a detail of no weight."""

    def restore_group(self, plan: Plan) -> None:
        with suppress(ConnectionLost):
            super().restore_group(plan)


class RestoresWhatIsThere(RestoringClient):
    """Restores as much of a chain as there is, without a word about the rest."""

    def check(self, plan: Plan) -> None:
        plan.images = {name: f for name, f in plan.images.items() if f.path.is_file()}
        found: list[tuple[StoredFile, ...]] = []
        expected: int | None = None
        for files in plan.sets:
            kept: list[StoredFile] = []
            for file in files:
                generation = file.generation
                follows = generation is None or expected in (None, generation)
                if not (file.path.is_file() and follows):
                    break
                expected = expected if generation is None else generation + 1
                kept.append(file)
            found.append(tuple(kept))
        plan.sets = tuple(found)

    def restore_images(self, plan: Plan) -> None:
        for database in plan.databases:
            for source, there in zip(database.streams, plan.there[database.name], strict=True):
                if source in plan.images:
                    self.restore_file(plan, there, plan.images[source])


class RestoresDamagedSet(RestoringClient):
    """Restores files whatever has become of them since they were saved."""

    def check(self, plan: Plan) -> None:
        pass


class OnlyFirstDatabase(RestoringClient):
    """Restores the first database of a storage group, as if there were never more."""

    def plan(self, group: str) -> Plan:
        plan = super().plan(group)
        return evolve(plan, databases=plan.databases[:1])


class OnlyFirstGroup(RestoringClient):
    """Restores the first storage group and reports success for all."""

    def restore_all(self, plans: Sequence[Plan]) -> None:
        super().restore_all(plans[:1])


class OnlyFullSet(RestoringClient):
    """Restores the full set of a chain and forgets its increments."""

    def restore_sets(self, plan: Plan) -> None:
        plan.sets = plan.sets[:1]
        super().restore_sets(plan)


class SkipsLastLog(RestoringClient):
    """Leaves out the last log, as if the end of the range were exclusive."""

    def plan(self, group: str) -> Plan:
        plan = super().plan(group)
        last = next(files for files in reversed(plan.sets) if files)[-1]
        return evolve(plan, sets=tuple(tuple(f for f in s if f is not last) for s in plan.sets))


class SwapsDestinations(RestoringClient):
    """Names the destinations itself, in the order in which it finds them: the wrong one."""

    def add_databases(self, plan: Plan) -> None:
        places = [d.streams for d in plan.databases][::-1]
        for database, there in zip(plan.databases, places, strict=True):
            self.api.restore_add_database_ns(
                plan.context, database.name, database.guid, database.streams, there
            )
            plan.there[database.name] = there


class ClaimsHigherGeneration(RestoringClient):
    """Says that the databases are at the log after the last one."""

    def claim(self, outcome: Outcome, reason: str = "") -> Claim:
        if self.task.kind is JobKind.RESTORE:
            self.highest = {group: at + 1 for group, at in self.highest.items()}
        return super().claim(outcome, reason)


class LosesLastPiece(RestoringClient):
    """Leaves its loop when less than a full buffer is left."""

    def pieces(self, file: StoredFile) -> Iterator[bytes]:
        for data in super().pieces(file):
            if len(data) == self.write_size:
                yield data


class RepeatsPiece(RestoringClient):
    """Writes the second piece of every file twice."""

    write_size = 4096

    def pieces(self, file: StoredFile) -> Iterator[bytes]:
        for number, data in enumerate(super().pieces(file)):
            yield data
            if number == 1:
                yield data


class IgnoresRefusal(RestoringClient):
    """Leaves out a database that the server refuses, and says nothing about it."""

    def add_databases(self, plan: Plan) -> None:
        taken: list[StoredDatabase] = []
        for database in plan.databases:
            with suppress(EseBackupError):
                plan.there[database.name] = self.add_database(plan, database)
                taken.append(database)
        plan.databases = tuple(taken)

    def complete(self, plan: Plan) -> None:
        if plan.databases:
            super().complete(plan)


class RestoresEveryDatabase(RestoringClient):
    """Restores every database of the set, whichever the job is about."""

    def plan(self, group: str) -> Plan:
        task, self.task = self.task, evolve(self.task, databases=())
        try:
            return super().plan(group)
        finally:
            self.task = task


class IgnoresTarget(RestoringClient):
    """Restores over the original, wherever the job wants the databases."""

    def place_in_target(self, database: StoredDatabase) -> tuple[str, ...] | None:
        return database.streams


class ForgetsPlayForward(RestoringClient):
    """Restores to the end of the sets, and leaves the later logs where they are."""

    def complete(self, plan: Plan) -> None:
        self.api.restore_complete(plan.context, plan.folder, plan.folder, None, self.flags())


class CleansUpItsSets(RestoringClient):
    """Deletes the logs of a set that was restored: they are on the server now."""

    def finish(self, plan: Plan) -> None:
        super().finish(plan)
        for files in plan.sets:
            for file in files:
                file.path.unlink(missing_ok=True)


class NeverRestores(RestoringClient):
    """Reports success for a job of a kind that it takes for an exercise."""

    def check(self, plan: Plan) -> None:
        pass

    def restore_all(self, plans: Sequence[Plan]) -> None:
        self.highest = {plan.group: plan.generations[-1] for plan in plans}


class AlwaysSucceeds(RestoringClient):
    """Logs an error and reports success, because the job has run to its end."""

    def restore_all(self, plans: Sequence[Plan]) -> None:
        for plan in plans:
            with suppress(*FAILURES):
                self.restore_group(plan)


class GivesUpQuietly(RestoringClient):
    """Skips a storage group that makes trouble, and reports success for the others and for it."""

    def restore_group(self, plan: Plan) -> None:
        with suppress(EseBackupError, JobFailed):
            super().restore_group(plan)
