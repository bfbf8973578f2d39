"""PDUs that set up and tear down a connection: frozen records, packed and parsed.

Each class packs itself whole, common header included, little-endian, and is parsed from a checked
`Frame` in either byte order. Field names are those of C706 12.6.4 and MS-RPCE 2.2.2. Requests and
responses, which carry the calls, are in `eseback.rpc.fragment` and `eseback.rpc.assembly`.
Parsing raises RemoteProtocolError, which says what is wrong with which field.
"""

from __future__ import annotations

import struct
from typing import Final

from eseback.data import frozen
from eseback.rpc.errors import LocalProtocolError, RemoteProtocolError
from eseback.rpc.header import COMMON_SIZE, FRAGMENT_MAX, Frame, pack_common
from eseback.rpc.security import TRAILER_SIZE, AuthToken, token_of
from eseback.rpc.status import PduType, PfcFlag
from eseback.rpc.syntax import NULL_SYNTAX, SYNTAX_SIZE, SyntaxId

__all__ = [
    "Auth3",
    "Bind",
    "BindAck",
    "BindNak",
    "ContextOffer",
    "ContextReply",
    "Fault",
    "pack_bare",
]

_WHOLE: Final = PfcFlag.FIRST_FRAG | PfcFlag.LAST_FRAG

_SIZES: Final = {True: struct.Struct("<HHI"), False: struct.Struct(">HHI")}
_OFFER: Final = {True: struct.Struct("<HBB"), False: struct.Struct(">HBB")}
_RESULT: Final = {True: struct.Struct("<HH"), False: struct.Struct(">HH")}
_FAULT: Final = {True: struct.Struct("<IHBBI"), False: struct.Struct(">IHBBI")}
_U16: Final = {True: struct.Struct("<H"), False: struct.Struct(">H")}

_BIND_COUNT: Final = COMMON_SIZE + 8  # offset of the number of contexts
_BIND_FIXED: Final = COMMON_SIZE + 12  # sizes, group, count and three bytes of padding
_FAULT_SIZE: Final = 32
_FAULT_SIZE_MIN: Final = 28  # some peers leave out the last reserved field


def _finish(ptype: int, flags: int, call_id: int, body: bytes, token: AuthToken | None) -> bytes:
    """Whole PDU from its body and, padded to 4, its authentication token."""
    auth_length = 0
    if token is not None:
        pad = -len(body) % 4
        body += bytes(pad) + token.trailer(pad)
        auth_length = len(token.token)
    size = COMMON_SIZE + len(body)
    if size > FRAGMENT_MAX:
        raise LocalProtocolError(f"a {PduType(ptype).name} of {size} bytes does not fit")
    return pack_common(ptype, flags, size, call_id, auth_length) + body


@frozen
class ContextOffer:
    """`p_cont_elem_t`: a presentation context that a client proposes."""

    context_id: int
    abstract: SyntaxId
    transfers: tuple[SyntaxId, ...]


@frozen
class ContextReply:
    """`p_result_t`: the server's word on one proposal.

    reason: a `ProviderReason` with a rejection, feature bits with NEGOTIATE_ACK, else 0.
    """

    result: int
    reason: int = 0
    transfer: SyntaxId = NULL_SYNTAX


