"""The two tokens of SPNEGO (RFC 4178 4.2), in the little of DER that they are made of.

    InitialContextToken ::= [APPLICATION 0] { thisMech, [0] NegTokenInit }      RFC 2743 3.1
    NegTokenInit  ::= { [0] mechTypes, [1] reqFlags, [2] mechToken, [3] mechListMIC }
    NegTokenResp  ::= [1] { [0] negState, [1] supportedMech, [2] responseToken, [3] mechListMIC }

Parsing raises AuthenticationFailed. Packing is for the acceptor's answers; what a client sends is
packed by pyspnego.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Final, Self

from attrs import field

from eseback.data import frozen
from eseback.rpc.errors import AuthenticationFailed

__all__ = ["NTLM_MECH", "NegState", "NegTokenInit", "NegTokenResp"]

_SPNEGO_MECH: Final = bytes.fromhex("06062b0601050502")  # 1.3.6.1.5.5.2
NTLM_MECH: Final = bytes.fromhex("060a2b06010401823702020a")
"""The object identifier 1.3.6.1.4.1.311.2.2.10, with tag and length."""

_OCTETS, _OID, _ENUMERATED, _SEQUENCE = 0x04, 0x06, 0x0A, 0x30
_APPLICATION: Final = 0x60
_CONTEXT: Final = 0xA0  # plus the number of the field
_LONG: Final = 0x80
_MECHS_MAX: Final = 32


class NegState(IntEnum):
    """How the negotiation stands (RFC 4178 4.2.2)."""

    ACCEPT_COMPLETED = 0
    ACCEPT_INCOMPLETE = 1
    REJECT = 2
    REQUEST_MIC = 3


def _read(data: bytes, start: int = 0) -> tuple[int, bytes, int]:
    """Tag, content and end of the value at `start`."""
    if start + 2 > len(data):
        raise AuthenticationFailed("a SPNEGO token that ends too early")
    tag, size = data[start], data[start + 1]
    start += 2
    if size & _LONG:
        count = size & ~_LONG
        if not 1 <= count <= 4 or start + count > len(data):
            raise AuthenticationFailed("a length in a SPNEGO token that is no length")
        size = int.from_bytes(data[start : start + count], "big")
        start += count
    end = start + size
    if end > len(data):
        raise AuthenticationFailed("a SPNEGO token that ends too early")
    return tag, data[start:end], end


def _only(data: bytes, tag: int) -> bytes:
    """Content of the one value that the data are."""
    found, content, end = _read(data)
    if found != tag or end != len(data):
        raise AuthenticationFailed(f"tag 0x{found:02x} in a SPNEGO token, expected 0x{tag:02x}")
    return content


def _fields(sequence: bytes) -> Mapping[int, bytes]:
    """What stands in the numbered fields of a sequence."""
    content = _only(sequence, _SEQUENCE)
    found: dict[int, bytes] = {}
    position = 0
    while position < len(content):
        tag, value, position = _read(content, position)
        found[tag - _CONTEXT] = value
    return found


def _octets(fields: Mapping[int, bytes], number: int) -> bytes:
    return _only(fields[number], _OCTETS) if number in fields else b""


@frozen
class NegTokenInit:
    """A client's first token.

    mechs: object identifiers, with tag and length, the most wanted first. mech_list: as it was
    sent, which is what a mechListMIC is made over. token: for the first of them.
    """

    mechs: tuple[bytes, ...]
    mech_list: bytes
    token: bytes = field(repr=False)

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """From a GSS-API token, or from a bare NegotiationToken."""
        if data[:1] == bytes((_APPLICATION,)):
            data = _only(data, _APPLICATION)
            if not data.startswith(_SPNEGO_MECH):
                raise AuthenticationFailed("a token of another mechanism than SPNEGO")
            data = data[len(_SPNEGO_MECH) :]
        fields = _fields(_only(data, _CONTEXT))
        if 0 not in fields:
            raise AuthenticationFailed("a SPNEGO token without mechanisms")
        mech_list = fields[0]
        content = _only(mech_list, _SEQUENCE)
        mechs: list[bytes] = []
        position = 0
        while position < len(content) and len(mechs) < _MECHS_MAX:
            start = position
            tag, _, position = _read(content, start)
            if tag != _OID:
                raise AuthenticationFailed("a mechanism that is no object identifier")
            mechs.append(content[start:position])
        return cls(tuple(mechs), mech_list, _octets(fields, 2))


@frozen
class NegTokenResp:
    """Every later token of either side. mech: with tag and length, empty where there is none."""

    state: NegState | None = None
    mech: bytes = b""
    token: bytes = field(default=b"", repr=False)
    mic: bytes = b""

    def pack(self) -> bytes:
        """The whole token."""
        values = {
            0: b"" if self.state is None else _pack(_ENUMERATED, bytes((self.state,))),
            1: self.mech,
            2: _pack(_OCTETS, self.token) if self.token else b"",
            3: _pack(_OCTETS, self.mic) if self.mic else b"",
        }
        fields = [_pack(_CONTEXT + number, value) for number, value in values.items() if value]
        return _pack(_CONTEXT + 1, _pack(_SEQUENCE, b"".join(fields)))

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """From its bytes."""
        fields = _fields(_only(data, _CONTEXT + 1))
        state = None
        if 0 in fields:
            number = _only(fields[0], _ENUMERATED)
            if len(number) != 1 or number[0] > max(NegState):
                raise AuthenticationFailed("a state of the negotiation that does not exist")
            state = NegState(number[0])
        return cls(state, fields.get(1, b""), _octets(fields, 2), _octets(fields, 3))


def _pack(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < _LONG:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, _LONG | len(length))) + length + content
