"""`--version` must not load what it does not need: a CI calls these commands hundreds of times."""

from __future__ import annotations

import pytest

from tests.support.project import run_python

HEAVY = ("asyncio", "attr", "cattrs", "hypothesis", "jinja2", "junitparser", "rich", "ssl")

PROGRAM = """
import sys
from {package}.cli import main
sys.argv = [{package!r}, "--version"]
try:
    main()
except SystemExit as done:
    assert not done.code, done.code
print(*[name for name in {heavy!r} if name in sys.modules], sep=",")
"""


@pytest.mark.parametrize("package", ["esesim", "esebcli", "eseconform"])
def test_version_loads_nothing_heavy(package: str) -> None:
    done = run_python("-c", PROGRAM.format(package=package, heavy=HEAVY))
    assert done.returncode == 0, done.stderr
    version, loaded = done.stdout.splitlines()
    assert version.endswith("0.1.0")
    assert loaded == ""
