"""The page about errors of restore and recovery is read off the tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from eseback.errors import ROW_BY_JET, ROW_BY_NAME
from tools.gen_docs import ROOT
from tools.restore_errors import EXPECTED, restore_errors_page, tested_errors


@pytest.mark.parametrize("part", EXPECTED)
def test_every_error_has_a_test(part: str) -> None:
    tests = tested_errors(ROOT, part)
    rows = [ROW_BY_NAME[e] if isinstance(e, str) else ROW_BY_JET[e] for e in EXPECTED[part]]
    assert [row.name for row in rows if not tests.get(row.name)] == []


def test_a_test_stands_beside_what_it_names(tmp_path: Path) -> None:
    folder = tmp_path / "tests" / "esesim"
    folder.mkdir(parents=True)
    (folder / "test_restore_example.py").write_text(
        "TABLE = [JetErr.MISSING_RESTORE_LOG_FILES, -610]\n"
        "OTHER = [JetErr.BAD_PATCH_PAGE]\n"
        "def helper():\n    return 'hrCBDatabaseInUse'\n"
        "@parametrize('row', TABLE)\ndef test_table(row): ...\n"
        "def test_call():\n    helper()\n",
        encoding="utf-8",
    )
    module = "test_restore_example.py"
    assert tested_errors(tmp_path, "Restore calls and hard recovery") == {
        ROW_BY_JET[-557].name: [f"{module}::test_table"],
        ROW_BY_JET[-610].name: [f"{module}::test_table"],
        "hrCBDatabaseInUse": [f"{module}::test_call"],
    }


def test_the_page_has_a_row_for_each() -> None:
    page = restore_errors_page(ROOT)
    assert page.count("\n| hr") == sum(
        len({ROW_BY_NAME[e].name if isinstance(e, str) else ROW_BY_JET[e].name for e in part})
        for part in EXPECTED.values()
    )
