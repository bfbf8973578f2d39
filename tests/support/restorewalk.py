"""A small real server with a restore that was saved, and a client that can bring about every call
of the restore order table.

Failures by circumstance are provoked for real: a log that is missing while recovery runs, a store
that is mounted. One prepared volume serves all; each walk starts on a snapshot of it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from attrs import evolve, frozen

from eseback.constants import RestoreClose, RestoreComplete
from eseback.restoreorder import RESTORE_STARTS, RestoreCall, RestoreState, restore_cell
from eseback.structures import DatabaseBackupInfo
from esesim.exchange import GroupState
from esesim.server import SimulatedServer
from esesim.session import Session
from esesim.topology import Topology
from esesim.volume import MemoryVolume
from tests.esesim.support.restores import databases_of, make_free, open_restore, send_set
from tests.esesim.support.servers import SERVER, back_up, small_topology

GROUP, OTHER_GROUP = "G1", "G2"
FOLDER = "D:\\restore"
STRANGE_HANDLE = 999_999
HANDLE, FILE_LEVEL = "handle", "file_level"
START = RESTORE_STARTS["restore_reopen"]
IMPOSSIBLE = {
    HANDLE: {RestoreCall.OPEN_FILE_LEVEL},
    FILE_LEVEL: {RestoreCall.OPEN_FILE},
}
"""Calls that a server of each kind never answers with success."""


def shortest_paths(way: str) -> dict[RestoreState, tuple[tuple[RestoreCall, ...], ...]]:
    """All shortest ways from a reopened context into each state, by calls that succeed."""
    paths: dict[RestoreState, tuple[tuple[RestoreCall, ...], ...]] = {START: ((),)}
    border = [START]
    while border:
        found: dict[RestoreState, list[tuple[RestoreCall, ...]]] = {}
        for state in border:
            for call in possible_calls(state, way):
                cell = restore_cell(state, call)
                if cell.ok and not cell.misuse and cell.next_state not in paths:
                    found.setdefault(cell.next_state, []).extend((*p, call) for p in paths[state])
        paths.update((state, tuple(ways)) for state, ways in found.items())
        border = list(found)
    return paths


def possible_calls(state: RestoreState, way: str) -> list[RestoreCall]:
    """What a client or the environment can bring about in a state, on a server of that kind."""
    return [
        call
        for call in RestoreCall
        if restore_cell(state, call).possible and call not in IMPOSSIBLE[way]
    ]


@frozen
class _Prepared:
    """A volume with all files of a restore in place and its restore.env."""

    topology: Topology
    volume: MemoryVolume
    state: dict[str, GroupState]
    databases: tuple[DatabaseBackupInfo, ...]
    log: str


@cache
def _prepared() -> _Prepared:
    topology = small_topology(2, 1, messages=2)
    with SimulatedServer(topology) as server:
        api = server.session()
        databases = databases_of(api, GROUP) + databases_of(api, OTHER_GROUP)
        files = back_up(api, GROUP)
        make_free(server, GROUP)
        context = open_restore(api, GROUP, FOLDER)
        send_set(server, api, context, databases[:1], files)
        api.restore_save_environment(context)
        api.restore_close(context, RestoreClose.NORMAL)
        server.terminate(OTHER_GROUP)
        state = server.state()
    assert isinstance(server.volume, MemoryVolume)
    (log, *_) = [name for name in server.volume.list("D/restore") if name.endswith(".log")]
    return _Prepared(topology, server.volume, state, databases, f"D/restore/{log}")


class RestoreClient:
    """A client with one reopened context, on a server of its own."""

    def __init__(self, way: str) -> None:
        prepared = _prepared()
        topology = evolve(
            prepared.topology, server=evolve(prepared.topology.server, restore_files=way)
        )
        self.volume = prepared.volume.snapshot()
        self.server = SimulatedServer(topology, volume=self.volume, resume=prepared.state)
        self.group = self.server.group(GROUP)
        self.api: Session = self.server.session()
        self.database, self.other = prepared.databases
        self.log = prepared.log
        self.context = self.api.restore_reopen(SERVER, None, FOLDER)
        self.handle = STRANGE_HANDLE

    @property
    def state(self) -> RestoreState:
        """Where the server says that the context stands."""
        held = self.api._restores.get(self.context)
        return RestoreState.CLOSED if held is None else held.state

    def call(self, call: RestoreCall, variant: int = 0) -> None:
        """Bring a call about. Raises what the server raises."""
        VARIANTS[call][variant](self)

    def add(self, info: DatabaseBackupInfo) -> None:
        """AddDatabase."""
        self.api.restore_add_database(self.context, info.display_name, info.guid, info.streams)

    def add_ns(self, info: DatabaseBackupInfo, *streams: str) -> None:
        """AddDatabaseNS."""
        self.api.restore_add_database_ns(
            self.context, info.display_name, info.guid, info.streams, streams
        )

    def add_mounted(self) -> None:
        """A store that cannot be had: it may not be overwritten, and is mounted."""
        self.add(self.other)

    def open(self, name: str = f"{FOLDER}\\extra.bin", sections: int = 1) -> None:
        """OpenFile; keeps the handle."""
        opened = self.api.restore_open_file(self.context, name, sections)
        self.handle = STRANGE_HANDLE if opened.handle is None else opened.handle

    def write(self, handle: int | None = None, data: bytes = b"some bytes") -> None:
        """WriteFile, with the handle that was got last."""
        self.api.restore_write_file(self.context, self.handle if handle is None else handle, data)

    def complete(self, flags: RestoreComplete = RestoreComplete.NONE, path: str = FOLDER) -> None:
        """Complete in the restore's own folder."""
        self.api.restore_complete(self.context, path, path, None, flags)

    def close(self, flag: RestoreClose) -> None:
        """Close."""
        self.api.restore_close(self.context, flag)

    def without_a_log(self, act: Callable[[], object]) -> None:
        """What happens while a log of the set is not there."""
        if not self.volume.exists(self.log):  # a restore that is complete has deleted its logs
            act()
            return
        self.volume.rename(self.log, f"{self.log}.away")
        try:
            act()
        finally:
            self.volume.rename(f"{self.log}.away", self.log)


