"""Systems under test: finding the client, and running one job of it.

A client runs in a thread of its own with a time limit. What it raises, a hang, ``sys.exit`` and a
wrong answer all come back as a :class:`JobAnswer` that says so: nothing that a client does ends
the run. Only what is not its doing is raised from here.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import io
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

from attrs import field, frozen

from eseback.api import BackupApi
from eseback.errors import ConnectionLost, EseBackupError
from eseback.restoreorder import RESTORE_STARTS
from eseconform.errors import SutUnusable, UsageError
from eseconform.task import UNDECLARED, Capability, Claim, ClaimError, Task, as_claim
from esesim.layer import ApiLayer

R = TypeVar("R")
Factory = Callable[[BackupApi, Task], object]

OUTPUT_CHARACTERS_MAX = 20_000
TRACEBACK_LINES_MAX = 40
CALLS_MAX = 500_000
"""Calls of one job; the transcript of a client that loops for ever would fill the disk."""
_ABORT_PATIENCE_SECONDS = 2.0


class ClientCrashed(Exception):
    """The client ended without an answer; the text says how."""


@frozen
class Sut:
    """A client that can be asked to do jobs.

    Attributes:
        spec: how it was named on the command line.
        factory: ``factory(api, task) -> claim``.
        declared: what it declares that it can do; None when it declares nothing.
        over_wire: it makes its calls over the wire, and not on the api that it is handed.
        stop: ends the job that it is at, where that can be done from outside.
        seconds_max: time limit of one job; None for that of the case.
    """

    spec: str
    factory: Factory
    declared: frozenset[Capability] | None = field()
    over_wire: bool = False
    stop: Callable[[], object] = lambda: None
    seconds_max: float | None = None

    @declared.default
    def _declared_by_factory(self) -> frozenset[Capability] | None:
        return declared_capabilities(self.spec, self.factory)

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What it may be asked to do beyond a full backup."""
        return UNDECLARED if self.declared is None else self.declared


def declared_capabilities(spec: str, *places: object) -> frozenset[Capability] | None:
    """What the first of the places (factory, module) that has ``capabilities`` declares with it.

    Raises:
        UsageError: a name is unknown.
    """
    for place in places:
        declared = getattr(place, "capabilities", None)
        if declared is None:
            continue
        if isinstance(declared, str) or not isinstance(declared, Iterable):
            raise UsageError(f"--sut {spec!r}: capabilities must be names, not {declared!r}")
        try:
            return frozenset(Capability(str(getattr(name, "value", name))) for name in declared)
        except ValueError as error:
            known = ", ".join(Capability)
            raise UsageError(f"--sut {spec!r}: capabilities: {error}; known: {known}") from None
    return None


def load_sut(spec: str) -> Sut:
    """Find the client that a ``--sut`` argument names.

    Raises:
        UsageError: the argument is malformed or names nothing.
        SutUnusable: the client's module fails while it is imported.
    """
    kind, colon, rest = spec.partition(":")
    if colon and kind == "cmd":
        from eseconform.cmdclient import load_program

        return load_program(spec)
    if not colon or kind != "python":
        raise UsageError(
            f"--sut {spec!r}: write python:package.module:factory, or cmd:COMMAND for a program"
        )
    module_name, colon, attribute = rest.partition(":")
    if not (module_name and colon and attribute):
        raise UsageError(
            f"--sut {spec!r}: the factory is missing; write python:package.module:factory"
        )
    with _working_directory_importable():
        module = _import(spec, module_name)
    factory: object = module
    for part in attribute.split("."):
        try:
            factory = getattr(factory, part)
        except AttributeError:
            raise UsageError(
                f"--sut {spec!r}: module {module_name} has nothing named {attribute!r}"
            ) from None
    if not callable(factory):
        raise UsageError(f"--sut {spec!r}: {attribute} is not callable: {factory!r}")
    return Sut(spec, cast(Factory, factory), declared_capabilities(spec, factory, module))


def _import(spec: str, module_name: str) -> object:
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and (module_name + ".").startswith(error.name + "."):
            raise UsageError(
                f"--sut {spec!r}: there is no module {error.name}; it must be installed or lie "
                f"in the current directory ({Path.cwd()})"
            ) from None
        raise SutUnusable(f"{module_name} cannot be imported: {error}") from error
    except Exception as error:
        last = traceback.format_exc(limit=-1).strip().splitlines()
        raise SutUnusable(
            f"{module_name} cannot be imported: {type(error).__name__}: {error} ({last[1].strip()})"
        ) from error


