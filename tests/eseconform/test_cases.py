"""Cases as data: what ships is sound, what is wrong is refused in words."""

from __future__ import annotations

import re

import pytest

from eseconform.cases import Deed, catalogue, parse_cases, topology_of
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
        *("faults", "corruption", "connection", "honesty", "locking", "concurrency"),
        *("discovery", "limits", "versions", "quirks", "faults at every call"),
    }
    assert len(catalogue().cases) >= 150
    assert sum("default" in case.suites for case in catalogue().cases.values()) >= 100


def test_every_deed_of_others_is_in_a_case() -> None:
    done = {event.do for case in catalogue().cases.values() for event in case.events}
    assert done == set(Deed)


def test_a_version_and_its_quirks_replace_those_of_the_topology() -> None:
    server = topology_of(catalogue().cases["quirk-copy-breaks-chain"], catalogue()).server
    assert server.profile == "exchange-2000-sp2"
    assert server.quirks == ("kb828092-incremental-after-copy",)


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
        ('kind = "full"', 'kind = "weekly"', "$.jobs[0].kind"),
        ('{ kind = "full" }, ', "", "first job must be a full"),
        ('kind = "full"', 'kind = "full", answer = "hrDiskIO"', "a job that is refused"),
        ('kind = "full"', 'kind = "full", expect = "refused"', "a job that is refused"),
        ('expect = "any"', 'expect = "refused", answer = "hrTeaTime"', "hrTeaTime"),
        ('kind = "full"', 'kind = "full", databases = ["A"]', "of one group"),
        ("faults =", 'events = [{ do = "tea" }]\nfaults =', "$.events[0].do"),
        ("faults =", 'events = [{ do = "stop", call = "tea" }]\nfaults =', "is no call"),
        ("faults =", 'events = [{ do = "stop", job = 9 }]\nfaults =', "there is no job 9"),
        ("faults =", 'events = [{ do = "stop", refused = "hrTea" }]\nfaults =', "hrTea"),
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
