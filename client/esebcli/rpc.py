"""``--server rpc:HOST:PORT``: a server somewhere else, over DCE/RPC.

With ``user=`` the client says who it is, and is asked for its password: a file's first line or the
environment has it, never the command line, which others on this computer can read.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from attrs import frozen

from eseback.errors import EseBackupError
from eseback.rpc import AuthLevel, AuthType, Credentials, LocalProtocolError
from esebcli.rpcapi import RpcApi
from esebcli.rpcconnection import DEFAULT_CONNECT_SECONDS, RpcConnection
from esebcli.rpcerrors import AccessRefused

PASSWORD_VARIABLE: Final = "ESEBCLI_PASSWORD"
_LEVELS: Final = ("connect", "packet", "integrity", "privacy")
_TYPES: Final = ("ntlm", "spnego")
_OPTIONS: Final = ("timeout", "connect-timeout", "user", "password-file", "level", "auth")


@frozen
class Address:
    """Where a server is, and how to talk to it. seconds: 0 waits as long as it takes.

    credentials: None says nothing of who we are.
    """

    host: str
    port: int
    connect_seconds: float = DEFAULT_CONNECT_SECONDS
    seconds: float = 0.0
    credentials: Credentials | None = None

    @classmethod
    def parse(cls, text: str, environment: Mapping[str, str] = os.environ) -> Address:
        """``HOST:PORT[,timeout=SECONDS][,connect-timeout=SECONDS]``, and for a server with users
        ``[,user=NAME][,password-file=PATH][,level=LEVEL][,auth=TYPE]``. Raises ValueError, OSError.
        """
        where, *options = text.split(",")
        host, colon, port = where.rpartition(":")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        if not colon or not host or not port.isascii() or not port.isdigit():
            raise ValueError("write rpc:HOST:PORT")
        if not 0 < int(port) <= 0xFFFF:
            raise ValueError(f"there is no port {port}")
        given = _options(options)
        waits = {
            "seconds": _seconds(given, "timeout", 0.0),
            "connect_seconds": _seconds(given, "connect-timeout", DEFAULT_CONNECT_SECONDS),
        }
        return cls(host, int(port), **waits, credentials=_credentials(given, environment))


def _options(options: list[str]) -> Mapping[str, str]:
    given = {}
    for option in options:
        name, equals, value = option.partition("=")
        if name == "password":
            raise ValueError(
                "a password on the command line can be read by others: write it into a file "
                f"(password-file=PATH), or into {PASSWORD_VARIABLE}"
            )
        if name not in _OPTIONS or not equals:
            known = ", ".join(f"{name}=" for name in _OPTIONS)
            raise ValueError(f"unknown option {option!r}: {known} are")
        given[name] = value
    return given


def _seconds(given: Mapping[str, str], name: str, default: float) -> float:
    if name not in given:
        return default
    try:
        value = float(given[name])
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e9:
        raise ValueError(f"{name}={given[name]} is no number of seconds")
    return value


def _credentials(given: Mapping[str, str], environment: Mapping[str, str]) -> Credentials | None:
    if "user" not in given:
        for name in ("password-file", "level", "auth"):
            if name in given:
                raise ValueError(f"{name}= means nothing without user=")
        return None
    level = _one_of(given, "level", _LEVELS, "privacy")
    kind = _one_of(given, "auth", _TYPES, "ntlm")
    if "password-file" in given:
        lines = Path(given["password-file"]).read_text("utf-8").splitlines()
        password = lines[0] if lines else ""
    else:
        password = environment.get(PASSWORD_VARIABLE, "")
    if not password:
        raise ValueError(
            f"no password for {given['user']}: password-file=PATH names a file with it, "
            f"or {PASSWORD_VARIABLE} is it"
        )
    return Credentials(given["user"], password, AuthType[kind.upper()], AuthLevel[level.upper()])


def _one_of(given: Mapping[str, str], name: str, known: tuple[str, ...], default: str) -> str:
    value = given.get(name, default)
    if value not in known:
        raise ValueError(f"{name}={value}: one of {', '.join(known)}")
    return value


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
        return RpcTransport(Address.parse(address))
    except AccessRefused:
        raise
    except EseBackupError as error:
        raise ValueError(error.detail or str(error)) from error
    except LocalProtocolError as error:  # the library for it is not there
        raise ValueError(str(error)) from error
