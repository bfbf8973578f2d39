"""One program, run to its end: its output up to a limit, its children ended with it.

The program gets a session (on Windows a process group) of its own, so that what it leaves behind
can be found. Nothing is read from standard input; standard error goes where standard output goes.
"""

from __future__ import annotations

import codecs
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import IO, Any, Final

from attrs import frozen

HEAD_CHARACTERS_MAX: Final = 8_000
TAIL_CHARACTERS_MAX: Final = 8_000
_POLL_SECONDS: Final = 0.01
_PIPE_BYTES: Final = 1 << 16
_DRAIN_SECONDS: Final = 1.0
"""How long to wait for output of processes that ended, or escaped from their session."""
_CAN_PEEK: Final = hasattr(os, "waitid")
_NT_ERROR: Final = 0xC0000000
"""Exit codes from here on are exceptions that nobody handled (MS-ERREF 2.3)."""


@frozen
class Ended:
    """How a program ended.

    Attributes:
        status: its exit status; of one that a signal ended, less than 0.
        output: what it wrote, decoded as UTF-8; the middle is left out where it is long.
    """

    status: int
    output: str

    @property
    def crash(self) -> str:
        """What ended it if it did not end itself, in words; empty otherwise."""
        if self.status < 0:
            try:
                return f"signal {-self.status} ({signal.Signals(-self.status).name})"
            except ValueError:
                return f"signal {-self.status}"
        return f"exception {self.status:#010x}" if self.status >= _NT_ERROR else ""

    @property
    def reason(self) -> str:
        """Its exit status, and the last line that is not empty."""
        lines = [line.strip() for line in self.output.splitlines() if line.strip()]
        said = f": {lines[-1]}" if lines else ""
        return f"exit status {self.status}{said}"


class RunningProgram:
    """A program that was started. Raises OSError if it can't be."""

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            **_apart(),
        )
        assert self._process.stdout is not None
        self._output = _Output(self._process.stdout)
        self._lock = threading.Lock()

    def wait(self) -> Ended:
        """Wait until it ends, or :meth:`kill` ends it; its children end with it."""
        try:
            while not self._has_ended():
                time.sleep(_POLL_SECONDS)
        finally:
            self.kill()
        with self._lock:
            status = self._process.wait()
        return Ended(status, self._output.text())

    def kill(self) -> None:
        """End it and its children, at once. It may have ended before."""
        with self._lock:
            if sys.platform == "win32":
                _kill_tree(self._process)
            elif self._process.returncode is None or not _CAN_PEEK:
                # macOS says EPERM of a group of which all are dead.
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(self._process.pid, signal.SIGKILL)

    def _has_ended(self) -> bool:
        """Whether it has. If possible without taking note of it: as long as nobody does, no other
        process is given its number, and its group can be found by it.
        """
        if sys.platform != "win32" and _CAN_PEEK:
            flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
            return os.waitid(os.P_PID, self._process.pid, flags) is not None
        return self._process.poll() is not None


class _Output(threading.Thread):
    """Reads all that a program writes, and keeps the beginning and the end of it."""

    def __init__(self, pipe: IO[bytes]) -> None:
        super().__init__(name="output of a program", daemon=True)
        self._pipe = pipe
        self._head = ""
        self._tail: deque[str] = deque()
        self._length = 0
        self._lock = threading.Lock()
        self.start()

    def run(self) -> None:
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        with self._pipe as pipe:
            while data := os.read(pipe.fileno(), _PIPE_BYTES):
                self._keep(decoder.decode(data))
            self._keep(decoder.decode(b"", final=True))

    def text(self) -> str:
        """What was written. A process that escaped may hold the pipe open: it is not waited for."""
        self.join(_DRAIN_SECONDS)
        with self._lock:
            tail = "".join(self._tail)[-TAIL_CHARACTERS_MAX:]
            left_out = self._length - len(self._head) - len(tail)
            middle = f"\n... {left_out} characters left out ...\n" if left_out else ""
            return (self._head + middle + tail).replace("\r\n", "\n")

    def _keep(self, text: str) -> None:
        with self._lock:
            room = HEAD_CHARACTERS_MAX - len(self._head)
            self._head += text[:room]
            self._length += len(text)
            if len(text) > room:
                self._tail.append(text[room:])
            while len(self._tail) > 1 and (
                sum(map(len, self._tail)) - len(self._tail[0]) >= TAIL_CHARACTERS_MAX
            ):
                self._tail.popleft()


def _apart() -> dict[str, Any]:
    """Arguments of Popen that give a program a group of its own."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}


def _kill_tree(process: subprocess.Popen[bytes]) -> None:
    """Windows has no signal for a group; its children are found by their parent."""
    if process.poll() is None:
        command = ["taskkill", "/T", "/F", "/PID", str(process.pid)]
        subprocess.run(command, capture_output=True, check=False)
        process.kill()
