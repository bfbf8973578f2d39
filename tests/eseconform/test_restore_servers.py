"""Servers and restores: the order table is asked cell by cell, weak cells only warn, and other
versions pass, too.
"""

from __future__ import annotations

from functools import partial

import pytest

from eseback.restoreorder import RestoreCall, RestoreState
from eseconform.serverside.restoreorder import CALLS, STATES, calls_of
from eseconform.serverside.restoring import RESTORE_CHECKS
from eseconform.serverside.run import CHECKS, run_check
from eseconform.serverside.target import InProcess, Target, load_target
from eseconform.verdicts import Verdict
from eseconform.zoo.brokenserver import BrokenServer
from eseconform.zoo.serverrestores import RESTORE_BUGS
from esesim.session import Session

ORDER = next(check for check in CHECKS if check.id == "restore-order")


def test_there_are_seven_broken_servers_or_more_each_with_a_rule_of_its_own() -> None:
    assert len(RESTORE_BUGS) >= 7
    assert len({rule for _, _, rule, _ in RESTORE_BUGS}) == len(RESTORE_BUGS)
    assert {check.id for check in (*RESTORE_CHECKS, ORDER)} == {key for *_, key in RESTORE_BUGS}


def test_every_call_is_tried_in_every_state_where_its_answer_is_the_tables() -> None:
    assert set(STATES) == set(RestoreState) - {RestoreState.COMPLETING}
    for state in STATES:
        left_out = set(CALLS) - set(calls_of(state))
        idle = {RestoreCall.WRITE, RestoreCall.CLOSE_FILE}
        wanted = set() if state is RestoreState.FILE_OPEN else idle
        if state in (RestoreState.OPENED, RestoreState.SAVED):
            wanted = wanted | {RestoreCall.COMPLETE}  # the files decide
        assert left_out == wanted


class _Forgiving(Session):
    def restore_close_file(self, context: int, handle: int) -> None:
        restore = self._restores.get(context)
        file = None if restore is None else restore.file
        super().restore_close_file(context, handle if file is None else file.handle)


class TakesAnyHandle(BrokenServer):
    """Closes the open file whatever handle it is given."""

    connection = _Forgiving


def test_a_cell_that_is_our_decision_only_warns() -> None:
    target = Target("inproc:forgiving", partial(InProcess, TakesAnyHandle))
    result = run_check(ORDER, target, 1)
    assert result.verdict is Verdict.WARN
    assert "close_bad_handle in the state file_open succeeds" in result.divergence


@pytest.mark.parametrize("profile", ["exchange-2000-sp1", "exchange-2003-rtm", "exchange-2007"])
def test_other_versions_restore_as_well(profile: str) -> None:
    for check in (*RESTORE_CHECKS, ORDER):
        result = run_check(check, load_target(f"inproc:{profile}"), 1)
        assert result.verdict is Verdict.PASS, f"{check.id}: {result.divergence}"
