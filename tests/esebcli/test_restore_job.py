"""Restore jobs against the scripted server: the order of calls, and what errors leave behind."""

from __future__ import annotations

import io
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import pytest
from attrs import evolve

from eseback.constants import RecoverStatus, RestoreClose, RestoreComplete
from eseback.errors import ConnectionLost, EseBackupError
from eseback.restoreorder import RestoreState
from esebcli.errors import RestoreRefused, UserError
from esebcli.fileaccess import FilesRoot
from esebcli.manifest import Kind
from esebcli.progress import Phase, Progress
from esebcli.restore import RestoreJob, RestoreRequest
from esebcli.restoredata import Outcome
from esebcli.sets import BackupSet
from tests.esebcli.support_fake import SERVER, Call, Group, Store
from tests.esebcli.support_files import LogStream
from tests.esebcli.support_jobs import back_up, flip
from tests.esebcli.support_restore import (
    CHOSEN,
    RestoringServer,
    bring_back,
    by_name,
    bytes_in,
)

FIRST, SECOND = "First Storage Group", "Second"
MDB = "C:\\Program Files\\Exchsrvr\\mdbdata\\"
PRIV1, PUB1, PRIV2 = (uuid.UUID(int=number) for number in (1, 2, 3))


@pytest.fixture
def sets(restorer: RestoringServer, tmp_path: Path) -> tuple[Path, Path]:
    """A full and an incremental of both groups; what was called for them is forgotten."""
    full, inc = tmp_path / "full", tmp_path / "inc"
    assert back_up(restorer, full).ok
    for group in restorer.groups:
        group.work(4)
    assert back_up(restorer, inc, Kind.INCREMENTAL, previous=full).ok
    restorer.calls.clear()
    return full, inc


def closes(server: RestoringServer) -> list[object]:
    """How the contexts were closed."""
    return [call.argument for call in server.calls_of("restore_close")]


# --- the good case


def test_the_order_of_the_calls(restorer: RestoringServer, sets: tuple[Path, Path]) -> None:
    result = bring_back(restorer, sets[1], sets[0], groups=(FIRST,))
    assert result.ok and result.reasons == ()
    calls = [
        name.removeprefix("restore_")
        for name in restorer.methods()
        if name not in ("restore_write_file", "restore_close_file")
    ]
    assert calls == [
        "open",
        "get_environment",
        *["add_database"] * 2,
        *["open_file"] * 7,
        "save_environment",
        "close",
        "reopen",
        *["open_file"] * 5,
        "save_environment",
        "complete",
        "close",
    ]
    assert closes(restorer) == [RestoreClose.NORMAL] * 2
    assert restorer.calls_of("restore_open")[0].argument == (SERVER, FIRST, None)
    folder = f"{CHOSEN}1"
    reopened = restorer.calls_of("restore_reopen")[0].argument
    assert reopened == (SERVER, "Microsoft Information Store", folder)
    names = [str(call.argument) for call in restorer.calls_of("restore_open_file")]
    assert names[:4] == [MDB + n for n in ("priv1.edb", "priv1.stm", "pub1.edb", "pub1.stm")]
    assert names[4:] == [f"{folder}\\E00{g:05X}.log" for g in range(4, 12)]
    completed = restorer.completed[0]
    assert (completed.checkpoint_path, completed.log_path) == (folder, folder)
    assert completed.target is None and completed.flags is RestoreComplete.ATTACH_DBS


@pytest.mark.parametrize("file_level", [False, True], ids=["handle", "file level"])
def test_every_byte_arrives(
    restorer: RestoringServer, sets: tuple[Path, Path], file_level: bool
) -> None:
    restorer.file_level = file_level
    result = bring_back(restorer, *sets)
    assert result.ok
    assert ("restore_write_file" in restorer.methods()) is not file_level
    assert restorer.pieces_max <= 1 << 20
    for group in (FIRST, SECOND):
        saved = {**bytes_in(sets[0], group), **bytes_in(sets[1], group)}
        part = next(g for g in result.groups if g.name == group)
        named = {name: data for name, data in by_name(restorer.disk).items() if name in saved}
        assert named == {n: d for n, d in saved.items() if n in named}
        assert part.files == len(named) and part.size == sum(map(len, named.values()))
        assert set(saved) - set(named) <= {f"{group}", *(_log(g) for g in (2, 3))}
    first, second = result.groups
    assert (first.low, first.high, first.outcome) == (4, 11, Outcome.RECOVERED)
    assert first.sets == (str(sets[0]), str(sets[1])) and first.seconds > 0
    assert [d.name for d in second.databases] == ["Store priv2"]


