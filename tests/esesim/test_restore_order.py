"""Every cell of the restore's order table, on a real server, and the call that follows it.

A reopened context whose files are all in place is brought into a state by the shortest way that the
table knows, then a call is made, and another. Each must be answered as the cell says and leave the
state that the cell says; afterwards others find folder, instance and databases held or free.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from eseback.errors import EseBackupError, JetErr
from eseback.restoreorder import RESTORE_ORDER, RestoreCall, RestoreState, restore_cell
from tests.esesim.support.restores import open_restore
from tests.support.restorewalk import (
    FILE_LEVEL,
    FOLDER,
    GROUP,
    HANDLE,
    IMPOSSIBLE,
    START,
    VARIANTS,
    RestoreClient,
    possible_calls,
    shortest_paths,
)

pytestmark = pytest.mark.uncovered

WAYS = (HANDLE, FILE_LEVEL)
PATHS = {way: shortest_paths(way) for way in WAYS}
SHOWN_MAX = 10
HELD = set(RestoreState) - {RestoreState.COMPLETED, RestoreState.CLOSED}


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


def perform(
    client: RestoreClient, state: RestoreState, call: RestoreCall, variant: int = 0
) -> RestoreState:
    """Bring a call about in a state and hold it against its cell; returns the next state."""
    cell = restore_cell(state, call)
    assert cell.possible
    error = outcome(lambda: client.call(call, variant))
    assert answer(error) == (cell.hresult, cell.error)
    assert error is None or error.call in call.methods
    assert client.state is cell.next_state
    return cell.next_state


def check_others(client: RestoreClient) -> None:
    """What others can have is decided by the state alone."""
    server, state = client.server, client.state
    stranger = server.session()
    error = outcome(lambda: stranger.restore_save_environment(client.context))
    assert error is not None
    assert error.name == "hrInvalidHandle"
    claimed = server._store.restores.claimed(client.database.streams)
    in_use = server._store.slots.in_use - len(running(client))
    reopened = answer(outcome(lambda: open_restore(stranger, GROUP, FOLDER)))[1]
    if state is RestoreState.CLOSED:
        assert (claimed, in_use, reopened) == (False, 0, None)
        return
    assert (in_use, reopened) == (1, JetErr.LOG_FILE_PATH_IN_USE)
    if state in HELD - {RestoreState.COMPLETING}:
        mount = outcome(lambda: server.mount(GROUP, "G1S1"))
        assert claimed == (answer(mount)[1] == JetErr.RESTORE_IN_PROGRESS)
        found = client.api.restore_get_environment(client.context).databases
        streams = [stream for database in found for stream in database.destination_streams]
        assert claimed == (client.database.streams[0] in streams)
    elif state is RestoreState.COMPLETED:
        assert not claimed


def running(client: RestoreClient) -> list[str]:
    """The groups that have an instance."""
    return [group.name for group in client.server.groups if group.instance is not None]


class Walks:
    """Walks on servers of one kind, counted. What disagrees is collected, not stopped at."""

    def __init__(self, way: str) -> None:
        self.done = 0
        self._way = way
        self._disagreements: list[Exception] = []

    def walk(self, path: tuple[RestoreCall, ...], *calls: RestoreCall, variant: int = 0) -> None:
        """Take a fresh context along ``path``, make the calls and look at what others have."""
        client = RestoreClient(self._way)
        state = START
        try:
            for call in path:
                state = perform(client, state, call)
            for call in calls:
                state = perform(client, state, call, variant)
            check_others(client)
        except Exception as error:
            words = " -> ".join(call.name for call in (*path, *calls))
            error.add_note(f"{self._way}: {words}, variant {variant}")
            self._disagreements.append(error)
        self.done += 1

    def check(self) -> None:
        """Raise what disagreed."""
        if self._disagreements:
            message = f"{len(self._disagreements)} of {self.done} walks disagree with the table"
            raise ExceptionGroup(message, self._disagreements[:SHOWN_MAX])


@pytest.mark.parametrize("way", WAYS)
def test_every_cell_by_every_shortest_way(way: str) -> None:
    """All ways into each state and all ways to make a call: each behaves as the one cell says."""
    walks, cells = Walks(way), 0
    for state, paths in PATHS[way].items():
        for call in possible_calls(state, way):
            for path in paths:
                for variant in range(len(VARIANTS[call])):
                    walks.walk(path, call, variant=variant)
            cells += 1
    walks.check()
    assert cells == CELLS[way]
    assert walks.done > 1.5 * cells


@pytest.mark.parametrize("way", WAYS)
def test_every_cell_and_the_call_that_follows(way: str) -> None:
    walks = Walks(way)
    for state, paths in PATHS[way].items():
        for first in possible_calls(state, way):
            for second in possible_calls(restore_cell(state, first).next_state, way):
                # Where files are written at file level, only their announcement differs.
                if way == HANDLE or RestoreCall.OPEN_FILE_LEVEL in (first, second):
                    walks.walk(paths[0], first, second)
    walks.check()
    assert walks.done == PAIRS[way]


# How many cells and pairs of calls there are: a walk that shrank must not pass.
CELLS = {HANDLE: 98, FILE_LEVEL: 82}
PAIRS = {HANDLE: 1598, FILE_LEVEL: 159}


def test_nothing_is_left_out() -> None:
    assert set(PATHS[HANDLE]) == set(RestoreState)
    assert set(RestoreState) - set(PATHS[FILE_LEVEL]) == {RestoreState.FILE_OPEN}
    assert set(VARIANTS) == set(RestoreCall)
    seen = {
        (state, call) for way in WAYS for state in PATHS[way] for call in possible_calls(state, way)
    }
    # What a server with handles cannot do is done by one without, but for an open file.
    left_out = {pair for pair, cell in RESTORE_ORDER.items() if cell.possible} - seen
    assert left_out == {(RestoreState.FILE_OPEN, RestoreCall.OPEN_FILE_LEVEL)}
    assert {call for calls in IMPOSSIBLE.values() for call in calls} == {
        RestoreCall.OPEN_FILE,
        RestoreCall.OPEN_FILE_LEVEL,
    }


@pytest.mark.parametrize("way", WAYS)
def test_a_new_context_stands_where_the_table_says(way: str) -> None:
    """A restore that was just opened has nothing yet: each call but Complete, as in OPENED."""
    for call in possible_calls(RestoreState.OPENED, way):
        if not call.by_client or call.method == "restore_complete":
            continue
        client = RestoreClient(way)
        client.api.connection_lost(client.context)
        client.context = client.api.restore_open(
            "EXCHSRV1", "Microsoft Information Store", GROUP, FOLDER
        )
        assert client.state is RestoreState.OPENED
        for variant in range(len(VARIANTS[call])):
            state = client.state
            if restore_cell(state, call).possible:
                perform(client, state, call, variant)


def test_polling_shows_the_end_of_a_recovery_in_the_end() -> None:
    client = RestoreClient(HANDLE)
    client.call(RestoreCall.COMPLETE_NOWAIT)
    poll = partial(client.call, RestoreCall.GET_ENVIRONMENT)
    states = []
    for _ in range(4):
        poll()
        states.append(client.state)
    assert states == [RestoreState.COMPLETING] * 2 + [RestoreState.COMPLETED] * 2
