"""The decisions of ours that no source settles: found in the code, listed in docs/assumptions.md.

A comment that starts with `ASSUMED(id): text` marks one, right where it is taken. Rows of the error
table say the same of themselves by their grade.
"""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from attrs import frozen

from eseback.errors import ERRORS, Grade

PACKAGES: Final = (
    "protocol/eseback",
    "simulator/esesim",
    "client/esebcli",
    "harness/eseconform",
)
_MARK: Final = re.compile(r"#\s*ASSUMED\(([^)]*)\):?\s*(.*)")
_IDENTIFIER: Final = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_OTHER_MARK: Final = re.compile(r"#\s*(ASSUMED\(|noqa\b|type:|pragma:|-{3,}|={3,})")


class MarkError(Exception):
    """A mark that cannot be listed: no text, an odd id, or one id with two meanings."""


@frozen
class Comment:
    """One comment of a file: its line and column (from 1 and 0) and whether it stands alone."""

    line: int
    column: int
    text: str
    alone: bool


@frozen
class Assumption:
    """One decision of ours, as marked in the code."""

    identifier: str
    text: str
    file: str


def python_comments(source: str) -> Iterator[Comment]:
    """The comments of Python source; a string that looks like a comment is none."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            line, column = token.start
            yield Comment(line, column, token.string, alone=not token.line[:column].strip())


def toml_comments(source: str) -> Iterator[Comment]:
    """The comments of a TOML file that have a line of their own."""
    for number, line in enumerate(source.splitlines(), start=1):
        text = line.lstrip()
        if text.startswith("#"):
            yield Comment(number, len(line) - len(text), text, alone=True)


def assumptions_in(comments: Iterable[Comment], file: str) -> Iterator[Assumption]:
    """The marks among the comments of one file.

    A mark goes on over the comment lines below it that start in the same column, up to an empty
    comment or another mark. Raises MarkError, naming the place, for a mark without id or text.
    """
    by_line = {comment.line: comment for comment in comments}
    for comment in by_line.values():
        match = _MARK.match(comment.text)
        if match is None:
            continue
        identifier, first = match.groups()
        place = f"{file}:{comment.line}"
        if not _IDENTIFIER.fullmatch(identifier):
            raise MarkError(f"{place}: '{identifier}' is no id; use lower-case words and hyphens")
        words = [first, *_continuation(comment, by_line)]
        text = " ".join(" ".join(words).split())
        if not text:
            raise MarkError(f"{place}: ASSUMED({identifier}) does not say what is assumed")
        yield Assumption(identifier, text, file)


def _continuation(mark: Comment, by_line: Mapping[int, Comment]) -> Iterator[str]:
    line = mark.line + 1
    while (following := by_line.get(line)) is not None:
        body = following.text.lstrip("#").strip()
        in_line = following.alone and following.column == mark.column
        if not in_line or not body or _OTHER_MARK.match(following.text):
            return
        yield body
        line += 1


def collect_assumptions(root: Path) -> list[Assumption]:
    """Every mark of the packages below `root`, by id; one entry a file if it stands in several.

    Raises MarkError when one id has two texts: then they are two assumptions.
    """
    found: dict[tuple[str, str], Assumption] = {}
    texts: dict[str, Assumption] = {}
    for path in sorted(_sources(root)):
        file = path.relative_to(root).as_posix()
        source = path.read_text(encoding="utf-8")
        comments = python_comments(source) if path.suffix == ".py" else toml_comments(source)
        for assumption in assumptions_in(comments, file):
            first = texts.setdefault(assumption.identifier, assumption)
            if first.text != assumption.text:
                raise MarkError(
                    f"ASSUMED({assumption.identifier}) means one thing in {first.file} "
                    f"and another in {assumption.file}"
                )
            found[assumption.identifier, file] = assumption
    return [found[key] for key in sorted(found)]


def _sources(root: Path) -> Iterator[Path]:
    for package in PACKAGES:
        for suffix in ("py", "toml"):
            yield from (root / package).rglob(f"*.{suffix}")


def assumed_error_rows() -> list[tuple[str, str, str, str]]:
    """Name, value, text and source of the errors whose value or use is assumed."""
    return [
        (f"`{row.name}`", f"0x{row.hresult:08X}", row.text, row.source)
        for row in ERRORS
        if row.grade is Grade.ASSUMED
    ]


def assumptions_page(assumptions: Sequence[Assumption]) -> str:
    """docs/assumptions.md, without the heading that every generated page has."""
    files: dict[str, list[str]] = {}
    texts: dict[str, str] = {}
    for assumption in assumptions:
        files.setdefault(assumption.identifier, []).append(assumption.file)
        texts[assumption.identifier] = assumption.text
    rows = [
        (f"`{identifier}`", texts[identifier], "<br>".join(f"`{file}`" for file in places))
        for identifier, places in files.items()
    ]
    return "\n".join(
        [
            "No published source settles these points; each is our decision, marked in the code",
            "where it is taken. Who knows better finds here what to correct, and where.",
            "",
            *_table(("id", "what we assume", "where"), rows),
            "",
            "## Error codes",
            "",
            "Rows of the error table (`eseback.errors`) of which the value or the use is assumed.",
            "",
            *_table(("name", "value", "meaning", "source"), assumed_error_rows()),
            "",
        ]
    )


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield "| " + " | ".join(heads) + " |"
    yield "|" + "---|" * len(heads)
    for row in rows:
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"
