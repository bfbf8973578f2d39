"""Writing a server's files: they end up where they belong, durable, and nowhere else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from esebcli.errors import JobError, UserError
from esebcli.fileaccess import FileAccess, FilesRoot, LocalFiles
from esebcli.names import windows_names
from esesim.volume import DirectoryVolume
from esesim.windows_path import WindowsPathError, to_volume_path

NAMES = [
    "C:\\Program Files\\Exchsrvr\\mdbdata\\priv1.edb",
    "d:/x//y.log",
    "C:\\p\u00e4th\\\u65e5\u672c.edb",
    "C:\\a.b\\.hidden",
]
BAD = [
    "",
    "priv1.edb",
    "\\\\server\\share\\x.edb",
    "\\\\?\\C:\\x.edb",
    "C:x.edb",
    "C:\\..\\x.edb",
    "C:\\a\\..\\..\\x.edb",
    "C:\\.\\x.edb",
    "C:\\a:stream",
    "C:\\con",
    "C:\\AUX.edb",
    "C:\\a.\\x",
    "C:\\a \\x",
    "C:\\a\0b",
    "C:\\a\nb",
    "C:\\a*b",
    "C:\\\udc80",
    "/etc/passwd",
]


def write(files: FileAccess, name: str, data: bytes = b"data") -> None:
    with files.create(name) as file:
        file.write(data)


@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_where_the_server_looks_for_it(tmp_path: Path, name: str) -> None:
    (tmp_path / name[0].upper()).mkdir()
    write(FilesRoot(tmp_path), name)
    file = DirectoryVolume(tmp_path).open(to_volume_path(name))
    assert file.read(0, 9) == b"data"
    file.close()
    assert "/".join(windows_names(name)) == to_volume_path(name)


@pytest.mark.parametrize("name", BAD)
def test_other_names_write_nothing(tmp_path: Path, name: str) -> None:
    with pytest.raises(WindowsPathError):
        to_volume_path(name)
    for files in (FilesRoot(tmp_path), LocalFiles()):
        with pytest.raises(JobError, match="the server asks for a file"):
            write(files, name)
    assert list(tmp_path.iterdir()) == []


def test_a_drive_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="is a drive"):
        write(FilesRoot(tmp_path), "C:\\")


def test_case_does_not_matter(tmp_path: Path) -> None:
    files = FilesRoot(tmp_path)
    (tmp_path / "C").mkdir()
    write(files, "C:\\Data\\Priv1.edb", b"a long old text")
    write(files, "c:\\DATA\\PRIV1.EDB", b"new")
    assert [p.relative_to(tmp_path) for p in tmp_path.rglob("*.edb")] == [
        Path("C", "Data", "Priv1.edb")
    ]
    assert (tmp_path / "C" / "Data" / "Priv1.edb").read_bytes() == b"new"


@pytest.mark.parametrize("link", ["C", "C/data", "C/data/x.edb"])
def test_links_are_refused(tmp_path: Path, link: str) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    (outside / "data").mkdir(parents=True)
    (outside / "precious").write_text("precious")
    place = root / link
    place.parent.mkdir(parents=True)
    place.symlink_to(outside / "precious" if link.endswith("edb") else outside)
    with pytest.raises(JobError, match=r"is no (folder|ordinary file)"):
        write(FilesRoot(root), "C:\\data\\x.edb")
    assert (outside / "precious").read_text() == "precious"
    assert not list(outside.rglob("*.edb"))


def test_what_is_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "C" / "x.edb").mkdir(parents=True)
    (tmp_path / "C" / "file").write_text("")
    with pytest.raises(JobError, match="no ordinary file"):
        write(FilesRoot(tmp_path), "C:\\x.edb")
    with pytest.raises(JobError, match="no folder"):
        write(FilesRoot(tmp_path), "C:\\file\\x.edb")
    with pytest.raises(UserError, match="is no folder"):
        FilesRoot(tmp_path / "nowhere")


def test_a_folder_without_the_drive_is_the_wrong_one(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    with pytest.raises(JobError, match="has no folder 'C', for the server's drive"):
        write(FilesRoot(tmp_path), "C:\\a\\x.edb")
    assert [path.name for path in tmp_path.rglob("*")] == ["d"]
    write(FilesRoot(tmp_path), "D:\\x.edb")
    assert (tmp_path / "d" / "x.edb").read_bytes() == b"data"


def test_an_error_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "C").mkdir()
    with (
        pytest.raises(OSError, match=r"full: '.*x\.edb'"),
        FilesRoot(tmp_path).create("C:\\x.edb"),
    ):
        raise OSError(28, "full")


def test_it_is_on_disk_when_the_block_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_ino)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    (tmp_path / "C").mkdir()
    with FilesRoot(tmp_path).create("C:\\a\\b\\x.edb") as file:
        file.write(b"data")
        made = [tmp_path / "C", tmp_path / "C" / "a"]
        assert synced == [folder.stat().st_ino for folder in made]
    path = tmp_path / "C" / "a" / "b" / "x.edb"
    assert synced[2:] == [path.stat().st_ino, path.parent.stat().st_ino]


def test_this_computer_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The path as it is: on Windows that is the server's own; here it is one odd file name."""
    monkeypatch.chdir(tmp_path)
    write(LocalFiles(), "C:\\x.edb")
    assert Path("C:\\x.edb").read_bytes() == b"data"
