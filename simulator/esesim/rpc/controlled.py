"""A client's session with a computer that is under administration.

Around the session of the server stand a fault injector and a recorder, as the harness has them, and
in front of both the gate. The session behind them can be exchanged: a computer that is set back to
another state has other sessions, in which contexts of before are unknown.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol, TypeVar

from eseback.api import BackupApi
from eseback.errors import ConnectionLost

from ..faults import FaultCount, FaultInjector, FaultPlan, FaultTarget, When
from ..layer import ApiLayer
from ..session import Session
from ..transcript import Recorder, Sink
from .controlgate import Gate
from .routed import Routed

R = TypeVar("R")
log: Final = logging.getLogger("esesim.rpc")


class CurrentPlan(FaultPlan):
    """The fault plan that is in force now, for injectors that outlive it."""

    def __init__(self) -> None:
        super().__init__(())
        self.plan = FaultPlan(())
        self._problems: dict[int, tuple[FaultCount, str]] = {}

    def install(self, plan: FaultPlan) -> None:
        """Replace it; its counts begin at 0."""
        self._problems = {}
        self.plan = plan

    def hit(
        self, when: When, method: str, group: str | None, file_name: str | None
    ) -> list[FaultCount]:
        """See FaultPlan."""
        return self.plan.hit(when, method, group, file_name) if self.plan.counts else []

    def note_fired(self, count: FaultCount) -> None:
        """See FaultPlan."""
        self.plan.note_fired(count)

    def note_problem(self, count: FaultCount, problem: str) -> None:
        """A rule could not do what it says."""
        log.warning("fault %s: %s", count.rule.action.value, problem)
        self._problems[id(count)] = count, problem

    def problem(self, count: FaultCount) -> str | None:
        """Why a rule could not do what it says, the last time."""
        of, problem = self._problems.get(id(count), (None, None))
        return problem if of is count else None


class _Injector(FaultInjector):
    """A rule that cannot do what it says is told to whoever reads the plan, not to the client."""

    def __init__(self, api: Session, plan: CurrentPlan, target: FaultTarget) -> None:
        super().__init__(api, plan, target)
        self._current = plan

    def _fire(self, count: FaultCount, method: str, file_name: str | None) -> None:
        try:
            super()._fire(count, method, file_name)
        except (LookupError, ValueError) as error:
            self._current.note_problem(count, str(error))


class Surroundings(Protocol):
    """What the sessions of a computer have in common."""

    gate: Gate
    plan: CurrentPlan
    target: FaultTarget


class ControlledSession(ApiLayer):
    """One client's session. ``dropped``: the computer has crashed, the connection is to end."""

    def __init__(
        self, around: Surroundings, session: Session, remote: bool, sink: Sink, *, recording: bool
    ) -> None:
        self.remote = remote
        self.session = session
        self.dropped = False
        self.used = False
        self._injector = _Injector(session, around.plan, around.target)
        self._recorder = Recorder(self._injector, sink, recording=recording)
        self._gate = around.gate
        super().__init__(self._recorder)

    def around(self, method: str, function: Callable[..., R], arguments: Mapping[str, Any]) -> R:
        """Make the call, if the computer has not crashed since the last one."""
        self._gate.enter()
        try:
            if self.dropped:
                raise ConnectionLost(call=method, detail="the computer has crashed")
            self.used = True
            return function(**arguments)
        finally:
            self._gate.leave()

    def holds(self, context: int) -> bool:
        """Whether the context is one of this session's and alive."""
        return self.session.holds(context)

    def record(self, recording: bool) -> None:
        """Write calls down from now on, or no longer."""
        self._recorder.recording = recording

    # ---- for whoever has closed the gate

    def exchange(self, session: Session) -> None:
        """The computer is in another state: its contexts are those of another session."""
        self.session = session
        self._injector.rebind(session)

    def drop(self) -> None:
        """The computer has crashed: whoever was connected has lost the connection."""
        self.dropped = self.used


def has_crashed(api: BackupApi | None) -> bool:
    """Whether a computer that a client had called is gone."""
    members = api.members if isinstance(api, Routed) else (api,)
    return any(isinstance(member, ControlledSession) and member.dropped for member in members)


class CallLog:
    """What the recorders of all clients wrote, in order, the last ``lines_max`` lines of it."""

    def __init__(self, lines_max: int) -> None:
        self._lines_max = lines_max
        self._lines: list[tuple[int, str]] = []
        self._start = 0  # number of the first line that is kept
        self._lock = threading.Lock()

    def sink(self, client: int) -> Sink:
        """Where the recorder of a client writes."""
        return _ClientSink(self, client)

    def add(self, client: int, line: str) -> None:
        """Take a line without its end."""
        with self._lock:
            self._lines.append((client, line))
            surplus = len(self._lines) - self._lines_max
            if surplus > self._lines_max // 8:  # not at each line: that would move all the others
                del self._lines[:surplus]
                self._start += surplus

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._lines.clear()
            self._start = 0

    def since(self, first: int) -> tuple[int, Sequence[tuple[int, str]]]:
        """Lines with the numbers of their clients, and the number of the first of them."""
        with self._lock:
            start = max(first, self._start)
            return start, self._lines[start - self._start :]


class _ClientSink:
    def __init__(self, calls: CallLog, client: int) -> None:
        self._calls = calls
        self._client = client

    def write(self, text: str, /) -> object:
        self._calls.add(self._client, text.rstrip("\n"))
        return None
