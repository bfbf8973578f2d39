"""A record of a transcript, read for the judge: arguments and results with types.

:mod:`esesim.transcript` writes and reads the lines; here is only what a judge wants to know of
one. Contexts and handles appear there as small numbers; one that the server never handed out
appears as a text, and here as -1.
"""

from __future__ import annotations

from typing import Any

from attrs import frozen

from eseback.constants import DatabaseFlags
from esesim.transcript import CallError, CallRecord

__all__ = [
    "CallError",
    "CallRecord",
    "Database",
    "Instance",
    "OpenedSection",
    "bytes_read",
    "names",
    "number",
    "opened",
    "prepared",
    "text",
    "what",
]

UNKNOWN = -1


@frozen
class Database:
    """A database as Prepare listed it: display name, streams (.edb first), whether it is mounted,
    and its GUID as a text.
    """

    name: str
    streams: tuple[str, ...]
    mounted: bool
    guid: str = ""


@frozen
class Instance:
    """A storage group as Prepare listed it: instance id, name, databases."""

    id: int
    name: str
    databases: tuple[Database, ...]


@frozen
class OpenedSection:
    """What an open returned: the handle, and the size of the file in bytes."""

    handle: int
    size: int


def what(record: CallRecord) -> str:
    """The call for people: its documented name without prefix, and the file it is about."""
    name = record.call.removeprefix("HrESEBackup").removeprefix("HrESE")
    file = text(record, "file_name")
    return f"{name}({base_name(file)})" if file else name


def base_name(windows_path: str) -> str:
    """The last part of a Windows path."""
    return windows_path.rpartition("\\")[2]


def number(record: CallRecord, name: str) -> int:
    """An integer argument; -1 when it is missing or something else."""
    value = record.arguments.get(name)
    return value if isinstance(value, int) else UNKNOWN


def text(record: CallRecord, name: str) -> str:
    """A text argument; empty when it is missing or something else."""
    value = record.arguments.get(name)
    return value if isinstance(value, str) else ""


def prepared(record: CallRecord) -> tuple[int, tuple[Instance, ...]]:
    """Context and instances that a successful ``backup_prepare`` returned."""
    result: dict[str, Any] = record.result
    return result["context"], tuple(_instance(plain) for plain in result["instances"])


def _instance(plain: dict[str, Any]) -> Instance:
    databases = tuple(
        Database(
            d["display_name"],
            tuple(d["streams"]),
            bool(d["flags"] & DatabaseFlags.MOUNTED),
            d.get("guid", ""),
        )
        for d in plain["databases"]
    )
    return Instance(plain["instance_id"], plain["instance_name"], databases)


def opened(record: CallRecord) -> OpenedSection:
    """The first section that a successful ``backup_open_file`` returned."""
    section: dict[str, int] = record.result[0]
    return OpenedSection(section["handle"], section["size"])


def names(record: CallRecord) -> tuple[str, ...]:
    """The file names that a successful call returned."""
    return tuple(record.result)


def bytes_read(record: CallRecord) -> tuple[int, str]:
    """Length and CRC-32 (hexadecimal) of what a successful ``backup_read_file`` placed."""
    result: dict[str, Any] = record.result
    return result["bytes"], result["crc32"]
