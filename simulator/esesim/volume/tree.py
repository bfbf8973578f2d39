"""The directories of a volume in memory, and which of their changes could still be lost."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from functools import lru_cache
from typing import TypeAlias

from attrs import field

from eseback.data import define, frozen
from esesim.volume.base import VolumeError, VolumeFileNotFound, split_path
from esesim.volume.crash import CrashableBytes
from esesim.windows_path import path_key


@define(eq=False)
class Directory:
    """Entries by the key of their name, so that case doesn't matter."""

    entries: dict[str, Entry] = field(factory=dict)


Node: TypeAlias = CrashableBytes | Directory


@frozen(eq=False)
class Entry:
    """A name as it was written, and what it names."""

    name: str
    node: Node


Change: TypeAlias = tuple[Directory, str, Entry | None]
"""A directory, the key of a name, and what stands (or is to stand) there."""


@frozen(eq=False)
class _Pending:
    """A change of names that isn't durable: what it is about, and what stood there before."""

    node: Node
    before: tuple[Change, ...]


class NameTree:
    """All names of a volume. Changes are in order, and a crash takes back the last ones."""

    def __init__(self) -> None:
        self._root = Directory()
        self._pending: list[_Pending] = []
        self._lock = threading.Lock()

    def directory(self, path: str) -> Directory:
        """The directory of that path."""
        return self._walk_down(_split(path)[1], path)

    def _walk_down(self, keys: tuple[str, ...], path: str) -> Directory:
        directory = self._root
        for key in keys:
            entry = directory.entries.get(key)
            if entry is None or not isinstance(entry.node, Directory):
                raise VolumeFileNotFound(path)
            directory = entry.node
        return directory

    def place(self, path: str) -> tuple[Directory, str, Entry | None]:
        """Where a file is or would be: its directory, its name, its entry if it exists."""
        if not path:
            split_path(path)  # Raises: the root is no file.
        names, keys = _split(path)
        directory = self._walk_down(keys[:-1], path)
        entry = directory.entries.get(keys[-1])
        if entry is not None and isinstance(entry.node, Directory):
            raise VolumeError(f"{path!r} is a directory")
        return directory, names[-1], entry

    def file(self, path: str) -> CrashableBytes:
        """The file of that path."""
        _, _, entry = self.place(path)
        if entry is None or isinstance(entry.node, Directory):
            raise VolumeFileNotFound(path)
        return entry.node

    def make_directory(self, path: str) -> None:
        """Make a directory and those above it."""
        directory = self._root
        for name in split_path(path, root_allowed=True):
            entry = directory.entries.get(path_key(name))
            if entry is None:
                entry = Entry(name, Directory())
                self.change(entry.node, (directory, path_key(name), entry))
            if not isinstance(entry.node, Directory):
                raise VolumeError(f"{path!r}: {name!r} is a file")
            directory = entry.node

    def change(self, node: Node, *changes: Change) -> None:
        """Set or remove entries in one step that is about ``node``."""
        with self._lock:
            before = []
            for directory, key, entry in changes:
                before.append((directory, key, directory.entries.get(key)))
                _set_entry(directory, key, entry)
            self._pending.append(_Pending(node, tuple(before)))

    def sync(self, node: Node | None) -> None:
        """Make all changes durable, or those up to the last one that is about ``node``."""
        if not self._pending:
            return
        with self._lock:
            end = len(self._pending)
            while node is not None and end and self._pending[end - 1].node is not node:
                end -= 1
            del self._pending[:end]

    def crash(self, rng: random.Random) -> tuple[int, int]:
        """Take back the last changes, as many as ``rng`` says: how many were kept and lost."""
        kept = rng.randint(0, len(self._pending))
        lost = self._pending[kept:]
        for pending in reversed(lost):
            for directory, key, entry in reversed(pending.before):
                _set_entry(directory, key, entry)
        self._pending.clear()
        return kept, len(lost)

    def files(self) -> list[tuple[str, CrashableBytes]]:
        """All files with their paths, in the order of these."""
        return sorted(_files_below(self._root, ""), key=lambda found: found[0])

    def copy(self) -> NameTree:
        """The same tree with copies of all files, and the same changes not yet durable."""
        other = NameTree()
        copies: dict[int, Node] = {}
        with self._lock:
            other._root = _copy_directory(self._root, copies)
            other._pending = [
                _Pending(
                    _copy_node(pending.node, copies),
                    tuple(
                        (_copy_directory(directory, copies), key, _copy_entry(entry, copies))
                        for directory, key, entry in pending.before
                    ),
                )
                for pending in self._pending
            ]
        return other


@lru_cache(maxsize=4096)  # every use of a file asks again, and there are few paths
def _split(path: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names of a path, and their keys; both are empty for the root."""
    names = split_path(path, root_allowed=True)
    return names, tuple(map(path_key, names))


def _set_entry(directory: Directory, key: str, entry: Entry | None) -> None:
    if entry is None:
        directory.entries.pop(key, None)
    else:
        directory.entries[key] = entry


def _files_below(directory: Directory, prefix: str) -> Iterator[tuple[str, CrashableBytes]]:
    for entry in directory.entries.values():
        if isinstance(entry.node, Directory):
            yield from _files_below(entry.node, f"{prefix}{entry.name}/")
        else:
            yield prefix + entry.name, entry.node


def _copy_directory(directory: Directory, copies: dict[int, Node]) -> Directory:
    """The copy of a directory, made once; ``copies`` holds them by the id of the original."""
    copy = copies.get(id(directory))
    if not isinstance(copy, Directory):
        copy = copies[id(directory)] = Directory()
        for key, entry in directory.entries.items():
            copy.entries[key] = Entry(entry.name, _copy_node(entry.node, copies))
    return copy


def _copy_node(node: Node, copies: dict[int, Node]) -> Node:
    if isinstance(node, Directory):
        return _copy_directory(node, copies)
    copy = copies.get(id(node))
    if copy is None:
        copy = copies[id(node)] = node.copy()
    return copy


def _copy_entry(entry: Entry | None, copies: dict[int, Node]) -> Entry | None:
    return entry and Entry(entry.name, _copy_node(entry.node, copies))
