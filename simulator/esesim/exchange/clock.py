"""Time as a storage group sees it: a logical clock of its own, advanced by calls and steps.

Nothing in the simulator reads the wall clock, so the same calls give the same files. Each group has
its own clock, so that what happens in one group cannot shift the times in another.
"""

from __future__ import annotations

from typing import Final

EPOCH: Final = 1_072_915_200
"""Where every clock starts: 2004-01-01 00:00:00 UTC, between Exchange 2003 and its SP1."""

MILLISECONDS_PER_CALL: Final = 20
MILLISECONDS_PER_STEP: Final = 250


class LogicalClock:
    """Milliseconds since 1970 that pass only when told to."""

    __slots__ = ("milliseconds",)

    def __init__(self, start: int = EPOCH) -> None:
        self.milliseconds = start * 1000

    def now(self) -> int:
        """Whole seconds since 1970-01-01 UTC."""
        return self.milliseconds // 1000

    def sleep(self, seconds: float) -> None:
        """Let time pass without waiting."""
        self.milliseconds += round(seconds * 1000)
