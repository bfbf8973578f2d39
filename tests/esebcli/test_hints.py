"""What the user is told to do about an error of the server."""

from __future__ import annotations

import errno

import pytest

from eseback.errors import ROW_BY_NAME, ConnectionLost, EseBackupError, JetErr
from esebcli.hints import explain


@pytest.mark.parametrize(
    ("jet", "hint"),
    [
        (-505, "try again when that one has ended"),
        (-560, "make a full backup first"),
        (-1214, "restore fewer groups at a time"),
        (-506, "wait until that one has ended"),
        (-553, "later logs"),
        (-554, "logs at the beginning are missing"),
        (-555, "other logs lie in the folder of the restore"),
        (-556, "other logs lie in the folder of the restore"),
        (-557, "into another folder"),
        (-543, "verify the sets"),
        (-565, "restore without --play-forward"),
        (-577, "restore without --play-forward"),
        (-610, "restore without --play-forward"),
        (-611, "restore without --play-forward"),
        (-1084, "name another folder"),
    ],
)
def test_errors_of_the_engine_in_either_form(jet: int, hint: str) -> None:
    direct = EseBackupError.from_jet(jet, "restore_complete")
    wrapped = EseBackupError(ROW_BY_NAME["hrErrorFromESECall"].hresult, jet, "restore_complete")
    for error in (direct, wrapped):
        text = explain(error)
        assert text.startswith("restore_complete: ") and str(jet) in text
        assert hint in text.partition("; ")[2] and "\n" not in text


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("hrCBDatabaseInUse", 'dismount the store, and mark it with "This database can be'),
        ("hrCBDatabaseNotFound", "or restore into another one (--into)"),
        ("hrRestoreMapExists", "--log-path"),
        ("hrRestoreInProgress", "wait"),
        ("ERROR_ACCESS_DENIED", "the backup and the restore privilege"),
    ],
)
def test_errors_above_the_engine(name: str, hint: str) -> None:
    text = explain(EseBackupError.from_name(name, "restore_add_database"))
    assert name in text and hint in text


def test_errors_of_this_machine() -> None:
    error = OSError(errno.ENOSPC, "No space left on device", "set/priv1.edb")
    assert explain(error) == "set/priv1.edb: No space left on device; make room there"


def test_errors_without_a_hint() -> None:
    error = EseBackupError.from_jet(JetErr.OUT_OF_MEMORY, "restore_open")
    assert explain(error) == str(error)
    assert explain(OSError(28, "full")) == str(OSError(28, "full"))
    assert explain(OSError(5, "Input/output error", "a/b")) == "a/b: Input/output error"
    assert explain(ValueError()) == "ValueError"
    assert explain(ConnectionLost()).endswith("; the connection to the server is lost")
