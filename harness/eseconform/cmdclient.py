"""A program as a system under test: one run of it for each job, told in files and variables.

It reaches the server over the wire only; see docs/foreign-clients.md for the contract. A program
that is ended by a signal has crashed, whatever it wrote before.
"""

from __future__ import annotations

import os
import shutil
import sys
import threading
from collections.abc import Sequence
from typing import Final

from attrs import define, evolve, field

from eseback.api import BackupApi
from eseconform.cmdprocess import Ended, RunningProgram
from eseconform.cmdspec import PREFIX, Commands, filled, read_commands
from eseconform.cmdtask import Desk, environment
from eseconform.cmdwatch import Drives, OpenedFiles
from eseconform.errors import HarnessError
from eseconform.sut import ClientCrashed, Gate, Sut
from eseconform.task import Claim, JobKind, Outcome, Task

_SECRET_WORDS: Final = ("PASSWORD", "PASSWD", "SECRET", "TOKEN", "APIKEY", "API_KEY")
"""A variable with one of these in its name holds a secret, declared or not."""
_SECRET_CHARACTERS_MIN: Final = 4
"""Shorter values stand for themselves in too many places to be blotted out."""
_BLOT: Final = "***"


@define(eq=False)
class CommandClient:
    """The factory: ``client(gate, task)`` runs the program once and gives its claim.

    Attributes:
        commands: what to run.
    """

    commands: Commands
    _running: RunningProgram | None = field(default=None, init=False)
    _stopped: bool = field(default=False, init=False)
    _lock: threading.Lock = field(factory=threading.Lock, init=False)

    def __call__(self, api: BackupApi, task: Task) -> Claim:
        """Do one job.

        Args:
            api: the gate that the program's calls come through.
            task: the job, with the endpoint.

        Raises:
            ClientCrashed: a signal or an unhandled exception ended the program.
            ClaimError: its answer is no claim.
        """
        if task.endpoint is None or not isinstance(api, Gate):
            raise HarnessError("a program is judged over the wire, and there is none")
        self._stopped = False
        desk = Desk(task, task.endpoint)
        shutil.rmtree(desk.folder, ignore_errors=True)
        desk.lay_out()
        opened = OpenedFiles()
        api.after_call = opened.after
        drives = None if task.files is None else Drives(desk.files, task.files)
        if drives is not None:
            api.before_call = drives.before
        restores = str(task.kind) == JobKind.RESTORE
        ended = self._run(self.commands.restore if restores else self.commands.backup, desk)
        if drives is not None:
            drives.collect()
        claim = desk.claim(ended, {} if restores else opened.received)
        if claim.outcome is Outcome.SUCCESS and self.commands.verify and not restores:
            claim = self._verified(claim, desk)
        return claim

    def stop(self) -> None:
        """End the program that runs; the harness gave its job up."""
        with self._lock:
            self._stopped = True
            if self._running is not None:
                self._running.kill()

    def _verified(self, claim: Claim, desk: Desk) -> Claim:
        """A set that the program's own check refuses is no success."""
        ended = self._run(self.commands.verify, desk)
        if not ended.status:
            return claim
        reason = f"its own verify says no: {ended.reason}"
        return evolve(claim, outcome=Outcome.FAILURE, reason=reason)

    def _run(self, template: Sequence[str], desk: Desk) -> Ended:
        values = desk.values(self.commands)
        variables = {**os.environ, **environment(values)}
        with self._lock:
            if self._stopped:
                raise ClientCrashed("the program was not started: the job was given up")
            try:
                self._running = RunningProgram(filled(template, values), variables)
            except (OSError, ValueError) as error:
                raise ClientCrashed(f"the program can't be started: {error}") from None
        ended = self._running.wait()
        ended = Ended(ended.status, _blotted(ended.output, self.commands.secrets))
        sys.stdout.write(ended.output)
        if ended.crash:
            raise ClientCrashed(f"the program was ended by {ended.crash}")
        return ended


def load_program(spec: str) -> Sut:
    """The client that ``cmd:...`` names; see :func:`eseconform.cmdspec.read_commands`."""
    commands = read_commands(spec.removeprefix(f"{PREFIX}:"))
    client = CommandClient(commands)
    return Sut(
        spec,
        client,
        commands.declared,
        over_wire=True,
        stop=client.stop,
        seconds_max=commands.seconds,
    )


def _blotted(text: str, secrets: Sequence[str]) -> str:
    """The text without the values of secret variables."""
    for name, value in os.environ.items():
        secret = name in secrets or any(word in name.upper() for word in _SECRET_WORDS)
        if secret and len(value) >= _SECRET_CHARACTERS_MIN:
            text = text.replace(value, _BLOT)
    return text
