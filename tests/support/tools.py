"""Which outside programs and modules the tests use, and what their absence means."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from collections.abc import Mapping
from functools import cache
from typing import Final

from attrs import frozen

DEBIAN_PYTHON: Final = "/usr/bin/python3"
"""The interpreter that Debian's Python packages are made for."""


@frozen
class Tool:
    """Something that the tests call but that is not ours.

    `command` is looked for on PATH, `module` in this interpreter, `probe` is a command that has to
    succeed; `install` says how to get it.
    """

    install: str
    command: str | None = None
    module: str | None = None
    probe: tuple[str, ...] | None = None

    def is_present(self) -> bool:
        """Whether a test can use it here."""
        if self.command is not None:
            return shutil.which(self.command) is not None
        if self.probe is not None:
            return _succeeds(self.probe)
        assert self.module is not None
        try:
            return importlib.util.find_spec(self.module) is not None
        except ModuleNotFoundError:  # the parent of a dotted name is missing
            return False


@cache
def _succeeds(command: tuple[str, ...]) -> bool:
    try:
        return not subprocess.run(command, capture_output=True, timeout=30, check=False).returncode
    except OSError:
        return False


TOOLS: Final[Mapping[str, Tool]] = {
    "chromium": Tool(command="chromium", install="Debian package chromium"),
    "esedbexport": Tool(command="esedbexport", install="Debian package libesedb-utils"),
    "esedbinfo": Tool(command="esedbinfo", install="Debian package libesedb-utils"),
    "git": Tool(command="git", install="Debian package git"),
    "impacket": Tool(module="impacket", install="pip install impacket"),
    "make": Tool(command="make", install="Debian package make"),
    "samba": Tool(
        probe=(DEBIAN_PYTHON, "-c", "import samba.dcerpc.echo"),
        install="Debian package python3-samba",
    ),
    "samba-tests": Tool(
        probe=(DEBIAN_PYTHON, "-c", "import samba.tests.dcerpc.raw_protocol"),
        install="Debian package python3-samba",
    ),
    "tshark": Tool(command="tshark", install="Debian package tshark"),
    "widl": Tool(command="x86_64-w64-mingw32-widl", install="Debian package mingw-w64-tools"),
    "pyesedb": Tool(module="pyesedb", install="pip install libesedb-python"),
    "dissect.database": Tool(module="dissect.database", install="pip install dissect.database"),
}


@frozen
class MissingTool:
    """A tool that is not here: why, and whether that is a failure."""

    reason: str
    is_failure: bool


def missing_tool_verdict(name: str, required: str) -> MissingTool | None:
    """None where the tool is present; else what a test that needs it comes to.

    `required` is the value of ESESIM_REQUIRE: `all`, or names with commas between them. Raises
    KeyError for a name that is not in TOOLS: a misspelt name must not skip a test for ever.
    """
    tool = TOOLS[name]
    if tool.is_present():
        return None
    wanted = {word.strip() for word in required.split(",")}
    reason = f"{name} is not installed ({tool.install})"
    if wanted & {"all", name}:
        return MissingTool(f"{reason}, and ESESIM_REQUIRE={required} asks for it", is_failure=True)
    return MissingTool(reason, is_failure=False)
