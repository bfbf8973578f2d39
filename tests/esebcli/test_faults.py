"""Each fault at each call of a backup of a simulated server, against the published table.

Whatever happens, no log is lost: it is on the server, or in a complete set, or older than the
images of a complete full.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import pytest

from eseback.api import BackupApi
from eseback.constants import InstanceEnd
from eseback.errors import EseBackupError
from esebcli.job import BackupJob, BackupRequest
from esebcli.manifest import Kind, SavedGroup, State, Truncation
from esebcli.verify import verify_sets
from esesim.faults import FaultAction, FaultInjector, FaultPlan, FaultRule, When
from esesim.layer import ApiLayer
from esesim.server import SimulatedServer
from tests.esebcli.support_jobs import findings_of, manifest_of
from tests.esebcli.support_simulator import FIRST, Frozen, is_busy, logs_on, save, topology_of
from tools.client_faults import MEANINGS, ROWS, Fault, Outcome, faults_page

pytestmark = pytest.mark.uncovered

R = TypeVar("R")
KINDS = (Kind.FULL, Kind.COPY, Kind.INCREMENTAL, Kind.DIFFERENTIAL)
OUTCOMES: Mapping[str, Mapping[Fault, Outcome]] = {row.method: row.outcomes for row in ROWS}


@cache
def prepared() -> Frozen:
    """A server with one group that was fully backed up and has been used since."""
    server = SimulatedServer(topology_of("minimal"))
    with TemporaryDirectory() as folder:
        assert save(server, Path(folder) / "full").ok
    server.run_workload(FIRST, 40)
    return Frozen.of(server)


class Calls(ApiLayer):
    """Notes each call that the client makes: its method, and the flag of InstanceEnd."""

    def __init__(self, api: BackupApi) -> None:
        super().__init__(api)
        self.methods: list[str] = []
        self.ends: list[object] = []

    def around(self, method: str, function: Callable[..., R], arguments: Mapping[str, Any]) -> R:
        self.methods.append(method)
        if method == "backup_instance_end":
            self.ends.append(arguments["flags"])
        return super().around(method, function, arguments)


@cache
def undisturbed(kind: Kind) -> tuple[str, ...]:
    """The calls of a clean run."""
    server = prepared().start()
    calls = Calls(server.session())
    with TemporaryDirectory() as folder:
        assert save(server, Path(folder) / "set", kind, api=calls).ok
    return tuple(calls.methods)


def _cases() -> Iterator[Any]:
    for kind in KINDS:
        for row in ROWS:
            if row.truncating_only and not kind.truncates:
                continue
            for fault in Fault:
                for which in ("first", "middle", "last"):
                    name = f"{kind.value}-{row.method}-{which}-{fault.name.lower()}"
                    yield pytest.param(kind, row.method, which, fault, id=name)


def _rule(kind: Kind, method: str, which: str, fault: Fault) -> FaultRule:
    count = undisturbed(kind).count(method)
    nth = {"first": 1, "middle": (count + 1) // 2, "last": count}[which]
    drops = fault in (Fault.DROP_BEFORE, Fault.DROP_AFTER)
    return FaultRule(
        FaultAction.DROP if drops else FaultAction.HRESULT,
        call=method,
        nth=nth,
        when=When.BEFORE if fault in (Fault.ERROR_BEFORE, Fault.DROP_BEFORE) else When.AFTER,
        hresult=None if drops else 0x80070BAD,  # in no table
    )


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """What has to be synchronised, and when, is shown elsewhere."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.mark.parametrize(("kind", "method", "which", "fault"), list(_cases()))
def test_the_table(tmp_path: Path, kind: Kind, method: str, which: str, fault: Fault) -> None:
    server = prepared().start()
    before = logs_on(server)
    plan = FaultPlan([_rule(kind, method, which, fault)])
    calls = Calls(FaultInjector(server.session(), plan, server))
    folder = tmp_path / "set"
    outcome = OUTCOMES[method][fault]
    if outcome is Outcome.NOTHING:
        with pytest.raises(EseBackupError):
            save(server, folder, kind, api=calls)
        assert not folder.exists() and calls.methods == [method]
        saved = None
    else:
        result = save(server, folder, kind, api=calls)
        assert not result.ok and len(result.reasons) == 1
        saved = manifest_of(folder).groups[0]
        assert saved == result.manifest.groups[0]
        check = _check_abandoned if outcome is Outcome.ABANDONED else _check_sealed
        check(folder, kind, method, calls, saved)
    assert plan.unfired == ()
    # The group is free for the next backup, also where the connection is gone.
    assert not is_busy(server)
    gone = before - logs_on(server)
    if outcome is not Outcome.SEALED or not kind.truncates:
        assert gone == set()
    else:
        assert saved is not None and saved.logs is not None
        needless = saved.logs.low if kind.has_databases else 0
        assert gone <= {*range(needless), *range(saved.logs.low, saved.logs.high + 1)}
        # Logs are gone if truncation took effect: the rule above is about something.
        refused = method == "backup_truncate_logs" and plan.counts[0].rule.when is When.BEFORE
        assert bool(gone) is not refused


