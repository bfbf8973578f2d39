"""Clients side by side: two that share a group and one beside them, held against the order table.

Each makes calls in any order, legal or not, on groups that they compete for, while users work and
administrators mount. The model knows nothing but the table and who holds which group.
"""

from __future__ import annotations

from collections import Counter

import pytest
from attrs import define
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from eseback.errors import EseBackupError
from eseback.jeterr import JetErr
from eseback.order import BackupCall, BackupCell, BackupState, backup_cell
from esesim.exchange import StorageGroup
from tests.support.examples import examples
from tests.support.orderwalk import GROUP, MAIN, OTHER, OTHER_GROUP, SPARE, Client, Stage

pytestmark = pytest.mark.uncovered

HOMES = (GROUP, GROUP, OTHER_GROUP)
SETUPS = (BackupCall.SETUP_FULL, BackupCall.SETUP_LOGS_ONLY)
LISTS = (BackupCall.LOG_LIST, BackupCall.TRUNCATE_LIST)
CALLS = [call for call in BackupCall if call.chosen_by_client and call not in SETUPS]
CALLS_WITH_DATA_EVENTS = (BackupCall.CLOSE, BackupCall.TRUNCATE)
"""Calls that write events which depend on data."""
DISTURBANCES = (BackupCall.STOP_BY_SERVER, BackupCall.TERMINATE, BackupCall.CONNECTION_LOST)
WHO = st.sampled_from(range(len(HOMES)))
LIKELY = {
    BackupState.DATABASES: (BackupCall.LOG_LIST, BackupCall.OPEN_DATABASE),
    BackupState.DATABASE_OPEN: (BackupCall.CLOSE, BackupCall.READ),
    BackupState.LOGS_UNLISTED: (BackupCall.LOG_LIST,),
    BackupState.LOGS_UNLISTED_OPEN: (BackupCall.CLOSE,),
    BackupState.LOGS: (
        BackupCall.OPEN_UNKNOWN,
        BackupCall.TRUNCATE,
        BackupCall.INSTANCE_END_SUCCESS,
        BackupCall.OPEN_DATABASE,
        BackupCall.OPEN_LOG,
        BackupCall.LOG_LIST,
    ),
    BackupState.LOG_OPEN: (BackupCall.CLOSE, BackupCall.READ),
    BackupState.STOPPED: (BackupCall.LOG_LIST, BackupCall.INSTANCE_END_ERROR),
    BackupState.STOPPED_OPEN: (BackupCall.READ, BackupCall.CLOSE),
}
"""What a client would do next, its most likely mistakes among it."""
GROUPS = st.sampled_from((GROUP, OTHER_GROUP))
FIRST_STORES = {GROUP: MAIN, OTHER_GROUP: OTHER}

seen: Counter[str] = Counter()
"""Situations that arose: a run in which one did not has shown nothing about it."""
SITUATIONS = (
    "setup refused: another backs the group up",
    "setup refused: own backup runs",
    "setup of the other group",
    "both groups in a backup",
    "call without a setup while another backs the group up",
    "call on an ended context",
    "stop seen",
    "list is stable",
    "backup of a lost connection",
    "backup of a terminated instance",
    "backup lost to a bad open",
    "incremental refused: its logs are gone",
    "mount refused",
    "mount allowed",
)


@define(eq=False)
class Model:
    """What the table says of one context: the group it backs up, and its state there."""

    group: str | None = None
    state: BackupState = BackupState.PREPARED


