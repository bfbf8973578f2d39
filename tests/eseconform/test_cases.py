"""Cases as data: what ships is sound, what is wrong is refused in words."""

from __future__ import annotations

import re

import pytest

from eseconform.cases import catalogue, parse_cases, topology_of
from eseconform.errors import HarnessError
from esesim.faults import FaultAction

CASE = """
schema = 1
[one]
title = "x"
family = "y"
topology = "one-store"
requirements = ["ESE-BKP-SEQ-001"]
jobs = [{ kind = "full" }, { kind = "incremental", steps_before = 5, expect = "any" }]
faults = [{ action = "hresult", call = "backup_setup", job = 1, error = "hrDiskIO", times = 0 }]
"""


def test_every_topology_of_a_case_loads() -> None:
    for case in catalogue().cases.values():
        topology = topology_of(case, catalogue())
        names = {group.name for group in topology.groups}
        assert {group for job in case.jobs for group in job.groups} <= names


def test_every_topology_is_used() -> None:
    used = {case.topology for case in catalogue().cases.values()}
    assert set(catalogue().topologies) <= used


def test_the_families_of_this_slice_are_there() -> None:
    families = {case.family for case in catalogue().cases.values()}
    assert families >= {
        *("sanity", "demo", "lifecycle", "reading", "logs", "truncation", "chain"),
        *("faults", "corruption", "connection"),
    }


def test_every_kind_of_fault_is_used() -> None:
    used = {fault.action for case in catalogue().cases.values() for fault in case.faults}
    assert used == set(FaultAction)


def test_a_case_is_read_with_its_defaults() -> None:
    case = parse_cases(CASE, {}).cases["one"]
    assert case.suites == ("default",)
    assert [job.steps_before for job in case.jobs] == [0, 5]
    rule = case.faults[0].rule()
    assert rule.times is None
    assert rule.hresult == 0xC80003FE
    assert case.faults[0].text == "hrDiskIO at backup_setup, match 1 and all after it"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("schema = 1", "", "schema = 1"),
        ('title = "x"', 'titel = "x"', "titel"),
        ("steps_before = 5", 'steps_before = "many"', "steps_before"),
        ('"ESE-BKP-SEQ-001"', '"ESE-BKP-SEQ-999"', "ESE-BKP-SEQ-999"),
        ('["ESE-BKP-SEQ-001"]', "[]", "none are named"),
        ('kind = "full"', 'kind = "copy"', "$.jobs[0].kind"),
        ('{ kind = "full" }, ', "", "first job must be a full"),
        ('"hrDiskIO"', '"hrTeaTime"', "hrTeaTime"),
        ('"backup_setup"', '"backup_tea"', "backup_tea"),
        ("job = 1", "job = 2", "there is no job 2"),
        ('action = "hresult"', 'action = "drop"', "hresult or jet"),
    ],
)
def test_a_wrong_case_is_refused(old: str, new: str, message: str) -> None:
    assert old in CASE
    with pytest.raises(HarnessError, match=re.escape(message)):
        parse_cases(CASE.replace(old, new, 1), {})
