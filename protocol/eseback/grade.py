"""How well a fact is founded. Every row of the error, event and order tables carries a grade."""

from __future__ import annotations

from enum import Enum

__all__ = ["Grade"]


class Grade(Enum):
    """Evidence behind a fact, best first."""

    DOCUMENTED = "documented"  # Microsoft's documentation and SDK headers
    SOURCE = "source"  # Microsoft's own MIT-licensed ESE source
    OBSERVED = "observed"  # a working client, a vendor's or Microsoft's field report
    INFERRED = "inferred"  # follows from facts of a better grade
    ASSUMED = "assumed"  # decided by this project, because no source says

    @property
    def binding(self) -> bool:
        """Whether a client that breaks the rule may be failed for it, not merely warned."""
        return self in (Grade.DOCUMENTED, Grade.SOURCE)
