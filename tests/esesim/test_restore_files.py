"""OpenFile, WriteFile, CloseFile and file-level access: what is written, and what is noted."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest

from eseback.api import ReadableBuffer
from eseback.constants import RestoreClose
from eseback.errors import JetErr
from esesim.server import SimulatedServer
from esesim.session import Session
from esesim.windows_path import WindowsPathError
from tests.esesim.support.restores import backed_up, open_restore, refused

G1 = "G1"
FOLDER = "D:\\restore"


@pytest.fixture
def server() -> Iterator[SimulatedServer]:
    with backed_up().free_server() as server:
        yield server


@pytest.fixture
def api(server: SimulatedServer) -> Session:
    return server.session()


def begun(api: Session) -> int:
    """A context with a folder and one database."""
    context = open_restore(api, G1, FOLDER)
    info = backed_up().databases[G1][0]
    api.restore_add_database(context, info.display_name, info.guid, info.streams)
    return context


def test_bytes_arrive_in_order_and_nothing_else(server: SimulatedServer, api: Session) -> None:
    context = begun(api)
    edb = backed_up().databases[G1][0].streams[0]
    data = bytes(range(256)) * 700
    for _ in range(2):  # the second time over the first
        handle = api.restore_open_file(context, edb.upper()).handle
        assert handle is not None
        pieces: list[ReadableBuffer] = [
            data[:1],
            b"",
            memoryview(data)[1:5000],
            bytearray(data[5000:]),
        ]
        for piece in pieces:
            api.restore_write_file(context, handle, piece)
        api.restore_close_file(context, handle)
        assert server.files.read(edb) == data
        data = data[:1000]


def test_logs_make_the_range_of_the_environment(api: Session) -> None:
    context = begun(api)
    names = ("E0000007.log", "e0000005.LOG", "E000000A.log", "priv1.pat", "E00.log", "any.thing")
    ranges = []
    for name in names:
        handle = api.restore_open_file(context, f"{FOLDER}\\{name}").handle
        assert handle is not None
        api.restore_close_file(context, handle)
        found = api.restore_get_environment(context)
        assert not found.problems()
        ranges.append((found.log_base_name, found.gen_low, found.gen_high))
    assert ranges == [("E00", 7, 7), ("E00", 5, 7), *[("E00", 5, 10)] * 4]
    assert api.restore_get_environment(context).time_last_restore > 0
    error = refused(
        lambda: api.restore_open_file(context, f"{FOLDER}\\E0100005.log"), JetErr.INVALID_PARAMETER
    )
    assert "another log stream" in error.detail


def test_names_with_eight_digits(api: Session) -> None:
    context = begun(api)
    api.restore_open_file(context, f"{FOLDER}\\E0000000012.log")
    found = api.restore_get_environment(context)
    assert (found.log_base_name, found.gen_low, found.gen_high) == ("E00", 0x12, 0x12)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "E0000001.log",
        "D:\\other\\E0000001.log",
        f"{FOLDER}\\below\\E0000001.log",
        f"{FOLDER}\\..\\restore\\E0000001.log",
        f"{FOLDER}\\restore.env",
        f"{FOLDER}\\RESTORE.ENV",
        "D:\\restore",
        "C:\\Program Files\\Exchsrvr\\mdbdata\\E0000001.log",
        "C:\\Program Files\\Exchsrvr\\mdbdata\\G1S2.edb",
        7,
    ],
)
@pytest.mark.parametrize("way", ["handle", "file_level"])
def test_files_that_are_no_part_of_the_restore(name: str, way: str) -> None:
    with backed_up().free_server(restore_files=way) as server:
        api = server.session()
        context = begun(api)
        before = api.restore_get_environment(context)
        refused(lambda: api.restore_open_file(context, name), JetErr.INVALID_PARAMETER)
        refused(
            lambda: api.restore_open_file(context, f"{FOLDER}\\E0000001.log", 2),
            JetErr.INVALID_PARAMETER,
        )
        assert api.restore_get_environment(context) == before


def test_one_file_at_a_time(api: Session) -> None:
    context = begun(api)
    handle = api.restore_open_file(context, f"{FOLDER}\\E0000001.log").handle
    assert handle is not None
    refused(lambda: api.restore_open_file(context, f"{FOLDER}\\E0000002.log"), "hrAlreadyOpen")
    for wrong in (handle + 1, 0, -1, "1", None):
        bad_write = partial(api.restore_write_file, context, wrong, b"x")  # type: ignore[arg-type]
        refused(bad_write, "hrInvalidHandle")
        refused(
            partial(api.restore_close_file, context, wrong),  # type: ignore[arg-type]
            "hrInvalidHandle",
        )
    api.restore_close_file(context, handle)
    refused(lambda: api.restore_write_file(context, handle, b"x"), "hrInvalidHandle")
    assert api.restore_get_environment(context).gen_high == 1


@pytest.mark.parametrize("data", [None, "text", 7, memoryview(b"abcdef")[::2]])
def test_data_that_is_no_bytes(api: Session, data: bytes) -> None:
    context = begun(api)
    handle = api.restore_open_file(context, f"{FOLDER}\\E0000001.log").handle
    assert handle is not None
    refused(lambda: api.restore_write_file(context, handle, data), JetErr.INVALID_PARAMETER)
    api.restore_write_file(context, handle, b"and on")
    api.restore_close_file(context, handle)


def test_closing_the_context_closes_the_file(server: SimulatedServer, api: Session) -> None:
    context = begun(api)
    handle = api.restore_open_file(context, f"{FOLDER}\\E0000001.log").handle
    assert handle is not None
    api.restore_write_file(context, handle, b"half")
    api.restore_close(context, RestoreClose.ABORT)
    assert server.files.read(f"{FOLDER}\\E0000001.log") == b"half"
    refused(lambda: api.restore_write_file(context, handle, b"x"), "hrInvalidHandle")


def test_a_place_where_no_file_can_be(server: SimulatedServer, api: Session) -> None:
    with server.files.create("E:\\file") as file:
        file.write(b"x")
    context = open_restore(api, G1)
    info = backed_up().databases[G1][0]
    below = ("E:\\file\\a.edb", "E:\\file\\a.stm")
    api.restore_add_database_ns(context, info.display_name, info.guid, info.streams, below)
    refused(lambda: api.restore_open_file(context, below[0]), JetErr.INVALID_PATH)
    api.restore_save_environment(context)  # nothing is open


# -- file level


def test_the_client_writes_the_files_itself() -> None:
    with backed_up().free_server(restore_files="file_level") as server:
        api = server.session()
        context = begun(api)
        opened = api.restore_open_file(context, f"{FOLDER}\\E0000003.log")
        assert opened.at_file_level
        assert api.restore_open_file(context, f"{FOLDER}\\E0000004.log").handle is None
        refused(lambda: api.restore_write_file(context, 1, b"x"), "hrInvalidHandle")
        refused(lambda: api.restore_close_file(context, 1), "hrInvalidHandle")
        assert api.restore_get_environment(context).gen_high == 4
        assert not server.files.exists(f"{FOLDER}\\E0000003.log")


def test_file_access(server: SimulatedServer) -> None:
    files = server.files
    with files.create("F:\\new\\deep\\file.bin") as file:
        assert file.writable()
        assert file.write(b"ab") == 2
        assert file.write(memoryview(b"cd")) == 2
    file.close()
    assert files.exists("f:\\NEW\\deep\\FILE.bin")
    assert files.read("F:\\new\\deep\\file.bin") == b"abcd"
    with files.create("F:\\new\\deep\\file.bin"):
        pass
    assert files.read("F:\\new\\deep\\file.bin") == b""
    assert not files.exists("F:\\new\\other")
    with pytest.raises(FileNotFoundError):
        files.read("F:\\new\\other")
    for path in ("file", "F:\\..\\x", "\\\\host\\x\\y"):
        with pytest.raises(WindowsPathError):
            files.create(path)


def test_what_the_server_has_open_is_not_overwritten(server: SimulatedServer) -> None:
    server.mount(G1, "G1S1")
    spec = server.group(G1).spec
    first, second = spec.stores
    before = server.files.read(first.edb)
    for path in (*first.streams, f"{spec.log_path}\\E00.log", f"{spec.log_path}\\E00.chk"):
        with pytest.raises(PermissionError, match="in use"):
            server.files.create(path.upper())
    assert server.files.read(first.edb) == before
    with server.files.create(second.edb) as file:
        file.write(b"free")
