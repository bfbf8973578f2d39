"""What a restore needs of the stage: the server's disks as a client writes them, what lies on them
before and after, and the databases that came back.
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from attrs import define, evolve, field

from eseback.errors import EseBackupError
from eseconform.judge.restored import RestoredStore, StoreState
from eseconform.judge.restorefollow import folder_key
from eseconform.judge.restoreledger import FileWrite
from eseconform.stage import Stage
from eseconform.sut import Gate
from eseconform.task import Sink
from esesim.engine.database import Database
from esesim.engine.errors import JetError
from esesim.engine.inspect import bad_pages, check_database, database_rows
from esesim.exchange import StorageGroup
from esesim.topology import Topology
from esesim.volume import VolumeFileNotFound
from esesim.windows_path import to_volume_path

READ_BYTES: Final = 1 << 20


@define
class RecordedFiles:
    """The server's disks for a client that writes at file level; what it writes is noted.

    Attributes:
        stage: where the server is.
        gate: the client's connection, which counts its calls and may be shut.
        writes: what it wrote, or tried to write, in order.
    """

    stage: Stage
    gate: Gate
    writes: list[FileWrite] = field(factory=list)
    _lock: threading.Lock = field(factory=threading.Lock, init=False, repr=False)

    @contextmanager
    def create(self, windows_path: str) -> Iterator[Sink]:
        """See :class:`eseconform.task.FileAccess`."""
        if self.gate.is_shut:
            raise OSError("the harness gave this job up")
        in_use = _is_mounted(self.stage, windows_path)
        with self._lock:
            place = len(self.writes)
            self.writes.append(FileWrite(windows_path, self.gate.calls, in_use=in_use))
        try:
            with self.stage.server.files.create(windows_path) as sink:
                noted = _Noted(sink)
                yield noted
        except (OSError, ValueError) as error:
            self.writes[place] = evolve(self.writes[place], error=str(error) or "refused")
            raise
        crc = f"{noted.crc:08x}"
        self.writes[place] = evolve(self.writes[place], size=noted.size, crc32=crc)


class _Noted:
    """A file that is written; its size and CRC are kept."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self.size = 0
        self.crc = 0

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Write all of the data."""
        self._sink.write(data)
        self.crc = zlib.crc32(data, self.crc)
        count = memoryview(data).nbytes
        self.size += count
        return count


def bare(topology: Topology) -> Topology:
    """The same server after a disaster: it runs, its disks are empty, and a restore may write.

    A recovery storage group, which would draw restores to itself, has not been made anew.
    """
    groups = tuple(
        evolve(
            group,
            stores=tuple(evolve(s, mounted=False, overwritable=True) for s in group.stores),
            log_disk_full=False,
            log_write_failed=False,
        )
        for group in topology.groups
        if not group.recovery
    )
    return evolve(topology, groups=groups)


def production_folders(stage: Stage) -> tuple[str, ...]:
    """Folders in which the storage groups keep their logs and checkpoints."""
    specs = [group.spec for group in stage.server.groups]
    return tuple({path for spec in specs for path in (spec.log_path, spec.system_path)})


def store_states(stage: Stage) -> tuple[StoreState, ...]:
    """Every store of the server as it is now."""
    return tuple(
        StoreState(
            group.name,
            store.name,
            store.streams,
            mounted=group.is_mounted(store.name),
            digest="" if group.is_mounted(store.name) else _digest(stage, store.streams),
        )
        for group in stage.server.groups
        for store in group.spec.stores
    )


def _digest(stage: Stage, streams: Iterable[str]) -> str:
    parts = []
    for path in streams:
        try:
            file = stage.server.volume.open(to_volume_path(path))
        except VolumeFileNotFound:
            parts.append("-")
            continue
        parts.append(f"{zlib.crc32(file.read(0, file.size)):08x}")
        file.close()
    return "" if set(parts) == {"-"} else " ".join(parts)


def set_digests(folders: Iterable[Path]) -> dict[str, str]:
    """CRCs of all files of sets, by path."""
    found = {}
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                found[f"{folder.name}/{path.relative_to(folder)}"] = _crc_of(path)
    return found


def _crc_of(path: Path) -> str:
    crc = 0
    with path.open("rb") as file:
        while data := file.read(READ_BYTES):
            crc = zlib.crc32(data, crc)
    return f"{crc:08x}"


def _is_mounted(stage: Stage, windows_path: str) -> bool:
    place = _place(stage, windows_path)
    return place is not None and place[0].is_mounted(place[1])


def _place(stage: Stage, windows_path: str) -> tuple[StorageGroup, str] | None:
    """Storage group and store that a file belongs to."""
    key = folder_key(windows_path)
    for group in stage.server.groups:
        for store in group.spec.stores:
            if any(folder_key(stream) == key for stream in store.streams):
                return group, store.name
    return None


def look_at(stage: Stage, name: str, source_edb: str, edb: str) -> RestoredStore:
    """Mount the database that was restored to ``edb``, as an administrator would, and read it."""
    place = _place(stage, edb)
    if not stage.server.volume.exists(to_volume_path(edb)):
        return RestoredStore(name, source_edb, f"is not there: there is no {edb}")
    if place is None:
        return RestoredStore(name, source_edb, f"lies in {edb}, where no store is")
    group, store = place
    try:
        if not group.is_mounted(store):
            stage.server.mount(group.name, store)
        database = _database(group, edb)
        flaws = [*bad_pages(stage.server.volume, database), *check_database(database)]
        if flaws:
            return RestoredStore(name, source_edb, f"is mounted, but {flaws[0]}")
        return RestoredStore(name, source_edb, rows=database_rows(database))
    except EseBackupError as error:
        return RestoredStore(name, source_edb, f"does not mount: {error}")
    except JetError as error:
        return RestoredStore(name, source_edb, f"is mounted, and can't be read: {error}")
    except (ArithmeticError, LookupError, ValueError, AssertionError) as error:
        # The bytes may be anything.
        text = f"is mounted, and can't be read: {type(error).__name__}: {error}"
        return RestoredStore(name, source_edb, text)


def _database(group: StorageGroup, edb: str) -> Database:
    key = folder_key(edb)
    return next(d for d in group.running.databases.values() if folder_key(d.edb) == key)
