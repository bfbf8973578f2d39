"""Every cell of the backup's order table, on a real server, and the call that follows it.

A fresh context is brought into a state by the shortest way that the table knows, then a call is
made, and another. Each must be answered as the cell says, leave the state that the cell says and
write the cell's events; afterwards other clients and administrators find the group locked or free.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from eseback.errors import EseBackupError
from eseback.jeterr import JetErr
from eseback.order import BACKUP_ORDER, BackupCall, BackupState, backup_cell
from tests.support.orderwalk import GROUP, MAIN, SPARE, VARIANTS, Client, Stage, shortest_paths

pytestmark = pytest.mark.uncovered

PATHS = shortest_paths()
SHOWN_MAX = 10
SETUPS = (BackupCall.SETUP_FULL, BackupCall.SETUP_LOGS_ONLY)

# Events that depend on what was read, deleted or found, beside those of the cell.
FURTHER_EVENTS: dict[BackupCall, tuple[tuple[int, ...], ...]] = {
    BackupCall.CLOSE: ((222,),),  # nothing is read to its end here
    # 227: of the logs to delete, some were deleted before.
    BackupCall.TRUNCATE: ((224,), (225,), (227, 224)),
    BackupCall.TRUNCATE_FAILED: ((224,), (227, 224)),
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


def outcome(call: Callable[[], object]) -> EseBackupError | None:
    """The error of a call, None if it succeeds."""
    try:
        call()
    except EseBackupError as error:
        return error
    return None


def answer(error: EseBackupError | None) -> tuple[int, int | None]:
    """HRESULT and JET error of an outcome."""
    return (0, None) if error is None else (error.hresult, error.jet)


def perform(client: Client, state: BackupState, call: BackupCall, variant: int = 0) -> BackupState:
    """Bring a call about in a state and hold it against its cell; returns the next state."""
    cell = backup_cell(state, call)
    assert cell.possible
    events_before = len(client.stage.group.events)
    error = outcome(lambda: client.call(call, variant))
    assert answer(error) == (cell.hresult, cell.error)
    assert error is None or call.method is None or error.call in call.methods
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


def check_others(client: Client) -> None:
    """Whether others can mount and back up is decided by the state alone, and harms nothing."""
    stage, state = client.stage, client.state
    stranger = Client(stage)
    assert jet(lambda: stranger.call(BackupCall.TRUNCATE)) == JetErr.NO_BACKUP
    if state.running:
        events_before = len(stage.group.events)
        for setup in SETUPS:
            assert jet(partial(stranger.call, setup)) == JetErr.BACKUP_IN_PROGRESS
        assert jet(lambda: stage.server.dismount(GROUP, MAIN)) == JetErr.BACKUP_IN_PROGRESS
        if not stage.group.is_mounted(SPARE):
            assert jet(lambda: stage.server.mount(GROUP, SPARE)) == JetErr.BACKUP_IN_PROGRESS
        stranger.leave()
        assert len(stage.group.events) == events_before
    else:
        assert stage.group.backup_owner is None
        assert jet(stage.mount) is None
        assert jet(stage.dismount) is None
        assert jet(lambda: stranger.call(BackupCall.SETUP_FULL)) is None
        # What ran before must not let this client into the backup of the other one.
        refused = backup_cell(state, BackupCall.LOG_LIST)
        error = outcome(lambda: client.call(BackupCall.LOG_LIST))
        assert answer(error) == (refused.hresult, refused.error)
        assert stranger.state is BackupState.DATABASES
        stranger.leave()
    assert client.state is state


def jet(call: Callable[[], object]) -> int | None:
    """The JET error of a call, None if it succeeds."""
    return answer(outcome(call))[1]


class Walks:
    """Walks on one stage, counted. What disagrees with the table is collected, not stopped at."""

    def __init__(self, stage: Stage) -> None:
        self.done = 0
        self._stage = stage
        self._disagreements: list[Exception] = []

    def walk(self, path: tuple[BackupCall, ...], *calls: BackupCall, variant: int = 0) -> None:
        """Take a fresh context along ``path``, make the calls and look at what others can do."""
        self._stage.tidy()
        client = Client(self._stage)
        state = BackupState.PREPARED
        try:
            for call in path:
                state = perform(client, state, call)
            for call in calls:
                state = perform(client, state, call, variant)
            check_others(client)
            client.leave()
        except Exception as error:
            words = " -> ".join(call.name for call in (*path, *calls))
            error.add_note(f"walk: {words}, variant {variant}")
            self._disagreements.append(error)
            self._stage.renew()
        self.done += 1

    def check(self) -> None:
        """Raise what disagreed."""
        if self._disagreements:
            message = f"{len(self._disagreements)} of {self.done} walks disagree with the table"
            raise ExceptionGroup(message, self._disagreements[:SHOWN_MAX])


@pytest.fixture(scope="module")
def stage() -> Stage:
    return Stage()


@pytest.mark.parametrize("state", list(BackupState), ids=lambda state: state.name)
def test_every_cell_by_every_shortest_way(stage: Stage, state: BackupState) -> None:
    """All ways into the state and all ways to make a call: each behaves as the one cell says."""
    walks = Walks(stage)
    cells = 0
    for call in possible_calls(state):
        for path in PATHS[state]:
            for variant in range(len(VARIANTS[call])):
                walks.walk(path, call, variant=variant)
        cells += 1
    walks.check()
    assert cells == CELLS[state]
    assert walks.done >= cells * len(PATHS[state])


@pytest.mark.parametrize("state", list(BackupState), ids=lambda state: state.name)
def test_every_cell_and_the_call_that_follows(stage: Stage, state: BackupState) -> None:
    walks = Walks(stage)
    for first, second in possible_pairs(state):
        walks.walk(PATHS[state][0], first, second)
    walks.check()
    assert walks.done == PAIRS[state]


# How many calls, and pairs of calls, are possible in each state: a walk that shrank must not pass.
CELLS = {
    **dict.fromkeys(BackupState, 24),
    **dict.fromkeys((BackupState.STOPPED, BackupState.STOPPED_OPEN, BackupState.ENDED), 23),
}
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


def test_nothing_is_left_out() -> None:
    assert set(PATHS) == set(BackupState)
    assert set(VARIANTS) == set(BackupCall)
    assert sum(CELLS.values()) == sum(cell.possible for cell in BACKUP_ORDER.values()) == 237
    assert sum(PAIRS.values()) == sum(len(possible_pairs(state)) for state in BackupState) == 5605
