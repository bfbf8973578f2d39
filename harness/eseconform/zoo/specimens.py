"""The inhabitants of the zoo as data: class, what is wrong with it, and where that has to show."""

from __future__ import annotations

from eseconform.verdicts import Axis
from eseconform.zoo import breadth, careless, mutants, odd, unruly
from eseconform.zoo.reference import ReferenceClient
from eseconform.zoo.restorers import RESTORE_CONTROL, RESTORE_MUTANTS, RESTORE_ODD
from eseconform.zoo.specimen import Specimen, explained

__all__ = ["CONTROL", "MUTANTS", "ODD", "SPECIMENS", "Specimen", "explained"]


MUTANTS: tuple[Specimen, ...] = (
    Specimen(
        mutants.SkipsStreamingFile,
        Axis.DATA,
        "Copies the .edb of each database and forgets the .stm, where the message bodies are.",
    ),
    Specimen(
        mutants.IgnoresReadError,
        Axis.HONESTY,
        "Takes a failed read for the end of a file and reports success for what it got.",
    ),
    Specimen(
        mutants.TruncatesEarly,
        Axis.PROTOCOL,
        "Has the logs deleted on the server while the last one is not stored yet.",
    ),
    Specimen(
        mutants.StopsShort,
        Axis.DATA,
        "Leaves its read loop when less than a full buffer is left, so that files lose their end.",
    ),
    Specimen(
        mutants.OpensDatabaseLate,
        Axis.PROTOCOL,
        "Opens a database after it asked for the logs, which ends the whole backup.",
    ),
    Specimen(
        mutants.LeavesGroupLocked,
        Axis.TEARDOWN,
        "Returns at once after an error: the storage group stays locked for backups and mounts.",
    ),
    Specimen(
        mutants.SwapsTwoLogs,
        Axis.DATA,
        "Stores two logs under each other's name, so that the chain of logs breaks.",
    ),
    Specimen(
        mutants.DropsLog,
        Axis.DATA,
        "Leaves out the last log of the list, without which the databases can't be recovered.",
    ),
    Specimen(
        mutants.WritesWholeBuffer,
        Axis.DATA,
        "Writes its whole buffer after every read, also when the read brought less.",
    ),
    Specimen(
        mutants.ClaimsSuccessAfterLostConnection,
        Axis.HONESTY,
        "Loses the connection before the backup is ended, and reports success all the same.",
    ),
    *(
        Specimen(client, axis, explained(client))
        for client, axis in (
            (careless.SkipsLastPage, Axis.DATA),
            (careless.DropsHeaderPage, Axis.DATA),
            (careless.OnlyStreamingFile, Axis.DATA),
            (careless.OnlyFirstDatabase, Axis.DATA),
            (careless.SwapsStreams, Axis.DATA),
            (careless.IgnoresCount, Axis.DATA),
            (careless.RepeatsChunk, Axis.DATA),
            (careless.WritesTextMode, Axis.DATA),
            (careless.OverwritesSameName, Axis.DATA),
            (careless.ForgetsFirstLog, Axis.DATA),
            (careless.SkipsGroupSilently, Axis.HONESTY),
            (careless.OnlyFirstGroup, Axis.HONESTY),
            (careless.ClaimsHigherGeneration, Axis.HONESTY),
            (careless.AlwaysSuccess, Axis.HONESTY),
            (careless.SuccessAfterFailedRead, Axis.HONESTY),
            (careless.EndsFailureAsSuccess, Axis.PROTOCOL),
            (careless.IgnoresEndError, Axis.HONESTY),
            (unruly.ForgetsInstanceEnd, Axis.HONESTY),
            (unruly.NeverEndsContext, Axis.TEARDOWN),
            (unruly.NeverCloses, Axis.PROTOCOL),
            (unruly.ReusesHandle, Axis.PROTOCOL),
            (unruly.OpensTwoFiles, Axis.PROTOCOL),
            (unruly.GuessesLogList, Axis.PROTOCOL),
            (unruly.TruncatesBeforeList, Axis.PROTOCOL),
            (unruly.GoesOnAfterError, Axis.PROTOCOL),
            (unruly.EndsTwice, Axis.PROTOCOL),
            (unruly.SucceedsWithoutLogs, Axis.PROTOCOL),
            (breadth.TruncatesAfterCopy, Axis.PROTOCOL),
            (breadth.TruncatesAfterDifferential, Axis.DATA),
            (breadth.IgnoresMissingFull, Axis.HONESTY),
            (breadth.TakesAnyJobForFull, Axis.HONESTY),
            (breadth.SetsUpFullForLogs, Axis.PROTOCOL),
            (breadth.PartialTakesFirst, Axis.DATA),
            (breadth.WritesIntoEarlierSet, Axis.DATA),
            (breadth.SwapsDatabases, Axis.DATA),
            (breadth.IgnoresPatchFiles, Axis.PROTOCOL),
            (breadth.LogsOfDigitsOnly, Axis.DATA),
            (breadth.KnowsFiveDigits, Axis.DATA),
            (breadth.AssumesStreamingFile, Axis.PROTOCOL),
            (breadth.OpensDismountedStores, Axis.PROTOCOL),
            (breadth.CountsIn32Bits, Axis.DATA),
            (breadth.TrustsEndOfFile, Axis.DATA),
            (breadth.ReadsNothingFirst, Axis.PROTOCOL),
            (breadth.GuessesAnnotation, Axis.PROTOCOL),
            (breadth.LetsErrorsThrough, Axis.HONESTY),
            (breadth.ClaimsEveryGroup, Axis.HONESTY),
            (breadth.MovesFilesAway, Axis.HONESTY),
            (breadth.RoundsSizesUp, Axis.HONESTY),
            (breadth.BacksUpTwice, Axis.PROTOCOL),
            (breadth.SharesHandle, Axis.PROTOCOL),
            (breadth.SharesContext, Axis.PROTOCOL),
        )
    ),
)

ODD: tuple[Specimen, ...] = (
    Specimen(odd.TinyReads, None, "Reads 1 000 bytes at a time, aligned to nothing."),
    Specimen(odd.HugeReads, None, "Reads with a buffer larger than any file."),
    Specimen(odd.ReversedDatabases, None, "Copies databases and their files in reverse order."),
    Specimen(
        odd.Talkative,
        None,
        "Makes every optional call, some twice, and uses one context for all storage groups.",
    ),
    *(
        Specimen(client, None, explained(client))
        for client in (
            odd.GrowingReads,
            odd.ReadsBeyondEnd,
            odd.LogsBackwards,
            odd.TriesOutFirst,
            odd.OpensTwiceInTurn,
        )
    ),
)

CONTROL = Specimen(ReferenceClient, None, "The client that the others are made from.")

SPECIMENS: tuple[Specimen, ...] = (
    *(CONTROL, *MUTANTS, *ODD),
    *(RESTORE_CONTROL, *RESTORE_MUTANTS, *RESTORE_ODD),
)