@frozen
class Bind:
    """bind and alter_context: what a client proposes.

    alter: whether it is an alter_context, whose sizes and group are ignored.
    """

    call_id: int
    contexts: tuple[ContextOffer, ...]
    max_xmit_frag: int
    max_recv_frag: int
    assoc_group_id: int = 0
    token: AuthToken | None = None
    alter: bool = False
    flags: int = _WHOLE

    def pack(self) -> bytes:
        """The whole PDU."""
        parts = [
            _SIZES[True].pack(self.max_xmit_frag, self.max_recv_frag, self.assoc_group_id),
            bytes((len(self.contexts), 0, 0, 0)),
        ]
        for offer in self.contexts:
            parts.append(_OFFER[True].pack(offer.context_id, len(offer.transfers), 0))
            parts.append(offer.abstract.pack())
            parts.extend(transfer.pack() for transfer in offer.transfers)
        ptype = PduType.ALTER_CONTEXT if self.alter else PduType.BIND
        return _finish(ptype, self.flags, self.call_id, b"".join(parts), self.token)

    @classmethod
    def parse(cls, frame: Frame) -> Bind:
        """From a checked frame of either type."""
        data, little = frame.data, frame.little
        alter = frame.ptype == PduType.ALTER_CONTEXT
        if len(data) <= _BIND_COUNT:
            raise RemoteProtocolError(f"a bind of {len(data)} bytes, at least {_BIND_COUNT + 1}")
        max_xmit, max_recv, group = _SIZES[little].unpack_from(data, COMMON_SIZE)
        count = data[_BIND_COUNT]
        if not count and len(data) < _BIND_FIXED:  # an empty list may come without its padding
            return cls(frame.call_id, (), max_xmit, max_recv, group, None, alter, frame.flags)
        position = _BIND_FIXED
        contexts = []
        for _ in range(count):
            offer, position = _parse_offer(data, position, little)
            contexts.append(offer)
        token = token_of(frame, position)
        return cls(
            frame.call_id, tuple(contexts), max_xmit, max_recv, group, token, alter, frame.flags
        )


def _parse_offer(data: memoryview, position: int, little: bool) -> tuple[ContextOffer, int]:
    start = position + _OFFER[little].size
    if start + SYNTAX_SIZE > len(data):
        raise RemoteProtocolError("the list of presentation contexts ends early")
    context_id, count, _ = _OFFER[little].unpack_from(data, position)
    end = start + SYNTAX_SIZE * (1 + count)
    if end > len(data):
        raise RemoteProtocolError(f"{count} transfer syntaxes do not fit into the PDU")
    syntaxes = [
        SyntaxId.unpack(data[at : at + SYNTAX_SIZE], little)
        for at in range(start, end, SYNTAX_SIZE)
    ]
    return ContextOffer(context_id, syntaxes[0], tuple(syntaxes[1:])), end


@frozen
class BindAck:
    """bind_ack and alter_context_resp: the server's answer, one reply for each proposal.

    secondary_address: the server's port as text; empty in an alter_context_resp.
    """

    call_id: int
    replies: tuple[ContextReply, ...]
    max_xmit_frag: int
    max_recv_frag: int
    assoc_group_id: int
    secondary_address: bytes = b""
    token: AuthToken | None = None
    alter: bool = False
    flags: int = _WHOLE

    def pack(self) -> bytes:
        """The whole PDU."""
        address = self.secondary_address + b"\0" if self.secondary_address else b""
        parts = [
            _SIZES[True].pack(self.max_xmit_frag, self.max_recv_frag, self.assoc_group_id),
            _U16[True].pack(len(address)),
            address,
            bytes(-(2 + len(address)) % 4),
            bytes((len(self.replies), 0, 0, 0)),
        ]
        for reply in self.replies:
            parts.append(_RESULT[True].pack(reply.result, reply.reason))
            parts.append(reply.transfer.pack())
        ptype = PduType.ALTER_CONTEXT_RESP if self.alter else PduType.BIND_ACK
        return _finish(ptype, self.flags, self.call_id, b"".join(parts), self.token)

    @classmethod
    def parse(cls, frame: Frame) -> BindAck:
        """From a checked frame of either type."""
        data, little = frame.data, frame.little
        start = COMMON_SIZE + 8
        if len(data) < start + 2:
            raise RemoteProtocolError(f"a bind_ack of {len(data)} bytes is too short")
        max_xmit, max_recv, group = _SIZES[little].unpack_from(data, COMMON_SIZE)
        size: int = _U16[little].unpack_from(data, start)[0]
        address = bytes(data[start + 2 : start + 2 + size])
        position = start + 2 + size
        position += -(2 + size) % 4
        if position + 4 > len(data):
            raise RemoteProtocolError(f"a secondary address of {size} bytes does not fit")
        if address and address[-1]:
            raise RemoteProtocolError("the secondary address does not end with a NUL")
        count = data[position]
        position += 4
        end = position + count * (_RESULT[little].size + SYNTAX_SIZE)
        if end > len(data):
            raise RemoteProtocolError(f"{count} context results do not fit into the PDU")
        replies = []
        for at in range(position, end, _RESULT[little].size + SYNTAX_SIZE):
            result, reason = _RESULT[little].unpack_from(data, at)
            syntax = SyntaxId.unpack(data[at + 4 : at + 4 + SYNTAX_SIZE], little)
            replies.append(ContextReply(result, reason, syntax))
        alter = frame.ptype == PduType.ALTER_CONTEXT_RESP
        token = token_of(frame, end, may_be_empty=alter)
        return cls(
            frame.call_id,
            tuple(replies),
            max_xmit,
            max_recv,
            group,
            address[:-1],
            token,
            alter,
            frame.flags,
        )


