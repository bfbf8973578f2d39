"""One restore in progress: what a restore context stands for.

Its order of calls is the table of ``eseback.restoreorder``; the session asks it and sets ``state``.
What it knows is a ``RestoreEnvironment``, replaced as a whole with every change. Recovery itself
stands in :mod:`.recovery`.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from attrs import evolve

from eseback.api import ReadableBuffer
from eseback.constants import RecoverStatus
from eseback.errors import JetErr
from eseback.formats.names import parse_log_name
from eseback.restoreorder import RestoreState
from eseback.structures import RestoreDatabase, RestoreEnvironment

from ..engine.errors import JetError
from ..engine.event import Event
from ..windows_path import path_key, to_volume_path
from .clock import MILLISECONDS_PER_CALL, LogicalClock
from .environment import ENVIRONMENT_NAME, save_environment
from .group import StorageGroup
from .openrestore import OpenRestoreFile
from .owners import Place
from .refused import Refused

if TYPE_CHECKING:
    from .recovery import RecoveryPlan
    from .restores import Restores


class Restore:
    """What one restore context stands for.

    Hold ``lock`` for everything; it is taken before the locks of storage groups. ``plan`` is the
    recovery that runs while nobody waits for it, ``polls_left`` how often it is still shown as
    running. ``recovered``: recovery has succeeded and was tidied up after. ``events`` are those of
    a recovery that concerns no storage group.
    """

    def __init__(
        self, restores: Restores, environment: RestoreEnvironment, number: int, milliseconds: int
    ) -> None:
        self.lock = threading.RLock()
        self.environment = environment
        self.number = number
        self.state = RestoreState.OPENED
        self.clock = LogicalClock()
        self.clock.milliseconds = milliseconds
        self.plan: RecoveryPlan | None = None
        self.polls_left = 0
        self.recovered = False
        self.file: OpenRestoreFile | None = None
        self.events: list[Event] = []
        self._restores = restores

    @property
    def folder(self) -> str:
        """Volume path of the folder with logs and restore.env."""
        return to_volume_path(self.environment.restore_log_path)

    def enter_call(self) -> None:
        """A call arrives: time passes."""
        self.clock.milliseconds += MILLISECONDS_PER_CALL

    def groups(self) -> list[StorageGroup]:
        """The storage groups that a database goes to, in the order of the server."""
        owners, databases = self._restores.owners, self.environment.databases
        places = (owners.by_path(s) for d in databases for s in d.destination_streams)
        groups = {place.group.id: place.group for place in places if place is not None}
        return [groups[number] for number in sorted(groups)]

    def concerns(self, group: StorageGroup) -> bool:
        """Whether a recovery that runs now writes to a group's stores or works with its logs."""
        plan = self.plan
        return plan is not None and (group in self.groups() or group in (plan.target, plan.own))

    def place_of(self, database: RestoreDatabase) -> Place | None:
        """The store that a database is restored to; None where the client chose other files."""
        streams = database.destination_streams
        place = self._restores.owners.by_path(streams[0])
        if place is None or list(map(_key, streams)) != list(map(_key, place.store.streams)):
            return None
        return place

    # -- databases

    def add_database(
        self, display_name: str, guid: UUID, source_streams: Sequence[str]
    ) -> tuple[str, ...]:
        """Announce a database that goes where its GUID says; returns its new streams.

        Raises Refused: hrCBDatabaseNotFound, hrCBDatabaseInUse.
        """
        # ASSUMED(guid-decides): AddDatabase looks a database up by its GUID alone, in all storage
        # groups of the server; the display name is only noted.
        place = self._restores.owners.by_guid(guid)
        if place is None:
            raise Refused(
                "hrCBDatabaseNotFound",
                f"no store of this server has the GUID {guid} ({display_name!r})",
            )
        destinations = place.store.streams
        # ASSUMED(files-of-a-database): a database is restored to a store that has as many files.
        if len(source_streams) != len(destinations):
            raise JetError(
                JetErr.INVALID_PARAMETER,
                f"{place.label} has {len(destinations)} files, the backed-up database "
                f"{display_name!r} has {len(source_streams)}",
            )
        self.add_database_at(display_name, guid, source_streams, destinations)
        return destinations

    def add_database_at(
        self,
        display_name: str,
        guid: UUID,
        source_streams: Sequence[str],
        destination_streams: Sequence[str],
    ) -> None:
        """Announce a database and where it goes. Raises Refused (hrCBDatabaseInUse)."""
        # ASSUMED(add-again): a database that the restore has already is announced anew, with its
        # latest destinations: that is how further sets of a chain may begin.
        others = tuple(d for d in self.environment.databases if d.guid != guid)
        source = _key(source_streams[0])
        for other in others:
            if _key(other.source_streams[0]) == source:
                raise JetError(
                    JetErr.INVALID_PARAMETER,
                    f"{source_streams[0]} is the file of {other.display_name!r} already",
                )
        added = RestoreDatabase(
            display_name, guid, tuple(source_streams), tuple(destination_streams)
        )
        self._restores.claim(self, (*others, added))
        self._change(databases=(*others, added))

    # -- files

    def check_file(self, name: str) -> str:
        """What is wrong with a file to be opened, in words; empty if nothing."""
        # ASSUMED(restore-file-places): only files of the databases that were added, and files in
        # the restore's own folder, are part of a restore; any other name is a bad argument.
        key = _key(name)
        streams = (s for d in self.environment.databases for s in d.destination_streams)
        if any(key == _key(stream) for stream in streams):
            return ""
        folder, _, last = key.rpartition("/")
        if folder != path_key(self.folder):
            return (
                f"{name} is no file of a database that was added, and not in the folder of the "
                f"restore, {self.environment.restore_log_path}"
            )
        if last == path_key(ENVIRONMENT_NAME):
            return f"{name} is written by SaveEnvironment"
        base = self.environment.log_base_name
        log = _log(last)
        # ASSUMED(one-log-stream): all logs of a restore have one base name.
        if log is not None and base is not None and log[0] != base:
            return f"{name} is of another log stream than those before, {base}"
        return ""

    def announce(self, name: str) -> None:
        """A file is going to be written: a log enters the range of the environment."""
        last = to_volume_path(name).rpartition("/")[2]
        in_folder = _key(name) == path_key(f"{self.folder}/{last}")
        log = _log(last) if in_folder else None
        if log is None:
            self._change()
            return
        base, generation = log
        known = self.environment
        self._change(
            log_base_name=base,
            gen_low=min(known.gen_low or generation, generation),
            gen_high=max(known.gen_high, generation),
        )

    def open_file(self, name: str, handle: int) -> None:
        """Announce a file that the server writes, and open it."""
        self.file = OpenRestoreFile(self._restores.volume, to_volume_path(name), handle)
        self.announce(name)

    def write(self, data: ReadableBuffer) -> None:
        """Append to the open file."""
        assert self.file is not None
        self.file.write(data)

    def close_file(self) -> None:
        """The open file is complete."""
        assert self.file is not None
        file, self.file = self.file, None
        file.close()

    # -- environment and end

    def save(self) -> None:
        """Write restore.env."""
        save_environment(self._restores.volume, self.folder, self.environment)
        self._restores.note_saved(self, succeeded=self.recovered)

    def note(self, **changes: Any) -> None:
        """Replace fields of the environment."""
        self.environment = evolve(self.environment, **changes)

    def release(self) -> None:
        """The databases are no longer held for this restore."""
        self._restores.unclaim(self)

    def close(self) -> None:
        """The context is gone: instance, folder and databases are free for others."""
        if self.state is RestoreState.CLOSED:
            return
        if self.file is not None:
            self.file.abandon()
            self.file = None
        self.state = RestoreState.CLOSED
        self._restores.forget(self)

    def _change(self, **changes: Any) -> None:
        """Files change: what was recovered before has to be recovered again."""
        self.recovered = False
        self.note(
            time_last_restore=self.clock.now(),
            status_last_recover=RecoverStatus.NOT_STARTED,
            hr_last_recover=0,
            **changes,
        )


def _log(name: str) -> tuple[str, int] | None:
    """Base name and generation of a closed log; None for any other file."""
    base = name[:3].upper()
    if not (len(base) == 3 and base.isascii() and base.isalnum()):
        return None
    generation = parse_log_name(name, base)
    return None if generation is None else (base, generation)


def _key(path: str) -> str:
    return path_key(to_volume_path(path))
