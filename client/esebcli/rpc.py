"""``--server rpc:HOST:PORT``: a server somewhere else, over DCE/RPC.

With ``user=`` the client says who it is, and is asked for its password: a file's first line or the
environment has it, never the command line, which others on this computer can read.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from eseback.errors import EseBackupError
from eseback.rpc import LocalProtocolError, RpcAddress
from esebcli.rpcapi import RpcApi
from esebcli.rpcconnection import DEFAULT_CONNECT_SECONDS, RpcConnection
from esebcli.rpcerrors import AccessRefused

PASSWORD_VARIABLE: Final = "ESEBCLI_PASSWORD"
_TIMES: Final = {"timeout": 0.0, "connect-timeout": DEFAULT_CONNECT_SECONDS}


def parse_address(text: str, environment: Mapping[str, str] = os.environ) -> RpcAddress:
    """``HOST:PORT[,timeout=SECONDS][,connect-timeout=SECONDS]``, and what `eseback.rpc.address` has
    for a server with users. 0 seconds wait as long as it takes. Raises ValueError, OSError,
    LocalProtocolError.
    """
    return RpcAddress.parse(
        text, PASSWORD_VARIABLE, environment, lambda path: Path(path).read_text("utf-8"), _TIMES
    )


class RpcTransport:
    """A server that can be reached over the network; sessions are connections of their own.

    Connects once at the start, so that a server that can't be reached is known at once.
    """

    def __init__(self, address: RpcAddress) -> None:
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
            connect_seconds=address.times["connect-timeout"],
            seconds=address.times["timeout"],
            credentials=address.credentials,
        )
        api = RpcApi(connection)
        self._sessions.append(api)
        return api


def open_transport(address: str) -> RpcTransport:
    """What ``rpc:`` stands for. Raises OSError, ValueError with a text for the user, AccessRefused
    where the server does not let us in.
    """
    try:
        return RpcTransport(parse_address(address))
    except AccessRefused:
        raise
    except EseBackupError as error:
        raise ValueError(error.detail or str(error)) from error
    except LocalProtocolError as error:  # the library for it is not there
        raise ValueError(str(error)) from error
