"""The simulator as a server under test whose clients come over TCP."""

from __future__ import annotations

from eseback.api import BackupApi
from eseconform.errors import HarnessError
from eseconform.serverside.target import PROFILE, InProcess
from eseconform.wire import Wire, WireClient
from esesim.server import SimulatedServer


class OverTheWire(InProcess):
    """The same simulator, and each client a connection of its own. Implements ServerUnderTest."""

    def __init__(self, kind: type[SimulatedServer], seed: int, *, profile: str = PROFILE) -> None:
        super().__init__(kind, seed, profile=profile)
        self._wires: list[Wire] = []
        self._clients: list[WireClient] = []

    def session(self) -> BackupApi:
        """See ServerUnderTest."""
        wire = Wire(super().session(), self._server.connection_lost)
        self._wires.append(wire)
        self._clients.append(wire.connect())
        return self._clients[-1]

    def hang_up(self, context: int) -> None:
        """See ServerUnderTest. The client comes again, and finds its contexts gone."""
        for client in self._clients:
            if client.holds(context):
                client.hang_up()

    def close(self) -> None:
        """See ServerUnderTest. Raises HarnessError where the wire itself failed."""
        for wire in self._wires:
            wire.close()
        super().close()
        failures = [wire.failure for wire in self._wires if wire.failure is not None]
        if failures:
            raise HarnessError(str(failures[0]))
