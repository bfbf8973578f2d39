"""PDUs of the set-up: bytes written by hand from C706 chapter 12 and MS-RPCE 2.2.2."""

from __future__ import annotations

import struct
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eseback.rpc import NDR32, AuthToken, ContextOffer, RemoteProtocolError, SyntaxId
from eseback.rpc.header import FRAGMENT_MAX, Frame, frame_length, parse_frame
from eseback.rpc.pdu import Auth3, Bind, BindAck, BindNak, ContextReply, Fault, pack_bare
from eseback.rpc.status import BindFeature, PduType
from eseback.rpc.syntax import SYNTAX_SIZE, feature_bits, feature_syntax
from tests.eseback.rpc.joined import bind_body, bind_pdu, context_bytes, pdu

ABSTRACT = SyntaxId(uuid.UUID("00112233-4455-6677-8899-aabbccddeeff"), 1, 2)


def frame(data: bytes) -> Frame:
    """As an inbox hands it out."""
    assert frame_length(data, 0, FRAGMENT_MAX) == len(data)
    return parse_frame(memoryview(data))


def test_bind_golden() -> None:
    bind = Bind(7, (ContextOffer(3, ABSTRACT, (NDR32,)),), 5840, 4280, 0x0A0B0C0D)
    assert bind.pack().hex(" ") == (
        "05 00 0b 03 10 00 00 00 48 00 00 00 07 00 00 00 "
        "d0 16 b8 10 0d 0c 0b 0a 01 00 00 00 "
        "03 00 01 00 33 22 11 00 55 44 77 66 88 99 aa bb cc dd ee ff 01 00 02 00 "
        "04 5d 88 8a eb 1c c9 11 9f e8 08 00 2b 10 48 60 02 00 00 00"
    )
    assert Bind.parse(frame(bind.pack())) == bind


def test_bind_golden_big_endian() -> None:
    data = bytes.fromhex(
        "05 00 0b 03 00 00 00 00 00 48 00 00 00 00 00 07"
        "16 d0 10 b8 0a 0b 0c 0d 01 00 00 00"
        "00 03 01 00 00 11 22 33 44 55 66 77 88 99 aa bb cc dd ee ff 00 02 00 01"
        "8a 88 5d 04 1c eb 11 c9 9f e8 08 00 2b 10 48 60 00 00 00 02"
    )
    expected = Bind(7, (ContextOffer(3, ABSTRACT, (NDR32,)),), 5840, 4280, 0x0A0B0C0D)
    assert Bind.parse(frame(data)) == expected


def test_bind_ack_golden() -> None:
    ack = BindAck(7, (ContextReply(0, 0, NDR32), ContextReply(2, 1)), 5840, 5840, 9, b"135")
    assert ack.pack().hex(" ") == (
        "05 00 0c 03 10 00 00 00 54 00 00 00 07 00 00 00 d0 16 d0 16 09 00 00 00 "
        "04 00 31 33 35 00 00 00 02 00 00 00 "
        "00 00 00 00 04 5d 88 8a eb 1c c9 11 9f e8 08 00 2b 10 48 60 02 00 00 00 "
        "02 00 01 00 " + " ".join(["00"] * SYNTAX_SIZE)
    )
    assert BindAck.parse(frame(ack.pack())) == ack


def test_alter_context_resp_has_no_address() -> None:
    ack = BindAck(7, (ContextReply(0, 0, NDR32),), 5840, 5840, 9, alter=True)
    packed = ack.pack()
    assert packed[2] == 15
    assert packed[24:32].hex(" ") == "00 00 00 00 01 00 00 00"
    assert BindAck.parse(frame(packed)) == ack


def test_bind_nak_golden() -> None:
    assert BindNak(7, 4).pack().hex(" ") == (
        "05 00 0d 03 10 00 00 00 18 00 00 00 07 00 00 00 04 00 01 05 00 00 00 00"
    )
    assert BindNak.parse(frame(BindNak(7, 4).pack())) == BindNak(7, 4, ((5, 0),))
    # Old servers send the reason alone, new ones extended error information after the versions.
    assert BindNak.parse(frame(pdu(13, b"\x02\x00"))).reason == 2
    assert BindNak.parse(frame(pdu(13, b"\x02\x00\x00" + bytes(50)))).versions == ()


def test_fault_golden() -> None:
    fault = Fault(7, 1, 0x1C010002, executed=False)
    assert fault.pack().hex(" ") == (
        "05 00 03 23 10 00 00 00 20 00 00 00 07 00 00 00 "
        "20 00 00 00 01 00 00 00 02 00 01 1c 00 00 00 00"
    )
    assert Fault.parse(frame(fault.pack())) == fault
    short = pdu(3, struct.pack("<IHBBI", 0, 0, 0, 0, 5))
    assert Fault.parse(frame(short)) == Fault(1, 0, 5)
    big = pdu(3, struct.pack(">IHBBII", 0, 2, 0, 0, 0x6F7, 0), little=False)
    assert Fault.parse(frame(big)) == Fault(1, 2, 0x6F7)


def test_auth3_golden() -> None:
    auth3 = Auth3(7, AuthToken(10, 5, 0x01020304, b"tok"))
    assert auth3.pack().hex(" ") == (
        "05 00 10 03 10 00 00 00 1f 00 03 00 07 00 00 00 00 00 00 00 "
        "0a 05 00 00 04 03 02 01 74 6f 6b"
    )
    assert Auth3.parse(frame(auth3.pack())) == auth3


