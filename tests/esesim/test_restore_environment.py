"""restore.env: what is in it, that it is whole or not there, and what a bad one is answered."""

from __future__ import annotations

import random
import uuid
import zlib
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eseback.constants import RecoverStatus, RestoreClose
from eseback.errors import JetErr
from eseback.structures import RestoreDatabase, RestoreEnvironment
from esesim.exchange.environment import (
    EnvironmentFileError,
    pack_environment,
    save_environment,
    unpack_environment,
)
from esesim.server import SimulatedServer
from esesim.volume import MemoryVolume, PowerLoss
from tests.esesim.support.restores import backed_up, open_restore, refused, send_set
from tests.esesim.support.servers import SERVER

G1 = "G1"
FOLDER = "D:\\restore"
TEXTS = st.text(st.characters(exclude_characters="\0"), max_size=12)


@st.composite
def environments(draw: st.DrawFn) -> RestoreEnvironment:
    """Environments that fulfil eseutil's rules."""
    streams = st.shared(st.integers(1, 2), key="streams")
    count = draw(streams)
    names = st.lists(TEXTS, min_size=count, max_size=count).map(tuple)
    databases = st.builds(RestoreDatabase, TEXTS, st.uuids(), names, names)
    low = draw(st.integers(0, 2**31))
    return RestoreEnvironment(
        restore_log_path=draw(TEXTS),
        source_instance_name=draw(TEXTS),
        databases=tuple(draw(st.lists(databases, max_size=3))),
        restore_instance_system_path=draw(TEXTS),
        target_instance_name=draw(st.none() | TEXTS),
        gen_low=low,
        gen_high=low + draw(st.integers(0, 1000)) if low else 0,
        log_base_name="E00" if low else None,
        time_last_restore=draw(st.integers(0, 2**33)),
        status_last_recover=draw(st.sampled_from(RecoverStatus)),
        hr_last_recover=draw(st.integers(-(2**31), 2**32 - 1)),
        annotation=draw(TEXTS),
        server_name=draw(st.none() | TEXTS),
    )


@given(environments())
def test_what_is_saved_is_what_is_loaded(environment: RestoreEnvironment) -> None:
    assert unpack_environment(pack_environment(environment)) == environment


SAMPLE = RestoreEnvironment(
    restore_log_path=FOLDER,
    source_instance_name="Größe 5",
    databases=(RestoreDatabase("S", uuid.UUID(int=7), ("C:\\a.edb",), ("D:\\a.edb",)),),
    log_base_name="E00",
    gen_low=3,
    gen_high=9,
)


def test_every_damaged_byte_is_found() -> None:
    data = pack_environment(SAMPLE)
    for position in range(len(data)):
        damaged = bytearray(data)
        damaged[position] ^= 0x04
        with pytest.raises(EnvironmentFileError):
            unpack_environment(bytes(damaged))
    for size in range(len(data)):
        with pytest.raises(EnvironmentFileError):
            unpack_environment(data[:size])


def rebuilt(text: str, *changes: tuple[str, str]) -> bytes:
    """A file whose body was edited and has the right checksum all the same."""
    first, _, body = text.split("\n", 2)
    for old, new in changes:
        assert old in body
        body = body.replace(old, new)
    return f"{first}\ncrc32 {zlib.crc32(body.encode()):08x}\n{body}".encode()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "no restore environment of esesim"),
        (b"\x10\x20\x30 what a real server writes", "no restore environment of esesim"),
        (b"esesim restore environment 2\ncrc32 0\n{}", "of version 2, this esesim reads version 1"),
        (b"esesim restore environment 1\ncrc32 00000000\n{}", "its checksum is wrong"),
    ],
)
def test_files_that_are_none(data: bytes, reason: str) -> None:
    with pytest.raises(EnvironmentFileError, match=reason):
        unpack_environment(data)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('"gen_high": 9', '"gen_high": 2', "expected 0 < low <= high"),
        ('"gen_high": 9', '"gen_high": "9"', "damaged"),
        ('"gen_high": 9', '"generation_high": 9', "gen_high, generation_high"),
        ('"D:\\\\a.edb"', '"D:\\\\a.edb", "D:\\\\b.stm"', "1 source files, 2 destination files"),
        ('"C:\\\\a.edb"', "5", "5 is no str"),
        ('"00000000-0000-0000-0000-000000000007"', '"7"', "badly formed"),
        ('"status_last_recover": 1', '"status_last_recover": 9', "9 is not a valid"),
        ('"annotation": ""', '"annotation": {}', "annotation is"),
    ],
)
def test_nonsense_with_a_good_checksum(old: str, new: str, reason: str) -> None:
    data = rebuilt(pack_environment(SAMPLE).decode(), (old, new))
    with pytest.raises(EnvironmentFileError, match=reason):
        unpack_environment(data)


