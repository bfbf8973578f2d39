"""What all volumes do alike: names of files and directories."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from esesim.volume import DirectoryVolume, Volume, VolumeError, VolumeFileNotFound


def test_directories(volume: Volume) -> None:
    volume.make_directory("C/Program Files/Exchsrvr")
    volume.make_directory("C/Program Files/Exchsrvr")
    volume.make_directory("C/logs")
    volume.make_directory("")
    volume.create("C/logs/E00.log")
    volume.create("C/logs/E0000001.log")
    volume.create("top")
    assert volume.list("C/logs") == ["E00.log", "E0000001.log"]
    assert volume.list("C") == []
    assert volume.list("") == ["top"]
    volume.sync_directory("C/logs")
    volume.sync_directory("")


def test_exists_is_about_files(volume: Volume) -> None:
    volume.make_directory("C/logs")
    volume.create("C/E00.log")
    assert volume.exists("C/E00.log")
    assert not volume.exists("C/logs")
    assert not volume.exists("C/E01.log")
    assert not volume.exists("D/E00.log")
    assert not volume.exists("C/E00.log/x")


def test_rename_replaces(volume: Volume) -> None:
    volume.make_directory("a")
    volume.make_directory("b")
    volume.create("a/tmp.log").write(0, b"new")
    volume.create("b/E00.log").write(0, b"older and longer")
    volume.rename("a/tmp.log", "b/E00.log")
    assert volume.list("a") == []
    assert volume.list("b") == ["E00.log"]
    assert volume.open("b/E00.log").read(0, 99) == b"new"


def test_delete(volume: Volume) -> None:
    volume.create("a")
    volume.delete("a")
    assert not volume.exists("a")
    with pytest.raises(VolumeFileNotFound):
        volume.delete("a")


def test_case_is_kept_but_does_not_matter(volume: Volume) -> None:
    volume.make_directory("C/MDBData")
    volume.make_directory("c/mdbdata")
    volume.create("C/mdbDATA/Priv1.edb").write(0, b"first")
    assert volume.list("c/MDBDATA") == ["Priv1.edb"]
    assert volume.exists("c/mdbdata/PRIV1.EDB")
    assert volume.open("c/mdbdata/priv1.EDB").read(0, 9) == b"first"
    volume.create("c/mdbdata/PRIV1.EDB").write(0, b"2nd")
    assert volume.list("C/mdbdata") == ["Priv1.edb"]
    assert volume.size("C/MDBData/Priv1.edb") == 3
    volume.rename("c/mdbdata/priv1.edb", "c/mdbdata/PRIV1.edb")
    assert volume.list("C/mdbdata") == ["PRIV1.edb"]
    volume.create("C/mdbdata/Other.edb").write(0, b"other")
    volume.rename("C/mdbdata/other.EDB", "C/mdbdata/priv1.EDB")
    assert volume.list("C/mdbdata") == ["PRIV1.edb"]
    assert volume.open("C/mdbdata/priv1.edb").read(0, 9) == b"other"


def test_case_of_other_alphabets(volume: Volume) -> None:
    volume.create("\u00e4rger.edb")
    volume.create("stra\u00dfe.edb")
    assert volume.exists("\u00c4RGER.EDB")
    assert volume.exists("STRA\u00dfE.edb")
    assert not volume.exists("STRASSE.edb")


MISSING: list[Callable[[Volume], object]] = [
    lambda volume: volume.open("missing"),
    lambda volume: volume.size("missing"),
    lambda volume: volume.delete("missing"),
    lambda volume: volume.rename("missing", "b"),
    lambda volume: volume.rename("file", "missing/b"),
    lambda volume: volume.create("missing/b"),
    lambda volume: volume.create("file/b"),
    lambda volume: volume.open("file/b"),
    lambda volume: volume.list("missing"),
    lambda volume: volume.list("file"),
    lambda volume: volume.sync_directory("missing"),
]
IN_THE_WAY: list[Callable[[Volume], object]] = [
    lambda volume: volume.open("dir"),
    lambda volume: volume.create("dir"),
    lambda volume: volume.delete("dir"),
    lambda volume: volume.size("DIR"),
    lambda volume: volume.rename("dir", "b"),
    lambda volume: volume.rename("file", "dir"),
    lambda volume: volume.make_directory("file"),
    lambda volume: volume.make_directory("file/b"),
]


@pytest.mark.parametrize("use", MISSING)
def test_missing(volume: Volume, use: Callable[[Volume], object]) -> None:
    volume.create("file")
    with pytest.raises(VolumeFileNotFound) as caught:
        use(volume)
    assert isinstance(caught.value, FileNotFoundError)
    assert isinstance(caught.value, VolumeError)
    assert volume.list("") == ["file"]


@pytest.mark.parametrize("use", IN_THE_WAY)
def test_directory_in_the_place_of_a_file(volume: Volume, use: Callable[[Volume], object]) -> None:
    volume.make_directory("dir")
    volume.create("file")
    with pytest.raises(VolumeError):
        use(volume)
    assert volume.list("") == ["file"]
    assert volume.list("dir") == []


def test_open_file_survives_its_name(volume: Volume) -> None:
    file = volume.create("a")
    volume.rename("a", "b")
    file.write(0, b"written after the rename")
    assert volume.open("b").read(0, 99) == b"written after the rename"


def test_root_must_be_a_directory(volume: Volume) -> None:
    if isinstance(volume, DirectoryVolume):
        volume.create("file")
        with pytest.raises(VolumeError, match="not a directory"):
            DirectoryVolume(volume._root / "file")
        with pytest.raises(VolumeFileNotFound):
            DirectoryVolume(volume._root / "missing")
