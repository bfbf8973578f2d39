"""``--server rpc:HOST:PORT``: a server somewhere else, over DCE/RPC."""

from __future__ import annotations

from attrs import frozen

from eseback.errors import EseBackupError
from esebcli.rpcapi import RpcApi
from esebcli.rpcconnection import DEFAULT_CONNECT_SECONDS, RpcConnection


@frozen
class Address:
    """Where a server is, and how to talk to it. seconds: 0 waits as long as it takes."""

    host: str
    port: int
    connect_seconds: float = DEFAULT_CONNECT_SECONDS
    seconds: float = 0.0

    @classmethod
    def parse(cls, text: str) -> Address:
        """``HOST:PORT[,timeout=SECONDS][,connect-timeout=SECONDS]``. Raises ValueError."""
        where, *options = text.split(",")
        host, colon, port = where.rpartition(":")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        if not colon or not host or not port.isascii() or not port.isdigit():
            raise ValueError("write rpc:HOST:PORT")
        if not 0 < int(port) <= 0xFFFF:
            raise ValueError(f"there is no port {port}")
        given = {}
        for option in options:
            name, equals, value = option.partition("=")
            field = {"timeout": "seconds", "connect-timeout": "connect_seconds"}.get(name)
            if field is None or not equals:
                raise ValueError(f"unknown option {option!r}: timeout=S and connect-timeout=S are")
            try:
                given[field] = float(value)
            except ValueError:
                raise ValueError(f"{name}={value} is no number of seconds") from None
            if not 0 <= given[field] < 1e9:
                raise ValueError(f"{name}={value} is no number of seconds")
        return cls(host, int(port), **given)


class RpcTransport:
    """A server that can be reached over the network; sessions are connections of their own.

    Connects once at the start, so that a server that can't be reached is known at once.
    """

    def __init__(self, address: Address) -> None:
        self._address = address
        self._sessions: list[RpcApi] = []
        self._first: RpcApi | None = self._connect()

    def session(self) -> RpcApi:
        """A new connection. Raises OSError, ConnectionLost."""
        first, self._first = self._first, None
        return first or self._connect()

    def close(self) -> None:
        """Close all connections."""
        for session in self._sessions:
            session.close()

    def _connect(self) -> RpcApi:
        address = self._address
        connection = RpcConnection(
            address.host,
            address.port,
            connect_seconds=address.connect_seconds,
            seconds=address.seconds,
        )
        api = RpcApi(connection)
        self._sessions.append(api)
        return api


def open_transport(address: str) -> RpcTransport:
    """What ``rpc:`` stands for. Raises OSError, ValueError with a text for the user."""
    found = Address.parse(address)
    try:
        return RpcTransport(found)
    except EseBackupError as error:
        raise ValueError(error.detail or str(error)) from error
