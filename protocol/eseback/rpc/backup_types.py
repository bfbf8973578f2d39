"""The structures of our interface: how each record of `eseback.structures` travels.

Names and order of fields are those of eseback.idl, and a test holds the two against each other.
Lists of files travel as multi-strings, as in the API itself. A tree of computers travels as a
list in which every node stands before its children and says how deep it is: a structure of
pointers would let a peer choose how deep the reader has to recurse.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from eseback import multistring
from eseback.constants import DatabaseFlags, NodeType, RecoverStatus, RegisterFlags
from eseback.rpc.errors import BadStubData, NotRepresentable
from eseback.rpc.ndr import GUID, HRESULT, HYPER, ULONG
from eseback.rpc.ndr_arrays import BYTES, NAME, WCHARS, Array, Unique
from eseback.rpc.ndr_struct import Count, Struct
from eseback.structures import (
    BackupNode,
    DatabaseBackupInfo,
    IconDescription,
    InstanceBackupInfo,
    OpenedFile,
    RegisteredInfo,
    RestoreDatabase,
    RestoreEnvironment,
)

__all__ = [
    "DATABASE",
    "ENVIRONMENT",
    "FILE",
    "ICON",
    "INSTANCE",
    "NODE",
    "OPTIONAL_STRING",
    "REGISTERED",
    "RESTORE_DATABASE",
    "STRUCTURES",
    "flatten_nodes",
    "join_streams",
    "join_strings",
    "split_strings",
    "unflatten_nodes",
]

_STRING: Final = Unique(NAME, required=True)
OPTIONAL_STRING: Final = Unique(NAME)
_OPTIONAL_BYTES: Final = Unique(BYTES, empty=b"")
_CHARACTERS: Final = Unique(WCHARS, required=True)


def join_strings(strings: Sequence[str]) -> str:
    """A list of files as a multi-string; NotRepresentable for what would end it early."""
    try:
        return multistring.encode(strings)
    except ValueError as error:
        raise NotRepresentable(str(error)) from None


def join_streams(streams: Sequence[str]) -> str:
    """Files of a database, with the place of a missing .stm kept (`EDB\\0\\0\\0`)."""
    if not streams:
        return join_strings(())
    try:
        return multistring.encode_streams(streams)
    except ValueError as error:
        raise NotRepresentable(str(error)) from None


def split_strings(block: str) -> tuple[str, ...]:
    """The list in a multi-string; BadStubData if it does not end."""
    try:
        return multistring.decode(block)
    except ValueError as error:
        raise BadStubData(str(error)) from None


def _take_icon(icon: IconDescription) -> tuple[Any, ...]:
    return (icon.data,)


ICON: Final = Struct(
    "EB_ICON",
    (("size", Count("data")), ("data", _OPTIONAL_BYTES)),
    IconDescription,
    _take_icon,
)

# depth, flags, name, icon: see flatten_nodes.
NODE: Final = Struct(
    "EB_NODE",
    (
        ("depth", ULONG),
        ("flags", ULONG),
        ("name", _STRING),
        ("iconSize", Count("icon")),
        ("icon", _OPTIONAL_BYTES),
    ),
)


def _make_registered(name: str, flags: int, annotation: str, guid: Any) -> RegisteredInfo:
    return RegisteredInfo(name, RegisterFlags(flags), annotation, guid)


def _take_registered(info: RegisteredInfo) -> tuple[Any, ...]:
    return info.display_name, info.flags, info.annotation, info.guid


REGISTERED: Final = Struct(
    "EB_REGISTERED",
    (("displayName", _STRING), ("flags", ULONG), ("annotation", _STRING), ("guid", GUID)),
    _make_registered,
    _take_registered,
)


def _make_database(
    name: str, streams: str, guid: Any, icon_index: int, flags: int
) -> DatabaseBackupInfo:
    return DatabaseBackupInfo(name, split_strings(streams), guid, icon_index, DatabaseFlags(flags))


def _take_database(info: DatabaseBackupInfo) -> tuple[Any, ...]:
    streams = join_streams(info.streams)
    return info.display_name, streams, info.guid, info.icon_index, info.flags


DATABASE: Final = Struct(
    "EB_DATABASE",
    (
        ("displayName", _STRING),
        ("streamCharacters", Count("streams")),
        ("streams", _CHARACTERS),
        ("guid", GUID),
        ("iconIndex", ULONG),
        ("flags", ULONG),
    ),
    _make_database,
    _take_database,
)


def _make_instance(
    instance_id: int, name: str, icon_index: int, databases: Any, icons: Any
) -> InstanceBackupInfo:
    return InstanceBackupInfo(instance_id, name, icon_index, databases, icons)


def _take_instance(info: InstanceBackupInfo) -> tuple[Any, ...]:
    return info.instance_id, info.instance_name, info.icon_index, info.databases, info.icons


INSTANCE: Final = Struct(
    "EB_INSTANCE",
    (
        ("id", HYPER),
        ("name", _STRING),
        ("iconIndex", ULONG),
        ("databaseCount", Count("databases")),
        ("databases", Unique(Array(DATABASE), empty=())),
        ("iconCount", Count("icons")),
        ("icons", Unique(Array(ICON), empty=())),
    ),
    _make_instance,
    _take_instance,
)


def _take_file(opened: OpenedFile) -> tuple[Any, ...]:
    return opened.handle, opened.size


FILE: Final = Struct("EB_FILE", (("handle", HYPER), ("size", HYPER)), OpenedFile, _take_file)


def _make_restore_database(name: str, guid: Any, source: str, target: str) -> RestoreDatabase:
    return RestoreDatabase(name, guid, split_strings(source), split_strings(target))


def _take_restore_database(database: RestoreDatabase) -> tuple[Any, ...]:
    source = join_streams(database.source_streams)
    target = join_streams(database.destination_streams)
    return database.display_name, database.guid, source, target


RESTORE_DATABASE: Final = Struct(
    "EB_RESTORE_DATABASE",
    (
        ("displayName", _STRING),
        ("guid", GUID),
        ("sourceCharacters", Count("sourceStreams")),
        ("sourceStreams", _CHARACTERS),
        ("destinationCharacters", Count("destinationStreams")),
        ("destinationStreams", _CHARACTERS),
    ),
    _make_restore_database,
    _take_restore_database,
)

_ENVIRONMENT_FIELDS: Final = (
    ("restore_log_path", "restoreLogPath", _STRING),
    ("source_instance_name", "sourceInstanceName", _STRING),
    ("databases", "databases", Unique(Array(RESTORE_DATABASE), empty=())),
    ("restore_instance_system_path", "restoreInstanceSystemPath", _STRING),
    ("restore_instance_log_path", "restoreInstanceLogPath", _STRING),
    ("target_instance_name", "targetInstanceName", OPTIONAL_STRING),
    ("gen_low", "genLow", ULONG),
    ("gen_high", "genHigh", ULONG),
    ("log_base_name", "logBaseName", OPTIONAL_STRING),
    ("time_last_restore", "timeLastRestore", HYPER),
    ("status_last_recover", "statusLastRecover", ULONG),
    ("hr_last_recover", "hrLastRecover", HRESULT),
    ("time_last_recover", "timeLastRecover", HYPER),
    ("annotation", "annotation", _STRING),
    ("server_name", "serverName", OPTIONAL_STRING),
)
_ATTRIBUTES: Final = tuple(name for name, _, _ in _ENVIRONMENT_FIELDS)
_STATUSES: Final = {int(status): status for status in RecoverStatus}


def _make_environment(*values: Any) -> RestoreEnvironment:
    named = dict(zip(_ATTRIBUTES, values, strict=True))
    status = named["status_last_recover"]
    # eseutil shows a number that is no status as this one.
    named["status_last_recover"] = _STATUSES.get(status, RecoverStatus.INVALID)
    return RestoreEnvironment(**named)


def _take_environment(environment: RestoreEnvironment) -> tuple[Any, ...]:
    return tuple(getattr(environment, name) for name in _ATTRIBUTES)


ENVIRONMENT: Final = Struct(
    "EB_ENVIRONMENT",
    (
        *((idl, kind) for _, idl, kind in _ENVIRONMENT_FIELDS[:2]),
        ("databaseCount", Count("databases")),
        *((idl, kind) for _, idl, kind in _ENVIRONMENT_FIELDS[2:]),
    ),
    _make_environment,
    _take_environment,
)

STRUCTURES: Final = (
    ICON,
    NODE,
    REGISTERED,
    DATABASE,
    INSTANCE,
    FILE,
    RESTORE_DATABASE,
    ENVIRONMENT,
)
"""Every structure of the interface, those that others contain before them."""


def flatten_nodes(root: BackupNode) -> tuple[tuple[Any, ...], ...]:
    """A tree as the list of its nodes, each before its children: depth, flags, name, icon."""
    rows = []
    waiting = [(0, root)]
    while waiting:
        depth, node = waiting.pop()
        rows.append((depth, node.flags, node.name, node.icon.data))
        waiting.extend((depth + 1, child) for child in reversed(node.children))
    return tuple(rows)


def unflatten_nodes(rows: Sequence[tuple[int, int, str, bytes]]) -> BackupNode:
    """The tree of a list; BadStubData unless it is the list of exactly one tree."""
    # Last node first: when a node is met, its children are complete and wait at its depth + 1.
    waiting: dict[int, list[BackupNode]] = {}
    depth_after = 0
    for depth, flags, name, icon in reversed(rows):
        if depth_after > depth + 1:
            raise BadStubData(f"node {name!r} at depth {depth} before one at {depth_after}")
        children = tuple(reversed(waiting.pop(depth + 1, ())))
        node = BackupNode(name, NodeType(flags), IconDescription(icon), children)
        waiting.setdefault(depth, []).append(node)
        depth_after = depth
    roots = waiting.pop(0, [])
    if len(roots) != 1 or waiting:
        raise BadStubData(f"{len(rows)} nodes that make {len(roots)} trees")
    return roots[0]