def test_bare_golden() -> None:
    assert pack_bare(PduType.ORPHANED, 9).hex() == "05001303100000001000000009000000"


def test_token_is_padded_to_four() -> None:
    token = AuthToken(9, 6, 1, b"abc")
    ack = BindAck(1, (), 5840, 5840, 9, b"", token)
    packed = ack.pack()
    assert packed[-11:].hex(" ") == "09 06 00 00 01 00 00 00 61 62 63"
    assert packed[10] == 3
    assert BindAck.parse(frame(packed)).token == token


def test_features() -> None:
    syntax = feature_syntax(BindFeature(3))
    assert str(syntax) == "6cb71c2c-9812-4540-0300-000000000000 v1.0"
    assert feature_bits(syntax) == BindFeature(3)
    assert feature_bits(NDR32) is None
    assert feature_bits(SyntaxId(syntax.uuid, 1, 1)) is None


SYNTAXES = st.builds(SyntaxId, st.uuids(), st.integers(0, 0xFFFF), st.integers(0, 0xFFFF))
TOKENS = st.none() | st.builds(
    AuthToken,
    st.integers(0, 255),
    st.integers(0, 255),
    st.integers(0, 0xFFFFFFFF),
    st.binary(min_size=1, max_size=50),
)
U16, U32 = st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF)
OFFERS = st.builds(ContextOffer, U16, SYNTAXES, st.lists(SYNTAXES, max_size=3).map(tuple))
FLAGS = st.integers(0, 255)


@given(
    st.builds(
        Bind, U32, st.lists(OFFERS, max_size=4).map(tuple), U16, U16, U32, TOKENS, st.booleans(),
        FLAGS,
    )
)  # fmt: skip
def test_bind_round_trip(bind: Bind) -> None:
    assert Bind.parse(frame(bind.pack())) == bind


@given(
    st.builds(
        BindAck,
        U32,
        st.lists(st.builds(ContextReply, U16, U16, SYNTAXES), max_size=4).map(tuple),
        U16,
        U16,
        U32,
        st.binary(max_size=8).map(lambda raw: raw.replace(b"\0", b"x")),
        TOKENS,
        st.booleans(),
        FLAGS,
    )
)
def test_bind_ack_round_trip(ack: BindAck) -> None:
    assert BindAck.parse(frame(ack.pack())) == ack


@pytest.mark.parametrize("cut", range(26))
def test_a_bind_that_ends_early(cut: int) -> None:
    body = bind_body(context_bytes(0))
    with pytest.raises(RemoteProtocolError, match=r"bind of|ends early|do not fit"):
        Bind.parse(frame(pdu(11, body[: len(body) - 2 * cut - 1])))


@pytest.mark.parametrize("cut", range(1, 40))
def test_a_bind_ack_that_ends_early(cut: int) -> None:
    packed = BindAck(7, (ContextReply(0, 0, NDR32),), 5840, 5840, 9, b"135").pack()
    with pytest.raises(RemoteProtocolError, match=r"too short|does not fit|do not fit"):
        BindAck.parse(frame(pdu(12, packed[16:-cut])))


def test_bytes_after_the_last_field() -> None:
    with pytest.raises(RemoteProtocolError, match="1 bytes follow"):
        Bind.parse(frame(pdu(11, bind_body(context_bytes(0)) + b"\0")))


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (b"\0", "no reason"),
        (b"\0\0\x05\x05\0", "5 versions"),
    ],
)
def test_bad_bind_nak(body: bytes, what: str) -> None:
    with pytest.raises(RemoteProtocolError, match=what):
        BindNak.parse(frame(pdu(13, body)))


def test_bad_fault_and_auth3() -> None:
    with pytest.raises(RemoteProtocolError, match="no status"):
        Fault.parse(frame(pdu(3, bytes(11))))
    with pytest.raises(RemoteProtocolError, match="without an authentication token"):
        Auth3.parse(frame(pdu(16, bytes(20))))
    with pytest.raises(RemoteProtocolError, match="secondary address does not end"):
        BindAck.parse(frame(pdu(12, bytes(8) + b"\x02\x00ab" + bytes(4))))


def authenticated_bind(pad_length: int, gap: int, token: bytes = b"token") -> bytes:
    body = bind_body(context_bytes(0)) + bytes(gap)
    trailer = struct.pack("<BBBBI", 10, 5, pad_length, 0, 1)
    return pdu(11, body + trailer + token, auth_length=len(token))


def test_padding_before_the_trailer() -> None:
    # Windows forgives an announced padding that is not there, as long as it would fit.
    room = len(authenticated_bind(0, 0)) - 24 - 8 - 5
    for pad_length, gap in ((0, 0), (4, 4), (12, 12), (4, 0), (room, 0)):
        token = Bind.parse(frame(authenticated_bind(pad_length, gap))).token
        assert token == AuthToken(10, 5, 1, b"token")
    for pad_length, gap in ((room + 1, 0), (4, 8), (0, 4)):
        with pytest.raises(RemoteProtocolError, match="padding"):
            Bind.parse(frame(authenticated_bind(pad_length, gap)))


def test_a_token_that_overlaps() -> None:
    data = bytearray(bind_pdu())
    struct.pack_into("<H", data, 10, len(data) - 30)
    with pytest.raises(RemoteProtocolError, match="overlaps"):
        Bind.parse(frame(bytes(data)))
    struct.pack_into("<H", data, 10, len(data) - 23)
    with pytest.raises(RemoteProtocolError, match="do not fit into a PDU"):
        frame(bytes(data))
