"""Administration of one computer that is served: its state can be read, changed, kept and reset.

Operations that concern one storage group are the server's own and safe beside calls of clients.
Those that concern the whole of it close the gate that every call of a client passes: a crash, and
everything that puts another state in the place of this one. Then contexts of before are unknown
(the clients are told so), and what was kept does not change by what happens afterwards.
"""

from __future__ import annotations

import json
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from typing import Final

from attrs import asdict

from eseback.errors import EseBackupError

from ..engine.errors import JetError
from ..engine.event import Event
from ..faultplans import plain_rule, read_fault_plan
from ..faults import FaultTarget
from ..server import SimulatedServer
from ..server.snapshot import Snapshot
from ..session import Session
from ..volume import CrashReport, MemoryVolume
from .controlgate import Gate
from .controlled import CallLog, ControlledSession, CurrentPlan
from .controlviews import Plain, group_state, journal, ledger

SNAPSHOTS_MAX: Final = 16
STEPS_MAX: Final = 100_000
TRANSCRIPT_LINES_MAX: Final = 200_000
_SLICE: Final = 64  # steps between which other calls get their turn

# winerror.h
E_NOTIMPL: Final = 0x80004001
E_INVALIDARG: Final = 0x80070057
ERROR_NOT_FOUND: Final = 0x80070490
ERROR_NOT_ENOUGH_QUOTA: Final = 0x80070718

