"""The import rules catch what they are for: each is broken once, in a copy of the tree."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.project import PACKAGES, ROOT

pytestmark = pytest.mark.slow


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The four packages and the settings, to break."""
    for folder in PACKAGES.values():
        shutil.copytree(
            folder,
            tmp_path / folder.relative_to(ROOT),
            ignore=shutil.ignore_patterns("__pycache__"),
        )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def lint_imports(tree: Path) -> subprocess.CompletedProcess[str]:
    """Run import-linter over a tree, which hides the installed packages."""
    roots = os.pathsep.join(
        str(tree / folder.parent.relative_to(ROOT)) for folder in PACKAGES.values()
    )
    program = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    return subprocess.run(
        [sys.executable, "-c", program, "--no-cache", "--no-logo"],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": roots},
        capture_output=True,
        text=True,
        check=False,
    )


def test_rules_hold(copy: Path) -> None:
    done = lint_imports(copy)
    assert done.returncode == 0, done.stdout
    assert "3 kept, 0 broken" in done.stdout


@pytest.mark.parametrize(
    ("file", "text", "contract"),
    [
        ("client/esebcli/__init__.py", "import esesim", "The rooms"),
        ("simulator/esesim/__init__.py", "import esebcli", "The rooms"),
        ("protocol/eseback/__init__.py", "import esebcli", "The rooms"),
        ("simulator/esesim/__init__.py", "import eseconform", "The rooms"),
        ("simulator/esesim/volume/__init__.py", "import esesim.session", "Inside the simulator"),
        ("simulator/esesim/unheard_of.py", "", "Inside the simulator"),
        ("protocol/eseback/errors.py", "import socket", "The contract does no I/O"),
    ],
)
def test_broken_rule_is_found(copy: Path, file: str, text: str, contract: str) -> None:
    with (copy / file).open("a", encoding="utf-8") as module:
        module.write(f"\n{text}\n")
    done = lint_imports(copy)
    assert done.returncode == 1, done.stdout
    broken = [line for line in done.stdout.splitlines() if line.endswith("BROKEN")]
    # One wrong import may break a second rule as well, through what it brings along.
    assert any(line.startswith(contract) for line in broken), broken
