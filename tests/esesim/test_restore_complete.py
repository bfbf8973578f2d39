"""Complete: waiting or not, arguments, what fails in recovery and can be tried again."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest

from eseback.constants import RecoverStatus, RestoreClose, RestoreComplete
from eseback.errors import JetErr, hresult_of_jet
from esesim.exchange.recovery import POLLS
from esesim.server import SimulatedServer
from esesim.session import Session
from tests.esesim.support.restores import (
    ATTACH,
    KEEP,
    NONE,
    NOWAIT,
    assert_rows,
    backed_up,
    complete,
    open_restore,
    refused,
    send_file,
    send_logs,
    send_set,
)
from tests.esesim.support.servers import SERVER

G1 = "G1"
FOLDER = "D:\\restore"
STARTED, ENDED = RecoverStatus.STARTED, RecoverStatus.ENDED


@pytest.fixture
def server() -> Iterator[SimulatedServer]:
    with backed_up().free_server() as server:
        yield server


@pytest.fixture
def api(server: SimulatedServer) -> Session:
    return server.session()


def sent(server: SimulatedServer, api: Session, *, logs: bool = True) -> int:
    """A context whose databases are in place, and the logs of the full set unless left out."""
    scene = backed_up()
    context = open_restore(api, G1, FOLDER)
    files = scene.full[G1]
    if not logs:
        files = {name: data for name, data in files.items() if not name.endswith(".log")}
    send_set(server, api, context, scene.databases[G1], files)
    return context


def check_restored(server: SimulatedServer) -> None:
    """Both stores have the rows of the full set."""
    for store in server.group(G1).spec.stores:
        assert_rows(backed_up().rows_full[store.name], server.journal.rows(store.edb))


def test_waiting_without_mounting(server: SimulatedServer, api: Session) -> None:
    context = sent(server, api)
    refused(lambda: server.mount(G1, "G1S1"), JetErr.RESTORE_IN_PROGRESS)
    complete(api, context, NONE)
    found = api.restore_get_environment(context)
    assert (found.status_last_recover, found.hr_last_recover) == (ENDED, 0)
    assert found.time_last_recover >= found.time_last_restore > 0
    assert found.restore_instance_system_path == found.restore_instance_log_path == FOLDER
    assert server.group(G1).mounted == ()
    check_restored(server)
    server.mount(G1, "G1S1")  # although the context is still there
    api.restore_close(context, RestoreClose.NORMAL)


def test_events_of_a_restore(server: SimulatedServer, api: Session) -> None:
    complete(api, sent(server, api), NONE)
    ids = [event.id for event in server.group(G1).events]
    logs = sum(name.endswith(".log") for name in backed_up().full[G1])
    first = ids.index(204)
    assert ids[first:] == [204, 300, *[301] * logs, 302, 205]
    assert {event.group for event in server.group(G1).events} == {G1}


def test_a_recovery_that_nobody_waits_for(server: SimulatedServer, api: Session) -> None:
    context = sent(server, api)
    complete(api, context, NOWAIT | ATTACH)
    for _ in range(POLLS):
        found = api.restore_get_environment(context)
        assert (found.status_last_recover, found.hr_last_recover) == (STARTED, 0)
        refused(lambda: api.restore_save_environment(context), JetErr.RESTORE_IN_PROGRESS)
    assert server.group(G1).mounted == ()
    found = api.restore_get_environment(context)
    assert (found.status_last_recover, found.hr_last_recover) == (ENDED, 0)
    assert server.group(G1).mounted == ("G1S1", "G1S2")
    check_restored(server)


def test_a_recovery_that_fails_while_nobody_waits(server: SimulatedServer, api: Session) -> None:
    scene = backed_up()
    context = sent(server, api, logs=False)
    last = max(name for name in scene.full[G1] if name.endswith(".log"))
    rest = {name: data for name, data in scene.full[G1].items() if name != last}
    send_logs(server, api, context, rest)
    complete(api, context, NOWAIT)
    server.finish_recoveries()
    found = api.restore_get_environment(context)
    assert found.status_last_recover is ENDED
    assert found.hr_last_recover == hresult_of_jet(JetErr.ENDING_RESTORE_LOG_TOO_LOW)
    # Whoever looks into the file sees it, too.
    assert api.restore_load_environment(None, FOLDER) == found
    send_logs(server, api, context, {last: scene.full[G1][last]})
    assert api.restore_get_environment(context).status_last_recover is RecoverStatus.NOT_STARTED
    complete(api, context, NONE)
    check_restored(server)


@pytest.mark.parametrize("ending", ["close", "abort", "lost", "mount", "server"])
def test_what_a_running_recovery_is_waited_for_by(
    server: SimulatedServer, api: Session, ending: str
) -> None:
    context = sent(server, api)
    complete(api, context, NOWAIT)
    if ending == "close":
        api.restore_close(context, RestoreClose.NORMAL)
    elif ending == "abort":
        api.restore_close(context, RestoreClose.ABORT)
    elif ending == "lost":
        server.connection_lost(context)
    elif ending == "mount":
        server.mount(G1, "G1S1")
    else:
        server.close()
    check_restored(server)


LOG = sorted(path for path in backed_up().full[G1] if path.endswith(".log"))[1]
EDB, STM = backed_up().databases[G1][0].streams


@pytest.mark.parametrize(
    ("left_out", "error", "named"),
    [
        (LOG, JetErr.MISSING_RESTORE_LOG_FILES, LOG.rpartition("\\")[2]),
        (EDB, JetErr.FILE_NOT_FOUND, EDB),
        (STM, JetErr.DATABASE_STREAMING_FILE_MISMATCH, EDB),
    ],
    ids=["log", "edb", "stm"],
)
def test_a_missing_file_is_found_by_recovery(
    server: SimulatedServer, api: Session, left_out: str, error: JetErr, named: str
) -> None:
    """What the client never sent. The failure says which file, and leaves the restore open."""
    scene = backed_up()
    server.destroy_group(G1)
    context = open_restore(api, G1, FOLDER)
    rest = {path: data for path, data in scene.full[G1].items() if path != left_out}
    for info in scene.databases[G1]:
        api.restore_add_database(context, info.display_name, info.guid, info.streams)
        for stream in info.streams:
            if stream in rest:
                send_file(server, api, context, stream, rest[stream])
    send_logs(server, api, context, rest)
    failed = refused(lambda: complete(api, context, ATTACH), error)
    assert named in failed.detail
    assert server.group(G1).mounted == ()
    found = api.restore_get_environment(context)
    assert (found.status_last_recover, found.hr_last_recover) == (ENDED, failed.hresult)
    # The missing file is sent, and the same context completes.
    place = f"{FOLDER}\\{named}" if left_out == LOG else left_out
    send_file(server, api, context, place, scene.full[G1][left_out])
    complete(api, context, ATTACH)
    assert server.group(G1).mounted == ("G1S1", "G1S2")
    check_restored(server)


def test_logs_that_were_never_announced_do_not_count(server: SimulatedServer, api: Session) -> None:
    """They lie in the folder, but OpenFile was never called for them."""
    scene = backed_up()
    context = sent(server, api, logs=False)
    for path, data in scene.full[G1].items():
        if path.endswith(".log"):
            with server.files.create(f"{FOLDER}\\{path.rpartition(chr(92))[2]}") as file:
                file.write(data)
    error = refused(lambda: complete(api, context), JetErr.MISSING_RESTORE_LOG_FILES)
    assert "OpenFile" in error.detail


def test_a_restore_without_databases(server: SimulatedServer, api: Session) -> None:
    context = open_restore(api, G1, FOLDER)
    send_logs(server, api, context, backed_up().full[G1])
    refused(lambda: complete(api, context), JetErr.INVALID_PARAMETER)


def test_a_failed_restore_is_taken_up_by_another_client(
    server: SimulatedServer, api: Session
) -> None:
    scene = backed_up()
    context = sent(server, api, logs=False)
    refused(lambda: complete(api, context), JetErr.MISSING_RESTORE_LOG_FILES)
    api.restore_close(context, RestoreClose.ABORT)
    other = server.session()
    context = other.restore_reopen(SERVER, None, FOLDER)
    assert other.restore_get_environment(context).hr_last_recover == hresult_of_jet(
        JetErr.MISSING_RESTORE_LOG_FILES
    )
    send_logs(server, other, context, scene.full[G1])
    complete(other, context)
    check_restored(server)


def test_a_mount_that_fails_is_told_and_can_be_tried_again(
    server: SimulatedServer, api: Session
) -> None:
    """Recovery has succeeded all the same; nothing is recovered twice."""
    context = sent(server, api)
    server.set_log_disk_full(G1, True)
    refused(lambda: complete(api, context, ATTACH), JetErr.LOG_DISK_FULL)
    found = api.restore_get_environment(context)
    assert (found.status_last_recover, found.hr_last_recover) == (ENDED, 0)
    server.set_log_disk_full(G1, False)
    complete(api, context, ATTACH)
    assert server.group(G1).mounted == ("G1S1", "G1S2")
    check_restored(server)


def test_a_mount_that_fails_while_nobody_waits(server: SimulatedServer, api: Session) -> None:
    context = sent(server, api)
    complete(api, context, NOWAIT | ATTACH)
    server.set_log_disk_full(G1, True)
    server.finish_recoveries()
    found = api.restore_get_environment(context)
    assert found.hr_last_recover == hresult_of_jet(JetErr.LOG_DISK_FULL)
    server.set_log_disk_full(G1, False)
    complete(api, context, ATTACH)
    check_restored(server)
    assert server.group(G1).mounted == ("G1S1", "G1S2")


def test_a_kept_restore_completes_a_second_time_without_recovery(
    server: SimulatedServer, api: Session
) -> None:
    context = sent(server, api)
    complete(api, context, KEEP)
    api.restore_close(context, RestoreClose.NORMAL)
    context = api.restore_reopen(SERVER, None, FOLDER)
    complete(api, context, ATTACH)
    assert [event.id for event in server.events].count(204) == 1
    assert server.volume.list("D/restore") == []
    check_restored(server)


@pytest.mark.parametrize("path", ["", "restore", "D:\\", "D:\\a\\..", "\\\\h\\s\\x", None])
@pytest.mark.parametrize("which", [0, 1])
def test_paths_that_are_none(server: SimulatedServer, api: Session, path: str, which: int) -> None:
    context = sent(server, api)
    paths = [FOLDER, FOLDER]
    paths[which] = path
    refused(
        lambda: api.restore_complete(context, paths[0], paths[1], None, NONE),
        JetErr.INVALID_PARAMETER,
    )


@pytest.mark.parametrize("flags", [0x2, 0x4_0000, -1, "1", None])
def test_unknown_flags(server: SimulatedServer, api: Session, flags: RestoreComplete) -> None:
    context = sent(server, api)
    refused(
        lambda: api.restore_complete(context, FOLDER, FOLDER, None, flags),
        JetErr.INVALID_PARAMETER,
    )
    refused(
        lambda: api.restore_complete(context, FOLDER, FOLDER, "", NONE), JetErr.INVALID_PARAMETER
    )
    api.restore_complete(context, FOLDER, FOLDER, None, 0)  # type: ignore[arg-type]


def test_folders_of_the_recovering_instance(server: SimulatedServer, api: Session) -> None:
    """Other folders than that of the restore, and different ones for checkpoint and logs."""
    context = sent(server, api)
    other = open_restore(api, "Other", "E:\\other")
    api.restore_save_environment(context)
    for system, logs in (("E:\\other", FOLDER), (FOLDER, "e:\\OTHER")):
        refused(
            partial(api.restore_complete, context, system, logs, None, NONE),
            JetErr.LOG_FILE_PATH_IN_USE,
        )
    api.restore_close(other, RestoreClose.ABORT)
    api.restore_complete(context, "E:\\system", "E:\\logs", None, NONE)
    found = api.restore_get_environment(context)
    assert found.restore_instance_system_path == "E:\\system"
    assert found.restore_instance_log_path == "E:\\logs"
    assert server.volume.list("E/system") == server.volume.list("E/logs") == []
    assert server.volume.list("D/restore") == []
    check_restored(server)
