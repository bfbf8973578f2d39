"""Sets and manifests that are not what they should be: one clear line, nothing touched."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from esebcli import manifest as module
from esebcli.errors import SetError
from esebcli.manifest import MANIFEST_NAME, decode
from esebcli.sets import open_set
from esebcli.verify import verify_sets
from tests.esebcli.support_fake import FakeServer
from tests.esebcli.support_jobs import back_up, edit_raw, findings_of, rewrite_manifest, texts

GROUP = "Second"


@pytest.fixture
def full(server: FakeServer, tmp_path: Path) -> Path:
    """A good full backup of one group."""
    folder = tmp_path / "full"
    assert back_up(server, folder, groups=(GROUP,)).ok
    return folder


# --- folders


@pytest.mark.parametrize("what", ["missing", "file", "dangling link", "loop"])
def test_a_group_folder_that_is_none(full: Path, tmp_path: Path, what: str) -> None:
    place = full / GROUP
    shutil.rmtree(place)
    expected = "is a link"
    if what == "missing":
        expected = "is missing"
    elif what == "file":
        place.write_text("?")
        expected = "is no folder"
    elif what == "dangling link":
        place.symlink_to(tmp_path / "nowhere")
    else:
        place.symlink_to(place)
    report = verify_sets([full])
    assert findings_of(report) == [f"{GROUP}: [file] folder {GROUP} {expected}"]
    assert not report.ok and report.restorable_to(GROUP) is None


@pytest.mark.parametrize("method", ["iterdir", "exists", "is_symlink"])
def test_a_group_folder_that_can_not_be_read(
    full: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """Whatever call it is that the system refuses."""
    real = getattr(Path, method)

    def refuse(self: Path) -> Any:
        if self.name == GROUP:
            raise PermissionError(13, "Permission denied")
        return real(self)

    monkeypatch.setattr(Path, method, refuse)
    assert texts(full) == [f"{GROUP}: [file] folder {GROUP} can't be read: Permission denied"]


def test_a_set_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "set").write_text("?")
    with pytest.raises(SetError, match="is no backup set: it is no folder"):
        open_set(tmp_path / "set")
    assert len(texts(tmp_path / "set")) == 1


def test_a_set_folder_that_can_not_be_read(full: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.open

    def refuse(path: Any, *more: Any, **other: Any) -> int:
        if str(path).endswith(MANIFEST_NAME):
            raise PermissionError(13, "Permission denied")
        return real(path, *more, **other)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(SetError, match="can't be read: Permission denied"):
        open_set(full)


def test_a_set_folder_that_is_a_loop(tmp_path: Path) -> None:
    (tmp_path / "set").symlink_to(tmp_path / "set")
    with pytest.raises(SetError, match="can't be read"):
        open_set(tmp_path / "set")


def test_a_manifest_that_is_a_folder(full: Path) -> None:
    (full / MANIFEST_NAME).unlink()
    (full / MANIFEST_NAME).mkdir()
    assert "not a regular file" in texts(full)[0]


def test_a_manifest_without_groups(full: Path) -> None:
    rewrite_manifest(full, lambda m: evolve(m, groups=()))
    report = verify_sets([full])
    assert not report.ok and findings_of(report) == ["[manifest] it holds no storage group"]


# --- manifests that are well sealed


def _reseal(full: Path, change: Callable[[dict[str, Any]], None]) -> bytes:
    document = json.loads((full / MANIFEST_NAME).read_bytes())
    change(document)
    document.pop("sha256")
    document["sha256"] = module._digest(document)
    return json.dumps(document).encode()


def _group(document: dict[str, Any]) -> dict[str, Any]:
    group: dict[str, Any] = document["groups"][0]
    return group


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.update(set_id=5),
        lambda d: d.update(set_id=None),
        lambda d: d.update(previous=[]),
        lambda d: d.update(started=float("nan")),
        lambda d: d.update(kind=["full"]),
        lambda d: d.update(kind=7),
        lambda d: d.update(groups={}),
        lambda d: d.update(groups="Second"),
        lambda d: _group(d).update(files=[[]]),
        lambda d: _group(d).update(files=[None]),
        lambda d: _group(d).update(logs=[]),
        lambda d: _group(d)["logs"].update(high=10**400),
        lambda d: _group(d)["logs"].update(low=True),
        lambda d: _group(d)["logs"].update(base_name={}),
        lambda d: _group(d).update(partial=True),
        lambda d: _group(d).update(partial="yes"),
        lambda d: _group(d)["databases"][0].update(chosen=False),
        lambda d: _group(d)["databases"][0].update(guid="x" * 5000),
        lambda d: _group(d)["files"][0].update(name="a/b"),
        lambda d: _group(d)["files"][0].update(size=1e3),
        lambda d: _group(d)["files"][0].update(name="x\0y"),
    ],
)
def test_well_sealed_nonsense_is_one_line(
    full: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    data = _reseal(full, change)
    try:
        decoded = decode(data)
    except SetError as error:
        assert "\n" not in str(error) and "Traceback" not in str(error)
    else:
        # The only one that is not wrong in itself: the files don't bear it out.
        assert decoded.groups[0].logs is not None and decoded.groups[0].logs.high == 10**400
        (full / MANIFEST_NAME).write_bytes(data)
        assert any("the files hold E01 logs" in text for text in texts(full))


def test_a_newer_manifest_says_what_to_do(full: Path) -> None:
    edit_raw(full, lambda d: d.update(schema=99, groups="of another form"))
    assert "use the version of esebcli that wrote it, or a later one" in texts(full)[0]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "utf-32"])
def test_an_editor_that_changed_the_encoding(full: Path, encoding: str) -> None:
    text = (full / MANIFEST_NAME).read_text()
    (full / MANIFEST_NAME).write_bytes(text.encode(encoding))
    # JSON may be written in any of them, and what it says is the same.
    assert texts(full) == []


def test_set_and_all_files_empty(full: Path) -> None:
    for path in (full / GROUP).iterdir():
        path.write_bytes(b"")
    found = texts(full)
    assert all("it has 0 bytes" in text for text in found if "[file]" in text)
    assert verify_sets([full]).restorable_to(GROUP) is None
