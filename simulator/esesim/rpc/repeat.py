"""A read that is asked for again and again: what was looked up for it once.

In a backup nearly every request is the previous one with another number. So the service leaves
behind what it has found out about a read that gave all that was wanted, and the connection uses
that when the same bytes come again (see `eseback.rpc.repeated`). What can change meanwhile is asked
each time: whether the context is still open, and what the session says. Any other outcome than all
the bytes is answered in the usual way; nothing is ever read twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from eseback.rpc import Buffer, RepeatedRequest

from .association import Context

__all__ = ["ReadAgain", "Repeatable", "Repetitions", "Shorter"]


# So far ahead that the way to the data is gone seldom, so near that little is kept of a file whose
# pages have changed meanwhile.
_AHEAD_MAX: Final = 16  # answers
_AHEAD_BYTES: Final = 4 << 20  # of data in all of them


class Shorter(Protocol):
    """A shorter way to what a `Repeatable` fetches, for as long as it gives anything."""

    def again(self) -> Sequence[memoryview] | None:
        """Do it. None if nothing was done, because it has to be fetched. May raise anything."""
        ...

    def look_ahead(self, count: int) -> Sequence[Sequence[memoryview]]:
        """What the next calls will give, at most so many, unless something comes between."""
        ...

    def take(self) -> bool:
        """Do what gives the next of these; False if it would not any more: nothing was done."""
        ...


class Repeatable(Protocol):
    """What a service can do when the same request comes again.

    head, tail: what stands around `size` bytes of data in the stub of the usual answer.
    """

    head: bytes
    size: int
    tail: bytes

    def shorter(self) -> Shorter | None:
        """A shorter way than `fetch`, if there is one."""
        ...

    def fetch(self) -> Sequence[memoryview] | None:
        """Do it: the answer's data; None if nothing was done, because the request has to be looked
        at anew. May raise anything.
        """
        ...

    def stub(self, outcome: Sequence[memoryview] | Exception) -> Sequence[Buffer]:
        """The answer's stub for what `fetch` gave or raised. Raises what a handler does."""
        ...


class ReadAgain:
    """A read of `size` bytes from a context. ``read``: gives them; ``shorter``: finds a shorter way
    to them, if there is one; ``answer``: makes a stub of what that gave or raised.
    """

    __slots__ = ("_answer", "_context", "_lock", "_read", "head", "shorter", "size", "tail")

    def __init__(
        self,
        context: Context,
        size: int,
        ends: tuple[bytes, bytes],
        read: Callable[[], Sequence[memoryview]],
        shorter: Callable[[], Shorter | None],
        answer: Callable[[Sequence[memoryview] | Exception], Sequence[Buffer]],
    ) -> None:
        self.size = size
        self.head, self.tail = ends
        self._context = context
        self._lock = context.lock
        self._read = read
        self.shorter = shorter
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


def _never() -> bool:
    """There is nothing to take."""
    return False


class Foresight:
    """What is known beforehand about the answers to a request that comes again and again.

    `ready` are answers to the next requests, the next one last; each holds if `take` agrees.
    """

    __slots__ = ("_count", "_fetch", "_repeated", "_shorter", "ready", "take")

    def __init__(self, repeatable: Repeatable, repeated: RepeatedRequest) -> None:
        self._shorter = shorter = repeatable.shorter()
        self._fetch = repeatable.fetch
        self._repeated = repeated
        self._count = 0 if shorter is None else min(_AHEAD_MAX, _AHEAD_BYTES // repeated.size)
        self.ready: list[Sequence[Buffer]] = []
        self.take = _never if shorter is None else shorter.take

    def ask(
        self, data: bytes
    ) -> tuple[Sequence[memoryview] | Exception | None, Sequence[Buffer] | None]:
        """Have the request carried out: what came of it, None if it has to be looked at anew; and
        the answer, unless it is another than usual.
        """
        if self.ready:  # and `take` has not agreed: where something else goes on, it does not pay
            self.ready.clear()
            self._count = 0
        try:
            found = None if self._shorter is None else self._shorter.again()
            if found is None:
                found = self._fetch()
        except Exception as error:
            return error, None
        return found, None if found is None else self._repeated.answer(data, found)

    def look_ahead(self) -> bool:
        """Have answers ready; False if there are none to be had."""
        told = self._shorter.look_ahead(self._count) if self._shorter and self._count else ()
        if not told:
            self._count = 0
        for data in reversed(told):
            answer = self._repeated.around(data)
            assert answer is not None, "what is told beforehand has the full size"
            self.ready.append(answer)
        return bool(told)


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
