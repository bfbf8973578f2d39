"""Expected failures: what a line says, what breaks a run, and how the file is updated."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from attrs import evolve

from eseconform.errors import UsageError
from eseconform.expectation_update import update_file
from eseconform.expectations import applied, parse_expectations, read_expectations
from eseconform.results import RunResult
from eseconform.verdicts import ExitCode, Verdict
from tests.support.results import EARLY, LIE, a_case, a_run

TODAY = date(2026, 3, 31)
KNOWN = ("good", "early", "liar", "odd", "elsewhere")


@pytest.fixture
def run() -> RunResult:
    odd = a_case("odd", verdict=Verdict.INCONCLUSIVE, note="never fired: drop")
    return a_run(a_case("good"), a_case("early", EARLY), odd)


def judged(run: RunResult, *lines: str, today: date = TODAY) -> RunResult:
    return applied(parse_expectations(lines, "x"), run, today=today, known=KNOWN)


ALL = ('early FAIL "read to its end"', 'odd INCONCLUSIVE "drop"')


def test_a_line_has_case_verdict_text_date_and_reason() -> None:
    text = '  early\tFAIL  "a \\"b\\" # c \\\\"   #  until 2026-04-01 ticket 5 # more '
    (line,) = parse_expectations(["# a comment", "", text], "x")
    assert (line.case, line.verdict, line.text) == ("early", Verdict.FAIL, 'a "b" # c \\')
    assert (line.until, line.reason, line.line) == (date(2026, 4, 1), "ticket 5 # more", 3)
    (again,) = parse_expectations([str(line)], "x")
    assert evolve(again, line=3) == line


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("early FAIL", "not understood; write: CASE VERDICT"),
        ("early FAIL text", "not understood"),
        ('early FAIL "text', "not understood"),
        ('early FAIL "text" trailing', "not understood"),
        ('early ERROR "text"', "verdict 'ERROR': use one of"),
        ('early PASS "text"', "verdict 'PASS': use one of"),
        ('early fail "text"', "verdict 'fail': use one of"),
        ('early FAIL "\\q"', "in it, write"),
        ('early FAIL "" # until 2026-13-01 x', "until '2026-13-01': no date"),
        ('early FAIL "" # until tomorrow', "until 'tomorrow': no date"),
    ],
)
def test_a_wrong_line_is_named(line: str, problem: str) -> None:
    with pytest.raises(UsageError, match="my file, line 2: ") as error:
        parse_expectations(["# first", line], "my file")
    assert problem in str(error.value)


def test_a_case_has_one_line() -> None:
    with pytest.raises(UsageError, match="line 2: early is in line 1 too"):
        parse_expectations(['early FAIL ""', 'early CRASH ""'], "x")


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        read_expectations(tmp_path / "missing")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="not UTF-8"):
        read_expectations(tmp_path / "binary")
    (tmp_path / "huge").write_bytes(b"#" * (2 << 20))
    with pytest.raises(UsageError, match="larger than 1 MiB"):
        read_expectations(tmp_path / "huge")


def test_expected_failures_do_not_fail_the_run(run: RunResult) -> None:
    assert run.exit_code is ExitCode.NOT_CONFORMANT
    result = judged(run, *ALL)
    assert result.exit_code is ExitCode.OK
    assert [case.expected for case in result.cases] == ["", *ALL]
    assert result.broken_expectations == ()


def test_what_is_not_expected_still_counts(run: RunResult) -> None:
    assert judged(run, ALL[0]).exit_code is ExitCode.INCONCLUSIVE
    assert judged(run, ALL[1]).exit_code is ExitCode.NOT_CONFORMANT


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('good FAIL ""', "good: XPASS: the case came to PASS; remove the line"),
        ('good WARN ""', "good: XPASS"),
        ('early CRASH ""', "early: stale: the case came to FAIL: call 15: Trunc"),
        ('early INCONCLUSIVE ""', "early: stale: the case came to FAIL"),
        ('early FAIL "another reason"', "early: stale: the case came to FAIL: call 15: Trunc"),
        ('odd FAIL ""', "odd: stale: the case came to INCONCLUSIVE: never fired"),
        ('nobody FAIL ""', "nobody: matches nothing: there is no such case"),
        ('early FAIL "" # until 2026-03-30 x', "early: expired on 2026-03-30"),
        ('elsewhere FAIL "" # until 2026-03-30 x', "elsewhere: expired on 2026-03-30"),
    ],
)
def test_a_line_that_rots_breaks_the_run(run: RunResult, line: str, problem: str) -> None:
    name = line.partition(" ")[0]
    result = judged(run, *(other for other in ALL if not other.startswith(name)), line)
    assert len(result.broken_expectations) == 1
    assert problem in result.broken_expectations[0]
    assert result.exit_code is ExitCode.NOT_CONFORMANT


def test_a_date_holds_to_its_end(run: RunResult) -> None:
    line = 'early FAIL "" # until 2026-03-31 x'
    assert judged(run, line, ALL[1]).exit_code is ExitCode.OK
    after = judged(run, line, ALL[1], today=date(2026, 4, 1))
    assert after.exit_code is ExitCode.NOT_CONFORMANT


def test_a_case_that_was_not_selected_says_nothing(run: RunResult) -> None:
    assert judged(run, *ALL, 'elsewhere FAIL ""').exit_code is ExitCode.OK


def test_all_that_ran_may_be_expected() -> None:
    assert judged(a_run(a_case("early", EARLY)), 'early FAIL ""').exit_code is ExitCode.OK


@pytest.mark.parametrize(
    "code", [ExitCode.INTERRUPTED, ExitCode.OUR_ERROR, ExitCode.SUT_UNUSABLE, ExitCode.NOTHING_RAN]
)
def test_a_run_that_failed_otherwise_keeps_its_code(run: RunResult, code: ExitCode) -> None:
    assert judged(evolve(run, exit_code=code), *ALL, 'nobody FAIL ""').exit_code is code


def test_an_update_brings_the_file_in_step(run: RunResult, tmp_path: Path) -> None:
    file = tmp_path / "expected.txt"
    before = [
        "# our list",
        'good FAIL "gone"  # until 2026-05-01 mended since',
        'early CRASH "old"  # until 2026-05-01 ticket 7',
        'elsewhere FAIL ""  # of another suite',
        "",
    ]
    file.write_text("\n".join(before))
    update = update_file(file, run, "results.json", today=TODAY)
    assert (update.added, update.changed, update.removed) == (("odd",), ("early",), ("good",))
    assert file.read_text().splitlines() == [
        "# our list",
        'early FAIL "ESE-BKP-TRN-001"  # until 2026-05-01 ticket 7',
        'elsewhere FAIL ""  # of another suite',
        'odd INCONCLUSIVE "never fired: drop"  # until 2026-06-29 never fired: drop',
    ]
    lines = read_expectations(file)
    result = applied(lines, run, today=TODAY, known=KNOWN)
    assert (result.exit_code, result.broken_expectations) == (ExitCode.OK, ())
    again = update_file(file, run, "results.json", today=TODAY)
    assert (again.added, again.changed, again.removed) == ((), (), ())


def test_an_update_makes_the_file_and_prolongs_nothing(run: RunResult, tmp_path: Path) -> None:
    file = tmp_path / "new.txt"
    update_file(file, run, "r", today=TODAY)
    first = file.read_text()
    assert first.count("until 2026-06-29") == 2
    update_file(file, run, "r", today=date(2027, 1, 1))
    assert file.read_text() == first
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"suite": "selection"}, "picked with --case"),
        ({"exit_code": ExitCode.INTERRUPTED}, "exit code 2"),
        ({"exit_code": ExitCode.OUR_ERROR}, "exit code 3"),
        ({"exit_code": ExitCode.SUT_UNUSABLE}, "exit code 7"),
        ({"selected": 4}, "3 of its 4 cases ran"),
    ],
)
def test_a_partial_run_is_refused(
    run: RunResult, tmp_path: Path, changes: dict[str, object], why: str
) -> None:
    file = tmp_path / "expected.txt"
    file.write_text('early CRASH "old"\n')
    partial = evolve(run, **changes)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="a partial run can't update") as error:
        update_file(file, partial, "results.json", today=TODAY)
    assert why in str(error.value)
    assert file.read_text() == 'early CRASH "old"\n'


def test_texts_of_a_client_do_not_spoil_the_file(tmp_path: Path) -> None:
    nasty = evolve(EARLY, requirement=None, text='a "b" \\ \u2028 c\nd # until x')
    run = a_run(a_case("early", nasty), a_case("liar", LIE))
    update_file(tmp_path / "f", run, "r", today=TODAY)
    lines = read_expectations(tmp_path / "f")
    assert [line.case for line in lines] == ["early", "liar"]
    assert applied(lines, run, today=TODAY, known=KNOWN).exit_code is ExitCode.OK


def test_a_damaged_id_leaves_the_file_alone(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not understood"):
        update_file(tmp_path / "f", a_run(a_case('a "b', EARLY)), "r", today=TODAY)
    assert list(tmp_path.iterdir()) == []
