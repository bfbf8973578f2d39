"""Entries that a server writes to the Windows application log, by event id.

Ids and meanings: jetmsg.mc of Microsoft's ESE source and, where rows say so, vendors' and
Microsoft's articles; the texts are ours. Placeholders stand in the order of the message's
insertion strings from %4 on (%1 to %3 are process, process id and instance).
"""

from __future__ import annotations

import string
from collections.abc import Mapping
from enum import Enum
from typing import Final

from eseback.data import frozen
from eseback.grade import Grade

__all__ = ["ESE", "ESE_BACKUP", "EVENTS", "EventRow", "Severity"]

ESE: Final = "ESE"
"""Event source of the engine (ESE98 in Exchange 2000), category 3 (Logging/Recovery)."""
ESE_BACKUP: Final = "ESE BACKUP"
"""Event source of the backup layer above the engine."""


class Severity(Enum):
    """Type of an event log entry."""

    INFORMATION = "information"
    WARNING = "warning"
    ERROR = "error"


@frozen
class EventRow:
    """One event.

    id: event id. source: event source name. severity: SOURCE-graded where backup.cxx shows the
    report, else concluded from the text (then grade is INFERRED). text: template with named
    placeholders. grade: how well the row as a whole is founded.
    """

    id: int
    source: str
    severity: Severity
    text: str
    grade: Grade

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the placeholders, in order of first use."""
        names = (name for _, name, _, _ in string.Formatter().parse(self.text) if name)
        return tuple(dict.fromkeys(names))

    def render(self, **values: object) -> str:
        """Text with its placeholders filled; KeyError names one that is missing."""
        return self.text.format(**values)


_INFO, _WARN, _ERR = Severity.INFORMATION, Severity.WARNING, Severity.ERROR
_S, _I = Grade.SOURCE, Grade.INFERRED

# (id, severity, grade, text), event source ESE.
_ROWS: Final[tuple[tuple[int, Severity, Grade, str], ...]] = (
    (200, _INFO, _I, "a full backup to a folder starts"),
    (201, _INFO, _I, "an incremental backup to a folder starts"),
    (202, _INFO, _I, "the backup to a folder is complete"),
    (203, _ERR, _I, "the backup to a folder stopped with error {error}"),
    (204, _INFO, _I, "a restore starts: logs from {restore_folder}, then from {log_folder}"),
    (205, _INFO, _I, "the restore has ended"),
    (206, _ERR, _S, "database {database} needs a full backup before an incremental one"),
    (207, _ERR, _I, "the backup to a folder was halted by the client or lost its connection"),
    (210, _INFO, _S, "a full backup starts"),
    (211, _INFO, _S, "an incremental backup starts"),
    (212, _INFO, _I, "a shadow copy backup starts"),
    (213, _INFO, _S, "the backup is complete"),
    (214, _ERR, _S, "the backup stopped with error {error}"),
    (215, _ERR, _S, "the backup was halted by the client, or the connection to it was lost"),
    (217, _ERR, _S, "error {error} while database file {file} was backed up: it is left out"),
    (218, _ERR, _S, "error {error} while file {file} was backed up"),
    (219, _WARN, _S, "error {error} while the database headers recorded the backup"),
    (220, _INFO, _S, "backup of file {file} starts (size {size})"),
    (221, _INFO, _S, "backup of file {file} ends"),
    (222, _INFO, _S, "backup of file {file} ends before its end: {read} of {size} bytes were read"),
    (223, _INFO, _S, "backup of log files starts (range {first} - {last})"),
    (224, _INFO, _I, "log files {first} to {last} are deleted"),
    (225, _INFO, _I, "no log file can be truncated"),
    (226, _ERR, _S, "the backup was stopped by the server, perhaps because the instance ends"),
    (227, _WARN, _I, "{count} log files of the range to be truncated were not found"),
    (300, _INFO, _I, "recovery starts"),
    (301, _INFO, _I, "log file {file} has been replayed"),
    (302, _INFO, _I, "recovery is complete"),
    (399, _WARN, _I, "page at offset {offset} of {file}: one bit was wrong and is corrected"),
    (420, _WARN, _I, "the header of database {database} cannot be read: error {error}"),
    (421, _ERR, _I, "database {database}, created at {created}, was recovered in part only"),
    (422, _ERR, _I, "database {database}, created at {created}, was not recovered"),
    (430, _ERR, _I, "database {database} and its patch file or trailer do not belong together"),
    (431, _ERR, _I, "the first restored log {file} is too high, it should be {wanted}"),
    (432, _ERR, _I, "the last restored log {file} is too low, it should be {wanted}"),
    (433, _ERR, _I, "restored log {file} has a foreign signature"),
    (434, _ERR, _I, "restored log {file} does not continue the log before it"),
    (435, _ERR, _I, "restored log {file} is missing"),
    (436, _ERR, _I, "log {file} has a foreign signature; logs {first} to {last} were deleted"),
    (437, _ERR, _I, "gap before log {file}; logs {first} to {last} were deleted"),
    (438, _ERR, _I, "the size of backed-up database {database} is no multiple of 4 KiB"),
    (450, _ERR, _I, "gap in the log sequence: log {file} is missing, perhaps others too"),
    (452, _ERR, _I, "database {database} needs logs {low}-{high}, the first one found is {found}"),
    (453, _ERR, _I, "database {database} needs logs {low}-{high}, the last one found is {found}"),
    (454, _ERR, _I, "recovery or restore failed with error {error}"),
    (457, _ERR, _I, "log {file} in the log folder has not the backup set's signature"),
    (458, _ERR, _I, "logs {first} and {last} do not follow each other"),
    (459, _ERR, _S, "file {file} is missing and could not be backed up"),
    (460, _ERR, _I, "torn write in log {file} of the backup set at {position}"),
    (461, _ERR, _I, "torn write in log {file} during hard recovery at {position}"),
    (462, _WARN, _I, "torn write in log {file} during soft recovery at {position}; repaired"),
    (463, _ERR, _I, "damage in log {file} of the backup set at {position}"),
    (464, _ERR, _I, "damage in log {file} during hard recovery at {position}"),
    (465, _ERR, _I, "damage in log {file} during soft recovery at {position}"),
    (474, _ERR, _I, "page at offset {offset} of {file} failed its checksum: error {error}"),
    (478, _ERR, _I, "streaming page at offset {offset} of {file} failed its checksum: {error}"),
    (479, _ERR, _I, "patch page at offset {offset} of {file} failed its checksum: {error}"),
    (480, _ERR, _I, "patch page at offset {offset} of {file} has a wrong number: {error}"),
    (481, _ERR, _I, "read of {file} at offset {offset} failed: error {error}"),
    (493, _WARN, _I, "read of {file} at offset {offset} succeeded after {count} failed tries"),
    (520, _WARN, _S, "logs are not truncated: not all of them were copied"),
    (619, _ERR, _I, "database {database} is a backup image and was not recovered before its mount"),
)

EVENTS: Final[Mapping[int, EventRow]] = {
    **{
        number: EventRow(number, ESE, severity, text, grade)
        for number, severity, grade, text in _ROWS
    },
    # TechNet page bb217524.
    904: EventRow(904, ESE_BACKUP, _ERR, "server callback {callback} ended with error {error}", _I),
}
"""Every event that this project knows, by id."""
