"""The catalogue of rules: complete, well founded, used by a judge and decided by a case."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import eseconform
from eseback.grade import Grade
from eseconform.cases import catalogue
from eseconform.errors import HarnessError, UsageError
from eseconform.requirements import Level, parse_requirements, requirements

ID = re.compile(r"ESE-(?:BKP|RST)-[A-Z]+-\d{3}")
RULE = """
schema = 1
[ESE-BKP-SEQ-900]
statement = "x"
level = "MUST"
evidence = "source"
source = "y"
link = "https://example.invalid/"
axis = "protocol"
phases = ["end"]
"""


def test_there_are_eighty_rules_of_backup_and_fifty_of_restore_or_more() -> None:
    rules = requirements()
    assert sum(rule.startswith("ESE-BKP-") for rule in rules) >= 80
    assert sum(rule.startswith("ESE-RST-") for rule in rules) >= 50


def test_ids_have_one_form_and_statements_are_sentences() -> None:
    for rule in requirements().values():
        assert ID.fullmatch(rule.id)
        assert rule.statement[0].isupper()
        assert rule.statement.endswith((".", ")."))


def test_links_are_expanded_addresses() -> None:
    for rule in requirements().values():
        assert rule.link.startswith("https://") or rule.evidence is Grade.ASSUMED
        assert "{}" not in rule.link


def test_every_rule_is_decided_by_a_case() -> None:
    assert [rule for rule in requirements() if not catalogue().deciding(rule)] == []


def test_every_rule_is_used_by_a_judge_and_no_judge_names_another() -> None:
    package = Path(eseconform.__file__).parent
    sources = [*(package / "judge").glob("*.py"), package / "runner.py"]
    used = {key for path in sources for key in ID.findall(path.read_text("utf-8"))}
    assert used == set(requirements())


def test_only_well_founded_musts_can_fail_a_client() -> None:
    for rule in requirements().values():
        if rule.verdict_when_broken == "FAIL" and rule.axis in ("protocol", "teardown"):
            assert rule.level is Level.MUST
            assert rule.evidence.binding


@pytest.mark.parametrize(
    ("evidence", "axis", "level", "verdict"),
    [
        ("documented", "protocol", "MUST", "FAIL"),
        ("source", "teardown", "MUST", "FAIL"),
        ("observed", "protocol", "MUST", "WARN"),
        ("assumed", "teardown", "MUST", "WARN"),
        ("assumed", "data", "MUST", "FAIL"),
        ("inferred", "honesty", "MUST", "FAIL"),
        ("documented", "protocol", "SHOULD", "WARN"),
        ("assumed", "honesty", "SHOULD", "WARN"),
        ("documented", "data", "INFO", "INFO"),
    ],
)
def test_the_verdict_of_a_broken_rule(evidence: str, axis: str, level: str, verdict: str) -> None:
    text = RULE.replace('"source"', f'"{evidence}"', 1).replace('"protocol"', f'"{axis}"')
    rule = parse_requirements(text.replace('"MUST"', f'"{level}"'))["ESE-BKP-SEQ-900"]
    assert rule.verdict_when_broken == verdict


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("schema = 1", "schema = 2", "schema"),
        ('level = "MUST"', "", "'level' is missing"),
        ('"MUST"', '"MIGHT"', "MIGHT"),
        ('"source"', '"rumour"', "rumour"),
        ('"protocol"', '"taste"', "axis 'taste'"),
        ('["end"]', '["afterwards"]', "phases"),
        ('["end"]', "[]", "phases"),
        ('link = "https://example.invalid/"', "", "needs a link"),
    ],
)
def test_a_wrong_file_is_refused_in_words(old: str, new: str, message: str) -> None:
    with pytest.raises(HarnessError, match=re.escape(message)):
        parse_requirements(RULE.replace(old, new, 1))


def test_find_takes_any_case_and_names_the_way_out() -> None:
    assert requirements().find("ese-bkp-seq-001").id == "ESE-BKP-SEQ-001"
    with pytest.raises(UsageError, match="eseconform list"):
        requirements().find("ESE-BKP-SEQ-999")
