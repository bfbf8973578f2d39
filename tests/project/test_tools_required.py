"""A test whose tool is missing is skipped at home and fails on CI."""

from __future__ import annotations

import pytest
from _pytest.pytester import Pytester

from tests.support import tools
from tests.support.project import ROOT
from tests.support.tools import Tool, missing_tool_verdict

ABSENT = Tool(command="no-such-program-anywhere", install="it does not exist")
PRESENT = Tool(module="json", install="comes with Python")


@pytest.fixture(autouse=True)
def two_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "TOOLS", {"absent": ABSENT, "present": PRESENT})


@pytest.mark.parametrize("required", ["", "all", "present", "absent"])
def test_present_tool_is_never_a_reason(required: str) -> None:
    assert missing_tool_verdict("present", required) is None


@pytest.mark.parametrize(
    ("required", "fails"),
    [("", False), ("present", False), ("all", True), ("absent", True), ("present, absent", True)],
)
def test_absent_tool_fails_only_where_it_is_asked_for(required: str, fails: bool) -> None:
    verdict = missing_tool_verdict("absent", required)
    assert verdict is not None
    assert verdict.is_failure is fails
    assert "it does not exist" in verdict.reason


def test_unknown_tool_is_an_error() -> None:
    with pytest.raises(KeyError):
        missing_tool_verdict("esedbexprot", "")


def test_module_inside_a_missing_package_is_absent() -> None:
    assert not Tool(module="no_such_package.module", install="").is_present()


@pytest.fixture
def suite(pytester: Pytester) -> Pytester:
    """A test suite of one marked test, under our own conftest.py."""
    pytester.makeini("[pytest]\nmarkers = needs_tool(name): needs something\n")
    pytester.makeconftest((ROOT / "tests" / "conftest.py").read_text(encoding="utf-8"))
    pytester.makepyfile(
        """
        import pytest

        @pytest.fixture
        def broken():
            raise AssertionError("made although the tool is missing")

        @pytest.mark.needs_tool("absent")
        def test_with_the_tool(broken):
            raise AssertionError("ran although the tool is missing")
        """
    )
    return pytester


def test_marked_test_is_skipped_with_its_reason(
    suite: Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ESESIM_REQUIRE", raising=False)
    result = suite.runpytest_inprocess("-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*absent is not installed (it does not exist)*"])


def test_marked_test_fails_where_all_tools_are_required(
    suite: Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ESESIM_REQUIRE", "all")
    result = suite.runpytest_inprocess()
    assert result.parseoutcomes().get("passed", 0) == 0
    assert set(result.parseoutcomes()) & {"failed", "errors"}
    result.stdout.fnmatch_lines(["*ESESIM_REQUIRE=all asks for it*"])
