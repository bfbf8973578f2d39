"""Every sequence of calls up to a length, on the smallest server, held against the model.

The sequences form a tree; carrying each out alone would take days. So the tree is folded into a
graph, and nothing else is left out:

- A call after which the digest is what it was before (most errors) has changed nothing: what
  follows it is what follows without it, and is not tried a second time.
- Two sequences that lead to the same digest (see :mod:`eseconform.explore.digest`) go on alike.

Each call of the alphabet is carried out in each state of the graph, on a copy of a server that was
brought there by calls, so every sequence is covered by calls that were really made.
:func:`every_sequence` folds nothing; a test holds both against each other.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from typing import Final

from attrs import define, field, frozen

from eseback.structures import OpenedFile
from eseconform.explore.digest import digest
from eseconform.explore.player import Divergence, Player, shrink
from eseconform.explore.stage import Wrap, unwrapped
from eseconform.explore.steps import Act, Shape, Step
from eseconform.explore.world import Answer
from esesim.server.snapshot import Snapshot

SMALLEST: Final = Shape(backed_up=True)
"""One group, one store, nobody at work; a full backup was made, so that others can follow."""

_LEFT_OUT: Final = (Act.READ_OTHERS, Act.CLOSE_OTHERS, Act.READ_SOME)
ALPHABET: Final = (
    *(Step(act) for act in Act if act.method is not None and act not in _LEFT_OUT),
    Step(Act.SETUP_FULL, 1),
    Step(Act.TRUNCATE, 1),
    Step(Act.END, 1),
    Step(Act.HANG_UP),
    Step(Act.STOP),
    Step(Act.MOUNT),
    Step(Act.DISMOUNT),
)
"""All calls of one client, the calls of a second one that could disturb it, and what others do.

Left out are calls with another client's handle, which is a wrong one as any other, and a third size
of reads.
"""


@frozen
class Outcome:
    """What can be seen of one call: its answer, what it returned (of an open the size), events."""

    answer: Answer
    value: object
    events: tuple[int, ...]


@define
class Enumeration:
    """What was tried and found.

    ``edges`` maps state and letter to the outcome and the next state; ``calls``: how many calls
    were made, ``unchanged``: after how many of them the digest was as before, ``joined``: how many
    led to a state that another sequence had led to. ``states`` are those reached by ``length``
    calls or fewer; from those first reached by the last call nothing was tried.
    """

    alphabet: tuple[Step, ...]
    length: int
    states: int = 0
    calls: int = 0
    unchanged: int = 0
    joined: int = 0
    divergence: Divergence | None = None
    edges: dict[tuple[int, int], tuple[Outcome, int]] = field(factory=dict, repr=False)

    @property
    def sequences(self) -> int:
        """How many sequences of exactly ``length`` calls are covered, by counting them in the
        graph; as many as there are, unless a divergence ended the search.
        """
        ways = {0: 1}
        for _ in range(self.length):
            following: dict[int, int] = {}
            for state, count in ways.items():
                for letter in range(len(self.alphabet)):
                    edge = self.edges.get((state, letter))
                    if edge is not None:
                        following[edge[1]] = following.get(edge[1], 0) + count
            ways = following
        return sum(ways.values())

    def trace(self, letters: Sequence[int]) -> tuple[Outcome, ...]:
        """What the calls of a sequence, given by their places in the alphabet, end with."""
        state, outcomes = 0, []
        for letter in letters:
            outcome, state = self.edges[state, letter]
            outcomes.append(outcome)
        return tuple(outcomes)


@frozen(eq=False)
class _State:
    """A state to try all calls in."""

    number: int
    key: Hashable
    snapshot: Snapshot[Player]


def enumerate_calls(
    length: int,
    shape: Shape = SMALLEST,
    alphabet: tuple[Step, ...] = ALPHABET,
    wrap: Wrap = unwrapped,
) -> Enumeration:
    """Try all sequences up to ``length``; stops at the first divergence, which is shrunk."""
    found = Enumeration(alphabet, length)
    first = _beginning(shape, wrap)
    numbers: dict[Hashable, int] = {digest(first): 0}
    border = [_State(0, digest(first), Snapshot(first))]
    try:
        for depth in range(length):
            following: list[_State] = []
            for state in border:
                # Where the last call leads, nothing follows: it need not be kept.
                following += _try_all(found, state, numbers, keep=depth + 1 < length)
            border = following
    except Divergence as divergence:
        found.divergence = shrink(divergence, wrap)
    found.states = len(numbers)
    return found


def every_sequence(
    length: int,
    shape: Shape = SMALLEST,
    alphabet: tuple[Step, ...] = ALPHABET,
    wrap: Wrap = unwrapped,
) -> Iterator[tuple[tuple[int, ...], tuple[Outcome, ...]]]:
    """All sequences of exactly ``length``, each carried out for itself, with their outcomes.

    Only what two sequences have in common at their beginning is not repeated: it is done once, and
    what follows starts on copies.
    """

    def follow(
        snapshot: Snapshot[Player], letters: tuple[int, ...], outcomes: tuple[Outcome, ...]
    ) -> Iterator[tuple[tuple[int, ...], tuple[Outcome, ...]]]:
        for letter, step in enumerate(alphabet):
            player = snapshot.restore()
            longer, more = (*letters, letter), (*outcomes, _outcome(player, step))
            if len(longer) == length:
                yield longer, more
            else:
                yield from follow(Snapshot(player), longer, more)

    yield from follow(Snapshot(_beginning(shape, wrap)), (), ())


def _try_all(
    found: Enumeration, state: _State, numbers: dict[Hashable, int], *, keep: bool
) -> list[_State]:
    """Make each call of the alphabet in a state; returns the states that are new."""
    fresh: list[_State] = []
    player = state.snapshot.restore()
    for letter, step in enumerate(found.alphabet):
        outcome = _outcome(player, step)
        found.calls += 1
        key = digest(player)
        if key == state.key:
            found.unchanged += 1
            found.edges[state.number, letter] = outcome, state.number
            continue
        number = numbers.get(key)
        if number is None:
            number = numbers[key] = len(numbers)
            if keep:
                fresh.append(_State(number, key, Snapshot(player)))
        else:
            found.joined += 1
        found.edges[state.number, letter] = outcome, number
        player = state.snapshot.restore()
    return fresh


def _beginning(shape: Shape, wrap: Wrap) -> Player:
    """A server with two clients that have a context each."""
    player = Player(shape, wrap=wrap)
    for who in range(2):
        player.play(Step(Act.PREPARE, who))
    return player


def _outcome(player: Player, step: Step) -> Outcome:
    (group,) = player.stage.server.groups
    before = len(group.events)
    answer, value = player.play(step)
    seen = value.size if isinstance(value, OpenedFile) else value
    return Outcome(answer, seen, tuple(event.id for event in group.events[before:]))
