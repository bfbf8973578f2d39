"""What ``esesim show`` shows, gathered as data from files that no instance has open."""

from __future__ import annotations

from pathlib import Path

from attrs import evolve

from eseback.data import frozen
from eseback.errors import row_of_hresult
from eseback.formats import names
from eseback.formats.dbheader import DatabaseHeader, DbState
from eseback.formats.fields import BkInfo

from ..engine.database import read_header
from ..engine.event import Event
from ..engine.inspect import read_rows
from ..engine.table import Row
from ..exchange.environment import EnvironmentFileError, load_environment
from ..server import SimulatedServer, read_directory
from ..topology import PROFILES, GroupSpec, StoreSpec, Topology, load_topology
from ..volume import DirectoryVolume, Volume
from ..windows_path import to_volume_path

Tables = dict[str, tuple[Row, ...]]
"""Rows by table, in the order of their primary keys."""


@frozen
class FileOverview:
    """A file: its name as the server knows it and its size in bytes, None if it is missing."""

    path: str
    size: int | None


@frozen
class StoreOverview:
    """A store. ``state`` is the state in its database's header, None without a database."""

    name: str
    files: tuple[FileOverview, ...]
    state: str | None
    full_backup: tuple[int, int] | None
    incremental_backup: tuple[int, int] | None
    rows: Tables | None


@frozen
class GroupOverview:
    """A storage group. ``generations`` are the closed logs on disk."""

    name: str
    base: str
    log_path: str
    log_size: int
    generations: tuple[int, ...]
    stores: tuple[StoreOverview, ...]


@frozen
class RestoreOverview:
    """A restore in progress: what the restore.env in ``folder`` says.

    ``problem``: why it cannot be read, then the rest says nothing. ``logs``: generations, None
    without logs. ``status``: of the last recovery; ``error``: what that failed with, None if it did
    not.
    """

    folder: str
    group: str = ""
    databases: tuple[str, ...] = ()
    logs: tuple[int, int] | None = None
    status: str = ""
    error: str | None = None
    problem: str | None = None


@frozen
class Overview:
    """All that is shown. ``server`` is None for a single database file."""

    server: str | None
    version: str | None
    groups: tuple[GroupOverview, ...]
    stores: tuple[StoreOverview, ...]
    events: tuple[Event, ...] | None
    restores: tuple[RestoreOverview, ...] = ()


def overview_of(target: str, *, with_rows: bool, with_events: bool) -> Overview:
    """Gather what ``target`` (directory, topology or .edb file) holds.

    A topology is started in memory and shut down again. Raises TopologyError,
    ServerDirectoryError, and JetError for a damaged database.
    """
    path = Path(target)
    if path.is_dir():
        found = read_directory(path)
        events = found.events
        overview = _of_server(found.topology, found.volume, with_rows)
        restores = tuple(_of_restore(found.volume, folder) for folder in found.restores)
        overview = evolve(overview, restores=restores)
    elif path.suffix.lower() == ".edb":
        return _of_database(path, with_rows)
    else:
        with SimulatedServer(load_topology(target)) as server:
            topology, volume = server.topology, server.volume
        events = server.events
        overview = _of_server(topology, volume, with_rows)
    return evolve(overview, events=events) if with_events else overview


def _of_server(topology: Topology, volume: Volume, with_rows: bool) -> Overview:
    return Overview(
        server=topology.server.name,
        version=PROFILES[topology.server.profile].title,
        groups=tuple(_of_group(group, volume, with_rows) for group in topology.groups),
        stores=(),
        events=None,
    )


def _of_group(group: GroupSpec, volume: Volume, with_rows: bool) -> GroupOverview:
    try:
        listed = volume.list(to_volume_path(group.log_path))
    except FileNotFoundError:
        listed = []
    generations = (names.parse_log_name(name, group.base) for name in listed)
    return GroupOverview(
        name=group.name,
        base=group.base,
        log_path=group.log_path,
        log_size=group.log_size,
        generations=tuple(sorted(number for number in generations if number is not None)),
        stores=tuple(_of_store(store, volume, with_rows) for store in group.stores),
    )


def _of_store(store: StoreSpec, volume: Volume, with_rows: bool) -> StoreOverview:
    files = tuple((path, to_volume_path(path)) for path in store.streams)
    return _describe(store.name, files, volume, with_rows)


def _of_restore(volume: Volume, folder: str) -> RestoreOverview:
    try:
        environment = load_environment(volume, to_volume_path(folder))
    except (EnvironmentFileError, FileNotFoundError) as error:
        return RestoreOverview(folder, problem=str(error))
    error_row = row_of_hresult(environment.hr_last_recover)
    return RestoreOverview(
        folder=folder,
        group=environment.source_instance_name,
        databases=tuple(database.display_name for database in environment.databases),
        logs=(environment.gen_low, environment.gen_high) if environment.gen_high else None,
        status=environment.status_last_recover.name.lower().replace("_", " "),
        error=str(error_row) if environment.hr_last_recover else None,
    )


def _of_database(path: Path, with_rows: bool) -> Overview:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    stm = next((p for p in path.parent.iterdir() if _is_stream_of(p, path)), None)
    shown = [path] if stm is None else [path, stm]
    files = tuple((str(file), file.name) for file in shown)
    store = _describe(path.stem, files, DirectoryVolume(path.parent), with_rows)
    return Overview(None, None, (), (store,), None)


def _is_stream_of(candidate: Path, edb: Path) -> bool:
    return candidate.suffix.lower() == ".stm" and candidate.stem.lower() == edb.stem.lower()


def _describe(
    name: str, files: tuple[tuple[str, str], ...], volume: Volume, with_rows: bool
) -> StoreOverview:
    """A store from its files, each by the name to show and the path on the volume."""
    shown = tuple(
        FileOverview(label, volume.size(path) if volume.exists(path) else None)
        for label, path in files
    )
    if shown[0].size is None:
        return StoreOverview(name, shown, None, None, None, None)
    header = read_header(volume, files[0][1])
    rows = None
    if with_rows:
        _check_readable(header, files[0][0])
        tables = read_rows(volume, files[0][1], files[1][1] if len(files) > 1 else None)
        rows = {
            table: tuple(found[key] for key in sorted(found)) for table, found in tables.items()
        }
    return StoreOverview(
        name=name,
        files=shown,
        state=header.state.name.lower().replace("_", " "),
        full_backup=_generations(header.bkinfo_full_prev),
        incremental_backup=_generations(header.bkinfo_inc_prev),
        rows=rows,
    )


def _generations(info: BkInfo) -> tuple[int, int] | None:
    return (info.gen_low, info.gen_high) if info.gen_high else None


def _check_readable(header: DatabaseHeader, label: str) -> None:
    if header.state != DbState.CLEAN_SHUTDOWN:
        raise ValueError(
            f"{label}: not shut down cleanly, so its rows are only whole after recovery; "
            "leave out --rows, or recover it"
        )
