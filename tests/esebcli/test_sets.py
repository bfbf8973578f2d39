"""Writing sets: nothing is overwritten, and the manifest is replaced as a whole or not at all."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

import pytest
from attrs import evolve

from esebcli import sets
from esebcli.durable import write_atomically
from esebcli.errors import SetError, UserError
from esebcli.manifest import MANIFEST_NAME, Kind, Manifest
from esebcli.sets import SetWriter, open_set, plan_groups
from tests.esebcli.support_jobs import names_in


def new_manifest() -> Manifest:
    return Manifest(
        set_id=uuid.UUID(int=1),
        kind=Kind.FULL,
        server="EXCH1",
        annotation="store",
        program="test",
        started="2005-01-01T00:00:00Z",
        groups=plan_groups(["One", "Two"]),
    )


def test_create_and_open(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    writer = SetWriter.create(folder, new_manifest())
    assert names_in(folder) == ["One", "Two", MANIFEST_NAME]
    assert open_set(folder).manifest == writer.manifest == new_manifest()


def test_an_empty_folder_may_be_used(tmp_path: Path) -> None:
    SetWriter.create(tmp_path, new_manifest())
    assert open_set(tmp_path).manifest == new_manifest()


@pytest.mark.parametrize("what", ["file", "link to nothing", "not empty", "hidden file"])
def test_what_is_there_is_left_alone(tmp_path: Path, what: str) -> None:
    folder = tmp_path / "set"
    if what == "file":
        folder.write_text("mine")
    elif what == "link to nothing":
        folder.symlink_to(tmp_path / "elsewhere")
    else:
        folder.mkdir()
        (folder / (".hidden" if what == "hidden file" else "mine")).write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError):
        SetWriter.create(folder, new_manifest())
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_that_can_not_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="can't be"):
        SetWriter.create(tmp_path / "file" / "set", new_manifest())


def test_a_disk_that_is_full_from_the_start_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When there is room again, the same command can be given again."""

    def failing(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", failing)
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "a" / "b", tmp_path / "empty"):
        with pytest.raises(UserError, match="can't be written: No space left"):
            SetWriter.create(folder, new_manifest())
    assert [path.name for path in tmp_path.rglob("*")] == ["empty"]


def test_two_jobs_can_not_share_an_empty_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both looked while it was empty; only one of them gets it."""
    monkeypatch.setattr(sets, "refuse_unless_new", lambda folder: None)
    SetWriter.create(tmp_path, new_manifest())
    with pytest.raises(UserError, match="can't be written"):
        SetWriter.create(tmp_path, evolve(new_manifest(), set_id=uuid.UUID(int=2)))
    assert open_set(tmp_path).manifest.set_id == uuid.UUID(int=1)


def test_a_file_is_never_overwritten(tmp_path: Path) -> None:
    writer = SetWriter.create(tmp_path, new_manifest())
    group = writer.manifest.groups[0]
    with writer.create_file(group, "x") as file:
        file.write(b"one")
    with pytest.raises(FileExistsError):
        writer.create_file(group, "x")
    (tmp_path / "One" / "link").symlink_to(tmp_path / "outside")
    with pytest.raises(FileExistsError):
        writer.create_file(group, "link")
    assert (tmp_path / "One" / "x").read_bytes() == b"one"


def test_an_update_that_fails_leaves_the_old_manifest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = SetWriter.create(tmp_path, new_manifest())
    before = (tmp_path / MANIFEST_NAME).read_bytes()

    def failing(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", failing)
        with pytest.raises(OSError, match="Input/output"):
            writer.update(evolve(new_manifest().groups[0], error="later"))
    assert (tmp_path / MANIFEST_NAME).read_bytes() == before
    assert writer.manifest == new_manifest()
    assert names_in(tmp_path) == ["One", "Two", MANIFEST_NAME]
    # The next one is not hindered by what is left of the first.
    writer.update(evolve(new_manifest().groups[1], error="now"))
    groups = open_set(tmp_path).manifest.groups
    assert [group.error for group in groups] == [None, "now"]


def test_the_replacement_is_synchronised_before_it_is_put_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    steps: list[tuple[str, bytes]] = []
    real_fsync, real_replace = os.fsync, Path.replace

    def fsync(descriptor: int) -> None:
        steps.append(("fsync", path.read_bytes()))
        real_fsync(descriptor)

    def replace(self: Path, target: Path) -> Path:
        steps.append(("replace", path.read_bytes()))
        return real_replace(self, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    write_atomically(path, b"new")
    assert steps == [("fsync", b"old"), ("replace", b"old"), ("fsync", b"new")]
    assert names_in(tmp_path) == ["file"]


def test_a_manifest_that_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    SetWriter.create(tmp_path, new_manifest())
    monkeypatch.setattr(sets, "MANIFEST_BYTES_MAX", 100)
    with pytest.raises(SetError, match="larger than 100 bytes"):
        open_set(tmp_path)
