"""File names from a server, made safe.

A server names its files by full Windows paths (``C:\\Exchsrvr\\mdbdata\\priv1.edb``), and a
damaged or hostile one may send anything. Such a name is never used as a path. It is only the
source of a *file name* for the folder of the set that we chose ourselves; the manifest keeps the
original beside it.

The rules are the strictest of all systems a set may be copied to: no separators, no characters or
device names that Windows reserves, no name that another one equals when case or Unicode form is
ignored, at most 200 bytes. The mapping never fails and is deterministic.

Windows' rules: "Naming Files, Paths, and Namespaces" (learn.microsoft.com/windows/win32/fileio).
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable
from typing import Final

NAME_BYTES_MAX: Final = 200
"""Longest name in bytes of UTF-8; file systems allow 255, temporary names need a few of them."""

_SEPARATORS = re.compile(r"[\\/]")
_RESERVED_CHARACTERS: Final = frozenset('<>:"|?*')
# Control characters, format characters (they can reorder what a terminal shows), lone surrogates
# (no UTF-8 form), line and paragraph separators.
_UNSAFE_CATEGORIES: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_UNENCODABLE: Final = frozenset({"Cc", "Cs"})
_DRIVE = re.compile(r"([A-Za-z]):[\\/]")
_DEVICE = re.compile(
    r"(con|prn|aux|nul|conin\$|conout\$|com[0-9\u00b9\u00b2\u00b3]|lpt[0-9\u00b9\u00b2\u00b3])\s*(\.|$)",
    re.IGNORECASE,
)
_DIGEST_CHARACTERS: Final = 10


def last_component(original: str) -> str:
    """What follows the last separator of a Windows path; may be empty, may be unsafe."""
    return _SEPARATORS.split(original)[-1]


def safe_name(original: str) -> str:
    """A file name made from the last component of ``original``, harmless on any system.

    The same as that component where it is harmless already. Never empty, never raises.
    """
    name = "".join(
        "_" if c in _RESERVED_CHARACTERS or unicodedata.category(c) in _UNSAFE_CATEGORIES else c
        for c in last_component(original)
    )
    name = unicodedata.normalize("NFC", name).lstrip(" ").rstrip(" .")
    # A leading dot hides a file, and our own temporary files start with one.
    if not name or name.startswith(".") or _DEVICE.match(name):
        name = "_" + name
    if len(name.encode()) > NAME_BYTES_MAX:
        name = _shorten(name, original)
    return name


def is_safe_name(name: str) -> bool:
    """Whether ``name`` is what this module could have made: for names read back from a manifest."""
    return name == safe_name(name)


def windows_names(path: str) -> tuple[str, ...]:
    """The drive letter (upper case) and the names of a full Windows path.

    Raises:
        ValueError: it is relative, on a network, has ".." in it, or a name that Windows forbids.
    """
    drive = _DRIVE.match(path)
    if drive is None:
        raise ValueError(f"{path!r} is no full path below a drive, as C:\\ is one")
    names = tuple(name for name in _SEPARATORS.split(path[drive.end() :]) if name)
    for name in names:
        if any(c in _RESERVED_CHARACTERS or unicodedata.category(c) in _UNENCODABLE for c in name):
            raise ValueError(f"{path!r} has a character that is not allowed")
        if name.endswith((".", " ")) or _DEVICE.match(name):
            raise ValueError(f"{path!r} has a name that Windows does not allow: {name!r}")
    return (drive[1].upper(), *names)


def is_same_path(one: str, other: str) -> bool:
    """Whether two Windows paths are the same, without regard to case and needless separators."""

    def parts(path: str) -> list[str]:
        return [name.casefold() for name in _SEPARATORS.split(path) if name]

    return parts(one) == parts(other)


class NameAllocator:
    """Gives each original name a file name of its own within one folder."""

    def __init__(self, reserved: Iterable[str] = ()) -> None:
        self._taken = {_comparable(name) for name in reserved}

    def assign(self, original: str) -> str:
        """A safe name that no earlier call returned, also when case is ignored."""
        name = safe_name(original)
        stem, dot, suffix = name.rpartition(".")
        if not dot:
            stem, suffix = name, ""
        candidate = name
        number = 1
        while _comparable(candidate) in self._taken:
            number += 1
            candidate = safe_name(f"{stem}~{number}{dot}{suffix}")
        self._taken.add(_comparable(candidate))
        return candidate


def printable(text: str) -> str:
    """``text`` for a terminal or a log line: what could move the cursor is shown as an escape."""
    return "".join(
        c.encode("unicode_escape").decode("ascii")
        if unicodedata.category(c) in _UNSAFE_CATEGORIES
        else c
        for c in text
    )


def _comparable(name: str) -> str:
    """Equal for names that some file system takes for the same one."""
    return unicodedata.normalize("NFKC", name.casefold()).casefold()


def _shorten(name: str, original: str) -> str:
    """Cut a name; a digest of the original keeps two long names apart, the extension stays."""
    digest = hashlib.sha256(original.encode("utf-8", "surrogatepass")).hexdigest()
    tail = "~" + digest[:_DIGEST_CHARACTERS]
    stem, dot, suffix = name.rpartition(".")
    if dot and len(suffix.encode()) <= 16:
        tail += dot + suffix
    else:
        stem = name
    room = NAME_BYTES_MAX - len(tail.encode())
    return stem.encode()[:room].decode("utf-8", "ignore").rstrip(" .") + tail
