"""All restores in progress on one server: who has which folder, which instance, which database."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Final

from attrs import evolve

from eseback.errors import JetErr
from eseback.structures import RestoreDatabase, RestoreEnvironment

from ..engine.errors import JetError
from ..engine.event import Event
from ..topology import PROFILES, Topology
from ..volume import Volume, VolumeError
from ..windows_path import component_error, path_key, to_volume_path
from .clock import EPOCH
from .environment import load_environment
from .group import StorageGroup
from .instances import InstanceSlots
from .owners import FileOwners
from .refused import Refused

if TYPE_CHECKING:
    from .information_store import InformationStore
    from .restore import Restore

_FOLDER: Final = "Restore"


def _tell_nobody(folders: tuple[str, ...]) -> None:
    """Nobody keeps the folders of restores that were saved."""


class Restores:
    """The restores of a server, and what each keeps from the others.

    Two restores at a time never share a folder, an instance or a database (SDK page aa579378: the
    folders of simultaneous restores differ).
    """

    def __init__(self, server: InformationStore) -> None:
        self.server = server
        self.topology: Topology = server.topology
        self.volume: Volume = server.volume
        self.owners: FileOwners = server.owners
        self._saved: set[str] = set()
        self._saved_changed: Callable[[tuple[str, ...]], object] = _tell_nobody
        self._slots: InstanceSlots = server.slots
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._open: dict[str, Restore] = {}  # by folder
        self._claims: dict[str, Restore] = {}  # by file of a database
        self._ended_events: dict[str, list[Event]] = {}

    # -- contexts

    def open(self, annotation: str, source_instance: str, log_path: str | None) -> Restore:
        """A new restore. ``log_path`` is a checked Windows path, or None to choose a folder.

        Raises JetError: -1214 without a free instance, -1084 for a folder in use.
        """
        environment = RestoreEnvironment(
            restore_log_path=log_path or "",
            source_instance_name=source_instance,
            annotation=annotation,
            server_name=self._server_name(),
        )
        return self._begin(environment, "restore_open")

    def reopen(self, log_path: str) -> Restore:
        """The restore that was saved in a folder goes on.

        Raises JetError (-1811 without restore.env, -1214, -1084), EnvironmentFileError, Refused
        (hrCBDatabaseInUse).
        """
        environment = self.load(log_path)
        restore = self._begin(environment, "restore_reopen")
        try:
            self.claim(restore, environment.databases)
        except BaseException:
            restore.close()
            raise
        return restore

    def load(self, log_path: str) -> RestoreEnvironment:
        """The environment saved in a folder. Raises JetError (-1811), EnvironmentFileError."""
        try:
            environment = load_environment(self.volume, to_volume_path(log_path))
        except (FileNotFoundError, VolumeError):
            raise JetError(
                JetErr.FILE_NOT_FOUND,
                f"{log_path} has no restore.env: a restore begins with a full set, and is saved "
                "before it is left",
            ) from None
        # ASSUMED(moved-folder): an environment counts where it lies, also if its folder was moved.
        return evolve(environment, restore_log_path=log_path)

    def _begin(self, environment: RestoreEnvironment, method: str) -> Restore:
        from eseback.restoreorder import RESTORE_STARTS  # most servers never see a restore

        from .restore import Restore

        with self._lock:
            folder = environment.restore_log_path
            if not folder:
                folder = self._choose(environment.source_instance_name)
                environment = evolve(environment, restore_log_path=folder)
            self._check_folder(folder)
            restore = Restore(self, environment, next(self._numbers), self._time(environment))
            restore.state = RESTORE_STARTS[method]
            # ASSUMED(restore-instance): a restore takes one of the process's instances when it is
            # opened or reopened, not only when it recovers.
            self._slots.reserve(_slot(restore), storage_group=False)
            self._open[_key(folder)] = restore
        try:
            self.volume.make_directory(to_volume_path(folder))
        except VolumeError as error:
            restore.close()
            raise JetError(JetErr.INVALID_LOG_DIRECTORY, str(error)) from error
        return restore

    def forget(self, restore: Restore) -> None:
        """A context is gone: its instance, folder and databases are free."""
        self.unclaim(restore)
        with self._lock:
            key = _key(restore.environment.restore_log_path)
            if self._open.get(key) is restore:
                del self._open[key]
                self._ended_events.setdefault(key, []).extend(restore.events)
            self._slots.release(_slot(restore))

    def die(self) -> None:
        """The process died: no restore is in progress, and nothing more was written."""
        for restore in self.in_progress():
            with restore.lock:
                restore.plan = None
                restore.close()

    def in_progress(self) -> list[Restore]:
        """The restores that a context stands for, in the order in which they were opened."""
        with self._lock:
            return sorted(self._open.values(), key=lambda restore: restore.number)

    def has_file(self, path: str) -> bool:
        """Whether a file (Windows path) lies in the folder of a restore."""
        with self._lock:
            return _key(path).rpartition("/")[0] in self._open

    def settle(self, group: StorageGroup | None = None) -> None:
        """Carry recoveries that nobody waits for to their end: all, or those into a group."""
        for restore in self.in_progress():
            from .recovery import finish

            with restore.lock:
                if group is None or restore.concerns(group):
                    finish(self.server, restore)

    @property
    def events(self) -> list[Event]:
        """Events of restores that concern no storage group, by folder."""
        with self._lock:
            found = {key: list(events) for key, events in self._ended_events.items()}
            for key, restore in self._open.items():
                found.setdefault(key, []).extend(restore.events)
        return [event for key in sorted(found) for event in found[key]]

    # -- databases

    def claim(self, restore: Restore, databases: Sequence[RestoreDatabase]) -> None:
        """Hold the destinations of databases for a restore, and no others.

        Raises Refused (hrCBDatabaseInUse) for one that is mounted, may not be overwritten, or is
        restored twice at a time; what was held before stays so.
        """
        streams: dict[str, str] = {}
        for database in databases:
            for stream in database.destination_streams:
                if streams.setdefault(_key(stream), stream) is not stream:
                    raise Refused("hrCBDatabaseInUse", f"{stream} is restored to twice")
        for stream in streams.values():
            self._check_free(stream)
        with self._lock:
            for key, stream in streams.items():
                if self._claims.get(key, restore) is not restore:
                    raise Refused(
                        "hrCBDatabaseInUse", f"{stream} is being restored by another client"
                    )
            before = self._held(restore)
            self._drop(restore)
            self._claims.update(dict.fromkeys(streams, restore))
        try:
            # A store may have been mounted in between; from here on it cannot be.
            for stream in streams.values():
                self._check_free(stream)
        except BaseException:
            with self._lock:
                self._drop(restore)
                self._claims.update(dict.fromkeys(before, restore))
            raise

    def unclaim(self, restore: Restore) -> None:
        """Hold no databases for a restore any more."""
        with self._lock:
            self._drop(restore)

    def claimed(self, streams: Iterable[str]) -> bool:
        """Whether any of these files (Windows paths) is held for a restore."""
        with self._lock:
            return any(_key(stream) in self._claims for stream in streams)

    def _held(self, restore: Restore) -> list[str]:
        return [key for key, holder in self._claims.items() if holder is restore]

    def _drop(self, restore: Restore) -> None:
        for key in self._held(restore):
            del self._claims[key]

    def _check_free(self, stream: str) -> None:
        place = self.owners.by_path(stream)
        if place is not None:
            with place.group.lock:
                if place.group.is_mounted(place.store.name):
                    raise Refused("hrCBDatabaseInUse", f"{place.label} is mounted; dismount it")
                if not place.group.is_overwritable(place.store.name):
                    raise Refused(
                        "hrCBDatabaseInUse", f"{place.label} may not be overwritten by a restore"
                    )
        held = self.owners.in_use(stream)
        if held is not None:
            raise Refused("hrCBDatabaseInUse", f"{stream} is in use: {held}")

    # -- folders

    def watch(self, saved: Iterable[str], changed: Callable[[tuple[str, ...]], object]) -> None:
        """Go on with the folders of restores that were saved before and have not succeeded.

        ``changed`` is told of all such folders (Windows paths, sorted) whenever there are others.
        """
        with self._lock:
            self._saved.update(saved)
            self._saved_changed = changed

    @property
    def saved(self) -> tuple[str, ...]:
        """Folders of the restores that were saved and have not succeeded, sorted."""
        with self._lock:
            return tuple(sorted(self._saved))

    def note_saved(self, restore: Restore, *, succeeded: bool = False) -> None:
        """A restore was saved: its folder is remembered until it has succeeded."""
        with self._lock:
            before = set(self._saved)
            (self._saved.discard if succeeded else self._saved.add)(
                restore.environment.restore_log_path
            )
            if self._saved != before:
                self._saved_changed(tuple(sorted(self._saved)))

    def check_recovery_folder(self, folder: str, restore: Restore) -> None:
        """No other restore lives in a folder. Raises JetError (-1084)."""
        with self._lock:
            if self._open.get(_key(folder), restore) is not restore:
                raise JetError(JetErr.LOG_FILE_PATH_IN_USE, f"another restore uses {folder}")

    def _check_folder(self, folder: str) -> None:
        # ASSUMED(restore-folder-in-use): a folder that another restore or a running storage group
        # uses is refused like the log folder of another instance, -1084.
        if _key(folder) in self._open:
            raise JetError(JetErr.LOG_FILE_PATH_IN_USE, f"another restore uses {folder}")
        group = self.owners.group_of_folder(folder)
        if group is not None and group.instance is not None:
            raise JetError(
                JetErr.LOG_FILE_PATH_IN_USE, f"{folder} is a folder of {group.name}, which runs"
            )

    def _choose(self, source_instance: str) -> str:
        """A folder that is empty and that no other restore has."""
        # ASSUMED(chosen-folder): the folder that the server chooses is named after the storage
        # group, below a folder of the server's own.
        profile = PROFILES[self.topology.server.profile]
        name = source_instance if component_error(source_instance) is None else "set"
        for number in itertools.count(1):
            suffix = "" if number == 1 else f" ({number})"
            folder = f"{profile.directory}\\{_FOLDER}\\{name}{suffix}"
            if _key(folder) not in self._open and self._is_empty(folder):
                return folder
        raise AssertionError("numbers do not end")

    def _is_empty(self, folder: str) -> bool:
        try:
            return not self.volume.list(to_volume_path(folder))
        except FileNotFoundError:
            return True

    def _server_name(self) -> str | None:
        server = self.topology.server
        return server.name if PROFILES[server.profile].environment_server else None

    def _time(self, environment: RestoreEnvironment) -> int:
        """When a restore begins, in milliseconds: not before anything that it has seen."""
        group = self.server.find_group(environment.source_instance_name)
        seen = max(environment.time_last_restore, environment.time_last_recover, EPOCH) * 1000
        return seen if group is None else max(seen, group.clock.milliseconds)


def _slot(restore: Restore) -> str:
    return f"restore {restore.number} from {restore.environment.source_instance_name}"


def _key(path: str) -> str:
    return path_key(to_volume_path(path))
