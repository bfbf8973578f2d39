"""How a handler ends a call without an answer of its own."""

from __future__ import annotations


class CallFault(Exception):
    """A call is answered with a fault. executed: whether it may have had an effect."""

    def __init__(self, status: int, executed: bool = False) -> None:
        super().__init__(f"fault 0x{status:08X}")
        self.status = status
        self.executed = executed


class ConnectionDropped(Exception):
    """The connection is to be closed without an answer."""
