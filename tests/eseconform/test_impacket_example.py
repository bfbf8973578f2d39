"""The example of a foreign client: it passes as it is, and fails on the right axis when one line
is broken.

It shares nothing with this project: Impacket brings the RPC, and the structures are its own.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest
from attrs import evolve, frozen

from eseconform.results import CaseResult
from eseconform.runner import run_case
from eseconform.sut import load_sut
from eseconform.transports import Transport
from eseconform.verdicts import Axis, Verdict
from tests.support.conformance import case, settings
from tests.support.programs import EXAMPLES

pytestmark = pytest.mark.needs_tool("impacket")

EXAMPLE = EXAMPLES / "impacket_backup.py"
LINES_MAX = 80


def judged(folder: Path, name: str, program: Path = EXAMPLE) -> CaseResult:
    """The verdict on a case."""
    sut = load_sut(f"cmd:{sys.executable} {program} {{task}}")
    changed = evolve(settings(folder), sut=sut, transport=Transport.RPC)
    return run_case(case(name), changed)


def test_it_is_short_and_imports_nothing_of_ours() -> None:
    text = EXAMPLE.read_text("utf-8")
    assert len(text.splitlines()) <= LINES_MAX
    imports = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom)]
    imported = {(node.module or "").partition(".")[0] for node in imports}
    imported |= {
        alias.name
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    assert imported - sys.stdlib_module_names == {"impacket"}


@pytest.mark.parametrize("name", ["names", "read-fails", "drop-at-end"])
def test_it_passes(tmp_path: Path, name: str) -> None:
    result = judged(tmp_path, name)
    assert result.verdict is Verdict.PASS, result.divergence
    if name == "names":
        (job,) = result.jobs
        assert job.outcome == "success"
        assert "rows as committed" in next(iter(job.restored.values()))


@frozen
class Breakage:
    """One line made worse.

    Attributes:
        line: as it is, without indentation.
        broken: what stands there instead.
        case: the case that shows it.
        axis: on which axis at least.
        rule: that it breaks.
    """

    line: str
    broken: str
    case: str
    axis: Axis
    rule: str


BREAKAGES = {
    "skips the .stm": Breakage(
        'for name in names(b"".join(base["files"] if base["flags"] & MOUNTED else ())):',
        'for name in names(b"".join(base["files"] if base["flags"] & MOUNTED else ()))[:1]:',
        "sanity",
        Axis.DATA,
        "ESE-BKP-DATA-004",
    ),
    "saves other bytes": Breakage(
        "file.write(answer[16 : 16 + got])",
        "file.write(answer[15 : 15 + got])",
        "sanity",
        Axis.DATA,
        "ESE-BKP-DATA-003",
    ),
    "does not count the bytes that came": Breakage(
        "if path.stat().st_size < size:",
        "if not path.exists():",
        "announced-too-much",
        Axis.DATA,
        "ESE-BKP-DATA-006",
    ),
    "truncates before the logs are read": Breakage(
        "for name in names(call(LOGS, context)[12:]):",
        "for name in [names(call(LOGS, context)[12:]), call(TRUNCATE, context)][0]:",
        "sanity",
        Axis.PROTOCOL,
        "ESE-BKP-TRN-001",
    ),
    "leaves files open": Breakage(
        'call(CLOSE, pack("<20s4xq", context, handle))',
        "pass",
        "sanity",
        Axis.PROTOCOL,
        "ESE-BKP-SEQ-005",
    ),
    "forgets End": Breakage(
        "call(END, context)", "pass", "sanity", Axis.TEARDOWN, "ESE-BKP-END-003"
    ),
    "forgets InstanceEnd": Breakage(
        'call(INSTANCE_END, context + pack("<I", how))',
        "pass",
        "sanity",
        Axis.HONESTY,
        "ESE-BKP-HON-002",
    ),
    "calls a failure a success": Breakage(
        'call(INSTANCE_END, context + pack("<I", how))',
        'call(INSTANCE_END, context + pack("<I", how)); continue',
        "read-fails",
        Axis.HONESTY,
        "ESE-BKP-HON-001",
    ),
    "takes any job for a full backup": Breakage(
        'if task["kind"] != "full":',
        'if not task["kind"]:',
        "honesty-probe",
        Axis.HONESTY,
        "ESE-BKP-HON-007",
    ),
}


@pytest.mark.parametrize("name", BREAKAGES)
def test_a_broken_line_fails_on_its_axis(tmp_path: Path, name: str) -> None:
    breakage = BREAKAGES[name]
    lines = EXAMPLE.read_text("utf-8").splitlines()
    (place,) = [n for n, line in enumerate(lines) if line.split("  #")[0].strip() == breakage.line]
    indent = lines[place][: len(lines[place]) - len(lines[place].lstrip())]
    lines[place] = indent + breakage.broken
    broken = tmp_path / "broken.py"
    broken.write_text("\n".join(lines) + "\n", "utf-8")
    result = judged(tmp_path, breakage.case, broken)
    findings = result.axis(breakage.axis).findings
    assert result.axis(breakage.axis).verdict is Verdict.FAIL
    assert breakage.rule in [finding.requirement for finding in findings]
