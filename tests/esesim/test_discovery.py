"""What a client finds before it backs anything up: nodes, services, instances, icons, GUIDs."""

from __future__ import annotations

import struct
import zlib

import pytest
from attrs import evolve

from eseback.constants import (
    ANNOTATIONS,
    INFORMATION_STORE,
    SITE_REPLICATION,
    DatabaseFlags,
    NodeType,
    RegisterFlags,
)
from eseback.errors import EseBackupError
from eseback.structures import BackupNode, IconDescription
from esesim.exchange.icons import ICONS
from esesim.server import SimulatedServer
from esesim.topology import ServiceSpec, Topology
from tests.esesim.support.servers import SERVER, small_server, small_topology

SERVICES = (
    ServiceSpec(INFORMATION_STORE, "Exchange mail"),
    ServiceSpec(SITE_REPLICATION, flags=("offline_restore",)),
)


def empty_server() -> SimulatedServer:
    topology = small_topology(groups=0, neighbours=("EXCHSRV2", "ALPHA"))
    return SimulatedServer(evolve(topology, services=SERVICES))


def icons_of(node: BackupNode) -> list[IconDescription]:
    return [node.icon, *(icon for child in node.children for icon in icons_of(child))]


def test_node_tree() -> None:
    api = empty_server().session()
    top = api.get_nodes(None)
    assert top == api.get_nodes("exchsrv1")
    assert (top.name, top.flags) == ("Microsoft Exchange Server", NodeType.DISPLAY)
    assert [node.name for node in top.children] == ["ALPHA", SERVER, "EXCHSRV2"]
    assert all(NodeType.MACHINE in node.flags for node in top.children)
    alpha, server, _ = top.children
    assert not alpha.children
    assert [node.name for node in server.children] == [INFORMATION_STORE, SITE_REPLICATION]
    assert all(NodeType.ANNOTATION in node.flags for node in server.children)


@pytest.mark.parametrize("name", ["EXCHSRV2", "NOWHERE", "EXCHSRV1 "])
def test_other_computers_do_not_answer(name: str) -> None:
    api = empty_server().session()
    for call in (
        lambda: api.get_nodes(name),
        lambda: api.get_registered(name, None, RegisterFlags.BACKUP),
        lambda: api.backup_prepare(name, INFORMATION_STORE),
    ):
        with pytest.raises(EseBackupError) as caught:
            call()
        assert caught.value.name == "hrCouldNotConnect"


@pytest.mark.parametrize(
    ("display_name", "flags", "found"),
    [
        (None, RegisterFlags.BACKUP, [INFORMATION_STORE]),
        (None, RegisterFlags.ONLINE_RESTORE, [INFORMATION_STORE]),
        (None, RegisterFlags.OFFLINE_RESTORE, [SITE_REPLICATION]),
        (
            None,
            RegisterFlags.BACKUP | RegisterFlags.OFFLINE_RESTORE,
            [INFORMATION_STORE, SITE_REPLICATION],
        ),
        (None, RegisterFlags.SNAPSHOT_BACKUP, []),
        (None, RegisterFlags.NONE, [INFORMATION_STORE, SITE_REPLICATION]),
        ("EXCHANGE MAIL", RegisterFlags.NONE, [INFORMATION_STORE]),
        ("Exchange", RegisterFlags.NONE, []),
        ("Exchange mail", RegisterFlags.OFFLINE_RESTORE, []),
        (SITE_REPLICATION, RegisterFlags.OFFLINE_RESTORE, [SITE_REPLICATION]),
    ],
)
def test_registered_services(
    display_name: str | None, flags: RegisterFlags, found: list[str]
) -> None:
    infos = empty_server().session().get_registered(SERVER, display_name, flags)
    assert [info.annotation for info in infos] == found


def test_registration_says_what_the_service_can_do() -> None:
    first, second = empty_server().session().get_registered(SERVER, None, RegisterFlags.NONE)
    assert (first.display_name, second.display_name) == ("Exchange mail", SITE_REPLICATION)
    assert first.flags == RegisterFlags.BACKUP | RegisterFlags.ONLINE_RESTORE
    assert second.flags == RegisterFlags.OFFLINE_RESTORE
    assert first.guid != second.guid


def test_prepare_knows_services_by_their_exact_annotation() -> None:
    api = empty_server().session()
    context, instances = api.backup_prepare(SERVER, SITE_REPLICATION)
    assert instances == ()
    api.backup_end(context)
    for annotation in (INFORMATION_STORE.upper(), ANNOTATIONS[2], "Information Store"):
        with pytest.raises(EseBackupError) as caught:
            api.backup_prepare(SERVER, annotation)
        assert caught.value.name == "hrCouldNotConnect"


