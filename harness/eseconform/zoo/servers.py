"""The broken servers of the zoo as data: the simulator with one realistic bug each.

``eseconform check --server inproc:NAME`` has to find every one, by the rule that it breaks.
"""

from __future__ import annotations

from typing import Final

from attrs import frozen

from eseconform.zoo import serverchains, serverfiles, serverorder, serverrestores
from esesim.server import SimulatedServer


@frozen
class ServerMutant:
    """A broken server of the zoo.

    Attributes:
        name: for ``--server inproc:NAME``.
        server: the class.
        rule: id of the rule that it breaks.
        check: id of the check that finds it first.
        explanation: one sentence for somebody who reads the report.
    """

    name: str
    server: type[SimulatedServer]
    rule: str
    check: str

    @property
    def explanation(self) -> str:
        """What is wrong with it: the first sentence of its class."""
        return " ".join((self.server.__doc__ or "").split())

    @property
    def spec(self) -> str:
        """What to give to ``--server``."""
        return f"inproc:{self.name}"


_ORDER, _LOCK, _READ, _LOG, _TRN, _CHN, _DATA = (
    f"ESE-SRV-{group}-00" for group in ("ORD", "LCK", "READ", "LOG", "TRN", "CHN", "DATA")
)

SERVER_MUTANTS: Final[tuple[ServerMutant, ...]] = (
    ServerMutant(
        "opens_database_after_logs", serverorder.OpensDatabaseAfterLogs, f"{_ORDER}4", "order-logs"
    ),
    ServerMutant(
        "second_setup_ends_first", serverorder.SecondSetupEndsFirst, f"{_ORDER}3", "two-clients"
    ),
    ServerMutant("forgets_mount_lock", serverorder.ForgetsMountLock, f"{_LOCK}1", "mount-lock"),
    ServerMutant(
        "keeps_group_of_lost_client",
        serverorder.KeepsGroupOfLostClient,
        f"{_LOCK}3",
        "freed-by-hang-up",
    ),
    ServerMutant("leaves_out_trailer", serverfiles.LeavesOutTrailer, f"{_READ}2", "pages"),
    ServerMutant("promises_size_on_disk", serverfiles.PromisesSizeOnDisk, f"{_READ}1", "sizes"),
    ServerMutant("end_of_file_is_error", serverfiles.EndOfFileIsError, f"{_READ}4", "ends"),
    ServerMutant("serves_stale_pages", serverfiles.ServesStalePages, f"{_DATA}1", "full-restores"),
    ServerMutant("sends_damaged_pages", serverfiles.SendsDamagedPages, f"{_READ}3", "damaged-page"),
    ServerMutant("lists_current_log", serverfiles.ListsCurrentLog, f"{_LOG}3", "list-closed"),
    ServerMutant("rolls_twice", serverfiles.RollsTwice, f"{_LOG}2", "list-rolls-once"),
    ServerMutant(
        "lists_from_late_checkpoint", serverfiles.ListsFromLateCheckpoint, f"{_LOG}5", "list-begins"
    ),
    ServerMutant(
        "truncates_one_too_many", serverchains.TruncatesOneTooMany, f"{_TRN}1", "truncates-named"
    ),
    ServerMutant(
        "ignores_dismounted_store",
        serverchains.IgnoresDismountedStore,
        f"{_TRN}4",
        "truncates-dismounted",
    ),
    ServerMutant(
        "ignores_left_out_databases",
        serverchains.IgnoresLeftOutDatabases,
        f"{_TRN}3",
        "truncates-left-out",
    ),
    ServerMutant("truncates_at_end", serverchains.TruncatesAtEnd, f"{_TRN}5", "keeps-logs"),
    ServerMutant(
        "marks_at_truncation", serverchains.MarksAtTruncation, f"{_CHN}1", "truncated-in-vain"
    ),
    ServerMutant("logs_only_without_full", serverchains.LogsOnlyWithoutFull, f"{_CHN}2", "no-full"),
    ServerMutant("copy_counts_as_full", serverchains.CopyCountsAsFull, f"{_CHN}4", "copy-marks"),
    ServerMutant(
        "lists_without_backup",
        serverorder.ListsWithoutBackup,
        f"{_ORDER}1",
        "order-prepared",
    ),
    ServerMutant("end_needs_setup", serverorder.EndNeedsSetup, f"{_ORDER}1", "order-ended"),
    ServerMutant(
        "refused_list_ends_backup",
        serverorder.RefusedListEndsBackup,
        f"{_ORDER}2",
        "order-database-open",
    ),
    ServerMutant("end_keeps_backup", serverorder.EndKeepsBackup, f"{_LOCK}2", "freed-by-end"),
    ServerMutant(
        "keeps_group_after_error", serverorder.KeepsGroupAfterError, f"{_LOCK}2", "freed-by-error"
    ),
    ServerMutant(
        "lists_all_as_mounted", serverorder.ListsAllAsMounted, "ESE-SRV-DSC-001", "prepare"
    ),
    ServerMutant("lists_anew", serverfiles.ListsAnew, f"{_LOG}1", "list-stable"),
    ServerMutant("sends_half_logs", serverfiles.SendsHalfLogs, f"{_LOG}4", "logs-whole"),
    ServerMutant(
        "skips_log_of_incremental",
        serverfiles.SkipsLogOfIncremental,
        f"{_DATA}2",
        "chain-restores",
    ),
    ServerMutant(
        "truncates_what_is_needed",
        serverchains.TruncatesWhatIsNeeded,
        f"{_TRN}2",
        "truncates-unneeded",
    ),
    ServerMutant(
        "incremental_from_checkpoint", serverchains.IncrementalFromCheckpoint, f"{_CHN}3", "joins"
    ),
    *(ServerMutant(*bug) for bug in serverrestores.RESTORE_BUGS),
)
