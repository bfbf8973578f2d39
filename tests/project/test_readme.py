"""README.md is right: its console lines and its Python run as they stand, in a new folder."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import shlex
import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.project import ROOT, run_python

pytestmark = [pytest.mark.slow, pytest.mark.uncovered]

README = (ROOT / "README.md").read_text(encoding="utf-8")


COMMANDS = ("esesim", "esebcli", "eseconform")


def blocks(*languages: str) -> list[tuple[str, str]]:
    """The fenced blocks of these languages, each with its language, in their order."""
    found = re.findall(r"^```(\w*)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    return [(language, text) for language, text in found if language in languages]


def lines_of(block: str) -> list[str]:
    """What a block tells its reader to type."""
    return [line.removeprefix("$ ") for line in block.splitlines() if line.startswith("$ ")]


def mentions() -> list[str]:
    """The commands that stand within sentences."""
    prose = re.sub(r"^```.*?^```", "", README, flags=re.MULTILINE | re.DOTALL)
    quoted = (" ".join(text.split()) for text in re.findall(r"`([^`]+)`", prose))
    return [text for text in quoted if re.match(rf"({'|'.join(COMMANDS)}) [a-z-]", text)]


def run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command of ours in a folder."""
    program, *arguments = command
    return subprocess.run(
        [Path(sysconfig.get_path("scripts")) / program, *arguments],
        cwd=folder,
        env={**os.environ, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )


@contextlib.contextmanager
def served(command: list[str], folder: Path) -> Iterator[str]:
    """Run a server as a first shell would, at a free port; gives its endpoint."""
    program, *arguments = command
    with subprocess.Popen(
        [Path(sysconfig.get_path("scripts")) / program, *arguments, "--port", "0"],
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.terminate()
    assert process.returncode == 0


def test_two_commands_are_targets_of_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    lines = [line for _, block in blocks("console") for line in lines_of(block)]
    targets = [line.split()[1] for line in lines if line.startswith("make ")]
    assert targets == ["demo", "test"]
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)


def test_the_tour_works_from_its_first_line_to_its_last(tmp_path: Path) -> None:
    shown = set()
    said, endpoint = "", ""
    with contextlib.ExitStack() as first_shell:
        for language, block in blocks("console", "python"):
            if language == "python":
                done = run_python("-c", block, cwd=tmp_path)
                assert done.returncode == 0, f"{block}\n{done.stderr}"
                said = done.stdout
                continue
            for line in lines_of(block):
                command = shlex.split(line)
                shown.add(" ".join(command[:2]))
                if command[0] == "make":
                    continue
                if command[:2] == ["esesim", "serve"]:
                    assert command[-2:] == ["--port", "7707"]
                    endpoint = first_shell.enter_context(served(command, tmp_path))
                    continue
                assert endpoint or "rpc:" not in line
                done = run(shlex.split(line.replace("rpc:127.0.0.1:7707", endpoint)), tmp_path)
                assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
    assert shown >= {
        *("esesim init", "esesim show", "esesim serve"),
        *("esebcli nodes", "esebcli backup", "esebcli verify", "esebcli show", "esebcli restore"),
        *("eseconform check", "eseconform report", "eseconform enumerate", "eseconform fuzz"),
    }
    # The last one, the library's, has read a database.
    assert sum(int(line.split()[0]) for line in said.splitlines()) > 1 << 20


@pytest.mark.parametrize("mention", mentions())
def test_commands_within_sentences_exist_with_their_options(mention: str, tmp_path: Path) -> None:
    words = mention.split()
    names = list(itertools.takewhile(lambda word: re.fullmatch("[a-z-]+", word), words[:3]))
    options = {word for word in words if word.startswith("--")}
    # What follows a command without commands of its own is its first argument.
    for count in (len(names), 2):
        helped = run([*names[:count], "--help"], tmp_path)
        if helped.returncode == 0:
            break
    assert helped.returncode == 0, helped.stderr
    missing = {option for option in options if not re.search(rf"{option}\b", helped.stdout)}
    assert missing == set()


def test_sentences_mention_commands() -> None:
    assert "eseconform check --expect FILE" in mentions()
    assert "eseconform expect update FILE RESULTS.json" in mentions()
