"""Every kind of volume, for tests of what they have in common."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from esesim.volume import DirectoryVolume, MemoryVolume, Volume, VolumeFile, directory


@pytest.fixture(params=["memory", "directory", "directory without preadv"])
def volume(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Volume]:
    """An empty volume; files that a test leaves open are closed behind it."""
    if request.param == "memory":
        yield MemoryVolume()
        return
    base = directory._PositionalFile if request.param == "directory" else directory._SeekingFile
    files: list[VolumeFile] = []

    class Remembered(base):  # type: ignore[valid-type, misc]
        def __init__(self, descriptor: int, fsync: bool) -> None:
            super().__init__(descriptor, fsync)
            files.append(self)

    monkeypatch.setattr(directory, "_FILE_CLASS", Remembered)
    root = tmp_path / "root"
    root.mkdir()
    yield DirectoryVolume(root)
    for file in files:
        file.close()
