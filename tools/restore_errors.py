"""Which tests bring about which errors of restore and recovery: docs/restore-errors.md.

Read off the tests themselves: a test stands beside an error that it names, in its own text or in a
table of its module that it goes through. ``tests/tools/test_restore_errors.py`` holds that no error
of :data:`EXPECTED` is without a test.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from eseback.errors import ROW_BY_JET, ROW_BY_NAME, ErrorRow, JetErr

HARD_RECOVERY: Final = (
    -506, -513, -535, -538, -539, -540, -543, -552, -553, -554, -555, -556, -557, -561, -565, -566,
    -567, -570, -571, -573, -574, -577, -610, -611, -615, -1206, -1214, -1811, -1850,
)  # fmt: skip
SOFT_RECOVERY: Final = (
    -501, -509, -513, -515, -528, -530, -531, -532, -533, -536, -540, -541, -543, -544, -545, -550,
    -551, -1206, -1216, -1222,
)  # fmt: skip
CALLS: Final = ("hrCBDatabaseInUse", "hrCBDatabaseNotFound", "hrInvalidHandle", "hrAlreadyOpen")

EXPECTED: Final[Mapping[str, tuple[int | str, ...]]] = {
    "Restore calls and hard recovery": (*HARD_RECOVERY, *CALLS),
    "Soft recovery and attach": SOFT_RECOVERY,
}
"""The errors that must have a test, by what meets them."""

_MODULES: Final[Mapping[str, tuple[str, ...]]] = {
    "Restore calls and hard recovery": (
        "tests/esesim/engine/test_hard_recovery*.py",
        "tests/esesim/engine/test_play_forward*.py",
        "tests/esesim/engine/test_interrupted_restore.py",
        "tests/esesim/test_restore_*.py",
    ),
    "Soft recovery and attach": (
        "tests/esesim/engine/test_soft_recovery*.py",
        "tests/esesim/engine/test_attach*.py",
        "tests/esesim/test_errors_provoked.py",
    ),
}
_TESTS_SHOWN_MAX: Final = 4


def tested_errors(root: Path, part: str) -> dict[str, list[str]]:
    """Names of errors of the table to the tests that name them, ``module.py::test``."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for pattern in _MODULES[part]:
        for path in sorted(root.glob(pattern)):
            for test, rows in _named_by_tests(path):
                for name in sorted(rows):
                    found[name].append(f"{path.name}::{test}")
    return dict(found)


def restore_errors_page(root: Path) -> str:
    """The page below its heading."""
    lines = [
        "Each test spoils what a restore or a start needs and asserts the error that comes of it;",
        "most of them also assert the events, and that a refusal has changed nothing.",
    ]
    for part, expected in EXPECTED.items():
        tests = tested_errors(root, part)
        rows = {_row(error).name: _row(error) for error in expected}
        lines += ["", f"## {part}", "", "| error | JET | HRESULT | brought about in |"]
        lines.append("|---|---|---|---|")
        lines += [
            f"| {name} | {'' if row.jet is None else row.jet} | 0x{row.hresult:08X} | "
            f"{_shown(tests.get(name, []))} |"
            for name, row in rows.items()
        ]
    return "\n".join(lines) + "\n"


def _row(error: int | str) -> ErrorRow:
    return ROW_BY_NAME[error] if isinstance(error, str) else ROW_BY_JET[error]


def _shown(tests: list[str]) -> str:
    more = len(tests) - _TESTS_SHOWN_MAX
    text = ", ".join(f"`{test}`" for test in tests[:_TESTS_SHOWN_MAX])
    return f"{text} and {more} more" if more > 0 else text


def _named_by_tests(path: Path) -> Iterator[tuple[str, set[str]]]:
    """Each test function of a module with the errors that it names, directly or by its tables."""
    top: dict[str, ast.stmt] = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            top[node.name] = node
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            top.update({t.id: node for t in targets if isinstance(t, ast.Name)})
    known = {name: _names_in(node) for name, node in top.items()}
    for name in top:
        # One that asks whether a table is complete goes through it and brings nothing about.
        if name.startswith("test_") and not name.endswith("_is_provoked"):
            yield name, _closure(name, known)


def _closure(name: str, known: Mapping[str, tuple[set[str], set[str]]]) -> set[str]:
    """The errors named by something of a module, and by all that it refers to."""
    errors: set[str] = set()
    seen: set[str] = set()
    todo = {name}
    while todo:
        current = todo.pop()
        seen.add(current)
        own, references = known[current]
        errors |= own
        todo |= (references & set(known)) - seen
    return errors


def _names_in(statement: ast.stmt) -> tuple[set[str], set[str]]:
    """The errors that a statement names, and all other names in it."""
    errors: set[str] = set()
    references: set[str] = set()
    for node in ast.walk(statement):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.value.id == "JetErr" and node.attr in JetErr.__members__:
                row = ROW_BY_JET.get(JetErr[node.attr])
                errors.update([row.name] if row else [])
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            errors.update([node.value] if node.value in ROW_BY_NAME else [])
        elif (number := _number(node)) is not None and number in ROW_BY_JET:
            errors.add(ROW_BY_JET[number].name)
        elif isinstance(node, ast.Name):
            references.add(node.id)
    return errors, references


def _number(node: ast.AST) -> int | None:
    """A negative number that is written in the text, or None."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        operand = node.operand
        if isinstance(operand, ast.Constant) and isinstance(operand.value, int):
            return -operand.value
    return None
