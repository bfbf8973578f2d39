"""What the network adds to the errors of the API: the server said no, the line broke, nonsense.

A fault of the server is an EseBackupError with the HRESULT of the Win32 error that Windows' own RPC
runtime gives for it; one that does not let us in is :class:`AccessRefused`. A broken connection is
ConnectionLost. A server that speaks something else is
:class:`ProtocolViolation`, which is a ConnectionLost too, because nothing can be said on such a
connection any more.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from eseback.errors import ConnectionLost, EseBackupError
from eseback.rpc.status import FaultStatus, status_name

_WIN32: Final = 0x80070000
_ACCESS_DENIED: Final = _WIN32 | 5
_RPC_S_CALL_FAILED_DNE: Final = 1727
_RPC_S_PROTOCOL_ERROR: Final = _WIN32 | 1728

# Win32 errors that rpcrt4 gives for the statuses of fault PDUs (MS-RPCE 2.2.2.11, winerror.h);
# a status that is a Win32 error itself stays what it is.
_WIN32_OF_STATUS: Final[Mapping[int, int]] = {
    FaultStatus.CONTEXT_MISMATCH: 6,  # ERROR_INVALID_HANDLE
    FaultStatus.REMOTE_NO_MEMORY: 1130,  # ERROR_NOT_ENOUGH_SERVER_MEMORY
    FaultStatus.OP_RANGE: 1745,  # RPC_S_PROCNUM_OUT_OF_RANGE
    FaultStatus.UNKNOWN_INTERFACE: 1717,  # RPC_S_UNKNOWN_IF
    FaultStatus.PROTOCOL_ERROR: 1728,  # RPC_S_PROTOCOL_ERROR
    FaultStatus.SERVER_TOO_BUSY: 1723,  # RPC_S_SERVER_TOO_BUSY
}
_WIN32_MAX: Final = 0xFFFF


class ProtocolViolation(ConnectionLost):
    """The server sent what the protocol doesn't allow. The connection was closed."""

    def __init__(
        self,
        hresult: int = _RPC_S_PROTOCOL_ERROR,
        jet: int | None = None,
        call: str | None = None,
        detail: str = "",
    ) -> None:
        super().__init__(hresult, jet, call, detail)

    def __str__(self) -> str:
        where = f"{self.call}: " if self.call else ""
        return f"{where}the server does not keep to the protocol [{self.detail}]"


class AccessRefused(EseBackupError):
    """The server does not let us in: it does not know us, or wants more protection."""

    def __init__(
        self,
        hresult: int = _ACCESS_DENIED,
        jet: int | None = None,
        call: str | None = None,
        detail: str = "",
    ) -> None:
        super().__init__(hresult, jet, call, detail)

    def __str__(self) -> str:
        where = f"{self.call}: " if self.call else ""
        return f"{where}access denied: {self.detail}"


def fault_error(status: int, call: str) -> EseBackupError:
    """The error for a fault of the server."""
    win32 = status if 0 < status <= _WIN32_MAX else _WIN32_OF_STATUS.get(status)
    return EseBackupError(
        _WIN32 | (win32 or _RPC_S_CALL_FAILED_DNE),
        None,
        call,
        f"the server answered {status_name(status)}",
    )
