"""Where a server to be administered is, and who we are: as ``esebcli --server`` is told.

``rpc:HOST:PORT``, and what `eseback.rpc.address` has for a server with users. A password is in a
file's first line or in ESESIM_PASSWORD.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from eseback.rpc import NoAddress, RpcAddress

PASSWORD_VARIABLE: Final = "ESESIM_PASSWORD"
_SCHEME: Final = "rpc:"


def parse_address(text: str, environment: Mapping[str, str] = os.environ) -> RpcAddress:
    """Raises ValueError, also for a file with a password that cannot be read; LocalProtocolError
    for a user without a name.
    """
    try:
        where = text.removeprefix(_SCHEME)
        return RpcAddress.parse(where, PASSWORD_VARIABLE, environment, _read, times={})
    except NoAddress:
        raise ValueError(f"{text!r} is no address of a server: write rpc:HOST:PORT") from None


def _read(path: str) -> str:
    try:
        return Path(path).read_text("utf-8")
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
