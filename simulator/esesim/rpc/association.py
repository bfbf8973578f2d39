"""Association groups: what a client holds on the server, over all of its connections.

A client that binds with group 0 gets a new one; its other connections join by the number. Context
handles belong to the group, and are run down when its last connection goes, however it goes
(C706 4.2.1, MS-RPCE 3.3.2.4.1; "context handle rundown").
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

from eseback.rpc import NULL_HANDLE, FaultStatus

from .callfault import CallFault

if TYPE_CHECKING:
    from eseback.rpc import SyntaxId

T = TypeVar("T")
_ATTRIBUTES: Final = bytes(4)  # of a context handle; none is defined (C706 14.2.16.6)


class Context:
    """What a context handle stands for. ``lock`` is to be held while it is used: two connections
    of a group may have calls on the same handle at the same time. is_open: the handle still stands
    for it.
    """

    __slots__ = ("interface", "is_open", "lock", "rundown", "value")

    def __init__(self, interface: SyntaxId, value: Any, rundown: Callable[[Any], object]) -> None:
        self.interface = interface
        self.value = value
        self.rundown = rundown
        self.lock = threading.Lock()
        self.is_open = True


class AssociationGroup:
    """One client: its context handles, and what services keep for it."""

    def __init__(self, number: int, peer: str, handles_max: int) -> None:
        self.number = number
        self.peer = peer
        self.members = 0  # connections; the associations' business
        self._handles_max = handles_max
        self._contexts: dict[bytes, Context] = {}
        self._kept: dict[object, Any] = {}
        self._lock = threading.Lock()

    @property
    def holds_contexts(self) -> bool:
        """Whether any context handle is open."""
        return bool(self._contexts)

    def kept(self, key: object, make: Callable[[], T]) -> T:
        """What a service keeps for this client as long as it is there; made when first wanted."""
        try:
            found: T = self._kept[key]
        except KeyError:
            with self._lock:
                if key not in self._kept:
                    self._kept[key] = make()
                found = self._kept[key]
        return found

    def found(self, key: object) -> Any:
        """What a service keeps for this client; None if nothing."""
        return self._kept.get(key)

    def check_room(self) -> None:
        """Before a call that opens a context. Raises CallFault where there are too many."""
        if len(self._contexts) >= self._handles_max:
            raise CallFault(FaultStatus.SERVER_TOO_BUSY)

    def open_context(
        self, interface: SyntaxId, value: Any, rundown: Callable[[Any], object]
    ) -> bytes:
        """A new handle, 20 bytes that nobody can guess. ``rundown`` is given the value when the
        client goes without closing it.
        """
        handle = _ATTRIBUTES + os.urandom(16)
        self._contexts[handle] = Context(interface, value, rundown)
        return handle

    def context(self, handle: bytes, interface: SyntaxId) -> Context:
        """What a handle stands for. Raises CallFault for one that is NULL, not of this client, of
        another interface, or closed.
        """
        found = self._contexts.get(handle)
        if found is None or (found.interface is not interface and found.interface != interface):
            raise CallFault(FaultStatus.CONTEXT_MISMATCH)
        return found

    def close_context(self, handle: bytes) -> bytes:
        """A handle is over; gives the NULL handle, which the client is told."""
        closed = self._contexts.pop(handle, None)
        if closed is not None:
            closed.is_open = False
        return NULL_HANDLE

    def run_down(self) -> list[Exception]:
        """The client is gone. Gives what went wrong in the services, for the log."""
        failures = []
        while self._contexts:
            _, context = self._contexts.popitem()
            context.is_open = False
            try:
                context.rundown(context.value)
            except Exception as error:
                # Whatever a service got wrong: the contexts that are left must be run down too.
                failures.append(error)
        self._kept.clear()
        return failures


class Associations:
    """All association groups of a server, by number."""

    def __init__(self, handles_max: int) -> None:
        self._handles_max = handles_max
        self._groups: dict[int, AssociationGroup] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._groups)

    def join(self, number: int, peer: str) -> AssociationGroup | None:
        """The group of that number for one more connection, a new one for 0.

        None for a number that is not in use, or used by a client on another computer.
        """
        with self._lock:
            if number:
                group = self._groups.get(number)
                if group is None or group.peer != peer:
                    return None
            else:
                number = self._unused()
                group = self._groups[number] = AssociationGroup(number, peer, self._handles_max)
            group.members += 1
            return group

    def leave(self, group: AssociationGroup) -> list[Exception]:
        """A connection of the group is gone; the last one runs its contexts down."""
        with self._lock:
            group.members -= 1
            if group.members:
                return []
            del self._groups[group.number]
        return group.run_down()

    def _unused(self) -> int:
        while True:
            number = int.from_bytes(os.urandom(4))
            if number and number not in self._groups:
                return number