def test_a_crash_while_saving_leaves_one_of_the_two() -> None:
    older = pack_environment(SAMPLE)
    newer = RestoreEnvironment(FOLDER, "G")
    outcomes = set()
    for after in range(1, 9):
        volume = MemoryVolume()
        volume.make_directory("D/restore")
        save_environment(volume, "D/restore", SAMPLE)
        volume.fail_after_writes(after)
        try:
            save_environment(volume, "D/restore", newer)
        except PowerLoss:
            volume.crash(random.Random(after))
        file = volume.open("D/restore/restore.env")
        found = file.read(0, file.size)
        assert found in (older, pack_environment(newer))
        outcomes.add(found)
    assert len(outcomes) == 2


# -- through the API


def test_load_get_and_reopen_show_the_same() -> None:
    scene = backed_up()
    with scene.free_server() as server:
        api = server.session()
        context = open_restore(api, G1, FOLDER)
        send_set(server, api, context, scene.databases[G1], scene.full[G1])
        known = api.restore_get_environment(context)
        refused(lambda: api.restore_load_environment(SERVER, FOLDER), JetErr.FILE_NOT_FOUND)
        api.restore_save_environment(context)
        for name in (None, SERVER, SERVER.lower()):
            assert api.restore_load_environment(name, f"{FOLDER}\\") == known
        api.restore_close(context, RestoreClose.NORMAL)
        again = api.restore_reopen(SERVER, None, FOLDER)
        assert api.restore_get_environment(again) == known
        assert known.gen_low == min(generations(scene.full[G1]))
        assert known.gen_high == max(generations(scene.full[G1]))
        assert [d.source_streams for d in known.databases] == [
            info.streams for info in scene.databases[G1]
        ]


def generations(files: Iterable[str]) -> list[int]:
    return [int(name[-9:-4], 16) for name in files if name.endswith(".log")]


def test_what_changes_after_saving_is_not_in_the_file() -> None:
    with backed_up().free_server() as server:
        api = server.session()
        context = open_restore(api, G1, FOLDER)
        api.restore_save_environment(context)
        info = backed_up().databases[G1][0]
        api.restore_add_database(context, info.display_name, info.guid, info.streams)
        assert api.restore_get_environment(context).databases
        assert not api.restore_load_environment(None, FOLDER).databases


@pytest.mark.parametrize(
    ("content", "error", "words"),
    [
        (None, JetErr.FILE_NOT_FOUND, "begins with a full set"),
        (b"foreign", "hrInvalidParam", "restore.env: is no restore environment of esesim"),
        (b"esesim restore environment 7\n\n", "hrInvalidParam", "version 7"),
        (pack_environment(SAMPLE)[:-1], "hrInvalidParam", "its checksum is wrong"),
    ],
)
def test_bad_environments(content: bytes | None, error: int | str, words: str) -> None:
    with backed_up().free_server() as server:
        if content is not None:
            put(server, content)
        api = server.session()
        for call in (
            lambda: api.restore_load_environment(None, FOLDER),
            lambda: api.restore_reopen(SERVER, None, FOLDER),
        ):
            assert words in refused(call, error).detail
        # Nothing was taken by what was refused: a restore can begin anew there.
        open_restore(api, G1, FOLDER)


def put(server: SimulatedServer, content: bytes) -> None:
    with server.files.create(f"{FOLDER}\\restore.env") as file:
        file.write(content)


def test_arguments_of_load() -> None:
    api = backed_up().server().session()
    refused(lambda: api.restore_load_environment("OTHER", FOLDER), "hrCouldNotConnect")
    refused(lambda: api.restore_load_environment("", FOLDER), JetErr.INVALID_PARAMETER)
    for path in ("", "restore", "D:\\"):
        with pytest.raises(Exception, match="restore log path"):
            api.restore_load_environment(None, path)


def test_an_environment_counts_where_it_lies() -> None:
    with backed_up().free_server() as server:
        put(server, pack_environment(RestoreEnvironment("X:\\moved", G1)))
        api = server.session()
        context = api.restore_reopen(SERVER, None, FOLDER)
        assert api.restore_get_environment(context).restore_log_path == FOLDER