def _log(generation: int) -> str:
    return f"E00{generation:05X}.log"


def test_large_files_go_in_pieces(restorer: RestoringServer, tmp_path: Path) -> None:
    group = restorer.groups[1]
    big = Group(SECOND, group.stream, group.stores)
    from tests.esebcli.support_files import Image

    image = Image(group.stream, 4, 6, pages=600, seed=3, has_streaming=False)
    big.altered[MDB + "priv2.edb"] = image.edb()
    restorer.groups = (restorer.groups[0], big)
    assert back_up(restorer, tmp_path / "full", groups=(SECOND,)).ok
    assert bring_back(restorer, tmp_path / "full").ok
    assert restorer.disk[MDB + "priv2.edb"] == image.edb()
    assert len(image.edb()) > 1 << 21 > 1 << 20 >= restorer.pieces_max


@pytest.mark.parametrize(
    ("more", "flags"),
    [
        ({"mount": False}, RestoreComplete.NONE),
        (
            {"keep_logs": True},
            RestoreComplete.ATTACH_DBS | RestoreComplete.KEEP_LOG_FILES,
        ),
        ({"mount": False, "poll": True}, RestoreComplete.NOWAIT),
    ],
)
def test_the_flags_of_complete(
    restorer: RestoringServer,
    sets: tuple[Path, Path],
    more: dict[str, Any],
    flags: RestoreComplete,
) -> None:
    assert bring_back(restorer, *sets, groups=(SECOND,), **more).ok
    assert restorer.completed[0].flags == flags


def test_a_folder_of_ones_own(restorer: RestoringServer, sets: tuple[Path, Path]) -> None:
    folder = "E:\\Temp\\"
    result = bring_back(restorer, *sets, groups=(SECOND,), log_path=folder)
    assert result.ok and result.groups[0].log_path == folder
    assert "E:\\Temp\\E0100004.log" in restorer.disk


def test_groups_in_parallel_have_a_session_each(
    restorer: RestoringServer, sets: tuple[Path, Path]
) -> None:
    meet = threading.Barrier(2, timeout=20)
    names: list[str] = []

    def on_call(call: Call) -> None:
        names.append(threading.current_thread().name)

    def connect() -> Any:
        meet.wait()  # both groups are under way at the same time
        return restorer.api

    restorer.on_call = on_call
    request = RestoreRequest(sets, parallel=2)
    seen: list[Progress] = []
    result = RestoreJob(connect, request, seen.append).run()
    assert result.ok and result.server == SERVER and len(set(names)) == 2
    assert [group.name for group in result.groups] == [FIRST, SECOND]
    folders = {group.log_path for group in result.groups}
    assert len(folders) == 2
    for group in result.groups:
        phases = list(dict.fromkeys(p.phase for p in seen if p.group == group.name))
        assert phases == [
            Phase.CHECKING,
            Phase.DATABASES,
            Phase.LOGS,
            Phase.RECOVERING,
            Phase.DONE,
        ]
        last = [p for p in seen if p.group == group.name][-1]
        assert last.saved == group.size


def test_one_after_the_other(restorer: RestoringServer, sets: tuple[Path, Path]) -> None:
    assert bring_back(restorer, *sets, parallel=1).ok
    contexts = [call.context for call in restorer.calls if call.context]
    assert contexts == sorted(contexts)


# --- where to


def _with_recovery_group(server: RestoringServer, *stores: Store) -> None:
    other = Group("Recovery", LogStream.numbered(7, "R00"), stores)
    server.groups = (*server.groups, other)


