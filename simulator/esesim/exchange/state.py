"""What a storage group must remember beyond its files to go on where it stopped."""

from __future__ import annotations

from typing import Any

from eseback.data import frozen


@frozen
class GroupState:
    """Clock, random stream, mounted and overwritable stores of one group, as JSON can hold them.

    ``random`` is the state of ``random.Random``; with it, going on after a stop draws what would
    have been drawn without it.
    """

    milliseconds: int
    random: tuple[Any, ...]
    mounted: tuple[str, ...]
    overwritable: tuple[str, ...] | None = None

    def to_json(self) -> dict[str, Any]:
        """As plain lists and numbers."""
        version, numbers, gauss = self.random
        return {
            "milliseconds": self.milliseconds,
            "random": [version, list(numbers), gauss],
            "mounted": list(self.mounted),
            "overwritable": None if self.overwritable is None else list(self.overwritable),
        }

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> GroupState:
        """The inverse of :meth:`to_json`. Raises KeyError, TypeError, ValueError for nonsense."""
        version, numbers, gauss = plain["random"]
        return cls(
            int(plain["milliseconds"]),
            (version, tuple(numbers), gauss),
            _names(plain["mounted"]),
            None if plain.get("overwritable") is None else _names(plain["overwritable"]),
        )


def _names(plain: list[Any]) -> tuple[str, ...]:
    return tuple(str(name) for name in plain)
