"""What a connection reports: one record for each thing that the peer did.

`next_event` of a connection returns these, or the sentinel NEED_DATA.
"""

from __future__ import annotations

import uuid
from enum import Enum
from typing import Final, NamedTuple, TypeAlias

from eseback.data import frozen
from eseback.rpc.pdu import ContextReply
from eseback.rpc.security import AuthToken, Buffer
from eseback.rpc.status import BindFeature
from eseback.rpc.syntax import SyntaxId

__all__ = [
    "NEED_DATA",
    "AuthContinued",
    "BindAccepted",
    "BindRejected",
    "BindRequested",
    "CallCancelled",
    "CallOrphaned",
    "CallRefused",
    "ClientEvent",
    "ConnectionClosed",
    "FaultReceived",
    "NeedData",
    "RequestReceived",
    "ResponseReceived",
    "ServerEvent",
    "ServerShutDown",
]


class NeedData(Enum):
    """Nothing to report before more bytes arrive."""

    NEED_DATA = "need data"


NEED_DATA: Final = NeedData.NEED_DATA


@frozen
class ConnectionClosed:
    """The peer closed the connection. mid_call: in the middle of a PDU or of a call."""

    mid_call: bool


# ---- at the server


@frozen
class BindRequested:
    """A client wants to bind, or to alter its contexts; answer with accept() or reject().

    assoc_group_id: 0 asks for a new association group, anything else is the group to join; always
    the connection's own in an alter_context. replies: what will be answered for each context.
    token: first (bind) or next (alter) step of an authentication. alter: an alter_context.
    """

    call_id: int
    assoc_group_id: int
    replies: tuple[ContextReply, ...]
    token: AuthToken | None
    alter: bool


@frozen
class AuthContinued:
    """An auth3 came; answer with finish_security() or refuse_security(), nothing is sent."""

    call_id: int
    token: AuthToken


class RequestReceived(NamedTuple):  # there is one for every call: twice as quick to make
    """A whole call. stub: its arguments, as they were received; little: their byte order.

    interface: the server's own interface of that context. maybe: the client wants no response.
    cancelled: a cancel came with it.
    """

    call_id: int
    context_id: int
    interface: SyntaxId
    opnum: int
    stub: Buffer
    little: bool
    object_uuid: uuid.UUID | None
    maybe: bool
    cancelled: bool


@frozen
class CallRefused:
    """A call that the protocol layer answers itself, with a fault; send `answer` and go on."""

    call_id: int
    status: int
    answer: tuple[bytes, ...]


@frozen
class CallCancelled:
    """The client asks for a running call to be cancelled; it still waits for the answer."""

    call_id: int


@frozen
class CallOrphaned:
    """The client gave a running call up: what it answers is not sent any more."""

    call_id: int


ServerEvent: TypeAlias = (
    BindRequested
    | AuthContinued
    | RequestReceived
    | CallRefused
    | CallCancelled
    | CallOrphaned
    | ConnectionClosed
    | NeedData
)

# ---- at the client


@frozen
class BindAccepted:
    """The server answered a bind or alter_context.

    replies: one for each proposed context, in their order; accepted: ids that can be used now.
    features: what was agreed on of the offered bind-time features. fragment_max: bytes of the
    largest fragment in either direction.
    """

    replies: tuple[ContextReply, ...]
    accepted: frozenset[int]
    assoc_group_id: int
    secondary_address: str
    fragment_max: int
    features: BindFeature
    token: AuthToken | None
    alter: bool


@frozen
class BindRejected:
    """The server rejected the bind as a whole and will close the connection."""

    reason: int
    versions: tuple[tuple[int, int], ...]


class ResponseReceived(NamedTuple):  # see RequestReceived
    """Results of a call; stub: as they were received, in the byte order `little` tells."""

    call_id: int
    stub: Buffer
    little: bool


@frozen
class FaultReceived:
    """A call failed with a fault. executed: False if it surely had no effect."""

    call_id: int
    status: int
    executed: bool


@frozen
class ServerShutDown:
    """The server asks for the connection to be closed as soon as no call is running."""


ClientEvent: TypeAlias = (
    BindAccepted
    | BindRejected
    | ResponseReceived
    | FaultReceived
    | ServerShutDown
    | ConnectionClosed
    | NeedData
)
