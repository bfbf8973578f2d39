"""DCE/RPC over a connection, without the connection: the wire as data and state machines.

`ServerConnection` and `ClientConnection` turn bytes into events and calls into buffers; they know
nothing of what the calls mean. `Interface` describes an interface: ours, the management interface
and the endpoint mapper's are here. `eseback.rpc.backup_calls` and `eseback.rpc.bulk` turn the
calls of `BackupApi` into stubs. No I/O, no threads, no clock. This is the package's public face.

Its names are loaded when they are first used: a server is to be up quickly, and needs most of them
only once a client is there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from eseback.lazy import loader

if TYPE_CHECKING:
    from eseback.rpc.acceptor import ACCEPTED_TYPES, Acceptor, Step, open_acceptor
    from eseback.rpc.address import NoAddress, RpcAddress
    from eseback.rpc.backup_interface import BACKUP_INTERFACE, BACKUP_SYNTAX, OPERATIONS
    from eseback.rpc.connection_client import ClientConnection, ClientState
    from eseback.rpc.connection_server import ServerConnection, ServerState
    from eseback.rpc.epm import ENDPOINT_MAPPER
    from eseback.rpc.errors import (
        AuthenticationFailed,
        BadStubData,
        LocalProtocolError,
        MissingLibraryError,
        NotRepresentable,
        RemoteProtocolError,
        RpcError,
    )
    from eseback.rpc.events import (
        NEED_DATA,
        AuthContinued,
        BindAccepted,
        BindRejected,
        BindRequested,
        CallCancelled,
        CallOrphaned,
        CallRefused,
        ClientEvent,
        ConnectionClosed,
        FaultReceived,
        RequestReceived,
        ResponseReceived,
        ServerEvent,
        ServerShutDown,
    )
    from eseback.rpc.handshake import bind_as
    from eseback.rpc.initiator import Credentials, Initiator
    from eseback.rpc.interface import Interface, Operation, make_interface, operation
    from eseback.rpc.limits import Limits
    from eseback.rpc.mgmt import MANAGEMENT
    from eseback.rpc.ndr import NULL_HANDLE
    from eseback.rpc.pdu import ContextOffer
    from eseback.rpc.repeated import ForeseenCall, RepeatedCall, RepeatedRequest
    from eseback.rpc.scatter import ScatterRead
    from eseback.rpc.security import AuthToken, Buffer, Security
    from eseback.rpc.status import (
        AuthLevel,
        AuthType,
        BindFeature,
        ContextResult,
        FaultStatus,
        RejectReason,
        status_name,
    )
    from eseback.rpc.syntax import NDR32, SyntaxId

__all__ = [
    "ACCEPTED_TYPES",
    "BACKUP_INTERFACE",
    "BACKUP_SYNTAX",
    "ENDPOINT_MAPPER",
    "MANAGEMENT",
    "NDR32",
    "NEED_DATA",
    "NULL_HANDLE",
    "OPERATIONS",
    "Acceptor",
    "AuthContinued",
    "AuthLevel",
    "AuthToken",
    "AuthType",
    "AuthenticationFailed",
    "BadStubData",
    "BindAccepted",
    "BindFeature",
    "BindRejected",
    "BindRequested",
    "Buffer",
    "CallCancelled",
    "CallOrphaned",
    "CallRefused",
    "ClientConnection",
    "ClientEvent",
    "ClientState",
    "ConnectionClosed",
    "ContextOffer",
    "ContextResult",
    "Credentials",
    "FaultReceived",
    "FaultStatus",
    "ForeseenCall",
    "Initiator",
    "Interface",
    "Limits",
    "LocalProtocolError",
    "MissingLibraryError",
    "NoAddress",
    "NotRepresentable",
    "Operation",
    "RejectReason",
    "RemoteProtocolError",
    "RepeatedCall",
    "RepeatedRequest",
    "RequestReceived",
    "ResponseReceived",
    "RpcAddress",
    "RpcError",
    "ScatterRead",
    "Security",
    "ServerConnection",
    "ServerEvent",
    "ServerShutDown",
    "ServerState",
    "Step",
    "SyntaxId",
    "bind_as",
    "make_interface",
    "open_acceptor",
    "operation",
    "status_name",
]

if not TYPE_CHECKING:
    __getattr__ = loader(
        __name__,
        {
            "acceptor": ("ACCEPTED_TYPES", "Acceptor", "Step", "open_acceptor"),
            "address": ("NoAddress", "RpcAddress"),
            "backup_interface": ("BACKUP_INTERFACE", "BACKUP_SYNTAX", "OPERATIONS"),
            "connection_client": ("ClientConnection", "ClientState"),
            "connection_server": ("ServerConnection", "ServerState"),
            "epm": ("ENDPOINT_MAPPER",),
            "errors": (
                "AuthenticationFailed",
                "BadStubData",
                "LocalProtocolError",
                "MissingLibraryError",
                "NotRepresentable",
                "RemoteProtocolError",
                "RpcError",
            ),
            "events": (
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
                "RequestReceived",
                "ResponseReceived",
                "ServerEvent",
                "ServerShutDown",
            ),
            "handshake": ("bind_as",),
            "initiator": ("Credentials", "Initiator"),
            "interface": ("Interface", "Operation", "make_interface", "operation"),
            "limits": ("Limits",),
            "mgmt": ("MANAGEMENT",),
            "ndr": ("NULL_HANDLE",),
            "pdu": ("ContextOffer",),
            "repeated": ("ForeseenCall", "RepeatedCall", "RepeatedRequest"),
            "scatter": ("ScatterRead",),
            "security": ("AuthToken", "Buffer", "Security"),
            "status": (
                "AuthLevel",
                "AuthType",
                "BindFeature",
                "ContextResult",
                "FaultStatus",
                "RejectReason",
                "status_name",
            ),
            "syntax": ("NDR32", "SyntaxId"),
        },
    )
