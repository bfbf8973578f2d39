"""Names of the files of a log stream. A base name is three characters: ``E00``.

ESE source _log/logstream.cxx and its tests (log_test.cxx): exactly 5 hexadecimal digits, or 8 in
newer engines; upper and lower case mean the same.
"""

from __future__ import annotations

import re
from typing import Final

_BASE = re.compile(r"[A-Za-z0-9]{3}")
_NUMBERED = re.compile(r"([A-Za-z0-9]{3})([0-9A-Fa-f]{8}|[0-9A-Fa-f]{5})\.[Ll][Oo][Gg]")
OLD_DIGITS: Final = 5
"""Digits of Exchange 2000 and 2003."""
NEW_DIGITS: Final = 8
"""Digits of Exchange 2007."""


def _checked(base: str) -> str:
    if not _BASE.fullmatch(base):
        raise ValueError(f"base name {base!r} is not three letters or digits")
    return base


def _checked_digits(digits: int) -> int:
    if digits not in (OLD_DIGITS, NEW_DIGITS):
        raise ValueError(f"log names have 5 or 8 digits, not {digits}")
    return digits


def log_name(base: str, generation: int, digits: int = OLD_DIGITS) -> str:
    """Name of a closed log: ``E0000001.log``. ``ValueError`` if the generation has no such name."""
    if not 0 < generation < 16 ** _checked_digits(digits):
        raise ValueError(f"no name with {digits} digits for generation {generation}")
    return f"{_checked(base)}{generation:0{digits}X}.log"


def parse_log_name(name: str, base: str) -> int | None:
    """Generation of a closed log, or None if ``name`` isn't one of this base."""
    match = _NUMBERED.fullmatch(name)
    if match is None or match[1].upper() != _checked(base).upper():
        return None
    return int(match[2], 16) or None


def current_log_name(base: str) -> str:
    """Name of the log that is being written: ``E00.log``."""
    return f"{_checked(base)}.log"


def temp_log_name(base: str) -> str:
    """Name of the next log while it is prepared: ``E00tmp.log``."""
    return f"{_checked(base)}tmp.log"


def checkpoint_name(base: str) -> str:
    """Name of the checkpoint file: ``E00.chk``."""
    return f"{_checked(base)}.chk"


def reserve_log_names(base: str, digits: int = OLD_DIGITS) -> tuple[str, str]:
    """Names of the two logs kept for a full disk: ``res1.log``, or ``E00res00001.jrs`` in 2007."""
    if _checked_digits(digits) == OLD_DIGITS:
        return "res1.log", "res2.log"
    return f"{_checked(base)}res00001.jrs", f"{_checked(base)}res00002.jrs"
