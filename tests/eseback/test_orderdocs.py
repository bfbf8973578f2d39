"""The generated text says what the tables say."""

from __future__ import annotations

import re

from eseback import BackupCall, BackupState, RestoreCall, RestoreState, backup_cell, restore_cell
from eseback.order import BACKUP_ORDER_2000
from eseback.orderdocs import call_matrix, cell_text, state_diagram


def _rows(page: str, first_state: str) -> dict[str, list[str]]:
    """Rows of the matrix whose heading starts with that state, by call."""
    lines = page.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"| call | {first_state} |"))
    rows = {}
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        call, *cells = [part.strip() for part in line.strip("|").split(" | ")]
        rows[call] = cells
    return rows


def test_the_matrix_has_every_cell() -> None:
    rows = _rows(call_matrix(), "PREPARED")
    assert list(rows) == [call.name for call in BackupCall]
    for call in BackupCall:
        expected = [cell_text(state, backup_cell(state, call)) for state in BackupState]
        assert rows[call.name] == expected
    rows = _rows(call_matrix(), "OPENED")
    assert list(rows) == [call.name for call in RestoreCall]
    assert all(len(cells) == len(RestoreState) for cells in rows.values())


def test_the_cells_of_exchange_2000_that_differ_are_all_there() -> None:
    page = call_matrix().split("Exchange 2000, ")[1].split("## Restore")[0]
    listed = {
        (call, state): (before, after)
        for call, state, before, after, _ in (
            [part.strip() for part in line.strip("|").split(" | ")]
            for line in page.splitlines()[4:]
            if line.startswith("|")
        )
    }
    differing = {
        (call.name, state.name): (
            cell_text(state, backup_cell(state, call)),
            cell_text(state, backup_cell(state, call, BACKUP_ORDER_2000)),
        )
        for state in BackupState
        for call in BackupCall
        if backup_cell(state, call) != backup_cell(state, call, BACKUP_ORDER_2000)
    }
    assert listed == differing
    assert listed["OPEN_UNKNOWN", "LOGS"] == ("-569 → PREPARED †", "-1811 → PREPARED †")
    assert listed["OPEN_UNKNOWN", "DATABASES"] == ("-1203", "-1203 → PREPARED †")


def test_cells_in_words() -> None:
    def text(state: BackupState, call: BackupCall) -> str:
        return cell_text(state, backup_cell(state, call))

    state, call = BackupState, BackupCall
    assert text(state.LOGS, call.OPEN_DATABASE) == "-521 → PREPARED †"
    assert text(state.LOG_OPEN, call.READ) == "ok"
    assert text(state.DATABASES, call.LOG_LIST) == "→ LOGS"
    assert text(state.DATABASES, call.TRUNCATE) == "-521"
    assert text(state.LOG_OPEN, call.READ_BAD_HANDLE) == "-1003 (i)"
    assert text(state.LOG_OPEN, call.INSTANCE_END_SUCCESS) == "→ PREPARED † !"
    assert text(state.PREPARED, call.READ_LOG_FAILED) == "n/a"
    assert text(state.ENDED, call.READ) == "hrInvalidHandle (a)"
    restore = restore_cell(RestoreState.OPENED, RestoreCall.COMPLETE)
    assert cell_text(RestoreState.OPENED, restore) == "→ COMPLETED ! (a)"


def test_every_misuse_is_explained_on_the_page() -> None:
    page = call_matrix()
    for state in BackupState:
        for call in BackupCall:
            rule = backup_cell(state, call).misuse
            assert rule in page
    assert "the environment was not saved" in page


def test_the_diagram_draws_exactly_the_changes_of_state() -> None:
    edges = _edges(state_diagram().split("## Restore")[0])
    running = {state.name for state in BackupState if state.running}
    drawn = set()
    for start, end, labels in edges:
        for label in labels:
            call = label.split(" ")[0]
            for state in running if start == "RUNNING" else {start}:
                drawn.add((state, end, call))
    expected = {
        (state.name, cell.next_state.name, call.name)
        for state in BackupState
        for call in BackupCall
        if (cell := backup_cell(state, call)).possible and cell.next_state is not state
    }
    assert drawn == expected


def _edges(text: str) -> list[tuple[str, str, list[str]]]:
    found = re.findall(r"^ +(\w+) --> (\w+): (.+)$", text, re.MULTILINE)
    assert found
    return [(start, end, labels.split("<br/>")) for start, end, labels in found]


def test_mermaid_blocks_are_closed() -> None:
    page = state_diagram()
    assert page.count("```mermaid") == 2
    assert page.count("```") == 4
    assert "[*] --> PREPARED: PREPARE" in page
    assert "[*] --> SAVED: RESTORE_REOPEN" in page


def test_the_text_is_the_same_every_time() -> None:
    assert call_matrix() == call_matrix()
    assert state_diagram() == state_diagram()
