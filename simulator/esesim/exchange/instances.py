"""The instances of one server process: sixteen in all, of which clients get fewer.

The engine refuses the seventeenth instance with -1214 (ESE source, JET_paramMaxInstances). Exchange
runs at most four storage groups for its users; the rest may only serve restores (backup overview of
the SDK, aa579161).
"""

from __future__ import annotations

import threading

from eseback.errors import JetErr

from ..engine.errors import JetError


class InstanceSlots:
    """The slots for instances, by name. Safe to use from several threads."""

    def __init__(self, instances_max: int, groups_max: int) -> None:
        self._instances_max = instances_max
        self._groups_max = groups_max
        self._names: dict[str, bool] = {}  # to whether it is a storage group
        self._lock = threading.Lock()

    @property
    def in_use(self) -> int:
        """How many instances there are."""
        return len(self._names)

    def reserve(self, name: str, *, storage_group: bool) -> None:
        """Take a slot. Raises -1214 when all are taken, -1086 when ``name`` has one."""
        with self._lock:
            if name in self._names:
                raise JetError(JetErr.INSTANCE_NAME_IN_USE, f"there is an instance {name} already")
            if len(self._names) >= self._instances_max:
                raise JetError(
                    JetErr.TOO_MANY_INSTANCES,
                    f"{name} is one too many: the process has {self._instances_max} instances",
                )
            # ASSUMED(group-limit-error): a storage group above the product's limit is refused like
            # an instance above the engine's (-1214); no public page names that error.
            if storage_group and sum(self._names.values()) >= self._groups_max:
                raise JetError(
                    JetErr.TOO_MANY_INSTANCES,
                    f"{name} is one too many: {self._groups_max} storage groups run already",
                )
            self._names[name] = storage_group

    def release(self, name: str) -> None:
        """Give a slot back; without effect if ``name`` has none."""
        with self._lock:
            self._names.pop(name, None)
