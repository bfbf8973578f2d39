"""The judge of restore calls and the order table say the same, cell by cell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pytest

from eseback.constants import RestoreClose, RestoreComplete
from eseback.restoreorder import RESTORE_ORDER, RestoreCall, RestoreState, restore_cell
from eseconform.judge.restorefollow import follow_restore
from tests.support.restoretranscripts import (
    GUID,
    LOGS,
    RestoreTranscript,
    begun,
    whole_restore,
    with_files,
)
from tests.support.transcripts import EDB, STM

S, C = RestoreState, RestoreCall
WAYS: Final[dict[RestoreState, Callable[[], RestoreTranscript]]] = {
    S.OPENED: lambda: begun().put(EDB),
    S.FILE_OPEN: lambda: begun().announce(EDB),
    S.SAVED: with_files,
    S.COMPLETED: lambda: with_files().complete(),
    S.CLOSED: whole_restore,
}
"""How a context gets into a state. A recovery that runs may be over at any time, so that no call
can be said to be wrong in COMPLETING."""
Error = str | int | None
MAKE: Final[dict[RestoreCall, Callable[[RestoreTranscript, Error], RestoreTranscript]]] = {
    C.ADD_DATABASE: lambda talk, error: talk.add(error=error),
    C.OPEN_FILE_LEVEL: lambda talk, error: talk.announce(STM, file_level=True, error=error),
    C.OPEN_FILE: lambda talk, error: talk.announce(STM, error=error),
    C.WRITE_BAD_HANDLE: lambda talk, error: talk.write(error, handle=99),
    C.CLOSE_BAD_HANDLE: lambda talk, error: talk.shut(error, handle=99),
    C.SAVE: lambda talk, error: talk.save(error),
    C.COMPLETE: lambda talk, error: talk.complete(error=error),
    C.COMPLETE_NOWAIT: lambda talk, error: talk.complete(RestoreComplete.NOWAIT, error=error),
    C.CLOSE_NORMAL: lambda talk, error: talk.leave(error=error),
    C.CLOSE_ABORT: lambda talk, error: talk.leave(RestoreClose.ABORT, error),
    C.ARGUMENT_ERROR: lambda talk, error: talk.announce("", error=error),
}
CELLS: Final = [(state, call) for state in WAYS for call in MAKE]


def new_breaches(state: RestoreState, call: RestoreCall) -> list[str]:
    """What the judge says about one more call in a state, answered as the table says."""
    talk = WAYS[state]()
    before = len(follow_restore(talk.records).breaches)
    assert before == 0, "the way into a state is legal"
    error = restore_cell(state, call).row
    MAKE[call](talk, error.name if error is not None else None)
    return [breach.requirement for breach in follow_restore(talk.records).breaches]


@pytest.mark.parametrize(("state", "call"), CELLS, ids=lambda part: part.name.lower())
def test_a_call_is_a_breach_where_the_table_refuses_it_or_calls_it_misuse(
    state: RestoreState, call: RestoreCall
) -> None:
    cell = restore_cell(state, call)
    wrong = not cell.ok or bool(cell.misuse)
    assert bool(new_breaches(state, call)) is wrong


def test_the_table_has_no_call_of_a_client_that_is_not_tried() -> None:
    tried = {*MAKE, C.WRITE, C.CLOSE_FILE, C.GET_ENVIRONMENT}  # which every restore above makes
    unseen = {C.ADD_DATABASE_REFUSED, C.COMPLETE_FAILED}  # the server's doing, and no breach
    assert {call for _, call in RESTORE_ORDER if call.by_client} == tried | unseen


@pytest.mark.parametrize("name", ["hrCBDatabaseInUse", "hrCBDatabaseNotFound"])
def test_a_database_that_is_refused_is_no_breach(name: str) -> None:
    talk = RestoreTranscript().open().look().add(guid=GUID, error=name)
    assert follow_restore(talk.records).breaches == []


def test_after_an_error_of_complete_more_files_may_be_restored() -> None:
    talk = with_files().complete(error="hrMissingRestoreLogFiles").put_logs(LOGS[0]).save()
    assert follow_restore(talk.complete().leave().records).breaches == []


def test_after_a_lost_connection_nothing_is_held_against_the_old_context() -> None:
    talk = begun().announce(EDB, error="lost").save(error="lost").reopen().save(context=2)
    follower = follow_restore(talk.records)
    assert follower.lost_at == 4
    assert [b.requirement for b in follower.breaches] == ["ESE-RST-SEQ-011"]  # was never saved
