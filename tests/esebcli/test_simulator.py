"""The client against the simulator: real engine files, a workload between any two calls."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from eseback.constants import INFORMATION_STORE
from esebcli.discovery import find_computer, find_groups
from esebcli.job import BackupJob, BackupRequest, JobResult
from esebcli.manifest import Kind, State, Truncation
from esebcli.transports import Transport
from esebcli.verify import verify_sets
from esesim.inproc import open_transport
from esesim.server import SimulatedServer

FIRST, SECOND = "First Storage Group", "Second Storage Group"


@pytest.fixture
def simulator() -> Iterator[SimulatedServer]:
    """The packaged demo: two groups of two stores each under a mail workload."""
    with open_transport("demo") as server:
        yield server


def back_up(
    server: SimulatedServer, folder: Path, kind: Kind, previous: Path | None = None
) -> JobResult:
    session = server.session()
    computer = find_computer(session, INFORMATION_STORE)
    groups = find_groups(session, computer, INFORMATION_STORE)
    assert groups == (FIRST, SECOND)
    request = BackupRequest(computer, groups, kind, folder, previous=previous, parallel=2)
    return BackupJob(server.session, request).run()


def test_a_simulated_server_is_a_transport(simulator: SimulatedServer) -> None:
    assert isinstance(simulator, Transport)


def test_all_kinds_in_a_chain(simulator: SimulatedServer, tmp_path: Path) -> None:
    plan = [
        ("full", Kind.FULL, None),
        ("inc1", Kind.INCREMENTAL, "full"),
        ("copy", Kind.COPY, None),
        ("inc2", Kind.INCREMENTAL, "inc1"),
        ("diff", Kind.DIFFERENTIAL, "inc2"),
    ]
    for name, kind, previous in plan:
        result = back_up(
            simulator, tmp_path / name, kind, tmp_path / previous if previous else None
        )
        assert result.ok, result.reasons
        expected = Truncation.DONE if kind.truncates else Truncation.NOT_ASKED
        assert {group.truncation for group in result.manifest.groups} == {expected}
    chain = [tmp_path / name for name in ("full", "inc1", "inc2", "diff")]
    report = verify_sets(chain)
    assert report.ok
    for group in result.manifest.groups:
        assert group.logs is not None
        assert report.restorable_to(group.name) == group.logs.high
    # The copy did not disturb the chain, and is a base of its own.
    assert verify_sets([tmp_path / "copy", *chain[2:]]).ok
    without = verify_sets([chain[0], *chain[2:]])
    assert not without.ok


def test_a_bad_page_costs_only_its_group(simulator: SimulatedServer, tmp_path: Path) -> None:
    path = simulator.groups[0].describe()
    assert path is not None
    simulator.damage_page(path.databases[0].streams[0])
    result = back_up(simulator, tmp_path / "full", Kind.FULL)
    first, second = result.manifest.groups
    assert first.state is State.INCOMPLETE and "-1018" in (first.error or "")
    assert second.state is State.COMPLETE and second.error is None
    report = verify_sets([tmp_path / "full"])
    assert report.restorable_to(FIRST) is None
    assert second.logs is not None and report.restorable_to(SECOND) == second.logs.high
