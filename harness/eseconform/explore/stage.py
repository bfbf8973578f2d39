"""The stage of an exploration: a small real server, and clients that make the calls of steps.

Starting a server takes long beside a call, so each shape of server is started once; a stage begins
on a copy of it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, cast

from attrs import define, evolve, field

from eseback.api import BackupApi
from eseback.constants import INFORMATION_STORE, BackupType, InstanceEnd
from eseback.errors import ConnectionLost, EseBackupError
from eseback.structures import OpenedFile
from eseconform.explore.faultmodel import fault_rule
from eseconform.explore.law import Law, Taken
from eseconform.explore.steps import Act, Fault, Shape, Step, session_of
from eseconform.explore.world import CLIENTS, FIRST_READ_BYTES, Answer, Call
from eseconform.transports import Transport
from esesim.exchange import StorageGroup
from esesim.faults import FaultInjector, FaultPlan
from esesim.server import SimulatedServer
from esesim.server.snapshot import Snapshot
from esesim.session import Session
from esesim.topology import GroupSpec, ServerSpec, StoreSpec, Topology, WorkloadSpec
from esesim.windows_path import to_volume_path

if TYPE_CHECKING:
    from eseconform.wire import Wire, WireClient

SERVER = "EXCHSRV1"
STRANGE_HANDLE = 999_999
MESSAGES = 3
_ROLLS = 2
_SOME_BYTES = 256 * 1024
_HISTORY_STEPS = 4
KINDS = {
    Act.SETUP_FULL: BackupType.FULL,
    Act.SETUP_ALL_LOGS: BackupType.FULL_WITH_ALL_LOGS,
    Act.SETUP_LOGS: BackupType.LOGS_ONLY,
}
Wrap = Callable[[BackupApi, SimulatedServer], BackupApi]
"""Puts something between clients and a server: how tests make servers that break a rule."""


def unwrapped(api: BackupApi, server: SimulatedServer) -> BackupApi:
    """The server as it is."""
    return api


@define(eq=False)
class Client:
    """A client: its connection and what it was told over it. It begins without a context."""

    session: Session
    api: BackupApi
    context: int = 0
    handle: int = 0
    logs: tuple[str, ...] = ()  # as last listed
    taken: Taken = field(factory=Taken)


def topology(shape: Shape) -> Topology:
    """The server of a shape; its users rest until the stage wakes them."""
    workload = WorkloadSpec(folders=1, messages=MESSAGES, steps_per_call=0, body_size_max=2048)
    groups = (
        GroupSpec(
            name=f"G{group}",
            log_size=64 * 1024,
            stores=tuple(StoreSpec(name=f"S{group}{store}") for store in range(shape.stores)),
            truncate_with_dismounted=True,
            workload=workload,
        )
        for group in range(shape.groups)
    )
    return Topology(server=ServerSpec(name=SERVER, seed=7), groups=tuple(groups))


class Stage:
    """A server of a shape with three clients in two sessions. Implements the model's Facts."""

    def __init__(self, shape: Shape, faults: tuple[Fault, ...], wrap: Wrap = unwrapped) -> None:
        self.shape = shape
        self.law: Law
        prepared = evolve(shape, steps_per_call=0, transport=Transport.INPROC)
        self.server, self.law = _prepared(prepared).restore()
        for group in self.server.groups:
            group.steps_per_call = shape.steps_per_call
        self._wrap = wrap
        self._faults = faults
        self._wires: list[Wire] = []
        self.clients: list[Client] = []
        connections = [self._connect(number) for number in range(2)]
        for who in range(CLIENTS):
            session, connect = connections[session_of(who)]
            self.clients.append(Client(session, connect()))

    def _connect(self, session: int) -> tuple[Session, Callable[[], BackupApi]]:
        """A session, and what gives a client of it its end of the connection."""
        rules = [fault_rule(fault) for fault in self._faults if fault.session == session]
        connection = self.server.session()
        api = self._wrap(connection, self.server)
        if rules:
            api = FaultInjector(api, FaultPlan(rules), self.server)
        if self.shape.transport is Transport.INPROC:
            return connection, lambda: api
        from eseconform.wire import Wire  # heavy, and needed for this only

        wire = Wire(api, self.server.connection_lost)
        self._wires.append(wire)
        return connection, wire.connect

    def close(self) -> None:
        """Let go of what the transport holds. The stage is not used afterwards."""
        for wire in self._wires:
            wire.close()

    def reconnect(self, session: int) -> None:
        """The clients of a session come again, over a connection without faults."""
        self._faults = tuple(fault for fault in self._faults if fault.session != session)
        connection, connect = self._connect(session)
        for who, client in enumerate(self.clients):
            if session_of(who) == session:
                client.session, client.api = connection, connect()

    # -- facts

    def exists(self, path: str) -> bool:
        """See the model's Facts."""
        return self.server.volume.exists(to_volume_path(path))

    def oldest(self, group: int) -> int:
        """See the model's Facts."""
        instance = self.group(group).running
        closed = instance.files.closed_generations()
        return closed[0] if closed else instance.log.generation

    def generation(self, group: int) -> int:
        """See the model's Facts."""
        return self.group(group).running.log.generation

    def group(self, group: int) -> StorageGroup:
        """A storage group by its number."""
        return self.server.groups[group]

    # -- steps

    def resolve(self, step: Step, group: int | None) -> Call:
        """The call that a step stands for, by what its client knows.

        ``group`` is the one that the client backs up, None without one.
        """
        client = self.clients[step.who]
        act = step.act
        if act in (Act.READ_STRANGE, Act.CLOSE_STRANGE):
            return Call(step, handle=STRANGE_HANDLE, wanted=FIRST_READ_BYTES)
        if act in (Act.READ_OTHERS, Act.CLOSE_OTHERS):
            other = self.clients[(step.who + 1) % CLIENTS]
            return Call(step, handle=other.handle, wanted=FIRST_READ_BYTES)
        if act is Act.READ_REST:
            wanted = max(client.taken.left, FIRST_READ_BYTES)
            return Call(step, handle=client.handle, wanted=wanted)
        if act is Act.READ_SOME:
            return Call(step, handle=client.handle, wanted=_SOME_BYTES)
        if act in (Act.READ, Act.READ_NOTHING, Act.CLOSE):
            return Call(step, handle=client.handle, wanted=FIRST_READ_BYTES)
        spec = self.group(group or 0).spec
        if act in (Act.OPEN_EDB, Act.OPEN_STM):
            store = spec.stores[step.store]
            return Call(step, path=store.edb if act is Act.OPEN_EDB else store.stm)
        if act is Act.OPEN_LOG:
            unread = client.taken.next_log()
            current = f"{spec.log_path}\\{spec.base}.log"
            return Call(step, path=unread or (client.logs[-1] if client.logs else current))
        if act is Act.OPEN_UNKNOWN:
            return Call(step, path=f"{spec.log_path}\\nothing.dat")
        return Call(step)

    def begin_taking(self, step: Step) -> None:
        """The backup that a Setup began has brought nothing yet."""
        client = self.clients[step.who]
        client.taken = Taken(step.group, step.act is not Act.SETUP_LOGS)
        client.logs = ()

    def perform(self, call: Call) -> tuple[Answer, object]:
        """Make a call; how it ended and what it returned (of a read, the number of bytes)."""
        try:
            value = self._perform(call, self.clients[call.step.who])
        except ConnectionLost:
            return Answer(lost=True), None
        except EseBackupError as error:
            return Answer(error.hresult, error.jet), None
        return Answer(), value

    def _perform(self, call: Call, client: Client) -> object:
        step, act = call.step, call.step.act
        method = act.method
        if method is None:
            self._administer(step, client)
            return None
        api, context, taken = client.api, client.context, client.taken
        match method:
            case "backup_prepare":
                client.context, _ = api.backup_prepare(SERVER, INFORMATION_STORE)
            case "backup_setup":
                number = -1 if act is Act.SETUP_NO_INSTANCE else self.group(step.group).id
                api.backup_setup(context, number, KINDS.get(act, 9))  # type: ignore[arg-type]
                self.begin_taking(step)
            case "backup_open_file":
                return self._open(client, call.path)
            case "backup_read_file":
                buffer = bytearray(0 if act is Act.READ_NOTHING else call.wanted)
                count = api.backup_read_file(context, call.handle, buffer)
                taken.arrived(buffer, count)
                return count
            case "backup_close_file":
                api.backup_close_file(context, call.handle)
                taken.closed()
            case "backup_get_log_and_patch_files":
                taken.logs = client.logs = api.backup_get_log_and_patch_files(context)
                return client.logs
            case "backup_get_truncate_log_files":
                return api.backup_get_truncate_log_files(context)
            case "backup_truncate_logs":
                api.backup_truncate_logs(context)
            case "backup_instance_end":
                self._end(client, act)
            case "backup_end":
                api.backup_end(context)
            case _:
                api.backup_get_dependency_info(context)
        return None

    def _open(self, client: Client, path: str) -> OpenedFile:
        (opened,) = client.api.backup_open_file(client.context, path)
        client.handle = opened.handle
        client.taken.opened(path, opened.size)
        return opened

    def _end(self, client: Client, act: Act) -> None:
        flags = {Act.END_SUCCESS: InstanceEnd.SUCCESS, Act.END_ERROR: InstanceEnd.ERROR}
        client.api.backup_instance_end(client.context, flags.get(act, 7))  # type: ignore[arg-type]

    def _administer(self, step: Step, client: Client) -> None:
        group = self.group(step.group)
        store = group.spec.stores[step.store].name
        match step.act:
            case Act.HANG_UP:
                self._hang_up(client)
            case Act.STOP:
                if group.instance is not None:
                    group.instance.backup.stop()
            case Act.MOUNT:
                self.server.mount(group.name, store)
            case _:
                self.server.dismount(group.name, store)

    def _hang_up(self, client: Client) -> None:
        if self.shape.transport is Transport.INPROC:
            self.server.connection_lost(client.context)
        else:
            cast("WireClient", client.api).hang_up()


