"""Management interface and endpoint mapper: golden bytes, and what other stacks send."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eseback.rpc import (
    BACKUP_SYNTAX,
    ENDPOINT_MAPPER,
    MANAGEMENT,
    NULL_HANDLE,
    BadStubData,
    LocalProtocolError,
    NotRepresentable,
    SyntaxId,
    make_interface,
    operation,
)
from eseback.rpc.epm import EPT_NOT_REGISTERED, Entry
from eseback.rpc.mgmt import principal_name
from eseback.rpc.tower import Floor, TcpTower, pack_floors, parse_floors
from tests.eseback.rpc.test_pdu import ABSTRACT

# The tower of interface 00112233-... v1.2 over NDR, TCP port 135 of 127.0.0.1.
TOWER = bytes.fromhex(
    "0500"
    "1300 0d 33221100 5544 7766 8899aabbccddeeff 0100 0200 0200"
    "1300 0d 045d888a eb1c c911 9fe808002b104860 0200 0200 0000"
    "0100 0b 0200 0000"
    "0100 07 0200 0087"
    "0100 09 0400 7f000001"
)


def test_syntaxes() -> None:
    assert str(MANAGEMENT.syntax) == "afa8bd80-7d8a-11c9-bef4-08002b102989 v1.0"
    assert str(ENDPOINT_MAPPER.syntax) == "e1af8308-5d1f-11c9-91a4-08002b14a0fa v3.0"
    assert sorted(MANAGEMENT.operations) == [0, 1, 2, 3, 4]
    assert sorted(ENDPOINT_MAPPER.operations) == [2, 3, 4]


def test_interface_ids_golden() -> None:
    response = MANAGEMENT.operations[0].response
    expected = bytes.fromhex(
        "00000200 02000000 02000000 04000200 08000200"
        "33221100 5544 7766 8899aabbccddeeff 0100 0200"
        "33221100 5544 7766 8899aabbccddeeff 0100 0200"
        "00000000"
    )
    values = ((ABSTRACT, ABSTRACT), 0)
    assert bytes(response.encode(values)) == expected
    assert response.decode(expected) == values


def test_statistics_and_listening_golden() -> None:
    statistics = MANAGEMENT.operations[1].response
    expected = bytes.fromhex("02000000 02000000 07000000 08000000 00000000")
    assert bytes(statistics.encode(((7, 8), 0))) == expected
    assert statistics.decode(expected) == ((7, 8), 0)
    listening = MANAGEMENT.operations[2]
    assert bytes(listening.request.encode(())) == b""
    assert bytes(listening.response.encode((0, 1))) == bytes.fromhex("00000000 01000000")
    assert MANAGEMENT.operations[3].response.decode(bytes.fromhex("05000000")) == (5,)


def test_principal_name_golden() -> None:
    response = MANAGEMENT.operations[4].response
    expected = bytes.fromhex("08000000 00000000 04000000 73727600 00000000")
    assert bytes(response.encode((principal_name("srv", 8), 0))) == expected
    assert principal_name("longer", 3) == (3, tuple(b"lon"))


def test_map_golden() -> None:
    call = ENDPOINT_MAPPER.operations[3]
    size = len(TOWER).to_bytes(4, "little")
    pad = bytes(-len(TOWER) % 4)
    request = (
        bytes(4) + bytes.fromhex("00000200") + size + size + TOWER + pad + NULL_HANDLE
        + bytes.fromhex("04000000")
    )  # fmt: skip
    assert bytes(call.request.encode((None, TOWER, NULL_HANDLE, 4))) == request
    assert call.request.decode(request) == (None, TOWER, NULL_HANDLE, 4)
    response = (
        # Another pointer than the request's: with its number it would be the same tower.
        NULL_HANDLE + bytes.fromhex("01000000 04000000 00000000 01000000 24000040")
        + size + size + TOWER + pad + bytes(4)
    )  # fmt: skip
    assert bytes(call.response.encode((NULL_HANDLE, (4, (TOWER,)), 0))) == response
    assert call.response.decode(response) == (NULL_HANDLE, (4, (TOWER,)), 0)


def test_lookup() -> None:
    call = ENDPOINT_MAPPER.operations[2]
    asked = (1, uuid.uuid4(), SyntaxId(uuid.uuid4(), 1, 0), 3, bytes(range(20)), 10)
    for little in (True, False):
        assert call.request.decode(call.request.encode(asked, little), little) == asked
        entries = (
            Entry(uuid.uuid4(), TOWER, "eseback"),
            Entry(uuid.uuid4(), None),
            Entry(uuid.UUID(int=0), TOWER, "x" * 63),
        )
        answer = (NULL_HANDLE, (10, entries), 0)
        assert call.response.decode(call.response.encode(answer, little), little) == answer
    nothing = (NULL_HANDLE, (10, ()), EPT_NOT_REGISTERED)
    assert call.response.decode(call.response.encode(nothing)) == nothing


def test_annotations_are_limited() -> None:
    response = ENDPOINT_MAPPER.operations[2].response
    with pytest.raises(NotRepresentable, match="65 octets"):
        response.encode((NULL_HANDLE, (1, (Entry(uuid.uuid4(), None, "x" * 64),)), 0))
    good = bytes(response.encode((NULL_HANDLE, (1, (Entry(uuid.uuid4(), None, "abc"),)), 0)))
    for old, new in (
        (b"abc\0", b"a\0c\0"),
        (b"abc\0", b"abcd"),
        (b"\4\0\0\0abc", b"\x41\0\0\0abc"),
    ):
        assert good.count(old) == 1
        with pytest.raises(BadStubData, match="annotation"):
            response.decode(good.replace(old, new))


def test_tower_golden() -> None:
    tower = TcpTower(ABSTRACT, 135, "127.0.0.1")
    assert tower.pack().hex() == TOWER.hex()
    assert TcpTower.parse(TOWER) == tower


@given(st.integers(0, 0xFFFF), st.ip_addresses(v=4).map(str))
def test_tower_round_trip(port: int, address: str) -> None:
    tower = TcpTower(BACKUP_SYNTAX, port, address)
    assert TcpTower.parse(tower.pack()) == tower


def test_other_towers() -> None:
    floors = parse_floors(TOWER)
    named_pipe = (*floors[:3], Floor(0x0F, b"", b"\\pipe\\x\0"), Floor(0x11, b"", b"\\\\host\0"))
    assert TcpTower.parse(pack_floors(named_pipe)) is None
    assert TcpTower.parse(pack_floors(floors[:4])) is None
    with pytest.raises(LocalProtocolError, match="port"):
        TcpTower(BACKUP_SYNTAX, 65536).pack()


@pytest.mark.parametrize(
    ("octets", "what"),
    [
        (b"", "within a floor"),
        (TOWER[:-1], "within a floor"),
        (b"\x09\x00" + TOWER[2:], "9 floors"),
        (bytes.fromhex("0100 0000 0000"), "without a protocol"),
        (
            pack_floors((*parse_floors(TOWER)[:3], Floor(7, b"", b"\0"), Floor(9, b"", bytes(4)))),
            "TCP",
        ),
        (pack_floors((Floor(13, b"x", b"\0\0"), *parse_floors(TOWER)[1:])), "syntax floor"),
    ],
)
def test_bad_towers(octets: bytes, what: str) -> None:
    with pytest.raises(BadStubData, match=what):
        TcpTower.parse(octets)


@given(st.binary(max_size=100))
def test_random_towers(octets: bytes) -> None:
    try:
        TcpTower.parse(octets)
    except BadStubData as error:
        assert str(error)


def test_numbers_of_operations_differ() -> None:
    with pytest.raises(ValueError, match="two operations with the number 1"):
        make_interface("x", ABSTRACT, (operation(1, "a", (), ()), operation(1, "b", (), ())))
