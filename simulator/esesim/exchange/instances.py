"""The instances of one server process: at most sixteen, whatever they are used for.

Exchange gives storage groups to clients up to a limit of its own; the rest of the sixteen may only
serve restores (SDK backup overview aa579161). The engine refuses the seventeenth with -1214 (ESE
source, JET_paramMaxInstances).
"""

from __future__ import annotations

import threading

from eseback.errors import JetErr

from ..engine.errors import JetError


class InstanceSlots:
    """The slots for instances, by name. Safe to use from several threads."""

    def __init__(self, instances_max: int) -> None:
        self._max = instances_max
        self._names: set[str] = set()
        self._lock = threading.Lock()

    @property
    def in_use(self) -> int:
        """How many instances there are."""
        return len(self._names)

    def reserve(self, name: str) -> None:
        """Take a slot. Raises -1214 when all are taken, -1086 when ``name`` has one."""
        with self._lock:
            if name in self._names:
                raise JetError(JetErr.INSTANCE_NAME_IN_USE, f"there is an instance {name} already")
            if len(self._names) >= self._max:
                raise JetError(
                    JetErr.TOO_MANY_INSTANCES,
                    f"the server process has {self._max} instances already; {name} is one too many",
                )
            self._names.add(name)

    def release(self, name: str) -> None:
        """Give a slot back; without effect if ``name`` has none."""
        with self._lock:
            self._names.discard(name)
