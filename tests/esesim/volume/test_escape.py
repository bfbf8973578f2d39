"""Nothing leaves the root, whatever path is given and whatever lies in the directory."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from esesim.volume import DirectoryVolume, Volume, VolumeError

BAD_PATHS = [
    "/etc/passwd",
    "//host/share",
    "..",
    "../outside",
    "a/../../outside",
    "a/..",
    "./a",
    "a/.",
    "a//b",
    "a/",
    "C:/a",
    "C:a",
    "a/priv1.edb:stream",
    "a:$DATA",
    "a\\b",
    "..\\outside",
    "a\0b",
    "a\nb",
    "a*",
    "a?b",
    "NUL",
    "a/con.txt",
    "COM1",
    "trailing.",
    "trailing ",
    "a\ud800",
    "x" * 256,
]
USES: list[Callable[[Volume, str], object]] = [
    lambda volume, path: volume.create(path),
    lambda volume, path: volume.open(path),
    lambda volume, path: volume.exists(path),
    lambda volume, path: volume.size(path),
    lambda volume, path: volume.delete(path),
    lambda volume, path: volume.rename(path, "there"),
    lambda volume, path: volume.rename("file", path),
    lambda volume, path: volume.list(path),
    lambda volume, path: volume.make_directory(path),
    lambda volume, path: volume.sync_directory(path),
]


@pytest.mark.parametrize("path", BAD_PATHS, ids=repr)
def test_bad_path_is_refused_by_every_call(volume: Volume, path: str) -> None:
    volume.create("file")
    volume.make_directory("a")
    for use in USES:
        with pytest.raises(VolumeError):
            use(volume, path)
    assert volume.list("") == ["file"]
    assert volume.list("a") == []


@pytest.mark.parametrize("use", [0, 1, 2, 3, 4, 5, 6])
def test_root_is_no_file(volume: Volume, use: int) -> None:
    volume.create("file")
    with pytest.raises(VolumeError):
        USES[use](volume, "")
    assert volume.list("") == ["file"]


def contents(directory: Path) -> dict[str, tuple[int, bytes]]:
    """All that is in a directory, with times of change."""
    return {
        str(path.relative_to(directory)): (
            path.lstat().st_mtime_ns,
            path.read_bytes() if path.is_file() else b"",
        )
        for path in sorted(directory.rglob("*"))
    }


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A directory beside the root that must stay as it is."""
    directory = tmp_path / "outside"
    (directory / "sub").mkdir(parents=True)
    (directory / "secret").write_bytes(b"secret")
    return directory


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("../outside/secret", "link"),
        ("../outside/not-yet-there", "link"),
        ("../outside", "link"),
        ("../outside", "link/secret"),
        ("../outside", "link/new"),
        ("../outside", "LINK/secret"),
        ("../outside/sub", "link/deep"),
        ("../outside/sub/..", "link/secret"),
        (".", "link/file"),
        ("file", "link"),
        ("link", "link"),
        ("link", "link/deep"),
    ],
)
def test_links_are_never_followed(tmp_path: Path, outside: Path, target: str, path: str) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "file").write_bytes(b"inside")
    (root / "link").symlink_to(target)
    volume = DirectoryVolume(root)
    before = contents(outside)
    for use in USES:
        with pytest.raises(VolumeError):
            use(volume, path)
    assert contents(outside) == before
    assert (root / "file").read_bytes() == b"inside"
    assert (root / "link").is_symlink()
    assert volume.list("") == ["file"], "a link is not listed"


def test_link_to_an_absolute_path(tmp_path: Path, outside: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to(outside.resolve())
    before = contents(outside)
    with pytest.raises(VolumeError, match="'link' is a link"):
        DirectoryVolume(root).create("link/new")
    assert contents(outside) == before


def test_root_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with closing(DirectoryVolume(tmp_path / "link").create("a")) as file:
        file.write(0, b"x")
    assert (tmp_path / "real" / "a").read_bytes() == b"x"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_pipe_is_refused_and_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    volume = DirectoryVolume(tmp_path)
    assert not volume.exists("pipe")
    assert volume.list("") == []
    for use in (volume.open, volume.create, volume.delete, volume.size):
        with pytest.raises(VolumeError, match="not a file"):
            use("pipe")


def test_forgotten_file_is_closed(tmp_path: Path) -> None:
    volume = DirectoryVolume(tmp_path)
    file = volume.create("a")
    descriptor = file._descriptor  # type: ignore[attr-defined]
    with pytest.warns(ResourceWarning):
        del file
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)
