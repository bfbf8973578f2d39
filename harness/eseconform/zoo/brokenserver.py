"""What the zoo's broken servers are made from: the simulator with a part exchanged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from esesim.engine.backup import Backup
from esesim.exchange import StorageGroup
from esesim.server import SimulatedServer
from esesim.session import Session


class BrokenServer(SimulatedServer):
    """A server whose instances back up with another class, or that answers calls with another."""

    backup: ClassVar[type[Backup]] = Backup
    connection: ClassVar[type[Session]] = Session

    def session(self, *, remote: bool = False) -> Session:
        """See SimulatedServer."""
        session = self.connection(self._store, remote=remote)
        self._sessions.add(session)
        return session

    def _start(self, group: StorageGroup, stores: Sequence[str]) -> None:
        super()._start(group, stores)
        instance = group.instance
        if instance is not None and type(instance.backup) is Backup:
            veto = instance.backup.truncation_veto
            instance.backup = self.backup(instance)
            instance.backup.truncation_veto = veto
