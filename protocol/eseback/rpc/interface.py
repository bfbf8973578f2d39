"""An interface as data: its syntax identifier and, for each operation, two messages.

A server is given such objects, a client calls by them; nothing else knows what an operation looks
like on the wire. The stubs of all interfaces here are NDR 2.0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from eseback.data import frozen
from eseback.rpc.ndr_struct import Field, Message
from eseback.rpc.syntax import SyntaxId

__all__ = ["Interface", "Operation", "make_interface", "operation"]


@frozen
class Operation:
    """One operation. The return value of the C function is the response's last field."""

    opnum: int
    name: str
    request: Message
    response: Message


def operation(
    opnum: int, name: str, request: Sequence[Field], response: Sequence[Field]
) -> Operation:
    """An operation from the fields of its two directions."""
    return Operation(
        opnum, name, Message(f"{name} request", request), Message(f"{name} response", response)
    )


@frozen
class Interface:
    """syntax: UUID and version. operations: by number; a number without one is out of range."""

    name: str
    syntax: SyntaxId
    operations: Mapping[int, Operation]


def make_interface(name: str, syntax: SyntaxId, operations: Iterable[Operation]) -> Interface:
    """An interface from its operations, whose numbers must differ."""
    table: dict[int, Operation] = {}
    for item in operations:
        if item.opnum in table:
            raise ValueError(f"{name} has two operations with the number {item.opnum}")
        table[item.opnum] = item
    return Interface(name, syntax, table)
