"""How a client reaches the server that it is judged on."""

from __future__ import annotations

from enum import StrEnum


class Transport(StrEnum):
    """What is between a client and the server, by the name on the command line."""

    INPROC = "inproc"
    """Nothing: the client is handed the server's API."""
    RPC = "rpc"
    """DCE/RPC over TCP, on this computer."""

    @property
    def words(self) -> str:
        """For a list of what a run was, with a comma; empty for what goes without saying."""
        return "" if self is Transport.INPROC else f"over {self.value}, "

    @property
    def option(self) -> str:
        """For a command line that is to do the same: the option, after a space; empty for the one
        that goes without saying.
        """
        return "" if self is Transport.INPROC else f" --transport {self.value}"
