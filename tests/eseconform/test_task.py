"""Claims: any object with the right attributes is one, anything else is refused in words."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from eseconform.task import Claim, ClaimError, JobKind, Outcome, SavedFile, as_claim


def test_a_claim_of_ours_comes_back_equal() -> None:
    claim = Claim(Outcome.SUCCESS, (SavedFile("C:\\a.edb", 7, Path("a")),), {"G": 5}, "")
    assert as_claim(claim) == claim


def test_attributes_of_any_object_are_read() -> None:
    file = SimpleNamespace(name="C:\\a.edb", size=7, path="somewhere/a", group="G")
    answer = SimpleNamespace(outcome="SUCCESS", files=[file], restorable_to={"G": 5})
    assert as_claim(answer) == Claim(
        Outcome.SUCCESS, (SavedFile("C:\\a.edb", 7, Path("somewhere/a")),), {"G": 5}, ""
    )


def test_mappings_are_read() -> None:
    answer = {"outcome": "failure", "reason": "tape full", "files": [{"name": "x", "size": 0}]}
    claim = as_claim(answer)
    assert claim.outcome is Outcome.FAILURE
    assert claim.files == (SavedFile("x", 0, None),)
    assert claim.reason == "tape full"


def test_generation_for_all_groups_or_by_group() -> None:
    assert Claim(Outcome.SUCCESS, restorable_to=9).generation_claimed("any") == 9
    by_group = Claim(Outcome.SUCCESS, restorable_to={"A": 3})
    assert by_group.generation_claimed("A") == 3
    assert by_group.generation_claimed("B") is None


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (None, "returned None"),
        (42, "outcome"),
        ({"outcome": "perhaps"}, "'success' or 'failure'"),
        ({"outcome": "success", "files": "a.edb"}, "sequence of files"),
        ({"outcome": "success", "files": [{"size": 1}]}, "'name'"),
        ({"outcome": "success", "files": [{"name": "a", "size": "big"}]}, "'size'"),
        ({"outcome": "success", "files": [{"name": "a", "size": True}]}, "'size'"),
        ({"outcome": "success", "files": [{"name": "a", "size": -1}]}, "'size'"),
        ({"outcome": "success", "files": [{"name": "a", "size": 1, "path": 5}]}, "'path'"),
        ({"outcome": "success", "restorable_to": "all"}, "restorable_to"),
        ({"outcome": "success", "restorable_to": {"G": "5"}}, "restorable_to"),
    ],
)
def test_what_is_no_claim_is_refused(answer: object, message: str) -> None:
    with pytest.raises(ClaimError, match=message):
        as_claim(answer)


def test_kinds_compare_as_text() -> None:
    assert JobKind("full") is JobKind.FULL
    assert f"{JobKind.FULL}" == "full"
    assert str(JobKind.INCREMENTAL) == "incremental"
    assert JobKind.FULL.starts_chain
    assert not JobKind.INCREMENTAL.starts_chain
