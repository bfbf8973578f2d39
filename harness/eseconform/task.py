"""What a client under test is asked to do, and what it answers.

A system under test (SUT) written in Python is a factory ``factory(api, task) -> claim``: it is
handed a :class:`eseback.api.BackupApi` and a :class:`Task`, does one job, and returns a claim. It
need not import this module: a claim is anything with the attributes of :class:`Claim` and files
with those of :class:`SavedFile` (or mappings with these keys); :func:`as_claim` reads it and says
in words what is missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol, cast

from attrs import frozen


class JobKind(StrEnum):
    """Kinds of job a task can ask for; the values are what the client sees in ``task.kind``."""

    FULL = "full"
    COPY = "copy"
    INCREMENTAL = "incremental"
    DIFFERENTIAL = "differential"
    RESTORE = "restore"

    @property
    def has_databases(self) -> bool:
        """True when the set holds database images and needs no earlier set."""
        return self in (JobKind.FULL, JobKind.COPY)

    @property
    def truncates(self) -> bool:
        """True when the logs that the set makes unnecessary are to be deleted on the server."""
        return self in (JobKind.FULL, JobKind.INCREMENTAL)

    @property
    def is_backup(self) -> bool:
        """True when the job makes a set."""
        return self is not JobKind.RESTORE

    @property
    def starts_chain(self) -> bool:
        """True when later sets continue this one. A copy has images too, but nothing joins it:
        the server does not remember it.
        """
        return self is JobKind.FULL

    @property
    def joins_chain(self) -> bool:
        """True when the sets after it build on it. A differential stands for itself."""
        return self.truncates


class Capability(StrEnum):
    """What a client may be able to do beyond a full backup, by the name that it declares."""

    INCREMENTAL = "incremental"
    COPY = "copy"
    DIFFERENTIAL = "differential"
    PARTIAL = "partial"
    """Some databases of a storage group: ``task.databases``."""
    RESTORE = "restore"
    """Restore what it saved: a chain of sets, to its end."""
    PLAY_FORWARD = "play_forward"
    """Restore, and replay the logs that are still on the server: ``task.play_forward``."""
    REDIRECT = "redirect"
    """Restore into another storage group, or the recovery storage group: ``task.target``."""
    PARALLEL = "parallel"
    """Work on several storage groups at the same time: ``task.parallel``."""


UNDECLARED = frozenset({Capability.INCREMENTAL})
"""What a client that declares nothing is taken to be able to do, beside a full backup.

Full and incremental are what every backup product does every week, and what the simplest factory
implements; a copy, a differential or a part of a group is asked only of who says so.
"""


class Outcome(StrEnum):
    """What a client says about its own job."""

    SUCCESS = "success"
    FAILURE = "failure"


class Sink(Protocol):
    """A file that is written from front to back."""

    def write(self, data: Any, /) -> object:
        """Append all of the bytes."""


class FileAccess(Protocol):
    """The server's disks as a client sees them that restores at file level."""

    def create(self, windows_path: str) -> AbstractContextManager[Sink]:
        """A new file to write, or an existing one emptied; it is complete when it is left.

        Raises:
            OSError: the server's system refuses it, for instance because the file is in use.
        """


@frozen
class Task:
    """One job.

    Attributes:
        kind: what to save; ``full`` and ``incremental`` include truncation of the logs, ``copy``
            and ``differential`` must not truncate; ``restore`` brings sets back.
        server: computer name for ``backup_prepare`` and ``restore_open``.
        annotation: service annotation for these.
        groups: instance names (storage groups) to save, all of them, entirely; or to restore, by
            the name that they had when they were saved.
        set_folder: an existing, empty directory of this job's own to put the set in.
        earlier_sets: set folders of the chain that this job continues, oldest (the full) first;
            empty for a full and a copy. For a restore: the chain to restore, to its end.
        databases: display names of the only databases of the one group; empty for all.
        files: for a restore: where files go that the server wants to be written with file I/O.
        target: for a restore: name of the storage group to restore into; None: the same.
        play_forward: for a restore: replay the logs that are still in the group's own folder, too.
        mount: for a restore: have the server mount the databases afterwards.
        parallel: all groups at the same time, each in a context of its own.
        endpoint: where the server is for who comes over the wire, ``rpc:HOST:PORT``; None where
            there is none.
    """

    kind: JobKind
    server: str
    annotation: str
    groups: tuple[str, ...]
    set_folder: Path
    earlier_sets: tuple[Path, ...] = ()
    databases: tuple[str, ...] = ()
    files: FileAccess | None = None
    target: str | None = None
    play_forward: bool = False
    mount: bool = False
    parallel: bool = False
    endpoint: str | None = None


