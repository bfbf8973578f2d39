"""Digests: two players with equal digests answer every further step alike.

A digest holds whatever later answers can depend on: the engine's backup with all that it notes
(walked as a whole, so that nothing added there is forgotten), contexts and their open files, logs,
checkpoint, headers of the databases, mounted stores, the model, and what the clients know. It
leaves out clocks and times, the numbers of handles (only whether a client holds the right one), and
the bytes of files. That this is enough is shown by a test: to length 3, all sequences are carried
out without any reduction, and give what the reduced enumeration says.
"""

from __future__ import annotations

from collections.abc import Hashable
from enum import Enum
from functools import partial
from types import MethodType
from typing import Any, Final

from eseback.formats.fields import LogTime
from eseconform.explore.player import Player
from esesim.engine.database import Database
from esesim.engine.instance import Instance
from esesim.engine.streaming import StreamingFile
from esesim.exchange import InformationStore, StorageGroup
from esesim.session import Session

_PLAIN: Final = (int, str, Enum, type(None))
_LEFT_OUT: Final = frozenset(("handle", "_handle", "file_handle", "engine_handle", "_order"))
"""Fields that count what was handed out, and the table of the order of calls, which never changes.
"""

_ELSEWHERE: Final = (Instance, StorageGroup, InformationStore, StreamingFile, LogTime, partial)
"""What is left out, or reached from everywhere and stands in the digest of its group."""


def digest(player: Player) -> Hashable:
    """All that the answers to further steps can depend on."""
    groups = tuple(_group(group) for group in player.stage.server.groups)
    clients = tuple(
        (
            client.logs,
            client.taken.group,
            client.taken.full,
            frozenset(client.taken.files),
            client.taken.reading,
            client.taken.left,
        )
        for client in player.stage.clients
    )
    sessions = tuple(_session(client.session) for client in player.stage.clients)
    held = tuple(
        tuple(client.handle == context.file.handle for client in player.stage.clients)
        for context in player.model.contexts
        if context.file is not None
    )
    return groups, clients, sessions, held, player.model.key()


def _group(group: StorageGroup) -> Hashable:
    instance = group.instance
    if instance is None:
        return group.mounted
    log, files = instance.log, instance.files
    databases = tuple(
        (
            database.edb,
            database.header.state,
            _walk(database.header.bkinfo_full_prev),
            _walk(database.header.bkinfo_inc_prev),
            database.copy is None,
        )
        for database in instance.databases.values()
    )
    return (
        group.mounted,
        databases,
        tuple(files.closed_generations()),
        log.generation,
        log.tail,
        log.is_flushed,
        instance.checkpoint.lgpos_checkpoint.generation,
        instance.running,
        _walk(instance.backup),
        group.backup_owner is None,
    )


def _session(session: Session) -> Hashable:
    # Contexts in the order in which they were handed out, whatever their numbers.
    contexts = vars(session)["_contexts"].values()
    return tuple(
        (
            _walk(held),
            held.group is not None and held.group.backup_owner is held,
            held.group is not None
            and held.group.instance is not None
            and held.engine_handle == vars(held.group.instance.backup)["_handle"],
        )
        for held in contexts
    )


def _walk(value: Any) -> Hashable:
    """An object as nested tuples, down to plain values; what is left out is said above."""
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        return len(value)
    if isinstance(value, tuple | list):
        return tuple(map(_walk, value))
    if isinstance(value, set | frozenset):
        return frozenset(map(_walk, value))
    if isinstance(value, dict):
        return tuple((_walk(key), _walk(item)) for key, item in value.items())
    if isinstance(value, MethodType):
        return value.__name__, _walk(value.__self__)
    if isinstance(value, Database):
        return value.dbid
    if isinstance(value, _ELSEWHERE):
        return type(value).__name__
    return type(value).__name__, tuple(
        (name, _walk(item)) for name, item in _fields(value) if name not in _LEFT_OUT
    )


def _fields(value: object) -> list[tuple[str, Any]]:
    """The attributes of an object of ours; none of any other, such as an open file."""
    kind = type(value)
    if not kind.__module__.startswith(("esesim.engine", "esesim.session", "eseback")):
        return []
    names = {name for base in kind.__mro__ for name in getattr(base, "__slots__", ())}
    names.discard("__weakref__")
    names.update(getattr(value, "__dict__", ()))
    return [(name, getattr(value, name)) for name in sorted(names) if hasattr(value, name)]
