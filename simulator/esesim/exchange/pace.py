"""How busy users are by the clock: so many steps a second, taken when calls make room for them.

No thread works beside the server. At the boundary of a call the users of a group take the steps
that have become due, a bounded slice of them, so that no call waits long for others' work.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

STEPS_AT_A_CALL_MAX: Final = 64
"""The most steps before one call; a step takes less than a millisecond."""
# ASSUMED(rate-debt): work of users for which no call made room within a minute is not made up for,
# so that a server left alone over night does not begin the day with a million steps.
DEBT_SECONDS_MAX: Final = 60.0


class Pace:
    """A rate in steps per second, kept by ``clock`` (seconds, from any start). Not for threads.

    Raises ValueError for a rate below 0.
    """

    def __init__(self, steps_per_second: float, clock: Callable[[], float]) -> None:
        if not 0 <= steps_per_second < float("inf"):
            raise ValueError(f"{steps_per_second:g} is no rate: steps per second, 0 or more")
        self.steps_per_second = steps_per_second
        self._clock = clock
        self._since = clock()
        self._owed = 0.0

    def due(self) -> int:
        """Steps to take now; they count as taken."""
        now = self._clock()
        debt = self._owed + max(0.0, now - self._since) * self.steps_per_second
        debt = min(debt, self.steps_per_second * DEBT_SECONDS_MAX)
        steps = min(int(debt), STEPS_AT_A_CALL_MAX)
        self._since, self._owed = now, debt - steps
        return steps