def test_into_a_group_that_runs(restorer: RestoringServer, sets: tuple[Path, Path]) -> None:
    _with_recovery_group(restorer, Store("priv2", 33, folder="R:\\rsg\\"))
    result = bring_back(restorer, *sets, groups=(SECOND,), into="Recovery")
    assert result.ok
    placed = restorer.calls_of("restore_add_database_ns")
    assert [call.argument for call in placed] == [("R:\\rsg\\priv2.edb",)]
    assert "R:\\rsg\\priv2.edb" in restorer.disk and MDB + "priv2.edb" not in restorer.disk
    assert result.groups[0].warnings == (
        "database 'Store priv2' is restored to R:\\rsg\\priv2.edb",
    )
    # The name at backup time is what Open is told, and Prepare leaves no context behind.
    assert restorer.calls_of("restore_open")[0].argument == (SERVER, SECOND, None)
    assert restorer.methods()[:2] == ["backup_prepare", "backup_end"]


def test_into_a_group_that_the_server_redirects_to(
    restorer: RestoringServer, sets: tuple[Path, Path]
) -> None:
    restorer.places[PRIV2] = ("R:\\rsg\\x.edb",)
    result = bring_back(restorer, *sets, groups=(SECOND,), into="Recovery")
    assert result.ok and "R:\\rsg\\x.edb" in restorer.disk


def test_into_a_group_that_nobody_knows(restorer: RestoringServer, sets: tuple[Path, Path]) -> None:
    """The server would restore over the original."""
    result = bring_back(restorer, *sets, groups=(SECOND,), into="Recovery")
    assert not result.ok and "and not into storage group 'Recovery'" in result.reasons[0]
    assert restorer.disk == {} and result.groups[0].outcome is Outcome.UNTOUCHED
    assert closes(restorer) == [RestoreClose.ABORT]


def test_into_a_group_without_such_a_database(
    restorer: RestoringServer, sets: tuple[Path, Path]
) -> None:
    _with_recovery_group(restorer, Store("other", 33, folder="R:\\rsg\\"))
    restorer.places[PRIV2] = ("Q:\\x.edb",)  # anywhere, but not in that group
    result = bring_back(restorer, *sets, groups=(SECOND,), into="Recovery")
    assert not result.ok and "to Q:\\x.edb and not into" in result.reasons[0]
    restorer.places[PRIV2] = ("r:\\RSG\\other.edb",)
    assert bring_back(restorer, *sets, groups=(SECOND,), into="Recovery").ok


def test_a_streaming_file_needs_a_place(restorer: RestoringServer, sets: tuple[Path, Path]) -> None:
    _with_recovery_group(
        restorer,
        Store("priv1", 33, folder="R:\\rsg\\", has_streaming=False),
        Store("pub1", 34, folder="R:\\rsg\\"),
    )
    result = bring_back(restorer, *sets, groups=(FIRST,), into="Recovery")
    assert not result.ok and "has 2 files, the one in 'Recovery' only 1" in result.reasons[0]
    assert restorer.disk == {}


def test_named_places(restorer: RestoringServer, sets: tuple[Path, Path]) -> None:
    places = {"store PRIV1": "X:\\new\\p.edb", str(PUB1): "X:\\new\\q.EDB"}
    result = bring_back(restorer, *sets, groups=(FIRST,), places=places)
    assert result.ok
    assert {n for n in restorer.disk if n.startswith("X:")} == {
        "X:\\new\\p.edb",
        "X:\\new\\p.stm",
        "X:\\new\\q.EDB",
        "X:\\new\\q.stm",
    }


@pytest.mark.parametrize("into", [None, SECOND])
@pytest.mark.parametrize("mounted", [True, False])
def test_a_restore_is_not_redirected_unasked(
    restorer: RestoringServer, sets: tuple[Path, Path], mounted: bool, into: str | None
) -> None:
    """Left to itself the server leads to its recovery storage group."""
    restorer.places[PRIV2] = ("R:\\rsg\\x.edb",)
    restorer.groups[1].stores = (evolve(restorer.groups[1].stores[0], mounted=mounted),)
    result = bring_back(restorer, *sets, groups=(SECOND,), into=into)
    assert result.ok
    assert MDB + "priv2.edb" in restorer.disk and "R:\\rsg\\x.edb" not in restorer.disk
    (warning,) = result.groups[0].warnings or ("",)
    assert ("R:\\rsg\\x.edb; it is restored to its own storage group" in warning) is (into is None)
    assert closes(restorer)[0] is (RestoreClose.NORMAL if into else RestoreClose.ABORT)
    assert set(restorer.restore_states()) == {RestoreState.CLOSED}


