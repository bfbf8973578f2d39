"""The repository as the tests see it: where it is, what belongs to it, and its commands."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
PACKAGES: Final = {
    "eseback": ROOT / "protocol" / "eseback",
    "esesim": ROOT / "simulator" / "esesim",
    "esebcli": ROOT / "client" / "esebcli",
    "eseconform": ROOT / "harness" / "eseconform",
}


def project_files() -> list[Path]:
    """Every file that is, or is about to be, under version control. Needs git and a checkout."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    files = (ROOT / name for name in listing.stdout.split("\0") if name)
    return [file for file in files if file.is_file()]


def package_files(name: str) -> set[str]:
    """The files of one package as `package/module.py`, without what tools left beside them."""
    package = PACKAGES[name]
    files = (file.relative_to(package.parent) for file in package.rglob("*") if file.is_file())
    return {
        file.as_posix()
        for file in files
        if not any(part.startswith((".", "__pycache__")) for part in file.parts)
    }


def run_python(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run this interpreter and capture its output as text; the caller judges the exit code."""
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd, capture_output=True, text=True, check=False
    )
