"""The harness over the wire: same verdicts, same transcripts as in process.

`make test` compares a case of every family and a sample of the zoo, `make fuzz` all of it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from eseconform.cases import catalogue
from eseconform.report.killmatrix import CLIENT_PAGE
from eseconform.serverside.run import CHECKS, run_check
from eseconform.serverside.target import load_target
from eseconform.sut import Sut, load_sut
from eseconform.transports import Transport
from eseconform.verdicts import Axis, Verdict
from eseconform.zoo.servers import SERVER_MUTANTS, ServerMutant
from eseconform.zoo.specimens import SPECIMENS
from tests.support.bothways import differences
from tests.support.conformance import case
from tests.support.examples import at_length
from tests.support.killpages import CommittedPage

pytestmark = [pytest.mark.fuzz, pytest.mark.uncovered]

CLIENT = "python:esebcli.sut:client"
QUICK_CASES = (
    *("sanity", "demo-lost-connection", "one-group-of-two", "strict-reads", "hexadecimal"),
    *("copy-first", "crash-in-chain", "read-fails-once", "bad-log", "drop-while-reading"),
    *("honesty-probe", "stopped-while-reading", "held-by-another", "neighbours"),
    *("disk-full", "exchange-2007-bad-log", "quirk-short-reads"),
    *(
        "restore-over-blank",
        "restore-parallel",
        "restore-differential-after-incremental",
        "play-forward-gap",
    ),
    *("restore-recovery-group", "restore-file-level", "restore-mount-meanwhile"),
    *("restore-damaged-page", "restore-crash-at-recovery", "restore-exchange-2000-sp2"),
    *("setup-lost-answer", "restore-complete-drop"),
)
"""Of every family one at least, and what is special to a wire: connections that break, contexts
that are left behind, several threads, large and small reads.
"""
QUICK_ZOO = (
    ("leaves_group_locked", "bad-page"),
    ("opens_database_late", "exchange-2007-bad-log"),
    ("skips_streaming_file", "sanity"),
    ("claims_success_after_lost_connection", "drop-at-end"),
    ("restore_forgets_abort", "restore-in-use"),
    ("restore_success_after_lost_connection", "restore-complete-drop"),
    ("lets_errors_through", "setup-refused"),
)
RACING = ("shares_context", "shares_handle", "restore_copies_logs_to_group")
"""Whose threads get in each other's way, as chance will have it: in process, too, no two runs of
them are the same.
"""
KILLERS_MAX = 8
"""Cases that a mutant is put before in `make fuzz`, of those that catch it."""
QUICK_CHECKS = (
    *("order-database-open", "order-ended", "freed-by-hang-up", "two-clients", "damaged-page"),
    *("restore-freed", "restore-unwaited"),
)


def zoo() -> list[tuple[str, str]]:
    """Mutants, each with cases that catch it, and the correct clients with a chain."""
    if not at_length():
        return list(QUICK_ZOO)
    kills = CommittedPage.read(CLIENT_PAGE).kills
    pairs = []
    for name, cases in kills.items():
        step = max(1, len(cases) // KILLERS_MAX)
        pairs += [(name, key) for key in cases[::step][:KILLERS_MAX]]
    correct = [specimen for specimen in SPECIMENS if specimen.axis is None]
    chains = (case("chain-of-two-groups"), case("restore-chain"))
    return pairs + [(s.name, c.id) for s in correct for c in chains if s.meets(c)]


@pytest.mark.parametrize("key", list(catalogue().cases) if at_length() else QUICK_CASES)
def test_a_case_over_the_wire(key: str, tmp_path: Path) -> None:
    result, told = differences(case(key), load_sut(CLIENT), tmp_path)
    assert told == []
    assert result.verdict is Verdict.PASS, result.divergence or result.note


def test_every_family_is_compared() -> None:
    cases = catalogue().cases
    assert {cases[key].family for key in QUICK_CASES} == {c.family for c in cases.values()}


@pytest.mark.parametrize(("name", "key"), zoo())
def test_a_client_of_the_zoo_over_the_wire(name: str, key: str, tmp_path: Path) -> None:
    specimen = next(specimen for specimen in SPECIMENS if specimen.name == name)
    result, told = differences(case(key), Sut(specimen.sut, specimen), tmp_path)
    assert told == [] or name in RACING
    assert (result.verdict in (Verdict.FAIL, Verdict.CRASH)) is (specimen.axis is not None)


def test_the_sample_of_the_zoo_has_every_axis() -> None:
    axis_of = {specimen.name: specimen.axis for specimen in SPECIMENS}
    assert {axis_of[name] for name, _ in QUICK_ZOO} == set(Axis)


@pytest.mark.parametrize("key", [check.id for check in CHECKS] if at_length() else QUICK_CHECKS)
def test_a_check_of_the_server_over_the_wire(key: str) -> None:
    check = next(check for check in CHECKS if check.id == key)
    result = run_check(check, load_target("inproc", Transport.RPC), 1)
    assert result.verdict is Verdict.PASS, result.divergence or result.note


QUICK_MUTANTS = ("keeps_group_of_lost_client", "leaves_out_trailer", "truncates_one_too_many")


@pytest.mark.parametrize(
    "mutant",
    [m for m in SERVER_MUTANTS if at_length() or m.name in QUICK_MUTANTS],
    ids=lambda mutant: mutant.name,
)
def test_a_broken_server_over_the_wire(mutant: ServerMutant) -> None:
    check = next(check for check in CHECKS if check.id == mutant.check)
    target = load_target(mutant.spec)
    direct = run_check(check, target, 1)
    wired = run_check(check, load_target(mutant.spec, Transport.RPC), 1)
    assert wired.verdict is Verdict.FAIL
    assert (wired.axes, wired.divergence) == (direct.axes, direct.divergence)
