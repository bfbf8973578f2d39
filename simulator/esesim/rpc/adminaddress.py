"""Where a server to be administered is, and who we are: as ``esebcli --server`` is told.

``rpc:HOST:PORT``, and for a server with users ``,user=NAME[,password-file=PATH][,level=LEVEL]
[,auth=TYPE]``. A password is in a file's first line or in ESESIM_PASSWORD, never on the command
line, which others on this computer can read.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from eseback.data import frozen
from eseback.rpc import AuthLevel, AuthType, Credentials

PASSWORD_VARIABLE: Final = "ESESIM_PASSWORD"
_SCHEME: Final = "rpc:"
_CHOICES: Final[Mapping[str, tuple[str, ...]]] = {
    "level": ("privacy", "integrity", "packet", "connect"),
    "auth": ("ntlm", "spnego"),
}
_OPTIONS: Final = ("user", "password-file", *_CHOICES)


@frozen
class AdminAddress:
    """A server's address. credentials: None says nothing of who we are."""

    host: str
    port: int
    credentials: Credentials | None = None

    @classmethod
    def parse(cls, text: str, environment: Mapping[str, str] = os.environ) -> AdminAddress:
        """Raises ValueError, also for a file with a password that cannot be read."""
        where, *options = text.removeprefix(_SCHEME).split(",")
        host, colon, port = where.rpartition(":")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        is_port = port.isascii() and port.isdigit() and 0 < int(port) <= 0xFFFF
        if not (colon and host and is_port):
            raise ValueError(f"{text!r} is no address of a server: write rpc:HOST:PORT")
        return cls(host, int(port), _credentials(_given(options), environment))


def _given(options: list[str]) -> Mapping[str, str]:
    given = {}
    for option in options:
        name, equals, value = option.partition("=")
        if name not in _OPTIONS or not equals:
            raise ValueError(f"unknown option {option!r}: {', '.join(_OPTIONS)} are known")
        if value not in _CHOICES.get(name, (value,)):
            raise ValueError(f"{option}: one of {', '.join(_CHOICES[name])}")
        given[name] = value
    return given


def _credentials(given: Mapping[str, str], environment: Mapping[str, str]) -> Credentials | None:
    if not given:
        return None
    if not given.get("user"):
        raise ValueError(f"{next(iter(given))}= means nothing without user=NAME")
    if "password-file" in given:
        password = _first_line(Path(given["password-file"]))
    else:
        password = environment.get(PASSWORD_VARIABLE, "")
    if not password:
        raise ValueError(
            f"no password for {given['user']}: password-file=PATH names a file with it, "
            f"or {PASSWORD_VARIABLE} is it"
        )
    kind = given.get("auth", _CHOICES["auth"][0])
    level = given.get("level", _CHOICES["level"][0])
    return Credentials(given["user"], password, AuthType[kind.upper()], AuthLevel[level.upper()])


def _first_line(path: Path) -> str:
    try:
        return path.read_text("utf-8").partition("\n")[0].rstrip("\r")
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
