"""Restore contexts: opened, reopened and lost; the folder and the instance that each takes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest

from eseback.constants import (
    INFORMATION_STORE,
    KEY_MANAGEMENT,
    SITE_REPLICATION,
    RecoverStatus,
    RestoreClose,
)
from eseback.errors import JetErr
from esesim.server import SimulatedServer
from esesim.session import Session
from esesim.topology import ServiceSpec, Topology
from tests.esesim.support.restores import backed_up, open_restore, refused, send_set
from tests.esesim.support.servers import SERVER, small_server

G1 = "G1"


@pytest.fixture
def server() -> Iterator[SimulatedServer]:
    with backed_up().free_server() as server:
        yield server


@pytest.fixture
def api(server: SimulatedServer) -> Session:
    return server.session()


def test_a_new_restore_knows_what_open_told(api: Session) -> None:
    context = open_restore(api, "Gone Group", "E:\\tape\\restore\\")
    found = api.restore_get_environment(context)
    assert found.restore_log_path == "E:\\tape\\restore"
    assert (found.source_instance_name, found.annotation) == ("Gone Group", INFORMATION_STORE)
    assert (found.databases, found.log_base_name, found.gen_low, found.gen_high) == ((), None, 0, 0)
    assert found.status_last_recover is RecoverStatus.NOT_STARTED
    assert (found.time_last_restore, found.time_last_recover, found.hr_last_recover) == (0, 0, 0)
    assert not found.problems()


@pytest.mark.parametrize(
    ("profile", "name"), [("exchange-2003-sp1", None), ("exchange-2007", "EXCHSRV1")]
)
def test_later_builds_tell_the_server(profile: str, name: str | None) -> None:
    api = small_server(profile=profile).session()
    assert api.restore_get_environment(open_restore(api, G1)).server_name == name


def test_the_server_chooses_an_empty_folder_for_each(server: SimulatedServer, api: Session) -> None:
    def folder(context: int) -> str:
        return api.restore_get_environment(context).restore_log_path

    first, second = open_restore(api, G1), open_restore(api, G1)
    assert folder(first) == "C:\\Program Files\\Exchsrvr\\Restore\\G1"
    assert folder(second) == "C:\\Program Files\\Exchsrvr\\Restore\\G1 (2)"
    # What an earlier restore left behind is never mixed with a new one.
    api.restore_save_environment(first)
    api.restore_close(first, RestoreClose.NORMAL)
    api.restore_close(second, RestoreClose.NORMAL)
    assert folder(open_restore(api, G1)) == "C:\\Program Files\\Exchsrvr\\Restore\\G1 (2)"
    # A name that is no name of a folder.
    assert folder(open_restore(api, 'A:"Group"')) == "C:\\Program Files\\Exchsrvr\\Restore\\set"


def test_no_two_restores_share_a_folder(server: SimulatedServer, api: Session) -> None:
    context = open_restore(api, G1, "D:\\restore")
    other = server.session()
    for path in ("D:\\restore", "d:\\RESTORE\\", "D:/restore"):
        refused(partial(open_restore, other, G1, path), JetErr.LOG_FILE_PATH_IN_USE)
    api.restore_save_environment(context)
    refused(lambda: other.restore_reopen(SERVER, None, "D:\\restore"), JetErr.LOG_FILE_PATH_IN_USE)
    api.restore_close(context, RestoreClose.NORMAL)
    other.restore_close(other.restore_reopen(SERVER, None, "D:\\restore"), RestoreClose.ABORT)
    open_restore(other, G1, "D:\\restore")


def test_the_folder_of_a_running_group_is_taken(server: SimulatedServer, api: Session) -> None:
    folder = server.group(G1).spec.log_path
    context = open_restore(api, G1, folder)  # nothing runs there
    api.restore_close(context, RestoreClose.ABORT)
    server.mount(G1, "G1S1")
    error = refused(lambda: open_restore(api, G1, folder.upper()), JetErr.LOG_FILE_PATH_IN_USE)
    assert "G1" in error.detail


def test_sixteen_instances_in_all() -> None:
    with small_server(groups=4, messages=0) as server:
        api = server.session()
        contexts = [open_restore(api, f"G{1 + n % 4}") for n in range(12)]
        for session in (api, server.session()):
            refused(partial(open_restore, session, G1), JetErr.TOO_MANY_INSTANCES)
        api.restore_save_environment(contexts[5])
        folder = api.restore_get_environment(contexts[5]).restore_log_path
        api.restore_close(contexts[5], RestoreClose.NORMAL)
        again = api.restore_reopen(SERVER, None, folder)  # takes the free one
        refused(lambda: open_restore(api, G1), JetErr.TOO_MANY_INSTANCES)
        api.restore_close(again, RestoreClose.ABORT)
        # A group that gives its instance back makes room for a restore, and the other way round.
        open_restore(api, G1)
        server.terminate("G4")
        last = open_restore(api, G1)
        refused(lambda: server.mount("G4", "G4S1"), JetErr.TOO_MANY_INSTANCES)
        api.restore_close(last, RestoreClose.NORMAL)
        server.mount("G4", "G4S1")


def test_a_refused_open_takes_nothing(api: Session) -> None:
    for _ in range(20):
        refused(lambda: open_restore(api, G1, "D:"), JetErr.INVALID_PARAMETER)
        refused(lambda: api.restore_reopen(SERVER, None, "D:\\none"), JetErr.FILE_NOT_FOUND)
    open_restore(api, G1)


@pytest.mark.parametrize(
    ("server_name", "annotation", "group", "folder", "error"),
    [
        ("OTHER", INFORMATION_STORE, G1, None, "hrCouldNotConnect"),
        ("", INFORMATION_STORE, G1, None, JetErr.INVALID_PARAMETER),
        (SERVER, "Information Store", G1, None, "hrCouldNotConnect"),
        (SERVER, KEY_MANAGEMENT, G1, None, "hrCouldNotConnect"),
        (SERVER, INFORMATION_STORE, "", None, JetErr.INVALID_PARAMETER),
        (SERVER, INFORMATION_STORE, "G\0", None, JetErr.INVALID_PARAMETER),
        (SERVER, INFORMATION_STORE, G1, "", JetErr.INVALID_PARAMETER),
        (SERVER, INFORMATION_STORE, G1, "restore", JetErr.INVALID_PARAMETER),
        (SERVER, INFORMATION_STORE, G1, "D:\\a\\..\\b", JetErr.INVALID_PARAMETER),
        (SERVER, INFORMATION_STORE, G1, "\\\\host\\share", JetErr.INVALID_PARAMETER),
        (SERVER, INFORMATION_STORE, G1, "D:\\", JetErr.INVALID_PARAMETER),
    ],
)
def test_arguments_of_open(
    api: Session, server_name: str, annotation: str, group: str, folder: str | None, error: int
) -> None:
    refused(lambda: api.restore_open(server_name, annotation, group, folder), error)


def test_a_folder_that_cannot_be_made(server: SimulatedServer, api: Session) -> None:
    with server.files.create("D:\\file") as file:
        file.write(b"x")
    for _ in range(20):
        refused(lambda: open_restore(api, G1, "D:\\file\\below"), JetErr.INVALID_LOG_DIRECTORY)


def test_a_service_without_online_restores() -> None:
    services = (
        ServiceSpec(),
        ServiceSpec(SITE_REPLICATION, flags=("backup", "offline_restore")),
    )
    with SimulatedServer(Topology(services=services)) as server:
        api = server.session()
        refused(lambda: api.restore_open(SERVER, SITE_REPLICATION, G1, None), "hrCouldNotConnect")
        open_restore(api, G1)


def test_remote_clients_may_be_shut_out() -> None:
    server = small_server(profile="exchange-2007-sp1")
    remote = server.session(remote=True)
    refused(lambda: open_restore(remote, G1), "ERROR_ACCESS_DENIED")
    refused(lambda: remote.restore_reopen(SERVER, None, "D:\\r"), "ERROR_ACCESS_DENIED")
    open_restore(server.session(), G1)


def test_a_context_belongs_to_its_session(server: SimulatedServer, api: Session) -> None:
    context = open_restore(api, G1)
    stranger = server.session()
    for number in (context, 0, -1, 10**9):
        refused(partial(stranger.restore_get_environment, number), "hrInvalidHandle")
    api.restore_close(context, RestoreClose.NORMAL)
    refused(lambda: api.restore_close(context, RestoreClose.NORMAL), "hrInvalidHandle")


def test_a_lost_connection_frees_everything_but_what_was_saved(server: SimulatedServer) -> None:
    scene = backed_up()
    first, second = server.session(), server.session()
    saved, unsaved = open_restore(first, G1, "D:\\a"), open_restore(second, G1, "D:\\b")
    send_set(server, first, saved, scene.databases[G1], scene.full[G1])
    first.restore_save_environment(saved)
    refused(lambda: server.mount(G1, "G1S1"), JetErr.RESTORE_IN_PROGRESS)
    server.connection_lost(saved)
    server.connection_lost(unsaved)
    assert server.restores == ()
    refused(lambda: first.restore_get_environment(saved), "hrInvalidHandle")
    third = server.session()
    refused(lambda: third.restore_reopen(SERVER, None, "D:\\b"), JetErr.FILE_NOT_FOUND)
    again = third.restore_reopen(SERVER, INFORMATION_STORE, "D:\\a")
    assert len(third.restore_get_environment(again).databases) == 2


def test_reopen_holds_its_annotation_and_its_databases(
    server: SimulatedServer, api: Session
) -> None:
    scene = backed_up()
    context = open_restore(api, G1, "D:\\a")
    send_set(server, api, context, scene.databases[G1], scene.full[G1])
    api.restore_save_environment(context)
    api.restore_close(context, RestoreClose.NORMAL)
    refused(lambda: api.restore_reopen(SERVER, KEY_MANAGEMENT, "D:\\a"), "hrCouldNotConnect")
    server.set_overwritable(G1, "G1S2", False)
    refused(lambda: api.restore_reopen(SERVER, None, "D:\\a"), "hrCBDatabaseInUse")
    server.set_overwritable(G1, "G1S2", True)
    api.restore_reopen(SERVER, None, "D:\\a")
    refused(lambda: server.mount(G1, "G1S2"), JetErr.RESTORE_IN_PROGRESS)
