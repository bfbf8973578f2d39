"""What the peers talk to: a tiny server, and one just like it that is asked in process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from esesim.rpc import RpcServer
from esesim.server import SimulatedServer
from tests.esesim.rpc.wire import served
from tests.esesim.support.servers import small_server


@pytest.fixture
def simulated() -> Iterator[SimulatedServer]:
    """The server whose calls travel."""
    with small_server(2) as server:
        yield server


@pytest.fixture
def twin() -> Iterator[SimulatedServer]:
    """Another one that is equal in every byte: says what a peer has to find."""
    with small_server(2) as server:
        yield server


@pytest.fixture
def server(simulated: SimulatedServer) -> Iterator[RpcServer]:
    """The first one's endpoint."""
    with served(simulated) as found:
        yield found
