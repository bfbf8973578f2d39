"""The stage of a case: a simulated server, what the harness reads off it, and one job's
connection.

What the harness has to know of a running server's insides is in this module.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Final, Self, TypeVar, cast

from attrs import define, evolve, field

from eseback.api import BackupApi
from eseback.structures import InstanceBackupInfo
from eseconform.errors import HarnessError
from eseconform.incidents import IncidentLayer, Incidents, Rival
from eseconform.judge.data import GroupFacts
from eseconform.judge.teardown import GroupState, Leftovers
from eseconform.sut import Gate, JobAnswer, Sut, run_job
from eseconform.task import Task
from eseconform.transports import Transport
from esesim.exchange.clock import LogicalClock
from esesim.faults import FaultInjector, FaultPlan
from esesim.layer import ApiLayer
from esesim.server import SimulatedServer
from esesim.server.snapshot import Snapshot
from esesim.session import Session
from esesim.topology import Topology
from esesim.transcript import CallRecord, Recorder, read_transcript
from esesim.windows_path import to_volume_path

if TYPE_CHECKING:
    from eseconform.wire import Wire

R = TypeVar("R")
SERVERS_KEPT: Final = 32
BYTES_PER_CALL: Final = 64 * 1024
"""Bytes of a read that give users as much time as any other call."""


class Stage:
    """A server for one case. Use as a context manager."""

    def __init__(self, topology: Topology, seed: int) -> None:
        self.server = _fresh(topology, seed).restore()
        self.name = topology.server.name
        self.pace = {group.name: group.steps_per_call for group in self.server.groups}
        self.removed: dict[str, set[int]] = {}
        for group in self.server.groups:
            group.steps_per_call = 0  # the Pacer does it

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.server.close()

    @property
    def groups(self) -> tuple[str, ...]:
        """Names of all storage groups."""
        return tuple(group.name for group in self.server.groups)

    @property
    def backed_up(self) -> tuple[str, ...]:
        """Names of the storage groups that are backed up: all but the recovery storage group."""
        return tuple(group.name for group in self.server.groups if not group.spec.recovery)

    def work(self, steps: int) -> None:
        """Let the users of every group do something."""
        for group in self.groups:
            self.server.run_workload(group, steps)

    @cached_property
    def rival(self) -> Rival:
        """A second client."""
        return Rival(self)

    def backs_up(self, group: str) -> bool:
        """Whether a backup of the group is under way."""
        instance = self.server.group(group).instance
        return instance is not None and instance.backup.state.running

    def closed_logs(self) -> dict[str, frozenset[int]]:
        """Closed log generations on the server's disks, by group; none of a group at rest."""
        return {
            group.name: frozenset(
                () if group.instance is None else group.instance.files.closed_generations()
            )
            for group in self.server.groups
        }

    def remove_log(self, group: str) -> None:
        """Delete a closed log behind the server's back, from the middle of those that there are.

        Raises:
            HarnessError: there are too few for one to be in the middle.
        """
        instance = self.server.group(group).running
        closed = sorted(instance.files.closed_generations())
        if len(closed) < 3:
            raise HarnessError(f"{group} has {len(closed)} closed logs: none is in the middle")
        middle = closed[len(closed) // 2]
        self.server.volume.delete(instance.files.closed(middle))
        self.removed.setdefault(group, set()).add(middle)

    def clear_logs(self, group: str) -> None:
        """Delete logs and checkpoint of a group of which no store is mounted."""
        spec, volume = self.server.group(group).spec, self.server.volume
        for folder in {to_volume_path(spec.log_path), to_volume_path(spec.system_path)}:
            for name in volume.list(folder):
                if name.upper().startswith(spec.base) and name.lower().endswith((".log", ".chk")):
                    volume.delete(f"{folder}/{name}")

    def facts(self) -> dict[str, GroupFacts]:
        """What the data judge needs to know of each running group."""
        journal = self.server.journal
        return {
            group.name: GroupFacts(group.instance.config, LogicalClock(), journal.rows)
            for group in self.server.groups
            if group.instance is not None
        }


@lru_cache(maxsize=SERVERS_KEPT)
def _fresh(topology: Topology, seed: int) -> Snapshot[SimulatedServer]:
    """A server that has just started. Most cases begin with one of a few topologies."""
    return Snapshot(SimulatedServer(topology, seed=seed))


class Pacer(ApiLayer):
    """Lets a group's users work between calls, as much as the calls give them time for.

    The simulated server itself makes a fixed number of steps at each call. A client that reads 1
    000 bytes at a time would meet sixty times the work of one that reads 64 KiB, in all and for
    nothing. So a read counts by the bytes that it brings; the others count one.
    """

    def __init__(self, api: BackupApi, stage: Stage) -> None:
        super().__init__(api)
        self._stage = stage
        self._groups: dict[int, str] = {}
        self._instances: dict[int, str] = {}
        self._owed: Counter[str] = Counter()

    def around(self, method: str, function: Callable[..., R], arguments: Mapping[str, Any]) -> R:
        """Work that is owed, then the call."""
        group = self._group(method, arguments)
        reading = method == "backup_read_file"
        if group is not None:
            self._work(group, 0 if reading else BYTES_PER_CALL)
        result = function(**arguments)
        if method == "backup_prepare":
            _, instances = cast("tuple[int, Sequence[InstanceBackupInfo]]", result)
            self._instances.update((i.instance_id, i.instance_name) for i in instances)
        elif method == "backup_setup" and group is not None:
            self._groups[arguments["context"]] = group
        elif reading and group is not None:
            self._owed[group] += cast("int", result) * self._stage.pace[group]
        return result

    def _group(self, method: str, arguments: Mapping[str, Any]) -> str | None:
        if method == "backup_setup":
            return self._instances.get(arguments["instance_id"])
        return self._groups.get(arguments.get("context", 0))

    def _work(self, group: str, extra: int) -> None:
        self._owed[group] += extra * self._stage.pace[group]
        steps, self._owed[group] = divmod(self._owed[group], BYTES_PER_CALL)
        if steps:
            self._stage.server.run_workload(group, steps)


@define(eq=False)
class Connection:
    """One job's way to the server: gate, recorder, fault injector, pacer, session; and if wanted a
    wire in front of the gate.

    Attributes:
        session: the session of the server.
        gate: what every call comes through.
        transcript: file that the recorder writes to.
        wire: serves the gate to clients that come by TCP; None without one.
    """

    session: Session
    gate: Gate
    transcript: Path
    wire: Wire | None
    _stage: Stage
    _file: IO[str]
    _left_behind: Leftovers = field(default=Leftovers(0, ()), init=False)
    _lock: threading.Lock = field(factory=threading.Lock, init=False)

    @classmethod
    def open(
        cls,
        stage: Stage,
        plan: FaultPlan,
        transcript: Path,
        incidents: Incidents | None = None,
        transport: Transport = Transport.INPROC,
    ) -> Connection:
        """Connect a client whose calls are recorded, and disturbed by a plan and by others."""
        file = transcript.open("w", encoding="utf-8")
        session = stage.server.session(remote=True)  # a backup server is another computer
        api: BackupApi = Pacer(session, stage)
        if incidents is not None and incidents.counts:
            api = IncidentLayer(api, incidents)
        injector = FaultInjector(api, plan, stage.server)
        gate = Gate(Recorder(injector, file))
        connection = cls(session, gate, transcript, None, stage, file)
        if transport is Transport.RPC:
            from eseconform.wire import Wire  # heavy, and needed for this only

            try:
                connection.wire = Wire(gate, connection.lost)
            except BaseException:
                file.close()
                raise
            gate.on_shut = connection.wire.cut
        return connection

    def client(self) -> BackupApi:
        """What a client in this process is handed."""
        return self.gate if self.wire is None else self.wire.connect()

    @property
    def broken(self) -> BaseException | None:
        """What the simulator or the wire did that no client is to blame for."""
        return self.gate.broken or (self.wire.failure if self.wire is not None else None)

    def run(self, sut: Sut, task: Task, limit_seconds: float) -> JobAnswer:
        """Have a client do one job; see :func:`eseconform.sut.run_job`."""
        if self.wire is not None:
            task = evolve(task, endpoint=self.wire.endpoint)
        elif sut.over_wire:
            raise HarnessError(f"{sut.spec} is judged over the wire, and there is none")
        # Who comes by itself is known by the calls at the gate.
        api = self.gate if sut.over_wire else self.client()
        answer = run_job(sut, self.gate, task, limit_seconds, api)
        if self.wire is not None and sut.over_wire:
            self.wire.close()  # a call of a program that was killed may still be under way
        return answer

    def records(self) -> list[CallRecord]:
        """The calls so far."""
        self._file.flush()
        with self.transcript.open(encoding="utf-8") as lines:
            return list(read_transcript(lines))

    def leftovers(self) -> Leftovers:
        """What the client has not given back; also if it is gone, and the server has cleared up."""
        with self._lock:
            return self._leftovers().plus(self._left_behind)

    def lost(self, context: int) -> None:
        """The client is gone and left this context behind."""
        with self._lock:
            before = self._leftovers()
            self.session.connection_lost(context)
            self._left_behind = before.minus(self._leftovers()).plus(self._left_behind)

    def close(self) -> None:
        """Hang up, as an ended process would; the server breaks off what is left."""
        self.gate.shut()
        if self.wire is not None:
            self.wire.close()
        self.session.connection_lost()
        self._file.close()

    def _leftovers(self) -> Leftovers:
        """What the client holds now."""
        stage = self._stage
        return Leftovers(
            contexts=sum(self.session.holds(context) for context in self.gate.contexts),
            restores=sum(self.session.holds(context) for context in self.gate.restores),
            instances=len(stage.server.restores) - stage.rival.restores,
            groups=tuple(
                GroupState(
                    group.name,
                    held=group.instance.backup.state.running,
                    file_open=group.instance.backup.state.file_open,
                )
                for group in stage.server.groups
                if group.instance is not None and not stage.rival.holds(group.name)
            ),
        )
