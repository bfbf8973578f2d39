"""Which logs a backup copies and which it may delete.

Ranges are half open: [mic, mac). Rules: ESE source backup.cxx, ErrBKIPrepareLogInfo and what it
calls. The lower end of the copy comes from the checkpoint *file* at Begin, the upper end of the
delete range from the checkpoint when the logs are listed.
"""

from __future__ import annotations

from collections.abc import Iterable

from eseback.data import frozen
from eseback.formats.dbheader import DatabaseHeader


@frozen
class LogRanges:
    """Generations to copy and to delete, both half open."""

    copy_mic: int
    copy_mac: int
    delete_mic: int
    delete_mac: int

    @property
    def copied(self) -> range:
        """The generations to copy."""
        return range(self.copy_mic, self.copy_mac)

    @property
    def deleted(self) -> range:
        """The generations that a truncation deletes; empty where mac is below mic."""
        return range(self.delete_mic, max(self.delete_mic, self.delete_mac))


def backed_up_to(header: DatabaseHeader) -> int:
    """The highest generation that a full or incremental backup of the database holds."""
    return max(header.bkinfo_full_prev.gen_high, header.bkinfo_inc_prev.gen_high)


def compute_ranges(
    *,
    oldest: int,
    current: int,
    checkpoint: int,
    full_from: int | None,
    left_out: Iterable[DatabaseHeader],
) -> LogRanges:
    """The ranges of a backup whose log has just rolled to ``current``.

    ``oldest`` is the lowest generation on disk, ``checkpoint`` that of the checkpoint file now,
    ``full_from`` the first generation a full backup copies (None: logs only, all there are),
    ``left_out`` the headers of mounted databases that a full backup did not copy.
    """
    delete_mac = min(checkpoint, current)
    if full_from is not None:
        for header in left_out:
            delete_mac = min(delete_mac, header.bkinfo_full_prev.gen_high)
    return LogRanges(
        copy_mic=oldest if full_from is None else full_from,
        copy_mac=current,
        delete_mic=oldest,
        delete_mac=delete_mac,
    )


def first_missing(
    oldest: int, databases: Iterable[tuple[str, DatabaseHeader]]
) -> tuple[int, str] | None:
    """For logs only: a generation gone since a database was last backed up, and the database."""
    for edb, header in databases:
        needed = backed_up_to(header) + 1
        if oldest > needed:
            return needed, edb
    return None
