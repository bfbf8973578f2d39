"""What the engine raises: a JET error with the detail that a person needs."""

from __future__ import annotations

from eseback.errors import JetErr


class JetError(Exception):
    """A call of the engine failed with a JET error.

    ``err`` is the JET number, ``detail`` says in words what happened and to which file; ``file`` is
    the name that goes into the event log, where an event names one.
    """

    def __init__(self, err: JetErr, detail: str, file: str = "") -> None:
        super().__init__(f"{err.name} ({int(err)}): {detail}")
        self.err = err
        self.detail = detail
        self.file = file


class RowOperationError(Exception):
    """A row operation can't be done; what a mail store above the engine handles itself."""


class KeyDuplicateError(RowOperationError):
    """The key exists already (JET -1605)."""


class RecordNotFoundError(RowOperationError):
    """No row has this key (JET -1601)."""


class WriteConflictError(RowOperationError):
    """Another open transaction has changed the row (JET -1102)."""


class RecordTooBigError(RowOperationError):
    """The row doesn't fit on a page (JET -1026)."""
