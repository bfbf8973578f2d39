"""Plays steps on a real server and holds each answer against the model, and backups to the law."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from attrs import evolve

from eseback.order import BackupState
from eseback.structures import OpenedFile
from eseconform.explore.model import Model
from eseconform.explore.stage import Stage, Wrap, unwrapped
from eseconform.explore.steps import (
    GROUP_ACTS,
    SETUPS,
    STORE_ACTS,
    Act,
    Fault,
    Scenario,
    Shape,
    Step,
    describe,
    session_of,
)
from eseconform.explore.world import CLIENTS, Answer
from eseconform.transports import Transport

LISTS = (Act.LOG_LIST, Act.TRUNCATE_LIST)
READS = (Act.READ, Act.READ_SOME, Act.READ_REST, Act.READ_STRANGE, Act.READ_OTHERS)


class Divergence(AssertionError):
    """A server did what the model or the law forbids. ``scenario`` shows it, ``reason`` says it."""

    def __init__(self, scenario: Scenario, reason: str) -> None:
        super().__init__(reason)
        self.scenario = scenario
        self.reason = reason

    @property
    def summary(self) -> str:
        """The reason and the steps that led to it."""
        scenario = self.scenario
        faults = "".join(f", {fault}" for fault in scenario.faults)
        head = f"{self.reason}\n{len(scenario.steps)} steps on {scenario.shape}{faults}:"
        return f"{head}\n{describe(scenario.steps)}"

    def __str__(self) -> str:
        return f"{self.summary}\n\nas a test:\n\n{self.scenario.to_test()}"


class Player:
    """A server and its model, side by side. ``seen`` counts situations that arose.

    A player can be snapshot as a whole, its server included.
    """

    def __init__(
        self,
        shape: Shape,
        faults: tuple[Fault, ...] = (),
        wrap: Wrap = unwrapped,
    ) -> None:
        self.shape = shape
        self.faults = faults
        self.stage = Stage(shape, faults, wrap)
        self.model = Model(shape, faults)
        if shape.backed_up:
            for number, group in enumerate(self.model.groups):
                logs = (self.stage.law.high(number),) * shape.stores
                group.backed_up_to.update(enumerate(logs))
        self.steps: list[Step] = []
        self.seen: Counter[str] = Counter()

    @property
    def scenario(self) -> Scenario:
        """All that was played so far."""
        return Scenario(self.shape, self.faults, tuple(self.steps))

    def close(self) -> None:
        """Let go of what its transport holds; nothing can be played afterwards."""
        self.stage.close()

    def play(self, step: Step) -> tuple[Answer, object]:
        """Do one thing; its answer, and what it returned. Raises Divergence."""
        step = self._fitted(step)
        self.steps.append(step)
        model, stage = self.model, self.stage
        context = model.contexts[step.who]
        if step.act is Act.PREPARE:
            if context.state is not BackupState.ENDED:
                return Answer(), None
            if model.faults.is_dropped(session_of(step.who)):
                stage.reconnect(session_of(step.who))
                model.come_again(session_of(step.who))
        call = stage.resolve(step, context.group)
        listed = stage.clients[step.who].logs
        was = context.state
        expected, cell = model.predict(call, stage)
        count = model.bytes_read(call) if step.act in READS else None
        try:
            answer, value = stage.perform(call)
        except Exception as error:
            # Whatever it is, it is no answer that the API knows.
            raise self._divergence(f"{step} breaks the server: {error!r}") from error
        if answer != expected:
            raise self._divergence(f"{step} is answered {_words(answer)}, not {_words(expected)}")
        opened = value if isinstance(value, OpenedFile) else None
        model.settle(call, answer, cell, opened, stage)
        if answer.hresult and step.act in SETUPS and context.state is not was:
            # The backup runs, although a fault told the client that it does not.
            stage.begin_taking(step)
        if answer.hresult or answer.lost:
            self.seen[f"{step.act.value} fails with {_words(answer)}"] += 1
        else:
            self._check_value(step, was, listed, count, value)
        self._check_states(step.act is Act.MOUNT or step.act is Act.DISMOUNT)
        return answer, value

    def _fitted(self, step: Step) -> Step:
        """The step with numbers that this server has, and without those that mean nothing."""
        act = step.act
        who = step.who % CLIENTS if act.method is not None or act is Act.HANG_UP else 0
        group = step.group % self.shape.groups if act in GROUP_ACTS else 0
        store = step.store % self.shape.stores if act in STORE_ACTS else 0
        if (who, group, store) == (step.who, step.group, step.store):
            return step
        return Step(act, who, group, store)

    def _check_value(
        self,
        step: Step,
        was: BackupState,
        listed: tuple[str, ...],
        count: int | None,
        value: object,
    ) -> None:
        """What a call that succeeded returned, and the law where a backup ended well."""
        client = self.stage.clients[step.who]
        self.seen[f"{step.act.value} succeeds"] += 1
        if step.act in READS and value != count:
            raise self._divergence(f"{step} returns {value} bytes, not {count}")
        if step.act is Act.LOG_LIST:
            if not client.logs:
                raise self._divergence(f"{step} returns no logs; there is one at least")
            if was is BackupState.LOGS and listed and client.logs != listed:
                raise self._divergence(f"{step} returns {client.logs}, and {listed} before")
        if step.act is Act.END_SUCCESS:
            checked = self.stage.law.checked
            problem = self.stage.law.check(client.taken)
            if problem is not None:
                raise self._divergence(f"the backup can't be restored: {problem}")
            self.seen["backup recovered"] += self.stage.law.checked - checked

    def _check_states(self, changes: bool) -> None:
        """Server and model agree on who backs up what, the state of each backup, and the stores.

        ``changes``: whether the step may have mounted or dismounted one.
        """
        stage, model = self.stage, self.model
        for number, group in enumerate(stage.server.groups):
            holder = model.holder(number)
            expected = BackupState.PREPARED if holder is None else holder.state
            instance = group.instance
            found = BackupState.PREPARED if instance is None else instance.backup.state
            if found is not expected or (group.backup_owner is None) != (holder is None):
                raise self._divergence(
                    f"the backup of {group.name} is {found.value}, not {expected.value}"
                )
            # Only these change it: asking each time would cost more than the rest.
            if changes and len(group.mounted) != len(model.groups[number].mounted):
                raise self._divergence(f"mounted in {group.name}: {group.mounted}")
        for client, context in zip(stage.clients, model.contexts, strict=True):
            if client.session.holds(client.context) == (context.state is BackupState.ENDED):
                raise self._divergence(f"a context is not {context.state.value}")

    def _divergence(self, reason: str) -> Divergence:
        return Divergence(self.scenario, reason)


def next_by_the_book(player: Player, who: int, group: int, *, full: bool, truncate: bool) -> Step:
    """The step that a good client would take next, whatever it did before."""
    context = player.model.contexts[who]
    taken = player.stage.clients[who].taken
    state = context.state
    if state is BackupState.ENDED:
        return Step(Act.PREPARE, who)
    if state is BackupState.PREPARED:
        return Step(Act.SETUP_FULL if full else Act.SETUP_LOGS, who, group)
    if state is BackupState.STOPPED:
        return Step(Act.END_ERROR, who)
    if state.file_open:
        rest = taken.left and state is not BackupState.STOPPED_OPEN
        return Step(_reading(who) if rest else Act.CLOSE, who)
    if state is BackupState.DATABASES and context.group is not None:
        stores = player.stage.group(context.group).spec.stores
        for number in sorted(player.model.groups[context.group].mounted):
            if stores[number].edb not in taken.files:
                return Step(Act.OPEN_EDB, who, store=number)
            if stores[number].stm not in taken.files:
                return Step(Act.OPEN_STM, who, store=number)
    if not taken.logs:
        return Step(Act.LOG_LIST, who)
    if not taken.has_all_logs:
        return Step(Act.OPEN_LOG, who)
    done = context.run is not None and context.run.truncated
    return Step(Act.TRUNCATE if truncate and not done else Act.END_SUCCESS, who)


def _reading(who: int) -> Act:
    """One client reads piece by piece, so that users work between the pages of one file."""
    return Act.READ_SOME if who == 1 else Act.READ_REST


def play(scenario: Scenario, wrap: Wrap = unwrapped) -> Player:
    """Play a whole scenario; what played it, closed. Raises Divergence where server and model
    differ.
    """
    player = Player(scenario.shape, scenario.faults, wrap)
    try:
        for step in scenario.steps:
            player.play(step)
    finally:
        player.close()
    return player


def shrink(divergence: Divergence, wrap: Wrap = unwrapped) -> Divergence:
    """The same divergence by as few steps and faults as possible: none of them can be left out."""
    found = divergence
    smaller = True
    while smaller:
        smaller = False
        for candidate in _without_something(found.scenario):
            try:
                play(candidate, wrap)
            except Divergence as other:
                # Whatever came after it did not matter.
                found, smaller = other, True
                break
    return found


def _without_something(scenario: Scenario) -> Iterable[Scenario]:
    """Scenarios that lack steps or a fault, or have lower numbers or a simpler server."""
    steps = scenario.steps
    for size in (len(steps) // 2, 4, 2, 1):
        for place in range(len(steps) - size, -1, -1) if size else ():
            yield evolve(scenario, steps=steps[:place] + steps[place + size :])
    for place in range(len(scenario.faults)):
        faults = scenario.faults[:place] + scenario.faults[place + 1 :]
        yield evolve(scenario, faults=faults)
    order = list(dict.fromkeys(step.who for step in steps))
    renamed = tuple(evolve(step, who=order.index(step.who)) for step in steps)
    if renamed != steps:
        yield evolve(scenario, steps=renamed)
    shape = scenario.shape
    for simpler in (
        {"groups": 1},
        {"stores": 1},
        {"steps_per_call": 0},
        {"backed_up": False},
        {"transport": Transport.INPROC},
    ):
        changed = evolve(shape, **simpler)
        if changed != shape:
            yield evolve(scenario, shape=changed)


def _words(answer: Answer) -> str:
    if answer.lost:
        return "connection lost"
    if not answer.hresult:
        return "success"
    return f"{answer.hresult:#010x}" + (f" ({answer.jet})" if answer.jet is not None else "")
