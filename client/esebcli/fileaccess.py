"""Writing the server's files ourselves, where it answers hrRestoreAtFileLevel.

For ordinary Exchange files HrESERestoreOpenFile asks the client to write the file with file I/O
(SDK page aa564970). A client on the server itself writes to the very path; one that sees the
server's disks somewhere else needs to be told where. Either way the path was chosen by a server, so
it is checked as if it came from a stranger: a full path below a drive, and every name one that
Windows allows. Below a folder of ours no link is followed either; on the server itself a folder may
well be a mount point of another disk.

Rules of names: "Naming Files, Paths, and Namespaces" (learn.microsoft.com/windows/win32/fileio).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from eseback.api import ReadableBuffer
from esebcli.durable import naming, sync_directory
from esebcli.errors import JobError, UserError
from esebcli.names import windows_names

_REPARSE_POINT: Final = getattr(stat, "FILE_ATTRIBUTE_REPARSE_POINT", 0)
_FLAGS: Final = (
    os.O_WRONLY
    | os.O_CREAT
    | os.O_TRUNC
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
)


class WritableFile(Protocol):
    """A file of the server, open for writing."""

    def write(self, data: ReadableBuffer, /) -> object:
        """Append all of ``data``."""
        ...


class FileAccess(Protocol):
    """Where a server's files can be written without its help."""

    def create(self, windows_path: str) -> AbstractContextManager[WritableFile]:
        """Make a file, or empty the one that is there; its folders are made as needed.

        When the block is left without an error, the file is durable.

        Raises:
            OSError, ValueError, JobError: it can't be made; the text says why.
        """
        ...


class FilesRoot:
    """The server's disks below a folder of this computer: ``C:\\a\\b.edb`` is ``ROOT/C/a/b.edb``.

    Names are found without regard to case, as on NTFS. The folder of a drive has to be there, as a
    disk has: one that is not is the sign of a wrong ``root``, and nothing is written.

    Raises:
        UserError: ``root`` is no folder.
    """

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise UserError(f"{root} is no folder: name the one that holds the server's drives")
        self._root = root

    @contextmanager
    def create(self, windows_path: str) -> Iterator[BinaryIO]:
        """See :class:`FileAccess`."""
        drive, *names = _names(windows_path)
        folder = self._root
        if not os.path.lexists(_entry(folder, drive)):
            raise JobError(
                f"{folder} has no folder {drive!r}, for the server's drive of that letter: name "
                "the folder that holds the server's drives, or make it if the disk is new"
            )
        for name in (drive, *names[:-1]):
            parent, folder = folder, _entry(folder, name)
            if not os.path.lexists(folder):
                folder.mkdir()
                sync_directory(parent)
            _refuse_unless(folder, stat.S_ISDIR, "is no folder")
        with _durable(_entry(folder, names[-1])) as file:
            yield file


class LocalFiles:
    """The paths themselves: for a client that runs on the server, on Windows."""

    @contextmanager
    def create(self, windows_path: str) -> Iterator[BinaryIO]:
        """See :class:`FileAccess`."""
        _names(windows_path)
        path = Path(windows_path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with _durable(path) as file:
            yield file


def _names(windows_path: str) -> tuple[str, ...]:
    try:
        names = windows_names(windows_path)
    except ValueError as error:
        raise JobError(f"the server asks for a file that can't be written: {error}") from error
    if len(names) == 1:
        raise JobError(f"the server asks for a file {windows_path!r}, which is a drive")
    return names


def _entry(folder: Path, name: str) -> Path:
    """The entry of that name in whatever case, or a new one of just that name."""
    exact = folder / name
    if os.path.lexists(exact):
        return exact
    for entry in sorted(folder.iterdir()):
        if entry.name.upper() == name.upper():
            return entry
    return exact


def _refuse_unless(path: Path, is_right: Callable[[int], bool], problem: str) -> None:
    """Links are refused like everything else that is not what it should be."""
    status = path.lstat()
    if getattr(status, "st_file_attributes", 0) & _REPARSE_POINT or not is_right(status.st_mode):
        raise JobError(f"{path} {problem}")


@contextmanager
def _durable(path: Path) -> Iterator[BinaryIO]:
    if os.path.lexists(path):
        _refuse_unless(path, stat.S_ISREG, "is no ordinary file")
    with naming(path), os.fdopen(os.open(path, _FLAGS, 0o666), "wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
    sync_directory(path.parent)
