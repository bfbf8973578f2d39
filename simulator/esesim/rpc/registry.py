"""Interfaces that a server serves: registered objects, so that a test can add its own.

A :class:`Service` is an interface and a handler for each operation. A handler is given the client
and the request, and gives the stub of the response as buffers. It may raise CallFault, BadStubData
(both a fault), or ConnectionDropped. :func:`plain` makes one from a function on decoded values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from eseback.data import frozen
from eseback.rpc import Buffer, Interface, Operation, RequestReceived

from .association import AssociationGroup
from .repeat import Repeatable


class Client(Protocol):
    """A connection, as handlers see it."""

    @property
    def group(self) -> AssociationGroup:
        """Its association group."""
        ...

    @property
    def is_remote(self) -> bool:
        """Whether the client runs on another computer."""
        ...

    def memory(self, size: int) -> memoryview:
        """So many bytes to put an answer into, until the next call of this connection.

        Raises CallFault where the server has no more memory to give.
        """
        ...

    def hold(self, size: int) -> None:
        """The answer keeps so many bytes of memory, which is not the connection's own: they count
        as much. Raises CallFault like ``memory``.
        """
        ...

    def offer(self, repeatable: Repeatable) -> None:
        """Say how this very request could be answered if it came again. It is used until anything
        else comes but whole calls, and by this connection only.
        """
        ...


Handler = Callable[[Client, RequestReceived], Sequence[Buffer]]


@frozen(eq=False)
class Service:
    """What is served: an interface, and handlers by operation number.

    An operation without a handler is answered like one that does not exist (OP_RANGE). is_open:
    clients need not say who they are. without_privilege: the handlers for clients that did, but
    have no backup privilege; None denies them every call, with a fault. is_admin: the privilege
    that counts is that of administration, and who is nobody in particular has it only where there
    are no users at all.
    """

    interface: Interface
    handlers: Mapping[int, Handler]
    is_open: bool = False
    without_privilege: Mapping[int, Handler] | None = None
    is_admin: bool = False


def plain(operation: Operation, function: Callable[..., Sequence[Any]]) -> Handler:
    """A handler: ``function(client, *arguments)`` gives the values of the response, in order."""

    def handle(client: Client, request: RequestReceived) -> Sequence[Buffer]:
        arguments = operation.request.decode(request.stub, request.little)
        return (operation.response.encode(tuple(function(client, *arguments))),)

    return handle
