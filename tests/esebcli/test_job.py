"""Jobs on the scripted server: order of calls, what ends up on disk, and what is refused."""

from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path

import pytest
from attrs import evolve

from eseback.constants import BackupType, InstanceEnd
from eseback.errors import EseBackupError
from eseback.order import BackupState
from esebcli.contents import Depth
from esebcli.errors import JobError, UserError
from esebcli.job import BackupJob, BackupRequest
from esebcli.manifest import FileKind, Kind, State, Truncation
from esebcli.progress import Phase, Progress
from tests.esebcli.support_fake import FOLDER, SERVER, Call, FakeServer, Group, Store
from tests.esebcli.support_files import LogStream
from tests.esebcli.support_jobs import back_up, manifest_of, names_in, rewrite_manifest

FILE = ["backup_open_file", "backup_read_file", "backup_read_file", "backup_close_file"]
SECOND = ("Second",)


def test_full_backup_makes_the_documented_calls_in_order(
    server: FakeServer, tmp_path: Path
) -> None:
    result = back_up(server, tmp_path / "set", groups=SECOND)
    assert result.ok and result.reasons == ()
    assert server.methods() == [
        "backup_prepare",
        "backup_setup",
        *FILE,  # priv2.edb
        "backup_get_log_and_patch_files",
        *FILE * 3,  # logs 4, 5 and 6: from the checkpoint's on, 6 was current
        "backup_get_truncate_log_files",
        "backup_truncate_logs",
        "backup_instance_end",
        "backup_end",
    ]
    assert server.calls_of("backup_setup")[0].argument is BackupType.FULL
    assert server.calls_of("backup_instance_end")[0].argument is InstanceEnd.SUCCESS
    assert server.states() == [BackupState.ENDED]


@pytest.mark.parametrize(
    ("kind", "backup_type", "databases", "truncates"),
    [
        (Kind.FULL, BackupType.FULL, True, True),
        (Kind.COPY, BackupType.FULL, True, False),
        (Kind.INCREMENTAL, BackupType.LOGS_ONLY, False, True),
        (Kind.DIFFERENTIAL, BackupType.LOGS_ONLY, False, False),
        (Kind.FULL_WITH_ALL_LOGS, BackupType.FULL_WITH_ALL_LOGS, True, True),
    ],
)
def test_the_kinds(
    server: FakeServer,
    tmp_path: Path,
    kind: Kind,
    backup_type: BackupType,
    databases: bool,
    truncates: bool,
) -> None:
    result = back_up(server, tmp_path / "set", kind, SECOND)
    assert result.ok
    assert server.calls_of("backup_setup")[0].argument is backup_type
    assert bool(server.calls_of("backup_truncate_logs")) is truncates
    assert bool(server.calls_of("backup_get_truncate_log_files")) is truncates
    assert bool(server.groups[1].deleted) is truncates
    group = manifest_of(tmp_path / "set").groups[0]
    assert group.truncation is (Truncation.DONE if truncates else Truncation.NOT_ASKED)
    assert any(f.kind is FileKind.DATABASE for f in group.files) is databases
    assert bool(group.databases) is databases


def test_what_is_on_disk_is_what_was_served(server: FakeServer, tmp_path: Path) -> None:
    server.read_limit = 5000  # neither a multiple of the page nor of the buffer
    result = back_up(server, tmp_path / "set")
    assert result.ok
    manifest = manifest_of(tmp_path / "set")
    assert manifest == result.manifest
    saved = {}
    for group in manifest.groups:
        for file in group.files:
            data = (tmp_path / "set" / group.folder / file.name).read_bytes()
            assert len(data) == file.size
            assert hashlib.sha256(data).hexdigest() == file.sha256
            saved[file.original_name] = data
    assert saved == server.served
    first = manifest.groups[0]
    assert [file.name for file in first.files] == [
        "priv1.edb",
        "priv1.stm",
        "pub1.edb",
        "pub1.stm",
        "E0000004.log",
        "E0000005.log",
        "E0000006.log",
    ]
    assert first.logs is not None and (first.logs.low, first.logs.high) == (4, 6)
    assert first.logs.signature == server.groups[0].stream.signature.pack().hex()
    assert [database.guid.int for database in first.databases] == [1, 2]
    assert first.deletable_logs == (FOLDER + "E0000003.log",)
    assert manifest.finished is not None and manifest.state is State.COMPLETE


