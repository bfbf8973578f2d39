"""What a volume is: the interface, its errors, and the check of its paths."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

from esesim.windows_path import component_error

if TYPE_CHECKING:
    from esesim.volume.generated import Generated

Writable: TypeAlias = bytearray | memoryview
"""Where a read puts its bytes; a memoryview must be one of plain bytes."""
Lent: TypeAlias = list[memoryview]
"""Bytes in order, read-only, that nobody changes any more."""
Readable: TypeAlias = bytes | bytearray | memoryview
"""What a write takes its bytes from."""

FILE_SIZE_MAX: Final = (1 << 63) - 1


class VolumeError(Exception):
    """A volume can't do what it was asked to do: a bad path, a directory in the place of a file."""


class VolumeFileNotFound(VolumeError, FileNotFoundError):
    """There is no such file, or no such directory."""

    def __init__(self, path: str) -> None:
        super().__init__(f"{path!r} does not exist on the volume")
        self.path = path


class Lender(Protocol):
    """Where lent bytes lie. While ``changes`` stays, what was lent is what would be lent now."""

    @property
    def changes(self) -> int:
        """How often anything was written, or the size was changed."""
        ...


class VolumeFile(Protocol):
    """An open file. Offsets and sizes are bytes; a negative one is a ``ValueError``.

    After ``close()`` everything but ``close()`` raises ``VolumeError``.
    """

    @property
    def size(self) -> int:
        """Current size."""
        ...

    def read_into(self, offset: int, buffer: Writable) -> int:
        """Fill ``buffer`` from ``offset`` on; the number of bytes, less only at the end of file."""
        ...

    def read(self, offset: int, size: int) -> bytes:
        """Up to ``size`` bytes from ``offset`` on, less only at the end of file."""
        ...

    def lend(self, offset: int, size: int) -> Lent | None:
        """The bytes that ``read`` would copy, as they are at this moment and will stay.

        None where they lie in no memory of the volume, or change in it: they can only be copied.
        """
        ...

    @property
    def lender(self) -> Lender | None:
        """Where ``lend`` takes its bytes from; None if it never gives any."""
        ...

    def generated(self, offset: int, size: int) -> bool:
        """Whether all of these bytes are made by rule and were never written."""
        ...

    def write(self, offset: int, data: Readable) -> None:
        """Write all of ``data`` at ``offset``; the file grows as needed, a gap reads as zeros."""
        ...

    def resize(self, size: int) -> None:
        """Cut the file off, or let it grow by zeros that take no room."""
        ...

    def sync(self) -> None:
        """Return when all that was written to this file survives a loss of power."""
        ...

    def close(self) -> None:
        """Give the file back; closing twice is allowed. Does not sync."""
        ...


class Volume(Protocol):
    """Files below one root. Paths are relative, with "/" between names: ``C/mdbdata/priv1.edb``.

    Names keep their case and are found without regard to it, as on NTFS. A path that could leave
    the root, or that Windows would not allow, is a ``VolumeError``; a missing file or directory is
    a ``VolumeFileNotFound``. The root itself is the path "".
    """

    def create(self, path: str, size: int = 0) -> VolumeFile:
        """Make a file of ``size`` zero bytes and open it. Its directory must exist.

        A file that exists keeps its name and becomes zeros, for those who have it open, too.
        """
        ...

    def create_generated(self, path: str, size: int, source: Generated) -> VolumeFile:
        """Make a file as ``create`` does, a part of which ``source`` makes while it is read.

        It takes no room for that part; what is written there is kept, as anywhere else.
        """
        ...

    def open(self, path: str) -> VolumeFile:
        """Open a file that exists."""
        ...

    def exists(self, path: str) -> bool:
        """Whether there is a file (not a directory) of that name."""
        ...

    def size(self, path: str) -> int:
        """Size of a file in bytes."""
        ...

    def delete(self, path: str) -> None:
        """Remove a file."""
        ...

    def rename(self, old: str, new: str) -> None:
        """Give a file another path; a file that was there is replaced in the same step."""
        ...

    def list(self, directory: str) -> list[str]:
        """Names of the files (not directories) in a directory, sorted."""
        ...

    def make_directory(self, path: str) -> None:
        """Make a directory and those above it; existing ones are fine."""
        ...

    def sync_directory(self, path: str) -> None:
        """Return when creations, deletions and renames in it survive a loss of power."""
        ...


@lru_cache(maxsize=4096)
def split_path(path: str, *, root_allowed: bool = False) -> tuple[str, ...]:
    """The names of a volume path, checked. ``VolumeError`` if it is not one."""
    if not path and root_allowed:
        return ()
    names = tuple(path.split("/"))
    for name in names:
        if reason := component_error(name):
            raise VolumeError(f"path {path!r}: {reason}")
    return names


def check_range(offset: int, size: int) -> None:
    """``ValueError`` if these aren't an offset and a size of bytes in a file."""
    if offset < 0 or size < 0 or offset + size > FILE_SIZE_MAX:
        raise ValueError(f"offset {offset} and size {size} are no place in a file")
