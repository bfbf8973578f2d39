"""Damage done to files on purpose, so that checksums fail: what bad disks do.

A byte is flipped in the file on the volume, behind the engine's back; the engine is only told to
trust nothing that it read before. What it holds in memory is written back first, or the damage
would be mended by accident.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from eseback.formats.logblock import BLOCK_HEADER_SIZE

from ..engine.database import Database
from ..engine.log import HEADER_BYTES
from ..volume import Volume
from ..windows_path import path_key, to_volume_path
from .group import StorageGroup

# The root of the catalog's second copy: nothing reads it while the database works, so that the
# damage is the backup's problem alone (ESE source cat.hxx puts it there).
SHADOW_CATALOG_PAGE: Final = 24
# In the first record, behind the head of its block (LRCHECKSUM).
_RECORD_OFFSET: Final = HEADER_BYTES + BLOCK_HEADER_SIZE + 1


def damage_page(group: StorageGroup, volume: Volume, file_name: str, page: int | None) -> None:
    """Flip a byte in a page of a mounted .edb or .stm of ``group``.

    ``page`` None: one that the workload does not read; any other may stop the workload with
    JetError -1018 when it comes by. Raises LookupError for a file that is no mounted database,
    ValueError for a page that it does not have or, in a .stm, that is free.
    """
    with group.lock:
        database = _database(group, file_name)
        is_stream = path_key(file_name) != path_key(database.edb)
        streaming = database.streaming
        database.flush()
        if is_stream and streaming is not None:
            candidates: Sequence[int] = [pgno for pgno, _ in streaming.used_pages()]
            chosen, last = candidates[-1] if candidates else 0, streaming.last_pgno
        else:
            last = database.pages.last_pgno
            candidates, chosen = range(1, last + 1), SHADOW_CATALOG_PAGE
        pgno = chosen if page is None else page
        if pgno not in candidates:
            raise ValueError(
                f"page {pgno} of {file_name} cannot be damaged; it has pages 1 to {last}"
                + (", and only those in use have a checksum" if is_stream else "")
            )
        size = database.page_size
        _flip(volume, to_volume_path(file_name), (pgno + 1) * size + size // 2)
        database.pages.distrust()


def damage_closed_file(volume: Volume, file_name: str, page: int | None, page_size: int) -> None:
    """Flip a byte in a page of a database that nobody has mounted: an image being restored.

    Raises LookupError where there is no such file, ValueError for a page that it does not have.
    """
    path = to_volume_path(file_name)
    if not volume.exists(path):
        raise LookupError(f"there is no {file_name}")
    pgno = SHADOW_CATALOG_PAGE if page is None else page
    _flip(volume, path, (pgno + 1) * page_size + page_size // 2)


def damage_log(volume: Volume, file_name: str) -> None:
    """Flip a byte among the records of a log. Raises LookupError if there is none."""
    path = to_volume_path(file_name)
    if not volume.exists(path):
        raise LookupError(f"there is no log {file_name}")
    _flip(volume, path, _RECORD_OFFSET)


def _database(group: StorageGroup, file_name: str) -> Database:
    key = path_key(file_name)
    databases = {} if group.instance is None else group.instance.databases
    for database in databases.values():
        if key in (path_key(database.edb), path_key(database.stm or database.edb)):
            return database
    raise LookupError(f"{file_name} is no file of a mounted store of {group.name}")


def _flip(volume: Volume, path: str, offset: int) -> None:
    file = volume.open(path)
    byte = file.read(offset, 1)
    if not byte:
        file.close()
        raise ValueError(f"{path} ends before byte {offset}")
    file.write(offset, bytes([byte[0] ^ 0xFF]))
    file.sync()
    file.close()
