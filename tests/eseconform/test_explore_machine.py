"""The state machine: it finds nothing on the real server, and broken servers in a few calls."""

from __future__ import annotations

import pytest
from hypothesis import settings

from eseconform.explore import Act, Divergence, Scenario, play
from eseconform.explore.machine import exploration, fuzz_settings, run_machine
from eseconform.explore.stage import Wrap
from tests.support.brokenservers import (
    DatabaseAfterList,
    ForgetsTheLock,
    HolesInLogs,
    KeepsTheGroup,
    WrongError,
)
from tests.support.examples import examples

pytestmark = pytest.mark.uncovered

SERVERS = 60
STEPS = 80

SITUATIONS = (
    "backup recovered",
    "read_some succeeds",
    "truncate succeeds",
    "dismount succeeds",
    "setup_full fails with 0xc80001f9 (-505)",
    "setup_logs_only fails with 0xc8000230 (-560)",
    "dismount fails with 0xc80001f9 (-505)",
    "instance_end_success fails with 0xc8000320 (-800)",
    "truncate fails with 0xc8000209 (-521)",
    "log_list fails with 0xc8000209 (-521)",
    "log_list fails with 0xc8000208 (-520)",
    "end fails with 0xc7ff0003",
)
"""What must have arisen: a run in which it did not has shown nothing about it."""


@pytest.mark.fuzz
def test_server_and_model_agree() -> None:
    machine = exploration()
    shape = settings(examples(SERVERS), stateful_step_count=STEPS)
    divergence = run_machine(machine, shape)
    assert divergence is None, str(divergence)
    assert [name for name in SITUATIONS if name not in machine.seen] == []
    assert machine.seen["steps"] > SERVERS * STEPS // 2


BROKEN: dict[str, tuple[Wrap, int, Act]] = {
    # How few calls show it, prepare included, and the last of them; holes need a whole backup.
    "wrong error": (WrongError, 3, Act.TRUNCATE),
    "forgets the lock": (ForgetsTheLock, 3, Act.DISMOUNT),
    "database after the list": (DatabaseAfterList, 4, Act.OPEN_EDB),
    "keeps the group": (KeepsTheGroup, 2, Act.HANG_UP),
    "holes in logs": (HolesInLogs, 13, Act.END_SUCCESS),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_server_is_found_in_a_few_calls(name: str) -> None:
    wrap, calls, last = BROKEN[name]
    shape = settings(fuzz_settings(400, STEPS), derandomize=True)
    divergence = run_machine(exploration(wrap=wrap), shape)
    assert divergence is not None
    steps = divergence.scenario.steps
    assert len(steps) <= calls, divergence.summary
    assert steps[-1].act is last
    assert not divergence.scenario.faults
    check_repro(divergence, wrap)


def check_repro(divergence: Divergence, wrap: Wrap) -> None:
    """What is printed shows the mistake again, and nothing on a correct server."""
    again = Scenario.from_toml(divergence.scenario.to_toml())
    assert again == divergence.scenario
    with pytest.raises(Divergence, match=f"^{divergence.reason[:20]}"):
        play(again, wrap)
    play(again)


def test_the_printed_test_is_one(pytester: pytest.Pytester) -> None:
    scenario = Scenario.from_dict({"steps": ["prepare 0 0 0", "truncate 0 0 0"]})
    pytester.makepyfile(scenario.to_test())
    pytester.runpytest_inprocess("-p", "no:cacheprovider").assert_outcomes(passed=1)
