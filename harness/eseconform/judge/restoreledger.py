"""What a client restored, call by call and file by file, and what it had to restore."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from attrs import define, field, frozen

from eseback.constants import RestoreComplete
from eseback.restoreorder import RestoreState
from eseconform.judge.chains import JobRecord, set_files
from eseconform.judge.ledger import Segment
from eseconform.judge.records import CallError, base_name
from eseconform.judge.replay import PATCH_FILE, generation_of

States = frozenset[RestoreState]


@frozen
class FileWrite:
    """A file that the client wrote with file I/O, or tried to.

    Attributes:
        path: Windows path.
        after_call: number of the last call before it.
        size: bytes written.
        crc32: of these bytes, hexadecimal.
        in_use: the file belonged to a mounted database.
        error: why the system refused it; empty when it did not.
    """

    path: str
    after_call: int
    size: int = 0
    crc32: str = "00000000"
    in_use: bool = False
    error: str = ""


@define
class RestoredFile:
    """One OpenFile that succeeded, and what went through its handle.

    Attributes:
        name: as the client gave it.
        opened_at: number of the call.
        handle: what the server returned; None when the client has to write the file itself.
        segments: the writes that succeeded, in order.
        error: the first write or close that failed.
        closed_at: number of the CloseFile that succeeded, or None.
    """

    name: str
    opened_at: int
    handle: int | None
    segments: list[Segment] = field(factory=list)
    error: tuple[int, CallError] | None = None
    closed_at: int | None = None

    @property
    def is_log(self) -> bool:
        """Whether it is a log or a patch file, by its name."""
        return self.name.lower().endswith((".log", PATCH_FILE))

    @property
    def written(self) -> int:
        """Bytes that went through the handle."""
        return sum(segment.length for segment in self.segments)


@frozen
class AddedDatabase:
    """A database that AddDatabase, or its sister call, took.

    Attributes:
        name, guid, sources: as the client gave them.
        destinations: where its files go: as the server answered, or as the client gave them.
        call: number of the call, of the first where there are several.
        named_by_client: the client gave the destinations.
    """

    name: str
    guid: str
    sources: tuple[str, ...]
    destinations: tuple[str, ...]
    call: int
    named_by_client: bool = False


@frozen
class Refused:
    """A database that the server refused: its name, its source files, the call, the error."""

    name: str
    sources: tuple[str, ...]
    call: int
    error: CallError


@define
class Completion:
    """One Complete call.

    Attributes:
        call: its number.
        checkpoint_path, log_path, target, flags: as the client gave them.
        error: how it failed, None when it did not.
        seen_ended: of one that did not wait: the client saw in the environment that the recovery
            was over: HRESULT; None when it did not look, or saw it running only.
        looks: how often it looked.
    """

    call: int
    checkpoint_path: str
    log_path: str
    target: str | None
    flags: RestoreComplete
    error: CallError | None = None
    seen_ended: int | None = None
    looks: int = 0

    @property
    def waited(self) -> bool:
        """Whether the call returned when the recovery was over."""
        return RestoreComplete.NOWAIT not in self.flags

    @property
    def acknowledged(self) -> bool:
        """Whether the client was told that the recovery succeeded."""
        if self.error is not None:
            return False
        return self.waited or self.seen_ended == 0


@define
class Restore:
    """One restore: what begins with RestoreOpen and goes on over every Reopen of its folder.

    Attributes:
        group: source instance, as the client named it; empty when it was never told.
        folder: its folder, as the client or the environment named it; None when unknown.
        chosen: the server chose the folder.
        begun_at: number of the call that began it.
        resumed: begun before this job, so that part of it is not in the transcript.
        databases: what was added; one that was added again counts once, with its last places.
        refused: what the server refused to add.
        files: every file that was announced.
        completions: every Complete.
        saved: SaveEnvironment succeeded at least once.
        error: first error that one of its calls returned, with the number of the call.
        closes: flag and number of every Close that succeeded.
    """

    group: str
    folder: str | None
    begun_at: int
    chosen: bool = False
    resumed: bool = False
    databases: list[AddedDatabase] = field(factory=list)
    refused: list[Refused] = field(factory=list)
    files: list[RestoredFile] = field(factory=list)
    completions: list[Completion] = field(factory=list)
    saved: bool = False
    error: tuple[int, CallError] | None = None
    closes: list[tuple[int, int]] = field(factory=list)

    @property
    def acknowledged(self) -> bool:
        """Whether the client was told that its recovery succeeded."""
        return any(completion.acknowledged for completion in self.completions)

    @property
    def destinations(self) -> dict[str, str]:
        """Source file by destination file, both as given, the destination case-folded."""
        return {
            there.casefold(): source
            for database in self.databases
            for source, there in zip(database.sources, database.destinations, strict=False)
        }

    def source_of(self, file: str) -> str | None:
        """The name at backup time of a database file that was announced; None for another."""
        return self.destinations.get(file.casefold())


@frozen
class WantedDatabase:
    """A database of the chain: display name, GUID, streams at backup time (.edb first)."""

    name: str
    guid: str
    streams: tuple[str, ...]


@frozen
class Wanted:
    """What a restore of one storage group has to bring back.

    Attributes:
        group: its name at backup time.
        base: base name of its logs.
        databases: the images of the full set, or those of them that the job is about.
        all_names: display names of all databases of the set.
        gen_low, gen_high: the generations that the sets hold.
        full_high: the last generation of the first set.
        saved: saved files by name; a log that several sets hold has several.
        patches: names of the patch files.
    """

    group: str
    base: str
    databases: tuple[WantedDatabase, ...]
    all_names: tuple[str, ...]
    gen_low: int
    gen_high: int
    full_high: int
    saved: Mapping[str, tuple[Path, ...]]
    patches: tuple[str, ...] = ()

    @property
    def streams(self) -> tuple[str, ...]:
        """Every database file to restore, by its name at backup time."""
        return tuple(stream for database in self.databases for stream in database.streams)

    @property
    def generations(self) -> range:
        """Every generation to restore."""
        return range(self.gen_low, self.gen_high + 1)

    def database_of(self, stream: str) -> WantedDatabase | None:
        """The database that has a stream."""
        folded = stream.casefold()
        return next(
            (d for d in self.databases if folded in (s.casefold() for s in d.streams)), None
        )

    def files_named(self, name: str) -> tuple[Path, ...]:
        """The saved bytes of a file by the last part of its name (logs), or by all of it."""
        exact = self.saved.get(name.casefold())
        if exact is not None:
            return exact
        tail = base_name(name).casefold()
        return tuple(
            path
            for key, paths in self.saved.items()
            if base_name(key) == tail and key.endswith((".log", PATCH_FILE))
            for path in paths
        )


def wanted_of(
    chain: Sequence[JobRecord], group: str, base: str, databases: Sequence[str] = ()
) -> Wanted | None:
    """What a chain holds of a group; None when one of its sets holds nothing of it."""
    sets = [set_files(record, group) for record in chain]
    found = [files for files in sets if files is not None]
    if not found or len(found) < len(sets):
        return None
    saved: dict[str, list[Path]] = {}
    for files in found:
        for name, file in files.files.items():
            if file.path is not None:
                saved.setdefault(name.casefold(), []).append(file.path)
    listed = [sorted(_generations(files.backup.logs or (), base)) for files in found]
    if not listed[0]:
        return None
    guids = _guids(chain[0], group)
    images = tuple(
        WantedDatabase(name, guids.get(name, ""), streams)
        for name, streams in found[0].backup.databases.items()
    )
    return Wanted(
        group=group,
        base=base,
        databases=tuple(d for d in images if not databases or d.name in databases),
        all_names=tuple(d.name for d in images),
        gen_low=listed[0][0],
        gen_high=max(high for generations in listed for high in generations),
        full_high=listed[0][-1],
        saved={name: tuple(paths) for name, paths in saved.items()},
        patches=tuple(
            name
            for files in found
            for name in files.backup.logs or ()
            if name.lower().endswith(PATCH_FILE)
        ),
    )


def _generations(names: Sequence[str], base: str) -> Iterator[int]:
    for name in names:
        generation = generation_of(name, base)
        if generation is not None:
            yield generation


def _guids(record: JobRecord, group: str) -> dict[str, str]:
    """GUIDs by display name, as Prepare listed them."""
    return {
        database.name: database.guid
        for context in record.talk.follower.contexts.values()
        for instance in context.instances.values()
        if instance.name == group
        for database in instance.databases
    }
