"""Which errors and events the backup side brings about, and how: docs/error-coverage.md.

``tests/esesim/test_errors_provoked.py`` brings about each situation of these tables through public
calls and asserts its error; it fails where the tables and the error table part.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum
from types import MappingProxyType
from typing import Final

from attrs import frozen

from eseback.errors import ROW_BY_JET, ROW_BY_NAME, ErrorRow
from eseback.events import EVENTS

TEST: Final = "tests/esesim/test_errors_provoked.py"


class Through(Enum):
    """Whose call meets the error."""

    CLIENT = "client"
    ADMINISTRATOR = "administrator"
    ENGINE = "engine"


@frozen
class Situation:
    """An error (JET number, or name of a row without one) and what brings it about."""

    error: int | str
    text: str
    through: Through = Through.CLIENT

    @property
    def row(self) -> ErrorRow:
        """Its row of the error table."""
        return ROW_BY_NAME[self.error] if isinstance(self.error, str) else ROW_BY_JET[self.error]


_ADMIN, _ENGINE = Through.ADMINISTRATOR, Through.ENGINE

SITUATIONS: Final = (
    Situation("hrNone", "a backup by the book"),
    Situation(-505, "Setup while another client backs the group up"),
    Situation(-505, "Setup while the same context backs the group up"),
    Situation(-505, "mount during a backup", _ADMIN),
    Situation(-505, "dismount during a backup", _ADMIN),
    Situation(-510, "Setup while the log cannot be written"),
    Situation(-516, "Setup of a group without logging"),
    Situation(-519, "Setup after the last log generation"),
    Situation(-519, "log list after the last log generation"),
    Situation(-520, "log list without Setup"),
    Situation(-521, "TruncateLogs before the log list"),
    Situation(-521, "database opened after the log list"),
    Situation(-523, "begin on an instance that terminated", _ENGINE),
    Situation(-526, "logs-only Setup with circular logging"),
    Situation(-529, "Setup while the log disk is full"),
    Situation(-532, "Setup with the checkpoint file of another log stream"),
    Situation(-533, "Setup with a damaged checkpoint file"),
    Situation(-542, "Setup without a checkpoint file"),
    Situation(-560, "logs-only Setup before any full backup"),
    Situation(-569, "open of a log that is not there"),
    Situation(-569, "log list of an incremental whose logs are gone"),
    Situation(-612, "read of a damaged log"),
    Situation(-614, "log list beyond the checkpoint depth"),
    Situation(-616, "TruncateLogs before the logs were read (quirk)"),
    Situation(-617, "Setup while a replica of the group is backed up (Exchange 2007)"),
    Situation(-800, "InstanceEnd(SUCCESS) before the log list"),
    Situation(-801, "any call after the server stopped the backup"),
    Situation(-1003, "read with a handle that was never given out"),
    Situation(-1003, "Setup of an instance that is not running"),
    Situation(-1003, "InstanceEnd with an unknown flag"),
    Situation(-1011, "second open without a close"),
    Situation(-1018, "read of a damaged page"),
    Situation(-1018, "read of a damaged page of the streaming file"),
    Situation(-1029, "work on an instance that is not running", _ENGINE),
    Situation(-1032, "TruncateLogs while a log is held open"),
    Situation(-1203, "open of what is no mounted database"),
    Situation(-1811, "open of a log that is not there, in Exchange 2000"),
    Situation(-4001, "read of a database that was extended (quirk)"),
    Situation(-2403, "Setup while the server is frozen for a snapshot"),
    Situation("hrErrorFromESECall", "read with a blocked data connection (quirk)"),
    Situation("hrInvalidHandle", "call on a context that has ended"),
    Situation("hrCouldNotConnect", "Prepare with a computer that does not answer"),
    Situation("hrCouldNotConnect", "Prepare with a service that does not run"),
    Situation("hrNyi", "SnapshotStart"),
    Situation("ERROR_ACCESS_DENIED", "Prepare from another computer (Exchange 2007 SP1)"),
    Situation("RPC_S_CALL_FAILED", "call on a connection that broke"),
    Situation(-501, "mount with a damaged log", _ADMIN),
    Situation(-509, "mount without the log at the checkpoint", _ADMIN),
    Situation(-510, "mount while the log cannot be written", _ADMIN),
    Situation(-513, "mount with a log under the name of another", _ADMIN),
    Situation(-515, "mount with a log that does not follow", _ADMIN),
    Situation(-528, "mount without the current log", _ADMIN),
    Situation(-529, "mount while the log disk is full", _ADMIN),
    Situation(-530, "mount with a log of another stream", _ADMIN),
    Situation(-532, "mount with the checkpoint file of another log stream", _ADMIN),
    Situation(-533, "mount with a damaged checkpoint file", _ADMIN),
    Situation(-540, "mount without the streaming file", _ADMIN),
    Situation(-544, "mount of a backup image", _ADMIN),
    Situation(-550, "mount of a database that was not shut down cleanly", _ADMIN),
    Situation(-1206, "mount of a file that is no database", _ADMIN),
    Situation(-1214, "mount of a group when all instances are taken", _ADMIN),
    Situation(-1222, "mount of a copy beside its original", _ADMIN),
    Situation(-2401, "snapshot thawed before it was frozen", _ADMIN),
    Situation(-2402, "snapshot frozen for too long", _ADMIN),
    Situation(-2403, "snapshot while a backup runs", _ADMIN),
    Situation(-2404, "snapshot that was never prepared", _ADMIN),
    Situation(-1086, "second instance of one name", _ENGINE),
    Situation(-1201, "creation of a database that is there", _ENGINE),
    Situation(-1805, "seventh database of an instance", _ENGINE),
    Situation(1007, "second attach of a database", _ENGINE),
)
"""What the test brings about, one by one."""

ELSEWHERE: Final[Mapping[str, tuple[int | str, ...]]] = MappingProxyType(
    {
        "restore and hard recovery": (
            -506, -527, -531, -534, -535, -536, -538, -539, -549, -551, -552, -553, -554, -555,
            -556, -557, 558, 559, -561, -565, -570, -571, -573, -574, -577, 578, -579, -580, -581,
            -610, -611, -615, -1231, -1850, "hrRestoreAtFileLevel", "hrCBDatabaseInUse",
            "hrCBDatabaseNotFound", "hrRestoreInProgress", "hrNoFullRestore", "hrRestoreMapExists",
            "hrInvalidRecips",
        ),
        "soft recovery and the engine's own work, seen by no call of a backup": (
            -511, -512, -514, -517, -541, -543, -545, -546, -547, -548, -566, -567, -582, -586,
            -618, -1012, -1014, -1019, -1046, -1047, -1202, -1207, -1209, -1213, -1215, -1216,
            -1305, -1852,
        ),
        "a state of the process or the machine that is not simulated; a fault rule gives it": (
            -100, -102, -103, -105, -1000, -1020, -1021, -1022, -1030, -1031, -1090, -1092, -1118,
            -1119, -1329, -1808, -1809, -1907, 1813, "hrErrorFromCallbackCall",
            "hrLoadCallbackFunctionFailed", "hrCommunicationError", "RPC_S_SERVER_UNAVAILABLE",
        ),
        "other APIs with these numbers: folder backup, parameters, the directory": (
            -503, -504, -524, -525, -562, -563, -575, -900, -1001, -1002, 1006, -1010, -1023,
            -1024, -1025, -1027, -1028, -1038, -1044, -1080, -1081, -1082, -1083, -1084, -1085,
            -1115, -1204, -1205, -1217, -1906, "hrInvalidParam",
            "hrError", "hrAlreadyOpen", "hrIncrementalBackupDisabled", "hrLogFileNotFound",
            "hrCircularLogging", "hrFullBackupNotTaken", "hrMissingExpiryToken",
            "hrUnknownExpiryTokenFormat", "hrContentsExpired",
        ),
    }
)  # fmt: skip
"""Why the backup side does not meet the others."""

EVENT_SITUATIONS: Final[Mapping[int, str]] = MappingProxyType(
    {
        206: "logs-only Setup before any full backup",
        210: "Setup of a full backup",
        211: "Setup of a logs-only backup",
        213: "InstanceEnd(SUCCESS)",
        214: "read of a damaged log",
        215: "the connection breaks during a backup",
        217: "open of what is no mounted database",
        218: "read of a damaged log",
        219: "the header of a database cannot be written at InstanceEnd",
        220: "open of a database",
        221: "close of a database that was read to its end",
        222: "close of a database that was not",
        223: "log list",
        224: "TruncateLogs with logs to delete",
        225: "TruncateLogs without",
        226: "the group's stores are dismounted during a backup",
        227: "TruncateLogs while a log of the range is not there",
        459: "open of a log that is not there",
        474: "read of a damaged page",
        478: "read of a damaged page of the streaming file",
        493: "read of pages that can be read at a later try (quirk)",
        520: "TruncateLogs before the logs were read (quirk)",
    }
)
"""The events of a backup and what writes them."""


def elsewhere_rows() -> Iterator[tuple[ErrorRow, str]]:
    """The rows of the error table that stand in ELSEWHERE, each with its reason."""
    for reason, errors in ELSEWHERE.items():
        for error in errors:
            yield Situation(error, reason).row, reason


def coverage_page() -> str:
    """The page below its heading."""
    lines = [
        f"Each situation is brought about, and its error asserted, by `{TEST}`. What stands under",
        '"not met" is not met by a backup of its own accord; the same test shows that a fault rule',
        "brings every error of the table to a client.",
        "",
        "| error | JET | HRESULT | brought about by | through |",
        "|---|---|---|---|---|",
    ]
    for item in SITUATIONS:
        lines.append(f"| {_cells(item.row)} | {item.text} | {item.through.value} |")
    lines += ["", "## Events", "", "| id | event | written at |", "|---|---|---|"]
    for number, text in EVENT_SITUATIONS.items():
        lines.append(f"| {number} | {EVENTS[number].text} | {text} |")
    lines += ["", "## Not met", "", "| error | JET | HRESULT | belongs to |", "|---|---|---|---|"]
    lines += [f"| {_cells(row)} | {reason} |" for row, reason in elsewhere_rows()]
    return "\n".join(lines) + "\n"


def _cells(row: ErrorRow) -> str:
    return f"{row.name} | {'' if row.jet is None else row.jet} | 0x{row.hresult:08X}"
