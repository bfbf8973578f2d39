"""A volume that is a directory of this computer."""

from __future__ import annotations

import io
import os
import stat
import threading
from pathlib import Path
from typing import Final

from eseback.data import frozen
from esesim.volume.base import (
    Lent,
    Readable,
    VolumeError,
    VolumeFile,
    VolumeFileNotFound,
    Writable,
    check_range,
    split_path,
)
from esesim.volume.container import MAGIC, Container, Containers
from esesim.volume.generated import Generated
from esesim.windows_path import path_key

_OPEN_FLAGS: Final = (
    os.O_RDWR
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
)
_REPARSE_POINT: Final = getattr(stat, "FILE_ATTRIBUTE_REPARSE_POINT", 0)


@frozen
class _Found:
    """A path on this computer and what is there; None if nothing is."""

    path: Path
    status: os.stat_result | None

    @property
    def is_directory(self) -> bool:
        return self.status is not None and stat.S_ISDIR(self.status.st_mode)

    @property
    def is_file(self) -> bool:
        return self.status is not None and stat.S_ISREG(self.status.st_mode)


class DirectoryVolume:
    """A ``Volume`` below the directory ``root``, which must exist.

    Symbolic links below it (and junctions, on Windows) are never followed, they are a
    ``VolumeError``. That is checked when a path is used, so nobody else may be able to write to the
    directory. With ``fsync=False`` a sync is left to the operating system: enough unless this
    computer loses power. Errors of the operating system (disk full, no permission) come as
    ``OSError``.
    """

    def __init__(self, root: Path, *, fsync: bool = True) -> None:
        self._fsync = fsync
        self._containers = Containers()
        try:
            self._root = root.resolve(strict=True)
        except FileNotFoundError:
            raise VolumeFileNotFound(str(root)) from None
        if not self._root.is_dir():
            raise VolumeError(f"{str(root)!r} is not a directory")

    def create(self, path: str, size: int = 0) -> VolumeFile:
        """See ``Volume``."""
        check_range(0, size)
        found = self._find_place(path)
        descriptor = os.open(found.path, _OPEN_FLAGS | os.O_CREAT | os.O_TRUNC, 0o666)
        file = _FILE_CLASS(descriptor, self._fsync)
        if size:
            file.resize(size)
        return file

    def create_generated(self, path: str, size: int, source: Generated) -> VolumeFile:
        """See ``Volume``. The file holds only what was written, see ``container``."""
        raw = self.create(path)
        try:
            Container.make(raw, size, source)
        finally:
            raw.close()
        return self.open(path)

    def open(self, path: str) -> VolumeFile:
        """See ``Volume``."""
        raw = _FILE_CLASS(os.open(self._find_file(path).path, _OPEN_FLAGS), self._fsync)
        try:
            if raw.read(0, len(MAGIC)) != MAGIC:
                return raw
            return self._containers.open(raw.identity, raw)
        except BaseException:
            raw.close()
            raise

    def exists(self, path: str) -> bool:
        """See ``Volume``."""
        try:
            return self._find(split_path(path), path).is_file
        except VolumeFileNotFound:
            return False

    def size(self, path: str) -> int:
        """See ``Volume``."""
        # What a file with generated content says of itself; for others it is what the system says.
        file = self.open(path)
        try:
            return file.size
        finally:
            file.close()

    def delete(self, path: str) -> None:
        """See ``Volume``."""
        self._find_file(path).path.unlink()

    def rename(self, old: str, new: str) -> None:
        """See ``Volume``."""
        source = self._find_file(old)
        target = self._find_place(new)
        path = target.path
        if target.status is not None and source.path == path:
            path = path.with_name(split_path(new)[-1])
        source.path.replace(path)

    def list(self, directory: str) -> list[str]:
        """See ``Volume``."""
        found = self._find_directory(directory)
        with os.scandir(found.path) as entries:
            return sorted(entry.name for entry in entries if entry.is_file(follow_symlinks=False))

    def make_directory(self, path: str) -> None:
        """See ``Volume``."""
        names = split_path(path, root_allowed=True)
        for count in range(1, len(names) + 1):
            found = self._find(names[:count], path)
            if found.status is None:
                found.path.mkdir()
            elif not found.is_directory:
                raise VolumeError(f"{path!r}: {names[count - 1]!r} is not a directory")

    def sync_directory(self, path: str) -> None:
        """See ``Volume``. Windows keeps directories in its journal and needs no sync."""
        found = self._find_directory(path)
        if self._fsync and hasattr(os, "O_DIRECTORY"):
            descriptor = os.open(found.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def local_path(self, path: str) -> Path:
        """Where a file or directory is, or would be, on this computer.

        Names that exist are found whatever their case, as everywhere; the rest is as it is given.
        """
        names = split_path(path, root_allowed=True)
        for count in range(len(names), -1, -1):
            try:
                found = self._find(names[:count], path)
            except VolumeFileNotFound:
                continue
            return found.path.joinpath(*names[count:])
        raise AssertionError("the root exists")

    def _find_file(self, path: str) -> _Found:
        found = self._find(split_path(path), path)
        if found.status is None:
            raise VolumeFileNotFound(path)
        return self._not_in_the_way(found, path)

    def _find_place(self, path: str) -> _Found:
        """Where a file is or would be."""
        return self._not_in_the_way(self._find(split_path(path), path), path)

    @staticmethod
    def _not_in_the_way(found: _Found, path: str) -> _Found:
        if found.status is not None and not found.is_file:
            raise VolumeError(f"{path!r} is not a file")
        return found

    def _find_directory(self, path: str) -> _Found:
        found = self._find(split_path(path, root_allowed=True), path)
        if not found.is_directory:
            raise VolumeFileNotFound(path)
        return found

    def _find(self, names: tuple[str, ...], path: str) -> _Found:
        """Go down by ``names``. ``VolumeFileNotFound`` if it ends before the last of them."""
        found = _Found(self._root, self._root.stat())
        for name in names:
            if not found.is_directory:
                raise VolumeFileNotFound(path)
            found = _entry(found.path, name)
            if found.status is not None and _is_link(found.status):
                raise VolumeError(f"{path!r}: {name!r} is a link")
        return found


def _entry(directory: Path, name: str) -> _Found:
    """The entry of that name, in whatever case it is written."""
    exact = directory / name
    try:
        return _Found(exact, exact.lstat())
    except FileNotFoundError:
        pass
    key = path_key(name)
    with os.scandir(directory) as entries:
        for other in sorted(entry.name for entry in entries):
            if path_key(other) == key:
                return _Found(directory / other, (directory / other).lstat())
    return _Found(exact, None)


def _is_link(status: os.stat_result) -> bool:
    attributes = getattr(status, "st_file_attributes", 0)
    return stat.S_ISLNK(status.st_mode) or bool(attributes & _REPARSE_POINT)


class _PositionalFile:
    """An open file of a ``DirectoryVolume``; see ``VolumeFile``."""

    def __init__(self, descriptor: int, fsync: bool) -> None:
        # The object closes the descriptor if its user forgets it.
        self._raw = io.FileIO(descriptor, "r+")
        self._descriptor = descriptor
        self._fsync = fsync

    def _open_descriptor(self) -> int:
        if self._descriptor < 0:
            raise VolumeError("the file was closed")
        return self._descriptor

    @property
    def size(self) -> int:
        """See ``VolumeFile``."""
        return os.fstat(self._open_descriptor()).st_size

    def read_into(self, offset: int, buffer: Writable) -> int:
        """See ``VolumeFile``."""
        check_range(offset, 0)
        wanted = len(buffer)
        done = self._read_some(offset, buffer)
        while 0 < done < wanted:
            more = self._read_some(offset + done, memoryview(buffer)[done:])
            if not more:
                break
            done += more
        return done

    def read(self, offset: int, size: int) -> bytes:
        """See ``VolumeFile``."""
        check_range(offset, size)
        buffer = bytearray(min(size, max(self.size - offset, 0)))
        return bytes(memoryview(buffer)[: self.read_into(offset, buffer)])

    @property
    def identity(self) -> tuple[int, int]:
        """What tells this file from all others on this computer."""
        status = os.fstat(self._open_descriptor())
        return status.st_dev, status.st_ino

    def lend(self, offset: int, size: int) -> Lent | None:
        """See ``VolumeFile``. What lies on a disk can only be copied."""
        return None

    @property
    def lender(self) -> None:
        """See ``VolumeFile``."""

    def generated(self, offset: int, size: int) -> bool:
        """See ``VolumeFile``. Nothing is made by rule here."""
        return False

    def write(self, offset: int, data: Readable) -> None:
        """See ``VolumeFile``."""
        check_range(offset, len(data))
        view = memoryview(data)
        while view:
            done = self._write_some(offset, view)
            offset += done
            view = view[done:]

    def resize(self, size: int) -> None:
        """See ``VolumeFile``."""
        check_range(0, size)
        os.ftruncate(self._open_descriptor(), size)

    def sync(self) -> None:
        """See ``VolumeFile``."""
        descriptor = self._open_descriptor()
        if self._fsync:
            os.fsync(descriptor)

    def close(self) -> None:
        """See ``VolumeFile``."""
        self._descriptor = -1
        self._raw.close()

    def _read_some(self, offset: int, buffer: Writable) -> int:
        return os.preadv(self._open_descriptor(), [buffer], offset)

    def _write_some(self, offset: int, data: memoryview) -> int:
        return os.pwrite(self._open_descriptor(), data, offset)


class _SeekingFile(_PositionalFile):
    """The same for systems without reads and writes at a position (Windows)."""

    def __init__(self, descriptor: int, fsync: bool) -> None:
        super().__init__(descriptor, fsync)
        self._position_lock = threading.Lock()

    def _read_some(self, offset: int, buffer: Writable) -> int:
        with self._position_lock:
            os.lseek(self._open_descriptor(), offset, os.SEEK_SET)
            return self._raw.readinto(buffer) or 0

    def _write_some(self, offset: int, data: memoryview) -> int:
        with self._position_lock:
            os.lseek(self._open_descriptor(), offset, os.SEEK_SET)
            return os.write(self._open_descriptor(), data)


_FILE_CLASS: type[_PositionalFile] = _PositionalFile if hasattr(os, "preadv") else _SeekingFile