@frozen
class SavedFile:
    """One file of a backup set.

    Attributes:
        name: the original name, exactly as the server listed it.
        size: bytes saved.
        path: a file that holds just these bytes, or None when they can't be read from here.
    """

    name: str
    size: int
    path: Path | None = None


@frozen
class Claim:
    """What the client says it did.

    Attributes:
        outcome: success, or failure; there is nothing in between.
        files: the files of the set (of this job alone, not of the chain).
        restorable_to: the last log generation that the chain up to this set restores to: one
            number, or a number per group name; None when the client does not say. Of a restore:
            the generation that the databases are at.
        reason: why it failed, in words; empty on success.
    """

    outcome: Outcome
    files: Sequence[SavedFile] = ()
    restorable_to: int | Mapping[str, int] | None = None
    reason: str = ""

    def generation_claimed(self, group: str) -> int | None:
        """The generation that the claim names for a group, or None when it names none."""
        if isinstance(self.restorable_to, Mapping):
            return self.restorable_to.get(group)
        return self.restorable_to


class ClaimError(ValueError):
    """What the client returned is not a claim; the text says what is wrong with it."""


def _member(thing: object, name: str, default: object = None) -> object:
    if isinstance(thing, Mapping):
        return thing.get(name, default)
    return getattr(thing, name, default)


def _outcome(value: object) -> Outcome:
    text = getattr(value, "value", value)
    try:
        return Outcome(str(text).lower())
    except ValueError:
        raise ClaimError(f"claim.outcome must be 'success' or 'failure', not {value!r}") from None


def _saved_file(thing: object) -> SavedFile:
    name = _member(thing, "name")
    size = _member(thing, "size")
    path = _member(thing, "path")
    if not isinstance(name, str) or not name:
        raise ClaimError(f"claim.files: 'name' must be the name listed by the server, not {name!r}")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise ClaimError(f"claim.files: {name}: 'size' must be a number of bytes, not {size!r}")
    if path is not None and not isinstance(path, str | Path):
        raise ClaimError(f"claim.files: {name}: 'path' must be a path or None, not {path!r}")
    return SavedFile(name, size, None if path is None else Path(path))


def _generation(value: object) -> int | Mapping[str, int] | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    if isinstance(value, Mapping) and all(
        isinstance(k, str) and isinstance(v, int) for k, v in value.items()
    ):
        return cast("Mapping[str, int]", dict(value))
    raise ClaimError(
        "claim.restorable_to must be a generation, a mapping of group to generation, or None, "
        f"not {value!r}"
    )


def as_claim(answer: object) -> Claim:
    """Read what a factory returned.

    Raises:
        ClaimError: an attribute is missing or of the wrong kind.
    """
    if answer is None:
        raise ClaimError("the client returned None instead of a claim")
    files = _member(answer, "files", ())
    if not isinstance(files, Iterable) or isinstance(files, str | bytes):
        raise ClaimError(f"claim.files must be a sequence of files, not {files!r}")
    return Claim(
        outcome=_outcome(_member(answer, "outcome")),
        files=tuple(_saved_file(f) for f in files),
        restorable_to=_generation(_member(answer, "restorable_to")),
        reason=str(_member(answer, "reason", "") or ""),
    )
