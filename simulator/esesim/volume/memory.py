"""A volume in memory: sparse, quick to copy, and able to lose power."""

from __future__ import annotations

import random
import weakref
from typing import Final

from esesim.volume.base import (
    Lender,
    Lent,
    Readable,
    VolumeError,
    VolumeFile,
    Writable,
    check_range,
    split_path,
)
from esesim.volume.crash import CrashableBytes, CrashReport, PowerLoss
from esesim.volume.generated import Generated, GeneratedBytes
from esesim.volume.tree import Entry, NameTree
from esesim.windows_path import path_key

SECTOR_SIZE: Final = 512


class MemoryVolume:
    """A ``Volume`` in memory. Nothing it holds takes more room than what was written to it.

    It knows what would survive a loss of power: ``fail_after_writes`` plans one, ``crash`` lets it
    happen. ``sector`` is the unit in bytes that a disk writes as a whole. Different files may be
    used by different threads at a time, one file only by one.
    """

    def __init__(self, sector: int = SECTOR_SIZE) -> None:
        self._sector = sector
        self._names = NameTree()
        self._handles: weakref.WeakSet[_MemoryFile] = weakref.WeakSet()
        self._changes_left: int | None = None
        self._power_is_out = False

    def create(self, path: str, size: int = 0) -> VolumeFile:
        """See ``Volume``."""
        check_range(0, size)
        self._before_change()
        directory, name, existing = self._names.place(path)
        if existing is None:
            node = CrashableBytes.empty(size)
            self._names.change(node, (directory, path_key(name), Entry(name, node)))
        else:
            node = self._names.file(path)
            node.resize(0)
            node.resize(size)
        self._after_change()
        return self._handle(node)

    def create_generated(self, path: str, size: int, source: Generated) -> VolumeFile:
        """See ``Volume``. A file that exists is replaced; those who have it open keep the old."""
        check_range(0, size)
        self._before_change()
        directory, name, existing = self._names.place(path)
        node = CrashableBytes(GeneratedBytes(source, size), [])
        entry = Entry(name if existing is None else existing.name, node)
        self._names.change(node, (directory, path_key(name), entry))
        self._after_change()
        return self._handle(node)

    def open(self, path: str) -> VolumeFile:
        """See ``Volume``."""
        return self._handle(self._names.file(path))

    def exists(self, path: str) -> bool:
        """See ``Volume``."""
        split_path(path)
        try:
            self._names.file(path)
        except VolumeError:
            return False
        return True

    def size(self, path: str) -> int:
        """See ``Volume``."""
        return self._names.file(path).content.size

    def delete(self, path: str) -> None:
        """See ``Volume``."""
        self._before_change()
        node = self._names.file(path)
        directory, name, _ = self._names.place(path)
        self._names.change(node, (directory, path_key(name), None))
        self._after_change()

    def rename(self, old: str, new: str) -> None:
        """See ``Volume``."""
        self._before_change()
        node = self._names.file(old)
        old_directory, old_name, _ = self._names.place(old)
        new_directory, new_name, replaced = self._names.place(new)
        if replaced is not None and replaced.node is not node:
            new_name = replaced.name
        self._names.change(
            node,
            (old_directory, path_key(old_name), None),
            (new_directory, path_key(new_name), Entry(new_name, node)),
        )
        self._after_change()

    def list(self, directory: str) -> list[str]:
        """See ``Volume``."""
        entries = self._names.directory(directory).entries.values()
        return sorted(entry.name for entry in entries if isinstance(entry.node, CrashableBytes))

    def make_directory(self, path: str) -> None:
        """See ``Volume``."""
        self._before_change()
        self._names.make_directory(path)
        self._after_change()

    def sync_directory(self, path: str) -> None:
        """See ``Volume``. Makes the changes of names of all directories durable."""
        self._before_change()
        self._names.directory(path)
        self._names.sync(None)

    def snapshot(self) -> MemoryVolume:
        """An independent volume with the same files, and the same of them not yet durable.

        Quick and small: bytes are shared until one side changes them. The new volume has power and
        no open files.
        """
        other = MemoryVolume(self._sector)
        other._names = self._names.copy()
        return other

    def fail_after_writes(self, count: int) -> None:
        """Plan a loss of power: during the ``count``-th change from now, of any file or directory.

        That change is under way when the power goes (so a write may be torn, lost or whole); it and
        every later change or sync raise ``PowerLoss`` until ``crash`` is called.
        """
        if count < 1:
            raise ValueError(f"power can fail during change 1 or a later one, not {count}")
        self._changes_left = count

    def crash(self, rng: random.Random) -> CrashReport:
        """Lose what isn't durable, as ``rng`` decides, and have power again. Closes all files."""
        for handle in list(self._handles):
            handle.close()
        self._changes_left = None
        self._power_is_out = False
        names_kept, names_lost = self._names.crash(rng)
        kept = torn = lost = 0
        torn_paths = []
        for path, node in self._names.files():
            node_kept, node_torn, node_lost = node.crash(rng, self._sector)
            kept += node_kept
            torn += node_torn
            lost += node_lost
            if node_torn:
                torn_paths.append(path)
        return CrashReport(kept, torn, lost, names_kept, names_lost, tuple(torn_paths))

    def memory_used(self) -> int:
        """Bytes that the contents of all files take, those shared with a snapshot included."""
        return sum(node.content.memory_used() for _, node in self._names.files())

    def _before_change(self) -> None:
        if self._power_is_out:
            raise PowerLoss("the volume has no power")

    def _after_change(self) -> None:
        if self._changes_left is not None:
            self._changes_left -= 1
            if not self._changes_left:
                self._power_is_out = True
                raise PowerLoss("the power failed during this change")

    def _sync(self, node: CrashableBytes) -> None:
        self._before_change()
        node.sync()
        self._names.sync(node)

    def _handle(self, node: CrashableBytes) -> VolumeFile:
        handle = _MemoryFile(self, node)
        self._handles.add(handle)
        return handle


