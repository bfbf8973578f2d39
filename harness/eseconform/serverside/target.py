"""Servers under test: what a check may ask of one, and the simulator as the first of them."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from functools import partial
from typing import Final, Protocol

from attrs import frozen

from eseback.api import BackupApi
from eseback.constants import INFORMATION_STORE
from eseconform.errors import UsageError
from eseconform.judge.data import GroupFacts
from esesim.exchange.clock import LogicalClock
from esesim.server import SimulatedServer
from esesim.topology import GroupSpec, ServerSpec, StoreSpec, Topology, WorkloadSpec

COMPUTER: Final = "EXCHSRV1"
GROUP: Final = "First Storage Group"
MAIN, SECOND, SPARE = "Mailbox Store", "Public Folder Store", "Archive Store"
"""Stores of the group: two that are mounted, and one that is not and was never backed up."""
LOG_BYTES: Final = 32 * 1024
MESSAGES: Final = 8


class Ability(StrEnum):
    """What a server lets the harness do beside the calls of the API."""

    MOUNT = "mount"
    """Mount and dismount stores."""
    WORKLOAD = "workload"
    """Let users work."""
    JOURNAL = "journal"
    """Tell what users had committed when a log was closed."""
    STOP = "stop"
    """Ask a running backup to stop, as an administrator."""
    HANG_UP = "hang_up"
    """Break the connection of a client."""
    DAMAGE = "damage"
    """Damage a page on disk."""


class ServerUnderTest(Protocol):
    """A running server with one storage group ``GROUP`` of the stores named above.

    ``session`` connects a client. The other methods are called only where ``abilities`` holds what
    they need. Errors of the server are EseBackupError, of every call and of mount and dismount.
    """

    @property
    def abilities(self) -> frozenset[Ability]:
        """What it offers."""

    def session(self) -> BackupApi:
        """A client's connection, with contexts of its own."""

    def mount(self, store: str) -> None:
        """MOUNT: mount a store of the group."""

    def dismount(self, store: str) -> None:
        """MOUNT: dismount a store of the group."""

    def work(self, steps: int) -> None:
        """WORKLOAD: let the users of the group work for a while."""

    def facts(self) -> GroupFacts:
        """JOURNAL: what a restore needs to know, and what was committed."""

    def stop(self) -> None:
        """STOP: ask the running backup to stop."""

    def hang_up(self, context: int) -> None:
        """HANG_UP: the client that holds the context is gone."""

    def damage(self, file_name: str) -> None:
        """DAMAGE: make a page of a database fail its checksum."""

    def close(self) -> None:
        """End it; it is not asked for anything afterwards."""


def topology(seed: int) -> Topology:
    """The server that checks work on, for the simulator."""
    stores = (StoreSpec(name=MAIN), StoreSpec(name=SECOND), StoreSpec(name=SPARE, mounted=False))
    workload = WorkloadSpec(messages=MESSAGES, steps_per_call=0)
    group = GroupSpec(name=GROUP, log_size=LOG_BYTES, stores=stores, workload=workload)
    return Topology(server=ServerSpec(name=COMPUTER, seed=seed), groups=(group,))


class InProcess:
    """The simulator, or a broken variant of it, in this process. Implements ServerUnderTest."""

    abilities = frozenset(Ability)

    def __init__(self, kind: type[SimulatedServer], seed: int) -> None:
        self._server = kind(topology(seed))

    def session(self) -> BackupApi:
        """See ServerUnderTest."""
        return self._server.session()

    def mount(self, store: str) -> None:
        """See ServerUnderTest."""
        self._server.mount(GROUP, store)

    def dismount(self, store: str) -> None:
        """See ServerUnderTest."""
        self._server.dismount(GROUP, store)

    def work(self, steps: int) -> None:
        """See ServerUnderTest."""
        self._server.run_workload(GROUP, steps)

    def facts(self) -> GroupFacts:
        """See ServerUnderTest."""
        config = self._server.group(GROUP).running.config
        return GroupFacts(config, LogicalClock(), self._server.journal.rows)

    def stop(self) -> None:
        """See ServerUnderTest."""
        self._server.stop_backup(GROUP)

    def hang_up(self, context: int) -> None:
        """See ServerUnderTest."""
        self._server.connection_lost(context)

    def damage(self, file_name: str) -> None:
        """See ServerUnderTest."""
        self._server.damage_page(file_name)

    def close(self) -> None:
        """See ServerUnderTest."""
        self._server.close()


@frozen
class Target:
    """A way to start servers under test, each fresh: ``start(seed)``.

    Attributes:
        spec: how it was named on the command line.
        start: makes one.
        annotation: service annotation for ``backup_prepare``.
    """

    spec: str
    start: Callable[[int], ServerUnderTest]
    annotation: str = INFORMATION_STORE


def load_target(spec: str) -> Target:
    """Read ``--server``: ``inproc`` is the simulator, ``inproc:NAME`` a broken one of the zoo.

    Raises:
        UsageError: there is no such server; the text names those that there are.
    """
    from eseconform.zoo.servers import SERVER_MUTANTS  # which is made from this module's servers

    scheme, _, name = spec.partition(":")
    if scheme != "inproc":
        raise UsageError(f"--server {spec!r}: only inproc and inproc:MUTANT can be checked")
    kinds = {"": SimulatedServer} | {mutant.name: mutant.server for mutant in SERVER_MUTANTS}
    if name in kinds:
        return Target(spec, partial(InProcess, kinds[name]))
    known = ", ".join(mutant.name for mutant in SERVER_MUTANTS)
    raise UsageError(f"--server {spec!r}: the zoo has no server {name!r}; it has {known}")
