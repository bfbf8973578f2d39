"""What administrators do before and after restores, in memory and on a directory."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from eseback.constants import RestoreClose
from eseback.errors import JetErr
from esesim.cli import main
from esesim.server import (
    DirectoryServer,
    ServerDirectoryError,
    SimulatedServer,
    create_directory_server,
    read_directory,
)
from esesim.windows_path import WindowsPathError
from tests.esesim.support.restores import (
    NOWAIT,
    assert_rows,
    backed_up,
    complete,
    databases_of,
    make_free,
    open_restore,
    refused,
    restore,
    send_set,
)
from tests.esesim.support.servers import SERVER, back_up, small_server, volume_bytes

G1 = "G1"
GROUP = "First Storage Group"
FOLDER = "D:\\restore"


# -- destruction


def test_a_destroyed_store_is_made_anew_unless_it_is_restored() -> None:
    with backed_up().server() as server:
        store = server.group(G1).store("G1S1")
        full = server.journal.rows(store.edb)
        refused(lambda: server.destroy_store(G1, "G1S1"), JetErr.DATABASE_IN_USE)
        server.dismount(G1, "G1S1")
        server.destroy_store(G1, "g1s1")
        assert not any(server.files.exists(stream) for stream in store.streams)
        server.destroy_store(G1, "G1S1")  # nothing is left to delete
        server.mount(G1, "G1S1")
        rows = server.journal.rows(store.edb)
        assert rows["Msg"].keys().isdisjoint(full["Msg"])
        server.run_workload(G1, 40)
        server.terminate(G1)


def test_a_destroyed_group_begins_a_new_log_stream() -> None:
    with backed_up(groups=2).server() as server:
        untouched = server.group("G2").mounted
        spec = server.group(G1).spec
        folder = spec.log_path.replace(":\\", "/").replace("\\", "/")
        before = server.group(G1).running.log.signature
        server.destroy_group("g1")
        assert server.volume.list(folder) == []
        assert server.group(G1).mounted == ()
        assert server.group("G2").mounted == untouched
        server.mount(G1, "G1S1")
        assert server.group(G1).running.log.signature != before
        server.run_workload(G1, 20)


def test_only_the_groups_own_files_are_destroyed() -> None:
    with small_server() as server:
        folder = server.group(G1).spec.log_path
        others = ("E0100001.log", "notes.txt", "res3.log", "E00.txt")
        for name in others:
            with server.files.create(f"{folder}\\{name}") as file:
                file.write(b"kept")
        server.destroy_group(G1)
        directory = folder.replace(":\\", "/").replace("\\", "/")
        assert list(volume_bytes(server, directory).values()) == [b"kept"] * len(others)


def test_what_is_being_restored_is_not_destroyed() -> None:
    scene = backed_up()
    with scene.free_server() as server:
        api = server.session()
        context = open_restore(api, G1)
        send_set(server, api, context, scene.databases[G1], scene.full[G1])
        refused(lambda: server.destroy_store(G1, "G1S1"), JetErr.RESTORE_IN_PROGRESS)
        refused(lambda: server.destroy_group(G1), JetErr.RESTORE_IN_PROGRESS)
        api.restore_close(context, RestoreClose.ABORT)
        server.destroy_group(G1)


@pytest.mark.parametrize(
    "call",
    [
        lambda server: server.set_overwritable("G9", "S", True),
        lambda server: server.set_overwritable(G1, "S", True),
        lambda server: server.destroy_store(G1, "S"),
        lambda server: server.destroy_group("G9"),
    ],
)
def test_unknown_names(call: Callable[[SimulatedServer], None]) -> None:
    with small_server() as server, pytest.raises(LookupError, match=r"(it|the server) has"):
        call(server)


# -- a server in a directory


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    path = tmp_path / "server"
    create_directory_server("minimal", path).close()
    return path


def test_a_restore_over_several_processes(directory: Path) -> None:
    with DirectoryServer(directory) as server:
        (store,) = server.group(GROUP).spec.stores
        databases = databases_of(server.session(), GROUP)
        files = back_up(server.session(), GROUP)
        # Users worked while it was backed up: what counts is what its last log holds.
        last = max(int(name[-9:-4], 16) for name in files if name.endswith(".log"))
        expected = server.journal.rows(store.edb, last)
        server.destroy_group(GROUP)
        make_free(server, GROUP)
    with DirectoryServer(directory) as server:
        assert server.group(GROUP).mounted == ()
        assert server.group(GROUP).overwritable == (store.name,)
        api = server.session()
        context = open_restore(api, GROUP, FOLDER)
        send_set(server, api, context, databases, files)
        api.restore_save_environment(context)
        # This process is gone without a word; restore.env is what is left of the restore.
    assert read_directory(directory).restores == (FOLDER,)
    with DirectoryServer(directory) as server:
        api = server.session()
        context = api.restore_reopen(SERVER, None, FOLDER)
        complete(api, context)
        api.restore_close(context, RestoreClose.NORMAL)
        assert_rows(expected, server.journal.rows(store.edb))
        server.set_overwritable(GROUP, store.name, False)
    assert read_directory(directory).restores == ()
    with DirectoryServer(directory) as server:
        assert server.group(GROUP).mounted == (store.name,)
        assert server.group(GROUP).overwritable == ()
        assert_rows(expected, server.journal.rows(store.edb))


def test_closing_waits_for_recoveries(directory: Path) -> None:
    with DirectoryServer(directory) as server:
        databases = databases_of(server.session(), GROUP)
        files = back_up(server.session(), GROUP)
        make_free(server, GROUP)
        api = server.session()
        context = open_restore(api, GROUP)
        send_set(server, api, context, databases, files)
        complete(api, context, NOWAIT)
    ids = [event.id for event in read_directory(directory).events]
    assert ids[-3:] == [301, 302, 205]
    assert read_directory(directory).restores == ()


def test_a_killed_process_leaves_a_restore_that_can_be_taken_up(directory: Path) -> None:
    with DirectoryServer(directory) as server:
        databases = databases_of(server.session(), GROUP)
        files = back_up(server.session(), GROUP)
        make_free(server, GROUP)
    server = DirectoryServer(directory)
    api = server.session()
    context = open_restore(api, GROUP, FOLDER)
    send_set(server, api, context, databases, files)
    complete(api, context, NOWAIT)
    copy = directory.with_name("copy")
    shutil.copytree(directory, copy)
    server.close()
    (copy / "in-use").unlink()
    assert read_directory(copy).restores == (FOLDER,)
    with DirectoryServer(copy) as again:
        api = again.session()
        context = api.restore_reopen(SERVER, None, FOLDER)
        complete(api, context)
        assert again.group(GROUP).mounted


def test_older_directories_and_damaged_ones(directory: Path) -> None:
    state = json.loads((directory / "state.json").read_text("utf-8"))
    for group in state.values():
        del group["overwritable"]
    (directory / "state.json").write_text(json.dumps(state), "utf-8")
    with DirectoryServer(directory) as server:
        assert server.group(GROUP).overwritable == ()
    for text in ("{", "{}", "[1]", "7"):
        (directory / "restores.json").write_text(text, "utf-8")
        with pytest.raises(ServerDirectoryError, match=r"restores.json is damaged .*: delete it"):
            DirectoryServer(directory)


def test_where_files_lie_on_this_computer(directory: Path) -> None:
    with DirectoryServer(directory) as server:
        with server.files.create("D:\\New Folder\\a.edb") as file:
            file.write(b"abc")
        place = server.local_path("d:\\NEW folder\\A.EDB")
        assert place.read_bytes() == b"abc"
        assert place.is_relative_to(directory)
        new = server.local_path("D:\\New Folder\\Sub\\b.stm")
        assert (new.parent.name, new.name, new.exists()) == ("Sub", "b.stm", False)
        new.parent.mkdir()
        new.write_bytes(b"from outside")
        assert server.files.read("D:\\new folder\\sub\\b.stm") == b"from outside"
        for path in ("D:\\..\\x", "x", "\\\\h\\s\\x"):
            with pytest.raises(WindowsPathError):
                server.local_path(path)


def test_show_lists_restores_in_progress(directory: Path) -> None:
    with DirectoryServer(directory) as server:
        (store,) = server.group(GROUP).spec.stores
        databases = databases_of(server.session(), GROUP)
        files = back_up(server.session(), GROUP)
        make_free(server, GROUP)
        api = server.session()
        context = open_restore(api, GROUP, FOLDER)
        send_set(server, api, context, databases, files)
        api.restore_save_environment(context)
        with server.files.create(store.stm):
            pass
        refused(lambda: complete(api, context), JetErr.DATABASE_CORRUPTED)
    shown = CliRunner().invoke(main, ["show", str(directory)]).output
    assert f"Restore of {GROUP} in progress in {FOLDER}\n" in shown
    assert f"  {store.name}; logs 0x2 to 0x4" in shown
    assert "  recovery: ended, hrDatabaseCorrupted 0xC80004B6" in shown
    plain = json.loads(CliRunner().invoke(main, ["show", str(directory), "--json"]).output)
    (found,) = plain["restores"]
    assert found["group"] == GROUP
    assert found["databases"] == [store.name]
    (directory / "volume" / "D" / "restore" / "restore.env").write_bytes(b"?")
    shown = CliRunner().invoke(main, ["show", str(directory)]).output
    assert f"Restore in progress in {FOLDER}: D/restore/restore.env: is no restore" in shown
    with DirectoryServer(directory) as server:
        make_free(server, GROUP)
        restore(server, GROUP, databases, [files], folder=FOLDER)
    assert "in progress" not in CliRunner().invoke(main, ["show", str(directory)]).output
