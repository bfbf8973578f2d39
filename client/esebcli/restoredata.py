"""What the restore of a storage group is told, and what it says in the end."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final

from attrs import field, frozen

from eseback.constants import RestoreComplete
from esebcli.destinations import PlacedDatabase

INTERRUPTED: Final = "the restore was interrupted"


class Outcome(Enum):
    """What is known about the databases of a group."""

    UNTOUCHED = "untouched"  # as they were before
    UNFINISHED = "unfinished"  # overwritten at least in part, and not recovered
    RECOVERED = "recovered"  # Complete said so


@frozen
class RestoreOptions:
    """What is the same for all groups of a restore.

    Attributes:
        server: the computer's name for Open.
        annotation: the service, by its exact annotation.
        into: storage group that the databases are restored into, None for where they are from.
        places: the .edb that the user named for a database, by its display name or GUID.
        play_forward: replay the logs that the group itself has after those of the sets, too.
        system_path: folder of the group's checkpoint, where it is not that of its logs; needed to
            play forward while the group doesn't run.
        mount: have the server mount the databases afterwards (ATTACH_DBS).
        keep_logs: have the server keep the restored logs (KEEP_LOG_FILES).
        log_path: folder on the server for logs and restore.env; None lets the server choose.
        poll: don't wait for recovery within Complete (NOWAIT), but ask for it now and then.
    """

    server: str
    annotation: str
    into: str | None = None
    places: Mapping[str, str] = field(factory=dict)
    play_forward: bool = False
    system_path: str | None = None
    mount: bool = True
    keep_logs: bool = False
    log_path: str | None = None
    poll: bool = False

    @property
    def flags(self) -> RestoreComplete:
        """What Complete is told."""
        flags = RestoreComplete.NONE
        for wanted, flag in (
            (self.mount, RestoreComplete.ATTACH_DBS),
            (self.keep_logs, RestoreComplete.KEEP_LOG_FILES),
            (self.poll, RestoreComplete.NOWAIT),
        ):
            if wanted:
                flags |= flag
        return flags


@frozen
class RestoredGroup:
    """What became of one storage group.

    Attributes:
        name: its name at backup time.
        outcome: see :class:`Outcome`.
        error: why the restore failed, or None. Also a recovered group can have one, when the server
            did not confirm the end.
        log_path: folder on the server that logs and restore.env are in, once it is known.
        databases: those to be restored, with where their files go, once that is known.
        low, high: the generations of the sets' logs.
        sets: folders of the sets that something was taken from, in order.
        files, size: files restored completely, and their bytes.
        seconds: how long it took.
        warnings: what the user should know although nothing failed.
    """

    name: str
    outcome: Outcome = Outcome.UNTOUCHED
    error: str | None = None
    log_path: str | None = None
    databases: tuple[PlacedDatabase, ...] = ()
    low: int = 0
    high: int = 0
    sets: tuple[str, ...] = ()
    files: int = 0
    size: int = 0
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()
