"""Files of a volume under their Windows paths, for tests that look at bytes or damage them."""

from __future__ import annotations

from typing import Any

from attrs import evolve

from eseback.formats.dbheader import DatabaseHeader
from eseback.formats.logheader import LogHeader
from esesim.volume import Volume
from esesim.windows_path import to_volume_path


def content(volume: Volume, path: str) -> bytes:
    """All bytes of a file."""
    file = volume.open(to_volume_path(path))
    try:
        return file.read(0, file.size)
    finally:
        file.close()


def put(volume: Volume, path: str, data: bytes) -> None:
    """The file has these bytes and no others."""
    file = volume.create(to_volume_path(path))
    file.write(0, data)
    file.sync()
    file.close()


def overwrite(volume: Volume, path: str, offset: int, data: bytes) -> None:
    """Bytes from ``offset`` on become ``data``; negative offsets count from the end."""
    whole = bytearray(content(volume, path))
    start = offset % len(whole)
    whole[start : start + len(data)] = data
    put(volume, path, bytes(whole))


def damage(volume: Volume, path: str, offset: int, count: int = 3) -> None:
    """Invert ``count`` bytes from ``offset`` on: more than an ECC can repair.

    Three, because the checksums are XORs over words: two inverted words would come to nothing.
    """
    whole = content(volume, path)
    start = offset % len(whole)
    overwrite(volume, path, start, bytes(byte ^ 0xFF for byte in whole[start : start + count]))


def delete(volume: Volume, path: str) -> None:
    """The file is gone."""
    volume.delete(to_volume_path(path))


def exists(volume: Volume, path: str) -> bool:
    """Whether there is such a file."""
    return volume.exists(to_volume_path(path))


def all_files(volume: Volume, folder: str) -> dict[str, bytes]:
    """The bytes of every file in a folder, by name."""
    names = volume.list(to_volume_path(folder))
    return {name: content(volume, f"{folder}\\{name}") for name in names}


def change_log(volume: Volume, path: str, **changes: Any) -> None:
    """Give a log another header with a right checksum."""
    header = LogHeader.unpack(content(volume, path)[:4096])
    overwrite(volume, path, 0, evolve(header, **changes).pack())


def change_header(volume: Volume, path: str, **changes: Any) -> None:
    """Give a database or streaming file another header, both copies."""
    header = DatabaseHeader.unpack(content(volume, path)[:4096])
    overwrite(volume, path, 0, evolve(header, **changes).pack(4096) * 2)
