"""Who did wrong: this side, or the peer.

`LocalProtocolError`: the caller used a connection or a type in a way that the protocol does not
allow; nothing was changed and nothing may be sent. `RemoteProtocolError`: the peer sent what the
protocol does not allow. The two share no base but `RpcError`, so that one is never caught for the
other.
"""

from __future__ import annotations

from collections.abc import Sequence

from eseback.rpc.status import FaultStatus

__all__ = [
    "AuthenticationFailed",
    "BadStubData",
    "LocalProtocolError",
    "MissingLibraryError",
    "NotRepresentable",
    "RemoteProtocolError",
    "RpcError",
]


class RpcError(Exception):
    """Base of both kinds of error."""


class LocalProtocolError(RpcError):
    """This side asked for something illegal; the state is as it was before."""


class NotRepresentable(LocalProtocolError):
    """A value cannot travel: a number out of range, a string with a NUL in it, the wrong type."""


class MissingLibraryError(LocalProtocolError):
    """Authentication needs a library that is not installed."""

    def __init__(self) -> None:
        super().__init__("authentication needs pyspnego: install esesim[auth]")


class RemoteProtocolError(RpcError):
    """The peer sent something illegal.

    status: the fault that fits. answer: buffers that a server has to send before it closes the
    connection; empty on a client and where nothing may be answered.
    """

    def __init__(
        self,
        message: str,
        status: int = FaultStatus.PROTOCOL_ERROR,
        answer: Sequence[bytes] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.answer = tuple(answer)


class BadStubData(RemoteProtocolError):
    """The arguments of one call cannot be decoded. The connection lives on after a fault."""

    def __init__(self, message: str) -> None:
        super().__init__(message, FaultStatus.BAD_STUB_DATA)


class AuthenticationFailed(RemoteProtocolError):
    """A peer could not prove who it is, or cannot agree on protection. For the log, not the peer:
    it is not told why.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message, FaultStatus.ACCESS_DENIED)
