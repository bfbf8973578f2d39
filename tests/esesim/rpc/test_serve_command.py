"""`esesim serve` and `esebcli --server rpc:...` as two programs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

ESESIM = (sys.executable, "-c", "from esesim.cli import main; main(prog_name='esesim')")
ESEBCLI = (sys.executable, "-c", "from esebcli.cli import main; main()")

TOPOLOGY = """
[server]
name = "EXCHSRV1"

[[group]]
name = "G1"
log_size = "64 KiB"
workload = { messages = 5 }

[[group.store]]
name = "Mailboxes"
"""


def run(
    program: Sequence[str], *arguments: object, **more: Any
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*program, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **more,
    )


@contextmanager
def serving(*arguments: object, **variables: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [*ESESIM, "serve", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **variables},
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.fixture
def topology(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(TOPOLOGY, "utf-8")
    return path


@pytest.mark.slow
def test_backup_and_restore_between_two_programs(tmp_path: Path, topology: Path) -> None:
    directory, saved = tmp_path / "server", tmp_path / "set"
    assert run(ESESIM, "init", topology, directory).returncode == 0
    with serving(directory) as process:
        endpoint = first_line(process)
        assert endpoint.startswith("rpc:127.0.0.1:")
        done = run(
            ESEBCLI, "backup", "--server", endpoint, "--kind", "full", "--out", saved, "--quiet"
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert run(ESEBCLI, "verify", saved).returncode == 0
        # The store is mounted: the server refuses, in the words that it has in process.
        refused = run(ESEBCLI, "restore", saved, "--server", endpoint)
        assert refused.returncode == 1
        assert "hrCBDatabaseInUse" in refused.stderr
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    overwritable = topology.read_text().replace(
        'name = "Mailboxes"', 'name = "Mailboxes"\nmounted = false\noverwritable = true'
    )
    topology.write_text(overwritable, "utf-8")
    with serving(topology) as process:
        restored = run(ESEBCLI, "restore", saved, "--server", first_line(process))
        assert restored.returncode == 0, restored.stderr
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
    assert not (directory / "in-use").exists()


@pytest.mark.slow
def test_command_and_its_status(topology: Path) -> None:
    code = "import os, sys; print(os.environ['ESESIM_ENDPOINT'], sys.argv[1:]); sys.exit(7)"
    done = run(ESESIM, "serve", topology, "--", sys.executable, "-c", code, "--quiet", "a b")
    assert done.returncode == 7
    assert done.stdout.startswith("rpc:127.0.0.1:")
    assert done.stdout.endswith("['--quiet', 'a b']\n")


def test_command_that_cannot_be_started(topology: Path) -> None:
    done = run(ESESIM, "serve", topology, "--", "no-such-program")
    assert done.returncode == 2
    assert "no-such-program" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.slow
def test_ready_file_and_json(tmp_path: Path, topology: Path) -> None:
    ready = tmp_path / "ready"
    second = tmp_path / "second.toml"
    second.write_text(TOPOLOGY.replace("EXCHSRV1", "EXCHSRV2"), "utf-8")
    with serving(
        topology, "--also", second, "--ready-file", ready, ESESIM_JSON="1", ESESIM_CONNECTIONS="1"
    ) as process:
        told = json.loads(first_line(process))
        assert json.loads(ready.read_text("utf-8")) == told
        assert told["endpoint"] == f"rpc:127.0.0.1:{told['port']}"
        assert [computer["name"] for computer in told["computers"]] == ["EXCHSRV1", "EXCHSRV2"]
        assert told["computers"][0]["groups"] == ["G1"]
        assert len(told["interfaces"]) == 3
        done = run(ESEBCLI, "nodes", "--server", told["endpoint"], "--json")
        assert done.returncode == 0, done.stderr
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        assert not ready.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("no-such-topology",), "no-such-topology"),
        (("minimal", "--host", "0.0.0.0"), "no authentication"),
        (("minimal", "--fragment-max", "1433"), "multiple of 8"),
        (("minimal", "--also", "minimal"), "name of its own"),
    ],
)
def test_mistakes_are_one_line(arguments: tuple[str, ...], message: str) -> None:
    done = run(ESESIM, "serve", *arguments)
    assert done.returncode == 2
    assert message in done.stderr and "Traceback" not in done.stderr


def test_a_port_in_use(topology: Path) -> None:
    with serving(topology) as process:
        port = first_line(process).rpartition(":")[2]
        done = run(ESESIM, "serve", topology, "--port", port)
        assert done.returncode == 2
        assert "in use" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_server_that_dies_is_told_from_one_that_refuses(tmp_path: Path, topology: Path) -> None:
    with serving(topology) as process:
        endpoint = first_line(process)
        process.kill()
        process.wait()
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            done = run(ESEBCLI, "nodes", "--server", endpoint)
            if done.returncode:
                break
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1 and "refused" in done.stderr
