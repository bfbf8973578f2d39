"""The files of a set, held against what the server listed and sent."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from attrs import frozen

from eseconform.judge.ledger import Attempt, GroupBackup
from eseconform.judge.records import base_name
from eseconform.task import SavedFile

COMPARE_BYTES = 1 << 20


@frozen
class SetFiles:
    """What a claim holds of one storage group.

    Attributes:
        backup: the backup that the files come from.
        files: saved files by the name that the server listed.
        missing: names that the server listed and that the claim does not have.
        doubled: names that the claim has more than once.
    """

    backup: GroupBackup
    files: dict[str, SavedFile]
    missing: tuple[str, ...]
    doubled: tuple[str, ...]

    @property
    def unreadable(self) -> tuple[str, ...]:
        """Names of files whose bytes can't be read from here."""
        return tuple(name for name, file in self.files.items() if file.path is None)


@frozen
class Difference:
    """Where a saved file differs from what the server sent.

    Attributes:
        name: the file, as the server listed it.
        text: how it differs, in words.
    """

    name: str
    text: str


def sort_out(files: Sequence[SavedFile], backup: GroupBackup) -> SetFiles:
    """Find a group's files in a claim, by the names that the server listed."""
    by_name: dict[str, list[SavedFile]] = {}
    for file in files:
        by_name.setdefault(file.name.casefold(), []).append(file)
    found: dict[str, SavedFile] = {}
    missing, doubled = [], []
    for name in backup.wanted():
        candidates = by_name.get(name.casefold(), [])
        if not candidates:
            missing.append(name)
            continue
        if len(candidates) > 1:
            doubled.append(name)
        found[name] = candidates[-1]
    return SetFiles(backup, found, tuple(missing), tuple(doubled))


def unlisted(files: Sequence[SavedFile], backups: Sequence[GroupBackup]) -> list[str]:
    """Names of claimed files that the server listed for none of the backups."""
    listed = {name.casefold() for backup in backups for name in backup.wanted()}
    return [file.name for file in files if file.name.casefold() not in listed]


def differences(group: SetFiles) -> Iterator[Difference]:
    """Compare every readable file with the reads that brought it."""
    for name, file in group.files.items():
        if file.path is None:
            continue
        text = _difference(file.path, group.backup.attempts_at(name))
        if text:
            yield Difference(name, text)


def _difference(path: Path, attempts: Sequence[Attempt]) -> str:
    """How the file differs from the best of its attempts; empty when it equals one of them."""
    if not path.is_file():
        return f"there is no file {path}"
    if not attempts:
        return "the server never sent it"
    texts = [_differs_from(path, attempt) for attempt in attempts]
    return "" if "" in texts else texts[-1]


def _differs_from(path: Path, attempt: Attempt) -> str:
    offset = 0
    with path.open("rb") as file:
        for segment in attempt.segments:
            data = file.read(segment.length)
            if len(data) < segment.length:
                return f"{offset + len(data)} bytes saved, {attempt.received} sent by the server"
            if f"{zlib.crc32(data):08x}" != segment.digest:
                end = offset + segment.length
                return f"bytes {offset} to {end} are not those that the server sent"
            offset += segment.length
        if file.read(1):
            size = path.stat().st_size
            return f"{size} bytes saved, {attempt.received} sent by the server"
    return ""


def described(difference: Difference) -> str:
    """A difference as part of a sentence."""
    return f"{base_name(difference.name)}: {difference.text}"
