"""The page: structure, escaping, several runs, limits. What a browser makes of it: see
``test_report_chromium.py``."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import pytest
from attrs import define, evolve, field

from eseconform.report.drawing import segments, timeline
from eseconform.report.html import OPEN_CASES_MAX, html, write_html
from eseconform.report.matrix import Source, merge
from eseconform.report.words import printable
from eseconform.results import RuleText, RunResult
from eseconform.sequence import GroupLogs
from eseconform.verdicts import Verdict
from tests.support.results import EARLY, LIE, a_case, a_job, a_run

HOSTILE = "</script><script>alert(1)</script><img src=x onerror='x'>\"{{ 7*7 }}\u202e\x00\ud800.edb"
_VOID = {"meta", "input", "br", "img", "link"}


@define
class Page(HTMLParser):
    """A page taken apart; fails where elements are not closed in order."""

    elements: list[tuple[str, dict[str, str]]] = field(factory=list)
    texts: list[str] = field(factory=list)
    stack: list[str] = field(factory=list)

    def __attrs_pre_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in _VOID:
            self.stack.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.stack and self.stack[-1] not in ("style", "script"):
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def having(self, css: str) -> list[dict[str, str]]:
        """Attributes of the elements of a class."""
        return [a for _, a in self.elements if css in a.get("class", "").split()]


def parsed(text: str) -> Page:
    page = Page()
    page.feed(text)
    page.close()
    assert page.stack == []
    return page


@pytest.fixture
def run() -> RunResult:
    return a_run(
        a_case("good"),
        a_case("odd", verdict=Verdict.INCONCLUSIVE, note="never fired: drop"),
        a_case("early", EARLY),
        a_case("liar", EARLY, LIE),
        available=24,
    )


def test_the_page_tells_the_story(run: RunResult) -> None:
    text = parsed(html([Source(run)])).text
    for words in (
        "python:x:y",
        "not conformant , exit code 1",
        "4 of 24 selected",
        "critical liar : success is claimed (ESE-BKP-HON-001)",
        "First divergence call 15: TruncateLogs comes before E0000006.log was read to its end",
        "ESE-BKP-TRN-001 MUST source HrESEBackupTruncateLogs comes only after every listed log",
        "log rolled: generation 6 closed, 7 current",
        "deleted generations 3-4",
        "hrOutOfBuffers (0xC80003F6, JET -1014)",
        "restorable to generation 6",
        "reproduce with eseconform check --case early",
        "never fired: drop",
    ):
        assert words in text, words


def test_the_worst_comes_first_and_every_anchor_exists(run: RunResult) -> None:
    page = parsed(html([Source(run)]))
    ids = {a["id"] for _, a in page.elements if "id" in a}
    links = [a["href"] for tag, a in page.elements if tag == "a"]
    assert {link[1:] for link in links if link.startswith("#")} <= ids
    order = [a["data-text"].split()[0] for a in page.having("case")]
    assert order == ["liar", "early", "odd", "good"]
    opened = [a["data-text"].split()[0] for a in page.having("case") if "open" in a]
    assert opened == ["liar", "early", "odd"]
    rows = [
        a["data-text"].split()[0] for tag, a in page.elements if tag == "tr" and "data-text" in a
    ]
    assert rows == order


def test_a_finding_stands_at_its_call(run: RunResult) -> None:
    page = parsed(html([Source(run)]))
    first = page.having("firstbad")[0]
    assert "found" in first["class"]
    assert page.text.count("first divergence TruncateLogs comes before") == 2


def test_the_page_needs_no_network(run: RunResult) -> None:
    page = parsed(html([Source(run)]))
    for tag, attributes in page.elements:
        assert "src" not in attributes
        assert tag not in ("link", "img", "iframe", "object", "embed", "base", "form")
        assert not any(name.startswith("on") for name in attributes)
    policy = next(a["content"] for _, a in page.elements if a.get("http-equiv"))
    assert policy.startswith("default-src 'none'")


def test_nothing_that_a_client_says_becomes_markup(tmp_path: Path) -> None:
    finding = evolve(EARLY, text=HOSTILE)
    job = a_job(
        output=HOSTILE, trace=HOSTILE, reason=HOSTILE, transcript=HOSTILE, groups=(HOSTILE,)
    )
    job = evolve(
        job,
        steps=tuple(evolve(s, subject=HOSTILE, group=HOSTILE, error=HOSTILE) for s in job.steps),
        logs={HOSTILE: next(iter(job.logs.values()))},
    )
    case = a_case(HOSTILE, finding, jobs=(job,), title=HOSTILE, note=HOSTILE, profile=HOSTILE)
    rule = RuleText(HOSTILE, HOSTILE, HOSTILE, HOSTILE, "javascript:alert(1)", "protocol")
    run = a_run(case, sut=HOSTILE, note=HOSTILE, rules={"ESE-BKP-TRN-001": rule})
    page = parsed(write_html([Source(run)], tmp_path).read_text("utf-8"))
    harmless = parsed(html([Source(a_run(a_case("x", EARLY, jobs=(a_job(output="x"),))))]))
    assert [tag for tag, _ in page.elements].count("script") == 1
    assert not [tag for tag, _ in page.elements if tag == "img"]
    assert {tag for tag, _ in page.elements} <= {tag for tag, _ in harmless.elements}
    links = [a["href"] for tag, a in page.elements if tag == "a"]
    assert all(link.startswith(("#", "./")) for link in links)
    assert "{{ 7*7 }}" in page.text
    assert "\\u202e\\x00\\ud800.edb" in page.text


@pytest.mark.parametrize("name", ["/etc/passwd", "../x", "a/../../x", "\\\\host\\x", "//host/x"])
def test_transcripts_elsewhere_get_no_link(name: str) -> None:
    run = a_run(a_case("x", jobs=(a_job(transcript=name),)))
    page = parsed(html([Source(run)]))
    assert not [
        a
        for tag, a in page.elements
        if tag == "a" and not a["href"].startswith("#") and not a["href"].startswith("https://")
    ]


def test_transcripts_are_linked_from_where_the_report_is() -> None:
    run = a_run(a_case("x"))
    links = [a["href"] for tag, a in parsed(html([Source(run, "../run 1")])).elements if tag == "a"]
    assert "../run%201/cases/x/transcript-1.jsonl" in links


def test_several_runs_make_one_matrix(run: RunResult) -> None:
    both = (a_case("good", EARLY), a_case("good", profile="rtm"), a_case("new", profile="rtm"))
    other = evolve(run, sut="python:other:one", cases=both)
    matrix = merge([Source(run), Source(other)])
    assert [(c.client, c.profile) for c in matrix.columns] == [
        ("python:x:y", "exchange-2003-sp1"),
        ("python:other:one", "exchange-2003-sp1"),
        ("python:other:one", "rtm"),
    ]
    assert [row.id for row in matrix.rows] == ["liar", "good", "early", "odd", "new"]
    cells = {
        row.id: [c.case.verdict.value if c else None for c in row.cells] for row in matrix.rows
    }
    assert cells["good"] == ["PASS", "FAIL", "PASS"]
    assert cells["new"] == [None, None, "PASS"]
    good = next(row for row in matrix.rows if row.id == "good")
    assert good.anchor == "case-2-1"  # where it fails
    page = parsed(html([Source(run), Source(other)]))
    assert page.text.count("not run") == 8
    assert "2 runs" in page.text


def test_cases_with_a_profile_of_their_own_share_a_column() -> None:
    run = a_run(a_case("a"), a_case("b", profile="rtm"), a_case("c", profile=""))
    matrix = merge([Source(run)])
    assert [column.profile for column in matrix.columns] == [""]
    assert "Title of b · rtm" in parsed(html([Source(run)])).text


def test_the_same_client_twice_is_told_apart(run: RunResult) -> None:
    matrix = merge([Source(run), Source(evolve(run, seed=4))])
    assert [column.detail.split(", ")[1] for column in matrix.columns] == ["seed 3", "seed 4"]


def test_expected_failures_come_after_fresh_ones() -> None:
    known = a_case("known", EARLY, expected='known FAIL ""')
    matrix = merge([Source(a_run(a_case("good"), known, a_case("fresh", EARLY)))])
    assert [row.id for row in matrix.rows] == ["fresh", "known", "good"]


def test_only_the_worst_are_open_from_the_start() -> None:
    cases = [a_case(f"c{number}", EARLY) for number in range(OPEN_CASES_MAX + 5)]
    page = parsed(html([Source(a_run(*cases))]))
    assert sum("open" in a for a in page.having("case")) == OPEN_CASES_MAX


def test_long_texts_are_cut() -> None:
    run = a_run(a_case("x", EARLY, jobs=(a_job(output="x" * 1_000_000),)))
    assert len(html([Source(run)])) < 200_000


def test_an_empty_run_is_a_page_too() -> None:
    assert "nothing ran" in parsed(html([Source(a_run())])).text
    assert timeline(merge([Source(a_run(seconds=0.0))]), 0) == []


def test_logs_fall_into_segments_by_fate() -> None:
    logs = GroupLogs(
        before=((1, 9),), listed=((4, 10),), saved=((4, 7),), deleted=((1, 5), (9, 9)),
        after=((6, 8), (10, 13)),
    )  # fmt: skip
    assert [(s.text, s.fate, s.rolled) for s in segments(logs)] == [
        ("1-3", "deleted", False),
        ("4-5", "moved", False),
        ("6-7", "saved", False),
        ("8", "unsaved", False),
        ("9", "lost", False),
        ("10", "unsaved", True),
        ("11-13", "left", False),
    ]


def test_segments_are_quick_and_few_whatever_the_numbers() -> None:
    holes = tuple((2 * n, 2 * n) for n in range(5000))
    assert len(list(segments(GroupLogs(after=((1, 1 << 60),))))) == 1
    assert len(list(segments(GroupLogs(after=holes)))) <= 41


def test_the_timeline_follows_the_run(run: RunResult) -> None:
    bars = timeline(merge([Source(run)]), 0)
    assert [bar.entry.case.id for bar in bars] == ["good", "odd", "early", "liar"]
    assert [(bar.left, bar.width, bar.work) for bar in bars[:2]] == [(0, 25, 40), (25, 25, 40)]


def test_cases_that_ran_at_once_all_begin_at_the_left(run: RunResult) -> None:
    bars = timeline(merge([Source(evolve(run, seconds=2.0))]), 0)
    assert {(bar.left, bar.width) for bar in bars} == {(0, 100)}


def test_what_cannot_be_seen_is_written_out() -> None:
    assert printable("a\tb\nc é 漢") == "a\tb\nc é 漢"
    assert printable("\x1b[1m\u200b\ufeff") == "\\x1b[1m\\u200b\\ufeff"
