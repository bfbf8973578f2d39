"""Commands against the scripted server, in this process."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.metadata import EntryPoint, EntryPoints
from typing import Any, Final

import pytest
from attrs import frozen

from eseback.api import BackupApi
from esebcli import transports
from esebcli.cli import main
from esebcli.transports import ENTRY_POINT_GROUP
from tests.esebcli.support_fake import FakeServer

HERE: Final = "tests.esebcli.support_cli"


@frozen
class Outcome:
    """What a command did."""

    code: object
    out: str
    err: str

    @property
    def data(self) -> Any:
        """Standard output as JSON."""
        return json.loads(self.out)


Run = Callable[..., Outcome]
SERVERS: list[FakeServer] = []
"""The scripted servers of the running tests; commands go to the last one."""


class FakeTransport:
    """Leads to the scripted server of the running test."""

    closed = 0

    def __init__(self, address: str) -> None:
        if address == "crash":
            raise RuntimeError("a bug")

    def session(self) -> BackupApi:
        return SERVERS[-1].api

    def close(self) -> None:
        type(self).closed += 1


def runner(
    server: FakeServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Run:
    """A function that runs a command; ``fake:x`` leads to ``server``."""
    point = EntryPoint("fake", f"{HERE}:FakeTransport", ENTRY_POINT_GROUP)
    monkeypatch.setattr(transports, "entry_points", EntryPoints([point]).select)
    SERVERS.append(server)

    def run_command(*arguments: object) -> Outcome:
        with pytest.raises(SystemExit) as exit_:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Outcome(exit_.value.code, captured.out, captured.err)

    return run_command


def one_line(outcome: Outcome) -> str:
    """The only line of an error."""
    assert outcome.err.startswith("esebcli: ") and outcome.err.count("\n") == 1, outcome.err
    assert "Traceback" not in outcome.err
    return outcome.err