def test_sealed_and_synchronised_before_truncation(
    server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synchronised: dict[int, int] = {}
    real = os.fsync

    def recording(descriptor: int) -> None:
        real(descriptor)
        status = os.fstat(descriptor)
        synchronised[status.st_ino] = status.st_mtime_ns

    monkeypatch.setattr(os, "fsync", recording)
    folder = tmp_path / "new" / "set"
    looked: list[str] = []

    def look(call: Call) -> None:
        if call.method != "backup_truncate_logs":
            return
        manifest = manifest_of(folder)
        group = manifest.groups[len(looked)]
        looked.append(group.name)
        assert group.state is State.COMPLETE
        # A client that dies now must not leave behind that nothing was deleted.
        assert group.truncation is Truncation.UNKNOWN
        places = [folder / group.folder / file.name for file in group.files]
        assert {place.name for place in places} == set(names_in(folder / group.folder))
        places += [folder / group.folder, folder / "manifest.json", folder, folder.parent, tmp_path]
        for place in places:
            status = place.stat()
            # Synchronised, and not changed since.
            assert synchronised.get(status.st_ino) == status.st_mtime_ns, place

    server.on_call = look
    assert back_up(server, folder).ok
    assert looked == ["First Storage Group", "Second"]
    assert [group.truncation for group in manifest_of(folder).groups] == [Truncation.DONE] * 2


def test_a_set_is_incomplete_from_its_first_byte(server: FakeServer, tmp_path: Path) -> None:
    states = []
    server.on_call = lambda call: (
        states.append(manifest_of(tmp_path / "set").state)
        if call.method == "backup_setup"
        else None
    )
    back_up(server, tmp_path / "set", groups=SECOND)
    assert states == [State.INCOMPLETE]


def test_groups_in_parallel_over_sessions_of_their_own(server: FakeServer, tmp_path: Path) -> None:
    together = threading.Barrier(2, timeout=10)

    def meet(call: Call) -> None:
        if call.method == "backup_setup":
            server._lock.release()  # the scripted server is single-file otherwise
            try:
                together.wait()  # both groups are here at the same time
            finally:
                server._lock.acquire()

    server.on_call = meet
    sessions = []

    def connect() -> object:
        sessions.append(threading.current_thread().name)
        return server.api

    groups = tuple(group.name for group in server.groups)
    request = BackupRequest(SERVER, groups, Kind.FULL, tmp_path / "set", parallel=2)
    result = BackupJob(connect, request).run()  # type: ignore[arg-type]
    assert result.ok and len(sessions) == 2
    for context in server.contexts:
        methods = server.methods(context)
        assert methods[0] == "backup_setup" and methods[-1] == "backup_end"
    assert server.states() == [BackupState.ENDED] * 2


def test_one_group_fails_the_other_is_kept(server: FakeServer, tmp_path: Path) -> None:
    name = server.groups[0].stores[0].streams[0]
    server.groups[0].altered[name] = b"no database"
    result = back_up(server, tmp_path / "set", parallel=2)
    assert not result.ok
    first, second = manifest_of(tmp_path / "set").groups
    assert first.state is State.INCOMPLETE and first.error
    assert second.state is State.COMPLETE and second.truncation is Truncation.DONE
    assert not server.groups[0].deleted and server.groups[1].deleted
    assert server.states() == [BackupState.ENDED] * 2


def test_a_dismounted_store_is_left_out_and_named(server: FakeServer, tmp_path: Path) -> None:
    group = server.groups[0]
    group.stores = (group.stores[0], evolve(group.stores[1], mounted=False))
    result = back_up(server, tmp_path / "set")
    assert result.ok
    saved = result.manifest.groups[0]
    assert [database.mounted for database in saved.databases] == [True, False]
    assert saved.warnings == ("database 'Store pub1' is not mounted and was not saved",)
    assert not any("pub1" in file.name for file in saved.files)


def test_stores_with_equal_file_names(server: FakeServer, tmp_path: Path) -> None:
    group = server.groups[1]
    group.stores = tuple(
        Store("priv1", number, has_streaming=False, folder=folder)
        for number, folder in ((1, "D:\\one\\"), (2, "E:\\two\\"))
    )
    result = back_up(server, tmp_path / "set", groups=SECOND)
    assert result.ok
    files = result.manifest.groups[0].files[:2]
    assert [file.name for file in files] == ["priv1.edb", "priv1~2.edb"]
    assert [file.original_name for file in files] == ["D:\\one\\priv1.edb", "E:\\two\\priv1.edb"]


@pytest.mark.parametrize(
    "name",
    ["..\\..\\evil", "NUL", "x:y", "\u202egro.evil", "a" * 300, "E0000004.log", "../../evil", "."],
)
def test_hostile_database_names_stay_inside_the_set(
    server: FakeServer, tmp_path: Path, name: str
) -> None:
    server.groups[1].stores = (Store(name, 1, has_streaming=False, folder=""),)
    folder = tmp_path / "deep" / "set"
    result = back_up(server, folder, groups=SECOND)
    assert result.ok
    everything = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert everything == {
        folder / "manifest.json",
        *(folder / "Second" / file.name for file in result.manifest.groups[0].files),
    }
    assert result.manifest.groups[0].files[0].original_name == f"{name}.edb"


@pytest.mark.parametrize(
    "hostile",
    [
        "C:\\logs\\..",
        "C:\\evil.exe",
        "E00.log",
        "E00tmp.log",
        "",
        "C:\\logs\\NUL",
        "\u00e400001A2.log",
    ],
)
def test_a_log_list_with_other_names_is_refused(
    server: FakeServer, tmp_path: Path, hostile: str
) -> None:
    server.groups[1].listed = lambda names: [*names, hostile]
    result = back_up(server, tmp_path / "set", groups=SECOND)
    assert "neither a log nor a patch file" in result.reasons[0]
    assert not server.groups[1].deleted


def test_a_file_listed_twice_is_refused(server: FakeServer, tmp_path: Path) -> None:
    server.groups[1].listed = lambda names: [*names, names[0]]
    result = back_up(server, tmp_path / "set", groups=SECOND)
    assert "twice" in result.reasons[0] and not server.groups[1].deleted


def test_groups_whose_names_are_no_folder_names(tmp_path: Path) -> None:
    names = ("..", "manifest.json", "CON", "a/b", "A/B", "a\\b")
    groups = tuple(
        Group(name, LogStream.numbered(i), (Store("priv1", i, has_streaming=False),))
        for i, name in enumerate(names)
    )
    result = back_up(FakeServer(groups), tmp_path / "set")
    assert result.ok
    folders = [group.folder for group in result.manifest.groups]
    assert folders == ["_", "manifest~2.json", "_CON", "b", "B~2", "b~3"]
    assert names_in(tmp_path / "set") == sorted([*folders, "manifest.json"])
    assert names_in(tmp_path) == ["set"]


# --- what a server delivers that is no backup


def _damage_page(data: bytes) -> bytes:
    return data[: 4 * 4096 + 100] + b"\xff\xff" + data[4 * 4096 + 102 :]


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("priv2.edb", _damage_page, "priv2.edb: wrong checksum of 1 page(s): 3"),
        ("priv2.edb", lambda d: d[:-4096], "ends without a trailer, and no good patch file"),
        ("priv2.edb", lambda d: d[:-4096] + bytes(4096), "ends without a trailer"),
        ("priv2.edb", lambda d: d[:-4096] + b"x" * 4096, "trailer page is wrong"),
        ("priv2.edb", lambda d: d[:4096] + d[8192:], "copies of the header differ"),
        ("priv2.edb", lambda d: bytes(100) + d[100:], "copies of the header differ"),
        ("priv2.edb", lambda d: d[:100], "no header page"),
        ("priv2.edb", lambda d: b"", "empty or cut off"),
        ("priv2.edb", lambda d: d + b"x", "no multiple of the page size"),
        ("E0100005.log", lambda d: d[:4150] + b"\xff" + d[4151:], "E0100005.log: log ends at"),
        ("E0100005.log", lambda d: b"\0" + d[1:], "checksum of the log header"),
        ("E0100005.log", lambda d: d[:-512], "its size is 11776, its header says 12288"),
        ("E0100005.log", lambda d: b"", "no log header"),
        (
            "E0100005.log",
            lambda d: LogStream.numbered(2, "E01").log(4),
            "its header says generation 4, its name 5",
        ),
        (
            "E0100005.log",
            lambda d: LogStream.numbered(9, "E01").log(5),
            "belongs to another log stream",
        ),
        (
            "E0100005.log",
            lambda d: LogStream.numbered(2, "E01").log(
                5, previous=LogStream.numbered(2).created(2)
            ),
            "does not continue log 4",
        ),
    ],
)
def test_damage_is_found_before_logs_are_deleted(
    server: FakeServer, tmp_path: Path, name: str, change: object, message: str
) -> None:
    group = server.groups[1]
    path = FOLDER + name
    image = _edb_of(group) if name.endswith(".edb") else group.logs[5]
    group.altered[path] = change(image)  # type: ignore[operator]
    result = back_up(server, tmp_path / "set", groups=SECOND)
    assert not result.ok
    assert message in result.reasons[0]
    assert not group.deleted and "backup_truncate_logs" not in server.methods()
    assert manifest_of(tmp_path / "set").groups[0].state is State.INCOMPLETE


