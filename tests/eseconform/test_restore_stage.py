"""What the harness sees of a server around a restore: its disks, its stores, the client's sets."""

from __future__ import annotations

from pathlib import Path

import pytest

from eseconform.cases import Deed, EventSpec, catalogue, topology_of
from eseconform.restorestage import (
    RecordedFiles,
    bare,
    look_at,
    production_folders,
    set_digests,
    store_states,
)
from eseconform.spoiling import LOG_OFFSET, spoil
from eseconform.stage import Stage
from eseconform.sut import Gate
from eseconform.task import SavedFile
from tests.support.conformance import case

GROUP, STORE = "First Storage Group", "Mailbox Store"


@pytest.fixture
def stage() -> Stage:
    return Stage(topology_of(case("restore-mounted"), catalogue()), seed=1)


def test_what_a_client_writes_is_noted(stage: Stage) -> None:
    gate = Gate(stage.server.session())
    files = RecordedFiles(stage, gate)
    for _ in range(5):
        gate.get_nodes(None)
    with files.create("D:\\new\\a.edb") as sink:
        sink.write(b"abc")
        sink.write(memoryview(b"de"))
    (write,) = files.writes
    assert (write.path, write.after_call, write.size, write.crc32) == (
        *("D:\\new\\a.edb", 5, 5),
        "8587d865",
    )
    assert stage.server.files.read("D:\\new\\a.edb") == b"abcde"
    assert not write.in_use


def test_an_attempt_at_a_mounted_database_is_noted_too(stage: Stage) -> None:
    files = RecordedFiles(stage, Gate(stage.server.session()))
    edb = stage.server.group(GROUP).store(STORE).edb
    with pytest.raises(OSError, match="in use"), files.create(edb):
        pass
    (write,) = files.writes
    assert write.in_use
    assert "in use" in write.error


def test_a_client_that_was_given_up_writes_nothing_more(stage: Stage) -> None:
    gate = Gate(stage.server.session())
    files = RecordedFiles(stage, gate)
    gate.shut()
    with pytest.raises(OSError, match="gave this job up"), files.create("D:\\a.edb"):
        pass
    assert files.writes == []


def test_a_path_that_is_none_is_an_attempt(stage: Stage) -> None:
    files = RecordedFiles(stage, Gate(stage.server.session()))
    with pytest.raises(ValueError, match="drive"), files.create("a.edb"):
        pass
    assert "drive" in files.writes[0].error


def test_a_bare_server_has_the_same_names_and_guids_and_empty_disks(stage: Stage) -> None:
    topology = bare(topology_of(case("restore-recovery-group"), catalogue()))
    assert [group.name for group in topology.groups] == [GROUP]
    with Stage(topology, seed=1) as empty:
        (state,) = store_states(empty)
        assert (state.mounted, state.digest) == (False, "")
        assert empty.server.group(GROUP).is_overwritable(STORE)


def test_stores_are_told_apart_by_what_is_on_disk(stage: Stage) -> None:
    (mounted,) = store_states(stage)
    assert mounted.mounted
    stage.server.dismount(GROUP, STORE)
    (before,) = store_states(stage)
    assert before.digest
    with stage.server.files.create(before.streams[1]) as sink:
        sink.write(b"x")
    assert store_states(stage)[0].digest != before.digest
    assert production_folders(stage) == (stage.server.group(GROUP).spec.log_path,)


def test_a_database_is_mounted_to_be_looked_at(stage: Stage) -> None:
    edb = stage.server.group(GROUP).store(STORE).edb
    stage.server.dismount(GROUP, STORE)
    looked = look_at(stage, STORE, edb, edb)
    assert looked.problem == ""
    assert looked.rows == stage.server.journal.rows(edb)
    assert stage.server.group(GROUP).is_mounted(STORE)


def test_what_cannot_be_mounted_is_told(stage: Stage) -> None:
    edb = stage.server.group(GROUP).store(STORE).edb
    stage.server.dismount(GROUP, STORE)
    with stage.server.files.create(edb) as sink:
        sink.write(bytes(8192))
    assert look_at(stage, STORE, edb, edb).problem.startswith("does not mount: ")
    stage.server.destroy_store(GROUP, STORE)
    assert "is not there" in look_at(stage, STORE, edb, edb).problem
    with stage.server.files.create("D:\\x.edb") as sink:
        sink.write(b"x")
    assert "where no store is" in look_at(stage, STORE, edb, "D:\\x.edb").problem


@pytest.mark.parametrize(
    ("deed", "before", "after"),
    [
        (Deed.DAMAGE_SAVED, b"abcd", b"ab\x9cd"),
        (Deed.CUT_SAVED, b"abcd", b"ab"),
        (Deed.LOSE_SAVED, b"abcd", None),
    ],
)
def test_sets_are_spoilt_as_the_case_says(
    deed: Deed, before: bytes, after: bytes | None, tmp_path: Path
) -> None:
    path = tmp_path / "0001-priv1.edb"
    path.write_bytes(before)
    saved = [SavedFile("C:\\mdbdata\\priv1.edb", 4, path)]
    spoil(EventSpec(deed, file="*.EDB"), saved)
    assert (path.read_bytes() if path.exists() else None) == after


def test_two_files_change_places(tmp_path: Path) -> None:
    saved = []
    for number in range(3):
        path = tmp_path / f"{number}.log"
        path.write_bytes(b"%d" % number)
        saved.append(SavedFile(f"C:\\E000000{number}.log", 1, path))
    spoil(EventSpec(Deed.SWAP_SAVED, file="*.log"), saved)
    assert [(tmp_path / f"{n}.log").read_bytes() for n in range(3)] == [b"1", b"0", b"2"]


def test_a_log_is_damaged_in_its_first_record(tmp_path: Path) -> None:
    path = tmp_path / "E0000001.log"
    path.write_bytes(bytes(LOG_OFFSET + 10))
    digests = set_digests([tmp_path])
    spoil(EventSpec(Deed.DAMAGE_SAVED, file="*.log"), [SavedFile("C:\\E0000001.log", 1, path)])
    assert path.read_bytes()[LOG_OFFSET] == 0xFF
    assert set_digests([tmp_path]) != digests