_Kept = tuple[SimulatedServer, tuple[Session, ...]]
_ENCODE: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class Control:
    """The administration of a computer; may be used from any thread.

    rate: steps of its users per second, by ``clock``; None for the topology's steps at each call.
    Errors are EseBackupErrors with a text that says what is wrong: those of the server's own
    operations, E_INVALIDARG for a storage group or store that does not exist.
    """

    def __init__(
        self,
        server: SimulatedServer,
        *,
        rate: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        snapshots_max: int = SNAPSHOTS_MAX,
        transcript_lines_max: int = TRANSCRIPT_LINES_MAX,
        patience: float = 60.0,
    ) -> None:
        self.server = server
        self.gate = Gate(patience)
        self.plan = CurrentPlan()
        self.target: FaultTarget = _Target(self)
        self._clock = clock
        self._rate_at_start = self._rate = rate
        self._snapshots_max = snapshots_max
        self._snapshots: dict[int, Snapshot[_Kept]] = {}
        self._number = 0
        self._sessions: weakref.WeakSet[ControlledSession] = weakref.WeakSet()
        self._clients = 0
        self._lock = threading.Lock()  # of sessions and events, for those who pass the gate
        self._recording = False
        self._calls = CallLog(transcript_lines_max)
        self._events: dict[int, Event] = {}  # in the order in which they were found, by identity
        self._start = Snapshot(self._kept()) if self._in_memory else None
        server.set_rate(rate, clock)

    @property
    def name(self) -> str:
        """The computer's name."""
        return self.server.topology.server.name

    def close(self) -> None:
        """Shut the computer down."""
        with self.gate.alone():
            self.server.close()

    # -- clients

    def session(self, remote: bool = False) -> ControlledSession:
        """A client's session."""
        with self.gate.passing(), self._lock:
            self._clients += 1
            session = ControlledSession(
                self,
                self.server.session(remote=remote),
                remote,
                self._calls.sink(self._clients),
                recording=self._recording,
            )
            self._sessions.add(session)
        return session

    def connection_lost(self, context: int) -> None:
        """A client left this context behind."""
        with self.gate.passing():
            self.server.connection_lost(context)

    # -- what concerns one storage group

    def mount(self, group: str, store: str) -> None:
        """Mount a store."""
        with self.gate.passing(), _Arguments():
            self.server.mount(group, store)

    def dismount(self, group: str, store: str) -> None:
        """Dismount a store."""
        with self.gate.passing(), _Arguments():
            self.server.dismount(group, store)

    def set_overwritable(self, group: str, store: str, value: bool) -> None:
        """Allow or forbid restores to overwrite a store."""
        with self.gate.passing(), _Arguments():
            self.server.set_overwritable(group, store, value)

    def destroy_store(self, group: str, store: str) -> None:
        """Delete the files of a dismounted store."""
        with self.gate.passing(), _Arguments():
            self.server.destroy_store(group, store)

    def destroy_group(self, group: str) -> None:
        """Delete databases, logs and checkpoint of a group."""
        with self.gate.passing(), _Arguments():
            self.server.destroy_group(group)

    def run_workload(self, group: str, steps: int) -> None:
        """Let the users of a group take so many steps; other calls have their turn meanwhile."""
        if steps > STEPS_MAX:
            raise EseBackupError(E_INVALIDARG, detail=f"{steps} steps; {STEPS_MAX} at a time")
        for done in range(0, max(steps, 1), _SLICE):
            with self.gate.passing(), _Arguments():
                self.server.run_workload(group, min(_SLICE, steps - done))

    # -- what concerns all of it

    def set_rate(self, steps_per_second: float | None) -> None:
        """How busy users are from now on; None: as the topology says."""
        with self.gate.passing(), _Arguments():
            self.server.set_rate(steps_per_second, self._clock)
            self._rate = steps_per_second

    def crash(self, seed: int) -> CrashReport:
        """Lose power and start again; whoever has called this computer loses the connection."""
        self._check_in_memory("a crash")
        with self.gate.alone():
            self._collect_events()
            try:
                return self.server.crash(seed)
            except JetError as error:  # a store does not come back
                raise EseBackupError.from_jet(error.err, "crash", error.detail) from error
            finally:
                for session in self._sessions:
                    session.drop()

    def reset(self) -> None:
        """Back to the beginning: state and rate, no faults, no transcript. Snapshots are kept."""
        self._check_in_memory("a reset")
        assert self._start is not None
        with self.gate.alone():
            self._rate = self._rate_at_start
            self.plan.install(read_fault_plan(""))
            self._record(False)
            self._calls.clear()
            self._become(self._start)

    def take_snapshot(self) -> int:
        """Keep the state, contexts of clients left out; gives its number."""
        self._check_in_memory("a snapshot")
        with self.gate.alone():
            if len(self._snapshots) >= self._snapshots_max:
                text = f"there are {self._snapshots_max} snapshots already; delete one"
                raise EseBackupError(ERROR_NOT_ENOUGH_QUOTA, detail=text)
            self._number += 1
            self.server.set_rate(None, self._clock)  # a clock is no part of the state
            self._snapshots[self._number] = Snapshot(self._kept())
            self.server.set_rate(self._rate, self._clock)
            return self._number

    def restore_snapshot(self, number: int) -> None:
        """Back to a state that was kept. Backups that ran then end as if broken off."""
        with self.gate.alone():
            self._become(self._snapshot(number))

    def delete_snapshot(self, number: int) -> None:
        """Forget a state."""
        with self.gate.alone():
            self._snapshot(number)
            del self._snapshots[number]

    # -- faults and transcript

    def set_faults(self, text: str) -> int:
        """Install a plan in place of the one that there is; gives the number of its rules."""
        with _Arguments():
            plan = read_fault_plan(text)
        self.plan.install(plan)
        return len(plan.counts)

    def set_transcript(self, recording: bool) -> None:
        """Write down the calls of all clients from now on, or no longer."""
        with self.gate.passing(), self._lock:
            self._record(recording)

    def transcript(self, client: int, first: int) -> tuple[int, Sequence[str | None]]:
        """Number of the first line, and the lines; None in place of another client's.

        client 0: lines of all, each with its client.
        """
        start, lines = self._calls.since(first)
        if not client:
            return start, [f'{{"client":{number},{line[1:]}' for number, line in lines]
        return start, [line if number == client else None for number, line in lines]

    # -- what there is, each row a JSON object

    def described(self) -> str:
        """The computer in short."""
        profile = self.server.topology.server.profile
        return _ENCODE({"name": self.name, "profile": profile, "in_memory": self._in_memory})

    def state(self) -> list[str]:
        """The computer, then its storage groups."""
        with self.gate.passing():
            server = self.server
            server.catch_up()
            used, most = server.instances
            computer: Plain = {
                "computer": self.name,
                "profile": server.topology.server.profile,
                "seed": server.topology.server.seed,
                "in_memory": self._in_memory,
                "instances": used,
                "instances_max": most,
                "restores": len(server.restores),
                "clients": len(self._sessions),
                "rate": self._rate,
                "fault_rules": len(self.plan.plan.counts),
                "recording": self._recording,
                "snapshots": sorted(self._snapshots),
            }
            return [_ENCODE(row) for row in (computer, *map(group_state, server.groups))]

    def faults(self) -> list[str]:
        """The rules of the plan with their counts."""
        found = []
        for count in self.plan.plan.counts:
            rule = {"rule": plain_rule(count.rule), "matched": count.matched, "fired": count.fired}
            problem = self.plan.problem(count)
            found.append(_ENCODE(rule if problem is None else rule | {"problem": problem}))
        return found

    def events(self) -> list[str]:
        """The event log; what is in it once keeps its number until the state is another."""
        with self.gate.passing(), self._lock:
            self._collect_events()
            found = list(self._events.values())
        return [_ENCODE(asdict(event)) for event in found]

    def ledger(self) -> list[str]:
        """What is committed in each store, and what is restorable of it."""
        with self.gate.passing():
            return [
                _ENCODE(row) for group in self.server.groups for row in ledger(self.server, group)
            ]

    def journal(self, group: str, store: str, generation: int | None) -> list[str]:
        """The rows of a store as they were committed."""
        with self.gate.passing(), _Arguments():
            found = self.server.group(group)
            return [
                _ENCODE(row) for row in journal(self.server, found, found.store(store), generation)
            ]

    # -- within; those that change anything are called with the gate closed

    @property
    def _in_memory(self) -> bool:
        return isinstance(self.server.volume, MemoryVolume)

    def _check_in_memory(self, what: str) -> None:
        if not self._in_memory:
            text = f"{what} needs a server in memory: serve a topology instead of a directory"
            raise EseBackupError(E_NOTIMPL, detail=text)

    def _kept(self) -> _Kept:
        return self.server, self.server.sessions

    def _snapshot(self, number: int) -> Snapshot[_Kept]:
        try:
            return self._snapshots[number]
        except KeyError:
            known = ", ".join(map(str, sorted(self._snapshots))) or "none"
            text = f"there is no snapshot {number}; there are: {known}"
            raise EseBackupError(ERROR_NOT_FOUND, detail=text) from None

    def _become(self, kept: Snapshot[_Kept]) -> None:
        """Put a state in the place of this one, with new sessions for the clients."""
        server, sessions = kept.restore()
        server.disconnect_clients()
        del sessions  # until here they were what knew the contexts
        server.set_rate(self._rate, self._clock)
        self._events = {}
        self.server = server
        for session in self._sessions:
            session.exchange(server.session(remote=session.remote))

    def _record(self, recording: bool) -> None:
        self._recording = recording
        for session in self._sessions:
            session.record(recording)

    def _collect_events(self) -> None:
        for event in self.server.events:
            self._events.setdefault(id(event), event)


class _Target:
    """What faults do to a computer, whichever server stands for it; within a call."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def damage_page(self, file_name: str, page: int | None) -> None:
        self._control.server.damage_page(file_name, page)

    def damage_log(self, file_name: str) -> None:
        self._control.server.damage_log(file_name)

    def connection_lost(self, context: int) -> None:
        self._control.server.connection_lost(context)


class _Arguments:
    """What is wrong with arguments, as an answer."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        # Not those that only a mistake of ours raises.
        if isinstance(error, LookupError | ValueError) and not isinstance(error, KeyError):
            text = error.args[0] if error.args else type(error).__name__
            raise EseBackupError(E_INVALIDARG, detail=str(text)) from error