def _edb_of(group: Group) -> bytes:
    from tests.esebcli.support_files import Image

    return Image(group.stream, group.checkpoint, group.current, seed=3, has_streaming=False).edb()


def test_headers_only_does_not_look_at_pages(server: FakeServer, tmp_path: Path) -> None:
    server.groups[1].altered[FOLDER + "priv2.edb"] = _damage_page(_edb_of(server.groups[1]))
    request = BackupRequest(
        SERVER, SECOND, Kind.FULL, tmp_path / "set", parallel=1, depth=Depth.HEADERS
    )
    assert BackupJob(lambda: server.api, request).run().ok


@pytest.mark.parametrize(
    ("listed", "message"),
    [
        (lambda names: names[1:], "needs logs from 4 on; the first one here is 5"),
        (lambda names: names[:-1], "needs logs up to 6; the last one here is 5"),
        (lambda names: [names[0], names[2]], "log 5 is missing before it"),
        (lambda names: [], "listed no log"),
    ],
)
def test_a_log_list_with_holes_is_refused(
    server: FakeServer, tmp_path: Path, listed: object, message: str
) -> None:
    server.groups[1].listed = listed  # type: ignore[assignment]
    result = back_up(server, tmp_path / "set", groups=SECOND)
    assert message in result.reasons[0]
    assert not server.groups[1].deleted
    assert server.calls_of("backup_instance_end")[0].argument is InstanceEnd.ERROR


