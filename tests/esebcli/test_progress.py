"""The display of progress, and that nothing is drawn where nobody looks."""

from __future__ import annotations

import io
import subprocess
import sys

import pytest

from esebcli.progress import Phase, Progress, ProgressBars, ignore_progress

STEPS = [
    Progress("Group\x1b[2J", Phase.DATABASES, "C:\\db\\priv1.edb", 0, 1 << 20, 0),
    Progress("Group\x1b[2J", Phase.DATABASES, "C:\\db\\priv1.edb", 1 << 19, 1 << 20, 1 << 19),
    Progress("Other", Phase.LOGS, "E0000004.log", 0, 65536, 1 << 20),
    Progress("Group\x1b[2J", Phase.DONE, saved=1 << 20),
]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_bars_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with ProgressBars() as bars:
        for step in STEPS:
            bars(step)
    text = terminal.getvalue()
    assert "Other" in text and "logs E0000004.log" in text and "done" in text
    assert "Group\\x1b[2J" in text and "Group\x1b[2J" not in text


def test_nothing_is_drawn_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    with ProgressBars() as bars:
        for step in STEPS:
            bars(step)
    assert stream.getvalue() == ""
    ignore_progress(STEPS[0])


@pytest.mark.parametrize(
    ("statement", "heavy"),
    [
        ("import esebcli", {"attrs", "attr", "cattrs", "click", "rich", "eseback"}),
        ("import esebcli.cli", {"attrs", "attr", "cattrs", "rich", "eseback"}),
        ("import esebcli.job, esebcli.verify, esebcli.progress", {"rich", "click"}),
        ("from esebcli import BackupJob, verify_sets", {"rich", "click", "esesim"}),
    ],
)
def test_heavy_modules_are_imported_late(statement: str, heavy: set[str]) -> None:
    code = f"import sys; {statement}; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not heavy & set(run.stdout.split())


def test_a_bar_of_a_known_length(monkeypatch: pytest.MonkeyPatch) -> None:
    """A restore knows before how much there is; a backup only as it goes."""
    with ProgressBars() as bars:
        bars(Progress("a", Phase.DATABASES, "x", 10, 20, 40, 100))
        bars(Progress("b", Phase.DATABASES, "x", 10, 20, 40))
        assert [task.total for task in bars._bars.tasks] == [100, 50]
        assert [task.completed for task in bars._bars.tasks] == [40, 40]
