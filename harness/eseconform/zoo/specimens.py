"""The inhabitants of the zoo as data: class, what is wrong with it, and where that has to show."""

from __future__ import annotations

import re

from attrs import frozen

from eseback.api import BackupApi
from eseconform.task import Claim, Task
from eseconform.verdicts import Axis
from eseconform.zoo import careless, mutants, odd, unruly
from eseconform.zoo.reference import ReferenceClient


@frozen
class Specimen:
    """One client of the zoo; calling it does a job, as the harness expects of a factory.

    Attributes:
        client: the class.
        axis: where its bug has to be caught; None for a client that has none.
        explanation: one sentence for somebody who reads the report.
    """

    client: type[ReferenceClient]
    axis: Axis | None
    explanation: str

    @property
    def name(self) -> str:
        """Name for reports and the command line: the class's in snake case."""
        return re.sub(r"(?<!^)(?=[A-Z])", "_", self.client.__name__).lower()

    @property
    def sut(self) -> str:
        """What to give to ``--sut`` to run this client alone."""
        return f"python:eseconform.zoo:{self.name}"

    def __call__(self, api: BackupApi, task: Task) -> Claim:
        return self.client(api, task).run()


def explained(client: type[ReferenceClient]) -> str:
    """What a client does, in one sentence: the first paragraph of its class."""
    return " ".join((client.__doc__ or "").split())


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

SPECIMENS: tuple[Specimen, ...] = (CONTROL, *MUTANTS, *ODD)