def test_a_streaming_file_that_the_server_does_not_list(server: FakeServer, tmp_path: Path) -> None:
    store = server.groups[0].stores[0]
    from tests.esebcli.support_files import Image

    image = Image(server.groups[0].stream, 4, 6, seed=1)  # its header says there is an .stm
    server.groups[0].stores = (evolve(store, has_streaming=False),)
    server.groups[0].altered[store.streams[0]] = image.edb()
    result = back_up(server, tmp_path / "set", groups=("First Storage Group",))
    assert "its streaming file (.stm) was not saved" in result.reasons[0]


@pytest.mark.parametrize(
    ("kind", "deletable", "message"),
    [
        (Kind.FULL, lambda names: [FOLDER + "E0100007.log"], "delete log 7, which this backup"),
        (Kind.FULL, lambda names: [FOLDER + "E0000003.log"], "which is no log of this group"),
        (Kind.FULL, lambda names: ["C:\\boot.ini"], "which is no log of this group"),
        (Kind.INCREMENTAL, lambda names: [FOLDER + "E0100002.log"], "delete log 2, which"),
    ],
)
def test_logs_that_no_set_holds_are_not_given_up(
    server: FakeServer, tmp_path: Path, kind: Kind, deletable: object, message: str
) -> None:
    server.groups[1].deletable = deletable  # type: ignore[assignment]
    result = back_up(server, tmp_path / "set", kind, SECOND)
    assert message in result.reasons[0]
    assert "backup_truncate_logs" not in server.methods()


def test_a_full_may_give_up_older_logs(server: FakeServer, tmp_path: Path) -> None:
    server.groups[1].first = 1
    server.groups[1].logs[1] = server.groups[1].stream.log(1)
    server.groups[1].logs[2] = server.groups[1].stream.log(2)
    assert back_up(server, tmp_path / "set", groups=SECOND).ok
    assert [name[-12:] for name in server.groups[1].deleted] == [
        "E0100001.log",
        "E0100002.log",
        "E0100003.log",
    ]


# --- chains


def _full(server: FakeServer, tmp_path: Path) -> Path:
    folder = tmp_path / "full"
    assert back_up(server, folder, groups=SECOND).ok
    server.groups[1].work(2)
    return folder


def test_an_incremental_names_and_overlaps_its_predecessor(
    server: FakeServer, tmp_path: Path
) -> None:
    full = _full(server, tmp_path)
    result = back_up(server, tmp_path / "inc", Kind.INCREMENTAL, SECOND, previous=full)
    assert result.ok
    assert result.manifest.previous == manifest_of(full).set_id
    logs = result.manifest.groups[0].logs
    assert logs is not None and (logs.low, logs.high) == (4, 9)


