"""Writing so that it is still there after the power fails.

A file is on disk once it *and* the directory that names it have been synchronised. Windows can't
synchronise directories (and its file systems journal names), so that half is left out there.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """The errors of a file that is open don't say which one it is; those of this block do."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


def sync_directory(folder: Path) -> None:
    """Make the names in ``folder`` durable."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with naming(folder):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomically(path: Path, data: bytes) -> None:
    """Replace a file: afterwards, also after a crash, it has its old contents or all of ``data``.

    Raises:
        OSError: the old contents are still there; or the new ones, if only the directory could
            not be synchronised.
    """
    temporary = path.with_name(f".{path.name}.new")
    try:
        with naming(path), temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)
