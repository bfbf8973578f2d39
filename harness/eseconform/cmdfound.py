"""The set of a program that does not say what is in it, as far as it can be seen from outside."""

from __future__ import annotations

import ntpath
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from attrs import define

from eseconform.cmdwatch import Received
from eseconform.task import SavedFile

_READ_BYTES: Final = 1 << 20


def saved_files(folder: Path, opened: Mapping[str, Received]) -> tuple[SavedFile, ...]:
    """The files that were opened, each with what is taken for it in the folder of the set.

    That is a file of just the bytes that the server sent, whatever its name; or else one with the
    last part of the name on the server. Where none of them is found, the program has a form of its
    own for its sets: all of them are taken to be saved, and unreadable from here.
    """
    there = _Folder([path for path in sorted(folder.rglob("*")) if path.is_file()])
    found: dict[str, Path] = {}
    for is_it in (_same_bytes, _same_name):
        for name, received in opened.items():
            path = None if name in found else there.take(name, received, is_it)
            if path is not None:
                found[name] = path
    if not found:
        return tuple(SavedFile(name, received.size) for name, received in opened.items())
    return tuple(SavedFile(n, found[n].stat().st_size, found[n]) for n in opened if n in found)


_Match = Callable[[str, Received, "_File"], bool]


@define(eq=False)
class _File:
    """A file of the set; its CRC is made when it is asked for."""

    path: Path
    size: int
    _crc: int | None = None

    @property
    def crc(self) -> int:
        if self._crc is None:
            self._crc = 0
            with self.path.open("rb") as file:
                while data := file.read(_READ_BYTES):
                    self._crc = zlib.crc32(data, self._crc)
        return self._crc


class _Folder:
    """Files of which each is taken once at most."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._left = [_File(path, path.stat().st_size) for path in paths]

    def take(self, name: str, received: Received, is_it: _Match) -> Path | None:
        """The file that it is; of several the one that shares most of the name."""
        candidates = [file for file in self._left if is_it(name, received, file)]
        if not candidates:
            return None
        parts = {part.casefold() for part in name.split("\\")}
        best = max(candidates, key=lambda f: len(parts & {p.casefold() for p in f.path.parts}))
        self._left.remove(best)
        return best.path


def _same_bytes(_: str, received: Received, file: _File) -> bool:
    return file.size == received.size and file.crc == received.crc


def _same_name(name: str, _: Received, file: _File) -> bool:
    return file.path.name.casefold() == ntpath.basename(name).casefold()