def test_a_refusal_does_not_name_the_place_that_was_given_up(
    restorer: RestoringServer, sets: tuple[Path, Path]
) -> None:
    restorer.places[PRIV2] = ("R:\\rsg\\x.edb",)
    name = "hrCBDatabaseInUse"
    restorer.fail(
        "restore_add_database_ns", EseBackupError.from_name(name, "restore_add_database_ns")
    )
    (group,) = bring_back(restorer, *sets, groups=(SECOND,)).groups
    assert group.outcome is Outcome.UNTOUCHED and name in (group.error or "")
    assert (group.databases, group.warnings) == ((), ())


def test_a_store_that_was_moved(restorer: RestoringServer, sets: tuple[Path, Path]) -> None:
    """Its group runs, so the server can say that these are its files now."""
    restorer.places[PRIV2] = ("N:\\new\\priv2.edb",)
    other = Store("priv9", 9)
    restorer.groups[1].stores = (Store("priv2", 3, False, False, "N:\\new\\"), other)
    result = bring_back(restorer, *sets, groups=(SECOND,))
    assert result.ok and "N:\\new\\priv2.edb" in restorer.disk
    assert result.groups[0].warnings == (
        "database 'Store priv2' is restored to N:\\new\\priv2.edb",
    )


def test_play_forward(restorer: RestoringServer, sets: tuple[Path, Path]) -> None:
    assert bring_back(restorer, *sets, groups=(SECOND,), play_forward=True).ok
    completed = restorer.completed[0]
    assert completed.target == SECOND and completed.log_path.startswith(CHOSEN)
    # A group that doesn't run is named by its folders.
    restorer.groups[1].stores = (evolve(restorer.groups[1].stores[0], mounted=False),)
    assert bring_back(restorer, *sets, groups=(SECOND,), play_forward=True).ok
    completed = restorer.completed[1]
    assert completed.target is None
    assert (completed.checkpoint_path, completed.log_path) == (MDB[:-1], MDB[:-1])
    more = {"play_forward": True, "system_path": "S:\\chk"}
    assert bring_back(restorer, *sets, groups=(SECOND,), **more).ok
    assert restorer.completed[2].checkpoint_path == "S:\\chk"


@pytest.mark.parametrize(
    ("destinations", "message"),
    [
        ((), "the server answers with nothing"),
        (("C:\\a.edb", "C:\\b.edb"), "the server answers with C:\\a.edb, C:\\b.edb"),
        (("C:\\Windows\\win.ini",), "consists of"),
    ],
)
def test_odd_places_are_refused(
    restorer: RestoringServer,
    sets: tuple[Path, Path],
    destinations: tuple[str, ...],
    message: str,
) -> None:
    restorer.places[PRIV2] = destinations
    result = bring_back(restorer, *sets, groups=(SECOND,))
    assert not result.ok and message in result.reasons[0]
    assert "restore_open_file" not in restorer.methods()


def test_two_files_in_one_place(restorer: RestoringServer, sets: tuple[Path, Path]) -> None:
    places = {"Store priv1": "C:\\a.edb", "Store pub1": "C:\\A.EDB"}
    result = bring_back(restorer, *sets, groups=(FIRST,), places=places)
    assert "'Store priv1' and 'Store pub1' would both be restored to C:\\A.EDB" in result.reasons[0]
    assert restorer.disk == {}


# --- what goes wrong


