"""The tree as a whole: nothing left over from a machine, and facts that stand twice agree."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

import esesim
from tests.support.project import ROOT, project_files

# Put together from parts, so that this file does not find itself.
LEFT_OVERS = {
    "a path of somebody's machine": "/(" + "|".join(["root", "work", "home/[a-z]+"]) + ")/",
    "a folder of somebody's machine": "/tmp/" + "(v|plan)/",
    "the host of a package registry": r"https?://[a-z0-9.-]*("
    + "|".join(["py" + "pi", "python" + "hosted", "npm" + "js", "deb" + r"ian\.org"])
    + ")",
    "a note to oneself": r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "XX" + "X"]) + r")\b",
    "a merge conflict": "^(<{7}|>{7}) ",
}


def text_of(file: Path) -> str:
    """The text of a file; empty for a binary one."""
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""


@pytest.fixture(scope="module")
def pyproject() -> dict[str, Any]:
    """pyproject.toml, read."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.mark.needs_tool("git")
@pytest.mark.parametrize("what", LEFT_OVERS)
def test_nothing_is_left_over(what: str) -> None:
    pattern = re.compile(LEFT_OVERS[what], re.MULTILINE)
    files = project_files()
    assert ROOT / "pyproject.toml" in files
    found = [
        f"{file.relative_to(ROOT)}: {match.group()}"
        for file in files
        for match in [pattern.search(text_of(file))]
        if match is not None
    ]
    assert found == [], f"{what} in the tree"


def test_left_over_patterns_find_what_they_are_for() -> None:
    bad = {
        "a path of somebody's machine": "cd /ro" + "ot/x",
        "a folder of somebody's machine": "/tm" + "p/v/v/bin",
        "the host of a package registry": "https:" + "//pyp" + "i.org/simple",
        "a note to oneself": "# TO" + "DO later",
        "a merge conflict": "x\n" + "<" * 7 + " HEAD",
    }
    for what, text in bad.items():
        assert re.search(LEFT_OVERS[what], text, re.MULTILINE), what


def requirement_names(requirements: list[str]) -> set[str]:
    """Names of requirements, in the one spelling that compares."""
    names = (re.match(r"[A-Za-z0-9._-]+", line) for line in requirements)
    return {re.sub(r"[-_.]+", "-", match.group()).lower() for match in names if match}


def test_constraints_pin_every_dependency(pyproject: dict[str, Any]) -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert [
        line for line in pins if not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9a-z.]*", line)
    ] == []
    project = pyproject["project"]
    wanted = requirement_names(project["dependencies"])
    for extra in project["optional-dependencies"].values():
        wanted |= requirement_names(extra)
    assert wanted - requirement_names(pins) == set()


def test_changelog_begins_with_this_version() -> None:
    headings = re.findall(
        r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert headings[0] == esesim.__version__


def test_heavy_dependencies_stay_out_of_the_run_time(pyproject: dict[str, Any]) -> None:
    names = requirement_names(pyproject["project"]["dependencies"])
    assert names == {"attrs", "cattrs", "click", "jinja2", "junitparser", "rich"}


@pytest.mark.needs_tool("git")
def test_links_in_documents_lead_somewhere() -> None:
    documents = [file for file in project_files() if file.suffix == ".md"]
    links = [
        (document, target)
        for document in documents
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", text_of(document))
    ]
    assert links, "README.md links to other pages"
    broken = [
        f"{document.relative_to(ROOT)} -> {target}"
        for document, target in links
        if not (document.parent / target).exists()
    ]
    assert broken == []
