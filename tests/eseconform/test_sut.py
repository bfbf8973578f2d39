"""Systems under test: found or refused with a reason; nothing they do ends the run."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from eseback.api import BackupApi
from eseback.constants import INFORMATION_STORE, RegisterFlags
from eseback.errors import ConnectionLost, EseBackupError
from eseconform.errors import SutUnusable, UsageError
from eseconform.sut import OUTPUT_CHARACTERS_MAX, Gate, JobAnswer, Sut, load_sut, run_job
from eseconform.task import JobKind, Outcome, Task
from tests.support.conformance import Client

TASK = Task(JobKind.FULL, "EXCHSRV1", INFORMATION_STORE, ("G",), Path("set"))


class FakeApi:
    """A server that answers two calls."""

    def get_nodes(self, computer: str | None) -> str:
        return f"nodes of {computer}"

    def get_registered(self, server: str, display_name: str | None, flags: RegisterFlags) -> None:
        if display_name is None:
            raise EseBackupError.from_name("hrCouldNotConnect", "get_registered")
        raise ZeroDivisionError("a bug of the simulator")


def gate() -> Gate:
    return Gate(cast(BackupApi, FakeApi()))


def answer_of(client: Client, limit: float = 10.0) -> JobAnswer:
    return run_job(Sut("python:tests:client", client), gate(), TASK, limit)


# --- finding the client


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_a_factory_in_the_current_directory_is_found(here: Path) -> None:
    (here / "mine.py").write_text("class Tools:\n    client = staticmethod(lambda api, task: 5)\n")
    sut = load_sut("python:mine:Tools.client")
    assert sut.spec == "python:mine:Tools.client"
    assert sut.factory(cast(BackupApi, None), TASK) == 5


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("mine", "write python:"),
        ("perl:mine:client", "write python:"),
        ("python:mine", "factory is missing"),
        ("python::client", "factory is missing"),
        ("python:no_such_module_here:client", "there is no module no_such_module_here"),
        ("python:no_such_package.part:client", "there is no module no_such_package"),
        ("python:json:no_such_name", "nothing named 'no_such_name'"),
        ("python:json:__doc__", "not callable"),
    ],
)
def test_a_wrong_spec_is_a_usage_error(spec: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_sut(spec)


@pytest.mark.parametrize("body", ["1 / 0", "import no_such_dependency", "raise SyntaxError('x')"])
def test_a_client_that_cannot_be_imported_is_unusable(here: Path, body: str) -> None:
    (here / "broken_client.py").write_text(body + "\n")
    with pytest.raises(SutUnusable, match="broken_client cannot be imported"):
        load_sut("python:broken_client:client")


# --- running it


def test_a_claim_comes_back_with_time_and_output() -> None:
    def client(api: BackupApi, task: Task) -> dict[str, str]:
        print("hello from", task.server)
        print("and stderr", file=sys.stderr)
        return {"outcome": "failure", "reason": str(api.get_nodes("X"))}

    answer = answer_of(client)
    assert answer.claim is not None
    assert answer.claim.outcome is Outcome.FAILURE
    assert answer.claim.reason == "nodes of X"
    assert answer.output == "hello from EXCHSRV1\nand stderr\n"
    assert answer.crash == ""


def test_output_is_cut() -> None:
    def client(api: BackupApi, task: Task) -> dict[str, str]:
        print("x" * (OUTPUT_CHARACTERS_MAX + 10))
        return {"outcome": "success"}

    output = answer_of(client).output
    assert len(output) < OUTPUT_CHARACTERS_MAX + 60
    assert "cut at" in output


def test_a_client_that_calls_for_ever_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eseconform.sut.CALLS_MAX", 100)

    def client(api: BackupApi, task: Task) -> object:
        while True:
            api.get_nodes(None)

    answer = answer_of(client)
    assert answer.crash == "the client made more than 100 calls in one job"
    assert answer.claim is None


def test_an_exception_is_a_crash_with_its_trace() -> None:
    def client(api: BackupApi, task: Task) -> object:
        raise KeyError("the tape")

    answer = answer_of(client)
    assert answer.claim is None
    assert answer.crash == "the client raised KeyError: 'the tape'"
    assert "in client" in answer.trace


def test_an_uncaught_api_error_is_a_crash_but_nothing_of_ours_broke() -> None:
    def client(api: BackupApi, task: Task) -> object:
        return api.get_registered("S", None, RegisterFlags.BACKUP)

    answer = answer_of(client)
    assert "EseBackupError" in answer.crash
    assert answer.broken is None


def test_leaving_the_process_is_a_crash() -> None:
    answer = answer_of(lambda api, task: sys.exit(3))
    assert answer.crash == "the client wanted to end the process (exit status 3)"


def test_interrupting_itself_is_a_crash() -> None:
    def client(api: BackupApi, task: Task) -> object:
        raise KeyboardInterrupt

    assert "KeyboardInterrupt" in answer_of(client).crash


def test_a_wrong_answer_is_a_crash_that_says_what_is_wrong() -> None:
    answer = answer_of(lambda api, task: "done!")
    assert answer.crash.startswith("the client's answer is no claim: claim.outcome")


def test_a_hang_in_python_is_stopped() -> None:
    ended = threading.Event()

    def client(api: BackupApi, task: Task) -> object:
        try:
            while True:
                time.sleep(0.001)
        finally:
            ended.set()

    answer = answer_of(client, limit=0.2)
    assert answer.crash == "the client did not answer within 0.2 s"
    assert "time.sleep" in answer.trace
    assert ended.wait(5)
    assert not answer.still_running
    assert answer.seconds < 5


def test_a_hang_in_foreign_code_is_left_behind() -> None:
    released: list[bool] = []

    def client(api: BackupApi, task: Task) -> object:
        while not released:
            # Foreign code that no exception gets out of. No lock is taken: an exception that comes
            # while one is held would keep it from whoever wants to end this.
            with contextlib.suppress(BaseException):
                time.sleep(0.2)
        return {"outcome": "success"}

    answer = answer_of(client, limit=0.1)
    released.append(True)
    assert answer.still_running
    assert answer.claim is None


def test_an_error_of_the_simulator_is_not_blamed_on_the_client() -> None:
    def client(api: BackupApi, task: Task) -> object:
        return api.get_registered("S", "name", RegisterFlags.BACKUP)

    assert isinstance(answer_of(client).broken, ZeroDivisionError)


def test_a_shut_gate_answers_like_a_lost_connection() -> None:
    shut = gate()
    assert str(shut.get_nodes("X")) == "nodes of X"
    shut.shut()
    with pytest.raises(ConnectionLost, match="gave this job up"):
        shut.get_nodes("X")
