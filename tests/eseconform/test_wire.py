"""The wire in front of a job's chain: what arrives, what is left behind, and how it breaks."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
from attrs import evolve

from eseback.api import BackupApi
from eseback.constants import INFORMATION_STORE, BackupType
from eseback.errors import ConnectionLost, EseBackupError
from esebcli.transports import open_transport
from eseconform.cases import catalogue, topology_of
from eseconform.cli import run
from eseconform.errors import HarnessError, UsageError
from eseconform.explore import Scenario, Shape
from eseconform.judge.teardown import GroupState, Leftovers
from eseconform.runner import run_case
from eseconform.stage import Connection, Stage
from eseconform.sut import Sut
from eseconform.task import Claim, JobKind, Outcome, Task
from eseconform.transports import Transport
from eseconform.verdicts import Verdict
from eseconform.wire import Association, Wire, WireClient
from esesim.faults import FaultAction, FaultPlan, FaultRule
from esesim.layer import ApiLayer
from esesim.session import Session
from tests.support.conformance import case, settings

R = TypeVar("R")
PATIENCE = 10.0
BACKUP_BROKEN_OFF = 215


@contextmanager
def job(folder: Path, *rules: FaultRule) -> Iterator[tuple[Stage, Connection]]:
    """A quiet server, and a job's connection to it with a wire in front."""
    with Stage(topology_of(case("sanity"), catalogue()), seed=1) as stage:
        plan, transcript = FaultPlan(rules), folder / "transcript.jsonl"
        connection = Connection.open(stage, plan, transcript, transport=Transport.RPC)
        try:
            yield stage, connection
        finally:
            connection.close()


def wire_of(connection: Connection) -> Wire:
    assert connection.wire is not None
    return connection.wire


def begin(stage: Stage, api: BackupApi) -> int:
    """A backup with a file open."""
    context, instances = api.backup_prepare(stage.name, INFORMATION_STORE)
    api.backup_setup(context, instances[0].instance_id, BackupType.FULL)
    api.backup_open_file(context, instances[0].databases[0].streams[0])
    return context


def events_of(stage: Stage) -> list[int]:
    return [event.id for event in stage.server.events]


# ---- serving


def test_any_client_is_served_at_the_endpoint(tmp_path: Path) -> None:
    with job(tmp_path) as (stage, connection):
        transport = open_transport(wire_of(connection).endpoint)
        context, _ = transport.session().backup_prepare(stage.name, INFORMATION_STORE)
        transport.close()
        assert context == 1
        assert [record.method for record in connection.records()] == ["backup_prepare"]


def test_what_a_client_that_died_left_behind_is_not_forgotten(tmp_path: Path) -> None:
    with job(tmp_path) as (stage, connection):
        transport = open_transport(wire_of(connection).endpoint)
        begin(stage, transport.session())
        held = connection.leftovers()
        assert (held.contexts, held.groups[0].held, held.groups[0].file_open) == (1, True, True)
        transport.close()
        wire_of(connection).wait_for_end()
        assert BACKUP_BROKEN_OFF in events_of(stage)
        assert not stage.backs_up(stage.groups[0])
        assert connection.leftovers() == held


def test_a_restore_that_was_left_behind_counts_too(tmp_path: Path) -> None:
    with job(tmp_path) as (stage, connection):
        api = wire_of(connection).connect()
        api.restore_open(stage.name, INFORMATION_STORE, stage.groups[0], "C:\\restore")
        api.hang_up()
        left = connection.leftovers()
        assert (left.restores, left.instances, left.contexts) == (1, 1, 0)
        assert not stage.server.restores


def test_who_gives_everything_back_leaves_nothing(tmp_path: Path) -> None:
    with job(tmp_path) as (stage, connection):
        api = connection.client()
        api.backup_end(begin(stage, api))
        assert connection.leftovers().contexts == 0
        assert not any(group.held or group.file_open for group in connection.leftovers().groups)


def test_leftovers_add_up() -> None:
    one = Leftovers(2, (GroupState("A", True, True), GroupState("B", False, False)), 1, 1)
    rest = Leftovers(1, (GroupState("A", False, False), GroupState("B", False, False)))
    gone = one.minus(rest)
    assert (gone.contexts, gone.restores, gone.instances) == (1, 1, 1)
    assert rest.plus(gone) == one
    assert rest.plus(one.minus(one)) == rest