@frozen
class BindNak:
    """bind_nak: the bind as a whole was rejected. versions: (major, minor) that the server has."""

    call_id: int
    reason: int
    versions: tuple[tuple[int, int], ...] = ((5, 0),)

    def pack(self) -> bytes:
        """The whole PDU, padded to 4."""
        body = _U16[True].pack(self.reason) + bytes((len(self.versions),))
        body += b"".join(bytes(version) for version in self.versions)
        return _finish(PduType.BIND_NAK, _WHOLE, self.call_id, body + bytes(-len(body) % 4), None)

    @classmethod
    def parse(cls, frame: Frame) -> BindNak:
        """From a checked frame; what follows the versions (MS-RPCE 2.2.2.9) is not looked at."""
        data = frame.data
        if len(data) < COMMON_SIZE + 2:
            raise RemoteProtocolError(f"a bind_nak of {len(data)} bytes has no reason")
        reason: int = _U16[frame.little].unpack_from(data, COMMON_SIZE)[0]
        start = COMMON_SIZE + 3
        count = data[start - 1] if len(data) >= start else 0
        if count and start + 2 * count > len(data):
            raise RemoteProtocolError(f"{count} versions do not fit into the bind_nak")
        versions = tuple((data[at], data[at + 1]) for at in range(start, start + 2 * count, 2))
        return cls(frame.call_id, reason, versions)


@frozen
class Auth3:
    """rpc_auth_3 (MS-RPCE 2.2.2.10): third step of an authentication; there is no answer."""

    call_id: int
    token: AuthToken
    flags: int = _WHOLE

    def pack(self) -> bytes:
        """The whole PDU."""
        return _finish(PduType.AUTH3, self.flags, self.call_id, bytes(4), self.token)

    @classmethod
    def parse(cls, frame: Frame) -> Auth3:
        """From a checked frame."""
        if not frame.auth_length or len(frame.data) < COMMON_SIZE + 4 + TRAILER_SIZE:
            raise RemoteProtocolError("an auth3 without an authentication token")
        token = token_of(frame, COMMON_SIZE + 4)
        assert token is not None
        return cls(frame.call_id, token, frame.flags)


@frozen
class Fault:
    """fault: a call that failed before or outside the interface's own return value.

    executed: False says that the call surely had no effect (PFC_DID_NOT_EXECUTE).
    """

    call_id: int
    context_id: int
    status: int
    executed: bool = True

    def pack(self) -> bytes:
        """The whole PDU, without any stub."""
        flags = _WHOLE if self.executed else _WHOLE | PfcFlag.DID_NOT_EXECUTE
        # The hint is a nonzero number in Windows' faults too, and some tests ask for that.
        body = _FAULT[True].pack(_FAULT_SIZE, self.context_id, 0, 0, self.status)
        return pack_common(PduType.FAULT, flags, _FAULT_SIZE, self.call_id) + body + bytes(4)

    @classmethod
    def parse(cls, frame: Frame) -> Fault:
        """From a checked frame; extended error information after it is not looked at."""
        if len(frame.data) < _FAULT_SIZE_MIN:
            raise RemoteProtocolError(f"a fault of {len(frame.data)} bytes has no status")
        _, context_id, _, _, status = _FAULT[frame.little].unpack_from(frame.data, COMMON_SIZE)
        executed = not frame.flags & PfcFlag.DID_NOT_EXECUTE
        return cls(frame.call_id, context_id, status, executed)


def pack_bare(ptype: PduType, call_id: int) -> bytes:
    """A PDU that is a header and nothing else: shutdown, co_cancel, orphaned."""
    return pack_common(ptype, _WHOLE, COMMON_SIZE, call_id)
