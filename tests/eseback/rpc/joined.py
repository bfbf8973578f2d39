"""Two cores joined without a socket, and PDUs written by hand for the tests of one core."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

from eseback.rpc import (
    BACKUP_SYNTAX,
    MANAGEMENT,
    NDR32,
    NEED_DATA,
    BindAccepted,
    BindFeature,
    BindRequested,
    Buffer,
    ClientConnection,
    ContextOffer,
    Limits,
    ServerConnection,
    SyntaxId,
)

GROUP = 0x00010203
OFFER = ContextOffer(0, BACKUP_SYNTAX, (NDR32,))
MGMT_OFFER = ContextOffer(1, MANAGEMENT.syntax, (NDR32,))
SERVED = (BACKUP_SYNTAX, MANAGEMENT.syntax)

FIRST, LAST, WHOLE = 1, 2, 3
CANCEL, MPX, NOT_EXECUTED, MAYBE, OBJECT = 4, 0x10, 0x20, 0x40, 0x80


def raw(buffers: Iterable[Buffer]) -> bytes:
    """What a transport would send."""
    return b"".join(buffers)


def connected(
    fragment_max: int = 5840,
    *,
    concurrent: bool = False,
    features: BindFeature = BindFeature.NONE,
    offers: tuple[ContextOffer, ...] = (OFFER, MGMT_OFFER),
    server_limits: Limits | None = None,
    client_limits: Limits | None = None,
) -> tuple[ClientConnection, ServerConnection]:
    """A client and a server after their bind."""
    server = ServerConnection(
        SERVED, server_limits or Limits(fragment_max=fragment_max), secondary_address="1234"
    )
    client = ClientConnection(client_limits or Limits(fragment_max=fragment_max))
    server.receive_data(raw(client.bind(offers, concurrent=concurrent, features=features)))
    assert isinstance(server.next_event(), BindRequested)
    client.receive_data(raw(server.accept(GROUP)))
    assert isinstance(client.next_event(), BindAccepted)
    return client, server


def bound_server(limits: Limits | None = None, flags: int = WHOLE) -> ServerConnection:
    """A server after a bind of contexts 0 (ours) and 1 (management)."""
    server = ServerConnection(SERVED, limits or Limits(fragment_max=5840))
    server.receive_data(bind_pdu(flags=flags))
    assert isinstance(server.next_event(), BindRequested)
    server.accept(GROUP)
    return server


def pdu(
    ptype: int,
    body: bytes,
    *,
    flags: int = WHOLE,
    call_id: int = 1,
    auth_length: int = 0,
    little: bool = True,
    version: tuple[int, int] = (5, 0),
    length: int | None = None,
    drep: bytes | None = None,
) -> bytes:
    """Any PDU, right or wrong in any field of its common header."""
    order = "<" if little else ">"
    size = 16 + len(body) if length is None else length
    representation = (b"\x10\0\0\0" if little else bytes(4)) if drep is None else drep
    return (
        struct.pack(
            order + "BBBB4sHHI",
            *version,
            ptype,
            flags,
            representation,
            size,
            auth_length,
            call_id,
        )
        + body
    )


def syntax_bytes(syntax: SyntaxId, little: bool = True) -> bytes:
    """20 bytes of a syntax identifier in either byte order."""
    octets = syntax.uuid.bytes_le if little else syntax.uuid.bytes
    return octets + struct.pack("<I" if little else ">I", syntax.major | syntax.minor << 16)


def context_bytes(
    context_id: int,
    abstract: SyntaxId = BACKUP_SYNTAX,
    transfers: tuple[SyntaxId, ...] = (NDR32,),
    little: bool = True,
) -> bytes:
    """One element of a bind's context list."""
    order = "<" if little else ">"
    head = struct.pack(order + "HBB", context_id, len(transfers), 0)
    return head + b"".join(syntax_bytes(s, little) for s in (abstract, *transfers))


def bind_body(
    *contexts: bytes, xmit: int = 5840, recv: int = 5840, group: int = 0, little: bool = True
) -> bytes:
    """Body of a bind or alter_context."""
    order = "<" if little else ">"
    return struct.pack(order + "HHIBBH", xmit, recv, group, len(contexts), 0, 0) + b"".join(
        contexts
    )


def bind_pdu(
    *contexts: bytes,
    ptype: int = 11,
    flags: int = WHOLE,
    call_id: int = 1,
    little: bool = True,
    group: int = 0,
    xmit: int = 5840,
    recv: int = 5840,
) -> bytes:
    """A bind of both interfaces, or of the given contexts."""
    if not contexts:
        both = ((0, BACKUP_SYNTAX), (1, MANAGEMENT.syntax))
        contexts = tuple(context_bytes(i, s, little=little) for i, s in both)
    body = bind_body(*contexts, xmit=xmit, recv=recv, group=group, little=little)
    return pdu(ptype, body, flags=flags, call_id=call_id, little=little)


def request_pdu(
    stub: bytes = b"",
    *,
    flags: int = WHOLE,
    call_id: int = 2,
    context_id: int = 0,
    opnum: int = 0,
    hint: int = 0,
    little: bool = True,
    object_uuid: bytes = b"",
) -> bytes:
    """A request fragment."""
    order = "<" if little else ">"
    body = struct.pack(order + "IHH", hint, context_id, opnum) + object_uuid + stub
    return pdu(0, body, flags=flags, call_id=call_id, little=little)


def response_pdu(
    stub: bytes = b"",
    *,
    flags: int = WHOLE,
    call_id: int = 2,
    context_id: int = 0,
    little: bool = True,
) -> bytes:
    """A response fragment."""
    order = "<" if little else ">"
    body = struct.pack(order + "IHH", len(stub), context_id, 0) + stub
    return pdu(2, body, flags=flags, call_id=call_id, little=little)


def fault_fields(data: bytes) -> tuple[int, int, int, int]:
    """Flags, call id, context id and status of exactly one fault as we send it."""
    version, minor, ptype, flags, drep, length, auth, call_id = struct.unpack_from(
        "<BBBB4sHHI", data
    )
    hint, context_id, cancels, reserved, status, rest = struct.unpack_from("<IHBBII", data, 16)
    assert (version, minor, ptype, drep, auth) == (5, 0, 3, b"\x10\0\0\0", 0)
    assert len(data) == length == 32
    assert hint and not cancels and not reserved and not rest
    return flags, call_id, context_id, status


def nak_fields(data: bytes) -> tuple[int, int]:
    """Call id and reason of exactly one bind_nak, which names version 5.0."""
    assert data[:4] == b"\x05\x00\x0d\x03"
    call_id, reason, count, major, minor = struct.unpack_from("<IHBBB", data, 12)
    assert (count, major, minor, data[21:]) == (1, 5, 0, bytes(3))
    assert len(data) == struct.unpack_from("<H", data, 8)[0] == 24
    return call_id, reason


def server_events(server: ServerConnection) -> Iterator[object]:
    """Events until more data is needed."""
    while (event := server.next_event()) is not NEED_DATA:
        yield event


def client_events(client: ClientConnection) -> Iterator[object]:
    """Events until more data is needed."""
    while (event := client.next_event()) is not NEED_DATA:
        yield event
