"""The command line: every exit code, and what is written where."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from eseconform.cases import catalogue
from eseconform.cli import run
from eseconform.results import from_json

REFERENCE = "python:eseconform.zoo:reference_client"
CLIENTS = """
from eseconform.zoo.reference import ReferenceClient
def raising(api, task):
    raise RuntimeError("no tape in the drive")
class Stopped(ReferenceClient):
    def run(self):
        return {"outcome": "failure", "reason": "not today"}
stopped = lambda api, task: Stopped(api, task).run()
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    import sys

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "cli_clients.py").write_text(CLIENTS)
    yield tmp_path
    sys.modules.pop("cli_clients", None)


def test_0_a_conformant_client(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", "--sut", REFERENCE, "--case", "bad-*", "--out", "out"]) == 0
    text = capsys.readouterr().out
    assert f"2 of {len(catalogue().cases)} cases selected, suite selection, seed 1" in text
    out = here / "out"
    assert from_json((out / "results.json").read_text("utf-8")).exit_code == 0
    assert (out / "junit.xml").is_file()
    events = [
        json.loads(line)["event"]
        for line in (out / "events.ndjson").read_text("utf-8").splitlines()
    ]
    assert events[0] == "run_started"
    assert events[-1] == "run_ended"
    assert events.count("case_ended") == 4
    assert (out / "cases" / "bad-log" / "transcript-1.jsonl").is_file()


def test_1_a_client_that_fails(capsys: pytest.CaptureFixture[str]) -> None:
    sut = "python:eseconform.zoo:ignores_read_error"
    assert run(["check", "--sut", sut, "--case", "bad-page"]) == 1
    text = capsys.readouterr().out
    assert "CRITICAL  bad-page" in text
    assert f"reproduce with: eseconform check --sut {sut} --case bad-page --seed 1" in text


def test_2_interrupted(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("eseconform.suite.run_case", interrupt)
    assert run(["check", "--sut", REFERENCE, "--case", "bad-page", "--out", "out"]) == 2
    assert from_json(Path("out/results.json").read_text("utf-8")).exit_code == 2


def test_2_interrupted_before_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("eseconform.sut.load_sut", interrupt)
    assert run(["check", "--sut", REFERENCE]) == 2


def test_3_an_error_of_the_simulator(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object, **keywords: object) -> None:
        raise ZeroDivisionError("in the engine")

    monkeypatch.setattr("esesim.session.Session.backup_setup", broken)
    assert run(["check", "--sut", REFERENCE, "--case", "bad-page"]) == 3


def test_3_an_error_of_the_harness(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*args: object) -> None:
        raise ZeroDivisionError("in the plan")

    monkeypatch.setattr("eseconform.suite.make_plan", broken)
    assert run(["check", "--sut", REFERENCE]) == 3
    assert "please report" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["check"], "Missing option '--sut'"),
        (["chekc"], "No such command"),
        (["check", "--sut", "exe:agent"], "write python:"),
        (["check", "--sut", "python:no_such_client:make"], "there is no module no_such_client"),
        (["check", "--sut", REFERENCE, "--suite", "nightly"], "there is no suite 'nightly'"),
        (
            ["check", "--sut", REFERENCE, "--case", "nope"],
            f"matches none of {len(catalogue().cases)} cases",
        ),
        (["check", "--sut", REFERENCE, "--seed", "x"], "'x' is not a valid integer"),
        (["check", "--sut", REFERENCE, "--out", "cli_clients.py"], "cli_clients.py"),
        (["show", "nothing"], "no case and no rule 'nothing'"),
    ],
)
def test_4_wrong_usage(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 4
    assert message in capsys.readouterr().err


def test_5_nothing_ran(monkeypatch: pytest.MonkeyPatch) -> None:
    from eseconform.suite import Plan

    monkeypatch.setattr("eseconform.suite.make_plan", lambda *args: Plan("default", (), 24))
    assert run(["check", "--sut", REFERENCE]) == 5


def test_6_inconclusive(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from attrs import evolve

    from eseconform.suite import Plan
    from tests.support.conformance import case

    unreached = evolve(case("bad-page").faults[0], nth=400)
    plan = Plan("default", (case("bad-page", faults=(unreached,)),), 24)
    monkeypatch.setattr("eseconform.suite.make_plan", lambda *args: plan)
    assert run(["check", "--sut", REFERENCE]) == 6
    assert "never fired" in capsys.readouterr().out


def test_7_a_client_that_is_dead(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", "--sut", "python:cli_clients:raising", "--case", "bad-page"]) == 7
    text = capsys.readouterr().out
    assert "the client can't do the simplest backup" in text
    assert "no tape in the drive" in text


def test_7_a_client_that_cannot_be_imported(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "cli_broken.py").write_text("1 / 0\n")
    assert run(["check", "--sut", "python:cli_broken:client"]) == 7
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_a_client_that_always_gives_up_is_not_dead_but_not_conformant() -> None:
    assert run(["check", "--sut", "python:cli_clients:stopped", "--case", "bad-page"]) == 1


def test_json_goes_to_standard_output_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", "--sut", REFERENCE, "--case", "bad-page", "--json", "--seed", "7"]) == 0
    result = from_json(capsys.readouterr().out)
    assert result.seed == 7
    assert [case.id for case in result.cases] == ["sanity-first", "bad-page", "sanity-last"]


def test_list_and_show_know_everything(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["list"]) == 0
    assert run(["list", "--requirements"]) == 0
    assert run(["list", "--zoo"]) == 0
    text = capsys.readouterr().out
    for word in ("drop-at-truncation", "ESE-BKP-HON-006", "writes_whole_buffer"):
        assert word in text
    assert run(["show", "drop-at-truncation"]) == 0
    assert "fault in job 2: drop at backup_truncate_logs" in capsys.readouterr().out
    assert run(["show", "ese-bkp-trn-001"]) == 0
    text = capsys.readouterr().out
    assert "backup.cxx" in text
    assert "logs-under-roll" in text


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == "eseconform, version 0.1.0\n"


def test_the_bundled_client_is_conformant() -> None:
    assert run(["check", "--sut", "python:esebcli.sut:client", "--suite", "demo"]) == 0