def test_a_gap_to_the_previous_set_is_found_before_truncation(
    server: FakeServer, tmp_path: Path
) -> None:
    full = _full(server, tmp_path)
    group = server.groups[1]
    for generation in range(4, 8):
        del group.logs[generation]
    result = back_up(server, tmp_path / "inc", Kind.INCREMENTAL, SECOND, previous=full)
    assert "log 7 is neither in the previous set nor on the server" in (result.reasons[0])
    assert not group.deleted[1:]


def test_another_stream_than_the_previous_set(server: FakeServer, tmp_path: Path) -> None:
    full = _full(server, tmp_path)
    group = server.groups[1]
    server.groups = (server.groups[0], Group("Second", LogStream.numbered(8, "E01"), group.stores))
    result = back_up(server, tmp_path / "inc", Kind.INCREMENTAL, SECOND, previous=full)
    assert "of another stream" in result.reasons[0] and "make a full backup" in result.reasons[0]


def test_a_server_that_was_set_back(server: FakeServer, tmp_path: Path) -> None:
    full = _full(server, tmp_path)
    group = server.groups[1]
    server.groups = (server.groups[0], Group("Second", group.stream, group.stores, current=5))
    result = back_up(server, tmp_path / "inc", Kind.INCREMENTAL, SECOND, previous=full)
    assert "previous set reaches generation 6, but the server only 5" in result.reasons[0]


def test_an_overlapping_log_that_is_another_one(server: FakeServer, tmp_path: Path) -> None:
    full = _full(server, tmp_path)
    server.groups[1].logs[5] = server.groups[1].stream.log(5, records=2)
    result = back_up(server, tmp_path / "inc", Kind.INCREMENTAL, SECOND, previous=full)
    assert "log 5 on the server is not the one in the previous set" in result.reasons[0]
    assert len(server.groups[1].deleted) == 1  # by the full


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: evolve(m, server="OTHER"), "is of Microsoft Information Store on OTHER"),
        (lambda m: evolve(m, annotation="x"), "is of x on EXCH1"),
        (lambda m: evolve(m, groups=(evolve(m.groups[0], name="x"),)), "does not hold"),
        (
            lambda m: evolve(m, groups=(evolve(m.groups[0], state=State.INCOMPLETE),)),
            "is incomplete for storage group 'Second'",
        ),
    ],
)
def test_an_unfit_previous_set_is_refused(
    server: FakeServer, tmp_path: Path, change: object, message: str
) -> None:
    full = _full(server, tmp_path)
    rewrite_manifest(full, change)  # type: ignore[arg-type]
    before = len(server.calls)
    with pytest.raises(UserError, match=message):
        back_up(server, tmp_path / "inc", Kind.INCREMENTAL, SECOND, previous=full)
    assert len(server.calls) == before and not (tmp_path / "inc").exists()


