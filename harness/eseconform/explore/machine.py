"""A Hypothesis state machine that draws servers, faults and calls. Needs the extra `fuzz`.

What is drawn: the server's shape and the pace of its users, up to two faults, then legal and
illegal calls of three clients in two sessions, connections that are lost, mount and dismount
attempts, stops by the server. A third of the steps is the call that a good client would make next,
so that backups get as far as their end among all the others.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

import hypothesis
from attrs import evolve
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from eseback.api import BackupApi
from eseback.errors import JetErr
from eseconform.explore.player import Divergence, Player, next_by_the_book, shrink
from eseconform.explore.stage import Wrap, unwrapped
from eseconform.explore.steps import Act, Fault, Shape, Step
from eseconform.explore.world import CLIENTS
from eseconform.transports import Transport
from esesim.server import SimulatedServer

_CALLS: Final = tuple(act for act in Act if act.method is not None)
_OTHERS: Final = (*(Act.MOUNT, Act.DISMOUNT) * 2, Act.HANG_UP, Act.STOP)
_FAULTY: Final = tuple(sorted({act.method for act in Act if act.method is not None}))
_WHO = st.integers(0, CLIENTS - 1)
_TWO = st.integers(0, 1)
_FAULTS = st.builds(
    Fault,
    session=_TWO,
    method=st.sampled_from(_FAULTY),
    nth=st.integers(1, 4),
    after=st.booleans(),
    jet=st.sampled_from((None, int(JetErr.DISK_IO), int(JetErr.OUT_OF_MEMORY))),
)
_SHAPES = st.builds(
    Shape,
    groups=st.integers(1, 2),
    stores=st.integers(1, 2),
    steps_per_call=_TWO,
    backed_up=st.booleans(),
)


class Exploration(RuleBasedStateMachine):
    """Clients and administrators at work on one server. Each step may raise Divergence."""

    # What the classes made by `exploration` replace.
    pace: ClassVar[int | None] = None
    transport: ClassVar[Transport] = Transport.INPROC
    wrap: ClassVar[staticmethod[[BackupApi, SimulatedServer], BackupApi]] = staticmethod(unwrapped)
    seen: ClassVar[dict[str, int]]

    player: Player

    @initialize(shape=_SHAPES, faults=st.lists(_FAULTS, max_size=2))
    def begin(self, shape: Shape, faults: list[Fault]) -> None:
        """A server starts, and all clients have a context."""
        self._start(shape, tuple(faults))

    @rule(who=_WHO, group=_TWO, full=st.booleans(), truncate=st.booleans())
    def go_on(self, who: int, group: int, full: bool, truncate: bool) -> None:
        """A good client, one with a backup under way if any has, makes its next call."""
        self._go_on(who, group, full, truncate)

    @rule(who=_WHO, act=st.sampled_from(_CALLS), group=_TWO, store=_TWO, busy=st.booleans())
    def call(self, who: int, act: Act, group: int, store: int, busy: bool) -> None:
        """Any call, legal or not; ``busy``: of a client that has a backup under way, if any has."""
        self._call(Step(act, who, group, store), busy)

    @rule(act=st.sampled_from(_OTHERS), who=_WHO, group=_TWO, store=_TWO)
    def meanwhile(self, act: Act, who: int, group: int, store: int) -> None:
        """Stores are mounted and dismounted, where that is allowed; connections and backups break.

        Mostly the former, or no backup would see its end.
        """
        self._play(Step(act, who, group, store))

    # -- what the rules do; a machine without it measures what drawing costs

    def _start(self, shape: Shape, faults: tuple[Fault, ...]) -> None:
        pace = shape.steps_per_call if self.pace is None else self.pace
        shape = evolve(shape, steps_per_call=pace, transport=self.transport)
        self.player = Player(shape, faults, self.wrap)
        for who in range(CLIENTS):
            self.player.play(Step(Act.PREPARE, who))

    def _play(self, step: Step) -> None:
        self.player.play(step)

    def _call(self, step: Step, busy: bool) -> None:
        who = _busy(self.player, step.who) if busy else step.who
        self._play(Step(step.act, who, step.group, step.store))

    def _go_on(self, who: int, group: int, full: bool, truncate: bool) -> None:
        player = self.player
        who = _busy(player, who)
        player.play(next_by_the_book(player, who, group, full=full, truncate=truncate))

    def teardown(self) -> None:
        """Add up what arose."""
        if hasattr(self, "player"):
            self.player.close()
            for name, count in self.player.seen.items():
                self.seen[name] = self.seen.get(name, 0) + count
            self.seen["steps"] = self.seen.get("steps", 0) + len(self.player.steps)


class Idling(Exploration):
    """The same draws, and nothing done but count: the yardstick of the machine's speed."""

    def _start(self, shape: Shape, faults: tuple[Fault, ...]) -> None:
        self._count(CLIENTS)

    def _play(self, step: Step) -> None:
        self._count()

    def _call(self, step: Step, busy: bool) -> None:
        self._count()

    def _go_on(self, who: int, group: int, full: bool, truncate: bool) -> None:
        self._count()

    def _count(self, steps: int = 1) -> None:
        self.seen["steps"] = self.seen.get("steps", 0) + steps


def _busy(player: Player, who: int) -> int:
    """The client, or the next one that has a backup under way; the client itself if none has."""
    candidates = ((who + further) % CLIENTS for further in range(CLIENTS))
    return next((c for c in candidates if player.model.contexts[c].state.running), who)


def exploration(
    base: type[Exploration] = Exploration,
    *,
    pace: int | None = None,
    wrap: Wrap = unwrapped,
    transport: Transport = Transport.INPROC,
) -> type[Exploration]:
    """A machine whose servers have users of that pace (None: drawn), behind ``wrap``, and are
    reached over ``transport``.

    The class's ``seen`` counts what arose in all its runs.
    """
    members: dict[str, Any] = {
        "pace": pace,
        "transport": transport,
        "wrap": staticmethod(wrap),
        "seen": {},
    }
    return type(base.__name__, (base,), members)


def run_machine(
    machine: type[Exploration], shape: settings, seed: int | None = None
) -> Divergence | None:
    """Run a machine as ``shape`` says; what it found, by as few steps as possible.

    ``seed`` repeats what was drawn; None leaves it to the settings.
    """
    # Leaving steps out of a list is quicker, and gives less, than Hypothesis's general shrinking.
    phases = [phase for phase in shape.phases if phase not in (Phase.shrink, Phase.explain)]
    if seed is not None:
        machine = hypothesis.seed(seed)(machine)
    one = settings(shape, phases=phases, report_multiple_bugs=False, print_blob=False)
    try:
        run_state_machine_as_test(machine, settings=one)  # type: ignore[no-untyped-call]
    except Divergence as divergence:
        return shrink(divergence, machine.wrap)
    return None


def fuzz_settings(examples: int, steps: int) -> settings:
    """Settings for so many servers, each for so many steps."""
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
