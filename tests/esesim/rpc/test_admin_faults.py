"""Faults, events and transcript through the administration interface; who may use it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from eseback.constants import BackupType
from eseback.errors import ROW_BY_NAME, ConnectionLost, EseBackupError
from esesim.faultplans import FaultPlanError, plain_rule, read_fault_plan
from esesim.faults import FaultAction, FaultRule, When
from esesim.rpc.controlled import CallLog
from esesim.server import SimulatedServer
from esesim.transcript import Recorder, read_transcript
from tests.esesim.rpc.administered import Desk, administered
from tests.esesim.rpc.wire import connected
from tests.esesim.support.servers import back_up, prepare, small_server

PLAN = """
[[fault]]
action = "hresult"
call = "HrESEBackupReadFile"
group = "G1"
file = "*.edb"
nth = 2
times = 0
error = "hrCouldNotConnect"

[[fault]]
action = "drop"
call = "backup_truncate_logs"
when = "after"
"""


@pytest.fixture
def server() -> SimulatedServer:
    return small_server(groups=2)


@pytest.fixture
def desk(server: SimulatedServer) -> Iterator[Desk]:
    with administered(server) as desk:
        yield desk


def counts(desk: Desk) -> list[tuple[int, int]]:
    return [(row["matched"], row["fired"]) for row in desk.rows("get_faults")]


# ---- faults


def test_a_plan_as_toml_and_as_json_is_the_same() -> None:
    plan = read_fault_plan(PLAN)
    rules = [count.rule for count in plan.counts]
    assert rules == [
        FaultRule(
            FaultAction.HRESULT,
            "backup_read_file",
            group="G1",
            file="*.edb",
            nth=2,
            times=None,
            hresult=ROW_BY_NAME["hrCouldNotConnect"].hresult,
        ),
        FaultRule(FaultAction.DROP, "backup_truncate_logs", when=When.AFTER),
    ]
    again = read_fault_plan(json.dumps({"fault": [plain_rule(rule) for rule in rules]}))
    assert [count.rule for count in again.counts] == rules
    assert read_fault_plan(" \n").counts == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[fault", "not valid TOML"),
        ("{", "not valid JSON"),
        ('{"fault": {}}', "a table"),
        ("[[faults]]\naction='drop'", "a table"),
        ('{"fault": [3]}', "fault 1: is no table"),
        ("[[fault]]\ncall='backup_end'", "fault 1: action is missing"),
        ("[[fault]]\naction='drop'\n[[fault]]\naction='x'", "fault 2: action 'x' is none of"),
        ("[[fault]]\naction='drop'\nwho=1", "unknown key 'who'"),
        ("[[fault]]\naction='drop'\nnth='1'", "nth has to be a whole number"),
        ("[[fault]]\naction='drop'\nnth=true", "nth has to be a whole number"),
        ("[[fault]]\naction='drop'\ncall=1", "call has to be a text"),
        ("[[fault]]\naction='drop'\ncall='x'", "'x' is no call"),
        ("[[fault]]\naction='drop'\nnth=0", "nth has to be a whole number from 1"),
        ("[[fault]]\naction='hresult'\njet=3000000000", "jet has to be"),
        ("[[fault]]\naction='drop'\nnth=" + "9" * 5000, "not valid TOML"),
        ("[[fault]]\naction='hresult'\nerror='hrX'", "no error 'hrX'"),
        ("[[fault]]\naction='hresult'\nerror='hrDiskIO'\njet=-1022", "leave those out"),
        ("[" * 100_000, "not valid TOML"),
        ('{"fault":' + "[" * 100_000, "not valid JSON"),
    ],
)
def test_what_is_no_plan_is_told(text: str, message: str) -> None:
    with pytest.raises(FaultPlanError, match=message.replace("[", r"\[")):
        read_fault_plan(text)


def test_faults_fire_on_clients_that_are_there_already(desk: Desk) -> None:
    with connected(desk.server) as api:
        prepared = prepare(api)
        api.backup_setup(prepared.context, prepared.instances["G1"], BackupType.FULL)
        (opened,) = api.backup_open_file(prepared.context, prepared.streams["G1"][0])
        assert desk.do("set_faults", PLAN) == (2,)
        assert counts(desk) == [(0, 0), (0, 0)]
        buffer = bytearray(4096)
        assert api.backup_read_file(prepared.context, opened.handle, buffer) == 4096
        for _ in range(2):
            with pytest.raises(EseBackupError) as caught:
                api.backup_read_file(prepared.context, opened.handle, buffer)
            assert (caught.value.name, caught.value.detail) == (
                "hrCouldNotConnect",
                "injected fault",
            )
        assert counts(desk) == [(3, 2), (0, 0)]
        assert desk.do("set_faults", "") == (0,)
        assert api.backup_read_file(prepared.context, opened.handle, buffer) == 4096
        assert desk.rows("get_faults") == []


def test_a_dropped_connection_ends(desk: Desk) -> None:
    desk.do("set_faults", PLAN)
    with connected(desk.server) as api:
        with pytest.raises(ConnectionLost):
            back_up(api, "G2")
        with pytest.raises(ConnectionLost):
            prepare(api)
    assert counts(desk) == [(0, 0), (1, 1)]
    assert desk.group("G2")["backup"] is None
    with connected(desk.server) as api:
        prepare(api)


def test_bad_pages_reach_the_client(desk: Desk) -> None:
    rule = {"action": "bad_page", "call": "backup_open_file", "file": "*.edb", "group": "G1"}
    desk.do("set_faults", json.dumps({"fault": [rule]}))
    with connected(desk.server) as api, pytest.raises(EseBackupError) as caught:
        back_up(api, "G1")
    assert caught.value.jet == -1018
    assert counts(desk) == [(1, 1)]


def test_a_rule_that_cannot_do_it_is_told_to_the_administrator(desk: Desk) -> None:
    rule = {"action": "bad_page", "call": "backup_open_file", "file": "E00*.log"}
    desk.do("set_faults", json.dumps({"fault": [rule]}))
    with connected(desk.server) as api:
        back_up(api, "G1")
    (found,) = desk.rows("get_faults")
    assert (found["matched"], found["fired"]) == (1, 0)
    assert "no file of a mounted store" in found["problem"]


def test_plan_that_is_refused_changes_nothing(desk: Desk) -> None:
    desk.do("set_faults", PLAN)
    assert "is none of" in desk.refused("set_faults", "[[fault]]\naction='x'").detail
    assert len(counts(desk)) == 2


# ---- events


def test_events_keep_their_numbers(desk: Desk) -> None:
    with connected(desk.server) as api:
        back_up(api, "G2")
        first = desk.rows("get_events")
        assert {event["group"] for event in first} == {"G2"}
        back_up(api, "G1")
    every = desk.rows("get_events")
    assert every[: len(first)] == first, "of G1, which comes before G2 in the server's own list"
    later = desk.rows("get_events", first=len(first))
    assert later == every[len(first) :] and {event["group"] for event in later} == {"G1"}
    assert desk.rows("get_events", first=10**6) == []


# ---- transcript


def test_transcript_is_what_a_recorder_in_process_writes(desk: Desk, tmp_path: Path) -> None:
    desk.do("set_transcript", 1)
    with connected(desk.server) as api:
        back_up(api, "G1")
    told = list(desk.client.texts("get_transcript", None, 1))
    twin = small_server(groups=2)
    path = tmp_path / "own.jsonl"
    with path.open("w", encoding="utf-8") as sink:
        back_up(Recorder(twin.session(), sink), "G1")
    assert told == path.read_text("utf-8").splitlines()
    assert desk.rows("get_transcript", 2) == []
    numbered = desk.rows("get_transcript", 0)
    assert [row.pop("client") for row in numbered] == [1] * len(told)
    assert numbered == [json.loads(line) for line in told]


def test_recording_begins_and_ends_in_the_middle(desk: Desk) -> None:
    with connected(desk.server) as one, connected(desk.server) as two:
        prepared = prepare(one)
        prepare(two)
        one.backup_setup(prepared.context, prepared.instances["G1"], BackupType.FULL)
        desk.do("set_transcript", 1)
        one.backup_open_file(prepared.context, prepared.streams["G1"][0])
        prepare(two)
        desk.do("set_transcript", 0)
        one.backup_end(prepared.context)
        desk.do("set_transcript", 1)
        prepare(one)
        prepare(two)
    (opening, preparing) = read_transcript(desk.client.texts("get_transcript", None, 1))
    assert (opening.method, opening.group) == ("backup_open_file", "G1"), "it knew the context"
    assert opening.arguments["context"] == 1
    assert preparing.method == "backup_prepare"
    assert len(list(read_transcript(desk.client.texts("get_transcript", None, 2)))) == 2
    assert len(desk.rows("get_transcript", 0, first=1)) == 3


def test_long_transcripts_lose_their_beginning() -> None:
    calls = CallLog(lines_max=16)
    sink = calls.sink(1)
    for number in range(40):
        sink.write(f"{number}\n")
    start, lines = calls.since(0)
    assert [line for _, line in lines] == [str(n) for n in range(start, 40)]
    assert 40 - 16 - 2 <= start <= 40 - 16
    assert calls.since(38) == (38, [(1, "38"), (1, "39")])
