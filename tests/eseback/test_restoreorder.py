"""The restore order table: the documented way through, refusals, and that guesses are marked."""

from __future__ import annotations

import pytest

from eseback import (
    CALL_BY_METHOD,
    RESTORE_ORDER,
    RESTORE_STARTS,
    Grade,
    JetErr,
    RestoreCall,
    RestoreClose,
    RestoreComplete,
    RestoreState,
    restore_cell,
    restore_close_call,
    restore_complete_call,
)

S, C = RestoreState, RestoreCall


def walk(state: RestoreState, *calls: RestoreCall) -> RestoreState:
    """State after calls that all succeed and break no rule."""
    for call in calls:
        cell = restore_cell(state, call)
        assert cell.ok, (state, call)
        assert not cell.misuse, (state, call)
        state = cell.next_state
    return state


def test_every_pair_has_a_cell_with_grade_and_source() -> None:
    assert set(RESTORE_ORDER) == {(state, call) for state in S for call in C}
    assert all(cell.source for cell in RESTORE_ORDER.values())


def test_a_restore_by_the_book() -> None:
    state = RESTORE_STARTS["restore_open"]
    state = walk(state, C.GET_ENVIRONMENT, C.ADD_DATABASE, C.OPEN_FILE_LEVEL, C.OPEN_FILE_LEVEL)
    state = walk(state, C.SAVE, C.COMPLETE, C.GET_ENVIRONMENT, C.CLOSE_NORMAL)
    assert state is S.CLOSED


def test_a_restore_of_two_sets_with_files_over_the_wire() -> None:
    state = RESTORE_STARTS["restore_open"]
    state = walk(state, C.ADD_DATABASE, C.OPEN_FILE, C.WRITE, C.WRITE, C.CLOSE_FILE, C.SAVE)
    assert walk(state, C.CLOSE_NORMAL) is S.CLOSED
    state = RESTORE_STARTS["restore_reopen"]
    state = walk(state, C.OPEN_FILE, C.WRITE, C.CLOSE_FILE, C.SAVE, C.COMPLETE_NOWAIT)
    assert state is S.COMPLETING
    assert walk(state, C.RECOVERY_ENDED, C.CLOSE_NORMAL) is S.CLOSED


@pytest.mark.parametrize("call", [C.COMPLETE, C.COMPLETE_NOWAIT, C.CLOSE_NORMAL])
def test_leaving_without_saving_breaks_a_documented_rule(call: RestoreCall) -> None:
    cell = restore_cell(S.OPENED, call)
    assert cell.ok
    assert cell.misuse
    assert cell.misuse_grade is Grade.DOCUMENTED
    assert not restore_cell(S.SAVED, call).misuse


@pytest.mark.parametrize("call", [C.ADD_DATABASE, C.OPEN_FILE_LEVEL])
def test_a_change_needs_to_be_saved_again(call: RestoreCall) -> None:
    assert restore_cell(S.SAVED, call).next_state is S.OPENED


def test_saving_between_complete_and_close_changes_nothing() -> None:
    cell = restore_cell(S.COMPLETED, C.SAVE)
    assert cell.ok
    assert cell.next_state is S.COMPLETED
    assert cell.grade is Grade.ASSUMED
    assert not cell.misuse


def test_an_abort_needs_no_saving() -> None:
    for state in S:
        if state is not S.CLOSED:
            cell = restore_cell(state, C.CLOSE_ABORT)
            assert cell.ok
            assert cell.next_state is S.CLOSED
            assert not cell.misuse


def test_a_failed_recovery_can_be_tried_again() -> None:
    assert restore_cell(S.SAVED, C.COMPLETE_FAILED).next_state is S.SAVED
    assert restore_cell(S.COMPLETING, C.RECOVERY_FAILED).next_state is S.SAVED


def test_nothing_changes_while_recovery_runs() -> None:
    for call in C:
        cell = restore_cell(S.COMPLETING, call)
        if call.by_client and cell.next_state is S.COMPLETING:
            assert call is C.GET_ENVIRONMENT or not cell.ok
    assert restore_cell(S.COMPLETING, C.SAVE).error is JetErr.RESTORE_IN_PROGRESS


def test_errors_change_nothing() -> None:
    for (state, _), cell in RESTORE_ORDER.items():
        if not cell.ok:
            assert cell.next_state is state
            assert not cell.backup_ended


def test_a_closed_context_stays_closed() -> None:
    for call in C:
        cell = restore_cell(S.CLOSED, call)
        assert cell.next_state is S.CLOSED
        assert cell.ok != call.by_client


def test_every_refusal_out_of_order_is_graded_as_no_better_than_inferred() -> None:
    for cell in RESTORE_ORDER.values():
        if not cell.ok:
            assert cell.grade in (Grade.ASSUMED, Grade.INFERRED)
            assert not cell.grade.binding


def test_every_method_of_a_restore_context_has_a_variant() -> None:
    covered = {method for call in C for method in call.methods}
    without_context = {*RESTORE_STARTS, "restore_load_environment"}
    assert covered == {n for n in CALL_BY_METHOD if n.startswith("restore_")} - without_context


def test_variants_of_arguments() -> None:
    assert restore_complete_call(RestoreComplete.NONE) is C.COMPLETE
    assert restore_complete_call(RestoreComplete.ATTACH_DBS) is C.COMPLETE
    flags = RestoreComplete.NOWAIT | RestoreComplete.KEEP_LOG_FILES
    assert restore_complete_call(flags) is C.COMPLETE_NOWAIT
    assert restore_close_call(RestoreClose.NORMAL) is C.CLOSE_NORMAL
    assert restore_close_call(RestoreClose.ABORT) is C.CLOSE_ABORT
