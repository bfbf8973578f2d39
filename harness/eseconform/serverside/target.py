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
from eseconform.judge.follow import OrderTable
from eseconform.judge.protocol import order_of
from eseconform.task import FileAccess
from eseconform.transports import Transport
from esesim.engine.inspect import Rows, database_rows
from esesim.exchange.clock import LogicalClock
from esesim.server import SimulatedServer
from esesim.topology import PROFILES, GroupSpec, ServerSpec, StoreSpec, Topology, WorkloadSpec

COMPUTER: Final = "EXCHSRV1"
GROUP: Final = "First Storage Group"
MAIN, SECOND, SPARE = "Mailbox Store", "Public Folder Store", "Archive Store"
"""Stores of the group: two that are mounted, and one that is not and was never backed up."""
LOG_BYTES: Final = 32 * 1024
PROFILE: Final = "exchange-2003-sp1"
"""The version of a server that names none."""
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
    RESTORE = "restore"
    """Lose its disks, say which stores a restore may overwrite, take files of a restore that are
    written with file I/O, tell the rows of a store."""


class ServerUnderTest(Protocol):
    """A running server with one storage group ``GROUP`` of the stores named above.

    ``session`` connects a client. The other methods are called only where ``abilities`` holds what
    they need. Errors of the server are EseBackupError, of every call and of mount and dismount.
    """

    @property
    def abilities(self) -> frozenset[Ability]:
        """What it offers."""

    @property
    def order(self) -> OrderTable:
        """The order table of its version."""

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

    def lose(self) -> None:
        """RESTORE: the disks of the group are gone; a restore may write to MAIN and SECOND."""

    def allow(self, store: str, allowed: bool) -> None:
        """RESTORE: whether a restore may overwrite a store."""

    @property
    def files(self) -> FileAccess:
        """RESTORE: where files of a restore are written with file I/O."""

    @property
    def instances(self) -> int:
        """RESTORE: how many instances its version has, for storage groups and restores."""

    def rows(self, store: str) -> Rows:
        """RESTORE: mount a store, if it is not, and tell its rows."""

    def close(self) -> None:
        """End it; it is not asked for anything afterwards."""


def topology(seed: int, profile: str = PROFILE) -> Topology:
    """The server that checks work on, for the simulator in one of its versions."""
    stores = (StoreSpec(name=MAIN), StoreSpec(name=SECOND), StoreSpec(name=SPARE, mounted=False))
    workload = WorkloadSpec(messages=MESSAGES, steps_per_call=0)
    log_size = max(LOG_BYTES, PROFILES[profile].log_size_min)
    group = GroupSpec(name=GROUP, log_size=log_size, stores=stores, workload=workload)
    server = ServerSpec(name=COMPUTER, profile=profile, seed=seed)
    return Topology(server=server, groups=(group,))


class InProcess:
    """The simulator, or a broken variant of it, in this process. Implements ServerUnderTest."""

    abilities = frozenset(Ability)

    def __init__(self, kind: type[SimulatedServer], seed: int, *, profile: str = PROFILE) -> None:
        self._server = kind(topology(seed, profile))
        self.order = order_of(profile)
        self.instances = PROFILES[profile].instances_max

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

    def lose(self) -> None:
        """See ServerUnderTest."""
        self._server.destroy_group(GROUP)
        for store in (MAIN, SECOND):
            self.allow(store, True)

    def allow(self, store: str, allowed: bool) -> None:
        """See ServerUnderTest."""
        self._server.set_overwritable(GROUP, store, allowed)

    @property
    def files(self) -> FileAccess:
        """See ServerUnderTest."""
        return self._server.files

    def rows(self, store: str) -> Rows:
        """See ServerUnderTest."""
        self._server.mount(GROUP, store)
        group = self._server.group(GROUP)
        edb = group.store(store).edb.casefold()
        databases = group.running.databases.values()
        return database_rows(next(d for d in databases if d.edb.casefold() == edb))

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
        transport: how clients reach it.
    """

    spec: str
    start: Callable[[int], ServerUnderTest]
    annotation: str = INFORMATION_STORE
    transport: Transport = Transport.INPROC


def load_target(spec: str, transport: Transport = Transport.INPROC) -> Target:
    """Read ``--server``: ``inproc`` is the simulator, ``inproc:NAME`` one in another version
    (``exchange-2000-sp2``), or a broken one of the zoo; ``transport`` is the way to it.

    Raises:
        UsageError: there is no such server; the text names those that there are.
    """
    from eseconform.zoo.servers import SERVER_MUTANTS  # which is made from this module's servers

    scheme, _, name = spec.partition(":")
    if scheme != "inproc":
        raise UsageError(f"--server {spec!r}: only inproc and inproc:NAME can be checked")
    way = InProcess if transport is Transport.INPROC else _over_the_wire()
    kinds = {"": SimulatedServer} | {mutant.name: mutant.server for mutant in SERVER_MUTANTS}
    if name in PROFILES:
        start = partial(way, SimulatedServer, profile=name)
        return Target(spec, start, transport=transport)
    if name in kinds:
        return Target(spec, partial(way, kinds[name]), transport=transport)
    known = ", ".join(mutant.name for mutant in SERVER_MUTANTS)
    raise UsageError(
        f"--server {spec!r}: the zoo has no server {name!r}; it has {known}; "
        f"versions are {', '.join(PROFILES)}"
    )


def _over_the_wire() -> type[InProcess]:
    from eseconform.serverside.wired import OverTheWire  # made from this module's, and heavy

    return OverTheWire