class Sessions(RuleBasedStateMachine):
    """Three clients on a server with two groups."""

    def __init__(self) -> None:
        super().__init__()
        self.stage = Stage()
        self.stage.server.mount(OTHER_GROUP, OTHER)
        self.clients = [self.new_client(home) for home in HOMES]
        self.models = [Model() for _ in HOMES]
        self.wasted = False

    def new_client(self, home: str) -> Client:
        """A client whose calls are about a group."""
        return Client(self.stage, home)

    # -- the model

    def holder(self, group: str) -> Model | None:
        """The context that backs a group up."""
        return next((model for model in self.models if model.group == group), None)

    def enter(self, model: Model, cell: BackupCell) -> None:
        """The call of this cell has happened to the context."""
        model.state = cell.next_state
        if not model.state.running:
            model.group = None

    def perform(self, who: int, call: BackupCall, cell: BackupCell) -> None:
        """Make a call: it is answered as the cell says, and others notice nothing."""
        client = self.clients[who]
        events_before = {group.name: len(group.events) for group in self.stage.server.groups}
        error: EseBackupError | None = None
        try:
            client.call(call)
        except EseBackupError as caught:
            error = caught
        found = (0, None) if error is None else (error.hresult, error.jet)
        assert found == (cell.hresult, cell.error), f"{call.name} of client {who}"
        for group in self.stage.server.groups:
            written = [event.id for event in group.events[events_before[group.name] :]]
            about = cell.events if group is client.group else ()
            assert [number for number in written if number in about] == list(about)
            assert about or call in CALLS_WITH_DATA_EVENTS or not written

    # -- what clients do

    @rule(who=WHO, call=st.sampled_from(SETUPS), group=GROUPS)
    def setup(self, who: int, call: BackupCall, group: str) -> None:
        """Setup, of the client's own group or of the other one."""
        self.make_setup(who, call, group)

    def make_setup(self, who: int, call: BackupCall, group: str) -> None:
        """Setup, held against the model."""
        model, holder = self.models[who], self.holder(group)
        if model.state is BackupState.PREPARED and holder is not None:
            cell = backup_cell(holder.state, call)
            assert cell.error == JetErr.BACKUP_IN_PROGRESS
            seen["setup refused: another backs the group up"] += 1
        else:
            cell = backup_cell(model.state, call)
            seen["setup refused: own backup runs"] += model.state.running
        client, home = self.clients[who], self.clients[who].group
        client.group = self.stage.server.group(group)
        self.perform(who, call, cell)
        if cell.ok:
            model.group = group
            model.state = cell.next_state
            client.logs = ()
            seen["setup of the other group"] += group != HOMES[who]
        else:
            client.group = home
        seen["both groups in a backup"] += all(self.holder(name) for name in FIRST_STORES)

    @rule(who=WHO, call=st.sampled_from(CALLS))
    def call(self, who: int, call: BackupCall) -> None:
        """Any other call."""
        self.make_call(who, call)

    @rule(who=WHO, way=st.integers(0, 5))
    def go_on(self, who: int, way: int) -> None:
        """A call that is in order, or nearly."""
        state = self.models[who].state
        if state is BackupState.PREPARED:
            self.make_setup(who, SETUPS[way % 2], HOMES[who])
        elif state in LIKELY:
            self.make_call(who, LIKELY[state][way % len(LIKELY[state])])

    @precondition(
        lambda self: (
            not self.wasted
            and self.holder(GROUP) is None
            and self.models[0].state is BackupState.PREPARED
        )
    )
    @rule()
    def waste_logs(self) -> None:
        """Logs are deleted by a backup that then fails; the next incremental finds out."""
        self.wasted = True
        self.make_setup(0, BackupCall.SETUP_LOGS_ONLY, GROUP)
        for call in (BackupCall.LOG_LIST, BackupCall.TRUNCATE, BackupCall.INSTANCE_END_ERROR):
            self.make_call(0, call)
        self.make_setup(0, BackupCall.SETUP_LOGS_ONLY, GROUP)
        self.make_call(0, BackupCall.LOG_LIST)

    @rule(who=WHO, steps=st.integers(0, 4))
    def list_twice(self, who: int, steps: int) -> None:
        """The logs to copy are fixed at the first list, whatever users do meanwhile."""
        if self.models[who].state in (BackupState.DATABASES, BackupState.LOGS_UNLISTED):
            self.make_call(who, BackupCall.LOG_LIST)
            self.stage.server.run_workload(self.clients[who].group.name, steps)
        if self.models[who].state is BackupState.LOGS:
            self.make_call(who, BackupCall.LOG_LIST)

    def make_call(self, who: int, call: BackupCall) -> None:
        """A call other than Setup, held against the model."""
        model, client = self.models[who], self.clients[who]
        gone = call in LISTS and logs_are_gone(model, client.group)
        seen["incremental refused: its logs are gone"] += gone
        cell = backup_cell(model.state, BackupCall.LOG_LIST_FAILED if gone else call)
        self.note(model, client, cell)
        seen["backup lost to a bad open"] += (
            cell.backup_ended and "backup_open_file" in call.methods
        )
        listed = client.logs if model.state is BackupState.LOGS else ()
        self.perform(who, call, cell)
        if listed and cell.ok and call is BackupCall.LOG_LIST:
            assert client.logs == listed
            seen["list is stable"] += 1
        self.enter(model, cell)

    def note(self, model: Model, client: Client, cell: BackupCell) -> None:
        """Count the situation."""
        holder = self.holder(client.group.name)
        if cell.error == JetErr.NO_BACKUP and holder is not None:
            seen["call without a setup while another backs the group up"] += 1
        seen["call on an ended context"] += model.state is BackupState.ENDED
        seen["stop seen"] += cell.error == JetErr.BACKUP_ABORT_BY_SERVER

    @precondition(lambda self: any(m.state is BackupState.ENDED for m in self.models))
    @rule()
    def come_again(self) -> None:
        """Whose context has ended takes a new one."""
        for who, model in enumerate(self.models):
            if model.state is BackupState.ENDED:
                self.clients[who] = self.new_client(HOMES[who])
                self.models[who] = Model()

    # -- what others do

    @rule(group=GROUPS, steps=st.integers(1, 4))
    def work(self, group: str, steps: int) -> None:
        """Users change mail."""
        self.stage.server.run_workload(group, steps)

    @rule(group=GROUPS, call=st.sampled_from(DISTURBANCES))
    def disturb(self, group: str, call: BackupCall) -> None:
        """Something happens to a group, and so to the backup of it; to one with a backup if any."""
        held = [model.group for model in self.models if model.group is not None]
        group = held[0] if held and group not in held else group
        holder = self.holder(group)
        if call is BackupCall.STOP_BY_SERVER:
            self.stage.server.group(group).running.backup.stop()
        elif call is BackupCall.TERMINATE:
            self.stage.server.group(group).stop()
            self.stage.server.mount(group, FIRST_STORES[group])
            seen["backup of a terminated instance"] += holder is not None
        elif holder is not None:
            who = self.models.index(holder)
            seen["backup of a lost connection"] += 1
            self.perform(who, call, backup_cell(holder.state, call))
        if holder is not None:
            self.enter(holder, backup_cell(holder.state, call))
            if call is BackupCall.STOP_BY_SERVER:
                self.make_call(self.models.index(holder), BackupCall.TRUNCATE)

    @rule()
    def mount_and_dismount(self) -> None:
        """An administrator mounts a store, if nobody backs the group up."""
        running = self.holder(GROUP) is not None
        try:
            self.stage.server.mount(GROUP, SPARE)
            self.stage.server.dismount(GROUP, SPARE)
        except EseBackupError as error:
            assert running
            assert error.jet == JetErr.BACKUP_IN_PROGRESS
            seen["mount refused"] += 1
        else:
            assert not running
            seen["mount allowed"] += 1

    # -- what always holds

    @invariant()
    def states_agree(self) -> None:
        """Server and model agree on every context, and on who holds which group."""
        for client, model in zip(self.clients, self.models, strict=True):
            assert client.state is model.state
        for group in self.stage.server.groups:
            assert (group.backup_owner is not None) == (self.holder(group.name) is not None)


def logs_are_gone(model: Model, group: StorageGroup) -> bool:
    """Whether logs that a logs-only backup needs were deleted, by a backup that then failed."""
    if model.state is not BackupState.LOGS_UNLISTED:
        return False
    instance = group.running
    closed = instance.files.closed_generations()
    oldest = closed[0] if closed else instance.log.generation
    marks = [
        max(database.header.bkinfo_full_prev.gen_high, database.header.bkinfo_inc_prev.gen_high)
        for database in instance.databases.values()
    ]
    return oldest > min(marks) + 1


def run_sessions(machine: type[Sessions], number: settings) -> list[str]:
    """Run a machine for so many servers; the situations that arose."""
    seen.clear()
    # Phase.explain would take minutes to say what the steps of a failure say.
    phases = (Phase.explicit, Phase.generate, Phase.shrink)
    shape = settings(number, stateful_step_count=30, phases=phases)
    run_state_machine_as_test(machine, settings=shape)  # type: ignore[no-untyped-call]
    assert set(seen) <= set(SITUATIONS)
    return [name for name in SITUATIONS if seen[name]]


def test_clients_side_by_side() -> None:
    assert run_sessions(Sessions, examples(40)) == list(SITUATIONS)
