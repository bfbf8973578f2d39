"""What the calls hand out: nodes, services, instances, databases and restore environments.

Frozen attrs classes; each field's native name stands in the class's docstring. Where the SDK's
printed layout and working code differ (DATABASE_BACKUP_INFO), this is the layout that works.
Counts that only serve C (`cDatabase`, `cIconDescription`, `m_cDatabases`) are lengths of tuples.
"""

from __future__ import annotations

import uuid

from attrs import field

from eseback import multistring
from eseback.constants import DatabaseFlags, NodeType, RecoverStatus, RegisterFlags
from eseback.data import frozen

__all__ = [
    "BackupNode",
    "DatabaseBackupInfo",
    "DependencyInfo",
    "IconDescription",
    "InstanceBackupInfo",
    "OpenedFile",
    "RegisteredInfo",
    "RestoreDatabase",
    "RestoreEnvironment",
    "RestoreFile",
]


def _unsigned(hresult: int) -> int:
    """HRESULT as unsigned 32 bits; ctypes hands out signed ones."""
    return hresult & 0xFFFFFFFF


@frozen
class IconDescription:
    """`ESE_ICON_DESCRIPTION` (ms878569): the bytes of an icon's bitmap (`ulSize`, `pvData`)."""

    data: bytes = b""


@frozen
class BackupNode:
    """`BACKUP_NODE_TREE` (ms878574): a computer in the tree of computers that can be backed up.

    name: `wszName`, display name. flags: `fFlags`. icon: `iconDescription`. children: the list
    that starts at `pChildNode` and continues over `pNextNode`.
    """

    name: str
    flags: NodeType
    icon: IconDescription = IconDescription()
    children: tuple[BackupNode, ...] = ()


@frozen
class RegisteredInfo:
    """`ESE_REGISTERED_INFO`: one service that registered for backup or restore.

    The C layout is in no public source; these are the values that a service is known to register
    (ESE source esebackinterop.cpp), so this record claims no layout.
    """

    display_name: str
    flags: RegisterFlags
    annotation: str
    guid: uuid.UUID


@frozen
class DatabaseBackupInfo:
    """`DATABASE_BACKUP_INFO` in the layout that working code uses.

    display_name: `wszDatabaseDisplayName`. streams: `wszDatabaseStreams`, full Windows paths,
    the .edb first, then the .stm where there is one. guid: `guidDatabase`. icon_index:
    `ulIconIndexDatabase`, index into the icons of the instance. flags: `fDatabaseFlags`.
    """

    display_name: str
    streams: tuple[str, ...]
    guid: uuid.UUID
    icon_index: int = 0
    flags: DatabaseFlags = DatabaseFlags.MOUNTED

    @property
    def stream_block(self) -> str:
        """`wszDatabaseStreams` as it travels: a multi-string, `EDB\\0\\0\\0` without an .stm."""
        return multistring.encode_streams(self.streams)

    @property
    def stream_characters(self) -> int:
        """`cwDatabaseStreams`: UTF-16 code units of the stream block, every NUL counted."""
        return multistring.utf16_length(self.stream_block)

    @property
    def mounted(self) -> bool:
        """Whether the database is mounted, and so can be backed up."""
        return DatabaseFlags.MOUNTED in self.flags


@frozen
class InstanceBackupInfo:
    """`INSTANCE_BACKUP_INFO` (ms878571): a running instance, that is a storage group.

    instance_id: `hInstanceId`, signed 64 bits, what `backup_setup` takes. instance_name:
    `wszInstanceName`. icon_index: `ulIconIndexInstance`. databases: `rgDatabase`.
    icons: `rgIconDescription`, may be empty.
    """

    instance_id: int
    instance_name: str
    icon_index: int = 0
    databases: tuple[DatabaseBackupInfo, ...] = ()
    icons: tuple[IconDescription, ...] = ()


@frozen
class DependencyInfo:
    """What `backup_get_dependency_info` returns (aa580951): `pwszInfo` is reserved, annotations
    are the services that this one depends on. Exchange declares none.
    """

    info: bytes = b""
    annotations: tuple[str, ...] = ()


@frozen
class OpenedFile:
    """A section of a file opened for backup: its handle (`rghFile`) and its size in bytes."""

    handle: int
    size: int


@frozen
class RestoreFile:
    """Answer to `restore_open_file`: a handle, or None for `hrRestoreAtFileLevel`.

    None is the usual answer and no error: the client writes the file itself, with file I/O.
    """

    handle: int | None

    @property
    def at_file_level(self) -> bool:
        """Whether the client has to write the file itself."""
        return self.handle is None


@frozen
class RestoreDatabase:
    """One database of a restore environment.

    display_name: `m_wszDatabaseDisplayName[i]`; guid: `m_rguidDatabase[i]`; source_streams:
    `m_wszDatabaseStreamsS[i]`, the files at backup time; destination_streams:
    `m_wszDatabaseStreamsD[i]`, where they are restored to.
    """

    display_name: str
    guid: uuid.UUID
    source_streams: tuple[str, ...]
    destination_streams: tuple[str, ...]


@frozen
class RestoreEnvironment:
    """`RESTORE_ENVIRONMENT` (ms878578): what a restore context knows, kept in restore.env.

    restore_log_path: `m_wszRestoreLogPath`, the temporary folder. source_instance_name:
    `m_wszSrcInstanceName`. databases: the parallel arrays, one record each.
    restore_instance_system_path, restore_instance_log_path: paths of the instance that recovers.
    target_instance_name: `m_wszTargetInstanceName`, running instance whose later logs are
    replayed, None without play-forward. gen_low, gen_high: `m_ulGenLow`, `m_ulGenHigh`, restored
    generations, 0 for none. log_base_name: `m_wszLogBaseName` ("E00"), None without logs.
    time_last_restore, time_last_recover: `time_t` seconds, 0 for never. status_last_recover,
    hr_last_recover: outcome of the last recovery (HRESULT, unsigned). annotation:
    `m_wszAnnotation`. server_name: `m_wszRestoreServerName`, later builds only.
    """

    restore_log_path: str
    source_instance_name: str
    databases: tuple[RestoreDatabase, ...] = ()
    restore_instance_system_path: str = ""
    restore_instance_log_path: str = ""
    target_instance_name: str | None = None
    gen_low: int = 0
    gen_high: int = 0
    log_base_name: str | None = None
    time_last_restore: int = 0
    status_last_recover: RecoverStatus = RecoverStatus.NOT_STARTED
    hr_last_recover: int = field(default=0, converter=_unsigned)
    time_last_recover: int = 0
    annotation: str = ""
    server_name: str | None = None

    def problems(self) -> tuple[str, ...]:
        """Rules that eseutil asserts of an environment and that this one breaks; empty if none.

        Not checked on construction: an environment read from a server may be wrong, and whoever
        shows it wants to see it all the same.
        """
        found: list[str] = []
        has_logs = self.log_base_name is not None
        if has_logs and not 0 < self.gen_low <= self.gen_high:
            found.append(
                f"log base name {self.log_base_name} with generations "
                f"{self.gen_low:#x}-{self.gen_high:#x}: expected 0 < low <= high"
            )
        if not has_logs and (self.gen_low or self.gen_high):
            found.append(
                f"generations {self.gen_low:#x}-{self.gen_high:#x} without a log base name"
            )
        for database in self.databases:
            if len(database.source_streams) != len(database.destination_streams):
                found.append(
                    f"database {database.display_name!r}: {len(database.source_streams)} source "
                    f"files, {len(database.destination_streams)} destination files"
                )
        return tuple(found)
