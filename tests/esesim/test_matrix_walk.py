"""Every cell of the backup's order table, on a real server, and the call that follows it.

A fresh context is brought into a state by the shortest way that the table knows, then a call is
made, and another. Each must be answered as the cell says, leave the state that the cell says and
write the cell's events; afterwards other clients and administrators find the group locked or free.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from eseback.errors import EseBackupError
from eseback.jeterr import JetErr
from eseback.order import BACKUP_ORDER, BackupCall, BackupState, backup_cell
from tests.support.orderwalk import GROUP, MAIN, SPARE, VARIANTS, Client, Stage, shortest_paths

PATHS = shortest_paths()
SETUPS = (BackupCall.SETUP_FULL, BackupCall.SETUP_LOGS_ONLY)

# Events that depend on what was read, deleted or found, beside those of the cell.
FURTHER_EVENTS: dict[BackupCall, tuple[tuple[int, ...], ...]] = {
    BackupCall.CLOSE: ((222,),),  # nothing is read to its end here
    BackupCall.TRUNCATE: ((224,), (225,)),
    BackupCall.TRUNCATE_FAILED: ((224,),),
    BackupCall.SETUP_REFUSED: ((206,),),
    BackupCall.READ_DATABASE_FAILED: ((474,),),
    BackupCall.TERMINATE: ((300, 301, 302),),  # the instance starts again
}


def possible_calls(state: BackupState) -> list[BackupCall]:
    """What a client or the environment can bring about in a state."""
    return [call for call in BackupCall if backup_cell(state, call).possible]


def possible_pairs(state: BackupState) -> list[tuple[BackupCall, BackupCall]]:
    """The same for a call and the one that follows it."""
    return [
        (first, second)
        for first in possible_calls(state)
        for second in possible_calls(backup_cell(state, first).next_state)
    ]


def perform(client: Client, state: BackupState, call: BackupCall, variant: int = 0) -> BackupState:
    """Bring a call about in a state and hold it against its cell; returns the next state."""
    cell = backup_cell(state, call)
    assert cell.possible
    events_before = len(client.stage.group.events)
    if cell.ok:
        client.call(call, variant)
    else:
        with pytest.raises(EseBackupError) as caught:
            client.call(call, variant)
        assert (caught.value.hresult, caught.value.jet) == (cell.hresult, cell.error)
        assert call.method is None or caught.value.call in call.methods
    assert client.state is cell.next_state
    written = [event.id for event in client.stage.group.events[events_before:]]
    further = FURTHER_EVENTS.get(call, ()) if cell.ok or not call.chosen_by_client else ()
    assert without(written, cell.events) in (further or ((),))
    return cell.next_state


def without(written: list[int], expected: tuple[int, ...]) -> tuple[int, ...]:
    """What is left of ``written`` once ``expected`` was found in it, in this order."""
    rest = list(written)
    position = 0
    for number in expected:
        assert number in rest[position:], f"{expected} are not, in this order, in {written}"
        position = rest.index(number, position)
        del rest[position]
    return tuple(rest)


def reach(client: Client, path: tuple[BackupCall, ...]) -> BackupState:
    """Take a fresh context along a way of calls that succeed."""
    state = BackupState.PREPARED
    for call in path:
        state = perform(client, state, call)
    return state


def refused(error: JetErr, call: Callable[[], object]) -> None:
    """The call fails with this JET error."""
    with pytest.raises(EseBackupError) as caught:
        call()
    assert caught.value.jet == error


def check_others(client: Client) -> None:
    """Whether others can mount and back up is decided by the state alone, and harms nothing."""
    stage, state = client.stage, client.state
    stranger = Client(stage)
    refused(JetErr.NO_BACKUP, lambda: stranger.call(BackupCall.TRUNCATE))
    if state.running:
        events_before = len(stage.group.events)
        for setup in SETUPS:
            refused(JetErr.BACKUP_IN_PROGRESS, lambda call=setup: stranger.call(call))  # type: ignore[misc]
        refused(JetErr.BACKUP_IN_PROGRESS, lambda: stage.server.dismount(GROUP, MAIN))
        if not stage.group.is_mounted(SPARE):
            refused(JetErr.BACKUP_IN_PROGRESS, lambda: stage.server.mount(GROUP, SPARE))
        stranger.leave()
        assert len(stage.group.events) == events_before
    else:
        assert stage.group.backup_owner is None
        stage.mount()
        stage.dismount()
        stranger.call(BackupCall.SETUP_FULL)
        assert stranger.state is BackupState.DATABASES
        stranger.leave()
    assert client.state is state


@pytest.fixture(scope="module")
def stage() -> Stage:
    return Stage()


@pytest.mark.parametrize("state", list(BackupState), ids=lambda state: state.name)
def test_every_cell_by_every_shortest_way(stage: Stage, state: BackupState) -> None:
    """All ways into the state and all ways to make a call: each behaves as the one cell says."""
    visited = set()
    for path in PATHS[state]:
        for call in possible_calls(state):
            for variant in range(len(VARIANTS[call])):
                stage.tidy()
                client = Client(stage)
                try:
                    assert reach(client, path) is state
                    perform(client, state, call, variant)
                    check_others(client)
                except Exception as error:
                    error.add_note(told(path, call, variant=variant))
                    raise
                client.leave()
                visited.add((path, call, variant))
    cells = {call for _, call, _ in visited}
    assert cells == {call for call in BackupCall if BACKUP_ORDER[state, call].possible}
    assert len(visited) == len(PATHS[state]) * sum(len(VARIANTS[call]) for call in cells)


@pytest.mark.parametrize("state", list(BackupState), ids=lambda state: state.name)
def test_every_cell_and_the_call_that_follows(stage: Stage, state: BackupState) -> None:
    path = PATHS[state][0]
    visited = set()
    for first, second in possible_pairs(state):
        stage.tidy()
        client = Client(stage)
        try:
            assert reach(client, path) is state
            perform(client, perform(client, state, first), second)
            check_others(client)
        except Exception as error:
            error.add_note(told(path, first, second))
            raise
        client.leave()
        visited.add((first, second))
    assert len(visited) == PAIRS[state]


def told(path: tuple[BackupCall, ...], *calls: BackupCall, variant: int = 0) -> str:
    """A walk in words, for the report of a failure."""
    words = " -> ".join(call.name for call in (*path, *calls))
    return f"walk: {words}" + (f" (variant {variant})" if variant else "")


# How many pairs of calls are possible in each state, so that a walk that shrank does not pass.
PAIRS = {
    BackupState.PREPARED: 574,
    BackupState.DATABASES: 573,
    BackupState.DATABASE_OPEN: 573,
    BackupState.LOGS_UNLISTED: 573,
    BackupState.LOGS_UNLISTED_OPEN: 573,
    BackupState.LOGS: 573,
    BackupState.LOG_OPEN: 573,
    BackupState.STOPPED: 532,
    BackupState.STOPPED_OPEN: 532,
    BackupState.ENDED: 529,
}
CELLS, ALL_PAIRS = 237, 5605


def test_nothing_is_left_out() -> None:
    assert set(PATHS) == set(BackupState)
    assert set(VARIANTS) == set(BackupCall)
    assert sum(cell.possible for cell in BACKUP_ORDER.values()) == CELLS
    assert sum(PAIRS.values()) == sum(len(possible_pairs(s)) for s in BackupState) == ALL_PAIRS