# --- requests that can't be carried out


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"groups": ()}, "at least one storage group"),
        ({"groups": ("Second", "Second")}, "named twice"),
        ({"parallel": 0}, "at least one group"),
        ({"previous": Path("x")}, "full backup starts a chain"),
        ({"kind": Kind.INCREMENTAL, "previous": Path("nowhere")}, "nowhere is no backup set"),
    ],
)
def test_bad_requests(
    server: FakeServer, tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    request = BackupRequest(SERVER, SECOND, Kind.FULL, tmp_path / "set")
    with pytest.raises(UserError, match=message):
        BackupJob(lambda: server.api, evolve(request, **changes)).run()  # type: ignore[arg-type]
    assert not server.calls and not (tmp_path / "set").exists()


def test_a_folder_with_something_in_it_is_refused(server: FakeServer, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "precious").write_text("data")
    with pytest.raises(UserError, match="not empty"):
        back_up(server, folder)
    assert not server.calls
    assert [(p.name, p.read_text()) for p in folder.iterdir()] == [("precious", "data")]


def test_a_second_backup_into_the_same_set_changes_nothing(
    server: FakeServer, tmp_path: Path
) -> None:
    back_up(server, tmp_path / "set")
    before = {path: path.read_bytes() for path in (tmp_path / "set").rglob("*") if path.is_file()}
    with pytest.raises(UserError, match="not empty"):
        back_up(server, tmp_path / "set")
    after = {path: path.read_bytes() for path in (tmp_path / "set").rglob("*") if path.is_file()}
    assert before == after


def test_an_unknown_group_leaves_nothing_behind(server: FakeServer, tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"'Third' does not run .*'First Storage Group', 'Second'"):
        back_up(server, tmp_path / "set", groups=("Second", "Third"))
    assert server.methods() == ["backup_prepare", "backup_end"]
    assert not (tmp_path / "set").exists()


def test_nothing_is_written_if_prepare_fails(server: FakeServer, tmp_path: Path) -> None:
    server.fail("backup_prepare", EseBackupError.from_name("hrCouldNotConnect", "backup_prepare"))
    with pytest.raises(EseBackupError, match="hrCouldNotConnect"):
        back_up(server, tmp_path / "set")
    assert not (tmp_path / "set").exists()


# --- progress and interruption


def test_progress_tells_every_step(server: FakeServer, tmp_path: Path) -> None:
    steps: list[Progress] = []
    request = BackupRequest(SERVER, SECOND, Kind.FULL, tmp_path / "set", parallel=1)
    server.read_limit = 4096
    result = BackupJob(lambda: server.api, request, steps.append).run()
    phases = list(dict.fromkeys(step.phase for step in steps))
    assert phases == [Phase.DATABASES, Phase.LOGS, Phase.CHECKING, Phase.DONE]
    saved = [step.saved for step in steps]
    assert saved == sorted(saved) and saved[-1] == result.manifest.groups[0].size
    edb = [step for step in steps if step.phase is Phase.DATABASES]
    assert [step.copied for step in edb] == [4096 * i for i in range(12)]
    assert {step.size for step in edb} == {11 * 4096}


def test_cancelling_ends_the_backup_properly(server: FakeServer, tmp_path: Path) -> None:
    request = BackupRequest(SERVER, SECOND, Kind.FULL, tmp_path / "set", parallel=1)
    job = BackupJob(lambda: server.api, request)
    server.on_call = lambda call: (
        job.cancel() if call.method == "backup_get_log_and_patch_files" else None
    )
    result = job.run()
    assert "interrupted" in result.reasons[0]
    assert server.methods()[-3:] == ["backup_close_file", "backup_instance_end", "backup_end"]
    assert server.states() == [BackupState.ENDED] and not server.groups[1].deleted


def test_cancelling_after_the_seal_changes_nothing(server: FakeServer, tmp_path: Path) -> None:
    request = BackupRequest(SERVER, SECOND, Kind.FULL, tmp_path / "set", parallel=1)
    job = BackupJob(lambda: server.api, request)
    server.on_call = lambda call: job.cancel() if call.method == "backup_truncate_logs" else None
    assert job.run().ok


@pytest.mark.parametrize("parallel", [1, 2])
def test_a_bug_in_the_callback_ends_the_backup_and_is_shown(
    server: FakeServer, tmp_path: Path, parallel: int
) -> None:
    def broken(step: Progress) -> None:
        if step.phase is Phase.LOGS:
            raise ZeroDivisionError("a bug")

    groups = tuple(group.name for group in server.groups)
    request = BackupRequest(SERVER, groups, Kind.FULL, tmp_path / "set", parallel=parallel)
    with pytest.raises(ZeroDivisionError):
        BackupJob(lambda: server.api, request, broken).run()
    assert set(server.states()) == {BackupState.ENDED}
    assert not any(group.deleted for group in server.groups)
    first = manifest_of(tmp_path / "set").groups[0]
    assert first.state is State.INCOMPLETE and "ZeroDivisionError" in (first.error or "")


def test_control_c_lets_all_groups_end_properly(
    server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from esebcli import parallel as module

    started = threading.Event()
    interrupted = threading.Event()

    def wait_then_interrupt(*_: object, **__: object) -> None:
        started.wait(10)
        interrupted.set()
        raise KeyboardInterrupt

    def hold(call: Call) -> None:
        if call.method == "backup_read_file":
            started.set()
            interrupted.wait(10)

    monkeypatch.setattr(module, "wait", wait_then_interrupt)
    server.on_call = hold
    with pytest.raises(KeyboardInterrupt):
        back_up(server, tmp_path / "set", parallel=2)
    assert set(server.states()) == {BackupState.ENDED}
    manifest = manifest_of(tmp_path / "set")
    assert manifest.state is State.INCOMPLETE and manifest.finished
    assert not any(group.deleted for group in server.groups)
