"""A read that is asked for again and again: what was looked up for it once.

In a backup nearly every request is the previous one with another number. So the service leaves
behind what it has found out about a read that gave all that was wanted, and the connection uses
that when the same bytes come again (see `eseback.rpc.repeated`). What can change meanwhile is asked
each time: whether the context is still open, and what the session says. Any other outcome than all
the bytes is answered in the usual way; nothing is ever read twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from eseback.rpc import Buffer

from .association import Context

__all__ = ["ReadAgain", "Repeatable", "Repetitions"]


class Repeatable(Protocol):
    """What a service can do when the same request comes again.

    head, tail: what stands around `size` bytes of data in the stub of the usual answer.
    """

    head: bytes
    size: int
    tail: bytes

    def fetch(self) -> Sequence[memoryview] | None:
        """Do it: the answer's data; None if nothing was done, because the request has to be looked
        at anew. May raise anything.
        """
        ...

    def stub(self, outcome: Sequence[memoryview] | Exception) -> Sequence[Buffer]:
        """The answer's stub for what `fetch` gave or raised. Raises what a handler does."""
        ...


class ReadAgain:
    """A read of `size` bytes from a context. ``read``: gives them; ``answer``: makes a stub of what
    that gave or raised.
    """

    __slots__ = ("_answer", "_context", "_lock", "_read", "head", "size", "tail")

    def __init__(
        self,
        context: Context,
        size: int,
        ends: tuple[bytes, bytes],
        read: Callable[[], Sequence[memoryview]],
        answer: Callable[[Sequence[memoryview] | Exception], Sequence[Buffer]],
    ) -> None:
        self.size = size
        self.head, self.tail = ends
        self._context = context
        self._lock = context.lock
        self._read = read
        self._answer = answer

    def fetch(self) -> Sequence[memoryview] | None:
        """See Repeatable."""
        # Another connection of the group may have closed it.
        if not self._context.is_open:
            return None
        with self._lock:
            return self._read()

    def stub(self, outcome: Sequence[memoryview] | Exception) -> Sequence[Buffer]:
        """See Repeatable."""
        return self._answer(outcome)


class Repetitions:
    """What a connection knows of the request that it had last.

    A request is remembered when it has come twice: what comes once is not worth the trouble.
    """

    __slots__ = ("_offered", "_seen", "current")

    def __init__(self) -> None:
        self.current: Repeatable | None = None  # answers the request that is remembered
        self._offered: Repeatable | None = None
        self._seen = b""

    def offer(self, repeatable: Repeatable) -> None:
        """From a handler: the request that it deals with could be answered like this again."""
        self._offered = repeatable

    def after_call(self, data: bytes) -> Repeatable | None:
        """After a request was answered: what to remember with it, if it is worth that."""
        offered = self._offered
        if offered is None:
            return None
        self._offered = None
        behind = data[16:]
        if behind != self._seen:
            self._seen = behind
            return None
        self.current = offered
        return offered
