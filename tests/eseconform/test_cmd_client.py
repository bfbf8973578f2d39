"""A program as a client: what it is told, what it may answer, and what it may do to itself."""

from __future__ import annotations

import io
import json
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from eseconform.cmdfound import saved_files
from eseconform.cmdprocess import HEAD_CHARACTERS_MAX, TAIL_CHARACTERS_MAX
from eseconform.cmdwatch import Drives, Received
from eseconform.runner import run_case
from eseconform.sut import Sut, load_sut
from eseconform.task import JobKind, Outcome
from eseconform.transports import Transport
from eseconform.verdicts import Axis, Verdict
from tests.support.conformance import case, settings
from tests.support.programs import answer_of, program, script, task_in

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="signals and sessions of POSIX")


# --- what it is told


TELLS = """
    import json, os, sys
    from pathlib import Path
    task = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    seen = {"arguments": sys.argv[2:], "task": task}
    seen["variables"] = {k: v for k, v in os.environ.items() if k.startswith("ESESIM_")}
    Path(task["result"]).write_text(json.dumps({"outcome": "failure", "reason": json.dumps(seen)}))
"""


def told(sut: Sut, **changes: Any) -> dict[str, Any]:
    """What a program that tells it saw of a job."""
    folder = Path(changes.pop("folder"))
    answer = answer_of(sut, evolve(task_in(folder), **changes))
    assert answer.claim is not None, answer.crash
    seen: dict[str, Any] = json.loads(answer.claim.reason)
    return seen


def test_the_task_is_told_three_times_alike(tmp_path: Path) -> None:
    arguments = "{task} {endpoint} {host}:{port} {kind} {set} -g={group} --db={database} {target}"
    seen = told(program(tmp_path, TELLS, arguments), folder=tmp_path, databases=("Ä",))
    folder = str(tmp_path / "set")
    assert seen["arguments"] == [
        *("rpc:127.0.0.1:49152", "127.0.0.1:49152", "full", folder),
        *("-g=First Group", "-g=Zweite", "--db=Ä"),
    ]
    task, variables = seen["task"], seen["variables"]
    assert (task["schema"], task["kind"], task["host"], task["port"]) == (
        *(1, "full", "127.0.0.1"),
        49152,
    )
    assert task["groups"] == ["First Group", "Zweite"]
    assert task["databases"] == ["Ä"]
    assert task["set_folder"] == folder
    assert task["earlier_sets"] == []
    assert task["files"] is None
    assert variables["ESESIM_ENDPOINT"] == task["endpoint"] == "rpc:127.0.0.1:49152"
    assert variables["ESESIM_GROUP"] == "First Group\nZweite"
    assert variables["ESESIM_RESULT"] == task["result"]
    assert variables["ESESIM_MOUNT"] == ""
    assert variables["ESESIM_NO_MOUNT"] == "1"
    assert list((tmp_path / "set").iterdir()) == [], "the folder of the set is the program's"


def test_how_it_called_a_set_is_told_when_the_set_is_needed(tmp_path: Path) -> None:
    sut = program(
        tmp_path,
        """
        import json, sys
        from pathlib import Path
        task = json.loads(Path(sys.argv[1]).read_text("utf-8"))
        result = {"outcome": "failure", "reason": str(task["earlier_sets"]), "set": "tape 7"}
        Path(task["result"]).write_text(json.dumps(result))
        """,
    )
    first = task_in(tmp_path)
    assert answer_of(sut, first).claim is not None
    other = tmp_path / "never"
    second = evolve(first, set_folder=tmp_path / "second", earlier_sets=(first.set_folder, other))
    answer = answer_of(sut, second)
    assert answer.claim is not None
    assert answer.claim.reason == str(
        [{"folder": str(first.set_folder), "set": "tape 7"}, {"folder": str(other), "set": None}]
    )


# --- what it answers


