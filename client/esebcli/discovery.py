"""Finding the computer and the storage groups to back up, where the user named none."""

from __future__ import annotations

from eseback.api import BackupApi
from eseback.constants import RegisterFlags
from eseback.errors import ConnectionLost, EseBackupError
from esebcli.context import running_instances
from esebcli.errors import JobError, UserError
from esebcli.nodes import computers_in


def find_computer(api: BackupApi, annotation: str) -> str:
    """The only computer of the domain on which the service is registered for backup.

    Computers that don't answer are passed over: the tree names all of the domain, and most of them
    are none of this session's business.

    Raises:
        ConnectionLost, EseBackupError: the tree can't be had.
        UserError: there are several such computers, or none.
    """
    computers = list(dict.fromkeys(computers_in(api.get_nodes(None))))
    answering = [name for name in computers if _offers(api, name, annotation)]
    if len(answering) == 1:
        return answering[0]
    if answering:
        raise UserError(f"name one of these computers with --computer: {', '.join(answering)}")
    known = ", ".join(computers) or "none"
    raise UserError(
        f"no computer offers backups of {annotation!r}; name one with --computer (known: {known})"
    )


def find_groups(api: BackupApi, server: str, annotation: str) -> tuple[str, ...]:
    """The storage groups that run on a server, in its order.

    Raises:
        EseBackupError: a call failed.
        JobError: none runs.
    """
    instances = running_instances(api, server, annotation)
    if not instances:
        raise JobError(f"no storage group of {annotation} runs on {server}")
    return tuple(instance.instance_name for instance in instances)


def _offers(api: BackupApi, computer: str, annotation: str) -> bool:
    try:
        services = api.get_registered(computer, None, RegisterFlags.BACKUP)
    except ConnectionLost:
        raise
    except EseBackupError:
        return False
    return any(service.annotation == annotation for service in services)
