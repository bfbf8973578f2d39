"""``esebcli restore``: exit codes, one line for each error, JSON; and a server in a directory."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any

import pytest

from eseback.errors import EseBackupError
from esebcli import transports
from esebcli.cli import main
from esebcli.manifest import Kind
from esebcli.transports import ENTRY_POINT_GROUP
from esesim.engine.inspect import read_rows
from esesim.server import DirectoryServer, create_directory_server
from esesim.topology import read_topology_text
from esesim.windows_path import to_volume_path
from tests.esebcli.support_cli import FakeTransport, Outcome, Run, one_line, runner
from tests.esebcli.support_jobs import back_up, flip, manifest_of
from tests.esebcli.support_restore import RestoringServer
from tests.esebcli.support_simulator import FIRST, free, on_disk, truth, unlike
from tests.support.readers import Reader, each_reader


@pytest.fixture
def run(
    restorer: RestoringServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Run:
    """Run a command against the scripted server that restores."""
    return runner(restorer, capsys, monkeypatch)


@pytest.fixture
def sets(restorer: RestoringServer, tmp_path: Path) -> tuple[Path, Path]:
    """A full and an incremental."""
    full, inc = tmp_path / "full", tmp_path / "inc"
    assert back_up(restorer, full).ok
    for group in restorer.groups:
        group.work(4)
    assert back_up(restorer, inc, Kind.INCREMENTAL, previous=full).ok
    restorer.calls.clear()
    return full, inc


def restore(*more: object) -> list[object]:
    return ["restore", "--server", "fake:x", *more]


def test_a_restore(run: Run, restorer: RestoringServer, sets: tuple[Path, Path]) -> None:
    before = FakeTransport.closed
    outcome = run(*restore(*sets))
    assert (outcome.code, outcome.err) == (0, "")
    assert "First Storage Group: recovered, 12 files, " in outcome.out
    assert ", logs 4 to 11, " in outcome.out
    assert "Store priv2: C:\\Program Files\\Exchsrvr\\mdbdata\\priv2.edb" in outcome.out
    assert outcome.out.endswith("restore done: EXCH1\n")
    assert FakeTransport.closed == before + 1
    assert len(restorer.completed) == 2


def test_json(run: Run, sets: tuple[Path, Path]) -> None:
    outcome = run(*restore(*sets, "--json", "--group", "Second"))
    assert (outcome.code, outcome.err) == (0, "")
    data = outcome.data
    (group,) = data.pop("groups")
    assert data == {"ok": True, "reasons": [], "server": "EXCH1"}
    assert group.pop("seconds") > 0 and group.pop("bytes") == manifest_size(*sets)
    edb = "C:\\Program Files\\Exchsrvr\\mdbdata\\priv2.edb"
    assert group == {
        "name": "Second",
        "outcome": "recovered",
        "error": None,
        "databases": [
            {
                "name": "Store priv2",
                "guid": "00000000-0000-0000-0000-000000000003",
                "sources": [edb],
                "destinations": [edb],
            }
        ],
        "logs": {"low": 4, "high": 11},
        "log_path": "C:\\Temp\\Restore 1",
        "sets": [str(folder) for folder in sets],
        "files": 9,
        "warnings": [],
    }


def manifest_size(full: Path, inc: Path) -> int:
    """Bytes of the image in the full and of logs 4 to 11, each once."""
    sizes = {}
    for folder in (full, inc):
        part = manifest_of(folder).group("Second")
        assert part is not None
        sizes.update({file.name: file.size for file in part.files})
    return sum(size for name, size in sizes.items() if name != "E0100003.log")


def test_quiet(run: Run, restorer: RestoringServer, sets: tuple[Path, Path]) -> None:
    outcome = run(*restore(*sets, "--quiet"))
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")
    restorer.fail("restore_complete", EseBackupError.from_jet(-543, "restore_complete"))
    outcome = run(*restore(*sets, "--quiet", "--group", "Second"))
    assert outcome.code == 1 and outcome.out == ""
    assert "Second: restore_complete: " in one_line(outcome)


def test_a_failed_restore(run: Run, restorer: RestoringServer, sets: tuple[Path, Path]) -> None:
    name = "hrCBDatabaseInUse"
    restorer.fail("restore_add_database", EseBackupError.from_name(name, "restore_add_database"))
    outcome = run(*restore(*sets, "--json", "--group", "Second"))
    assert outcome.code == 1 and outcome.data["ok"] is False
    assert outcome.data["groups"][0]["outcome"] == "untouched"
    assert name in one_line(outcome) and "dismount the store" in outcome.data["reasons"][0]


def test_the_options_arrive(run: Run, restorer: RestoringServer, sets: tuple[Path, Path]) -> None:
    restorer.file_level = True
    root = sets[0].parent / "disks"
    for drive in "DE":
        (root / drive).mkdir(parents=True)
    more: Mapping[str, object] = {
        "--group": "First Storage Group",
        "--database": "store pub1",
        "--to": sets[0],
        "--place": "Store pub1=D:\\new\\pub.edb",
        "--log-path": "E:\\logs",
        "--computer": "EXCH9",
        "--files-root": root,
        "--check": "headers",
    }
    options = [item for pair in more.items() for item in pair]
    outcome = run(*restore(*reversed(sets), *options, "--no-mount", "--keep-logs", "--poll"))
    assert outcome.code == 0, outcome.err
    written = sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())
    assert written[:2] == ["D/new/pub.edb", "D/new/pub.stm"]
    assert written[2:] == [f"E/logs/E00{g:05X}.log" for g in (4, 5, 6)]
    assert restorer.calls_of("restore_open")[0].argument == (
        "EXCH9",
        "First Storage Group",
        "E:\\logs",
    )
    assert restorer.completed[0].flags == 0x30000
    assert "warning: database 'Store pub1' is restored to D:\\new\\pub.edb" in outcome.out


def test_play_forward_and_into(
    run: Run, restorer: RestoringServer, sets: tuple[Path, Path]
) -> None:
    arguments = (*sets, "--group", "Second", "--play-forward")
    assert run(*restore(*arguments)).code == 0
    assert restorer.completed[0].target == "Second"
    outcome = run(*restore(*arguments, "--into", "Elsewhere"))
    assert outcome.code == 1 and "not into storage group 'Elsewhere'" in one_line(outcome)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Missing argument 'SET...'"),
        (["full", "--parallel", "0"], "Invalid value for '--parallel'"),
        (["full", "full"], "a set is named twice"),
        (["full", "--group", "Third"], "none of the sets holds storage group 'Third'"),
        (["full", "--database", "x"], "one storage group at a time"),
        (["full", "--group", "Second", "--database", "x"], "know no database 'x'"),
        (["full", "--to", "inc"], "is none of the sets"),
        (["full", "--place", "x"], "write NAME=PATH"),
        (["full", "--place", "=x"], "write NAME=PATH"),
        (["full", "--place", "x=a.edb", "--place", "x=b.edb"], "is given two places"),
        (["full", "--files-root", "nowhere"], "nowhere is no folder"),
        (["full", "--server", "x"], "has no scheme"),
    ],
)
def test_wrong_use_is_one_line_and_2(
    run: Run,
    restorer: RestoringServer,
    sets: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(sets[0].parent)
    outcome = run(*restore(*arguments))
    assert outcome.code == 2 and outcome.out == ""
    assert message in one_line(outcome)
    assert restorer.calls == []


def test_refused_sets_are_one_line_and_1(
    run: Run, restorer: RestoringServer, sets: tuple[Path, Path]
) -> None:
    outcome = run(*restore(sets[1]))
    assert outcome.code == 1 and "give the full backup too" in one_line(outcome)
    flip(sets[0] / "Second" / "priv2.edb", 9000)
    outcome = run(*restore(*sets))
    assert outcome.code == 1 and "'Second' can't be restored" in one_line(outcome)
    outcome = run(*restore(*sets, sets[0].parent))
    assert outcome.code == 1 and "no manifest.json" in one_line(outcome)
    assert restorer.calls == []


def test_control_c(run: Run, restorer: RestoringServer, sets: tuple[Path, Path]) -> None:
    restorer.fail("restore_write_file", KeyboardInterrupt())
    outcome = run(*restore(*sets, "--group", "Second"))
    assert outcome.code == 1
    assert "perhaps overwritten in part: 'Second'; restore again" in one_line(outcome)
    assert restorer.methods()[-2:] == ["restore_close_file", "restore_close"]
    restorer.fail("restore_add_database", KeyboardInterrupt())
    outcome = run(*restore(*sets, "--group", "Second"))
    assert outcome.code == 1 and "no database was left half restored" in one_line(outcome)


def test_hostile_names_do_not_reach_the_terminal(
    run: Run, restorer: RestoringServer, sets: tuple[Path, Path]
) -> None:
    import uuid

    restorer.places[uuid.UUID(int=3)] = ("C:\\\x1b[2J.edb",)
    for more in ((), ("--json",)):
        outcome = run(*restore(*sets, "--group", "Second", "--into", "Elsewhere", *more))
        assert outcome.code == 0 and "[2J.edb" in outcome.out
        assert "\x1b" not in outcome.out + outcome.err


# --- a server in a directory, from the command line


def esebcli(*arguments: object) -> Outcome:
    """The client against the simulator; nothing of it is left when the command ends."""
    point = EntryPoint("inproc", "esesim.inproc:open_transport", ENTRY_POINT_GROUP)
    out, err = io.StringIO(), io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.raises(SystemExit) as exit_,
    ):
        patch.setattr(transports, "entry_points", EntryPoints([point]).select)
        main([str(argument) for argument in arguments])
    return Outcome(exit_.value.code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="module", params=["handle", "file_level"])
def restored(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any], Mapping[str, Any]]:
    """A server's directory after backup, disaster and restore; the result; the rows expected."""
    folder = tmp_path_factory.mktemp("server")
    home, full, inc = folder / "home", folder / "full", folder / "inc"
    text = read_topology_text("minimal")
    text = text.replace("[server]", f'[server]\nrestore_files = "{request.param}"')
    # No mail while the client works: what is there afterwards is what the incremental ends with.
    text = text.replace("[workload]", "[workload]\nsteps_per_call = 0")
    (folder / "topology.toml").write_text(text)
    create_directory_server(folder / "topology.toml", home).close()
    address = f"inproc:{home}"
    done = esebcli("backup", "--server", address, "--kind", "full", "--out", full)
    assert done.code == 0, done.err
    with DirectoryServer(home) as server:
        server.run_workload(FIRST, 60)
    more = ("--kind", "incremental", "--previous", full, "--out", inc)
    done = esebcli("backup", "--server", address, *more)
    assert done.code == 0, done.err
    done = esebcli("restore", "--server", address, full, inc)
    assert done.code == 1 and "is mounted; dismount it" in done.err
    with DirectoryServer(home) as server:
        free(server)
        expected = truth(server)
        server.destroy_group(FIRST)
    root = ("--files-root", home / "volume") if request.param == "file_level" else ()
    done = esebcli("restore", "--server", address, full, inc, "--no-mount", "--json", *root)
    assert done.code == 0, done.err
    return home, done.data, expected


def test_a_directory_server_comes_back(
    restored: tuple[Path, dict[str, Any], Mapping[str, Any]],
) -> None:
    home, result, expected = restored
    assert result["ok"] and result["groups"][0]["outcome"] == "recovered"
    with DirectoryServer(home) as server:
        assert server.group(FIRST).mounted == ()
        assert unlike(expected, on_disk(server)) == []
        for store in server.group(FIRST).spec.stores:
            server.mount(FIRST, store.name)
        server.run_workload(FIRST, 5)


@each_reader
def test_independent_readers_agree(
    restored: tuple[Path, dict[str, Any], Mapping[str, Any]], reader: Reader
) -> None:
    """The restored file, read by programs that are not ours."""
    home, _, _ = restored
    with DirectoryServer(home) as server:
        (store,) = server.group(FIRST).spec.stores
        for name in server.group(FIRST).mounted:
            server.dismount(FIRST, name)
        edb, stm = to_volume_path(store.edb), to_volume_path(store.stm)
        rows = read_rows(server.volume, edb, stm)
        expected = {table: list(found.values()) for table, found in rows.items()}
        assert expected["Msg"]
        path = home / "volume" / edb
        assert reader.differences(path, expected, ignore={"Stream"}) == []
