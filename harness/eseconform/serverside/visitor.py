"""A client by the book, for checks: calls on one context, and whole backups kept in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from attrs import define, field, frozen

from eseback.api import BackupApi
from eseback.constants import BackupType, InstanceEnd
from eseback.structures import InstanceBackupInfo
from eseconform.judge.replay import PATCH_FILE, Chain, SavedDatabase
from eseconform.serverside.bench import Bench, CheckOver
from eseconform.serverside.target import COMPUTER, GROUP, MAIN, SECOND
from eseconform.zoo.reference import log_generation

READ_BYTES = 32 * 1024
READS_MAX = 100_000
FIRST_RULE = "ESE-SRV-DSC-001"


@frozen
class CopiedFile:
    """A file as a server sent it: the size that the open promised, and the bytes."""

    name: str
    promised: int
    data: bytes
    ends_again: bool = True
    """Whether a read at the end brought nothing a second time too."""


@frozen
class Taken:
    """A backup of the group.

    Attributes:
        kind: of backup.
        databases: the stores that it copied.
        images: their files, by name.
        logs: the logs, by generation.
        patches: the patch files of Exchange 2000 before SP2, by name.
        listed: the names that the server listed, in order.
        truncatable: generations that it named for truncation.
    """

    kind: BackupType
    databases: tuple[SavedDatabase, ...]
    images: Mapping[str, CopiedFile]
    logs: Mapping[int, CopiedFile]
    patches: Mapping[str, CopiedFile]
    listed: tuple[str, ...]
    truncatable: tuple[int, ...]

    @property
    def low(self) -> int:
        """The first generation."""
        return min(self.logs)

    @property
    def high(self) -> int:
        """The last generation."""
        return max(self.logs)


def _rest() -> None:
    """Nobody works."""


@define
class Visitor:
    """One client with one context.

    Attributes:
        handle: of the file that was opened last.
        between: called between two reads; here a check lets users work.
    """

    bench: Bench
    between: Callable[[], object] = _rest
    context: int = 0
    handle: int = 0
    api: BackupApi = field(init=False)
    instance: InstanceBackupInfo = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.api = self.bench.server.session()
        self.context, instances = self.api.backup_prepare(COMPUTER, self.bench.annotation)
        found = [info for info in instances if info.instance_name == GROUP]
        if len(found) != 1:
            names = ", ".join(info.instance_name for info in instances) or "nothing"
            self.bench.broke(FIRST_RULE, f"Prepare lists {names} where {GROUP} runs")
            raise CheckOver
        (self.instance,) = found

    def streams(self, store: str) -> tuple[str, ...]:
        """Files of a store, as Prepare listed them."""
        return next(d.streams for d in self.instance.databases if d.display_name == store)

    def setup(self, kind: BackupType) -> None:
        """Setup of the group."""
        self.api.backup_setup(self.context, self.instance.instance_id, kind)

    def open(self, name: str) -> int:
        """Open a file, keep its handle, return its size."""
        (opened,) = self.api.backup_open_file(self.context, name)
        self.handle = opened.handle
        return opened.size

    def read(self, size: int) -> bytes:
        """One read from the file that was opened last."""
        buffer = bytearray(size)
        return bytes(buffer[: self.api.backup_read_file(self.context, self.handle, buffer)])

    def close(self) -> None:
        """Close the file that was opened last."""
        self.api.backup_close_file(self.context, self.handle)

    def copy(self, name: str) -> CopiedFile:
        """Open, read to the end and once beyond it, close."""
        size = self.open(name)
        parts: list[bytes] = []
        for _ in range(READS_MAX):
            part = self.read(READ_BYTES)
            if not part:
                break
            parts.append(part)
            self.between()
        ends_again = not self.read(READ_BYTES)
        self.close()
        return CopiedFile(name, size, b"".join(parts), ends_again)

    def log_list(self) -> tuple[str, ...]:
        """GetLogAndPatchFiles."""
        return self.api.backup_get_log_and_patch_files(self.context)

    def truncate_list(self) -> tuple[str, ...]:
        """GetTruncateLogFiles."""
        return self.api.backup_get_truncate_log_files(self.context)

    def truncate(self) -> None:
        """TruncateLogs."""
        self.api.backup_truncate_logs(self.context)

    def finish(self, flags: InstanceEnd) -> None:
        """InstanceEnd."""
        self.api.backup_instance_end(self.context, flags)

    def leave(self) -> None:
        """End."""
        self.api.backup_end(self.context)


def back_up(
    bench: Bench,
    kind: BackupType = BackupType.FULL,
    *,
    stores: Sequence[str] = (MAIN, SECOND),
    truncate: bool = True,
    end: InstanceEnd = InstanceEnd.SUCCESS,
    between: Callable[[], object] = _rest,
) -> Taken:
    """A whole backup of the group. Raises EseBackupError as the server does."""
    visitor = Visitor(bench, between)
    visitor.setup(kind)
    copied = stores if kind is not BackupType.LOGS_ONLY else ()
    databases = tuple(SavedDatabase(store, visitor.streams(store)) for store in copied)
    images = {name: visitor.copy(name) for d in databases for name in d.streams}
    listed = visitor.log_list()
    patches = {name: visitor.copy(name) for name in listed if name.lower().endswith(PATCH_FILE)}
    logs: dict[int, CopiedFile] = {}
    for name in listed:
        generation = log_generation(name)
        if generation is not None:
            logs[generation] = visitor.copy(name)
    truncatable = tuple(g for g in map(log_generation, visitor.truncate_list()) if g is not None)
    if truncate:
        visitor.truncate()
    visitor.finish(end)
    visitor.leave()
    if not logs:
        bench.broke("ESE-SRV-LOG-003", "a backup lists no closed log at all")
        raise CheckOver
    return Taken(kind, databases, images, logs, patches, listed, truncatable)


def chain_of(full: Taken, later: Sequence[Taken], folder: Path) -> Chain:
    """A full backup and later ones as files in a folder, to be restored."""
    images = {name: _saved(folder, file) for name, file in full.images.items()}
    logs: dict[str, Path] = {}
    for taken in (full, *later):
        files = (*taken.logs.values(), *taken.patches.values())
        logs.update((file.name, _saved(folder, file)) for file in files)
    high = max(taken.high for taken in (full, *later))
    return Chain(full.databases, images, logs, full.low, high)


def _saved(folder: Path, file: CopiedFile) -> Path:
    path = folder / "".join(c if c.isalnum() else "_" for c in file.name)
    path.write_bytes(file.data)
    return path
