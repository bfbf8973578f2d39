"""The two interfaces that any RPC server has: management, and the endpoint mapper.

Management: C706 appendix Q; what Windows answers where that leaves a choice. The endpoint mapper
(C706 appendix O) runs on the server's own port, because 135 is another's on most computers.
"""

from __future__ import annotations

import ipaddress
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from eseback.rpc import ENDPOINT_MAPPER, MANAGEMENT, NULL_HANDLE, Interface, SyntaxId
from eseback.rpc.epm import EPT_NOT_REGISTERED, Entry
from eseback.rpc.mgmt import principal_name
from eseback.rpc.tower import TcpTower

from .registry import Client, Service, plain

_ACCESS_DENIED: Final = 5
_UNKNOWN_AUTHN_SERVICE: Final = 1747  # RPC_S_UNKNOWN_AUTHN_SERVICE
_TRUE: Final = 1
_NAME_MAX: Final = 4096

# inquiry_type and vers_option of ept_lookup (C706 appendix O).
_BY_INTERFACE: Final = (1, 3)
_BY_OBJECT_ONLY: Final = 2
_VERSION_ALL, _COMPATIBLE, _EXACT, _MAJOR, _UP_TO = range(1, 6)
_ENTRIES_MAX: Final = 500  # for one answer, as in Windows

Endpoints = Callable[[], Sequence[tuple[SyntaxId, str]]]


def management(interfaces: Callable[[], Sequence[SyntaxId]], counts: Callable[[], Any]) -> Service:
    """The management interface. counts: calls in, calls out, packets in, packets out."""

    def inq_if_ids(_: Client) -> Sequence[Any]:
        return tuple(interfaces()), 0

    def inq_stats(_: Client, count: int) -> Sequence[Any]:
        return tuple(counts())[:count], 0

    def is_listening(_: Client) -> Sequence[Any]:
        return 0, _TRUE

    def stop_listening(_: Client) -> Sequence[Any]:
        # Nobody may stop the server over the wire without authentication, nor on Windows with it.
        return (_ACCESS_DENIED,)

    def inq_princ_name(_: Client, __: int, size: int) -> Sequence[Any]:
        return principal_name("", min(size, _NAME_MAX)), _UNKNOWN_AUTHN_SERVICE

    functions: Mapping[int, Callable[..., Sequence[Any]]] = {
        0: inq_if_ids,
        1: inq_stats,
        2: is_listening,
        3: stop_listening,
        4: inq_princ_name,
    }
    return _service(MANAGEMENT, functions)


class EndpointMapper:
    """Tells where each interface can be reached. endpoints: interfaces with their annotations; the
    mapper's own is not told, nor management, which all have.
    """

    def __init__(self, endpoints: Endpoints, address: Callable[[], tuple[str, int]]) -> None:
        self._endpoints = endpoints
        self._address = address

    def service(self) -> Service:
        """What to register."""
        return _service(ENDPOINT_MAPPER, {2: self._lookup, 3: self._map, 4: self._free})

    def _told(self) -> list[tuple[SyntaxId, str]]:
        hidden = (ENDPOINT_MAPPER.syntax, MANAGEMENT.syntax)
        return [found for found in self._endpoints() if found[0] not in hidden]

    def _tower(self, syntax: SyntaxId) -> bytes:
        host, port = self._address()
        try:
            address = str(ipaddress.IPv4Address(host))
        except ValueError:
            address = "0.0.0.0"  # a tower of this kind has no room for an IPv6 address
        return TcpTower(syntax, port, address).pack()

    def _lookup(
        self,
        client: Client,
        inquiry: int,
        _: uuid.UUID | None,
        interface: SyntaxId | None,
        versions: int,
        handle: bytes,
        wanted: int,
    ) -> Sequence[Any]:
        def find() -> list[Any]:
            if inquiry == _BY_OBJECT_ONLY:
                return []  # no interface here is registered for an object
            return [
                Entry(uuid.UUID(int=0), self._tower(syntax), annotation)
                for syntax, annotation in self._told()
                if inquiry not in _BY_INTERFACE
                or (interface is not None and _is_asked_for(syntax, interface, versions))
            ]

        return self._some(client, handle, find, wanted)

    def _map(
        self, client: Client, _: uuid.UUID | None, octets: bytes | None, handle: bytes, wanted: int
    ) -> Sequence[Any]:
        def find() -> list[Any]:
            asked = TcpTower.parse(octets) if octets is not None else None
            if asked is None:
                return []
            return [
                self._tower(syntax)
                for syntax, _ in self._told()
                if _is_asked_for(syntax, asked.interface, _COMPATIBLE)
            ]

        return self._some(client, handle, find, wanted)

    def _some(
        self, client: Client, handle: bytes, find: Callable[[], list[Any]], wanted: int
    ) -> Sequence[Any]:
        """The next entries; a handle that keeps the rest, if there is any."""
        group, syntax = client.group, ENDPOINT_MAPPER.syntax
        if handle == NULL_HANDLE:
            left = find()
        else:
            left = group.context(handle, syntax).value
            group.close_context(handle)
        size = min(wanted, _ENTRIES_MAX)
        now, later = left[:size], left[size:]
        if later and size:
            group.check_room()
            handle = group.open_context(syntax, later, lambda _: None)
        else:
            handle = NULL_HANDLE
        return handle, (wanted, tuple(now)), 0 if now else EPT_NOT_REGISTERED

    def _free(self, client: Client, handle: bytes) -> Sequence[Any]:
        client.group.context(handle, ENDPOINT_MAPPER.syntax)
        return client.group.close_context(handle), 0


def _service(
    interface: Interface, functions: Mapping[int, Callable[..., Sequence[Any]]]
) -> Service:
    operations = interface.operations
    handlers = {number: plain(operations[number], f) for number, f in functions.items()}
    return Service(interface, handlers, is_open=True)


def _is_asked_for(served: SyntaxId, asked: SyntaxId, versions: int) -> bool:
    """Whether an interface is one that was asked for, by the version option (C706 appendix O)."""
    if served.uuid != asked.uuid:
        return False
    have, want = (served.major, served.minor), (asked.major, asked.minor)
    if versions == _VERSION_ALL:
        return True
    if versions == _COMPATIBLE:
        return have[0] == want[0] and have[1] >= want[1]
    if versions == _EXACT:
        return have == want
    if versions == _MAJOR:
        return have[0] == want[0]
    return versions == _UP_TO and have <= want
