"""The data of a topology: one Exchange server, its services, storage groups and stores.

Everything is frozen and comparable. A text or a path left empty and a size of 0 mean "choose by
rule"; :func:`esesim.topology.completed` puts the chosen values in, so that a server only ever sees
complete specifications.
"""

from __future__ import annotations

from typing import Final

from attrs import field

from eseback.constants import INFORMATION_STORE
from eseback.data import frozen

from .profiles import EXCHANGE_2003_SP1

HANDLE: Final = "handle"
FILE_LEVEL: Final = "file_level"
RESTORE_FILES: Final = (HANDLE, FILE_LEVEL)
"""Ways in which the files of a restore reach the server."""
SIZE: Final = {"size": True}  # metadata of a field that also takes "64 KiB"


class TopologyError(ValueError):
    """A topology cannot be used. The message names the key, what is wrong and what to do."""


@frozen
class WorkloadSpec:
    """What the mail workload of a storage group does.

    ``folders`` and ``messages`` are what each store holds before the first call;
    ``steps_per_call`` is how many steps run before each call that concerns the group (0: none);
    ``body_size_max`` bounds the size of a message body in bytes. Of a hundred transactions
    ``rollback_percent`` are rolled back and ``long_percent`` stay open over many steps.
    """

    folders: int = 4
    messages: int = 60
    steps_per_call: int = 1
    body_size_max: int = field(default=12 * 1024, metadata=SIZE)
    rollback_percent: int = 10
    long_percent: int = 5


@frozen
class StoreSpec:
    """A store: its display name and its files, as Windows paths (``stm`` beside ``edb``).

    Exchange 2007 has no streaming files: there ``stm`` stays empty. ``overwritable``: a restore may
    overwrite it. ``recovery_of``, in the recovery storage group only: the store that this one
    stands for, as ``Group/Store``. With a ``size`` the database is virtual: a file of so many bytes
    that takes no room, because what nobody has written is made while it is read (0: the file is as
    large as its contents).
    """

    name: str
    edb: str = ""
    stm: str = ""
    mounted: bool = True
    overwritable: bool = False
    icon: str = "mailbox"
    recovery_of: str = ""
    size: int = field(default=0, metadata=SIZE)

    @property
    def streams(self) -> tuple[str, ...]:
        """Its files, in the order of a backup."""
        return (self.edb, self.stm) if self.stm else (self.edb,)


@frozen
class GroupSpec:
    """A storage group: one engine instance with its own log stream.

    ``base`` is the base name of the logs (``E00``); ``log_path`` and ``system_path`` (checkpoint)
    are Windows directories; ``log_size`` is the size of a log file in bytes. Logs are deleted while
    a store of the group is dismounted only with ``truncate_with_dismounted``.

    What can go wrong with a log stream: it begins at ``generation_first`` and is used up at
    ``generation_max``; a backup that holds back more than ``checkpoint_depth_max`` generations is
    given up (both 0: as the version has it); ``log_disk_full`` and ``log_write_failed`` hold from
    the start on, once the stores are mounted. Without ``logging`` there are no backups.

    ``recovery``: the recovery storage group, into which stores of another group are restored beside
    their originals. No mail reaches it, it is not backed up and does not count as a group.
    """

    name: str
    stores: tuple[StoreSpec, ...] = ()
    base: str = ""
    log_path: str = ""
    system_path: str = ""
    log_size: int = field(default=0, metadata=SIZE)
    circular_logging: bool = False
    logging: bool = True
    generation_first: int = 1
    generation_max: int = 0
    checkpoint_depth_max: int = 0
    log_disk_full: bool = False
    log_write_failed: bool = False
    truncate_with_dismounted: bool = False
    recovery: bool = False
    workload: WorkloadSpec = WorkloadSpec()


@frozen
class ServiceSpec:
    """A service that registered for backup: its exact annotation, its name and what it can do.

    ``flags`` are names of :class:`eseback.constants.RegisterFlags` in lower case.
    """

    annotation: str = INFORMATION_STORE
    display_name: str = ""
    flags: tuple[str, ...] = ("backup", "online_restore")


@frozen
class ServerSpec:
    """The server and what goes for all of its groups.

    ``neighbours`` are further Exchange computers of the domain: they stand in the node tree, and
    cannot be reached. ``seed`` fixes everything random. ``strict_reads`` passes the engine's own
    rules for reads on to the client (-1003 for what is not a multiple of the page). ``quirks``
    names known misbehaviour to show (:data:`esesim.topology.QUIRKS`); ``remote_streaming`` is the
    registry value that lets clients of other computers in where a version shuts them out.
    ``restore_files`` says who writes the files of a restore: the server, with a ``handle`` that
    HrESERestoreOpenFile gives out, or the client with file I/O, at ``file_level``.
    """

    name: str = "EXCHSRV1"
    profile: str = EXCHANGE_2003_SP1.name
    seed: int = 1
    organization: str = "Microsoft Exchange Server"
    neighbours: tuple[str, ...] = ()
    icons: bool = True
    strict_reads: bool = False
    quirks: tuple[str, ...] = ()
    remote_streaming: bool = False
    restore_files: str = HANDLE


@frozen
class Topology:
    """One server, the services on it and its storage groups, in order."""

    server: ServerSpec = ServerSpec()
    services: tuple[ServiceSpec, ...] = (ServiceSpec(),)
    groups: tuple[GroupSpec, ...] = ()

    def origin_of(self, store: StoreSpec) -> tuple[GroupSpec, StoreSpec] | None:
        """The store that one of the recovery storage group stands for; None if it stands alone."""
        wanted = store.recovery_of.casefold()
        for group in self.groups:
            for other in group.stores:
                if wanted and f"{group.name}/{other.name}".casefold() == wanted:
                    return group, other
        return None
