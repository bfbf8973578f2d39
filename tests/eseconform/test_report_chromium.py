"""What a real browser makes of the page."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from eseconform.report.html import write_html
from eseconform.report.matrix import Source
from tests.support.results import EARLY, LIE, a_case, a_run

_QUIET = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--hide-scrollbars", "--enable-logging=stderr", "--v=0",
]  # fmt: skip


def browse(page: Path, profile: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Open a page; standard error holds what it writes to the console."""
    program = shutil.which("chromium")
    assert program is not None
    return subprocess.run(
        [program, *_QUIET, f"--user-data-dir={profile}", *arguments, page.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )


def console(stderr: str) -> list[str]:
    """The lines that the page wrote to the console; others are the browser's own."""
    return [line for line in stderr.splitlines() if "CONSOLE" in line]


@pytest.mark.slow
@pytest.mark.needs_tool("chromium")
def test_a_browser_shows_the_page(tmp_path: Path) -> None:
    run = a_run(a_case("good"), a_case("liar", EARLY, LIE))
    page = write_html([Source(run)], tmp_path)
    seen = browse(page, tmp_path / "profile", "--dump-dom")
    assert 'class="js"' in seen.stdout  # the script ran
    matrix = seen.stdout.partition('id="matrix"')[2].partition("</table>")[0]
    assert matrix.index("liar") < matrix.index("good")
    assert "TruncateLogs comes before" in matrix
    assert console(seen.stderr) == []


@pytest.mark.slow
@pytest.mark.needs_tool("chromium")
def test_an_error_in_the_console_would_be_noticed(tmp_path: Path) -> None:
    page = write_html([Source(a_run(a_case("good")))], tmp_path)
    text = page.read_text("utf-8")
    page.write_text(text.replace('"use strict";', '"use strict"; noSuchThing();'))
    seen = browse(page, tmp_path / "profile", "--dump-dom")
    assert "noSuchThing is not defined" in "\n".join(console(seen.stderr))
