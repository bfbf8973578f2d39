"""The two algorithms of NTLM that Python no longer has: MD4 and RC4.

OpenSSL 3 has moved both out of reach, so they come from pyspnego and the library below it. They
are imported when they are needed and not before: who does not authenticate does not need them.
pyspnego has no public name for them, which is one reason for its version being pinned.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from eseback.rpc.errors import MissingLibraryError
from eseback.rpc.security import Buffer

__all__ = ["Cipher", "arc4", "nt_hash"]

Cipher = Callable[[Buffer], bytes]
"""Encrypts or decrypts the next bytes of a stream."""


def nt_hash(password: str) -> bytes:
    """NTOWFv1: the 16 bytes that a server keeps of a password (MS-NLMP 3.3.1).

    Raises MissingLibraryError.
    """
    try:
        from spnego._ntlm_raw.md4 import md4
    except ImportError:
        raise MissingLibraryError from None
    return bytes(md4(password.encode("utf-16-le", "surrogatepass")))


def arc4(key: bytes) -> Cipher:
    """A fresh RC4 stream. Raises MissingLibraryError."""
    try:
        from spnego._ntlm_raw.crypto import rc4init
    except ImportError:
        raise MissingLibraryError from None
    return cast("Cipher", rc4init(key).update)  # which takes any buffer