def test_prepare_lists_running_instances_and_their_stores() -> None:
    server = small_server(groups=2, stores=2, dismounted=("G1S2", "G2S1", "G2S2"))
    api = server.session()
    _, (only,) = api.backup_prepare("exchsrv1", INFORMATION_STORE)
    assert only.instance_name == "G1"
    assert [(d.display_name, d.flags) for d in only.databases] == [
        ("G1S1", DatabaseFlags.MOUNTED),
        ("G1S2", DatabaseFlags.UNMOUNTED),
    ]
    assert only.databases[0].streams == (
        "C:\\Program Files\\Exchsrvr\\mdbdata\\G1S1.edb",
        "C:\\Program Files\\Exchsrvr\\mdbdata\\G1S1.stm",
    )
    server.mount("G2", "G2S1")
    server.dismount("G1", "G1S1")
    _, (other,) = api.backup_prepare(SERVER, INFORMATION_STORE)
    assert other.instance_name == "G2"
    assert other.instance_id != only.instance_id


def test_instance_numbers_need_64_bits() -> None:
    _, instances = small_server(groups=2).session().backup_prepare(SERVER, INFORMATION_STORE)
    assert all(1 << 32 < info.instance_id < 1 << 63 for info in instances)


def guids(topology: Topology) -> list[str]:
    server = SimulatedServer(topology)
    api = server.session()
    _, instances = api.backup_prepare(SERVER, INFORMATION_STORE)
    services = api.get_registered(SERVER, None, RegisterFlags.NONE)
    return [str(d.guid) for info in instances for d in info.databases] + [
        str(info.guid) for info in services
    ]


def test_guids_are_stable_and_distinct() -> None:
    topology = small_topology(groups=2, stores=2)
    first = guids(topology)
    assert len(set(first)) == 5
    assert guids(topology) == first
    assert not set(guids(small_topology(groups=2, stores=2, seed=8))) & set(first)


def test_icons_are_indexed() -> None:
    _, (info,) = small_server(stores=2).session().backup_prepare(SERVER, INFORMATION_STORE)
    assert len(set(info.icons)) == len(info.icons) == 3
    assert info.icons[info.icon_index] == ICONS["group"]
    assert {info.icons[d.icon_index] for d in info.databases} == {ICONS["mailbox"]}


def test_a_topology_without_icons() -> None:
    api = small_server(icons=False).session()
    assert set(icons_of(api.get_nodes(None))) == {IconDescription()}
    _, (info,) = api.backup_prepare(SERVER, INFORMATION_STORE)
    assert info.icons == ()
    assert {info.icon_index, *(d.icon_index for d in info.databases)} == {0}


def test_icons_of_nodes_differ_by_kind() -> None:
    icons = icons_of(small_server().session().get_nodes(None))
    assert icons == [ICONS["organization"], ICONS["computer"], ICONS["service"]]


@pytest.mark.parametrize("kind", sorted(ICONS))
def test_icons_are_real_ico_files(kind: str) -> None:
    data = ICONS[kind].data
    reserved, resource, count = struct.unpack_from("<HHH", data)
    assert (reserved, resource, count) == (0, 1, 1)
    width, height, colors, _, planes, bits, size, offset = struct.unpack_from("<BBBBHHII", data, 6)
    assert (width, height, colors, planes, bits) == (16, 16, 16, 1, 4)
    assert offset + size == len(data)
    header, bitmap_width, double_height = struct.unpack_from("<Iii", data, offset)
    assert (header, bitmap_width, double_height) == (40, 16, 32)
    # 40 bytes of header, 16 colours, 16 rows of 8 bytes, 16 rows of mask at 4 bytes.
    assert size == 40 + 64 + 128 + 64
    pixels = data[offset + 104 : offset + 232]
    mask = data[offset + 232 :]
    transparent = sum(byte.bit_count() for byte in mask)
    assert 0 < transparent < 256
    assert any(pixels)


def test_icons_are_all_different() -> None:
    assert len({zlib.crc32(icon.data) for icon in ICONS.values()}) == len(ICONS) == 6


def test_a_server_without_groups() -> None:
    context, instances = empty_server().session().backup_prepare(SERVER, INFORMATION_STORE)
    assert context
    assert instances == ()
