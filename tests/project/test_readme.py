"""README.md is right: its console lines and its Python run as they stand, in a new folder."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sysconfig
from pathlib import Path

import pytest

from tests.support.project import ROOT, run_python

pytestmark = [pytest.mark.slow, pytest.mark.uncovered]

README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """The fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def console_lines() -> list[str]:
    """What README.md tells its reader to type."""
    lines = (line for block in blocks("console") for line in block.splitlines())
    return [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]


def test_two_commands_are_targets_of_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = [line.split()[1] for line in console_lines() if line.startswith("make ")]
    assert targets == ["demo", "test"]
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)


def test_examples_run_one_after_the_other(tmp_path: Path) -> None:
    commands = [line for line in console_lines() if not line.startswith("make ")]
    assert {shlex.split(line)[0] for line in commands} == {"esesim", "esebcli", "eseconform"}
    scripts = Path(sysconfig.get_path("scripts"))
    for line in commands:
        program, *arguments = shlex.split(line)
        done = subprocess.run(
            [scripts / program, *arguments],
            cwd=tmp_path,
            env={**os.environ, "COLUMNS": "200"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"


def test_library_example_reads_a_database() -> None:
    (program,) = blocks("python")
    done = run_python("-c", program)
    assert done.returncode == 0, done.stderr
    sizes = [int(line.split()[0]) for line in done.stdout.splitlines()]
    assert sum(sizes) > 1 << 20