def test_a_client_that_was_killed_comes_again_and_finds_its_contexts_gone(tmp_path: Path) -> None:
    with job(tmp_path) as (stage, connection):
        api = wire_of(connection).connect()
        context = begin(stage, api)
        assert api.holds(context)
        api.hang_up()
        assert BACKUP_BROKEN_OFF in events_of(stage)
        with pytest.raises(EseBackupError, match="hrInvalidHandle"):
            api.backup_get_log_and_patch_files(context)
        begin(stage, api)
        # The call on a dead context was seen, although no stub would have sent it.
        last = connection.records()[3]
        assert (last.method, last.arguments["context"]) == ("backup_get_log_and_patch_files", 1)
        assert last.error is not None


# ---- threads


class Meeting(ApiLayer):
    """Its calls end when two of them are there."""

    def __init__(self, api: BackupApi) -> None:
        super().__init__(api)
        self.barrier = threading.Barrier(2, timeout=PATIENCE)

    def around(self, method: str, function: Callable[..., R], arguments: Mapping[str, Any]) -> R:
        self.barrier.wait()
        return function(**arguments)


def test_threads_make_calls_at_the_same_time(tmp_path: Path) -> None:
    with job(tmp_path) as (_, connection), Wire(Meeting(connection.gate), connection.lost) as wire:
        api = wire.connect()
        threads = [threading.Thread(target=api.get_nodes, args=(None,)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wire.connections == 2
        assert len(connection.records()) == 2
        api.hang_up()
        assert wire.connections == 1


# ---- breaking


def test_a_dropped_connection_is_one(tmp_path: Path) -> None:
    drop = FaultRule(FaultAction.DROP, "backup_open_file")
    with job(tmp_path, drop) as (stage, connection):
        api = connection.client()
        with pytest.raises(ConnectionLost):
            begin(stage, api)
        wire_of(connection).wait_for_end()
        # What comes after it was not sent either, and is seen as in process.
        with pytest.raises(ConnectionLost):
            api.backup_end(1)
        assert [record.error.lost for record in connection.records() if record.error] == [True] * 2
        assert connection.leftovers().contexts == 0
        assert connection.broken is None


class Stuck(ApiLayer):
    """Never answers."""

    def __init__(self, api: BackupApi) -> None:
        super().__init__(api)
        self.called, self.freed = threading.Event(), threading.Event()

    def around(self, method: str, function: Callable[..., R], arguments: Mapping[str, Any]) -> R:
        self.called.set()
        self.freed.wait(PATIENCE)
        return function(**arguments)


def test_a_gate_that_shuts_breaks_calls_that_are_under_way(tmp_path: Path) -> None:
    with job(tmp_path) as (_, connection):
        stuck = Stuck(connection.gate)
        with Wire(stuck, connection.lost) as wire:
            connection.gate.on_shut = wire.cut
            ended: list[Exception] = []

            def call(api: BackupApi) -> None:
                try:
                    api.get_nodes(None)
                except ConnectionLost as error:
                    ended.append(error)

            thread = threading.Thread(target=call, args=(wire.connect(),))
            thread.start()
            assert stuck.called.wait(PATIENCE)
            connection.gate.shut()
            thread.join(PATIENCE)
            stuck.freed.set()
            assert len(ended) == 1


def test_a_client_that_hangs_is_given_up(tmp_path: Path) -> None:
    def hangs(api: BackupApi, task: Task) -> Claim:
        while True:
            api.get_nodes(None)

    with job(tmp_path) as (stage, connection):
        task = Task(JobKind.FULL, stage.name, INFORMATION_STORE, stage.groups, tmp_path)
        answer = connection.run(Sut("python:tests:client", hangs), task, 0.2)
        assert answer.claim is None
        assert not answer.still_running
        assert connection.broken is None


def test_a_wire_that_fails_by_itself_is_not_blamed_on_the_client(tmp_path: Path) -> None:
    def unlucky(api: BackupApi, task: Task) -> Claim:
        assert isinstance(api, WireClient)
        api.close()
        api.get_nodes(None)  # which nobody has forbidden
        return Claim(Outcome.FAILURE)

    one = evolve(settings(tmp_path, unlucky), transport=Transport.RPC)
    result = run_case(case("sanity"), one)
    assert result.verdict is Verdict.ERROR
    assert "get_nodes was not sent, and would have succeeded" in result.note


def test_a_simulator_that_breaks_is_not_blamed_on_the_client(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(session: Session, computer: str | None) -> None:
        raise ZeroDivisionError("the simulator's own bug")

    monkeypatch.setattr(Session, "get_nodes", broken)

    def asks(api: BackupApi, task: Task) -> Claim:
        api.get_nodes(None)
        return Claim(Outcome.FAILURE)

    result = run_case(case("sanity"), evolve(settings(tmp_path, asks), transport=Transport.RPC))
    assert result.verdict is Verdict.ERROR
    assert "ZeroDivisionError" in result.note


def test_waiting_for_an_end_that_does_not_come_is_our_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eseconform.wire._PATIENCE_SECONDS", 0.01)
    with job(tmp_path) as (_, connection):
        wire_of(connection).connect().get_nodes(None)
        with pytest.raises(HarnessError, match="does not notice"):
            wire_of(connection).wait_for_end()


# ---- as an option


def test_the_option_reaches_cases_and_reports(tmp_path: Path) -> None:
    sut = "python:eseconform.zoo:drops_log"
    out = str(tmp_path)
    options = ["--transport", "rpc", "--jobs", "2", "--out", out]
    assert run(["check", "--sut", sut, "--case", "truncation", "--case", "bad-log", *options]) == 1
    plain = json.loads((tmp_path / "results.json").read_text("utf-8"))
    assert plain["transport"] == "rpc"
    line = next(c["reproduce"] for c in plain["cases"] if c["id"] == "truncation")
    assert line == f"eseconform check --sut {sut} --case truncation --seed 1 --transport rpc"
    assert "seed 1, over rpc, " in (tmp_path / "summary.md").read_text("utf-8")
    assert "<dt>over</dt><dd>rpc</dd>" in (tmp_path / "index.html").read_text("utf-8")


def test_the_option_reaches_checks_of_servers(tmp_path: Path) -> None:
    spec = "inproc:keeps_group_of_lost_client"
    options = ["--transport", "rpc", "--out", str(tmp_path)]
    assert run(["check", "--server", spec, "--case", "freed-by-hang-up", *options]) == 1
    plain = json.loads((tmp_path / "results.json").read_text("utf-8"))
    assert plain["transport"] == "rpc"
    assert plain["cases"][0]["reproduce"].endswith("--seed 1 --transport rpc")


def test_the_option_reaches_the_exploration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fuzz = ["fuzz", "--examples", "1", "--steps", "10", "--seed", "1", "--transport", "rpc"]
    assert run([*fuzz, "--out", str(tmp_path)]) == 0
    assert "1 servers, 10 steps on each, over rpc, seed 1" in capsys.readouterr().out


def test_a_scenario_says_how_its_server_was_reached() -> None:
    scenario = Scenario(Shape(transport=Transport.RPC))
    assert 'transport = "rpc"' in scenario.to_toml()
    assert Scenario.from_toml(scenario.to_toml()) == scenario
    with pytest.raises(UsageError, match="transport 'pigeon': inproc, rpc are there"):
        Scenario.from_dict({"shape": {"transport": "pigeon"}, "steps": []})


def test_the_reference_client_passes_over_the_wire(tmp_path: Path) -> None:
    result = run_case(case("sanity"), evolve(settings(tmp_path), transport=Transport.RPC))
    assert result.verdict is Verdict.PASS, result.divergence or result.note


def test_a_thread_that_finds_the_server_gone_loses_its_connection(tmp_path: Path) -> None:
    with job(tmp_path) as (_, connection):
        association = Association(*wire_of(connection).address)
        ended: list[str] = []
        with association._connection("get_nodes"):  # one call is under way
            wire_of(connection).close()
            for _ in range(2):
                with pytest.raises(ConnectionLost) as caught:
                    association.call("get_nodes", 0, ())
                ended.append(caught.value.detail)
        assert ended[0] == ended[1] != ""
