"""``cmd:...``: what a command line and a TOML file say, and what they are refused for."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from eseconform.cli import run
from eseconform.cmdspec import PLACEHOLDERS, Commands, filled, read_commands, split_line
from eseconform.errors import SutUnusable, UsageError
from eseconform.sut import load_sut
from eseconform.task import UNDECLARED, Capability
from tests.support.programs import EXAMPLES

PYTHON = Path(sys.executable).name


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("line", "arguments"),
    [
        ("agent backup --out {set}", ("agent", "backup", "--out", "{set}")),
        ("'my agent' \"a b\" c#d ''", ("my agent", "a b", "c#d", "")),
        (r"agent a\ b \{ >x | y; $HOME *", ("agent", "a b", "{", ">x", "|", "y;", "$HOME", "*")),
    ],
)
def test_a_line_is_split_and_no_shell_sees_it(line: str, arguments: tuple[str, ...]) -> None:
    assert split_line(line, windows=False) == arguments


def test_on_windows_a_backslash_is_part_of_a_path() -> None:
    line = r'"C:\Program Files\agent.exe" C:\new\table'
    assert split_line(line, windows=True) == (r"C:\Program Files\agent.exe", r"C:\new\table")


def test_an_argument_is_repeated_for_each_value_and_left_out_without_one() -> None:
    values = {"set": ("/a b",), "group": ("G 1", "G2"), "previous": (), "mount": ("",)}
    template = ("x", "--out={set}", "-g{group}", "--on={previous}", "--mount{mount}", "{{{set}}}")
    assert filled(template, values) == (
        *("x", "--out=/a b", "-gG 1", "-gG2", "--mount"),
        "{/a b}",
    )


def test_a_value_is_no_template_and_no_list_of_arguments() -> None:
    assert filled(("{set}",), {"set": ("{task} 'x y'",)}) == ("{task} 'x y'",)


def test_a_command_alone_declares_nothing() -> None:
    sut = load_sut(f"cmd:{sys.executable} backup {{set}}")
    assert sut.declared is None
    assert sut.capabilities == UNDECLARED
    assert sut.over_wire


def test_a_file_says_it_all(here: Path) -> None:
    (here / "agent.toml").write_text(
        """
        backup = "{python} {here}/agent.py --out {set}"
        restore = ["{python}", "{here}/my agent.py", "{earlier}"]
        capabilities = ["restore", "copy"]
        seconds = 2
        secrets = ["AGENT_KEY"]
        """
    )
    assert read_commands("@agent.toml") == Commands(
        backup=("{python}", "{here}/agent.py", "--out", "{set}"),
        restore=("{python}", "{here}/my agent.py", "{earlier}"),
        declared=frozenset({Capability.RESTORE, Capability.COPY}),
        seconds=2.0,
        secrets=("AGENT_KEY",),
        here=here,
    )
    sut = load_sut("cmd:@agent.toml")
    assert sut.capabilities == {Capability.RESTORE, Capability.COPY}
    assert sut.seconds_max == 2.0


def test_no_capabilities_are_not_the_same_as_none_declared() -> None:
    assert load_sut(f"cmd:@{EXAMPLES}/impacket_backup.toml").capabilities == frozenset()


def test_the_bundled_client_declares_all_that_it_can() -> None:
    assert load_sut(f"cmd:@{EXAMPLES}/esebcli.toml").capabilities == frozenset(Capability)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "the command is missing"),
        ("agent 'x", "No closing quotation"),
        (f"{PYTHON} {{bogus}}", r"there is no \{bogus\}; known: endpoint, host"),
        (f"{PYTHON} {{}}", r"there is no \{\}"),
        (f"{PYTHON} {{set!r}}", r"there is no \{set\}"),
        (f"{PYTHON} {{set.parent}}", "there is no"),
        (f"{PYTHON} {{set", "a brace itself is"),
        ("{set}/agent", "can't differ from job to job"),
        ("@nowhere.toml", "No such file"),
    ],
)
def test_a_wrong_command_is_a_usage_error(here: Path, line: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_sut(f"cmd:{line}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("backup = ", "agent.toml"),
        ("restore = 'x'", "the command `backup` is missing"),
        ("backup = 'x'\nbakup = 'y'", "there is no setting 'bakup'; known: backup, restore"),
        ("backup = 3", "must be a list of strings"),
        ("backup = []", "a command line, or a list"),
        ("backup = 'x'\nseconds = 0", "above 0"),
        ("backup = 'x'\nseconds = true", "above 0"),
        ("backup = 'x'\ncapabilities = ['fly']", "known: incremental"),
        ("backup = 'x'\ncapabilities = 'restore'", "capabilities must be a list"),
        ("backup = '{python}'\ncapabilities = ['restore']", "there is no such command"),
        ("backup = '{python}'\nrestore = '{python}'", "declare it"),
        ("backup = '{python}'\nverify = '{python} {nonsense}'", "nonsense"),
    ],
)
def test_a_wrong_file_is_a_usage_error(here: Path, text: str, message: str) -> None:
    (here / "agent.toml").write_text(text)
    with pytest.raises(UsageError, match=message):
        load_sut("cmd:@agent.toml")


def test_a_program_that_is_not_there_is_found_out_before_the_first_case(here: Path) -> None:
    with pytest.raises(SutUnusable, match="no program 'no-such-agent'; looked in PATH and"):
        load_sut("cmd:no-such-agent {task}")
    (here / "agent").write_text("#!/bin/sh\n")
    with pytest.raises(SutUnusable, match="no program that can be started"):
        load_sut("cmd:./agent")
    (here / "agent.toml").write_text("backup = '{python}'\nverify = 'no-such-agent'")
    with pytest.raises(SutUnusable, match="no-such-agent"):
        load_sut("cmd:@agent.toml")


def test_the_placeholders_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["list", "--placeholders"]) == 0
    shown = capsys.readouterr().out
    assert all(f"{{{name}}}" in shown for name in PLACEHOLDERS)
    assert "ESESIM_ENDPOINT" in shown


def test_exit_codes(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", "--sut", "cmd:no-such-agent"]) == 7
    assert "the client can't be used: there is no program" in capsys.readouterr().err
    assert run(["check", "--sut", f"cmd:{PYTHON} {{bogus}}"]) == 4
    capsys.readouterr()
    assert run(["check", "--sut", f"cmd:{PYTHON}", "--transport", "inproc"]) == 4
    assert "leave out --transport inproc" in capsys.readouterr().err
    assert not (here / "report").exists()
