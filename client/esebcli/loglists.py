"""Rules about lists of files that a server returns; all from names alone, before any is read.

Log names: three characters of base name, the generation as 5 (2000, 2003) or 8 (2007) hexadecimal
digits, ``.log`` (ESE source _log/logstream.cxx). The current log ``E00.log`` is never listed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from eseback.formats.names import parse_log_name
from esebcli.manifest import FileKind, Kind, LogRange, SavedFile, SavedGroup
from esebcli.names import last_component

_BASE: Final = re.compile(r"[A-Za-z0-9]{3}")


def parse_listed_log(original: str) -> tuple[str, int] | None:
    """Base name (upper case) and generation of a closed log, or None if it isn't named like one."""
    name = last_component(original)
    base = _BASE.match(name)
    generation = parse_log_name(name, base[0]) if base else None
    return None if base is None or generation is None else (base[0].upper(), generation)


def logs_are(first: int, last: int) -> str:
    """The subject of a sentence about logs: ``logs 5 to 7 are``, ``log 5 is``."""
    return f"logs {first} to {last} are" if last > first else f"log {first} is"


def kind_of_listed(original: str) -> FileKind:
    """What a file is, by its name; whatever is nothing else is a database."""
    if parse_listed_log(original) is not None:
        return FileKind.LOG
    name = last_component(original).casefold()
    if name.endswith(".stm"):
        return FileKind.STREAMING
    if name.endswith(".pat"):
        return FileKind.PATCH
    return FileKind.DATABASE


def predecessor_problem(
    predecessor: SavedGroup, logs: LogRange, files: Iterable[SavedFile]
) -> str | None:
    """Why logs do not continue the set that was named as the previous one, or None.

    They may overlap it: the checkpoint lags behind, so the oldest log on the server is often in the
    previous set too, and then it is the same file. They may not leave a gap, and they have to be of
    the same stream.
    """
    before = predecessor.logs
    if before is None:
        return "the previous set holds no logs of this group; make a full backup"
    if (before.signature, before.base_name.upper()) != (logs.signature, logs.base_name.upper()):
        return (
            "the logs are of another stream than those of the previous set (the group was restored "
            "or made anew since); make a full backup"
        )
    if logs.low > before.high + 1:
        return (
            f"{logs_are(before.high + 1, logs.low - 1)} neither in the previous set nor on the "
            "server (another program backed up and truncated in between); make a full backup"
        )
    if logs.high < before.high:
        return (
            f"the previous set reaches generation {before.high}, but the server only "
            f"{logs.high} (it was set back since); make a full backup"
        )
    hashes = {parse_listed_log(file.name): file.sha256 for file in predecessor.files}
    for file in files:
        named = parse_listed_log(file.name)
        if named is not None and hashes.get(named, file.sha256) != file.sha256:
            return (
                f"log {named[1]} on the server is not the one in the previous set (the group was "
                "set back since); make a full backup"
            )
    return None


def deletable_problem(originals: Sequence[str], logs: LogRange, kind: Kind) -> str | None:
    """Why truncation would lose logs that are in no backup, or None.

    A full backup makes all logs below its own needless. An incremental holds every log from the
    oldest on disk, so the server can only mean logs that this set holds (ESE source backup.cxx).
    """
    for original in originals:
        parsed = parse_listed_log(original)
        if parsed is None or parsed[0] != logs.base_name.upper():
            return f"the server is going to delete {original!r}, which is no log of this group"
        generation = parsed[1]
        is_saved = logs.low <= generation <= logs.high
        is_needless = kind.has_databases and generation < logs.low
        if not (is_saved or is_needless):
            return (
                f"the server is going to delete log {generation}, which this backup does not hold "
                f"(it holds {logs.low} to {logs.high})"
            )
    return None
