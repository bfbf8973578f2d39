"""Words that several reports use, and what makes texts of a client fit to be shown."""

from __future__ import annotations

import unicodedata

from eseconform.results import JobResult, LedgerEntry
from eseconform.verdicts import ExitCode

MEANING = {
    ExitCode.OK: "conformant",
    ExitCode.NOT_CONFORMANT: "not conformant",
    ExitCode.INTERRUPTED: "interrupted",
    ExitCode.OUR_ERROR: "the harness failed; the client is not judged",
    ExitCode.USAGE: "wrong usage",
    ExitCode.NOTHING_RAN: "nothing ran",
    ExitCode.INCONCLUSIVE: "inconclusive",
    ExitCode.SUT_UNUSABLE: "the client can't be used",
}
"""What an exit code says about a run."""

_INVISIBLE = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


def printable(text: str) -> str:
    """A text with what can't be seen, or turns writing around, written out: ``\\u202e``.

    File names and output come from the client and its server, and may hold anything.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_written_out(c) for c in text)


def _written_out(character: str) -> str:
    if character in "\n\t" or unicodedata.category(character) not in _INVISIBLE:
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def shown_how(job: JobResult) -> str:
    """The word for what a job's ledger rests on."""
    return "restored" if job.kind == "restore" else "replayed"


def ledger_text(entry: LedgerEntry) -> str:
    """An entry of the ledger in words."""
    promised, to = entry.promised, entry.restorable_to
    held = "no set" if promised is None else f"sets up to generation {promised}"
    reached = "not restorable" if to is None else f"restorable to generation {to}"
    how = f" (shown by {entry.shown_by})" if entry.shown_by else ""
    why = f": {entry.why}" if entry.why else ""
    return f"{held}, {reached}{how}{why}"
