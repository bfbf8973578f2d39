"""A server with the administration interface, and a client of that, for tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from attrs import frozen

from eseback.errors import EseBackupError
from esesim.rpc import RpcServer, serve
from esesim.rpc.adminclient import AdminClient
from esesim.server import SimulatedServer

DISMOUNTED = "G1S2"


@frozen
class Desk:
    """Where an administrator sits: the server's address, and a connection to its administration."""

    server: RpcServer
    client: AdminClient

    @property
    def endpoint(self) -> str:
        """Where the server is, as `esesim ctl --server` takes it."""
        host, port = self.server.address
        return f"rpc:{host}:{port}"

    def do(self, name: str, *arguments: Any) -> tuple[Any, ...]:
        """An operation on the first computer."""
        return self.client.call(name, None, *arguments)

    def refused(self, name: str, *arguments: Any) -> EseBackupError:
        """The error of an operation that has to be refused."""
        try:
            self.do(name, *arguments)
        except EseBackupError as error:
            return error
        raise AssertionError(f"{name} was not refused")

    def rows(self, name: str, *arguments: Any, first: int = 0) -> list[dict[str, Any]]:
        """What an operation lists of the first computer."""
        return list(self.client.rows(name, None, *arguments, first=first))

    def computer(self) -> dict[str, Any]:
        """The state of the first computer."""
        return self.rows("get_state")[0]

    def group(self, name: str = "G1") -> dict[str, Any]:
        """The state of a storage group."""
        (found,) = [row for row in self.rows("get_state")[1:] if row["group"] == name]
        return found

    def store(self, name: str) -> dict[str, Any]:
        """The state of a store."""
        every = [store for row in self.rows("get_state")[1:] for store in row["stores"]]
        found: dict[str, Any]
        (found,) = [store for store in every if store["store"] == name]
        return found


@contextmanager
def administered(*computers: SimulatedServer, rate: float | None = None) -> Iterator[Desk]:
    """A listening server with administration."""
    with serve(*computers, admin=True, rate=rate) as server:
        host, port = server.address
        with AdminClient(f"rpc:{host}:{port}", seconds=30) as client:
            yield Desk(server, client)
