"""Reading saved files: the hash, the size and the contents of each, in one pass."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from attrs import frozen

from esebcli.contents import DatabaseCheck, Depth, FileCheck, FileFacts, check_for
from esebcli.findings import Finding, Layer
from esebcli.manifest import FileKind, SavedFile
from esebcli.pages import BadPages, PageRange, Share, check_pages
from esebcli.sets import open_regular

READ_SIZE: Final = 1 << 20
"""Bytes read at once: a multiple of every page size, and enough to be worth sharing out."""


@frozen
class FileTask:
    """A file to read: where it is, what it should be, how closely to look at it."""

    path: Path
    file: SavedFile
    depth: Depth


@frozen
class FileResult:
    """What was found. ``facts`` is None if the contents could not be looked at.

    ``findings`` are about the file as it lies there; those about its contents are in the facts.
    """

    findings: tuple[Finding, ...]
    facts: FileFacts | None


class FileReading:
    """The reading of one file.

    With ``share`` others may check pages of a database; what comes of it is handed to
    :meth:`add_bad` or :meth:`fail`, before :meth:`result` is called.
    """

    def __init__(self, task: FileTask, share: Share | None = None) -> None:
        self._task = task
        self._check = _check_for(task, share)
        self._size = 0
        self._digest = hashlib.sha256()
        self._failure: str | None = None

    def read(self, buffer: memoryview) -> None:
        """Read the whole file, in pieces of the size of ``buffer``."""
        try:
            with open_regular(self._task.path) as source:
                while count := source.readinto(buffer):
                    self._take(buffer[:count])
        except OSError as error:
            self.fail(error)

    def _take(self, data: memoryview) -> None:
        self._size += len(data)
        self._digest.update(data)
        if self._size <= self._task.file.size:
            self._check.feed(data)

    def add_bad(self, found: BadPages) -> None:
        """What somebody else found in pages that were shared out."""
        assert isinstance(self._check, DatabaseCheck), "only pages of databases are shared out"
        self._check.add_bad(found)

    def fail(self, error: OSError) -> None:
        """The file, or a part of it that somebody else was to read, can't be read."""
        missing = isinstance(error, FileNotFoundError)
        text = "it is missing" if missing else f"it can't be read: {error.strerror or error}"
        self._failure = self._failure or text

    def result(self) -> FileResult:
        """What was found, after everything has been read."""
        file = self._task.file
        problem = self._failure
        if problem is None and self._size != file.size:
            problem = f"it has {self._size} bytes, the manifest says {file.size}"
        if problem is not None:
            return FileResult((Finding(Layer.FILE, problem, file.name),), None)
        findings: tuple[Finding, ...] = ()
        if self._digest.hexdigest() != file.sha256:
            text = "its contents were changed or damaged (SHA-256 differs)"
            findings = (Finding(Layer.FILE, text, file.name),)
        return FileResult(findings, self._check.finish())


def _check_for(task: FileTask, share: Share | None) -> FileCheck:
    file = task.file
    if share is not None and file.kind is FileKind.DATABASE:
        return DatabaseCheck(file.name, file.size, task.depth, share)
    return check_for(file.kind, file.name, file.size, task.depth)


def read_file(task: FileTask, buffer: memoryview) -> FileResult:
    """Read one file from beginning to end."""
    reading = FileReading(task)
    reading.read(buffer)
    return reading.result()


def read_pages(path: Path, pages: PageRange) -> BadPages:
    """Read some pages of a file again, just after somebody else did, and check them.

    Raises:
        OSError: they can't be read.
    """
    data = memoryview(bytearray(pages.size))
    with open_regular(path) as source:
        source.seek(pages.offset)
        if source.readinto(data) != len(data):
            raise OSError("it was cut off while it was read")
    return check_pages(data, pages)
