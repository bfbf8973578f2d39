"""What clients may take of the server: all of it configurable, none of it endless."""

from __future__ import annotations

import threading
from typing import Final

from attrs import field

from eseback.data import frozen
from eseback.rpc import Limits

_MIB: Final = 1 << 20


def _positive(_: object, attribute: object, value: float) -> None:
    if not value > 0:  # nor anything that is no number
        raise ValueError(f"{getattr(attribute, 'name', 'limit')} has to be more than 0: {value}")


@frozen
class ServerLimits:
    """Limits of an RPC server. Raises ValueError (LocalProtocolError for fragment sizes).

    connections: at a time, more are closed at once. memory: bytes that all connections together
    hold, of requests that are not complete and of data on its way out. read_max: bytes of one read;
    a client that asks for more gets a short one. handles: contexts of one association group.
    handshake_seconds: from connecting to the end of the bind and of the authentication, if there is
    one; also for one that is begun later. stall_seconds: from the first byte of
    a request to its last, and for a client to take an answer. idle_seconds: without a call, for
    clients that hold no context; one that does may rest as long as it likes (tapes get changed).
    stop_seconds: how long running calls may go on when the server stops. call: those of each
    connection: sizes of fragments and calls, outstanding calls.
    """

    connections: int = field(default=1100, validator=_positive)
    memory: int = field(default=256 * _MIB, validator=_positive)
    read_max: int = field(default=4 * _MIB, validator=_positive)
    handles: int = field(default=256, validator=_positive)
    handshake_seconds: float = field(default=10.0, validator=_positive)
    stall_seconds: float = field(default=120.0, validator=_positive)
    idle_seconds: float = field(default=900.0, validator=_positive)
    stop_seconds: float = field(default=5.0, validator=_positive)
    call: Limits = field(factory=Limits)


class MemoryBudget:
    """Bytes that connections hold; may be used from any thread."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._used = 0
        self._lock = threading.Lock()

    @property
    def used(self) -> int:
        """Bytes that are held now."""
        return self._used

    def change(self, difference: int) -> bool:
        """Take so many bytes, or give them back if negative; False if there are not as many."""
        with self._lock:
            if difference > 0 and self._used + difference > self._total:
                return False
            self._used += difference
            return True
