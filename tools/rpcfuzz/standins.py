"""What stands in for parts of the world around a server: randomness, the log, and a socket."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import Final
from unittest import mock

from eseback.rpc import Buffer

_GROUP_SIZE: Final = 4  # bytes
PEER: Final = "127.0.0.1"
"""Where a scripted client is."""


class Predictable:
    """In place of a module's `secrets`, or of its `os`: 1, 2, 3, from the last :meth:`again` on."""

    def __init__(self, module: ModuleType) -> None:
        self._groups = self._handles = 0
        name = "secrets" if hasattr(module, "secrets") else "os"
        self._patch = mock.patch.object(module, name, self)
        self._patch.start()

    def again(self) -> None:
        """Begin with 1."""
        self._groups = self._handles = 0

    def randbits(self, _: int) -> int:
        """The next number of an association group."""
        self._groups += 1
        return self._groups

    def token_bytes(self, size: int) -> bytes:
        """The next number of a handle, repeated."""
        self._handles += 1
        return bytes((self._handles & 0xFF,)) * size

    def urandom(self, size: int) -> bytes:
        """Either of them: a group's number has four bytes."""
        return self.randbits(32).to_bytes(size) if size == _GROUP_SIZE else self.token_bytes(size)

    def stop(self) -> None:
        """Leave it as it was."""
        self._patch.stop()


class Complaints(logging.Handler):
    """Collects what the server logs as an error, and lines that a client could have written: with
    a control character in them. Everything else is dropped.
    """

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.found: list[str] = []
        self._log = logging.getLogger("esesim.rpc")
        self._before = self._log.propagate, self._log.level
        self._log.addHandler(self)
        self._log.propagate = False
        self._log.setLevel(logging.INFO)

    def emit(self, record: logging.LogRecord) -> None:
        """See logging."""
        text = record.getMessage()
        if record.levelno >= logging.ERROR or not text.isprintable():
            self.found.append(text)

    def stop(self) -> None:
        """Leave the log as it was."""
        self._log.removeHandler(self)
        self._log.propagate = self._before[0]
        self._log.setLevel(self._before[1])


class ScriptedSocket:
    """A socket whose other end is a script; as much of one as a connection uses.

    said: what comes in, message by message; each is asked for when all before it was taken. step:
    most bytes that one `recv` gives.
    """

    def __init__(
        self, said: Callable[[ScriptedSocket], Iterator[bytes]], step: int = 1 << 16
    ) -> None:
        self.sent = bytearray()
        self._said = said(self)
        self._step = step
        self._left = b""

    def recv(self, size: int) -> bytes:
        """The next bytes; none after the last message."""
        while not self._left:
            try:
                self._left = next(self._said)
            except StopIteration:
                return b""
        step = min(size, self._step)
        taken, self._left = self._left[:step], self._left[step:]
        return taken

    def sendmsg(self, buffers: Sequence[Buffer]) -> int:
        """Take everything."""
        data = b"".join(buffers)
        self.sent += data
        return len(data)

    def sendall(self, data: Buffer) -> None:
        """Take everything."""
        self.sent += data

    def getsockname(self) -> tuple[str, int]:
        """Some address."""
        return PEER, 135

    def settimeout(self, _: float | None) -> None:
        """Nothing here takes time."""

    def shutdown(self, _: int) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to do."""
