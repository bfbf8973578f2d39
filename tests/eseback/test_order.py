"""The backup order table: every published cell, what must hold of all cells, and random walks."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eseback import (
    BACKUP_ORDER,
    BACKUP_START,
    CALL_BY_METHOD,
    BackupCall,
    BackupCell,
    BackupState,
    BackupType,
    EseBackupError,
    Grade,
    InstanceEnd,
    JetErr,
    backup_cell,
    instance_end_call,
    setup_call,
)
from eseback.ordercell import build_table

S, C = BackupState, BackupCall

# The engine's legality matrix as published, with the phases of a full backup. A number is the
# error, + means the backup is over afterwards, ok<STATE> a success.
FULL = """
call                 PREPARED        DATABASES         DATABASE_OPEN  LOGS          LOG_OPEN
SETUP_FULL           ok:DATABASES    -505              -505           -505          -505
SETUP_LOGS_ONLY      ok:LOGS_UNLISTED -505             -505           -505          -505
OPEN_DATABASE        -520            ok:DATABASE_OPEN  -1011          -521+         -1011
OPEN_LOG             -520            -1203             -1011          ok:LOG_OPEN   -1011
OPEN_UNKNOWN         -520            -1203             -1011          -569+         -1011
READ                 -520            -1003             ok             -1003         ok
READ_LOG_FAILED      -520            -1003             ok             -1003         -612+
CLOSE                -520            -1003             ok:DATABASES   -1003         ok:LOGS
LOG_LIST             -520            ok:LOGS           -521           ok            -521
TRUNCATE_LIST        -520            ok:LOGS           -521           ok            -521
TRUNCATE             -520            -521              -521           ok            -521
INSTANCE_END_SUCCESS -520            -800+             -800+          ok+           ok+
INSTANCE_END_ERROR   -520            ok+               ok+            ok+           ok+
END                  ok:ENDED        ok+               ok+            ok+           ok+
MOUNT                ok              -505              -505           -505          -505
DISMOUNT             ok              -505              -505           -505          -505
"""

# The same for a logs-only backup before its list was asked for, and after a stop by the server.
OTHERS = """
call                 LOGS_UNLISTED          LOGS_UNLISTED_OPEN  STOPPED  STOPPED_OPEN
SETUP_FULL           -505                   -505                -505     -505
OPEN_DATABASE        -521+                  -1011               -801     -801
OPEN_LOG             ok:LOGS_UNLISTED_OPEN  -1011               -801     -801
OPEN_UNKNOWN         -569+                  -1011               -801     -801
READ                 -1003                  ok                  -801     -801
READ_LOG_FAILED      -1003                  -612+               -801     -801
CLOSE                -1003                  ok:LOGS_UNLISTED    -1003    ok:STOPPED
LOG_LIST             ok:LOGS                -521                -801     -801
TRUNCATE_LIST        ok:LOGS                -521                -801     -801
TRUNCATE             -521                   -521                -801     -801
INSTANCE_END_SUCCESS ok+                    ok+                 -801+    -801+
INSTANCE_END_ERROR   ok+                    ok+                 ok+      ok+
END                  ok+                    ok+                 ok+      ok+
MOUNT                -505                   -505                -505     -505
DISMOUNT             -505                   -505                -505     -505
"""


def _published() -> list[tuple[str, str, str]]:
    cells = []
    for matrix in (FULL, OTHERS):
        head, *rows = [line.split() for line in matrix.strip().splitlines()]
        for call, *texts in rows:
            cells += [(state, call, text) for state, text in zip(head[1:], texts, strict=True)]
    return cells


@pytest.mark.parametrize(("state", "call", "text"), _published())
def test_published_matrix(state: str, call: str, text: str) -> None:
    before = S[state]
    cell = backup_cell(before, C[call])
    result, _, target = text.rstrip("+").partition(":")
    assert cell.ok == (result == "ok")
    assert cell.error == (None if result == "ok" else int(result))
    assert cell.backup_ended == text.endswith("+")
    if cell.backup_ended:
        assert cell.next_state is (S.ENDED if call == "END" else S.PREPARED)
    else:
        assert cell.next_state is (S[target] if target else before)


def test_every_pair_has_a_cell() -> None:
    assert set(BACKUP_ORDER) == {(state, call) for state in S for call in C}
    for cell in BACKUP_ORDER.values():
        assert isinstance(cell.grade, Grade)
        assert cell.source


def test_a_table_with_a_hole_or_an_overlap_is_refused() -> None:
    def make(state: BackupState) -> BackupCell:
        return backup_cell(state, C.END)

    with pytest.raises(ValueError, match=r"no cell for .*MOUNT in ENDED"):
        build_table(S, C, {call: ((tuple(S)[:-1], make),) for call in C})
    with pytest.raises(ValueError, match="given twice"):
        build_table(S, C, {call: ((tuple(S), make), ((S.LOGS,), make)) for call in C})


# ---- invariants of all cells


@pytest.mark.parametrize("state", S, ids=lambda state: state.name)
def test_end_always_leads_to_ended(state: BackupState) -> None:
    cell = backup_cell(state, C.END)
    assert cell.next_state is S.ENDED
    assert cell.ok or state is S.ENDED
    assert cell.backup_ended == state.running


def test_an_ended_backup_is_not_running_and_says_why() -> None:
    for (state, _), cell in BACKUP_ORDER.items():
        if cell.backup_ended:
            assert state.running
            assert not cell.next_state.running
            assert cell.event in (213, 214, 215, 226)
        else:
            assert cell.next_state.running == state.running or state in (S.PREPARED, S.ENDED)


def test_the_event_of_the_end_fits_the_reason() -> None:
    for (_, call), cell in BACKUP_ORDER.items():
        if not cell.backup_ended:
            assert cell.event not in (213, 214, 215, 226)
        elif call is C.INSTANCE_END_SUCCESS:
            expected = {None: 213, -800: 215, -801: 226}
            assert cell.event == expected[cell.error]
        elif call is C.TERMINATE:
            assert cell.event == 226
        elif cell.ok:
            assert cell.event == 215
        else:
            assert cell.event == 214


def test_an_error_changes_the_state_only_where_it_ends_something() -> None:
    for (state, call), cell in BACKUP_ORDER.items():
        if cell.ok or cell.backup_ended or call is C.READ_DATABASE_FAILED:
            continue
        assert cell.next_state is state, (state, call)


def test_backup_in_progress_never_harms_the_running_backup() -> None:
    cells = [
        (state, cell)
        for (state, _), cell in BACKUP_ORDER.items()
        if cell.error is JetErr.BACKUP_IN_PROGRESS
    ]
    assert len(cells) >= 3 * 8
    for state, cell in cells:
        assert cell.next_state is state
        assert not cell.backup_ended


@pytest.mark.parametrize("error", [JetErr.INVALID_PARAMETER, JetErr.OUT_OF_MEMORY])
def test_argument_errors_never_end_a_backup(error: JetErr) -> None:
    found = 0
    for (state, _), cell in BACKUP_ORDER.items():
        if cell.error is error:
            found += 1
            assert cell.next_state is state
            assert not cell.backup_ended
    assert found


def test_there_is_no_way_back_to_the_database_phase() -> None:
    for start in (S.LOGS_UNLISTED, S.LOGS, S.STOPPED):
        reached = _reachable(start, through_setup=False)
        assert not any(state.database_phase for state in reached), start


def test_a_logs_only_backup_never_opens_a_database() -> None:
    reached = _reachable(S.LOGS_UNLISTED, through_setup=False)
    assert S.DATABASE_OPEN not in reached
    for state in reached:
        assert not backup_cell(state, C.OPEN_DATABASE).ok


def _reachable(start: BackupState, through_setup: bool = True) -> set[BackupState]:
    reached, todo = {start}, deque([start])
    while todo:
        state = todo.popleft()
        for call in C:
            if call.method == "backup_setup" and not through_setup:
                continue
            after = backup_cell(state, call).next_state
            if after not in reached:
                reached.add(after)
                todo.append(after)
    return reached


def test_every_state_can_be_reached() -> None:
    assert _reachable(BACKUP_START) == set(S)


def test_a_stop_is_noticed_by_everything_but_close_and_the_ends() -> None:
    for state in (S.STOPPED, S.STOPPED_OPEN):
        survivors = {
            call
            for call in C
            if call.chosen_by_client
            and backup_cell(state, call).error is not JetErr.BACKUP_ABORT_BY_SERVER
        }
        assert survivors == {
            C.SETUP_FULL, C.SETUP_LOGS_ONLY, C.CLOSE, C.CLOSE_BAD_HANDLE, C.INSTANCE_END_ERROR,
            C.END, C.DEPENDENCY_INFO, C.CONTROL_ARGUMENT_ERROR,
        }  # fmt: skip


def test_in_an_ended_context_every_call_of_the_client_is_refused() -> None:
    for call in C:
        cell = backup_cell(S.ENDED, call)
        assert cell.next_state is S.ENDED
        if call.by_client:
            assert cell.api_error == "hrInvalidHandle"
            assert cell.hresult == 0xC7FF0003
            assert cell.grade is Grade.ASSUMED
        else:
            assert cell.ok


def test_a_file_opens_and_closes_in_the_same_phase() -> None:
    for state in S:
        after = backup_cell(state, C.CLOSE)
        if state.file_open:
            assert after.ok
            assert not after.next_state.file_open
            assert after.next_state.database_phase == state.database_phase
        else:
            assert not after.ok


def test_what_cannot_come_about_repeats_the_plain_call() -> None:
    plain = {
        C.SETUP_REFUSED: C.SETUP_FULL,
        C.READ_DATABASE_FAILED: C.READ,
        C.READ_LOG_FAILED: C.READ,
        C.LOG_LIST_FAILED: C.LOG_LIST,
        C.TRUNCATE_FAILED: C.TRUNCATE,
    }
    for (state, call), cell in BACKUP_ORDER.items():
        if not cell.possible:
            usual = backup_cell(state, plain[call])
            assert (cell.error, cell.api_error, cell.next_state, cell.backup_ended) == (
                usual.error,
                usual.api_error,
                usual.next_state,
                usual.backup_ended,
            )


# ---- single rules that are easily got wrong


def test_a_bad_page_drops_the_database_and_not_the_backup() -> None:
    cell = backup_cell(S.DATABASE_OPEN, C.READ_DATABASE_FAILED)
    assert cell.next_state is S.DATABASES
    assert cell.events == (217, 222)
    assert backup_cell(cell.next_state, C.CLOSE).error is JetErr.INVALID_PARAMETER
    assert backup_cell(cell.next_state, C.OPEN_DATABASE).ok


def test_a_bad_log_ends_the_backup_and_frees_the_group() -> None:
    cell = backup_cell(S.LOG_OPEN, C.READ_LOG_FAILED)
    assert cell.events == (218, 214)
    assert backup_cell(cell.next_state, C.CLOSE).error is JetErr.NO_BACKUP
    assert backup_cell(cell.next_state, C.INSTANCE_END_ERROR).error is JetErr.NO_BACKUP
    assert backup_cell(cell.next_state, C.MOUNT).ok
    assert backup_cell(cell.next_state, C.SETUP_FULL).ok


def test_a_failed_log_list_ends_the_backup() -> None:
    for state in (S.DATABASES, S.LOGS_UNLISTED):
        cell = backup_cell(state, C.LOG_LIST_FAILED)
        assert (cell.next_state, cell.error, cell.events) == (S.PREPARED, -569, (459, 214))


def test_a_failed_truncation_leaves_the_backup() -> None:
    cell = backup_cell(S.LOGS, C.TRUNCATE_FAILED)
    assert cell.next_state is S.LOGS
    assert not cell.ok


def test_an_abort_after_a_stop_counts_as_the_clients() -> None:
    assert backup_cell(S.STOPPED, C.INSTANCE_END_ERROR).event == 215
    assert backup_cell(S.STOPPED, C.INSTANCE_END_SUCCESS).event == 226


def test_success_of_an_unlisted_logs_only_backup_is_let_pass_but_marked() -> None:
    for state in (S.LOGS_UNLISTED, S.LOGS_UNLISTED_OPEN):
        cell = backup_cell(state, C.INSTANCE_END_SUCCESS)
        assert cell.ok
        assert cell.misuse
    assert not backup_cell(S.LOGS, C.INSTANCE_END_SUCCESS).misuse


def test_only_cells_that_succeed_carry_a_misuse() -> None:
    assert all(cell.ok for cell in BACKUP_ORDER.values() if cell.misuse)


# ---- variants and methods


def test_every_method_of_a_backup_context_has_a_variant() -> None:
    covered = {method for call in C for method in call.methods}
    expected = {
        name for name in CALL_BY_METHOD if name.startswith("backup_") and name != "backup_prepare"
    }
    assert covered == expected


def test_variants_of_arguments() -> None:
    assert setup_call(BackupType.FULL) is C.SETUP_FULL
    assert setup_call(BackupType.FULL_WITH_ALL_LOGS) is C.SETUP_FULL
    assert setup_call(BackupType.LOGS_ONLY) is C.SETUP_LOGS_ONLY
    assert instance_end_call(InstanceEnd.SUCCESS) is C.INSTANCE_END_SUCCESS
    assert instance_end_call(InstanceEnd.ERROR) is C.INSTANCE_END_ERROR


def test_a_cell_makes_its_exception() -> None:
    error = backup_cell(S.PREPARED, C.READ).exception("backup_read_file", "handle 7")
    assert isinstance(error, EseBackupError)
    assert (error.hresult, error.jet, error.call) == (0xC8000208, -520, "backup_read_file")
    assert backup_cell(S.ENDED, C.READ).exception() is not None
    assert backup_cell(S.LOGS, C.LOG_LIST).exception() is None
    assert backup_cell(S.LOGS, C.LOG_LIST).hresult == 0


# ---- walks


@given(st.lists(st.sampled_from(list(C)), max_size=60))
def test_a_walk_keeps_a_simple_model_of_handles_and_locks(calls: list[BackupCall]) -> None:
    """A model with four booleans, written from the rules in words, agrees with every cell."""
    state = BACKUP_START
    running = file_open = listed = gone = False
    for call in calls:
        cell = backup_cell(state, call)
        if not cell.possible:
            continue
        if cell.ok and call.method == "backup_setup":
            assert not running
            running, file_open, listed = True, False, False
        if cell.ok and call in (C.LOG_LIST, C.TRUNCATE_LIST):
            assert running and not file_open
            listed = True
        if cell.ok and call is C.TRUNCATE:
            assert listed and not file_open
        if cell.ok and call.method == "backup_open_file":
            assert running and not file_open
            file_open = True
        if (cell.ok and call is C.CLOSE) or call is C.READ_DATABASE_FAILED:
            assert file_open
            file_open = False
        if cell.ok and call is C.READ:
            assert file_open
        if call in (C.MOUNT, C.DISMOUNT):
            assert cell.ok == (not running)
        if cell.backup_ended:
            assert running
            running = file_open = listed = False
        gone = gone or call in (C.END, C.CONNECTION_LOST)
        state = cell.next_state
        assert (state is S.ENDED) == gone
        assert state.running == running
        assert state.file_open == file_open
    final = backup_cell(state, C.END).next_state
    assert final is S.ENDED
