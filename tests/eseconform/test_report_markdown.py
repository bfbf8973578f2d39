"""The Markdown summary."""

from __future__ import annotations

from pathlib import Path

from attrs import evolve

from eseconform.report.markdown import CASES_MAX, code, escaped, markdown, write_markdown
from eseconform.report.matrix import Source
from tests.support.results import EARLY, LIE, a_case, a_job, a_run


def test_the_summary_tells_the_story(tmp_path: Path) -> None:
    run = a_run(a_case("good"), a_case("liar", EARLY, LIE), note="a note")
    text = write_markdown([Source(run)], tmp_path).read_text("utf-8")
    lines = text.splitlines()
    assert lines[2].startswith(
        "* **python:x:y**: **not conformant** (exit code 1): a note; 2 of 24 "
    )
    assert "1 FAIL · 1 PASS" in lines
    assert "> **CRITICAL** liar: success is claimed \\(ESE-BKP-HON-001\\)" in lines
    table = [line for line in lines if line.startswith("|")]
    assert table[0] == "| case | protocol | data | teardown | honesty | verdict | s |"
    assert table[2] == "| liar | ❌ FAIL | · | · | ❌ FAIL | ❌ FAIL | 1.2 |"
    assert table[3].startswith("| good | · ")
    assert "First divergence: **call 15: TruncateLogs comes before" in text
    assert "* ESE-BKP-TRN-001: HrESEBackupTruncateLogs comes only after" in text
    assert "```\neseconform check --case liar\n```" in text
    assert "eseconform check --case good" not in text


def test_several_runs_share_a_table() -> None:
    run = a_run(a_case("a"), a_case("b", EARLY))
    other = evolve(run, sut="python:other", cases=(a_case("b"),))
    table = [t for t in markdown([Source(run), Source(other)]).splitlines() if t.startswith("|")]
    assert table[0] == ("| case | python:x:y exchange-2003-sp1 | python:other exchange-2003-sp1 |")
    assert table[2:] == ["| b | ❌ FAIL | ✅ PASS |", "| a | ✅ PASS |  |"]


def test_expectations_that_broke_the_run_are_told() -> None:
    run = a_run(a_case("a"), broken_expectations=("line 3: a: XPASS",))
    assert "* line 3: a: XPASS" in markdown([Source(run)])


def test_hostile_texts_stay_texts() -> None:
    hostile = "| a | <script>x</script> `b` [c](http://d) @all\n# e ~~f~~ \u202e"
    assert escaped(hostile) == (
        "\\| a \\| \\<script\\>x\\</script\\> \\`b\\` \\[c\\]\\(http://d\\) \\@all "
        "\\# e \\~\\~f\\~\\~ \\u202e".replace("\\u202e", "\\\\u202e")
    )
    block = code("a\n````\nb").splitlines()
    assert block[0] == block[-1] == "`````"
    run = a_run(a_case("x|y", EARLY, title=hostile, jobs=(a_job(output="```\n<b>"),)))
    table = [line for line in markdown([Source(run)]).splitlines() if line.startswith("|")]
    assert table[2].startswith("| x\\|y |")


def test_a_long_run_is_cut() -> None:
    run = a_run(*(a_case(f"c{number}", EARLY) for number in range(CASES_MAX + 7)))
    text = markdown([Source(run)])
    assert "7 more in results.json." in text
    assert text.count("First divergence") == CASES_MAX
