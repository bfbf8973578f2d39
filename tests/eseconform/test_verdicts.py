"""Verdicts: severity, the worst of axes, exit codes."""

from __future__ import annotations

import pytest

from eseconform.requirements import requirements
from eseconform.verdicts import Axis, ExitCode, Finding, Verdict, broken, exit_code, sum_up, worst

V = Verdict


def test_severity_follows_the_documented_order() -> None:
    order = [V.SKIP, V.NOT_APPLICABLE, V.PASS, V.INFO, V.WARN, V.INCONCLUSIVE, V.FAIL, V.CRASH]
    assert sorted([*order, V.ERROR], key=lambda v: v.severity) == [*order, V.ERROR]
    assert [v for v in Verdict if v.is_good] == order[:5]


def test_worst_has_a_default() -> None:
    assert worst([V.PASS, V.WARN, V.INFO]) is V.WARN
    assert worst([], default=V.SKIP) is V.SKIP


@pytest.mark.parametrize(
    ("verdicts", "code"),
    [
        ([V.PASS, V.INFO, V.WARN, V.NOT_APPLICABLE], ExitCode.OK),
        ([V.PASS, V.FAIL], ExitCode.NOT_CONFORMANT),
        ([V.PASS, V.CRASH], ExitCode.NOT_CONFORMANT),
        ([V.FAIL, V.ERROR], ExitCode.OUR_ERROR),
        ([V.FAIL, V.INCONCLUSIVE], ExitCode.NOT_CONFORMANT),
        ([V.PASS, V.INCONCLUSIVE], ExitCode.INCONCLUSIVE),
        ([V.SKIP, V.NOT_APPLICABLE], ExitCode.NOTHING_RAN),
        ([], ExitCode.NOTHING_RAN),
    ],
)
def test_exit_code_of_a_run(verdicts: list[Verdict], code: ExitCode) -> None:
    assert exit_code(verdicts) is code


def test_sum_up_has_every_axis_and_the_worst_first() -> None:
    findings = [
        Finding(Axis.DATA, V.INFO, "told"),
        Finding(Axis.DATA, V.FAIL, "later", call=9),
        Finding(Axis.DATA, V.FAIL, "earlier", call=3),
    ]
    protocol, data, teardown, honesty = sum_up(findings)
    assert [a.verdict for a in (protocol, data, teardown, honesty)] == [
        V.PASS,
        V.FAIL,
        V.PASS,
        V.PASS,
    ]
    assert [f.text for f in data.findings] == ["earlier", "later", "told"]


def test_a_sentence_names_call_and_rule() -> None:
    rule = requirements()["ESE-BKP-SEQ-003"]
    finding = broken(rule, "GetLogAndPatchFiles comes too early", call=14)
    assert finding.verdict is V.FAIL
    assert finding.axis is Axis.PROTOCOL
    assert finding.sentence == "call 14: GetLogAndPatchFiles comes too early (ESE-BKP-SEQ-003)"
