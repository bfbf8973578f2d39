"""Windows paths onto volume paths: the only place where a name from outside becomes a place.

Topologies and clients speak of ``C:\\Program Files\\Exchsrvr\\mdbdata\\priv1.edb``; a volume knows
``C/Program Files/Exchsrvr/mdbdata/priv1.edb``. A name that Windows itself would not keep, or that
means something else than a file below its drive, is refused and never repaired. Rules: Microsoft's
"Naming Files, Paths, and Namespaces".

Case: names keep the case they were written in, and are compared without it, as on NTFS. Volumes do
so when they look a file up; whoever keeps paths in a table uses ``path_key``.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

COMPONENT_LENGTH_MAX: Final = 255
"""Longest name of a file or directory, in UTF-16 units."""
PATH_LENGTH_MAX: Final = 259
"""Longest whole path in UTF-16 units: MAX_PATH without its NUL."""

_DRIVE = re.compile(r"([A-Za-z]):[\\/]")
_SEPARATORS = re.compile(r"[\\/]+")
# What is wrong with a name, in the order in which it is said.
_NAME_FAULTS: Final = (
    (re.compile(r"\A\Z"), "is empty"),
    (re.compile(r"\A\.\.?\Z"), "is not the name of a file"),
    (re.compile(r'[\x00-\x1f<>:"|?*\\/\ud800-\udfff]'), "has a character that is not allowed"),
    (re.compile(r"[. ]\Z"), "ends with a dot or space"),
    (
        re.compile(
            r"\A(CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|CLOCK\$|(COM|LPT)[0-9\u00b9\u00b2\u00b3])"
            r" *(\.[^\n]*)?\Z",
            re.IGNORECASE,
        ),
        "is the name of a device",
    ),
)


class WindowsPathError(ValueError):
    """A path that names no file below a drive. ``reason`` says why."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"path {path!r}: {reason}")
        self.path = path
        self.reason = reason


def _utf16_length(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


@lru_cache(maxsize=4096)  # every use of a file asks again, and there are few names
def component_error(name: str) -> str | None:
    """Why ``name`` can't be the name of a file or directory, or None if it can.

    Volumes hold to it on every system, so that what one keeps, another can keep too.
    """
    for fault, reason in _NAME_FAULTS:
        if fault.search(name):
            return f"{name!r} {reason}"
    if _utf16_length(name) > COMPONENT_LENGTH_MAX:
        return f"a name has more than {COMPONENT_LENGTH_MAX} characters"
    return None


@lru_cache(maxsize=4096)
def to_volume_path(windows_path: str) -> str:
    """The volume path of a full Windows path: the drive in upper case, then the names as they are.

    Both separators are taken, and several of them as one, as Windows does. ``WindowsPathError`` for
    a relative path, UNC and device paths, "." and "..", streams, devices and what else Windows does
    not allow in a name.
    """
    if windows_path[:2] in ("\\\\", "//", "\\/", "/\\"):
        raise WindowsPathError(windows_path, "network and device paths are not allowed")
    drive = _DRIVE.match(windows_path)
    if drive is None:
        raise WindowsPathError(windows_path, "it must start with a drive, as in C:\\")
    if _utf16_length(windows_path) > PATH_LENGTH_MAX:
        raise WindowsPathError(windows_path, f"it has more than {PATH_LENGTH_MAX} characters")
    names = [name for name in _SEPARATORS.split(windows_path[drive.end() :]) if name]
    for name in names:
        if reason := component_error(name):
            raise WindowsPathError(windows_path, reason)
    return "/".join((drive[1].upper(), *names))


def path_key(path: str) -> str:
    """What is equal for two paths that mean the same file: upper case, character by character.

    For Windows paths (after ``to_volume_path``) and volume paths alike. A character whose upper
    case is longer than itself stays, as in the table of NTFS: "ß" is not "SS".
    """
    if path.isascii():
        return path.upper()
    return "".join(upper if len(upper := char.upper()) == 1 else char for char in path)
