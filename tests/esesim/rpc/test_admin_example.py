"""What docs/administration.md shows works, and it names every command and operation."""

from __future__ import annotations

import re
import subprocess
import sys

from eseback.rpc.admin import ADMIN_OPERATIONS, ADMIN_SYNTAX
from esesim.cli.ctl import ctl
from esesim.faultplans import plain_rule, read_fault_plan
from esesim.server import SimulatedServer
from esesim.topology import load_topology
from tests.esesim.rpc.administered import administered
from tests.support.project import ROOT

TEXT = (ROOT / "docs" / "administration.md").read_text("utf-8")


def block(language: str) -> str:
    """The example in a language."""
    found = re.search(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)
    assert found is not None
    return found[1]


def test_the_example_on_another_rpc_stack() -> None:
    server = SimulatedServer(load_topology("demo"))
    assert server.group("First Storage Group").is_mounted("Mailbox Store (EXCHSRV1)")
    with administered(server) as desk:
        port = desk.server.address[1]
        code = block("python").replace("[5000]", f"[{port}]")
        assert str(port) in code
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
        )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("0x0 0 ")
    assert not server.group("First Storage Group").is_mounted("Mailbox Store (EXCHSRV1)")


def test_the_plan_is_one() -> None:
    (count,) = read_fault_plan(block("toml")).counts
    assert plain_rule(count.rule)["times"] == 0


def test_nothing_is_left_out() -> None:
    assert str(ADMIN_SYNTAX.uuid) in TEXT
    assert [o.name for o in ADMIN_OPERATIONS.values() if f"`{o.name}`" not in TEXT] == []
    table = TEXT.split("## What to know")[0]
    assert [name for name in ctl.commands if not re.search(rf"`{name}\b", table)] == []