def _check_abandoned(
    folder: Path, kind: Kind, method: str, calls: Calls, group: SavedGroup
) -> None:
    assert group.state is State.INCOMPLETE and group.logs is None and group.error
    assert group.truncation is Truncation.NOT_ASKED and group.deletable_logs == ()
    assert "backup_truncate_logs" not in calls.methods
    assert calls.ends == ([] if method == "backup_setup" else [InstanceEnd.ERROR])
    assert calls.methods[-1] == "backup_end" and calls.methods.count("backup_end") == 1
    report = verify_sets([folder])
    assert not report.ok and report.restorable_to(FIRST) is None
    assert "incomplete and can't be restored" in findings_of(report)[0]


def _check_sealed(folder: Path, kind: Kind, method: str, calls: Calls, group: SavedGroup) -> None:
    assert group.state is State.COMPLETE and group.logs is not None
    assert group.truncation is (Truncation.UNKNOWN if kind.truncates else Truncation.NOT_ASKED)
    assert group.error and "all files are saved" in group.error
    assert calls.ends == [InstanceEnd.SUCCESS] and calls.methods[-1] == "backup_end"
    report = verify_sets([folder])
    assert report.ok
    assert report.restorable_to(FIRST) == (group.logs.high if kind.has_databases else None)


@pytest.mark.parametrize("kind", KINDS)
def test_the_rows_are_the_calls_of_a_backup(kind: Kind) -> None:
    """Every call that is made has a row, and every row is made."""
    expected = {row.method for row in ROWS if kind.truncates or not row.truncating_only}
    assert set(undisturbed(kind)) == expected
    # Several reads, opens and closes: a middle one is neither the first nor the last.
    if kind.has_databases:
        assert undisturbed(kind).count("backup_close_file") >= 3


@pytest.mark.parametrize("fault", [Fault.ERROR_BEFORE, Fault.DROP_AFTER])
def test_only_the_group_that_was_hit_fails(tmp_path: Path, fault: Fault) -> None:
    """Two groups over a session each, in threads; one session is disturbed."""
    server = SimulatedServer(topology_of("demo"))
    second = server.groups[1].name
    plan = FaultPlan(
        [
            FaultRule(
                FaultAction.HRESULT if fault is Fault.ERROR_BEFORE else FaultAction.DROP,
                call="backup_get_log_and_patch_files",
                group=second,
                when=When.BEFORE if fault is Fault.ERROR_BEFORE else When.AFTER,
                jet=-529 if fault is Fault.ERROR_BEFORE else None,
            )
        ]
    )
    request = BackupRequest(
        server.topology.server.name, [FIRST, second], Kind.FULL, tmp_path / "set", parallel=2
    )
    result = BackupJob(lambda: FaultInjector(server.session(), plan, server), request).run()
    assert plan.unfired == () and not result.ok and len(result.reasons) == 1
    states = [(group.state, group.truncation) for group in manifest_of(tmp_path / "set").groups]
    assert states == [
        (State.COMPLETE, Truncation.DONE),
        (State.INCOMPLETE, Truncation.NOT_ASKED),
    ]
    assert not is_busy(server, FIRST) and not is_busy(server, second)


def test_the_page_says_it_all() -> None:
    page = faults_page().partition("## Restore")[0]
    for meaning in MEANINGS.values():
        assert meaning in page
    table = [line for line in page.splitlines() if line.startswith("| `")]
    assert len(table) == len(ROWS)
    for line, row in zip(table, ROWS, strict=True):
        cells = [cell.strip() for cell in line.strip("|").split("|")][1:]
        assert cells == [row.outcomes[fault].value for fault in Fault]
