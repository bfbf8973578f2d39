"""A backup context: what Prepare hands out, and which of it a job is about."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from attrs import frozen

from eseback.api import BackupApi
from eseback.structures import DatabaseBackupInfo, InstanceBackupInfo
from esebcli.errors import JobError, UserError


@frozen
class Context:
    """The session it was made on, its handle, and the storage groups that run."""

    api: BackupApi
    handle: int
    instances: tuple[InstanceBackupInfo, ...]

    @classmethod
    def prepare(cls, api: BackupApi, server: str, annotation: str) -> Context:
        """Call Prepare. Raises EseBackupError."""
        handle, instances = api.backup_prepare(server, annotation)
        return cls(api, handle, tuple(instances))

    def instance(self, group: str) -> InstanceBackupInfo:
        """The running instance of that name.

        Raises:
            JobError: there is none: it is unknown, or none of its databases is mounted.
        """
        for instance in self.instances:
            if instance.instance_name == group:
                return instance
        running = ", ".join(repr(i.instance_name) for i in self.instances) or "none"
        raise JobError(
            f"storage group {group!r} does not run on the server (running: {running}; a group "
            "without a mounted database is not listed)"
        )


def running_instances(
    api: BackupApi, server: str, annotation: str
) -> tuple[InstanceBackupInfo, ...]:
    """The storage groups that run, without keeping a context. Raises EseBackupError."""
    context = Context.prepare(api, server, annotation)
    api.backup_end(context.handle)
    return context.instances


def choose_databases(
    instance: InstanceBackupInfo, names: Sequence[str]
) -> tuple[DatabaseBackupInfo, ...]:
    """The databases of a group that are to be saved, in the server's order.

    ``names`` are display names, in any case, or GUIDs; none at all means every database.

    Raises:
        UserError: a name is unknown, means two databases, or one that is not mounted; or two names
            mean the same database.
    """
    if not names:
        return instance.databases
    chosen = [_find_database(instance, name) for name in names]
    if len(set(map(id, chosen))) != len(chosen):
        raise UserError(f"a database of {instance.instance_name!r} is named twice")
    return tuple(database for database in instance.databases if database in chosen)


def _find_database(instance: InstanceBackupInfo, name: str) -> DatabaseBackupInfo:
    found = [d for d in instance.databases if is_called(name, d.display_name, d.guid)]
    where = f"storage group {instance.instance_name!r}"
    if not found:
        known = ", ".join(repr(database.display_name) for database in instance.databases)
        raise UserError(f"{where} has no database {name!r} (it has: {known or 'none'})")
    if len(found) > 1:
        guids = ", ".join(str(database.guid) for database in found)
        raise UserError(f"{where} has several databases {name!r}: name one by its GUID ({guids})")
    if not found[0].mounted:
        raise UserError(f"database {name!r} of {where} is not mounted and can't be backed up")
    return found[0]


def is_called(name: str, display_name: str, guid: uuid.UUID) -> bool:
    """Whether a user means this database by ``name``: its display name in any case, or its GUID."""
    if display_name.casefold() == name.casefold():
        return True
    try:
        return guid == uuid.UUID(name)
    except ValueError:
        return False