@cache
def _prepared(shape: Shape) -> Snapshot[tuple[SimulatedServer, Law]]:
    """A started server, backed up if its shape says so."""
    server = SimulatedServer(topology(shape))
    law = Law(server)
    for group in server.groups:
        # Some history, and little of it: each recovery replays what the checkpoint left behind.
        for _ in range(_ROLLS):
            group.run_workload(_HISTORY_STEPS)
            group.running.log.roll()
        for store in group.spec.stores:
            server.dismount(group.name, store.name)
        group.mount(*(store.name for store in group.spec.stores))
        group.run_workload(_HISTORY_STEPS)
    if shape.backed_up:
        for number, group in enumerate(server.groups):
            _back_up(server, law, number, group)
    return Snapshot((server, law))


def _back_up(server: SimulatedServer, law: Law, number: int, group: StorageGroup) -> None:
    """A full backup by the book."""
    api = server.session()
    taken = Taken(number, True)
    context, _ = api.backup_prepare(SERVER, INFORMATION_STORE)
    api.backup_setup(context, group.id, BackupType.FULL)

    def copy(path: str) -> None:
        (opened,) = api.backup_open_file(context, path)
        taken.opened(path, opened.size)
        buffer = bytearray(opened.size)
        count = api.backup_read_file(context, opened.handle, buffer)
        # Bytes are shared by all copies of a snapshot; a buffer would be copied each time.
        taken.arrived(bytes(buffer), count)
        api.backup_close_file(context, opened.handle)
        taken.closed()

    for store in group.spec.stores:
        copy(store.edb)
        copy(store.stm)
    taken.logs = api.backup_get_log_and_patch_files(context)
    for path in taken.logs:
        copy(path)
    api.backup_truncate_logs(context)
    api.backup_instance_end(context, InstanceEnd.SUCCESS)
    api.backup_end(context)
    problem = law.check(taken)
    assert problem is None, problem