def test_a_result_is_the_claim(tmp_path: Path) -> None:
    sut = program(
        tmp_path,
        """
        import json, os
        from pathlib import Path
        files = [{"name": "C:\\\\a.edb", "size": 3, "path": "a/x"}, {"name": "b", "size": 1 << 40}]
        Path(os.environ["ESESIM_RESULT"]).write_text(json.dumps({
            "schema": 1, "outcome": "success", "files": files, "restorable_to": {"First Group": 7},
        }))
        """,
    )
    task = task_in(tmp_path)
    claim = answer_of(sut, task).claim
    assert claim is not None
    assert claim.outcome is Outcome.SUCCESS
    first, second = claim.files
    assert (first.name, first.size, first.path) == ("C:\\a.edb", 3, task.set_folder / "a" / "x")
    assert (second.size, second.path) == (1 << 40, None)
    assert claim.generation_claimed("First Group") == 7


def test_without_a_result_the_exit_status_is_the_claim(tmp_path: Path) -> None:
    good = answer_of(program(tmp_path, "print('done')"), task_in(tmp_path)).claim
    assert good is not None
    assert good.outcome is Outcome.SUCCESS
    text = "import sys; print('half'); sys.exit('the tape is full\\n')"
    bad = answer_of(program(tmp_path, text), task_in(tmp_path))
    assert bad.claim is not None
    assert bad.claim.outcome is Outcome.FAILURE
    assert bad.claim.reason == "exit status 1: the tape is full"
    assert bad.output == "half\nthe tape is full\n\n"


@pytest.mark.parametrize(
    ("result", "status", "message"),
    [
        ("{", 0, "its result is no JSON: "),
        ('"done"', 0, "its result must be a JSON object, not str"),
        ("{}", 0, "claim.outcome must be 'success' or 'failure', not None"),
        ('{"outcome": "success", "schema": 2}', 0, "its result is of schema 2; this harness reads"),
        ('{"outcome": "success", "files": [{"name": "x"}]}', 0, "claim.files: x: 'size' must be"),
        ('{"outcome": "success"}', 1, "its result says success, its exit status is 1"),
        ("[" * 100_000, 0, "its result is no JSON"),
    ],
)
def test_nonsense_is_no_claim(tmp_path: Path, result: str, status: int, message: str) -> None:
    (tmp_path / "result").write_text(result)
    sut = program(
        tmp_path,
        f"""
        import os, shutil, sys
        shutil.copy({str(tmp_path / "result")!r}, os.environ["ESESIM_RESULT"])
        sys.exit({status})
        """,
    )
    answer = answer_of(sut, task_in(tmp_path))
    assert answer.claim is None
    assert answer.crash.startswith("the client's answer is no claim: ")
    assert message in answer.crash


def test_a_folder_is_no_result(tmp_path: Path) -> None:
    sut = program(tmp_path, "import os; os.mkdir(os.environ['ESESIM_RESULT'])")
    assert "its result is no file" in answer_of(sut, task_in(tmp_path)).crash


def test_its_own_check_has_the_last_word(tmp_path: Path) -> None:
    backup = script(tmp_path / "backup.py", "print(1)")
    verify = script(tmp_path / "verify.py", "raise SystemExit('x is torn')")
    text = f"backup = {json.dumps(backup)}\nverify = {json.dumps(verify)}\n"
    (tmp_path / "agent.toml").write_text(text)
    claim = answer_of(load_sut(f"cmd:@{tmp_path}/agent.toml"), task_in(tmp_path)).claim
    assert claim is not None
    assert claim.outcome is Outcome.FAILURE
    assert claim.reason == "its own verify says no: exit status 1: x is torn"


# --- what is found of a program that says nothing


def received(data: bytes) -> Received:
    return Received().and_then(memoryview(data))


def test_files_are_known_by_their_bytes_or_their_names(tmp_path: Path) -> None:
    for name, data in {"0001": b"aa", "G/priv1.edb": b"bb", "H/priv1.edb": b"xx"}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    opened = {
        "C:\\G\\one.edb": received(b"aa"),
        "C:\\H\\PRIV1.edb": received(b"cc"),
        "C:\\G\\priv1.edb": received(b"bb"),
        "C:\\G\\lost.log": received(b"dd"),
    }
    found = {file.name: (file.size, file.path) for file in saved_files(tmp_path, opened)}
    assert found == {
        "C:\\G\\one.edb": (2, tmp_path / "0001"),
        "C:\\H\\PRIV1.edb": (2, tmp_path / "H" / "priv1.edb"),
        "C:\\G\\priv1.edb": (2, tmp_path / "G" / "priv1.edb"),
    }


