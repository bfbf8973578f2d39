"""Contexts and handles: whose backup it is, what a stranger may do to it, and how it is freed."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from eseback.constants import INFORMATION_STORE, BackupType, InstanceEnd
from eseback.errors import EseBackupError
from eseback.jeterr import JetErr
from esesim.server import SimulatedServer
from esesim.session import Session
from tests.esesim.support.servers import back_up, prepare, read_file, small_server

FULL = BackupType.FULL


def refused(call: Callable[[], object], error: int | str) -> EseBackupError:
    with pytest.raises(EseBackupError) as caught:
        call()
    if isinstance(error, str):
        assert caught.value.name == error
    else:
        assert caught.value.jet == error
    return caught.value


def begun(server: SimulatedServer, group: str = "G1") -> tuple[Session, int]:
    """A session and a context whose backup of the group runs."""
    api = server.session()
    prepared = prepare(api)
    api.backup_setup(prepared.context, prepared.instances[group], FULL)
    return api, prepared.context


def test_a_second_backup_of_the_group_never_harms_the_first() -> None:
    server = small_server()
    a, running = begun(server)
    edb = server.groups[0].spec.stores[0].edb
    (opened,) = a.backup_open_file(running, edb)
    assert a.backup_read_file(running, opened.handle, bytearray(65536)) == 65536
    b = server.session()
    other = prepare(b)
    refused(lambda: b.backup_setup(other.context, other.instances["G1"], FULL), -505)
    refused(lambda: b.backup_truncate_logs(other.context), -520)
    refused(lambda: b.backup_instance_end(other.context, InstanceEnd.ERROR), -520)
    refused(lambda: b.backup_open_file(other.context, edb), -520)
    refused(lambda: b.backup_read_file(other.context, opened.handle, bytearray(1)), -520)
    refused(lambda: b.backup_close_file(other.context, opened.handle), -520)
    b.backup_end(other.context)
    rest = 0
    while count := a.backup_read_file(running, opened.handle, bytearray(65536)):
        rest += count
    assert rest == opened.size - 65536
    a.backup_close_file(running, opened.handle)
    a.backup_get_log_and_patch_files(running)
    a.backup_instance_end(running, InstanceEnd.SUCCESS)
    assert server.events[-1].id == 213


def test_contexts_of_one_session_back_up_different_groups() -> None:
    server = small_server(groups=2)
    api = server.session()
    contexts = {}
    for group in ("G1", "G2"):
        prepared = prepare(api)
        api.backup_setup(prepared.context, prepared.instances[group], FULL)
        contexts[group] = prepared
    handles = {
        group: api.backup_open_file(p.context, p.streams[group][0])[0]
        for group, p in contexts.items()
    }
    assert len({opened.handle for opened in handles.values()}) == 2
    g1, g2 = contexts["G1"].context, contexts["G2"].context
    refused(lambda: api.backup_read_file(g1, handles["G2"].handle, bytearray(1)), -1003)
    refused(lambda: api.backup_close_file(g2, handles["G1"].handle), -1003)
    refused(lambda: api.backup_open_file(g1, contexts["G2"].streams["G2"][0]), -1011)
    api.backup_close_file(g1, handles["G1"].handle)
    # A stream of the other group is no database of this one.
    refused(lambda: api.backup_open_file(g1, contexts["G2"].streams["G2"][0]), -1203)
    api.backup_end(g1)
    assert api.backup_read_file(g2, handles["G2"].handle, bytearray(7)) == 7


def test_a_context_backs_up_one_group_after_the_other() -> None:
    server = small_server(groups=2)
    api = server.session()
    prepared = prepare(api)
    context = prepared.context
    api.backup_setup(context, prepared.instances["G1"], FULL)
    refused(lambda: api.backup_setup(context, prepared.instances["G2"], FULL), -505)
    api.backup_instance_end(context, InstanceEnd.ERROR)
    api.backup_setup(context, prepared.instances["G2"], FULL)
    assert read_file(api, context, prepared.streams["G2"][0])
    api.backup_end(context)
    assert [group.backup_owner for group in server.groups] == [None, None]


def test_contexts_and_handles_are_never_taken_for_others() -> None:
    server = small_server()
    a, running = begun(server)
    b, c = server.session(), server.session()
    other = prepare(c).context
    assert other != running
    for stranger in (running, other, 0, -1, 10**9):
        refused(lambda s=stranger: b.backup_end(s), "hrInvalidHandle")  # type: ignore[misc]
        refused(lambda s=stranger: b.backup_get_dependency_info(s), "hrInvalidHandle")  # type: ignore[misc]
    a.backup_end(running)
    refused(lambda: a.backup_end(running), "hrInvalidHandle")
    edb = server.groups[0].spec.stores[0].edb
    a, running = begun(server)
    first = a.backup_open_file(running, edb)[0].handle
    a.backup_close_file(running, first)
    second = a.backup_open_file(running, edb)[0].handle
    assert first != second
    refused(lambda: a.backup_read_file(running, first, bytearray(1)), -1003)
    refused(lambda: a.backup_close_file(running, first), -1003)
    assert a.backup_read_file(running, second, bytearray(1)) == 1


def test_end_frees_the_group_in_every_phase() -> None:
    server = small_server()
    edb = server.groups[0].spec.stores[0].edb
    for phase in range(4):
        api, context = begun(server)
        if phase == 1:
            api.backup_open_file(context, edb)
        if phase > 1:
            logs = api.backup_get_log_and_patch_files(context)
        if phase == 3:
            api.backup_open_file(context, logs[0])
        api.backup_end(context)
        assert [event.id for event in server.events if event.id != 222][-1] == 215
        server.dismount("G1", "G1S1")
        server.mount("G1", "G1S1")


def test_a_lost_connection_frees_the_group_and_ends_the_context() -> None:
    server = small_server()
    api, context = begun(server)
    other = prepare(api).context
    api.backup_open_file(context, server.groups[0].spec.stores[0].edb)
    server.connection_lost(context)
    assert 215 in [event.id for event in server.events]
    refused(lambda: api.backup_end(context), "hrInvalidHandle")
    api.backup_end(other)
    back_up(server.session(), "G1")


@pytest.mark.parametrize(
    ("name", "size", "sections"),
    [("", 1, 1), ("a\0b", 1, 1), (None, 1, 1), ("x", -1, 1), ("x", None, 1), ("x", 1, 0)],
)
def test_arguments_of_open(name: str, size: int, sections: int) -> None:
    server = small_server()
    api, context = begun(server)
    refused(lambda: api.backup_open_file(context, name, size, sections), -1003)
    refused(lambda: api.backup_open_file(context, "x", 1, 2), -1003)
    assert read_file(api, context, server.groups[0].spec.stores[0].edb)


@pytest.mark.parametrize("buffer", [b"", bytearray(), b"read-only", None, 5])
def test_arguments_of_read(buffer: bytearray) -> None:
    server = small_server()
    api, context = begun(server)
    (opened,) = api.backup_open_file(context, server.groups[0].spec.stores[0].edb)
    refused(lambda: api.backup_read_file(context, opened.handle, buffer), -1003)
    assert api.backup_read_file(context, opened.handle, bytearray(10)) == 10


def test_arguments_of_setup_and_instance_end() -> None:
    server = small_server(groups=2, dismounted=("G2S1",))
    api = server.session()
    prepared = prepare(api)
    g1 = prepared.instances["G1"]
    stopped = server.groups[1].id
    for instance, kind in ((g1, 0), (g1, 4), (g1, "full"), (stopped, 1), (0, 1), (None, 1)):
        refused(lambda i=instance, k=kind: api.backup_setup(prepared.context, i, k), -1003)  # type: ignore[misc]
    refused(lambda: api.backup_instance_end(prepared.context, 2), -1003)  # type: ignore[arg-type]
    api.backup_setup(prepared.context, g1, 1)  # type: ignore[arg-type]
    refused(lambda: api.backup_instance_end(prepared.context, -1), -1003)  # type: ignore[arg-type]
    api.backup_get_log_and_patch_files(prepared.context)
    api.backup_instance_end(prepared.context, 1)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["", "a\0b", None])
def test_arguments_of_prepare(name: str) -> None:
    api = small_server(groups=0).session()
    refused(lambda: api.backup_prepare(name, INFORMATION_STORE), JetErr.INVALID_PARAMETER)
    refused(lambda: api.backup_prepare("EXCHSRV1", name), "hrCouldNotConnect")


def test_instances_of_another_service_are_not_for_this_context() -> None:
    server = small_server()
    api = server.session()
    context = prepare(api).context
    assert api._contexts[context].offered == {server.groups[0].id}
    api.backup_setup(context, server.groups[0].id, FULL)


def test_dependency_info_is_an_empty_multi_string() -> None:
    from eseback import multistring

    api = small_server().session()
    info = api.backup_get_dependency_info(prepare(api).context)
    assert multistring.encode(info.annotations) == "\0\0"
    assert info.info == b""


def test_strict_reads_are_the_engines_own() -> None:
    server = small_server(strict_reads=True)
    edb = server.groups[0].spec.stores[0].edb
    api, context = begun(server)
    handle = api.backup_open_file(context, edb)[0].handle
    for size in (1, 4096, 8192, 65528):
        refused(lambda s=size: api.backup_read_file(context, handle, bytearray(s)), -1003)  # type: ignore[misc]
    assert api.backup_read_file(context, handle, bytearray(3 * 4096)) == 3 * 4096
    assert api.backup_read_file(context, handle, bytearray(4096)) == 4096
    strict = back_up_after(api, context, server)
    with small_server() as lenient:
        assert back_up(lenient.session(), "G1", size=65528) == strict


def back_up_after(api: Session, context: int, server: SimulatedServer) -> dict[str, bytes]:
    api.backup_end(context)
    server.close()
    with small_server(strict_reads=True) as fresh:
        return back_up(fresh.session(), "G1", size=65536)


def test_sizes_of_reads_change_no_byte() -> None:
    contents = []
    for size in (65536, 1000, 4095, 4097, 12_287, 65_528, 300_000):
        with small_server(messages=40) as server:
            contents.append(back_up(server.session(), "G1", size=size))
    assert all(files == contents[0] for files in contents[1:])


def test_the_call_that_is_supported_by_nobody() -> None:
    refused(lambda: small_server().session().snapshot_start(1, "x", 0), "hrNyi")


def test_groups_are_read_in_parallel() -> None:
    """A client in one group gets on while another group is locked."""
    server = small_server(groups=2)
    api, context = begun(server, "G2")
    done = threading.Event()

    def read() -> None:
        read_file(api, context, server.groups[1].spec.stores[0].edb)
        done.set()

    with server.groups[0].lock:
        thread = threading.Thread(target=read)
        thread.start()
        assert done.wait(20)
        thread.join()
    api.backup_end(context)
