"""What a storage group must remember beyond its files to go on where it stopped."""

from __future__ import annotations

from typing import Any

from attrs import frozen


@frozen
class GroupState:
    """Clock, random stream and mounted stores of one group, as data that JSON can hold.

    ``random`` is the state of ``random.Random``; with it, going on after a stop draws what would
    have been drawn without it.
    """

    milliseconds: int
    random: tuple[Any, ...]
    mounted: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """As plain lists and numbers."""
        version, numbers, gauss = self.random
        return {
            "milliseconds": self.milliseconds,
            "random": [version, list(numbers), gauss],
            "mounted": list(self.mounted),
        }

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> GroupState:
        """The inverse of :meth:`to_json`. Raises KeyError, TypeError, ValueError for nonsense."""
        version, numbers, gauss = plain["random"]
        return cls(
            int(plain["milliseconds"]),
            (version, tuple(numbers), gauss),
            tuple(str(name) for name in plain["mounted"]),
        )
