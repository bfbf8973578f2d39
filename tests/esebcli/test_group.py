"""An error at every single call, in every form, before and after its effect.

Before the seal: no truncation, InstanceEnd(ERROR), End, an incomplete group. After it: a complete
group that says "truncation unknown". Never success.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pytest

from eseback.constants import InstanceEnd
from eseback.errors import ConnectionLost, EseBackupError
from eseback.order import BackupState
from esebcli.manifest import Kind, SavedGroup, State, Truncation
from esebcli.sets import SetWriter
from esebcli.verify import verify_sets
from tests.esebcli.support_fake import FakeServer, two_groups
from tests.esebcli.support_jobs import back_up, findings_of, manifest_of

GROUP = ("Second",)
# -1022 in both forms that a server may choose, a code that no table has, and a broken transport.
ERRORS: dict[str, Callable[[str], Exception]] = {
    "own HRESULT": lambda method: EseBackupError(0xC80003FE, call=method),
    "hrErrorFromESECall": lambda method: EseBackupError(0xC7FF1004, -1022, method),
    "unknown code": lambda method: EseBackupError(0x80070BAD, call=method),
    "connection": lambda method: ConnectionLost(call=method),
    "OSError": lambda method: ConnectionResetError(errno.ECONNRESET, "Connection reset"),
}
AFTER_SEAL = ("backup_truncate_logs", "backup_instance_end", "backup_end")


def _calls(kind: Kind) -> list[tuple[str, int]]:
    """Every call of a clean run after Prepare, with its number among those of its method."""
    import tempfile

    server = two_groups()
    with tempfile.TemporaryDirectory() as folder:
        assert back_up(server, Path(folder) / "set", kind, GROUP).ok
    methods = server.methods()
    return [
        (method, methods[: index + 1].count(method))
        for index, method in enumerate(methods)
        if method != "backup_prepare"
    ]


CASES = [
    pytest.param(kind, method, nth, id=f"{kind.value}-{method}-{nth}")
    for kind in (Kind.FULL, Kind.COPY, Kind.INCREMENTAL)
    for method, nth in _calls(kind)
]


def test_the_cases_cover_every_call() -> None:
    assert len(_calls(Kind.FULL)) == 22
    assert {method for method, _ in _calls(Kind.FULL)} == {
        "backup_setup",
        "backup_open_file",
        "backup_read_file",
        "backup_close_file",
        "backup_get_log_and_patch_files",
        "backup_get_truncate_log_files",
        "backup_truncate_logs",
        "backup_instance_end",
        "backup_end",
    }


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("form", ERRORS)
@pytest.mark.parametrize(("kind", "method", "nth"), CASES)
def test_an_error_at_every_call(
    server: FakeServer, tmp_path: Path, kind: Kind, method: str, nth: int, form: str, after: bool
) -> None:
    fault = server.fail(method, ERRORS[form](method), nth, after=after)
    result = back_up(server, tmp_path / "set", kind, GROUP)
    assert fault.fired == 1
    assert not result.ok and result.reasons
    group = manifest_of(tmp_path / "set").groups[0]
    assert group == result.manifest.groups[0]
    if method in AFTER_SEAL:
        _check_sealed(server, tmp_path, kind, group)
    else:
        _check_abandoned(server, tmp_path, method, group)
    # An End that was refused before it had an effect leaves the context; all others don't.
    if not (method == "backup_end" and not after and form != "connection"):
        assert server.states() == [BackupState.ENDED]
    assert server.methods().count("backup_end") == 1


def _check_abandoned(server: FakeServer, tmp_path: Path, method: str, group: SavedGroup) -> None:
    assert group.state is State.INCOMPLETE
    assert group.truncation is Truncation.NOT_ASKED
    assert group.error and group.logs is None
    methods = server.methods()
    assert "backup_truncate_logs" not in methods and not server.groups[1].deleted
    ends = [call.argument for call in server.calls_of("backup_instance_end")]
    # Nothing was set up, so there is nothing of ours to end.
    assert ends == ([] if method == "backup_setup" else [InstanceEnd.ERROR])
    assert methods[-1] == "backup_end"
    report = verify_sets([tmp_path / "set"])
    assert not report.ok and report.restorable_to("Second") is None
    assert "incomplete and can't be restored" in findings_of(report)[0]


def _check_sealed(server: FakeServer, tmp_path: Path, kind: Kind, group: SavedGroup) -> None:
    assert group.state is State.COMPLETE
    assert group.truncation is (Truncation.UNKNOWN if kind.truncates else Truncation.NOT_ASKED)
    assert group.error and "all files are saved" in group.error
    assert ("only copy of deleted logs" in group.error) is kind.truncates
    ends = [call.argument for call in server.calls_of("backup_instance_end")]
    assert ends == [InstanceEnd.SUCCESS]
    # The set is whole: what the server may have deleted is in it.
    report = verify_sets([tmp_path / "set"])
    assert report.ok
    assert report.restorable_to("Second") == (6 if kind.has_databases else None)


@pytest.mark.parametrize(
    ("method", "jet", "hint"),
    [
        ("backup_setup", -505, "try again when that one has ended"),
        ("backup_setup", -560, "make a full backup first"),
        ("backup_setup", -526, "make a full or a copy backup"),
        ("backup_get_log_and_patch_files", -569, "make a full backup"),
        ("backup_read_file", -1018, "check the database on the server"),
    ],
)
@pytest.mark.parametrize("wrapped", [False, True])
def test_known_errors_come_with_advice_in_both_forms(
    server: FakeServer, tmp_path: Path, method: str, jet: int, hint: str, wrapped: bool
) -> None:
    hresult = 0xC7FF1004 if wrapped else 0xC8000000 | -jet
    server.fail(method, EseBackupError(hresult, jet if wrapped else None, method))
    result = back_up(server, tmp_path / "set", groups=GROUP)
    assert hint in result.reasons[0] and str(jet) in result.reasons[0]


def test_an_error_on_a_log_needs_no_second_complaint(server: FakeServer, tmp_path: Path) -> None:
    """The engine has ended the backup by itself: InstanceEnd is answered -520, as it should be."""
    server.groups[1].listed = lambda names: [*names, names[0].replace("04", "1F")]
    result = back_up(server, tmp_path / "set", groups=GROUP)
    assert "-569" in result.reasons[0] and "-520" not in result.reasons[0]
    assert server.calls_of("backup_instance_end")[0].argument is InstanceEnd.ERROR
    assert server.states() == [BackupState.ENDED]


def test_errors_of_the_clean_up_are_told_too(server: FakeServer, tmp_path: Path) -> None:
    server.fail("backup_read_file", EseBackupError.from_jet(-1018, "backup_read_file"))
    server.fail("backup_instance_end", EseBackupError.from_jet(-1022, "backup_instance_end"))
    server.fail("backup_end", ConnectionLost(call="backup_end"), after=True)
    result = back_up(server, tmp_path / "set", groups=GROUP)
    reason = result.reasons[0]
    assert reason.index("-1018") < reason.index("; then backup_instance_end")
    assert reason.index("-1022") < reason.index("; then backup_end")


def test_the_client_dies_while_the_server_deletes(server: FakeServer, tmp_path: Path) -> None:
    server.fail("backup_truncate_logs", KeyboardInterrupt(), after=True)
    with pytest.raises(KeyboardInterrupt):
        back_up(server, tmp_path / "set", groups=GROUP)
    group = manifest_of(tmp_path / "set").groups[0]
    assert (group.state, group.truncation) == (State.COMPLETE, Truncation.UNKNOWN)
    assert server.groups[1].deleted
    assert server.states() == [BackupState.ENDED]


# --- errors of our own disk


class _FullDisk:
    """A file that takes so many bytes and no more."""

    def __init__(self, file: BinaryIO, room: int) -> None:
        self._file = file
        self._room = room

    def __enter__(self) -> _FullDisk:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()
        if self._room < 0:  # what is left in a buffer can't be written either
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def write(self, data: memoryview) -> int:
        self._room -= len(data)
        if self._room < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self._file.write(data)

    def flush(self) -> None:
        self._file.flush()

    def fileno(self) -> int:
        return self._file.fileno()


def test_our_disk_is_full(
    server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = SetWriter.create_file
    monkeypatch.setattr(
        SetWriter,
        "create_file",
        lambda self, group, name: _FullDisk(create(self, group, name), 20_000),
    )
    server.read_limit = 8192
    result = back_up(server, tmp_path / "set", groups=GROUP)
    assert "Second/priv2.edb: No space left on device; make room there" in result.reasons[0]
    # Our own error: the file is open on the server and is given back first.
    assert server.methods()[-3:] == ["backup_close_file", "backup_instance_end", "backup_end"]
    assert server.calls_of("backup_instance_end")[0].argument is InstanceEnd.ERROR
    assert not server.groups[1].deleted
    assert manifest_of(tmp_path / "set").groups[0].state is State.INCOMPLETE


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc to name descriptors")
@pytest.mark.parametrize("which", ["file", "folder", "manifest"])
def test_fsync_fails_before_the_seal(
    server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    """No truncation after a failed fsync, and none claimed: what is not durable is not sealed."""
    real = os.fsync
    armed = False
    group_folder = tmp_path / "set" / "Second"

    def failing(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        matches = {
            "file": path.name == "E0100005.log",
            "folder": armed and path == group_folder,
            "manifest": armed and path.name == ".manifest.json.new",
        }
        if matches[which] and "backup_end" not in server.methods():
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", failing)

    def arm(call: object) -> None:
        nonlocal armed
        armed = armed or "backup_get_truncate_log_files" in server.methods()

    server.on_call = arm
    result = back_up(server, tmp_path / "set", groups=GROUP)
    named = {"file": "E0100005.log", "folder": "set/Second", "manifest": "manifest.json"}[which]
    assert f"{named}: Input/output error" in result.reasons[0]
    assert "backup_truncate_logs" not in server.methods()
    assert server.calls_of("backup_instance_end")[0].argument is InstanceEnd.ERROR
    assert manifest_of(tmp_path / "set").groups[0].state is State.INCOMPLETE


@pytest.mark.parametrize("kind", [Kind.FULL, Kind.COPY])
def test_the_manifest_can_not_be_updated_at_the_end(
    server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Kind
) -> None:
    """What the disk says must not be more than what is known; the job says that it failed."""
    update = SetWriter.update

    def failing(self: SetWriter, group: SavedGroup) -> None:
        if "backup_end" in server.methods():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        update(self, group)

    def failing_finish(self: SetWriter) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(SetWriter, "update", failing)
    monkeypatch.setattr(SetWriter, "finish", failing_finish)
    result = back_up(server, tmp_path / "set", kind, GROUP)
    assert not result.ok
    assert any("the manifest could not be updated" in reason for reason in result.reasons)
    group = manifest_of(tmp_path / "set").groups[0]
    assert group.state is State.COMPLETE
    assert group.truncation is (Truncation.UNKNOWN if kind.truncates else Truncation.NOT_ASKED)
    assert result.manifest.groups[0].truncation is group.truncation
    files = {file.name: file.sha256 for file in group.files}
    for name, digest in files.items():
        data = (tmp_path / "set" / "Second" / name).read_bytes()
        assert hashlib.sha256(data).hexdigest() == digest
