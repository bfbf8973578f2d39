"""The server direction: the simulator passes every check, each broken server is found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from attrs import evolve

from eseback.order import BackupCall, BackupState, backup_cell
from eseconform import cli
from eseconform.errors import UsageError
from eseconform.events import EventStream
from eseconform.judge.protocol import order_of
from eseconform.report.killpage import kill_markdown
from eseconform.report.serverkills import SERVER_PAGE, server_page
from eseconform.serverside.bench import Check
from eseconform.serverside.ordering import calls_of, path_to
from eseconform.serverside.rules import server_rules
from eseconform.serverside.run import CHECKS, chosen_checks, run_check, run_checks
from eseconform.serverside.target import Ability, InProcess, Target, load_target
from eseconform.verdicts import ExitCode, Verdict
from eseconform.zoo.servermatrix import ServerRow, run_server_matrix
from eseconform.zoo.servers import SERVER_MUTANTS, ServerMutant
from esesim.server import SimulatedServer
from tests.support.killpages import CommittedPage

PLAIN = load_target("inproc")


def check_of(key: str) -> Check:
    (check,) = chosen_checks([key])
    return check


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.id)
def test_the_simulator_passes(check: Check) -> None:
    result = run_check(check, PLAIN, 1)
    assert result.verdict is Verdict.PASS, result.divergence or result.note


@pytest.mark.parametrize("mutant", SERVER_MUTANTS, ids=lambda mutant: mutant.name)
def test_every_broken_server_is_found_by_its_rule(mutant: ServerMutant) -> None:
    result = run_check(check_of(mutant.check), load_target(mutant.spec), 1)
    assert result.verdict is Verdict.FAIL, result.note
    failed = {f.requirement for f in result.findings if f.verdict is Verdict.FAIL}
    assert mutant.rule in failed
    assert mutant.rule in result.divergence


def test_the_zoo_has_its_servers() -> None:
    assert len(SERVER_MUTANTS) >= 30
    assert len({mutant.name for mutant in SERVER_MUTANTS}) == len(SERVER_MUTANTS)
    assert all(mutant.explanation.endswith(".") for mutant in SERVER_MUTANTS)


def test_every_rule_is_broken_by_a_server_of_the_zoo() -> None:
    assert {mutant.rule for mutant in SERVER_MUTANTS} == set(server_rules())


def test_every_rule_has_a_check_and_every_check_known_rules() -> None:
    named = {rule for check in CHECKS for rule in check.rules}
    assert named == {rule.id for rule in server_rules().values()}
    assert len({check.id for check in CHECKS}) == len(CHECKS)


def test_the_walks_cover_what_a_client_decides_on() -> None:
    for state in BackupState:
        calls = set(calls_of(state, frozenset(Ability)))
        chosen = {call for call in BackupCall if call.chosen_by_client}
        assert chosen <= calls
        reached = BackupState.PREPARED
        for call in path_to(state):
            reached = backup_cell(reached, call).next_state
        assert reached is state
    without = set(calls_of(BackupState.LOGS, frozenset()))
    assert without.isdisjoint({BackupCall.MOUNT, BackupCall.STOP_BY_SERVER})


class _CallsOnly(InProcess):
    """A server that offers nothing but its calls."""

    abilities = frozenset()


def test_checks_that_need_more_than_the_server_offers_do_not_apply() -> None:
    target = Target("calls", lambda seed: _CallsOnly(SimulatedServer, seed))
    assert run_check(check_of("mount-lock"), target, 1).verdict is Verdict.NOT_APPLICABLE
    assert run_check(check_of("order-logs"), target, 1).verdict is Verdict.PASS


class _Breaking(InProcess):
    def work(self, steps: int) -> None:
        raise ZeroDivisionError("the server's own bug")


def test_a_server_that_breaks_off_is_a_verdict() -> None:
    target = Target("breaking", lambda seed: _Breaking(SimulatedServer, seed))
    result = run_check(check_of("list-stable"), target, 1)
    assert result.verdict is Verdict.CRASH
    assert "ZeroDivisionError" in result.divergence


def test_several_processes_give_the_same_results() -> None:
    checks = chosen_checks(["two-clients", "sizes"])
    alone = run_checks(checks, PLAIN, 1, EventStream())
    shared = run_checks(checks, PLAIN, 1, EventStream(), jobs=2)
    assert [(c.id, c.verdict) for c in alone.cases] == [(c.id, c.verdict) for c in shared.cases]
    assert alone.exit_code is shared.exit_code is ExitCode.OK


def test_unknown_servers_and_checks_are_named() -> None:
    with pytest.raises(UsageError, match="has no server 'unicorn'; it has opens_database"):
        load_target("inproc:unicorn")
    with pytest.raises(UsageError, match="only inproc"):
        load_target("rpc:localhost:135")
    with pytest.raises(UsageError, match="matches none"):
        chosen_checks(["unicorn"])


def test_the_command_line_judges_servers(tmp_path: Path) -> None:
    out = ["--out", str(tmp_path)]
    assert cli.run(["check", "--server", "inproc", "--case", "sizes", *out]) == 0
    broken = ["check", "--server", "inproc:promises_size_on_disk", "--case", "sizes", *out]
    assert cli.run(broken) == 1
    results = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert results["cases"][0]["id"] == "sizes"
    assert "ESE-SRV-READ-001" in results["rules"]
    assert (tmp_path / "junit.xml").is_file()
    assert cli.run(["check", *out]) == 4
    assert cli.run(["check", "--server", "inproc", "--sut", "python:a:b", *out]) == 4
    assert cli.run(["show", "ESE-SRV-TRN-001"]) == 0
    assert cli.run(["list", "--servers"]) == 0


# --- versions


ON_2000 = ("order-databases", "order-database-open", "order-logs", "truncated-in-vain")


@pytest.mark.parametrize("key", ON_2000)
def test_exchange_2000_is_held_to_its_own_table(key: str) -> None:
    result = run_check(check_of(key), load_target("inproc:exchange-2000-sp2"), 1)
    assert result.verdict is Verdict.PASS, result.divergence


class _Takes2003(InProcess):
    """A server of Exchange 2000 that says it is a later one, and the other way round."""

    def __init__(self, profile: str, said: str) -> None:
        super().__init__(SimulatedServer, 1, profile=profile)
        self.order = order_of(said)


@pytest.mark.parametrize(
    ("profile", "said"),
    [("exchange-2000-sp2", "exchange-2003-sp1"), ("exchange-2003-sp1", "exchange-2000-sp2")],
)
def test_a_server_of_one_version_fails_by_the_table_of_the_other(profile: str, said: str) -> None:
    target = Target("mistaken", lambda seed: _Takes2003(profile, said))
    result = run_check(check_of("order-databases"), target, 1)
    assert result.verdict is Verdict.FAIL
    assert "open_unknown in databases" in " ".join(f.sentence for f in result.findings)


@pytest.mark.parametrize("key", ["pages", "list-closed", "full-restores"])
def test_patch_files_belong_to_a_backup_of_2000(key: str) -> None:
    result = run_check(check_of(key), load_target("inproc:exchange-2000-rtm"), 1)
    assert result.verdict is Verdict.PASS, result.divergence


# --- the kill matrix


def test_the_matrix_tells_right_from_wrong() -> None:
    mutant = next(m for m in SERVER_MUTANTS if m.name == "promises_size_on_disk")
    checks = chosen_checks(["sizes", "prepare"])
    matrix = run_server_matrix(seed=1, mutants=[mutant], checks=checks)
    assert matrix.problems() == ["check prepare: finds no mutant by its rule"]
    page = kill_markdown(server_page(evolve(matrix, whole=False)))
    assert "| sizes | **X** | 1 |" in page
    assert "| prepare | · | 0 |" in page
    assert "| 1 of 2 |" in page
    assert "| inproc | The simulator as it is. | 2 of 2 |" in page
    assert "None." in page


def test_a_mutant_without_a_bug_or_under_another_rule_is_reported() -> None:
    plain = ServerMutant("plain", SimulatedServer, "ESE-SRV-READ-001", "sizes")
    results = (run_check(check_of("sizes"), PLAIN, 1),)
    assert ServerRow(plain, results).problem == "survives: no check finds it"
    mutant = next(m for m in SERVER_MUTANTS if m.name == "promises_size_on_disk")
    found = (run_check(check_of("sizes"), load_target(mutant.spec), 1),)
    misfiled = ServerRow(evolve(mutant, rule="ESE-SRV-TRN-001"), found)
    assert misfiled.problem == "is found, but never by the rule ESE-SRV-TRN-001"
    assert ServerRow(None, found).problem == "the simulator does not pass sizes"


def test_the_committed_page_is_about_these_servers_and_checks() -> None:
    page = CommittedPage.read(SERVER_PAGE)
    assert page.mutants == [mutant.name for mutant in SERVER_MUTANTS]
    assert page.correct == ["inproc"]
    assert page.tests == [check.id for check in CHECKS]
    assert page.cells == len(SERVER_MUTANTS) + 1
    assert page.problems == "None."
