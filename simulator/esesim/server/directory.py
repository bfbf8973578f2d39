"""A server whose files lie in a directory, so that it can go on in another process.

The directory holds ``topology.toml`` as it was given, ``volume`` with the server's own files (drive
letters as folders), ``events.jsonl`` with the event log, ``state.json`` with clocks, random streams
and flags of stores, and ``restores.json`` with the folders of restores that were saved and have not
succeeded. ``in-use`` is there while a process works with it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from attrs import asdict

from eseback.data import frozen

from ..engine.event import Event
from ..exchange import GroupState
from ..topology import Topology, load_topology, read_topology_text
from ..volume import DirectoryVolume
from ..windows_path import to_volume_path
from .simulated import SimulatedServer

TOPOLOGY: Final = "topology.toml"
VOLUME: Final = "volume"
EVENTS: Final = "events.jsonl"
STATE: Final = "state.json"
RESTORES: Final = "restores.json"
IN_USE: Final = "in-use"


class ServerDirectoryError(ValueError):
    """A directory cannot be used as a server's; the message says why and what to do."""


@frozen
class ServerDirectory:
    """What stands in a server's directory, for looking without starting anything."""

    topology: Topology
    volume: DirectoryVolume
    events: tuple[Event, ...]
    restores: tuple[str, ...] = ()
    """Folders (Windows paths) of restores in progress."""


class DirectoryServer(SimulatedServer):
    """A server on a directory made by :func:`create_directory_server`; one process at a time.

    Raises ServerDirectoryError for a directory that is no server's, is damaged or in use, and
    ServerStartError for databases or logs that the engine refuses.
    """

    def __init__(self, directory: Path) -> None:
        found = read_directory(directory)
        self._directory = directory
        _take(directory)
        try:
            super().__init__(found.topology, volume=found.volume, resume=_read_state(directory))
            self._store.restores.watch(found.restores, self._note_restores)
        except BaseException:
            _give_back(directory)
            raise

    def local_path(self, windows_path: str) -> Path:
        """Where a file of the server is, or would be, on this computer.

        Raises WindowsPathError for a path that names no file on a drive.
        """
        return DirectoryVolume(self._directory / VOLUME).local_path(to_volume_path(windows_path))

    def _note_restores(self, folders: tuple[str, ...]) -> None:
        # Written at once: a killed process leaves restores that can be reopened.
        _write(self._directory / RESTORES, json.dumps(folders, ensure_ascii=False))

    def close(self) -> None:
        """Shut down and write what the next process needs. Closing twice is allowed."""
        if not (self._directory / IN_USE).exists():
            return
        self.finish_recoveries()
        mounted = {group.name: group.mounted for group in self.groups}
        super().close()
        _write_state(self._directory, self.state(), mounted)
        _append_events(self._directory, self.events)
        _give_back(self._directory)


def create_directory_server(source: str | Path, directory: Path) -> DirectoryServer:
    """Make a server's directory from a topology (file or packaged name) and start the server.

    Raises TopologyError, and ServerDirectoryError for a directory that is not empty or cannot be
    written.
    """
    text = read_topology_text(source)
    load_topology(source)  # before anything is made
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if any(directory.iterdir()):
            raise ServerDirectoryError(f"{directory} is not empty; give a new directory")
        (directory / VOLUME).mkdir()
        (directory / EVENTS).write_text("", "utf-8")
        (directory / TOPOLOGY).write_text(text, "utf-8")
    except OSError as error:
        raise ServerDirectoryError(f"{directory}: {error.strerror}") from None
    return DirectoryServer(directory)


def read_directory(directory: Path) -> ServerDirectory:
    """What stands in a server's directory. Raises ServerDirectoryError, TopologyError."""
    if not (directory / TOPOLOGY).is_file() or not (directory / VOLUME).is_dir():
        raise ServerDirectoryError(
            f"{directory} is no directory of a server; make one with: esesim init demo {directory}"
        )
    return ServerDirectory(
        load_topology(directory / TOPOLOGY),
        DirectoryVolume(directory / VOLUME),
        tuple(_read_events(directory / EVENTS)),
        _read_restores(directory / RESTORES),
    )


def _take(directory: Path) -> None:
    """Keep other processes out."""
    marker = directory / IN_USE
    try:
        with marker.open("x", encoding="utf-8") as file:
            file.write(f"{os.getpid()}\n")
    except FileExistsError:
        raise ServerDirectoryError(
            f"{directory} is in use by process {marker.read_text('utf-8').strip()}; "
            f"if that is gone, delete {marker}"
        ) from None
    except OSError as error:
        raise ServerDirectoryError(f"{directory}: {error.strerror}") from None


def _give_back(directory: Path) -> None:
    (directory / IN_USE).unlink(missing_ok=True)


def _read_state(directory: Path) -> dict[str, GroupState]:
    path = directory / STATE
    if not path.exists():
        return {}
    try:
        plain = json.loads(path.read_text("utf-8"))
        return {name: GroupState.from_json(state) for name, state in plain.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ServerDirectoryError(
            f"{path} is damaged ({error}); without it the server starts with a new clock: delete it"
        ) from None


def _write_state(
    directory: Path, states: dict[str, GroupState], mounted: dict[str, tuple[str, ...]]
) -> None:
    # Stopping dismounts everything; what shall come back is what was mounted before.
    plain = {
        name: {**state.to_json(), "mounted": list(mounted[name])} for name, state in states.items()
    }
    _write(directory / STATE, json.dumps(plain))


def _write(path: Path, text: str) -> None:
    """Replace a file, whole or not at all."""
    partial = path.with_name(f"{path.name}.new")
    partial.write_text(text, "utf-8")
    partial.replace(path)


def _read_restores(path: Path) -> tuple[str, ...]:
    if not path.exists():
        return ()
    try:
        plain = json.loads(path.read_text("utf-8"))
        if not isinstance(plain, list) or not all(isinstance(item, str) for item in plain):
            raise ValueError("is no list of folders")
    except ValueError as error:
        raise ServerDirectoryError(
            f"{path} is damaged ({error}); without it restores in progress are not shown: delete it"
        ) from None
    return tuple(plain)


def _append_events(directory: Path, events: tuple[Event, ...]) -> None:
    with (directory / EVENTS).open("a", encoding="utf-8") as file:
        for event in events:
            file.write(json.dumps(asdict(event), ensure_ascii=False) + "\n")


def _read_events(path: Path) -> Iterator[Event]:
    if not path.exists():
        return
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        try:
            plain: dict[str, Any] = json.loads(line)
            yield Event(**plain)
        except (ValueError, TypeError) as error:
            raise ServerDirectoryError(f"{path}, line {number} is damaged: {error}") from None
