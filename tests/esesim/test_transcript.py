"""The transcript: what each line holds, that it repeats exactly, and that it reads back checked."""

from __future__ import annotations

import io
import json
import uuid
import zlib

import pytest

from eseback.calls import CALL_BY_METHOD
from eseback.constants import BackupType, InstanceEnd, RegisterFlags, RestoreComplete
from eseback.errors import EseBackupError
from esesim.faults import FaultAction, FaultInjector, FaultPlan, FaultRule
from esesim.server import SimulatedServer
from esesim.transcript import (
    CallError,
    CallRecord,
    Recorder,
    TranscriptError,
    read_transcript,
)
from tests.esesim.support.servers import back_up, prepare, small_server


def recorded(server: SimulatedServer) -> tuple[io.StringIO, Recorder]:
    sink = io.StringIO()
    return sink, Recorder(server.session(), sink)


def records(sink: io.StringIO) -> list[CallRecord]:
    return list(read_transcript(sink.getvalue().splitlines()))


def test_lines_of_a_backup() -> None:
    server = small_server(groups=2)
    sink, api = recorded(server)
    files = back_up(api, "G2")
    lines = records(sink)
    assert [line.number for line in lines] == list(range(1, len(lines) + 1))
    assert lines[0].method == "backup_prepare"
    assert lines[0].group is None
    assert lines[0].result["context"] == 1
    assert [info["instance_name"] for info in lines[0].result["instances"]] == ["G1", "G2"]
    assert {line.group for line in lines[1:-1]} == {"G2"}
    assert [line.method for line in lines[-4:]] == [
        "backup_get_truncate_log_files",
        "backup_truncate_logs",
        "backup_instance_end",
        "backup_end",
    ]
    assert lines[-1].group is None
    assert all(line.arguments["context"] == 1 for line in lines[1:])
    opens = [line for line in lines if line.method == "backup_open_file"]
    assert [line.arguments["file_name"] for line in opens] == list(files)
    assert [line.result[0]["handle"] for line in opens] == list(range(1, len(files) + 1))
    assert [line.result[0]["size"] for line in opens] == [len(data) for data in files.values()]


def test_what_was_read_is_there_as_length_and_crc() -> None:
    server = small_server()
    sink, api = recorded(server)
    files = back_up(api, "G1")
    stm = next(name for name in files if name.endswith(".stm"))
    lines = records(sink)
    number = next(
        line.result[0]["handle"] for line in lines if line.arguments.get("file_name") == stm
    )
    reads = [line for line in lines if line.arguments.get("handle") == number][:-1]
    assert all(line.arguments["buffer"] == 65536 for line in reads)
    offset = 0
    for line in reads:
        part = files[stm][offset : offset + line.result["bytes"]]
        assert line.result["crc32"] == f"{zlib.crc32(part):08x}"
        offset += line.result["bytes"]
    assert offset == len(files[stm])
    assert reads[-1].result == {"bytes": 0, "crc32": "00000000"}


def test_errors() -> None:
    server = small_server()
    sink, api = recorded(server)
    prepared = prepare(api)
    with pytest.raises(EseBackupError):
        api.backup_setup(prepared.context, prepared.instances["G1"], BackupType.LOGS_ONLY)
    with pytest.raises(EseBackupError):
        api.backup_close_file(prepared.context + 1000, 5)
    setup, close = records(sink)[1:]
    assert setup.group == "G1"
    assert setup.result is None
    assert setup.error is not None
    assert (setup.error.hresult, setup.error.jet) == (0xC8000230, -560)
    assert (setup.error.name, setup.error.lost) == ("hrMissingFullBackup", False)
    assert "never been fully backed up" in setup.error.detail
    assert close.error is not None
    assert close.error.name == "hrInvalidHandle"
    assert close.arguments == {"context": f"?{prepared.context + 1000}", "handle": "?5"}


def test_a_lost_connection_is_marked() -> None:
    server = small_server()
    sink = io.StringIO()
    plan = FaultPlan([FaultRule(FaultAction.DROP, "backup_setup")])
    api = Recorder(FaultInjector(server.session(), plan, server), sink)
    prepared = prepare(api)
    with pytest.raises(EseBackupError):
        api.backup_setup(prepared.context, prepared.instances["G1"], BackupType.FULL)
    error = records(sink)[-1].error
    assert error is not None
    assert error.lost


def test_group_is_known_only_while_the_client_backs_it_up() -> None:
    server = small_server(groups=2)
    sink, api = recorded(server)
    prepared = prepare(api)
    api.backup_get_dependency_info(prepared.context)
    for name in ("G1", "G2"):
        api.backup_setup(prepared.context, prepared.instances[name], BackupType.FULL)
        api.backup_get_dependency_info(prepared.context)
        api.backup_instance_end(prepared.context, InstanceEnd.ERROR)
        api.backup_get_dependency_info(prepared.context)
    groups = [line.group for line in records(sink)]
    assert groups == [None, None, "G1", "G1", "G1", None, "G2", "G2", "G2", None]


