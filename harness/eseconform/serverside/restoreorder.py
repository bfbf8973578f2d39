"""The check by the order table of restores: every call in every state that can be brought about.

Each pair gets a restore of its own. How a recovery that nobody waits for orders its calls can't be
asked from outside: it may be over at any time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from eseback.constants import RestoreClose
from eseback.errors import EseBackupError
from eseback.grade import Grade
from eseback.restoreorder import RestoreCall, RestoreState, restore_cell
from eseconform.serverside.bench import Bench, Check
from eseconform.serverside.restoring import Restorer, Scene, take_scene
from eseconform.serverside.target import Ability
from eseconform.verdicts import Verdict

ORDER: Final = "ESE-SRV-RST-013"
STRANGE_HANDLE: Final = 999_999
S, C = RestoreState, RestoreCall
_STRONG = (Grade.DOCUMENTED, Grade.SOURCE)

STATES: Final = (S.OPENED, S.FILE_OPEN, S.SAVED, S.COMPLETED, S.CLOSED)
CALLS: Final[dict[RestoreCall, Callable[[Restorer, Scene], object]]] = {
    C.ADD_DATABASE: lambda r, s: r.add(s.first.name, s.guids[s.first.name], s.first.streams),
    C.OPEN_FILE: lambda r, s: r.announce(s.logs()[0]),
    C.WRITE: lambda r, s: r.api.restore_write_file(r.context, r.handle, b"x"),
    C.WRITE_BAD_HANDLE: lambda r, s: r.api.restore_write_file(r.context, STRANGE_HANDLE, b"x"),
    C.CLOSE_FILE: lambda r, s: r.api.restore_close_file(r.context, r.handle),
    C.CLOSE_BAD_HANDLE: lambda r, s: r.api.restore_close_file(r.context, STRANGE_HANDLE),
    C.SAVE: lambda r, s: r.save(),
    C.GET_ENVIRONMENT: lambda r, s: r.environment(),
    C.COMPLETE: lambda r, s: r.complete(),
    C.CLOSE_NORMAL: lambda r, s: r.close(),
    C.CLOSE_ABORT: lambda r, s: r.close(RestoreClose.ABORT),
    C.ARGUMENT_ERROR: lambda r, s: r.api.restore_open_file(r.context, "", 1),
}
_NEED_FILE = (C.WRITE, C.CLOSE_FILE)
"""Calls on the file that is open; without one they are those with a strange handle."""


def calls_of(state: RestoreState) -> list[RestoreCall]:
    """The calls that are tried in a state."""
    return [
        call
        for call in CALLS
        if (call not in _NEED_FILE or state is S.FILE_OPEN)
        # Whether it succeeds is a matter of the files, not of the order.
        and (call is not C.COMPLETE or state not in (S.OPENED, S.SAVED))
    ]


def _bring(scene: Scene, state: RestoreState) -> Restorer:
    """A restore in a state."""
    if state is S.COMPLETED:
        return scene.restore()
    restorer = Restorer(scene.bench)
    restorer.open()
    database = scene.first
    restorer.add(database.name, scene.guids[database.name], database.streams)
    if state is S.FILE_OPEN:
        restorer.announce(scene.logs()[0])
    elif state is not S.OPENED:
        restorer.save()
    if state is S.CLOSED:
        restorer.close()
    return restorer


def _order(bench: Bench) -> None:
    with bench.under(ORDER, "a backup, and restores that are only begun"):
        scene = take_scene(bench)
        bench.server.lose()
        by_handle = _gives_handles(scene)
    for state in STATES:
        if state is S.FILE_OPEN and not by_handle:
            continue  # the client writes the files itself, so none is ever open
        for call in calls_of(state):
            with bench.under(ORDER, f"the way to the state {state.value}"):
                restorer = _bring(scene, state)
            _ask(bench, scene, restorer, state, call)
            _give_back(restorer)
        bench.server.lose()


def _gives_handles(scene: Scene) -> bool:
    restorer = _bring(scene, S.OPENED)
    given = restorer.announce(scene.logs()[0])
    _give_back(restorer)
    return given


def _give_back(restorer: Restorer) -> None:
    try:
        restorer.close(RestoreClose.ABORT)
    except EseBackupError:
        return  # it is closed already


def _ask(
    bench: Bench, scene: Scene, restorer: Restorer, state: RestoreState, call: RestoreCall
) -> None:
    """Make the call and hold the answer against the table's."""
    cell = restore_cell(state, call)
    weak = None if cell.grade in _STRONG else Verdict.WARN
    where = f"{call.value} in the state {state.value}"
    try:
        CALLS[call](restorer, scene)
    except EseBackupError as error:
        row = cell.row
        if row is None:
            bench.broke(ORDER, f"{where} is refused: {error}", weak)
        elif error.hresult != row.hresult:
            text = f"{where} gives {error.name}, {row.name} expected"
            bench.broke(ORDER, text, Verdict.WARN)
    else:
        if not cell.ok:
            bench.broke(ORDER, f"{where} succeeds, {cell.row and cell.row.name} expected", weak)


RESTORE_ORDER_CHECKS: Final = (
    Check(
        "restore-order",
        "Every call of a restore in every state",
        "restore",
        (ORDER,),
        _order,
        frozenset({Ability.RESTORE, Ability.WORKLOAD}),
    ),
)
