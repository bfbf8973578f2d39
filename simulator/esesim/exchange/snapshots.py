"""Backups of other kinds that streaming backups meet: volume snapshots and surrogate backups.

esesim takes streaming backups. Of the other two it models what a streaming client can notice: while
somebody freezes the server for a snapshot, or backs up the replica of a group in its stead, the
calls of either side are refused with errors of their own (ESE source backup.cxx, jethdr.w; in the
documentation JetOSSnapshotPrepare, JetOSSnapshotFreeze, JetOSSnapshotThaw). No data moves here.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Final

from eseback.errors import JetErr

from ..engine.errors import JetError
from .group import StorageGroup

# ASSUMED(snapshot-timeout): a server that is frozen for more than a minute has thawed by itself.
FREEZE_MILLISECONDS_MAX: Final = 60_000


class _State(Enum):
    PREPARED = "prepared"
    FROZEN = "frozen"


class Snapshots:
    """The snapshots of one server process. Safe to use from several threads.

    ``recovers`` tells of a storage group whether a restore of it recovers just now.
    """

    def __init__(
        self, groups: Sequence[StorageGroup], recovers: Callable[[StorageGroup], bool]
    ) -> None:
        self._groups = groups
        self._recovers = recovers
        self._states: dict[int, _State] = {}
        self._frozen_at = 0
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def prepare(self) -> int:
        """JetOSSnapshotPrepare: the number of a new snapshot. Raises -2401 while there is one."""
        with self._lock:
            if self._states:
                raise JetError(
                    JetErr.OS_SNAPSHOT_INVALID_SEQUENCE, "a snapshot is prepared or frozen already"
                )
            number = next(self._numbers)
            self._states[number] = _State.PREPARED
            return number

    def freeze(self, number: int) -> None:
        """JetOSSnapshotFreeze: users wait, backups can't begin.

        Raises -2404 for an unknown number, -2401 out of order, -2403 while a backup or a recovery
        runs (the snapshot then is over).
        """
        with self._lock:
            self._check(number, _State.PREPARED)
            for group in self._groups:
                with group.lock:
                    running = group.instance is not None and group.instance.is_backed_up
                if running or self._recovers(group):
                    self._states.clear()
                    raise JetError(
                        JetErr.OS_SNAPSHOT_NOT_ALLOWED,
                        f"a {'backup' if running else 'recovery'} of {group.name} runs",
                    )
            self._states[number] = _State.FROZEN
            self._frozen_at = self._now()
            self._set_frozen(True)

    def thaw(self, number: int) -> None:
        """JetOSSnapshotThaw: everything goes on, and the snapshot is over.

        Raises -2404, -2401, and -2402 when the server was frozen for too long.
        """
        with self._lock:
            self._check(number, _State.FROZEN)
            self._states.clear()
            self._set_frozen(False)
            if self._now() - self._frozen_at > FREEZE_MILLISECONDS_MAX:
                raise JetError(
                    JetErr.OS_SNAPSHOT_TIME_OUT, "the server was frozen for too long and went on"
                )

    def die(self) -> None:
        """The process died, its snapshots with it."""
        with self._lock:
            self._states.clear()
            self._set_frozen(False)

    def _check(self, number: int, wanted: _State) -> None:
        state = self._states.get(number)
        if state is None:
            raise JetError(JetErr.OS_SNAPSHOT_INVALID_SNAP_ID, f"there is no snapshot {number}")
        if state is not wanted:
            raise JetError(
                JetErr.OS_SNAPSHOT_INVALID_SEQUENCE, f"snapshot {number} is {state.value}"
            )

    def _set_frozen(self, frozen: bool) -> None:
        for group in self._groups:
            group.set_frozen(frozen)

    def _now(self) -> int:
        return max((group.clock.milliseconds for group in self._groups), default=0)