def test_nothing_is_called_for_sets_that_are_refused(
    restorer: RestoringServer, sets: tuple[Path, Path]
) -> None:
    """Also where only one of two groups can't be restored."""
    flip(sets[0] / SECOND / "priv2.edb", 9000)
    with pytest.raises(RestoreRefused, match="'Second' can't be restored"):
        bring_back(restorer, *sets)
    assert restorer.calls == []
    assert bring_back(restorer, *sets, groups=(FIRST,)).ok


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"parallel": 0}, "at least one group"),
        ({"last": Path("full"), "play_forward": True}, "not both"),
        ({"into": "x"}, "a storage group to restore into can be named for one"),
        ({"databases": ("x",)}, "databases can be named for one storage group"),
        ({"log_path": "C:\\x"}, "a folder for logs can be named for one"),
        ({"places": {"a": "C:\\b.edb"}}, "places of databases can be named for one"),
        ({"places": {"a": "C:\\b.stm"}, "groups": (FIRST,)}, "is not the path of an .edb"),
        ({"places": {"a": "C:\\b.edb"}, "groups": (FIRST,)}, "no database 'a', which a place"),
        ({"places": {"a": "b.edb"}, "groups": (FIRST,)}, "no full path below a drive"),
        ({"places": {"a": "C:\\..\\b.edb"}, "groups": (FIRST,)}, "Windows does not allow"),
        ({"system_path": "C:\\x", "groups": (FIRST,)}, "only to play forward"),
        ({"log_path": MDB.upper(), "groups": (FIRST,)}, "own logs, which would be"),
        ({"groups": ("x",)}, "none of the sets holds storage group 'x'"),
    ],
)
def test_wrong_use(
    restorer: RestoringServer, sets: tuple[Path, Path], more: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        bring_back(restorer, *sets, **more)
    assert restorer.calls == []


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("hrCBDatabaseInUse", "dismount the store, and mark it"),
        ("hrCBDatabaseNotFound", "make a store of that name"),
    ],
)
def test_a_refused_database_costs_nothing(
    restorer: RestoringServer, sets: tuple[Path, Path], name: str, hint: str
) -> None:
    """It is the second one: no file of the first was touched."""
    restorer.refused[PUB1] = name
    result = bring_back(restorer, *sets)
    first, second = result.groups
    assert not result.ok and first.outcome is Outcome.UNTOUCHED and first.error
    assert name in first.error and hint in first.error and "overwritten in part" not in first.error
    assert second.outcome is Outcome.RECOVERED, "the other group is restored all the same"
    assert not any("priv1" in path for path in restorer.disk)
    assert result.reasons == (f"{FIRST}: {first.error}",)


def test_too_many_restores(restorer: RestoringServer, sets: tuple[Path, Path]) -> None:
    restorer.fail("restore_open", EseBackupError.from_jet(-1214, "restore_open"))
    result = bring_back(restorer, *sets)
    assert "restore fewer groups at a time" in (result.groups[0].error or "")
    assert result.groups[1].outcome is Outcome.RECOVERED
    assert RestoreState.CLOSED in restorer.restore_states() and len(closes(restorer)) == 2


def test_a_failed_recovery(restorer: RestoringServer, sets: tuple[Path, Path]) -> None:
    restorer.fail("restore_complete", EseBackupError.from_jet(-553, "restore_complete"))
    result = bring_back(restorer, *sets, groups=(FIRST,))
    group = result.groups[0]
    assert group.outcome is Outcome.UNFINISHED and group.error
    assert "-553" in group.error and "the databases need later logs" in group.error
    assert group.error.endswith(
        "not recovered, and perhaps overwritten in part: 'Store priv1', 'Store pub1'; restore again"
    )
    assert closes(restorer) == [RestoreClose.NORMAL, RestoreClose.ABORT]


def test_a_recovery_that_nobody_waits_for(
    restorer: RestoringServer, sets: tuple[Path, Path]
) -> None:
    restorer.polls = 4
    result = bring_back(restorer, *sets, groups=(SECOND,), poll=True)
    assert result.ok and restorer.polls == 0
    restorer.recovery_hr = 0xC8000229  # -553
    result = bring_back(restorer, *sets, groups=(SECOND,), poll=True)
    assert result.groups[0].outcome is Outcome.UNFINISHED
    assert "hrRestoreLogTooLow" in result.reasons[0] and "later logs" in result.reasons[0]
    assert closes(restorer)[-1] is RestoreClose.ABORT