def run(seed: int, steps: int) -> str:
    with small_server(groups=2, steps_per_call=steps, seed=seed) as server:
        sink, api = recorded(server)
        server.session().backup_prepare("EXCHSRV1", "Microsoft Information Store")
        back_up(api, "G1", size=65528)
        back_up(api, "G1", BackupType.LOGS_ONLY)
        back_up(api, "G2")
        ended = prepare(api).context
        api.backup_end(ended)
        with pytest.raises(EseBackupError):
            api.backup_read_file(ended, 999, bytearray(1))
        return sink.getvalue()


def test_same_seed_and_calls_give_the_same_transcript() -> None:
    first = run(3, 2)
    assert run(3, 2) == first, "numbers of contexts and handles must not show"
    assert run(4, 2) != first
    assert run(3, 1) != first


def test_every_call_is_recorded() -> None:
    server = small_server()
    sink, api = recorded(server)
    guid = uuid.UUID(int=1)
    arguments: dict[str, tuple[object, ...]] = {
        "get_nodes": (None,),
        "get_registered": ("EXCHSRV1", None, RegisterFlags.BACKUP),
        "backup_prepare": ("EXCHSRV1", "Microsoft Information Store"),
        "backup_setup": (0, 0, BackupType.FULL),
        "backup_open_file": (0, "x"),
        "backup_read_file": (0, 0, bytearray(8)),
        "backup_close_file": (0, 0),
        "backup_instance_end": (0, InstanceEnd.SUCCESS),
        "restore_open": ("EXCHSRV1", "x", "y", None),
        "restore_reopen": ("EXCHSRV1", None, "x"),
        "restore_add_database": (0, "x", guid, ["a"]),
        "restore_add_database_ns": (0, "x", guid, ["a"], ("b",)),
        "restore_open_file": (0, "x"),
        "restore_write_file": (0, 0, b"data"),
        "restore_close_file": (0, 0),
        "restore_load_environment": (None, "x"),
        "restore_complete": (0, "x", "y", None, RestoreComplete.ATTACH_DBS),
        "restore_close": (0, 1),
        "snapshot_start": (0, "x", 0),
    }
    for method in CALL_BY_METHOD:
        try:
            getattr(api, method)(*arguments.get(method, (0,)))
        except EseBackupError as error:
            assert error.call == method
    lines = records(sink)
    assert [line.method for line in lines] == list(CALL_BY_METHOD)
    by_method = {line.method: line for line in lines}
    assert by_method["restore_write_file"].arguments["data"] == {
        "bytes": 4,
        "crc32": f"{zlib.crc32(b'data'):08x}",
    }
    assert by_method["restore_add_database"].arguments["guid"] == str(guid)
    assert by_method["restore_complete"].arguments["flags"] == 1
    (service,) = by_method["get_registered"].result
    assert service["annotation"] == "Microsoft Information Store"


def test_nonsense_from_a_client_is_recorded_too() -> None:
    sink, api = recorded(small_server())
    with pytest.raises(EseBackupError):
        api.backup_read_file(object(), "h", None)  # type: ignore[arg-type]
    (line,) = records(sink)
    assert line.arguments == {"context": "?object", "handle": "?str", "buffer": None}


GOOD = {
    "n": 1,
    "call": "HrESEBackupEnd",
    "method": "backup_end",
    "group": None,
    "args": {"context": 1},
    "result": None,
}
ERROR = {"hresult": "0xC8000208", "jet": -520, "name": "hrNoBackup", "lost": False, "detail": ""}


def test_reading_back() -> None:
    failed = {key: value for key, value in GOOD.items() if key != "result"}
    lines = [json.dumps(GOOD), json.dumps({**failed, "n": 2, "error": ERROR})]
    first, second = read_transcript(lines)
    assert first == CallRecord(1, "HrESEBackupEnd", "backup_end", None, {"context": 1}, None, None)
    assert second.error == CallError(0xC8000208, -520, "hrNoBackup", False, "")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("not json", "Expecting value"),
        ("[]", "no JSON object"),
        ({"n": 2}, "expected 1; lines are missing or moved"),
        ({"method": "backup_stop"}, "no call of the API"),
        ({"method": ["backup_end"]}, "no call of the API"),
        ({"call": "HrESEBackupSetup"}, "no call of the API"),
        ({"args": []}, "wrong type"),
        ({"group": 5}, "wrong type"),
        ({"error": ERROR}, "either a result or an error"),
        ({"result": ...}, "either a result or an error"),
        ({"args": ...}, "has no 'args'"),
        ({"result": ..., "error": None}, "error that is not made of"),
        ({"result": ..., "error": {"hresult": "0x0"}}, "error that is not made of"),
        ({"result": ..., "error": {**ERROR, "hresult": "zero"}}, "invalid literal"),
    ],
)
def test_damaged_lines(change: str | dict[str, object], reason: str) -> None:
    if isinstance(change, str):
        line = change
    else:
        line = json.dumps({k: v for k, v in {**GOOD, **change}.items() if v is not ...})
    with pytest.raises(TranscriptError, match=r"^line 1: ") as caught:
        list(read_transcript([line]))
    assert reason in str(caught.value)


def test_a_missing_line_is_found() -> None:
    lines = [json.dumps({**GOOD, "n": number}) for number in (1, 3)]
    with pytest.raises(TranscriptError, match="line 2: is call 3, expected 2"):
        list(read_transcript(lines))
