"""``report``, ``expect`` and ``check --expect`` on the command line; damaged and newer results."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from attrs import evolve

from eseconform.cli import run as eseconform
from eseconform.report.junit import junit
from eseconform.results import SCHEMA, read_results, to_json, write_results
from eseconform.verdicts import ExitCode
from tests.support.results import EARLY, a_case, a_run

RUN = a_run(a_case("good"), a_case("early", EARLY))


@pytest.fixture
def results(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    return write_results(RUN, tmp_path / "run")


def test_a_report_is_rendered_later(results: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "report"
    assert eseconform(["report", str(results), "--out", str(out)]) == 0
    assert sorted(file.name for file in out.iterdir()) == ["index.html", "summary.md"]
    assert 'href="../../run/cases/x/transcript-1.jsonl"' in (out / "index.html").read_text("utf-8")
    assert "early" in (out / "summary.md").read_text("utf-8")


@pytest.mark.parametrize(("flag", "name"), [("--html", "index.html"), ("--markdown", "summary.md")])
def test_one_kind_of_report(results: Path, tmp_path: Path, flag: str, name: str) -> None:
    assert eseconform(["report", str(results), "--out", str(tmp_path / "o"), flag]) == 0
    assert [file.name for file in (tmp_path / "o").iterdir()] == [name]


def test_a_report_beside_its_results(results: Path) -> None:
    assert eseconform(["report", str(results), "--out", str(results.parent)]) == 0
    text = (results.parent / "index.html").read_text("utf-8")
    assert 'href="./cases/x/transcript-1.jsonl"' in text


def test_several_results_are_merged(results: Path, tmp_path: Path) -> None:
    (tmp_path / "second").mkdir()
    second = write_results(evolve(RUN, sut="python:other:one"), tmp_path / "second")
    assert eseconform(["report", str(results), str(second), "--out", str(tmp_path / "o")]) == 0
    text = (tmp_path / "o" / "index.html").read_text("utf-8")
    assert "python:other:one" in text
    assert "python:x:y" in text


def changed(**changes: Any) -> Callable[[dict[str, Any]], object]:
    return lambda plain: plain.update(changes)


DAMAGE: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "newer": (changed(schema=SCHEMA + 1), "written by a newer eseconform"),
    "no schema": (lambda plain: plain.pop("schema"), "its schema is None"),
    "schema true": (changed(schema=True), "its schema is True"),
    "no cases": (changed(cases=7), "damaged"),
    "no client": (lambda plain: plain.pop("sut"), "sut"),
    "verdict": (lambda plain: plain["cases"][0].update(verdict="FINE"), "verdict"),
    "axis": (lambda plain: plain["cases"][0]["axes"].pop(), "lacks an axis"),
    "time": (lambda plain: plain["cases"][0].update(seconds=-1), "duration"),
    "endless": (changed(seconds=1e400), "not JSON: Infinity is no number"),
    "exit code": (changed(exit_code=99), "exit_code"),
    "step": (lambda plain: plain["cases"][0]["jobs"][0]["steps"][0].update(kind="?"), "kind"),
    "logs": (lambda plain: plain["cases"][0]["jobs"][0].update(logs=[1]), "logs"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_results_change_nothing(
    name: str, results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage, message = DAMAGE[name]
    plain = json.loads(to_json(RUN))
    damage(plain)
    bad = tmp_path / "bad.json"
    bad.write_text(json.dumps(plain), encoding="utf-8")
    expected = tmp_path / "expected"
    expected.write_text("# nothing\n")
    assert eseconform(["report", str(results), str(bad), "--out", str(tmp_path / "o")]) == 4
    error = capsys.readouterr().err
    assert error.startswith(f"eseconform: {bad}: ")
    assert message in error
    assert not (tmp_path / "o").exists()
    assert eseconform(["expect", "update", str(expected), str(bad)]) == 4
    assert expected.read_text() == "# nothing\n"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not JSON"),
        (b"\x00\xff\xfe", "not UTF-8"),
        (b"[" * 200_000, "not JSON"),
        (b"[1, 2]", "its schema is None"),
        (to_json(RUN).encode()[:-500], "not JSON"),
        (None, "No such file"),
    ],
)
def test_files_that_are_no_results(
    data: bytes | None, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.json"
    if data is not None:
        bad.write_bytes(data)
    assert eseconform(["report", str(bad), "--out", str(tmp_path / "o")]) == 4
    assert message in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


def test_results_of_the_first_schema_are_read(tmp_path: Path) -> None:
    plain = json.loads(to_json(RUN))
    plain["schema"] = 1
    del plain["rules"], plain["broken_expectations"]
    for case in plain["cases"]:
        del case["profile"], case["expected"]
        for job in case["jobs"]:
            del job["steps"], job["logs"]
    old = tmp_path / "results.json"
    old.write_text(json.dumps(plain))
    assert read_results(old).cases[1].divergence == RUN.cases[1].divergence
    assert eseconform(["report", str(old), "--out", str(tmp_path / "o")]) == 0


def test_a_directory_that_cannot_be_written(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert eseconform(["report", str(results), "--out", str(tmp_path / "file" / "o")]) == 4
    assert "--out" in capsys.readouterr().err
    assert eseconform(["report", "--out", str(tmp_path / "o")]) == 4


def test_expect_update_tells_what_it_did(
    results: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("eseconform.dates.today", lambda: date(2026, 3, 31))
    file = tmp_path / "expected"
    assert eseconform(["expect", "update", str(file), str(results)]) == 0
    assert capsys.readouterr().out.splitlines() == ["added early", f"{file}: 1 lines"]
    assert file.read_text().startswith('early FAIL "ESE-BKP-TRN-001"  # until 2026-06-29 call 15')
    partial = write_results(evolve(RUN, suite="selection"), tmp_path)
    assert eseconform(["expect", "update", str(file), str(partial)]) == 4
    assert "a partial run can't update expectations" in capsys.readouterr().err


def test_junit_skips_what_is_expected_and_fails_what_broke() -> None:
    known = a_case("early", EARLY, expected='early FAIL ""')
    run = a_run(known, broken_expectations=("line 1: good: XPASS",))
    root = ElementTree.fromstring(junit(run).tostring())  # type: ignore[no-untyped-call]
    tests = {t.attrib["name"]: [child.tag for child in t] for t in root.iter("testcase")}
    assert tests == {"early": ["skipped"], "expectations": ["failure"]}


SUT = "python:eseconform.zoo:ignores_read_error"


def checked(tmp_path: Path, *arguments: str) -> int:
    out = ["--out", str(tmp_path / "out")]
    return eseconform(["check", "--sut", SUT, "--case", "bad-page", *out, *arguments])


def test_check_forgives_what_is_expected(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "expected"
    file.write_text('bad-page FAIL ""\nbad-log FAIL ""\n')
    assert checked(tmp_path, "--expect", str(file)) == 0
    run = read_results(tmp_path / "out" / "results.json")
    assert run.exit_code is ExitCode.OK
    assert run.cases[1].expected == 'bad-page FAIL ""'
    assert "rolled" in "".join(step.server for step in run.cases[0].jobs[0].steps)
    assert run.cases[1].profile == "exchange-2003-sp1"
    assert (tmp_path / "out" / "index.html").is_file()
    assert (tmp_path / "out" / "summary.md").is_file()
    assert "index.html shows it all" in capsys.readouterr().out


def test_check_breaks_on_a_line_that_rots(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "expected"
    file.write_text('bad-page FAIL ""\nno-such-case FAIL ""\n')
    assert checked(tmp_path, "--expect", str(file)) == 1
    text = capsys.readouterr().out
    assert f"{file}, line 2: no-such-case: matches nothing: there is no such case" in text


def test_check_refuses_a_wrong_file_before_it_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "expected"
    file.write_text("bad-page\n")
    assert checked(tmp_path, "--expect", str(file)) == 4
    assert "line 1: not understood" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
