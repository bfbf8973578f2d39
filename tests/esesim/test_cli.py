"""``esesim init`` and ``esesim show``: what they print, and one line and code 2 for mistakes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from esesim.cli import main
from esesim.engine.inspect import read_rows
from esesim.server import DirectoryServer
from esesim.volume import DirectoryVolume
from tests.esesim.support.servers import back_up

MDBDATA = "volume/C/Program Files/Exchsrvr/mdbdata"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def output(*arguments: object) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A server after some work and one full backup."""
    path = tmp_path_factory.mktemp("cli") / "server"
    said = output("init", "minimal", path, "--steps", 120)
    assert said == f"{path}: EXCHSRV1 with First Storage Group\n"
    with DirectoryServer(path) as server:
        back_up(server.session(), "First Storage Group")
    return path


def test_version_and_help() -> None:
    assert output("--version").strip().endswith("0.1.0")
    assert {"init", "show"} <= set(output("-h").split())


def test_init_leaves_clean_databases_and_the_topology(directory: Path) -> None:
    assert (directory / "topology.toml").read_text("utf-8").startswith("# One storage group")
    names = {path.name for path in (directory / MDBDATA).iterdir()}
    assert {"priv1.edb", "priv1.stm", "E00.log", "E00.chk", "res1.log"} <= names
    assert not (directory / "in-use").exists()


def test_show_a_directory(directory: Path) -> None:
    lines = output("show", directory).splitlines()
    assert lines[0] == "EXCHSRV1: Exchange Server 2003 SP1, Enterprise Edition"
    text = "\n".join(lines)
    assert "First Storage Group (E00)" in text
    assert "Mailbox Store (EXCHSRV1): clean shutdown" in text
    size = (directory / MDBDATA / "priv1.stm").stat().st_size
    assert f"priv1.stm: {size // 1024} KiB" in text
    assert "backups: full with logs 0x" in text
    assert "Msg:" not in text
    assert "ESE 213" not in text


def test_show_events(directory: Path) -> None:
    text = output("show", directory, "--events")
    assert "First Storage Group: ESE 210: " in text
    assert "ESE 213: " in text
    assert text.index("ESE 210") < text.index("ESE 213")
    assert "2004-01-01 00:" in text


def test_show_rows(directory: Path) -> None:
    volume = DirectoryVolume(directory / MDBDATA)
    rows = read_rows(volume, "priv1.edb", "priv1.stm")
    text = output("show", directory, "--rows")
    assert f"Msg: {len(rows['Msg'])} rows" in text
    assert "Folder: 4 rows" in text
    assert all(f"Id={row['Id']} " in text for row in rows["Msg"].values())
    found = json.loads(output("show", directory, "--rows", "--json"))
    (group,) = found["groups"]
    (store,) = group["stores"]
    assert store["full_backup"][1] >= store["full_backup"][0] > 0
    for table in ("Folder", "Msg"):
        expected = [
            {k: v.hex() if isinstance(v, bytes) else v for k, v in rows[table][key].items()}
            for key in sorted(rows[table])
        ]
        assert store["rows"][table] == expected


def test_show_a_database_file(directory: Path) -> None:
    edb = directory / MDBDATA / "priv1.edb"
    text = output("show", edb, "--rows")
    assert text.startswith("priv1: clean shutdown\n")
    assert "Stream=<" in text
    of_server = json.loads(output("show", directory, "--rows", "--json"))
    of_file = json.loads(output("show", edb, "--rows", "--json"))
    assert of_file["stores"][0]["rows"] == of_server["groups"][0]["stores"][0]["rows"]
    assert of_file["events"] is None


def test_show_a_topology_starts_it_in_memory() -> None:
    text = output("show", "demo", "--events")
    assert text.count("clean shutdown") == 4
    assert "Second Storage Group (E01)" in text
    assert "No events." in text
    assert output("show", "demo") == output("show", "demo")


def test_show_a_store_that_was_never_mounted(tmp_path: Path) -> None:
    path = tmp_path / "t.toml"
    path.write_text('[[group]]\nname = "G"\n[[group.store]]\nname = "S"\nmounted = false\n')
    text = output("show", path, "--rows")
    assert "S: no database yet" in text
    assert "S.edb: missing" in text
    assert "no closed logs" in text


def test_rows_of_a_dirty_database_are_refused(directory: Path, tmp_path: Path) -> None:
    with DirectoryServer(directory) as server:
        files = back_up(server.session(), "First Storage Group")
    image = tmp_path / "image.edb"
    image.write_bytes(next(data for name, data in files.items() if name.endswith(".edb")))
    assert "image: dirty shutdown" in output("show", image)
    result = run("show", image, "--rows")
    assert (result.exit_code, "not shut down cleanly" in result.output) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("show", "nothing"), "no such file; give a TOML file or one of demo, minimal"),
        (("show", "{tmp}"), "is no directory of a server; make one with: esesim init"),
        (("show", "{tmp}/none.edb"), "none.edb: no such file"),
        (("show", "{tmp}/bad.edb"), "no readable header"),
        (("show", "{tmp}/a?b.edb"), "has a character that is not allowed"),
        (("show", "{tmp}/bad.toml"), "bad.toml: server.nam: unknown key; did you mean name?"),
        (("init", "nothing", "{tmp}/x"), "no such file"),
        (("init", "minimal", "{tmp}"), "is not empty; give a new directory"),
        (("init", "{tmp}/bad.toml", "{tmp}/x"), "did you mean name?"),
        (("init", "minimal", "{tmp}/bad.toml/x"), "Not a directory"),
        (("init", "minimal", "{tmp}/x", "--steps", "-1"), "--steps"),
        (("init", "minimal"), "Missing argument 'DIRECTORY'"),
        (("serve-all",), "No such command"),
    ],
)
def test_mistakes_of_the_user(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    (tmp_path / "bad.toml").write_text('[server]\nnam = "X"\n')
    for name in ("bad.edb", "a?b.edb"):
        (tmp_path / name).write_bytes(bytes(16384))
    result = run(*(argument.format(tmp=tmp_path) for argument in arguments))
    assert result.exit_code == 2
    assert message in result.output
    assert "Traceback" not in result.output
    assert len([line for line in result.output.splitlines() if line.startswith("Error: ")]) == 1
    assert not (tmp_path / "x").exists()
