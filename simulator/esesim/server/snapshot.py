"""Snapshots of running servers: taken once, restored in a fraction of the time of a start.

A snapshot holds everything reachable from what is given (server, sessions, models), engines in the
middle of a backup included; restoring gives an independent copy. Bytes of files and whatever else
can't change are shared between the copies. It lives in memory and is never written anywhere.
"""

from __future__ import annotations

import io
import itertools
import pickle
import random
import threading
import weakref
from collections.abc import Iterable
from enum import Enum
from types import FunctionType, NoneType
from typing import Any, Final, Generic, TypeVar, cast
from uuid import UUID

import attrs

from eseback.order import BACKUP_ORDER, BACKUP_ORDER_2000

from ..volume.sparse import SparseBytes

T = TypeVar("T")
_RLOCK: Final = type(threading.RLock())
_LOCK: Final = type(threading.Lock())
_SHARED_BYTES_MIN: Final = 64
_CONSTANTS: Final = (int, float, str, bytes, Enum, UUID, NoneType, FunctionType, type)
_TABLES: Final = frozenset(map(id, (BACKUP_ORDER, BACKUP_ORDER_2000)))
"""Tables that nobody changes, by identity."""


class Snapshot(Generic[T]):
    """A copy of ``root`` as it is now, to make further copies of.

    Raises TypeError or pickle.PicklingError for what can't be copied, such as an open socket.
    """

    def __init__(self, root: T) -> None:
        buffer = io.BytesIO()
        pickler = _Pickler(buffer)
        pickler.dump(root)
        self._data = buffer.getvalue()
        self._shared = pickler.shared

    def restore(self) -> T:
        """An independent copy of the root."""
        return cast("T", _Unpickler(io.BytesIO(self._data), self._shared).load())


class _Pickler(pickle.Pickler):
    """Pickles mutable objects; the rest is put aside and shared."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, pickle.HIGHEST_PROTOCOL)
        self.shared: list[object] = []
        self._places: dict[int, int] = {}
        self._kept: list[object] = []  # so that no number of an object is used twice
        self._known: dict[int, bool] = {}
        self._fields: dict[type, tuple[str, ...]] = {}

    def persistent_id(self, obj: Any) -> int | None:
        """The place of a shared object; None for one that is copied."""
        kind = type(obj)
        if kind is SparseBytes:
            # The copy shares the chunks; whoever changes one first makes it its own.
            return self._put(obj, obj if id(obj) in self._places else obj.copy())
        if kind is dict and id(obj) in _TABLES:
            return self._put(obj, obj)
        if kind is _Shared:
            return self._put(obj, obj.value)
        if kind is bytes:
            return self._put(obj, obj) if len(obj) >= _SHARED_BYTES_MIN else None
        return self._put(obj, obj) if self._is_immutable(obj) else None

    def _is_immutable(self, obj: Any) -> bool:
        """Whether it is frozen attrs, and whatever it holds can't change either."""
        kind = type(obj)
        names = self._fields.get(kind)
        if names is None:
            names = self._fields[kind] = _frozen_fields(kind)
        if not names:
            return False
        known = self._known.get(id(obj))
        if known is None:
            known = all(self._is_constant(getattr(obj, name)) for name in names)
            self._known[id(obj)] = known
            self._kept.append(obj)
        return known

    def _is_constant(self, value: object) -> bool:
        if isinstance(value, tuple | frozenset):
            return all(map(self._is_constant, value))
        return isinstance(value, _CONSTANTS) or self._is_immutable(value)

    def _put(self, obj: object, kept: object) -> int:
        place = self._places.get(id(obj))
        if place is None:
            place = self._places[id(obj)] = len(self.shared)
            self.shared.append(kept)
            self._kept.append(obj)
        return place

    def reducer_override(self, obj: Any) -> Any:
        """How to make what pickle does not know, or knows only slowly."""
        kind = type(obj)
        if kind is _RLOCK:
            return threading.RLock, ()
        if kind is _LOCK:
            return threading.Lock, ()
        if kind is weakref.WeakSet:
            return _weak_set, (list(obj),)
        if kind is itertools.count:
            # Its next number stands in its text; pickling one is deprecated.
            return itertools.count, (int(repr(obj)[len("count(") : -1]),)
        if kind is random.Random:
            return _random, (_Shared(obj.getstate()),)
        return NotImplemented


class _Shared:
    """Wraps what is to be shared although its type alone does not say so."""

    __slots__ = ("value",)

    def __init__(self, value: object) -> None:
        self.value = value


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, shared: list[object]) -> None:
        super().__init__(file)
        self._shared = shared
        self._made: dict[int, SparseBytes] = {}

    def persistent_load(self, pid: Any) -> object:
        """The shared object of that place; bytes of files are copied, once for all users."""
        found = self._shared[pid]
        if type(found) is SparseBytes:
            made = self._made.get(pid)
            if made is None:
                made = self._made[pid] = found.copy()
            return made
        return found


def _weak_set(members: Iterable[object]) -> weakref.WeakSet[object]:
    return weakref.WeakSet(members)


def _random(state: tuple[Any, ...]) -> random.Random:
    made = random.Random.__new__(random.Random)
    made.setstate(state)
    return made


def _frozen_fields(kind: type) -> tuple[str, ...]:
    """The fields of a frozen attrs class; none for any other."""
    if not attrs.has(kind) or kind.__setattr__.__name__ != "_frozen_setattrs":
        return ()
    return tuple(attribute.name for attribute in attrs.fields(kind))
