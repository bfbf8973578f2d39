"""Checks by the order table: every call in every state, and the state that it leaves behind.

One check a state. A context is brought there by calls that succeed, makes the call, and is then
asked three questions (Close, TruncateLogs, an open of a database) whose answers tell all states
apart. The table is that of the server's version.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from attrs import define

from eseback.constants import BackupType, InstanceEnd
from eseback.errors import EseBackupError
from eseback.grade import Grade
from eseback.order import BACKUP_ORDER, BACKUP_START, BackupCall, BackupState, backup_cell
from eseconform.judge.follow import OrderTable
from eseconform.serverside.bench import Bench, Body, Check
from eseconform.serverside.target import GROUP, MAIN, SPARE, Ability
from eseconform.serverside.visitor import Visitor, back_up
from eseconform.verdicts import Verdict

ORDER, STATE, SETUP, LATE, LOCK = (
    "ESE-SRV-ORD-001",
    "ESE-SRV-ORD-002",
    "ESE-SRV-ORD-003",
    "ESE-SRV-ORD-004",
    "ESE-SRV-LCK-001",
)
STRANGE_HANDLE = 999_999
FIRST_READ_BYTES = 3 * 8192  # two headers and a page, of the largest pages
PROBES = (BackupCall.CLOSE, BackupCall.TRUNCATE, BackupCall.OPEN_DATABASE)

_STRONG = (Grade.DOCUMENTED, Grade.SOURCE)
_SETUPS = (BackupCall.SETUP_FULL, BackupCall.SETUP_LOGS_ONLY)
_LOCKED = (BackupCall.MOUNT, BackupCall.DISMOUNT)
_LOGS_IDLE = (BackupState.LOGS_UNLISTED, BackupState.LOGS)
_NEEDS = {
    BackupCall.MOUNT: Ability.MOUNT,
    BackupCall.DISMOUNT: Ability.MOUNT,
    BackupCall.STOP_BY_SERVER: Ability.STOP,
    BackupCall.CONNECTION_LOST: Ability.HANG_UP,
}
_STOPPED = (BackupState.STOPPED, BackupState.STOPPED_OPEN)


def rule_of(state: BackupState, call: BackupCall) -> str:
    """The rule that a wrong answer breaks: one of its own where there is one."""
    if call in _SETUPS and state.running:
        return SETUP
    if call is BackupCall.OPEN_DATABASE and state in _LOGS_IDLE:
        return LATE
    return LOCK if call in _LOCKED and state.running else ORDER


def path_to(state: BackupState, order: OrderTable = BACKUP_ORDER) -> tuple[BackupCall, ...]:
    """A shortest way into a state, by calls that succeed."""
    paths: dict[BackupState, tuple[BackupCall, ...]] = {BACKUP_START: ()}
    border = [BACKUP_START]
    while border and state not in paths:
        found: list[BackupState] = []
        for start in border:
            for call in BackupCall:
                cell = backup_cell(start, call, order)
                legal = cell.ok and cell.possible and not cell.misuse
                if legal and cell.next_state not in paths:
                    paths[cell.next_state] = (*paths[start], call)
                    found.append(cell.next_state)
        border = found
    return paths[state]


@define
class _Walker:
    """A client that can bring about every call that a client decides on, and some of others."""

    bench: Bench
    visitor: Visitor
    log: str

    def call(self, call: BackupCall) -> EseBackupError | None:
        """Bring a call about; its error, None if it succeeds."""
        try:
            self._act(call)
        except EseBackupError as error:
            return error
        return None

    def _act(self, call: BackupCall) -> None:
        visitor, api = self.visitor, self.visitor.api
        ways: dict[BackupCall, Callable[[], object]] = {
            BackupCall.SETUP_FULL: lambda: visitor.setup(BackupType.FULL),
            BackupCall.SETUP_LOGS_ONLY: lambda: visitor.setup(BackupType.LOGS_ONLY),
            BackupCall.OPEN_DATABASE: lambda: visitor.open(visitor.streams(MAIN)[0]),
            BackupCall.OPEN_LOG: lambda: visitor.open(self.log),
            BackupCall.OPEN_UNKNOWN: lambda: visitor.open(f"{self.log}.nothing.edb"),
            BackupCall.READ: lambda: visitor.read(FIRST_READ_BYTES),
            BackupCall.READ_BAD_HANDLE: lambda: api.backup_read_file(
                visitor.context, STRANGE_HANDLE, bytearray(FIRST_READ_BYTES)
            ),
            BackupCall.CLOSE: visitor.close,
            BackupCall.CLOSE_BAD_HANDLE: lambda: api.backup_close_file(
                visitor.context, STRANGE_HANDLE
            ),
            BackupCall.LOG_LIST: visitor.log_list,
            BackupCall.TRUNCATE_LIST: visitor.truncate_list,
            BackupCall.TRUNCATE: visitor.truncate,
            BackupCall.INSTANCE_END_SUCCESS: lambda: visitor.finish(InstanceEnd.SUCCESS),
            BackupCall.INSTANCE_END_ERROR: lambda: visitor.finish(InstanceEnd.ERROR),
            BackupCall.END: visitor.leave,
            BackupCall.DEPENDENCY_INFO: lambda: api.backup_get_dependency_info(visitor.context),
            BackupCall.ARGUMENT_ERROR: lambda: visitor.open(""),
            BackupCall.CONTROL_ARGUMENT_ERROR: lambda: visitor.finish(7),  # type: ignore[arg-type]
            BackupCall.STOP_BY_SERVER: self.bench.server.stop,
            BackupCall.CONNECTION_LOST: lambda: self.bench.server.hang_up(visitor.context),
            BackupCall.MOUNT: self._mount,
            BackupCall.DISMOUNT: lambda: self.bench.server.dismount(MAIN),
        }
        ways[call]()

    def _mount(self) -> None:
        self.bench.server.mount(SPARE)

    def tidy(self, last: BackupCall) -> None:
        """Give everything back, whatever the state."""
        self.call(BackupCall.END)
        if last is BackupCall.MOUNT:
            self.bench.server.dismount(SPARE)
        elif last is BackupCall.DISMOUNT:
            self.bench.server.mount(MAIN)


def calls_of(
    state: BackupState, abilities: frozenset[Ability], order: OrderTable = BACKUP_ORDER
) -> Iterator[BackupCall]:
    """The calls that a check can bring about in a state."""
    for call in BackupCall:
        needed = _NEEDS.get(call)
        can = call.chosen_by_client if needed is None else needed in abilities
        # What others do to a context that holds nothing shows nothing.
        idle = needed is not None and not state.running
        if can and not idle and backup_cell(state, call, order).possible:
            yield call


def _walks(state: BackupState) -> Body:
    def body(bench: Bench) -> None:
        with bench.under(ORDER, "a full backup by the book"):
            taken = back_up(bench)
            log = taken.logs[taken.high].name
        for call in calls_of(state, bench.server.abilities, bench.server.order):
            walker = _Walker(bench, Visitor(bench), log)
            try:
                _walk(bench, walker, state, call)
            finally:
                walker.tidy(call)

    return body


def _walk(bench: Bench, walker: _Walker, state: BackupState, call: BackupCall) -> None:
    """Into the state, the call, the probes; nothing is learned once one is answered wrongly."""
    reached, order = BACKUP_START, bench.server.order
    for step in path_to(state, order):
        if not _held(bench, walker, reached, step, rule_of(reached, step), "on the way, "):
            return
        reached = backup_cell(reached, step, order).next_state
    rule = rule_of(state, call)
    if not _held(bench, walker, state, call, rule, ""):
        return
    reached = backup_cell(state, call, order).next_state
    blamed = STATE if rule is ORDER else rule
    for probe in PROBES:
        after = f"after {call.value} in {state.value}, "
        if not _held(bench, walker, reached, probe, blamed, after):
            return
        reached = backup_cell(reached, probe, order).next_state


def _held(
    bench: Bench, walker: _Walker, state: BackupState, call: BackupCall, rule: str, when: str
) -> bool:
    """Make a call and hold the answer against its cell."""
    cell = backup_cell(state, call, bench.server.order)
    error = walker.call(call)
    hresult = 0 if error is None else error.hresult
    if (hresult, None if error is None else error.jet) == (cell.hresult, cell.error):
        return True
    wanted = "success" if cell.row is None else f"{cell.row.name} ({cell.source})"
    got = "success" if error is None else str(error)
    own = rule_of(state, call)
    if error is None and own is not ORDER:
        rule = own  # what was let in says more than where it showed
    # The right class of answer with another code is a smaller matter than the wrong class.
    minor = error is not None and not cell.ok
    weak = minor or cell.grade not in _STRONG
    bench.broke(
        rule,
        f"{when}{call.value} in {state.value}: expected {wanted}, got {got}",
        Verdict.WARN if weak else None,
    )
    return minor


def _check(state: BackupState) -> Check:
    return Check(
        id=f"order-{state.value.replace('_', '-')}",
        title=f"Every call in the state {state.value}, of {GROUP}",
        family="order",
        rules=(ORDER, STATE, SETUP, LATE, LOCK) if state.running else (ORDER, STATE),
        body=_walks(state),
        needs=frozenset({Ability.STOP}) if state in _STOPPED else frozenset(),
    )


ORDER_CHECKS: tuple[Check, ...] = tuple(_check(state) for state in BackupState)
