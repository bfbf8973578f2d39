"""The text of a server's address: where it is, and who we say we are. No I/O.

``HOST:PORT``, and for a server with users ``,user=NAME[,password-file=PATH][,level=LEVEL]
[,auth=TYPE]``. A password is a file's first line or in an environment variable, never in the
address, which others on this computer can read where it stands on a command line.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from eseback.data import frozen
from eseback.rpc.initiator import Credentials
from eseback.rpc.status import AuthLevel, AuthType

__all__ = ["NoAddress", "RpcAddress"]

_CHOICES: Final = {
    "level": ("connect", "packet", "integrity", "privacy"),
    "auth": ("ntlm", "spnego"),
}
_OF_A_USER: Final = ("password-file", *_CHOICES)


class NoAddress(ValueError):
    """What should be HOST:PORT is something else."""


@frozen
class RpcAddress:
    """Where a server is, and how to talk to it.

    credentials: None says nothing of who we are. times: seconds, by the option that says how many.
    """

    host: str
    port: int
    credentials: Credentials | None
    times: Mapping[str, float]

    @classmethod
    def parse(
        cls,
        text: str,
        variable: str,
        environment: Mapping[str, str],
        read: Callable[[str], str],
        times: Mapping[str, float],
    ) -> RpcAddress:
        """variable: where in the environment the password is, if no file has it. read: gives a
        file's text. times: options that are seconds, each with what it is unless it is given.

        Raises NoAddress, ValueError, what `read` does, LocalProtocolError for no name of a user.
        """
        where, *options = text.split(",")
        host, port = _host_and_port(where)
        given = _given(options, (*times, "user", *_OF_A_USER), variable)
        seconds = {name: _seconds(name, given.get(name, times[name])) for name in times}
        user = given.get("user")
        if user is None:
            for name in _OF_A_USER:
                if name in given:
                    raise ValueError(f"{name}= means nothing without user=")
            return cls(host, port, None, seconds)
        level = AuthLevel[_choice("level", given.get("level", "privacy"))]
        kind = AuthType[_choice("auth", given.get("auth", "ntlm"))]
        if "password-file" in given:
            password = read(given["password-file"]).partition("\n")[0]
        else:
            password = environment.get(variable, "")
        if not password:
            raise ValueError(
                f"no password for {user}: password-file=PATH names a file with it, "
                f"or {variable} is it"
            )
        return cls(host, port, Credentials(user, password, kind, level), seconds)


def _host_and_port(where: str) -> tuple[str, int]:
    host, colon, port = where.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    if not colon or not host or not port.isascii() or not port.isdigit():
        raise NoAddress("write rpc:HOST:PORT")
    if not 0 < int(port) <= 0xFFFF:
        raise NoAddress(f"there is no port {port}")
    return host, int(port)


def _given(options: list[str], known: tuple[str, ...], variable: str) -> Mapping[str, str]:
    given = {}
    for option in options:
        name, equals, value = option.partition("=")
        if name == "password":
            raise ValueError(
                "a password on the command line can be read by others: write it into a file "
                f"(password-file=PATH), or into {variable}"
            )
        if name not in known or not equals:
            raise ValueError(f"unknown option {option!r}: {'=, '.join(known)}= are")
        given[name] = value
    return given


def _seconds(name: str, given: str | float) -> float:
    try:
        value = float(given)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e9:
        raise ValueError(f"{name}={given} is no number of seconds")
    return value


def _choice(name: str, given: str) -> str:
    if given not in _CHOICES[name]:
        raise ValueError(f"{name}={given}: one of {', '.join(_CHOICES[name])}")
    return given.upper()
