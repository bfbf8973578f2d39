"""The command line: exit codes, one clear line for each error, JSON that a script can read."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

import eseback
import esebcli
from eseback.errors import EseBackupError
from esebcli.cli import main
from esebcli.manifest import Kind, State
from tests.esebcli.support_cli import FakeTransport, Run, one_line
from tests.esebcli.support_fake import FakeServer
from tests.esebcli.support_jobs import flip, manifest_of, names_in


def backup(*more: object, kind: str = "full", out: object) -> list[object]:
    return ["backup", "--server", "fake:x", "--kind", kind, "--out", out, *more]


def test_backup_verify_and_show(run: Run, server: FakeServer, tmp_path: Path) -> None:
    full, inc = tmp_path / "full", tmp_path / "inc"
    outcome = run(*backup(out=full))
    assert (outcome.code, outcome.err) == (0, "")
    assert "First Storage Group: complete, 7 files" in outcome.out
    assert f"full backup done: {full}" in outcome.out
    for group in server.groups:
        group.work(2)
    assert run(*backup("--previous", full, kind="incremental", out=inc)).code == 0
    outcome = run("verify", full, inc)
    assert outcome.code == 0
    assert "Second: restorable to log generation 9 (0x9) from full" in outcome.out
    assert outcome.out.endswith("verified: ok\n")
    outcome = run("show", full)
    assert outcome.code == 0
    assert "First Storage Group/priv1.edb" in outcome.out
    assert "C:\\Program Files\\Exchsrvr\\mdbdata\\priv1.edb" in outcome.out
    assert FakeTransport.closed >= 2


def test_only_the_groups_named(run: Run, server: FakeServer, tmp_path: Path) -> None:
    arguments = backup("--group", "Second", "--computer", "EXCH1", "--json", out=tmp_path / "s")
    outcome = run(*arguments)
    assert [group["name"] for group in outcome.data["groups"]] == ["Second"]
    assert "get_nodes" not in server.methods()


def test_json_of_a_backup(run: Run, tmp_path: Path) -> None:
    outcome = run(*backup("--json", out=tmp_path / "set"))
    assert outcome.code == 0 and outcome.err == ""
    data = outcome.data
    assert data["ok"] is True and data["reasons"] == []
    assert data["state"] == "complete" and data["folder"] == str(tmp_path / "set")
    assert data["groups"][0]["logs"]["high"] == 6
    assert data["groups"][0]["truncation"] == "done"


def test_json_of_verify_and_show(run: Run, tmp_path: Path) -> None:
    run(*backup(out=tmp_path / "set"))
    data = run("verify", "--json", tmp_path / "set").data
    assert data["ok"] is True
    assert data["chains"][0]["restorable_to"] == 6
    flip(tmp_path / "set" / "Second" / "E0100005.log", 4150)
    outcome = run("verify", "--json", tmp_path / "set")
    assert outcome.code == 1
    finding = outcome.data["sets"][0]["groups"][1]["findings"][0]
    assert finding["layer"] == "file" and finding["file"] == "E0100005.log"
    assert run("show", "--json", tmp_path / "set").data["kind"] == "full"


def test_quiet_says_nothing_but_errors(run: Run, server: FakeServer, tmp_path: Path) -> None:
    outcome = run(*backup("--quiet", out=tmp_path / "a"))
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")
    server.fail("backup_read_file", EseBackupError.from_jet(-1018, "backup_read_file"))
    outcome = run(*backup("--quiet", "--group", "Second", out=tmp_path / "b"))
    assert outcome.code == 1 and outcome.out == ""
    assert "Second: backup_read_file: hrReadVerifyFailure" in one_line(outcome)


def test_a_failed_backup(run: Run, server: FakeServer, tmp_path: Path) -> None:
    server.fail("backup_truncate_logs", EseBackupError.from_jet(-1032, "backup_truncate_logs"))
    outcome = run(*backup("--json", "--group", "Second", out=tmp_path / "set"))
    assert outcome.code == 1
    assert outcome.data["ok"] is False
    assert outcome.data["state"] == "complete"
    assert outcome.data["groups"][0]["truncation"] == "unknown"
    assert "-1032" in one_line(outcome) and "-1032" in outcome.data["reasons"][0]
    # Complete all the same.
    verified = run("verify", tmp_path / "set")
    assert verified.code == 0
    assert "note: whether its logs were truncated is unknown" in verified.out


def test_a_failure_is_told_once(run: Run, server: FakeServer, tmp_path: Path) -> None:
    server.fail("backup_setup", EseBackupError.from_jet(-560, "backup_setup"))
    outcome = run(*backup("--group", "Second", kind="incremental", out=tmp_path / "set"))
    assert outcome.code == 1
    assert "make a full backup first" in one_line(outcome)
    told = outcome.out.replace(str(tmp_path), "")  # whose number may be 560
    assert "Second: incomplete, 0 files" in told and "-560" not in told


def test_an_unreachable_server_is_a_failure(run: Run, server: FakeServer, tmp_path: Path) -> None:
    server.fail("backup_prepare", EseBackupError.from_name("hrCouldNotConnect", "backup_prepare"))
    outcome = run(*backup(out=tmp_path / "set"))
    assert outcome.code == 1 and "hrCouldNotConnect" in one_line(outcome)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["backup"], "Missing option"),
        (["backup", "--kind", "weekly"], "'weekly' is not one of"),
        (["frobnicate"], "No such command 'frobnicate'"),
        (["verify"], "Missing argument"),
        (["show"], "Missing argument"),
        (["--nonsense"], "No such option"),
        (backup("--parallel", "0", out="x"), "Invalid value for '--parallel'"),
        (["backup", "--server", "x", "--kind", "full", "--out", "x"], "has no scheme"),
        (["backup", "--server", "smtp:x", "--kind", "full", "--out", "x"], "no transport 'smtp'"),
        (backup("--previous", "nowhere", kind="incremental", out="x"), "nowhere is no backup set"),
        (backup("--previous", "nowhere", out="x"), "a full backup starts a chain"),
        (["verify", "a", "./a"], "a set is named twice"),
    ],
)
def test_user_errors_are_one_line_and_2(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = run(*arguments)
    assert outcome.code == 2 and outcome.out == ""
    assert message in one_line(outcome)
    assert names_in(tmp_path) == []


def test_a_used_folder_is_refused_before_the_server_is_asked(
    run: Run, server: FakeServer, tmp_path: Path
) -> None:
    (tmp_path / "precious").write_text("data")
    outcome = run(*backup(out=tmp_path))
    assert outcome.code == 2 and "is not empty" in one_line(outcome)
    assert server.calls == [] and names_in(tmp_path) == ["precious"]


def test_sets_that_can_not_be_read(run: Run, tmp_path: Path) -> None:
    outcome = run("show", tmp_path)
    assert outcome.code == 1 and "has no manifest.json" in one_line(outcome)
    (tmp_path / "manifest.json").write_bytes(b"\xff garbage \0")
    outcome = run("show", tmp_path)
    assert outcome.code == 1 and "not JSON" in one_line(outcome)
    outcome = run("verify", tmp_path)
    assert outcome.code == 1 and "[manifest]" in outcome.out and "NOT OK" in outcome.out


def test_hostile_names_do_not_reach_the_terminal(
    run: Run, server: FakeServer, tmp_path: Path
) -> None:
    server.groups[1].listed = lambda names: [*names, "\x1b[2Jevil"]
    outcome = run(*backup("--group", "Second", out=tmp_path / "set"))
    assert outcome.code == 1
    assert "\x1b" not in outcome.out + outcome.err
    assert "\x1b" not in run("show", tmp_path / "set").out
    assert "\x1b" not in run("verify", tmp_path / "set").out


def test_control_c(run: Run, server: FakeServer, tmp_path: Path) -> None:
    server.fail("backup_read_file", KeyboardInterrupt())
    outcome = run(*backup("--group", "Second", out=tmp_path / "set"))
    assert outcome.code == 1 and "interrupted" in one_line(outcome)
    assert server.methods()[-2:] == ["backup_instance_end", "backup_end"]
    assert manifest_of(tmp_path / "set").groups[0].error == "the backup was interrupted"


@pytest.mark.parametrize("call", ["backup_truncate_logs", "backup_instance_end"])
def test_control_c_after_the_seal(run: Run, server: FakeServer, tmp_path: Path, call: str) -> None:
    """Nobody may be told to throw away what is perhaps the only copy of deleted logs."""
    server.fail(call, KeyboardInterrupt())
    outcome = run(*backup("--group", "Second", out=tmp_path / "set"))
    assert outcome.code == 1
    assert "set: 'Second'; keep this set, it may hold the only copy" in one_line(outcome)
    assert manifest_of(tmp_path / "set").state is State.COMPLETE
    assert server.methods()[-1] == "backup_end"


@pytest.mark.parametrize("more", [(), ("--json",)])
def test_output_that_can_not_be_written(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: tuple[str, ...]
) -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    assert run(*backup(out=tmp_path / "set")).code == 0
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", Full())
        outcome = run("verify", tmp_path / "set", *more)
    assert outcome.code == 1
    assert "the output can't be written: No space left on device" in one_line(outcome)


def test_a_bug_is_shown_and_not_called_a_user_error(run: Run, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="a bug"):
        main(["backup", "--server", "fake:crash", "--kind", "full", "--out", str(tmp_path / "s")])


def test_help_and_version(run: Run) -> None:
    assert run("--help").code == 0
    assert "--previous" in run("backup", "--help").out
    outcome = run("--version")
    assert outcome.code == 0 and outcome.out == f"esebcli {esebcli.__version__}\n"
    assert esebcli.__version__ == eseback.__version__
    assert run().code == 2


def test_version_is_light() -> None:
    code = (
        "import sys\ntry:\n from esebcli.cli import main; main(['--version'])\n"
        "except SystemExit: print(*sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(run.stdout.split())
    assert "click" in loaded
    heavy = {"attr", "attrs", "cattrs", "rich", "eseback", "esebcli.job", "importlib.metadata"}
    assert not loaded & heavy


# --- nodes, partial backups, bad input


def test_nodes(run: Run, server: FakeServer) -> None:
    outcome = run("nodes", "--server", "fake:x")
    assert (outcome.code, outcome.err) == (0, "")
    assert "storage group 'First Storage Group', instance 1, no icon" in outcome.out
    assert "C:\\Program Files\\Exchsrvr\\mdbdata\\priv1.edb\n" in outcome.out
    data = run("nodes", "--server", "fake:x", "--computer", "exch1", "--json").data
    assert data["ok"] is False, "the scripted server minds the case"
    data = run("nodes", "--server", "fake:x", "--computer", "EXCH1", "--json").data
    assert data["ok"] is True and [c["name"] for c in data["computers"]] == ["EXCH1"]


def test_nodes_that_do_not_answer(run: Run, server: FakeServer) -> None:
    outcome = run("nodes", "--server", "fake:x", "--computer", "OTHER")
    assert outcome.code == 1 and "hrCouldNotConnect" in one_line(outcome)
    server.fail("get_nodes", EseBackupError.from_name("hrCouldNotConnect", "get_nodes"))
    outcome = run("nodes", "--server", "fake:x", "--json")
    assert outcome.code == 1 and outcome.out == "" and "get_nodes" in one_line(outcome)
    outcome = run("nodes", "--server", "nowhere")
    assert outcome.code == 2 and "has no scheme" in one_line(outcome)


def test_one_database(run: Run, server: FakeServer, tmp_path: Path) -> None:
    more = ("--group", "First Storage Group", "--database", "Store pub1")
    outcome = run(*backup(*more, out=tmp_path / "set"))
    assert outcome.code == 0
    assert "  partial: made of 'Store pub1', without 'Store priv1'" in outcome.out
    group = run("show", "--json", tmp_path / "set").data["groups"][0]
    assert group["partial"] is True
    assert [database["chosen"] for database in group["databases"]] == [False, True]
    verified = run("verify", tmp_path / "set")
    assert verified.code == 0
    assert "  Store priv1: not restorable, because no set holds" in verified.out
    assert "  Store pub1: restorable to log generation 6 (0x6) from set, the last" in verified.out
    databases = run("verify", "--json", tmp_path / "set").data["chains"][0]["databases"]
    assert [(d["stop"], d["restorable_to"]) for d in databases] == [("no image", None), ("end", 6)]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--database", "Store pub1"), "one --group"),
        (("--group", "Second", "--group", "x", "--database", "y"), "one --group"),
        (("--group", "Second", "--database", "x"), "has no database 'x' (it has: 'Store priv2')"),
    ],
)
def test_databases_that_can_not_be_chosen(
    run: Run, server: FakeServer, tmp_path: Path, more: tuple[str, ...], message: str
) -> None:
    outcome = run(*backup(*more, out=tmp_path / "set"))
    assert outcome.code == 2 and message in one_line(outcome)
    assert not (tmp_path / "set").exists()
    assert not {"backup_setup", "backup_open_file"} & set(server.methods())


def test_all_kinds_are_offered(run: Run, tmp_path: Path) -> None:
    text = " ".join(run("backup", "--help").out.split())
    assert "full-with-all-logs" in text and "this is inferred from its name" in text
    offered = text[text.index("[full") + 1 : text.index("]", text.index("[full"))].split("|")
    assert offered == [kind.value for kind in Kind]
    assert run(*backup(kind="full-with-all-logs", out=tmp_path / "set")).code == 0
    assert run("show", "--json", tmp_path / "set").data["kind"] == "full-with-all-logs"


def test_verify_of_what_is_no_set(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("?")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    outcome = run("verify", tmp_path / "file", tmp_path / "loop", tmp_path / "nowhere")
    assert outcome.code == 1 and outcome.err == ""
    assert outcome.out.count("[manifest]") == 3 and outcome.out.endswith("verified: NOT OK\n")


def test_names_that_the_terminal_has_no_form_for(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a Windows console: a store may be called anything."""
    written = io.BytesIO()
    narrow = io.TextIOWrapper(written, encoding="cp1252")
    folder = tmp_path / "r\u00e9pertoire \u65e5\u672c \udcff"
    monkeypatch.setattr(sys, "stdout", narrow)
    run("verify", folder)
    narrow.flush()
    assert b"r\xe9pertoire \\u65e5\\u672c \\udcff" in written.getvalue()
