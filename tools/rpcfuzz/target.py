"""What a target is: something that cases are tried on, and that says what must hold for each."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import ClassVar, Final, Protocol, TypeAlias

from attrs import frozen

from eseback.rpc import Limits, SyntaxId

from .mutations import Case

LIMITS: Final = Limits(fragment_max=5840, call_max=1 << 16, outstanding_max=4, contexts_max=16)
HELD_MAX: Final = LIMITS.fragment_max + LIMITS.outstanding_max * LIMITS.call_max
"""Most bytes that one connection may hold: one incomplete fragment, and all calls but complete."""


Stub: TypeAlias = tuple[tuple[SyntaxId, int], bool, bool, bytes]
"""Interface and operation, whether it is an answer, whether it is little-endian, and the stub."""


@frozen
class Exchange:
    """A recorded conversation. said, answers: what client and server sent, in turns. stubs: those
    of calls and answers.
    """

    said: Case
    answers: Case
    stubs: tuple[Stub, ...]


class Finding(Exception):
    """Something that must not happen; the text says what."""


class Target(Protocol):
    """Something that cases are tried on. framed: their messages are PDUs. watch_every,
    measure_every: how often a case's way is followed and its memory measured, which both take their
    time. size_max: bytes of a case that is kept.
    """

    name: ClassVar[str]
    framed: ClassVar[bool]
    watch_every: ClassVar[int]
    measure_every: ClassVar[int]
    size_max: ClassVar[int]

    def corpus(self) -> list[Case]:
        """Cases to start from."""
        ...

    def run(self, case: Case) -> None:
        """Try one. Raises Finding; any other exception is one too."""
        ...

    def measure(self, case: Case) -> None:
        """Try one, and hold its memory against what it may take. Raises Finding."""
        ...

    def refresh(self) -> None:
        """Begin again with nothing left of earlier cases."""
        ...

    def close(self) -> None:
        """Let go of everything."""
        ...


def peak_of(function: Callable[[], object]) -> int:
    """The most bytes that a function held at a time, beyond what there was."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        function()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
