"""`esebcli nodes`: the tree, the services and what is known of each database."""

from __future__ import annotations

import io
import struct
import uuid

import pytest
from rich.console import Console

from eseback.constants import (
    INFORMATION_STORE,
    SITE_REPLICATION,
    DatabaseFlags,
    NodeType,
    RegisterFlags,
)
from eseback.errors import ConnectionLost, EseBackupError
from eseback.structures import (
    BackupNode,
    DatabaseBackupInfo,
    IconDescription,
    InstanceBackupInfo,
    RegisteredInfo,
)
from esebcli.icons import identify
from esebcli.nodes import ComputerSurvey, ServiceSurvey, Survey, survey
from esebcli.nodetree import flags_text, survey_plain, survey_tree
from esesim.server import SimulatedServer
from tests.esebcli.support_fake import SERVER, FakeServer
from tests.esebcli.support_simulator import topology_of


def lines_of(found: Survey) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=400, highlight=False).print(survey_tree(found))
    return out.getvalue().splitlines()


# --- the simulated server


@pytest.fixture(scope="module")
def demo() -> Survey:
    server = SimulatedServer(topology_of("demo"))
    server.dismount("Second Storage Group", "Mailbox Store 3 (EXCHSRV1)")
    try:
        return survey(server.session())
    finally:
        server.close()


def test_the_tree_of_a_simulated_domain(demo: Survey) -> None:
    assert demo.problems == ()
    text = [line.strip("│├└─ ") for line in lines_of(demo)]
    assert text[0] == "Microsoft Exchange Server (display, icon file 16 x 16, 318 bytes)"
    assert text[1] == "EXCHSRV1 (machine, display, icon file 16 x 16, 318 bytes)"
    assert text[2].startswith(f"service {INFORMATION_STORE!r}, backup, online_restore, ")
    assert text[3].startswith("storage group 'First Storage Group', instance 4294967297, icon")
    assert "C:\\Program Files\\Exchsrvr\\mdbdata\\priv1.stm" in text
    assert [line.split(", ")[1] for line in text if line.startswith("database ")] == [
        *["mounted"] * 3,
        "NOT MOUNTED",
    ]
    offline = next(line for line in text if line.startswith(f"service {SITE_REPLICATION!r}"))
    assert "backup, offline_restore" in offline
    assert text[-2].startswith("EXCHSRV2 (machine")
    assert text[-1].startswith("does not answer: get_registered: hrCouldNotConnect")


def test_json_holds_the_same(demo: Survey) -> None:
    plain = survey_plain(demo)
    assert plain["ok"] is True and plain["problems"] == []
    first, second = plain["computers"]
    assert (first["name"], first["error"]) == ("EXCHSRV1", None)
    assert second["services"] == [] and "hrCouldNotConnect" in second["error"]
    store = first["services"][0]
    assert store["annotation"] == INFORMATION_STORE
    assert store["flags"] == RegisterFlags.BACKUP | RegisterFlags.ONLINE_RESTORE
    assert uuid.UUID(store["guid"]).int
    groups = store["instances"]
    assert [group["name"] for group in groups] == ["First Storage Group", "Second Storage Group"]
    assert groups[0]["icons"][0] == {
        "format": "icon file",
        "bytes": 318,
        "width": 16,
        "height": 16,
    }
    database = groups[1]["databases"][1]
    assert database["mounted"] is False and len(database["streams"]) == 2
    assert [node["name"] for node in plain["tree"]["children"]] == ["EXCHSRV1", "EXCHSRV2"]


def test_a_survey_leaves_no_context_behind(server: FakeServer) -> None:
    found = survey(server.api)
    assert found.problems == ()
    assert server.methods() == [
        "get_nodes",
        "get_registered",
        "get_registered",
        "backup_prepare",
        "backup_end",
    ]
    assert found.computer("exch1") is found.computers[1]


# --- one computer, and what goes wrong


