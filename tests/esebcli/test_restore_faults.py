"""Each fault at each call of a restore to a simulated server, against the published table.

Whatever happens, the restore can be made again, and gives the same rows as an undisturbed one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import pytest
from attrs import frozen

from eseback.api import BackupApi
from eseback.constants import RestoreClose
from esebcli.manifest import Kind
from esebcli.restoredata import Outcome
from esesim.faults import FaultAction, FaultInjector, FaultPlan, FaultRule, When
from esesim.layer import ApiLayer
from esesim.server import SimulatedServer
from tests.esebcli.support_simulator import (
    Frozen,
    TruthRows,
    free,
    on_disk,
    restore,
    save,
    topology_of,
    unlike,
)
from tools.client_faults import (
    RESTORE_MEANINGS,
    RESTORE_ROWS,
    Fault,
    RestoreOutcome,
    RestoreRow,
    faults_page,
)

pytestmark = pytest.mark.uncovered

R = TypeVar("R")
OUTCOMES = {
    RestoreOutcome.UNTOUCHED: Outcome.UNTOUCHED,
    RestoreOutcome.UNFINISHED: Outcome.UNFINISHED,
    RestoreOutcome.RECOVERED: Outcome.RECOVERED,
}


@frozen
class Prepared:
    """A server with one group, a full and an incremental of it, and the rows of their restore."""

    start: Frozen
    sets: tuple[Path, Path]
    rows: TruthRows
    calls: tuple[str, ...]


class Calls(ApiLayer):
    """Notes each call that the client makes: its method, and the flag of Close."""

    def __init__(self, api: BackupApi) -> None:
        super().__init__(api)
        self.methods: list[str] = []
        self.closes: list[object] = []

    def around(self, method: str, function: Callable[..., R], arguments: Mapping[str, Any]) -> R:
        self.methods.append(method)
        if method == "restore_close":
            self.closes.append(arguments["flag"])
        return super().around(method, function, arguments)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """Everything that the faults disturb, undisturbed."""
    folder = tmp_path_factory.mktemp("sets")
    sets = folder / "full", folder / "inc"
    server = SimulatedServer(topology_of("minimal"))
    assert save(server, sets[0]).ok
    server.run_workload(server.groups[0].name, 60)
    assert save(server, sets[1], Kind.INCREMENTAL, previous=sets[0]).ok
    start = Frozen.of(server)
    with start.start() as server:
        free(server)
        calls = Calls(server.session())
        assert restore(server, *sets, api=calls).ok
        return Prepared(start, sets, on_disk(server), tuple(calls.methods))


def _cases() -> Iterator[Any]:
    for row in RESTORE_ROWS:
        for fault in Fault:
            for which in ("first", "middle", "last") if row.nth is None else ("only",):
                at = row.at.replace(" ", "_") or which
                yield pytest.param(row, which, fault, id=f"{row.method}-{at}-{fault.name.lower()}")


def _rule(prepared: Prepared, row: RestoreRow, which: str, fault: Fault) -> FaultRule:
    count = prepared.calls.count(row.method)
    nth = {"first": 1, "middle": (count + 1) // 2, "last": count, "only": row.nth or 0}[which]
    drops = fault in (Fault.DROP_BEFORE, Fault.DROP_AFTER)
    return FaultRule(
        FaultAction.DROP if drops else FaultAction.HRESULT,
        call=row.method,
        nth=nth,
        when=When.BEFORE if fault in (Fault.ERROR_BEFORE, Fault.DROP_BEFORE) else When.AFTER,
        hresult=None if drops else 0x80070BAD,  # in no table
    )


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """What has to be synchronised, and when, is shown elsewhere."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def files_of(server: SimulatedServer) -> dict[str, bytes]:
    """The databases, byte for byte."""
    stores = server.groups[0].spec.stores
    return {name: server.files.read(name) for store in stores for name in store.streams}


@pytest.mark.parametrize(("row", "which", "fault"), list(_cases()))
def test_the_table(prepared: Prepared, row: RestoreRow, which: str, fault: Fault) -> None:
    with prepared.start.start() as server:
        free(server)
        before = files_of(server)
        plan = FaultPlan([_rule(prepared, row, which, fault)])
        session = server.session()
        calls = Calls(FaultInjector(session, plan, server))
        result = restore(server, *prepared.sets, api=calls)
        assert plan.unfired == ()
        (group,) = result.groups
        assert not result.ok and len(result.reasons) == 1 and group.error
        assert group.outcome is OUTCOMES[row.outcome]
        if row.outcome is RestoreOutcome.UNTOUCHED:
            assert files_of(server) == before
        _check_calls(row, fault, calls)
        if row.method in ("restore_open", "restore_reopen") and fault is Fault.ERROR_AFTER:
            # The client never heard of the context: it goes with the connection.
            assert len(server.restores) == 1
            session.connection_lost()
        assert server.restores == (), "nothing is held any more, also where the connection is gone"
        if row.outcome is RestoreOutcome.RECOVERED:
            assert unlike(prepared.rows, on_disk(server)) == []
        free(server)
        again = restore(server, *prepared.sets)
        assert again.ok, again.reasons
        assert unlike(prepared.rows, on_disk(server)) == []


def _check_calls(row: RestoreRow, fault: Fault, calls: Calls) -> None:
    """The context is given back, once, and last of all."""
    gives_context = row.method in ("restore_open", "restore_reopen")
    if row.outcome is RestoreOutcome.RECOVERED:
        assert calls.closes == [RestoreClose.NORMAL] * 3, "it is tried again"
    elif not gives_context:
        assert calls.closes[-1] is RestoreClose.ABORT
        assert calls.closes.count(RestoreClose.ABORT) == 1
    else:
        assert RestoreClose.ABORT not in calls.closes
    assert calls.methods[-1] == (row.method if gives_context else "restore_close")
    if row.method in ("restore_write_file", "restore_close_file"):
        assert calls.methods[-2] == "restore_close_file"
    completes = calls.methods.count("restore_complete")
    assert completes == (row.outcome is RestoreOutcome.RECOVERED or row.method.endswith("complete"))


def test_the_rows_are_the_calls_of_a_restore(prepared: Prepared) -> None:
    """Every call that is made has a row, and every row is made."""
    assert set(prepared.calls) == {row.method for row in RESTORE_ROWS}
    assert prepared.calls.count("restore_close") == 2
    # Several opens and writes: a middle one is neither the first nor the last.
    assert min(prepared.calls.count(f"restore_{name}_file") for name in ("open", "write")) >= 3


def test_the_page_says_it_all() -> None:
    page = faults_page().partition("## Restore")[2]
    for meaning in RESTORE_MEANINGS.values():
        assert meaning in page
    table = [line for line in page.splitlines() if line.startswith("| `")]
    assert len(table) == len(RESTORE_ROWS)
    for line, row in zip(table, RESTORE_ROWS, strict=True):
        cells = [cell.strip() for cell in line.strip("|").split("|")][1:]
        assert cells == [row.outcome.value] * len(Fault)
