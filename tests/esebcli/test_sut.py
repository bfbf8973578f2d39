"""The client as a system under test: it claims what it did, and never more."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Any, cast

import pytest
from attrs import evolve

from eseback.constants import INFORMATION_STORE
from eseback.errors import ConnectionLost, EseBackupError
from esebcli.sut import capabilities, client
from eseconform.task import Capability, Claim, JobKind, Task, as_claim
from tests.esebcli.support_fake import SERVER, FakeServer, Store
from tests.esebcli.support_jobs import flip, manifest_of
from tests.esebcli.support_restore import RestoringServer


class Probe(StrEnum):
    """A kind of job that nobody knows."""

    NONSENSE = "probe-7f3a"


def task(
    kind: JobKind,
    folder: Path,
    *earlier: Path,
    groups: tuple[str, ...] = ("First Storage Group", "Second"),
) -> Task:
    """What the harness asks for."""
    return Task(kind, SERVER, INFORMATION_STORE, groups, folder, earlier)


def run(server: FakeServer, of: Task) -> Claim:
    """What the harness reads from our claim."""
    return as_claim(client(server.api, of))


def test_a_chain(server: FakeServer, tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.mkdir()  # the harness makes it
    claim = run(server, task(JobKind.FULL, full))
    assert (claim.outcome, claim.reason) == ("success", "")
    assert claim.restorable_to == {"First Storage Group": 6, "Second": 6}
    saved = {file.name: file.path.read_bytes() for file in claim.files if file.path}
    assert saved == server.served
    assert all(file.size == len(saved[file.name]) for file in claim.files)
    for group in server.groups:
        group.work(2)
    claim = run(server, task(JobKind.INCREMENTAL, tmp_path / "inc", full))
    assert claim.outcome == "success"
    assert claim.restorable_to == {"First Storage Group": 9, "Second": 9}
    # One session, one group after the other: the same calls make the same transcript.
    contexts = [call.context for call in server.calls if call.context]
    assert contexts == sorted(contexts)


def test_an_incremental_alone_claims_no_generation(server: FakeServer, tmp_path: Path) -> None:
    claim = run(server, task(JobKind.INCREMENTAL, tmp_path / "inc"))
    assert claim.outcome == "success" and claim.restorable_to == {}


def test_a_damaged_full_is_not_claimed_to_be_restorable(server: FakeServer, tmp_path: Path) -> None:
    run(server, task(JobKind.FULL, tmp_path / "full"))
    flip(tmp_path / "full" / "Second" / "priv2.edb", 9000)
    claim = run(server, task(JobKind.INCREMENTAL, tmp_path / "inc", tmp_path / "full"))
    assert claim.restorable_to == {"First Storage Group": 7}


def test_one_group_of_two(server: FakeServer, tmp_path: Path) -> None:
    server.fail("backup_read_file", EseBackupError.from_jet(-1018, "backup_read_file"))
    claim = run(server, task(JobKind.FULL, tmp_path / "full"))
    assert claim.outcome == "failure" and "First Storage Group: backup_read_file" in claim.reason
    assert claim.restorable_to == {"Second": 6}


def test_truncation_unknown_is_a_failure_with_a_restorable_set(
    server: FakeServer, tmp_path: Path
) -> None:
    server.fail("backup_truncate_logs", ConnectionLost(call="backup_truncate_logs"), after=True)
    claim = run(server, task(JobKind.FULL, tmp_path / "full", groups=("Second",)))
    assert claim.outcome == "failure" and "connection" in claim.reason
    assert claim.restorable_to == {"Second": 6}


@pytest.mark.parametrize(
    ("method", "groups", "message"),
    [
        ("backup_prepare", ("Second",), "hrCouldNotConnect"),
        ("", ("Third",), "'Third' does not run"),
    ],
)
def test_jobs_that_never_start(
    server: FakeServer, tmp_path: Path, method: str, groups: tuple[str, ...], message: str
) -> None:
    server.fail(method, EseBackupError.from_name("hrCouldNotConnect", method))
    claim = run(server, task(JobKind.FULL, tmp_path / "full", groups=groups))
    assert claim.outcome == "failure" and message in claim.reason and claim.files == ()


def test_a_job_that_nobody_knows(server: FakeServer, tmp_path: Path) -> None:
    claim = run(
        server, evolve(task(JobKind.FULL, tmp_path / "set"), kind=cast(JobKind, Probe.NONSENSE))
    )
    assert claim.outcome == "failure" and "probe-7f3a" in claim.reason
    assert server.calls == []


def test_an_incremental_after_one_that_failed_continues_the_last_good_set(
    server: FakeServer, tmp_path: Path
) -> None:
    full, failed, again = (tmp_path / name for name in ("full", "failed", "again"))
    run(server, task(JobKind.FULL, full, groups=("Second",)))
    server.groups[1].work(2)
    fault = server.fail("backup_read_file", EseBackupError.from_jet(-612, "backup_read_file"))
    fault.nth = fault.seen + 1
    claim = run(server, task(JobKind.INCREMENTAL, failed, full, groups=("Second",)))
    assert claim.outcome == "failure" and claim.restorable_to == {"Second": 6}
    claim = run(server, task(JobKind.INCREMENTAL, again, full, failed, groups=("Second",)))
    assert claim.outcome == "success" and claim.restorable_to == {"Second": 10}
    assert manifest_of(again).previous == manifest_of(full).set_id
    (full / "manifest.json").unlink()
    claim = run(server, task(JobKind.INCREMENTAL, tmp_path / "x", full, groups=("Second",)))
    assert claim.outcome == "success" and claim.restorable_to == {}


# --- restores


def restore_task(*sets: Path, groups: tuple[str, ...] = (), **more: Any) -> Task:
    """A restore, as the harness asks for it."""
    names = groups or ("First Storage Group", "Second")
    unused = sets[0].parent / "unused"
    return Task(JobKind.RESTORE, SERVER, INFORMATION_STORE, names, unused, sets, **more)


def test_a_restore(restorer: RestoringServer, tmp_path: Path) -> None:
    full, inc = tmp_path / "full", tmp_path / "inc"
    run(restorer, task(JobKind.FULL, full))
    restorer.groups[0].work(4)
    run(restorer, task(JobKind.INCREMENTAL, inc, full))
    claim = run(restorer, restore_task(full, inc))
    assert (claim.outcome, claim.reason, claim.files) == ("success", "", ())
    assert claim.restorable_to == {"First Storage Group": 11, "Second": 7}
    assert restorer.completed[0].flags == 0 and restorer.completed[0].target is None
    assert not (tmp_path / "unused").exists()
    claim = run(restorer, restore_task(full, inc, mount=True, play_forward=True, parallel=True))
    assert claim.outcome == "success" and claim.restorable_to is None
    assert restorer.completed[2].flags == 1
    assert {c.target for c in restorer.completed[2:]} == {"First Storage Group", "Second"}


def test_a_restore_of_one_database_into_another_group(
    restorer: RestoringServer, tmp_path: Path
) -> None:
    run(restorer, task(JobKind.FULL, tmp_path / "full"))
    restorer.file_level = True
    of = restore_task(
        tmp_path / "full",
        groups=("First Storage Group",),
        databases=("Store pub1",),
        target="Second",
        files=restorer.files,
    )
    claim = run(restorer, of)
    assert claim.outcome == "failure" and "and not into storage group 'Second'" in claim.reason
    restorer.groups[1].stores = (Store("pub1", 9, folder="D:\\"),)
    assert run(restorer, of).outcome == "success"
    assert {"D:\\pub1.edb", "D:\\pub1.stm"} < set(restorer.disk)


def test_restores_that_fail(restorer: RestoringServer, tmp_path: Path) -> None:
    full = tmp_path / "full"
    run(restorer, task(JobKind.FULL, full))
    restorer.fail("restore_complete", EseBackupError.from_jet(-543, "restore_complete"))
    claim = run(restorer, restore_task(full))
    assert claim.outcome == "failure" and "First Storage Group: restore_complete" in claim.reason
    assert claim.restorable_to == {"Second": 6}
    flip(full / "Second" / "priv2.edb", 9000)
    restorer.calls.clear()
    claim = run(restorer, restore_task(full))
    assert claim.outcome == "failure" and "can't be restored from these sets" in claim.reason
    assert restorer.calls == []


def test_what_it_says_it_can_do() -> None:
    assert set(capabilities) == {capability.value for capability in Capability}
