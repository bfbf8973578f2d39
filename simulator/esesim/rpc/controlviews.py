"""What an administrator is told of a server, as plain data that JSON can hold.

Each function takes the lock of a storage group while it looks at it, and no longer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, Final

from eseback.formats.dbheader import DatabaseHeader
from eseback.formats.fields import BkInfo

from ..engine.database import read_header
from ..engine.errors import JetError
from ..engine.ranges import backed_up_to
from ..engine.table import Row
from ..exchange import StorageGroup
from ..server import SimulatedServer
from ..topology import StoreSpec
from ..volume import VolumeError
from ..windows_path import to_volume_path

_NO_TABLES: Final = {"Folder": 0, "Msg": 0}
Plain = dict[str, Any]


def group_state(group: StorageGroup) -> Plain:
    """A storage group: its stores, the backup that runs, where its log stands."""
    with group.lock:
        instance = group.instance
        state = None if instance is None else instance.backup.state
        running = state is not None and state.running
        checkpoint = None if instance is None else instance.checkpoint.lgpos_checkpoint
        return {
            "group": group.name,
            "running": instance is not None,
            "recovery": group.spec.recovery,
            "backup": state.name.lower() if running and state is not None else None,
            "file_open": running and state is not None and state.file_open,
            "generation": None if instance is None else instance.log.generation,
            "logs": _span([] if instance is None else instance.files.closed_generations()),
            "checkpoint": None if checkpoint is None else checkpoint.generation,
            "clock": group.clock.now(),
            "stores": [
                {
                    "store": store.name,
                    "mounted": group.is_mounted(store.name),
                    "overwritable": group.is_overwritable(store.name),
                    "files": list(store.streams),
                }
                for store in group.spec.stores
            ],
        }


def ledger(server: SimulatedServer, group: StorageGroup) -> Iterator[Plain]:
    """What is committed in each store of a group, and what backups bring back of it."""
    for store in group.spec.stores:
        with group.lock:
            mounted = group.is_mounted(store.name)
            header = _header(server, group, store)
            commits = server.journal.commits(store.edb)
            rows = server.journal.rows(store.edb)
            instance = group.instance
            logs = _span([] if instance is None else instance.files.closed_generations())
        restorable = None if header is None else _restorable_to(header)
        yield {
            "group": group.name,
            "store": store.name,
            "mounted": mounted,
            "rows": _NO_TABLES | {table: len(found) for table, found in rows.items()},
            "commits": len(commits),
            "last_commit": commits[-1].generation if commits else None,
            "full_backup": None if header is None else _range(header.bkinfo_full_prev),
            "incremental_backup": None if header is None else _range(header.bkinfo_inc_prev),
            "copy_backup": None if header is None else _range(header.bkinfo_copy_prev),
            "differential_backup": None if header is None else _range(header.bkinfo_diff_prev),
            "restorable_to": restorable,
            "commits_after": sum(1 for c in commits if c.generation > (restorable or -1)),
            "logs": logs,
        }


def journal(
    server: SimulatedServer, group: StorageGroup, store: StoreSpec, generation: int | None
) -> list[Plain]:
    """The committed rows of a store, by table and key; of binary columns length and digest."""
    with group.lock:
        tables = server.journal.rows(store.edb, generation)
    return [
        {"table": table, "key": key.hex(), "row": _plain_row(tables[table][key])}
        for table in sorted(tables)
        for key in sorted(tables[table])
    ]


def _header(
    server: SimulatedServer, group: StorageGroup, store: StoreSpec
) -> DatabaseHeader | None:
    """The header of a store's database, as it is in use or on disk; None without a readable one."""
    if group.instance is not None:
        for database in group.instance.databases.values():
            if database.edb.casefold() == store.edb.casefold():
                return database.header
    path = to_volume_path(store.edb)
    try:
        return read_header(server.volume, path) if server.volume.exists(path) else None
    except (JetError, VolumeError):
        return None


def _restorable_to(header: DatabaseHeader) -> int | None:
    """The last generation that a backup brings back, of those that the database tells of.

    Whether the client still has what it was given, no server knows.
    """
    others = header.bkinfo_copy_prev.gen_high, header.bkinfo_diff_prev.gen_high
    return max(backed_up_to(header), *others) or None


def _range(info: BkInfo) -> list[int] | None:
    return [info.gen_low, info.gen_high] if info.gen_high else None


def _span(generations: list[int]) -> list[int] | None:
    return [generations[0], generations[-1]] if generations else None


def _plain_row(row: Row) -> Plain:
    return {name: _plain_column(value) for name, value in row.items()}


def _plain_column(value: object) -> object:
    if isinstance(value, bytes | bytearray | memoryview):
        return {"bytes": len(value), "sha256": hashlib.sha256(value).hexdigest()}
    return value