_COMPLETE = RestoreComplete
C = RestoreCall
VARIANTS: dict[RestoreCall, tuple[Callable[[RestoreClient], None], ...]] = {
    C.ADD_DATABASE: (
        lambda c: c.add(c.database),
        lambda c: c.add_ns(c.database, "E:\\new\\a.edb", "E:\\new\\a.stm"),
    ),
    C.ADD_DATABASE_REFUSED: (
        lambda c: c.add_mounted(),
        lambda c: c.add_ns(c.database, *c.other.streams),
    ),
    C.OPEN_FILE_LEVEL: (lambda c: c.open(),),
    C.OPEN_FILE: (lambda c: c.open(), lambda c: c.open(f"{FOLDER}\\EXTRA.BIN")),
    C.WRITE: (lambda c: c.write(), lambda c: c.write(data=b"")),
    C.WRITE_BAD_HANDLE: (lambda c: c.write(STRANGE_HANDLE),),
    C.CLOSE_FILE: (lambda c: c.api.restore_close_file(c.context, c.handle),),
    C.CLOSE_BAD_HANDLE: (lambda c: c.api.restore_close_file(c.context, STRANGE_HANDLE),),
    C.SAVE: (lambda c: c.api.restore_save_environment(c.context),),
    C.GET_ENVIRONMENT: (lambda c: _use(c.api.restore_get_environment(c.context)),),
    C.COMPLETE: (
        lambda c: c.complete(),
        lambda c: c.complete(_COMPLETE.KEEP_LOG_FILES | _COMPLETE.ATTACH_DBS),
    ),
    C.COMPLETE_NOWAIT: (
        lambda c: c.complete(_COMPLETE.NOWAIT),
        lambda c: c.complete(_COMPLETE.NOWAIT | _COMPLETE.ATTACH_DBS),
    ),
    C.COMPLETE_FAILED: (lambda c: c.without_a_log(c.complete),),
    C.CLOSE_NORMAL: (lambda c: c.close(RestoreClose.NORMAL),),
    C.CLOSE_ABORT: (lambda c: c.close(RestoreClose.ABORT),),
    C.ARGUMENT_ERROR: (
        lambda c: c.open(""),
        lambda c: c.open(sections=2),
        lambda c: c.open("C:\\elsewhere\\E0000001.log"),
        lambda c: c.write(data=None),  # type: ignore[arg-type]
        lambda c: c.add(evolve(c.database, guid=7)),  # type: ignore[arg-type]
        lambda c: c.add(evolve(c.database, streams=())),
        lambda c: c.add_ns(c.database, "E:\\one.edb"),
        lambda c: c.complete(path=""),
        lambda c: c.complete(0x8),  # type: ignore[arg-type]
        lambda c: c.close(7),  # type: ignore[arg-type]
    ),
    C.RECOVERY_ENDED: (lambda c: c.server.finish_recoveries(),),
    C.RECOVERY_FAILED: (lambda c: c.without_a_log(c.server.finish_recoveries),),
    C.CONNECTION_LOST: (
        lambda c: c.server.connection_lost(c.context),
        lambda c: c.api.connection_lost(),
    ),
}
"""How each call of the table is brought about; the first way is the usual one."""


def _use(environment: object) -> None:
    assert environment is not None