def test_a_server_that_does_not_say_how_far_it_is(
    restorer: RestoringServer, sets: tuple[Path, Path]
) -> None:
    def on_call(call: Call) -> None:
        for restore in restorer.restores.values():
            if restore.state is RestoreState.COMPLETING:
                unknown = RecoverStatus.INVALID
                restore.environment = evolve(restore.environment, status_last_recover=unknown)

    restorer.on_call = on_call
    restorer.polls = 100
    result = bring_back(restorer, *sets, groups=(SECOND,), poll=True)
    assert "does not say how far its recovery is" in result.reasons[0]


def test_a_second_error_never_hides_the_first(
    restorer: RestoringServer, sets: tuple[Path, Path]
) -> None:
    restorer.fail("restore_write_file", EseBackupError.from_jet(-1808, "restore_write_file"), 3)
    restorer.fail("restore_close", EseBackupError.from_jet(-1090, "restore_close"))
    result = bring_back(restorer, *sets, groups=(FIRST,))
    error = result.groups[0].error or ""
    assert 0 < error.index("-1808") < error.index("; then restore_close") < error.index("-1090")
    # The file was closed before the context.
    assert restorer.methods()[-2:] == ["restore_close_file", "restore_close"]


def test_a_lost_connection(restorer: RestoringServer, sets: tuple[Path, Path]) -> None:
    restorer.fail("restore_write_file", ConnectionLost(call="restore_write_file"), 2, after=True)
    result = bring_back(restorer, *sets, groups=(FIRST,))
    assert "the connection to the server is lost" in (result.groups[0].error or "")
    assert set(restorer.restore_states()) == {RestoreState.CLOSED}


def test_recovered_but_not_confirmed(restorer: RestoringServer, sets: tuple[Path, Path]) -> None:
    restorer.fail("restore_close", EseBackupError.from_jet(-1090, "restore_close"), 2)
    result = bring_back(restorer, *sets, groups=(SECOND,))
    group = result.groups[0]
    assert not result.ok and group.outcome is Outcome.RECOVERED
    assert group.error and group.error.startswith("the databases are recovered, but")


def test_file_level_without_access(restorer: RestoringServer, sets: tuple[Path, Path]) -> None:
    restorer.file_level = True
    result = bring_back(restorer, *sets, groups=(SECOND,), files=None)
    assert "--files-root" in result.reasons[0] and restorer.disk == {}


def test_a_disk_that_is_full(restorer: RestoringServer, sets: tuple[Path, Path]) -> None:
    class Full:
        def write(self, data: object) -> int:
            raise OSError(28, "No space left on device")

    class Files:
        @contextmanager
        def create(self, windows_path: str) -> Iterator[Full]:
            yield Full()

    restorer.file_level = True
    result = bring_back(restorer, *sets, groups=(SECOND,), files=Files())
    assert "No space left" in result.reasons[0]
    assert result.groups[0].outcome is Outcome.UNFINISHED
    assert closes(restorer) == [RestoreClose.ABORT]


