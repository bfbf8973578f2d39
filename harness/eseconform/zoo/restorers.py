"""The clients of the zoo that restore, as data; see :mod:`eseconform.zoo.specimens`."""

from __future__ import annotations

from typing import ClassVar, Final

from attrs import frozen

from eseconform.cases import Case
from eseconform.cases.restorefaults import FAMILY
from eseconform.task import Capability
from eseconform.verdicts import Axis
from eseconform.zoo import restorecareless, restoremutants, restoreodd
from eseconform.zoo.restoring import RestoringClient
from eseconform.zoo.specimen import Specimen, explained

FOR_FAULTS: Final = (
    restoremutants.ForgetsAbort,
    restoremutants.RetriesBlindly,
    restorecareless.SuccessAfterFailedComplete,
    restorecareless.SuccessAfterLostConnection,
    restorecareless.NeverRestores,
    restorecareless.AlwaysSucceeds,
)
"""Mutants whose bug shows when a call goes wrong, or always."""


@frozen
class RestoringSpecimen(Specimen):
    """A client that backs up like the reference client, and restores in its own way."""

    capabilities: ClassVar[tuple[Capability, ...]] = tuple(Capability)

    @property
    def name(self) -> str:
        """Its class in snake case, marked as one that restores."""
        name = super().name
        return name if name.startswith("restor") else f"restore_{name}"

    def meets(self, case: Case) -> bool:
        """Cases with a restore; what it saves is what the reference client saves. A fault at a
        call that it never makes would show nothing, and a mutant whose bug has nothing to do with
        faults need not meet all of them.
        """
        assert issubclass(self.client, RestoringClient), "clients of this kind restore"
        if case.family == FAMILY and self.axis is not None and self.client not in FOR_FAULTS:
            return False
        avoided = any(fault.call in self.client.never_calls for fault in case.faults)
        return Capability.RESTORE in case.needs and not avoided


@frozen
class RestoringControl(RestoringSpecimen):
    """The client that the others are made from; it is put before every case."""

    def meets(self, case: Case) -> bool:
        """Every chain that it saves is restored, too."""
        return True


RESTORE_CONTROL = RestoringControl(RestoringClient, None, explained(RestoringClient))

RESTORE_MUTANTS: tuple[Specimen, ...] = tuple(
    RestoringSpecimen(client, axis, explained(client))
    for client, axis in (
        (restoremutants.RestoresIntoLogFolder, Axis.PROTOCOL),
        (restoremutants.IncrementsFirst, Axis.PROTOCOL),
        (restoremutants.AnnouncesNoLogs, Axis.PROTOCOL),
        (restoremutants.CompletesEarly, Axis.PROTOCOL),
        (restoremutants.OneFolderForAll, Axis.PROTOCOL),
        (restoremutants.OverwritesMountedDatabase, Axis.PROTOCOL),
        (restoremutants.ForgetsEnvironment, Axis.PROTOCOL),
        (restoremutants.ClosesUnsaved, Axis.PROTOCOL),
        (restoremutants.ForgetsStreamingFiles, Axis.PROTOCOL),
        (restoremutants.ForgetsPatchFiles, Axis.PROTOCOL),
        (restoremutants.NeverCloses, Axis.TEARDOWN),
        (restoremutants.ForgetsAbort, Axis.TEARDOWN),
        (restoremutants.AbortsAfterSuccess, Axis.PROTOCOL),
        (restoremutants.DoesNotLook, Axis.HONESTY),
        (restoremutants.GuessesGuid, Axis.PROTOCOL),
        (restoremutants.LeavesFilesOpen, Axis.PROTOCOL),
        (restoremutants.WritesPastHandle, Axis.PROTOCOL),
        (restoremutants.InsistsOnHandle, Axis.PROTOCOL),
        (restoremutants.AlwaysPlaysForward, Axis.PROTOCOL),
        (restoremutants.MixesGroups, Axis.PROTOCOL),
        (restoremutants.GoesOnAfterClose, Axis.PROTOCOL),
        (restoremutants.OpensBeforeAdding, Axis.PROTOCOL),
        (restoremutants.CopiesLogsToGroup, Axis.DATA),
        (restoremutants.SplitsSets, Axis.PROTOCOL),
        (restoremutants.LosesPatience, Axis.HONESTY),
        (restoremutants.RetriesBlindly, Axis.PROTOCOL),
        (restoremutants.NamesOwnTarget, Axis.PROTOCOL),
        (restorecareless.SuccessAfterFailedComplete, Axis.HONESTY),
        (restorecareless.SuccessAfterLostConnection, Axis.HONESTY),
        (restorecareless.RestoresWhatIsThere, Axis.HONESTY),
        (restorecareless.RestoresDamagedSet, Axis.HONESTY),
        (restorecareless.OnlyFirstDatabase, Axis.DATA),
        (restorecareless.OnlyFirstGroup, Axis.HONESTY),
        (restorecareless.OnlyFullSet, Axis.DATA),
        (restorecareless.SkipsLastLog, Axis.DATA),
        (restorecareless.SwapsDestinations, Axis.DATA),
        (restorecareless.ClaimsHigherGeneration, Axis.HONESTY),
        (restorecareless.LosesLastPiece, Axis.DATA),
        (restorecareless.RepeatsPiece, Axis.DATA),
        (restorecareless.IgnoresRefusal, Axis.HONESTY),
        (restorecareless.RestoresEveryDatabase, Axis.DATA),
        (restorecareless.IgnoresTarget, Axis.DATA),
        (restorecareless.ForgetsPlayForward, Axis.DATA),
        (restorecareless.CleansUpItsSets, Axis.DATA),
        (restorecareless.NeverRestores, Axis.HONESTY),
        (restorecareless.AlwaysSucceeds, Axis.HONESTY),
        (restorecareless.GivesUpQuietly, Axis.HONESTY),
    )
)

RESTORE_ODD: tuple[Specimen, ...] = tuple(
    RestoringSpecimen(client, None, explained(client))
    for client in (
        restoreodd.ReopensBetweenSets,
        restoreodd.TinyWrites,
        restoreodd.LogsFirst,
        restoreodd.NamesDestinations,
        restoreodd.AsksAllTheTime,
        restoreodd.WaitsByLooking,
        restoreodd.OwnFolders,
        restoreodd.OneContextEach,
        restoreodd.TriesOutFirst,
        restoreodd.TriesFilesAgain,
        restoreodd.LastDatabaseFirst,
    )
)
