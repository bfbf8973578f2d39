"""Backup sets on disk: one folder with ``manifest.json`` and a folder per storage group.

    SET/manifest.json
    SET/First Storage Group/priv1.edb, priv1.stm, E0000004.log, ...

A set is *incomplete* from its first byte on; a group becomes *complete* by one atomic replacement
of the manifest, after all its files and the names of its files are durable. Nothing that exists
is ever overwritten: a set gets a new or an empty folder, a file a new name.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import stat
import threading
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Final

from attrs import evolve, frozen

from esebcli.durable import sync_directory, write_atomically
from esebcli.errors import SetError, UserError
from esebcli.manifest import (
    MANIFEST_BYTES_MAX,
    MANIFEST_NAME,
    Manifest,
    SavedFile,
    SavedGroup,
    decode,
    encode,
)
from esebcli.names import NameAllocator

_NO_FOLLOW: Final = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
_BINARY: Final = getattr(os, "O_BINARY", 0)


def utc_now() -> str:
    """The time as manifests have it: ISO 8601, UTC, whole seconds."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@frozen
class BackupSet:
    """A set that was read from disk; only its manifest has been looked at."""

    folder: Path
    manifest: Manifest

    def path_of(self, group: SavedGroup, file: SavedFile) -> Path:
        """Where a file of the set is. The names were checked when the manifest was read."""
        return self.folder / group.folder / file.name

    def open_file(self, group: SavedGroup, file: SavedFile) -> io.BufferedReader:
        """Open a file for reading.

        Raises:
            OSError: it is missing, can't be read, or is no regular file (a link, say).
        """
        return open_regular(self.path_of(group, file))


def open_set(folder: Path) -> BackupSet:
    """Read the manifest of a set.

    Raises:
        SetError: there is none, or it is damaged, or it is newer than this program.
    """
    path = folder / MANIFEST_NAME
    try:
        with open_regular(path) as file:
            data = file.read(MANIFEST_BYTES_MAX + 1)
    except FileNotFoundError as error:
        raise SetError(f"{folder} is no backup set: it has no {MANIFEST_NAME}") from error
    except NotADirectoryError as error:
        raise SetError(f"{folder} is no backup set: it is no folder") from error
    except OSError as error:
        raise SetError(f"{path} can't be read: {error.strerror or error}") from error
    if len(data) > MANIFEST_BYTES_MAX:
        raise SetError(f"{path} can't be read: it is larger than {MANIFEST_BYTES_MAX} bytes")
    try:
        return BackupSet(folder, decode(data))
    except SetError as error:
        raise SetError(f"{path} can't be used: {error}") from error


def refuse_unless_new(folder: Path) -> None:
    """Check that a set can be written to ``folder``.

    Raises:
        UserError: something is there already, or it can't be looked at.
    """
    try:
        if folder.is_symlink() or folder.exists():
            if not folder.is_dir():
                raise UserError(f"{folder} exists and is no folder: name a new or an empty one")
            if any(folder.iterdir()):
                raise UserError(
                    f"{folder} is not empty: nothing is overwritten; name a new or an empty folder"
                )
    except OSError as error:
        raise UserError(f"{folder} can't be used: {error.strerror or error}") from error


def refuse_twice(folders: Sequence[Path]) -> None:
    """Refuse sets of which one is named twice. Raises UserError."""
    # Not Path.resolve, which fails on a link that leads to itself; opening says more.
    if len({os.path.realpath(folder) for folder in folders}) != len(folders):
        raise UserError("a set is named twice")


def plan_groups(names: Iterable[str]) -> tuple[SavedGroup, ...]:
    """The groups of a new set, each with a folder name of its own."""
    folders = NameAllocator(reserved=[MANIFEST_NAME])
    return tuple(SavedGroup(name, folders.assign(name)) for name in names)


class SetWriter:
    """A set being written. Safe to use from several threads, one per group."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self._lock = threading.Lock()
        self._manifest = manifest
        self.folder = folder

    @classmethod
    def create(cls, folder: Path, manifest: Manifest) -> SetWriter:
        """Make the folder of the set, those of its groups, and the first manifest (incomplete).

        Raises:
            UserError: the folder isn't new or empty, or can't be made.
        """
        refuse_unless_new(folder)
        made: list[Path] = []
        new: list[Path] = []
        try:
            new = [p for p in (folder, *folder.parents) if not p.exists()]
            folder.mkdir(parents=True, exist_ok=True)
            for group in manifest.groups:
                # Not exist_ok: who makes it first, has it. Two jobs can't share a set.
                (folder / group.folder).mkdir()
                made.append(folder / group.folder)
            writer = cls(folder, manifest)
            writer._write()
            for path in new:
                sync_directory(path.parent)
        except OSError as error:
            # So that the same command can be given again when its cause is put right.
            with contextlib.suppress(OSError):
                for path in (*made, *new):
                    path.rmdir()
            raise UserError(f"{folder} can't be written: {error.strerror or error}") from error
        return writer

    @property
    def manifest(self) -> Manifest:
        """The manifest as it stands on disk."""
        return self._manifest

    def group_folder(self, group: SavedGroup) -> Path:
        """The folder of a group's files."""
        return self.folder / group.folder

    def create_file(self, group: SavedGroup, name: str) -> BinaryIO:
        """A new file of a group, open for writing.

        Raises:
            OSError: among others FileExistsError; nothing is overwritten.
        """
        return (self.group_folder(group) / name).open("xb")

    def update(self, group: SavedGroup) -> None:
        """Record the new state of a group, durably: files' names first, then the manifest.

        Raises:
            OSError: the manifest says what it said before.
        """
        sync_directory(self.group_folder(group))
        with self._lock:
            before = self._manifest
            self._manifest = before.with_group(group)
            try:
                self._write()
            except OSError:
                self._manifest = before
                raise

    def finish(self) -> None:
        """Record when the job ended."""
        with self._lock:
            self._manifest = evolve(self._manifest, finished=utc_now())
            self._write()

    def _write(self) -> None:
        write_atomically(self.folder / MANIFEST_NAME, encode(self._manifest))


def open_regular(path: Path) -> io.BufferedReader:
    """Open a file of a set for reading.

    Raises:
        OSError: it is missing, can't be read, or is no regular file (a link, say).
    """
    # A link could lead out of the set, a FIFO would block for ever.
    try:
        descriptor = os.open(path, os.O_RDONLY | _NO_FOLLOW | _BINARY)
    except OSError as error:
        if error.errno == errno.ELOOP and path.is_symlink():
            raise OSError("not a regular file") from error
        raise
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError("not a regular file")
        # By its path, so that the file knows its name; what is opened is what was looked at.
        return open(path, "rb", opener=lambda _path, _flags: descriptor)
    except BaseException:
        os.close(descriptor)
        raise
