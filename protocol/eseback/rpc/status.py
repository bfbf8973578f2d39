"""Numbers of the connection-oriented protocol: fault status, bind results, reject reasons.

Sources: C706 (DCE 1.1: Remote Procedure Call) appendix E and chapter 12; MS-RPCE 2.2.1 and 2.2.2.
The server's choice among them follows what Windows was seen to answer (Samba's published tests of
the raw protocol).
"""

from __future__ import annotations

from enum import IntEnum, IntFlag
from typing import Final

__all__ = [
    "AuthLevel",
    "AuthType",
    "BindFeature",
    "ContextResult",
    "FaultStatus",
    "PduType",
    "PfcFlag",
    "ProviderReason",
    "RejectReason",
    "status_name",
]


class PduType(IntEnum):
    """The connection-oriented PDU types (C706 12.6.1; AUTH3: MS-RPCE 2.2.2.10)."""

    REQUEST = 0
    RESPONSE = 2
    FAULT = 3
    BIND = 11
    BIND_ACK = 12
    BIND_NAK = 13
    ALTER_CONTEXT = 14
    ALTER_CONTEXT_RESP = 15
    AUTH3 = 16
    SHUTDOWN = 17
    CO_CANCEL = 18
    ORPHANED = 19


class PfcFlag(IntFlag):
    """`pfc_flags` (C706 12.6.3.1, MS-RPCE 2.2.2.3)."""

    NONE = 0
    FIRST_FRAG = 0x01
    LAST_FRAG = 0x02
    # The same bit: header signing in the PDUs that set up a connection, a cancel in the others.
    PENDING_CANCEL = 0x04
    SUPPORT_HEADER_SIGN = 0x04
    CONC_MPX = 0x10
    DID_NOT_EXECUTE = 0x20
    MAYBE = 0x40
    OBJECT_UUID = 0x80


class ContextResult(IntEnum):
    """`p_cont_def_result_t`: result for one context (C706 12.6.3.1, MS-RPCE 2.2.2.4)."""

    ACCEPTANCE = 0
    USER_REJECTION = 1
    PROVIDER_REJECTION = 2
    NEGOTIATE_ACK = 3


class ProviderReason(IntEnum):
    """Why a presentation context was rejected (C706 12.6.3.1 `p_provider_reason_t`)."""

    NOT_SPECIFIED = 0
    ABSTRACT_SYNTAX_NOT_SUPPORTED = 1
    TRANSFER_SYNTAXES_NOT_SUPPORTED = 2
    LOCAL_LIMIT_EXCEEDED = 3


class RejectReason(IntEnum):
    """Why a whole bind was rejected (C706 12.6.3.1 `p_reject_reason_t`, MS-RPCE 2.2.2.5)."""

    NOT_SPECIFIED = 0
    TEMPORARY_CONGESTION = 1
    LOCAL_LIMIT_EXCEEDED = 2
    PROTOCOL_VERSION_NOT_SUPPORTED = 4
    AUTHENTICATION_TYPE_NOT_RECOGNIZED = 8
    INVALID_CHECKSUM = 9


class BindFeature(IntFlag):
    """Bits that a client and a server may agree on while they bind (MS-RPCE 2.2.2.14)."""

    NONE = 0
    SECURITY_CONTEXT_MULTIPLEXING = 1
    KEEP_CONNECTION_ON_ORPHAN = 2


class AuthType(IntEnum):
    """Security providers (MS-RPCE 2.2.1.1.7)."""

    NONE = 0
    SPNEGO = 9
    NTLM = 10
    KERBEROS = 16


class AuthLevel(IntEnum):
    """How much is protected (MS-RPCE 2.2.1.1.8)."""

    NONE = 1
    CONNECT = 2
    CALL = 3  # over a connection the same as PACKET
    PACKET = 4
    INTEGRITY = 5
    PRIVACY = 6


class FaultStatus(IntEnum):
    """Status of a fault PDU that a server of ours sends (C706 appendix E; Win32 error codes)."""

    ACCESS_DENIED = 0x00000005
    NO_CALL_ACTIVE = 0x000006BD  # RPC_S_NO_CALL_ACTIVE
    CALL_FAILED = 0x000006BE  # RPC_S_CALL_FAILED
    BAD_STUB_DATA = 0x000006F7  # RPC_X_BAD_STUB_DATA
    SEC_PKG_ERROR = 0x00000721  # RPC_S_SEC_PKG_ERROR
    REMOTE_NO_MEMORY = 0x1C00001B  # nca_s_fault_remote_no_memory
    UNSPECIFIED = 0x1C000009  # nca_s_unspec_reject
    CONTEXT_MISMATCH = 0x1C00001A  # nca_s_fault_context_mismatch
    OP_RANGE = 0x1C010002  # nca_s_op_rng_error
    UNKNOWN_INTERFACE = 0x1C010003  # nca_s_unk_if
    PROTOCOL_ERROR = 0x1C01000B  # nca_s_proto_error
    SERVER_TOO_BUSY = 0x1C010014  # nca_s_server_too_busy


_NAMES: Final = {int(status): status.name for status in FaultStatus}


def status_name(status: int) -> str:
    """A fault status as a reader knows it: name and hexadecimal number."""
    name = _NAMES.get(status)
    return f"{name} (0x{status:08X})" if name is not None else f"0x{status:08X}"
