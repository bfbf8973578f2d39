"""The property tests of backup and restore, over the wire: the same machines and the same laws,
with clients that reach their server by TCP. Few examples in `make test`, many in `make fuzz`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import pytest
from hypothesis import settings

from eseback.api import BackupApi
from eseback.constants import INFORMATION_STORE
from eseback.errors import ConnectionLost
from eseback.order import BackupCall, BackupState
from eseconform.explore.machine import exploration, fuzz_settings, run_machine
from eseconform.transports import Transport
from eseconform.wire import Wire, WireClient
from esesim.layer import ApiLayer
from esesim.volume import PowerLoss
from tests.eseconform.test_explore_machine import SITUATIONS, STEPS
from tests.esesim import test_restore_crash, test_sessions_property
from tests.esesim.test_restore_crash import Saga
from tests.esesim.test_sessions_property import Sessions
from tests.support import orderwalk
from tests.support.brokenservers import HolesInLogs, KeepsTheGroup, WrongError
from tests.support.examples import at_length, examples

pytestmark = [pytest.mark.fuzz, pytest.mark.uncovered]

R = TypeVar("R")
SERVERS = examples(10, 400)
WALKS = examples(5, 400)
SAGAS = examples(3, 200)
BROKEN = (WrongError, KeepsTheGroup, HolesInLogs)


# ---- the state machine of the exploration: order of calls, who has which group, the law of backup


def test_server_and_model_agree() -> None:
    machine = exploration(transport=Transport.RPC)
    shape = settings(SERVERS, stateful_step_count=STEPS)
    divergence = run_machine(machine, shape)
    assert divergence is None, str(divergence)
    assert machine.seen["backup recovered"]
    assert at_length() is False or [name for name in SITUATIONS if name not in machine.seen] == []


def test_both_ways_the_same_arises() -> None:
    shape = settings(fuzz_settings(100 if at_length() else 2, STEPS), derandomize=True)
    machines = [exploration(transport=transport) for transport in Transport]
    assert [run_machine(machine, shape) for machine in machines] == [None, None]
    assert machines[0].seen == machines[1].seen


@pytest.mark.parametrize("broken", BROKEN if at_length() else (KeepsTheGroup,))
def test_a_broken_server_is_found(broken: type[ApiLayer]) -> None:
    shape = settings(fuzz_settings(400, STEPS), derandomize=True)
    divergence = run_machine(exploration(wrap=broken, transport=Transport.RPC), shape)
    assert divergence is not None
    # It is no matter of the wire, so what is left when it is shrunk has none.
    assert divergence.scenario.shape.transport is Transport.INPROC


# ---- clients side by side, held against the order table


class OverTheWire(orderwalk.Client):
    """A client with a connection of its own. What the server knows is looked up there."""

    def __init__(self, stage: orderwalk.Stage, group: str) -> None:
        super().__init__(stage, group)
        self.session = self.api
        self.session.backup_end(self.context)
        self.wire = Wire(self.session, stage.server.connection_lost)
        self.connection = self.wire.connect()
        self.api = self.connection  # type: ignore[assignment]
        self.context, _ = self.connection.backup_prepare(orderwalk.SERVER, INFORMATION_STORE)

    @property
    def state(self) -> BackupState:
        held = self.session._contexts.get(self.context)
        return BackupState.ENDED if held is None else held.state

    def call(self, call: BackupCall, variant: int = 0) -> None:
        if call is BackupCall.CONNECTION_LOST:
            self.connection.hang_up()
        else:
            super().call(call, variant)


class WiredSessions(Sessions):
    """The same machine over the wire."""

    def new_client(self, home: str) -> orderwalk.Client:
        client = OverTheWire(self.stage, home)
        self.wires = [*getattr(self, "wires", ()), client.wire]
        return client

    def teardown(self) -> None:
        for wire in self.wires:
            wire.close()


def test_clients_side_by_side() -> None:
    arose = test_sessions_property.run_sessions(WiredSessions, WALKS)
    assert "backup of a lost connection" in arose
    assert at_length() is False or arose == list(test_sessions_property.SITUATIONS)


# ---- the law of restores: nothing acknowledged is lost, every restore comes to its end


class PowerCut(ApiLayer):
    """A server whose loss of power ends the connection, and answers nothing."""

    def __init__(self, api: BackupApi) -> None:
        super().__init__(api)
        self.happened = False

    def around(self, method: str, function: Callable[..., R], arguments: Mapping[str, Any]) -> R:
        try:
            return function(**arguments)
        except PowerLoss:
            self.happened = True
            raise ConnectionLost(call=method) from None


class InTheDark(ApiLayer):
    """A client that knows why its connection ended."""

    def __init__(self, api: WireClient, cut: PowerCut) -> None:
        super().__init__(api)
        self._cut = cut

    def around(self, method: str, function: Callable[..., R], arguments: Mapping[str, Any]) -> R:
        try:
            return function(**arguments)
        except ConnectionLost:
            if self._cut.happened:
                raise PowerLoss("the server is without power") from None
            raise


class WiredSaga(Saga):
    """The same saga with a client that comes over the wire."""

    def __init__(self, seed: int, writes_max: int, profile: str, marks: Counter[str]) -> None:
        self.wires: list[Wire] = []
        super().__init__(seed, writes_max, profile, marks)

    def session(self) -> BackupApi:
        cut = PowerCut(super().session())

        def lost(context: int) -> None:
            if not cut.happened:  # without power nothing is tidied up
                self.server.connection_lost(context)

        self.wires.append(Wire(cut, lost))
        return InTheDark(self.wires[-1].connect(), cut)

    def live(self) -> None:
        try:
            super().live()
        finally:
            for wire in self.wires:
                wire.close()


def test_nothing_acknowledged_is_lost_and_every_restore_comes_to_its_end() -> None:
    marks = test_restore_crash.run_sagas(WiredSaga, SAGAS)
    assert at_length() is False or all(marks[name] for name in test_restore_crash.SITUATIONS)
    assert any(name.startswith("crash in") for name in marks)
