"""Write the pages of docs/ that are made from the code, or check that they are in step with it.

    python -m tools.gen_docs            write them
    python -m tools.gen_docs --check    write nothing; exit 1 and say which pages are stale

Exit code 2: a mark in the code cannot be listed. The pages name files but no line numbers: they
change when a fact changes, not when a line moves.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from attrs import frozen

from eseback import orderdocs
from eseconform.report import coverage
from tools.assumptions import MarkError, assumptions_page, collect_assumptions
from tools.client_faults import faults_page
from tools.error_coverage import coverage_page
from tools.restore_errors import restore_errors_page

ROOT: Final = Path(__file__).resolve().parent.parent


@frozen
class Page:
    """A generated page: its heading, what it is made from, and what makes its text."""

    title: str
    origin: str
    text: Callable[[], str]

    def render(self) -> str:
        """The whole page, with a word to whoever wants to edit it."""
        warning = f"<!-- Made by tools/gen_docs.py from {self.origin}: change that, not this. -->"
        return f"# {self.title}\n\n{warning}\n\n{self.text()}"


PAGES: Final[Mapping[str, Page]] = {
    "assumptions.md": Page(
        "What is assumed",
        "the ASSUMED marks of the code and the error table",
        lambda: assumptions_page(collect_assumptions(ROOT)),
    ),
    "call-matrix.md": Page(
        "What each call does in each state",
        "the order tables of eseback.order and eseback.restoreorder",
        orderdocs.call_matrix,
    ),
    "client-faults.md": Page(
        "What the client does about each fault",
        "tools/client_faults.py, whose cells two tests of tests/esebcli assert one by one",
        faults_page,
    ),
    "coverage.md": Page(
        "What the cases of the harness cover",
        "the cases and rules of eseconform",
        coverage.coverage_page,
    ),
    "error-coverage.md": Page(
        "Which errors and events a backup meets",
        "tools/error_coverage.py, which tests/esesim/test_errors_provoked.py asserts row by row",
        coverage_page,
    ),
    "restore-errors.md": Page(
        "Which errors a restore and a recovery meet",
        "the tests that it names, by tools/restore_errors.py",
        lambda: restore_errors_page(ROOT),
    ),
    "state-diagram.md": Page(
        "How calls lead from state to state",
        "the order tables of eseback.order and eseback.restoreorder",
        orderdocs.state_diagram,
    ),
}


def stale_pages(folder: Path, pages: Mapping[str, str]) -> list[str]:
    """Names of the pages whose file in `folder` is missing or says something else."""
    return [
        name
        for name, text in pages.items()
        if not (folder / name).is_file() or (folder / name).read_text(encoding="utf-8") != text
    ]


def main(arguments: Sequence[str] | None = None, docs: Path = ROOT / "docs") -> int:
    """Write or check the generated pages in `docs`; returns the exit code."""
    parser = argparse.ArgumentParser(description="Write or check the generated pages of docs/.")
    parser.add_argument("--check", action="store_true", help="write nothing, fail if out of step")
    options = parser.parse_args(arguments)
    try:
        pages = {name: page.render() for name, page in PAGES.items()}
    except MarkError as error:
        print(f"gen_docs: {error}", file=sys.stderr)
        return 2
    stale = stale_pages(docs, pages)
    if options.check:
        for name in stale:
            print(f"docs/{name} is out of step with the code: run `make docs`", file=sys.stderr)
        return 1 if stale else 0
    for name in stale:
        (docs / name).write_text(pages[name], encoding="utf-8")
        print(f"wrote docs/{name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
