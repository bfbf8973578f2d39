"""What happens to sets on the client's disk: files lost, damaged, cut off."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from eseconform.cases.model import Deed, EventSpec
from eseconform.errors import HarnessError
from eseconform.judge.records import base_name
from eseconform.task import SavedFile

# In the first record of a log, behind its header and the head of the first block, so that no
# unused tail is hit.
LOG_OFFSET: Final = 4096 + 64
DAMAGE: Final = 0xFF


def spoil(event: EventSpec, saved: Sequence[SavedFile]) -> None:
    """Do to a file of a set what an event says.

    Raises:
        HarnessError: the set has no such file that can be reached from here.
    """
    pattern = event.file.casefold()
    found = [
        file.path
        for file in saved
        if fnmatchcase(base_name(file.name).casefold(), pattern) and file.path is not None
    ]
    if not found:
        raise HarnessError(f"{event.text}: the set has no such file that can be reached")
    path = found[len(found) // 2]
    match event.do:
        case Deed.LOSE_SAVED:
            path.unlink()
        case Deed.DAMAGE_SAVED:
            _flip(path)
        case Deed.SWAP_SAVED:
            other = found[len(found) // 2 - 1]
            mine, its = path.read_bytes(), other.read_bytes()
            path.write_bytes(its)
            other.write_bytes(mine)
        case _:
            with path.open("r+b") as file:
                file.truncate(path.stat().st_size // 2)


def _flip(path: Path) -> None:
    size = path.stat().st_size
    offset = LOG_OFFSET if path.name.lower().endswith(".log") else size // 2
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)
        file.seek(offset)
        file.write(bytes([byte[0] ^ DAMAGE]))
