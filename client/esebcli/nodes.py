"""What there is to back up: computers, their services, storage groups and databases.

The tree of computers comes from GetNodes; for each computer GetRegistered says which services can
be backed up, and Prepare which storage groups of each one run. Nothing is backed up, and every
context is ended again.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterator
from typing import Final

from attrs import frozen

from eseback.api import BackupApi
from eseback.constants import NodeType, RegisterFlags
from eseback.errors import ConnectionLost, EseBackupError
from eseback.structures import BackupNode, InstanceBackupInfo, RegisteredInfo
from esebcli.context import Context
from esebcli.hints import explain

_ANY_SERVICE: Final = functools.reduce(operator.or_, RegisterFlags)
"""Services are asked for by what they can do; every service can do something."""


@frozen
class ServiceSurvey:
    """A registered service and its storage groups; ``error`` says why they are not known."""

    info: RegisteredInfo
    instances: tuple[InstanceBackupInfo, ...] = ()
    error: str | None = None


@frozen
class ComputerSurvey:
    """A computer and the services on it; ``error`` says why it gave no answer."""

    name: str
    services: tuple[ServiceSurvey, ...] = ()
    error: str | None = None


@frozen
class Survey:
    """The tree of nodes as the server gave it, and what the computers in it said."""

    tree: BackupNode
    computers: tuple[ComputerSurvey, ...]

    def computer(self, name: str) -> ComputerSurvey | None:
        """What a computer said, by its name in any case; None if it was not asked."""
        wanted = name.casefold()
        return next((c for c in self.computers if c.name.casefold() == wanted), None)

    @property
    def problems(self) -> tuple[str, ...]:
        """What makes the survey a failure: a service that is broken, or nobody who answers.

        That some computers of a domain don't answer is usual and no failure.
        """
        silent = [f"{c.name}: {c.error}" for c in self.computers if c.error]
        if len(silent) == len(self.computers):
            return tuple(silent) or ("the server knows no computer",)
        return tuple(
            f"{computer.name}: {service.info.display_name}: {service.error}"
            for computer in self.computers
            for service in computer.services
            if service.error
        )


def survey(api: BackupApi, computer: str | None = None) -> Survey:
    """Look at all computers of the tree, or at one.

    Raises:
        ConnectionLost, EseBackupError: the tree can't be had, or the connection broke.
    """
    tree = api.get_nodes(computer)
    names = [computer] if computer else list(dict.fromkeys(computers_in(tree)))
    return Survey(tree, tuple(_ask(api, name) for name in names))


def computers_in(node: BackupNode) -> Iterator[str]:
    """The names of the computers in a tree, from the top."""
    if NodeType.MACHINE in node.flags:
        yield node.name
    for child in node.children:
        yield from computers_in(child)


def _ask(api: BackupApi, computer: str) -> ComputerSurvey:
    try:
        services = api.get_registered(computer, None, _ANY_SERVICE)
    except ConnectionLost:
        raise
    except EseBackupError as error:
        return ComputerSurvey(computer, error=explain(error))
    return ComputerSurvey(computer, tuple(_look_at(api, computer, info) for info in services))


def _look_at(api: BackupApi, computer: str, info: RegisteredInfo) -> ServiceSurvey:
    if RegisterFlags.BACKUP not in info.flags:
        return ServiceSurvey(info)
    try:
        context = Context.prepare(api, computer, info.annotation)
        api.backup_end(context.handle)
    except ConnectionLost:
        raise
    except EseBackupError as error:
        return ServiceSurvey(info, error=explain(error))
    return ServiceSurvey(info, context.instances)
