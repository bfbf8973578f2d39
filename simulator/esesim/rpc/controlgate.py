"""A gate that calls pass, many at a time, and that an administrator closes to be alone.

What changes a server as a whole (a crash, another state in its place) must not meet calls that are
under way. The server's own locks guard a storage group each, and nothing above them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from eseback.errors import EseBackupError

ERROR_TIMEOUT = 0x800705B4  # HRESULT_FROM_WIN32(ERROR_TIMEOUT), winerror.h


class Gate:
    """Lets calls through; :meth:`alone` waits until none is under way and keeps new ones out.

    A call must not pass twice at a time: it would wait for whoever waits for it. patience: how long
    `alone` waits for calls to end, in seconds.
    """

    def __init__(self, patience: float = 60.0) -> None:
        self._patience = patience
        self._inside = 0
        self._closed = False
        self._change = threading.Condition()

    def enter(self) -> None:
        """A call begins; waits while the gate is closed."""
        with self._change:
            while self._closed:
                self._change.wait()
            self._inside += 1

    def leave(self) -> None:
        """A call has ended."""
        with self._change:
            self._inside -= 1
            if self._closed:
                self._change.notify_all()

    @contextmanager
    def passing(self) -> Iterator[None]:
        """Enter and leave."""
        self.enter()
        try:
            yield
        finally:
            self.leave()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """No call is under way and none begins.

        Raises EseBackupError ERROR_TIMEOUT where calls do not end in time; then nothing is closed.
        """
        deadline = time.monotonic() + self._patience
        with self._change:
            if not self._change.wait_for(lambda: not self._closed, self._patience):
                raise _busy(self._patience)
            self._closed = True
            if not self._change.wait_for(lambda: not self._inside, deadline - time.monotonic()):
                self._open()
                raise _busy(self._patience)
        try:
            yield
        finally:
            with self._change:
                self._open()

    def _open(self) -> None:
        self._closed = False
        self._change.notify_all()


def _busy(seconds: float) -> EseBackupError:
    return EseBackupError(
        ERROR_TIMEOUT, detail=f"calls have been under way for {seconds:g} s; try again later"
    )
