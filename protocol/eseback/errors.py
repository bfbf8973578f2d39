"""The error table, and the exception that every implementation of the API raises.

Three layers answer: the engine (negative JET numbers, HRESULT facility 0x800), the backup layer
(facility 0x7FF) and the server's callbacks (facility 0x7FE). ntdsbmsg.h of the Windows SDK shows
how JET numbers become HRESULTs: an error is `0xC8000000 | |jet|`, a warning `0x88000000 | jet`.
Mind that a warning has its top bit set too, so a client that tests the sign takes it for an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Self

from eseback.data import frozen
from eseback.error_rows import API_ROWS, JET_ROWS
from eseback.grade import Grade
from eseback.jeterr import JetErr

__all__ = [
    "ERRORS",
    "ROW_BY_HRESULT",
    "ROW_BY_JET",
    "ROW_BY_NAME",
    "ConnectionLost",
    "ErrorRow",
    "EseBackupError",
    "Grade",
    "JetErr",
    "hresult_of_jet",
    "row_of_hresult",
]

_JET_ERROR: Final = 0xC8000000
_JET_WARNING: Final = 0x88000000
_SEVERITY_SHIFT: Final = 30
_SEVERITY_WARNING: Final = 2


@frozen
class ErrorRow:
    """One code.

    name: hr name of the SDK headers, else `hr` + JET name. jet: JET number, None for codes of the
    layers above the engine. hresult: unsigned 32 bits. text: in our own words. source, grade:
    where name and number come from; that a given call returns it is a matter of the order tables.
    jet_name: name in jethdr.h, with its `JET_err` or `JET_wrn`.
    """

    name: str
    jet: int | None
    hresult: int
    text: str
    source: str
    grade: Grade
    jet_name: str | None = None

    @property
    def is_warning(self) -> bool:
        """Severity 2 with the top bit set: the call worked, with a remark."""
        return self.hresult >> _SEVERITY_SHIFT == _SEVERITY_WARNING and self.jet is not None

    def __str__(self) -> str:
        return f"{self.name} 0x{self.hresult:08X}: {self.text}"


# Rows whose name and number a working client confirms; ntdsbmsg.h does not have them.
_CLIENT_NAMES: Final = {
    JetErr.EXISTING_LOG_FILE_HAS_BAD_SIGNATURE: "hrLogfileHasBadSignature",
    JetErr.EXISTING_LOG_FILE_IS_NOT_CONTIGUOUS: "hrLogfileNotContiguous",
}
# ASSUMED(restore-in-progress-name): `hr` + JET name would be hrRestoreInProgress for -506, but
# ntdsbmsg.h gives that name to 0xC7FF0004; the engine's row is told apart by its name.
_OUR_NAMES: Final = {JetErr.RESTORE_IN_PROGRESS: "hrEngineRestoreInProgress"}


def _jet_row(jet: int, jet_name: str, hr_name: str, text: str) -> ErrorRow:
    if jet == 0:
        return ErrorRow(hr_name, 0, 0, text, "SDK pages", Grade.DOCUMENTED, "JET_errSuccess")
    if hr_name:
        source, grade = "ntdsbmsg.h (Windows SDK); jethdr.w", Grade.DOCUMENTED
    elif jet in _CLIENT_NAMES:
        hr_name = _CLIENT_NAMES[JetErr(jet)]
        source, grade = "a working client (Bacula); jethdr.w", Grade.OBSERVED
    else:
        hr_name = _OUR_NAMES.get(JetErr(jet), f"hr{jet_name}")
        source, grade = "jethdr.w; HRESULT by the rule of ntdsbmsg.h", Grade.INFERRED
    hresult = _JET_ERROR | -jet if jet < 0 else _JET_WARNING | jet
    prefix = "JET_err" if jet < 0 else "JET_wrn"
    return ErrorRow(hr_name, jet, hresult, text, source, grade, prefix + jet_name)


ERRORS: Final[tuple[ErrorRow, ...]] = (
    *(_jet_row(*row) for row in JET_ROWS),
    *(
        ErrorRow(name, None, hresult, text, source, grade)
        for name, hresult, text, source, grade in API_ROWS
    ),
)
"""Every code that this project knows, engine first."""

ROW_BY_NAME: Final[Mapping[str, ErrorRow]] = {row.name: row for row in ERRORS}
ROW_BY_HRESULT: Final[Mapping[int, ErrorRow]] = {row.hresult: row for row in ERRORS}
ROW_BY_JET: Final[Mapping[int, ErrorRow]] = {row.jet: row for row in ERRORS if row.jet is not None}

_FROM_ESE_CALL: Final = ROW_BY_NAME["hrErrorFromESECall"].hresult


def _unsigned(hresult: int) -> int:
    """HRESULT as unsigned 32 bits; ctypes and other languages hand out signed ones."""
    return hresult & 0xFFFFFFFF


# ASSUMED(jet-error-form): no source says when a JET error comes back as an HRESULT of its own and
# when as hrErrorFromESECall with the JET error as last error. Here an error with a row in the
# table is its own HRESULT, any other is hrErrorFromESECall. Judges accept either form.
def hresult_of_jet(jet: int) -> int:
    """HRESULT (unsigned 32 bits) by which the API reports a JET error or warning."""
    row = ROW_BY_JET.get(jet)
    return row.hresult if row is not None else _FROM_ESE_CALL


def row_of_hresult(hresult: int) -> ErrorRow | None:
    """Row of an HRESULT, given signed or unsigned; None if the table has none."""
    return ROW_BY_HRESULT.get(_unsigned(hresult))


class EseBackupError(Exception):
    """A call of the backup API failed.

    hresult: what the call returned, unsigned 32 bits. jet: the JET error behind it, what a client
    reads as last error; None if there is none. call: method name of `BackupApi`, None if unknown.
    detail: what the table cannot know, for instance a file name.
    """

    def __init__(
        self, hresult: int, jet: int | None = None, call: str | None = None, detail: str = ""
    ) -> None:
        # All arguments go to Exception, so that the error can be pickled to another process.
        super().__init__(hresult, jet, call, detail)
        self.hresult = _unsigned(hresult)
        row = self.row
        self.jet = row.jet if jet is None and row is not None else jet
        self.call = call
        self.detail = detail

    @classmethod
    def from_jet(cls, jet: int, call: str | None = None, detail: str = "") -> Self:
        """Error for a JET number, in the form that `hresult_of_jet` decides."""
        return cls(hresult_of_jet(jet), int(jet), call, detail)

    @classmethod
    def from_name(cls, name: str, call: str | None = None, detail: str = "") -> Self:
        """Error for a row of the table by its name; KeyError if there is no such row."""
        return cls(ROW_BY_NAME[name].hresult, None, call, detail)

    @property
    def row(self) -> ErrorRow | None:
        """Row of the HRESULT; None for a code that the table does not have."""
        return ROW_BY_HRESULT.get(self.hresult)

    @property
    def name(self) -> str:
        """Name of the HRESULT, or its hexadecimal form if the table does not have it."""
        row = self.row
        return row.name if row is not None else f"0x{self.hresult:08X}"

    def is_jet(self, jet: int) -> bool:
        """Whether this is that JET error, in either of the two forms it may come in."""
        return self.jet == jet

    def __str__(self) -> str:
        row = self.row
        parts = [f"{self.call}: " if self.call else ""]
        parts.append(f"{row.name} 0x{self.hresult:08X}" if row else f"0x{self.hresult:08X}")
        if self.jet:
            parts.append(f" (JET error {self.jet})")
        # The engine's own text says more than "a call into the engine failed".
        cause = ROW_BY_JET.get(self.jet) if self.jet else None
        text = cause.text if cause is not None else row.text if row is not None else "unknown code"
        parts.append(f": {text}")
        if self.detail:
            parts.append(f" [{self.detail}]")
        return "".join(parts)


class ConnectionLost(EseBackupError):
    """The transport broke: whether the call took effect is unknown, the context is gone."""

    def __init__(
        self,
        hresult: int = ROW_BY_NAME["RPC_S_CALL_FAILED"].hresult,
        jet: int | None = None,
        call: str | None = None,
        detail: str = "",
    ) -> None:
        super().__init__(hresult, jet, call, detail)