def test_a_set_that_can_not_be_read_any_more(
    restorer: RestoringServer, sets: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error is about the set, and not about the file on the server's disk."""

    class Bad(io.FileIO):
        def readinto(self, buffer: object) -> NoReturn:
            raise OSError(5, "Input/output error")

    restorer.file_level = True
    monkeypatch.setattr(
        BackupSet,
        "open_file",
        lambda self, group, file: io.BufferedReader(Bad(self.path_of(group, file))),
    )
    for drive in "CR":
        (sets[0].parent / drive).mkdir()
    files = FilesRoot(sets[0].parent)
    result = bring_back(restorer, *sets, groups=(SECOND,), files=files)
    assert "full/Second/priv2.edb: Input/output error" in result.reasons[0]


def test_a_path_that_the_disk_does_not_take(
    restorer: RestoringServer, sets: tuple[Path, Path]
) -> None:
    class Files:
        def create(self, windows_path: str) -> NoReturn:
            raise ValueError("no such drive")

    restorer.file_level = True
    result = bring_back(restorer, *sets, groups=(SECOND,), files=Files())
    assert "priv2.edb' can't be written: no such drive" in result.reasons[0]
    assert closes(restorer) == [RestoreClose.ABORT]


def _flip_log(sets: tuple[Path, Path]) -> None:
    flip(sets[1] / SECOND / "E0100009.log", 5000)


def _cut_log(sets: tuple[Path, Path]) -> None:
    path = sets[1] / SECOND / "E0100009.log"
    path.write_bytes(path.read_bytes()[:-1])


def _grow_log(sets: tuple[Path, Path]) -> None:
    with (sets[1] / SECOND / "E0100009.log").open("ab") as file:
        file.write(b"\0")


def _lose_log(sets: tuple[Path, Path]) -> None:
    (sets[1] / SECOND / "E0100009.log").unlink()


@pytest.mark.parametrize("change", [_flip_log, _cut_log, _grow_log, _lose_log])
def test_a_set_that_changes_after_it_was_verified(
    restorer: RestoringServer,
    sets: tuple[Path, Path],
    change: Callable[[tuple[Path, Path]], None],
) -> None:
    def on_call(call: Call) -> None:
        if call.method == "restore_reopen":
            change(sets)

    restorer.on_call = on_call
    result = bring_back(restorer, *sets, groups=(SECOND,))
    assert result.groups[0].outcome is Outcome.UNFINISHED
    assert "E0100009.log" in result.reasons[0] and restorer.completed == []


def test_cancelling(restorer: RestoringServer, sets: tuple[Path, Path]) -> None:
    request = RestoreRequest(sets, parallel=1)
    job = RestoreJob(lambda: restorer.api, request)

    def on_call(call: Call) -> None:
        if call.method == "restore_save_environment":
            job.cancel()

    restorer.on_call = on_call
    first, second = job.run().groups
    assert first.outcome is Outcome.UNFINISHED and "interrupted" in (first.error or "")
    assert second.outcome is Outcome.UNTOUCHED and second.error == "the restore was interrupted"
    assert "restore_complete" not in restorer.methods()
    assert closes(restorer)[-1] is RestoreClose.ABORT


def test_cancelling_while_the_server_recovers(
    restorer: RestoringServer, sets: tuple[Path, Path]
) -> None:
    restorer.polls = 100
    request = RestoreRequest(sets, groups=(SECOND,), poll=True)
    job = RestoreJob(lambda: restorer.api, request)

    def on_call(call: Call) -> None:
        if restorer.completed:
            job.cancel()

    restorer.on_call = on_call
    (group,) = job.run().groups
    assert "the recovery that was begun on the server goes on" in (group.error or "")


def test_control_c_closes_the_context(restorer: RestoringServer, sets: tuple[Path, Path]) -> None:
    restorer.fail("restore_write_file", KeyboardInterrupt(), 2)
    with pytest.raises(KeyboardInterrupt):
        bring_back(restorer, *sets)
    assert closes(restorer) == [RestoreClose.ABORT]
    assert set(restorer.restore_states()) == {RestoreState.CLOSED}


def test_control_c_while_groups_run_side_by_side(
    restorer: RestoringServer, sets: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It reaches the main thread only; the others are told, and give their contexts back."""
    interrupted, under_way = threading.Event(), threading.Event()

    def wait(*_: object, **__: object) -> None:
        under_way.wait(20)
        raise KeyboardInterrupt

    def on_progress(progress: Progress) -> None:
        if progress.phase is Phase.LOGS:
            under_way.set()
            interrupted.wait(20)

    job = RestoreJob(lambda: restorer.api, RestoreRequest(sets, parallel=2), on_progress)
    cancel = job.cancel

    def cancel_and_go_on() -> None:
        cancel()
        interrupted.set()

    monkeypatch.setattr("esebcli.parallel.wait", wait)
    monkeypatch.setattr(RestoreJob, "cancel", lambda self: cancel_and_go_on())
    with pytest.raises(KeyboardInterrupt):
        job.run()
    assert set(restorer.restore_states()) == {RestoreState.CLOSED}
    assert restorer.completed == [] and RestoreClose.ABORT in closes(restorer)


def test_a_server_without_a_folder(restorer: RestoringServer, sets: tuple[Path, Path]) -> None:
    def on_call(call: Call) -> None:
        for restore in restorer.restores.values():
            restore.environment = evolve(restore.environment, restore_log_path="")

    restorer.on_call = on_call
    result = bring_back(restorer, *sets, groups=(SECOND,))
    assert "does not say which folder" in result.reasons[0]
