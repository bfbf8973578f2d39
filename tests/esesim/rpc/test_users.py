"""User files: what is in them, and what is wrong with them, without a password in any message."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from eseback.rpc.ciphers import nt_hash
from esebcli.cli import main as esebcli
from esesim.cli import main as esesim
from esesim.rpc import User, Users, UsersFileError
from tests.esesim.rpc.test_serve_command import ESEBCLI, first_line, run, serving

GOOD = """
[[user]]
domain = "EXAMPLE"
name = "Backup"
password = "s3cret 1"
backup = true

[[user]]
name = "guest"
password = "s3cret 2"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "users.toml"
    path.write_text(GOOD, "utf-8")
    path.chmod(0o600)
    return path


def test_users_of_a_file(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    users = Users.load(file)
    assert len(users) == 2
    backup = users.find("example", "BACKUP")
    assert backup == User("EXAMPLE", "Backup", nt_hash("s3cret 1"), may_back_up=True)
    assert users.find("", "backup@Example") is backup
    guest = users.find("", "guest")
    assert guest is not None and not guest.may_back_up
    assert users.find("ANY", "Guest") is guest
    for domain, name in (("", "backup"), ("OTHER", "backup"), ("", "backup@other"), ("", "")):
        assert users.find(domain, name) is None
    assert (str(backup), str(guest)) == ("EXAMPLE\\Backup", "guest")
    assert not caplog.records


@pytest.mark.skipif(os.name != "posix", reason="there are no such permissions")
@pytest.mark.parametrize("mode", [0o640, 0o604])
def test_a_file_that_others_can_read(
    file: Path, caplog: pytest.LogCaptureFixture, mode: int
) -> None:
    file.chmod(mode)
    with caplog.at_level(logging.WARNING):
        Users.load(file)
    assert "others can read" in caplog.text and "chmod 600" in caplog.text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"\[\[user\]\]"),
        ("user = 's3cret'", r"\[\[user\]\]"),
        ("user = ['s3cret']", r"\[\[user\]\]"),
        (GOOD + "[server]\n", "nothing else"),
        ("[[user]]\nname = 's3cret", "not TOML .*end of document"),
        ("[[user]]\npassword = 's3cret'", "user 1: name is missing"),
        ("[[user]]\nname = 'a'", "user 1: password is missing"),
        ("[[user]]\nname = 'a'\npassword = ''", "user 1: password is missing"),
        (GOOD + "[[user]]\nname = 'a'\npasswd = 's3cret'", "user 3: unknown key 'passwd'"),
        ("[[user]]\nname = 'a'\npassword = 5", "user 1: password has to be a text"),
        ("[[user]]\nname = 'a'\npassword = 's3cret'\nbackup = 1", "backup has to be true or false"),
        ("[[user]]\nname = 'A\\a'\npassword = 's3cret'", "domain of"),
        (GOOD + "[[user]]\nname = 'GUEST'\npassword = 's3cret'", "GUEST is there twice"),
    ],
)
def test_mistakes_in_a_file(file: Path, text: str, message: str) -> None:
    file.write_text(text, "utf-8")
    with pytest.raises(UsersFileError, match=message) as caught:
        Users.load(file)
    assert str(file) in str(caught.value)
    assert "s3cret" not in str(caught.value)
    done = CliRunner().invoke(esesim, ["serve", "minimal", "--users", str(file)])
    assert done.exit_code == 2
    assert done.output.count("\n") == 1 and "s3cret" not in done.output


def test_a_file_of_something_else(file: Path) -> None:
    file.write_bytes(b"\xff\xfe\0")
    with pytest.raises(UsersFileError, match="not TOML"):
        Users.load(file)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--users", "no-such-file"), "no-such-file"),
        (("--min-auth-level", "packet"), "nothing without --users"),
        (("--min-auth-level", "secret"), "privacy"),
    ],
)
def test_options_that_do_not_go_together(options: tuple[str, ...], message: str) -> None:
    done = CliRunner().invoke(esesim, ["serve", "minimal", *options])
    assert done.exit_code == 2
    assert message in done.output and "Traceback" not in done.output


@pytest.mark.slow
def test_two_programs(
    tmp_path: Path,
    file: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A backup with a password file, and what those are told that may not make one."""
    secret = tmp_path / "password"
    secret.write_text("s3cret 1\n", "utf-8")

    def nodes(address: str, password: str = "") -> tuple[object, str]:
        """Exit code and standard error of a small command, in this process."""
        monkeypatch.setenv("ESEBCLI_PASSWORD", password)
        with pytest.raises(SystemExit) as caught:
            esebcli(["nodes", "--server", address])
        shown = capsys.readouterr().err
        assert shown.count("\n") <= 1
        assert not password or password not in shown
        return caught.value.code, shown

    with serving("minimal", "--users", file, ESESIM_MIN_AUTH_LEVEL="integrity") as process:
        endpoint = first_line(process)
        known = f"{endpoint},user=EXAMPLE\\backup,password-file={secret}"
        options = ("--kind", "full", "--out", tmp_path / "set", "--quiet")
        done = run(ESEBCLI, "backup", "--server", known, *options)
        assert (done.returncode, done.stderr) == (0, "")
        assert nodes(f"{known},level=integrity") == (0, "")
        for address, password, message in (
            (endpoint, "", "who calls"),
            (f"{endpoint},user=EXAMPLE\\backup", "?!", "does not know EXAMPLE\\backup"),
            (f"{endpoint},user=guest,auth=spnego", "s3cret 2", "privilege"),
            (f"{known},level=connect", "", "more protection"),
        ):
            code, shown = nodes(address, password)
            assert code == 1 and message in shown
        process.terminate()
        log = process.communicate(timeout=10)[1]
    assert "authenticated as EXAMPLE\\Backup" in log
    assert "s3cret" not in log and "?!" not in log