class _MemoryFile:
    """An open file of a ``MemoryVolume``; see ``VolumeFile``."""

    __slots__ = ("__weakref__", "_node", "_volume")

    def __init__(self, volume: MemoryVolume, node: CrashableBytes) -> None:
        self._volume = volume
        self._node: CrashableBytes | None = node

    def _open_node(self) -> CrashableBytes:
        node = self._node
        if node is None:
            raise VolumeError("the file was closed, by its user or by a crash")
        return node

    @property
    def size(self) -> int:
        """See ``VolumeFile``."""
        return self._open_node().content.size

    def read_into(self, offset: int, buffer: Writable) -> int:
        """See ``VolumeFile``."""
        if offset < 0:
            check_range(offset, 0)
        return self._open_node().content.read_into(offset, buffer)

    def read(self, offset: int, size: int) -> bytes:
        """See ``VolumeFile``."""
        check_range(offset, size)
        return self._open_node().content.read(offset, size)

    def lend(self, offset: int, size: int) -> Lent | None:
        """See ``VolumeFile``."""
        if offset < 0 or size < 0:
            check_range(offset, size)
        node = self._node
        return (self._open_node() if node is None else node).content.lend(offset, size)

    @property
    def lender(self) -> Lender:
        """See ``VolumeFile``."""
        return self._open_node().content.lender

    def generated(self, offset: int, size: int) -> bool:
        """See ``VolumeFile``."""
        return self._open_node().content.generated(offset, size)

    def write(self, offset: int, data: Readable) -> None:
        """See ``VolumeFile``."""
        check_range(offset, len(data))
        node = self._open_node()
        self._volume._before_change()
        node.write(offset, data)
        self._volume._after_change()

    def resize(self, size: int) -> None:
        """See ``VolumeFile``."""
        check_range(0, size)
        node = self._open_node()
        self._volume._before_change()
        node.resize(size)
        self._volume._after_change()

    def sync(self) -> None:
        """See ``VolumeFile``."""
        self._volume._sync(self._open_node())

    def close(self) -> None:
        """See ``VolumeFile``."""
        self._node = None
