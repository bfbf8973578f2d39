"""What the calls of a program tell about it, seen from the server's side of the wire."""

from __future__ import annotations

import ntpath
import os
import threading
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from attrs import define, field, frozen

from eseback.structures import OpenedFile
from eseconform.task import FileAccess

_COPY_BYTES: Final = 1 << 20


@frozen
class Received:
    """What came of a file: how many bytes, and their CRC."""

    size: int = 0
    crc: int = 0

    def and_then(self, data: memoryview) -> Received:
        """This and more of it."""
        return Received(self.size + data.nbytes, zlib.crc32(data, self.crc))


@define(eq=False)
class OpenedFiles:
    """The files of the server that a program opened for reading, and how much came of each.

    Attributes:
        received: by name; of a file that was opened again, what came since then.
    """

    received: dict[str, Received] = field(factory=dict)
    _names: dict[tuple[int, int], str] = field(factory=dict, init=False)
    _lock: threading.Lock = field(factory=threading.Lock, init=False)

    def after(self, method: str, arguments: Mapping[str, Any], result: object) -> None:
        """A call succeeded. Calls may come from several threads."""
        if method == "backup_open_file" and isinstance(result, tuple):
            with self._lock:
                self.received[arguments["file_name"]] = Received()
                for opened in result:
                    assert isinstance(opened, OpenedFile)
                    self._names[arguments["context"], opened.handle] = arguments["file_name"]
        elif method == "backup_read_file" and isinstance(result, int):
            with self._lock:
                name = self._names.get((arguments["context"], arguments["handle"]))
                if name is not None:
                    self.received[name] = self.received[name].and_then(
                        memoryview(arguments["buffer"]).cast("B")[:result]
                    )


@define(eq=False)
class Drives:
    """A folder that stands for the server's drives, for a program that restores at file level.

    The simulated server's disks are in the memory of this process. What the program writes below
    the folder (``C:\\a`` is ``ROOT/C/a``) gets there before its next call is heard, which is
    before the server can miss it. What the server refuses (a file in use) it hears of too late to
    tell the program; it is noted as refused.

    Attributes:
        root: the folder.
        files: the way to the server's disks.
    """

    root: Path
    files: FileAccess
    _seen: dict[str, tuple[int, int]] = field(factory=dict, init=False)
    _lock: threading.Lock = field(factory=threading.Lock, init=False)

    def before(self, method: str, arguments: Mapping[str, Any]) -> None:
        """A call is about to be made. Calls may come from several threads."""
        with self._lock:
            self._collect()
            if method == "restore_open_file":
                self._show_drive(str(arguments["file_name"]))

    def collect(self) -> None:
        """Take what was written since the last call."""
        with self._lock:
            self._collect()

    def _show_drive(self, name: str) -> None:
        """A drive of the server is there once a file on it was spoken of."""
        letter = ntpath.splitdrive(name)[0].removesuffix(":")
        if len(letter) == 1 and letter.isalpha():
            (self.root / letter.upper()).mkdir(exist_ok=True)

    def _collect(self) -> None:
        for folder, _, names in os.walk(self.root):
            for name in sorted(names):
                self._take(Path(folder, name))

    def _take(self, path: Path) -> None:
        status = path.stat(follow_symlinks=False)
        now = (status.st_mtime_ns, status.st_size)
        drive, *parts = path.relative_to(self.root).parts
        if self._seen.get(str(path)) == now or not parts or path.is_symlink():
            return
        self._seen[str(path)] = now
        try:
            with (
                self.files.create("\\".join((f"{drive}:", *parts))) as sink,
                path.open("rb") as file,
            ):
                while data := file.read(_COPY_BYTES):
                    sink.write(data)
        except (OSError, ValueError):
            return  # it was noted by whoever refused it
