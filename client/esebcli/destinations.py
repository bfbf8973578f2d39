"""Where the files of a restored database go.

Ordinarily the server decides: AddDatabase looks the database up and answers with its files (SDK
page aa566433). For another storage group the client has to name them (AddDatabaseNS, aa579546), and
learns them from what Prepare lists of that group. A recovery storage group is listed only while
one of its stores is mounted; but its server redirects AddDatabase there by itself. So the answer
decides then, and is refused if it turns out to be the original after all.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence

from attrs import frozen

from eseback.api import BackupApi
from eseback.structures import InstanceBackupInfo
from esebcli.context import is_called
from esebcli.errors import JobError, UserError
from esebcli.names import last_component, windows_names
from esebcli.restoreplan import PlannedDatabase

_EDB = re.compile(r"\.edb\Z", re.IGNORECASE)


@frozen
class PlacedDatabase:
    """A database that the server has agreed to restore: its files at backup time, and now.

    ``by_server``: the server chose where they go.
    """

    name: str
    guid: uuid.UUID
    sources: tuple[str, ...]
    destinations: tuple[str, ...]
    by_server: bool

    @property
    def is_moved(self) -> bool:
        """Whether they go elsewhere than they came from."""
        return not _same(self.sources, self.destinations)


@frozen
class DestinationFinder:
    """Finds the place of each database of one restore.

    Attributes:
        group: name of the storage group that the databases are from.
        into: name of the storage group that the databases are to be restored into, or None.
        listed: what the server lists of that group, None if it doesn't run.
        places: the .edb that the user named for a database, by its display name or GUID.
    """

    api: BackupApi
    group: str
    into: str | None
    listed: InstanceBackupInfo | None
    places: Mapping[str, str]

    def place(self, context: int, database: PlannedDatabase) -> PlacedDatabase:
        """Announce a database to the server.

        Raises:
            EseBackupError: the server refuses it.
            JobError: it would go where it is not wanted, or to files that can't be its own.
        """
        saved = database.saved
        sources = saved.original_names
        destinations = self._named(database)
        by_server = destinations is None
        if destinations is None:
            destinations = tuple(
                self.api.restore_add_database(context, saved.display_name, saved.guid, sources)
            )
            self._refuse_other_place(saved.display_name, sources, destinations)
        else:
            self.api.restore_add_database_ns(
                context, saved.display_name, saved.guid, sources, destinations
            )
        _refuse_odd_files(saved.display_name, sources, destinations)
        return PlacedDatabase(saved.display_name, saved.guid, sources, destinations, by_server)

    def _named(self, database: PlannedDatabase) -> tuple[str, ...] | None:
        """The destinations that the client names; None to leave them to the server."""
        saved = database.saved
        for name, edb in self.places.items():
            if is_called(name, saved.display_name, saved.guid):
                return (edb, _EDB.sub(".stm", edb))[: len(saved.original_names)]
        # ASSUMED(into-by-name): a database that is restored into another storage group takes the
        # place of the one that has the same display name there; how a client is to find its files,
        # no documentation says.
        for other in self.listed.databases if self.listed else ():
            if is_called(other.display_name, saved.display_name, saved.guid):
                if len(other.streams) < len(saved.original_names):
                    raise JobError(
                        f"database {saved.display_name!r} has {len(saved.original_names)} files, "
                        f"the one in {self.into!r} only {len(other.streams)}"
                    )
                return tuple(other.streams[: len(saved.original_names)])
        # Where there is a recovery storage group, AddDatabase would lead there.
        return saved.original_names if self.into == self.group else None

    def _refuse_other_place(
        self, name: str, sources: Sequence[str], destinations: Sequence[str]
    ) -> None:
        if self.into is None:
            return
        if self.listed is None:
            if not _same(sources, destinations):
                return
        elif {d.casefold() for d in destinations} <= {
            stream.casefold() for other in self.listed.databases for stream in other.streams
        }:
            return
        raise JobError(
            f"the server would restore {name!r} to {', '.join(destinations)} and not into storage "
            f"group {self.into!r}; make a database of that name there, or name its file (--place)"
        )


def refuse_shared(placed: Sequence[PlacedDatabase]) -> None:
    """Refuse two databases that would go to the same file. Raises JobError."""
    owners: dict[str, str] = {}
    for one in placed:
        for destination in one.destinations:
            other = owners.setdefault(destination.casefold(), one.name)
            if other != one.name:
                raise JobError(
                    f"databases {other!r} and {one.name!r} would both be restored to {destination}"
                )


def moved(placed: Iterable[PlacedDatabase]) -> Iterator[str]:
    """In words: which databases go to other files than they came from."""
    for one in placed:
        if one.is_moved:
            yield f"database {one.name!r} is restored to {', '.join(one.destinations)}"


def check_places(places: Mapping[str, str]) -> None:
    """Refuse what no .edb can be called. Raises UserError."""
    for name, edb in places.items():
        try:
            windows_names(edb)
        except ValueError as error:
            raise UserError(f"the place of {name!r} can't be used: {error}") from error
        if not _EDB.search(edb):
            raise UserError(f"{edb!r}, the place of {name!r}, is not the path of an .edb file")


def _same(left: Sequence[str], right: Sequence[str]) -> bool:
    return [name.casefold() for name in left] == [name.casefold() for name in right]


def _refuse_odd_files(name: str, sources: Sequence[str], destinations: Sequence[str]) -> None:
    """A server that answers nonsense must not make us write it."""
    endings = [_ending(source) for source in sources]
    if [_ending(destination) for destination in destinations] != endings:
        raise JobError(
            f"database {name!r} consists of {', '.join(sources)}; the server answers with "
            f"{', '.join(destinations) or 'nothing'}"
        )


def _ending(path: str) -> str:
    return last_component(path).rpartition(".")[2].casefold()
