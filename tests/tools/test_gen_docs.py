"""The generated pages are in step with the code, and being out of step is noticed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.project import ROOT
from tools import gen_docs
from tools.assumptions import MarkError

ASSUMPTIONS = gen_docs.PAGES["assumptions.md"]
PAGE = gen_docs.Page("Calls", "a table", lambda: "| call |\n|---|\n")


@pytest.fixture(autouse=True)
def short_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages that are made at once; `make test` checks the real ones before any test."""
    monkeypatch.setattr(gen_docs, "PAGES", {"call-matrix.md": PAGE, "coverage.md": PAGE})


def test_writing_makes_the_check_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert gen_docs.main(["--check"], tmp_path) == 1
    assert gen_docs.main([], tmp_path) == 0
    assert {file.name for file in tmp_path.iterdir()} == set(gen_docs.PAGES)
    assert gen_docs.main(["--check"], tmp_path) == 0
    capsys.readouterr()
    assert gen_docs.main([], tmp_path) == 0
    assert capsys.readouterr().out == "", "a page that is in step is not written again"


def test_edited_page_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gen_docs.main([], tmp_path)
    page = tmp_path / "call-matrix.md"
    page.write_text(page.read_text(encoding="utf-8") + "\nmy own words\n", encoding="utf-8")
    capsys.readouterr()
    assert gen_docs.main(["--check"], tmp_path) == 1
    assert capsys.readouterr().err.splitlines() == [
        "docs/call-matrix.md is out of step with the code: run `make docs`"
    ]


def test_bad_mark_is_reported_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(root: Path) -> None:
        raise MarkError("a.py:3: what about it?")

    monkeypatch.setattr(gen_docs, "collect_assumptions", refuse)
    monkeypatch.setattr(gen_docs, "PAGES", {"assumptions.md": ASSUMPTIONS})
    assert gen_docs.main([], tmp_path) == 2
    assert "a.py:3" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_pages_hold_no_line_numbers() -> None:
    page = (ROOT / "docs" / "assumptions.md").read_text(encoding="utf-8")
    assert ".py:" not in page
