"""JUnit XML, for the systems that run builds."""

from __future__ import annotations

from pathlib import Path

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

from eseconform.results import CaseResult, RunResult
from eseconform.verdicts import Verdict

JUNIT_NAME = "junit.xml"

_NOT_RUN = (Verdict.SKIP, Verdict.NOT_APPLICABLE)


def junit(run: RunResult) -> JUnitXml:
    """The run as JUnit: FAIL and CRASH are failures, INCONCLUSIVE and ERROR are errors."""
    suite = TestSuite(f"eseconform {run.suite}")
    suite.add_property("sut", run.sut)
    suite.add_property("seed", str(run.seed))
    suite.add_property("transport", run.transport.value)
    suite.add_property("version", run.version)
    suite.timestamp = run.started
    for case in run.cases:
        suite.add_testcase(_case(case))
    for line in run.broken_expectations:
        test = TestCase("expectations", classname="eseconform.expectations")
        test.result = [_with_text(Failure(_printable(line), "expectation"), line)]
        suite.add_testcase(test)
    suite.time = run.seconds
    xml = JUnitXml("eseconform")
    xml.add_testsuite(suite)
    return xml


def write_junit(run: RunResult, folder: Path) -> Path:
    """Write ``junit.xml`` into a folder; returns its path."""
    path = folder / JUNIT_NAME
    junit(run).write(str(path), pretty=True)
    return path


def _case(case: CaseResult) -> TestCase:
    test = TestCase(case.id, classname=f"eseconform.{case.family}", time=case.seconds)
    message = case.divergence or case.note or case.verdict.value
    details = "\n".join(
        [
            *(f"{f.axis.value}: {f.verdict.value}: {f.sentence}" for f in case.findings),
            case.reproduce,
        ]
    )
    if case.expected:
        test.result = [Skipped(_printable(f"expected: {case.expected}"))]
    elif case.verdict in (Verdict.FAIL, Verdict.CRASH):
        test.result = [_with_text(Failure(message, case.verdict.value), details)]
    elif case.verdict in (Verdict.INCONCLUSIVE, Verdict.ERROR):
        test.result = [_with_text(Error(message, case.verdict.value), details)]
    elif case.verdict in _NOT_RUN:
        test.result = [Skipped(message)]
    output = "\n".join(job.output for job in case.jobs if job.output)
    if output:
        test.system_out = _printable(output)
    return test


def _with_text(result: Failure | Error, text: str) -> Failure | Error:
    result.text = _printable(text)
    return result


def _printable(text: str) -> str:
    """XML 1.0 has no way to write most control characters; a client's output may hold any."""
    return "".join(c if c in "\n\t" or c.isprintable() else "?" for c in text)
