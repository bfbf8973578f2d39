"""What Exchange itself refuses, above the engine: an error of the API by its name."""

from __future__ import annotations


class Refused(Exception):
    """A call is refused with an error that has no JET number.

    ``name`` is that of a row of the error table (``hrCBDatabaseInUse``), ``detail`` says in words
    what is wrong.
    """

    def __init__(self, name: str, detail: str) -> None:
        super().__init__(f"{name}: {detail}")
        self.name = name
        self.detail = detail