def test_only_one_computer(server: FakeServer) -> None:
    found = survey(server.api, SERVER)
    assert [computer.name for computer in found.computers] == [SERVER]
    assert server.calls_of("get_nodes")[0].argument == SERVER
    silent = survey(server.api, "OTHER")
    assert len(silent.problems) == 1 and "OTHER: get_registered" in silent.problems[0]


def test_a_computer_that_the_tree_does_not_name(server: FakeServer) -> None:
    server.answering = (SERVER, "HIDDEN")
    lines = lines_of(survey(server.api, "HIDDEN"))
    at = next(index for index, line in enumerate(lines) if line.endswith("HIDDEN"))
    assert f"service 'store', backup, {uuid.UUID(int=99)}" in lines[at + 1]


def test_nobody_answers(server: FakeServer) -> None:
    server.answering = ()
    assert len(survey(server.api).problems) == 2
    server.computers = ()
    assert survey(server.api).problems == ("the server knows no computer",)


def test_a_service_that_can_not_be_asked(server: FakeServer) -> None:
    server.fail("backup_prepare", EseBackupError.from_name("hrCouldNotConnect", "backup_prepare"))
    found = survey(server.api)
    assert len(found.problems) == 1
    assert found.problems[0].startswith("EXCH1: store: backup_prepare: hrCouldNotConnect")
    assert any("can't be looked at: backup_prepare" in line for line in lines_of(found))


@pytest.mark.parametrize("method", ["get_nodes", "get_registered", "backup_prepare", "backup_end"])
def test_a_lost_connection_ends_it(server: FakeServer, method: str) -> None:
    server.fail(method, ConnectionLost(call=method))
    with pytest.raises(ConnectionLost):
        survey(server.api)


# --- what servers may send


def test_hostile_names_and_numbers() -> None:
    name = "\x1b[2J[bold]evil[/bold]\n"
    database = DatabaseBackupInfo(name, (name,), uuid.UUID(int=1), 7, DatabaseFlags(0x30))
    instance = InstanceBackupInfo(1, name, -1, (database,), (IconDescription(b"???"),))
    info = RegisteredInfo(name, RegisterFlags(0x81), name + "x", uuid.UUID(int=2))
    tree = BackupNode(name, NodeType(0x1), children=(BackupNode(name, NodeType(0x2000)),))
    found = Survey(tree, (ComputerSurvey(name, (ServiceSurvey(info, (instance,)),)),))
    text = "\n".join(lines_of(found))
    assert "\x1b" not in text and "[bold]evil[/bold]" in text
    assert text.count("\n") == 5
    assert "icon 7, which the server did not send" in text
    assert "backup, 0x80" in text and "(0x2000, no icon)" in text
    assert survey_plain(found)["computers"][0]["services"][0]["flags"] == 0x81


def test_flags() -> None:
    assert flags_text(RegisterFlags.NONE) == "none"
    assert flags_text(NodeType.MACHINE | NodeType.DISPLAY) == "machine, display"


ICO = struct.pack("<HHHBBBBHHII", 0, 1, 1, 32, 0, 16, 0, 1, 4, 40, 22)
DIB = struct.pack("<IiiHH", 40, 24, -12, 1, 4).ljust(40, b"\0")


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "no icon"),
        (ICO, "icon file 32 x 256, 22 bytes"),
        (ICO[:21], "unknown format, 21 bytes"),
        (b"\0\0\1\0\0\0" + bytes(20), "unknown format, 26 bytes"),
        (DIB, "bitmap 24 x 12, 40 bytes"),
        (DIB[:39], "unknown format, 39 bytes"),
        (b"BM" + bytes(12) + DIB, "bitmap file 24 x 12, 54 bytes"),
        (b"BM", "unknown format, 2 bytes"),
        (
            b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", 48, 64),
            "PNG 48 x 64, 24 bytes",
        ),
        (b"\x89PNG\r\n\x1a\n", "unknown format, 8 bytes"),
        (bytes(64), "unknown format, 64 bytes"),
    ],
)
def test_icons(data: bytes, text: str) -> None:
    assert str(identify(data)) == text
