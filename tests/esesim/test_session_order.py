"""Every cell of the backup's order table, seen by a client, and the call that follows it.

Each walk takes a context of its own into a state, makes a call and then a second one; both must be
answered, and leave the context, as the table says. One server serves all walks of a state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from eseback.constants import BackupType, InstanceEnd
from eseback.errors import EseBackupError
from eseback.order import BackupCall, BackupState, backup_cell
from esesim.server import SimulatedServer
from esesim.session import Session
from tests.esesim.support.servers import back_up, prepare, small_server

LOG_DIRECTORY = "C:\\Program Files\\Exchsrvr\\mdbdata"
CALLS = [call for call in BackupCall if call.chosen_by_client]
NEVER = 999_999
DATA_EVENTS = (221, 222, 224, 225)
KEPT_GENERATIONS = 40


class Client:
    """A client with one context, and what it remembers of it."""

    def __init__(self, server: SimulatedServer) -> None:
        self.server = server
        self.group = server.groups[0]
        self.api: Session = server.session()
        prepared = prepare(self.api)
        self.context = prepared.context
        self.instance = self.group.id
        self.database = self.group.spec.stores[0].edb
        self.handle = NEVER

    @property
    def log(self) -> str:
        """A closed log that is there for sure."""
        instance = self.group.running
        newest = instance.files.closed_generations()[-1]
        return f"{LOG_DIRECTORY}\\E00{newest:05X}.log"

    @property
    def state(self) -> BackupState:
        held = self.api._contexts.get(self.context)
        return BackupState.ENDED if held is None else held.state

    def setup(self, kind: BackupType) -> None:
        self.api.backup_setup(self.context, self.instance, kind)

    def open(self, name: str) -> None:
        (opened,) = self.api.backup_open_file(self.context, name)
        self.handle = opened.handle

    def stop(self) -> None:
        self.group.running.backup.stop()

    def call(self, call: BackupCall) -> None:
        ACTIONS[call](self)


ACTIONS: dict[BackupCall, Callable[[Client], object]] = {
    BackupCall.SETUP_FULL: lambda c: c.setup(BackupType.FULL),
    BackupCall.SETUP_LOGS_ONLY: lambda c: c.setup(BackupType.LOGS_ONLY),
    BackupCall.OPEN_DATABASE: lambda c: c.open(c.database),
    BackupCall.OPEN_LOG: lambda c: c.open(c.log),
    BackupCall.OPEN_UNKNOWN: lambda c: c.open(f"{LOG_DIRECTORY}\\nothing.edb"),
    BackupCall.READ: lambda c: c.api.backup_read_file(c.context, c.handle, bytearray(65536)),
    BackupCall.READ_BAD_HANDLE: lambda c: c.api.backup_read_file(c.context, NEVER, bytearray(1)),
    BackupCall.CLOSE: lambda c: c.api.backup_close_file(c.context, c.handle),
    BackupCall.CLOSE_BAD_HANDLE: lambda c: c.api.backup_close_file(c.context, NEVER),
    BackupCall.LOG_LIST: lambda c: c.api.backup_get_log_and_patch_files(c.context),
    BackupCall.TRUNCATE_LIST: lambda c: c.api.backup_get_truncate_log_files(c.context),
    BackupCall.TRUNCATE: lambda c: c.api.backup_truncate_logs(c.context),
    BackupCall.INSTANCE_END_SUCCESS: lambda c: c.api.backup_instance_end(
        c.context, InstanceEnd.SUCCESS
    ),
    BackupCall.INSTANCE_END_ERROR: lambda c: c.api.backup_instance_end(
        c.context, InstanceEnd.ERROR
    ),
    BackupCall.END: lambda c: c.api.backup_end(c.context),
    BackupCall.DEPENDENCY_INFO: lambda c: c.api.backup_get_dependency_info(c.context),
    BackupCall.ARGUMENT_ERROR: lambda c: c.open(""),
    BackupCall.CONTROL_ARGUMENT_ERROR: lambda c: c.api.backup_instance_end(
        c.context,
        7,  # type: ignore[arg-type]
    ),
}


def reach(client: Client, state: BackupState) -> None:
    """Bring a fresh context into a state."""
    match state:
        case BackupState.DATABASES | BackupState.STOPPED:
            client.setup(BackupType.FULL)
        case BackupState.DATABASE_OPEN | BackupState.STOPPED_OPEN:
            client.setup(BackupType.FULL)
            client.open(client.database)
        case BackupState.LOGS_UNLISTED:
            client.setup(BackupType.LOGS_ONLY)
        case BackupState.LOGS_UNLISTED_OPEN:
            client.setup(BackupType.LOGS_ONLY)
            client.open(client.log)
        case BackupState.LOGS | BackupState.LOG_OPEN:
            client.setup(BackupType.FULL)
            client.call(BackupCall.LOG_LIST)
        case BackupState.ENDED:
            client.call(BackupCall.END)
    if state is BackupState.LOG_OPEN:
        client.open(client.log)
    if state in (BackupState.STOPPED, BackupState.STOPPED_OPEN):
        client.stop()
    assert client.state is state


def make(client: Client, state: BackupState, call: BackupCall) -> BackupState:
    """Make a call in a state and hold it against the table; returns the state after it."""
    cell = backup_cell(state, call)
    text = f"{call.name} in {state.name}"
    events_before = len(client.group.events)
    if cell.ok:
        client.call(call)
    else:
        with pytest.raises(EseBackupError) as caught:
            client.call(call)
        assert caught.value.hresult == cell.hresult, text
        assert caught.value.call in call.methods, text
    assert client.state is cell.next_state, text
    written = [event.id for event in client.group.events[events_before:]]
    # What was read or deleted decides on further ones (221, 222, 224, 225).
    assert [number for number in written if number not in DATA_EVENTS] == list(cell.events), text
    if cell.backup_ended:
        assert client.group.backup_owner is None, text
        assert not client.group.running.backup.is_running, text
    return cell.next_state


@pytest.fixture(scope="module")
def server() -> Iterator[SimulatedServer]:
    with small_server() as server:
        back_up(server.session(), "G1")
        yield server


@pytest.mark.parametrize("state", list(BackupState), ids=lambda state: state.name)
def test_every_cell_and_the_call_that_follows(server: SimulatedServer, state: BackupState) -> None:
    walks = 0
    for first in CALLS:
        for second in CALLS:
            client = Client(server)
            reach(client, state)
            make(client, make(client, state, first), second)
            if client.state is not BackupState.ENDED:
                client.call(BackupCall.END)
            walks += 1
            shorten_logs(server)
    assert walks == len(CALLS) ** 2 == 324


def shorten_logs(server: SimulatedServer) -> None:
    """Delete old logs by a real backup, so that lists stay short."""
    instance = server.groups[0].running
    if len(instance.files.closed_generations()) > KEPT_GENERATIONS:
        for database in instance.databases.values():
            database.flush()
        instance.update_checkpoint()
        back_up(server.session(), "G1")
        assert len(instance.files.closed_generations()) < KEPT_GENERATIONS


def test_every_call_of_a_client_is_walked() -> None:
    assert set(ACTIONS) == set(CALLS)
    assert {method for call in CALLS for method in call.methods} == {
        name for name in vars(Session) if name.startswith("backup_")
    } - {"backup_prepare"}