@contextlib.contextmanager
def _working_directory_importable() -> Iterator[None]:
    """Put the current directory on the path: a console script lacks it, a developer expects it."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    yield


class Gate(ApiLayer):
    """A BackupApi that can be shut: afterwards every call fails as if the connection were gone.

    It stands between the client and everything else, so that a client that was given up can't go
    on changing the server while the next case runs.
    """

    def __init__(self, api: BackupApi) -> None:
        super().__init__(api)
        self._shut = False
        self.on_shut: Callable[[], object] = lambda: None
        self.broken: BaseException | None = None
        self.contexts: list[int] = []
        self.restores: list[int] = []
        self.calls = 0
        self.before_call: Callable[[str, Mapping[str, Any]], object] = lambda *_: None
        self.after_call: Callable[[str, Mapping[str, Any], object], object] = lambda *_: None

    def shut(self) -> None:
        """Refuse every further call."""
        self._shut = True
        self.on_shut()

    @property
    def is_shut(self) -> bool:
        """Whether the job was given up."""
        return self._shut

    def around(self, method: str, function: Callable[..., R], arguments: Mapping[str, Any]) -> R:
        """Pass the call on, unless the gate is shut."""
        try:
            self.before_call(method, arguments)
            self.calls += 1
            if self._shut or self.calls > CALLS_MAX:
                raise ConnectionLost(call=method, detail="the harness gave this job up")
            result = function(**arguments)
            self.after_call(method, arguments, result)
        except EseBackupError:
            raise
        except Exception as error:
            # Not an answer that the API knows: the simulator broke, and not the client.
            self.broken = error
            raise
        if method == "backup_prepare":
            self.contexts.append(cast("tuple[int, object]", result)[0])
        elif method in RESTORE_STARTS:
            self.restores.append(cast("int", result))
        return result


class _Abandoned(BaseException):
    """Raised inside a client's thread that used up its time; not an Exception so that clients
    don't eat it.
    """


@frozen
class JobAnswer:
    """How a job of the client ended.

    Attributes:
        claim: what it answered, or None when it crashed.
        crash: why there is no claim, in one sentence; empty otherwise.
        trace: the client's own stack, where there is one.
        output: what it wrote to standard output and standard error, cut at a limit.
        seconds: wall time.
        still_running: it could not be stopped; the process must not be trusted much longer.
        broken: what the simulator raised without being allowed to; the client is not to blame.
    """

    claim: Claim | None
    crash: str
    trace: str
    output: str
    seconds: float
    still_running: bool = False
    broken: BaseException | None = None


class _Output(io.StringIO):
    """What a client prints, up to a limit."""

    def write(self, text: str, /) -> int:
        room = OUTPUT_CHARACTERS_MAX - self.tell()
        if room > 0:
            super().write(text[:room])
            if len(text) > room:
                super().write(f"\n... cut at {OUTPUT_CHARACTERS_MAX} characters")
        return len(text)


class _Job(threading.Thread):
    """The client's thread. A daemon: a client that can't be stopped does not keep the process
    alive.
    """

    def __init__(self, sut: Sut, api: BackupApi, task: Task) -> None:
        super().__init__(name=f"sut {sut.spec}", daemon=True)
        self._call: Callable[[], object] = lambda: sut.factory(api, task)
        self.claim: Claim | None = None
        self.crash = ""
        self.trace = ""

    def run(self) -> None:
        try:
            self.claim = as_claim(self._call())
        except _Abandoned:
            self.trace = self.trace or "(stopped by the harness)"
        except ClaimError as error:
            self.crash = f"the client's answer is no claim: {error}"
        except ClientCrashed as error:
            self.crash = str(error)
        except SystemExit as error:
            self.crash = f"the client wanted to end the process (exit status {error.code!r})"
        except BaseException as error:
            self.crash = f"the client raised {type(error).__name__}: {error}"
            lines = traceback.format_exc().splitlines()
            self.trace = "\n".join(lines[-TRACEBACK_LINES_MAX:])

    def stack(self) -> str:
        """Where the thread is right now."""
        frame = sys._current_frames().get(self.ident or 0)
        lines = traceback.format_stack(frame) if frame is not None else []
        return "".join(lines[-TRACEBACK_LINES_MAX:])

    def abandon(self) -> None:
        """Ask the thread to end; it does unless it sits in foreign code."""
        deadline = time.monotonic() + _ABORT_PATIENCE_SECONDS
        while self.is_alive() and time.monotonic() < deadline:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(self.ident or 0), ctypes.py_object(_Abandoned)
            )
            self.join(0.05)


def run_job(
    sut: Sut, gate: Gate, task: Task, limit_seconds: float, api: BackupApi | None = None
) -> JobAnswer:
    """Have the client do one job, whatever it does to us. The gate is shut if it is given up.

    The client is handed the gate itself, or an ``api`` that leads there.

    Raises:
        KeyboardInterrupt: the user gave up; the client's job was abandoned.
    """
    limit_seconds = sut.seconds_max or limit_seconds
    job = _Job(sut, api or gate, task)
    output = _Output()
    started = time.monotonic()
    hung = False
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        job.start()
        try:
            job.join(limit_seconds)
        finally:
            if job.is_alive():
                hung = True
                job.trace = "" if sut.over_wire else job.stack()
                gate.shut()
                sut.stop()
                if sut.over_wire:  # what it left behind is cleared up by its thread
                    job.join(_ABORT_PATIENCE_SECONDS)
                job.abandon()
    seconds = time.monotonic() - started
    crash = f"the client did not answer within {limit_seconds:g} s" if hung else job.crash
    if gate.calls > CALLS_MAX:
        crash = f"the client made more than {CALLS_MAX} calls in one job"
    return JobAnswer(
        claim=None if crash else job.claim,
        crash=crash,
        trace=job.trace if crash else "",
        output=output.getvalue(),
        seconds=seconds,
        still_running=job.is_alive(),
        broken=gate.broken,
    )