def test_a_set_in_a_form_of_its_own_is_unreadable(tmp_path: Path) -> None:
    (tmp_path / "archive.zip").write_bytes(b"PK")
    (file,) = saved_files(tmp_path, {"C:\\a.edb": received(b"abc")})
    assert (file.name, file.size, file.path) == ("C:\\a.edb", 3, None)


# --- what it may do to itself


@posix_only
def test_a_signal_is_a_crash_whatever_was_written(tmp_path: Path) -> None:
    text = """
    import os, signal
    open(os.environ["ESESIM_RESULT"], "w").write('{"outcome": "success"}')
    print("about to fall", flush=True)
    os.kill(os.getpid(), signal.SIGSEGV)
    """
    answer = answer_of(program(tmp_path, text), task_in(tmp_path))
    assert answer.claim is None
    assert answer.crash == f"the program was ended by signal {signal.SIGSEGV.value} (SIGSEGV)"
    assert answer.output == "about to fall\n"


@pytest.fixture
def witness(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """Programs that connect here are seen to end: their end of the connection closes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        monkeypatch.setenv("WITNESS", str(listener.getsockname()[1]))
        yield listener


LINGERS = """
    import os, socket, sys, time
    witness = socket.create_connection(("127.0.0.1", int(os.environ["WITNESS"])))
    witness.send(b"here")
    print("lingering", flush=True)
    time.sleep(60)
"""


def ends(witness: socket.socket) -> bool:
    """Whether a program that was here is gone."""
    connection, _ = witness.accept()
    with connection:
        connection.settimeout(10)
        assert connection.recv(4) == b"here"
        try:
            return connection.recv(1) == b""
        except ConnectionResetError:
            return True


def test_a_hang_is_ended_with_all_its_children(tmp_path: Path, witness: socket.socket) -> None:
    child = script(tmp_path / "child.py", LINGERS)
    sut = program(tmp_path, f"import subprocess; subprocess.run({child!r}.split())")
    answer = answer_of(sut, task_in(tmp_path), limit=0.5)
    assert answer.crash == "the client did not answer within 0.5 s"
    assert answer.output == "lingering\n"
    assert not answer.still_running
    assert answer.seconds < 10
    assert ends(witness)


def test_what_it_leaves_behind_is_ended(tmp_path: Path, witness: socket.socket) -> None:
    child = script(tmp_path / "child.py", LINGERS)
    text = f"""
    import subprocess
    with subprocess.Popen({child!r}.split(), stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        process.wait = lambda: None
    """
    answer = answer_of(program(tmp_path, text), task_in(tmp_path))
    assert answer.claim is not None
    assert answer.claim.outcome is Outcome.SUCCESS
    assert ends(witness)


@posix_only
def test_one_that_escapes_holds_nothing_up(
    tmp_path: Path, witness: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eseconform.cmdprocess._DRAIN_SECONDS", 0.05)
    child = script(tmp_path / "child.py", LINGERS.replace("60", "1"))
    text = f"import subprocess; subprocess.Popen({child!r}.split(), start_new_session=True)"
    started = time.monotonic()
    assert answer_of(program(tmp_path, text), task_in(tmp_path)).claim is not None
    assert time.monotonic() - started < 1
    assert ends(witness)


def test_a_time_limit_of_its_own(tmp_path: Path) -> None:
    sut = evolve(program(tmp_path, "import time; time.sleep(60)"), seconds_max=0.2)
    assert answer_of(sut, task_in(tmp_path)).crash.endswith("within 0.2 s")


def test_much_output_is_cut_in_the_middle(tmp_path: Path) -> None:
    answer = answer_of(
        program(tmp_path, "print('first'); print('x' * 2_000_000); print('last')"),
        task_in(tmp_path),
    )
    assert answer.output.startswith("first\nxxx")
    assert answer.output.endswith("xxx\nlast\n")
    assert " characters left out ...\n" in answer.output
    assert len(answer.output) < HEAD_CHARACTERS_MAX + TAIL_CHARACTERS_MAX + 60


def test_secrets_are_blotted_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_PASSWORD", "hunter2!")
    monkeypatch.setenv("AGENT_PIN", "004711")
    text = """
    import os, sys
    sys.exit(f"no: {os.environ['AGENT_PASSWORD']}{os.environ['AGENT_PIN']}")
    """
    backup = script(tmp_path / "agent.py", text)
    (tmp_path / "agent.toml").write_text(
        f"backup = {json.dumps(backup)}\nsecrets = ['AGENT_PIN']\n"
    )
    answer = answer_of(load_sut(f"cmd:@{tmp_path}/agent.toml"), task_in(tmp_path))
    assert answer.claim is not None
    assert answer.claim.reason == "exit status 1: no: ******"
    assert answer.output == "no: ******\n"


# --- a restore at file level


class Disks:
    """The server's disks."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, bytes]] = []

    def create(self, windows_path: str) -> Any:
        @contextmanager
        def opened() -> Iterator[io.BytesIO]:
            if windows_path.endswith("busy.edb"):
                raise OSError("in use")
            sink = io.BytesIO()
            yield sink
            self.taken.append((windows_path, sink.getvalue()))

        return opened()


def test_what_is_written_is_there_at_the_next_call(tmp_path: Path) -> None:
    disks = Disks()
    drives = Drives(tmp_path, disks)
    drives.before("restore_open_file", {"file_name": "d:\\a\\b.edb"})
    assert (tmp_path / "D").is_dir()
    (tmp_path / "D" / "a").mkdir()
    (tmp_path / "D" / "a" / "b.edb").write_bytes(b"new")
    (tmp_path / "D" / "busy.edb").write_bytes(b"!")
    (tmp_path / "stray").write_bytes(b"?")
    assert disks.taken == []
    drives.before("restore_close_file", {})
    drives.before("restore_complete", {})
    assert disks.taken == [("D:\\a\\b.edb", b"new")]
    (tmp_path / "D" / "a" / "b.edb").write_bytes(b"newer")
    drives.collect()
    assert disks.taken[1:] == [("D:\\a\\b.edb", b"newer")]


# --- the harness goes on


def test_a_hang_is_a_verdict_and_no_end(tmp_path: Path) -> None:
    sut = program(tmp_path, "import time; time.sleep(60)")
    changed = evolve(settings(tmp_path), sut=sut, transport=Transport.RPC)
    result = run_case(case("sanity", seconds_max=0.2), changed)
    assert result.verdict is Verdict.CRASH
    assert result.axis(Axis.HONESTY).findings[0].text.endswith("within 0.2 s")
    assert f"--sut 'cmd:{sys.executable} -S" in result.reproduce


def test_a_program_that_does_nothing_is_no_success(tmp_path: Path) -> None:
    changed = evolve(settings(tmp_path), sut=program(tmp_path, ""), transport=Transport.RPC)
    result = run_case(case("sanity"), changed)
    assert result.axis(Axis.DATA).verdict is Verdict.FAIL
    assert result.axis(Axis.HONESTY).verdict is Verdict.FAIL


def test_the_bundled_client_by_its_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
    command = (
        f"{sys.executable} -m esebcli.cli backup --server {{endpoint}} --kind {{kind}} "
        "--group={group} --previous={previous} --out {set} --quiet"
    )
    changed = evolve(settings(tmp_path), sut=load_sut(f"cmd:{command}"), transport=Transport.RPC)
    result = run_case(case("truncation"), changed)
    assert result.verdict is Verdict.PASS, result.divergence
    assert [job.kind for job in result.jobs] == ["full", "incremental"]
    assert all(job.files and job.restorable_to for job in result.jobs)


def test_the_bundled_client_restores_at_file_level(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
    own = "{python} -m esebcli.cli"
    (tmp_path / "esebcli.toml").write_text(
        f"""
        backup = "{own} backup --server {{endpoint}} --kind {{kind}} --out {{set}} --quiet"
        restore = '''{own} restore --server {{endpoint}} --files-root={{files}}
            --no-mount{{no_mount}} --quiet {{earlier}}'''
        capabilities = ["restore"]
        """
    )
    sut = load_sut(f"cmd:@{tmp_path}/esebcli.toml")
    changed = evolve(settings(tmp_path), sut=sut, transport=Transport.RPC)
    result = run_case(case("restore-file-level"), changed)
    assert result.verdict is Verdict.PASS, result.divergence
    assert JobKind.RESTORE.value in [job.kind for job in result.jobs]
