"""Marks are found where they are, whole, and a bad one is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from eseback.errors import ERRORS, Grade
from tools.assumptions import (
    Assumption,
    MarkError,
    assumptions_in,
    assumptions_page,
    collect_assumptions,
    python_comments,
    toml_comments,
)


def marks(source: str) -> list[tuple[str, str]]:
    return [
        (found.identifier, found.text)
        for found in assumptions_in(python_comments(source), "module.py")
    ]


def test_mark_goes_on_over_its_comment() -> None:
    source = """
# ASSUMED(first-one): it goes on
#   over three
# lines.
X = 1  # not this
"""
    assert marks(source) == [("first-one", "it goes on over three lines.")]


@pytest.mark.parametrize(
    "after",
    [
        "#\n# another paragraph",
        "\n# after a gap",
        "  # in another column",
        "X = 1  # behind code",
        "# noqa: E501",
        "# --- next section ---",
    ],
)
def test_mark_ends_where_its_comment_ends(after: str) -> None:
    assert marks(f"# ASSUMED(an-id): the text.\n{after}\n") == [("an-id", "the text.")]


def test_two_marks_in_one_comment_are_two() -> None:
    source = "# ASSUMED(a): one.\n# ASSUMED(b): two,\n# of two lines.\n"
    assert marks(source) == [("a", "one."), ("b", "two, of two lines.")]


def test_mark_behind_code_is_one() -> None:
    assert marks("LIMIT = 4  # ASSUMED(limit): a product limit.\n") == [
        ("limit", "a product limit.")
    ]


def test_only_comments_that_begin_with_the_mark_count() -> None:
    source = '''
"""# ASSUMED(in-a-string): no."""
# see ASSUMED(elsewhere): a reference is no mark
'''
    assert marks(source) == []


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("# ASSUMED(no-text):", "does not say"),
        ("# ASSUMED(): text", "is no id"),
        ("# ASSUMED(Upper Case): text", "is no id"),
    ],
)
def test_bad_mark_is_refused_with_its_place(line: str, complaint: str) -> None:
    with pytest.raises(MarkError, match=rf"module\.py:2.*{complaint}"):
        marks(f"\n{line}\n")


def test_toml_is_searched_too() -> None:
    source = 'key = "# ASSUMED(in-a-string): no"\n  # ASSUMED(a-limit): yes,\n  # it is.\n'
    found = list(assumptions_in(toml_comments(source), "profile.toml"))
    assert found == [Assumption("a-limit", "yes, it is.", "profile.toml")]


def write(root: Path, name: str, text: str) -> None:
    file = root / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


def test_all_four_packages_are_searched_and_sorted(tmp_path: Path) -> None:
    write(tmp_path, "simulator/esesim/engine/a.py", "# ASSUMED(zebra): z.\n")
    write(tmp_path, "client/esebcli/b.py", "# ASSUMED(badger): b.\n")
    write(tmp_path, "protocol/eseback/c.toml", "# ASSUMED(cat): c.\n")
    write(tmp_path, "harness/eseconform/d.py", "# ASSUMED(zebra): z.\n")
    write(tmp_path, "tests/e.py", "# ASSUMED(not-ours): tests assume nothing.\n")
    assert [(found.identifier, found.file) for found in collect_assumptions(tmp_path)] == [
        ("badger", "client/esebcli/b.py"),
        ("cat", "protocol/eseback/c.toml"),
        ("zebra", "harness/eseconform/d.py"),
        ("zebra", "simulator/esesim/engine/a.py"),
    ]


def test_one_id_cannot_mean_two_things(tmp_path: Path) -> None:
    write(tmp_path, "client/esebcli/a.py", "# ASSUMED(limit): four.\n")
    write(tmp_path, "simulator/esesim/b.py", "# ASSUMED(limit): five.\n")
    with pytest.raises(MarkError, match=r"client/esebcli/a\.py.*simulator/esesim/b\.py"):
        collect_assumptions(tmp_path)


def test_page_lists_each_id_once_with_all_its_files() -> None:
    page = assumptions_page(
        [Assumption("limit", "a | b", "a.py"), Assumption("limit", "a | b", "b.py")]
    )
    assert r"| `limit` | a \| b | `a.py`<br>`b.py` |" in page.splitlines()


def test_page_lists_the_assumed_rows_of_the_error_table() -> None:
    lines = assumptions_page([]).splitlines()
    listed = {line.split("`")[1] for line in lines if line.startswith("| `hr")}
    assumed = {row.name for row in ERRORS if row.grade is Grade.ASSUMED}
    assert listed == {name for name in assumed if name.startswith("hr")} != set()
