"""``esesim ctl``: what it prints, what it tells of mistakes, and a scene with real programs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from eseback.constants import BackupType
from eseback.errors import EseBackupError
from esebcli.rpcapi import RpcApi
from esebcli.rpcconnection import RpcConnection
from esesim.cli import main
from esesim.cli.ctl import ctl
from esesim.rpc import serve
from esesim.server import SimulatedServer
from tests.esesim.rpc.administered import DISMOUNTED, Desk, administered
from tests.esesim.rpc.test_serve_command import ESESIM, first_line, run, serving
from tests.esesim.rpc.wire import connected, eventually
from tests.esesim.support.servers import SERVER, back_up, prepare, small_server

PLAN = '{"fault": [{"action": "hresult", "call": "backup_read_file", "error": "hrDiskIO"}]}'


@pytest.fixture
def server() -> SimulatedServer:
    return small_server(groups=2, stores=2, dismounted=(DISMOUNTED,))


@pytest.fixture
def desk(server: SimulatedServer) -> Iterator[Desk]:
    with administered(server) as desk:
        yield desk


def invoke(desk: Desk | str, *arguments: str, text: str | None = None) -> Result:
    """Run `esesim ctl` in this process."""
    endpoint = desk if isinstance(desk, str) else desk.endpoint
    environment = {"ESESIM_ENDPOINT": endpoint or None}
    return CliRunner().invoke(main, ["ctl", *arguments], input=text, env=environment)


def printed(desk: Desk, *arguments: str, text: str | None = None) -> str:
    """What it prints; it has to succeed."""
    done = invoke(desk, *arguments, text=text)
    assert (done.exit_code, done.stderr) == (0, ""), done.output
    return done.stdout


def test_state_as_text_and_as_json(desk: Desk) -> None:
    text = printed(desk, "state")
    assert text.splitlines()[0].startswith(f"{SERVER} (exchange-2003-sp1): 2 of 16 instances")
    assert "    G1S1: mounted\n    G1S2: dismounted\n" in text
    found = json.loads(printed(desk, "state", "--json"))
    assert (found["computer"], found["computers"]) == (SERVER, [SERVER])
    assert [group["group"] for group in found["groups"]] == ["G1", "G2"]
    printed(desk, "transcript", "on")
    printed(desk, "rate", "2.5")
    printed(desk, "snapshot")
    printed(desk, "faults", "-", text=PLAN)
    with connected(desk.server) as api:
        prepared = prepare(api)
        api.backup_setup(prepared.context, prepared.instances["G1"], BackupType.FULL)
        text = printed(desk, "state")
    for words in ("2.5 steps/s", "1 rules", "written down", "snapshots: 1", "backup: databases"):
        assert words in text


def test_changing_a_server(desk: Desk, server: SimulatedServer) -> None:
    group = server.group("G1")
    assert printed(desk, "mount", "G1", DISMOUNTED) == ""
    assert group.is_mounted(DISMOUNTED)
    printed(desk, "dismount", "G1", DISMOUNTED)
    printed(desk, "overwrite", "G1", DISMOUNTED)
    assert (group.is_mounted(DISMOUNTED), group.overwritable) == (False, (DISMOUNTED,))
    printed(desk, "overwrite", "G1", DISMOUNTED, "off")
    assert group.overwritable == ()
    before = group.clock.milliseconds
    printed(desk, "workload", "G1", "8")
    assert group.clock.milliseconds == before + 8 * 250
    printed(desk, "rate", "topology")
    assert group.pace is None
    printed(desk, "destroy", "G1", DISMOUNTED)
    printed(desk, "destroy", "G2")
    assert server.group("G2").instance is None
    assert json.loads(printed(desk, "crash", "--json")) == {"lost": 0, "torn": 0}
    assert "started again" in printed(desk, "crash", "--seed", "3")
    printed(desk, "reset")
    assert "G2S2: mounted" in printed(desk, "state")


def test_snapshots(desk: Desk) -> None:
    assert json.loads(printed(desk, "snapshot", "--json")) == {"snapshot": 1}
    printed(desk, "dismount", "G1", "G1S1")
    assert printed(desk, "snapshot") == "2\n"
    printed(desk, "restore-snapshot", "1")
    assert "G1S1: mounted" in printed(desk, "state")
    printed(desk, "delete-snapshot", "1")
    assert "no snapshot 1" in invoke(desk, "restore-snapshot", "1").stderr


def test_what_happened(desk: Desk, tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text(PLAN, "utf-8")
    assert printed(desk, "faults", str(plan)) == (
        "hresult call=backup_read_file error=hrDiskIO: matched 0, fired 0\n"
    )
    printed(desk, "transcript", "on")
    with connected(desk.server) as api:
        with pytest.raises(EseBackupError, match="hrDiskIO"):
            back_up(api, "G1")
        (rule,) = json.loads(printed(desk, "faults", "--json"))
        assert (rule["matched"], rule["fired"]) == (1, 1)
        assert printed(desk, "faults", "--clear") == ""
        back_up(api, "G2")
    printed(desk, "transcript", "off")
    lines = printed(desk, "transcript").splitlines()
    assert lines[0].startswith("1.1 HrESEBackupPrepare(server=")
    assert "-> hrDiskIO injected fault" in "\n".join(lines)
    records = [json.loads(line) for line in printed(desk, "transcript", "--json").splitlines()]
    assert [record["n"] for record in records] == list(range(1, len(lines) + 1))
    assert printed(desk, "transcript", "--client", "7") == ""
    assert len(printed(desk, "transcript", "--since", "3").splitlines()) == len(lines) - 3
    events = json.loads(printed(desk, "events", "--json"))
    shown = printed(desk, "events").splitlines()
    assert len(events) == len(shown) > 3 and events[-1]["text"] in shown[-1]
    assert len(printed(desk, "events", "--since", "2").splitlines()) == len(shown) - 2
    entries = {entry["store"]: entry for entry in json.loads(printed(desk, "ledger", "--json"))}
    assert entries["G1S1"]["restorable_to"] is None and entries["G2S1"]["restorable_to"]
    shown = printed(desk, "ledger").splitlines()
    assert "  no backup brings it back" in shown
    assert any(line.startswith("  full backup: logs ") for line in shown)
    rows = printed(desk, "journal", "G1", "G1S1", "--generation", "1").splitlines()
    assert json.loads(rows[0])["table"] == "Folder"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("mount", "G9", "x"), 2, "no storage group 'G9'; the server has 'G1', 'G2'"),
        (("destroy", "G1", "G1S1"), 1, "dismount it"),
        (("--computer", "X", "state"), 2, "no computer 'X'"),
        (("faults", "-"), 2, "not valid TOML"),
        (("faults", "no-such-file"), 2, "no-such-file"),
        (("faults", "-", "--clear"), 2, "either"),
        (("rate", "fast"), 2, "'fast' is neither"),
        (("rate", "-1"), 2, ""),
        (("rate", "nan"), 2, "neither"),
        (("workload", "G1", "0"), 2, "0 is not in the range"),
        (("restore-snapshot", "5"), 2, "no snapshot 5"),
    ],
)
def test_mistakes(desk: Desk, arguments: tuple[str, ...], code: int, message: str) -> None:
    done = invoke(desk, *arguments, text="=")
    assert (done.exit_code, message in done.stderr) == (code, True), done.output
    assert "Traceback" not in done.output


@pytest.mark.parametrize(
    ("endpoint", "message"),
    [
        ("", "ESESIM_ENDPOINT"),
        ("nonsense", "write rpc:HOST:PORT"),
        ("rpc:127.0.0.1:99999", "write rpc:HOST:PORT"),
        ("rpc:127.0.0.1:1", "refused"),
        ("rpc:127.0.0.1:1,who=me", "unknown option 'who=me'"),
        ("rpc:127.0.0.1:1,level=privacy", "without user="),
        ("rpc:127.0.0.1:1,user=me", "no password for me"),
        ("rpc:127.0.0.1:1,user=me,password-file=no-such-file", "no-such-file"),
        ("rpc:127.0.0.1:1,user=me,auth=magic", "one of ntlm, spnego"),
        ("rpc:127.0.0.1:1,timeout=3", "unknown option 'timeout=3'"),
        ("rpc:127.0.0.1:1,user=me,password=x", "ESESIM_PASSWORD"),
    ],
)
def test_endpoints_that_lead_nowhere(endpoint: str, message: str) -> None:
    done = invoke(endpoint, "state")
    assert (done.exit_code, message in done.stderr) == (2, True), done.output


def test_a_server_without_administration_tells_how() -> None:
    with serve(small_server()) as server:
        done = invoke("rpc:{}:{}".format(*server.address), "state")
    assert done.exit_code == 2
    assert "esesim serve --admin" in done.stderr


def test_every_option_of_serve_has_a_variable() -> None:
    command = main.commands["serve"]
    options = [p for p in command.params if isinstance(p, click.Option) and p.name != "help"]
    assert len(options) > 15
    for option in options:
        long = next(name for name in option.opts if name.startswith("--"))
        assert option.envvar == f"ESESIM_{long[2:].replace('-', '_').upper()}", long


def test_every_operation_that_shows_data_has_json() -> None:
    showing = {"state", "events", "ledger", "transcript", "faults", "snapshot", "crash"}
    for name, command in ctl.commands.items():
        assert ("as_json" in [p.name for p in command.params]) == (name in showing), name


CLIENT = """
import sys, time
from eseback.constants import INFORMATION_STORE, BackupType
from esebcli.rpcapi import RpcApi
from esebcli.rpcconnection import RpcConnection
host, _, port = sys.argv[1].removeprefix("rpc:").rpartition(":")
api = RpcApi(RpcConnection(host, int(port)))
context, (instance,) = api.backup_prepare("EXCHSRV1", INFORMATION_STORE)
api.backup_setup(context, instance.instance_id, BackupType.FULL)
print("running", flush=True)
time.sleep(60)
"""


@pytest.mark.slow
def test_a_whole_scene_with_real_programs(tmp_path: Path) -> None:
    """A backup holds its group, a killed client lets go of it, a fault fires and is counted."""
    topology = tmp_path / "small.toml"
    topology.write_text(
        '[server]\nname = "EXCHSRV1"\n[[group]]\nname = "G1"\nlog_size = "64 KiB"\n'
        'workload = { messages = 5 }\n[[group.store]]\nname = "S1"\n',
        "utf-8",
    )
    with serving(topology, ESESIM_ADMIN="1", ESESIM_RATE="0") as served:
        endpoint = first_line(served)

        def group() -> dict[str, object]:
            done = invoke(endpoint, "state", "--json")
            assert done.exit_code == 0, done.output
            found: dict[str, object] = json.loads(done.stdout)["groups"][0]
            return found

        command = (sys.executable, "-c", CLIENT, endpoint)
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as client:
            try:
                assert first_line(client) == "running"
                assert group()["backup"] == "databases"
                refused = run(ESESIM, "ctl", "--server", endpoint, "dismount", "G1", "S1")
                assert refused.returncode == 1
                assert "JET error -505" in refused.stderr and "Traceback" not in refused.stderr
            finally:
                client.kill()
        assert eventually(lambda: group()["backup"] is None, 1.0)
        assert json.loads(invoke(endpoint, "events", "--json").stdout)[-1]["id"] == 215
        assert invoke(endpoint, "faults", "-", text=PLAN).exit_code == 0
        host, _, port = endpoint.removeprefix("rpc:").rpartition(":")
        api = RpcApi(RpcConnection(host, int(port)))
        with pytest.raises(EseBackupError, match="injected fault"):
            back_up(api, "G1")
        api.close()
        (rule,) = json.loads(invoke(endpoint, "faults", "--json").stdout)
        assert (rule["matched"], rule["fired"]) == (1, 1)
